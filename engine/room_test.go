package engine

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// saying makes the event of a room without session ids that a word stands
// for: S0 starts and E10 ends a meeting at that second, E10/0 ends the one that
// started at 0. J5a joins, L9a leaves, L9a/5 leaves and had joined at 5. R5q
// starts a recording and D9q is ready, D9q/5 is and had started at 5. T5 is a
// summary.
func saying(t *testing.T, word string) Event {
	t.Helper()
	head, stated, states := strings.Cut(word[1:], "/")
	id := strings.TrimLeft(head, "0123456789.")
	second := func(text string) Event {
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatal(err)
		}
		return ev("", 0, func(e *Event) { e.Time = at(0).Add(time.Duration(n * float64(time.Second))) })
	}
	e := second(strings.TrimSuffix(head, id))
	e.Received = e.Time
	e.ByRoom, e.Session.ID, e.Room.Name = true, "", "name of "+word
	began := Event{}
	if states {
		began = second(stated)
	}
	switch word[0] {
	case 'S':
		e.Type = SessionStarted
	case 'E':
		e.Type, e.Session.Started = SessionEnded, began.Time
	case 'J':
		e.Type = ParticipantJoined
	case 'L':
		e.Type, e.Participant.Joined = ParticipantLeft, began.Time
	case 'R':
		e.Type = RecordingStarted
	case 'D':
		e.Type, e.Recording.Started = RecordingEnded, began.Time
	case 'T':
		e.Type = ArtifactCreated
	default:
		t.Fatalf("what is %s?", word)
	}
	switch word[0] {
	case 'J', 'L':
		e.Participant.ID, e.Participant.ConnectionID, e.Participant.Name = id, id, "name of "+word
	case 'R', 'D':
		e.Recording.ID = id
	}
	return e
}

// sessions says of each session when it began and ended, and who and which
// recordings were in it.
func (h *shelf) sessions() string {
	var all []*SessionState
	for _, key := range h.made {
		if s := h.get(key); !s.First.IsZero() {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b *SessionState) int { return a.begin().Compare(b.begin()) })
	var out []string
	for _, s := range all {
		v := s.View(at(1000))
		line := "?"
		if !v.Started.IsZero() {
			line = fmt.Sprint(v.Started.Sub(t0).Seconds())
		}
		line += "-"
		if !v.Ended.IsZero() {
			line += fmt.Sprint(v.Ended.Sub(t0).Seconds())
		}
		for _, id := range slices.Sorted(maps.Keys(s.People)) {
			line += " " + id
		}
		for _, id := range slices.Sorted(maps.Keys(s.Recordings)) {
			line += " " + id
		}
		out = append(out, line)
	}
	return strings.Join(out, ", ")
}

