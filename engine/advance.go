package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Actions of the engine's own, which need no ActionKind.
const (
	actionStop = "stop" // ends the run
	actionWait = "wait" // lets it go on later
)

func ownAction(name string) bool { return name == actionStop || name == actionWait }

// DefaultAttempts is how often a step is tried whose rule does not say.
const DefaultAttempts = 8

// Limits of the retry policy.
const (
	defaultFirst   = 30 * time.Second
	defaultMax     = 12 * time.Hour
	growth         = 4
	defaultTimeout = 30 * time.Second
	minRetryAfter  = time.Second
	maxRetryAfter  = time.Hour
)

// advance takes one run as far as it goes: to its end, or to a pause.
type advance struct {
	*Engine
	work context.Context // ends when the grace period is over
	stop context.Context // ends when no further step is to begin
	run  *Run
	in   MatchInput
	plan Planner
	// called is the target that it was called for, until it tries to enter.
	called string
	// kept is what the engine itself has stored with what is recorded next.
	kept map[string]map[string]json.RawMessage
}

func (a *advance) do() {
	defer func() {
		if a.called != "" {
			a.lanes.unused(a.called, a.o.Now())
		}
	}()
	r := a.run
	if a.plan == nil {
		p, err := a.planner(a.work, r.Revision)
		if errors.Is(err, ErrUnavailable) {
			return // the store gives it out again
		}
		if err != nil {
			r.fail(a.o.Now(), "", err.Error(), 0)
			a.record(Result{})
			return
		}
		a.plan = p
	}
	if r.Timer != "" && len(r.Steps)+len(r.Tries) == 0 && !r.Begun {
		a.o.Log.Debug("run of a timer begins", "event", r.Event, "rule", r.Rule, "run", r.ID, "timer", r.Timer)
	}
	if a.moves() {
		a.next()
		// What is rendered is kept before anything comes of it: whoever goes on
		// after a crash does the same.
		if !a.record(Result{}) {
			return
		}
	}
	for !a.rests() && a.stop.Err() == nil {
		if !a.attempt() {
			return
		}
	}
}

// moves reports whether the run goes on without an attempt: its step is still
// to be rendered, or asks nothing of an action.
func (a *advance) moves() bool {
	call := a.run.Call
	return call == nil || call.Skip || ownAction(call.Action) || a.run.Shadow
}

// rests reports whether the run is finished, or waits.
func (a *advance) rests() bool { return a.run.Finished() || a.run.State == RunWaiting }

// next moves on to the next step for an action, or to a time to wait for, or
// ends the run. It records nothing.
func (a *advance) next() {
	r := a.run
	for !r.Finished() {
		now := a.o.Now()
		if r.Call == nil {
			call, ok, err := a.render()
			switch {
			case r.supposed() && errors.Is(err, ErrUndecided):
				r.Call = &call
				a.pass(StepUndecided, err.Error(), now)
				continue
			case err != nil:
				a.failed(call, err, 0, now, 0)
				continue
			case !ok:
				a.finish(now)
				return
			}
			r.Call = &call
		}
		switch {
		case r.Call.Skip:
			a.pass(StepSkipped, "", now)
		case r.Call.Action == actionStop:
			a.stopHere(now)
		case r.Call.Action == actionWait:
			if !a.waited(now) {
				return
			}
		case r.Shadow:
			a.pass(StepShadow, "", now)
		default:
			r.State, r.Due, r.Updated = RunReady, now, now
			return
		}
	}
}

// pass puts the current step, for which no action was called, into the history
// and moves behind it.
func (a *advance) pass(state, note string, started time.Time) {
	rec := a.run.stepRecord(state, started, 0)
	rec.Note = note
	a.run.Steps = append(slices.Clip(a.run.Steps), rec)
	a.step()
}

