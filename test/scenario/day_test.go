package scenario

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/google/go-cmp/cmp"
)

// dayStart is the midnight at which the day begins.
var dayStart = time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)

// TestDay plays a day of many meetings at once, with everything platforms do
// wrong, two restarts and rules that use every word, and compares what Gavel
// does with what a small model of the same rules expects. With -short the day is
// a tenth as busy, and less than that under the race detector.
func TestDay(t *testing.T) {
	meetings := 10_000
	switch {
	case slow:
		meetings = 300
	case testing.Short():
		meetings = 1_000
	}
	d := newDay(rand.New(rand.NewPCG(1, 2)), meetings)
	want := d.expected()
	t.Run("server", func(t *testing.T) {
		began := time.Now()
		var got map[string][]string
		synctest.Test(t, func(t *testing.T) { got = playDay(t, d) })
		t.Logf("%d meetings, %d deliveries: 24 hours in %s", meetings, d.deliveries(), time.Since(began).Round(10*time.Millisecond))
		sameDay(t, want, got)
	})
	t.Run("stage", func(t *testing.T) {
		began := time.Now()
		got := rehearseDay(t, d)
		t.Logf("%d meetings, %d deliveries: 24 hours in %s", meetings, d.deliveries(), time.Since(began).Round(10*time.Millisecond))
		sameDay(t, want, got)
	})
}

// sameDay compares what was done with what is expected, rule by rule.
func sameDay(t *testing.T, want, got map[string][]string) {
	t.Helper()
	for rule := range want {
		if len(want[rule]) == 0 {
			t.Errorf("the day has nothing for the rule %s", rule)
		}
	}
	for rule := range got {
		if want[rule] == nil {
			t.Errorf("the model knows no rule %s", rule)
		}
	}
	for rule, lines := range want {
		slices.Sort(lines)
		slices.Sort(got[rule])
		if diff := cmp.Diff(lines, got[rule]); diff != "" {
			t.Errorf("rule %s (- expected, + happened):\n%s", rule, head(diff, 40))
		}
	}
}

func head(text string, lines int) string {
	all := strings.SplitAfter(text, "\n")
	if len(all) > lines {
		all = append(all[:lines], fmt.Sprintf("… and %d lines more", len(all)-lines))
	}
	return strings.Join(all, "")
}

// playDay is what each rule did.
func playDay(t *testing.T, d *day) map[string][]string {
	w := newWorld(t, memoryDir(t), dayStart)
	w.workers = 64
	text, err := os.ReadFile("testdata/day.yaml")
	if err != nil {
		t.Fatal(err)
	}
	set, err := w.load("day.yaml", string(text))
	if err == nil {
		err = w.open(set)
	}
	if err != nil {
		t.Fatal(err)
	}
	var up sync.RWMutex // the senders find the server between restarts
	var senders sync.WaitGroup
	problems := make(chan error, len(d.rooms))
	for _, r := range d.rooms {
		senders.Go(func() {
			for _, x := range r.deliveries {
				if wait := x.received.Sub(w.now()); wait > 0 {
					time.Sleep(wait) // in the bubble
				}
				up.RLock()
				out, err := w.send(x.event, x.key)
				up.RUnlock()
				if err == nil {
					err = x.fits(out)
				}
				if err != nil {
					problems <- fmt.Errorf("%s: %w", x.key, err)
					return
				}
			}
		})
	}
	for _, at := range d.restarts() {
		w.sleep(at)
		up.Lock()
		w.stop()
		err := w.open(set)
		up.Unlock()
		if err != nil {
			t.Fatal(err)
		}
	}
	senders.Wait()
	close(problems)
	for err := range problems {
		t.Error(err)
	}
	w.sleep(d.end())
	defer w.stop()
	w.invariants(t)
	runs, err := w.runs()
	if err != nil {
		t.Fatal(err)
	}
	return w.dayLines(t, runs)
}

// memoryDir is a folder in memory where there is one: the day is about time, and
// its thousands of transactions need no disk to wait for.
func memoryDir(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "gavel-day-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// fits reports whether a delivery was taken for what it is.
func (x delivery) fits(out engine.Accepted) error {
	switch {
	case out.Duplicate != x.duplicate:
		return fmt.Errorf("taken as duplicate: %v, but it is: %v", out.Duplicate, x.duplicate)
	case out.Duplicate:
	case len(out.Events) != 1:
		return fmt.Errorf("became %d events", len(out.Events))
	case out.Events[0].Outcome.Problem != "":
		return errors.New(out.Events[0].Outcome.Problem)
	case len(out.Events[0].Outcome.Errors) > 0:
		return errors.New(out.Events[0].Outcome.Errors[0].Error)
	case out.Events[0].Outcome.Repeat != x.repeat:
		return fmt.Errorf("taken as repeat: %v, but it is: %v", out.Events[0].Outcome.Repeat, x.repeat)
	}
	return nil
}

// invariants hold for whatever day it was.
func (w *world) invariants(t *testing.T) {
	ctx := context.Background()
	st, err := w.store.Stats(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for state, n := range st.Runs {
		if state != engine.RunDone && n > 0 {
			t.Errorf("%d runs are %s at the end", n, state)
		}
	}
	timers, err := w.timers()
	if err != nil {
		t.Fatal(err)
	}
	runs := map[string]int{} // by timer and branch
	for _, shadow := range []bool{false, true} {
		q := all()
		q.Shadow = shadow
		list, err := w.store.Runs(ctx, q)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range list {
			if r.Timer != "" {
				branch := r.Branch
				if len(r.Steps) > 0 {
					branch = r.Steps[0].Branch
				}
				runs[r.Timer+" "+branch]++
			}
		}
	}
	for timer, n := range runs {
		if n > 1 {
			t.Errorf("timer %s fired %d times", timer, n)
		}
	}
	for _, x := range timers {
		switch {
		case x.Open() && x.Kind != engine.TimerSchedule:
			t.Errorf("timer %s of rule %s is %s at the end", x.ID, x.Rule, x.State)
		case x.State == engine.TimerFailed, x.State == engine.TimerSkipped:
			t.Errorf("timer %s of rule %s is %s: %s", x.ID, x.Rule, x.State, x.Reason)
		}
	}
}

// dayLines are the messages of each rule: every rule of the day writes what
// the model can know.
func (w *world) dayLines(t *testing.T, runs []*engine.Run) map[string][]string {
	lines := map[string][]string{}
	for _, a := range w.attempts {
		var with struct{ Message, Customer, Key, Quantity, Name string }
		if err := json.Unmarshal(a.with, &with); err != nil {
			t.Fatalf("%s: %v", a.with, err)
		}
		text := with.Message
		switch a.action {
		case "billing":
			text = strings.TrimSpace(with.Customer + " " + with.Quantity)
		case "emit":
			continue // who catches it speaks
		}
		lines[a.rule] = append(lines[a.rule], text)
	}
	for _, r := range runs {
		if !r.Shadow {
			continue
		}
		for _, s := range r.Steps {
			var with struct{ Message string }
			if err := json.Unmarshal(s.With, &with); err != nil || s.State != engine.StepShadow {
				t.Fatalf("%s: shadow step %s: %v", r.Rule, s.State, err)
			}
			lines[r.Rule] = append(lines[r.Rule], with.Message)
		}
	}
	return lines
}
