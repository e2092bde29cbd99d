package engine_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// together does what waits behind as well.
func together(c engine.Call) (engine.Result, error) {
	res := engine.Result{Status: 200, Body: json.RawMessage(fmt.Sprintf(`{"ts":%q}`, c.Run)), Note: "one message"}
	for _, b := range c.Behind {
		res.Folded = append(res.Folded, b.Key)
	}
	return res, nil
}

// When many wait, one attempt does them all: they are done without another one,
// and the next one does not wait for them.
func TestFoldMany(t *testing.T) {
	for _, tc := range []struct {
		name   string
		n      int
		pause  time.Duration // before, so that those who wait are recorded
		behind []int         // of each attempt
	}{
		{"few", 5, 0, []int{0, 0, 0, 0, 0}},
		{"just enough", 7, 0, []int{0, 5}}, // the first goes at once
		{"very many", 60, 0, []int{0, 50, 7}},
		{"in the table", 15, time.Minute, []int{0, 14}}, // the first is refused
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newChannel(t, engine.Lane{Name: "ops", Every: 3 * time.Second, Burst: 1}, 5)
				refused := tc.pause == 0
				x.send = func(c engine.Call) (engine.Result, error) {
					if !refused {
						refused = true
						return engine.Result{}, engine.RetryAfter(errNow, tc.pause)
					}
					return together(c)
				}
				stop := x.start()
				names, runs := x.says(tc.n)
				pass(5 * time.Minute)
				synctest.Wait()
				var behind []int
				for i, m := range x.sent {
					behind = append(behind, m.behind)
					if i > 1 && m.at-x.sent[i-1].at != 3*time.Second {
						t.Errorf("attempt %d came after %s", i, m.at-x.sent[i-1].at)
					}
				}
				if !slices.Equal(behind, tc.behind) {
					t.Errorf("behind %v, want %v", behind, tc.behind)
				}
				x.allDone(t, names, runs)
				if n := x.rows(engine.StateFolded, keys(runs)...); n != 0 {
					t.Errorf("%d rows are left", n)
				}
				stop()
			})
		})
	}
}

// allDone checks that each run was sent once, by itself or with another one.
func (x *channel) allDone(t *testing.T, names, runs []string) {
	t.Helper()
	sent := map[string]int{}
	for _, m := range x.sent {
		sent[m.text]++
	}
	heads := map[string]bool{}
	for _, id := range runs {
		heads[id] = true
	}
	for i, id := range runs {
		r := x.run(id)
		if r.State != engine.RunDone || len(r.Steps) != 1 {
			t.Errorf("run %s is %s: %+v", id, r.State, r.Steps)
			continue
		}
		s := r.Steps[0]
		var body struct{ TS string }
		if err := json.Unmarshal(s.Body, &body); err != nil || s.Status != 200 || !heads[body.TS] {
			t.Errorf("step %+v", s)
		}
		switch {
		case body.TS == id && (sent[names[i]] == 0 || s.Note != "one message"):
			t.Errorf("%s was never sent: %+v", names[i], s)
		case body.TS != id && (sent[names[i]] != 0 || s.Note != "done together with "+body.TS):
			t.Errorf("%s was sent %d times: %+v", names[i], sent[names[i]], s)
		}
	}
}

// keys are the idempotency keys of the first steps of runs.
func keys(runs []string) (all []string) {
	for _, id := range runs {
		all = append(all, id+".then.0")
	}
	return all
}

// An attempt that fails has done nothing for those behind it.
func TestFoldFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newChannel(t, engine.Lane{Name: "ops", Every: time.Second, Burst: 1}, 5)
		n := 0
		x.send = func(c engine.Call) (engine.Result, error) {
			if n++; n == 2 {
				if len(c.Behind) == 0 {
					t.Error("none behind")
				}
				return engine.Result{}, engine.Permanent(errNow)
			}
			return together(c)
		}
		stop := x.start()
		names, runs := x.says(10)
		pass(time.Minute)
		synctest.Wait()
		if r := x.run(runs[1]); r.State != engine.RunFailed {
			t.Errorf("%s", r.State)
		}
		x.allDone(t, slices.Delete(names, 1, 2), slices.Delete(runs, 1, 2))
		stop()
	})
}

// A crash at any point loses nothing: only what the attempt under way did may be
// done again, and it knows.
func TestFoldAfterCrash(t *testing.T) {
	for _, records := range []int{0, 1, 2, 7, 9} { // after the attempt that folds has begun
		synctest.Test(t, func(t *testing.T) {
			x := newChannel(t, engine.Lane{Name: "ops", Every: time.Second, Burst: 1}, 5)
			var crash crashes
			x.over = crash.over
			if err := x.store.Close(); err != nil {
				t.Fatal(err)
			}
			x.open()
			var heads []string // whose attempts did more than one
			did := map[string][]string{}
			uncertain := map[string]bool{}
			x.send = func(c engine.Call) (engine.Result, error) {
				if len(c.Behind) > 0 && len(heads) == 0 {
					crash.after(records)
				}
				if len(c.Behind) > 0 {
					heads = append(heads, c.Run)
				}
				uncertain[c.Run] = uncertain[c.Run] || c.Uncertain
				did[c.Run] = append(did[c.Run], c.Run)
				for _, b := range c.Behind {
					if len(heads) > 1 && b.Run == heads[0] {
						t.Error("what may have been done is to be done once more by another one")
					}
					did[b.Run] = append(did[b.Run], c.Run)
				}
				return together(c)
			}
			stop := x.start()
			_, runs := x.says(10)
			pass(10 * time.Second)
			synctest.Wait()
			stop()
			crash.after(-1)
			x.open()
			stop = x.start()
			pass(time.Minute)
			synctest.Wait()
			for _, id := range runs {
				if r := x.run(id); r.State != engine.RunDone || len(did[id]) == 0 {
					t.Errorf("crash after %d: run %s is %s, done by %v", records, id, r.State, did[id])
				}
				switch n := len(did[id]); {
				case n == 1:
				case records == 0 && did[id][0] == heads[0]: // what the attempt under way did
				default:
					t.Errorf("crash after %d: run %s was done by %v", records, id, did[id])
				}
			}
			if records == 0 && !uncertain[heads[0]] {
				t.Error("the attempt does not know that it may have been made")
			}
			if n := x.rows(engine.StateFolded, keys(runs)...); n != 0 {
				t.Errorf("crash after %d: %d rows are left", records, n)
			}
			stop()
		})
	}
}
