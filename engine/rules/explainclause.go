package rules

import (
	"fmt"
	"slices"
)

// Operators of terms.
const (
	opAnd = "and"
	opOr  = "or"
	opNot = "not"
	opIf  = "if"
	opLet = "let"
)

// clause is a term that is being made.
type clause struct {
	Term
	clauses []*clause
	// literal: it is true or false as written, whatever the facts.
	literal bool
	// by is what would have to change for the result to be the other:
	// "session.duration by more than +12m". "" where the text says it better.
	by string
}

func exportClauses(clauses []*clause) []Term {
	var all []Term
	for _, p := range clauses {
		p.Terms = exportClauses(p.clauses)
		all = append(all, p.Term)
	}
	return all
}

// explainer explains the conditions of one place of a rule.
type explainer struct {
	rule, where string
	set         *Set
	engine      *frame // of the engine's own evaluation
	frame       *frame // of that of the parts
	unknown     []string
	// why is what the condition failed with, as Match says it.
	why string
	// extra is used up by what the engine does not evaluate.
	extra budget
}

// Limits of what an explanation evaluates beyond what the engine does.
const (
	maxExtraSteps = 10 * maxSteps
	maxExtraTime  = 10 * maxRunTime
)

func (s *Set) explainer(r *rule, where string, in input, unknown []string) *explainer {
	if in.Event != nil && slices.Contains(unknown, "source") {
		in.Source.Name, in.Source.Tenant = in.Event.Source, in.Event.Tenant // stored with every event
	}
	return &explainer{rule: r.ID, where: where, set: s, engine: newFrame(in), frame: newFrame(in), unknown: unknown}
}

// conditions explains the lines of an if:, which must all be true.
func (e *explainer) conditions(ifs []condition) *clause {
	all := &clause{Term: Term{Op: opAnd}}
	reached := true
	for i, c := range ifs {
		p := e.condition(i, c, reached)
		if reached && p.Result == Error {
			e.why = fmt.Sprintf("if: %s: %s", excerpt(c.src, 0), p.reason())
		}
		all.clauses = append(all.clauses, p)
		reached = reached && p.Result == True
	}
	if all.Result = combined(opAnd, all.clauses); all.Result != True {
		all.decide()
	}
	return all
}

// condition explains one line of an if:.
func (e *explainer) condition(i int, c condition, reached bool) *clause {
	l := newLine(e, i, c)
	p := l.clause(l.tree.Node, reached)
	if !reached || l.guessed || len(p.clauses) == 0 { // a leaf is what the engine evaluates
		return p
	}
	v, err := c.program.run(e.engine)
	if result := resultOf(v, err); result != p.Result {
		// Its parts keep within the limits one by one and not together, or the
		// machine was slow: it is explained as a whole.
		p = l.inner("", l.tree.Node, true)
		if p.Result = result; err != nil {
			p.Error = err.Error()
		}
	}
	return p
}

// reason is the error that p failed with.
func (p *clause) reason() string {
	if below := p.deciding(); len(below) > 0 {
		return below[0].reason()
	}
	return p.Error
}

func resultOf(v any, err error) string {
	switch {
	case err != nil:
		return Error
	case v == true:
		return True
	case v == false:
		return False
	}
	return Value
}

// combined is what and, or or of clauses comes to, evaluated from the left. One
// that is unknown could be either.
func combined(op string, clauses []*clause) string {
	through, stop := True, False
	if op == opOr {
		through, stop = False, True
	}
	result := through
	for _, p := range clauses {
		switch p.Result {
		case through:
		case stop:
			return stop
		case Unknown:
			result = Unknown
		default:
			if result == Unknown {
				return Unknown
			}
			return p.Result
		}
	}
	return result
}

// negated is not of a result.
func negated(result string) string {
	switch result {
	case True:
		return False
	case False:
		return True
	}
	return result
}

// chosen is what c ? a : b comes to.
func chosen(clauses []*clause) string {
	c, a, b := clauses[0].Result, clauses[1].Result, clauses[2].Result
	switch {
	case c == True:
		return a
	case c == False:
		return b
	case c == Unknown && a == b && a != Error:
		return a
	}
	return c
}

// decide marks the leaves that the result of p rests on.
func (p *clause) decide() {
	if len(p.clauses) == 0 {
		p.Decides = true
	}
	for _, x := range p.deciding() {
		x.decide()
	}
}

// deciding are the clauses that the result of p rests on.
func (p *clause) deciding() []*clause {
	switch p.Op {
	case opLet:
		if value := p.clauses[0].Result; value == p.Result || value == Error {
			return p.clauses[:1]
		}
		return p.clauses[1:]
	case opNot:
		return p.clauses
	case opIf:
		for i, result := range []string{True, False} {
			if taken := p.clauses[i+1]; p.clauses[0].Result == result && !taken.literal {
				return []*clause{taken}
			}
		}
		return p.clauses[:1]
	}
	through := True
	if p.Op == opOr {
		through = False
	}
	var all []*clause
	for _, x := range p.clauses {
		if x.Result != p.Result {
			continue
		}
		if all = append(all, x); p.Result != through && p.Result != Unknown {
			break
		}
	}
	return all
}
