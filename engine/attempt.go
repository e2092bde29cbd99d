package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

// attempt tries the current step and records what came of it. It reports whether
// the run can go on at once.
func (a *advance) attempt() bool {
	r, now := a.run, a.o.Now()
	kind, known := a.kinds[r.Call.Action]
	if !known {
		return a.fail(Permanent(fmt.Errorf("there is no action %q in this version", r.Call.Action)), now, 0, nil)
	}
	conn, err := a.connect(kind)
	if err != nil {
		return a.fail(err, now, 0, nil)
	}
	paced, shared := ways(kind, r.Call, conn)
	if a.called == "" && r.Turn != "" && kind.Folds > 0 && paced.name != "" {
		if was, goesOn := a.wasFolded(kind, now); was { // it need not come to its lane
			return goesOn
		}
	}
	turn, ok := a.enter(paced, now)
	if !ok {
		return false
	}
	t := try{kind: kind, conn: conn, turn: turn, at: now, ended: now}
	defer func() { a.lanes.leave(turn, t.n, t.err, a.o.Now()) }() // after what it left is on disk
	if kind.Folds > 0 && turn.lane != nil {
		if was, goesOn := a.wasFolded(kind, now); was {
			return goesOn
		}
	}
	place, ok := a.enter(shared, now)
	if !ok {
		return false
	}
	r.Held = nil
	goesOn := a.rounds(&t)
	a.lanes.leave(place, t.n, t.err, t.ended)
	return goesOn && a.outcome(&t)
}

// try is an attempt with its place in a lane, and what came of it.
type try struct {
	kind      ActionKind
	conn      any
	turn      *pass
	at, ended time.Time // of the last round
	n         int       // rounds that we did not break off ourselves
	res       Result
	err       error
}

// mostRounds is how often an action may ask to be called again for one step.
const mostRounds = 100

// rounds calls the action, and again as long as it asks for that. It reports
// whether something came of it.
func (a *advance) rounds(t *try) bool {
	for round := 1; ; round++ {
		if !a.round(t) {
			return false
		}
		if t.err != nil || !t.res.Again {
			return true
		}
		if round == mostRounds {
			t.err = Permanent(fmt.Errorf("%s: it asked to be called again %d times for one step, and is not done", t.kind.Name, round))
			return true
		}
		if !a.soFar(t) {
			return t.err != nil
		}
		if a.stop.Err() != nil {
			return false
		}
		t.at = a.o.Now()
	}
}

// round calls the action once. It reports whether it could.
func (a *advance) round(t *try) bool {
	r := a.run
	uncertain := r.Begun
	if t.kind.Marks {
		r.Begun, r.State = true, RunRunning
		if !a.record(Result{}) {
			return false
		}
	}
	call := Call{
		Key: r.key(), Attempt: len(r.Tries) + 1, Uncertain: uncertain,
		Run: r.ID, Rule: r.Rule, Revision: r.Revision, Branch: r.Branch, Step: r.Call.ID, Event: a.in.Event, Session: r.Session,
		With: r.Call.With, Via: r.Call.Via, Conn: t.conn, State: a.o.Store, Now: t.at, Billable: !a.in.Event.Test,
		Billing: a.plan.Billing(), Accepts: a.plan.Accepts(r, a.in), Behind: a.behind(t),
	}
	t.res, t.err = a.call(t.kind, call)
	t.ended = a.o.Now()
	if a.work.Err() == nil && !(t.res.Again && t.res.Unsent) {
		t.n++
	}
	return true
}

// soFar records what the step has left, though it is not done. It reports whether
// it can go on.
func (a *advance) soFar(t *try) bool {
	r, now := a.run, a.o.Now()
	if err := a.keepFolded(t.res); err != nil {
		t.err = Permanent(err)
		return false
	}
	r.State, r.Due, r.Updated, r.Begun = RunReady, now, now, false
	got, ok := a.commit(Result{State: t.res.State, Entries: t.res.Entries, Kind: t.kind.Name})
	t.err = got.refusal()
	return ok && t.err == nil
}

