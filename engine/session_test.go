package engine

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var t0 = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)

func at(s int) time.Time { return t0.Add(time.Duration(s) * time.Second) }

func ev(typ string, s int, change ...func(*Event)) Event {
	e := Event{Type: typ, Source: "pnm", Tenant: "default", Time: at(s), Session: Session{ID: "S1"}, Room: Room{ID: "room01"}}
	for _, c := range change {
		c(&e)
	}
	return e
}

func who(id, conn string) func(*Event) {
	return func(e *Event) { e.Participant.ID, e.Participant.ConnectionID = id, conn }
}

func kind(k string) func(*Event) { return func(e *Event) { e.Participant.Kind = k } }

func rec(id, status string) func(*Event) {
	return func(e *Event) { e.Recording.ID, e.Recording.Status = id, status }
}

func lasting(s int) func(*Event) {
	return func(e *Event) { d := time.Duration(s) * time.Second; e.Session.Duration = &d }
}

func came(s int) func(*Event) { return func(e *Event) { e.Participant.Joined = at(s) } }

func stayed(s int) func(*Event) {
	return func(e *Event) { d := time.Duration(s) * time.Second; e.Participant.Duration = &d }
}

func role(r string) func(*Event) { return func(e *Event) { e.Participant.Role = r } }

func fold(events ...Event) *SessionState {
	s := NewSessionState("pnm/S1", &events[0])
	for i := range events {
		s.Fold(&events[i])
	}
	return s
}

func number(p *int) int {
	if p == nil {
		return -1
	}
	return *p
}

