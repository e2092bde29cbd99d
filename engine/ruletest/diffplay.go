package ruletest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/rules"
)

// RehearsalOptions are what a Rehearsal is made of.
type RehearsalOptions struct {
	Rules   *rules.Set
	Actions []engine.ActionKind
	Start   time.Time     // when the warm-up begins
	Since   time.Time     // runs that begin before do not count
	Timeout time.Duration // see [StageOptions]
	Answers *Answers      // nil: nobody knows any
	Other   *rules.Set    // that it is compared with
	Stop    func() error  // see [StageOptions]
}

// Rehearsal is a rule set played over past events. Nothing leaves it: actions are
// answered from memory. Not safe for concurrent use. Close it.
type Rehearsal struct {
	o     RehearsalOptions
	stage *Stage
	side  *side          // what was done so far
	tidy  time.Time      // when to forget what is over
	keep  map[string]int // of how many further runs of a rule what they see is kept
}

const (
	// tidyEvery is how often what is over is forgotten, and remembered how long
	// events and sessions stay that nothing waits for: longer than a session may
	// be silent, and so late no delivery comes.
	tidyEvery  = 6 * time.Hour
	remembered = 26 * time.Hour
	// maxInputs is of how many runs of a changed rule what they saw is kept, for
	// saying why the others do not make them; maxSeen, how long its lists may be.
	maxInputs = 300
	maxSeen   = 50
)

// NewRehearsal begins at o.Start, with nothing known of what was before.
func NewRehearsal(o RehearsalOptions) (*Rehearsal, error) {
	so := StageOptions{Rules: o.Rules, Actions: o.Actions, Start: o.Start, Timeout: o.Timeout, Stop: o.Stop}
	if o.Answers != nil {
		so.Answer = o.Answers.Answer
	}
	stage, err := NewStage(so)
	if err != nil {
		return nil, err
	}
	r := &Rehearsal{o: o, stage: stage, side: newSide(o.Rules, o.Actions), tidy: o.Start.Add(tidyEvery), keep: map[string]int{}}
	for _, rule := range changed(o.Rules, o.Other) {
		r.keep[rule] = maxInputs
	}
	return r, nil
}

// changed are the rules that do not decide the same in both sets.
func changed(set, other *rules.Set) (ids []string) {
	if other == nil {
		return nil
	}
	was, is := other.Parts(), set.Parts()
	shared := len(changesOf(was, is, decides)) > 0
	for _, r := range set.Rules() {
		if shared || len(changesOf(partsOf(was, r.ID), partsOf(is, r.ID), func(string) bool { return true })) > 0 {
			ids = append(ids, r.ID)
		}
	}
	return ids
}

// decides reports whether a part that rules share can decide what they do.
func decides(part string) bool {
	section, _, _ := strings.Cut(part, ".")
	return slices.Contains([]string{"sources", "lists", "files", "tables", "windows", "timezone"}, section)
}

// Deliver plays the next event, as decoded by its platform, with its stored id.
func (r *Rehearsal) Deliver(ev engine.Event) error {
	if ev.Received.After(r.tidy) {
		r.tidy = ev.Received.Add(tidyEvery)
		r.stage.store.forget(ev.Received.Add(-max(remembered, r.stage.o.Timeout+time.Hour)), r.sees())
	}
	_, err := r.stage.Deliver(ev, "")
	return err
}

// End lets the time go on until the end of what is compared. Nothing can follow.
func (r *Rehearsal) End(until time.Time) error {
	if err := r.stage.Pass(until); err != nil {
		return err
	}
	sees, m := r.sees(), r.stage.store
	for _, x := range m.runList {
		sees.run(x)
	}
	for _, id := range m.timers.order {
		sees.timer(m.timers.byID[id])
	}
	for _, row := range m.eventList {
		sees.event(row)
	}
	for _, acts := range r.side.acts { // those that waited have come last
		slices.SortStableFunc(acts, func(a, b *act) int { return a.created.Compare(b.created) })
	}
	for _, e := range m.ledger.entries {
		r.side.entries[e.Run] = append(r.side.entries[e.Run], e)
	}
	return nil
}

// Close forgets it.
func (r *Rehearsal) Close() { r.stage.Close() }

// sees takes in what will be compared.
func (r *Rehearsal) sees() forgotten { return forgotten{run: r.run, event: r.event, timer: r.timer} }

func (r *Rehearsal) run(x *run) {
	if x.Created.Before(r.o.Since) || x.Shadow {
		return
	}
	row := r.stage.store.events[x.Event]
	if row == nil {
		r.side.acts[x.Rule] = append(r.side.acts[x.Rule], r.side.act(x.Run, nil))
		return
	}
	a := r.side.act(x.Run, &row.Event)
	if row.Delivery == "" {
		a.of, a.own = ownKey(&row.Event), true
	}
	r.side.acts[x.Rule] = append(r.side.acts[x.Rule], a)
	if r.keep[x.Rule] > 0 && len(x.began.Participants)+len(x.began.Sessions)+len(x.began.Events) <= maxSeen {
		r.keep[x.Rule]--
		r.side.inputs[x.ID] = x.began
	}
}

// event counts conditions that could not be evaluated.
func (r *Rehearsal) event(row *engine.EventRow) {
	if row.Received.Before(r.o.Since) {
		return
	}
	for _, e := range row.Outcome.Errors {
		r.side.errors[e.Rule]++
	}
	if row.Outcome.Problem != "" {
		r.side.problems++
	}
}

// timer counts those that failed when their time had come.
func (r *Rehearsal) timer(t *engine.Timer) {
	if t.State == engine.TimerFailed && t.By == "" && !t.Ended.Before(r.o.Since) {
		r.side.errors[t.Rule]++
	}
}

// ownKey names an event of our own: its id is another one in every rehearsal.
func ownKey(ev *engine.Event) string {
	return fmt.Sprintf("%s %s %s %q %q %q %d", ev.Type, ev.Name, ev.Source, ev.Session.ID, ev.Participant.ID, ev.Recording.ID, ev.Time.UnixMicro())
}
