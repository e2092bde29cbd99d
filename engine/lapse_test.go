package engine

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// heard is an event that was received so many seconds after it happened.
func heard(late int, e Event) Event {
	e.Received = e.Time.Add(time.Duration(late) * time.Second)
	return e
}

func seconds(t time.Time) int { return int(t.Sub(t0) / time.Second) }

// follow folds what follows by itself until now and says what it was; with !
// if it is a repeat.
func follow(t *testing.T, s *SessionState, now int) string {
	t.Helper()
	var out []string
	for range 1000 {
		due := s.Look(time.Hour)
		all := s.Lapse(time.Hour, at(now))
		if over := due.IsZero() || due.After(at(now)); over != (len(all) == 0) {
			t.Fatalf("looks at %s, and %d events follow at %d", due, len(all), now)
		}
		if len(all) == 0 {
			return strings.Join(out, "; ")
		}
		for _, e := range all {
			line := fmt.Sprint(e.Type, " ", seconds(e.Time))
			if e.Session.Estimated {
				line += " estimated"
			}
			if e.Participant.ID != "" {
				line += " " + e.Participant.ID + "/" + e.Participant.ConnectionID
			}
			if repeat, _ := s.Fold(&e); repeat {
				line += "!"
			}
			out = append(out, line)
		}
	}
	t.Fatal("never comes to rest")
	return ""
}

