package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// stored is the event of a delivery of ev alone, as stored.
func (h *harness) stored(t *testing.T, ev engine.Event) engine.EventRow {
	t.Helper()
	out := h.accept(t, h.inbound(ev))
	row, err := h.Event(context.Background(), out.Events[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	return row
}

func testSessions(t *testing.T, h *harness) {
	h.start(t)
	h.send(t, event(engine.SessionStarted, "s1", ""))
	h.send(t, event(engine.ParticipantJoined, "s1", "p1"))
	h.send(t, event(engine.ParticipantJoined, "s1", "p2"))
	h.restart(t)
	h.send(t, event(engine.ParticipantLeft, "s1", "p1"))
	h.send(t, event(engine.ParticipantJoined, "s1", "p3"))
	v := h.stored(t, event(engine.SessionEnded, "s1", "")).Session
	if v.Status != engine.Ended || v.Peak == nil || *v.Peak != 2 || v.Duration == nil {
		t.Errorf("session is %+v, want it ended with a peak of 2", v)
	}
	if again := h.stored(t, event(engine.SessionEnded, "s1", "")); !again.Outcome.Repeat {
		t.Errorf("a second end is %+v, want a repeat", again.Outcome)
	}
	if v := h.stored(t, event(engine.ChatMessage, "alone", "")).Session; v.Status != "" {
		t.Errorf("a message alone opened a session: %+v", v)
	}
}

// byRoom is an event of a platform without session ids.
func byRoom(typ, room string, at time.Time) engine.Event {
	ev := event(typ, "", "")
	ev.Room, ev.ByRoom, ev.Time = engine.Room{ID: room}, true, at
	return ev
}

func testRoomSession(t *testing.T, h *harness) {
	h.start(t)
	start := time.Now().UTC().Add(-time.Hour)
	// both in one delivery: the second finds what the first has made
	h.accept(t, h.inbound(byRoom(engine.SessionStarted, "a", start), byRoom(engine.SessionEnded, "a", start.Add(10*time.Minute))))
	h.restart(t)
	h.send(t, byRoom(engine.SessionStarted, "a", start.Add(20*time.Minute)))
	if v := h.stored(t, byRoom(engine.SessionEnded, "a", start.Add(50*time.Minute))).Session; v.Duration == nil || *v.Duration != 30*time.Minute {
		t.Errorf("second session of the room is %+v, want 30m", v)
	}
	if v := h.stored(t, byRoom(engine.RecordingEnded, "a", start.Add(5*time.Minute))).Session; !v.Started.Equal(start) {
		t.Errorf("a recording made in the first session belongs to %+v", v)
	}
	if s, err := h.Stats(context.Background()); err != nil || s.Sessions != 0 {
		t.Errorf("%d sessions are open (%v)", s.Sessions, err)
	}
}

func testPersonSession(t *testing.T, h *harness) {
	h.start(t)
	track := event(engine.TrackPublished, "", "p1") // names nothing but its participant
	h.accept(t, h.inbound(event(engine.SessionStarted, "s1", ""), event(engine.ParticipantJoined, "s1", "p1"), track))
	h.restart(t)
	for range 2 {
		if row := h.stored(t, track); row.Session.ID != "s1" || row.Room.ID != "room-s1" {
			t.Errorf("the track belongs to %q in %q", row.Session.ID, row.Room.ID)
		}
	}
	h.send(t, event(engine.SessionEnded, "s1", ""))
	if row := h.stored(t, track); row.Session.ID != "" {
		t.Errorf("the track belongs to %q, which is over", row.Session.ID)
	}
	out := h.accept(t, h.inbound(event(engine.ParticipantJoined, "s2", "p1"), event(engine.SessionEnded, "s2", ""), track))
	if row, err := h.Event(context.Background(), out.Events[2].ID); err != nil || row.Session.ID != "" {
		t.Errorf("the track belongs to %q, which is just over (%v)", row.Session.ID, err)
	}
}

func testSources(t *testing.T, h *harness) {
	h.start(t)
	for _, s := range []string{"s1", "s2", "s3"} {
		h.send(t, event(engine.SessionStarted, s, ""))
		h.send(t, event(engine.ParticipantJoined, s, "p1"))
	}
	h.send(t, event(engine.SessionEnded, "s3", ""))
	check := func(when string) {
		t.Helper()
		all, err := h.SourceStates(context.Background())
		if err != nil || len(all) != 1 {
			t.Fatalf("%s: sources %+v, %v", when, all, err)
		}
		s := all[0]
		if s.Name != "pnm" || s.Tenant != "default" || s.Sessions != 2 || s.Present != 2 || time.Since(s.LastEvent) > time.Minute {
			t.Errorf("%s: %+v", when, s)
		}
	}
	check("at once")
	h.restart(t)
	check("after a restart")
	got := make(chan engine.Source, 100)
	h.send(t, event(engine.ParticipantJoined, "s2", "p2"))
	run := h.send(t, event(engine.ChatMessage, "s2", ""))
	stop := h.dispatch(t, 4, func(d engine.Due) {
		if d.Run.ID == run {
			got <- d.Input.Source
		}
		h.finish(t, d.Run)
	})
	if s := wait(t, got); s.Sessions != 2 || s.Present != 3 {
		t.Errorf("the run sees %+v", s)
	}
	stop()
}

// An event that comes late tears apart what seemed to be one meeting.
func testRoomTornApart(t *testing.T, h *harness) {
	h.start(t)
	start := time.Now().UTC().Add(-time.Hour)
	join := func(person string, at time.Duration) {
		ev := byRoom(engine.ParticipantJoined, "a", start.Add(at))
		ev.Session.ID = "a" // as OpenVidu 2 does
		ev.Participant = engine.Participant{ID: person, ConnectionID: "c-" + person}
		h.send(t, ev)
	}
	begin := byRoom(engine.SessionStarted, "a", start)
	begin.Session.ID = "a"
	h.send(t, begin)
	join("p1", 5*time.Minute)
	join("p2", 6*time.Minute)
	join("p3", 25*time.Minute)
	h.restart(t)
	end := byRoom(engine.SessionEnded, "a", start.Add(10*time.Minute))
	end.Session.ID = "a"
	h.send(t, end)
	for _, when := range []string{"at once", "after a restart"} {
		rows, err := h.Sessions(context.Background(), engine.Query{})
		if err != nil || len(rows) != 2 {
			t.Fatalf("%s: sessions %+v (%v)", when, rows, err)
		}
		for i, want := range []struct {
			status string
			people []string
		}{{engine.Active, []string{"p3"}}, {engine.Ended, []string{"p1", "p2"}}} {
			row, err := h.Session(context.Background(), rows[i].Key)
			if err != nil || row.Session.Status != want.status || len(row.Participants) != len(want.people) {
				t.Errorf("%s: session %d is %+v (%v)", when, i, row, err)
				continue
			}
			for j, id := range want.people {
				if row.Participants[j].ID != id {
					t.Errorf("%s: participants of %d are %+v", when, i, row.Participants)
				}
			}
		}
		all, err := h.SourceStates(context.Background())
		if err != nil || all[0].Sessions != 1 || all[0].Present != 1 {
			t.Errorf("%s: source %+v (%v)", when, all, err)
		}
		run := h.send(t, event(engine.ChatMessage, "", ""))
		got := make(chan engine.Source, 100)
		stop := h.dispatch(t, 4, func(d engine.Due) {
			if d.Run.ID == run {
				got <- d.Input.Source
			}
			h.finish(t, d.Run)
		})
		if s := wait(t, got); s.Sessions != 1 || s.Present != 1 {
			t.Errorf("%s: the run sees %+v", when, s)
		}
		stop()
		h.restart(t)
	}
}