// stopHere ends the run at a stop step.
func (a *advance) stopHere(now time.Time) {
	r := a.run
	var with struct{ Reason string }
	_ = json.Unmarshal(r.Call.With, &with) // no reason is none
	a.pass(StepDone, with.Reason, now)
	if r.Failure == nil {
		r.Reason = "stopped: " + with.Reason
	}
	a.finish(now)
}

// waited reports whether the run can leave its wait step: its time has come,
// or there is none. Else the run waits.
func (a *advance) waited(now time.Time) bool {
	r := a.run
	var with struct{ Until time.Time }
	if err := json.Unmarshal(r.Call.With, &with); err != nil || with.Until.IsZero() {
		a.failed(*r.Call, errors.New("wait: the time to wait until is missing"), 0, now, 0)
		return true
	}
	until, inStep := with.Until.UTC(), r.State == RunWaiting
	switch {
	case until.After(now):
		r.State, r.Due, r.Updated = RunWaiting, until, now
		a.o.Log.Debug("run waits", "event", r.Event, "rule", r.Rule, "run", r.ID, "action", actionWait, "until", until)
		return false
	case !inStep:
		a.pass(StepDone, "did not wait: it was after "+until.Format(time.RFC3339)+" already", now)
		return true
	}
	since := r.Updated
	r.State, r.Updated = RunReady, now
	if a.plan.Late(r.Rule).skips(until, now, a.started) {
		reason := fmt.Sprintf("%s late after the wait: see late: of the rule", now.Sub(until).Round(time.Second))
		a.pass(StepDone, reason, since)
		if r.Failure == nil {
			r.Reason = reason
		}
		a.finish(now)
		a.o.Log.Info("run ended late", "event", r.Event, "rule", r.Rule, "run", r.ID, "late", now.Sub(until).Round(time.Second).String())
		return true
	}
	a.pass(StepDone, "waited until "+until.Format(time.RFC3339), since)
	return true
}

func (a *advance) render() (call StepCall, ok bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			a.o.Log.Error("step cannot be rendered", "rule", a.run.Rule, "run", a.run.ID, "panic", p, "stack", string(debug.Stack()))
			err = errors.New("internal error while rendering the step")
		}
	}()
	return a.plan.Step(a.run, a.in, a.o.Now())
}

// step moves the position behind the current step.
func (a *advance) step() {
	a.run.At++
	a.run.Call, a.run.Tries, a.run.Begun, a.run.Held, a.run.Since = nil, nil, false, nil, time.Time{}
}

// finish ends the run at the end of its branch.
func (a *advance) finish(now time.Time) {
	r := a.run
	r.Call, r.Tries, r.Begun, r.Held, r.Since = nil, nil, false, nil, time.Time{}
	r.State, r.Updated, r.Due = RunDone, now, time.Time{}
	if inFailure(r.Branch) {
		r.State = RunFailed
	}
}

func inFailure(branch string) bool { return strings.HasSuffix(branch, BranchOnFailure) }

// stepRecord is the current step as it goes into the history.
func (r *Run) stepRecord(state string, started time.Time, took time.Duration) StepRecord {
	c := r.Call
	return StepRecord{
		Branch: r.Branch, At: r.At, ID: c.ID, Action: c.Action, Via: c.Via, State: state,
		With: c.With, Tries: r.Tries, Started: started, Took: took,
	}
}

// succeed records the step together with the next one, rendered. After entries
// the next step is recorded by itself: it sees what the ledger made of them.
func (a *advance) succeed(kind ActionKind, res Result, started time.Time, took time.Duration) bool {
	r, before := a.run, *a.run
	state := StepDone
	if res.Unknown {
		state = StepShadow
	}
	rec := r.stepRecord(state, started, took)
	rec.Status, rec.Body, rec.Headers, rec.Note = res.Status, res.Body, res.Headers, res.Note
	res.Kind = kind.Name
	r.Steps = append(slices.Clip(r.Steps), rec)
	a.step()
	if len(res.Entries) == 0 {
		a.next()
		return a.record(res)
	}
	res.Billed = func(entries []Entry) { r.Steps[len(r.Steps)-1].bill(res, entries) }
	now := a.o.Now()
	r.State, r.Due, r.Updated = RunReady, now, now
	if _, more, err := a.render(); err == nil && !more {
		a.finish(now)
	}
	got, ok := a.commit(res)
	if !ok {
		return false
	}
	if err := got.refusal(); err != nil {
		*r = before
		return a.fail(err, started, took, nil)
	}
	if r.Finished() {
		return true
	}
	a.next()
	return a.record(Result{})
}

