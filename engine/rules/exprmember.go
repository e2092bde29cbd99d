package rules

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/expr-lang/expr/ast"
)

// use makes a fact that is read straight from the frame one variable.
func (k *checker) use(n ast.Node, t typ) ast.Node {
	if !slices.ContainsFunc(k.loads, func(l load) bool { return l.path == t.path }) {
		k.loads = append(k.loads, load{t.path, t.get})
	}
	k.reads[t.path] = true
	k.varying++
	return marked(&ast.IdentifierNode{Value: t.path}, n, t)
}

// access is what a member node needs when it runs.
type access struct {
	field   field
	name    string // of the member, for messages
	lenient bool   // after ?.: what is unknown stays unknown
}

// member is a.b, a["b"], a[b].
func (k *checker) member(n *ast.MemberNode) (ast.Node, typ) {
	name, named := n.Property.(*ast.StringNode)
	base, bt := ast.Node(nil), typ{}
	if id, ok := n.Node.(*ast.IdentifierNode); ok && !k.isLocal(id.Value) {
		// Not visited: the group itself need not be read.
		t, ok := k.root(id)
		if !ok {
			t = k.unknownName(id)
		}
		bt = t
	} else {
		base, bt = k.visit(n.Node)
	}
	if bt.kind == kindBroken {
		return n, bt
	}
	a := &access{lenient: n.Optional || k.afterOptional(n.Node)}
	// from is the base as a node, once it is clear that it has to be read.
	from := func() ast.Node {
		if base == nil {
			base = k.use(n.Node, bt)
		}
		return base
	}
	hasMembers := bt.kind == kindRecord && named || bt.kind == kindUnknown || bt.kind == kindMap || bt.kind == kindList && !named
	if hasMembers && bt.null && !bt.json && !bt.sure && !a.lenient {
		k.possibleNull(n, name)
	}
	switch {
	case bt.kind == kindTable:
		return k.row(n, name, bt)
	case !hasMembers:
		return n, k.noMember(n, name, bt)
	case bt.kind == kindRecord:
		return k.recordMember(n, name, from, bt, a)
	}
	return k.element(n, name, from, bt, a)
}

func (k *checker) isLocal(name string) bool {
	return slices.ContainsFunc(k.locals, func(l local) bool { return l.name == name })
}

// afterOptional reports whether n is a path with ?. in it: what follows is
// unknown too where that is.
func (k *checker) afterOptional(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.ChainNode:
		return k.afterOptional(n.Node)
	case *ast.MemberNode:
		return n.Optional || k.afterOptional(n.Node)
	}
	return false
}

func (k *checker) possibleNull(n *ast.MemberNode, name *ast.StringNode) {
	src := k.source(n.Node)
	i := issue{Code: "possible-null", Warning: true, What: fmt.Sprintf("%s can be unknown; then this ends in an error", src), Hint: fmt.Sprintf("write %s?.[…]", src)}
	if name != nil {
		i.Hint = fmt.Sprintf("write %s?.%s", src, name.Value)
	}
	k.reportAll(n.Node, i)
}

// recordMember is a field of a record.
func (k *checker) recordMember(n *ast.MemberNode, name *ast.StringNode, from func() ast.Node, bt typ, a *access) (ast.Node, typ) {
	f, ok := bt.rec.field(name.Value)
	if !ok {
		return n, k.unknownField(name, bt)
	}
	t := f.typ
	if bt.path != "" {
		t.path = bt.path + "." + f.name
		t.sure = k.sure[t.path]
		if t.elem != nil {
			elem := *t.elem
			elem.path, t.elem = t.path, &elem
		}
	}
	k.varying++
	if bt.path == "lists" || bt.path == "tables" || bt.path == "windows" {
		k.defined = append(k.defined, strings.TrimSuffix(bt.path, "s")+" "+strconv.Quote(f.name))
	}
	t.enum = k.narrowed(t)
	switch {
	case bt.path == "lists":
		words := k.compiler.defs.lists[f.name]
		return marked(&ast.ConstantNode{Value: words}, n, t), t
	case bt.path == "tables":
		return n, t // read by row
	case bt.path == "windows":
		w := k.compiler.defs.windows[f.name]
		return k.call(n, t, &site{do: windowContains, with: w}), t
	case bt.path == "steps":
		return k.step(n, name, t)
	case f.typ.get != nil:
		return k.use(n, t), t
	case f.result:
		k.reads[t.path] = true
		a.field, a.name = f, name.Value
		return k.call(n, t, &site{do: readResult, with: a}, from()), t
	case bt.path == "session" && f.name == participantsName && bt.get != nil && !bt.null:
		t.get = (*frame).participants
		return k.use(n, t), t
	case bt.get != nil && !bt.null:
		whole := bt.get
		t.get = func(fr *frame) any { return f.get(whole(fr)) }
		return k.use(n, t), t
	}
	if t.path != "" {
		k.reads[t.path] = true
	}
	if bt.null && a.lenient {
		t.null, t.gap = true, !bt.sure
	}
	a.field, a.name = f, name.Value
	do := readField
	if f.name == participantsName {
		do = readParticipants
	}
	return k.call(n, t, &site{do: do, with: a, names: []string{k.source(n.Node)}}, from()), t
}

