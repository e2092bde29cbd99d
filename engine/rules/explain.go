package rules

import (
	"fmt"

	"github.com/gavelhq/gavel/engine"
)

// Verdicts of a rule about an event.
const (
	VerdictMatched    = "matched"
	VerdictNotMatched = "not matched"
	VerdictError      = "error"     // a condition could not be evaluated
	VerdictNotAsked   = "not asked" // the rule is about other events or sources, or off
)

// Explanation says why a rule fired for an event, or did not.
type Explanation struct {
	Rule    string `json:"rule"`
	File    string `json:"file"`
	Line    int    `json:"line"`
	Verdict string `json:"verdict"`
	// Why is the reason of not asked ("it is about session_ended"), or what a
	// condition failed with.
	Why string `json:"why,omitempty"`
	// If has one term for each line of if:.
	If []Term `json:"if,omitempty"`
	// Needed says in words what would have to be otherwise for the rule to
	// match: "session.duration by +12m". Empty where that cannot be said.
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
	Text   string `json:"text"`         // as written: "session.duration > 60m"
	Op     string `json:"op,omitempty"` // "and", "or", "not", "if" (c ? a : b); "" if it has no terms
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
// It compiles the parts when it is asked, so that a set that is never asked
// costs nothing. The error says that there is no such rule.
func (s *Set) Explain(rule string, in engine.MatchInput) (Explanation, error) {
	r, err := s.find(rule)
	if err != nil {
		return Explanation{}, err
	}
	return Explanation{Rule: r.ID, File: r.File, Line: r.Line}, fmt.Errorf("not written yet")
}
