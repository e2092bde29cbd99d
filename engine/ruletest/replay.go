package ruletest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// settled is how long the rehearsal of a replay goes on at most, so that runs
// that wait are shown with all their steps.
const settled = 31 * 24 * time.Hour

// stays is for how much longer than a session may be silent what is over is
// remembered: no delivery comes so late.
const stays = 6 * time.Hour

// Begun is a run that a rehearsal has begun, and how to ask a server for it.
type Begun struct {
	Run    *engine.Run
	Replay engine.Replay
	// Missing: an event it needs is our own and was not made in earnest. If a run
	// that is still to be made emits it, this one follows by itself.
	Missing bool
	Digest  bool // its events were gathered; another run may have some of them
	// What it uses up: the key of once, "" without it, and the cooldown, or nil.
	Once     string
	Cooldown *engine.Cooldown
	Entries  []engine.Entry // it writes to the ledger
}

// Owned are the stored events that are our own: their ids are others in every
// rehearsal. The zero value is none.
type Owned struct{ ids map[string][]string }

// Add takes in the next one.
func (o *Owned) Add(ev *engine.Event) {
	if o.ids == nil {
		o.ids = map[string][]string{}
	}
	name := ownName(ev)
	o.ids[name] = append(o.ids[name], ev.ID)
}

// take is the id of the next one with this name, "" if there is none.
func (o *Owned) take(name string) string {
	ids := o.ids[name]
	if len(ids) == 0 {
		return ""
	}
	o.ids[name] = ids[1:]
	return ids[0]
}

// ownName tells our own events apart. When one was emitted depends on how fast
// the step was done.
func ownName(ev *engine.Event) string {
	if ev.Type != engine.Emitted {
		return ownKey(ev)
	}
	return fmt.Sprintf("%s %s %q %q %s", ev.Name, ev.Source, ev.Room.ID, ev.Session.ID, ev.Raw)
}

// Rerun is a rule set played over past events to find the runs that it begins.
// Nothing leaves it. Not safe for concurrent use. Close it.
type Rerun struct {
	o     RehearsalOptions
	stage *Stage
	tidy  time.Time // when to forget what is over
	made  int       // runs, before those that the stage still knows
	begun []begun
	own   []ownEvent
}

// begun is a run with its place among the others.
type begun struct {
	Begun
	seq int
}

// ownEvent is an event of our own by its id in the rehearsal.
type ownEvent struct{ id, name string }

// NewRerun begins at o.Start, with nothing known of what was before.
func NewRerun(o RehearsalOptions) (*Rerun, error) {
	so := StageOptions{Rules: o.Rules, Actions: o.Actions, Start: o.Start, Timeout: o.Timeout, Stop: o.Stop}
	if o.Answers != nil {
		so.Answer = o.Answers.Answer
	}
	stage, err := NewStage(so)
	if err != nil {
		return nil, err
	}
	return &Rerun{o: o, stage: stage, tidy: o.Start.Add(stays)}, nil
}

// Close forgets it.
func (r *Rerun) Close() { r.stage.Close() }

// Deliver plays the next event, as decoded by its platform, with its stored id.
func (r *Rerun) Deliver(ev engine.Event) error {
	if ev.Received.After(r.tidy) {
		r.tidy = ev.Received.Add(stays)
		before := len(r.stage.store.runList)
		r.stage.store.forget(ev.Received.Add(-r.stage.o.Timeout-stays), forgotten{run: r.run, event: r.event, timer: func(*engine.Timer) {}})
		r.made += before - len(r.stage.store.runList)
	}
	_, err := r.stage.Deliver(ev, "")
	return err
}

// Made is how many runs were begun so far.
func (r *Rerun) Made() int { return r.made + len(r.stage.store.runList) }

