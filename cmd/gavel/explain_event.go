package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/rules"
	"github.com/gavelhq/gavel/engine/store"
	"github.com/gavelhq/gavel/engine/web"
)

// eventReport is what gavel explain says of one event.
type eventReport struct {
	Event web.Event `json:"event"`
	Rules usedRules `json:"rules"`
	// Unknown are the facts that could not be had; Notes say why, and what
	// else was not as it was.
	Unknown   []string     `json:"unknown,omitempty"`
	Notes     []string     `json:"notes,omitempty"`
	Explained []ruleReport `json:"explained"`
	// NotAsked is how many rules are about other events, Off how many are off.
	NotAsked int `json:"not_asked,omitempty"`
	Off      int `json:"off,omitempty"`
}

// usedRules are the rules an event is explained with.
type usedRules struct {
	Revision string `json:"revision"`
	File     string `json:"file,omitempty"` // "" if they come from the store
	// Then: it was evaluated with these rules when it came.
	Then bool `json:"then"`
	// Run: those of the run that was asked for, which came later.
	Run bool `json:"run,omitempty"`
}

// ruleReport explains one rule.
type ruleReport struct {
	rules.Explanation
	Mode string `json:"mode,omitempty"`
	// Waits are timers of the rule that the event ended, or could have ended.
	Waits []waitReport `json:"waits,omitempty"`
	// Then is what was made of the event when it came; nil for a file.
	Then *then `json:"then,omitempty"`
	// Disagrees: that is not what it comes to now.
	Disagrees  bool        `json:"disagrees,omitempty"`
	Would      *would      `json:"would,omitempty"` // for a file
	NearMisses *nearMisses `json:"near_misses,omitempty"`
}

// report explains a stored event.
func (x *explainer) report(ctx context.Context, row *store.Stored) (*eventReport, error) {
	r := &eventReport{Event: web.EventOf(row.EventRow), Explained: []ruleReport{}}
	set, err := x.rulesOf(ctx, row, r)
	if err != nil {
		return nil, err
	}
	if x.rule != "" {
		if _, ok := infoOf(set, x.rule); !ok {
			return nil, noRule(x.rule, idsOf(set))
		}
	}
	waits, err := x.waits(ctx, set, row)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, info := range set.Rules() {
		e, err := set.Explain(info.ID, asStored(row), notKept()...)
		if err != nil {
			return nil, err
		}
		switch {
		case x.rule == info.ID, x.rule == "" && (e.Verdict != rules.VerdictNotAsked || len(waits[info.ID]) > 0 || isIn(row.Outcome, info.ID)):
			ids = append(ids, info.ID)
		case x.rule == "":
			r.leftOut(info)
		}
	}
	p, err := x.rebuild(ctx, set, row, ids, waits)
	if err != nil {
		return nil, err
	}
	r.Notes = append(r.Notes, p.notes...)
	for _, id := range ids {
		one, err := x.ruleReport(ctx, set, id, row, p, waits[id])
		if err != nil {
			return nil, err
		}
		r.Explained = append(r.Explained, *one)
	}
	x.absent(ctx, row, r)
	r.Unknown = looked(r.Explained, p.unknown)
	return r, nil
}

// absent notes which of the rules were not there yet when an event came: they
// said nothing about it.
func (x *explainer) absent(ctx context.Context, row *store.Stored, r *eventReport) {
	if r.Rules.Then {
		return
	}
	then, err := x.revision(ctx, row.Revision)
	if err != nil {
		return // that is not known
	}
	for i := range r.Explained {
		one := &r.Explained[i]
		if _, was := infoOf(then, one.Rule); !was {
			one.Then.Absent, one.Then.Verdict, one.Disagrees = true, "", false
		}
	}
}

// leftOut counts a rule that was not asked.
func (r *eventReport) leftOut(info rules.RuleInfo) {
	if info.Enabled {
		r.NotAsked++
	} else {
		r.Off++
	}
}

// looked are the facts that could not be had, if a rule needed one.
func looked(all []ruleReport, unknown []string) []string {
	for _, r := range all {
		if dependsOnUnknown(r.If) || slices.ContainsFunc(r.Waits, func(w waitReport) bool { return dependsOnUnknown(w.If) }) {
			return unknown
		}
	}
	return nil
}

// isIn reports whether an outcome names a rule.
func isIn(o engine.Outcome, id string) bool {
	return slices.ContainsFunc(o.Runs, func(r engine.RunRef) bool { return r.Rule == id }) ||
		slices.ContainsFunc(o.Suppressed, func(s engine.Suppressed) bool { return s.Rule == id }) ||
		slices.ContainsFunc(o.Timers, func(t engine.TimerRef) bool { return t.Rule == id }) ||
		slices.ContainsFunc(o.Errors, func(e engine.RuleError) bool { return e.Rule == id })
}

