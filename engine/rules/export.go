package rules

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/gavelhq/gavel/engine"
)

// What stands here lets files about rules be read as rules are: with the same
// traps caught, the same words for mistakes, and the same expressions.

// Reading is a YAML file that is being read, with what is wrong with it.
type Reading struct {
	doc *document
	out *report
}

// ReadYAML parses a file. ok is false where nothing can be read of it.
func ReadYAML(f File) (r *Reading, root Node, ok bool) {
	r = &Reading{out: &report{}}
	r.doc = parse(f, 0, r.out)
	if r.doc.root == nil {
		if len(r.out.found) == 0 {
			whole := node{Node: &yaml.Node{}, doc: r.doc, out: r.out}
			r.out.found = append(r.out.found, found{whole.problem(issue{Code: "empty-file", What: "there is nothing in the file"}), r.doc})
		}
		return r, Node{}, false
	}
	return r, Node{node{Node: r.doc.root, doc: r.doc, out: r.out, called: "the file"}}, true
}

// Problems are what was found so far, in the order of the file.
func (r *Reading) Problems() engine.Problems { return r.out.problems() }

// Issue is something wrong at a value. Offset and Width are characters into it;
// a Width of 0 is all of it.
type Issue = issue

// Node is a value of a file together with where it stands.
type Node struct{ node }

// Key is the key of a value in a map; "" in a list.
func (n Node) Key() string { return n.name() }

// KeyLine is the line of the key, or of the value where there is none.
func (n Node) KeyLine() int {
	if n.key != nil {
		return n.key.Line
	}
	return n.Line
}

// KeyColumn is the column there.
func (n Node) KeyColumn() int {
	if n.key != nil {
		return n.key.Column
	}
	return n.Column
}

// LastLine is the last line on which a part of the value begins.
func (n Node) LastLine() int { return lastLine(n.Node) }

// IsMapping and IsSequence say what the value is, and nothing about it.
func (n Node) IsMapping() bool  { return n.Kind == yaml.MappingNode }
func (n Node) IsSequence() bool { return n.Kind == yaml.SequenceNode }

// InFlow reports whether it is written as {…} or […].
func (n Node) InFlow() bool { return n.Style&yaml.FlowStyle != 0 }

// Map reports whether the value is a map, and says so if not. shape is what to
// write: "NAME: VALUE".
func (n Node) Map(shape string) bool { return n.isMap(shape) }

// List is likewise for lists.
func (n Node) List(shape string) bool { return n.isList(shape) }

// Entries are the values of a map.
func (n Node) Entries() []Node {
	var all []Node
	for _, e := range n.entries() {
		if e.key.Tag != reported && e.key.Tag != "!!merge" {
			all = append(all, Node{e})
		}
	}
	return all
}

// Fields are the values of a map with known keys. Others are reported, but for
// those besides; of names the keys in the plural: "keys of a test".
func (n Node) Fields(of string, known []string, besides ...string) map[string]Node {
	got := map[string]Node{}
	for _, e := range n.Entries() {
		switch {
		case slices.Contains(known, e.Key()):
			got[e.Key()] = e
		case !slices.Contains(besides, e.Key()):
			n.unknownKey(e.node, of, known)
		}
	}
	return got
}

// OneOrMore are the entries of a list, or the single value itself.
func (n Node) OneOrMore() []Node {
	var all []Node
	for _, c := range n.oneOrMore() {
		if c.Kind == yaml.ScalarNode { // which messages name by the key
			c.key = n.key
			if n.Kind == yaml.SequenceNode && n.key != nil {
				c.called = "an entry of " + n.key.Value
			}
		}
		all = append(all, Node{c})
	}
	return all
}

// Report says what is wrong with the value; ReportKey marks its key.
func (n Node) Report(i Issue)    { n.add(i) }
func (n Node) ReportKey(i Issue) { n.addAtKey(i) }

// Unknown reports a word that is not among the known ones, which what names in
// the plural.
func (n Node) Unknown(code, problem, word, what string, known []string) {
	n.add(issue{Code: code, What: problem, Hint: suggestion(word, what, known)})
}

// Missing reports a key that a map lacks.
func (n Node) Missing(what, hint string) { n.missing(what, hint) }

// Empty reports a value that is not there, and why.
func (n Node) Empty() bool {
	if n.isEmpty() {
		n.emptyValue()
		return true
	}
	return n.Tag == reported
}

// Text is a text; what other readers of YAML would change must be in quotes.
func (n Node) Text() (string, bool) { return n.text() }

