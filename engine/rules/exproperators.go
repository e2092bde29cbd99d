package rules

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/expr-lang/expr/ast"
)

// unary is not a, -a, +a.
func (k *checker) unary(n *ast.UnaryNode) (ast.Node, typ) {
	x, t := k.visit(n.Node)
	switch {
	case t.kind == kindBroken:
		return n, t
	case n.Operator == "not" || n.Operator == "!":
		if !k.condition(n.Node, t, "what follows "+n.Operator) {
			last := &k.issues[len(k.issues)-1]
			if t.kind != kindUnknown && t.kind != kindBool {
				last.Hint = n.Operator + " binds tighter than comparisons: write not (a == b), a != b or a not in b"
			}
			return n, typ{kind: kindBroken}
		}
		return marked(&ast.UnaryNode{Operator: n.Operator, Node: x}, n, boolType()), boolType()
	case t.isNumber(), t.kind == kindDuration, t.kind == kindUnknown:
		if n.Operator == "+" {
			return x, t
		}
		r := typ{kind: t.kind}
		return k.call(n, r, &site{do: negate, names: []string{k.source(n.Node)}}, x), r
	}
	return n, k.report(n, issue{Code: "type-mismatch", What: fmt.Sprintf("%s needs a number or a duration, and %s is %s", n.Operator, k.source(n.Node), t.words())})
}

// binary is a op b.
func (k *checker) binary(n *ast.BinaryNode) (ast.Node, typ) {
	switch n.Operator {
	case "and", "&&", "or", "||":
		return k.logic(n)
	case "??":
		soften(n.Left)
	}
	l, lt := k.visit(n.Left)
	r, rt := k.visitBeside(lt, n)
	if lt.kind == kindBroken || rt.kind == kindBroken {
		return n, typ{kind: kindBroken}
	}
	switch n.Operator {
	case "==", "!=":
		return k.equal(n, l, r, lt, rt)
	case "<", ">", "<=", ">=":
		return k.order(n, l, r, lt, rt)
	case "contains", "startsWith", "endsWith":
		return k.textTest(n, l, r, lt, rt)
	case "matches":
		return k.matches(n, l, lt, rt)
	case "in":
		return k.in(n, l, r, lt, rt)
	case "??":
		return k.coalesce(n, l, r, lt, rt)
	case "..":
		return k.rangeOf(n, l, r, lt, rt)
	case "+", "-", "*", "/", "%", "**", "^":
		return k.arithmetic(n, l, r, lt, rt)
	}
	return n, k.report(n, issue{Code: "syntax-error", What: fmt.Sprintf("%s is not an operator", n.Operator)})
}

// logic is a and b, a or b.
func (k *checker) logic(n *ast.BinaryNode) (ast.Node, typ) {
	before := k.varying
	l, lt := k.visit(n.Left)
	fixedLeft := k.varying == before
	before = k.varying
	r, rt := k.visitWhere(n.Left, n.Operator == "and" || n.Operator == "&&", n.Right)
	fixedRight := k.varying == before
	left := k.condition(n.Left, lt, "the left side of "+n.Operator)
	if right := k.condition(n.Right, rt, "the right side of "+n.Operator); !left || !right {
		k.meantOtherwise(n, lt, rt)
		return n, typ{kind: kindBroken}
	}
	switch {
	case fixedLeft && !fixedRight: // if both are, all of it is
		k.constant(n.Left)
	case fixedRight && !fixedLeft:
		k.constant(n.Right)
	}
	k.contradiction(n)
	return k.native(n, l, r), boolType()
}

// soften lets the path before ?? end where something is missing: what stands
// behind ?? is for that, too.
func soften(n ast.Node) {
	switch n := n.(type) {
	case *ast.ChainNode:
		soften(n.Node)
	case *ast.MemberNode:
		n.Optional = true
		soften(n.Node)
	}
}

// native leaves the operator to the machine.
func (k *checker) native(n *ast.BinaryNode, l, r ast.Node) ast.Node {
	k.operators[n.Location().From] = operands{n.Operator, k.source(n.Left), k.source(n.Right)}
	return marked(&ast.BinaryNode{Operator: n.Operator, Left: l, Right: r}, n, boolType())
}

