package storetest

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
)

func testDuplicate(t *testing.T, h *harness) {
	h.start(t)
	for _, tc := range []struct {
		name string
		at   time.Time
	}{{"timed", time.Now()}, {"for good", time.Time{}}} {
		in := h.inbound(event(engine.ChatMessage, "s1", ""))
		in.Keys = []engine.DedupeKey{{ID: tc.name, Time: tc.at}}
		if h.accept(t, in).Duplicate {
			t.Fatalf("%s: the first is a duplicate", tc.name)
		}
		if out := h.accept(t, in); !out.Duplicate || len(out.Events) != 0 {
			t.Errorf("%s: the second is %+v", tc.name, out)
		}
		h.restart(t)
		if !h.accept(t, in).Duplicate {
			t.Errorf("%s: not a duplicate after a restart", tc.name)
		}
		in.Delivery.Source = "meet"
		if h.accept(t, in).Duplicate {
			t.Errorf("%s: another source's delivery is a duplicate", tc.name)
		}
	}
	rows, err := h.Events(context.Background(), engine.Query{})
	if err != nil || len(rows) != 4 {
		t.Errorf("%d events, want 4 (%v)", len(rows), err)
	}
}

func testConcurrentDuplicates(t *testing.T, h *harness) {
	h.start(t)
	in := h.inbound(event(engine.ChatMessage, "s1", ""))
	var mu sync.Mutex
	var wg sync.WaitGroup
	stored := 0
	for range 64 {
		wg.Go(func() {
			out, err := h.Accept(context.Background(), in)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			} else if !out.Duplicate {
				stored++
			}
		})
	}
	wg.Wait()
	if stored != 1 {
		t.Errorf("stored %d times", stored)
	}
}

func testAnyKey(t *testing.T, h *harness) {
	h.start(t)
	in := h.inbound(event(engine.ChatMessage, "s1", ""))
	in.Keys = []engine.DedupeKey{{ID: "id"}, {ID: "body"}}
	h.accept(t, in)
	for _, keys := range [][]engine.DedupeKey{{{ID: "new"}, {ID: "body"}}, {{ID: "id"}, {ID: "new"}}} {
		in.Keys = keys
		if !h.accept(t, in).Duplicate {
			t.Errorf("%v is not a duplicate", keys)
		}
	}
}

func testFreeKeys(t *testing.T, h *harness) {
	h.start(t)
	in := h.inbound(event(engine.ChatMessage, "s1", ""))
	in.Keys = []engine.DedupeKey{{ID: "a"}}
	h.accept(t, in)
	in.Keys = []engine.DedupeKey{{ID: "a"}, {ID: "b"}}
	h.accept(t, in)
	in.Keys = []engine.DedupeKey{{ID: "b"}, {ID: "b"}}
	if h.accept(t, in).Duplicate {
		t.Error("b was only seen in a delivery that was not stored")
	}
}

func testEventRow(t *testing.T, h *harness) {
	h.start(t)
	first, second := event(engine.SessionStarted, "s1", ""), event(engine.ChatMessage, "s1", "")
	in := h.inbound(first, second)
	out := h.accept(t, in)
	if len(out.Events) != 2 || out.Events[0].ID >= out.Events[1].ID {
		t.Fatalf("accepted %+v, want two events with ids in order", out.Events)
	}
	row, err := h.Event(context.Background(), out.Events[1].ID)
	if err != nil {
		t.Fatal(err)
	}
	if string(row.Payload) != string(second.Raw) || row.Delivery != in.Delivery.ID || row.Revision != "r1" {
		t.Errorf("row is %+v", row)
	}
	if row.Type != engine.ChatMessage || row.Session.Status != engine.Active || !row.Time.Equal(second.Time) {
		t.Errorf("event is %+v", row.Event)
	}
	if len(row.Outcome.Runs) != 1 || row.Outcome.Runs[0] != out.Events[1].Outcome.Runs[0] {
		t.Errorf("outcome is %+v", row.Outcome)
	}
	if _, err := h.Event(context.Background(), "evt_none"); err == nil || !strings.Contains(err.Error(), "evt_none") {
		t.Errorf("an unknown event is %v", err)
	}
}

func testNumbers(t *testing.T, h *harness) {
	h.start(t)
	want := map[string]any{"n": 9007199254740993, "f": 1.5, "list": []any{1, map[string]any{"x": 2}}, "s": "1"}
	ev := event(engine.RecordingEnded, "s1", "p1")
	ev.Room.Metadata, ev.Participant.Metadata = want, want
	id := h.send(t, ev)
	h.restart(t)
	join := event(engine.ParticipantJoined, "s1", "p2")
	h.send(t, join)
	got := make(chan engine.Due, 2)
	stop := h.dispatch(t, 2, func(d engine.Due) { h.finish(t, d.Run); got <- d })
	defer stop()
	for range 2 {
		d := wait(t, got)
		if m := d.Input.Event.Room.Metadata; !equal(m, want) {
			t.Errorf("metadata of %s came back as %#v", d.Run.Rule, m)
		}
	}
	h.state(t, id, engine.RunDone)
}

