package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gavelhq/gavel/engine"
)

// print prints what was found, or done.
func (r *replayer) print() error {
	if r.app.structured() {
		return r.app.printJSON(r.report)
	}
	if !r.report.Sent || r.yes { // else they were shown before the question
		r.printRuns()
	}
	a, x := r.app, &r.report
	for _, run := range x.Runs {
		if run.Not != "" {
			a.printLine(a.out, "%s %s for %s was not made: %s", a.mark("✗", "FAIL"), run.Rule, run.Event, cleanCell(or(run.Note, notMade(run.Not))))
		}
	}
	fmt.Fprintln(a.out, r.summary())
	r.warn()
	switch {
	case x.Sent && x.New > 0:
		a.printLine(a.out, "They are under way: gavel runs list --since 1h")
	case !x.Sent && x.New > 0:
		a.printLine(a.out, "Nothing was sent. With --send the server makes them, with the rules it runs.")
	}
	return nil
}

// summary is "2 runs to make, with 3 actions; 412 done already".
func (r *replayer) summary() string {
	x, n := &r.report, 0
	for _, run := range x.Runs {
		if run.Not == "" {
			n += planned(run.Steps)
		}
	}
	verb := "to make"
	if x.Sent {
		verb = "made"
	}
	parts := []string{fmt.Sprintf("%s: %s %s", count(x.Events, "event"), count(x.New, "run"), verb)}
	if n > 0 {
		parts[0] += ", with " + count(n, "action")
	}
	for _, not := range slices.Sorted(maps.Keys(x.Not)) {
		parts = append(parts, fmt.Sprintf("%s %s", grouped(x.Not[not]), notMade(not)))
	}
	return strings.Join(parts, "; ")
}

// notMade is why runs are not made, behind their number.
func notMade(not string) string {
	switch not {
	case engine.NotDone:
		return "done already"
	case notFailed:
		return "failed: gavel runs retry makes them go on"
	case notFollows:
		return "will follow by an event that a run emits"
	case engine.NotPending:
		return "still waited for"
	case engine.NotOnce:
		return "held back by once"
	case engine.NotCooldown:
		return "held back by cooldown"
	case engine.NotStored:
		return "of events that are not stored"
	}
	return "not started by what is stored"
}

// warn says what was left out of the rehearsal.
func (r *replayer) warn() {
	a, x := r.app, &r.report
	for _, source := range slices.Sorted(maps.Keys(x.Missing)) {
		a.say("%s of %s left out: the rules have no such source", count(x.Missing[source], "event"), source)
	}
	if x.Undecoded > 0 {
		a.say("%s left out: this version cannot decode them", count(x.Undecoded, "event"))
	}
}

// printRuns shows the runs with their steps, the oldest first.
func (r *replayer) printRuns() {
	a, all := r.app, r.report.Runs
	shown := all[:min(len(all), max(r.limit, 0))]
	for _, run := range shown {
		line := fmt.Sprintf("%s  %s", a.clock(run.At), run.Rule)
		for _, more := range []string{run.Trigger, run.Room, strings.TrimPrefix(run.Branch, engine.BranchThen), run.Event, run.Run} {
			if more != "" {
				line += "  " + cleanCell(more)
			}
		}
		a.printLine(a.out, "%s", line)
		for _, s := range run.Steps {
			a.printStep(s)
		}
		if run.Note != "" && run.Not == "" {
			a.printLine(a.out, "      %s", cleanCell(run.Note))
		}
	}
	if more := len(all) - len(shown); more > 0 {
		a.printLine(a.out, "and %s more: --limit shows more, -o json all", grouped(more))
	}
	if len(shown) > 0 {
		fmt.Fprintln(a.out)
	}
}
