package rules

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
)

// typ is what the checker knows of a value before it is there.
type typ struct {
	kind valueKind
	null bool // it may be unknown when the expression runs
	// sure: an earlier part of the expression made certain that it is known.
	sure bool
	// gap: it is unknown where what it belongs to is missing, as after ?.
	gap bool
	// json: untyped data, of which anything can be missing or otherwise.
	json bool
	// filled: a list that is never empty.
	filled bool
	elem   *typ    // of a list; of a map whose values are all alike
	rec    *record // of kindRecord, and of the rows of kindTable
	enum   []string
	set    *textSet // a list of the rules files
	either []typ    // what it can be, where it is one of several kinds: a ?? b

	path string             // the fact as written: session.duration
	get  func(f *frame) any // reads the fact; nil for values that are computed
}

// checker checks one expression and lowers it to what the machine runs.
type checker struct {
	compiler *compiler
	scope    scope
	scanned  *scanner

	locals   []local
	elements []typ // of the lists the predicates around stand in
	sure     map[string]bool
	learned  []string           // what is in sure, in order
	records  map[string]*record // see once

	loads     []load
	reads     map[string]bool
	defined   []string // what the rules files define and it names: list "vips"
	operators map[int]operands
	issues    []issue
	varying   int // how many parts differ from event to event
	classes   int // see classWork
	extents   map[ast.Node][2]int
	dash      int // where the second half of a name such as vip-list begins
	beside    typ // what the right side of a comparison, being visited, is compared with
	// types of the nodes, for explaining; nil: they are not kept.
	types map[ast.Node]typ
}

type local struct {
	name string
	typ  typ
}

func newChecker(c *compiler, sc scope, s *scanner) *checker {
	k := &checker{compiler: c, scope: sc, scanned: s, reads: map[string]bool{}, operators: map[int]operands{}, extents: map[ast.Node][2]int{}, sure: map[string]bool{}, records: map[string]*record{}, dash: -1}
	for _, path := range sc.known {
		k.sure[path] = true
	}
	return k
}

// sorted are the issues in the order of the text, each once: the middle of
// a < b < c is visited twice.
func (k *checker) sorted() []issue {
	slices.SortStableFunc(k.issues, func(a, b issue) int { return cmp.Compare(a.Offset, b.Offset) })
	return slices.Compact(k.issues)
}

// extent is the place of a node with everything in it.
func (k *checker) extent(n ast.Node) (from, to int) {
	if at, ok := k.extents[n]; ok {
		return at[0], at[1]
	}
	defer func() { k.extents[n] = [2]int{from, to} }()
	from, to = n.Location().From, n.Location().To
	widen := func(nodes ...ast.Node) {
		for _, x := range nodes {
			if x == nil {
				continue
			}
			a, b := k.extent(x)
			from, to = min(from, a), max(to, b)
		}
	}
	switch n := n.(type) {
	case *ast.IntegerNode:
		if d, ok := k.scanned.durations[from]; ok {
			to = from + d.width
		}
	case *ast.UnaryNode:
		widen(n.Node)
	case *ast.BinaryNode:
		widen(n.Left, n.Right)
	case *ast.ChainNode:
		widen(n.Node)
	case *ast.MemberNode:
		widen(n.Node, n.Property)
		if rest := k.scanned.src[min(to, len(k.scanned.src)):]; n.Location() != n.Property.Location() && len(rest) > 0 && rest[0] == ']' {
			to++
		}
	case *ast.SliceNode:
		widen(n.Node, n.From, n.To)
		to = k.closing(to)
	case *ast.VariableDeclaratorNode:
		widen(n.Expr)
	case *ast.CallNode:
		widen(n.Callee)
		widen(n.Arguments...)
		to = k.closing(to)
	case *ast.BuiltinNode:
		widen(n.Arguments...)
		to = k.closing(to)
	case *ast.PredicateNode:
		widen(n.Node)
	case *ast.ConditionalNode:
		from, to = k.extent(n.Cond)
		widen(n.Exp1, n.Exp2)
	case *ast.ArrayNode:
		widen(n.Nodes...)
		to = k.closing(to)
	case *ast.MapNode:
		for _, p := range n.Pairs {
			widen(p.(*ast.PairNode).Key, p.(*ast.PairNode).Value)
		}
		to = k.closing(to)
	}
	return from, min(to, len(k.scanned.src))
}

