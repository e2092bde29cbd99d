package engine

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// shelf keeps sessions as a store does: as JSON, a row for each session and
// each of its people. Only what is said to have changed is written.
type shelf struct {
	t      fataler
	rows   map[string]string            // by session
	people map[string]map[string]string // by session and id
	made   []string                     // keys, oldest first
	loaded map[string]*SessionState
	events int
	seen   []string // type and key of what was accepted; with ! if it was a repeat
}

type fataler interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

func newShelf(t fataler) *shelf {
	return &shelf{t: t, rows: map[string]string{}, people: map[string]map[string]string{}, loaded: map[string]*SessionState{}}
}

func (h *shelf) text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		h.t.Fatal(err)
	}
	return string(b)
}

func (h *shelf) get(key string) *SessionState {
	if s := h.loaded[key]; s != nil || h.rows[key] == "" {
		return s
	}
	s := &SessionState{People: map[string]*Person{}}
	if err := json.Unmarshal([]byte(h.rows[key]), s); err != nil {
		h.t.Fatal(err)
	}
	for id, text := range h.people[key] {
		s.People[id] = new(Person)
		if err := json.Unmarshal([]byte(text), s.People[id]); err != nil {
			h.t.Fatal(err)
		}
	}
	h.loaded[key] = s
	return s
}

func (h *shelf) write(s *SessionState, people ...*Person) {
	if h.rows[s.Key] == "" {
		h.made = append(h.made, s.Key)
		h.people[s.Key] = map[string]string{}
	}
	h.rows[s.Key] = h.text(s)
	h.loaded[s.Key] = s
	for _, p := range people {
		h.people[s.Key][p.ID] = h.text(p)
	}
}

// forget drops what is in memory.
func (h *shelf) forget() { clear(h.loaded) }

// accept takes an event as a store does.
func (h *shelf) accept(e Event) (s *SessionState, repeat bool) {
	h.events++
	if key := SessionKeyOf(&e); key != "" {
		if s = h.get(key); s == nil && Folds(&e) {
			s = NewSessionState(key, &e)
		}
	} else {
		var room []*SessionState
		for _, key := range slices.Backward(h.made) {
			if s := h.get(key); s.Source == e.Source && s.Room.ID == e.Room.ID && len(room) < 20 {
				room = append(room, s)
			}
		}
		var changed []*SessionState
		s, changed = Place(&e, room, fmt.Sprintf("%s/%s/%d", e.Source, e.Room.ID, h.events))
		for _, x := range changed {
			delete(h.people, x.Key)
			h.people[x.Key] = map[string]string{}
			h.write(x, slices.Collect(maps.Values(x.People))...)
		}
	}
	if s == nil {
		return nil, false
	}
	return s, h.fold(s, e)
}

func (h *shelf) fold(s *SessionState, e Event) (repeat bool) {
	repeat, touched := s.Fold(&e)
	h.write(s, touched...)
	mark := ""
	if repeat {
		mark = "!"
	}
	h.seen = append(h.seen, e.Type+mark)
	return repeat
}

// lapse lets come what follows by itself.
func (h *shelf) lapse(timeout time.Duration, now time.Time) (derived []Event) {
	h.t.Helper()
	for _, key := range h.made {
		s := h.get(key)
		for n := 0; ; n++ {
			due := s.Look(timeout)
			out := s.Lapse(timeout, now)
			if over := due.IsZero() || due.After(now); over != (len(out) == 0) {
				h.t.Fatalf("%s looks at %s, and %d events follow at %s", key, due, len(out), now)
			}
			if len(out) == 0 {
				break
			}
			if n > 200 {
				h.t.Fatalf("%s never comes to rest: %+v", key, out[0])
			}
			for _, e := range out {
				h.fold(s, e)
			}
			derived = append(derived, out...)
		}
	}
	return derived
}

// keepsKeys checks that a meeting whose start is known has the key it had.
func (h *shelf) keepsKeys(byStart map[time.Time]string) {
	h.t.Helper()
	for _, key := range h.made {
		s := h.get(key)
		if !s.ByRoom || s.start().IsZero() {
			continue
		}
		if was := byStart[s.start()]; was != "" && was != key {
			h.t.Fatalf("the meeting of %s had the key %s, and has %s", s.start(), was, key)
		}
		byStart[s.start()] = key
	}
}

