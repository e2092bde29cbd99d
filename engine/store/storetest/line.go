package storetest

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// many sends n events that each make a run of a session of its own.
func (h *harness) many(t *testing.T, n int) (ids []string) {
	t.Helper()
	for range n {
		ids = append(ids, h.send(t, event(engine.ParticipantJoined, fmt.Sprint("s", h.n.Add(1)), "p")))
	}
	return ids
}

// hold records a run as held for target, until due.
func (h *harness) hold(t *testing.T, r *engine.Run, target string, due time.Duration) {
	t.Helper()
	now := time.Now()
	r.State, r.Due, r.Updated = engine.RunRetrying, now.Add(due), now
	r.Held = &engine.Held{Target: target, Since: now, Down: true}
	h.record(t, r, engine.Result{})
}

// line lets runs wait for the target "x" until they are called, in memory or
// held, and notes in which order they were called.
type line struct {
	*harness
	t      *testing.T
	aside  bool
	mu     sync.Mutex
	called []string
}

func (l *line) advance(d engine.Due) {
	if d.Called == "x" {
		l.mu.Lock()
		l.called = append(l.called, d.Run.ID)
		l.mu.Unlock()
		d.Run.Held = nil
		l.finish(l.t, d.Run)
		return
	}
	if l.aside {
		if !l.SetAside(d.Run.ID, "x", time.Time{}, engine.PutLast) {
			l.t.Errorf("run %s cannot be set aside", d.Run.ID)
		}
		return
	}
	l.hold(l.t, d.Run, "x", 24*time.Hour)
	if !l.Call("x", 0) {
		l.t.Error("a run was held for x, and none may wait")
	}
}

func (l *line) calls(n int, want ...string) {
	l.t.Helper()
	l.Call("x", n)
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Equal(l.called, want) {
		l.t.Errorf("called %v, want %v", l.called, want)
	}
	l.called = nil
}

// Runs that wait for a target are handed out when it is called, oldest first,
// and not before.
func testLine(t *testing.T, h *harness, aside bool) {
	synctest.Test(t, func(t *testing.T) {
		h.start(t)
		l := &line{harness: h, t: t, aside: aside}
		ids := h.many(t, 100)
		stop := h.dispatch(t, 1, l.advance)
		pass(time.Hour)
		synctest.Wait()
		l.calls(0)
		l.calls(1, ids[0])
		l.calls(3, ids[1:4]...)
		if h.Call("y", 1) {
			t.Error("a run may wait for y")
		}
		l.calls(1000, ids[4:]...)
		l.calls(1)
		if h.Call("x", 1) {
			t.Error("a run may wait for x")
		}
		id := h.many(t, 1)
		synctest.Wait()
		l.calls(1, id...)
		stop()
		h.Close()
	})
}

func testSetAside(t *testing.T, h *harness) { testLine(t, h, true) }

func testHeld(t *testing.T, h *harness) { testLine(t, h, false) }

// A run that is called and set aside again is the first of its line.
func testSetAsideAgain(t *testing.T, h *harness) {
	synctest.Test(t, func(t *testing.T) {
		h.start(t)
		l := &line{harness: h, t: t, aside: true}
		ids := h.many(t, 3)
		again := true
		stop := h.dispatch(t, 1, func(d engine.Due) {
			if d.Called == "x" && again {
				again = false
				h.SetAside(d.Run.ID, "x", time.Time{}, engine.PutLast)
				return
			}
			l.advance(d)
		})
		synctest.Wait()
		l.calls(1)
		l.calls(3, ids...)
		stop()
		h.Close()
	})
}

