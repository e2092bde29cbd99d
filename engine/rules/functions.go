package rules

import (
	"fmt"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
)

// function is one of the functions expressions can call. There are no others:
// what expr has built in is not reachable, apart from predicates.
type function struct {
	name string
	args []kinds // of each argument
	need int     // how many must be given; the rest may be left out
	many bool    // the last one may be repeated
	// result is the type of the value.
	result func(args []typ) typ
	do     func(f *frame, s *site, args []any) (any, error)
	doc    string
}

// kinds is a set of kinds.
type kinds uint16

func setOf(all ...valueKind) kinds {
	var s kinds
	for _, k := range all {
		s |= 1 << k
	}
	return s
}

func (s kinds) has(k valueKind) bool { return s&(1<<k) != 0 }

func (s kinds) words() string {
	var words []string
	for _, k := range []valueKind{kindText, kindWhole, kindFloat, kindDuration, kindTime, kindList, kindMap, kindBool} {
		if s.has(k) && !(k == kindFloat && s.has(kindWhole)) {
			word := kindName(k)
			if k == kindWhole && s.has(kindFloat) {
				word = "a number"
			}
			words = append(words, word)
		}
	}
	return strings.Join(words, " or ")
}

// gives is a result of always the same type.
func gives(t typ) func([]typ) typ { return func([]typ) typ { return t } }

// givesArgument is a result like the i-th argument.
func givesArgument(i int) func([]typ) typ {
	return func(args []typ) typ {
		if args[i].kind == kindUnknown {
			return typ{kind: kindUnknown}
		}
		return typ{kind: args[i].kind, elem: args[i].elem}
	}
}

// givesElement is a result like the elements of the list, unknown if it is empty.
func givesElement(args []typ) typ {
	if args[0].kind != kindList || args[0].elem == nil {
		return typ{kind: kindUnknown, null: true, json: args[0].json}
	}
	t := *args[0].elem
	t.null, t.get = t.null || !args[0].filled, nil
	return t
}

// givesSum is a number like the elements, or the arguments.
func givesSum(args []typ) typ {
	kind := kindNil
	for _, a := range args {
		if a.kind == kindList && a.elem != nil {
			a = *a.elem
		}
		switch {
		case a.kind == kindUnknown || a.kind == kindList:
			return typ{kind: kindUnknown}
		case kind == kindNil || a.kind == kind:
			kind = a.kind
		default:
			kind = kindFloat
		}
	}
	return typ{kind: kind}
}

