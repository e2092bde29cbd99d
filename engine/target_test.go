package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gavelhq/gavel/engine"
)

var (
	failing = flag.Int("failing", 200, "failing steps, for TestRetryTimes")
	seed    = flag.Uint64("seed", 1, "of the jitter, for TestRetryTimes")
)

var errRefused = errors.New("connection refused")

// town is a world of targets, a rule for each: a session called a-1 has a run
// that calls a. What a target does is up to the test.
type town struct {
	*world
	act func(ctx context.Context, target string) error

	mu    sync.Mutex
	calls map[string][]time.Time
}

func newTown(t *testing.T, retry engine.Retry, targets ...string) *town {
	x := &town{calls: map[string][]time.Time{}}
	plan := rules{}
	for _, target := range targets {
		concerns := func(in engine.MatchInput) (bool, error) {
			return strings.HasPrefix(in.Event.Session.ID, target+"-"), nil
		}
		plan[target] = rule{cond: concerns, retry: retry, steps: script{"then": {target}}}
	}
	x.world = newWorld(t, plan)
	if err := x.store.Close(); err != nil {
		t.Fatal(err)
	}
	x.kinds = []engine.ActionKind{{
		Name: "act",
		Service: func(_ string, with json.RawMessage, _ any) (target string) {
			_ = json.Unmarshal(with, &target)
			return target
		},
		Do: func(ctx context.Context, c engine.Call) (engine.Result, error) {
			x.mu.Lock()
			x.calls[c.Step] = append(x.calls[c.Step], c.Now)
			x.mu.Unlock()
			return engine.Result{}, x.act(ctx, c.Step)
		},
	}}
	x.open()
	return x
}

// attempts is how many a target had.
func (x *town) attempts(target string) int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.calls[target])
}

// send sends n events for a target.
func (x *town) sends(target string, n int) (ids []string) {
	for range n {
		ids = append(ids, x.accept(fmt.Sprint(target, "-", x.serial.Add(1))))
	}
	return ids
}

// states is how many runs are in which state, and how many attempts failed.
func (x *town) states() (states map[string]int, failed int) {
	states = map[string]int{}
	for _, r := range x.runs(false) {
		states[r.State]++
		failed += len(r.Tries)
		for _, s := range r.Steps {
			failed += len(s.Tries)
		}
	}
	return states, failed
}

// While a target is down its runs wait without an attempt being counted, and
// they go on when it is back. Those of other targets do not notice.
func TestTargetDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTown(t, engine.Retry{}, "a", "b")
		begin, outage := time.Now(), 20*time.Minute
		x.act = func(_ context.Context, target string) error {
			if target == "a" && time.Since(begin) < outage {
				return errRefused
			}
			return nil
		}
		stop := x.start()
		ids := x.sends("a", 200)
		x.sends("b", 100)
		pass(outage - time.Second)
		synctest.Wait()
		x.sends("a", 1)
		x.sends("b", 1)
		synctest.Wait()
		states, failed := x.states()
		// five until it is known to be down, as many as were under way then, and
		// the probes
		if n := x.attempts("a"); n != failed || n > 5+32+26 {
			t.Errorf("%d attempts at the one that is down, %d failed", n, failed)
		}
		if states[engine.RunDone] != 101 {
			t.Errorf("%v", states)
		}
		if down := x.eng.Down(); len(down) != 1 || down[0].Name != "a" || down[0].Error != errRefused.Error() || !down[0].Since.Equal(begin) {
			t.Errorf("down: %+v", down)
		}
		last := x.run(ids[199])
		if h := last.Held; h == nil || h.Target != "a" || !h.Down || len(last.Tries) != 0 {
			t.Errorf("held: %+v", h)
		}
		pass(3 * time.Minute)
		synctest.Wait()
		if states, _ := x.states(); states[engine.RunDone] < 260 { // some were tried, and wait for their time
			t.Errorf("after the outage: %v", states)
		}
		pass(time.Hour)
		synctest.Wait()
		if states, again := x.states(); states[engine.RunDone] != 302 || again > failed+3 {
			t.Errorf("at last: %v, %d failed attempts", states, again)
		}
		if down := x.eng.Down(); len(down) != 0 {
			t.Errorf("down: %+v", down)
		}
		text := x.log.String()
		if strings.Count(text, "target is down") != 1 || strings.Count(text, "target answers again") != 1 {
			t.Errorf("it is to be said once that the target is down, and once that it answers again: %s", grep(text, "target "))
		}
		stop()
	})
}

