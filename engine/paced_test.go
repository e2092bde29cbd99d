package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// channel is a world whose only action sends what its session is called over a
// channel: one at a time, and paced. Sessions called b-1 go over the channel b.
type channel struct {
	*world
	send func(engine.Call) (engine.Result, error) // default: done

	mu   sync.Mutex
	sent []message
}

// message is one attempt.
type message struct {
	text   string
	at     time.Duration // since the start
	behind int
}

// newChannel makes one with a lane and a number of attempts to fold.
func newChannel(t *testing.T, lane engine.Lane, folds int) *channel {
	x := &channel{}
	begin := time.Now()
	x.world = newWorld(t, one(script{"then": {"a"}}))
	if err := x.store.Close(); err != nil {
		t.Fatal(err)
	}
	x.kinds = []engine.ActionKind{{
		Name: "act", Marks: true, Folds: folds,
		Lane: func(json.RawMessage, any) engine.Lane { return lane },
		Do: func(_ context.Context, c engine.Call) (engine.Result, error) {
			x.mu.Lock()
			x.sent = append(x.sent, message{c.Event.Session.ID, c.Now.Sub(begin).Round(time.Millisecond), len(c.Behind)})
			send := x.send
			x.mu.Unlock()
			if send == nil {
				return engine.Result{}, nil
			}
			return send(c)
		},
	}}
	x.open()
	return x
}

// says sends n messages, one after the other.
func (x *channel) says(n int) (names, runs []string) {
	for range n {
		name := fmt.Sprint("S", x.serial.Add(1))
		names, runs = append(names, name), append(runs, x.accept(name))
		synctest.Wait() // they reach the channel in this order
	}
	return names, runs
}

// messages are the attempts since it was asked last.
func (x *channel) messages() (texts []string, at []time.Duration) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, m := range x.sent {
		texts, at = append(texts, m.text), append(at, m.at)
	}
	x.sent = nil
	return texts, at
}

// rows are the states of a kind that the engine has kept for keys.
func (x *channel) rows(kind string, keys ...string) (n int) {
	x.t.Helper()
	for _, key := range keys {
		_, err := x.store.ActionState(context.Background(), kind, key)
		if err == nil {
			n++
		} else if !errors.Is(err, engine.ErrNotFound) {
			x.t.Fatal(err)
		}
	}
	return n
}

// laneName is what the lane called ops of these tests is kept under.
const laneName = "act  ops"

// A lane lets a few begin at once after a quiet time, then one each second, in
// the order in which they came.
func TestPace(t *testing.T) {
	for _, tc := range []struct {
		name string
		lane engine.Lane
		n    int
		each time.Duration // how long an attempt takes
	}{
		{"burst", engine.Lane{Name: "ops", Every: time.Second, Burst: 5}, 20, 0},
		{"no burst", engine.Lane{Name: "ops", Every: time.Second}, 5, 0},
		{"slow attempts", engine.Lane{Name: "ops", Every: time.Second, Burst: 2}, 8, 300 * time.Millisecond},
		{"few", engine.Lane{Name: "ops", Every: time.Second, Burst: 50}, 5, 0},
		{"slow pace", engine.Lane{Name: "ops", Every: time.Minute, Burst: 3}, 8, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newChannel(t, tc.lane, 0)
				x.send = func(engine.Call) (engine.Result, error) {
					if tc.each > 0 {
						pass(tc.each)
					}
					return engine.Result{}, nil
				}
				stop := x.start()
				for _, quiet := range []time.Duration{0, 2 * time.Hour} { // and again
					pass(quiet)
					want, _ := x.says(tc.n)
					pass(time.Duration(tc.n+1) * tc.lane.Every)
					synctest.Wait()
					got, at := x.messages()
					if !slices.Equal(got, want) {
						t.Fatalf("sent %v, want %v", got, want)
					}
					burst := max(tc.lane.Burst, 1)
					first := at[0]
					for i, d := range at {
						if due := first + time.Duration(max(i-burst+1, 0))*tc.lane.Every; d < due || d > due+time.Duration(burst)*tc.each+time.Millisecond {
							t.Errorf("message %d came after %s, want %s", i, d-first, due-first)
						}
					}
					if all, want := at[tc.n-1]-first, time.Duration(max(tc.n-burst, 0))*tc.lane.Every; tc.each == 0 && all != want {
						t.Errorf("%d messages took %s, want %s", tc.n, all, want)
					}
				}
				stop()
			})
		})
	}
}