func (x *explainer) ruleReport(ctx context.Context, set *rules.Set, id string, row *store.Stored, p past, waits []engine.Timer) (*ruleReport, error) {
	info, _ := infoOf(set, id)
	r := &ruleReport{Mode: ruleView(info).Mode}
	var err error
	if r.Explanation, err = set.Explain(id, p.in, p.unknown...); err != nil {
		return nil, err
	}
	if r.Waits, err = x.waitReports(ctx, set, waits, row, p); err != nil {
		return nil, err
	}
	if r.Then, err = x.then(ctx, set, id, row, p); err != nil {
		return nil, err
	}
	r.Disagrees = disagree(r.Verdict, r.Then.Verdict)
	if r.Verdict == rules.VerdictNotMatched {
		r.NearMisses, err = x.nearMisses(ctx, set, info)
	}
	return r, err
}

// disagree reports whether the verdicts of now and then are two. What is not
// known agrees with everything.
func disagree(now, then string) bool {
	known := func(v string) bool {
		return v == rules.VerdictMatched || v == rules.VerdictNotMatched || v == rules.VerdictError
	}
	return known(now) && known(then) && now != then
}

// rulesOf finds the rules to explain a stored event with, and says which.
func (x *explainer) rulesOf(ctx context.Context, row *store.Stored, r *eventReport) (*rules.Set, error) {
	if x.today {
		set, err := x.fileRules()
		if err != nil {
			return nil, err
		}
		r.Rules = usedRules{Revision: set.Revision(), File: x.rulesFile(), Then: set.Revision() == row.Revision}
		return set, nil
	}
	file := x.quietRules()
	then, err := x.revision(ctx, row.Revision)
	if err == nil {
		_, was := infoOf(then, x.rule)
		if set := x.rulesOfRun(ctx, was); set != nil && set.Revision() != then.Revision() {
			r.Rules = usedRules{Revision: set.Revision(), Run: true}
			return set, nil
		}
		is := false
		if file != nil {
			_, is = infoOf(file, x.rule)
		}
		if x.rule == "" || was || !is {
			r.Rules = usedRules{Revision: then.Revision(), Then: true}
			r.Notes = append(r.Notes, x.changes(row, then, file)...)
			return then, nil
		}
		since, err := x.addedAt(ctx, row)
		if err != nil {
			return nil, err
		}
		r.Notes = append(r.Notes, fmt.Sprintf("the rule %s was not there when the event came%s: it is explained with today's rules", x.rule, since))
	} else {
		why := err.Error()
		if errors.Is(err, engine.ErrNotFound) {
			why = "they are no longer stored"
		}
		r.Notes = append(r.Notes, fmt.Sprintf("the rules of then (%s) cannot be had: %s; it is explained with today's", short(row.Revision), why))
	}
	if file == nil {
		if file, err = x.fileRules(); err != nil {
			return nil, err
		}
	}
	r.Rules = usedRules{Revision: file.Revision(), File: x.rulesFile()}
	return file, nil
}

// rulesOfRun are the rules of the run that was asked for, if those of its event
// did not make it: it was replayed, or its rule came later. nil: they are not
// needed, or cannot be had.
func (x *explainer) rulesOfRun(ctx context.Context, was bool) *rules.Set {
	if x.run == nil || x.rule != x.run.Rule || was && !x.run.Replayed {
		return nil
	}
	set, err := x.revision(ctx, x.run.Revision)
	if err != nil {
		return nil
	}
	if _, ok := infoOf(set, x.rule); !ok {
		return nil
	}
	return set
}

// quietRules are the rules of the file, nil if they cannot be had.
func (x *explainer) quietRules() *rules.Set {
	set, _, err := x.newLoader(x.rulesFile(), x.kinds, x.actions, true).load()
	if err != nil {
		return nil
	}
	return set
}

// changes says which rules are others in the file than they were, and how to
// explain the event with these.
func (x *explainer) changes(row *store.Stored, then, file *rules.Set) []string {
	if file == nil || file.Revision() == then.Revision() {
		return nil
	}
	var changed []string
	for _, info := range file.Rules() {
		if (x.rule == "" || x.rule == info.ID) && file.Definition(info.ID) != then.Definition(info.ID) {
			changed = append(changed, info.ID)
		}
	}
	if len(changed) == 0 {
		return nil
	}
	const most = 5
	if len(changed) > most {
		changed = append(changed[:most], "…")
	}
	return []string{fmt.Sprintf("%s has changed since (%s): gavel explain %s --rules %s", x.rulesFile(), strings.Join(changed, ", "), row.ID, shellWord(x.rulesFile()))}
}

// maxRevisions is among how many revisions the one that brought a rule is
// looked for.
const maxRevisions = 50

// addedAt says when x.rule was added, if that is known.
func (x *explainer) addedAt(ctx context.Context, row *store.Stored) (string, error) {
	all, err := x.reader.RevisionsSince(ctx, row.Received, maxRevisions)
	if err != nil {
		return "", err
	}
	for _, rev := range all {
		set, err := x.revision(ctx, rev.ID)
		if err != nil {
			continue // it says nothing
		}
		if _, ok := infoOf(set, x.rule); ok {
			return fmt.Sprintf(" (it is since %s)", x.clock(rev.Saved)), nil
		}
	}
	return "", nil
}
