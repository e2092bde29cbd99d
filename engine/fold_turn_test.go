package engine_test

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// Those who wait for a turn are folded, too: a meeting of many sends a handful.
func TestFoldTurn(t *testing.T) {
	for _, tc := range []struct {
		name   string
		steps  []string
		n      int
		behind []int // of each attempt
	}{
		{"many", []string{"a"}, 24, []int{0, 22}},
		{"few", []string{"a"}, 5, []int{0, 0, 0, 0, 0}},
		{"just enough", []string{"a"}, 7, []int{0, 5}},
		{"more than go together", []string{"a"}, 60, []int{0, 50, 7}},
		{"what the first has still to do goes before the next", []string{"a", "b"}, 7, slices.Repeat([]int{0}, 14)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newChannel(t, engine.Lane{Name: "ops", Every: 3 * time.Second, Burst: 1}, 5)
				x.plan = rules{"rule": {steps: script{"then": tc.steps}}}
				x.use(x.plan)
				var sent []string // by the runs' own order
				x.send = func(c engine.Call) (engine.Result, error) {
					sent = append(sent, c.Run)
					for _, b := range c.Behind {
						sent = append(sent, b.Run)
					}
					if len(sent) == 1 {
						pass(time.Second) // while the others come
					}
					return together(c)
				}
				stop := x.start()
				var runs []string
				for range tc.n {
					runs = append(runs, x.accept("S"))
				}
				pass(5 * time.Minute)
				synctest.Wait()
				var behind []int
				for _, m := range x.sent {
					behind = append(behind, m.behind)
				}
				if !slices.Equal(behind, tc.behind) {
					t.Errorf("behind %v, want %v", behind, tc.behind)
				}
				if len(tc.steps) == 1 && !slices.Equal(sent, runs) {
					t.Errorf("sent %v, want %v", sent, runs)
				}
				for _, id := range runs {
					if r := x.run(id); r.State != engine.RunDone {
						t.Errorf("run %s is %s", id, r.State)
					}
				}
				if n := x.rows(engine.StateFolded, keys(runs)...); n != 0 {
					t.Errorf("%d rows are left", n)
				}
				stop()
			})
		})
	}
}

// Runs that were unfinished at a start go in the order in which they were made,
// in whatever order workers come to the lane with them.
func TestOrderAfterStart(t *testing.T) {
	for _, pause := range []time.Duration{0, time.Minute} { // those who wait are in memory, or recorded
		synctest.Test(t, func(t *testing.T) {
			x := newChannel(t, engine.Lane{Name: "ops", Every: time.Second, Burst: 2}, 0)
			stop := x.start()
			if pause > 0 {
				x.send = func(engine.Call) (engine.Result, error) {
					return engine.Result{}, engine.RetryAfter(errNow, pause)
				}
			}
			names, _ := x.says(14)
			stop()
			x.send = nil
			before, _ := x.messages()
			if pause > 0 {
				before = nil
			}
			x.over = func(s engine.Store) engine.Store { return &jumbled{Store: s} }
			pass(time.Second)
			x.open()
			stop = x.start()
			pass(100 * time.Millisecond)
			late, _ := x.says(1) // comes while they line up
			pass(2 * time.Minute)
			synctest.Wait()
			after, _ := x.messages()
			if got, want := fmt.Sprint(append(before, after...)), fmt.Sprint(append(names, late...)); got != want {
				t.Errorf("pause %s: sent %s, want %s", pause, got, want)
			}
			stop()
		})
	}
}

// jumbled is a store whose runs come to their workers late, each by another time.
type jumbled struct {
	engine.Store
	n atomic.Int64
}

func (j *jumbled) Dispatch(ctx context.Context, workers int, advance func(context.Context, engine.Due)) error {
	return j.Store.Dispatch(ctx, workers, func(ctx context.Context, d engine.Due) {
		if n := j.n.Add(1); n <= 14 {
			pass(time.Duration(n*37%50) * time.Millisecond)
		}
		advance(ctx, d)
	})
}