// step is steps.ID; the step must have run before.
func (k *checker) step(n ast.Node, name *ast.StringNode, t typ) (ast.Node, typ) {
	i := slices.IndexFunc(k.scope.steps, func(s stepName) bool { return s.id == name.Value })
	if !k.scope.steps[i].known {
		return n, k.report(name, issue{Code: "later-step", What: fmt.Sprintf("step %q has not run yet here", name.Value), Hint: "ask for it in a step after it"})
	}
	return k.use(n, t), t
}

func (k *checker) unknownField(name *ast.StringNode, bt typ) typ {
	if i, ok := bt.rec.lacks[name.Value]; ok {
		i.Code = "not-in-event"
		if i.Hint == "" {
			i.Hint = fmt.Sprintf("%s has %s", bt.rec.name, enumerate(bt.rec.names()))
		}
		return k.report(name, i)
	}
	what := map[string]string{"lists": "list", "tables": "table", "windows": "window", "steps": "step with the id"}[bt.path]
	known := bt.rec.names()
	if what == "" {
		label := bt.rec.name
		i := issue{Code: "unknown-field", What: fmt.Sprintf("%s has no field %q", label, name.Value), Hint: suggestion(name.Value, "fields of "+label, known)}
		if strings.HasPrefix(label, "steps.") && (name.Value == "before" || name.Value == "month") {
			i.Hint = "before and month are known of billing steps: the customer's total of the meter in the month, without the step and with it"
		}
		return k.report(name, i)
	}
	i := issue{Code: "unknown-field", What: fmt.Sprintf("there is no %s %q", what, name.Value), Hint: suggestion(name.Value, bt.path, known)}
	end := name.Location().To
	for _, full := range known {
		rest, ok := strings.CutPrefix(full, name.Value+"-")
		if ok && strings.HasPrefix(string(k.scanned.src[end:]), "-"+rest) {
			i.What = fmt.Sprintf("there is no %s %q", what, name.Value)
			i.Hint = fmt.Sprintf("a name with - stands in brackets: %s[%q]", bt.path, full)
			defer func() { k.dash = end + 1 }()
		}
	}
	return k.report(name, i)
}

// row is tables.x[key] or tables.x.key.
func (k *checker) row(n *ast.MemberNode, name *ast.StringNode, bt typ) (ast.Node, typ) {
	table := strings.TrimPrefix(bt.rec.name, "tables.")
	rows := k.compiler.defs.tables[table].rows
	t := typ{kind: kindRecord, rec: bt.rec, null: name == nil, sure: k.sure[k.dotted(n)]}
	if name != nil {
		row, ok := rows[name.Value]
		if !ok {
			return n, k.report(name, issue{Code: "unknown-field", What: fmt.Sprintf("table %s has no row %q", table, name.Value), Hint: suggestion(name.Value, "rows", sortedKeys(rows))})
		}
		return marked(&ast.ConstantNode{Value: row}, n, t), t
	}
	key, kt := k.visit(n.Property)
	switch {
	case kt.kind == kindBroken:
		return n, kt
	case kt.kind != kindText && kt.kind != kindUnknown && kt.kind != kindWhole:
		return n, k.reportAll(n.Property, issue{Code: "type-mismatch", What: fmt.Sprintf("the key of a row is a text, and %s is %s", k.source(n.Property), kt.words())})
	}
	return k.call(n, t, &site{do: readRow, with: rows, names: []string{k.source(n.Property)}}, key), t
}