// closing is to, moved behind a bracket that follows.
func (k *checker) closing(to int) int {
	for i := to; i < len(k.scanned.src); i++ {
		switch k.scanned.src[i] {
		case ' ', '\n', '\t', ',', '(':
			continue
		case ')', ']', '}':
			return i + 1
		}
		break
	}
	return to
}

// source is the text of a node, shortened, for messages.
func (k *checker) source(n ast.Node) string {
	from, to := k.extent(n)
	if from >= to {
		return "this"
	}
	const enough = 200 // characters, of which 40 are shown
	if to-from > enough {
		to = from + enough
	}
	return cut(strings.Join(strings.Fields(string(k.scanned.src[from:to])), " "))
}

// operand is the text of a node as part of a larger expression.
func (k *checker) operand(n ast.Node) string {
	switch n.(type) {
	case *ast.BinaryNode, *ast.ConditionalNode:
		return "(" + k.source(n) + ")"
	}
	return k.source(n)
}

// report adds an issue at a node: its operator or last word.
func (k *checker) report(n ast.Node, i issue) typ {
	at := n.Location()
	if at.From == k.dash {
		return typ{kind: kindBroken} // the rest of a name with -, already reported
	}
	i.Offset, i.Width = at.From, max(1, min(at.To, len(k.scanned.src))-at.From)
	k.issues = append(k.issues, i)
	return typ{kind: kindBroken}
}

// reportAll adds an issue at a node with everything in it.
func (k *checker) reportAll(n ast.Node, i issue) typ {
	from, to := k.extent(n)
	i.Offset, i.Width = from, max(1, to-from)
	k.issues = append(k.issues, i)
	return typ{kind: kindBroken}
}

// visit checks n. It returns the node to run in its place, and its type.
func (k *checker) visit(n ast.Node) (ast.Node, typ) {
	lowered, t := k.check(n)
	if k.types != nil {
		k.types[n] = t
	}
	return lowered, t
}

func (k *checker) check(n ast.Node) (ast.Node, typ) {
	switch n := n.(type) {
	case *ast.NilNode:
		return marked(&ast.NilNode{}, n, typ{}), typ{kind: kindNil, null: true}
	case *ast.BoolNode:
		return marked(&ast.BoolNode{Value: n.Value}, n, boolType()), boolType()
	case *ast.IntegerNode:
		if d, ok := k.scanned.durations[n.Location().From]; ok {
			return marked(&ast.ConstantNode{Value: d.Duration}, n, durationType()), durationType()
		}
		return marked(&ast.IntegerNode{Value: n.Value}, n, wholeType()), wholeType()
	case *ast.FloatNode:
		return marked(&ast.FloatNode{Value: n.Value}, n, typ{kind: kindFloat}), typ{kind: kindFloat}
	case *ast.StringNode:
		return marked(&ast.StringNode{Value: n.Value}, n, textType()), textType()
	case *ast.IdentifierNode:
		return k.identifier(n)
	case *ast.ChainNode:
		return k.visit(n.Node)
	case *ast.MemberNode:
		return k.member(n)
	case *ast.SliceNode:
		return k.slice(n)
	case *ast.UnaryNode:
		return k.unary(n)
	case *ast.BinaryNode:
		return k.binary(n)
	case *ast.ConditionalNode:
		return k.conditional(n)
	case *ast.VariableDeclaratorNode:
		return k.let(n)
	case *ast.ArrayNode:
		if _, isMap := k.scanned.maps[n.Location().From]; isMap {
			return k.mapLiteral(k.mapOf(n))
		}
		return k.array(n)
	case *ast.MapNode:
		return k.mapLiteral(n)
	case *ast.PointerNode:
		return k.pointer(n)
	case *ast.CallNode:
		return k.callNode(n)
	case *ast.BuiltinNode:
		return k.predicateCall(n)
	case *ast.SequenceNode:
		last := n.Nodes[len(n.Nodes)-1]
		return n, k.reportAll(last, issue{Code: "syntax-error", What: "only the last of several expressions counts", Hint: "join conditions by and, or write them as a list under if:"})
	}
	return n, k.report(n, issue{Code: "syntax-error", What: "this has no meaning in an expression"})
}