func TestWhatFollowsByItself(t *testing.T) {
	join := func(s int, id, conn string) Event { return ev(ParticipantJoined, s, who(id, conn)) }
	left := func(s int, id, conn string) Event { return ev(ParticipantLeft, s, who(id, conn)) }
	tests := []struct {
		name   string
		events []Event
		now    int
		want   string
		ended  int // -1: it is not
	}{
		{"nothing before its time", []Event{ev(SessionStarted, 0), join(10, "a", "1")}, 3609, "", -1},
		{"silence ends it as of the last sign of life", []Event{ev(SessionStarted, 0), ev(TrackPublished, 10)}, 3610, "session_ended 10 estimated", 10},
		{"a recording that is ready is none, but breaks the silence", []Event{ev(SessionStarted, 0), ev(RecordingEnded, 100, rec("r", ""))}, 3699, "", -1},
		{"a join is one when it happened", []Event{ev(SessionStarted, 0), ev(ParticipantJoined, 10, who("a", "1"), came(11))}, 3611, "session_ended 11 estimated", 11},
		{"nor is a summary", []Event{ev(SessionStarted, 0), ev(ArtifactCreated, 100)}, 3700, "session_ended 0 estimated", 0},
		{"which breaks it", []Event{ev(SessionStarted, 0), ev(ArtifactCreated, 100)}, 3699, "", -1},
		{"nor is what we emit, which does not", []Event{ev(SessionStarted, 0), ev(Emitted, 100)}, 3600, "session_ended 0 estimated", 0},
		{"what was received late breaks the silence late", []Event{heard(500, ev(SessionStarted, 0))}, 4099, "", -1},
		{"what never lived does not end", []Event{ev(RecordingEnded, 0, rec("r", ""))}, 9999, "", -1},
		{"an end is not followed by another", []Event{ev(SessionStarted, 0), ev(SessionEnded, 10)}, 9999, "", 10},

		{"media end alone, too early", []Event{ev(SessionStarted, 0), ev(SessionMediaEnded, 50)}, 59, "", -1},
		{"media end alone", []Event{ev(SessionStarted, 0), ev(SessionMediaEnded, 50)}, 60, "session_ended 50", 50},
		{"media end of a session nothing else is known of", []Event{ev(SessionMediaEnded, 50)}, 60, "session_ended 50", 50},
		{"media end received late", []Event{ev(SessionStarted, 0), heard(30, ev(SessionMediaEnded, 50))}, 89, "", -1},
		{"media end twice", []Event{ev(SessionStarted, 0), ev(SessionMediaEnded, 50), ev(SessionMediaEnded, 55)}, 60, "session_ended 50", 50},
		{"media end before the end", []Event{ev(SessionStarted, 0), ev(SessionMediaEnded, 50), ev(SessionEnded, 52)}, 999, "", 52},
		{"media end beside the end", []Event{ev(SessionStarted, 0), ev(SessionMediaEnded, 50), ev(SessionEnded, 50)}, 999, "", 50},
		{"media end after the end", []Event{ev(SessionStarted, 0), ev(SessionEnded, 50), ev(SessionMediaEnded, 52)}, 999, "", 50},
		{"a join after the media end", []Event{ev(SessionStarted, 0), ev(SessionMediaEnded, 50), join(55, "a", "1")}, 999, "session_ended 50", 50},

		{"departures, too early", []Event{join(0, "a", "1"), ev(SessionEnded, 40)}, 49, "", 40},
		{"departures of all connections", []Event{join(0, "b", "3"), join(0, "a", "1"), join(5, "a", "2"), ev(SessionEnded, 40)}, 50,
			"participant_left 40 a/1; participant_left 40 a/2; participant_left 40 b/3", 40},
		{"departures in one order", []Event{join(0, "a", "5"), join(0, "a", "3"), join(0, "a", "4"), join(0, "a", "1"), join(0, "a", "2"), ev(SessionEnded, 40)}, 50,
			"participant_left 40 a/1; participant_left 40 a/2; participant_left 40 a/3; participant_left 40 a/4; participant_left 40 a/5", 40},
		{"departure of a bot", []Event{ev(ParticipantJoined, 0, who("x", "1"), kind(KindBot)), ev(SessionEnded, 40)}, 50, "participant_left 40 x/1", 40},
		{"not of who had left", []Event{join(0, "a", "1"), left(20, "a", "1"), ev(SessionEnded, 40)}, 999, "", 40},
		{"not of who leaves in time", []Event{join(0, "a", "1"), ev(SessionEnded, 40), left(41, "a", "1")}, 999, "", 40},
		{"not of who came after the end", []Event{ev(SessionEnded, 40), join(41, "a", "1")}, 999, "", 40},
		{"of who was there, and came again", []Event{join(0, "a", "1"), left(10, "a", "1"), join(20, "a", "1"), ev(SessionEnded, 40)}, 50, "participant_left 40 a/1", 40},
		{"a join that comes in after the departures", []Event{ev(SessionStarted, 0), ev(SessionEnded, 40), heard(100, join(30, "a", "1"))}, 999, "participant_left 40 a/1", 40},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := NewSessionState("pnm/S1", &tt.events[0])
			for _, e := range tt.events {
				if e.Received.IsZero() {
					e = heard(0, e)
				}
				s.Fold(&e)
				s.Look(time.Hour)
			}
			if got := follow(t, s, tt.now); got != tt.want {
				t.Errorf("what follows is %q, want %q", got, tt.want)
			}
			ended := -1
			if v := s.View(at(9999)); !v.Ended.IsZero() {
				ended = seconds(v.Ended)
			}
			if ended != tt.ended {
				t.Errorf("ended at %d, want %d", ended, tt.ended)
			}
			if again := follow(t, s, tt.now); again != "" {
				t.Errorf("%s follows again", again)
			}
		})
	}
}