// picture is all that can be seen of the sessions, but for their keys.
func (h *shelf) picture() string {
	now := at(1_000_000)
	var all []string
	for _, key := range h.made {
		s := h.get(key)
		if s.First.IsZero() {
			continue
		}
		recordings := map[string]Recording{}
		for id, r := range s.Recordings {
			recordings[id] = r.facts()
		}
		b, err := json.MarshalIndent(map[string]any{
			"id": s.ID, "room": s.Room, "session": s.View(now), "people": s.Participants(now), "recordings": recordings,
		}, "", " ")
		if err != nil {
			h.t.Fatal(err)
		}
		all = append(all, string(b))
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}

// day makes events of sessions as platforms might send them, and as they
// never should. With byRoom the sessions have no ids.
func day(t *rapid.T, byRoom bool) []Event {
	var out []Event
	clock := 0
	n := rapid.IntRange(1, 24).Draw(t, "events")
	for i := range n {
		clock += rapid.IntRange(0, 3).Draw(t, "tick")
		e := ev(Other, clock)
		e.Received = at(10_000 + i)
		e.Session.ID = fmt.Sprint("S", rapid.IntRange(1, 2).Draw(t, "session"))
		if byRoom {
			e.ByRoom, e.Session.ID = true, e.Room.ID
		}
		e.Type = rapid.SampledFrom([]string{
			SessionCreated, SessionStarted, SessionStarted, SessionEnded, SessionEnded, SessionMediaEnded,
			ParticipantJoined, ParticipantJoined, ParticipantJoined, ParticipantLeft, ParticipantLeft, ParticipantRole, TrackPublished,
			RecordingStarted, RecordingStopped, RecordingEnded, StreamStarted, ArtifactCreated, ParticipantWaiting, Emitted,
		}).Draw(t, "type")
		switch e.Type {
		case SessionStarted:
			e.Session.Metadata = map[string]any{"n": i}
			if !byRoom && rapid.Bool().Draw(t, "stated") {
				e.Session.Started = at(clock - 2)
			}
		case SessionEnded:
			e.Session.EndReason = fmt.Sprint("reason ", i)
			if rapid.IntRange(0, 3).Draw(t, "states") == 0 {
				e.Session.Started = at(clock + rapid.IntRange(-6, 1).Draw(t, "began"))
				d := time.Duration(rapid.IntRange(-1, 3).Draw(t, "lasted")) * time.Second
				e.Session.Duration = &d
			}
		case ParticipantJoined, ParticipantLeft, ParticipantRole, TrackPublished, ParticipantWaiting:
			id := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "who")
			e.Participant = Participant{ID: id, ConnectionID: fmt.Sprint(id, rapid.IntRange(1, 2).Draw(t, "conn")), Name: fmt.Sprint(id, i)}
			e.Participant.Kind = rapid.SampledFrom([]string{"", "", "", KindBot, KindPerson}).Draw(t, "kind")
			e.Participant.Role = rapid.SampledFrom([]string{"", "", RoleHost, RoleViewer}).Draw(t, "role")
			e.Participant.Metadata = map[string]any{"n": i}
			if e.Type == ParticipantLeft && rapid.Bool().Draw(t, "says when") {
				e.Participant.Joined = at(clock + rapid.IntRange(-5, 1).Draw(t, "came"))
			}
		case RecordingStarted, RecordingStopped, RecordingEnded:
			e.Recording = Recording{ID: rapid.SampledFrom([]string{"", "q", "r"}).Draw(t, "recording"), URL: fmt.Sprint("u", i)}
			if rapid.Bool().Draw(t, "says when") {
				e.Recording.Started = at(clock - rapid.IntRange(0, 4).Draw(t, "ago"))
			}
		}
		if rapid.Bool().Draw(t, "named") {
			e.Room.Name, e.Room.Metadata = fmt.Sprint("room ", i), map[string]any{"n": i}
		}
		out = append(out, e)
	}
	return out
}

// Any order of the events of a room, each once or more, with states that are
// stored and read back now and then, ends in the same sessions.
func TestOrderAndRepeatsMakeNoDifference(t *testing.T) {
	for name, byRoom := range map[string]bool{"session ids": false, "by room": true} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				events := day(t, byRoom)
				mixed := slices.Clone(events)
				for _, e := range events {
					for range rapid.IntRange(0, 2).Draw(t, "copies") {
						mixed = append(mixed, e)
					}
				}
				r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
				r.Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })

				keys := map[time.Time]string{}
				want, got, hasty := newShelf(t), newShelf(t), newShelf(t)
				for _, e := range events {
					want.accept(e)
				}
				for _, e := range mixed {
					if r.IntN(4) == 0 {
						got.forget()
					}
					got.accept(e)
					got.keepsKeys(keys)
				}
				if d := cmp.Diff(want.picture(), got.picture()); d != "" {
					t.Fatalf("another order, another state (-in order +mixed):\n%s", d)
				}
				for _, e := range mixed { // each after an hour of silence
					hasty.accept(e)
					hasty.lapse(time.Hour, at(100_000))
				}
				for _, h := range []*shelf{want, got, hasty} {
					h.lapse(time.Hour, at(100_000))
					h.forget()
					for _, key := range h.made {
						if s := h.get(key); s.Status() == Active || s.View(at(0)).Recording {
							t.Fatalf("%s is %s after an hour of silence", key, s.Status())
						}
					}
				}
				if d := cmp.Diff(want.picture(), got.picture()); d != "" {
					t.Fatalf("another order, another end (-in order +mixed):\n%s", d)
				}
				if d := cmp.Diff(want.picture(), hasty.picture()); d != "" {
					t.Fatalf("ends that were derived too early made a difference (-without +with):\n%s", d)
				}
			})
		})
	}
}
