package scenario

import (
	"context"
	"fmt"
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
	set, err := w.load("rules.yaml", s.rules["rules.yaml"])
	if err != nil {
		t.Fatal(err)
	}
	w.set = set
	stage, err := ruletest.NewStage(ruletest.StageOptions{
		Rules: set, Actions: w.kinds, Start: s.start.UTC(), Timeout: s.timeout,
		Answer: func(r *engine.Run, c engine.Call) (engine.Result, error) {
			i := slices.IndexFunc(w.kinds, func(k engine.ActionKind) bool { return k.Name == r.Call.Action })
			return w.kinds[i].Do(context.Background(), c)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
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

// perform is what happens in a line, on stage.
func (w *world) perform(stage *ruletest.Stage, s *story, x line) error {
	if err := stage.Pass(x.at.UTC()); err != nil {
		return err
	}
	switch x.verb {
	case "event":
		c, kind, err := w.source(x.event.Source)
		if err != nil {
			return err
		}
		ev := decoded(x.event, c, kind)
		ev.Received = stage.Now()
		if err := w.set.Fill(&ev); err != nil {
			return err
		}
		_, err = stage.Deliver(ev, x.key)
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