func TestFold(t *testing.T) {
	tests := []struct {
		name          string
		events        []Event
		now           int
		status        string
		duration      time.Duration // -1: unknown
		present, peak int
		attended      time.Duration
	}{
		{"nobody came", []Event{ev(SessionStarted, 0)}, 60, Active, time.Minute, 0, 0, 0},
		{"two overlap", []Event{ev(SessionStarted, 0), ev(ParticipantJoined, 10, who("a", "1")), ev(ParticipantJoined, 20, who("b", "2")), ev(ParticipantLeft, 30, who("a", "1"))},
			60, Active, time.Minute, 1, 2, 20*time.Second + 40*time.Second},
		{"one leaves as the other comes", []Event{ev(ParticipantJoined, 10, who("a", "1")), ev(ParticipantLeft, 20, who("a", "1")), ev(ParticipantJoined, 20, who("b", "2"))},
			60, Active, -1, 1, 1, 50 * time.Second},
		{"left without joined", []Event{ev(SessionStarted, 0), ev(ParticipantLeft, 30, who("a", "1"))}, 60, Active, time.Minute, 0, 0, 0},
		{"two devices count once", []Event{ev(ParticipantJoined, 0, who("a", "1")), ev(ParticipantJoined, 10, who("a", "2")), ev(ParticipantLeft, 20, who("a", "1"))},
			60, Active, -1, 1, 1, time.Minute},
		{"bots and recorders do not count", []Event{ev(ParticipantJoined, 0, who("a", "1")), ev(ParticipantJoined, 1, who("x", "2"), kind(KindBot)), ev(ParticipantJoined, 2, who("y", "3"), kind(KindRecorder))},
			60, Active, -1, 1, 1, time.Minute},
		{"a bot known as such late", []Event{ev(ParticipantJoined, 0, who("x", "2")), ev(ParticipantLeft, 30, who("x", "2"), kind(KindBot))}, 60, Active, -1, 0, 0, 0},
		{"the end closes all stays", []Event{ev(SessionStarted, 0), ev(ParticipantJoined, 10, who("a", "1")), ev(SessionEnded, 40)}, 60, Ended, 40 * time.Second, 0, 1, 30 * time.Second},
		{"a join after the end", []Event{ev(SessionStarted, 0), ev(SessionEnded, 40), ev(ParticipantJoined, 50, who("a", "1"))}, 60, Ended, 40 * time.Second, 0, 0, 0},
		{"ended without started", []Event{ev(SessionEnded, 40)}, 60, Ended, -1, 0, 0, 0},
		{"the earliest end holds", []Event{ev(SessionStarted, 0), ev(SessionEnded, 40), ev(SessionEnded, 30)}, 60, Ended, 30 * time.Second, 0, 0, 0},
		{"an end in other words says more", []Event{ev(SessionStarted, 0), ev(SessionEnded, 40), ev(SessionEnded, 40, lasting(39))}, 60, Ended, 39 * time.Second, 0, 0, 0},
		{"the platform's own duration holds", []Event{ev(SessionStarted, 0), ev(SessionEnded, 40, lasting(35))}, 60, Ended, 35 * time.Second, 0, 0, 0},
		{"unless it is negative", []Event{ev(SessionStarted, 0), ev(SessionEnded, 40, lasting(-5))}, 60, Ended, 40 * time.Second, 0, 0, 0},
		{"a start that is not yet", []Event{ev(SessionStarted, 90)}, 60, Active, -1, 0, 0, 0},
		{"a recording before everything", []Event{ev(RecordingStarted, 0, rec("r", "")), ev(SessionStarted, 10), ev(SessionEnded, 40)}, 60, Ended, 30 * time.Second, 0, 0, 0},
		{"a track before everything", []Event{ev(TrackPublished, 0, who("a", "1")), ev(SessionStarted, 10), ev(ParticipantJoined, 10, who("a", "1"))}, 60, Active, 50 * time.Second, 1, 1, 50 * time.Second},
		{"came and left at one moment", []Event{ev(ParticipantLeft, 10, who("a", "1"), came(10)), ev(ParticipantJoined, 10, who("a", "1"))}, 60, Active, -1, 0, 0, 0},
		{"left before joined", []Event{ev(ParticipantLeft, 30, who("a", "1")), ev(ParticipantJoined, 10, who("a", "1"))}, 60, Active, -1, 0, 1, 20 * time.Second},
		{"left, and says when joined", []Event{ev(ParticipantLeft, 30, who("a", "1"), came(10))}, 60, Active, -1, 0, 1, 20 * time.Second},
		{"left, and says for how long", []Event{ev(ParticipantLeft, 30, who("a", "1"), stayed(20))}, 60, Active, -1, 0, 1, 20 * time.Second},
		{"left before it joined, it says", []Event{ev(ParticipantLeft, 30, who("a", "1"), came(35))}, 60, Active, -1, 0, 0, 0},
		{"stayed for less than nothing", []Event{ev(ParticipantLeft, 30, who("a", "1"), stayed(-9))}, 60, Active, -1, 0, 0, 0},
		{"left after the end", []Event{ev(SessionStarted, 0), ev(ParticipantJoined, 10, who("a", "1")), ev(SessionEnded, 40), ev(ParticipantLeft, 50, who("a", "1"))}, 60, Ended, 40 * time.Second, 0, 1, 30 * time.Second},
		{"two people, one connection id", []Event{ev(ParticipantJoined, 0, who("a", "1")), ev(ParticipantJoined, 10, who("b", "1")), ev(ParticipantLeft, 20, who("a", "1"))},
			60, Active, -1, 1, 2, 70 * time.Second},
		{"a reconnect", []Event{ev(ParticipantJoined, 0, who("a", "1")), ev(ParticipantLeft, 10, who("a", "1")), ev(ParticipantJoined, 20, who("a", "2")), ev(ParticipantLeft, 25, who("a", "2"))},
			60, Active, -1, 0, 1, 15 * time.Second},
		{"a person known as a bot once", []Event{ev(ParticipantJoined, 0, who("a", "1"), kind(KindBot)), ev(ParticipantJoined, 10, who("a", "2"), kind(KindPerson))}, 60, Active, -1, 1, 1, time.Minute},
		{"what we emit says nothing", []Event{ev(Emitted, 0, who("a", "1"))}, 60, "", -1, 0, 0, 0},
		{"a summary says nothing", []Event{ev(ArtifactCreated, 0, func(e *Event) { e.Session.Started = at(0) })}, 60, "", -1, 0, 0, 0},
		{"a finished recording alone is no session", []Event{ev(RecordingEnded, 0, rec("r", ""))}, 60, "", -1, 0, 0, 0},
		{"an end before the start says nothing of the duration", []Event{ev(SessionStarted, 50), ev(SessionEnded, 40)}, 60, Ended, -1, 0, 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := fold(tt.events...)
			v := s.View(at(tt.now))
			d := time.Duration(-1)
			if v.Duration != nil {
				d = *v.Duration
			}
			if v.Status != tt.status || d != tt.duration || number(v.Present) != tt.present || number(v.Peak) != tt.peak || v.Attended != tt.attended {
				t.Errorf("got %s, %s long, present %d, peak %d, attended %s", v.Status, d, number(v.Present), number(v.Peak), v.Attended)
			}
		})
	}
}

