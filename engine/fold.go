package engine

import (
	"encoding/json"
	"errors"
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

// behind are the attempts that wait in the lane of p and may be done with the one
// at hand: none that was begun or tried, and may have gone through, or that was
// done with an earlier one.
func (a *advance) behind(kind ActionKind, p *pass) []Behind {
	if kind.Folds <= 0 || !a.lanes.awaited(p) {
		return nil
	}
	runs, err := a.o.Store.Waiting(a.work, p.lane.name, kind.Folds, mostBehind)
	if err != nil {
		a.o.Log.Debug("runs that wait cannot be read", "run", a.run.ID, "error", err.Error())
		return nil
	}
	var all []Behind
	for _, r := range runs {
		if r.Begun || len(r.Tries) > 0 || r.Call == nil || r.Call.Action != kind.Name {
			continue
		}
		if _, err := a.o.Store.ActionState(a.work, StateFolded, r.key()); !errors.Is(err, ErrNotFound) {
			continue
		}
		all = append(all, Behind{Key: r.key(), Run: r.ID, Rule: r.Rule, Event: r.Event, Tenant: r.Tenant, With: r.Call.With})
	}
	if len(all) < kind.Folds {
		return nil
	}
	return all
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
