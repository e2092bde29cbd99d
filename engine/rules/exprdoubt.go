package rules

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/gavelhq/gavel/engine"
)

// What follows warns of expressions that compile and are hardly meant so.

// unknownGap warns of a use of what is unknown where the thing before its ?. is
// missing: an error then.
func (k *checker) unknownGap(n ast.Node, t typ) {
	if !t.gap || t.sure {
		return
	}
	src := k.operand(n)
	otherwise := "0"
	switch t.kind {
	case kindText:
		otherwise = `""`
	case kindDuration:
		otherwise = "0s"
	case kindBool:
		otherwise = "false"
	case kindTime, kindList, kindMap, kindRecord:
		otherwise = "…"
	}
	k.reportAll(n, issue{Code: "possible-null", Warning: true, What: fmt.Sprintf("%s can be unknown; then this ends in an error", src), Hint: fmt.Sprintf("write (%s ?? %s)", src, otherwise)})
}

// missingArgument warns of an argument out of untyped data, which may be
// missing: an error then.
func (k *checker) missingArgument(a ast.Node, fn function, t typ) {
	if t.kind != kindUnknown || !t.null || !t.json || t.sure {
		return
	}
	src, otherwise := k.source(a), "0"
	if fn.args[0].has(kindText) {
		otherwise = `""`
	}
	k.reportAll(a, issue{Code: "untyped-data", Warning: true, What: fmt.Sprintf("%s may be missing; then this ends in an error", src), Hint: fmt.Sprintf("write %s(%s ?? %s)", fn.name, src, otherwise)})
}

// narrowed are the words a fact can be in the events at hand.
func (k *checker) narrowed(t typ) []string {
	s := k.scope
	if s.trigger != nil || s.schedule || len(s.events) == 0 {
		return t.enum
	}
	var names []string
	for _, x := range s.senders {
		switch t.path {
		case "event.source", "source.name":
			names = append(names, x.Name)
		case "event.platform":
			names = append(names, x.Platform)
		}
	}
	switch {
	case len(names) > 0:
		return slices.Compact(names)
	case t.path == "event.type":
		return s.events
	case t.path == "session.status" && !slices.ContainsFunc(s.events, func(e string) bool { return e != engine.SessionEnded }):
		return []string{engine.Ended}
	}
	return t.enum
}

// constant warns of a condition that no event changes.
func (k *checker) constant(n ast.Node) {
	i := issue{Code: "constant-condition", Warning: true, What: fmt.Sprintf("%s is the same for every event", k.source(n)), Hint: "compare a fact, such as session.duration > 60m"}
	if b, ok := n.(*ast.BoolNode); ok {
		i.Hint = "leave it out: what has no if: is done for every event"
		if !b.Value {
			i.Hint = "to switch a rule off write enabled: false"
		}
	}
	if name := k.quotedFact(n); name != "" {
		i.Why, i.Hint = "in quotes it is a text", fmt.Sprintf("write %s without quotes", name)
	}
	k.reportAll(n, i)
}

// quotedFact is a text in the comparison n that names a fact, "" if there is none.
func (k *checker) quotedFact(n ast.Node) string {
	b, ok := n.(*ast.BinaryNode)
	if !ok {
		return ""
	}
	for _, side := range []ast.Node{b.Left, b.Right} {
		s, ok := side.(*ast.StringNode)
		if !ok {
			continue
		}
		name, field, _ := strings.Cut(s.Value, ".")
		if g, ok := k.compiler.groups[name]; ok {
			if _, ok := g.rec.field(field); ok {
				return s.Value
			}
		}
	}
	return ""
}

