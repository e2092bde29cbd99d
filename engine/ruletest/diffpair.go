package ruletest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/rules"
)

// comparison is two sides on their way to a Diff. Its rules may be compared side
// by side.
type comparison struct {
	before, after *side
	shared        []Change
}

// rule compares what one rule did.
func (c *comparison) rule(id string) RuleDiff {
	d := RuleDiff{Rule: id, Is: RuleUnchanged, Errors: Pair{c.before.errors[id], c.after.errors[id]}}
	was, is := partsOf(c.before.parts, id), partsOf(c.after.parts, id)
	d.Changes = changesOf(was, is, func(string) bool { return true })
	switch {
	case len(was) == 0:
		d.Is = RuleAdded
	case len(is) == 0:
		d.Is = RuleRemoved
	case len(d.Changes) > 0:
		d.Is = RuleChanged
	}
	c.acts(&d, c.before.acts[id], c.after.acts[id])
	return d
}

// acts compares the runs of a rule.
func (c *comparison) acts(d *RuleDiff, before, after []*act) {
	d.Runs = Pair{len(before), len(after)}
	d.Failed = Pair{failed(before), failed(after)}
	for _, p := range c.pair(d.Rule, before, after) {
		c.steps(d, p)
	}
	slices.SortStableFunc(d.Differences, func(a, b Difference) int { return a.At.Compare(b.At) })
	for i := range d.Differences {
		d.add(d.Differences[i].Kind)
		d.Billing = d.Billing || d.Differences[i].Action == billing
	}
	d.Actions = Pair{actions(before), actions(after)}
}

func failed(all []*act) (n int) {
	for _, a := range all {
		if a.failed {
			n++
		}
	}
	return n
}

// actions is how many there were, less those that correspond to unknown ones.
func actions(all []*act) (n int) {
	for _, a := range all {
		for i := range a.steps {
			if a.steps[i].counts() {
				n++
			}
		}
	}
	return n
}

// pair is a run on both sides, or on one.
type pair struct{ before, after *act }

// pair finds the runs that correspond to each other: of the same event in the
// same branch. What is left of a rule that knows time is paired by session and
// person, in order: it fired at another moment.
func (c *comparison) pair(rule string, before, after []*act) []pair {
	exact := func(a *act) string { return a.of + "\x00" + a.awaited + "\x00" + a.branch }
	pairs, before, after := match(before, after, exact)
	timed := slices.ContainsFunc([]*side{c.before, c.after}, func(s *side) bool {
		return slices.ContainsFunc(s.set.Rules(), func(r rules.RuleInfo) bool { return r.ID == rule && len(r.Words) > 0 })
	})
	near := func(a *act) string {
		if !timed && !a.own || a.trigger == engine.Scheduled { // other moments of a schedule are others
			return ""
		}
		return strings.Join([]string{a.session, a.trigger, a.who, a.source, a.branch}, "\x00")
	}
	more, before, after := match(before, after, near)
	pairs = append(pairs, more...)
	for _, a := range before {
		pairs = append(pairs, pair{before: a})
	}
	for _, a := range after {
		pairs = append(pairs, pair{after: a})
	}
	return pairs
}

// match pairs those with the same key, in order; "" has no partner.
func match(before, after []*act, key func(*act) string) (pairs []pair, left, right []*act) {
	waiting := map[string][]*act{}
	for _, a := range after {
		k := key(a)
		waiting[k] = append(waiting[k], a)
	}
	paired := map[*act]bool{}
	for _, b := range before {
		k := key(b)
		if k == "" || len(waiting[k]) == 0 {
			left = append(left, b)
			continue
		}
		a := waiting[k][0]
		waiting[k] = waiting[k][1:]
		pairs, paired[a] = append(pairs, pair{b, a}), true
	}
	for _, a := range after {
		if !paired[a] {
			right = append(right, a)
		}
	}
	return pairs, left, right
}

// steps compares the steps of a pair of runs.
func (c *comparison) steps(d *RuleDiff, p pair) {
	if c.same(p) {
		return
	}
	c.unknown(d, p)
	before, after := p.before.done(), p.after.done()
	take := func(same func(b, a *step) bool, found func(b, a *step)) {
		before = slices.DeleteFunc(before, func(b *step) bool {
			i := slices.IndexFunc(after, func(a *step) bool { return same(b, a) })
			if i < 0 {
				return false
			}
			found(b, after[i])
			after = slices.Delete(after, i, i+1)
			return true
		})
	}
	changed := func(b, a *step) { d.Differences = append(d.Differences, c.different(p, b, a)) }
	take(equalSteps, func(b, a *step) {
		if c.moved(p, b, a) {
			changed(b, a)
		}
	})
	take(func(b, a *step) bool { return b.action == a.action && b.id == a.id && b.branch == a.branch }, changed)
	take(func(b, a *step) bool { return b.action == a.action && b.via == a.via && b.target == a.target }, changed)
	for _, b := range before {
		d.Differences = append(d.Differences, c.alone(Less, p.before, b, d))
	}
	for _, a := range after {
		d.Differences = append(d.Differences, c.alone(More, p.after, a, d))
	}
}

