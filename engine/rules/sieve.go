package rules

import (
	"cmp"
	"slices"
	"time"

	"github.com/expr-lang/expr/ast"

	"github.com/gavelhq/gavel/engine"
)

// Of a hundred rules for an event few match, and most say no where they compare
// a fact with something that is written in the rule. A sieve makes these
// comparisons without the machine, on facts that are read once for all rules.
// It only ever says "certainly not": whatever is unknown, or no comparison of
// this kind, is left to the program, which alone knows what is true and what
// is an error.

// test is a comparison of a fact with a constant: a text, whole number,
// duration or bool, or a *textSet the fact is to be in.
type test struct {
	path   string
	op     operator
	with   any
	negate bool
}

// operator compares.
type operator byte

const (
	equal operator = iota
	unequal
	less
	lessOrEqual
	greater
	greaterOrEqual
)

// operatorOf is the operator as written, and as it is written with its sides
// exchanged.
func operatorOf(text string) (op, turned operator, ok bool) {
	switch text {
	case "==":
		return equal, equal, true
	case "!=":
		return unequal, unequal, true
	case "<":
		return less, greater, true
	case "<=":
		return lessOrEqual, greaterOrEqual, true
	case ">":
		return greater, less, true
	case ">=":
		return greaterOrEqual, lessOrEqual, true
	}
	return 0, 0, false
}

// tests are the comparisons root begins with, all of which must be true. whole:
// there is nothing behind them.
func (k *checker) tests(root ast.Node) (all []test, whole bool) {
	if n, ok := root.(*ast.BinaryNode); ok && (n.Operator == "and" || n.Operator == "&&") {
		all, whole = k.tests(n.Left)
		if !whole {
			return all, false
		}
		right, whole := k.tests(n.Right)
		return append(all, right...), whole
	}
	t, ok := testOf(root)
	if !ok || !slices.ContainsFunc(k.loads, func(l load) bool { return l.path == t.path }) {
		return nil, false
	}
	return []test{t}, true
}

func testOf(n ast.Node) (t test, ok bool) {
	switch n := n.(type) {
	case *ast.IdentifierNode: // a fact that is true or false
		return test{path: n.Value, with: true}, true
	case *ast.UnaryNode:
		if n.Operator != "not" && n.Operator != "!" {
			return t, false
		}
		t, ok = testOf(n.Node)
		t.negate = !t.negate
		return t, ok
	case *ast.CallNode:
		return inSet(n)
	case *ast.BinaryNode:
		op, turned, ok := operatorOf(n.Operator)
		if !ok {
			return t, false
		}
		fact, isFact := n.Left.(*ast.IdentifierNode)
		other := n.Right
		if !isFact {
			fact, isFact = n.Right.(*ast.IdentifierNode)
			other, op = n.Left, turned
		}
		if !isFact {
			return t, false
		}
		with, ok := literal(other)
		if _, truth := with.(bool); truth && op != equal && op != unequal {
			return t, false // nothing orders true and false
		}
		return test{path: fact.Value, op: op, with: with}, ok
	}
	return t, false
}

// inSet is fact in list.
func inSet(n *ast.CallNode) (t test, ok bool) {
	if len(n.Arguments) != 3 {
		return t, false
	}
	c, isSite := n.Arguments[1].(*ast.ConstantNode)
	id, isFact := n.Arguments[2].(*ast.IdentifierNode)
	if !isSite || !isFact {
		return t, false
	}
	if s, ok := c.Value.(*site); ok {
		if set, ok := s.with.(*textSet); ok {
			return test{path: id.Value, with: set}, true
		}
	}
	return t, false
}

func literal(n ast.Node) (any, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.IntegerNode:
		return n.Value, true
	case *ast.BoolNode:
		return n.Value, true
	case *ast.ConstantNode:
		d, ok := n.Value.(time.Duration)
		return d, ok
	}
	return nil, false
}

// of is what comes of the test for v; unclear: the program has to say.
func (t *test) of(v any) verdict {
	var passed, known bool
	switch with := t.with.(type) {
	case *textSet:
		if _, known = v.(string); known {
			passed = with.has(v)
		}
	case string:
		passed, known = ordered(t.op, v, with)
	case int:
		passed, known = ordered(t.op, v, with)
	case time.Duration:
		passed, known = ordered(t.op, v, with)
	case bool:
		var is bool
		is, known = v.(bool)
		passed = (is == with) == (t.op == equal)
	}
	switch {
	case !known:
		return unclear
	case passed == t.negate:
		return no
	}
	return yes
}