// After a restart what was set aside can go on at once, and one of the runs
// that were held for a target: the others when it is called.
func testLineRestart(t *testing.T, h *harness) {
	synctest.Test(t, func(t *testing.T) {
		h.start(t)
		aside, held := h.many(t, 1)[0], h.many(t, 3)
		stop := h.dispatch(t, 4, func(d engine.Due) {
			if d.Run.ID == aside {
				h.SetAside(d.Run.ID, "x", time.Time{}, engine.PutLast)
				return
			}
			h.hold(t, d.Run, "x", 24*time.Hour)
		})
		synctest.Wait()
		stop()
		h.restart(t)
		got := map[string]string{}
		l := &line{harness: h, t: t}
		stop = h.dispatch(t, 1, func(d engine.Due) {
			got[d.Run.ID] = d.Called
			if d.Called != "" && (d.Run.Held == nil || d.Run.Held.Target != "x") {
				t.Errorf("held: %+v", d.Run.Held)
			}
			if d.Run.ID == aside {
				h.finish(t, d.Run)
				return
			}
			l.advance(d)
		})
		synctest.Wait()
		if len(got) != 2 || got[held[0]] != "x" || got[aside] != "" {
			t.Errorf("handed out %v", got)
		}
		l.called = nil
		l.calls(2, held[1:]...)
		stop()
		h.Close()
	})
}

// A held run that nobody calls comes when it is due, and is not called again.
func testHeldDue(t *testing.T, h *harness) {
	synctest.Test(t, func(t *testing.T) {
		h.start(t)
		began := time.Now()
		var at []time.Duration
		id := h.many(t, 1)[0]
		stop := h.dispatch(t, 4, func(d engine.Due) {
			at = append(at, time.Since(began))
			if len(at) == 1 {
				h.hold(t, d.Run, "x", time.Hour)
				return
			}
			d.Run.Held = nil
			h.retry(t, d.Run, time.Hour)
		})
		pass(61 * time.Minute)
		synctest.Wait()
		h.Call("x", 5)
		synctest.Wait()
		if len(at) != 2 || at[1] < time.Hour {
			t.Errorf("came %v", at)
		}
		h.state(t, id, engine.RunRetrying)
		stop()
		h.Close()
	})
}

// A run stands in a line for as long as it may.
func testSetAsideUntil(t *testing.T, h *harness) {
	synctest.Test(t, func(t *testing.T) {
		h.start(t)
		began := time.Now()
		var came atomic.Int64
		h.many(t, 300)
		stop := h.dispatch(t, 4, func(d engine.Due) {
			if time.Since(began) < time.Minute {
				h.SetAside(d.Run.ID, "x", began.Add(time.Minute), engine.PutLast)
				return
			}
			if d.Called != "" {
				t.Error("nobody called it")
			}
			came.Add(1)
			h.finish(t, d.Run)
		})
		pass(59 * time.Second)
		synctest.Wait()
		if n := came.Load(); n > 0 {
			t.Errorf("%d came early", n)
		}
		pass(2 * time.Second)
		synctest.Wait()
		if n := came.Load(); n != 300 {
			t.Errorf("%d came", n)
		}
		stop()
		h.Close()
	})
}

// Runs that wait are listed as they would be called, those in memory before those
// that were recorded, and each knows its place.
func testWaiting(t *testing.T, h *harness) {
	synctest.Test(t, func(t *testing.T) {
		h.start(t)
		aside := true
		stop := h.dispatch(t, 1, func(d engine.Due) {
			switch {
			case d.Called == "x":
				d.Run.Held = nil
				h.finish(t, d.Run)
			case aside:
				h.SetAside(d.Run.ID, "x", time.Time{}, engine.PutLast)
			default:
				h.hold(t, d.Run, "x", 24*time.Hour)
			}
		})
		want := h.many(t, 4)
		synctest.Wait()
		aside = false
		want = append(want, h.many(t, 3)...)
		synctest.Wait()
		for i, id := range want {
			target, before := h.Place(id)
			if memory := i < 4; memory && (target != "x" || before != i) || !memory && target != "" {
				t.Errorf("run %d: %d others wait before it for %q", i, before, target)
			}
		}
		for range 2 {
			for _, tc := range []struct{ least, most, want int }{
				{0, 50, len(want)}, {len(want), 50, len(want)}, {len(want) + 1, 50, 0}, {1, 2, 2}, {1, 5, min(5, len(want))},
			} {
				got, err := h.Waiting(t.Context(), "x", tc.least, tc.most)
				var ids []string
				for _, r := range got {
					ids = append(ids, r.ID)
				}
				if err != nil || !slices.Equal(ids, want[:tc.want]) {
					t.Errorf("at least %d and at most %d: %v (%v), want %v", tc.least, tc.most, ids, err, want[:tc.want])
				}
			}
			for range 2 { // those that are called wait no more
				h.Call("x", 1)
				synctest.Wait()
			}
			want = want[2:]
		}
		if got, err := h.Waiting(t.Context(), "y", 0, 50); err != nil || len(got) != 0 {
			t.Errorf("%d runs wait for y (%v)", len(got), err)
		}
		stop()
		h.Close()
	})
}

