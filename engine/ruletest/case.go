package ruletest

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/rules"
)

const (
	// longest is for how long a test without until: goes on after its last event.
	longest = 31 * 24 * time.Hour
	// maxMoments is at how many moments something may happen.
	maxMoments = 10_000
)

// play is a test on stage.
type play struct {
	env     *Env
	file    *File
	c       *Case
	rules   []string // that are compared
	stage   *Stage
	moments int

	inputs    []engine.MatchInput // of every event, as the rules saw it
	decisions []decision          // of steps
	checks    []check             // of hold and expect
	runs      []*played           // that go on
	known     int                 // runs seen
	ended     map[string]bool     // timers
	asked     map[string]int      // answers given, by step

	wrongs []wrong // with the fields of sources
	found  []Finding
}

// decision is whether a step was done.
type decision struct {
	run engine.Run // as it was before the step
	in  engine.MatchInput
	rec engine.StepRecord
}

// check is an evaluation of a condition besides those for the event at hand: of
// a hold, or of what is expected.
type check struct {
	timer *engine.Timer
	in    engine.MatchInput
}

// played is a run, and how many of its steps have been seen.
type played struct {
	*run
	steps int
}

// Run plays a test. Its error is about the test as a whole: it could not be
// played.
func (e *Env) Run(f *File, c *Case) *Result {
	p := &play{env: e, file: f, c: c, rules: c.rules(e.Rules), ended: map[string]bool{}, asked: map[string]int{}}
	if err := p.perform(); err != nil {
		p.fail(c.line, err.Error())
	} else {
		p.judge()
	}
	r := &Result{File: f.Name, Line: c.line, Name: c.Name, Passed: len(p.found) == 0, Findings: p.found, play: p}
	return r
}

// perform lets everything happen.
func (p *play) perform() (err error) {
	p.stage, err = NewStage(StageOptions{
		Rules: p.env.Rules, Actions: p.env.Actions, Start: p.c.Start.UTC(), Answer: p.answer, Saw: p.saw, Stop: p.env.Stop,
	})
	if err != nil {
		return err
	}
	defer p.stage.Close()
	states := p.states()
	for i := range p.c.Events {
		e := &p.c.Events[i]
		if states, err = p.ask(states, e.Received); err != nil {
			return err
		}
		if err := p.deliver(e); err != nil {
			return err
		}
	}
	for _, s := range states {
		if states, err = p.ask(states, s.At.Add(1)); err != nil {
			return err
		}
	}
	if p.c.Until.IsZero() {
		err = p.settle()
	} else {
		err = p.pass(p.c.Until)
	}
	if err != nil {
		return err
	}
	for _, s := range states {
		p.state(s)
	}
	return nil
}

// states are what is asked, in the order of time: what is asked at the end last.
func (p *play) states() []*State {
	var all []*State
	for i := range p.c.State {
		all = append(all, &p.c.State[i])
	}
	slices.SortStableFunc(all, func(a, b *State) int {
		if a.At.IsZero() != b.At.IsZero() {
			if a.At.IsZero() {
				return 1
			}
			return -1
		}
		return a.At.Compare(b.At)
	})
	return all
}

// ask asks what is to be asked before t, and returns the rest.
func (p *play) ask(states []*State, t time.Time) ([]*State, error) {
	for len(states) > 0 && !states[0].At.IsZero() && states[0].At.Before(t) {
		if err := p.pass(states[0].At); err != nil {
			return nil, err
		}
		p.state(states[0])
		states = states[1:]
	}
	return states, nil
}

// deliver lets an event happen.
func (p *play) deliver(e *Event) error {
	if err := p.pass(e.Received.UTC()); err != nil {
		return err
	}
	if e.fields != nil {
		p.wrongs = append(p.wrongs, wrong{err: e.fields.Error(), at: "of source " + e.Source + " at " + p.c.clock(e.Received), line: e.line})
	}
	for _, ev := range e.events {
		if _, err := p.stage.Deliver(ev, ""); err != nil {
			return err
		}
		p.observe()
	}
	return nil
}

// pass lets the time go on until t, one moment after the other.
func (p *play) pass(t time.Time) error {
	for {
		next, some := p.stage.store.next()
		if !some || next.After(t) {
			return p.stage.Pass(t.UTC())
		}
		if err := p.moment(next); err != nil {
			return err
		}
	}
}