// contradiction warns of x == "a" and x == "b", which is never true, and of
// x != "a" or x != "b", which always is.
func (k *checker) contradiction(n *ast.BinaryNode) {
	op, result, other := "==", "never", "or"
	if n.Operator == "or" || n.Operator == "||" {
		op, result, other = "!=", "always", "and"
	}
	k.emptyRange(n)
	left := map[string]string{}
	k.comparisons(n.Left, n.Operator, op, func(path string, literal *ast.StringNode) { left[path] = literal.Value })
	k.comparisons(n.Right, n.Operator, op, func(path string, literal *ast.StringNode) {
		if before, twice := left[path]; twice && before != literal.Value {
			k.report(literal, issue{Code: "constant-condition", Warning: true, What: fmt.Sprintf("%s %s %q %s %s %s %q is %s true", path, op, before, n.Operator, path, op, literal.Value, result),
				Hint: fmt.Sprintf("join the two by %s", other)})
		}
	})
}

// limit is a comparison of a fact with a number or a duration.
type limit struct {
	path, op string
	than     float64
	at       ast.Node
}

// emptyRange warns of x > 5 and x < 3, which is never true.
func (k *checker) emptyRange(n *ast.BinaryNode) {
	if n.Operator != "and" && n.Operator != "&&" {
		return
	}
	left := k.limits(n.Left, nil)
	for _, b := range k.limits(n.Right, nil) {
		for _, a := range left {
			low, high := a, b
			if strings.HasPrefix(a.op, "<") {
				low, high = b, a
			}
			apart := strings.HasPrefix(low.op, ">") && strings.HasPrefix(high.op, "<")
			if a.path != b.path || !apart || low.than < high.than || low.than == high.than && low.op == ">=" && high.op == "<=" {
				continue
			}
			k.reportAll(b.at, issue{Code: "constant-condition", Warning: true, What: fmt.Sprintf("%s %s %s is never true", k.source(a.at), n.Operator, k.source(b.at)), Hint: "join the two by or, or turn the signs around"})
			return
		}
	}
}

// limits are the comparisons of facts with literals that and joins in n.
func (k *checker) limits(n ast.Node, all []limit) []limit {
	b, ok := n.(*ast.BinaryNode)
	if !ok {
		return all
	}
	switch b.Operator {
	case "and", "&&":
		return k.limits(b.Right, k.limits(b.Left, all))
	case "<", ">", "<=", ">=":
		than, ok := k.literal(b.Right)
		if path := k.dotted(b.Left); ok && path != "" {
			all = append(all, limit{path, b.Operator, than, b})
		}
	}
	return all
}

// literal is a number, or a duration in nanoseconds.
func (k *checker) literal(n ast.Node) (float64, bool) {
	switch n := n.(type) {
	case *ast.IntegerNode:
		if d, ok := k.scanned.durations[n.Location().From]; ok {
			return float64(d.Duration), true
		}
		return float64(n.Value), true
	case *ast.FloatNode:
		return n.Value, true
	}
	return 0, false
}

// justBegun warns of a length of time that a session cannot have when it starts.
func (k *checker) justBegun(n *ast.BinaryNode) {
	s := k.scope
	if !s.beginning || len(s.events) == 0 || slices.ContainsFunc(s.events, func(e string) bool { return e != engine.SessionStarted }) {
		return
	}
	than, ok := k.literal(n.Right)
	if !ok || than <= 0 || k.dotted(n.Left) != "session.duration" || n.Operator != ">" && n.Operator != ">=" {
		return
	}
	k.report(n, issue{Code: "constant-condition", Warning: true, What: fmt.Sprintf("%s is never true when a session starts", k.source(n)), Why: "it has just begun",
		Hint: `write when: session_ended; to act while it goes on, hold: for some time, or begin then with - wait: 10m`})
}

// checkCase warns of a literal with letters that lower or upper leave nowhere.
func (k *checker) checkCase(literal, of ast.Node) {
	s, ok := literal.(*ast.StringNode)
	call, called := of.(*ast.CallNode)
	if !ok || !called {
		return
	}
	id, _ := call.Callee.(*ast.IdentifierNode)
	meant := s.Value
	switch {
	case id == nil:
	case id.Value == "lower":
		meant = strings.ToLower(s.Value)
	case id.Value == "upper":
		meant = strings.ToUpper(s.Value)
	}
	if meant != s.Value {
		k.report(literal, issue{Code: "never-equal", Warning: true, What: fmt.Sprintf("%s can never be %q here", k.source(of), s.Value), Hint: fmt.Sprintf("write %q", meant)})
	}
}

