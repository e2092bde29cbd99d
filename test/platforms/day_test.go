package platforms

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/gavelhq/gavel/engine"
)

// known is what is known of a session in the end, without internal keys.
type known struct {
	Source       string
	Room         engine.Room
	Session      engine.Session
	Participants []engine.Participant
	Recordings   []engine.Recording
}

// result is what a day comes to.
type result struct {
	sessions map[string]known // by source and id
	runs     map[string]int   // by rule and session
	events   []engine.EventRow
}

// morning is when the day begins; the clock of a bubble stands at midnight.
func morning() time.Time { return time.Date(2000, 1, 1, 8, 0, 0, 0, time.UTC) }

// TestDay compares the day as it happened with the same day in other orders.
func TestDay(t *testing.T) {
	key := newDyteKey(t)
	seeds, s := []uint64{1, 2}, size{rooms: 2, meetings: 3}
	if slow {
		seeds = seeds[:1]
	}
	if os.Getenv("GAVEL_LONG") != "" {
		seeds, s = nil, size{rooms: 4, meetings: 6}
		for seed := range uint64(12) {
			seeds = append(seeds, 1000+seed)
		}
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			sent, wants := day(seed, morning(), s)
			ordered := live(t, key, inOrder(), seed, sent)
			for _, x := range platforms() {
				t.Run(x.source, func(t *testing.T) {
					asPlotted(t, x.source, ordered, wants[x.source])
					oncePerEnd(t, x.source, ordered)
				})
			}
			for _, o := range orders() {
				t.Run(o.name, func(t *testing.T) {
					other := live(t, key, o, seed, sent)
					for _, x := range platforms() {
						t.Run(x.source, func(t *testing.T) {
							same(t, x.source, ordered, other)
							if o.inTime {
								oncePerEnd(t, x.source, other)
							}
						})
					}
				})
			}
		})
	}
}

// live lets the day arrive in that order, and the clock run on until nothing is
// left to happen.
func live(t *testing.T, key dyteKey, o order, seed uint64, sent []delivery) (out result) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := open(t, dir, key)
		defer func() {
			if err := w.stop(); err != nil {
				t.Error(err)
			}
		}()
		for _, a := range o.arrivals(rand.New(rand.NewPCG(seed, 1<<32)), sent) {
			if err := w.post(a); err != nil {
				t.Fatal(err)
			}
		}
		// The latest delivery comes after three days, then the longest silence is
		// waited for; all orders are looked at in the same moment.
		time.Sleep(time.Until(morning().Add(7 * 24 * time.Hour)))
		synctest.Wait()
		var err error
		if out, err = w.result(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	return out
}

// result reads what is known in the end.
func (w *world) result(ctx context.Context) (result, error) {
	out := result{sessions: map[string]known{}, runs: w.runs}
	for q := (engine.Query{Limit: 500}); ; {
		rows, err := w.store.Sessions(ctx, q)
		if err != nil {
			return out, err
		}
		for _, row := range rows {
			x, err := w.store.Session(ctx, row.Key)
			if err != nil {
				return out, err
			}
			k := known{x.Source, x.Room, x.Session, x.Participants, x.Recordings}
			slices.SortFunc(k.Participants, func(a, b engine.Participant) int { return cmp.Compare(a.ID, b.ID) })
			slices.SortFunc(k.Recordings, func(a, b engine.Recording) int { return cmp.Compare(a.ID, b.ID) })
			name := x.Source + "/" + x.Session.ID
			for out.sessions[name].Source != "" { // should not be, and is to be seen
				name += "'"
			}
			out.sessions[name] = k
		}
		if len(rows) < q.Limit {
			break
		}
		q.Cursor = rows[len(rows)-1].Key
	}
	for q := (engine.Query{Limit: 500}); ; {
		rows, err := w.store.Events(ctx, q)
		if err != nil {
			return out, err
		}
		out.events = append(out.events, rows...)
		if len(rows) < q.Limit {
			return out, nil
		}
		q.Cursor = rows[len(rows)-1].ID
	}
}

// of are the sessions of a source.
func (r result) of(source string) map[string]known {
	all := map[string]known{}
	for name, k := range r.sessions {
		if k.Source == source {
			all[name] = k
		}
	}
	return all
}

// same compares every field of everything.
func same(t *testing.T, source string, ordered, other result) {
	t.Helper()
	want, got := ordered.of(source), other.of(source)
	for _, name := range slices.Sorted(maps.Keys(want)) {
		k, ok := got[name]
		if !ok {
			t.Errorf("%s is missing", name)
			continue
		}
		if diff := gocmp.Diff(want[name], k); diff != "" {
			t.Errorf("%s is not that of the ordered day (-ordered +this):\n%s", name, diff)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[name]; !ok {
			t.Errorf("%s is one too many: %+v", name, got[name].Session)
		}
	}
}

// asPlotted compares the ordered day with what was made up: two days that are
// wrong alike would be the same.
func asPlotted(t *testing.T, source string, r result, wants []want) {
	t.Helper()
	if got := r.of(source); len(got) != len(wants) {
		t.Errorf("%d sessions, %d were held", len(got), len(wants))
	}
	for _, w := range wants {
		name := source + "/" + w.id
		k, ok := r.sessions[name]
		if !ok {
			t.Errorf("%s is missing", name)
			continue
		}
		s := k.Session
		if s.Status != engine.Ended || !s.Started.Equal(w.started) || s.Estimated != w.ended.IsZero() || (!s.Estimated && !s.Ended.Equal(w.ended)) {
			t.Errorf("%s is %s from %s until %s (estimated %v), was held from %s until %s", name, s.Status,
				clock(s.Started), clock(s.Ended), s.Estimated, clock(w.started), clock(w.ended))
		}
		if s.Recording {
			t.Errorf("%s is still being recorded", name)
		}
		recordings := map[string]string{}
		for _, x := range k.Recordings {
			recordings[x.ID] = x.Status
		}
		if diff := gocmp.Diff(w.recordings, recordings); diff != "" {
			t.Errorf("recordings of %s (-plotted +got):\n%s", name, diff)
		}
		if w.totals == nil {
			continue
		}
		totals, attended := map[string]time.Duration{}, time.Duration(0)
		for _, x := range k.Participants {
			totals[x.ID] = x.Total
			if !w.bots[x.ID] {
				attended += x.Total
			}
			if x.Present {
				t.Errorf("%s is still there in %s", x.ID, name)
			}
		}
		if diff := gocmp.Diff(w.totals, totals); diff != "" {
			t.Errorf("times of %s (-plotted +got):\n%s", name, diff)
		}
		if s.Attended != attended {
			t.Errorf("%s was attended for %s, people's times are %s", name, s.Attended, attended)
		}
	}
}

// oncePerEnd: a second word for the same end is a repeat, and matches no rule.
func oncePerEnd(t *testing.T, source string, r result) {
	t.Helper()
	for name := range r.of(source) {
		if n := r.runs["ended "+name]; n != 1 {
			t.Errorf("the rule of the end of %s fired %d times", name, n)
		}
	}
}

func clock(t time.Time) string {
	if t.IsZero() {
		return "nobody knows"
	}
	return t.Format("15:04:05.000")
}
