package storetest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
)

func testEverything(t *testing.T, h *harness) {
	h.start(t)
	ctx := context.Background()
	const clients, each = 12, 20
	finished := make(chan string, 4*clients*each)
	h.dispatch(t, 8, func(d engine.Due) {
		if d.Run.At == 0 && d.Run.Rule == engine.RecordingEnded && len(d.Run.Tries) == 0 {
			h.retry(t, d.Run, 5*time.Millisecond)
			return
		}
		h.finish(t, d.Run)
		finished <- d.Run.ID
	})
	aside := []func() error{
		func() error { _, err := h.Events(ctx, engine.Query{Type: engine.ChatMessage}); return err },
		func() error { _, err := h.Runs(ctx, engine.Query{State: engine.RunReady}); return err },
		func() error { _, err := h.Stats(ctx); return err },
		func() error { _, err := h.SourceStates(ctx); return err },
		func() error { h.Refused(refusal(time.Now(), 1)); return nil },
		func() error { _, err := h.Use(ctx, h.plan); return err },
	}
	var wg sync.WaitGroup
	runs := make(chan string, 4*clients*each)
	for c := range clients {
		wg.Go(func() {
			for i := range each {
				session := fmt.Sprint("s", i%4)
				for _, ev := range []engine.Event{
					event(engine.ParticipantJoined, session, fmt.Sprint("p", c, "-", i)),
					event(engine.ChatMessage, session, ""),
					event(engine.RecordingEnded, session, ""),
				} {
					ev.Recording.ID = fmt.Sprint("rec", c, "-", i)
					out, err := h.Accept(ctx, h.inbound(ev))
					if err != nil {
						t.Error(err)
						return
					}
					for _, r := range out.Events[0].Outcome.Runs {
						runs <- r.Run
					}
				}
				if err := aside[(c+i)%len(aside)](); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	close(runs)
	want := map[string]bool{}
	for id := range runs {
		want[id] = true
	}
	if len(want) != 3*clients*each {
		t.Errorf("%d runs, want %d", len(want), 3*clients*each)
	}
	for range len(want) {
		id := wait(t, finished)
		if !want[id] {
			t.Errorf("run %s is not known or finished twice", id)
		}
		delete(want, id)
	}
}
