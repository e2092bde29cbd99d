package rules

import (
	"errors"
	"fmt"
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
	maxVisible  = 100_000  // values of untyped data; a map counts as several

	// What these grow by for each person, event or session among the facts: a
	// meeting of 10,000 may take 200,000 steps, 30 ms and 200,000 elements.
	// Payloads cannot make facts in numbers.
	stepsPerFact    = 10
	timePerFact     = time.Microsecond
	elementsPerFact = 10

	// Of all expressions of a file together: within them it takes about a second.
	maxExpressions     = 10_000
	maxExpressionsText = 256 << 10 // bytes
	maxExpressionsWork = 1_000     // character classes, see classWork

	maxPattern  = 500 // instructions of a compiled pattern
	maxClasses  = 100 // character classes in the patterns of one expression, see classWork
	mapSteps    = 4   // what making a map counts: it takes some 400 bytes
	argsPerStep = 6   // arguments of a call that count as one step more
	decodeSteps = 1_000
	stepBytes   = 64   // bytes or elements made that count as one step
	stepSearch  = 1024 // bytes only looked at that do
	stepMatches = 16   // pattern instructions times bytes that take about 0.2 µs
)

var (
	errSteps    = errors.New("the expression takes too many steps")
	errTime     = errors.New("the expression takes too long")
	errElements = errors.New("the expression makes too many elements of lists and maps")
	errTextSize = errors.New("the text grows over 64 KiB")

	errRendered    = fmt.Errorf("the parameters are larger than %d KiB", maxRendered>>10)
	errTooMuchData = &evalError{what: fmt.Sprintf("the data has more than %d values", maxVisible)}
)

// budget counts what one evaluation uses up. Steps bound the memory it takes:
// each call of a function counts, and what is made counts by its size. What is
// only looked at is bounded by the clock.
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
	const interval = 16
	most, limit := maxSteps+stepsPerFact*b.facts, maxRunTime+time.Duration(b.facts)*timePerFact
	before := b.steps
	b.steps += n
	if b.steps > most || b.steps < 0 {
		b.steps = most // so that later calls fail as well
		return errSteps
	}
	if before/interval == b.steps/interval {
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

// work spends the steps of a function that makes n bytes.
func (b *budget) work(n int) error { return b.spend(n / stepBytes) }
