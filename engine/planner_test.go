package engine_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// script are the steps of a rule by branch. A step is "name", or
// "name:on_failure", or "!text" (cannot be rendered), or "?text" (needs what a
// shadow did not send), or "-name" (skipped), or "stop", or "wait 5m", or
// "present" (its name is how many are in the session), or "totals" (its
// parameter is what the ledger said to the step before).
type script map[string][]string

// rule is a rule written out. What is left out it does not have.
type rule struct {
	when  []string                              // types of event; default: stream_updated, which changes no session
	cond  func(engine.MatchInput) (bool, error) // default: true
	per   func(engine.MatchInput) string        // key of every word; default the session
	words string                                // tells versions of it apart

	count    *engine.Count                   // without its key
	distinct func(engine.MatchInput) string  // of count
	hold     time.Duration                   //
	expect   *engine.Expect                  // without its key
	meets    func(engine.MatchInput) bool    // of expect; default: true
	once     bool                            //
	cooldown time.Duration                   //
	digest   time.Duration                   // every
	digestAt func(now time.Time) time.Time   // at
	late     engine.Late                     //
	next     func(after time.Time) time.Time // of a schedule
	shadow   bool
	parallel bool
	retry    engine.Retry
	steps    script // default: then, else none
}

// rules is a planner of rules written out, by id.
type rules map[string]rule

// one is a planner of one rule for every stream_updated.
func one(steps script) rules { return rules{"rule": {steps: steps}} }

func (rules) Revision() string         { return "r1" }
func (rules) Text() []byte             { return []byte("rules") }
func (rules) Fill(*engine.Event) error { return nil }

func (rules) Needs(*engine.Event) engine.Needs { return engine.Needs{} }
func (rules) NeedsOf(string) engine.Needs      { return engine.Needs{} }

// is reports whether ev is one of types: a type, or gavel:NAME.
func is(ev *engine.Event, types ...string) bool {
	return slices.Contains(types, ev.Type) || slices.Contains(types, ev.Platform+":"+ev.Name)
}

// ids are in the order in which a rules file would have them.
func (s rules) ids() []string { return slices.Sorted(maps.Keys(s)) }

func (r rule) fingerprint(id string) string { return id + " " + r.words }

func (r rule) types() []string {
	if r.when == nil {
		return []string{engine.StreamUpdated}
	}
	return r.when
}

func (r rule) key(id string, in engine.MatchInput) string {
	key := in.SessionKey
	if r.per != nil {
		key = r.per(in)
	}
	return fmt.Sprintf("default|%s|%v|%s", id, r.shadow, key)
}

func (s rules) Match(in engine.MatchInput) []engine.Match {
	var all []engine.Match
	for _, id := range s.ids() {
		r := s[id]
		if !is(in.Event, r.types()...) && !(in.Event.Type == engine.Scheduled && in.Event.Name == id) {
			continue
		}
		m, err := r.match(id, in, engine.BranchThen), error(nil)
		ok := true
		if r.cond != nil {
			ok, err = r.cond(in)
		}
		switch key := r.key(id, in); {
		case err != nil:
			m = engine.Match{Rule: id, Err: err.Error()}
		case !ok && r.steps[engine.BranchElse] == nil:
			continue
		case !ok:
			m = r.match(id, in, engine.BranchElse)
		default:
			if r.count != nil {
				c := *r.count
				c.Key = key
				if r.distinct != nil {
					c.Value = r.distinct(in)
				}
				m.Count = &c
			}
			switch {
			case r.hold > 0:
				m.Hold = &engine.Hold{Key: key, For: r.hold}
			case r.expect != nil:
				x := *r.expect
				x.Key, x.InSession, x.OnLate = key, r.per == nil, r.steps[engine.BranchOnLate] != nil
				m.Expect = &x
			default:
				r.rest(&m, key, in.Now)
			}
		}
		all = append(all, m)
	}
	return all
}

func (r rule) match(id string, in engine.MatchInput, branch string) engine.Match {
	m := engine.Match{Rule: id, Words: r.fingerprint(id), Shadow: r.shadow, Branch: branch, Turn: id + " " + in.SessionKey}
	if r.parallel {
		m.Turn = ""
	}
	call, ok, err := r.step(branch, 0, in, in.Now)
	switch {
	case err != nil:
		m.Failed = err.Error()
	case ok:
		m.First = &call
	}
	return m
}

