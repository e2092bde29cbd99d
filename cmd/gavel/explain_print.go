package main

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/gavelhq/gavel/engine/rules"
)

// printReport prints an explanation for people.
func (x *explainer) printReport(r *eventReport) error {
	e := r.Event
	about := []string{strings.TrimSpace(e.ID + " " + e.Type)}
	for _, part := range []string{or(e.Room.Name, e.Room.ID), e.Source, x.clock(e.Received)} {
		if part != "" {
			about = append(about, part)
		}
	}
	x.head("event", strings.Join(about, " · "))
	with := "those it was evaluated with"
	switch {
	case r.Rules.Run:
		with = "those of the run"
	case r.Rules.File != "" && r.Rules.Then:
		with = r.Rules.File + ", the same it was evaluated with"
	case r.Rules.File != "":
		with = r.Rules.File + " as it is now"
	}
	x.head("rules", short(r.Rules.Revision)+", "+with)
	switch o := e.Outcome; {
	case o.Problem != "":
		x.head("result", "not evaluated: "+o.Problem)
	case o.Repeat:
		x.head("result", "a repeat: it changed nothing, so no rule was asked; this is what they would have said")
	}
	for _, note := range r.Notes {
		x.head("note", note)
	}
	for _, one := range r.Explained {
		fmt.Fprintln(x.out)
		x.printRule(r, &one)
	}
	var others []string
	for _, x := range []struct {
		n   int
		are string
	}{{r.NotAsked, "about other events"}, {r.Off, "off"}} {
		switch {
		case x.n == 1:
			others = append(others, "1 rule is "+x.are)
		case x.n > 1:
			others = append(others, fmt.Sprintf("%d rules are %s", x.n, x.are))
		}
	}
	if len(others) > 0 {
		x.printLine(x.out, "\n%s", strings.Join(others, ", "))
	}
	return nil
}

// head prints a line as [rules.PrintExplanation] begins.
func (a *app) head(name, text string) {
	fmt.Fprintf(a.out, "%-8s %s\n", name, cleanCell(text))
}

func (x *explainer) printRule(r *eventReport, one *ruleReport) {
	x.printText(func(out *bytes.Buffer) { rules.PrintExplanation(out, one.Explanation, x.colors(x.out)) })
	if one.Mode != "" {
		x.head("mode", one.Mode)
	}
	for _, w := range one.Waits {
		x.printWait(w)
	}
	if one.Then != nil {
		for _, line := range x.thenLines(one.Then) {
			x.head("then", line)
		}
	}
	if one.Disagrees {
		why := "the state of then cannot be rebuilt exactly"
		if !r.Rules.Then {
			why = "the rules were others (" + short(r.Event.Revision) + ")"
		}
		x.head("but", fmt.Sprintf("when it came: %s; %s", one.Then.Verdict, why))
	}
	if one.Would != nil {
		x.printWould(one.Would)
	}
	x.printNearMisses(one.NearMisses)
}

// printText prints what another package has made for people.
func (x *explainer) printText(print func(*bytes.Buffer)) {
	var b bytes.Buffer
	print(&b)
	text := b.String()
	if !x.utf8Locale() {
		text = strings.NewReplacer("✓", "ok", "✗", "no", "├─", "|-", "└─", "`-", "│", "|", "←", "<-", "–", "-", "…", "...").Replace(text)
	}
	fmt.Fprint(x.out, text)
}

func (x *explainer) printWait(w waitReport) {
	x.head("waiting", fmt.Sprintf("since %s (%s): %s", x.clock(w.Timer.Set), w.Timer.Event, x.timerLine(w.Timer)))
	switch {
	case w.Why != "":
		x.head("", w.Why)
	case w.Ended:
		x.head("", "this event ended it")
	}
	x.printText(func(out *bytes.Buffer) { rules.PrintTerms(out, w.If, x.colors(x.out)) })
}

func (x *explainer) printWould(w *would) {
	text := "this would be done; nothing is sent:"
	if w.First != "" {
		text = w.First + ", " + text
	}
	x.head("would", text)
	for _, s := range w.Steps {
		x.printStep(s)
	}
}
