package main

import (
	"fmt"
	"strings"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/web"
)

// outcomeText says in a few words what the rules made of an event.
func outcomeText(e web.Event) string {
	o := e.Outcome
	var parts []string
	add := func(rule, note string) {
		if note != "" {
			rule += " (" + note + ")"
		}
		parts = append(parts, rule)
	}
	if o.Problem != "" {
		parts = append(parts, "not evaluated: "+o.Problem)
	}
	if o.Repeat {
		parts = append(parts, "repeat")
	}
	for _, r := range o.Runs {
		if r.Shadow {
			add(r.Rule, "shadow")
			continue
		}
		add(r.Rule, "")
	}
	for _, s := range o.Suppressed {
		add(s.Rule, briefly(s))
	}
	for _, t := range o.Timers {
		switch t.State {
		case engine.TimerPending:
			add(t.Rule, "waits")
		case engine.TimerMet:
			add(t.Rule, "came in time")
		default:
			add(t.Rule, t.State)
		}
	}
	for _, x := range o.Errors {
		add(x.Rule, "error")
	}
	if len(parts) == 0 {
		return "–"
	}
	return strings.Join(parts, ", ")
}

// briefly says why a match made no run.
func briefly(s engine.Suppressed) string {
	switch s.By {
	case "count":
		return s.Note
	case "pending":
		return "waits already"
	case "digest":
		return "gathered"
	}
	return "held back by " + s.By
}

// heldBack says why a match made no run, and until when.
func (a *app) heldBack(s engine.Suppressed) string {
	text := "held back by " + s.By
	switch s.By {
	case "count":
		text = "has counted " + s.Note
	case "pending":
		text = "waits already"
	case "digest":
		text = "put it into its digest"
	}
	if s.Note != "" && s.By != "count" {
		text += ": " + s.Note
	}
	if !s.Until.IsZero() {
		text += ", until " + a.clock(s.Until)
	}
	return text
}

// timerText says what a timer waits for, or how it ended. awaits are the types
// an expectation waits for, where they are known.
func (a *app) timerText(t engine.TimerRef, awaits []string) string {
	what := strings.Join(awaits, " or ")
	switch t.State {
	case engine.TimerPending:
		switch t.Kind {
		case engine.TimerExpect:
			return fmt.Sprintf("waits for %s until %s", or(what, "what it expects"), a.clock(t.Due))
		case engine.TimerHold:
			return fmt.Sprintf("waits until %s, as long as its condition holds", a.clock(t.Due))
		case engine.TimerDigest:
			return "gathers events until " + a.clock(t.Due)
		}
		return "waits until " + a.clock(t.Due)
	case engine.TimerMissed:
		return fmt.Sprintf("did not get %s in time; it counts as late until %s", or(what, "what it expects"), a.clock(t.Due))
	case engine.TimerMet:
		return or(t.Reason, "got what it expected in time")
	}
	if t.Reason != "" {
		return t.State + ": " + t.Reason
	}
	return t.State
}

// refOf is a timer as outcomes name it.
func refOf(t web.Timer) engine.TimerRef {
	return engine.TimerRef{Rule: t.Rule, Timer: t.ID, Kind: t.Kind, State: t.State, Due: t.Due, Reason: t.Reason}
}
