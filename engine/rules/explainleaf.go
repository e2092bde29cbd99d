package rules

import (
	"errors"
	"fmt"

	"github.com/expr-lang/expr/ast"
)

// leaf explains a node that is no and, or, not, choice or let.
func (l *line) leaf(n ast.Node, reached bool) *clause {
	p := l.inner("", n, reached)
	_, p.literal = n.(*ast.BoolNode)
	o := l.evaluate(n, reached, false)
	switch {
	case o.unknown:
		p.Result, l.guessed = Unknown, true
		p.Values = l.unknownIn(n, o)
	case errors.Is(o.err, errNotEvaluated):
		p.Result, p.Error = Unknown, o.err.Error()
	case o.err != nil:
		if l.fail(p, n, o.err); !exhausted(o.err) {
			l.describe(p, n)
		}
	default:
		p.Result = resultOf(o.v, nil)
		l.describe(p, n)
	}
	return p
}

// fail makes p one that failed.
func (l *line) fail(p *clause, n ast.Node, err error) {
	p.Result, p.Error = Error, err.Error()
	var e *evalError
	if errors.As(err, &e) && e.unknown != "" {
		p.Values, p.Hint = e.unknown+" = nil", l.hint(n, e)
	}
}

// exhausted reports whether a part took too long or made too much: so would
// the parts of it.
func exhausted(err error) bool {
	for _, limit := range []error{errSteps, errTime, errElements, errTextSize} {
		if errors.Is(err, limit) {
			return true
		}
	}
	return false
}

// describe says what the facts of a leaf were.
func (l *line) describe(p *clause, n ast.Node) {
	switch n := n.(type) {
	case *ast.BoolNode:
	case *ast.UnaryNode:
		if b, ok := n.Node.(*ast.BinaryNode); ok {
			l.compare(p, b, "not "+b.Operator)
		}
	case *ast.BinaryNode:
		l.compare(p, n, n.Operator)
	case *ast.BuiltinNode:
		l.fits(p, n)
	default:
		l.lone(p, n)
	}
}

// operand is one side of a comparison.
type operand struct {
	outcome
	text  string // as written
	value string // as people write it
	fixed bool   // it reads no facts
}

func (l *line) operand(n ast.Node) operand {
	x := operand{outcome: l.evaluate(n, false, false), text: l.text(n)}
	x.fixed = len(x.reads) == 0 && !namesIn(n)["now"]
	_, isText := n.(*ast.StringNode)
	_, isRange := n.(*ast.BinaryNode)
	switch {
	case isText, x.fixed && isRange && x.typ.kind == kindList, x.typ.kind == kindTable:
		x.value = x.text
	case x.err == nil:
		x.value = l.shown(x.v)
	}
	return x
}

// compare describes a op b.
func (l *line) compare(p *clause, n *ast.BinaryNode, op string) {
	_, leftNil := n.Left.(*ast.NilNode)
	_, rightNil := n.Right.(*ast.NilNode)
	switch {
	case op == "??", rightNil:
		l.lone(p, n.Left)
		return
	case leftNil, n.Operator == "in" && isLiteral(n.Left):
		l.lone(p, n.Right)
		return
	}
	a, b := l.operand(n.Left), l.operand(n.Right)
	if a.value == "" || b.value == "" { // it failed in one of them
		return
	}
	a.value, b.value = apart(a, b, l.set.loc)
	if values := fmt.Sprintf("%s %s %s", a.value, op, b.value); p.Values == "" && values != p.Text {
		p.Values = values
	}
	p.by = change(a, b, op, p.Result == False)
}

// lone describes a single fact.
func (l *line) lone(p *clause, n ast.Node) {
	if p.Values != "" {
		return
	}
	x := l.operand(n)
	if x.value == "" || x.value == x.text {
		return
	}
	p.Values = x.text + " = " + x.value
	if m, ok := n.(*ast.MemberNode); ok {
		if id, ok := m.Node.(*ast.IdentifierNode); ok && id.Value == "windows" {
			p.Values += formatTime(l.frame.in.Now, l.set.loc, ", Mon 15:04")
		}
	}
}

// fits describes any(list, condition) and the like.
func (l *line) fits(p *clause, n *ast.BuiltinNode) {
	if len(n.Arguments) < 2 || p.Values != "" {
		return
	}
	callee := &ast.IdentifierNode{Value: "len"}
	size := &ast.CallNode{Callee: callee, Arguments: n.Arguments[:1]}
	count := &ast.BuiltinNode{Name: "count", Arguments: n.Arguments[:2]}
	for _, made := range []ast.Node{callee, size, count} {
		made.SetLocation(n.Location())
	}
	all, some := l.evaluate(size, false, false), l.evaluate(count, false, false)
	switch {
	case all.err != nil:
	case some.err != nil:
		p.Values = fmt.Sprintf("%v %s", all.v, plural(toInt(all.v), "element"))
	default:
		p.Values = fmt.Sprintf("%v of %v fit", some.v, all.v)
	}
}

func toInt(v any) int {
	n, _ := v.(int)
	return n
}
