package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gavelhq/gavel/engine"
)

func testDispatch(t *testing.T, h *harness) {
	h.start(t)
	early := h.send(t, event(engine.ParticipantJoined, "s1", "p1"))
	got := make(chan engine.Due, 1)
	h.dispatch(t, 4, func(d engine.Due) { h.finish(t, d.Run); got <- d })
	if d := wait(t, got); d.Run.ID != early {
		t.Errorf("got run %s, want %s, made before", d.Run.ID, early)
	}
	id := h.send(t, event(engine.ParticipantJoined, "s1", "p2"))
	d := wait(t, got)
	if d.Run.ID != id || d.Plan != engine.Planner(h.plan) || d.Input.Event.Participant.ID != "p2" || d.Input.SessionKey == "" {
		t.Errorf("got %+v", d)
	}
	h.state(t, id, engine.RunDone)
	if s, err := h.Stats(context.Background()); err != nil || s.Runs[engine.RunDone] != 2 || len(s.Runs) != 1 {
		t.Errorf("stats %+v (%v)", s, err)
	}
}

func testWorkers(t *testing.T, h *harness) {
	h.start(t)
	var mu sync.Mutex
	busy, most := 0, 0
	full, hold, done := make(chan struct{}), make(chan struct{}), make(chan struct{}, 100)
	h.dispatch(t, 3, func(d engine.Due) {
		mu.Lock()
		busy++
		if most = max(most, busy); busy == 3 {
			select {
			case <-full:
			default:
				close(full)
			}
		}
		mu.Unlock()
		<-hold
		mu.Lock()
		busy--
		mu.Unlock()
		h.finish(t, d.Run)
		done <- struct{}{}
	})
	for i := range 30 {
		h.send(t, event(engine.ParticipantJoined, "s1", fmt.Sprint("p", i)))
	}
	wait(t, full)
	close(hold)
	for range 30 {
		wait(t, done)
	}
	if most != 3 {
		t.Errorf("%d at a time, want 3", most)
	}
}

func testDispatchEnds(t *testing.T, h *harness) {
	h.start(t)
	h.send(t, event(engine.ParticipantJoined, "s1", "p1"))
	began, hold := make(chan struct{}), make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		ended <- h.Dispatch(ctx, 1, func(ctx context.Context, d engine.Due) {
			close(began)
			<-hold
			if ctx.Err() != nil {
				t.Error("a run under way is cut off")
			}
			h.finish(t, d.Run)
		})
	}()
	wait(t, began)
	later := h.send(t, event(engine.ParticipantJoined, "s1", "p2"))
	cancel()
	none(t, ended, "dispatch ended before its run")
	close(hold)
	if err := wait(t, ended); err != nil {
		t.Error(err)
	}
	h.state(t, later, engine.RunReady)
}

func testGivenBack(t *testing.T, h *harness) {
	synctest.Test(t, func(t *testing.T) {
		h.start(t)
		id := h.send(t, event(engine.ParticipantJoined, "s1", "p1"))
		times := 0
		stop := h.dispatch(t, 1, func(d engine.Due) {
			if times++; times == 3 {
				h.finish(t, d.Run)
			}
		})
		pass(10 * time.Second)
		synctest.Wait()
		h.state(t, id, engine.RunDone)
		if times != 3 {
			t.Errorf("handed out %d times", times)
		}
		stop()
		h.Close()
	})
}

// A run that is due within a microsecond is found, and comes: nobody would look
// for it again.
func testDueToTheNanosecond(t *testing.T, h *harness) {
	synctest.Test(t, func(t *testing.T) {
		h.start(t)
		id := h.send(t, event(engine.ParticipantJoined, "s1", "p1"))
		due := time.Now().Add(time.Hour).Add(861 * time.Nanosecond)
		stop := h.dispatch(t, 1, func(d engine.Due) {
			if time.Now().Before(due) {
				d.Run.State, d.Run.Due = engine.RunWaiting, due
				h.record(t, d.Run, engine.Result{})
				return
			}
			h.finish(t, d.Run)
		})
		pass(2 * time.Hour)
		synctest.Wait()
		h.state(t, id, engine.RunDone)
		stop()
		h.Close()
	})
}

