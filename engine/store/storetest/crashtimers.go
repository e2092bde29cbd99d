package storetest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// soon is how long a digest takes: some are set, some fire, some have fired
// when the process is killed. (Holds and expectations that are overdue at the
// start wait for what may be on its way.)
const soon = 15 * time.Millisecond

// timerChild sets timers and ends their runs with a step that emits, until it
// is killed.
func timerChild(t *testing.T, h *harness) {
	h.plan.For = soon
	h.use(t)
	h.dispatch(t, 4, func(d engine.Due) {
		if h.end(d) == nil {
			fmt.Printf("done %s\n", d.Run.ID)
		}
	})
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for {
				session := newcomer()
				out, err := h.Accept(context.Background(), h.inbound(
					event(engine.SessionStarted, session, ""), event(engine.StreamEnded, session, "")))
				if err != nil {
					return
				}
				fmt.Printf("event %s\n", out.Events[1].ID)
			}
		})
	}
	wg.Wait()
}

// end ends a run. That of a timer emits.
func (h *harness) end(d engine.Due) error {
	res := engine.Result{}
	done(d.Run)
	if d.Run.Rule == engine.StreamEnded {
		res = engine.Result{Kind: "emit", Emit: []engine.Event{emitted(d.Run.ID)}}
	}
	_, err := h.Record(context.Background(), d.Run, res)
	return err
}

func testKillTimers(t *testing.T, h *harness) {
	ctx := context.Background()
	for round := range 5 {
		acked, _ := killed(t, h, 100+150*round, childTimers)
		h.Store = h.open(t, h.dir)
		h.plan.For = soon
		left, err := h.OpenTimers(ctx)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%d timers set, %d left to fire", len(acked), left)
		h.use(t)
		finished := make(chan string, 100_000)
		stop := h.dispatch(t, 4, func(d engine.Due) {
			if err := h.end(d); err != nil {
				t.Error(err)
			}
			finished <- d.Run.ID
		})
		for !h.quiet(t) {
			wait(t, finished)
		}
		stop()

		timers, made, events := map[string]engine.Timer{}, map[string]int{}, map[string]int{}
		for _, x := range h.timers(t, engine.Query{Limit: 1_000_000}) {
			if _, twice := timers[x.Event]; twice || x.State != engine.TimerFired || x.Run == "" {
				t.Errorf("timer %+v", x)
			}
			timers[x.Event] = x
		}
		runs, err := h.Runs(ctx, engine.Query{Rule: engine.StreamEnded, Limit: 1_000_000})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range runs {
			if made[r.Event]++; made[r.Event] > 1 || timers[r.Event].Run != r.ID {
				t.Errorf("run %s of timer %+v", r.ID, timers[r.Event])
			}
		}
		rows, err := h.Events(ctx, engine.Query{Type: engine.Emitted, Limit: 1_000_000})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range rows {
			events[e.Name]++
		}
		for _, id := range acked {
			if made[id] != 1 || events[timers[id].Run] != 1 {
				t.Errorf("event %s made %d runs, which emitted %d events", id, made[id], events[timers[id].Run])
			}
		}
		if len(timers) != len(runs) || len(runs) != len(rows) {
			t.Errorf("%d timers, %d runs, %d events emitted", len(timers), len(runs), len(rows))
		}
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	}
}

// quiet reports whether nothing is left to do.
func (h *harness) quiet(t *testing.T) bool {
	t.Helper()
	open, err := h.OpenTimers(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	s, err := h.Stats(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return open == 0 && s.Runs[engine.RunReady]+s.Runs[engine.RunQueued]+s.Runs[engine.RunRunning] == 0
}
