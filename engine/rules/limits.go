package rules

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"time"
)

// Limits of an expression. They are about safety: payloads come from outside,
// rules may be written by somebody in a hurry, and expr has no limit on time.
const (
	maxSource   = 4 << 10 // bytes, checked before anything is parsed
	maxBrackets = 64      // depth: the parser recurses, and a stack overflow cannot be recovered
	maxNodes    = 500
	maxNesting  = 2 // predicates inside predicates

	maxSteps    = 100_000
	maxRunTime  = 20 * time.Millisecond
	maxElements = 100_000  // of all lists and maps made while one expression runs, and of its result
	maxText     = 64 << 10 // bytes of one text
	maxList     = 1_000    // elements of a list in untyped data that are visible
	maxDepth    = 64       // of untyped data

	// What these grow by for each person, event or session among the facts: a
	// meeting of 10,000 may take 200,000 steps, 40 ms and 200,000 elements.
	// Payloads cannot make facts in numbers.
	stepsPerFact    = 10
	timePerFact     = 2 * time.Microsecond
	elementsPerFact = 10

	maxPattern  = 500 // instructions of a compiled pattern
	mapSteps    = 4   // what making a map counts: it takes some 400 bytes
	stepBytes   = 64  // bytes or elements looked at that count as one step
	stepMatches = 16  // pattern instructions times bytes that do: about 0.2 µs
)

var (
	errSteps    = errors.New("the expression takes too many steps")
	errTime     = errors.New("the expression takes too long")
	errElements = errors.New("the expression makes too many elements of lists and maps")
	errTextSize = errors.New("the text grows over 64 KiB")
)

// budget counts what one evaluation uses up.
type budget struct {
	facts int // people, events and sessions it can look at
	steps int
	used  time.Duration
	last  time.Time // when the clock was read
}

// spend uses up n steps. The clock is read once in a while only, and is the
// real one: how long an evaluation takes has nothing to do with the time it
// is about.
func (b *budget) spend(n int) error {
	const interval = 256
	most, limit := maxSteps+stepsPerFact*b.facts, maxRunTime+time.Duration(b.facts)*timePerFact
	before := b.steps
	b.steps += n
	if b.steps > most || b.steps < 0 {
		b.steps = most // so that later calls fail as well
		return errSteps
	}
	if before/interval == b.steps/interval && !b.last.IsZero() {
		return nil
	}
	now := time.Now()
	if !b.last.IsZero() {
		// A single pause of the process must not fail a rule.
		b.used += min(now.Sub(b.last), limit/2)
	}
	b.last = now
	if b.used >= limit {
		return errTime
	}
	return nil
}

// work spends the steps of a function that looks at n bytes or elements.
func (b *budget) work(n int) error { return b.spend(1 + n/stepBytes) }

// pattern is the right side of `matches`: always a literal.
type pattern struct {
	re   *regexp.Regexp
	size int // instructions: what one character may cost
}

// newPattern compiles a pattern within the limits. Repeats in repeats
// multiply: (a{1,100}){1,10} is a program of 2,000 instructions.
func newPattern(text string) (*pattern, error) {
	tree, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		var e *syntax.Error
		if errors.As(err, &e) {
			return nil, fmt.Errorf("the pattern is not valid: %s: %s", e.Code, cut(e.Expr))
		}
		return nil, errors.New("the pattern is not valid")
	}
	if patternSize(tree) > maxPattern { // before it is compiled, which takes as long as it is large
		return nil, errPatternSize
	}
	prog, err := syntax.Compile(tree.Simplify())
	if err != nil || len(prog.Inst) > maxPattern {
		return nil, errPatternSize
	}
	re, err := regexp.Compile(text)
	if err != nil {
		return nil, errors.New("the pattern is not valid")
	}
	return &pattern{re: re, size: len(prog.Inst)}, nil
}

// patternSize is about how many instructions the pattern compiles to; beyond
// the limit it stops counting.
func patternSize(re *syntax.Regexp) int {
	size := 1
	if re.Op == syntax.OpLiteral {
		size = len(re.Rune)
	}
	for _, sub := range re.Sub {
		size = min(size+patternSize(sub), maxPattern+1)
	}
	if re.Op == syntax.OpRepeat {
		size *= max(re.Min, re.Max, 1)
	}
	return min(size, maxPattern+1)
}

var errPatternSize = errors.New("the pattern is too large: repeats such as {1,100} multiply")

// match runs the pattern on text; the product of both sizes counts.
func (p *pattern) match(b *budget, text string) (bool, error) {
	if err := b.spend(1 + p.size*len(text)/stepMatches); err != nil {
		return false, fmt.Errorf("the text is too long for the pattern: %w", err)
	}
	return p.re.MatchString(text), nil
}
