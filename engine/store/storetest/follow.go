package storetest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// emitted is an event that a step emits.
func emitted(name string) engine.Event {
	now := time.Now().UTC()
	return engine.Event{
		Type: engine.Emitted, Name: name, Platform: engine.PlatformGavel, Source: "pnm", Tenant: "default",
		Time: now, Received: now, Hop: 1, Raw: json(`{"n":1}`),
	}
}

// done ends a run at a step of a kind that emits.
func done(r *engine.Run) {
	r.Steps = append(r.Steps, engine.StepRecord{Branch: engine.BranchThen, At: r.At, ID: "1", Action: "emit", State: engine.StepDone})
	r.State, r.Due, r.Updated = engine.RunDone, time.Time{}, time.Now()
}

func (h *harness) emittedEvents(t *testing.T, want int) []engine.EventRow {
	t.Helper()
	all, err := h.Events(context.Background(), engine.Query{Type: engine.Emitted})
	if err != nil || len(all) != want {
		t.Fatalf("%d events were emitted, want %d (%v)", len(all), want, err)
	}
	return all
}

func testEmit(t *testing.T, h *harness) {
	h.start(t)
	h.send(t, event(engine.SessionStarted, "s1", ""))
	r := h.run(t, h.send(t, event(engine.ParticipantJoined, "s1", "p1")))
	done(&r)
	res := engine.Result{Kind: "emit", Emit: []engine.Event{emitted("a"), emitted("b")}}
	h.record(t, &r, res)
	h.record(t, &r, res)
	h.restart(t)
	h.record(t, &r, res)
	all := h.emittedEvents(t, 2)
	for i, name := range []string{"b", "a"} {
		row := all[i]
		if row.Name != name || row.Session.ID != "s1" || *row.Session.Present != 1 || row.Delivery != "" || len(row.Outcome.Runs) != 1 {
			t.Errorf("emitted %+v", row)
		}
		made := h.run(t, row.Outcome.Runs[0].Run)
		if made.Session != "pnm/s1" || made.Event != row.ID || made.Rule != engine.Emitted {
			t.Errorf("run of it: %+v", made)
		}
	}
	if row, err := h.Event(context.Background(), all[0].ID); err != nil || string(row.Raw) != `{"n":1}` || row.Hop != 1 {
		t.Errorf("stored as %+v (%v)", row, err)
	}
	if rows, err := h.Deliveries(context.Background(), engine.Query{}); err != nil || len(rows) != 2 {
		t.Errorf("%d deliveries (%v)", len(rows), err)
	}
	got, stop := h.finishing(t, engine.Emitted)
	for range 2 {
		wait(t, got)
	}
	stop()
}

// What is emitted is told apart by the step that did, and needs no session.
func testEmitTwice(t *testing.T, h *harness) {
	h.start(t)
	r := h.run(t, h.send(t, event(engine.ChatMessage, "", "")))
	r.Steps = append(r.Steps, engine.StepRecord{Branch: engine.BranchThen, At: 0, Action: "emit", State: engine.StepDone})
	r.At = 1
	h.record(t, &r, engine.Result{Kind: "emit", Emit: []engine.Event{emitted("a")}})
	r.At = 1
	done(&r)
	h.record(t, &r, engine.Result{Kind: "emit", Emit: []engine.Event{emitted("b")}})
	for _, row := range h.emittedEvents(t, 2) {
		if row.Session.Status != "" || row.Outcome.Problem != "" {
			t.Errorf("emitted %+v", row)
		}
	}
	if rows, err := h.Sessions(context.Background(), engine.Query{}); err != nil || len(rows) != 0 {
		t.Errorf("%d sessions (%v)", len(rows), err)
	}
}

func testEmitFenced(t *testing.T, h *harness) {
	h.start(t)
	old := h.run(t, h.send(t, event(engine.ChatMessage, "s1", "")))
	h.fail(t, &old)
	if _, err := h.Wake(context.Background(), old.ID, time.Now()); err != nil {
		t.Fatal(err)
	}
	done(&old)
	_, err := h.Record(context.Background(), &old, engine.Result{Kind: "emit", Emit: []engine.Event{emitted("a")}})
	if !errors.Is(err, engine.ErrFenced) {
		t.Errorf("a record of the one before is %v", err)
	}
	h.emittedEvents(t, 0)
}