// ordered is a op b; not known if a is something else.
func ordered[T cmp.Ordered](op operator, a any, b T) (yes, known bool) {
	x, ok := a.(T)
	if !ok {
		return false, false
	}
	switch op {
	case equal:
		return x == b, true
	case unequal:
		return x != b, true
	case less:
		return x < b, true
	case lessOrEqual:
		return x <= b, true
	case greater:
		return x > b, true
	}
	return x >= b, true
}

// sieve is what the conditions of a rule begin with.
type sieve []strainer

// strainer is a test, and the facts that must be readable first: what reads one
// that is not fails as a whole. All are by number.
type strainer struct {
	facts, fact int
	memo        int // -1: no other rule has this test
	test        test
}

// sieves are the facts, groups of facts and tests of a set.
type sieves struct {
	loads   []load
	numbers map[string]int // of facts, by path
	groups  [][]int        // facts that one condition reads
	shared  int            // tests
}

// newSieves makes the sieves of rules.
func newSieves(rules []*rule) *sieves {
	x := &sieves{numbers: map[string]int{}}
	times := map[test]int{}
	for _, r := range rules {
		if len(r.branches[engine.BranchElse]) > 0 {
			continue // what is not true makes it run
		}
		r.sieve = x.sieveOf(r.ifs)
		for _, s := range r.sieve {
			times[s.test]++
		}
	}
	memos := map[test]int{}
	for _, r := range rules {
		for i := range r.sieve {
			s := &r.sieve[i]
			if times[s.test] == 1 {
				continue
			}
			n, known := memos[s.test]
			if !known {
				n = len(memos)
				memos[s.test] = n
			}
			s.memo = n
		}
	}
	x.shared = len(memos)
	return x
}

func (x *sieves) sieveOf(ifs []condition) (s sieve) {
	for _, c := range ifs {
		p := c.program
		if len(p.tests) == 0 {
			return s
		}
		group := x.group(p.loads)
		for _, t := range p.tests {
			s = append(s, strainer{facts: group, fact: x.numbers[t.path], memo: -1, test: t})
		}
		if !p.onlyTests {
			return s
		}
	}
	return s
}

// group is the number of these facts.
func (x *sieves) group(loads []load) int {
	g := make([]int, len(loads))
	for i, l := range loads {
		n, known := x.numbers[l.path]
		if !known {
			n = len(x.loads)
			x.numbers[l.path], x.loads = n, append(x.loads, l)
		}
		g[i] = n
	}
	slices.Sort(g)
	i := slices.IndexFunc(x.groups, func(other []int) bool { return slices.Equal(g, other) })
	if i < 0 {
		i = len(x.groups)
		x.groups = append(x.groups, g)
	}
	return i
}

// sift is one event on its way through the sieves.
type sift struct {
	*sieves
	frame  *frame
	values []any     // of facts
	groups []verdict // whether all is readable
	tests  []verdict
}

// verdict is what came of a test.
type verdict byte

const (
	untested verdict = iota
	yes
	no
	unclear
)

func (x *sieves) sift(f *frame) sift {
	verdicts := make([]verdict, len(x.groups)+x.shared)
	return sift{sieves: x, frame: f, values: make([]any, len(x.loads)), groups: verdicts[:len(x.groups)], tests: verdicts[len(x.groups):]}
}

// refuses reports whether the conditions are certainly not true.
func (x *sift) refuses(s sieve) bool {
	for i := range s {
		step := &s[i]
		if x.groups[step.facts] == untested {
			x.groups[step.facts] = x.read(step.facts)
		}
		if x.groups[step.facts] != yes {
			return false
		}
		v := untested
		if step.memo >= 0 {
			v = x.tests[step.memo]
		}
		if v == untested {
			v = step.test.of(x.values[step.fact])
			if step.memo >= 0 {
				x.tests[step.memo] = v
			}
		}
		if v != yes {
			return v == no
		}
	}
	return false
}

// read reads the facts of a group.
func (x *sift) read(group int) (v verdict) {
	v = unclear
	defer func() { _ = recover() }() // the program runs into it as well, and says so
	for _, n := range x.sieves.groups[group] {
		if x.values[n] == nil {
			x.values[n] = x.loads[n].get(x.frame)
		}
		if _, failed := x.values[n].(*evalError); failed {
			return unclear
		}
	}
	return yes
}
