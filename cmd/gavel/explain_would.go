package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/rules"
	"github.com/gavelhq/gavel/engine/web"
)

// would is what a match would do: rendered, and not done.
type would struct {
	// First is what comes before the steps, in words; "" if they begin at once.
	First string     `json:"first,omitempty"`
	Steps []web.Step `json:"steps"`
}

// would renders what m would do.
func (x *explainer) would(set *rules.Set, m engine.Match, in engine.MatchInput) *would {
	w := &would{First: x.beforeSteps(m)}
	if m.Digest != nil || m.Count != nil {
		in.Events = []*engine.Event{in.Event}
	}
	run := engine.NewRun("", set, engine.Start{Match: m, Input: in})
	run.Shadow = true // steps that need the result of another are undecided
	for {
		call, ok, err := set.Step(run, in, in.Now)
		if !ok {
			break
		}
		s := engine.StepRecord{Branch: run.Branch, At: run.At, ID: call.ID, Action: call.Action, Via: call.Via, With: call.With, State: engine.StepShadow}
		switch {
		case errors.Is(err, engine.ErrUndecided):
			s.State = engine.StepUndecided
		case err != nil:
			s.State, s.Error = engine.StepFailed, err.Error()
		case call.Skip:
			s.State = engine.StepSkipped
		}
		run.Steps = append(run.Steps, s)
		run.At++
		if s.State == engine.StepFailed || s.State == engine.StepShadow && s.Action == "stop" {
			break
		}
	}
	w.Steps = web.RunOf(*run).Steps
	return w
}

// beforeSteps says what a match waits for.
func (a *app) beforeSteps(m engine.Match) string {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if m.Branch == engine.BranchElse {
		add("the steps of else")
	}
	if m.Count != nil && m.Count.AtLeast > 1 {
		add("when it has counted %d of them within %s; this is the first", m.Count.AtLeast, web.Duration(m.Count.Within))
	}
	if m.Hold != nil {
		add("if its condition holds for %s", web.Duration(m.Hold.For))
	}
	if x := m.Expect; x != nil {
		add("if no %s comes within %s", strings.Join(x.Types, " or "), web.Duration(x.Within))
		if len(x.StopOn) > 0 {
			add("unless %s comes before", strings.Join(x.StopOn, " or "))
		}
	}
	if m.Digest != nil {
		add("at %s, with all it has gathered by then", a.clock(m.Digest.Due))
	}
	return strings.Join(parts, ", ")
}
