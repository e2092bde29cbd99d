package storetest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
)

func testSessionQueries(t *testing.T, h *harness) {
	ctx := context.Background()
	start := time.Now().UTC()
	for _, s := range []string{"s1", "s2", "s3"} {
		ev := event(engine.SessionStarted, s, "")
		if s == "s3" {
			ev.Source = "meet"
		}
		h.send(t, ev)
		pass(time.Minute)
	}
	host := event(engine.ParticipantJoined, "s2", "p1")
	host.Participant.Role = engine.RoleHost
	h.send(t, host)
	h.send(t, event(engine.ParticipantJoined, "s2", "p2"))
	rec := event(engine.RecordingStarted, "s2", "")
	rec.Recording = engine.Recording{ID: "rec1", Name: "first"}
	h.send(t, rec)
	h.send(t, event(engine.SessionEnded, "s1", ""))
	h.accept(t, h.inbound(byRoom(engine.SessionStarted, "lobby", start)))
	pass(time.Hour)
	for _, tc := range []struct {
		name string
		q    engine.Query
		want string
	}{
		{"all", engine.Query{}, "lobby s3 s2 s1"},
		{"limit", engine.Query{Limit: 2}, "lobby s3"},
		{"cursor", engine.Query{Cursor: "meet/s3"}, "s2 s1"},
		{"after", engine.Query{After: "pnm/s2"}, "s3 lobby"},
		{"active", engine.Query{Active: true}, "lobby s3 s2"},
		{"state", engine.Query{State: engine.Ended}, "s1"},
		{"source", engine.Query{Source: "meet"}, "s3"},
		{"room", engine.Query{Room: "room-s2"}, "s2"},
		{"room by name", engine.Query{Room: "Room s2"}, "s2"},
		{"since", engine.Query{Since: start.Add(150 * time.Second)}, "s2 s1"},
		{"key", engine.Query{Session: "pnm/s1"}, "s1"},
		{"id", engine.Query{Session: "s1"}, "s1"},
		{"start of a key", engine.Query{ID: "pnm/s"}, "s2 s1"},
		{"start of an id", engine.Query{ID: "s"}, "s3 s2 s1"},
		{"none", engine.Query{ID: "%"}, ""},
	} {
		rows, err := h.Sessions(ctx, tc.q)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range rows {
			id, _, _ := strings.Cut(r.Session.ID, "@")
			got = append(got, id)
		}
		if strings.Join(got, " ") != tc.want {
			t.Errorf("%s: %v, want %s", tc.name, got, tc.want)
		}
	}
	rows, _ := h.Sessions(ctx, engine.Query{Session: "s2"})
	one, err := h.Session(ctx, "s2")
	if err != nil || len(rows) != 1 {
		t.Fatalf("%d rows (%v)", len(rows), err)
	}
	for name, r := range map[string]engine.SessionRow{"list": rows[0], "one": one} {
		s := r.Session
		if r.Key != "pnm/s2" || r.Source != "pnm" || r.Platform != "plugnmeet" || r.Tenant != "default" || r.Room.Name != "Room s2" ||
			s.Present == nil || *s.Present != 2 || s.Host == nil || s.Host.ID != "p1" || !s.Recording || s.Duration == nil || *s.Duration < time.Hour {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if len(one.Participants) != 2 || len(one.Recordings) != 1 || one.Recordings[0].Name != "first" || len(rows[0].Participants) != 0 {
		t.Errorf("people %+v, recordings %+v", one.Participants, one.Recordings)
	}
	for id, want := range map[string]string{"pnm/s1": "pnm/s1", "s1": "pnm/s1", "meet": "meet/s3", "lob": "pnm/lobby", "pnm/s": "", "nobody": "", "": ""} {
		r, err := h.Session(ctx, id)
		if want == "" && err == nil || want != "" && !strings.HasPrefix(r.Key, want) {
			t.Errorf("session %q is %q (%v)", id, r.Key, err)
		}
		if (id == "nobody" || id == "") && !errors.Is(err, engine.ErrNotFound) {
			t.Errorf("session %q: %v", id, err)
		}
	}
}

// Events of a session are found by its key, by its id, and even if they have
// opened none.
func testEventsOfSession(t *testing.T, h *harness) {
	h.start(t)
	for range 2 {
		h.send(t, event(engine.ParticipantJoined, "s1", "p1"))
		h.send(t, event(engine.ParticipantJoined, "s2", "p1"))
		h.send(t, event(engine.WebhookTest, "s3", ""))
	}
	for q, want := range map[string]int{"s1": 2, "pnm/s1": 2, "s3": 2, "pnm/s3": 0, "s4": 0} {
		rows, err := h.Events(context.Background(), engine.Query{Session: q})
		if err != nil || len(rows) != want {
			t.Errorf("%d events of %s, want %d (%v)", len(rows), q, want, err)
		}
		runs, err := h.Runs(context.Background(), engine.Query{Session: q})
		if n := len(runs); err != nil || n > 1 || want == 2 && q != "s3" && n != 1 {
			t.Errorf("%d runs of %s (%v)", n, q, err)
		}
	}
}

func testTimerQueries(t *testing.T, h *harness) {
	for _, s := range []string{"s1", "s2"} {
		h.send(t, event(engine.SessionStarted, s, ""))
		h.send(t, event(engine.ParticipantWaiting, s, "p1"))
	}
	set := h.stored(t, event(engine.TranscriptionStarted, "s1", "")).ID
	h.send(t, event(engine.SessionEnded, "s2", ""))
	all := h.timers(t, engine.Query{})
	for _, tc := range []struct {
		name string
		q    engine.Query
		want []int
	}{
		{"all", engine.Query{}, []int{0, 1, 2}},
		{"open", engine.Query{Active: true}, []int{0, 2}},
		{"session", engine.Query{Session: "s1"}, []int{0, 2}},
		{"session by key", engine.Query{Session: "pnm/s2"}, []int{1}},
		{"event", engine.Query{ID: set}, []int{2}},
		{"id", engine.Query{ID: all[1].ID}, []int{1}},
		{"rule", engine.Query{Rule: engine.ParticipantWaiting}, []int{0, 1}},
		{"state", engine.Query{State: engine.TimerCancelled}, []int{1}},
		{"pending", engine.Query{State: engine.TimerPending}, []int{0, 2}},
		{"cursor", engine.Query{Cursor: all[1].ID}, []int{0}},
		{"limit", engine.Query{Limit: 1}, []int{2}},
	} {
		var got []int
		for _, x := range h.timers(t, tc.q) {
			got = append(got, slices.IndexFunc(all, func(o engine.Timer) bool { return o.ID == x.ID }))
		}
		if !same(got, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
}
