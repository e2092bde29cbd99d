package ruletest

import (
	"context"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/rules"
)

// Recorded is what rules did in earnest.
type Recorded struct {
	Runs   []*engine.Run  // oldest first, those of shadows too
	Errors map[string]int // conditions that could not be evaluated, by rule
	// Tried reports whether a revision had a rule, as a shadow.
	Tried func(revision, rule string) bool
}

// CompareShadows compares what shadow rules recorded with what their originals
// did, event by event, while there was the shadow. A shadow without an original
// is compared with nothing. only, if there are any, are the shadows that count.
func CompareShadows(set *rules.Set, kinds []engine.ActionKind, past Recorded, only ...string) *Diff {
	before, after := newSide(set, kinds), newSide(set, kinds)
	before.recorded, after.recorded = true, true
	shadows := map[string]rules.RuleInfo{}
	for _, r := range set.Rules() {
		if r.Shadow && r.Enabled {
			shadows[r.ID] = r
		}
	}
	for _, run := range past.Runs {
		if r, ok := shadows[run.Rule]; ok && run.Shadow {
			after.acts[r.ID] = append(after.acts[r.ID], after.recordedAct(run))
			continue
		}
		for _, r := range shadows {
			if r.ShadowOf == run.Rule && !run.Shadow && past.Tried(run.Revision, r.ID) {
				before.acts[r.ID] = append(before.acts[r.ID], before.recordedAct(run))
			}
		}
	}
	c := &comparison{before: before, after: after}
	d := &Diff{}
	for _, r := range set.Rules() {
		if _, ok := shadows[r.ID]; !ok || !wanted(r.ID, only) {
			continue
		}
		x := RuleDiff{Rule: r.ID, Is: RuleShadow, Like: r.ShadowOf, Errors: Pair{past.Errors[r.ShadowOf], past.Errors[r.ID]}}
		x.Changes = changesOf(partsOf(before.parts, r.ShadowOf), partsOf(after.parts, r.ID), func(name string) bool { return name != "id" && name != "mode" && name != "shadow_of" })
		c.acts(&x, before.acts[r.ID], after.acts[r.ID])
		d.take(x)
	}
	d.finish(c, only)
	return d
}

// recordedAct is a run as it was stored.
func (s *side) recordedAct(run *engine.Run) *act {
	a := s.act(run, nil)
	if run.Trigger == engine.Scheduled { // every schedule has moments of its own
		a.of, a.own = run.Created.Truncate(time.Minute).Format(time.RFC3339), true
	}
	s.bill(run)
	return a
}

// bill finds out what entries the billing steps of a run would have made: the
// first one of a key and meter.
func (s *side) bill(run *engine.Run) {
	kind, ok := s.kinds[billing]
	if !ok {
		return
	}
	for i := range run.Steps {
		rec := &run.Steps[i]
		if rec.Action != billing || rec.State != engine.StepDone && rec.State != engine.StepShadow {
			continue
		}
		res, err := kind.Do(context.Background(), engine.Call{
			Run: run.ID, Rule: run.Rule, Session: run.Session, With: rec.With, Now: rec.Started, Billable: true,
			Event: &engine.Event{ID: run.Event, Source: run.Source, Tenant: run.Tenant, Time: run.Created}, Billing: s.set.Billing(),
		})
		if err != nil { // it failed when it ran, too
			continue
		}
		there := len(s.ledger.entries)
		s.ledger.post(res.Entries, func(prefix string) string { return prefix + run.ID })
		s.entries[run.ID] = append(s.entries[run.ID], s.ledger.entries[there:]...)
	}
}
