package engine_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// called is when each attempt was made: "0s a, 5m0s b".
func (w *world) called(begin time.Time) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []string
	for _, c := range w.calls {
		all = append(all, c.Now.Sub(begin).Round(time.Second).String()+" "+c.Step)
	}
	return strings.Join(all, ", ")
}

func TestWait(t *testing.T) {
	never := engine.Permanent(errors.New("never"))
	for _, tc := range []struct {
		name    string
		steps   script
		errs    map[string][]error
		calls   string
		history string
		state   string
	}{
		{"between steps", script{"then": {"a", "wait 5m", "b"}}, nil, "0s a, 5m0s b", "a done, wait done, b done", "done"},
		{"first", script{"then": {"wait 5m", "a"}}, nil, "5m0s a", "wait done, a done", "done"},
		{"last", script{"then": {"a", "wait 5m"}}, nil, "0s a", "a done, wait done", "done"},
		{"two", script{"then": {"wait 5m", "wait 10m", "a"}}, nil, "15m0s a", "wait done, wait done, a done", "done"},
		{"past already", script{"then": {"wait -5m", "a"}}, nil, "0s a", "wait done, a done", "done"},
		{"a past one behind another", script{"then": {"wait 5m", "wait 0s", "a"}}, nil, "5m0s a", "wait done, wait done, a done", "done"},
		{"skipped", script{"then": {"-wait 5m", "a"}}, nil, "0s a", "wait 5m skipped, a done", "done"},
		{"and stop", script{"then": {"wait 5m", "stop", "a"}}, nil, "", "wait done, stop done", "done"},
		{"in on_failure", script{"then": {"a"}, "on_failure": {"wait 5m", "y"}}, map[string][]error{"a": {never}}, "0s a, 5m0s y", "a failed, wait done, y done", "failed"},
		{"before a failing step", script{"then": {"wait 5m", "a"}, "on_failure": {"y"}}, map[string][]error{"a": {never}}, "5m0s a, 5m0s y", "wait done, a failed, y done", "failed"},
		{"before a step that is tried again", script{"then": {"wait 5m", "a"}}, map[string][]error{"a": {errNow}}, "5m0s a, 5m30s a", "wait done, a done", "done"},
		{"before one that cannot be rendered", script{"then": {"wait 5m", "!odd"}}, nil, "", "wait done, odd failed", "failed"},
		{"without a time", script{"then": {"wait", "a"}}, nil, "", "wait failed", "failed"},
		{"a fraction of a microsecond", script{"then": {"wait 1500ns", "a"}}, nil, "0s a", "wait done, a done", "done"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, one(tc.steps))
				for k, v := range tc.errs {
					w.errs[k] = slices.Clone(v)
				}
				begin, stop := time.Now(), w.start()
				id := w.accept("S1")
				pass(time.Hour)
				synctest.Wait()
				r := w.run(id)
				if calls := w.called(begin); calls != tc.calls || r.State != tc.state || history(r) != tc.history {
					t.Errorf("%s: %s (%s)", calls, r.State, history(r))
				}
				stop()
			})
		})
	}
}

// A run that waits says until when, and what it did.
func TestWaitRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, one(script{"then": {"wait 5m", "wait -1m"}}))
		begin, stop := time.Now(), w.start()
		id := w.accept("S1")
		pass(time.Minute)
		synctest.Wait()
		if r := w.run(id); r.State != engine.RunWaiting || !r.Due.Equal(begin.Add(5*time.Minute)) || len(r.Steps) != 0 {
			t.Errorf("%s until %s, %d steps", r.State, r.Due, len(r.Steps))
		}
		pass(time.Hour)
		synctest.Wait()
		steps := w.run(id).Steps
		until := begin.Add(5 * time.Minute).UTC()
		if s := steps[0]; s.Note != "waited until "+until.Format(time.RFC3339) || !s.Started.Equal(begin) {
			t.Errorf("%q from %s", s.Note, s.Started)
		}
		if s := steps[1]; s.Note != "did not wait: it was after "+until.Add(-time.Minute).Format(time.RFC3339)+" already" {
			t.Errorf("%q", s.Note)
		}
		if log := w.log.String(); !strings.Contains(log, `"level":"DEBUG","msg":"run waits","event":"evt_`) {
			t.Errorf("log: %s", log)
		}
		stop()
	})
}