// fail records a failed attempt: it is tried again later, or the step has
// failed for good. held is the lane that its target wants to pause, if it does:
// the run stays the first of those who wait for it.
func (a *advance) fail(err error, at time.Time, took time.Duration, held *Held) bool {
	r, now := a.run, a.o.Now()
	if a.work.Err() != nil { // we broke it off ourselves: it counts for nothing
		r.State, r.Due, r.Updated = RunReady, now, now
		a.record(Result{})
		return false
	}
	r.Tries = append(slices.Clip(r.Tries), Try{At: at, Took: took, Error: err.Error()})
	if due, again := a.again(err, now); again {
		r.State, r.Due, r.Updated, r.Begun, r.Held = RunRetrying, due, now, false, held
		a.o.Log.Warn("step failed, will be tried again", "event", r.Event, "rule", r.Rule, "run", r.ID, "action", r.Call.Action,
			"attempt", len(r.Tries), "error", err.Error(), "in", due.Sub(now).Round(time.Second).String())
		if a.record(Result{}) && held != nil {
			a.o.Store.SetAside(r.ID, held.Target, time.Time{}, PutFirst) // else it is in the table
			a.lanes.stands(held.Target)
		}
		return false
	}
	a.failed(*r.Call, err, len(r.Tries), at, took)
	a.next()
	return a.record(Result{})
}

