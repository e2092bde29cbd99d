package ruletest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/gavelhq/gavel/engine"
)

// wrong is something that went wrong.
type wrong struct {
	rule, step, err string
	at              string // in words: "at 10:04"
	told            bool   // by returns:
	line            int    // of the test file; 0: that of the test
}

// allWrong is what went wrong in the rules compared, and before they were asked.
func (p *play) allWrong() []wrong {
	all := p.wrongs
	for _, row := range p.stage.Events() {
		at := fmt.Sprintf("when %s came at %s", row.Type, p.c.clock(row.Received))
		for _, e := range row.Outcome.Errors {
			if p.compares(e.Rule) {
				all = append(all, wrong{rule: e.Rule, err: e.Error, at: at})
			}
		}
		if problem := row.Outcome.Problem; problem != "" {
			all = append(all, wrong{err: problem, at: at})
		}
	}
	for _, t := range p.stage.Timers() {
		if t.State == engine.TimerFailed && t.By == "" && p.compares(t.Rule) {
			all = append(all, wrong{rule: t.Rule, err: t.Reason, at: "at " + p.c.clock(t.Ended)})
		}
	}
	for _, r := range p.stage.Runs() {
		if p.compares(r.Rule) {
			all = append(all, p.wrongSteps(r)...)
		}
	}
	return all
}

// wrongSteps are the steps of a run that failed.
func (p *play) wrongSteps(r *engine.Run) []wrong {
	var all []wrong
	for _, rec := range r.Steps {
		if rec.State != engine.StepFailed {
			continue
		}
		w := wrong{rule: r.Rule, step: rec.ID, err: rec.Error, at: "at " + p.c.clock(rec.Started)}
		for _, a := range p.c.Returns[rec.ID] {
			w.told = w.told || a.Error != "" && a.Error == rec.Error
		}
		all = append(all, w)
	}
	if r.State == engine.RunFailed && len(all) == 0 {
		all = append(all, wrong{rule: r.Rule, err: r.Reason, at: "at " + p.c.clock(r.Updated)})
	}
	return all
}

func (f *Failure) fits(w wrong) bool {
	return (f.Rule == "" || f.Rule == w.rule) && (f.Step == "" || f.Step == w.step) && f.Error.fitsText(w.err)
}

// failures compares what went wrong with what is to go wrong. What the test
// itself lets fail need not be said twice.
func (p *play) failures() {
	all := p.allWrong()
	pairs := pairing(len(p.c.Failures), len(all), func(i, k int) bool { return p.c.Failures[i].fits(all[k]) })
	expected := map[int]bool{}
	for i, k := range pairs {
		if expected[k] = true; k < 0 {
			p.fail(p.c.Failures[i].line, "this was to go wrong, and did not")
		}
	}
	for k, w := range all {
		if expected[k] || w.told {
			continue
		}
		p.fail(cmp.Or(w.line, p.c.line), w.String(), "hint: "+p.remedy(w))
	}
}

// remedy is what to do about something that goes wrong.
func (p *play) remedy(w wrong) string {
	unknown := strings.Contains(w.err, "session.duration is unknown here") || strings.Contains(w.err, "${session.duration}: is not known")
	if unknown && !p.c.starts() {
		return "no session_started is among the events, so nobody knows how long the session ran: add it, or state it: session: { duration: 30m }"
	}
	return "if that is what is to happen, say so: failures: [ " + w.entry() + " ]"
}

// starts reports whether a session starts among the events.
func (c *Case) starts() bool {
	return slices.ContainsFunc(c.Events, func(e Event) bool {
		return slices.ContainsFunc(e.events, func(ev engine.Event) bool { return ev.Type == engine.SessionStarted })
	})
}

func (w wrong) String() string {
	switch {
	case w.line > 0:
		return fmt.Sprintf("facts %s fail: %s", w.at, w.err)
	case w.rule == "":
		return fmt.Sprintf("the rules could not be evaluated %s: %s", w.at, w.err)
	case w.step == "":
		return fmt.Sprintf("the rule %s could not be evaluated %s: %s", w.rule, w.at, w.err)
	}
	return fmt.Sprintf("step %s of %s failed %s: %s", w.step, w.rule, w.at, w.err)
}

// entry is the failure as a test expects it.
func (w wrong) entry() string {
	switch {
	case w.rule == "":
		return "{ error: { contains: … } }"
	case w.step == "":
		return fmt.Sprintf("{ rule: %s }", w.rule)
	}
	return fmt.Sprintf("{ rule: %s, step: %s }", w.rule, w.step)
}