func testRestart(t *testing.T, h *harness) {
	h.start(t)
	ready := h.send(t, event(engine.ParticipantJoined, "s1", "ready"))
	begun := h.send(t, event(engine.ParticipantJoined, "s1", "begun"))
	later := h.send(t, event(engine.ParticipantJoined, "s1", "later"))
	soon := h.send(t, event(engine.ParticipantJoined, "s1", "soon"))
	done := h.send(t, event(engine.ParticipantJoined, "s1", "done"))
	failed := h.send(t, event(engine.ParticipantJoined, "s1", "failed"))
	edit := func(id string, change func(*engine.Run)) {
		r := h.run(t, id)
		change(&r)
		h.record(t, &r, engine.Result{})
	}
	edit(begun, func(r *engine.Run) { r.State, r.Begun = engine.RunRunning, true })
	edit(later, func(r *engine.Run) { r.State, r.Due = engine.RunRetrying, time.Now().Add(time.Hour) })
	edit(soon, func(r *engine.Run) { r.State, r.Due = engine.RunRetrying, time.Now().Add(-time.Second) })
	edit(done, func(r *engine.Run) { r.State, r.Due = engine.RunDone, time.Time{} })
	edit(failed, func(r *engine.Run) { r.State, r.Due = engine.RunFailed, time.Time{} })

	h.restart(t)
	got := make(chan engine.Run, 10)
	stop := h.dispatch(t, 4, func(d engine.Due) {
		r := *d.Run
		h.finish(t, d.Run)
		got <- r
	})
	seen := map[string]engine.Run{}
	for range 3 {
		r := wait(t, got)
		seen[r.ID] = r
	}
	stop()
	none(t, got, "more runs")
	if seen[ready].State != engine.RunReady || seen[soon].State != engine.RunRetrying {
		t.Errorf("came back: %+v", seen)
	}
	if r := seen[begun]; r.State != engine.RunRunning || !r.Begun {
		t.Errorf("a run that had begun came back as %+v", r)
	}
	h.state(t, later, engine.RunRetrying)
}

func testRestartInput(t *testing.T, h *harness) {
	h.start(t)
	h.send(t, event(engine.SessionStarted, "s1", ""))
	joined := make(chan struct{}, 2)
	stop := h.dispatch(t, 2, func(d engine.Due) { h.finish(t, d.Run); joined <- struct{}{} })
	for _, p := range []string{"p1", "p2"} {
		h.send(t, event(engine.ParticipantJoined, "s1", p))
		wait(t, joined)
	}
	stop()
	id := h.send(t, event(engine.RecordingEnded, "s1", ""))
	h.send(t, event(engine.ParticipantLeft, "s1", "p2"))
	see := func(plan engine.Planner) {
		t.Helper()
		got := make(chan engine.Due, 1)
		stop := h.dispatch(t, 1, func(d engine.Due) {
			select {
			case got <- d:
			default:
			}
		})
		d := wait(t, got)
		stop()
		in := d.Input
		if d.Run.ID != id || in.Event.ID != d.Run.Event || in.SessionKey != d.Run.Session {
			t.Fatalf("got %+v", d)
		}
		if d.Plan != plan {
			t.Errorf("plan is %v, want %v", d.Plan, plan)
		}
		if len(in.Participants) != 2 || in.Participants[0].Name != "Name of p1" {
			t.Errorf("participants are %+v", in.Participants)
		}
		if p := in.Event.Session.Present; p == nil || *p != 2 {
			t.Errorf("session is %+v", in.Event.Session)
		}
		if string(in.Event.Raw) != `{"event":"recording_ended"}` {
			t.Errorf("raw is %s", in.Event.Raw)
		}
		if d := in.Now.Sub(d.Run.Created); d < -time.Millisecond || d > time.Millisecond {
			t.Errorf("evaluated %v after it was made", d)
		}
	}
	see(h.plan)
	h.restart(t)
	see(h.plan)
	h.plan = NewRules("r2")
	h.restart(t)
	see(nil)
}