// again says when the step is tried again, if it is.
func (a *advance) again(err error, now time.Time) (time.Time, bool) {
	r := a.run
	p := r.Call.Retry
	if IsPermanent(err) || len(r.Tries) >= p.attempts() {
		return time.Time{}, false
	}
	pause := p.pause(len(r.Tries), a.o.Rand())
	if d, ok := RetryDelay(err); ok {
		pause = min(max(d, minRetryAfter), maxRetryAfter)
	}
	due := now.Add(pause)
	if !r.Since.IsZero() { // what it has waited counts
		last := r.patience(now)
		return earlier(due, last), now.Before(last)
	}
	if p.For > 0 {
		last := r.Tries[0].At.Add(p.For)
		return earlier(due, last), now.Before(last)
	}
	return due, true
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func (p Retry) attempts() int {
	if p.Attempts <= 0 {
		return DefaultAttempts
	}
	return p.Attempts
}

// span is how long after the first attempt the last one is due.
func (p Retry) span() time.Duration {
	var all time.Duration
	for n := 1; n < p.attempts(); n++ {
		all += p.pause(n, 0.5)
		if p.For > 0 && all >= p.For {
			return p.For
		}
	}
	return all
}

// patience is until when a run waits for a target that is down: as long as it
// would have been tried. Then it is tried a last time, whatever is known of the
// target: every step is tried at least once.
func (r *Run) patience(now time.Time) time.Time {
	since := now
	switch {
	case !r.Since.IsZero():
		since = r.Since
	case len(r.Tries) > 0:
		since = r.Tries[0].At
	}
	return since.Add(r.Call.Retry.span())
}

// lookAgain is when a run that waits for its place in a lane is looked at anew.
const lookAgain = time.Hour

// heldUntil is when a run that is held comes by itself, if nobody calls it.
func (r *Run) heldUntil(now time.Time) time.Time {
	h := r.Held
	if !h.Down { // those who wait are called one after the other
		return now.Add(lookAgain)
	}
	due := r.patience(now)
	if gives := r.stuck().Add(longestTurn); r.Turn != "" && now.Before(gives) && gives.Before(due) {
		return gives // its turn
	}
	if !due.After(now) { // it was to be tried, and there was no room
		return now.Add(time.Minute)
	}
	return due
}

// pause is the time after the failure of attempt n (from 1), ±20 %.
func (p Retry) pause(n int, rand float64) time.Duration {
	first, most := p.First, p.Max
	if first <= 0 {
		first = defaultFirst
	}
	if most <= 0 {
		most = max(defaultMax, first)
	}
	d := float64(first) * math.Pow(growth, float64(n-1))
	d = min(d, float64(most))
	return time.Duration(d * (0.8 + 0.4*rand))
}

// failed notes that a step failed for good and goes where the rule says.
func (a *advance) failed(call StepCall, err error, attempts int, at time.Time, took time.Duration) {
	r := a.run
	r.Call = &call
	rec := r.stepRecord(StepFailed, at, took)
	rec.Error = err.Error()
	r.Steps = append(slices.Clip(r.Steps), rec)
	reason := err.Error()
	if attempts > 0 { // else it could not be rendered, and the error names the place
		reason = fmt.Sprintf("step %s: %s", call.ID, err)
	}
	level, what := slog.LevelError, "step failed"
	if r.Shadow { // nothing was to happen: nobody has to be alarmed
		level, what = slog.LevelInfo, "step of a shadow run failed"
	}
	a.o.Log.Log(a.work, level, what, "event", r.Event, "rule", r.Rule, "run", r.ID, "action", call.Action, "attempt", attempts, "error", err.Error())
	now := a.o.Now()
	if inFailure(r.Branch) { // the failure of a failure branch is only recorded
		if call.OnFailure == "continue" {
			a.step()
			return
		}
		a.finish(now)
		return
	}
	if call.OnFailure == "continue" {
		a.step()
		return
	}
	r.Failure = &Failure{Step: call.ID, Error: err.Error(), Attempts: attempts}
	r.Reason = reason
	branch := call.OnFailure
	if branch == "" && a.plan.RuleFailure(r.Rule) {
		branch = BranchOnFailure
	}
	if branch == "" {
		r.fail(now, call.ID, reason, attempts)
		return
	}
	r.Branch, r.At = branch, 0
	r.Call, r.Tries, r.Begun, r.Held, r.Since = nil, nil, false, nil, time.Time{}
}

// record stores the run and reports whether the worker still has it. res has no
// entries: then use commit.
func (a *advance) record(res Result) bool {
	_, ok := a.commit(res)
	return ok
}

// commit stores the run, and reports whether the worker still has it. While the
// store is unavailable it tries again: what was done must be kept.
func (a *advance) commit(res Result) (got Recorded, ok bool) {
	res.Own = a.kept
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		got, err := a.o.Store.Record(a.work, a.run, res)
		switch {
		case err == nil && got.refusal() == nil:
			a.kept = nil
			return got, true
		case err == nil:
			return got, true
		case !errors.Is(err, ErrUnavailable):
			a.o.Log.Error("run cannot be recorded", "rule", a.run.Rule, "run", a.run.ID, "error", err.Error())
			return got, false
		}
		// The store says once that it cannot write, not each run that waits for it.
		a.o.Log.Debug("run cannot be recorded, trying again", "run", a.run.ID, "error", err.Error())
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-a.work.Done():
			t.Stop()
			return got, false
		}
	}
}

// refusal is why nothing of a Record was written, nil if it was.
func (r Recorded) refusal() error {
	switch c := r.Conflict; {
	case r.Refused != nil:
		return Permanent(r.Refused)
	case c != nil:
		return Permanent(fmt.Errorf("%w: entry %s has %s %s for %s: decide with gavel billing conflicts",
			ErrConflict, c.ID, c.Quantity, c.Meter, c.Customer))
	}
	return nil
}

// key is the idempotency key of the current step: the same on every attempt.
func (r *Run) key() string {
	return r.ID + "." + strings.ReplaceAll(r.Branch, "/", ".") + "." + strconv.Itoa(r.At)
}
