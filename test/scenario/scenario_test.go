package scenario

import (
	"flag"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "write what happens into the want sections of the stories")

// longest is for how long a story goes on after its last line, at most.
const longest = 72 * time.Hour

func TestStories(t *testing.T) {
	for _, s := range stories(t) {
		t.Run(s.name(), func(t *testing.T) {
			var got []string
			synctest.Test(t, func(t *testing.T) { got = tell(t, s) })
			if t.Failed() {
				return
			}
			if *update {
				rewrite(t, s, got)
				return
			}
			if diff := cmp.Diff(s.want, got); diff != "" {
				t.Errorf("%s: what happens is not what is told (- told, + happens):\n%s", s.path, diff)
			}
		})
	}
}

// tell plays the story and is the lines of what happened.
func tell(t *testing.T, s *story) []string {
	w := newWorld(t, t.TempDir(), s.start)
	w.timeout = s.timeout
	set, err := w.load("rules.yaml", s.rules["rules.yaml"])
	if err == nil {
		err = w.open(set)
	}
	if err != nil {
		t.Fatalf("%s: %v", s.path, err)
	}
	defer func() { w.stop() }()
	states := s.states
	checkUntil := func(at time.Time) {
		for len(states) > 0 && states[0].at.Before(at) {
			w.sleep(states[0].at)
			w.mustBe(s, states[0])
			states = states[1:]
		}
	}
	for _, x := range s.lines {
		checkUntil(x.at)
		if err := w.step(s, x); err != nil {
			t.Fatal(err)
		}
	}
	last := w.now()
	end := s.end
	if end.IsZero() {
		end = last.Add(longest)
	}
	checkUntil(end)
	if err := w.runOn(s, last); err != nil {
		t.Fatalf("%s: %v", s.path, err)
	}
	lines, err := w.trace()
	if err != nil {
		t.Fatalf("%s: %v", s.path, err)
	}
	byMoment(lines)
	return s.print(lines)
}

func (w *world) mustBe(s *story, x stateLine) {
	w.t.Helper()
	other, err := w.check(s, x)
	switch {
	case err != nil:
		w.t.Errorf("%s: %v", s.path, err)
	case other != "":
		w.t.Errorf("%s: it is\n\t%s\nnot\n\t%s", s.path, other, x.text)
	}
}

// runOn lets the clock run to the end of the story, or until nothing is left
// to wait for.
func (w *world) runOn(s *story, last time.Time) error {
	if !s.end.IsZero() {
		w.sleep(s.end)
		return nil
	}
	step := time.Minute // for what is derived 10 seconds after an end
	for end := last.Add(longest); w.now().Before(end); step = min(2*step, time.Hour) {
		w.sleep(w.now().Add(step))
		more, err := w.waiting()
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// rewrite puts what happens into the want section of the story's file.
func rewrite(t *testing.T, s *story, got []string) {
	text := []byte(strings.Join(got, "\n") + "\n")
	found := false
	for i := range s.archive.Files {
		if f := &s.archive.Files[i]; f.Name == "want" {
			f.Data, found = text, true
		}
	}
	if !found {
		s.archive.Files = append(s.archive.Files, txtar.File{Name: "want", Data: text})
	}
	if err := os.WriteFile(s.path, txtar.Format(s.archive), 0o644); err != nil {
		t.Fatal(err)
	}
}
