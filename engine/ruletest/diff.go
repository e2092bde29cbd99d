package ruletest

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// Kinds of differences.
const (
	More      = "more"      // it would be done only after the change
	Less      = "less"      // it would no longer be done
	Different = "different" // with other parameters, or at another time
	Undecided = "unknown"   // it needs an answer that nobody has recorded
)

// Diff is how two rule sets differ in what they do about the same events.
type Diff struct {
	Rules   []RuleDiff `json:"rules"`   // that differ or read otherwise, those with other billing first
	Same    []SameRule `json:"same"`    // the other ones
	Shared  []Change   `json:"changed"` // of what the rules have in common: lists, sources, …
	Targets []Total    `json:"targets"`
	Meters  []Meter    `json:"meters"`
	Counts
	// Problems are events that could not be planned as a whole.
	Problems Pair `json:"problems"`
}

// Counts are the differences by kind.
type Counts struct {
	More      int `json:"more"`
	Less      int `json:"less"`
	Different int `json:"different"`
	Unknown   int `json:"unknown"`
}

func (c *Counts) add(kind string) {
	switch kind {
	case More:
		c.More++
	case Less:
		c.Less++
	case Different:
		c.Different++
	case Undecided:
		c.Unknown++
	}
}

// Pair is a number before and after the change.
type Pair struct {
	Before int `json:"before"`
	After  int `json:"after"`
}

func (p Pair) differs() bool { return p.Before != p.After }

// States of a rule in a Diff.
const (
	RuleChanged   = "changed" // its definition
	RuleUnchanged = "unchanged"
	RuleAdded     = "added"
	RuleRemoved   = "removed"
	RuleShadow    = "shadow" // beside its original
)

// RuleDiff is how a rule differs.
type RuleDiff struct {
	Rule string `json:"rule"`
	Is   string `json:"is"`
	// Like is the removed rule that an added one repeats under another name, or
	// the original of a shadow.
	Like    string   `json:"like,omitempty"`
	Changes []Change `json:"changes,omitempty"` // of its definition
	Runs    Pair     `json:"runs"`
	Actions Pair     `json:"actions"`
	Failed  Pair     `json:"failed"` // runs
	Errors  Pair     `json:"errors"` // evaluations of its conditions
	Counts
	Billing     bool         `json:"billing"` // some of the differences are billing steps
	Differences []Difference `json:"differences"`

	explained map[string]int // differences that say why, by kind
}

// SameRule is a rule that does the same, and how often.
type SameRule struct {
	Rule    string `json:"rule"`
	Runs    int    `json:"runs"`
	Actions int    `json:"actions"`
	Failed  int    `json:"failed"`
	Errors  int    `json:"errors"`
}

// Differs reports whether the rule does anything else than before.
func (d *RuleDiff) Differs() bool {
	return len(d.Differences) > 0 || d.Failed.differs() || d.Errors.differs()
}

// reads reports whether the rule itself is another one.
func (d *RuleDiff) reads() bool {
	return d.Is == RuleChanged || d.Is == RuleAdded || d.Is == RuleRemoved
}

// Change is a part of the rules that reads otherwise: "if", "lists.vips". An
// empty text: it is not there.
type Change struct {
	Name   string `json:"name"`
	Before string `json:"before"`
	After  string `json:"after"`
}

// Difference is one action that differs.
type Difference struct {
	Kind    string         `json:"kind"`
	Step    string         `json:"step"`
	Action  string         `json:"action"`
	Via     string         `json:"via,omitempty"`
	Target  string         `json:"target"`
	At      time.Time      `json:"at"`
	Was     time.Time      `json:"was,omitzero"` // when it was done before, if at another time
	Room    string         `json:"room"`
	Source  string         `json:"source"`
	Session string         `json:"session"` // internal key
	Event   string         `json:"event"`   // "" where its id is another one in each rehearsal
	Lasted  *time.Duration `json:"-"`       // the session, as far as it is known
	// With are the parameters, as they would be after the change; of what would
	// no longer be done, as they were.
	With    json.RawMessage `json:"with,omitempty"`
	Changes []Change        `json:"changes,omitempty"` // parameters that differ, as JSON
	Why     string          `json:"why,omitempty"`     // of one side alone: what decided on the other
}

// Total is how many actions have a target.
type Total struct {
	Action string `json:"action"`
	Via    string `json:"via,omitempty"`
	Target string `json:"target"`
	Pair
}

