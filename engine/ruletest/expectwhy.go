package ruletest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/rules"
)

const (
	// maxWhy is about how many rules a missing action is explained.
	maxWhy = 3
	// maxLines is how much is said of what one rule did.
	maxLines = 12
)

// why says of the rules that could have done a why they did not. Those that were
// not asked come to word only where none was.
func (p *play) why(a *Action) []string {
	var able, asked []string
	for _, id := range p.rules {
		if a.Rule != "" && id != a.Rule || !p.has(id, a.Kind) {
			continue
		}
		if able = append(able, id); p.wasAsked(id) {
			asked = append(asked, id)
		}
	}
	if len(asked) > 0 {
		able = asked
	}
	var all []string
	for _, id := range able[:min(maxWhy, len(able))] {
		all = append(all, p.whyRule(id, a)...)
	}
	if more := len(able) - maxWhy; more > 0 {
		all = append(all, fmt.Sprintf("… and %d more rules with a step %s: name the one meant with rule:", more, a.Kind))
	}
	return all
}

// wasAsked reports whether the rule was evaluated at all.
func (p *play) wasAsked(id string) bool {
	return slices.ContainsFunc(p.inputs, func(in engine.MatchInput) bool {
		x, err := p.env.Rules.Explain(id, in)
		return err == nil && x.Verdict != rules.VerdictNotAsked
	})
}

// has reports whether the rule has a step of a kind.
func (p *play) has(rule, kind string) bool {
	return slices.ContainsFunc(p.env.Rules.Steps(rule), func(s rules.StepInfo) bool { return s.Action == kind })
}

// whyRule says why a rule did not do a, in the order in which it could have come
// to nothing: its runs, what it waited for, what held it back, its condition.
func (p *play) whyRule(id string, a *Action) []string {
	lines := slices.Concat(p.whyRuns(id, a), p.whyTimers(id), p.whySuppressed(id))
	if len(lines) > maxLines {
		lines = append(lines[:maxLines:maxLines], fmt.Sprintf("… and %d lines more", len(lines)-maxLines))
	}
	return append(lines, p.whyCondition(id, len(lines) > 0)...)
}

// whyRuns explains what became of the steps in the runs of the rule.
func (p *play) whyRuns(id string, a *Action) []string {
	var lines []string
	for _, r := range p.stage.Runs() {
		if r.Rule != id {
			continue
		}
		when := fmt.Sprintf("%s fired at %s", id, p.c.clock(r.Created))
		switch {
		case r.State == engine.RunWaiting:
			lines = append(lines, fmt.Sprintf("%s, and waits until %s", when, p.c.clock(r.Due)))
		case r.State == engine.RunRetrying && len(r.Tries) > 0:
			lines = append(lines, fmt.Sprintf("%s, and tries again at %s: %s", when, p.c.clock(r.Due), r.Tries[len(r.Tries)-1].Error))
		case r.State == engine.RunQueued:
			lines = append(lines, when+", and waits for the run before it")
		case r.Reason != "":
			lines = append(lines, fmt.Sprintf("%s: %s", when, r.Reason))
		default:
			lines = append(lines, when+p.doneBy(r))
		}
		lines = append(lines, whyFailed(r)...)
		lines = append(lines, p.whySteps(r, a.Kind)...)
	}
	return lines
}

// whyFailed says which steps of a run failed.
func whyFailed(r *engine.Run) []string {
	var lines []string
	for _, rec := range r.Steps {
		if rec.State != engine.StepFailed {
			continue
		}
		tried := ""
		if n := len(rec.Tries); n > 1 {
			tried = fmt.Sprintf("was tried %d times and ", n)
		}
		lines = append(lines, fmt.Sprintf("its step %s %sfailed, so it was not done: %s", rec.ID, tried, rec.Error))
	}
	return lines
}

// doneBy is what a run did, in short.
func (p *play) doneBy(r *engine.Run) string {
	var done []string
	for _, rec := range r.Steps {
		if p.env.kind(rec.Action) != nil && (rec.State == engine.StepDone || rec.State == engine.StepShadow) {
			done = append(done, inlineDeed(deed{kind: rec.Action, with: p.params(&rec)}))
		}
	}
	if len(done) == 0 {
		return ", and did nothing"
	}
	return ", and did " + strings.Join(done, ", ")
}