// result checks what the whole expression comes to.
func (k *checker) result(n ast.Node, t typ, w want) {
	switch {
	case t.kind == kindBroken:
	case w == wantBool:
		k.condition(n, t, "the condition")
	case w == wantText:
		k.checkWords(n)
		if t.kind != kindText {
			k.unknownGap(n, t)
		}
		switch t.kind {
		case kindList, kindMap, kindRecord, kindTable:
			i := issue{Code: "type-mismatch", What: fmt.Sprintf("%s is %s, and a text is needed", k.source(n), t.words())}
			if t.kind == kindList && t.elem != nil && t.elem.kind == kindText {
				i.Hint = fmt.Sprintf(`write join(%s, ", ")`, k.source(n))
			} else if t.rec != nil {
				i.Hint = "name one of its fields: " + enumerate(t.rec.names())
			} else if t.kind == kindMap {
				i.Hint = fmt.Sprintf("name a value in it: %s.NAME", k.source(n))
			}
			k.reportAll(n, i)
		case kindNil:
			k.reportAll(n, issue{Code: "type-mismatch", What: "nil is no text", Hint: `write ""`})
		}
	case t.kind == kindTable:
		k.reportAll(n, issue{Code: "type-mismatch", What: fmt.Sprintf("%s is a table, not a value", k.source(n)), Hint: "name a row and a column"})
	}
}

// condition checks that t is true or false and nothing else.
func (k *checker) condition(n ast.Node, t typ, what string) bool {
	if t.kind == kindBroken || t.kind == kindBool && !t.null {
		return t.kind != kindBroken
	}
	src := k.operand(n)
	i := issue{Code: "not-boolean", What: fmt.Sprintf("%s must be true or false, and %s is %s", what, src, t.words())}
	switch {
	case t.kind == kindBool:
		i.What = fmt.Sprintf("%s must be true or false, and %s can be unknown", what, src)
		i.Hint = fmt.Sprintf("write (%s ?? false)", src)
	case t.kind == kindUnknown:
		i.Hint = fmt.Sprintf("compare it: %s == true", src)
	case t.kind == kindText && isLiteral(n):
		i.Hint = `to compare with several texts, write: x in ["a", "b"]`
	case t.kind == kindText:
		i.Hint = fmt.Sprintf(`compare it: %s != ""`, src)
	case t.kind == kindList, t.kind == kindMap:
		i.Hint = fmt.Sprintf("compare its length: len(%s) > 0", src)
	case t.null:
		i.Hint = fmt.Sprintf("compare it, or ask whether it is known: %s != nil", src)
	case t.kind == kindWhole || t.kind == kindFloat:
		i.Hint = fmt.Sprintf("compare it: %s > 0", src)
	case t.kind == kindDuration:
		i.Hint = fmt.Sprintf("compare it: %s > 60m", src)
	case t.rec != nil:
		i.Hint = "compare one of its fields: " + enumerate(t.rec.names())
	}
	k.reportAll(n, i)
	return false
}

func isLiteral(n ast.Node) bool {
	switch n.(type) {
	case *ast.StringNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NilNode:
		return true
	}
	return false
}

// words names the type for people.
func (t typ) words() string {
	switch t.kind {
	case kindUnknown:
		if t.json {
			return "untyped data"
		}
		return "of no certain type"
	case kindNil:
		return "nil"
	case kindRecord:
		return "a group of facts"
	case kindTable:
		return "a table"
	}
	return kindName(t.kind)
}

// conditional is c ? a : b.
func (k *checker) conditional(n *ast.ConditionalNode) (ast.Node, typ) {
	cond, ct := k.visit(n.Cond)
	k.condition(n.Cond, ct, "the condition before ?")
	yes, yt := k.assuming(n.Cond, n.Exp1)
	no, nt := k.assumingNot(n.Cond, n.Exp2)
	t := unify(yt, nt)
	if ct.kind == kindBroken {
		t = ct
	}
	return marked(&ast.ConditionalNode{Cond: cond, Exp1: yes, Exp2: no}, n, t), t
}

// assuming visits n where cond is true.
func (k *checker) assuming(cond, n ast.Node) (ast.Node, typ) { return k.visitWhere(cond, true, n) }

// assumingNot visits n where cond is false.
func (k *checker) assumingNot(cond, n ast.Node) (ast.Node, typ) { return k.visitWhere(cond, false, n) }

func (k *checker) visitWhere(cond ast.Node, holds bool, n ast.Node) (ast.Node, typ) {
	before := len(k.learned)
	defer func() {
		for _, path := range k.learned[before:] {
			delete(k.sure, path)
		}
		k.learned = k.learned[:before]
	}()
	k.assume(cond, holds)
	return k.visit(n)
}

