package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gavelhq/gavel/engine"
)

var errNow = errors.New("not now")

func TestRuns(t *testing.T) {
	permanent := engine.Permanent(errors.New("never"))
	tests := []struct {
		name    string
		plan    script
		errs    map[string][]error
		state   string
		history string
		reason  string
	}{
		{"all steps", script{"then": {"a", "b"}}, nil, "done", "a done, b done", ""},
		{"skipped", script{"then": {"-a", "b", "-c"}}, nil, "done", "a skipped, b done, c skipped", ""},
		{"nothing to do", script{"then": {"-a"}}, nil, "done", "a skipped", ""},
		{"stop", script{"then": {"a", "stop", "b"}}, nil, "done", "a done, stop done", "stopped: enough"},
		{"stop at once", script{"then": {"stop", "b"}}, nil, "done", "stop done", "stopped: enough"},
		{"tried again", script{"then": {"a", "b"}}, map[string][]error{"a": {errNow, errNow}}, "done", "a done, b done", ""},
		{"permanent", script{"then": {"a", "b"}}, map[string][]error{"a": {permanent}}, "failed", "a failed", "step a: never"},
		{"out of attempts", script{"then": {"a"}}, map[string][]error{"a": slices.Repeat([]error{errNow}, 8)}, "failed", "a failed", "step a: not now"},
		{"continue", script{"then": {"a:continue", "b"}}, map[string][]error{"a": {permanent}}, "done", "a failed, b done", ""},
		{"the step's on_failure", script{"then": {"a:then/0/on_failure", "b"}, "then/0/on_failure": {"x"}, "on_failure": {"y"}}, map[string][]error{"a": {permanent}}, "failed", "a failed, x done", "step a: never"},
		{"the rule's on_failure", script{"then": {"a", "b"}, "on_failure": {"y"}}, map[string][]error{"b": {permanent}}, "failed", "a done, b failed, y done", "step b: never"},
		{"a failing on_failure", script{"then": {"a"}, "on_failure": {"y", "z"}}, map[string][]error{"a": {permanent}, "y": {permanent}}, "failed", "a failed, y failed", "step a: never"},
		{"cannot be rendered", script{"then": {"a", "!nil here"}}, nil, "failed", "a done, nil here failed", "nil here"},
		{"the first cannot be rendered", script{"then": {"!nil here"}, "on_failure": {"y"}}, nil, "failed", "nil here failed, y done", "nil here"},
		{"the first cannot be rendered, go on", script{"then": {"!nil here:continue", "b"}, "on_failure": {"y"}}, nil, "done", "nil here failed, b done", ""},
		{"the first cannot be rendered, its own on_failure", script{"then": {"!nil here:then/0/on_failure"}, "then/0/on_failure": {"x"}, "on_failure": {"y"}}, nil, "failed", "nil here failed, x done", "nil here"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, one(tt.plan))
				for k, v := range tt.errs {
					w.errs[k] = slices.Clone(v)
				}
				stop := w.start()
				id := w.accept("S1")
				pass(48 * time.Hour)
				synctest.Wait()
				r := w.run(id)
				if r.State != tt.state || history(r) != tt.history || r.Reason != tt.reason {
					t.Errorf("%s (%s): %q", r.State, history(r), r.Reason)
				}
				stop()
			})
		})
	}
}

// No attempt is made later than retry.for after the first.
func TestRetryFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, rules{"rule": {retry: engine.Retry{First: time.Second, For: 10 * time.Second}, steps: script{"then": {"a"}}}})
		w.errs["a"] = slices.Repeat([]error{errNow}, 8)
		stop := w.start()
		id := w.accept("S1")
		pass(48 * time.Hour)
		synctest.Wait()
		if r := w.run(id); r.State != engine.RunFailed || len(w.calls) != 4 { // at 0 s, 1 s, 5 s, and 10 s instead of 21 s
			t.Errorf("%s after %d attempts", r.State, len(w.calls))
		}
		stop()
	})
}

func TestRetrySchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, one(script{"then": {"a"}}))
		w.errs["a"] = []error{errNow, errNow, engine.RetryAfter(errNow, 100*time.Hour), engine.RetryAfter(errNow, -time.Second), errNow, errNow, errNow}
		stop := w.start()
		w.accept("S1")
		pass(72 * time.Hour)
		synctest.Wait()
		want := []time.Duration{30 * time.Second, 2 * time.Minute, time.Hour, time.Second, 128 * time.Minute, 512 * time.Minute, 12 * time.Hour}
		for i, c := range w.calls {
			if c.Attempt != i+1 || c.Key != w.calls[0].Key {
				t.Errorf("call %d: attempt %d, key %s", i, c.Attempt, c.Key)
			}
			if i == 0 {
				continue
			}
			if d := c.Now.Sub(w.calls[i-1].Now); d.Round(time.Second) != want[i-1] {
				t.Errorf("pause %d is %s, want %s", i, d, want[i-1])
			}
		}
		if len(w.calls) != 8 {
			t.Errorf("%d attempts", len(w.calls))
		}
		stop()
	})
}

// A server that is stopped in the middle of an attempt lets it finish; one
// that does not finish in time is broken off and tried again after the start.
func TestStopAndRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, one(script{"then": {"a", "b"}}))
		w.wait = make(chan struct{})
		stop := w.start()
		id := w.accept("S1")
		<-w.began
		stop() // takes the whole grace: nobody lets a finish

		w.open()
		if r := w.run(id); r.State != engine.RunReady || len(r.Tries) != 0 {
			t.Errorf("after the stop: %s, %d tries", r.State, len(r.Tries))
		}
		close(w.wait)
		stop = w.start()
		<-w.began
		<-w.began
		synctest.Wait()
		if r := w.run(id); r.State != engine.RunDone || history(r) != "a done, b done" {
			t.Errorf("after the start: %s (%s)", r.State, history(r))
		}
		if a, b := w.calls[0].Key, w.calls[1].Key; a != b {
			t.Errorf("the repeated attempt has another key: %s, %s", a, b)
		}
		stop()
	})
}

// A failed run goes on at the step that failed; what succeeded is not repeated.
func TestRetryByHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, one(script{"then": {"a", "b"}, "on_failure": {"y"}}))
		w.errs["b"] = []error{engine.Permanent(errNow)}
		stop := w.start()
		id := w.accept("S1")
		synctest.Wait()
		if r := w.run(id); r.State != engine.RunFailed {
			t.Fatalf("state %s", r.State)
		}
		if _, err := w.eng.Retry(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		r := w.run(id)
		if r.State != engine.RunDone || history(r) != "a done, b failed, y done, b done" {
			t.Errorf("%s (%s)", r.State, history(r))
		}
		stop()
	})
}

// Attempts in one lane go one at a time, and all stay out while it pauses.
func TestLane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, one(script{"then": {"a"}}))
		var inside, most atomic.Int32
		w.kinds[0].Lane = func(json.RawMessage, any) engine.Lane { return engine.Lane{Name: "channel"} }
		do := w.kinds[0].Do
		w.kinds[0].Do = func(ctx context.Context, c engine.Call) (engine.Result, error) {
			most.Store(max(most.Load(), inside.Add(1)))
			defer inside.Add(-1)
			pass(10 * time.Millisecond)
			return do(ctx, c)
		}
		if err := w.store.Close(); err != nil {
			t.Fatal(err)
		}
		w.open()
		w.errs["a"] = []error{engine.RetryAfter(errNow, 5*time.Second)}
		w.wait = make(chan struct{})
		stop := w.start()
		begin := time.Now()
		for i := range 20 {
			w.accept(fmt.Sprint("S", i))
		}
		synctest.Wait()
		close(w.wait) // the first is told to come later while others stand behind it
		pass(time.Minute)
		synctest.Wait()
		if most.Load() != 1 || len(w.calls) != 21 {
			t.Errorf("%d at once, %d attempts", most.Load(), len(w.calls))
		}
		for i, c := range w.calls[1:] {
			if c.Now.Sub(begin) < 5*time.Second {
				t.Errorf("call %d came %s after the start, while the lane paused", i+1, c.Now.Sub(begin))
			}
		}
		stop()
	})
}

