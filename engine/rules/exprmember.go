package rules

import (
	"fmt"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/gavelhq/gavel/engine"
)

// names are the top-level names an expression can use here.
func (k *checker) names() []string {
	names := []string{"lists", "raw", "tables", "windows"}
	for name := range k.compiler.groups {
		if _, missing := k.presence(name); len(missing) == 0 {
			names = append(names, name)
		}
	}
	if len(k.scope.steps) > 0 {
		names = append(names, "steps")
	}
	if k.scope.failure {
		names = append(names, "failure")
	}
	for _, l := range k.locals {
		names = append(names, l.name)
	}
	slices.Sort(names)
	return names
}

// presence says whether the group is always there, and which of the events of
// the scope have it not.
func (k *checker) presence(name string) (p presence, missing []string) {
	if k.scope.fields {
		return always, nil
	}
	p = always
	g := k.compiler.groups[name]
	for _, e := range k.scope.events {
		switch g.in(e) {
		case never:
			missing = append(missing, e)
		case perhaps:
			p = perhaps
		}
	}
	if len(k.scope.events) == 0 && g.in("") == never {
		missing = append(missing, "this")
	}
	return p, missing
}

// use makes a fact that is read straight from the frame one variable.
func (k *checker) use(n ast.Node, t typ) ast.Node {
	if !slices.ContainsFunc(k.loads, func(l load) bool { return l.path == t.path }) {
		k.loads = append(k.loads, load{t.path, t.get})
	}
	k.reads[t.path] = true
	return marked(&ast.IdentifierNode{Value: t.path}, n, t)
}

// identifier is a name that stands alone, or begins a path.
func (k *checker) identifier(n *ast.IdentifierNode) (ast.Node, typ) {
	if i := slices.IndexFunc(k.locals, func(l local) bool { return l.name == n.Value }); i >= 0 {
		t := k.locals[i].typ
		return marked(&ast.IdentifierNode{Value: n.Value}, n, t), t
	}
	t, ok := k.root(n)
	switch {
	case !ok:
		return n, k.unknownName(n)
	case t.kind == kindBroken:
		return n, t
	case t.get == nil:
		return n, k.report(n, issue{Code: "type-mismatch", What: fmt.Sprintf("%s is not a value by itself", n.Value), Hint: "name one of it: " + enumerate(t.rec.names())})
	}
	return k.use(n, t), t
}

// root is the type of a top-level name. Those without get are only there to be
// asked for a member.
func (k *checker) root(n *ast.IdentifierNode) (typ, bool) {
	name := n.Value
	if g, ok := k.compiler.groups[name]; ok {
		p, missing := k.presence(name)
		if len(missing) > 0 {
			return k.report(n, k.missingGroup(name, missing)), true
		}
		t := typ{kind: kindRecord, rec: g.rec, path: name, get: g.get}
		if p == perhaps {
			t.null, t.sure = true, k.sure[name]
			t.get = func(f *frame) any {
				if g.absent(f) {
					return nil
				}
				return g.get(f)
			}
		}
		return t, true
	}
	r := &record{name: name}
	d := k.compiler.defs
	switch {
	case name == "raw":
		t := unknownType()
		t.path, t.get = name, func(f *frame) any { return decodeJSON(f.in.Event.Raw) }
		t.sure = k.sure[name]
		return t, true
	case name == "failure" && k.scope.failure:
		return typ{kind: kindRecord, rec: failureRecord(), path: name, get: func(f *frame) any { return f.in.failure }}, true
	case name == "lists":
		for _, list := range sortedKeys(d.lists) {
			t := listType(textType())
			t.set = k.compiler.lists[list]
			r.fields = append(r.fields, field{name: list, typ: t})
		}
	case name == "tables":
		for _, table := range sortedKeys(d.tables) {
			r.fields = append(r.fields, field{name: table, typ: typ{kind: kindTable, rec: k.compiler.tables[table]}})
		}
	case name == "windows":
		for _, w := range sortedKeys(d.windows) {
			r.fields = append(r.fields, field{name: w, typ: boolType()})
		}
	case name == "steps" && len(k.scope.steps) > 0:
		for _, s := range k.scope.steps {
			id := s.id
			t := typ{kind: kindRecord, rec: stepRecord(id), get: func(f *frame) any {
				if s := f.step(id); s != nil {
					return s
				}
				return (*engine.StepRecord)(nil)
			}}
			r.fields = append(r.fields, field{name: id, typ: t})
		}
	default:
		return typ{}, false
	}
	return typ{kind: kindRecord, rec: r, path: name}, true
}