// functions are all functions, but those with predicates.
func functions() []function {
	text, whole, list := setOf(kindText), setOf(kindWhole), setOf(kindList)
	number, duration, moment := setOf(kindWhole, kindFloat), setOf(kindDuration), setOf(kindTime)
	anything := setOf(kindText, kindWhole, kindFloat, kindBool, kindDuration, kindTime, kindList, kindMap)
	ordered := number | duration | moment | list
	texts := listType(textType())
	float := typ{kind: kindFloat}
	return []function{
		{"now", nil, 0, false, gives(timeType()), doNow, "the time of evaluation"},
		{"hour", []kinds{moment}, 1, false, gives(wholeType()), doHour, "0 to 23, in the timezone of the rules"},
		{"weekday", []kinds{moment}, 1, false, gives(oneOf(weekdays()...)), doWeekday, `"mon" to "sun"`},
		{"clock", []kinds{moment}, 1, false, gives(textType()), doClock, `"14:05"`},
		{"date", []kinds{moment}, 1, false, gives(textType()), doDate, `"2026-11-21"`},

		{"duration", []kinds{text}, 1, false, gives(durationType()), doDuration, "the duration a text says"},
		{"ceil_minutes", []kinds{duration}, 1, false, gives(wholeType()), doCeilMinutes, "minutes, a part of one counts as one"},
		{"minutes", []kinds{duration}, 1, false, gives(float), doMinutes, "minutes with their fraction: 1m30s is 1.5"},

		{"string", []kinds{anything}, 1, false, gives(textType()), doString, "the value as messages print it"},
		{"human", []kinds{text | number | duration | moment}, 1, false, gives(textType()), doHuman, "for reading: 1.2 GB (a number is bytes), 1 hour 12 minutes"},
		{"upper", []kinds{text}, 1, false, gives(textType()), textFunc(strings.ToUpper), "in capitals"},
		{"lower", []kinds{text}, 1, false, gives(textType()), textFunc(strings.ToLower), "in small letters"},
		{"trim", []kinds{text, text}, 1, false, gives(textType()), doTrim, "without white space, or the given characters, at both ends"},
		{"trimPrefix", []kinds{text, text}, 2, false, gives(textType()), doTrimPrefix, "without a beginning"},
		{"trimSuffix", []kinds{text, text}, 2, false, gives(textType()), doTrimSuffix, "without an end"},
		{"replace", []kinds{text, text, text}, 3, false, gives(textType()), doReplace, "with all occurrences replaced"},
		{"split", []kinds{text, text}, 2, false, gives(texts), doSplit, "the parts between separators"},
		{"join", []kinds{list, text}, 1, false, gives(textType()), doJoin, "the elements as one text"},
		{"indexOf", []kinds{text, text}, 2, false, gives(wholeType()), doIndexOf, "where a text begins in another, -1 if nowhere"},

		{"int", []kinds{text | number}, 1, false, gives(wholeType()), doInt, "the whole number; fractions are cut"},
		{"float", []kinds{text | number}, 1, false, gives(float), doFloat, "the number with a fraction"},
		{"abs", []kinds{number}, 1, false, givesArgument(0), doAbs, "without sign"},
		{"ceil", []kinds{number}, 1, false, gives(wholeType()), roundFunc(ceil), "the next larger whole number"},
		{"floor", []kinds{number}, 1, false, gives(wholeType()), roundFunc(floor), "the next smaller whole number"},
		{"round", []kinds{number}, 1, false, gives(wholeType()), roundFunc(round), "the nearest whole number"},
		{"min", []kinds{ordered}, 1, true, givesSum, extremeFunc(-1), "the smallest"},
		{"max", []kinds{ordered}, 1, true, givesSum, extremeFunc(1), "the largest"},
		{"mean", []kinds{list}, 1, false, gives(float.maybe()), doMean, "the average; unknown for an empty list"},

		{"len", []kinds{text | list | setOf(kindMap)}, 1, false, gives(wholeType()), doLen, "characters or elements"},
		{"first", []kinds{list}, 1, false, givesElement, doFirst, "the first element"},
		{"last", []kinds{list}, 1, false, givesElement, doLast, "the last element"},
		{"take", []kinds{list, whole}, 2, false, givesArgument(0), doTake, "the first elements"},
		{"reverse", []kinds{list}, 1, false, givesArgument(0), doReverse, "the last first"},
		{"sort", []kinds{list}, 1, false, givesArgument(0), doSort, "the smallest first"},
		{"uniq", []kinds{list}, 1, false, givesArgument(0), doUniq, "each element once"},
		{"keys", []kinds{setOf(kindMap)}, 1, false, gives(texts), doKeys, "the keys of a map, in order"},
		{"values", []kinds{setOf(kindMap)}, 1, false, gives(listType(unknownType())), doValues, "the values of a map, by key"},
	}
}

// predicateNames are the functions with a condition over each element. They
// are part of expr's grammar; groupBy and reduce, which could build large
// values, are not let through.
func predicateNames() []string {
	return []string{"all", "any", "count", "filter", "find", "findIndex", "findLast", "findLastIndex", "map", "none", "one", "sortBy", "sum"}
}