// element is a member of untyped data, or of a list.
func (k *checker) element(n *ast.MemberNode, name *ast.StringNode, from func() ast.Node, bt typ, a *access) (ast.Node, typ) {
	k.varying++
	key, kt := k.visit(n.Property)
	if kt.kind == kindBroken {
		return n, kt
	}
	t := typ{kind: kindUnknown, null: true, json: bt.json}
	if bt.elem != nil {
		t = *bt.elem
		t.null, t.get = t.null || t.kind != kindText || bt.kind == kindList, nil
		if bt.filled && isEnd(n.Property) {
			t.null = bt.elem.null
		}
	}
	t.path, t.sure = "", false
	a.name = k.source(n.Property)
	if name != nil {
		a.name = name.Value
		if path := k.dotted(n); path != "" {
			// A step that answered as asked has the body that is expected.
			t.sure = k.sure[path] || bt.sure && strings.HasPrefix(path, "steps.")
		}
	}
	okKey := kt.kind == kindUnknown || kt.kind == kindText && bt.kind != kindList || kt.kind == kindWhole && bt.kind != kindMap
	if !okKey {
		what := "a key of a map is a text"
		if bt.kind == kindList {
			what = "the place in a list is a whole number"
		}
		return n, k.reportAll(n.Property, issue{Code: "type-mismatch", What: fmt.Sprintf("%s, and %s is %s", what, a.name, kt.words())})
	}
	do := readElement
	if bt.kind == kindMap && bt.elem != nil && bt.elem.kind == kindText {
		do = readHeader
	}
	return k.call(n, t, &site{do: do, with: a, names: []string{k.source(n.Node), a.name}}, from(), key), t
}

// isEnd reports whether n is the place of the first or the last element.
func isEnd(n ast.Node) bool {
	if u, ok := n.(*ast.UnaryNode); ok && u.Operator == "-" {
		i, ok := u.Node.(*ast.IntegerNode)
		return ok && i.Value == 1
	}
	i, ok := n.(*ast.IntegerNode)
	return ok && i.Value == 0
}

// noMember reports a member of something that has none.
func (k *checker) noMember(n *ast.MemberNode, name *ast.StringNode, bt typ) typ {
	src := k.source(n.Node)
	if name == nil {
		i := issue{Code: "type-mismatch", What: fmt.Sprintf("%s is %s and has no elements", src, bt.words())}
		switch {
		case bt.kind == kindText:
			i.Hint = fmt.Sprintf("a part of a text is %s[0:3]", src)
		case bt.rec != nil:
			i.Hint = "name a field: " + enumerate(bt.rec.names())
		}
		return k.report(n, i)
	}
	i := issue{Code: "unknown-field", What: fmt.Sprintf("%s is %s and has no fields", src, bt.words())}
	switch {
	case name.Value == "length" || name.Value == "size" || name.Value == "count":
		i.Hint = fmt.Sprintf("write len(%s)", src)
	case bt.kind == kindList:
		i.Hint = fmt.Sprintf("ask its elements: any(%s, .%s == …), map(%s, .%s)", src, name.Value, src, name.Value)
	case bt.kind == kindDuration:
		i.Hint = fmt.Sprintf("write minutes(%s), or divide: %s / 1s", src, src)
	case bt.kind == kindTime:
		i.Hint = fmt.Sprintf("write hour(%s), weekday(%s), clock(%s) or date(%s)", src, src, src, src)
	}
	return k.report(name, i)
}

// slice is a[1:3], of a text or a list.
func (k *checker) slice(n *ast.SliceNode) (ast.Node, typ) {
	base, bt := k.visit(n.Node)
	args, broken := []ast.Node{base}, bt.kind == kindBroken
	for _, edge := range []ast.Node{n.From, n.To} {
		if edge == nil {
			args = append(args, marked(&ast.NilNode{}, n, typ{}))
			continue
		}
		node, t := k.visit(edge)
		if t.kind != kindWhole && t.kind != kindUnknown && t.kind != kindBroken {
			t = k.reportAll(edge, issue{Code: "type-mismatch", What: fmt.Sprintf("a place in a text or list is a whole number, and %s is %s", k.source(edge), t.words())})
		}
		broken = broken || t.kind == kindBroken
		args = append(args, node)
	}
	if broken {
		return n, typ{kind: kindBroken}
	}
	if bt.kind != kindText && bt.kind != kindList && bt.kind != kindUnknown {
		return n, k.reportAll(n.Node, issue{Code: "type-mismatch", What: fmt.Sprintf("only texts and lists have parts, and %s is %s", k.source(n.Node), bt.words())})
	}
	t := typ{kind: bt.kind, elem: bt.elem, json: bt.json}
	return k.call(n, t, &site{do: sliceOf, names: []string{k.source(n.Node)}}, args...), t
}
