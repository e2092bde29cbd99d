package ruletest

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine/rules"
)

// test reads one test.
func (d *decoder) test(n rules.Node, c *Case) bool {
	*c = Case{line: n.KeyLine(), zone: d.zone, Start: time.Date(2026, 1, 5, 9, 0, 0, 0, d.zone)}
	if !n.Map("{ name: …, events: […], expect: […] }") {
		return false
	}
	c.column, c.flow = n.Column, n.InFlow()
	d.c, d.prev = c, c.Start
	d.begin(n)
	d.unsure = !d.compared(n)
	ok := d.record(n, reflect.ValueOf(c).Elem(), "keys of a test")
	for _, e := range n.Entries() {
		switch e.Key() {
		case "expect":
			c.expect, c.expected = e, true
		case "until":
			ok = d.afterEvents(e) && ok
		}
	}
	if ok = d.only(n) && ok && !d.unsure; ok && !c.asks() {
		n.Report(rules.Issue{Code: "asks-nothing", Warning: true, What: fmt.Sprintf("the test %q asks for nothing", c.Name),
			Hint: "say what is expected: expect, never or state; gavel test --update writes down what happens"})
	}
	return ok
}

// afterEvents reports an end before the last event.
func (d *decoder) afterEvents(n rules.Node) bool {
	c := d.c
	if n := len(c.Events); c.Until.IsZero() || n == 0 || !c.Until.Before(c.Events[n-1].Received) {
		return true
	}
	n.Report(rules.Issue{Code: "bad-time", What: fmt.Sprintf("this is before the last event, at %s", c.clock(c.Events[len(c.Events)-1].Received)),
		Hint: "a time of day is on the day of the last event: write the date"})
	return false
}

// begin makes a test that does not say when it begins begin with its first event.
func (d *decoder) begin(n rules.Node) {
	var first *rules.Node
	for _, e := range n.Entries() {
		switch {
		case e.Key() == "start":
			return
		case e.Key() == "events" && e.IsSequence() && len(e.Content) > 0:
			first = &e.OneOrMore()[0]
		}
	}
	if first == nil || !first.IsMapping() {
		return
	}
	for _, e := range first.Entries() {
		if e.Key() != "at" {
			continue
		}
		if at, err := momentOf(e.Value, d.prev, d.zone); err == nil {
			d.c.Start, d.prev = at, at
		}
	}
}

// only reports a second test of the same name.
func (d *decoder) only(n rules.Node) bool {
	for i := range d.file.Tests {
		if x := &d.file.Tests[i]; x != d.c && x.Name != "" && x.Name == d.c.Name {
			n.Report(rules.Issue{Code: "defined-twice", What: fmt.Sprintf("there are two tests %q", x.Name), Why: fmt.Sprintf("the first is in line %d", x.line),
				Hint: "reports name tests by it: say what is different"})
			return false
		}
	}
	return true
}

// compared checks the rules that the test is about.
func (d *decoder) compared(n rules.Node) bool {
	ok := true
	for _, e := range n.Entries() {
		if e.Key() != "rule" {
			continue
		}
		for _, c := range e.OneOrMore() {
			if c.IsMapping() || c.IsSequence() || c.Value == "" {
				return false // it is reported when it is read
			}
			ok = d.rule(c, c.Value) && ok
		}
	}
	return ok
}

// rule reports a rule that there is not.
func (d *decoder) rule(n rules.Node, id string) bool {
	var known []string
	for _, r := range d.env.Rules.Rules() {
		if r.ID == id && !r.Enabled {
			n.Report(rules.Issue{Code: "rule-off", What: fmt.Sprintf("the rule %s is off", id), Why: "it says enabled: false", Hint: "turn it on, or remove the test"})
			return false
		}
		known = append(known, r.ID)
	}
	if slices.Contains(known, id) {
		return true
	}
	n.Unknown("unknown-rule", fmt.Sprintf("there is no rule %q", id), id, "rules", known)
	return false
}

// rules are the ids of the rules compared.
func (c *Case) rules(set *rules.Set) []string {
	if len(c.Rule) > 0 {
		return c.Rule
	}
	var all []string
	for _, r := range set.Rules() {
		if r.Enabled && !r.Shadow {
			all = append(all, r.ID)
		}
	}
	return all
}

// returns reads the answers of steps.
func (d *decoder) returns(n rules.Node, to *map[string][]Return) bool {
	if !n.Map("{ STEP: { status: 200, body: { … } } }") {
		return false
	}
	*to = map[string][]Return{}
	ok := true
	for _, e := range n.Entries() {
		ok = d.step(e) && ok
		list := e.OneOrMore()
		all := make([]Return, len(list))
		for i, x := range list {
			ok = d.answer(x, &all[i]) && ok
		}
		if len(all) == 0 {
			e.Report(rules.Issue{Code: "empty-value", What: fmt.Sprintf("%q has no answer", e.Key()), Hint: "write { status: 200 }"})
			ok = false
		}
		(*to)[e.Key()] = all
	}
	return ok
}

// step reports an answer for a step that gets none.
func (d *decoder) step(e rules.Node) bool {
	var known []string
	inside := ""
	for _, r := range d.env.Rules.Rules() {
		for _, s := range d.env.Rules.Steps(r.ID) {
			kind := d.env.kind(s.Action)
			switch {
			case kind == nil:
			case kind.Inside:
				if s.ID == e.Key() {
					inside = s.Action
				}
			case !slices.Contains(known, s.ID):
				known = append(known, s.ID)
			}
		}
	}
	switch {
	case slices.Contains(known, e.Key()):
		return true
	case inside != "":
		e.ReportKey(rules.Issue{Code: "step-inside", What: fmt.Sprintf("%q is a step that needs no answer", e.Key()),
			Why: fmt.Sprintf("%s stays inside Gavel: the test does it", inside), Hint: "remove it"})
		return false
	}
	slices.Sort(known)
	hint := "give the step an id in the rules; there are no others that are answered"
	if near := rules.Nearest(e.Key(), known); near != "" {
		hint = fmt.Sprintf("did you mean %q? steps: %s", near, strings.Join(known, ", "))
	} else if len(known) > 0 {
		hint = "steps: " + strings.Join(known, ", ")
	}
	e.ReportKey(rules.Issue{Code: "unknown-step", What: fmt.Sprintf("there is no step %q that is answered", e.Key()), Hint: hint})
	return false
}