// mismatch reports an operator between types that do not go together.
func (k *checker) mismatch(n *ast.BinaryNode, lt, rt typ) (ast.Node, typ) {
	left, right := k.source(n.Left), k.source(n.Right)
	i := issue{Code: "type-mismatch", What: fmt.Sprintf("%s cannot be used between %s, %s, and %s, %s", n.Operator, left, lt.words(), right, rt.words())}
	switch n.Operator {
	case "==", "!=", "<", ">", "<=", ">=":
		i.What = fmt.Sprintf("cannot compare %s, %s, with %s, %s", left, lt.words(), right, rt.words())
	}
	i.Hint = mismatchHint(n.Operator, n.Left, n.Right, lt, rt)
	if i.Hint == "" {
		i.Hint = mismatchHint(n.Operator, n.Right, n.Left, rt, lt)
	}
	if hint := k.operandHint(n.Left, n.Right, lt, rt); hint != "" {
		i.Hint = hint
	}
	return n, k.report(n, i)
}

// mismatchHint knows what was probably meant; it is asked for both orders.
func mismatchHint(op string, a, b ast.Node, at, bt typ) string {
	text, isText := b.(*ast.StringNode)
	switch {
	case at.kind == kindDuration && bt.isNumber():
		if n, ok := b.(*ast.IntegerNode); ok {
			return fmt.Sprintf("write the number with its unit: %dm, %ds or %dh", n.Value, n.Value, n.Value)
		}
		return "a duration is written with its unit, such as 60m; its minutes are minutes(…)"
	case at.kind == kindDuration && isText:
		if _, err := parseDuration(text.Value); err == nil {
			return fmt.Sprintf("write %s without quotes", strings.TrimSpace(text.Value))
		}
		if length, ok := clockLength(text.Value); ok {
			return "a duration is written with its units: " + length
		}
		return "write a duration such as 60m, without quotes"
	case at.kind == kindTime && bt.kind == kindText:
		return `times are compared with times; their parts are date(…), "2026-11-21", clock(…), "14:05", and hour(…)`
	case at.isNumber() && isText:
		if _, err := strconv.ParseFloat(text.Value, 64); err == nil {
			return fmt.Sprintf("write %s without quotes", text.Value)
		}
		if op == "+" {
			return "write string(…) around the number"
		}
		return "write the number in digits, without quotes"
	case at.kind == kindText && bt.isNumber():
		if n, ok := b.(*ast.IntegerNode); ok {
			return fmt.Sprintf("ids and names are text: write \"%d\"", n.Value)
		}
		if op == "+" {
			return "write string(…) around the number"
		}
		return "turn the text into a number by int(…)"
	case at.kind == kindBool && isText:
		return "write true or false without quotes"
	case at.kind == kindBool && op != "==" && op != "!=":
		return "put brackets around comparisons, and join them by and, or"
	case at.kind == kindList && (op == "==" || op == "!="):
		return "to look for something in a list, write: x in list"
	case at.kind == kindText && op == "+":
		return "write string(…) around what is no text"
	case at.kind == kindUnknown && bt.kind == kindDuration:
		return "untyped data holds no durations: multiply by a unit, as in raw.seconds * 1s, or write duration(…) around a text"
	case at.kind == kindUnknown && bt.kind == kindTime:
		return "untyped data holds no times: use the typed facts"
	case at.rec != nil:
		return "name one of its fields: " + enumerate(at.rec.names())
	}
	return ""
}

// scalar reports whether values of the kind can be compared.
func (t typ) scalar() bool {
	switch t.kind {
	case kindText, kindWhole, kindFloat, kindBool, kindDuration, kindTime, kindUnknown:
		return true
	}
	return false
}

// alike reports whether values of the kinds can be equal or ordered.
func alike(a, b typ) bool { return a.kind == b.kind || a.isNumber() && b.isNumber() }