// moment lets happen what is due at one moment.
func (p *play) moment(t time.Time) error {
	if p.moments++; p.moments > maxMoments {
		return fmt.Errorf("more than %d things have happened until %s, and the test is not over: let it end earlier, by until: TIME", maxMoments, p.c.clock(t))
	}
	if err := p.stage.Pass(t); err != nil {
		return err
	}
	p.observe()
	return nil
}

// settle lets the time go on until nothing is left to wait for.
func (p *play) settle() error {
	most := p.stage.Now().Add(longest)
	for p.stage.store.waiting() {
		next, some := p.stage.store.next()
		if !some {
			return nil
		}
		if next.After(most) {
			return fmt.Errorf("%s after the last event %s: say by until: TIME how long the time goes on", rules.Format(longest, p.c.zone), p.waiting())
		}
		if err := p.moment(next); err != nil {
			return err
		}
	}
	return nil
}

// waiting says what is still to come.
func (p *play) waiting() string {
	for _, t := range p.stage.store.timers.open() {
		if t.Kind != engine.TimerSchedule {
			return fmt.Sprintf("the rule %s still waits until %s (%s)", t.Rule, p.c.clock(t.Due), t.Kind)
		}
	}
	for _, r := range p.stage.store.runList {
		if !r.Finished() {
			return fmt.Sprintf("a run of the rule %s still waits until %s", r.Rule, p.c.clock(r.Due))
		}
	}
	return "something is still to happen"
}

// answer is what a step is answered.
func (p *play) answer(_ *engine.Run, call engine.Call) (engine.Result, error) {
	list := p.c.Returns[call.Step]
	if len(list) == 0 {
		return engine.Result{Unknown: true}, nil
	}
	a := list[min(p.asked[call.Step], len(list)-1)]
	p.asked[call.Step]++
	switch {
	case a.Error != "" && a.Permanent:
		return engine.Result{}, engine.Permanent(errors.New(a.Error))
	case a.Error != "":
		return engine.Result{}, errors.New(a.Error)
	}
	res := engine.Result{Status: a.Status, Headers: a.Headers}
	if a.Body != nil {
		body, err := json.Marshal(a.Body)
		if err != nil {
			return engine.Result{}, engine.Permanent(err)
		}
		res.Body = body
	}
	action := p.stage.store.runs[call.Run].Call.Action
	if kind := p.env.kind(action); kind.Answered != nil {
		if err := kind.Answered(call, res); err != nil {
			return engine.Result{}, err
		}
	}
	return res, nil
}

// saw notes what the rules are asked about.
func (p *play) saw(in engine.MatchInput) {
	p.inputs = append(p.inputs, in)
	p.sawHolds(in)
	p.sawAwaited(in)
}

// sawHolds notes the holds that the event was checked against.
func (p *play) sawHolds(in engine.MatchInput) {
	if in.SessionKey == "" {
		return
	}
	for _, t := range p.stage.Timers() {
		if t.Kind == engine.TimerHold && t.Session == in.SessionKey && (t.Open() || t.By == in.Event.ID) {
			p.checks = append(p.checks, check{t, p.held(t, in.Now)})
		}
	}
}

// held is what the condition of a hold sees at now.
func (p *play) held(t *engine.Timer, now time.Time) engine.MatchInput {
	in := engine.MatchInput{
		Event:      &engine.Event{ID: t.Event, Source: t.Source, Tenant: t.Tenant, Time: t.Set},
		SessionKey: t.Session, Source: p.stage.store.Sender(t.Source, t.Tenant), Now: now,
	}
	if s := p.stage.store.sessions[t.Session]; s != nil {
		engine.Refresh(in.Event, s.state, now)
		in.Participants = s.state.Participants(now)
	}
	return in
}

// sawAwaited notes the expectations that the event was compared with.
func (p *play) sawAwaited(in engine.MatchInput) {
	for _, a := range p.env.Rules.Awaited(in) {
		if a.Stop || a.Err != "" {
			continue
		}
		for _, t := range p.stage.Timers() {
			if t.Kind != engine.TimerExpect || t.Key != a.Key || in.Event.Time.Before(t.Since) {
				continue
			}
			if trigger := p.stage.store.events[t.Event]; trigger != nil && (t.Open() || t.By == in.Event.ID) {
				then := in
				then.Trigger = &trigger.Event
				then.LateBy = max(0, in.Event.Time.Sub(t.Deadline))
				p.checks = append(p.checks, check{t, then})
			}
		}
	}
}