// answer reads one answer.
func (d *decoder) answer(n rules.Node, a *Return) bool {
	if n.Empty() || !d.record(n, reflect.ValueOf(a).Elem(), "keys of an answer") {
		return false
	}
	given := map[string]rules.Node{}
	for _, e := range n.Entries() {
		given[e.Key()] = e
	}
	_, fails := given["error"]
	for _, name := range []string{"status", "body", "headers"} {
		if e, both := given[name]; both && fails {
			e.ReportKey(rules.Issue{Code: "given-twice", What: fmt.Sprintf("error and %s are both given", name), Why: "an attempt that fails has no answer",
				Hint: "remove one of them; a status that the step does not take for success fails by itself"})
			return false
		}
	}
	if e, given := given["permanent"]; given && !fails {
		e.ReportKey(rules.Issue{Code: "missing-key", What: "permanent without error", Hint: "say what the attempt fails with: error: …"})
		return false
	}
	if e, given := given["status"]; given && (a.Status < 100 || a.Status > 599) {
		e.Report(rules.Issue{Code: "wrong-type", What: fmt.Sprintf("%d is no status", a.Status), Hint: "statuses go from 100 to 599"})
		return false
	}
	if !fails && a.Status == 0 {
		a.Status = 200
	}
	return true
}

// state reads what is true at a moment.
func (d *decoder) state(n rules.Node, s *State) bool {
	s.line = n.KeyLine()
	d.prev = d.c.lastEvent()
	ok := d.record(n, reflect.ValueOf(s).Elem(), "keys of a state")
	for _, e := range n.Entries() {
		fine := true
		switch {
		case e.Key() == "if" && s.If != nil:
			s.condition, fine = d.env.Rules.Condition(e)
		case e.Key() == "at" && !s.At.IsZero():
			fine = d.inTest(e, s.At)
		}
		ok = ok && fine
	}
	return ok
}

// inTest reports a moment outside of the test.
func (d *decoder) inTest(n rules.Node, at time.Time) bool {
	switch {
	case at.Before(d.c.Start):
		n.Report(rules.Issue{Code: "bad-time", What: fmt.Sprintf("this is before the test begins, at %s", d.c.clock(d.c.Start)),
			Hint: "a time of day is on the day on which the test begins: write the date"})
	case !d.c.Until.IsZero() && at.After(d.c.Until):
		n.Report(rules.Issue{Code: "bad-time", What: fmt.Sprintf("this is after the test ends, at %s", d.c.clock(d.c.Until))})
	default:
		return true
	}
	return false
}

// lastEvent is when the last event happened; the start if there is none.
func (c *Case) lastEvent() time.Time {
	if c.last.IsZero() {
		return c.Start
	}
	return c.last
}

// clock is a moment of the test for people: the day only if it is another one.
func (c *Case) clock(t time.Time) string {
	t, start := t.In(c.zone), c.Start.In(c.zone)
	layout := "15:04:05"
	if t.Second() == 0 && t.Nanosecond() == 0 {
		layout = "15:04"
	}
	if t.Format(time.DateOnly) != start.Format(time.DateOnly) {
		layout = "2006-01-02 " + layout
	}
	return t.Format(layout)
}

// failure reads what is to go wrong.
func (d *decoder) failure(n rules.Node, f *Failure) bool {
	f.line = n.KeyLine()
	if !d.record(n, reflect.ValueOf(f).Elem(), "keys of a failure") {
		return false
	}
	for _, e := range n.Entries() {
		switch e.Key() {
		case "rule":
			if !d.among(e, f.Rule) {
				return false
			}
		case "step":
			if !d.stepOf(e, f) {
				return false
			}
		case "error":
			if _, text := f.Error.Value.(string); !text {
				e.Report(rules.Issue{Code: "wrong-type", What: "an error is a text", Hint: "write a text, { contains: … } or { matches: … }"})
				return false
			}
		}
	}
	return true
}

// stepOf reports a step that the rules do not have.
func (d *decoder) stepOf(n rules.Node, f *Failure) bool {
	if d.unsure {
		return true
	}
	var known []string
	for _, r := range d.c.rules(d.env.Rules) {
		if f.Rule != "" && r != f.Rule {
			continue
		}
		for _, s := range d.env.Rules.Steps(r) {
			if !slices.Contains(known, s.ID) {
				known = append(known, s.ID)
			}
		}
	}
	if slices.Contains(known, f.Step) {
		return true
	}
	n.Unknown("unknown-step", fmt.Sprintf("there is no step %q", f.Step), f.Step, "steps", known)
	return false
}

// among reports a rule that is not compared.
func (d *decoder) among(n rules.Node, id string) bool {
	if !d.rule(n, id) {
		return false
	}
	if d.unsure || slices.Contains(d.c.rules(d.env.Rules), id) {
		return true
	}
	why := "the test says which rules are compared"
	if len(d.c.Rule) == 0 {
		why = "it is a shadow: those are compared where the test names them"
	}
	n.Report(rules.Issue{Code: "not-compared", What: fmt.Sprintf("the rule %s is not compared", id), Why: why, Hint: "add it to rule: of the test"})
	return false
}