func TestFoldRepeat(t *testing.T) {
	tests := []struct {
		name   string
		first  Event
		second Event
		repeat bool
	}{
		{"second end", ev(SessionEnded, 10), ev(SessionEnded, 20), true},
		{"second, earlier end", ev(SessionEnded, 20), ev(SessionEnded, 10), false},
		{"second start", ev(SessionStarted, 10), ev(SessionStarted, 10), true},
		{"connection already present", ev(ParticipantJoined, 10, who("a", "1")), ev(ParticipantJoined, 11, who("a", "1")), true},
		{"second device", ev(ParticipantJoined, 10, who("a", "1")), ev(ParticipantJoined, 11, who("a", "2")), false},
		{"left after joined", ev(ParticipantJoined, 10, who("a", "1")), ev(ParticipantLeft, 11, who("a", "1")), false},
		{"same recording status", ev(RecordingUpdated, 10, rec("r", "active")), ev(RecordingUpdated, 20, rec("r", "active")), true},
		{"next recording status", ev(RecordingUpdated, 10, rec("r", "active")), ev(RecordingUpdated, 20, rec("r", "ending")), false},
		{"other recording", ev(RecordingStarted, 10, rec("r", "")), ev(RecordingStarted, 20, rec("q", "")), false},
		{"a recording without an id", ev(RecordingStarted, 10, rec("", "")), ev(RecordingStarted, 20, rec("", "")), false},
		{"the same once more", ev(RecordingStarted, 10, rec("", "")), ev(RecordingStarted, 10, rec("", "")), true},
		{"second creation", ev(SessionCreated, 10), ev(SessionCreated, 11), true},
		{"started after created", ev(SessionCreated, 10), ev(SessionStarted, 10), false},
		{"second media end", ev(SessionMediaEnded, 10), ev(SessionMediaEnded, 11), true},
		{"media end after the end", ev(SessionEnded, 10), ev(SessionMediaEnded, 11), false},
		{"end after the media end", ev(SessionMediaEnded, 10), ev(SessionEnded, 11), false},
		{"joined again after leaving", ev(ParticipantLeft, 10, who("a", "1")), ev(ParticipantJoined, 11, who("a", "1")), false},
		{"left twice", ev(ParticipantLeft, 10, who("a", "1")), ev(ParticipantLeft, 11, who("a", "1")), true},
		{"a join that its leave overtook and told of", ev(ParticipantLeft, 10, who("a", "1"), came(5)), ev(ParticipantJoined, 5, who("a", "1")), false},
		{"another role", ev(ParticipantRole, 10, who("a", "1"), role(RoleHost)), ev(ParticipantRole, 10, who("a", "1"), role(RoleHost)), false},
		{"tracks are never repeats", ev(TrackPublished, 10, who("a", "1")), ev(TrackPublished, 10, who("a", "1")), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := fold(tt.first)
			if got, _ := s.Fold(&tt.second); got != tt.repeat {
				t.Errorf("repeat = %v", got)
			}
		})
	}
}

func TestRecordingRuns(t *testing.T) {
	s := fold(ev(RecordingStarted, 0, rec("r", "")))
	if !s.View(at(1)).Recording {
		t.Error("no recording after it started")
	}
	stop := ev(RecordingStopped, 5, rec("r", ""))
	s.Fold(&stop)
	if s.View(at(6)).Recording {
		t.Error("still recording after it stopped")
	}
}

func TestStoppedBeforeItStarted(t *testing.T) {
	if fold(ev(RecordingStarted, 10, rec("r", "")), ev(RecordingStopped, 5, rec("r", ""))).View(at(20)).Recording {
		t.Error("a recording whose clocks disagree runs for ever")
	}
}

// Of two words at one moment the same wins, whichever comes first.
func TestRecordingAtOneMoment(t *testing.T) {
	url := func(u string) func(*Event) { return func(e *Event) { e.Recording.URL = u } }
	a, b := ev(RecordingEnded, 5, rec("r", ""), url("a")), ev(RecordingEnded, 5, rec("r", ""), url("b"))
	if there, back := fold(a, b).Recordings["r"].facts(), fold(b, a).Recordings["r"].facts(); there.URL != back.URL {
		t.Errorf("it is at %s, or at %s", there.URL, back.URL)
	}
}