// know notes that a fact is known, until it is forgotten by visitWhere.
func (k *checker) know(path string) {
	if !k.sure[path] {
		k.sure[path] = true
		k.learned = append(k.learned, path)
	}
}

// assured are the facts that are known where n is true.
func (k *checker) assured(n ast.Node) []string {
	k.sure, k.learned = map[string]bool{}, nil
	k.assume(n, true)
	return slices.Sorted(maps.Keys(k.sure))
}

// assume notes which facts are known where n is true, or where it is false:
// those compared with nil, what a fact behind ?. belongs to if that says
// something, and the body of a step whose status was looked at.
func (k *checker) assume(n ast.Node, holds bool) {
	if u, ok := n.(*ast.UnaryNode); ok && (u.Operator == "not" || u.Operator == "!") {
		k.assume(u.Node, !holds)
		return
	}
	b, ok := n.(*ast.BinaryNode)
	if !ok {
		return
	}
	path := k.dotted(b.Left)
	_, isNil := b.Right.(*ast.NilNode)
	switch {
	case holds && (b.Operator == "and" || b.Operator == "&&"), !holds && (b.Operator == "or" || b.Operator == "||"):
		k.assume(b.Left, holds)
		k.assume(b.Right, holds)
	case path == "":
	case isNil:
		if holds == (b.Operator == "!=") {
			k.know(path)
			k.assumeOwners(b.Left)
		}
	case !holds:
	case b.Operator == "==" && strings.HasPrefix(path, "steps."):
		if step, ok := strings.CutSuffix(path, ".status"); ok {
			k.know(step + ".body")
		} else if step, ok := strings.CutSuffix(path, ".state"); ok {
			k.know(step + ".body")
		}
	case b.Operator != "!=" && b.Operator != "??" && saysSomething(b.Right):
		k.know(path)
		k.assumeOwners(b.Left)
	}
}

// saysSomething reports whether a fact that compares well with n is known.
func saysSomething(n ast.Node) bool {
	s, isText := n.(*ast.StringNode)
	return isLiteral(n) && (!isText || s.Value != "")
}

// assumeOwners notes what n belongs to: session.host where session.host?.email
// is known.
func (k *checker) assumeOwners(n ast.Node) {
	switch n := n.(type) {
	case *ast.ChainNode:
		k.assumeOwners(n.Node)
	case *ast.MemberNode:
		if path := k.dotted(n.Node); path != "" {
			k.know(path)
		}
		k.assumeOwners(n.Node)
	}
}

// dotted is the path of names that n is, "" if it is something else.
func (k *checker) dotted(n ast.Node) string {
	switch n := n.(type) {
	case *ast.IdentifierNode:
		return n.Value
	case *ast.PointerNode:
		if n.Name == "" && len(k.elements) > 0 {
			return k.elements[len(k.elements)-1].path
		}
	case *ast.ChainNode:
		return k.dotted(n.Node)
	case *ast.MemberNode:
		base := k.dotted(n.Node)
		if name, ok := n.Property.(*ast.StringNode); ok && base != "" {
			return base + "." + name.Value
		}
		if base != "" {
			return base + "[" + k.source(n.Property) + "]"
		}
	}
	return ""
}

// unify is the type of a value that has either type.
func unify(a, b typ) typ {
	plain := func(t typ, null bool) typ {
		return typ{kind: t.kind, null: null, json: t.json, elem: t.elem, rec: t.rec, enum: nil}
	}
	switch {
	case a.kind == kindBroken || b.kind == kindBroken:
		return typ{kind: kindBroken}
	case a.kind == kindNil:
		return plain(b, true)
	case b.kind == kindNil:
		return plain(a, true)
	case a.isNumber() && b.isNumber() && a.kind != b.kind:
		return typ{kind: kindFloat, null: a.null || b.null}
	case a.kind != b.kind, a.kind == kindRecord && a.rec != b.rec:
		t := typ{kind: kindUnknown, null: a.null || b.null, json: a.json && b.json}
		if a.certain() && b.certain() {
			t.either = []typ{plain(a, a.null), plain(b, b.null)}
		}
		return t
	case a.kind == kindList:
		elem := typ{kind: kindUnknown, null: true}
		if a.elem != nil && b.elem != nil {
			elem = unify(*a.elem, *b.elem)
		}
		return typ{kind: kindList, null: a.null || b.null, elem: &elem}
	}
	return plain(a, a.null || b.null)
}

