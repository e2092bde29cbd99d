package ruletest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// judge compares what was done with what is expected.
func (p *play) judge() {
	deeds := p.deeds()
	p.undecided()
	p.failures()
	if p.c.expected {
		p.expect(deeds)
	}
	p.never(deeds)
	slices.SortStableFunc(p.found, func(a, b Finding) int { return a.Line - b.Line })
}

// fits reports whether d is what a expects, but for the parameters.
func (a *Action) fits(d deed) bool {
	return a.Kind == d.kind && (a.Rule == "" || a.Rule == d.rule) && (a.At.IsZero() || a.At.Truncate(time.Second).Equal(d.at.Truncate(time.Second)))
}

// fitsAll reports whether d is what a expects.
func (a *Action) fitsAll(d deed) bool { return a.fits(d) && len(a.wrong(d)) == 0 }

// wrong are the parameters that are not as expected.
func (a *Action) wrong(d deed) []string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(a.With)) {
		if v, given := d.with[name]; !given && a.With[name].Value != nil || !a.With[name].fits(v) {
			all = append(all, name)
		}
	}
	return all
}

// paired are the actions expected with the deeds that fit them, -1 where none does.
func paired(want []Action, deeds []deed) []int {
	return pairing(len(want), len(deeds), func(i, k int) bool { return want[i].fitsAll(deeds[k]) })
}

// compared is paired, and for the actions expected that no deed fits those that
// were probably meant, -1 where there is none.
func compared(want []Action, deeds []deed) (pairs, near []int) {
	pairs = paired(want, deeds)
	var missing []*Action
	for i := range want {
		if pairs[i] < 0 {
			missing = append(missing, &want[i])
		}
	}
	meant := closest(missing, deeds, leftOver(deeds, pairs))
	near = make([]int, len(want))
	for i := range want {
		if near[i] = -1; pairs[i] < 0 {
			near[i], meant = meant[0], meant[1:]
		}
	}
	return pairs, near
}

// expect compares the deeds with what is expected: each expected action needs one
// of its own, and none may be left.
func (p *play) expect(deeds []deed) {
	want := p.c.Expect
	pairs, near := compared(want, deeds)
	for i := range want {
		switch {
		case pairs[i] >= 0:
		case near[i] >= 0:
			p.different(&want[i], deeds[near[i]])
		default:
			p.missing(&want[i], deeds)
		}
	}
	for _, k := range leftOver(deeds, pairs, near) {
		d := deeds[k]
		what := fmt.Sprintf("not expected: %s, by %s at %s", inlineDeed(d), d.rule, p.c.clock(d.at))
		if len(want) == 0 {
			what = fmt.Sprintf("expected nothing to be done, got %s, by %s at %s", inlineDeed(d), d.rule, p.c.clock(d.at))
		}
		p.unlike(p.c.expect.KeyLine(), what)
	}
}

// unlike notes that what was done is not what is expected.
func (p *play) unlike(line int, what string, detail ...string) {
	p.found = append(p.found, Finding{Line: line, What: what, Detail: detail, expectation: true})
}

// leftOver are the deeds that nothing is paired with.
func leftOver(deeds []deed, pairs ...[]int) []int {
	all := slices.Concat(pairs...)
	var left []int
	for k := range deeds {
		if !slices.Contains(all, k) {
			left = append(left, k)
		}
	}
	return left
}

