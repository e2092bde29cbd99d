package engine

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
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
		{"second start", ev(SessionStarted, 10), ev(SessionStarted, 10), true},
		{"connection already present", ev(ParticipantJoined, 10, who("a", "1")), ev(ParticipantJoined, 11, who("a", "1")), true},
		{"second device", ev(ParticipantJoined, 10, who("a", "1")), ev(ParticipantJoined, 11, who("a", "2")), false},
		{"left after joined", ev(ParticipantJoined, 10, who("a", "1")), ev(ParticipantLeft, 11, who("a", "1")), false},
		{"same recording status", ev(RecordingUpdated, 10, rec("r", "active")), ev(RecordingUpdated, 20, rec("r", "active")), true},
		{"next recording status", ev(RecordingUpdated, 10, rec("r", "active")), ev(RecordingUpdated, 20, rec("r", "ending")), false},
		{"other recording", ev(RecordingStarted, 10, rec("r", "")), ev(RecordingStarted, 20, rec("q", "")), false},
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

func TestHost(t *testing.T) {
	host := func(e *Event) { e.Participant.Role = RoleHost }
	s := fold(ev(ParticipantJoined, 0, who("a", "1"), host), ev(ParticipantJoined, 5, who("b", "2"), host), ev(ParticipantLeft, 9, who("a", "1")))
	if h := s.View(at(10)).Host; h == nil || h.ID != "b" {
		t.Errorf("host = %+v, want the one who is there", h)
	}
}

// day makes the events of one session as a platform might send them.
func day(t *rapid.T) []Event {
	var out []Event
	clock := 0
	tick := func() int { clock += rapid.IntRange(0, 3).Draw(t, "tick"); return clock }
	if rapid.Bool().Draw(t, "started") {
		out = append(out, ev(SessionStarted, tick()))
	}
	for i := range rapid.IntRange(0, 12).Draw(t, "steps") {
		p := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "who")
		c := fmt.Sprint(p, rapid.IntRange(1, 2).Draw(t, "conn"))
		switch rapid.IntRange(0, 5).Draw(t, "what") {
		case 0, 1:
			out = append(out, ev(ParticipantJoined, tick(), who(p, c), func(e *Event) { e.Participant.Name = fmt.Sprint("name", i) }))
		case 2, 3:
			out = append(out, ev(ParticipantLeft, tick(), who(p, c)))
		case 4:
			out = append(out, ev(RecordingStarted, tick(), rec("r", "active"), func(e *Event) { e.Recording.Started = e.Time }))
		case 5:
			out = append(out, ev(RecordingEnded, tick(), rec("r", "done"), func(e *Event) { e.Recording.URL = "u" }))
		}
	}
	if rapid.Bool().Draw(t, "ended") {
		out = append(out, ev(SessionEnded, tick(), func(e *Event) { e.Session.EndReason = fmt.Sprint(clock) }))
	}
	return out
}

// Any order of a session's events, each once or more, ends in one state.
func TestFoldIsIndependentOfOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events := day(t)
		if len(events) == 0 {
			return
		}
		mixed := append([]Event(nil), events...)
		for _, e := range events {
			for range rapid.IntRange(0, 2).Draw(t, "copies") {
				mixed = append(mixed, e)
			}
		}
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		r.Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
		want, got := fold(events...), fold(mixed...)
		if d := cmp.Diff(picture(want), picture(got)); d != "" {
			t.Fatalf("another order, another state (-in order +mixed):\n%s", d)
		}
	})
}

// picture is all that can be seen of a session.
func picture(s *SessionState) string {
	now := at(1000)
	var recordings []Recording
	for _, id := range []string{"r"} {
		if r := s.Recordings[id]; r != nil {
			recordings = append(recordings, r.facts())
		}
	}
	b, _ := json.MarshalIndent(map[string]any{
		"session": s.View(now), "people": s.Participants(now), "recordings": recordings,
	}, "", " ")
	return string(b)
}

// A state that was stored and read back folds on as if it had stayed in memory.
func TestStateSurvivesStorage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events := day(t)
		if len(events) < 2 {
			return
		}
		cut := rapid.IntRange(1, len(events)-1).Draw(t, "cut")
		s := fold(events[:cut]...)
		text, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		back := &SessionState{People: map[string]*Person{}}
		if err := json.Unmarshal(text, back); err != nil {
			t.Fatal(err)
		}
		for id, p := range s.People {
			b, _ := json.Marshal(p)
			q := &Person{}
			if err := json.Unmarshal(b, q); err != nil {
				t.Fatal(err)
			}
			back.People[id] = q
		}
		for i := range events[cut:] {
			back.Fold(&events[cut+i])
		}
		if d := cmp.Diff(picture(fold(events...)), picture(back)); d != "" {
			t.Fatalf("-in memory +stored:\n%s", d)
		}
	})
}

func TestSessionsOfARoomWithoutIDs(t *testing.T) {
	type step struct {
		typ  string
		at   int
		want int // which session, by the order they were made in
	}
	tests := []struct {
		name  string
		steps []step
	}{
		{"in order", []step{{SessionStarted, 0, 0}, {SessionEnded, 10, 0}, {SessionStarted, 20, 1}, {SessionEnded, 30, 1}}},
		{"repeats", []step{{SessionStarted, 0, 0}, {SessionStarted, 0, 0}, {SessionEnded, 10, 0}, {SessionEnded, 10, 0}}},
		{"end first", []step{{SessionEnded, 10, 0}, {SessionStarted, 0, 0}}},
		{"both ends first", []step{{SessionEnded, 10, 0}, {SessionEnded, 30, 1}, {SessionStarted, 20, 1}, {SessionStarted, 0, 0}}},
		{"a recording before all", []step{{RecordingStarted, 5, 0}, {SessionStarted, 0, 0}, {SessionEnded, 9, 0}}},
		{"recording inside", []step{{SessionStarted, 0, 0}, {RecordingStarted, 5, 0}, {SessionEnded, 10, 0}, {RecordingEnded, 15, 0}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var room []*SessionState
			for i, st := range tt.steps {
				e := ev(st.typ, st.at, rec("", ""))
				e.Session.ID, e.ByRoom = "", true
				s := FindSession(&e, room)
				if s == nil {
					s = NewSessionState(fmt.Sprint(len(room)), &e)
					room = append(room, s)
				}
				s.Fold(&e)
				if s.Key != fmt.Sprint(st.want) {
					t.Errorf("step %d (%s) went to session %s, want %d", i, st.typ, s.Key, st.want)
				}
			}
		})
	}
}