// certain reports whether values of the type can be compared, and are all of
// one kind.
func (t typ) certain() bool { return t.scalar() && t.kind != kindUnknown }

func (t typ) isNumber() bool { return t.kind == kindWhole || t.kind == kindFloat }

// let is let x = a; b.
func (k *checker) let(n *ast.VariableDeclaratorNode) (ast.Node, typ) {
	value, vt := k.visit(n.Value)
	if k.isTaken(n.Name) {
		return n, k.report(n, issue{Code: "unknown-name", What: fmt.Sprintf("%s has a meaning already", n.Name), Hint: "choose another name"})
	}
	vt.path, vt.get = "", nil
	k.locals = append(k.locals, local{n.Name, vt})
	body, t := k.visit(n.Expr)
	k.locals = k.locals[:len(k.locals)-1]
	if vt.kind == kindBroken {
		t = vt
	}
	return marked(&ast.VariableDeclaratorNode{Name: n.Name, Value: value, Expr: body}, n, t), t
}

func (k *checker) isTaken(name string) bool {
	_, isCall := k.compiler.calls[name]
	_, isGroup := k.compiler.groups[name]
	return isCall || isGroup || strings.Contains(name, "$") || slices.Contains(k.names(), name) || slices.Contains(predicateNames(), name)
}

func (k *checker) array(n *ast.ArrayNode) (ast.Node, typ) {
	var nodes []ast.Node
	elem := typ{kind: kindUnknown}
	for i, x := range n.Nodes {
		node, t := k.visit(x)
		nodes = append(nodes, node)
		if t.get = nil; i == 0 {
			elem = t
		} else {
			elem = unify(elem, t)
		}
	}
	if elem.kind == kindBroken {
		return n, elem
	}
	t := listType(elem)
	return marked(&ast.ArrayNode{Nodes: nodes}, n, t), t
}

func (k *checker) mapLiteral(n *ast.MapNode) (ast.Node, typ) {
	var pairs []ast.Node
	for _, p := range n.Pairs {
		pair := p.(*ast.PairNode)
		key, kt := k.visit(pair.Key)
		value, vt := k.visit(pair.Value)
		if kt.kind != kindText || kt.null {
			return n, k.reportAll(pair.Key, issue{Code: "type-mismatch", What: "the key of a map must be a text", Hint: "write (string(…))"})
		}
		if vt.kind == kindBroken {
			return n, vt
		}
		pairs = append(pairs, marked(&ast.PairNode{Key: key, Value: value}, p, typ{}))
	}
	t := typ{kind: kindMap}
	m := marked(&ast.MapNode{Pairs: pairs}, n, t)
	if len(k.elements) > 0 {
		m = k.counted(n, m, t, mapSteps)
	}
	return m, t
}

// mapOf is the map that the scanner hid in a list of keys and values.
func (k *checker) mapOf(n *ast.ArrayNode) *ast.MapNode {
	m := &ast.MapNode{}
	m.SetLocation(n.Location())
	for i := 0; i+1 < len(n.Nodes); i += 2 {
		key := n.Nodes[i]
		at := key.Location()
		switch key.(type) {
		case *ast.IdentifierNode, *ast.BoolNode, *ast.NilNode:
			if k.scanned.src[at.From-1] != '(' { // in brackets it is no name
				key = marked(&ast.StringNode{Value: string(k.scanned.src[at.From:at.To])}, key, textType())
			}
		}
		m.Pairs = append(m.Pairs, marked(&ast.PairNode{Key: key, Value: n.Nodes[i+1]}, key, typ{}))
	}
	return m
}

// pointer is the # or . of a predicate.
func (k *checker) pointer(n *ast.PointerNode) (ast.Node, typ) {
	switch {
	case len(k.elements) == 0:
		return n, k.report(n, issue{Code: "syntax-error", What: "there is no element here", Hint: ". and # stand for the element in any(…), all(…), filter(…) and the like"})
	case n.Name == "index":
		k.varying++
		return marked(&ast.PointerNode{Name: n.Name}, n, wholeType()), wholeType()
	case n.Name != "":
		return n, k.report(n, issue{Code: "unknown-name", What: fmt.Sprintf("there is no #%s", n.Name), Hint: "# is the element, #index its place"})
	}
	k.varying++
	t := k.elements[len(k.elements)-1]
	return marked(&ast.PointerNode{}, n, t), t
}