// Differs reports whether anything would be done otherwise: a rule that reads
// otherwise and does the same is no difference.
func (d *Diff) Differs() bool {
	return slices.ContainsFunc(d.Rules, func(r RuleDiff) bool { return r.Differs() }) || d.Problems.differs() ||
		slices.ContainsFunc(d.Targets, func(t Total) bool { return t.differs() }) ||
		slices.ContainsFunc(d.Meters, func(m Meter) bool { return m.Differs() })
}

// Compare compares two rehearsals of the same events that have come to their
// end, once. only, if there are any, are the rules that count.
func Compare(before, after *Rehearsal, only ...string) *Diff {
	return compare(before.side, after.side, only)
}

func compare(before, after *side, only []string) *Diff {
	c := &comparison{before: before, after: after}
	c.shared = changesOf(before.parts, after.parts, func(name string) bool { return !strings.HasPrefix(name, rulePart) })
	d := &Diff{Shared: c.shared, Problems: Pair{before.problems, after.problems}}
	ids := slices.DeleteFunc(c.rules(), func(id string) bool { return !wanted(id, only) })
	all := make([]RuleDiff, len(ids))
	var comparing sync.WaitGroup
	for i, id := range ids {
		comparing.Go(func() { all[i] = c.rule(id) })
	}
	comparing.Wait()
	for _, r := range all {
		d.take(r)
	}
	d.finish(c, only)
	return d
}

// wanted reports whether a rule counts.
func wanted(rule string, only []string) bool { return len(only) == 0 || slices.Contains(only, rule) }

// take takes in what came of comparing a rule.
func (d *Diff) take(r RuleDiff) {
	if !r.Differs() && !r.reads() {
		d.Same = append(d.Same, SameRule{r.Rule, r.Runs.After, r.Actions.After, r.Failed.After, r.Errors.After})
		return
	}
	d.Rules = append(d.Rules, r)
	for _, x := range r.Differences {
		d.add(x.Kind)
	}
}

// finish adds up what was done.
func (d *Diff) finish(c *comparison, only []string) {
	hintRenamed(d.Rules)
	slices.SortStableFunc(d.Rules, func(a, b RuleDiff) int {
		switch {
		case a.Billing == b.Billing:
			return 0
		case a.Billing:
			return -1
		}
		return 1
	})
	d.Targets, d.Meters = c.targets(only), c.meters(only)
}

// rules are all rules, in the order of the new ones; removed ones come last.
func (c *comparison) rules() []string {
	var all []string
	for _, s := range []*side{c.after, c.before} {
		for _, r := range s.set.Rules() {
			if !slices.Contains(all, r.ID) {
				all = append(all, r.ID)
			}
		}
	}
	return all
}

const rulePart = "rules."

// hintRenamed notes added rules that say what a removed one said.
func hintRenamed(all []RuleDiff) {
	said := func(changes []Change, text func(Change) string) string {
		var b strings.Builder
		for _, x := range changes {
			if x.Name != "id" {
				b.WriteString(x.Name + "\x00" + text(x) + "\x00")
			}
		}
		return b.String()
	}
	for i := range all {
		for j := range all {
			if all[i].Is == RuleAdded && all[j].Is == RuleRemoved &&
				said(all[i].Changes, func(x Change) string { return x.After }) == said(all[j].Changes, func(x Change) string { return x.Before }) {
				all[i].Like = all[j].Rule
			}
		}
	}
}

// partsOf are the parts of one rule, by key.
func partsOf(parts map[string]string, rule string) map[string]string {
	of := map[string]string{}
	for name, text := range parts {
		if key, ok := strings.CutPrefix(name, rulePart+rule+"."); ok {
			of[key] = text
		}
	}
	return of
}

// changesOf are the parts that differ, by name, of those that are wanted.
func changesOf(before, after map[string]string, wanted func(string) bool) []Change {
	var all []Change
	for name, text := range before {
		if wanted(name) && after[name] != text {
			all = append(all, Change{name, text, after[name]})
		}
	}
	for name, text := range after {
		if _, both := before[name]; !both && wanted(name) && text != "" {
			all = append(all, Change{name, "", text})
		}
	}
	slices.SortFunc(all, func(a, b Change) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// kindsByName are the actions of the program.
func kindsByName(kinds []engine.ActionKind) map[string]engine.ActionKind {
	all := map[string]engine.ActionKind{}
	for _, k := range kinds {
		all[k.Name] = k
	}
	return all
}
