package ruletest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gavelhq/gavel/engine/rules"
)

// Coverage is how much of a rule set tests have seen. Not safe for concurrent
// use.
type Coverage struct {
	set   *rules.Set
	fired map[string]bool
	parts map[string]*Part // nil: only rules are counted
	order []string
}

// Part is a part of a condition that has no parts of its own.
type Part struct {
	Rule  string `json:"rule"`
	File  string `json:"file"`
	Line  int    `json:"line"`
	Col   int    `json:"col"`
	Text  string `json:"text"`
	True  bool   `json:"true"`  // it was, at least once
	False bool   `json:"false"` // likewise
}

// Place is "rules.yaml:14:17".
func (p Part) Place() string { return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Col) }

// Never says what the part never was: "true", "false", "true or false"; "" if it
// was both.
func (p Part) Never() string {
	switch {
	case !p.True && !p.False:
		return "asked"
	case !p.True:
		return "true"
	case !p.False:
		return "false"
	}
	return ""
}

// NewCoverage begins with nothing seen. With parts, conditions are taken apart,
// which takes its time.
func NewCoverage(set *rules.Set, parts bool) *Coverage {
	c := &Coverage{set: set, fired: map[string]bool{}}
	if !parts {
		return c
	}
	c.parts = map[string]*Part{}
	for _, r := range set.Rules() {
		if !r.Enabled {
			continue
		}
		for _, t := range rules.Leaves(set.Conditions(r.ID)) {
			if c.parts[partID(t)] == nil {
				c.parts[partID(t)] = &Part{Rule: r.ID, File: r.File, Line: t.Line, Col: t.Col, Text: t.Text}
				c.order = append(c.order, partID(t))
			}
		}
	}
	return c
}

// partID names a part. A hold asks the condition of its rule again.
func partID(t rules.Term) string { return strings.Replace(t.ID, "/hold/", "/if/", 1) }

// Add counts what a test has seen, whether or not it passed.
func (c *Coverage) Add(r *Result) {
	p := r.play
	for _, run := range p.stage.Runs() {
		c.fired[run.Rule] = true
	}
	if c.parts == nil {
		return
	}
	for _, in := range p.inputs {
		for _, info := range c.set.Rules() {
			if x, err := c.set.Explain(info.ID, in); err == nil {
				c.see(x.If)
			}
		}
	}
	for _, x := range p.decisions {
		if terms, err := c.set.ExplainStep(&x.run, x.in); err == nil {
			c.see(terms)
		}
	}
	for _, x := range p.checks {
		explain := c.set.ExplainHold
		if x.in.Trigger != nil {
			explain = c.set.ExplainAwaited
		}
		if terms, err := explain(x.timer, x.in); err == nil {
			c.see(terms)
		}
	}
}

// see counts what the engine came to.
func (c *Coverage) see(terms []rules.Term) {
	for _, t := range rules.Leaves(terms) {
		if p := c.parts[partID(t)]; p != nil && t.Reached {
			p.True = p.True || t.Result == rules.True
			p.False = p.False || t.Result == rules.False
		}
	}
}

// Rules are how many rules there are that are not off, and which of them have
// never fired, in their order.
func (c *Coverage) Rules() (all int, never []string) {
	for _, r := range c.set.Rules() {
		if !r.Enabled {
			continue
		}
		if all++; !c.fired[r.ID] {
			never = append(never, r.ID)
		}
	}
	return all, never
}

// Parts are how many parts there are, and those that were never true or never
// false, by their place.
func (c *Coverage) Parts() (all int, lacking []Part) {
	for _, id := range c.order {
		if p := c.parts[id]; p.Never() != "" {
			lacking = append(lacking, *p)
		}
	}
	slices.SortStableFunc(lacking, func(a, b Part) int {
		if d := strings.Compare(a.File, b.File); d != 0 {
			return d
		}
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Col - b.Col
	})
	return len(c.order), lacking
}
