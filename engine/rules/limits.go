package rules

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"
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

// foldsCase is what makes a pattern take both cases.
var foldsCase = regexp.MustCompile(`\(\?[a-zA-Z-]*i`)

// characterRange is a range of characters in a class.
var characterRange = regexp.MustCompile(`(\\x\{[0-9a-fA-F]+\}|[^\\])-(\\x\{[0-9a-fA-F]+\}|[^\\])`)

// classWork is how many classes such as \p{L} it is as much work as to read
// the patterns in text: 0.1 ms each. Of a range in both cases every character
// is looked up.
func classWork(text string) int {
	const charactersPerClass = 3_000
	n := strings.Count(text, `\p`) + strings.Count(text, `\P`)
	if !foldsCase.MatchString(text) {
		return n
	}
	for _, m := range characterRange.FindAllStringSubmatch(text, -1) {
		n += int(max(0, character(m[2])-character(m[1]))) / charactersPerClass
	}
	return n
}

// character is one of a pattern, written as it is or as \x{10ffff}.
func character(text string) rune {
	if digits, ok := strings.CutPrefix(text, `\x{`); ok {
		n, _ := strconv.ParseInt(strings.TrimSuffix(digits, "}"), 16, 32)
		return rune(n)
	}
	r, _ := utf8.DecodeRuneInString(text)
	return r
}

var (
	errPatternSize = errors.New("the pattern is too large: repeats such as {1,100} multiply")
	errClasses     = errors.New("the patterns are too large: they have too many classes such as \\p{L}")
	errLongText    = errors.New("the text is too long for the pattern")
)

// match runs the pattern on text. What the product of both sizes says would
// take longer than an expression may is refused; else the clock counts, as
// most patterns are much faster.
func (p *pattern) match(b *budget, text string) (bool, error) {
	work := p.size * len(text) / stepMatches
	if work > maxSteps {
		return false, errLongText
	}
	if err := b.spend(work / stepMatches); err != nil {
		return false, err
	}
	return p.re.MatchString(text), nil
}

// parts counts the nodes of a tree, each as often as it is evaluated: the
// middle of a < b < c is in it twice, so that nested ones multiply. Beyond
// the limit it stops counting.
func parts(n ast.Node, most int) int {
	count := 1
	for _, c := range children(n) {
		if count > most {
			break
		}
		if c != nil {
			count += parts(c, most-count)
		}
	}
	return count
}

// children are the nodes directly below n; some may be nil.
func children(n ast.Node) []ast.Node {
	switch n := n.(type) {
	case *ast.UnaryNode:
		return []ast.Node{n.Node}
	case *ast.BinaryNode:
		return []ast.Node{n.Left, n.Right}
	case *ast.ChainNode:
		return []ast.Node{n.Node}
	case *ast.MemberNode:
		return []ast.Node{n.Node, n.Property}
	case *ast.SliceNode:
		return []ast.Node{n.Node, n.From, n.To}
	case *ast.CallNode:
		return append([]ast.Node{n.Callee}, n.Arguments...)
	case *ast.BuiltinNode:
		return n.Arguments
	case *ast.PredicateNode:
		return []ast.Node{n.Node}
	case *ast.ConditionalNode:
		return []ast.Node{n.Cond, n.Exp1, n.Exp2}
	case *ast.VariableDeclaratorNode:
		return []ast.Node{n.Value, n.Expr}
	case *ast.SequenceNode:
		return n.Nodes
	case *ast.ArrayNode:
		return n.Nodes
	case *ast.MapNode:
		return n.Pairs
	case *ast.PairNode:
		return []ast.Node{n.Key, n.Value}
	}
	return nil
}

// tooManyParts is the issue of an expression of that width with more than
// maxNodes.
func tooManyParts(width int) issue {
	return issue{Width: max(1, width), Code: "expression-too-large", What: fmt.Sprintf("the expression has more than %d parts", maxNodes), Hint: "split it into several conditions, or keep long lists under lists:"}
}

// expressions counts those of a file.
type expressions struct {
	count, bytes, work int
	tooMany            bool // it is reported
}

// fits reports whether one more expression can be compiled, and says so once
// if not.
func (x *expressions) fits(n node, src string) bool {
	x.count++
	x.bytes += len(src)
	x.work += classWork(src)
	i := issue{Code: "too-large", Hint: "split it into several files in one folder"}
	switch {
	case x.count > maxExpressions:
		i.What = fmt.Sprintf("the file has more than %d expressions", maxExpressions)
	case x.bytes > maxExpressionsText:
		i.What = fmt.Sprintf("the expressions of the file have more than %d KiB together", maxExpressionsText>>10)
	case x.work > maxExpressionsWork:
		i.What, i.Hint = "the patterns of the file have too many character classes", "write ranges such as a-z, or fewer patterns"
	default:
		return true
	}
	if !x.tooMany {
		x.tooMany = true
		n.add(i)
	}
	return false
}
