package rules

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"
	"unicode/utf8"
)

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