// equal is == and !=.
func (k *checker) equal(n *ast.BinaryNode, l, r ast.Node, lt, rt typ) (ast.Node, typ) {
	if lt.kind == kindNil || rt.kind == kindNil {
		other, ot := n.Left, lt
		if lt.kind == kindNil {
			other, ot = n.Right, rt
		}
		k.nilTest(n, other, ot)
		return k.native(n, l, r), boolType()
	}
	switch {
	case !lt.scalar() || !rt.scalar():
		return k.mismatch(n, lt, rt)
	case k.mixed(n, lt, rt):
		return n, typ{kind: kindBroken}
	case lt.kind == kindUnknown && rt.kind == kindUnknown:
		node := k.call(n, boolType(), &site{do: equalScalars}, l, r)
		if n.Operator == "!=" {
			node = marked(&ast.UnaryNode{Operator: "not", Node: node}, n, boolType())
		}
		return node, boolType()
	case lt.kind == kindUnknown || rt.kind == kindUnknown:
		if lt.json && (rt.kind == kindDuration || rt.kind == kindTime) || rt.json && (lt.kind == kindDuration || lt.kind == kindTime) {
			return k.mismatch(n, lt, rt)
		}
	case !alike(lt, rt):
		return k.mismatch(n, lt, rt)
	default:
		k.checkEnum(n.Right, n.Left, lt)
		k.checkEnum(n.Left, n.Right, rt)
		k.checkClock(n.Right, n.Left)
		k.checkClock(n.Left, n.Right)
		k.checkCase(n.Right, n.Left)
		k.checkCase(n.Left, n.Right)
	}
	return k.native(n, l, r), boolType()
}

var (
	clockForm = regexp.MustCompile(`^(?:[01]\d|2[0-3]):[0-5]\d$`)
	dateForm  = regexp.MustCompile(`^\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])$`)
)

// checkClock warns of a literal that is no time of day, or no date, beside
// clock(…) or date(…). They are compared as texts: "8:00" comes after "14:00".
func (k *checker) checkClock(literal, of ast.Node) {
	s, ok := literal.(*ast.StringNode)
	call, called := of.(*ast.CallNode)
	if !ok || !called {
		return
	}
	id, _ := call.Callee.(*ast.IdentifierNode)
	i := issue{Code: "never-equal", Warning: true}
	switch {
	case id == nil:
		return
	case id.Value == "clock" && !clockForm.MatchString(s.Value):
		i.What, i.Hint = fmt.Sprintf("%q is no time of day as clock gives it", s.Value), `write two digits each: "08:00"`
	case id.Value == "date" && !dateForm.MatchString(s.Value):
		i.What, i.Hint = fmt.Sprintf("%q is no date as date gives it", s.Value), `write year, month and day: "2026-11-21"`
	default:
		return
	}
	k.report(literal, i)
}

// nilTest judges x == nil.
func (k *checker) nilTest(n *ast.BinaryNode, x ast.Node, t typ) {
	if t.null || t.kind == kindNil || t.kind == kindBroken {
		return
	}
	src := k.source(x)
	i := issue{Code: "never-nil", Warning: true, What: fmt.Sprintf("%s is never nil", src)}
	if t.kind == kindText {
		i.Warning = false
		i.Why = "a text that is not known is empty"
		i.Hint = fmt.Sprintf(`write %s %s ""`, src, n.Operator)
	}
	k.report(n, i)
}

// checkEnum warns of a literal that a fact can never be.
func (k *checker) checkEnum(literal, of ast.Node, t typ) {
	s, ok := literal.(*ast.StringNode)
	if !ok || len(t.enum) == 0 || s.Value == "" {
		return
	}
	for _, word := range t.enum {
		if word == s.Value {
			return
		}
	}
	word := s.Value
	for _, w := range t.enum {
		if strings.HasPrefix(strings.ToLower(word), w) { // Monday, for mon
			word = w
		}
	}
	k.report(literal, issue{Code: "never-equal", Warning: true, What: fmt.Sprintf("%s can never be %q here", k.source(of), s.Value), Hint: suggestion(word, "it is one of", t.enum)})
}

