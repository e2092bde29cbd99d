package ruletest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// settled is how long the rehearsal of a replay goes on at most, so that runs
// that wait are shown with all their steps.
const settled = 31 * 24 * time.Hour

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

// Begun are the runs that began before until, oldest first. Those that the clock
// alone has begun are not among them: what was open then is not stored. The
// rehearsal is over then.
func (r *Rehearsal) Begun(until time.Time, stored Owned) (all []Begun, err error) {
	if err := r.End(until); err != nil {
		return nil, err
	}
	ids := r.storedIDs(stored)
	open := false
	for _, run := range r.stage.Runs() {
		if run.Created.Before(r.o.Since) || !run.Created.Before(until) || run.Trigger == engine.Scheduled {
			continue
		}
		all = append(all, r.begun(run, ids))
		open = open || !run.Finished()
	}
	if open {
		if _, err := r.stage.Settle(until.Add(settled)); err != nil {
			return nil, err
		}
	}
	entries := map[string][]engine.Entry{}
	for _, e := range r.stage.Entries() {
		entries[e.Run] = append(entries[e.Run], e)
	}
	for i := range all {
		all[i].Entries = entries[all[i].Run.ID]
	}
	return all, nil
}

// Made is how many runs were begun so far.
func (r *Rehearsal) Made() int { return len(r.stage.store.runList) }

// storedIDs are the ids that our own events have in the store, "" for those that
// are not there.
func (r *Rehearsal) storedIDs(stored Owned) map[string]string {
	ids := map[string]string{}
	for _, row := range r.stage.Events() {
		if row.Delivery == "" {
			ids[row.ID] = stored.take(ownName(&row.Event))
		}
	}
	return ids
}

func (r *Rehearsal) begun(run *engine.Run, ids map[string]string) Begun {
	in, _ := r.stage.Input(run.ID)
	b := Begun{Run: run}
	id := func(id string) string {
		if own, is := ids[id]; is {
			b.Missing = b.Missing || own == ""
			return own
		}
		return id
	}
	b.Replay = engine.Replay{
		Rule: run.Rule, Event: id(run.Event), Branch: run.Began(), Shadow: run.Shadow, LateBy: run.LateBy, Source: in.Source,
	}
	if run.Awaited != "" {
		b.Replay.Awaited = id(run.Awaited)
	}
	for _, ev := range run.Events {
		b.Replay.Events = append(b.Replay.Events, id(ev))
	}
	t := r.stage.store.timers.byID[run.Timer]
	if t != nil {
		b.Replay.At, b.Digest = in.Now, t.Kind == engine.TimerDigest
	}
	// The events of a digest used up theirs when they were gathered.
	if run.Began() == engine.BranchThen && !b.Digest {
		b.Once, b.Cooldown = r.guards(run, t, in)
	}
	return b
}

// guards are what a run of then has used up; t is the timer that made it, or nil.
func (r *Rehearsal) guards(run *engine.Run, t *engine.Timer, in engine.MatchInput) (once string, cooldown *engine.Cooldown) {
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
func (r *Rehearsal) Target(s *engine.StepRecord) string {
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
