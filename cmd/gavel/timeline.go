package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/web"
)

// moment is one thing in the life of a session, with what followed from it.
type moment struct {
	at      time.Time
	what    string
	detail  string
	effects []effect
}

// effect is what a rule made of a moment.
type effect struct{ sign, color, text string }

// slow is how much later than it happened an event must have arrived for that
// to be worth telling.
const slow = 2 * time.Second

// timeline tells what happened in a session: events in the order in which they
// were received, and between them what time alone brought about.
func timeline(a *app, r *sessionReport) []moment {
	t := teller{app: a, runs: map[string]web.Run{}, timers: map[string]web.Timer{}}
	for _, x := range r.Runs {
		t.runs[x.ID] = x
	}
	for _, x := range r.Timers {
		t.timers[x.ID] = x
	}
	var moments []moment
	told := map[string]bool{} // runs, and timers that ended
	for _, e := range r.Events {
		moments = append(moments, t.event(e))
		for _, ref := range e.Outcome.Runs {
			told[ref.Run] = true
		}
		for _, ref := range e.Outcome.Timers {
			if ref.State != engine.TimerPending {
				told[ref.Timer] = true
			}
		}
	}
	for _, x := range r.Runs {
		if told[x.ID] {
			continue
		}
		m := moment{at: x.Created, what: "run", effects: []effect{t.run(x)}}
		if x.Timer != "" {
			told[x.Timer] = true
			m.what, m.detail = "time", "for "+named(x.Rule, x.Shadow)+" has come"
		}
		moments = append(moments, m)
	}
	for _, x := range r.Timers {
		if !x.Ended.IsZero() && !told[x.ID] {
			moments = append(moments, moment{at: x.Ended, what: "timer", detail: named(x.Rule, x.Shadow) + " " + a.timerText(refOf(x), x.Awaits)})
		}
	}
	if r.Truncated && len(r.Events) > 0 { // what is older than the events belongs to others
		first := r.Events[0].Received
		moments = slices.DeleteFunc(moments, func(m moment) bool { return m.at.Before(first) })
	}
	slices.SortStableFunc(moments, func(x, y moment) int { return x.at.Compare(y.at) })
	return moments
}

// teller words moments.
type teller struct {
	*app
	runs   map[string]web.Run
	timers map[string]web.Timer
}

func (t teller) event(e web.Event) moment {
	what, _ := t.readable(marked{e.Type, origin(e)})
	m := moment{at: e.Received, what: what, detail: about(e)}
	if happened := e.Received.Sub(e.Time); happened.Abs() >= slow {
		m.detail = strings.TrimSpace(m.detail + " (at " + t.clock(e.Time) + ")")
	}
	add := func(sign, word, color, format string, args ...any) {
		m.effects = append(m.effects, effect{t.mark(sign, word), color, fmt.Sprintf(format, args...)})
	}
	o := e.Outcome
	if o.Problem != "" {
		add("✗", "FAIL", red, "not evaluated: %s", o.Problem)
	}
	if o.Repeat {
		add("⊘", "-", faint, "a repeat: it changed nothing")
	}
	for _, ref := range o.Runs {
		run, known := t.runs[ref.Run]
		if !known {
			run = web.Run{ID: ref.Run, Rule: ref.Rule, Shadow: ref.Shadow}
		}
		m.effects = append(m.effects, t.run(run))
	}
	for _, s := range o.Suppressed {
		add("⊘", "-", faint, "%s %s", s.Rule, t.heldBack(s))
	}
	for _, ref := range o.Timers {
		timer := t.timers[ref.Timer]
		add("○", "o", cyan, "%s %s", named(ref.Rule, timer.Shadow), t.timerText(ref, timer.Awaits))
	}
	for _, x := range o.Errors {
		add("✗", "FAIL", red, "%s: %s", x.Rule, x.Error)
	}
	return m
}

// about is who or what an event is about.
func about(e web.Event) string {
	switch p, r := e.Participant, e.Recording; {
	case or(p.Name, p.ID) != "" && p.Role != "":
		return fmt.Sprintf("%s, %s", or(p.Name, p.ID), p.Role)
	case or(p.Name, p.ID) != "":
		return or(p.Name, p.ID)
	case or(r.Name, r.ID) != "":
		return strings.TrimSpace(or(r.Name, r.ID) + " " + r.Status)
	case e.Artifact.Type != "":
		return e.Artifact.Type
	case e.Type == engine.Other:
		return e.Name
	}
	return ""
}

// run tells how a run is.
func (t teller) run(r web.Run) effect {
	sign, color := t.mark("→", "->"), ""
	switch r.State {
	case engine.RunDone:
		sign, color = t.mark("✓", "ok"), green
	case engine.RunFailed:
		sign, color = t.mark("✗", "FAIL"), red
	case engine.RunRetrying:
		sign, color = t.mark("⟳", "~"), yellow
	}
	text := strings.TrimSpace(named(r.Rule, r.Shadow) + " " + r.State)
	if r.Branch == engine.BranchElse || r.Branch == engine.BranchOnLate {
		text += " (" + r.Branch + ")"
	}
	if why := t.runReason(r); why != "" {
		text += ": " + cut(why, 120)
	}
	return effect{sign, color, text + "  " + r.ID}
}

func (a *app) printTimeline(moments []moment) {
	for _, m := range moments {
		line := fmt.Sprintf("%s  %-26s %s", a.clock(m.at), cleanCell(m.what), cut(cleanCell(m.detail), 60))
		fmt.Fprintln(a.out, strings.TrimRight(line, " "))
		for _, e := range m.effects {
			fmt.Fprintf(a.out, "          %s %s\n", a.paint(a.out, e.color, e.sign), cleanCell(e.text))
		}
	}
}