// missingGroup says which events lack a group, and which have it.
func (k *checker) missingGroup(name string, missing []string) issue {
	i := issue{Code: "not-in-event", What: fmt.Sprintf("%s has no %s", missing[0], name)}
	if len(missing) > 1 {
		i.What = fmt.Sprintf("%s have no %s", enumerate(missing), name)
	}
	var have []string
	for _, e := range engine.EventTypes() {
		if k.compiler.groups[name].in(e) == always {
			have = append(have, e)
		}
	}
	i.Why = fmt.Sprintf("%s is known for %s", name, enumerate(have))
	switch {
	case len(missing) < len(k.scope.events):
		i.Hint = "the expression must fit every type under when: split the rule"
	case name == "participant":
		i.Hint = "session.participants are all who were there, session.host is the host"
	}
	return i
}

// unknownName reports a name that means nothing here.
func (k *checker) unknownName(n *ast.IdentifierNode) typ {
	name := n.Value
	i := issue{Code: "unknown-name", What: fmt.Sprintf("unknown name %q", name)}
	known := k.names()
	var owners []string
	for _, g := range known {
		if r, ok := k.compiler.groups[g]; ok {
			if _, has := r.rec.field(name); has {
				owners = append(owners, g+"."+name)
			}
		}
	}
	_, isCall := k.compiler.calls[name]
	switch lower := strings.ToLower(name); {
	case lower == "null" || lower == "none" || lower == "undefined":
		i.Hint = "write nil"
	case lower == "true" || lower == "false":
		i.Hint = "write " + lower
	case name == "steps":
		i.What, i.Hint = "there are no steps to ask for here", "give an earlier step an id"
	case name == "failure":
		i.What, i.Hint = "failure is known under on_failure only", ""
	case isCall, slices.Contains(predicateNames(), name):
		i.What, i.Hint = fmt.Sprintf("%s is a function", name), fmt.Sprintf("write %s(…)", name)
		if isCall && len(k.compiler.calls[name].args) == 0 {
			i.Hint = fmt.Sprintf("write %s()", name)
		}
	case len(owners) > 0:
		i.Hint = "write " + strings.Join(owners, " or ")
	default:
		i.Hint = suggestion(name, "names", known)
		if closest(name, known) == "" {
			i.Hint = "text stands in quotes; " + i.Hint
		}
	}
	return k.report(n, i)
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
		t.null = true
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
	what := map[string]string{"lists": "list", "tables": "table", "windows": "window", "steps": "step with the id"}[bt.path]
	known := bt.rec.names()
	if what == "" {
		label := bt.rec.name
		return k.report(name, issue{Code: "unknown-field", What: fmt.Sprintf("%s has no field %q", label, name.Value), Hint: suggestion(name.Value, "fields of "+label, known)})
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
	t := typ{kind: kindRecord, rec: bt.rec, null: name == nil}
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
	key, kt := k.visit(n.Property)
	if kt.kind == kindBroken {
		return n, kt
	}
	t := typ{kind: kindUnknown, null: true, json: bt.json}
	if bt.elem != nil {
		t = *bt.elem
		t.null, t.get = t.null || t.kind != kindText || bt.kind == kindList, nil
	}
	t.path, t.sure = "", false
	a.name = k.source(n.Property)
	if name != nil {
		a.name = name.Value
		if path := dotted(n); path != "" {
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
