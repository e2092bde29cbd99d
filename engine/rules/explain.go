package rules

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gavelhq/gavel/engine"
)

// Verdicts of a rule about an event.
const (
	VerdictMatched    = "matched"
	VerdictNotMatched = "not matched"
	VerdictError      = "error"     // a condition could not be evaluated
	VerdictNotAsked   = "not asked" // the rule is about other events or sources, or off
	VerdictUnknown    = "unknown"   // it depends on what is no longer stored
)

// Explanation says why a rule fired for an event, or did not.
type Explanation struct {
	Rule    string `json:"rule"`
	File    string `json:"file"`
	Line    int    `json:"line"`
	Verdict string `json:"verdict"`
	// Why is the reason of not asked ("it is about session_ended"), what a
	// condition failed with, or that else is done.
	Why string `json:"why,omitempty"`
	// If has one term for each line of if:.
	If []Term `json:"if,omitempty"`
	// Needed says in words what would have to be otherwise for the rule to
	// match: "session.duration by more than +12m". Empty where that cannot be said.
	Needed []string `json:"needed,omitempty"`
}

// Results of a term.
const (
	True    = "true"
	False   = "false"
	Error   = "error"
	Value   = "value"   // it is not true or false
	Unknown = "unknown" // what it looks at is no longer stored
)

// Term is a part of a condition with what it came to. Every part is evaluated
// for the report, whether or not the engine got there.
type Term struct {
	// ID names the part within a set: rule, place of the condition, line of
	// if: and character.
	ID     string `json:"-"`
	Text   string `json:"text"`         // as written: "session.duration > 60m"
	Op     string `json:"op,omitempty"` // "and", "or", "not", "if" (c ? a : b), "let" (value and rest); "" if it has no terms
	Result string `json:"result"`
	// Values is what the facts were: "48m > 1h", `room.tags = ["emea"]`.
	Values string `json:"values,omitempty"`
	Error  string `json:"error,omitempty"`
	Hint   string `json:"hint,omitempty"` // how to write it so that it does not fail
	// Reached: the engine evaluated it too. Decides: the result of the whole
	// condition rests on this part, which has no terms of its own.
	Reached bool   `json:"reached"`
	Decides bool   `json:"decides,omitempty"`
	Line    int    `json:"line,omitempty"` // where it stands in the rules file
	Col     int    `json:"col,omitempty"`
	Terms   []Term `json:"terms,omitempty"`
}

// Explain evaluates one rule for an event as [Set.Match] does, part by part.
// unknown names the facts whose state is not stored any more, such as
// "source", "sessions" or "session.participants": what reads them is
// [Unknown]. The parts are compiled when it is asked, so that a set that is
// never asked costs nothing. The error says that there is no such rule.
func (s *Set) Explain(rule string, in engine.MatchInput, unknown ...string) (x Explanation, err error) {
	defer recovered(&err)
	r, err := s.find(rule)
	if err != nil {
		return x, err
	}
	x = Explanation{Rule: r.ID, File: r.File, Line: r.Line, Verdict: VerdictNotAsked}
	if x.Why = s.notAsked(r, in.Event); x.Why != "" {
		return x, nil
	}
	e := s.explainer(r, "if", input{MatchInput: in}, unknown)
	all := e.conditions(r.ifs)
	x.If = exportClauses(all.clauses)
	switch all.Result {
	case Unknown:
		x.Verdict, x.Why = VerdictUnknown, "it depends on what is no longer stored"
	case Error:
		x.Verdict, x.Why = VerdictError, e.why
	case False:
		x.Verdict, x.Needed = VerdictNotMatched, all.needed()
		if len(r.branches[engine.BranchElse]) > 0 {
			x.Why = "the steps of else are done"
		}
	default:
		x.Verdict = VerdictMatched
		if m, _ := s.match(r, e.engine); m.Err != "" { // of a key or a length of time
			x.Verdict, x.Why = VerdictError, m.Err
		}
	}
	return x, nil
}

// ExplainStep is the if: of the step at r.Branch and r.At; nil if it has none.
func (s *Set) ExplainStep(r *engine.Run, in engine.MatchInput, unknown ...string) (terms []Term, err error) {
	defer recovered(&err)
	have, err := s.find(r.Rule)
	if err != nil {
		return nil, err
	}
	steps := have.branches[r.Branch]
	if r.At < 0 || r.At >= len(steps) {
		return nil, fmt.Errorf("rule %s has no step %d under %s", r.Rule, r.At+1, r.Branch)
	}
	at := fmt.Sprintf("%s/%d", r.Branch, r.At)
	e := s.explainer(have, at, input{MatchInput: in, steps: r.Steps, failure: r.Failure}, unknown)
	return exportClauses(e.conditions(steps[r.At].ifs).clauses), nil
}

// ExplainHold is the condition that the hold of t checks.
func (s *Set) ExplainHold(t *engine.Timer, in engine.MatchInput, unknown ...string) (terms []Term, err error) {
	defer recovered(&err)
	r, err := s.find(t.Rule)
	if err != nil {
		return nil, err
	}
	if r.hold == nil {
		return nil, fmt.Errorf("rule %s has no hold any more", r.ID)
	}
	return exportClauses(s.explainer(r, "hold", input{MatchInput: in}, unknown).conditions(r.hold.ifs).clauses), nil
}

// ExplainAwaited is the if: of what the rule of t expects; in.Event is the
// event that came.
func (s *Set) ExplainAwaited(t *engine.Timer, in engine.MatchInput, unknown ...string) (terms []Term, err error) {
	defer recovered(&err)
	r, err := s.find(t.Rule)
	if err != nil {
		return nil, err
	}
	if r.expect == nil {
		return nil, fmt.Errorf("rule %s expects nothing any more", r.ID)
	}
	return exportClauses(s.explainer(r, "expect", input{MatchInput: in}, unknown).conditions(r.expect.ifs).clauses), nil
}

// Leaves are the terms that are true or false and have none of their own, in
// the order of the text. The value of a let is none.
func Leaves(terms []Term) []Term {
	var all []Term
	for _, t := range terms {
		switch {
		case len(t.Terms) == 0:
			all = append(all, t)
		case t.Op == opLet:
			all = append(all, Leaves(t.Terms[1:])...)
		default:
			all = append(all, Leaves(t.Terms)...)
		}
	}
	return all
}

// notAsked says why Match does not ask the rule about the event; "" if it does.
func (s *Set) notAsked(r *rule, ev *engine.Event) string {
	switch {
	case ev == nil:
		return "there is no event"
	case !r.Enabled:
		return "it is off: enabled is false"
	case r.schedule != nil && (ev.Type != engine.Scheduled || ev.Name != r.ID):
		return fmt.Sprintf("it fires by the clock: %s", r.Schedule)
	case !slices.Contains(s.candidates(ev), r):
		return "it is about " + strings.Join(r.When, " or ")
	case !r.hears(ev):
		return "it is about events of " + strings.Join(r.From, " or ")
	}
	return ""
}