// What comes after an end that was derived.
func TestAfterADerivedEnd(t *testing.T) {
	silent := []Event{ev(SessionStarted, 0), ev(ParticipantJoined, 10, who("a", "1"))}
	media := append(slices.Clone(silent), ev(SessionMediaEnded, 50))
	type test struct {
		name   string
		before []Event
		then   []Event
		repeat bool   // the last of them
		view   string // status, end, whether it is estimated, present
		later  string // what follows hours later
	}
	tests := []test{
		{"a true end corrects an estimate", silent, []Event{ev(SessionEnded, 500)}, false, "ended 500 false 0", ""},
		{"and an earlier one does", silent, []Event{ev(SessionEnded, 5)}, false, "ended 5 false 0", ""},
		{"media end corrects an estimate", silent, []Event{ev(SessionMediaEnded, 500)}, false, "ended 10 true 0", "session_ended 500"},
		{"a later sign of life revives", silent, []Event{ev(TrackPublished, 4000, who("a", "1"))}, false, "active 0 false 1",
			"session_ended 4000 estimated, then participant_left 4000 a/1"},
		{"an earlier one does not", silent, []Event{ev(TrackPublished, 9, who("a", "1"))}, false, "ended 10 true 0", ""},
		{"a recording that is ready does not", silent, []Event{ev(RecordingEnded, 4000, rec("r", ""))}, false, "ended 10 true 0", ""},
		{"a summary does not", silent, []Event{ev(ArtifactCreated, 4000)}, false, "ended 10 true 0", ""},
		{"an announced departure is told again", silent, []Event{ev(ParticipantLeft, 10, who("a", "1"))}, true, "ended 10 true 0", ""},
		{"leaving later revives, and is news", silent, []Event{ev(ParticipantLeft, 4000, who("a", "1"))}, false, "active 0 false 0", "session_ended 4000 estimated"},
		{"a true end after a media end is a repeat", media, []Event{ev(SessionEnded, 53)}, true, "ended 53 false 0", ""},
		{"an earlier media end moves the end", media, []Event{ev(SessionMediaEnded, 45)}, true, "ended 45 false 0", ""},
		{"so is the departure", media, []Event{ev(ParticipantLeft, 51, who("a", "1"))}, true, "ended 50 false 0", ""},
		{"life after a media end does not revive", media, []Event{ev(TrackPublished, 4000, who("a", "1"))}, false, "ended 50 false 0", ""},
		{"a true end, and who came later", silent, []Event{ev(SessionEnded, 500), ev(ParticipantJoined, 600, who("b", "2"))}, false, "ended 500 false 0", ""},
		{"revived, and a true end", silent, []Event{ev(TrackPublished, 4000, who("a", "1")), ev(SessionEnded, 4100)}, false, "ended 4100 false 0", "participant_left 4100 a/1"},
		{"revived, and an end long before", silent, []Event{ev(TrackPublished, 4000, who("a", "1")), ev(SessionEnded, 11)}, false, "ended 11 false 0", "participant_left 11 a/1"},
		{"revived, and one before the estimate", append(slices.Clone(silent), ev(TrackPublished, 20, who("a", "1"))),
			[]Event{ev(TrackPublished, 4000, who("a", "1")), ev(SessionEnded, 15)}, false, "ended 15 false 0", "participant_left 15 a/1"},
		{"what we emit changes nothing", silent, []Event{ev(Emitted, 4000)}, false, "ended 10 true 0", ""},
	}
	check := func(t *testing.T, tt test, forget bool) {
		h := newShelf(t)
		for _, e := range tt.before {
			h.accept(heard(0, e))
		}
		h.lapse(time.Hour, at(4500))
		h.lapse(time.Hour, at(4510))
		if forget {
			h.forget()
		}
		var s *SessionState
		var repeat bool
		for _, e := range tt.then {
			e.Received = at(4600)
			s, repeat = h.accept(e)
		}
		v := s.View(at(5000))
		ended := 0
		if !v.Ended.IsZero() {
			ended = seconds(v.Ended)
		}
		if got := fmt.Sprintf("%s %d %v %d", v.Status, ended, v.Estimated, number(v.Present)); repeat != tt.repeat || got != tt.view {
			t.Errorf("repeat %v, %s; want %v, %s", repeat, got, tt.repeat, tt.view)
		}
		got := follow(t, h.get(s.Key), 99_990)
		if more := follow(t, h.get(s.Key), 100_000); more != "" {
			got += ", then " + more
		}
		if got != tt.later {
			t.Errorf("later %q follows, want %q", got, tt.later)
		}
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			check(t, tt, false)
			check(t, tt, true)
		})
	}
}

// Departures wait for their grace behind an end that was itself derived.
func TestDeparturesFollowADerivedEnd(t *testing.T) {
	for _, last := range []Event{ev(TrackPublished, 50, who("a", "1")), ev(SessionMediaEnded, 50)} {
		s := fold(heard(0, ev(ParticipantJoined, 0, who("a", "1"))), heard(0, last))
		s.Fold(&s.Lapse(time.Hour, at(9000))[0])
		if got := follow(t, s, 9009); got != "" {
			t.Errorf("%s: %s follows at once", last.Type, got)
		}
		if got := follow(t, s, 9010); got != "participant_left 50 a/1" {
			t.Errorf("%s: %q follows", last.Type, got)
		}
	}
}