// whySteps explains the steps of a kind that were skipped or are undecided.
func (p *play) whySteps(r *engine.Run, kind string) []string {
	var lines []string
	for _, x := range p.decisions {
		if x.run.ID != r.ID || x.rec.Action != kind {
			continue
		}
		switch x.rec.State {
		case engine.StepSkipped:
			lines = append(lines, fmt.Sprintf("its step %s was skipped:", x.rec.ID))
			terms, err := p.env.Rules.ExplainStep(&x.run, x.in)
			if err == nil {
				lines = append(lines, printedTerms(terms)...)
			}
		case engine.StepUndecided:
			lines = append(lines, fmt.Sprintf("its step %s is undecided: it needs an answer that returns: does not give", x.rec.ID))
		}
	}
	return lines
}

// whyTimers says what became of what the rule waited for.
func (p *play) whyTimers(id string) []string {
	var lines []string
	for _, t := range p.stage.Timers() {
		if t.Rule != id || t.Kind == engine.TimerSchedule || t.Run != "" { // of runs enough is said
			continue
		}
		line := fmt.Sprintf("%s matched at %s: its %s ", id, p.c.clock(t.Set), t.Kind)
		switch t.State {
		case engine.TimerPending:
			line += "is still pending until " + p.c.clock(t.Due)
		case engine.TimerMissed:
			line += "has fired, and what was expected has not come"
		case engine.TimerMet:
			line += fmt.Sprintf("was met at %s: what was expected came in time", p.c.clock(t.Ended))
		default:
			line += fmt.Sprintf("was %s at %s", t.State, p.c.clock(t.Ended))
			if t.Reason != "" {
				line += ": " + t.Reason
			}
		}
		lines = append(lines, line)
	}
	return lines
}

// whySuppressed says what held the rule back.
func (p *play) whySuppressed(id string) []string {
	var lines []string
	for _, row := range p.stage.Events() {
		for _, s := range row.Outcome.Suppressed {
			if s.Rule != id {
				continue
			}
			line := fmt.Sprintf("%s matched %s at %s, and was held back by %s", id, row.Type, p.c.clock(row.Received), s.By)
			if s.Note != "" {
				line += ": " + s.Note
			}
			if !s.Until.IsZero() {
				line += ", until " + p.c.clock(s.Until)
			}
			lines = append(lines, line)
		}
	}
	return lines
}

// whyCondition explains the condition of a rule for the event that came nearest
// to it, of those it did not match. also: something has been said of the rule.
func (p *play) whyCondition(id string, also bool) []string {
	var best *rules.Explanation
	var about engine.MatchInput
	others, why := -1, ""
	for _, in := range p.inputs {
		x, err := p.env.Rules.Explain(id, in)
		switch {
		case err != nil, x.Verdict == rules.VerdictMatched:
		case x.Verdict == rules.VerdictNotAsked:
			if why == "" || !strings.HasPrefix(x.Why, "it is about ") || strings.HasPrefix(x.Why, "it is about events of ") {
				why = x.Why // it says more than that the event was another one
			}
		default:
			if others++; best == nil || amiss(x) <= amiss(*best) {
				best, about = &x, in
			}
		}
	}
	switch {
	case best == nil && also:
		return nil
	case best == nil && why == "":
		return []string{id + " was not asked: nothing happened"}
	case best == nil:
		return []string{fmt.Sprintf("%s was not asked: %s", id, why)}
	}
	at := fmt.Sprintf("%s at %s", about.Event.Type, p.c.clock(about.Event.Time))
	line := fmt.Sprintf("%s did not match %s", id, at)
	if best.Verdict == rules.VerdictError {
		line = fmt.Sprintf("%s could not be evaluated for %s", id, at)
	}
	switch {
	case others == 1:
		line += ", nor another one"
	case others > 1:
		line += fmt.Sprintf(", nor %d others", others)
	}
	return append([]string{line + ":"}, printedTerms(best.If)...)
}

// amiss counts the parts of a condition that are not true.
func amiss(x rules.Explanation) int {
	n := 0
	for _, t := range rules.Leaves(x.If) {
		if t.Result != rules.True {
			n++
		}
	}
	return n
}

// printedTerms are the lines of a condition taken apart.
func printedTerms(terms []rules.Term) []string {
	var b strings.Builder
	rules.PrintTerms(&b, terms, false)
	return strings.Split(strings.TrimRight(b.String(), "\n"), "\n")
}
