package ruletest

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gavelhq/gavel/engine"
)

// heard is an event of a source some minutes after the beginning.
func heard(minute int, source, session, typ, person string) engine.Event {
	at := time.Date(2026, 11, 2, 10, minute, 0, 0, time.UTC)
	return engine.Event{
		ID: "evt_" + at.Format("1504") + source + person, Type: typ, Name: typ, Source: source, Platform: "plugnmeet", Tenant: "default", Time: at, Received: at,
		Session: engine.Session{ID: session}, Room: engine.Room{ID: session, Name: "Room " + session}, Participant: engine.Participant{ID: person, ConnectionID: person},
	}
}

func TestHistory(t *testing.T) {
	begun := time.Date(2026, 11, 2, 10, 0, 0, 0, time.UTC)
	h, err := NewHistory(begun)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	var last *engine.Event
	var key string
	for _, ev := range []engine.Event{
		heard(0, "a", "s1", engine.SessionStarted, ""),
		heard(1, "a", "s1", engine.ParticipantJoined, "ann"),
		heard(2, "b", "s2", engine.SessionStarted, ""),
		heard(3, "a", "s3", engine.SessionStarted, ""),
		heard(4, "a", "s3", engine.SessionEnded, ""),
		heard(5, "a", "s1", engine.ParticipantJoined, "bob"),
	} {
		if last, key, err = h.Add(ev); err != nil {
			t.Fatal(err)
		}
	}
	if key != "a/s1" || last.Session.Started != begun || *last.Session.Present != 2 {
		t.Errorf("got %s, %+v", key, last.Session)
	}
	in := engine.MatchInput{Event: last, SessionKey: key, Now: last.Received}
	if known, err := h.Fill(&in); err != nil || !known {
		t.Fatal(known, err)
	}
	var people, sessions []string
	for _, p := range in.Participants {
		people = append(people, p.ID)
	}
	for _, s := range in.Sessions {
		sessions = append(sessions, s.Source+"/"+s.ID)
	}
	if !slices.Equal(people, []string{"ann", "bob"}) || !slices.Equal(sessions, []string{"b/s2", "a/s1"}) {
		t.Errorf("got %v in %v", people, sessions)
	}
	want := engine.Source{Name: "a", Tenant: "default", Sessions: 1, Present: 2, LastEvent: begun.Add(4 * time.Minute)}
	if d := cmp.Diff(want, in.Source); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if facts := h.Differs(in); len(facts) > 0 {
		t.Errorf("it differs in %v", facts)
	}
	if h.Older(begun) || !h.Older(begun.Add(time.Minute)) {
		t.Error("sessions began at another time")
	}

	// An event of our own follows from what was sent.
	own := engine.Event{ID: "evt_own", Type: engine.Emitted, Source: "a", Tenant: "default"}
	in = engine.MatchInput{Event: &own, SessionKey: "a/s1", Now: begun.Add(10 * time.Minute)}
	if _, err := h.Fill(&in); err != nil || !in.Source.LastEvent.Equal(begun.Add(5*time.Minute)) {
		t.Errorf("got %v, %v", in.Source, err)
	}

	three := 3
	in.Event.Session = engine.Session{Status: engine.Active, Started: begun, Present: &three, Peak: &three, Attended: time.Hour}
	if facts := h.Differs(in); !slices.Equal(facts, []string{"session.present", "session.peak", "session.attended"}) {
		t.Errorf("it differs in %v", facts)
	}
	in.SessionKey = "a/unknown"
	if known, err := h.Fill(&in); known || err != nil {
		t.Error(known, err)
	}
	if facts := h.Differs(in); !slices.Equal(facts, []string{"session"}) {
		t.Errorf("it differs in %v", facts)
	}
}

// A session that falls silent is over, as it is on a server.
func TestHistoryPasses(t *testing.T) {
	h, err := NewHistory(time.Date(2026, 11, 2, 10, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if _, _, err := h.Add(heard(0, "a", "s1", engine.SessionStarted, "")); err != nil {
		t.Fatal(err)
	}
	later := heard(0, "a", "s2", engine.SessionStarted, "")
	later.Received = later.Received.Add(25 * time.Hour)
	later.Time = later.Received
	ev, key, err := h.Add(later)
	if err != nil {
		t.Fatal(err)
	}
	in := engine.MatchInput{Event: ev, SessionKey: key, Now: ev.Received}
	if _, err := h.Fill(&in); err != nil || len(in.Sessions) != 1 || in.Sessions[0].ID != "s2" {
		t.Errorf("got %v, %v", in.Sessions, err)
	}
	in.Event, in.Now = &engine.Event{ID: "evt_own", Source: "a"}, in.Now.Add(25*time.Hour)
	if _, err := h.Fill(&in); err != nil || len(in.Sessions) != 0 || in.Source.Sessions != 0 {
		t.Errorf("got %v, %v", in.Sessions, err)
	}
}