// A run that waits gives up its turn and takes no worker.
func TestWaitGivesUpItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, one(script{"then": {"a", "wait 5m", "b"}}))
		begin, stop := time.Now(), w.start()
		for range 3 {
			w.accept("S1")
		}
		for i := range 100 { // more than there are workers
			w.accept(fmt.Sprint("X", i))
		}
		pass(time.Minute)
		synctest.Wait()
		if n := strings.Count(w.called(begin), "0s a"); n != 103 {
			t.Errorf("%d runs began while others waited", n)
		}
		pass(5 * time.Minute)
		synctest.Wait()
		if n := strings.Count(w.called(begin), "5m0s b"); n != 103 {
			t.Errorf("%d runs went on", n)
		}
		stop()
	})
}

// After a wait the steps see the session as it is then; before, as it was.
func TestWaitSeesTheSessionAsItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, one(script{"then": {"present", "wait 5m", "present", "present"}}))
		join := func(who string) {
			w.send(engine.Event{Type: engine.ParticipantJoined, Time: time.Now(), Session: engine.Session{ID: "S1"}, Participant: engine.Participant{ID: who, ConnectionID: who}})
		}
		w.errs["3"] = []error{errNow, errNow, errNow} // a retry does not look again
		stop := w.start()
		join("ana")
		id := w.accept("S1")
		pass(time.Minute)
		join("bob")
		join("eve")
		pass(4*time.Minute + 10*time.Second)
		join("kim")
		pass(time.Hour)
		synctest.Wait()
		r := w.run(id)
		if history(r) != "1 done, wait done, 3 done, 3 done" {
			t.Errorf("%s: %s", history(r), r.Reason)
		}
		if r.View == nil || r.View.Session.Present == nil || *r.View.Session.Present != 3 {
			t.Errorf("the run keeps %+v", r.View)
		}
		stop()
	})
}

// What a wait saw stays when the server is started anew before the run is done.
func TestViewOutlivesARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, one(script{"then": {"wait 5m", "a", "present"}}))
		w.errs["a"] = []error{errNow}
		stop := w.start()
		id := w.accept("S1")
		pass(5*time.Minute + time.Second)
		synctest.Wait()
		stop()
		w.open()
		stop = w.start()
		w.send(engine.Event{Type: engine.ParticipantJoined, Time: time.Now(), Session: engine.Session{ID: "S1"}, Participant: engine.Participant{ID: "ana", ConnectionID: "ana"}})
		pass(time.Hour)
		synctest.Wait()
		if r := w.run(id); history(r) != "wait done, a done, 0 done" {
			t.Errorf("%s: %s", history(r), r.Reason)
		}
		stop()
	})
}

// While the server is down time passes all the same.
func TestWaitOverARestart(t *testing.T) {
	for _, tc := range []struct {
		name    string
		late    engine.Late
		down    time.Duration // from 1m
		calls   string
		history string
		reason  string
	}{
		{"up before", engine.Late{Skip: true}, time.Minute, "0s a, 5m0s b", "a done, wait done, b done", ""},
		{"up after", engine.Late{}, time.Hour, "0s a, 1h1m0s b", "a done, wait done, b done", ""},
		{"late: skip", engine.Late{Skip: true}, time.Hour, "0s a", "a done, wait done", "56m0s late after the wait: see late: of the rule"},
		{"later than late: says", engine.Late{Within: 30 * time.Minute}, time.Hour, "0s a", "a done, wait done", "56m0s late after the wait: see late: of the rule"},
		{"not later than late: says", engine.Late{Within: 56 * time.Minute}, time.Hour, "0s a, 1h1m0s b", "a done, wait done, b done", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, rules{"rule": {late: tc.late, steps: script{"then": {"a", "wait 5m", "b"}}}})
				w.ahead = time.Millisecond // a worker is never there at the very moment
				begin, stop := time.Now(), w.start()
				id := w.accept("S1")
				pass(time.Minute)
				synctest.Wait()
				stop()
				pass(tc.down)
				w.open()
				stop = w.start()
				pass(2 * time.Hour)
				synctest.Wait()
				r := w.run(id)
				if calls := w.called(begin); calls != tc.calls || r.State != engine.RunDone || history(r) != tc.history || r.Reason != tc.reason {
					t.Errorf("%s: %s (%s) %q", calls, r.State, history(r), r.Reason)
				}
				stop()
			})
		})
	}
}