func TestMeetingsOfARoom(t *testing.T) {
	tests := []struct{ name, said, want string }{
		{"one meeting", "S0 E10", "0-10"},
		{"two meetings on one day", "S0 E10 S20 E30", "0-10, 20-30"},
		{"two meetings and what happened in them", "S0 J1a E10 S20 J21b E30", "0-10 a, 20-30 b"},
		{"a recording in each", "S0 R5q D15q E10 S20 R25r E30 D40r", "0-10 q, 20-30 r"},
		{"the room is used again within a second", "S0 E10.2 S10.9 E20", "0-10.2, 10.9-20"},
		{"and at the same moment", "S0 E10 S10 E20", "0-10, 10-20"},
		{"a meeting that is over at once", "S5 E5", "5-5"},
		{"ended without started", "E10", "?-10"},
		{"twice", "E10 E30", "?-10, ?-30"},
		{"the second was started", "E10 S20 E30", "?-10, 20-30"},
		{"the first was started", "S0 E10 E30", "0-10, ?-30"},
		{"never ended", "S0", "0-"},
		{"the next one starts", "S0 S20 E30", "0-, 20-30"},
		{"an end before its start says nothing of it", "E10 S20", "?-10, 20-"},
		{"an end that knows its start", "E10/0", "0-10"},
		{"an end that knows the start of the other meeting", "S0 S20 E30 E10/0", "0-10, 20-30"},
		{"the same end in other words", "S0 E10 E10.0 S20", "0-10, 20-"},
		{"an end that knows a start at the same moment", "S0 E10/10 J15a", "0-, 10-10, ?- a"},
		{"a start when one without a start is under way and ends", "J0a S5 E5", "?-5 a, 5-"},
		{"three ends", "S0 E10 E20 S30 E40", "0-10, ?-20, 30-40"},

		{"a recording before all", "R5q", "?- q"},
		{"a recording before its end", "R5q E10", "?-10 q"},
		{"a recording of which the end tells when it was", "S0 E10 S20 D25q/5", "0-10 q, 20-"},
		{"a recording is where it begins", "S0 R5q E10 S20 D25q", "0-10 q, 20-"},
		{"a recording that is ready belongs to what ended", "S0 E10 D15q S20", "0-10 q, 20-"},
		{"a recording after the end is of another meeting", "S0 E10 R15q", "0-10, ?- q"},
		{"and takes along what was said of it before", "S0 E10 D15q R20q", "0-10, ?- q"},
		{"also if only its end tells so", "S0 E10 D25q/15", "0-10, ?- q"},
		{"one that was thought to be, and was not", "E20 R25q D30q/15 L3a", "?-20 a q"},
		{"which ends", "S0 E10 R15q E20", "0-10, ?-20 q"},
		{"or of one that never ended", "S0 E10 R15q S20 E30", "0-10, ?- q, 20-30"},
		{"a join after the end is of another meeting", "S0 J1a E10 J15a", "0-10 a, ?- a"},
		{"and what is later is too", "S0 E10 J15a L16a D17q", "0-10, ?- a q"},
		{"leaving after the end is not", "S0 J1a E10 L11a S20", "0-10 a, 20-"},
		{"leaving is where joining was", "S0 E10 S20 L21a/5 E30", "0-10 a, 20-30"},
		{"and begins a meeting", "E10 L21a/15 E30", "?-10, ?-30 a"},
		{"people before a start", "J3a S5 E10", "?- a, 5-10"},
		{"left before all", "L3a E10", "?-10 a"},
		{"at the moment of the start", "S0 J0a E10", "0-10 a"},
		{"at the moment of the end", "S0 J10a E10", "0-10 a"},
		{"at the moment one ends and the next starts", "S0 E10 J10a S10 E20", "0-10, 10-20 a"},
		{"a summary is of no moment", "S0 E10 T15", "0-10"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			want := ""
			orders(strings.Fields(tt.said), func(said []string) {
				h := newShelf(t)
				for _, word := range said {
					h.accept(saying(t, word))
					if r.IntN(3) == 0 {
						h.forget()
					}
					if r.IntN(2) == 0 {
						h.accept(saying(t, said[r.IntN(len(said))]))
					}
				}
				if got := h.sessions(); got != tt.want {
					t.Fatalf("%s: got %s, want %s", said, got, tt.want)
				}
				for _, word := range said {
					h.accept(saying(t, word))
				}
				if got := h.sessions(); got != tt.want {
					t.Fatalf("%s twice: got %s, want %s", said, got, tt.want)
				}
				if want == "" {
					want = h.picture()
				}
				if got := h.picture(); got != want {
					t.Fatalf("%s: got\n%s\nand before\n%s", said, got, want)
				}
			})
		})
	}
}

// orders calls f with every order of words, or with very many.
func orders(words []string, f func([]string)) {
	if len(words) > 5 {
		r := rand.New(rand.NewPCG(3, 4))
		for range 150 {
			r.Shuffle(len(words), func(i, j int) { words[i], words[j] = words[j], words[i] })
			f(words)
		}
		return
	}
	var permute func(int)
	permute = func(n int) {
		if n == len(words) {
			f(slices.Clone(words))
			return
		}
		for i := n; i < len(words); i++ {
			words[n], words[i] = words[i], words[n]
			permute(n + 1)
			words[n], words[i] = words[i], words[n]
		}
	}
	permute(0)
}

// A key, once given, stays with the earliest facts of its meeting; what was
// told before is a repeat in whichever session it is now.
func TestKeysWhenAMeetingIsTornApart(t *testing.T) {
	tests := []struct{ name, said, keys string }{
		{"in order", "S0 E10 S20 E30", "1=0-10, 3=20-30"},
		{"the second start comes last", "S0 E30 E10 S20", "1=0-10, 3=20-30"},
		{"the end of the second comes first", "S0 E30 S20 E10", "1=0-10, 3=20-30"},
		{"ends first", "E10 E30 S20 S0", "1=0-10, 2=20-30"},
		{"a start in the middle of what had none", "J3a J8b E10 S5", "1=?-, 4=5-10"},
		{"an end that knows its start makes two", "S0 J50a E100 E40/20", "1=0-, 4=20-40, 4/2=?-100"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newShelf(t)
			for _, word := range strings.Fields(tt.said) {
				if _, repeat := h.accept(saying(t, word)); repeat {
					t.Errorf("%s is a repeat", word)
				}
			}
			for _, word := range strings.Fields(tt.said) {
				if _, repeat := h.accept(saying(t, word)); !repeat {
					t.Errorf("%s is no repeat the second time", word)
				}
			}
			var got []string
			spans := strings.Split(h.sessions(), ", ")
			keys := slices.Clone(h.made)
			slices.SortFunc(keys, func(a, b string) int { return h.get(a).begin().Compare(h.get(b).begin()) })
			for i, key := range keys {
				span, _, _ := strings.Cut(spans[i], " ")
				got = append(got, strings.TrimPrefix(key, "pnm/room01/")+"="+span)
			}
			if g := strings.Join(got, ", "); g != tt.keys {
				t.Errorf("got %s, want %s", g, tt.keys)
			}
		})
	}
}