// Word is a scalar as it is written, whatever YAML takes it for.
func (n Node) Word(belongs string) (string, bool) {
	return n.Value, n.isScalar(belongs)
}

// Flag, Whole and Duration are values of these kinds.
func (n Node) Flag() (value, ok bool)          { return n.flag() }
func (n Node) Whole() (int64, bool)            { return n.whole() }
func (n Node) Duration() (time.Duration, bool) { return n.duration() }

// Data is any value as JSON would have it: map[string]any, []any, string, int,
// float64, bool or nil.
func (n Node) Data() (any, bool) {
	switch n.Kind {
	case yaml.MappingNode:
		m, ok := map[string]any{}, true
		for _, e := range n.Entries() {
			v, fine := e.Data()
			m[e.Key()], ok = v, ok && fine
		}
		return m, ok
	case yaml.SequenceNode:
		list, ok := make([]any, 0, len(n.Content)), true
		for _, c := range n.OneOrMore() {
			v, fine := c.Data()
			list, ok = append(list, v), ok && fine
		}
		return list, ok
	}
	if n.Tag == reported {
		return nil, false
	}
	return anyValue(n.node, n.Value, !n.plain())
}

// ParseDuration reads a duration as rules write it: 90s, 60m, 1h30m, 2d.
func ParseDuration(text string) (time.Duration, error) { return parseDuration(text) }

// Format prints a value as a text of a rule would.
func Format(v any, loc *time.Location) string { return format(v, loc) }

// Nearest is the known word most like word; "" if none is near.
func Nearest(word string, known []string) string { return closest(word, known) }

// Location is the time zone of the rules.
func (s *Set) Location() *time.Location { return s.loc }

// StepInfo is what people are told of a step.
type StepInfo struct {
	ID     string // given, or its position
	Action string
	Branch string
	Line   int
}

// Steps are the steps of a rule: those of then first.
func (s *Set) Steps(rule string) []StepInfo {
	r, err := s.find(rule)
	if err != nil {
		return nil
	}
	var all []StepInfo
	for _, branch := range r.branchNames() {
		for _, x := range r.branches[branch] {
			all = append(all, StepInfo{x.id, x.action.Name, branch, x.line})
		}
	}
	return all
}

// branchNames are the branches of a rule, then first.
func (r *rule) branchNames() []string {
	names := slices.Sorted(maps.Keys(r.branches))
	slices.SortStableFunc(names, func(a, b string) int {
		switch {
		case a == engine.BranchThen && b != a:
			return -1
		case b == engine.BranchThen && b != a:
			return 1
		}
		return 0
	})
	return names
}

// Conditions are all conditions of a rule, taken apart: its if:, that of its
// expect, and those of its steps. What they come to means nothing.
func (s *Set) Conditions(rule string) (all []Term) {
	r, err := s.find(rule)
	if err != nil {
		return nil
	}
	add := func(at string, ifs []condition) {
		defer func() { _ = recover() }() // of what has no value without an event
		in := input{MatchInput: engine.MatchInput{Event: &engine.Event{}}}
		all = append(all, exportClauses(s.explainer(r, at, in, nil).conditions(ifs).clauses)...)
	}
	add("if", r.ifs)
	if r.expect != nil {
		add("expect", r.expect.ifs)
	}
	for _, branch := range r.branchNames() {
		for i, x := range r.branches[branch] {
			add(fmt.Sprintf("%s/%d", branch, i), x.ifs)
		}
	}
	return all
}

// Condition is an expression that is true or false, as a rule about a session
// sees it.
type Condition struct {
	set *Set
	ifs []condition
}

// Condition compiles n, an expression or a list that must all be true.
func (s *Set) Condition(n Node) (*Condition, bool) {
	own := &report{}
	at := n.node
	at.out = own
	l := &loader{out: own, compiler: s.compiler, inUse: map[string]bool{}}
	ifs := l.conditions(at, scope{events: []string{engine.SessionStarted}})
	for _, f := range own.found {
		if !f.Warning { // whether a fact is known, the test itself shows
			n.out.found = append(n.out.found, f)
		}
	}
	return &Condition{s, ifs}, own.errors() == 0
}

// Explain evaluates the condition, part by part: result is [True], [False] or
// [Error].
func (c *Condition) Explain(in engine.MatchInput) (terms []Term, result string) {
	e := c.set.explainer(&rule{}, "if", input{MatchInput: in}, nil)
	all := e.conditions(c.ifs)
	return exportClauses(all.clauses), all.Result
}