// comparisons calls found for each path op "text" among the operands that
// logic joins in n.
func (k *checker) comparisons(n ast.Node, logic, op string, found func(path string, literal *ast.StringNode)) {
	b, ok := n.(*ast.BinaryNode)
	if !ok {
		return
	}
	if b.Operator == logic {
		k.comparisons(b.Left, logic, op, found)
		k.comparisons(b.Right, logic, op, found)
		return
	}
	literal, ok := b.Right.(*ast.StringNode)
	if path := k.dotted(b.Left); ok && path != "" && b.Operator == op {
		found(path, literal)
	}
}

// checkWords reports literal results that are not among the words that the
// fact can be: of "a" ?? "b", c ? "a" : "b".
func (k *checker) checkWords(n ast.Node) {
	words := factWords(k.scope.fact)
	if words == nil {
		return
	}
	switch n := n.(type) {
	case *ast.StringNode:
		if n.Value != "" && !slices.Contains(words, n.Value) {
			k.report(n, issue{Code: "unknown-word", What: fmt.Sprintf("%s cannot be %q", k.scope.fact, n.Value), Hint: suggestion(n.Value, "it can be", words)})
		}
	case *ast.ConditionalNode:
		k.checkWords(n.Exp1)
		k.checkWords(n.Exp2)
	case *ast.BinaryNode:
		if n.Operator == "??" {
			k.checkWords(n.Left)
			k.checkWords(n.Right)
		}
	}
}

// address finds what ends like an e-mail address or a host.
var address = regexp.MustCompile(`@[\w-]+(\\?\.[\w-]+)+$`)

// checkAnchors warns of a pattern that was meant for the whole text, and finds
// any part of it.
func (k *checker) checkAnchors(at ast.Node, text string) {
	tree, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return
	}
	i := issue{Code: "loose-pattern", Warning: true, Why: "matches looks anywhere in the text"}
	first, last := anchored(tree)
	switch {
	case tree.Op == syntax.OpAlternate && halfAnchored(tree):
		i.What, i.Why = "^ belongs to the first alternative only, and $ to the last", "| joins whole patterns"
		i.Hint = fmt.Sprintf("put brackets around the alternatives: ^(%s)$", strings.TrimSuffix(strings.TrimPrefix(text, "^"), "$"))
	case first || last:
		return
	case address.MatchString(text):
		i.What = fmt.Sprintf("%q also fits texts that go on behind it", text)
		i.Hint = fmt.Sprintf("write endsWith %q, or end the pattern with $", strings.TrimLeft(strings.ReplaceAll(text, `\`, ""), ".*+"))
	case strings.HasPrefix(text, ".*") != strings.HasSuffix(text, ".*"):
		i.What = ".* at one end of the pattern has no effect"
		i.Hint = "leave it out; for the whole text write ^ before the pattern and $ behind it"
	case tree.Op == syntax.OpRepeat && tree.Min == tree.Max && tree.Min > 1:
		i.What = fmt.Sprintf("%q also fits longer texts", text)
		i.Hint = fmt.Sprintf("for the whole text write ^%s$", text)
	default:
		return
	}
	k.report(at, i)
}

// anchored reports whether the pattern is bound to the beginning and to the
// end of the text, somewhere in it.
func anchored(re *syntax.Regexp) (first, last bool) {
	switch re.Op {
	case syntax.OpBeginText, syntax.OpBeginLine:
		return true, false
	case syntax.OpEndText, syntax.OpEndLine:
		return false, true
	}
	for _, sub := range re.Sub {
		f, l := anchored(sub)
		first, last = first || f, last || l
	}
	return first, last
}

// halfAnchored reports whether ^ stands in the first alternative alone and $ in
// the last.
func halfAnchored(re *syntax.Regexp) bool {
	for i, sub := range re.Sub {
		first, last := anchored(sub)
		if first != (i == 0) || last != (i == len(re.Sub)-1) {
			return false
		}
	}
	return true
}