func TestPublicIDOfARoomSession(t *testing.T) {
	h := newShelf(t)
	s, _ := h.accept(saying(t, "E10"))
	if id := s.View(at(20)).ID; id != "" {
		t.Errorf("id is %q before the start is known", id)
	}
	later, _ := h.accept(saying(t, "S0.5"))
	if id := later.View(at(20)).ID; later.Key != s.Key || id != "room01@2026-11-21T09:00:00.500Z" {
		t.Errorf("id of %s is %q", later.Key, id)
	}
	other := saying(t, "S30")
	other.Session.ID = "room01" // as OpenVidu 2 has it
	named, _ := h.accept(other)
	named.fill(&other, at(40))
	if !slices.Contains(other.Derived, "session.id") {
		t.Errorf("the id is not among what was derived: %s", other.Derived)
	}
	if v := named.View(at(40)); v.ID != "room01@2026-11-21T09:00:30.000Z" || v.Present == nil {
		t.Errorf("a platform that sends participants: %+v", v)
	}
	if v := later.View(at(20)); v.Present != nil || v.Peak != nil {
		t.Errorf("a platform that sends none: %+v", v)
	}
}

// A summary that finds no meeting is of none, and makes none.
func TestSummaryOfARoomAlone(t *testing.T) {
	h := newShelf(t)
	if s, _ := h.accept(saying(t, "T5")); s != nil || len(h.made) > 0 {
		t.Error("a summary made a session")
	}
	h.accept(saying(t, "E10"))
	for _, word := range []string{"T5", "T10", "T15"} {
		if s, _ := h.accept(saying(t, word)); s == nil {
			t.Errorf("%s did not find its session", word)
		}
	}
	other := saying(t, "D25q/15")
	other.Type = Other
	h.accept(other)
	h.accept(ev(Emitted, 5))
	if len(h.made) != 1 {
		t.Errorf("what says nothing of a session made one: %s", h.made)
	}
}

// The log of a room's session does not grow with what is told again, and what
// is of a participant is kept with them.
func TestLogOfARoom(t *testing.T) {
	h := newShelf(t)
	var s *SessionState
	for i := range 5 {
		for _, word := range []string{"S0", "J5a", "R6q"} {
			e := saying(t, word)
			e.Received = at(100 + i)
			e.Room.Metadata = map[string]any{"n": 1}
			s, _ = h.accept(e)
		}
		h.forget()
	}
	s = h.get(s.Key)
	if len(s.Log) != 2 || len(s.People["a"].Log) != 1 {
		t.Errorf("%d entries, and %d of the participant", len(s.Log), len(s.People["a"].Log))
	}
}

// What is torn off was heard of as late as what it was torn from.
func TestTornOffIsNotSilent(t *testing.T) {
	h := newShelf(t)
	for _, word := range []string{"S0", "J20a", "T500", "E10"} {
		h.accept(saying(t, word))
	}
	if s := h.get("pnm/room01/4"); s == nil || !s.Received.Equal(at(500)) || !s.Last.Equal(at(500)) {
		t.Errorf("torn off: %+v", s)
	}
}

// On a platform with session ids an event without one goes by its recording,
// then by its time.
func TestFindSession(t *testing.T) {
	h := newShelf(t)
	for _, e := range []Event{ev(SessionStarted, 0), ev(RecordingStarted, 5, rec("q", "")), ev(SessionEnded, 10), ev(SessionStarted, 20), ev(SessionEnded, 30)} {
		if e.Time.After(at(15)) {
			e.Session.ID = "S2"
		}
		h.accept(e)
	}
	for _, e := range []Event{ev(SessionStarted, 40), ev(SessionEnded, 90), ev(SessionStarted, 50), ev(SessionEnded, 60)} {
		e.Session.ID = "S3"
		if e.Time.After(at(45)) && e.Time.Before(at(70)) {
			e.Session.ID = "S4"
		}
		h.accept(e)
	}
	tests := []struct {
		name string
		e    Event
		want string
	}{
		{"by its recording", ev(RecordingEnded, 25, rec("q", "")), "pnm/S1"},
		{"while one was on", ev(RecordingStarted, 25, rec("r", "")), "pnm/S2"},
		{"after one", ev(RecordingEnded, 15, rec("r", "")), "pnm/S1"},
		{"while one was on, and a later one was over", ev(RecordingStarted, 70, rec("r", "")), "pnm/S3"},
		{"before all", ev(RecordingEnded, -5, rec("s", "")), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.e.Session.ID = ""
			key := ""
			if s, _ := Place(&tt.e, []*SessionState{h.get("pnm/S4"), h.get("pnm/S3"), h.get("pnm/S2"), h.get("pnm/S1")}, "new"); s != nil {
				key = s.Key
			}
			if key != tt.want {
				t.Errorf("got %q, want %q", key, tt.want)
			}
		})
	}
}