// Begun are the runs that began before until, oldest first. Those that the clock
// alone has begun are not among them: what was open then is not stored. The
// rehearsal is over then.
func (r *Rerun) Begun(until time.Time, stored Owned) ([]Begun, error) {
	if err := r.stage.Pass(until); err != nil {
		return nil, err
	}
	inPeriod := func(x *run) bool { return x.Created.Before(until) }
	if slices.ContainsFunc(r.stage.store.runList, func(x *run) bool { return inPeriod(x) && !x.Finished() }) {
		if _, err := r.stage.Settle(until.Add(settled)); err != nil {
			return nil, err
		}
	}
	for _, x := range r.stage.store.runList {
		if inPeriod(x) {
			r.run(x)
		}
	}
	for _, row := range r.stage.store.eventList {
		r.event(row)
	}
	slices.SortFunc(r.begun, func(a, b begun) int { return a.seq - b.seq })
	entries := map[string][]engine.Entry{}
	for _, e := range r.stage.Entries() {
		entries[e.Run] = append(entries[e.Run], e)
	}
	ids := r.storedIDs(stored)
	all := make([]Begun, len(r.begun))
	for i, b := range r.begun {
		b.Entries = entries[b.Run.ID]
		b.name(ids)
		all[i] = b.Begun
	}
	return all, nil
}

// event notes an event of our own.
func (r *Rerun) event(row *engine.EventRow) {
	if row.Delivery == "" {
		r.own = append(r.own, ownEvent{row.ID, ownName(&row.Event)})
	}
}

// storedIDs are the ids that our own events have in the store, "" for those that
// are not there.
func (r *Rerun) storedIDs(stored Owned) map[string]string {
	slices.SortFunc(r.own, func(a, b ownEvent) int { return strings.Compare(a.id, b.id) }) // as they were made
	ids := map[string]string{}
	for _, ev := range r.own {
		ids[ev.id] = stored.take(ev.name)
	}
	return ids
}

// name gives the events of a run the ids that they have in the store.
func (b *Begun) name(ids map[string]string) {
	x := &b.Replay
	for _, id := range append([]*string{&x.Event, &x.Awaited}, pointers(x.Events)...) {
		if own, is := ids[*id]; is {
			*id = own
			b.Missing = b.Missing || own == ""
		}
	}
}

func pointers(texts []string) (all []*string) {
	for i := range texts {
		all = append(all, &texts[i])
	}
	return all
}

// run notes a run, with its events as they are called here.
func (r *Rerun) run(x *run) {
	if x.Created.Before(r.o.Since) || x.Trigger == engine.Scheduled {
		return
	}
	b := Begun{Run: x.Run, Replay: engine.Replay{
		Rule: x.Rule, Event: x.Event, Branch: x.Began(), Awaited: x.Awaited, Shadow: x.Shadow,
		Events: slices.Clone(x.Events), LateBy: x.LateBy, Source: x.began.Source,
	}}
	t := r.stage.store.timers.byID[x.Timer]
	if t != nil {
		b.Replay.At, b.Digest = x.began.Now, t.Kind == engine.TimerDigest
	}
	// The events of a digest used up theirs when they were gathered.
	if x.Began() == engine.BranchThen && !b.Digest {
		b.Once, b.Cooldown = r.guards(x.Run, t, x.began)
	}
	r.begun = append(r.begun, begun{b, x.seq})
}

// guards are what a run of then has used up; t is the timer that made it, or nil.
func (r *Rerun) guards(run *engine.Run, t *engine.Timer, in engine.MatchInput) (once string, cooldown *engine.Cooldown) {
	if t != nil {
		m := r.o.Rules.Fire(t, in)
		return m.Once, m.Cooldown
	}
	for _, m := range r.o.Rules.Match(in) {
		if m.Rule == run.Rule {
			return m.Once, m.Cooldown
		}
	}
	return "", nil
}

// Target names what a step of a run is aimed at: "#ops", a host, a meter.
func (r *Rerun) Target(s *engine.StepRecord) string {
	for _, k := range r.o.Actions {
		if k.Name == s.Action {
			return newSide(r.o.Rules, nil).target(k, s)
		}
	}
	return ""
}

// Replay implements [engine.Store]: nobody replays a rehearsal.
func (m *memory) Replay(context.Context, string, []engine.Replay) ([]engine.Replayed, error) {
	return nil, errors.ErrUnsupported
}