// rest are once, cooldown and digest.
func (r rule) rest(m *engine.Match, key string, now time.Time) {
	if r.once {
		m.Once = key
	}
	if r.cooldown > 0 {
		m.Cooldown = &engine.Cooldown{Key: key, For: r.cooldown}
	}
	switch {
	case r.digest > 0:
		m.Digest = &engine.Digest{Key: key, Due: now.Add(r.digest)}
	case r.digestAt != nil:
		m.Digest = &engine.Digest{Key: key, Due: r.digestAt(now)}
	}
}

func (s rules) Awaited(in engine.MatchInput) []engine.Awaited {
	var all []engine.Awaited
	for _, id := range s.ids() {
		switch r := s[id]; {
		case r.expect == nil:
		case is(in.Event, r.expect.Types...):
			all = append(all, engine.Awaited{Rule: id, Key: r.key(id, in)})
		case is(in.Event, r.expect.StopOn...):
			all = append(all, engine.Awaited{Rule: id, Stop: true})
		}
	}
	return all
}

func (s rules) Meets(t *engine.Timer, in engine.MatchInput) (bool, error) {
	meets := s[t.Rule].meets
	return meets == nil || meets(in), nil
}

func (s rules) Holds(t *engine.Timer, in engine.MatchInput) (bool, error) {
	if s[t.Rule].cond == nil {
		return true, nil
	}
	return s[t.Rule].cond(in)
}

func (s rules) Fire(t *engine.Timer, in engine.MatchInput) engine.Match {
	r := s[t.Rule]
	m := r.match(t.Rule, in, engine.BranchThen)
	if t.Kind != engine.TimerDigest {
		r.rest(&m, t.Key, in.Now)
	}
	return m
}

func (s rules) OnLate(t *engine.Timer, in engine.MatchInput) engine.Match {
	return s[t.Rule].match(t.Rule, in, engine.BranchOnLate)
}

func (s rules) Late(id string) engine.Late { return s[id].late }

func (s rules) Words(id string) string {
	if _, ok := s[id]; !ok {
		return ""
	}
	return s[id].fingerprint(id)
}

func (s rules) Schedules() []engine.Schedule {
	var all []engine.Schedule
	for _, id := range s.ids() {
		if next := s[id].next; next != nil {
			all = append(all, engine.Schedule{Rule: id, Words: s[id].fingerprint(id), Tenant: "default", Next: next})
		}
	}
	return all
}

func (s rules) Accepts(*engine.Run, engine.MatchInput) func(engine.Result) (bool, error) { return nil }

func (s rules) Billing() engine.Billing { return engine.Billing{} }

func (s rules) RuleFailure(id string) bool { return s[id].steps[engine.BranchOnFailure] != nil }

func (s rules) Step(r *engine.Run, in engine.MatchInput, now time.Time) (engine.StepCall, bool, error) {
	call, ok, err := s[r.Rule].step(r.Branch, r.At, in, now)
	if call.ID == "totals" { // of the step before
		last := r.Steps[len(r.Steps)-1]
		call.With, _ = json.Marshal(last.Before + " " + last.Month)
	}
	return call, ok, err
}

func (r rule) step(branch string, at int, in engine.MatchInput, now time.Time) (engine.StepCall, bool, error) {
	steps := r.steps[branch]
	if r.steps == nil && branch == engine.BranchThen {
		steps = []string{"act"}
	}
	if at >= len(steps) {
		return engine.StepCall{}, false, nil
	}
	name, onFailure, _ := strings.Cut(steps[at], ":")
	call := engine.StepCall{
		ID: strings.TrimLeft(name, "-!?"), Action: "act", OnFailure: onFailure, Retry: r.retry, With: json.RawMessage(fmt.Sprintf("%q", name)),
	}
	switch action, rest, _ := strings.Cut(name, " "); {
	case name[0] == '!':
		return call, true, errors.New(call.ID)
	case name[0] == '?':
		return call, true, fmt.Errorf("%s: %w", call.ID, engine.ErrUndecided)
	case name[0] == '-':
		call.Skip = true
	case action == "stop":
		call.Action, call.With = "stop", json.RawMessage(`{"reason":"enough"}`)
	case action == "emit":
		call.Action, call.With = "emit", json.RawMessage(fmt.Sprintf("%q", rest))
	case name == "wait": // until nothing
		call.Action, call.With = "wait", json.RawMessage(`{}`)
	case action == "wait":
		d, err := time.ParseDuration(rest)
		if err != nil {
			return call, true, err
		}
		call.ID, call.Action = "wait", "wait"
		call.With, err = json.Marshal(map[string]time.Time{"until": now.Add(d)})
		return call, true, err
	case name == "present":
		if in.Event.Session.Present != nil {
			call.ID = fmt.Sprint(*in.Event.Session.Present)
		}
	}
	return call, true, nil
}