// order is <, >, <=, >=.
func (k *checker) order(n *ast.BinaryNode, l, r ast.Node, lt, rt typ) (ast.Node, typ) {
	ordered := func(t typ) bool { return t.scalar() && t.kind != kindBool }
	switch {
	case lt.kind == kindNil || rt.kind == kindNil:
		return n, k.report(n, issue{Code: "type-mismatch", What: fmt.Sprintf("nil has no order: %s cannot compare it", n.Operator), Hint: "write == nil or != nil"})
	case !ordered(lt) || !ordered(rt):
		return k.mismatch(n, lt, rt)
	case k.mixed(n, lt, rt):
		return n, typ{kind: kindBroken}
	case lt.kind == kindUnknown || rt.kind == kindUnknown:
		if lt.json && (rt.kind == kindDuration || rt.kind == kindTime) || rt.json && (lt.kind == kindDuration || lt.kind == kindTime) {
			return k.mismatch(n, lt, rt)
		}
		k.untyped(n, n.Left, lt, n.Right, rt)
		k.untyped(n, n.Right, rt, n.Left, lt)
	case !alike(lt, rt):
		return k.mismatch(n, lt, rt)
	default:
		k.checkClock(n.Right, n.Left)
		k.checkClock(n.Left, n.Right)
		k.unknownGap(n.Left, lt)
		k.unknownGap(n.Right, rt)
		k.justBegun(n)
	}
	return k.native(n, l, r), boolType()
}

// untyped warns of an ordering of data that may be missing.
func (k *checker) untyped(n *ast.BinaryNode, x ast.Node, t typ, other ast.Node, ot typ) {
	if t.kind != kindUnknown || !t.null || t.sure {
		return
	}
	otherwise := "0"
	if ot.kind == kindText {
		otherwise = `""`
	}
	fixed := fmt.Sprintf("(%s ?? %s) %s %s", k.source(x), otherwise, n.Operator, k.source(other))
	if x == n.Right {
		fixed = fmt.Sprintf("%s %s (%s ?? %s)", k.source(other), n.Operator, k.source(x), otherwise)
	}
	k.reportAll(x, issue{Code: "untyped-data", Warning: true, What: fmt.Sprintf("%s may be missing; then this ends in an error", k.source(x)), Hint: "write " + fixed})
}

// textTest is contains, startsWith, endsWith. What is unknown contains nothing.
func (k *checker) textTest(n *ast.BinaryNode, l, r ast.Node, lt, rt typ) (ast.Node, typ) {
	ok := func(t typ) bool { return t.kind == kindText || t.kind == kindUnknown }
	switch {
	case ok(lt) && ok(rt):
		if n.Operator == "contains" && len(k.elements) > 0 {
			l = k.call(n.Left, lt, &site{do: countText}, l)
		}
		return k.native(n, l, r), boolType()
	case lt.kind == kindList:
		i := issue{Code: "type-mismatch", What: fmt.Sprintf("%s works on text, and %s is a list", n.Operator, k.source(n.Left)), Hint: fmt.Sprintf("write %s in %s", k.source(n.Right), k.source(n.Left))}
		if lt.elem != nil && lt.elem.rec != nil {
			i.Hint = fmt.Sprintf("write any(%s, .%s == %s)", k.source(n.Left), lt.elem.rec.label(), k.source(n.Right))
		}
		return n, k.report(n, i)
	}
	bad, t := n.Left, lt
	if ok(lt) {
		bad, t = n.Right, rt
	}
	i := issue{Code: "type-mismatch", What: fmt.Sprintf("%s works on text, and %s is %s", n.Operator, k.source(bad), t.words())}
	if literal, ok := bad.(*ast.IntegerNode); ok && t.kind == kindWhole {
		i.Hint = fmt.Sprintf(`write "%d"`, literal.Value)
	} else if t.scalar() {
		i.Hint = fmt.Sprintf("write string(%s)", k.source(bad))
	}
	return n, k.report(n, i)
}

