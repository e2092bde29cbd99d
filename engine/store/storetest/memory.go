package storetest

import (
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
)

func testCooldown(t *testing.T, h *harness) {
	if h.send(t, event(engine.StreamStarted, "s1", "")) == "" {
		t.Fatal("no run")
	}
	settle(10 * time.Minute)
	h.restart(t)
	o := h.stored(t, event(engine.StreamStarted, "s2", "")).Outcome
	if len(o.Runs) != 0 || len(o.Suppressed) != 1 || o.Suppressed[0].By != "cooldown" || time.Until(o.Suppressed[0].Until) > 5*time.Minute {
		t.Errorf("while it cools down: %+v", o)
	}
	other := event(engine.StreamStarted, "s2", "")
	other.Source = "meet"
	if h.send(t, other) == "" {
		t.Error("no run for another key")
	}
	settle(5*time.Minute + time.Second)
	if h.send(t, event(engine.StreamStarted, "s3", "")) == "" {
		t.Error("no run afterwards")
	}
}

func testCount(t *testing.T, h *harness) {
	artifact := func() string { return h.send(t, event(engine.ArtifactCreated, "s1", "")) }
	h.send(t, event(engine.SessionStarted, "s1", ""))
	first := h.stored(t, event(engine.ArtifactCreated, "s1", "")).Outcome
	if len(first.Suppressed) != 1 || first.Suppressed[0].Note != "1 of 3" {
		t.Errorf("the first is %+v", first)
	}
	settle(50 * time.Second)
	artifact()
	h.restart(t)
	settle(20 * time.Second) // the first is too old now
	if artifact() != "" {
		t.Error("fired on 2 within a minute")
	}
	settle(time.Second)
	// two at once: the second of them finds what the first has gathered
	out := h.accept(t, h.inbound(event(engine.ArtifactCreated, "s1", ""), event(engine.ArtifactCreated, "s1", "")))
	if len(out.Events[0].Outcome.Runs) != 1 || len(out.Events[1].Outcome.Runs) != 0 {
		t.Fatalf("outcomes %+v", out.Events)
	}
	r := h.run(t, out.Events[0].Outcome.Runs[0].Run)
	if len(r.Events) != 3 || r.Events[2] != out.Events[0].ID {
		t.Errorf("the run sees %v", r.Events)
	}
	if artifact() != "" { // 2 of 3: those of the run are spent
		t.Error("fired on spent events")
	}
	got, stop := h.finishing(t, engine.ArtifactCreated)
	defer stop()
	if in := wait(t, got).Input; len(in.Events) != 3 || in.Events[0].Type != engine.ArtifactCreated || len(in.Events[0].Raw) != 0 { // payloads are not for gathered events
		t.Errorf("the run sees %+v", in.Events)
	}
	h.restart(t)
}

func testDigest(t *testing.T, h *harness) {
	_, stop := h.finishing(t, engine.StreamUpdated)
	h.send(t, event(engine.SessionStarted, "s1", ""))
	for range 3 {
		h.send(t, event(engine.StreamUpdated, "s1", ""))
		settle(time.Minute)
	}
	stop()
	h.restart(t)
	h.send(t, event(engine.StreamUpdated, "s2", ""))
	var got chan engine.Due
	got, stop = h.finishing(t, engine.StreamUpdated)
	settle(3 * time.Minute)
	if len(got) != 1 {
		t.Fatalf("%d runs", len(got))
	}
	if in := (<-got).Input; len(in.Events) != 4 || in.Events[3].Session.ID != "s2" || in.Dropped != 0 {
		t.Errorf("the run sees %d events, %d dropped", len(in.Events), in.Dropped)
	}
	if x := h.ended(t, engine.StreamUpdated, engine.TimerFired, ""); x.N != 4 {
		t.Errorf("timer is %+v", x)
	}
	// more than a run sees, and more than is handed over in memory
	for range 11 {
		var many []engine.Event
		for range 100 {
			many = append(many, event(engine.StreamUpdated, "s1", ""))
		}
		h.accept(t, h.inbound(many...))
	}
	settle(6 * time.Minute)
	if in := wait(t, got).Input; len(in.Events) != 1000 || in.Dropped != 100 {
		t.Errorf("the run sees %d events, %d dropped", len(in.Events), in.Dropped)
	}
	stop()
}
