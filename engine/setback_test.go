package engine_test

import (
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
)

func TestTimerSetBack(t *testing.T) {
	now := time.Date(2026, 11, 2, 10, 0, 0, 0, time.UTC)
	in := func(d time.Duration) time.Time { return now.Add(d) }
	const year = 365 * 24 * time.Hour
	for _, tt := range []struct {
		name    string
		missed  bool
		set, at time.Time
		due     time.Time
		next    func(time.Time) time.Time
		want    time.Time
	}{
		{name: "set by this clock", set: in(-time.Minute), due: in(9 * time.Minute), want: in(9 * time.Minute)},
		{name: "set by a fast one", set: in(year), due: in(year + 10*time.Minute), want: in(10 * time.Minute)},
		{name: "put off at a start", set: in(-time.Hour), at: in(-time.Minute), due: in(engine.Grace), want: in(engine.Grace)},
		{name: "put off at a start by a fast one", set: in(-time.Hour), at: in(time.Hour), due: in(year), want: in(time.Hour)},
		{name: "overdue at a start by a fast one", set: in(-time.Hour), at: in(-time.Minute), due: in(year), want: in(engine.Grace)},
		{name: "set and put off by a fast one", set: in(year), at: in(year + time.Hour), due: in(year + 2*time.Hour), want: in(time.Hour)},
		{name: "missed, put off at a start before", missed: true, set: in(-time.Hour), at: in(-2 * time.Minute), due: in(23 * time.Hour), want: in(23 * time.Hour)},
		{name: "missed, as a fast one says", missed: true, set: in(-time.Hour), due: in(year), want: in(24 * time.Hour)},
		{name: "schedule", set: in(year), due: in(year + time.Hour), next: func(t time.Time) time.Time { return t.Add(20 * time.Hour) }, want: in(20 * time.Hour)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := engine.Timer{State: engine.TimerPending, Set: tt.set, At: tt.at, Due: tt.due}
			if tt.missed {
				x.State = engine.TimerMissed
			}
			if changed := x.SetBack(now, tt.next); changed == tt.want.Equal(tt.due) {
				t.Errorf("changed: %t", changed)
			}
			if !x.Due.Equal(tt.want) || x.Set.After(now) {
				t.Errorf("set %s, due %s, want %s", x.Set, x.Due, tt.want)
			}
			if x.SetBack(now, tt.next) {
				t.Error("it changes again")
			}
		})
	}
}

func TestRunSetBack(t *testing.T) {
	now := time.Date(2026, 11, 2, 10, 0, 0, 0, time.UTC)
	ahead := now.Add(24 * time.Hour)
	for _, tt := range []struct {
		name, state  string
		updated, due time.Time
		want         time.Time
	}{
		{"tried again by this clock", engine.RunRetrying, now.Add(-time.Second), now.Add(time.Minute), now.Add(time.Minute)},
		{"tried again by a fast one", engine.RunRetrying, ahead, ahead.Add(time.Minute), now.Add(time.Minute)},
		{"waits for a moment", engine.RunWaiting, ahead, ahead.Add(time.Minute), ahead.Add(time.Minute)},
	} {
		r := engine.Run{State: tt.state, Updated: tt.updated, Due: tt.due}
		if changed := r.SetBack(now); changed == tt.want.Equal(tt.due) || !r.Due.Equal(tt.want) {
			t.Errorf("%s: changed: %t, due %s, want %s", tt.name, changed, r.Due, tt.want)
		}
	}
}
