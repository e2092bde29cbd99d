package engine

import (
	"encoding/json"
	"errors"
	"slices"
	"time"
)

// StateFolded is the kind under which the engine keeps, by idempotency key, which
// steps were done by the attempt of another run.
const StateFolded = "folded"

// mostBehind is how many attempts one may do besides its own.
const mostBehind = 50

// folded is a step that another run's attempt has done.
type folded struct {
	Status int             `json:"status,omitempty"`
	Body   json.RawMessage `json:"body,omitempty"`
	Run    string          `json:"run"` // that did it
}

// behind are the attempts that may be done with the one at hand: of runs that
// wait in its lane, and of those that wait for the turn of its run. They come by
// age.
func (a *advance) behind(t *try) []Behind {
	if t.kind.Folds <= 0 || t.turn.lane == nil {
		return nil
	}
	runs := a.inLane(t)
	queued := a.inTurn(t, t.kind.Folds-len(runs))
	if len(runs)+len(queued) < t.kind.Folds {
		return nil
	}
	for _, q := range queued {
		at := slices.IndexFunc(runs, func(r *Run) bool { return r.ID > q.ID })
		if at < 0 {
			at = len(runs)
		}
		runs = slices.Insert(runs, at, q)
	}
	var all []Behind
	for _, r := range runs[:min(len(runs), mostBehind)] {
		all = append(all, Behind{Key: r.key(), Run: r.ID, Rule: r.Rule, Event: r.Event, Tenant: r.Tenant, With: r.Call.With})
	}
	return all
}

// inLane are the runs that wait in the lane: none whose attempt was begun or
// tried, and may have gone through, or was done with an earlier one.
func (a *advance) inLane(t *try) []*Run {
	if !a.lanes.awaited(t.turn) {
		return nil
	}
	least := t.kind.Folds
	if a.run.Turn != "" { // some may wait for that
		least = 1
	}
	runs, err := a.o.Store.Waiting(a.work, t.turn.lane.name, least, mostBehind)
	if err != nil {
		a.o.Log.Debug("runs that wait cannot be read", "run", a.run.ID, "error", err.Error())
		return nil
	}
	return slices.DeleteFunc(runs, func(r *Run) bool {
		return r.Begun || len(r.Tries) > 0 || r.Call == nil || r.Call.Action != t.kind.Name || a.isFolded(r)
	})
}

// inTurn are the runs that wait for the turn of the one at hand, none if there
// are fewer than least: up to the first that goes another way. All of them do
// this one step alone, for what an earlier run has still to do goes first.
func (a *advance) inTurn(t *try, least int) []*Run {
	if a.run.Turn == "" || !a.isLast() {
		return nil
	}
	runs, err := a.o.Store.Queued(a.work, a.run.ID, max(least, 1), mostBehind)
	if err != nil {
		a.o.Log.Debug("runs that wait cannot be read", "run", a.run.ID, "error", err.Error())
		return nil
	}
	runs = slices.DeleteFunc(runs, func(r *Run) bool { return r.Call != nil && r.Call.Skip && a.sameStep(r) })
	end := slices.IndexFunc(runs, func(r *Run) bool { return !a.goesWith(r, t) || a.isFolded(r) })
	if end >= 0 {
		runs = runs[:end]
	}
	return runs
}

// sameStep reports whether r is where the run at hand is, in the same rules.
func (a *advance) sameStep(r *Run) bool {
	return r.Revision == a.run.Revision && r.Rule == a.run.Rule && r.Branch == a.run.Branch && r.At == a.run.At
}

// goesWith reports whether the attempt of a run that waits for its turn would be
// made in the lane of t.
func (a *advance) goesWith(r *Run, t *try) bool {
	if !a.sameStep(r) || r.Call == nil || r.Call.Action != t.kind.Name || r.Call.Via != a.run.Call.Via {
		return false
	}
	paced, _ := ways(t.kind, r.Call, t.conn)
	return paced.name == t.turn.lane.name
}

// isLast reports whether the run does nothing after its current step.
func (a *advance) isLast() bool {
	after := *a.run
	after.Steps = append(slices.Clip(after.Steps), after.stepRecord(StepDone, a.o.Now(), 0))
	b := *a
	b.run = &after
	b.step()
	_, more, err := b.render()
	return !more && err == nil
}

// isFolded reports whether the step of a run was done with that of another one,
// or that is not known.
func (a *advance) isFolded(r *Run) bool {
	_, err := a.o.Store.ActionState(a.work, StateFolded, r.key())
	return !errors.Is(err, ErrNotFound)
}

// keepFolded has the steps with these keys done when their runs come.
func (a *advance) keepFolded(res Result) error {
	for _, key := range res.Folded {
		if key == a.run.key() {
			continue
		}
		row, err := json.Marshal(folded{res.Status, res.Body, a.run.ID})
		if err != nil {
			return err
		}
		a.keep(StateFolded, key, row)
	}
	return nil
}

// wasFolded completes the step if another run's attempt has done it. Nobody else
// can do so meanwhile: the run has its place in the lane. unknown: that cannot be
// found out.
func (a *advance) wasFolded(kind ActionKind, now time.Time) (was, goesOn bool) {
	key := a.run.key()
	row, err := a.o.Store.ActionState(a.work, StateFolded, key)
	if errors.Is(err, ErrNotFound) {
		return false, false
	}
	var f folded
	if err == nil {
		err = json.Unmarshal(row, &f)
	}
	if err != nil { // the store gives the run out again
		a.o.Log.Debug("what was done of a step cannot be read, trying again", "run", a.run.ID, "error", err.Error())
		return true, false
	}
	a.keep(StateFolded, key, nil)
	a.run.Held = nil
	return true, a.succeed(kind, Result{Status: f.Status, Body: f.Body, Note: "done together with " + f.Run}, now, 0)
}

// keep has the engine's own state stored with what is recorded next. nil removes
// a key.
func (a *advance) keep(kind, key string, value json.RawMessage) {
	if a.kept == nil {
		a.kept = map[string]map[string]json.RawMessage{}
	}
	if a.kept[kind] == nil {
		a.kept[kind] = map[string]json.RawMessage{}
	}
	a.kept[kind][key] = value
}