// An event of our own that something overtook, or that comes twice.
func TestDerivedEventsThatAreRepeats(t *testing.T) {
	start, join, media, end := ev(SessionStarted, 0), ev(ParticipantJoined, 1, who("a", "1")), ev(SessionMediaEnded, 50), ev(SessionEnded, 60)
	left := ev(ParticipantLeft, 60, who("a", "1"))
	tests := []struct {
		name   string
		before []Event
		now    int
		then   []Event // in between
		want   bool
	}{
		{"estimated end", []Event{start}, 9999, nil, false},
		{"estimated end behind a true one", []Event{start}, 9999, []Event{end}, true},
		{"end of the media", []Event{start, media}, 60, nil, false},
		{"end of the media behind a true one", []Event{start, media}, 60, []Event{end}, true},
		{"departure", []Event{join, end}, 70, nil, false},
		{"departure behind a true one", []Event{join, end}, 70, []Event{left}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := NewSessionState("pnm/S1", &tt.before[0])
			for _, e := range tt.before {
				e = heard(0, e)
				s.Fold(&e)
			}
			e := s.Lapse(time.Hour, at(tt.now))[0]
			for _, x := range tt.then {
				x.Received = at(tt.now)
				s.Fold(&x)
			}
			if repeat, _ := s.Fold(&e); repeat != tt.want {
				t.Errorf("repeat is %v", repeat)
			}
			if repeat, _ := s.Fold(&e); !repeat {
				t.Error("is no repeat the second time")
			}
		})
	}
}

func TestDerivedEventSaysWhatItIs(t *testing.T) {
	first := heard(0, ev(ParticipantJoined, 0, who("a", "1")))
	first.Platform, first.Source, first.Tenant = "plugnmeet", "pnm", "acme"
	s := fold(first, heard(0, ev(SessionEnded, 30)))
	all := s.Lapse(time.Hour, at(40))
	if len(all) != 1 {
		t.Fatalf("%d events follow", len(all))
	}
	e := all[0]
	if !e.Received.Equal(at(40)) || !e.Time.Equal(at(30)) || e.Platform != "plugnmeet" || e.Source != "pnm" || e.Tenant != "acme" ||
		e.Room.ID != "room01" || e.Session.ID != "S1" || !slices.Equal(e.Derived, []string{DerivedEvent}) || e.Name != "" {
		t.Errorf("derived: %+v", e)
	}
	s.Fold(&e)
	s.fill(&e, at(100))
	if p := e.Participant; !p.Left.Equal(at(30)) || p.Duration == nil || *p.Duration != 30*time.Second || p.Total != 30*time.Second || p.Present {
		t.Errorf("filled: %+v", p)
	}
	Refresh(&e, s, at(200))
	if p := e.Participant; p.Duration == nil || *p.Duration != 30*time.Second || p.Present {
		t.Errorf("read again: %+v", p)
	}
}

func TestDeparturesComeInParts(t *testing.T) {
	events := []Event{heard(0, ev(SessionStarted, 0))}
	for i := range 450 {
		events = append(events, heard(0, ev(ParticipantJoined, 1, who(fmt.Sprint("p", i), "c"))))
	}
	s := fold(append(events, heard(0, ev(SessionEnded, 30)))...)
	for _, want := range []int{200, 200, 50, 0} {
		out := s.Lapse(time.Hour, at(40))
		if len(out) != want {
			t.Fatalf("%d departures, want %d", len(out), want)
		}
		if again := s.Lapse(time.Hour, at(40)); len(again) != want {
			t.Fatalf("%d departures the second time, want %d", len(again), want)
		}
		for i := range out {
			s.Fold(&out[i])
		}
	}
}

func TestSilenceNeverEndsWithoutATimeout(t *testing.T) {
	if s := fold(heard(0, ev(SessionStarted, 0))); !s.Look(0).IsZero() || len(s.Lapse(0, at(1_000_000))) > 0 {
		t.Error("it ends")
	}
}

// An estimate that was made before its sign of life went to another session of
// the room ends nothing.
func TestEstimateWithoutLife(t *testing.T) {
	s := fold(ev(RecordingEnded, 5, rec("r", "")))
	e := s.derived(SessionEnded, at(5), at(9999))
	e.Session.Estimated = true
	s.Fold(&e)
	if v := s.View(at(9999)); v.Status != "" || v.Estimated {
		t.Errorf("it is %q", v.Status)
	}
}
