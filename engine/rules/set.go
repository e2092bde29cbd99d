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
	prices   map[string]engine.Prices
	readsRaw bool
	compiler *compiler // of conditions that are not the rules' own: see Condition
	rules    []*rule
	byID     map[string]*rule
	byType   map[string][]*rule // enabled ones, in order
	byWire   map[string][]*rule // by "platform:wire-name" and "gavel:NAME"
	awaiting map[string][]*rule // that expect an event of a type, or stop at one
	holding  []*rule            // with a hold that looks at more than facts
	sources  []engine.SourceConfig
	fields   map[string][]supply
	conns    map[string]map[string]any
	steps    int
	sieves   *sieves
	needy    bool // some rule looks at more than facts
}

var _ engine.Planner = (*Set)(nil)

// Revision names the text of rules and lists: the first 12 digits of its hash.
func (s *Set) Revision() string { return s.revision }

// Text is what [LoadRevision] reads.
func (s *Set) Text() []byte { return s.text }

// ReadsRaw reports whether any expression looks at a payload, so that it has to be
// kept with its event.
func (s *Set) ReadsRaw() bool { return s.readsRaw }

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
	if ev.Type == engine.Scheduled {
		return s.scheduled(ev.Name)
	}
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

// scheduled is the rule whose moment has come.
func (s *Set) scheduled(id string) []*rule {
	if r, ok := s.byID[id]; ok && r.Enabled && r.schedule != nil {
		return []*rule{r}
	}
	return nil
}

// from reports whether the rule takes events of the source.
func (r *rule) from(source string) bool {
	return len(r.From) == 0 || slices.Contains(r.From, source)
}

// hears reports whether the rule is asked about an event of its types. A schedule's moments come from no source.
func (r *rule) hears(ev *engine.Event) bool {
	return r.from(ev.Source) || r.schedule != nil && ev.Type == engine.Scheduled
}

// Needs says what is looked at for this event: by the rules for it, by those
// that expect it, and by holds it may put an end to.
func (s *Set) Needs(ev *engine.Event) (n engine.Needs) {
	if !s.needy {
		return n
	}
	for _, rules := range [...][]*rule{s.candidates(ev), s.awaiting[ev.Type], s.holding} {
		for _, r := range rules {
			if r.needs != (engine.Needs{}) && r.hears(ev) {
				n.Participants = n.Participants || r.needs.Participants
				n.Sessions = n.Sessions || r.needs.Sessions
			}
		}
	}
	return n
}

// NeedsOf says what one rule looks at.
func (s *Set) NeedsOf(rule string) engine.Needs {
	if r, ok := s.byID[rule]; ok {
		return r.needs
	}
	return engine.Needs{}
}

// find is the rule of that id.
func (s *Set) find(id string) (*rule, error) {
	r, ok := s.byID[id]
	if !ok {
		return nil, fmt.Errorf("rule %s is not in revision %s", id, s.revision)
	}
	return r, nil
}

// Match evaluates the rules for the event. Those that say no are not in the
// result; those that could not be evaluated are, with Err.
func (s *Set) Match(in engine.MatchInput) []engine.Match {
	if in.Event == nil {
		return nil
	}
	var all []engine.Match
	candidates := s.candidates(in.Event)
	if len(candidates) == 0 {
		return nil
	}
	f := newFrame(input{MatchInput: in})
	facts := s.sieves.sift(f)
	for _, r := range candidates {
		if !r.hears(in.Event) || facts.refuses(r.sieve) {
			continue
		}
		if m, ok := s.match(r, f); ok {
			all = append(all, m)
		}
	}
	return all
}

// match evaluates one rule. A bug in an expression's evaluation is that
// rule's error, never the event's.
func (s *Set) match(r *rule, f *frame) (m engine.Match, ok bool) {
	defer brokenOff(r, &m, &ok)
	yes, err := decide(r.ifs, f)
	if err != nil {
		return engine.Match{Rule: r.ID, Err: err.Error()}, true
	}
	m = r.begin(engine.BranchThen, f)
	switch {
	case !yes && len(r.branches[engine.BranchElse]) == 0:
		return m, false
	case !yes:
		m.Branch = engine.BranchElse
		first(&m, r, f)
	default:
		if err := r.front(&m, r, f, s.loc); err != nil {
			return engine.Match{Rule: r.ID, Err: err.Error()}, true
		}
		if r.rendersFirst(&m) {
			first(&m, r, f)
		}
	}
	return m, true
}

