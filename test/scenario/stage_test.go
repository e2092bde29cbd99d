package scenario

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/ruletest"
	"github.com/google/go-cmp/cmp"
)

// TestStoriesOnStage: a rehearsal does what the server does, to the second.
func TestStoriesOnStage(t *testing.T) {
	for _, s := range stories(t) {
		t.Run(s.name(), func(t *testing.T) {
			if diff := cmp.Diff(s.want, rehearse(t, s)); diff != "" {
				t.Errorf("%s: the stage does something else than the server (- server, + stage):\n%s", s.path, diff)
			}
		})
	}
}

// rehearse plays the story on a stage and is the lines of what happened.
func rehearse(t *testing.T, s *story) []string {
	w := newWorld(t, "", s.start)
	w.timeout = s.timeout
	stage := w.onStage("rules.yaml", s.rules["rules.yaml"], s.start)
	defer stage.Close()
	for _, x := range s.lines {
		if err := w.perform(stage, s, x); err != nil {
			t.Fatalf("%s: %s: %v", s.path, x.text, err)
		}
	}
	if err := finish(stage, s); err != nil {
		t.Fatalf("%s: %v", s.path, err)
	}
	lines := w.traceOf(stage.Runs(), stage.Events())
	byMoment(lines)
	return s.print(lines)
}

// onStage opens the world's server on a stage.
func (w *world) onStage(name, text string, start time.Time) *ruletest.Stage {
	w.t.Helper()
	set, err := w.load(name, text)
	if err != nil {
		w.t.Fatal(err)
	}
	w.set = set
	stage, err := ruletest.NewStage(ruletest.StageOptions{
		Rules: set, Actions: w.kinds, Start: start.UTC(), Timeout: w.timeout,
		Answer: func(r *engine.Run, c engine.Call) (engine.Result, error) {
			i := slices.IndexFunc(w.kinds, func(k engine.ActionKind) bool { return k.Name == r.Call.Action })
			return w.kinds[i].Do(context.Background(), c)
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return stage
}

// deliver accepts an event on stage as its source's endpoint does.
func (w *world) deliver(stage *ruletest.Stage, ev engine.Event, key string) (engine.Accepted, error) {
	c, kind, err := w.source(ev.Source)
	if err != nil {
		return engine.Accepted{}, err
	}
	ev = decoded(ev, c, kind)
	ev.Received = stage.Now()
	if err := w.set.Fill(&ev); err != nil {
		return engine.Accepted{}, err
	}
	return stage.Deliver(ev, key)
}

// rehearseDay is what each rule did on stage.
func rehearseDay(t *testing.T, d *day) map[string][]string {
	text, err := os.ReadFile("testdata/day.yaml")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, "", dayStart)
	stage := w.onStage("day.yaml", string(text), dayStart)
	defer stage.Close()
	var all []delivery
	for _, r := range d.rooms {
		all = append(all, r.deliveries...)
	}
	slices.SortStableFunc(all, func(a, b delivery) int { return a.received.Compare(b.received) })
	restarts := d.restarts()
	for _, x := range all {
		for len(restarts) > 0 && restarts[0].Before(x.received) {
			err = errors.Join(err, stage.Pass(restarts[0]))
			stage.Down()
			err = errors.Join(err, stage.Up())
			restarts = restarts[1:]
		}
		err = errors.Join(err, stage.Pass(x.received))
		out, wrong := w.deliver(stage, x.event, x.key)
		if wrong == nil {
			wrong = x.fits(out)
		}
		if err = errors.Join(err, wrong); err != nil {
			t.Fatalf("%s: %v", x.key, err)
		}
	}
	if err := stage.Pass(d.end()); err != nil {
		t.Fatal(err)
	}
	return w.dayLines(t, stage.Runs())
}

// perform is what happens in a line, on stage.
func (w *world) perform(stage *ruletest.Stage, s *story, x line) error {
	if err := stage.Pass(x.at.UTC()); err != nil {
		return err
	}
	switch x.verb {
	case "event":
		_, err := w.deliver(stage, x.event, x.key)
		return err
	case "restart":
		stage.Down()
		return stage.Up()
	case "down":
		stage.Down()
	case "up":
		return stage.Up()
	case "fail":
		n, err := strconv.Atoi(x.args[1])
		w.fails[x.args[0]] += n
		return err
	case "reload":
		set, err := w.load(x.args[0], s.rules[x.args[0]])
		if err != nil {
			return err
		}
		w.set = set
		_, err = stage.Use(set)
		return err
	default:
		return fmt.Errorf("there is no %s on stage", x.verb)
	}
	return nil
}

// finish lets the time go on as [world.runOn] does.
func finish(stage *ruletest.Stage, s *story) error {
	if !s.end.IsZero() {
		return stage.Pass(s.end.UTC())
	}
	waiting := func() bool {
		return slices.ContainsFunc(stage.Runs(), func(r *engine.Run) bool { return !r.Finished() }) ||
			slices.ContainsFunc(stage.Timers(), func(t *engine.Timer) bool { return t.Open() && t.Kind != engine.TimerSchedule })
	}
	step := time.Minute
	for end := stage.Now().Add(longest); stage.Now().Before(end); step = min(2*step, time.Hour) {
		if err := stage.Pass(stage.Now().Add(step)); err != nil || !waiting() {
			return err
		}
	}
	return nil
}