// Who comes while others wait stands behind them, however the channel is paced.
func TestPaceNoOvertaking(t *testing.T) {
	for _, lane := range []engine.Lane{{Name: "ops"}, {Name: "ops", Every: time.Second, Burst: 3}} {
		synctest.Test(t, func(t *testing.T) {
			x := newChannel(t, lane, 0)
			x.send = func(engine.Call) (engine.Result, error) {
				pass(400 * time.Millisecond)
				return engine.Result{}, nil
			}
			stop := x.start()
			var want []string
			for range 20 {
				names, _ := x.says(1)
				want = append(want, names...)
				pass(170 * time.Millisecond)
			}
			pass(time.Minute)
			synctest.Wait()
			if got, _ := x.messages(); !slices.Equal(got, want) {
				t.Errorf("sent %v, want %v", got, want)
			}
			stop()
		})
	}
}

// A target that wants a pause gets it, and then first the message that it refused.
func TestPauseKeepsOrder(t *testing.T) {
	for _, after := range []time.Duration{3 * time.Second, 5 * time.Minute} {
		for _, every := range []time.Duration{0, time.Second} {
			synctest.Test(t, func(t *testing.T) {
				x := newChannel(t, engine.Lane{Name: "ops", Every: every, Burst: 2}, 0)
				var refused []string
				x.send = func(c engine.Call) (engine.Result, error) {
					x.mu.Lock()
					n := len(x.sent)
					x.mu.Unlock()
					if n == 3 || n == 8 {
						refused = append(refused, c.Event.Session.ID)
						return engine.Result{}, engine.RetryAfter(errNow, after)
					}
					return engine.Result{}, nil
				}
				stop := x.start()
				want, _ := x.says(5)
				pass(after / 2)
				more, _ := x.says(7)
				want = append(want, more...)
				pass(time.Hour)
				synctest.Wait()
				got, at := x.messages()
				if want := slices.Insert(want, slices.Index(want, refused[0]), refused[0]); !slices.Equal(got, slices.Insert(want, slices.Index(want, refused[1]), refused[1])) {
					t.Errorf("sent %v, with %v refused", got, refused)
				}
				for _, i := range []int{3, 8} {
					if d := at[i] - at[i-1]; d < after || d > after+time.Second {
						t.Errorf("message %d came %s after the refusal, want %s", i, d, after)
					}
				}
				if n := x.rows(engine.StateLane, laneName); n != 0 {
					t.Error("the pause is kept for ever")
				}
				stop()
			})
		}
	}
}

// The pause that a target wanted outlives a restart, whoever comes first.
func TestPauseOutlivesRestart(t *testing.T) {
	for _, tc := range []struct {
		name    string
		others  int  // that wait when the server is stopped
		last    bool // the message that was refused is tried no more
		blind   bool // the store cannot say what it has kept
		atOnce  bool // the next one is sent at once
		restart time.Duration
	}{
		{"nobody else waits", 0, false, false, false, time.Minute},
		{"others wait", 5, false, false, false, time.Minute},
		{"who was refused comes no more", 0, true, false, false, time.Minute},
		{"and others wait", 5, true, false, false, time.Minute},
		{"the pause is over", 0, true, false, true, time.Hour},
		{"the store does not answer", 0, true, true, true, time.Minute},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newChannel(t, engine.Lane{Name: "ops"}, 0)
				if tc.last {
					x.plan = rules{"rule": {retry: engine.Retry{Attempts: 1}, steps: script{"then": {"a"}}}}
					x.use(x.plan)
				}
				x.send = func(engine.Call) (engine.Result, error) {
					return engine.Result{}, engine.RetryAfter(errNow, 10*time.Minute)
				}
				stop := x.start()
				x.says(1 + tc.others)
				stop()
				x.send = nil
				first, _ := x.messages()
				if len(first) != 1 {
					t.Fatalf("sent %v", first)
				}
				pass(tc.restart)
				if tc.blind {
					x.over = func(s engine.Store) engine.Store { return blind{s} }
				}
				x.open()
				stop = x.start()
				begin := time.Now()
				if n := x.rows(engine.StateLane, laneName); n != 1 {
					t.Errorf("%d pauses are kept", n)
				}
				x.says(1)
				left := 10*time.Minute - tc.restart
				pass(left - time.Second)
				synctest.Wait()
				got, _ := x.messages()
				if (len(got) > 0) != tc.atOnce {
					t.Errorf("sent %v within %s", got, time.Since(begin))
				}
				pass(time.Minute)
				synctest.Wait()
				late, _ := x.messages()
				want := 1 + tc.others
				if !tc.last {
					want++
				}
				if n := len(got) + len(late); n != want {
					t.Errorf("%d were sent, want %d", n, want)
				}
				if n := x.rows(engine.StateLane, laneName); n != 0 && !tc.blind {
					t.Error("the pause is kept for ever")
				}
				stop()
			})
		})
	}
}