// What a session's room is called does not depend on what comes first.
func TestRoomFacts(t *testing.T) {
	called := func(id, name string) func(*Event) { return func(e *Event) { e.Room.ID, e.Room.Name = id, name } }
	tests := []struct {
		name   string
		events []Event
		want   Room
	}{
		{"the newest name", []Event{ev(SessionStarted, 0, called("r", "old")), ev(TrackPublished, 5, called("r", "new"))}, Room{ID: "r", Name: "new"}},
		{"two ids", []Event{ev(SessionStarted, 0, called("r2", "")), ev(TrackPublished, 5, called("r1", ""))}, Room{ID: "r1"}},
		{"two names at one moment", []Event{ev(SessionStarted, 0, called("r", "a")), ev(TrackPublished, 0, called("r", "b"))}, Room{ID: "r", Name: "b"}},
		{"a summary, which may come before all", []Event{ev(SessionStarted, 0, called("r", "a")), ev(ArtifactCreated, 5, called("r", "b"))}, Room{ID: "r", Name: "a"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			there, back := fold(tt.events...), fold(tt.events[1], tt.events[0])
			if d := cmp.Diff(tt.want, there.Room); d != "" {
				t.Error(d)
			}
			if d := cmp.Diff(tt.want, back.Room); Folds(&tt.events[1]) && d != "" {
				t.Error("backwards:", d)
			}
		})
	}
}

func TestRecordingsWithoutIDs(t *testing.T) {
	s := fold(ev(RecordingStarted, 0, rec("", "")), ev(RecordingStopped, 5, rec("", "")), ev(RecordingStarted, 10, rec("", "")))
	if !s.View(at(11)).Recording {
		t.Error("the second one does not run")
	}
	stop := ev(RecordingStopped, 15, rec("", ""))
	if repeat, _ := s.Fold(&stop); repeat || s.View(at(16)).Recording {
		t.Error("the second one did not stop")
	}
}

func TestRecordingEndsWithItsSession(t *testing.T) {
	s := fold(ev(RecordingStarted, 0, rec("r", "")), ev(SessionEnded, 5))
	if s.View(at(6)).Recording {
		t.Error("still recording after the session")
	}
}

func TestHost(t *testing.T) {
	a, b := who("a", "1"), who("b", "2")
	tests := []struct {
		name   string
		events []Event
		want   string
	}{
		{"nobody", []Event{ev(ParticipantJoined, 0, a)}, ""},
		{"who is there rather than who came first", []Event{ev(ParticipantJoined, 0, a, role(RoleHost)), ev(ParticipantJoined, 5, b, role(RoleHost)), ev(ParticipantLeft, 9, a)}, "b"},
		{"who came first", []Event{ev(ParticipantJoined, 0, a, role(RoleHost)), ev(ParticipantJoined, 5, b, role(RoleHost))}, "a"},
		{"another one is made host", []Event{ev(ParticipantJoined, 0, a, role(RoleHost)), ev(ParticipantRole, 5, a, role(RoleParticipant)), ev(ParticipantRole, 5, b, role(RoleHost))}, "b"},
		{"the newest role, whatever comes first", []Event{ev(ParticipantRole, 5, a, role(RoleParticipant)), ev(ParticipantJoined, 0, a, role(RoleHost))}, ""},
		{"a host who left", []Event{ev(ParticipantJoined, 0, a, role(RoleHost)), ev(ParticipantLeft, 5, a)}, "a"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := ""
			if h := fold(tt.events...).View(at(10)).Host; h != nil {
				got = h.ID
			}
			if got != tt.want {
				t.Errorf("host is %q, want %q", got, tt.want)
			}
		})
	}
}

// A recording has the length between its start and its end, also none; an end
// before the start tells nothing.
func TestRecordingDuration(t *testing.T) {
	began := func(e *Event) { e.Recording.Started = e.Time }
	stopped := func(e *Event) { e.Recording.Ended = e.Time }
	for _, c := range []struct {
		end  int
		want string
	}{{35, "25s"}, {10, "0s"}, {9, "unknown"}} {
		s := fold(ev(RecordingStarted, 10, rec("r", ""), began), ev(RecordingStopped, c.end, rec("r", ""), stopped))
		got := "unknown"
		if d := s.Recordings["r"].facts().Duration; d != nil {
			got = d.String()
		}
		if got != c.want {
			t.Errorf("an end at %d: %s, want %s", c.end, got, c.want)
		}
	}
}