// observe notes the steps that have been decided since it was called last, with
// what their runs see now, and the holds whose time has come.
func (p *play) observe() {
	for _, r := range p.stage.store.runList[p.known:] {
		p.runs = append(p.runs, &played{run: r})
	}
	p.known = len(p.stage.store.runList)
	p.runs = slices.DeleteFunc(p.runs, func(r *played) bool {
		for ; r.steps < len(r.Steps); r.steps++ {
			p.decided(r)
		}
		return r.Finished()
	})
	for _, t := range p.stage.Timers() {
		if t.Open() || p.ended[t.ID] {
			continue
		}
		p.ended[t.ID] = true
		if t.Kind == engine.TimerHold && t.By == "" {
			p.checks = append(p.checks, check{t, p.held(t, t.Ended)})
		}
	}
}

// decided notes the next step of a run.
func (p *play) decided(r *played) {
	rec := r.Steps[r.steps]
	before := *r.Run
	before.Branch, before.At, before.Steps = rec.Branch, rec.At, r.Steps[:r.steps]
	p.decisions = append(p.decisions, decision{before, p.view(r.run), rec})
}

// view is what the expressions of a run see.
func (p *play) view(r *run) engine.MatchInput {
	in := r.began
	if r.View == nil || in.Event == nil {
		return in
	}
	ev := *in.Event
	r.View.Apply(&ev)
	in.Event, in.Now = &ev, r.View.At
	if s := p.stage.store.sessions[r.Session]; s != nil {
		in.Participants = s.state.ParticipantsAt(in.Now)
	}
	return in
}

// fail notes something that makes the test fail.
func (p *play) fail(line int, what string, detail ...string) {
	p.found = append(p.found, Finding{Line: line, What: what, Detail: detail})
}

// compares reports whether a rule is compared.
func (p *play) compares(rule string) bool { return slices.Contains(p.rules, rule) }

// deed is an action that was done.
type deed struct {
	kind, rule, step string
	at               time.Time
	with             map[string]any
}

// deeds are all actions of the rules compared, oldest first.
func (p *play) deeds() []deed {
	var all []deed
	for _, r := range p.stage.store.runList {
		if !p.compares(r.Rule) {
			continue
		}
		for _, rec := range r.Steps {
			if p.env.kind(rec.Action) == nil || rec.State != engine.StepDone && rec.State != engine.StepShadow {
				continue
			}
			all = append(all, deed{kind: rec.Action, rule: r.Rule, step: rec.ID, at: rec.Started, with: p.params(&rec)})
		}
	}
	slices.SortStableFunc(all, func(a, b deed) int { return a.at.Compare(b.at) })
	return all
}

// params are the parameters of a step as its action uses them: those that are
// empty and that its connection has a default for are this default.
func (p *play) params(rec *engine.StepRecord) map[string]any {
	with := readParams(rec.With)
	kind := p.env.kind(rec.Action)
	conn, err := p.env.Rules.Connection(rec.Action, rec.Via)
	if err != nil || with == nil || kind.Conn == nil {
		return with
	}
	defaults := reflect.Indirect(reflect.ValueOf(conn))
	for i := range kind.Params.NumField() {
		f := kind.Params.Field(i)
		name := keyOfField(f)
		if v := with[name]; !marked(f, "inherit") || v != nil && v != "" {
			continue
		}
		for k := range defaults.NumField() {
			held := kind.Conn.Field(k)
			if keyOfField(held) == name && held.Type == f.Type && !defaults.Field(k).IsZero() {
				text, _ := json.Marshal(map[string]any{name: defaults.Field(k).Interface()}) // of the type of a parameter
				with[name] = readParams(text)[name]
			}
		}
	}
	return with
}

// readParams reads parameters, their numbers as they are written.
func readParams(with json.RawMessage) map[string]any {
	var all map[string]any
	dec := json.NewDecoder(strings.NewReader(string(with)))
	dec.UseNumber()
	_ = dec.Decode(&all) // we have made it
	return all
}