// brokenOff makes a panic the error of a rule.
func brokenOff(r *rule, m *engine.Match, ok *bool) {
	if p := recover(); p != nil {
		*m, *ok = engine.Match{Rule: r.ID, Err: fmt.Sprintf("evaluation broke off: %v", p)}, true
	}
}

// begin is a match of r that goes on in a branch.
func (r *rule) begin(branch string, f *frame) engine.Match {
	m := engine.Match{Rule: r.ID, Words: r.fingerprint, Shadow: r.Shadow, Branch: branch}
	if !r.parallel && f.in.SessionKey != "" {
		m.Turn = f.in.Event.Tenant + "|" + r.keyName + "|" + f.in.SessionKey
	}
	return m
}

// first renders the first step of the branch.
func first(m *engine.Match, r *rule, f *frame) {
	steps := r.branches[m.Branch]
	if len(steps) == 0 { // the branch was removed while its timer ran
		return
	}
	call, err := steps[0].call(f, f.in.Now)
	if err != nil {
		m.Failed = err.Error()
		return
	}
	m.First = &call
}

// Fire is what follows when the time of t has come.
func (s *Set) Fire(t *engine.Timer, in engine.MatchInput) (m engine.Match) {
	r, err := s.find(t.Rule)
	if err != nil {
		return engine.Match{Rule: t.Rule, Err: err.Error()}
	}
	var ok bool
	defer brokenOff(r, &m, &ok)
	f := newFrame(input{MatchInput: in})
	m = r.begin(engine.BranchThen, f)
	if t.Kind == engine.TimerDigest {
		if !r.parallel {
			m.Turn = t.Key // its events can be of many sessions
		}
		return m
	}
	if err := r.back(&m, r, f, s.loc); err != nil {
		return engine.Match{Rule: r.ID, Err: err.Error()}
	}
	if r.rendersFirst(&m) {
		first(&m, r, f)
	}
	return m
}

// OnLate is the run of on_late: in.Event is what was expected.
func (s *Set) OnLate(t *engine.Timer, in engine.MatchInput) (m engine.Match) {
	r, err := s.find(t.Rule)
	if err != nil {
		return engine.Match{Rule: t.Rule, Err: err.Error()}
	}
	var ok bool
	defer brokenOff(r, &m, &ok)
	f := newFrame(input{MatchInput: in})
	m = r.begin(engine.BranchOnLate, f)
	first(&m, r, f)
	return m
}

// Step renders the step at r.Branch and r.At for the run as it is, at now.
func (s *Set) Step(r *engine.Run, in engine.MatchInput, now time.Time) (call engine.StepCall, ok bool, err error) {
	defer recovered(&err)
	have, err := s.find(r.Rule)
	if err != nil {
		return call, false, err
	}
	steps := have.branches[r.Branch]
	if r.At < 0 || r.At >= len(steps) {
		return call, false, nil
	}
	call, err = steps[r.At].call(newFrame(input{MatchInput: in, steps: r.Steps, failure: r.Failure}), now)
	return call, true, err
}

// Accepts evaluates the condition that the step at r.Branch and r.At has for its
// answer.
func (s *Set) Accepts(r *engine.Run, in engine.MatchInput) func(engine.Result) (bool, error) {
	have, ok := s.byID[r.Rule]
	if !ok || r.At < 0 || r.At >= len(have.branches[r.Branch]) || have.branches[r.Branch][r.At].accepts == nil {
		return nil
	}
	accepts := have.branches[r.Branch][r.At].accepts
	return func(res engine.Result) (yes bool, err error) {
		defer recovered(&err)
		answer := &engine.StepRecord{Status: res.Status, Body: res.Body, Headers: res.Headers}
		v, err := accepts.eval(input{MatchInput: in, steps: r.Steps, failure: r.Failure, answer: answer})
		yes, _ = v.(bool)
		return yes, err
	}
}

// Billing is what the rules say of the ledger.
func (s *Set) Billing() engine.Billing { return engine.Billing{Zone: s.loc, Prices: s.prices} }

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