// matches takes a literal pattern only: who sends the payload must not write it.
func (k *checker) matches(n *ast.BinaryNode, l ast.Node, lt, rt typ) (ast.Node, typ) {
	literal, ok := n.Right.(*ast.StringNode)
	if !ok {
		return n, k.reportAll(n.Right, issue{Code: "bad-pattern", What: "the pattern of matches must stand in quotes", Why: "a pattern from data could be made to take very long", Hint: "to look for a text from data, write contains"})
	}
	if lt.kind != kindText && lt.kind != kindUnknown {
		return n, k.report(n, issue{Code: "type-mismatch", What: fmt.Sprintf("matches works on text, and %s is %s", k.source(n.Left), lt.words())})
	}
	p, err := k.pattern(literal.Value)
	if err != nil {
		return n, k.report(n.Right, issue{Code: "bad-pattern", What: err.Error()})
	}
	k.checkAnchors(n.Right, literal.Value)
	return k.call(n, boolType(), &site{do: matchPattern, with: p, names: []string{k.source(n.Left)}}, l), boolType()
}

// pattern compiles one of the patterns of the expression.
func (k *checker) pattern(text string) (*pattern, error) {
	if k.classes += classWork(text); k.classes > maxClasses {
		return nil, errClasses
	}
	return newPattern(text)
}

// in is x in list, key in map.
func (k *checker) in(n *ast.BinaryNode, l, r ast.Node, lt, rt typ) (ast.Node, typ) {
	left, right := k.source(n.Left), k.source(n.Right)
	if u, ok := n.Left.(*ast.UnaryNode); ok && (u.Operator == "not" || u.Operator == "!") {
		return n, k.report(n, issue{Code: "type-mismatch", What: "not stands before in", Hint: fmt.Sprintf("write %s not in %s", k.source(u.Node), right)})
	}
	mismatch := func(hint string) (ast.Node, typ) {
		return n, k.report(n, issue{Code: "type-mismatch", What: fmt.Sprintf("cannot look for %s, %s, in %s, %s", left, lt.words(), right, rt.words()), Hint: hint})
	}
	s := &site{do: isIn, names: []string{left, right}}
	switch {
	case !lt.scalar() && lt.kind != kindNil:
		return mismatch("")
	case rt.kind == kindList:
		if e := rt.elem; e != nil && e.kind != kindUnknown && lt.kind != kindUnknown && lt.kind != kindNil && !alike(lt, *e) {
			return n, k.report(n, issue{Code: "type-mismatch", What: fmt.Sprintf("each element of %s is %s, and %s is %s", right, e.words(), left, lt.words()), Hint: k.inHint(n, lt, *e)})
		}
		if set, ok := k.constantSet(n.Right, rt); ok {
			if list, ok := n.Right.(*ast.ArrayNode); ok {
				for _, x := range list.Nodes {
					k.checkEnum(x, n.Left, lt)
				}
			}
			s.do, s.with = isInSet, set
			return k.call(n, boolType(), s, l), boolType()
		}
	case rt.kind == kindTable:
		s.do, s.with = isRow, k.compiler.defs.tables[strings.TrimPrefix(rt.rec.name, "tables.")].rows
		return k.call(n, boolType(), s, l), boolType()
	case rt.kind == kindMap, rt.kind == kindUnknown:
	case rt.kind == kindText:
		return mismatch(fmt.Sprintf("write %s contains %s", right, left))
	case strings.HasPrefix(k.dotted(n.Right), "windows."):
		return mismatch(windowHint(right))
	default:
		return mismatch("a list stands on the right side: x in [\"a\", \"b\"], x in lists.vips")
	}
	return k.call(n, boolType(), s, l, r), boolType()
}

func (k *checker) inHint(n *ast.BinaryNode, lt, elem typ) string {
	switch {
	case elem.kind == kindRecord:
		return fmt.Sprintf("write any(%s, .%s == %s)", k.source(n.Right), elem.rec.label(), k.source(n.Left))
	case lt.isNumber() && elem.kind == kindText:
		return fmt.Sprintf("write string(%s) in %s", k.source(n.Left), k.source(n.Right))
	}
	return ""
}

// constantSet is the right side of in as a set: a list of the rules files, or
// texts in brackets.
func (k *checker) constantSet(n ast.Node, t typ) (*textSet, bool) {
	if t.set != nil {
		return t.set, true
	}
	list, ok := n.(*ast.ArrayNode)
	if !ok || len(list.Nodes) == 0 {
		return nil, false
	}
	words := make([]string, len(list.Nodes))
	for i, x := range list.Nodes {
		s, ok := x.(*ast.StringNode)
		if !ok {
			return nil, false
		}
		words[i] = s.Value
	}
	return newTextSet(words), true
}

