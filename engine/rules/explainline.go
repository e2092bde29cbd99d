package rules

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/parser"
)

// line is one line of an if:, read again to be explained.
type line struct {
	*explainer
	index    int
	place    *place
	compiler *compiler
	scanned  *scanner
	tree     *parser.Tree
	extents  *checker    // knows where nodes stand
	brackets map[int]int // that belong together
	lets     []binding
	// spent is what the engine has used up when it gets to a part.
	spent budget
	// guessed: a part reads what is no longer stored, so that the result that
	// the engine would come to now means nothing.
	guessed bool
}

// binding is a let around the part at hand.
type binding struct {
	local
	outcome
}

func newLine(e *explainer, index int, c condition) *line {
	l := &line{explainer: e, index: index, place: c.place, compiler: c.program.compiler}
	l.scanned, l.tree, _ = parseExpr(c.place.node.Value) // it was compiled before
	l.extents = newChecker(l.compiler, c.place.scope, l.scanned)
	l.brackets = bracketPairs(l.scanned.src)
	l.spent = budget{facts: e.frame.facts()}
	return l
}

// bracketPairs are the places of the brackets in src that belong together,
// both ways.
func bracketPairs(src []rune) map[int]int {
	pairs := map[int]int{}
	var open []int
	for i := 0; i < len(src); i++ {
		switch r := src[i]; {
		case r == '"' || r == '\'' || r == '`':
			if i = stringEnd(src, i); i < 0 {
				return pairs
			}
		case hasRunes(src[i:], "//"):
			for i < len(src) && src[i] != '\n' {
				i++
			}
		case hasRunes(src[i:], "/*"):
			for i++; i < len(src) && !hasRunes(src[i:], "*/"); i++ {
			}
		case strings.ContainsRune("([{", r):
			open = append(open, i)
		case strings.ContainsRune(")]}", r) && len(open) > 0:
			at := open[len(open)-1]
			pairs[at], pairs[i] = i, at
			open = open[:len(open)-1]
		}
	}
	return pairs
}

// extent is the place of a node, with all brackets that are opened or closed
// in it.
func (l *line) extent(n ast.Node) (from, to int) {
	from, to = l.extents.extent(n)
	if _, isLet := n.(*ast.VariableDeclaratorNode); isLet {
		for from > 0 && unicode.IsSpace(l.scanned.src[from-1]) {
			from--
		}
		from = max(0, from-len("let"))
	}
	for i := from; i < to; i++ {
		at, ok := l.brackets[i]
		switch {
		case ok && at >= to:
			to = at + 1
		case ok && at < from:
			from, i = at, at-1
		}
	}
	return from, to
}

// text is a node as written, on one line.
func (l *line) text(n ast.Node) string {
	from, to := l.extent(n)
	return oneLine(string(l.scanned.src[from:to]))
}

// oneLine joins the lines of a text.
func oneLine(text string) string {
	if !strings.Contains(text, "\n") {
		return text
	}
	return strings.Join(strings.Fields(text), " ")
}

// at makes a clause of what stands from one place to another.
func (l *line) at(op string, from, to int) *clause {
	p := &clause{Term: Term{Op: op, Text: oneLine(string(l.scanned.src[from:to]))}}
	p.ID = fmt.Sprintf("%s/%s/%d/%d%s", l.rule, l.where, l.index, from, op)
	n := l.place.node
	var ok bool
	if p.Line, p.Col, ok = n.doc.locate(n.Node, from); ok {
		return p
	}
	if p.Line, p.Col = n.Line, n.Column; n.key != nil {
		p.Line, p.Col = n.key.Line, n.key.Column
	}
	return p
}

// inner makes a clause of a node.
func (l *line) inner(op string, n ast.Node, reached bool) *clause {
	from, to := l.extent(n)
	p := l.at(op, from, to)
	p.Reached = reached
	return p
}

// clause explains a node that is true or false.
func (l *line) clause(n ast.Node, reached bool) *clause {
	switch n := n.(type) {
	case *ast.BinaryNode:
		if op := logic(n); op != "" {
			return l.logic(op, n, reached)
		}
	case *ast.UnaryNode:
		if !isNotIn(n) && (n.Operator == "not" || n.Operator == "!") {
			p := l.inner(opNot, n, reached)
			p.clauses = []*clause{l.clause(n.Node, reached)}
			p.Result = negated(p.clauses[0].Result)
			return p
		}
	case *ast.ConditionalNode:
		p := l.inner(opIf, n, reached)
		c := l.clause(n.Cond, reached)
		p.clauses = []*clause{c, l.clause(n.Exp1, reached && c.Result == True), l.clause(n.Exp2, reached && c.Result == False)}
		p.Result = chosen(p.clauses)
		return p
	case *ast.VariableDeclaratorNode:
		return l.let(n, reached)
	}
	return l.leaf(n, reached)
}

// logic is and or or, "" for other operators.
func logic(n ast.Node) string {
	b, ok := n.(*ast.BinaryNode)
	switch {
	case !ok:
	case b.Operator == "and" || b.Operator == "&&":
		return opAnd
	case b.Operator == "or" || b.Operator == "||":
		return opOr
	}
	return ""
}

// isNotIn reports whether n is the not of `a not in b`, which is one operator
// to people.
func isNotIn(n *ast.UnaryNode) bool {
	b, ok := n.Node.(*ast.BinaryNode)
	return ok && n.Location() == b.Location()
}

// logic explains a and b and c as one clause.
func (l *line) logic(op string, n *ast.BinaryNode, reached bool) *clause {
	p := l.inner(op, n, reached)
	through := True
	if op == opOr {
		through = False
	}
	for _, x := range operandsOf(op, n) {
		x := l.clause(x, reached)
		p.clauses = append(p.clauses, x)
		reached = reached && x.Result == through
	}
	p.Result = combined(op, p.clauses)
	return p
}

// operandsOf are a, b and c of a and b and c.
func operandsOf(op string, n ast.Node) []ast.Node {
	if logic(n) != op {
		return []ast.Node{n}
	}
	b := n.(*ast.BinaryNode)
	return append(operandsOf(op, b.Left), operandsOf(op, b.Right)...)
}

// let explains let x = a; b: the value, and the rest that may use it.
func (l *line) let(n *ast.VariableDeclaratorNode, reached bool) *clause {
	p := l.inner(opLet, n, reached)
	from, _ := l.extents.extent(n)
	_, to := l.extent(n.Value)
	value := l.at("", from, to)
	value.Reached = reached
	o := l.evaluate(n.Value, reached, true)
	switch value.Result = Value; {
	case o.unknown:
		value.Result, l.guessed = Unknown, true
		value.Values = l.unknownIn(n.Value, o)
	case o.err != nil:
		l.fail(value, n.Value, o.err)
	default:
		value.Values = l.shown(o.v)
		l.frame.env[n.Name] = o.v
	}
	o.typ.path, o.typ.get = "", nil
	l.lets = append(l.lets, binding{local{n.Name, o.typ}, o})
	rest := l.clause(n.Expr, reached && value.Result == Value)
	l.lets = l.lets[:len(l.lets)-1]
	p.clauses = []*clause{value, rest}
	if p.Result = rest.Result; value.Result == Error {
		p.Result = Error
	}
	return p
}