// outcome records what came of an attempt.
func (a *advance) outcome(t *try) bool {
	took := max(0, t.ended.Sub(t.at)) // a clock may be set back
	until := a.lanes.told(t.turn, t.err, t.ended)
	switch {
	case !until.IsZero():
		a.keep(StateLane, t.turn.lane.name, pauseRow(until))
	case a.lanes.settles(t.turn, t.ended):
		a.keep(StateLane, t.turn.lane.name, nil)
	}
	if t.err != nil {
		for key, value := range t.res.State { // what the next attempt has to know
			a.keep(t.kind.Name, key, value)
		}
		var held *Held
		if !until.IsZero() {
			held = &Held{Target: t.turn.lane.name, Until: until}
		}
		return a.fail(t.err, t.at, took, held)
	}
	if err := a.keepFolded(t.res); err != nil {
		return a.fail(Permanent(err), t.at, took, nil)
	}
	return a.succeed(t.kind, t.res, t.at, took)
}

// ways are the lanes of an attempt: that of what it is paced by, and that of
// what it shares its target with.
func ways(kind ActionKind, call *StepCall, conn any) (paced, shared way) {
	if kind.Lane != nil {
		if l := kind.Lane(call.With, conn); l.Name != "" {
			paced = way{name: kind.Name + " " + call.Via + " " + l.Name, single: true, every: l.Every, burst: l.Burst}
		}
	}
	if kind.Service != nil {
		shared.name = kind.Service(call.Via, call.With, conn)
	}
	if kind.AtOnce != nil {
		shared.most = kind.AtOnce(conn)
	}
	return paced, shared
}

// enter takes a place in a lane. If it may not enter, the run is put aside.
func (a *advance) enter(w way, now time.Time) (*pass, bool) {
	r := a.run
	v := arrival{called: a.called != "" && a.called == w.name, held: r.Held, now: now, patience: r.patience}
	v.left = r.Created.Before(a.started) && now.Before(a.started.Add(afterStart))
	if w.single && !a.lanes.has(w) {
		v.paused = a.paused(w)
	}
	p, s := a.lanes.enter(w, v)
	if v.called {
		a.called = "" // it came
	}
	if p != nil {
		return p, true
	}
	if a.stop.Err() == nil {
		a.wait(w, s, now)
	}
	return nil, false
}

// paused is until when a target wants to be left alone, as it is kept; zero if it
// is not. A store that cannot say keeps no attempt back.
func (a *advance) paused(w way) time.Time {
	row, err := a.o.Store.ActionState(a.work, StateLane, w.name)
	if errors.Is(err, ErrNotFound) {
		return time.Time{}
	}
	var p keptPause
	if err == nil {
		err = json.Unmarshal(row, &p)
	}
	if err != nil {
		a.o.Log.Debug("pause of a target cannot be read", "run", a.run.ID, "target", w.name, "error", err.Error())
	}
	return p.Until
}

// wait puts the run aside without using up an attempt: in memory, or recorded.
func (a *advance) wait(w way, s stay, now time.Time) {
	r := a.run
	if s.brief && a.o.Store.SetAside(r.ID, w.name, s.record, s.put) {
		a.lanes.waits(w, s, now)
		return
	}
	r.Held = &Held{Target: w.name, Since: s.down, Until: s.until, Down: !s.down.IsZero()}
	if r.Since.IsZero() && r.Held.Down {
		r.Since = r.Updated
		if len(r.Tries) > 0 {
			r.Since = r.Tries[0].At
		}
	}
	r.State, r.Due, r.Updated = RunRetrying, r.heldUntil(now), now
	if a.record(Result{}) {
		a.lanes.waits(w, s, now)
		return
	}
	r.State, r.Held = RunReady, nil // the store gives it out again
}

// connect resolves the step's connection.
func (a *advance) connect(kind ActionKind) (any, error) {
	if a.run.Call.Via == "" {
		return nil, nil
	}
	conn, err := a.connection(kind.Name, a.run.Call.Via)
	if err != nil {
		return nil, Permanent(err)
	}
	return conn, nil
}

// call performs one attempt within its time.
func (a *advance) call(kind ActionKind, c Call) (res Result, err error) {
	timeout := a.run.Call.Timeout
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	ctx, cancel := context.WithTimeout(withHop(a.work, c.Event), timeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			a.o.Log.Error("action broke down", "action", kind.Name, "rule", c.Rule, "run", c.Run, "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("internal error in the action %s", kind.Name)
		}
	}()
	return kind.Do(ctx, c)
}