// equal compares untyped data, kinds of numbers included.
func equal(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for k := range a {
			if !equal(a[k], b[k]) {
				return false
			}
		}
		return true
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !equal(a[i], b[i]) {
				return false
			}
		}
		return true
	}
	return a == b
}

func testBrokenRule(t *testing.T, h *harness) {
	h.start(t)
	var wg sync.WaitGroup
	for i := range 40 {
		typ := engine.ChatMessage
		if i%4 == 0 {
			typ = engine.SignalSent
		}
		wg.Go(func() {
			out, err := h.Accept(context.Background(), h.inbound(event(typ, "s1", "")))
			if err != nil || len(out.Events) != 1 {
				t.Errorf("accepted %+v, %v", out, err)
			} else if o := out.Events[0].Outcome; (o.Problem != "") != (typ == engine.SignalSent) {
				t.Errorf("%s: outcome %+v", typ, o)
			}
		})
	}
	wg.Wait()
}

func testOnce(t *testing.T, h *harness) {
	h.start(t)
	var mu sync.Mutex
	var wg sync.WaitGroup
	runs, held := 0, 0
	for i := range 32 {
		ev := event(engine.ParticipantJoined, "s1", "p1")
		ev.Participant.ConnectionID = "c" + string(rune('a'+i)) // a reconnect each, not a repeat
		ev.Time = ev.Time.Add(time.Duration(i) * time.Millisecond)
		wg.Go(func() {
			out, err := h.Accept(context.Background(), h.inbound(ev))
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			runs += len(out.Events[0].Outcome.Runs)
			held += len(out.Events[0].Outcome.Suppressed)
		})
	}
	wg.Wait()
	if runs != 1 || held != 31 {
		t.Errorf("%d runs, %d suppressed, want 1 and 31", runs, held)
	}
	h.restart(t)
	ev := event(engine.ParticipantJoined, "s1", "p1")
	ev.Participant.ConnectionID = "later"
	out := h.accept(t, h.inbound(ev)).Events[0].Outcome
	if len(out.Runs) != 0 || len(out.Suppressed) != 1 || out.Suppressed[0].By != "once" {
		t.Errorf("after a restart: %+v", out)
	}
	if h.send(t, event(engine.ParticipantJoined, "s1", "p2")) == "" {
		t.Error("no run for another participant")
	}
}

func testQueueFull(t *testing.T, h *harness) {
	h.start(t)
	hold := make(chan struct{})
	h.plan.Hold = hold
	const many = 10_000 // more than any queue
	errs := make(chan error, many)
	var wg sync.WaitGroup
	for range many {
		wg.Go(func() {
			_, err := h.Accept(context.Background(), h.inbound(event(engine.ChatMessage, "", "")))
			errs <- err
		})
	}
	unavailable(t, wait(t, errs)) // while nothing is committed
	close(hold)
	wg.Wait()
	close(errs)
	stored := 0
	for err := range errs {
		if err == nil {
			stored++
		} else {
			unavailable(t, err)
		}
	}
	s, err := h.Stats(context.Background())
	if err != nil || s.Events != int64(stored) || stored == 0 {
		t.Errorf("%d events for %d good answers (%v)", s.Events, stored, err)
	}
}

func testContext(t *testing.T, h *harness) {
	h.start(t)
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := h.Accept(ended, h.inbound(event(engine.ChatMessage, "s1", "")))
	unavailable(t, err)
	_, err = h.Revision(ended, "r1")
	unavailable(t, err)
	hold := make(chan struct{})
	h.plan.Hold = hold
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		_, err := h.Accept(ctx, h.inbound(event(engine.ChatMessage, "s1", "")))
		done <- err
	}()
	cancel()
	unavailable(t, wait(t, done)) // while nothing can be committed
	close(hold)
	h.plan = NewRules("r1")
	h.send(t, event(engine.ChatMessage, "s1", ""))
}

func testClosed(t *testing.T, h *harness) {
	h.start(t)
	id := h.send(t, event(engine.ChatMessage, "s1", ""))
	r := h.run(t, id)
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := h.Accept(context.Background(), h.inbound(event(engine.ChatMessage, "s1", "")))
	unavailable(t, err)
	_, err = h.Record(context.Background(), &r, engine.Result{})
	unavailable(t, err)
	h.Refused(engine.Received{}) // does not panic
}