// unitHint says how a number is written as a duration.
func unitHint(number string) string {
	if number == "0" {
		return "write 0s"
	}
	return "write the number with its unit: " + number + "m"
}

// coalesce is a ?? b: b where a is unknown, or an empty text.
func (k *checker) coalesce(n *ast.BinaryNode, l, r ast.Node, lt, rt typ) (ast.Node, typ) {
	if lt.kind == kindText || lt.kind == kindUnknown {
		l = k.call(n, typ{}, &site{do: nilIfEmpty}, l)
	}
	if lt.kind == kindDuration && rt.isNumber() {
		src := k.source(n.Right)
		k.report(n.Right, issue{Code: "type-mismatch", Warning: true, What: fmt.Sprintf("%s stands in for %s, a duration, and is a number", src, k.source(n.Left)), Hint: unitHint(src)})
	}
	known := lt
	known.null = false
	t := unify(known, rt)
	if lt.kind == kindDuration && rt.isNumber() {
		t.either = nil // it is said already
	}
	if lt.kind == kindUnknown && rt.kind != kindUnknown {
		// Still of any type, but there is something.
		t = typ{kind: kindUnknown, null: rt.null, json: lt.json}
	}
	return marked(&ast.BinaryNode{Operator: "??", Left: l, Right: r}, n, t), t
}

// rangeOf is a..b.
func (k *checker) rangeOf(n *ast.BinaryNode, l, r ast.Node, lt, rt typ) (ast.Node, typ) {
	ok := func(t typ) bool { return t.kind == kindWhole || t.kind == kindUnknown }
	if !ok(lt) || !ok(rt) {
		return k.mismatch(n, lt, rt)
	}
	t := listType(wholeType())
	return k.call(n, t, &site{do: rangeOfNumbers, names: []string{k.source(n.Left), k.source(n.Right)}}, l, r), t
}

// arithmetic is + - * / % **.
func (k *checker) arithmetic(n *ast.BinaryNode, l, r ast.Node, lt, rt typ) (ast.Node, typ) {
	kind, ok := arithmeticKind(n.Operator, lt, rt)
	if !ok {
		return k.mismatch(n, lt, rt)
	}
	k.unknownGap(n.Left, lt)
	k.unknownGap(n.Right, rt)
	t := typ{kind: kind}
	s := &site{do: calculate, with: n.Operator, names: []string{k.source(n.Left), k.source(n.Right)}}
	return k.call(n, t, s, l, r), t
}

// arithmeticKind is the type of a op b; !ok: there is none.
func arithmeticKind(op string, a, b typ) (valueKind, bool) {
	number := func(t typ) bool { return t.isNumber() || t.kind == kindUnknown }
	switch d, t := kindDuration, kindTime; {
	case op == "+" && a.kind == kindText && b.kind == kindText:
		return kindText, true
	case op == "+" && (a.kind == t && b.kind == d || a.kind == d && b.kind == t), op == "-" && a.kind == t && b.kind == d:
		return kindTime, true
	case op == "-" && a.kind == t && b.kind == t, (op == "+" || op == "-" || op == "%") && a.kind == d && b.kind == d:
		return kindDuration, true
	case op == "*" && (a.kind == d && number(b) || number(a) && b.kind == d), op == "/" && a.kind == d && number(b) && b.kind != kindUnknown:
		return kindDuration, true
	case op == "/" && a.kind == d && b.kind == d:
		return kindFloat, true
	case op == "+" && (a.kind == kindUnknown && b.kind == kindText || a.kind == kindText && b.kind == kindUnknown):
		return kindText, true
	case !number(a) || !number(b):
		return 0, false
	case op == "/" || op == "**" || op == "^":
		return kindFloat, true
	case op == "+" && a.kind == kindUnknown && b.kind == kindUnknown:
		return kindUnknown, true
	case a.kind == kindUnknown || b.kind == kindUnknown:
		return kindUnknown, true
	case a.kind == kindFloat || b.kind == kindFloat:
		return kindFloat, op != "%"
	}
	return kindWhole, true
}
