package engine

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The timeline says what counting anew would.
func TestTimeline(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var all []visit
		draw := func() visit {
			v := visit{from: at(rapid.IntRange(0, 400).Draw(t, "from"))}
			if rapid.Bool().Draw(t, "left") {
				v.to = v.from.Add(time.Duration(rapid.IntRange(0, 50).Draw(t, "for")) * time.Second)
			}
			return v
		}
		for range rapid.IntRange(0, 300).Draw(t, "first") {
			all = append(all, draw())
		}
		line := newTimeline(appendSteps(nil, all, 1))
		for range rapid.IntRange(0, 700).Draw(t, "more") {
			if len(all) > 0 && rapid.IntRange(0, 4).Draw(t, "takes") == 0 {
				i := rapid.IntRange(0, len(all)-1).Draw(t, "which")
				line.add(all[i:i+1], -1)
				all = slices.Delete(all, i, i+1)
				continue
			}
			all = append(all, draw())
			line.add(all[len(all)-1:], 1)
		}
		want := 0
		for s := range 460 {
			n := 0
			for _, v := range all {
				if !v.from.After(at(s)) && (v.open() || v.to.After(at(s))) {
					n++
				}
			}
			want = max(want, n)
		}
		if got := line.peak(); got != want {
			t.Fatalf("peak is %d, want %d", got, want)
		}
	})
}

// A step at the very moment a block begins is part of that block, and what is
// split off is counted.
func TestTimelineBlocks(t *testing.T) {
	var all []visit
	for i := range blockSteps {
		all = append(all, visit{from: at(i)})
	}
	all[0].to = at(1000) // the first step of the second block
	line := newTimeline(appendSteps(nil, all, 1))
	line.add([]visit{{from: at(1000)}}, 1)
	if got := line.peak(); got != blockSteps {
		t.Errorf("peak is %d, want %d", got, blockSteps)
	}
	backwards := newTimeline(nil)
	for i := range 10 * blockSteps {
		backwards.add([]visit{{from: at(-i)}}, 1)
	}
	if got := backwards.peak(); got != 10*blockSteps {
		t.Errorf("peak is %d, want %d", got, 10*blockSteps)
	}
}

// While events come in order, a running total is enough.
func TestNoTimelineInOrder(t *testing.T) {
	in := []Event{ev(ParticipantJoined, 10, who("a", "1")), ev(ParticipantJoined, 20, who("b", "2")), ev(ParticipantLeft, 30, who("a", "1"))}
	if s := fold(in...); s.timeline != nil || s.Crowd.Peak != 2 {
		t.Errorf("peak is %d, with a timeline: %v", s.Crowd.Peak, s.timeline != nil)
	}
}

// The end cuts off what the headcount has in memory too.
func TestPeakAfterTheEnd(t *testing.T) {
	s := fold(ev(ParticipantJoined, 20, who("b", "2")), ev(ParticipantJoined, 10, who("a", "1")), ev(SessionEnded, 15), ev(ParticipantLeft, 12, who("a", "1")))
	if got := s.Crowd.Peak; got != 1 {
		t.Errorf("peak is %d, want 1", got)
	}
}

// large is a session of n people who come and go, with an end.
func large(n int) []Event {
	events := []Event{ev(SessionStarted, 0)}
	for i := range n {
		id := fmt.Sprint("p", i)
		events = append(events, ev(ParticipantJoined, 1+i/7, who(id, id)), ev(ParticipantLeft, n+i/5, who(id, id)))
	}
	slices.SortStableFunc(events, func(a, b Event) int { return a.Time.Compare(b.Time) })
	return append(events, ev(SessionEnded, 3*n))
}

// BenchmarkLargeSession folds 20,000 events as a store does, which looks at
// the session after each.
func BenchmarkLargeSession(b *testing.B) {
	ordered := large(10_000)
	shuffled := slices.Clone(ordered)
	r := rand.New(rand.NewPCG(1, 1))
	r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	for name, events := range map[string][]Event{"in order": ordered, "shuffled": shuffled} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if s := foldAndLook(events); s.Crowd.Peak != 10_000 {
					b.Fatalf("peak is %d", s.Crowd.Peak)
				}
			}
		})
	}
}

func foldAndLook(events []Event) *SessionState {
	s := NewSessionState("pnm/S1", &events[0])
	for i := range events {
		s.Fold(&events[i])
		s.View(events[i].Time)
		s.Look(time.Hour)
	}
	return s
}

// Nothing looks at everyone at every event. What does allocates for each of
// them, so this needs no clock.
func TestLargeSessionStaysCheap(t *testing.T) {
	for name, shuffle := range map[string]bool{"in order": false, "shuffled": true} {
		t.Run(name, func(t *testing.T) {
			events := large(2000)
			if shuffle {
				r := rand.New(rand.NewPCG(1, 1))
				r.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
			}
			all := testing.AllocsPerRun(1, func() { foldAndLook(events) })
			if each := all / float64(len(events)); each > 100 {
				t.Errorf("%.0f allocations for each event", each)
			}
		})
	}
}

// The headcount that is stored is right after every event, in any order.
func TestStoredHeadcount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := newShelf(t)
		for _, e := range rapid.Permutation(day(t, false)).Draw(t, "order") {
			s, _ := h.accept(e)
			if s == nil {
				continue
			}
			if rapid.IntRange(0, 2).Draw(t, "forgets") == 0 {
				h.forget()
			}
			var stored SessionState
			if err := json.Unmarshal([]byte(h.rows[s.Key]), &stored); err != nil {
				t.Fatal(err)
			}
			anew := *h.get(s.Key)
			anew.count()
			now := at(5000)
			if got, want := stored.Crowd, anew.Crowd; got.Present != want.Present || got.Peak != want.Peak ||
				got.attended(now) != want.attended(now) || !got.Mark.Equal(want.Mark) {
				t.Fatalf("after %s: stored %+v, counted anew %+v", e.Type, got, want)
			}
		}
	})
}