// The turn is given up in the same transaction in which a step emits what
// wants it.
func testEmitTurns(t *testing.T, h *harness) {
	h.start(t)
	h.send(t, event(engine.SessionStarted, "s1", ""))
	r := h.run(t, h.send(t, event(engine.ChatMessage, "s1", "")))
	done(&r)
	message := emitted("a")
	message.Type = engine.ChatMessage // its rule has the turn of r
	h.record(t, &r, engine.Result{Kind: "emit", Emit: []engine.Event{message, message}})
	got, stop := h.finishing(t, engine.ChatMessage)
	for range 2 {
		wait(t, got)
	}
	stop()
}

func testDerived(t *testing.T, h *harness) {
	h.send(t, event(engine.SessionStarted, "s1", ""))
	h.send(t, event(engine.ParticipantJoined, "s1", "p1"))
	h.send(t, event(engine.ParticipantJoined, "s1", "p2"))
	heard, err := h.SourceStates(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	settle(time.Minute)
	media := event(engine.SessionMediaEnded, "s1", "")
	h.send(t, media)
	heard[0].LastEvent = media.Received
	ended, stop := h.finishing(t, engine.SessionEnded)
	settle(9 * time.Second)
	none(t, ended, "an end too early")
	settle(2 * time.Second)
	if len(ended) != 1 {
		t.Fatalf("%d runs of the end", len(ended))
	}
	in := (<-ended).Input
	if !slices.Contains(in.Event.Derived, engine.DerivedEvent) || !in.Event.Time.Equal(media.Time) || in.SessionKey != "pnm/s1" ||
		in.Event.Session.Status != engine.Ended {
		t.Errorf("derived %+v", in.Event)
	}
	stop()
	h.restart(t)
	left, stop := h.finishing(t, engine.ParticipantLeft)
	defer stop()
	settle(11 * time.Second)
	if len(left) != 2 {
		t.Errorf("%d have left, want 2", len(left))
	}
	settle(25 * time.Hour)
	if s, err := h.Session(context.Background(), "s1"); err != nil || s.Session.Status != engine.Ended || s.Session.Estimated {
		t.Errorf("session is %+v (%v)", s.Session, err)
	}
	rows, err := h.Events(context.Background(), engine.Query{Session: "s1"})
	if err != nil || len(rows) != 7 {
		t.Errorf("%d events (%v)", len(rows), err)
	}
	now, err := h.SourceStates(context.Background())
	if err != nil || len(now) != 1 || now[0].Sessions != 0 || now[0].Present != 0 || now[0].LastEvent.Sub(heard[0].LastEvent).Abs() > time.Millisecond {
		t.Errorf("sources are %+v, want last heard %v (%v)", now, heard[0].LastEvent, err)
	}
}

func testSilence(t *testing.T, h *harness) {
	const many = 600 // more than one transaction looks at
	for i := range many {
		h.accept(t, h.inbound(event(engine.SessionStarted, session(i), ""), event(engine.ParticipantJoined, session(i), "p1")))
	}
	settle(20 * time.Hour)
	for i := range 10 {
		h.send(t, event(engine.TrackPublished, session(i), "p1"))
	}
	open := func(want int64) {
		t.Helper()
		if s, err := h.Stats(context.Background()); err != nil || s.Sessions != want {
			t.Errorf("%d sessions are open, want %d (%v)", s.Sessions, want, err)
		}
	}
	settle(3 * time.Hour)
	open(many)
	h.restart(t)
	settle(time.Hour + time.Minute)
	open(10)
	settle(19 * time.Hour)
	open(10)
	settle(time.Hour)
	open(0)
	s, err := h.Session(context.Background(), session(0))
	if err != nil || !s.Session.Estimated || len(s.Participants) != 1 || s.Participants[0].Present {
		t.Errorf("session is %+v (%v)", s, err)
	}
	h.send(t, event(engine.TrackPublished, session(0), "p1"))
	open(1)
}

func session(i int) string {
	return "s" + string(rune('a'+i/26/26)) + string(rune('a'+i/26%26)) + string(rune('a'+i%26))
}