// Behind runs that were recorded none waits in memory alone, but for one that
// goes first, or was called and has to wait once more.
func testSetAsideInOrder(t *testing.T, h *harness) {
	synctest.Test(t, func(t *testing.T) {
		h.start(t)
		l := &line{harness: h, t: t}
		var wait func(d engine.Due)
		again := true
		stop := h.dispatch(t, 1, func(d engine.Due) {
			switch {
			case d.Called == "":
				wait(d)
			case again:
				again = false
				if !h.SetAside(d.Run.ID, "x", time.Time{}, engine.PutLast) {
					t.Error("a run that was called cannot be set aside again")
				}
			default:
				l.advance(d)
			}
		})
		next := func(how func(d engine.Due)) string {
			wait = how
			id := h.many(t, 1)[0]
			synctest.Wait()
			return id
		}
		aside := func(put engine.Put, want bool) func(d engine.Due) {
			return func(d engine.Due) {
				if h.SetAside(d.Run.ID, "x", time.Time{}, put) != want {
					t.Errorf("set aside (%d): %v", put, !want)
				}
				if !want {
					h.hold(t, d.Run, "x", 24*time.Hour)
				}
			}
		}
		second, third := next(aside(engine.PutLast, true)), next(aside(engine.PutLast, true))
		fourth := next(func(d engine.Due) { h.hold(t, d.Run, "x", 24*time.Hour) })
		fifth := next(aside(engine.PutLast, false))
		first := next(aside(engine.PutFirst, true))
		l.calls(1) // it has to wait once more
		l.calls(1, first)
		l.calls(2, second, third)
		l.calls(1, fourth)
		l.calls(2, fifth)
		stop()
		h.Close()
	})
}

// Whoever is put aside by age stands behind those that were made before, also if
// it was called.
func testSetAsideByAge(t *testing.T, h *harness) {
	synctest.Test(t, func(t *testing.T) {
		h.start(t)
		l := &line{harness: h, t: t}
		ids := h.many(t, 5)
		put := func(d engine.Due) {
			time.Sleep(time.Duration(7*slices.Index(ids, d.Run.ID)%5) * time.Second) // 0 3 1 4 2
			if !h.SetAside(d.Run.ID, "x", time.Time{}, engine.PutByAge) {
				t.Error("cannot be set aside")
			}
		}
		called := false
		stop := h.dispatch(t, 5, func(d engine.Due) {
			switch {
			case d.Called == "":
				put(d)
			case !called:
				called = true
				time.Sleep(time.Second)
				if !h.SetAside(d.Run.ID, "x", time.Time{}, engine.PutByAge) {
					t.Error("cannot be set aside again")
				}
			default:
				l.advance(d)
			}
		})
		time.Sleep(time.Minute)
		h.Call("x", 1)
		time.Sleep(time.Minute)
		for _, id := range ids {
			l.calls(1, id)
		}
		stop()
		h.Close()
	})
}

// Queued lists those that wait for a turn, as long as the run asked about has it.
func testQueued(t *testing.T, h *harness) {
	h.start(t)
	h.accept(t, h.inbound(event(engine.SessionStarted, "s1", "")))
	var ids []string
	for range 4 {
		ids = append(ids, h.send(t, event(engine.ChatMessage, "s1", "")))
	}
	h.send(t, event(engine.ChatMessage, "s2", "")) // another turn
	queued := func(of string, least, most int, want ...string) {
		t.Helper()
		runs, err := h.Queued(t.Context(), of, least, most)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range runs {
			got = append(got, r.ID)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%d to %d behind %s: %v, want %v", least, most, of, got, want)
		}
	}
	queued(ids[0], 3, 10, ids[1:]...)
	queued(ids[0], 1, 2, ids[1:3]...)
	queued(ids[0], 4, 10)
	first := h.run(t, ids[0])
	h.finish(t, &first)
	queued(ids[0], 1, 10)
	queued(ids[1], 1, 10, ids[2:]...)
}
