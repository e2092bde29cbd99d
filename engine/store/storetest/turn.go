package storetest

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gavelhq/gavel/engine"
)

func testTurns(t *testing.T, h *harness) {
	h.start(t)
	h.accept(t, h.inbound(event(engine.SessionStarted, "s1", ""), event(engine.SessionStarted, "s2", "")))
	var want []string
	pair := h.accept(t, h.inbound(event(engine.ChatMessage, "s1", ""), event(engine.ChatMessage, "s1", "")))
	for _, ev := range pair.Events {
		want = append(want, ev.Outcome.Runs[0].Run)
	}
	for range 18 {
		want = append(want, h.send(t, event(engine.ChatMessage, "s1", "")))
	}
	h.state(t, want[0], engine.RunReady)
	h.state(t, want[1], engine.RunQueued)
	h.state(t, want[2], engine.RunQueued)
	other := h.send(t, event(engine.ChatMessage, "s2", ""))
	h.state(t, other, engine.RunReady)

	var mu sync.Mutex
	var order []string
	busy := 0
	all := make(chan struct{}, 100)
	advance := func(d engine.Due) {
		if d.Run.ID != other {
			mu.Lock()
			order = append(order, d.Run.ID)
			if busy++; busy > 1 {
				t.Error("two runs of one turn at a time")
			}
			mu.Unlock()
			defer func() { // before the record lets the next one go
				mu.Lock()
				busy--
				mu.Unlock()
				h.finish(t, d.Run)
			}()
		} else {
			h.finish(t, d.Run)
		}
		all <- struct{}{}
	}
	stop := h.dispatch(t, 8, advance)
	for range 11 {
		wait(t, all)
	}
	stop()
	h.restart(t)
	h.dispatch(t, 8, advance)
	for range 10 {
		wait(t, all)
	}
	for i := range want {
		if i >= len(order) || order[i] != want[i] {
			t.Fatalf("order %v, want %v", order, want)
		}
	}
}

func testFailedTurn(t *testing.T, h *harness) {
	h.start(t)
	first, second := h.send(t, event(engine.ChatMessage, "s1", "")), h.send(t, event(engine.ChatMessage, "s1", ""))
	done := make(chan string, 2)
	h.dispatch(t, 2, func(d engine.Due) {
		if d.Run.ID == first {
			h.fail(t, d.Run)
		} else {
			h.finish(t, d.Run)
		}
		done <- d.Run.ID
	})
	if a, b := wait(t, done), wait(t, done); a != first || b != second {
		t.Errorf("order %s %s", a, b)
	}
}

// retry puts a run off after a failed attempt.
func (h *harness) retry(t *testing.T, r *engine.Run, pause time.Duration) {
	t.Helper()
	now := time.Now()
	r.Tries = append(r.Tries, engine.Try{At: now, Error: "busy"})
	r.State, r.Due, r.Updated = engine.RunRetrying, now.Add(pause), now
	h.record(t, r, engine.Result{})
}

func testRetryingTurn(t *testing.T, h *harness) {
	synctest.Test(t, func(t *testing.T) {
		h.start(t)
		first, second := h.send(t, event(engine.ChatMessage, "s1", "")), h.send(t, event(engine.ChatMessage, "s1", ""))
		began := time.Now()
		var seconds time.Duration
		tries := 0
		stop := h.dispatch(t, 4, func(d engine.Due) {
			switch d.Run.ID {
			case first: // after 0, 20, 40, 60 minutes; the next pause is too long
				tries++
				h.retry(t, d.Run, 20*time.Minute)
			case second:
				seconds = time.Since(began)
				h.finish(t, d.Run)
			default:
				h.finish(t, d.Run)
			}
		})
		pass(59 * time.Minute)
		synctest.Wait()
		h.state(t, second, engine.RunQueued)
		pass(2 * time.Minute)
		synctest.Wait()
		h.state(t, second, engine.RunDone)
		if seconds < 59*time.Minute || seconds > time.Hour {
			t.Errorf("the second run began after %v", seconds)
		}
		h.state(t, first, engine.RunRetrying) // goes on by itself
		pass(time.Hour)
		synctest.Wait()
		if tries < 6 {
			t.Errorf("the first run was tried %d times", tries)
		}
		third := h.send(t, event(engine.ChatMessage, "s1", ""))
		synctest.Wait()
		h.state(t, third, engine.RunDone) // the first never takes the turn back
		stop()
		h.Close()
	})
}

func testRetryDue(t *testing.T, h *harness) {
	synctest.Test(t, func(t *testing.T) {
		h.start(t)
		var at []time.Duration
		began := time.Now()
		advance := func(d engine.Due) {
			at = append(at, time.Since(began))
			if len(at) < 4 {
				h.retry(t, d.Run, time.Duration(len(at))*90*time.Second)
				return
			}
			h.finish(t, d.Run)
		}
		id := h.send(t, event(engine.ChatMessage, "s1", ""))
		stop := h.dispatch(t, 4, advance)
		pass(91 * time.Second)
		synctest.Wait()
		stop()
		h.restart(t)
		stop = h.dispatch(t, 4, advance)
		pass(time.Hour)
		synctest.Wait()
		h.state(t, id, engine.RunDone)
		want := []time.Duration{0, 90 * time.Second, 270 * time.Second, 540 * time.Second}
		if len(at) != len(want) {
			t.Fatalf("attempts at %v, want %v", at, want)
		}
		for i := range want {
			if at[i] < want[i] || at[i] > want[i]+time.Second {
				t.Errorf("attempts at %v, want %v", at, want)
				break
			}
		}
		stop()
		h.Close()
	})
}