func testWake(t *testing.T, h *harness) {
	h.start(t)
	id, next := h.send(t, event(engine.ChatMessage, "s1", "")), h.send(t, event(engine.ChatMessage, "s1", ""))
	var mu sync.Mutex
	fail := true
	got := make(chan engine.Run, 4)
	h.dispatch(t, 4, func(d engine.Due) {
		before := *d.Run
		mu.Lock()
		failing := fail && d.Run.ID == id
		mu.Unlock()
		if failing {
			// its own failure branch fails too: that is not where it goes on
			d.Run.Branch, d.Run.At = "then/0/on_failure", 1
			d.Run.Steps = append(d.Run.Steps, engine.StepRecord{Branch: engine.BranchThen, At: 0, State: engine.StepFailed},
				engine.StepRecord{Branch: "then/0/on_failure", At: 0, State: engine.StepFailed})
			d.Run.State, d.Run.Reason, d.Run.Due = engine.RunFailed, "no luck", time.Time{}
			d.Run.Failure = &engine.Failure{Step: "1"}
			h.record(t, d.Run, engine.Result{})
		} else {
			h.finish(t, d.Run)
		}
		got <- before
	})
	if a, b := wait(t, got), wait(t, got); a.ID != id || b.ID != next {
		t.Fatalf("order %s %s", a.ID, b.ID)
	}
	mu.Lock()
	fail = false
	mu.Unlock()
	r, err := h.Wake(context.Background(), id, time.Now())
	if err != nil || r.State != engine.RunReady || !r.OutOfTurn {
		t.Fatalf("woken as %+v, %v", r, err)
	}
	if r := wait(t, got); r.ID != id || r.Branch != engine.BranchThen || r.At != 0 || len(r.Steps) != 2 || r.Failure != nil || r.Reason != "" {
		t.Errorf("goes on as %+v", r)
	}
	h.state(t, id, engine.RunDone)
}

// A run may be woken while its worker is still on its way out.
func testWakeAtOnce(t *testing.T, h *harness) {
	synctest.Test(t, func(t *testing.T) {
		h.start(t)
		id := h.send(t, event(engine.ChatMessage, "s1", ""))
		var at []time.Time
		stop := h.dispatch(t, 2, func(d engine.Due) {
			if at = append(at, time.Now()); len(at) == 2 {
				h.finish(t, d.Run)
				return
			}
			h.fail(t, d.Run)
			if _, err := h.Wake(context.Background(), id, time.Now()); err != nil {
				t.Error(err)
			}
		})
		pass(time.Hour)
		synctest.Wait()
		h.state(t, id, engine.RunDone)
		if len(at) != 2 || !at[1].Equal(at[0]) {
			t.Errorf("handed out at %v", at)
		}
		stop()
		h.Close()
	})
}

func testWakeRefuses(t *testing.T, h *harness) {
	h.start(t)
	id := h.send(t, event(engine.ChatMessage, "s1", ""))
	if _, err := h.Wake(context.Background(), id, time.Now()); err == nil || errors.Is(err, engine.ErrNotFound) {
		t.Errorf("a ready run is woken: %v", err)
	}
	if _, err := h.Wake(context.Background(), "run_none", time.Now()); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("an unknown run: %v", err)
	}
}

func testFenced(t *testing.T, h *harness) {
	h.start(t)
	id := h.send(t, event(engine.ChatMessage, "s1", ""))
	old := h.run(t, id)
	h.fail(t, &old)
	if _, err := h.Wake(context.Background(), id, time.Now()); err != nil {
		t.Fatal(err)
	}
	old.State = engine.RunDone
	res := engine.Result{Kind: "billing", State: map[string]json{"k": json(`1`)}, Entries: []engine.Entry{entry("a")}}
	if _, err := h.Record(context.Background(), &old, res); !errors.Is(err, engine.ErrFenced) {
		t.Errorf("a record of the one before is %v", err)
	}
	if _, err := h.Record(context.Background(), &old, engine.Result{}); !errors.Is(err, engine.ErrFenced) {
		t.Errorf("an empty record of the one before is %v", err)
	}
	h.state(t, id, engine.RunReady)
	h.entries(t, 0)
	if _, err := h.ActionState(context.Background(), "billing", "k"); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("its state was written (%v)", err)
	}
	old.ID = "run_none"
	if _, err := h.Record(context.Background(), &old, res); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("a record of an unknown run is %v", err)
	}
}
