package rules

import (
	"fmt"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
)

// hint says how the part of n that was unknown is written so that it does not
// fail: (session.host?.email ?? "").
func (l *line) hint(n ast.Node, e *evalError) string {
	s := &search{line: l, unknown: e.unknown, member: e.member != ""}
	ast.Walk(&n, s)
	if s.top == nil {
		return ""
	}
	safe := l.safe(s)
	switch zero := l.zero(n, s); {
	case zero != "":
		return fmt.Sprintf("write (%s ?? %s)", safe, zero)
	case s.member:
		return "write " + safe
	}
	return fmt.Sprintf("ask first whether it is known: %s != nil and …", safe)
}

// safe is what was searched, with a ?. behind what is unknown.
func (l *line) safe(s *search) string {
	from, to := l.extent(s.top)
	if !s.member {
		return oneLine(string(l.scanned.src[from:to]))
	}
	_, at := l.extent(s.found)
	before, behind := string(l.scanned.src[from:at]), strings.TrimSpace(string(l.scanned.src[at:to]))
	return oneLine(before + "?." + strings.TrimPrefix(behind, "."))
}

// search finds what is unknown by its text, and the members asked of it.
type search struct {
	*line
	unknown string
	member  bool

	found  ast.Node // what is unknown
	top    ast.Node // with all the members behind it
	around ast.Node // where that stands
}

// Visit is called with the inner nodes first.
func (s *search) Visit(n *ast.Node) {
	switch x := (*n).(type) {
	case *ast.MemberNode:
		if s.found == nil && s.member && s.extents.source(x.Node) == s.unknown {
			s.found, s.top = x.Node, x
			return
		}
		if s.top != nil && x.Node == s.top {
			s.top = x
			return
		}
	case *ast.ChainNode:
		if s.top != nil && x.Node == s.top {
			s.top = x
			return
		}
	}
	switch {
	case s.found == nil && !s.member && s.extents.source(*n) == s.unknown:
		s.found, s.top = *n, *n
	case s.top != nil && s.around == nil && slices.Contains(s.inside(*n), s.top):
		s.around = *n
	}
}

// inside are the nodes that can tell what the one in them is to be.
func (s *search) inside(n ast.Node) []ast.Node {
	switch n := n.(type) {
	case *ast.BinaryNode:
		return []ast.Node{n.Left, n.Right}
	case *ast.BuiltinNode:
		return n.Arguments[:1]
	}
	return nil
}

// zero is what can stand for what was searched: 0s for a duration; "" if that
// cannot be told.
func (l *line) zero(n ast.Node, s *search) string {
	k := l.checker()
	k.types = map[ast.Node]typ{}
	k.visit(n)
	if kind := k.types[s.top].kind; kind != kindUnknown {
		return zeroOf(kind)
	}
	return zeroOf(s.expected(k.types))
}

// expected is the kind that what stands around asks for.
func (s *search) expected(types map[ast.Node]typ) valueKind {
	b, ok := s.around.(*ast.BinaryNode)
	switch {
	case s.around != nil && !ok: // any(list, …)
		return kindList
	case !ok:
		return kindUnknown
	case b.Operator == "in" && b.Right == s.top:
		return kindList
	case slices.Contains([]string{"contains", "matches", "startsWith", "endsWith"}, b.Operator):
		return kindText
	case b.Left == s.top:
		return types[b.Right].kind
	}
	return types[b.Left].kind
}

// zeroOf is the value of a kind that says least, as it is written.
func zeroOf(k valueKind) string {
	switch k {
	case kindText:
		return `""`
	case kindWhole, kindFloat:
		return "0"
	case kindDuration:
		return "0s"
	case kindBool:
		return "false"
	case kindList:
		return "[]"
	}
	return ""
}