// wait and stop are the engine's own.
func TestNamesOfActions(t *testing.T) {
	for name, ok := range map[string]bool{"slack": true, "wait": false, "stop": false} {
		if _, err := engine.New(engine.Options{Actions: []engine.ActionKind{{Name: name}}, Now: time.Now}); (err == nil) != ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := engine.New(engine.Options{Actions: []engine.ActionKind{{Name: "a"}, {Name: "a"}}, Now: time.Now}); err == nil {
		t.Error("two actions of one name")
	}
}

// A run that failed and then waited too long stays failed, with its reason.
func TestLateInOnFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, rules{"rule": {late: engine.Late{Skip: true}, steps: script{"then": {"a"}, "on_failure": {"wait 5m", "y"}}}})
		w.errs["a"] = []error{engine.Permanent(errors.New("never"))}
		stop := w.start()
		id := w.accept("S1")
		synctest.Wait()
		stop()
		pass(time.Hour)
		w.open()
		stop = w.start()
		pass(time.Minute)
		synctest.Wait()
		if r := w.run(id); r.State != engine.RunFailed || r.Reason != "step a: never" || history(r) != "a failed, wait done" {
			t.Errorf("%s (%s) %q", r.State, history(r), r.Reason)
		}
		stop()
	})
}

// A run retried by hand goes on behind its wait.
func TestRetryBehindAWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, one(script{"then": {"wait 5m", "b"}}))
		w.errs["b"] = []error{engine.Permanent(errNow)}
		begin, stop := time.Now(), w.start()
		id := w.accept("S1")
		pass(time.Hour)
		synctest.Wait()
		if _, err := w.eng.Retry(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if r := w.run(id); r.State != engine.RunDone || w.called(begin) != "5m0s b, 1h0m0s b" {
			t.Errorf("%s: %s", r.State, w.called(begin))
		}
		stop()
	})
}

// What comes behind a wait is stored before it is done: a server that breaks
// down in the middle of it does the same again.
func TestStepBehindAWaitIsStoredFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, one(script{"then": {"wait 5m", "present"}}))
		w.wait = make(chan struct{})
		stop := w.start()
		id := w.accept("S1")
		<-w.began // the attempt is under way
		if r := w.run(id); r.Call == nil || r.Call.ID != "0" || r.View == nil || history(r) != "wait done" {
			t.Errorf("stored is %+v (%s)", r.Call, history(r))
		}
		close(w.wait)
		synctest.Wait()
		stop()
	})
}

// A failing on_late has its rule's on_failure, and keys of its own.
func TestOnLateFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rule{
			expect: &engine.Expect{Types: []string{engine.ParticipantJoined}, Within: 5 * time.Minute},
			steps:  script{"then": {"a"}, "on_late": {"b:on_late/0/on_failure"}, "on_late/0/on_failure": {"x"}, "on_failure": {"y"}},
		}
		w := newWorld(t, rules{"rule": r})
		w.errs["b"] = []error{engine.Permanent(errNow)}
		tale := story{rule: r, tells: "0s ping; 7m joined ana; 1h end"}
		tale.live(t, w)
		var keys []string
		for _, c := range w.calls {
			_, key, _ := strings.Cut(c.Key, ".")
			keys = append(keys, c.Step+" "+key)
		}
		if want := []string{"a then.0", "b on_late.0", "x on_late.0.on_failure.0"}; !slices.Equal(keys, want) {
			t.Errorf("keys %q, want %q", keys, want)
		}
	})
}

