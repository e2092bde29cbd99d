package rules

import (
	"fmt"
	"slices"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// Set is one revision of the rules: immutable, safe for concurrent use. It is
// an [engine.Planner].
type Set struct {
	revision string
	text     []byte
	paths    []string
	loc      *time.Location
	rules    []*rule
	byID     map[string]*rule
	byType   map[string][]*rule // enabled ones, in order
	byWire   map[string][]*rule // by "platform:wire-name"
	sources  []engine.SourceConfig
	fields   map[string][]supply
	conns    map[string]map[string]any
	steps    int
}

var _ engine.Planner = (*Set)(nil)

// Revision names the text of rules and lists: the first 12 digits of its hash.
func (s *Set) Revision() string { return s.revision }

// Text is what [LoadRevision] reads.
func (s *Set) Text() []byte { return s.text }

// Sources are the configured senders, their secrets resolved.
func (s *Set) Sources() []engine.SourceConfig { return slices.Clone(s.sources) }

// Paths are the files the set was read from, list files included.
func (s *Set) Paths() []string { return slices.Clone(s.paths) }

// Connection is a connection by kind and name: a pointer to the action's Conn.
func (s *Set) Connection(kind, name string) (any, error) {
	c, ok := s.conns[kind][name]
	if !ok {
		return nil, fmt.Errorf("there is no %s connection %q in the rules any more", kind, name)
	}
	return c, nil
}

// Rules are all rules in the order of the files.
func (s *Set) Rules() []RuleInfo {
	all := make([]RuleInfo, len(s.rules))
	for i, r := range s.rules {
		all[i] = r.RuleInfo
	}
	return all
}

// Counts says how much there is in a set.
type Counts struct{ Rules, Sources, Actions int }

// Counts counts for the line that says a load went well.
func (s *Set) Counts() Counts {
	return Counts{Rules: len(s.rules), Sources: len(s.sources), Actions: s.steps}
}

// Fill computes the fields of the event's source. A field that fails is named
// in the error and leaves its fact as it is.
func (s *Set) Fill(ev *engine.Event) (err error) {
	fields := s.fields[ev.Source]
	if len(fields) == 0 {
		return nil
	}
	defer recovered(&err)
	return fill(ev, fields)
}

// candidates are the rules for an event of this type and name, in order.
func (s *Set) candidates(ev *engine.Event) []*rule {
	typed := s.byType[ev.Type]
	if len(s.byWire) == 0 {
		return typed
	}
	named := s.byWire[ev.Platform+":"+ev.Name]
	if len(named) == 0 {
		return typed
	}
	all := append(slices.Clone(typed), named...)
	slices.SortFunc(all, func(a, b *rule) int { return a.order - b.order })
	return slices.Compact(all)
}

// from reports whether the rule takes events of the source.
func (r *rule) from(source string) bool {
	return len(r.From) == 0 || slices.Contains(r.From, source)
}

// Needs says what the rules for this event look at.
func (s *Set) Needs(ev *engine.Event) engine.Needs {
	for _, r := range s.candidates(ev) {
		if r.people && r.from(ev.Source) {
			return engine.Needs{Participants: true}
		}
	}
	return engine.Needs{}
}

// Match evaluates the rules for the event. Those that say no are not in the
// result; those that could not be evaluated are, with Err.
func (s *Set) Match(in engine.MatchInput) []engine.Match {
	if in.Event == nil {
		return nil
	}
	var all []engine.Match
	var f *frame
	for _, r := range s.candidates(in.Event) {
		if !r.from(in.Event.Source) {
			continue
		}
		if f == nil {
			f = newFrame(input{MatchInput: in})
		}
		if m, ok := s.match(r, in, f); ok {
			all = append(all, m)
		}
	}
	return all
}

// match evaluates one rule. A bug in an expression's evaluation is that
// rule's error, never the event's.
func (s *Set) match(r *rule, in engine.MatchInput, f *frame) (m engine.Match, ok bool) {
	m.Rule = r.ID
	defer func() {
		if p := recover(); p != nil {
			m, ok = engine.Match{Rule: r.ID, Err: fmt.Sprintf("evaluation broke off: %v", p)}, true
		}
	}()
	yes, err := decide(r.ifs, f)
	if err != nil {
		m.Err = err.Error()
		return m, true
	}
	m.Branch = engine.BranchThen
	switch {
	case !yes && len(r.branches[engine.BranchElse]) == 0:
		return m, false
	case !yes:
		m.Branch = engine.BranchElse
	case r.hasOnce:
		if m.Once, err = r.onceKey(in, f, s.loc); err != nil {
			return engine.Match{Rule: r.ID, Err: err.Error()}, true
		}
	}
	if !r.parallel && in.SessionKey != "" {
		m.Turn = in.Event.Tenant + "|" + r.ID + "|" + in.SessionKey
	}
	call, err := r.branches[m.Branch][0].call(f)
	if err != nil {
		m.Failed = err.Error()
		return m, true
	}
	m.First = &call
	return m, true
}

// Step renders the step at r.Branch and r.At for the run as it is.
func (s *Set) Step(r *engine.Run, in engine.MatchInput) (call engine.StepCall, ok bool, err error) {
	defer recovered(&err)
	have, known := s.byID[r.Rule]
	if !known {
		return call, false, fmt.Errorf("rule %s is not in revision %s", r.Rule, s.revision)
	}
	steps := have.branches[r.Branch]
	if r.At < 0 || r.At >= len(steps) {
		return call, false, nil
	}
	call, err = steps[r.At].call(newFrame(input{MatchInput: in, steps: r.Steps, failure: r.Failure}))
	return call, true, err
}

// RuleFailure reports whether the rule has an on_failure branch.
func (s *Set) RuleFailure(rule string) bool {
	r, ok := s.byID[rule]
	return ok && len(r.branches[engine.BranchOnFailure]) > 0
}

// recovered turns a panic into an error: rules never take the engine down.
func recovered(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("evaluation broke off: %v", p)
	}
}