// blind is a store that cannot say what it keeps.
type blind struct{ engine.Store }

func (blind) ActionState(context.Context, string, string) (json.RawMessage, error) {
	return nil, fmt.Errorf("%w: cannot read", engine.ErrUnavailable)
}

// What a run waits for can be told while it is only in memory.
func TestPaceIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newChannel(t, engine.Lane{Name: "ops", Every: time.Second}, 0)
		stop := x.start()
		_, runs := x.says(5)
		for i, id := range runs[1:] {
			r := x.run(id)
			if h := x.eng.Held(&r); r.State != engine.RunReady || h == nil || *h != (engine.Held{Target: laneName, Before: i}) {
				t.Errorf("run %d is %s, held %+v", i, r.State, h)
			}
		}
		stop()
	})
}

// What an attempt leaves is kept though it failed.
func TestStateOfFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newChannel(t, engine.Lane{}, 0)
		left := ""
		x.send = func(c engine.Call) (engine.Result, error) {
			if c.Attempt == 1 {
				return engine.Result{State: map[string]json.RawMessage{c.Key: json.RawMessage(`"unsure"`)}}, errNow
			}
			text, err := c.State.ActionState(context.Background(), "act", c.Key)
			left = string(text)
			return engine.Result{}, err
		}
		stop := x.start()
		x.says(1)
		pass(time.Minute)
		synctest.Wait()
		if left != `"unsure"` {
			t.Errorf("left %q", left)
		}
		stop()
	})
}

// An action that asks to be called again sees what it left, and has failed at
// nothing.
func TestAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newChannel(t, engine.Lane{Name: "ops", Every: time.Second, Burst: 1}, 0)
		x.send = func(c engine.Call) (engine.Result, error) {
			part, err := c.State.ActionState(context.Background(), "act", c.Key)
			if c.Uncertain {
				t.Error("may have been sent")
			}
			switch {
			case errors.Is(err, engine.ErrNotFound):
				return engine.Result{Again: true, State: map[string]json.RawMessage{c.Key: json.RawMessage(`1`)}}, nil
			case string(part) == "1":
				return engine.Result{Again: true, State: map[string]json.RawMessage{c.Key: json.RawMessage(`2`)}}, nil
			case c.Attempt == 1:
				return engine.Result{}, errNow
			}
			return engine.Result{Status: 200, State: map[string]json.RawMessage{c.Key: nil}}, nil
		}
		stop := x.start()
		names, runs := x.says(2)
		pass(10 * time.Minute)
		synctest.Wait()
		got, at := x.messages()
		if want := slices.Repeat(names[:1], 3); !slices.Equal(got[:3], want) {
			t.Errorf("sent %v", got)
		}
		if at[2] != at[0] || at[3] != at[0]+3*time.Second { // each counts for the pace
			t.Errorf("sent at %v", at)
		}
		for _, id := range runs {
			r := x.run(id)
			if r.State != engine.RunDone || len(r.Steps) != 1 || len(r.Steps[0].Tries) != 1 || r.Steps[0].Status != 200 {
				t.Errorf("%s %+v", r.State, r.Steps)
			}
		}
		stop()
	})
}