// A panic in an action is a failed attempt like any other.
func TestPanicInAction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, one(script{"then": {"a"}}))
		n := 0
		w.kinds[0].Do = func(context.Context, engine.Call) (engine.Result, error) {
			if n++; n == 1 {
				panic("oh")
			}
			return engine.Result{}, nil
		}
		if err := w.store.Close(); err != nil {
			t.Fatal(err)
		}
		w.open()
		stop := w.start()
		id := w.accept("S1")
		pass(time.Hour)
		synctest.Wait()
		r := w.run(id)
		if r.State != engine.RunDone || len(r.Steps[0].Tries) != 1 || strings.Contains(r.Steps[0].Tries[0].Error, "oh") {
			t.Errorf("%s %+v", r.State, r.Steps)
		}
		stop()
	})
}

// The last step's conflict in the ledger fails the step, and nothing of it is kept.
func TestLedgerConflict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, one(script{"then": {"a", "b"}}))
		quantity := 0
		w.kinds[0].Do = func(_ context.Context, c engine.Call) (engine.Result, error) {
			quantity++
			e := engine.Entry{Tenant: "default", Source: "pnm", Key: "k", Meter: "minutes", Customer: "acme", Quantity: fmt.Sprint(quantity)}
			return engine.Result{Entries: []engine.Entry{e}}, nil
		}
		if err := w.store.Close(); err != nil {
			t.Fatal(err)
		}
		w.open()
		stop := w.start()
		id := w.accept("S1")
		synctest.Wait()
		r := w.run(id)
		if r.State != engine.RunFailed || history(r) != "a done, b failed" ||
			!strings.Contains(r.Reason, "differs: entry ent_") || !strings.HasSuffix(r.Reason, "decide with gavel billing conflicts") {
			t.Errorf("%s (%s): %s", r.State, history(r), r.Reason)
		}
		stop()
	})
}

// What the ledger makes of a step's entry is there when the next step is
// rendered, and the same after a crash in between.
func TestTotalsForTheNextStep(t *testing.T) {
	for _, records := range []int{-1, 1} { // before the process is gone
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, one(script{"then": {"a", "totals"}}))
			var crash crashes
			w.over = crash.over
			do := w.kinds[0].Do
			w.kinds[0].Do = func(ctx context.Context, c engine.Call) (engine.Result, error) {
				if c.Step == "totals" {
					return do(ctx, c)
				}
				e := engine.Entry{Kind: engine.EntryUsage, Tenant: "default", Source: "pnm", Key: c.Session, Meter: "minutes", Customer: "acme", Quantity: "5", Period: "2000-01"}
				e.Charge = func(e *engine.Entry, before string) error {
					n, _ := strconv.Atoi(before)
					e.Before, e.Month = strconv.Itoa(n), strconv.Itoa(n+5)
					return nil
				}
				told := func(all []engine.Entry) (string, json.RawMessage) {
					return "now " + all[0].Month, json.RawMessage(all[0].Month)
				}
				return engine.Result{Entries: []engine.Entry{e}, Told: told}, nil
			}
			if err := w.store.Close(); err != nil {
				t.Fatal(err)
			}
			w.open()
			stop := w.start()
			w.accept("S1")
			synctest.Wait()
			crash.after(records)
			id := w.accept("S2")
			synctest.Wait()
			stop()
			crash.after(-1)
			w.open()
			stop = w.start()
			pass(time.Minute)
			synctest.Wait()
			r := w.run(id)
			if r.State != engine.RunDone || len(r.Steps) != 2 {
				t.Fatalf("%s: %s (%+v)", r.State, r.Reason, r.Steps)
			}
			if a := r.Steps[0]; a.Before != "5" || a.Month != "10" || a.Note != "now 10" || string(a.Body) != "10" {
				t.Errorf("%+v", a)
			}
			if with := string(r.Steps[1].With); with != `"5 10"` {
				t.Errorf("the next step was rendered with %s", with)
			}
			n := 0
			count := func(engine.Entry) error { n++; return nil }
			if err := w.store.Entries(t.Context(), engine.Query{}, time.Time{}, time.Time{}, count); err != nil || n != 2 {
				t.Errorf("%d entries (%v)", n, err)
			}
			stop()
		})
	}
}