// A target that stays down does not keep a run for longer than its policy
// says: it is tried a last time, and fails.
func TestTargetStaysDown(t *testing.T) {
	for _, tc := range []struct {
		name     string
		retry    engine.Retry
		from, to time.Duration // when the last one fails
		hangs    bool          // instead of refusing: runs stand in line before it is known to be down
	}{
		{"default", engine.Retry{}, 23 * time.Hour, 29 * time.Hour, false},
		{"one attempt", engine.Retry{Attempts: 1}, 0, 0, false},
		{"three", engine.Retry{Attempts: 3, First: 10 * time.Second}, 50 * time.Second, time.Minute, false},
		{"for an hour", engine.Retry{Attempts: 50, For: time.Hour}, 50 * time.Minute, 61 * time.Minute, false},
		{"hangs", engine.Retry{Attempts: 3, First: time.Second, Max: time.Second}, 30 * time.Second, 5 * time.Minute, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newTown(t, tc.retry, "a")
				x.act = func(ctx context.Context, _ string) error {
					if tc.hangs {
						<-ctx.Done()
					}
					return errRefused
				}
				begin, stop := time.Now(), x.start()
				x.sends("a", 150)
				pass(48 * time.Hour)
				synctest.Wait()
				states, _ := x.states()
				if states[engine.RunFailed] != 150 {
					t.Errorf("%v", states)
				}
				for _, r := range x.runs(false) {
					if n := r.Failure.Attempts; n < 1 || (tc.retry.Attempts > 0 && n > tc.retry.Attempts) {
						t.Errorf("%d attempts", n)
					}
				}
				at := x.calls["a"]
				if last := at[len(at)-1].Sub(begin); last < tc.from || last > tc.to {
					t.Errorf("the last attempt was after %s", last)
				}
				stop()
			})
		})
	}
}

// A server that starts again does not forget which targets are down: one
// attempt finds out.
func TestTargetDownRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTown(t, engine.Retry{}, "a")
		var back atomic.Bool
		x.act = func(context.Context, string) error {
			if back.Load() {
				return nil
			}
			return errRefused
		}
		stop := x.start()
		x.sends("a", 100)
		pass(5 * time.Minute)
		x.sends("a", 100)
		pass(time.Second)
		synctest.Wait()
		stop()
		before := x.attempts("a")
		x.open()
		stop = x.start()
		pass(time.Minute)
		synctest.Wait()
		if n := x.attempts("a") - before; n < 1 || n > 12 { // probes, and runs tried before that are due
			t.Errorf("%d attempts in the first minute", n)
		}
		back.Store(true)
		pass(10 * time.Minute) // all of them, not only those that are due
		synctest.Wait()
		if states, _ := x.states(); states[engine.RunDone] < 180 { // some were tried, and wait for their time
			t.Errorf("%v", states)
		}
		pass(24 * time.Hour)
		synctest.Wait()
		if states, _ := x.states(); states[engine.RunDone] != 200 {
			t.Errorf("%v", states)
		}
		stop()
	})
}

// A target that comes back is not run down by all that waited for it.
func TestTargetComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTown(t, engine.Retry{}, "a")
		begin := time.Now()
		var mu sync.Mutex
		inside, most, first := 0, 0, 0
		x.act = func(context.Context, string) error {
			if time.Since(begin) < time.Minute {
				return errRefused
			}
			mu.Lock()
			inside++
			first++
			if most = max(most, inside); first <= 7 && inside > 4 { // one, two, four
				t.Errorf("%d at once among the first %d", inside, first)
			}
			mu.Unlock()
			pass(100 * time.Millisecond)
			mu.Lock()
			inside--
			mu.Unlock()
			return nil
		}
		stop := x.start()
		x.sends("a", 300)
		pass(time.Hour)
		synctest.Wait()
		if states, _ := x.states(); states[engine.RunDone] != 300 || most != 32 {
			t.Errorf("%v, %d at once", states, most)
		}
		stop()
	})
}

// Runs of one turn stay in their order while their target is down for less
// than an hour.
func TestTargetDownInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTown(t, engine.Retry{}, "a")
		begin := time.Now()
		var order []string
		var mu sync.Mutex
		kind := &x.kinds[0]
		do := kind.Do
		kind.Do = func(ctx context.Context, c engine.Call) (engine.Result, error) {
			res, err := do(ctx, c)
			if err == nil {
				mu.Lock()
				order = append(order, c.Run)
				mu.Unlock()
			}
			return res, err
		}
		if err := x.store.Close(); err != nil {
			t.Fatal(err)
		}
		x.open()
		x.act = func(context.Context, string) error {
			if time.Since(begin) < 50*time.Minute {
				return errRefused
			}
			return nil
		}
		stop := x.start()
		var ids []string
		for range 10 {
			ids = append(ids, x.accept("a-1"))
		}
		x.sends("a", 50)
		pass(3 * time.Hour)
		synctest.Wait()
		var got []string
		for _, id := range order {
			for _, own := range ids {
				if id == own {
					got = append(got, id)
				}
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(ids) {
			t.Errorf("done in the order %v, want %v", got, ids)
		}
		stop()
	})
}