// foreign are functions people know from elsewhere, and what to write instead.
func foreign(name, first string) string {
	switch strings.ToLower(name) {
	case "length", "size":
		return fmt.Sprintf("write len(%s)", first)
	case "tolowercase", "tolower", "lowercase":
		return fmt.Sprintf("write lower(%s)", first)
	case "touppercase", "toupper", "uppercase":
		return fmt.Sprintf("write upper(%s)", first)
	case "includes", "contains", "has":
		return "write a contains b for texts, x in list for lists"
	case "startswith", "hasprefix":
		return "write a startsWith b"
	case "endswith", "hassuffix":
		return "write a endsWith b"
	case "match", "test", "regex":
		return `write a matches "pattern"`
	case "tostring", "str", "text", "sprintf", "format":
		return fmt.Sprintf("write string(%s)", first)
	case "minute":
		return "write minutes(…) of a duration, clock(…) of a time"
	case "day", "dayofweek":
		return "write weekday(…) or date(…)"
	case "seconds", "hours", "days":
		return "divide the duration: session.duration / 1s"
	case "reduce", "groupby":
		return "use sum, count, map or filter"
	case "exists", "isnil", "isnull", "defined":
		return fmt.Sprintf("write %s != nil", first)
	case "repeat", "tojson", "fromjson", "tobase64", "frombase64":
		return "it is left out, because it can make very large values"
	case "coalesce", "default", "get":
		return "write a ?? b"
	}
	return ""
}

// callNode is name(…) or x.name(…).
func (k *checker) callNode(n *ast.CallNode) (ast.Node, typ) {
	if m, ok := n.Callee.(*ast.MemberNode); ok {
		name := "it"
		if s, ok := m.Property.(*ast.StringNode); ok {
			name = s.Value
		}
		i := issue{Code: "unknown-function", What: fmt.Sprintf("values have no functions of their own, such as %s", name), Hint: foreign(name, k.source(m.Node))}
		if hint := k.methodHint(name, m.Node, n.Arguments); hint != "" {
			i.Hint = hint
		}
		if _, ok := k.compiler.calls[name]; ok && i.Hint == "" {
			i.Hint = fmt.Sprintf("write %s(%s)", name, k.source(m.Node))
		}
		return n, k.report(m.Property, i)
	}
	id, ok := n.Callee.(*ast.IdentifierNode)
	if !ok {
		return n, k.report(n, issue{Code: "unknown-function", What: "this cannot be called"})
	}
	fn, ok := k.compiler.calls[id.Value]
	if !ok {
		return n, k.unknownFunction(n, id.Value, n.Arguments)
	}
	return k.invoke(n, fn, n.Arguments)
}

func (k *checker) unknownFunction(n ast.Node, name string, args []ast.Node) typ {
	known := append(sortedKeys(k.compiler.calls), predicateNames()...)
	slices.Sort(known)
	first := "x"
	if len(args) > 0 {
		first = k.source(args[0])
	}
	i := issue{Code: "unknown-function", What: fmt.Sprintf("there is no function %q", name), Hint: foreign(name, first)}
	if i.Hint == "" {
		i.Hint = suggestion(name, "functions", known)
	}
	return k.report(n, i)
}

