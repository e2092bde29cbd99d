package rules

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// step is a compiled step. Immutable once loaded.
type step struct {
	id        string // given, or its position
	action    *action
	via       string
	conn      any      // of via, nil without one
	events    []string // of which types its rule is here
	ifs       []condition
	params    []given
	accepts   *program        // whether an answer is a success; nil: its action knows
	with      json.RawMessage // rendered already, if nothing is to be filled in
	retry     engine.Retry
	timeout   time.Duration
	onFailure string
	file      string
	line      int
	node      node // its action key
}

// given is a parameter with its value.
type given struct {
	name  string
	value value
	node  node
}

func (s *step) param(name string) (given, bool) {
	for _, g := range s.params {
		if g.name == name {
			return g, true
		}
	}
	return given{}, false
}

// stopParams are the parameters of stop, the one action the engine itself does.
type stopParams struct {
	Reason string `json:"reason" doc:"why the run ends here" gavel:"main,required"`
}

// stopName is the action that ends a run.
const stopName = "stop"

func stopKind() engine.ActionKind {
	return engine.ActionKind{Name: stopName, Doc: "ends the run here", Params: reflect.TypeFor[stopParams]()}
}

var stepID = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

func stepKeys() []string { return keyNames(stepDocs()) }

// spot is a step's place in its rule.
type spot struct {
	branch string
	at     int
}

// before reports whether the step at s has run, or was passed over, when the
// one at t starts.
func (s spot) before(t spot) bool {
	if s.branch == t.branch {
		return s.at < t.at
	}
	if parent, ok := t.parent(); ok {
		return s == parent || s.before(parent)
	}
	return t.branch == engine.BranchOnFailure && !strings.HasPrefix(s.branch, engine.BranchOnFailure)
}

// parent is the step whose on_failure s stands in.
func (s spot) parent() (spot, bool) {
	parts := strings.Split(s.branch, "/")
	if len(parts) < 3 {
		return spot{}, false
	}
	at, _ := strconv.Atoi(parts[len(parts)-2])
	return spot{strings.Join(parts[:len(parts)-2], "/"), at}, true
}

// branchOf is the branch of the step's own on_failure.
func (s spot) branchOf() string {
	return fmt.Sprintf("%s/%d/%s", s.branch, s.at, engine.BranchOnFailure)
}

// namedSpot is a step id with its place.
type namedSpot struct {
	id      string
	spot    spot
	node    node
	billing bool
}

// settle renders a step without ${…} once and for all.
func (s *step) settle() {
	for _, g := range s.params {
		if g.value.loose {
			return
		}
	}
	s.with, _ = s.render(nil)
}

// waits reports whether the step lets the run go on later.
func (s *step) waits() bool { return s.action != nil && s.action.Name == waitName }

// render fills in the parameters.
func (s *step) render(f *frame) (json.RawMessage, error) {
	if s.with != nil {
		return s.with, nil
	}
	if f != nil {
		f.filled = 0
	}
	all := make(map[string]any, len(s.params))
	for _, g := range s.params {
		v, err := g.value.render(f)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", g.name, err)
		}
		all[g.name] = v
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(all); err != nil {
		return nil, fmt.Errorf("a value is no number that can be sent: %w", err)
	}
	if b.Len() > maxRendered {
		return nil, errRendered
	}
	return json.RawMessage(bytes.TrimSpace(b.Bytes())), nil
}

// call renders the step for a run, at now: its condition, then its parameters.
func (s *step) call(f *frame, now time.Time) (engine.StepCall, error) {
	c := engine.StepCall{
		ID: s.id, Action: s.action.Name, Via: s.via, Timeout: s.timeout, Retry: s.retry,
		OnFailure: s.onFailure, Line: s.line, File: s.file,
	}
	yes, err := decide(s.ifs, f)
	switch {
	case err != nil:
		return c, s.wrap(err)
	case !yes:
		c.Skip = true
		return c, nil
	}
	if s.waits() {
		c.With, err = s.renderWait(f, now)
	} else {
		c.With, err = s.render(f)
	}
	if err != nil {
		return c, s.wrap(err)
	}
	return c, nil
}

// wrap says which step an error is about.
func (s *step) wrap(err error) error {
	return fmt.Errorf("%s:%d: step %s (%s): %w", s.file, s.line, s.id, s.action.Name, err)
}