// wishes are what targets ask for with Retry-After, as an action reads it, and
// when they get it: nil is no wish.
var wishes = []struct {
	after *time.Duration
	want  time.Duration
}{
	{nil, 4 * time.Minute},
	{new(90 * time.Second), 90 * time.Second},
	{new(0 * time.Second), time.Second},            // a date that is over
	{new(-10 * time.Second), time.Second},          //
	{new(-56 * 365 * 24 * time.Hour), time.Second}, // 1970
	{new(time.Hour + time.Minute), time.Hour},
	{new(999_999_999 * time.Second), time.Hour},
}

// Failing steps are tried again when they are to be, as long as their target
// answers others: one after the other, with the same key.
func TestRetryTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTown(t, engine.Retry{Attempts: 4, First: time.Minute, Max: 10 * time.Minute}, "a")
		failed := errors.New("500")
		var mu sync.Mutex
		jitter := rand.New(rand.NewPCG(*seed, 0))
		x.rand = func() float64 {
			mu.Lock()
			defer mu.Unlock()
			return jitter.Float64()
		}
		var number atomic.Int64
		type life struct {
			n     int // in the order of the first attempts
			calls []engine.Call
		}
		lives := map[string]*life{}
		x.kinds[0].Service = nil
		x.kinds[0].Do = func(_ context.Context, c engine.Call) (engine.Result, error) {
			mu.Lock()
			defer mu.Unlock()
			l := lives[c.Run]
			if l == nil {
				l = &life{n: int(number.Add(1))}
				lives[c.Run] = l
			}
			l.calls = append(l.calls, c)
			if wish := wishes[l.n%len(wishes)]; len(l.calls) == 2 && wish.after != nil {
				return engine.Result{}, engine.RetryAfter(failed, *wish.after)
			}
			return engine.Result{}, failed
		}
		if err := x.store.Close(); err != nil {
			t.Fatal(err)
		}
		x.open()
		stop := x.start()
		runs := *failing
		ids := x.sends("a", runs)
		pass(3 * time.Hour)
		synctest.Wait()
		for _, id := range ids {
			l := lives[id]
			if l == nil || len(l.calls) != 4 {
				t.Fatalf("run %s: %+v", id, l)
			}
			wish := wishes[l.n%len(wishes)]
			near := func(d, want time.Duration, part int) bool {
				low, high := want*time.Duration(100-part)/100, want*time.Duration(100+part)/100
				return d >= low-time.Millisecond && d <= high+time.Second // the table has microseconds
			}
			for i, want := range []time.Duration{time.Minute, wish.want, 10 * time.Minute} {
				part := 20 // per cent
				if i == 1 && wish.after != nil {
					part = 0
				}
				if d := l.calls[i+1].Now.Sub(l.calls[i].Now); !near(d, want, part) {
					t.Errorf("attempt %d came after %s, want %s (-seed %d)", i+2, d, want, *seed)
				}
			}
			for i, c := range l.calls {
				if c.Attempt != i+1 || c.Key != l.calls[0].Key {
					t.Errorf("call %d: attempt %d, key %s, before %s", i, c.Attempt, c.Key, l.calls[0].Key)
				}
			}
		}
		all, err := x.store.Runs(t.Context(), engine.Query{Limit: runs, State: engine.RunFailed})
		if err != nil || len(all) != runs {
			t.Fatal(len(all), err)
		}
		stop()
	})
}

// acted is how many attempts two targets that take a second each have completed
// within five seconds, after runs for some targets that hang.
func acted(t *testing.T, hanging int) (n int) {
	targets := []string{"a", "b"}
	for i := range hanging {
		targets = append(targets, fmt.Sprint("dead", i))
	}
	x := newTown(t, engine.Retry{}, targets...)
	var done atomic.Int64
	x.act = func(ctx context.Context, target string) error {
		if strings.HasPrefix(target, "dead") {
			<-ctx.Done() // until its time is over
			return ctx.Err()
		}
		pass(time.Second)
		done.Add(1)
		return nil
	}
	stop := x.start()
	for _, target := range targets[2:] {
		x.sends(target, 40)
	}
	synctest.Wait()
	for _, target := range targets[:2] {
		x.sends(target, 170)
	}
	pass(5*time.Second + time.Millisecond)
	synctest.Wait()
	n = int(done.Load())
	pass(time.Minute) // the attempts at those that hang end
	synctest.Wait()
	stop()
	return n
}

// Targets that hang do not slow down the others.
func TestOtherTargets(t *testing.T) {
	got := map[int]int{}
	for _, hanging := range []int{0, 1, 4} {
		synctest.Test(t, func(t *testing.T) { got[hanging] = acted(t, hanging) })
	}
	for hanging, n := range got {
		if n < got[0]*9/10 {
			t.Errorf("%d attempts beside %d targets that hang, %d without", n, hanging, got[0])
		}
	}
	t.Logf("attempts in five seconds beside so many targets that hang: %v", got)
}

// grep is the lines of text that say what.
func grep(text, what string) (found string) {
	for line := range strings.Lines(text) {
		if strings.Contains(line, what) {
			found += line
		}
	}
	return found
}
