package main

import (
	"fmt"
	"strings"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/web"
)

// thenLines tells what was made of an event.
func (a *app) thenLines(t *then) (lines []string) {
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	if t.Absent {
		add("the rule was not there when it came")
	}
	for _, run := range t.Runs {
		what := run.State
		if run.Branch == engine.BranchElse || run.Branch == engine.BranchOnLate {
			what = strings.TrimSpace(what + " (" + run.Branch + ")")
		}
		if run.Shadow {
			what += ", recorded and not done"
		}
		if why := a.runReason(run); why != "" {
			what += ": " + cut(why, 120)
		}
		if run.Replayed {
			add("replayed at %s: run %s  gavel runs show %s", a.clock(run.Created), what, run.ID)
			continue
		}
		add("run %s  gavel runs show %s", or(what, "no longer stored"), run.ID)
	}
	for _, h := range t.Held {
		add("%s", a.heldLine(h))
	}
	for _, timer := range t.Timers {
		if !timer.Set {
			continue // it is told what the rule waited for
		}
		add("%s", a.timerLine(timer.Timer, timer.If...))
	}
	for _, e := range t.Errors {
		add("error: %s", e)
	}
	return lines
}

// heldLine says why a match made no run, since when and until when.
func (a *app) heldLine(h held) string {
	text := a.heldBack(h.Suppressed)
	by := ""
	if h.Event != "" {
		by = fmt.Sprintf(" (%s)", h.Event)
	}
	switch {
	case h.By == "count" && len(h.Events) > 0:
		text += ": " + strings.Join(h.Events, ", ")
		if h.Run != "" {
			text += "; later they made " + h.Run
		}
	case h.Since.IsZero() && h.Event == "":
	case h.By == "once" && h.Since.IsZero():
		text += ": the key was used up by " + h.Event + ", which is no longer stored"
	case h.By == "once":
		text += fmt.Sprintf(": the key was used up at %s%s", a.clock(h.Since), by)
	default:
		text += fmt.Sprintf(", since %s%s", a.clock(h.Since), by)
	}
	return text
}

// timerLine says what a timer waits for, or what became of it. conditions are
// those of what is expected.
func (a *app) timerLine(t web.Timer, conditions ...string) string {
	awaits := t.Awaits
	if len(conditions) > 0 {
		awaits = []string{strings.Join(awaits, " or ") + " with " + strings.Join(conditions, " and ")}
	}
	text := a.timerText(refOf(t), awaits)
	if t.Open() {
		return text
	}
	if t.State == engine.TimerFired && t.Reason == "" {
		text = "its time came"
	}
	if t.Kind != engine.TimerSchedule {
		before := refOf(t)
		before.State, before.Reason = engine.TimerPending, ""
		if !t.Deadline.IsZero() { // Due has moved if it was to be late
			before.Due = t.Deadline
		}
		text = inPast(a.timerText(before, awaits)) + "; " + text
	}
	text += ", at " + a.clock(t.Ended)
	if t.By != "" {
		text += " (" + t.By + ")"
	}
	if t.Run != "" {
		text += "  gavel runs show " + t.Run
	}
	return text
}

// inPast puts what a timer does into the past.
func inPast(text string) string {
	for _, verb := range [][2]string{{"waits", "waited"}, {"gathers", "gathered"}} {
		if rest, ok := strings.CutPrefix(text, verb[0]); ok {
			return verb[1] + rest
		}
	}
	return text
}
