package storetest

import (
	"sync"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
)

func testWait(t *testing.T, h *harness) {
	h.send(t, event(engine.SessionStarted, "s1", ""))
	h.send(t, event(engine.ParticipantJoined, "s1", "p1"))
	h.send(t, event(engine.ParticipantJoined, "s1", "p2"))
	began := time.Now()
	run := h.send(t, event(engine.RecordingEnded, "s1", "p1"))
	var mu sync.Mutex
	var seen []engine.Due
	advance := func(d engine.Due) {
		if d.Run.ID != run {
			h.finish(t, d.Run)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, d)
		switch len(seen) {
		case 1: // waits
			d.Run.State, d.Run.Due, d.Run.Updated = engine.RunWaiting, began.Add(10*time.Minute), time.Now()
			d.Run.Call = &engine.StepCall{ID: "1", Action: "wait"}
			h.record(t, d.Run, engine.Result{})
		case 2: // has waited, and fails at what is next
			d.Run.Call = step(1)
			h.retry(t, d.Run, 5*time.Minute)
		default:
			h.finish(t, d.Run)
		}
	}
	stop := h.dispatch(t, 4, advance)
	settle(time.Second)
	h.state(t, run, engine.RunWaiting)
	next := h.send(t, event(engine.RecordingEnded, "s1", "p2"))
	settle(time.Second)
	h.state(t, next, engine.RunDone) // who waits has no turn
	settle(5 * time.Minute)
	stop()
	h.restart(t)
	stop = h.dispatch(t, 4, advance)
	h.send(t, event(engine.ParticipantLeft, "s1", "p1"))
	h.send(t, event(engine.ParticipantJoined, "s1", "p3"))
	h.send(t, event(engine.ParticipantJoined, "s1", "p4"))
	settle(4 * time.Minute)
	mu.Lock()
	if len(seen) != 1 {
		t.Errorf("went on after %v", time.Since(began))
	}
	mu.Unlock()
	settle(2 * time.Minute)
	stop()
	h.send(t, event(engine.SessionEnded, "s1", ""))
	h.send(t, event(engine.ParticipantJoined, "s1", "p5"))
	h.restart(t)
	stop = h.dispatch(t, 4, advance)
	settle(10 * time.Minute)
	stop()
	if len(seen) != 3 {
		t.Fatalf("went on %d times, want 3", len(seen))
	}
	if in := seen[0].Input; len(in.Participants) != 2 || !in.Event.Participant.Present {
		t.Errorf("before the wait: %+v", in)
	}
	for i, d := range seen[1:] {
		in, v := d.Input, d.Run.View
		if v == nil || v.At.Sub(began) < 10*time.Minute || v.At.Sub(began) > 10*time.Minute+time.Second || !in.Now.Equal(v.At) {
			t.Errorf("%d: the view is of %+v", i, v)
			continue
		}
		if p := in.Event.Session.Present; p == nil || *p != 3 || in.Event.Session.Status != engine.Active || in.Event.Participant.Present {
			t.Errorf("%d: sees %+v, %+v", i, in.Event.Session, in.Event.Participant)
		}
		if d := in.Event.Session.Duration; d == nil || *d < 10*time.Minute || *d > 10*time.Minute+time.Second {
			t.Errorf("%d: duration %v", i, d)
		}
		var present []string
		for _, p := range in.Participants {
			if p.Present {
				present = append(present, p.ID)
			}
		}
		if len(in.Participants) != 4 || len(present) != 3 {
			t.Errorf("%d: %d participants, present are %v", i, len(in.Participants), present)
		}
	}
	h.state(t, run, engine.RunDone)
}

func testShadow(t *testing.T, h *harness) {
	h.start(t)
	shadow := h.send(t, event(engine.IngressStarted, "s1", ""))
	run := h.send(t, event(engine.ChatMessage, "s1", ""))
	for _, tc := range []struct {
		name string
		q    engine.Query
		want []string
	}{
		{"default", engine.Query{}, []string{run}},
		{"shadow", engine.Query{Shadow: true}, []string{shadow}},
		{"by rule", engine.Query{Rule: engine.IngressStarted}, nil},
		{"by id", engine.Query{ID: shadow}, []string{shadow}},
	} {
		rows, err := h.Runs(t.Context(), tc.q)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range rows {
			got = append(got, r.ID)
		}
		if len(got) != len(tc.want) || len(got) == 1 && got[0] != tc.want[0] {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
	if r := h.run(t, shadow); !r.Shadow {
		t.Errorf("run is %+v", r)
	}
}