// Nothing of a shadow run is done, and all of it is recorded.
func TestShadow(t *testing.T) {
	for _, tc := range []struct {
		name    string
		steps   script
		state   string
		history string
		reason  string
	}{
		{"steps", script{"then": {"a", "-b", "c"}}, "done", "a shadow, b skipped, c shadow", ""},
		{"emit", script{"then": {"emit x"}}, "done", "emit x shadow", ""},
		{"undecided", script{"then": {"a", "?b", "c"}}, "done", "a shadow, b undecided, c shadow", ""},
		{"the first is undecided", script{"then": {"?b", "c"}}, "done", "b undecided, c shadow", ""},
		{"wait and stop act", script{"then": {"a", "wait 5m", "b", "stop", "c"}}, "done", "a shadow, wait done, b shadow, stop done", "stopped: enough"},
		{"an error fails it", script{"then": {"a", "!odd"}, "on_failure": {"y"}}, "failed", "a shadow, odd failed, y shadow", "odd"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, rules{"rule": {shadow: true, steps: tc.steps}})
				stop := w.start()
				id := w.accept("S1")
				pass(time.Hour)
				synctest.Wait()
				r := w.run(id)
				if r.State != tc.state || history(r) != tc.history || r.Reason != tc.reason {
					t.Errorf("%s (%s) %q", r.State, history(r), r.Reason)
				}
				if got, err := w.store.Events(t.Context(), engine.Query{}); err != nil || len(got) != 1 || len(w.calls) > 0 {
					t.Errorf("%d calls, %d events (%v)", len(w.calls), len(got), err)
				}
				for _, s := range r.Steps {
					if s.State == engine.StepShadow && len(s.With) == 0 || s.State == engine.StepUndecided && !strings.Contains(s.Note, engine.ErrUndecided.Error()) {
						t.Errorf("step %s: %s, %q", s.ID, s.With, s.Note)
					}
				}
				if log := w.log.String(); strings.Contains(log, "ERROR") || strings.Contains(log, "WARN") {
					t.Errorf("log: %s", log)
				}
				stop()
			})
		})
	}
}

// Where nothing is in the shadow, a result that is missing is an error.
func TestUndecidedIsAnErrorElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, one(script{"then": {"?b", "c"}}))
		stop := w.start()
		id := w.accept("S1")
		synctest.Wait()
		if r := w.run(id); r.State != engine.RunFailed || history(r) != "b failed" {
			t.Errorf("%s (%s)", r.State, history(r))
		}
		stop()
	})
}

// An event that a step emits belongs to the run's session; a loop of them ends.
func TestEmit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, rules{"loop": {when: []string{engine.StreamUpdated, "gavel:again"}, steps: script{"then": {"emit again"}}}})
		stop := w.start()
		w.accept("S1")
		synctest.Wait()
		runs := w.runs(false)
		if len(runs) != 9 {
			t.Fatalf("%d runs", len(runs))
		}
		for i, r := range runs {
			want := engine.RunDone
			if i == 8 {
				want = engine.RunFailed
			}
			if r.Session != "pnm/S1" || r.State != want {
				t.Errorf("run %d of %s is %s: %s", i, r.Session, r.State, r.Reason)
			}
		}
		got, err := w.store.Events(t.Context(), engine.Query{Type: engine.Emitted})
		if err != nil || len(got) != 8 || got[0].Hop != 8 || got[0].Name != "again" || got[7].Hop != 1 {
			t.Errorf("%d events (%v)", len(got), err)
		}
		stop()
	})
}

// lossy is a store that loses what is recorded: as if the server had been
// killed between an attempt and its record.
type lossy struct {
	engine.Store
	lose bool
}

func (l *lossy) Record(ctx context.Context, r *engine.Run, res engine.Result) (engine.Recorded, error) {
	if l.lose && len(res.Emit) > 0 {
		return engine.Recorded{}, errors.New("killed")
	}
	return l.Store.Record(ctx, r, res)
}

// doubled records everything twice.
type doubled struct{ engine.Store }

func (d doubled) Record(ctx context.Context, r *engine.Run, res engine.Result) (engine.Recorded, error) {
	if out, err := d.Store.Record(ctx, r, res); err != nil || out.Conflict != nil {
		return out, err
	}
	return d.Store.Record(ctx, r, res)
}

// What a step emits is emitted once, whatever happens around it.
func TestEmitOnce(t *testing.T) {
	for _, tc := range []struct {
		name string
		over func(engine.Store) engine.Store
	}{
		{"killed between the attempt and its record", func(s engine.Store) engine.Store { return &lossy{s, true} }},
		{"recorded twice", func(s engine.Store) engine.Store { return doubled{s} }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, one(script{"then": {"a", "emit x"}}))
				if err := w.store.Close(); err != nil {
					t.Fatal(err)
				}
				w.over = tc.over
				w.open()
				stop := w.start()
				id := w.accept("S1")
				pass(time.Minute)
				synctest.Wait()
				stop()
				w.over = nil
				w.open()
				stop = w.start()
				pass(time.Minute)
				synctest.Wait()
				got, err := w.store.Events(t.Context(), engine.Query{Type: engine.Emitted})
				if r := w.run(id); err != nil || len(got) != 1 || r.State != engine.RunDone || history(r) != "a done, emit x done" {
					t.Errorf("%d events (%v), %s (%s)", len(got), err, r.State, history(r))
				}
				stop()
			})
		})
	}
}