// invoke checks the arguments of a call.
func (k *checker) invoke(n ast.Node, fn function, arguments []ast.Node) (ast.Node, typ) {
	s := &site{do: invoke, fn: &fn}
	var nodes []ast.Node
	var types []typ
	broken := false
	for i, a := range arguments {
		node, t := k.visit(a)
		if t.kind != kindBroken && i < max(len(fn.args), len(arguments)*boolInt(fn.many)) {
			t = k.argument(a, fn, fn.args[min(i, len(fn.args)-1)], t)
		}
		broken = broken || t.kind == kindBroken
		nodes, types = append(nodes, node), append(types, t)
		s.names = append(s.names, k.source(a))
	}
	if most := len(fn.args); len(arguments) < fn.need || len(arguments) > most && !fn.many {
		wants := fmt.Sprint(fn.need)
		if most > fn.need {
			wants = fmt.Sprintf("%d to %d", fn.need, most)
		}
		i := issue{Code: "wrong-arguments", What: fmt.Sprintf("%s takes %s values in its brackets, not %d", fn.name, wants, len(arguments)), Hint: fn.name + ": " + fn.doc}
		if wants == "1" {
			i.What = fmt.Sprintf("%s takes one value in its brackets, not %d", fn.name, len(arguments))
		}
		return n, k.report(n, i)
	}
	if broken {
		return n, typ{kind: kindBroken}
	}
	if fn.name == "now" {
		k.varying++
	}
	if fn.name == "duration" {
		if literal, ok := arguments[0].(*ast.StringNode); ok {
			return k.durationLiteral(n, literal)
		}
	}
	t := fn.result(types)
	return k.call(n, t, s, nodes...), t
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// durationLiteral is duration("60m"), which is known at load.
func (k *checker) durationLiteral(n ast.Node, literal *ast.StringNode) (ast.Node, typ) {
	d, err := parseDuration(literal.Value)
	if err != nil {
		what, hint, _ := strings.Cut(err.Error(), ": ")
		return n, k.report(literal, issue{Code: "bad-duration", What: what, Hint: hint})
	}
	return marked(&ast.ConstantNode{Value: d}, n, durationType()), durationType()
}

// argument checks one argument, and those of lists one level deep.
func (k *checker) argument(a ast.Node, fn function, takes kinds, t typ) typ {
	i := issue{Code: "type-mismatch", What: fmt.Sprintf("%s takes %s, and %s is %s", fn.name, takes.words(), k.source(a), t.words())}
	switch {
	case t.kind == kindUnknown || takes.has(t.kind):
		k.unknownGap(a, t)
		k.missingArgument(a, fn, t)
		return k.elementsFit(a, fn, t)
	case t.kind == kindDuration:
		i.Hint = durationAdvice(fn.name, k.source(a))
	case t.kind == kindText && takes.has(kindDuration):
		if s, ok := a.(*ast.StringNode); ok {
			if _, err := parseDuration(s.Value); err == nil {
				i.Hint = fmt.Sprintf("write %s without quotes", s.Value)
			}
		}
	case t.isNumber() && takes.has(kindDuration):
		i.Hint = "write a duration with its unit, such as 60m"
	case t.isNumber() && fn.name == "duration":
		i.Hint = "multiply the number by its unit: " + k.source(a) + " * 1s"
	case takes == setOf(kindText) && t.scalar():
		i.Hint = fmt.Sprintf("write string(%s)", k.source(a))
	case t.rec != nil:
		i.Hint = "name one of its fields: " + enumerate(t.rec.names())
	}
	return k.reportAll(a, i)
}

// durationAdvice says how to do with a duration what the function does with
// numbers.
func durationAdvice(name, src string) string {
	switch name {
	case "abs":
		return fmt.Sprintf("write %s < 0s ? -%s : %s", src, src, src)
	case "int", "ceil", "floor", "round":
		return fmt.Sprintf("for whole minutes write ceil_minutes(%s); else divide first: %s(%s / 1m)", src, name, src)
	case "float", "mean", "sum":
		return fmt.Sprintf("divide it by a unit: %s / 1m", src)
	case "upper", "lower", "trim", "split", "replace", "join", "trimPrefix", "trimSuffix", "indexOf":
		return fmt.Sprintf("write string(%s)", src)
	case "duration":
		return fmt.Sprintf("%s is a duration already", src)
	}
	return ""
}

// elementsFit checks the elements of a list that a function reckons with.
func (k *checker) elementsFit(a ast.Node, fn function, t typ) typ {
	if t.kind != kindList || t.elem == nil || t.elem.kind == kindUnknown {
		return t
	}
	e, fine := *t.elem, true
	switch fn.name {
	case "min", "max":
		fine = e.isNumber() || e.kind == kindDuration || e.kind == kindTime
	case "mean", "sum":
		fine = e.isNumber()
	case "sort":
		fine = e.scalar() && e.kind != kindBool
	case "join":
		fine = e.scalar()
	case "uniq":
		fine = e.scalar()
	}
	if fine {
		return t
	}
	i := issue{Code: "type-mismatch", What: fmt.Sprintf("%s cannot reckon with the elements of %s: each is %s", fn.name, k.source(a), e.words())}
	switch {
	case e.kind == kindDuration:
		i.Hint = fmt.Sprintf("use their minutes: %s(%s, minutes(#)); everyone's time together is session.attended", fn.name, k.source(a))
	case e.rec != nil:
		i.Hint = fmt.Sprintf("choose a field: %s(map(%s, .%s))", fn.name, k.source(a), e.rec.example())
	}
	return k.reportAll(a, i)
}

// predicateCall is any(list, condition) and the like.
func (k *checker) predicateCall(n *ast.BuiltinNode) (ast.Node, typ) {
	if !slices.Contains(predicateNames(), n.Name) {
		return n, k.unknownFunction(n, n.Name, n.Arguments)
	}
	if len(k.elements) >= maxNesting {
		return n, k.report(n, issue{Code: "expression-too-large", What: fmt.Sprintf("functions over lists are nested more than %d deep", maxNesting), Hint: "a step counts every element of every level: filter first, then look at what is left"})
	}
	list, lt := k.visit(n.Arguments[0])
	if lt.kind == kindBroken {
		return n, lt
	}
	if lt.kind != kindList && lt.kind != kindUnknown {
		i := issue{Code: "type-mismatch", What: fmt.Sprintf("%s takes a list, and %s is %s", n.Name, k.source(n.Arguments[0]), lt.words())}
		return n, k.reportAll(n.Arguments[0], i)
	}
	elem := typ{kind: kindUnknown, null: true, json: lt.json}
	if lt.elem != nil {
		elem = *lt.elem
	}
	if lt.kind == kindUnknown || lt.null {
		list = k.call(n.Arguments[0], lt, &site{do: asListHere, names: []string{k.source(n.Arguments[0])}}, list)
	}
	if n.Name == "sum" {
		return k.sum(n, list, lt, elem)
	}
	if len(n.Arguments) < 2 {
		return n, k.report(n, issue{Code: "wrong-arguments", What: fmt.Sprintf("%s needs a list and a condition", n.Name), Hint: fmt.Sprintf("to count all write len(%s)", k.source(n.Arguments[0]))})
	}
	body, bt := k.predicate(n.Arguments[1], elem)
	if bt.kind == kindBroken {
		return n, bt
	}
	t, ok := k.predicateResult(n, elem, bt)
	if !ok {
		return n, typ{kind: kindBroken}
	}
	args := []ast.Node{list, body}
	if len(n.Arguments) > 2 {
		order, ok := n.Arguments[2].(*ast.StringNode)
		if !ok || order.Value != "asc" && order.Value != "desc" {
			return n, k.reportAll(n.Arguments[2], issue{Code: "wrong-arguments", What: `the order of sortBy is "asc" or "desc"`})
		}
		args = append(args, marked(&ast.StringNode{Value: order.Value}, order, textType()))
	}
	if n.Name == "sortBy" {
		value := k.source(n.Arguments[1].(*ast.PredicateNode).Node)
		k.operators[n.Location().From] = operands{n.Name, value, value + " of another element"}
	}
	if n.Name == "findLast" || n.Name == "findLastIndex" {
		return k.findLast(n, args, t), t
	}
	return marked(&ast.BuiltinNode{Name: n.Name, Arguments: args}, n, t), t
}

// findLast is the last of all elements that fit. The backward loop of expr
// 1.17.8 leaves values on the machine's stack, which are then taken for
// operands of what stands around it: [1, findLast(list, true)] has no 1.
func (k *checker) findLast(n *ast.BuiltinNode, args []ast.Node, t typ) ast.Node {
	fit := &ast.BuiltinNode{Name: "filter", Arguments: args}
	if n.Name == "findLastIndex" {
		fit.Map = marked(&ast.PointerNode{Name: "index"}, n, wholeType())
	}
	last := k.compiler.calls["last"]
	return k.call(n, t, &site{do: invoke, fn: &last, names: []string{n.Name}}, marked(fit, n, typ{}))
}

// predicate checks what is evaluated for each element, and makes it count its
// steps: expr's machine has no limit on time of its own.
func (k *checker) predicate(n ast.Node, elem typ) (ast.Node, typ) {
	p, ok := n.(*ast.PredicateNode)
	if !ok {
		return n, k.reportAll(n, issue{Code: "syntax-error", What: "a condition over the elements belongs here", Hint: "write it with . or #: .role == \"host\""})
	}
	k.elements = append(k.elements, elem)
	body, t := k.visit(p.Node)
	k.elements = k.elements[:len(k.elements)-1]
	return marked(&ast.PredicateNode{Node: k.counted(p, body, t, nil)}, p, t), t
}

// counted is body, with steps counted before it.
func (k *checker) counted(at, body ast.Node, t typ, steps any) ast.Node {
	tick := k.call(at, typ{}, &site{do: countSteps, with: steps})
	return marked(&ast.SequenceNode{Nodes: []ast.Node{tick, body}}, at, t)
}

// predicateResult is the type of name(list, body).
func (k *checker) predicateResult(n *ast.BuiltinNode, elem, body typ) (typ, bool) {
	p := n.Arguments[1].(*ast.PredicateNode)
	found := elem
	found.null = true
	switch n.Name {
	case "map":
		body.get, body.path = nil, ""
		return listType(body), body.kind != kindBroken
	case "sortBy":
		if !body.scalar() || body.kind == kindBool {
			k.reportAll(p.Node, issue{Code: "type-mismatch", What: fmt.Sprintf("sortBy cannot order by %s, %s", k.source(p.Node), body.words())})
			return typ{}, false
		}
		return listType(elem), true
	}
	ok := k.condition(p.Node, body, "the condition of "+n.Name)
	switch n.Name {
	case "filter":
		return listType(elem), ok
	case "count":
		return wholeType(), ok
	case "find", "findLast":
		return found, ok
	case "findIndex", "findLastIndex":
		return wholeType().maybe(), ok
	}
	return boolType(), ok
}

// sum is sum(list) or sum(list, value): the sum of map(list, value).
func (k *checker) sum(n *ast.BuiltinNode, list ast.Node, lt, elem typ) (ast.Node, typ) {
	fn := function{name: "sum", args: []kinds{setOf(kindList)}, result: givesSum, do: doSum}
	name := k.source(n.Arguments[0])
	if len(n.Arguments) > 1 {
		body, bt := k.predicate(n.Arguments[1], elem)
		if bt.kind == kindBroken {
			return n, bt
		}
		if !bt.isNumber() && bt.kind != kindUnknown {
			src := k.source(n.Arguments[1].(*ast.PredicateNode).Node)
			i := issue{Code: "type-mismatch", What: fmt.Sprintf("sum adds numbers, and %s is %s", src, bt.words())}
			if bt.kind == kindDuration {
				i.Hint = fmt.Sprintf("add their minutes: minutes(%s); everyone's time together is session.attended", src)
			}
			return n, k.reportAll(n.Arguments[1], i)
		}
		list = marked(&ast.BuiltinNode{Name: "map", Arguments: []ast.Node{list, body}}, n, typ{})
		lt = listType(bt)
	} else if k.elementsFit(n.Arguments[0], fn, lt).kind == kindBroken {
		return n, typ{kind: kindBroken}
	}
	t := givesSum([]typ{lt})
	if t.kind == kindNil {
		t.kind = kindUnknown
	}
	return k.call(n, t, &site{do: invoke, fn: &fn, names: []string{name}}, list), t
}
