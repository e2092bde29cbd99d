package rules

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// need is a thing that would have to be otherwise, or one of several.
type need struct {
	text string
	of   int // alternatives, 0: it is one thing
}

// needed says what would have to be otherwise for p to be true.
func (p *clause) needed() []string {
	var all []string
	for i, n := range p.needs(true) {
		if n.of > 0 && i > 0 {
			n.text = fmt.Sprintf("one of %d others", n.of)
		}
		all = append(all, n.text)
	}
	return all
}

// needs says what would have to be otherwise for p to come to want.
func (p *clause) needs(want bool) []need {
	if p.Result == True && want || p.Result == False && !want {
		return nil
	}
	switch p.Op {
	case opNot:
		return p.clauses[0].needs(!want)
	case opLet:
		if p.clauses[0].Result == Error {
			return p.clauses[0].needs(want)
		}
		return p.clauses[1].needs(want)
	case opIf:
		return p.choiceNeeds(want)
	case opAnd, opOr:
		if want == (p.Op == opAnd) {
			return needsOfAll(p.clauses, want)
		}
		return []need{alternatives(p.clauses, want)}
	}
	return []need{{text: p.change(want)}}
}

// choiceNeeds are the needs of c ? a : b.
func (p *clause) choiceNeeds(want bool) []need {
	c, taken, other := p.clauses[0], p.clauses[1], p.clauses[2]
	if c.Result == False {
		taken, other = other, taken
	}
	switch {
	case c.Result != True && c.Result != False:
		return c.needs(true)
	case taken.literal: // as written, whatever the facts: it has to be the other
		return append(c.needs(c.Result == False), other.needs(want)...)
	}
	return taken.needs(want)
}

func needsOfAll(clauses []*clause, want bool) []need {
	var all []need
	for _, x := range clauses {
		all = append(all, x.needs(want)...)
	}
	return all
}

// alternatives is what one of the clauses needs: two or three are named.
func alternatives(clauses []*clause, want bool) need {
	var texts []string
	for _, x := range clauses {
		if needs := x.needs(want); len(needs) == 1 && needs[0].of == 0 {
			texts = append(texts, needs[0].text)
		}
	}
	n := need{text: fmt.Sprintf("one of %d", len(clauses)), of: len(clauses)}
	if len(texts) == len(clauses) && len(texts) <= 3 {
		n.text = strings.Join(texts, " or ")
	}
	return n
}

// change is what a leaf needs.
func (p *clause) change(want bool) string {
	switch {
	case p.Result == Error:
		return p.Text + ", which fails"
	case p.Result == Unknown:
		return p.Text + ", which is unknown"
	case p.by != "":
		return p.by
	case want:
		return p.Text
	}
	return "not (" + p.Text + ")"
}

// change says by how much a side of a op b would have to be otherwise for the
// comparison to be true, or to be false; "" where that is no number.
func change(a, b operand, op string, want bool) string {
	if !want {
		op = map[string]string{"<": ">=", "<=": ">", ">": "<=", ">=": "<", "!=": "=="}[op]
	}
	if a.fixed && !b.fixed {
		a, b = b, a
		op = map[string]string{"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "=="}[op]
	}
	switch op {
	case "<", "<=", ">", ">=", "==":
	default:
		return ""
	}
	by := ""
	switch from := a.v.(type) {
	case int:
		if to, ok := b.v.(int); ok {
			by = wholeChange(from, to, op)
			break
		}
		by = fractionChange(a.v, b.v, op)
	case float64:
		by = fractionChange(a.v, b.v, op)
	case time.Duration:
		if to, ok := b.v.(time.Duration); ok && inRange(float64(to)-float64(from)) {
			by = lengthChange(to-from, op)
		}
	case time.Time:
		if to, ok := b.v.(time.Time); ok {
			by = lengthChange(to.Sub(from), op)
		}
	}
	if by == "" {
		return ""
	}
	if strings.Contains(a.text, "?? ") {
		a.text = "(" + a.text + ")"
	}
	return a.text + " by " + by
}

func inRange(d float64) bool { return math.Abs(d) < math.MaxInt64/2 }

func wholeChange(from, to int, op string) string {
	if !inRange(float64(to) - float64(from)) {
		return ""
	}
	d := to - from
	switch op {
	case "<":
		d--
	case ">":
		d++
	}
	return fmt.Sprintf("%+d", d)
}

// fractionChange is never less than what is needed.
func fractionChange(from, to any, op string) string {
	a, okA := toFloat(from)
	b, okB := toFloat(to)
	d := b - a
	if !okA || !okB || math.IsNaN(d) || math.IsInf(d, 0) {
		return ""
	}
	const fine, noise = 1e6, 1e-3
	steps := math.Round(math.Abs(d) * fine)
	if math.Abs(d)*fine > steps+noise || steps == 0 && d != 0 {
		steps++
	}
	return farther(formatFloat(steps/fine), d < 0, steps == 0, op)
}

// lengthChange is never less than what is needed.
func lengthChange(d time.Duration, op string) string {
	size := d.Abs()
	unit := time.Millisecond // as fine as durations are written
	if size > time.Second {
		unit = time.Second
	}
	if op == "==" && size%unit != 0 {
		return "" // no duration that can be written is it
	}
	size = (size + unit - 1).Truncate(unit)
	return farther(formatDuration(size), d < 0, size == 0, op)
}

// farther says by how much a fact would have to be otherwise: on the bound
// itself, where that is not enough, by more than nothing.
func farther(size string, down, none bool, op string) string {
	strict := op == "<" || op == ">"
	sign := "+"
	if down || none && op == "<" {
		sign = "-"
	}
	switch {
	case strict:
		return "more than " + sign + size
	case none:
		return ""
	}
	return sign + size
}