// What is only written down before the target is asked counts for no pace.
func TestAgainUnsent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newChannel(t, engine.Lane{Name: "ops", Every: time.Second, Burst: 1}, 0)
		x.send = func(c engine.Call) (engine.Result, error) {
			if _, err := c.State.ActionState(context.Background(), "act", c.Key); err == nil {
				return engine.Result{}, nil
			}
			return engine.Result{Again: true, Unsent: true, State: map[string]json.RawMessage{c.Key: json.RawMessage(`1`)}}, nil
		}
		stop := x.start()
		x.says(2)
		pass(time.Minute)
		synctest.Wait()
		if _, at := x.messages(); len(at) != 4 || at[1] != at[0] || at[2] != at[0]+time.Second || at[3] != at[2] {
			t.Errorf("sent at %v", at)
		}
		stop()
	})
}

// An action that never ends is stopped.
func TestAgainForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newChannel(t, engine.Lane{}, 0)
		x.send = func(engine.Call) (engine.Result, error) { return engine.Result{Again: true}, nil }
		stop := x.start()
		_, runs := x.says(1)
		r := x.run(runs[0])
		if got, _ := x.messages(); len(got) != 100 || r.State != engine.RunFailed || !strings.Contains(r.Reason, "asked to be called again 100 times") {
			t.Errorf("%d calls, %s: %s", len(got), r.State, r.Reason)
		}
		stop()
	})
}

// A crash between two rounds leaves no doubt; one within a round does.
func TestAgainAfterCrash(t *testing.T) {
	for _, within := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			x := newChannel(t, engine.Lane{Name: "ops"}, 0)
			var crash crashes
			x.over = crash.over
			if err := x.store.Close(); err != nil {
				t.Fatal(err)
			}
			x.open()
			round := 0
			var uncertain []bool
			x.send = func(c engine.Call) (engine.Result, error) {
				round++
				uncertain = append(uncertain, c.Uncertain)
				if round == 1 && !within {
					crash.after(1) // what the round left is recorded, and no more
				}
				if round == 2 && within {
					crash.after(0)
				}
				return engine.Result{Again: round == 1}, nil
			}
			stop := x.start()
			_, runs := x.says(1)
			stop()
			crash.after(-1)
			x.open()
			stop = x.start()
			pass(time.Minute)
			synctest.Wait()
			want := []bool{false, false}
			if within {
				want = []bool{false, false, true}
			}
			if r := x.run(runs[0]); r.State != engine.RunDone || !slices.Equal(uncertain, want) {
				t.Errorf("%s, uncertain %v, want %v", r.State, uncertain, want)
			}
			stop()
		})
	}
}

// crashes lays a store over another one that takes no more than so many Records.
type crashes struct {
	engine.Store
	mu    sync.Mutex
	armed bool
	left  int
}

func (c *crashes) over(s engine.Store) engine.Store {
	c.Store = s
	return c
}

// after lets n more through; -1: all.
func (c *crashes) after(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.armed, c.left = n >= 0, n
}

func (c *crashes) Record(ctx context.Context, r *engine.Run, res engine.Result) (engine.Recorded, error) {
	c.mu.Lock()
	dead := c.armed && c.left == 0
	c.left--
	c.mu.Unlock()
	if dead {
		return engine.Recorded{}, errors.New("the process is gone")
	}
	return c.Store.Record(ctx, r, res)
}

// A failed run that is to go on while its target is down says that it waits.
func TestRetryOfOneThatIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTown(t, engine.Retry{Attempts: 1}, "a")
		x.act = func(context.Context, string) error { return errRefused }
		stop := x.start()
		ids := x.sends("a", 10)
		synctest.Wait()
		woken, err := x.eng.Retry(t.Context(), ids[0])
		if err != nil {
			t.Fatal(err)
		}
		if h := x.eng.Held(woken); h == nil || h.Target != "a" || !h.Down {
			t.Errorf("held %+v", h)
		}
		stop()
	})
}