// closest finds for each missing action the deed that was probably meant: one of
// its kind, which differs in the fewest parameters. -1: there is none.
func closest(missing []*Action, deeds []deed, left []int) []int {
	near := make([]int, len(missing))
	for i := range near {
		near[i] = -1
	}
	type option struct{ i, k, cost int }
	var all []option
	for i, a := range missing {
		for _, k := range left {
			if d := deeds[k]; a.Kind == d.kind && (a.Rule == "" || a.Rule == d.rule) {
				cost := 2 * len(a.wrong(d))
				if !a.fits(d) { // it is done at another time
					cost++
				}
				all = append(all, option{i, k, cost})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b option) int { return a.cost - b.cost })
	for _, o := range all {
		if near[o.i] < 0 && !slices.Contains(near, o.k) {
			near[o.i] = o.k
		}
	}
	return near
}

// different says how a deed differs from what is expected.
func (p *play) different(a *Action, d deed) {
	diff := []string{fmt.Sprintf("  %s, by %s at %s", d.kind, d.rule, p.c.clock(d.at))}
	if !a.fits(d) {
		diff = append(diff, "- at: "+p.c.clock(a.At), "+ at: "+p.c.clock(d.at))
	}
	for _, name := range a.wrong(d) {
		diff = append(diff, fmt.Sprintf("- %s: %s", name, a.With[name]))
		if v, given := d.with[name]; given {
			diff = append(diff, fmt.Sprintf("+ %s: %s", name, inline(v)))
		} else {
			diff = append(diff, fmt.Sprintf("+ %s is not given", name))
		}
	}
	p.unlike(a.line, fmt.Sprintf("expected %s is different (- expected, + got):", a.Kind), diff...)
}

// missing says that an action was not done, and why the rules did not do it.
func (p *play) missing(a *Action, deeds []deed) {
	want, got := 0, 0
	for i := range p.c.Expect {
		if x := &p.c.Expect[i]; x.String()+p.details(x) == a.String()+p.details(a) {
			want++
		}
	}
	for _, d := range deeds {
		if a.fitsAll(d) {
			got++
		}
	}
	p.unlike(a.line, fmt.Sprintf("expected %d %s%s, got %d", want, a, p.details(a), got), p.why(a)...)
}

// details are the rule and time of an expected action, as far as they are given.
func (p *play) details(a *Action) string {
	text := ""
	if a.Rule != "" {
		text += " by " + a.Rule
	}
	if !a.At.IsZero() {
		text += " at " + p.c.clock(a.At)
	}
	return text
}

// never reports actions that were not to be done.
func (p *play) never(deeds []deed) {
	for i := range p.c.Never {
		a := &p.c.Never[i]
		for _, d := range deeds {
			if a.fitsAll(d) {
				p.fail(a.line, fmt.Sprintf("never %s%s, but it was done: %s, by %s at %s", a, p.details(a), inlineDeed(d), d.rule, p.c.clock(d.at)))
			}
		}
	}
}

// undecided reports steps that need an answer which the test does not give.
func (p *play) undecided() {
	reported := map[string]bool{}
	for _, r := range p.stage.store.runList {
		if !p.compares(r.Rule) {
			continue
		}
		var unknown []string
		for _, rec := range r.Steps {
			switch {
			case rec.State == engine.StepShadow && p.env.kind(rec.Action) != nil:
				unknown = append(unknown, rec.ID)
			case rec.State == engine.StepUndecided && !reported[r.Rule+rec.ID]:
				reported[r.Rule+rec.ID] = true
				p.needsAnswer(r.Run, rec, unknown)
			}
		}
	}
}

func (p *play) needsAnswer(r *engine.Run, rec engine.StepRecord, unknown []string) {
	what := fmt.Sprintf("step %s of %s needs the answer of a step before it, which the test does not give", rec.ID, r.Rule)
	if r.Shadow {
		p.fail(p.c.line, what, "hint: a shadow gets no answers; remove mode: shadow to test the rule")
		return
	}
	needed := slices.DeleteFunc(slices.Clone(unknown), func(id string) bool { return !strings.Contains(p.env.Rules.Definition(r.Rule), "steps."+id) })
	var answers []string
	for _, id := range needed {
		answers = append(answers, id+": { status: 200, body: { … } }")
	}
	p.fail(p.c.line, what, "hint: add returns: { "+strings.Join(answers, ", ")+" }")
}