// same reports whether both runs did the same, step by step: most do.
func (c *comparison) same(p pair) bool {
	if p.before == nil || p.after == nil || len(p.before.steps) != len(p.after.steps) {
		return false
	}
	for i := range p.before.steps {
		b, a := &p.before.steps[i], &p.after.steps[i]
		if !b.counts() || !a.counts() || !equalSteps(b, a) || c.moved(p, b, a) {
			return false
		}
	}
	return true
}

// done are the actions that count; of no run, none.
func (a *act) done() (all []*step) {
	if a == nil {
		return nil
	}
	for i := range a.steps {
		if x := &a.steps[i]; x.counts() {
			all = append(all, x)
		}
	}
	return all
}

// moved reports whether the action is done at another time. What was recorded may
// have been tried again: there the beginning of the run counts.
func (c *comparison) moved(p pair, b, a *step) bool {
	if c.after.recorded {
		return p.after.created.Sub(p.before.created).Abs() >= sameMoment
	}
	return a.at.Sub(b.at).Abs() >= time.Second
}

// equalSteps: parameters are written in one way, see rules: equal ones are equal
// texts.
func equalSteps(b, a *step) bool {
	return b.action == a.action && b.via == a.via && b.target == a.target && bytes.Equal(b.with, a.with)
}

// unknown takes out the steps that are undecided on one side or both: neither
// they nor what they correspond to count. Where nothing was changed, steps that
// are undecided on both sides are no difference.
func (c *comparison) unknown(d *RuleDiff, p pair) {
	same := d.Is == RuleUnchanged && len(c.shared) == 0
	for i := range p.before.all() {
		u := &p.before.steps[i]
		if !u.undecided {
			continue
		}
		if there := p.after.at(u); there == nil || !there.undecided {
			there.leave()
			d.Differences = append(d.Differences, c.difference(Undecided, p.before, u))
		} else if !same {
			d.Differences = append(d.Differences, c.difference(Undecided, p.after, there))
		}
	}
	for i := range p.after.all() {
		u := &p.after.steps[i]
		if there := p.before.at(u); u.undecided && (there == nil || !there.undecided) {
			there.leave()
			d.Differences = append(d.Differences, c.difference(Undecided, p.after, u))
		}
	}
}

// all are the steps; of no run, none.
func (a *act) all() []step {
	if a == nil {
		return nil
	}
	return a.steps
}

// at is the step in the place of u, nil if there is none.
func (a *act) at(u *step) *step {
	for i := range a.all() {
		if x := &a.steps[i]; placeOf(x.branch, x.id) == placeOf(u.branch, u.id) {
			return x
		}
	}
	return nil
}

// leave takes a step out of the totals.
func (x *step) leave() {
	if x != nil {
		x.left = true
	}
}

func (c *comparison) difference(kind string, a *act, x *step) Difference {
	d := Difference{
		Kind: kind, Step: x.id, Action: x.action, Via: x.via, Target: x.aim(), At: x.at,
		Room: a.room, Source: a.source, Session: a.session, With: x.with, Lasted: a.lasted,
	}
	if !a.own {
		d.Event = a.event
	}
	return d
}

// different is an action that both sides do, in different ways.
func (c *comparison) different(p pair, b, a *step) Difference {
	d := c.difference(Different, p.after, a)
	if c.moved(p, b, a) {
		d.Was = b.at
	}
	if a.target != b.target || a.via != b.via {
		d.Changes = append(d.Changes, Change{"to", strings.TrimSpace(b.via + " " + b.target), strings.TrimSpace(a.via + " " + a.target)})
	}
	d.Changes = append(d.Changes, changesOf(members(b.with), members(a.with), func(string) bool { return true })...)
	return d
}

// members are the members of a JSON object, each as JSON.
func members(object json.RawMessage) map[string]string {
	var all map[string]json.RawMessage
	_ = json.Unmarshal(object, &all) // the engine has written it
	texts := map[string]string{}
	for name, value := range all {
		texts[name] = string(value)
	}
	return texts
}

// explained is how many differences of a rule and kind say why.
const explained = 3

// alone is an action that only one side does. If the other side has no such run
// at all, its condition may say why.
func (c *comparison) alone(kind string, a *act, x *step, rule *RuleDiff) Difference {
	d := c.difference(kind, a, x)
	if rule.explained[kind] >= explained || rule.Is == RuleAdded || rule.Is == RuleRemoved {
		return d
	}
	if rule.explained == nil {
		rule.explained = map[string]int{}
	}
	rule.explained[kind]++
	here, other := c.before, c.after
	if kind == More {
		here, other = other, here
	}
	if in, ok := here.inputs[a.run]; ok {
		d.Why = why(other.set, rule.Rule, in)
	}
	return d
}

// why is what decided that a rule does not fire for an event; "" if it does, or
// nothing can be said.
func why(set *rules.Set, rule string, in engine.MatchInput) string {
	x, err := set.Explain(rule, in)
	if err != nil || x.Verdict == rules.VerdictMatched {
		return ""
	}
	for _, t := range rules.Leaves(x.If) {
		if t.Decides {
			return fmt.Sprintf("%s: %s", t.Text, cmp.Or(t.Error, t.Values, t.Result))
		}
	}
	return x.Why
}
