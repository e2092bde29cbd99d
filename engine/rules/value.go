package rules

import (
	"fmt"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/gavelhq/gavel/engine"
	"gopkg.in/yaml.v3"
)

// maxRendered bounds one text, and all parameters of one step together.
const maxRendered = 1 << 20

// within is where a value stands: what its expressions see, and what becomes of
// the text they insert.
type within struct {
	scope  scope
	static string // why ${…} cannot be used here; "" if it can
	escape func(text string) string
}

// value is a value of a step: fixed, or filled in for each run. Immutable.
type value struct {
	shape
	enum   []string
	fixed  any       // nothing is to be filled in
	text   *template // a text with ${…}
	list   []value
	keys   []string // of a map, with their values in list
	loose  bool     // has a ${…} somewhere
	escape func(text string) string
	// success is the condition of a Success.
	success *program
}

// decimalText is an exact number as text.
var decimalText = regexp.MustCompile(`^-?\d{1,30}(\.\d{1,30})?$`)

// value checks n against a shape.
func (l *loader) value(n node, s shape, enum []string, p within) (value, bool) {
	v := value{shape: s, enum: enum, escape: p.escape}
	switch {
	case n.Tag == reported:
		return v, false
	case n.isEmpty():
		n.emptyValue()
		return v, false
	case s.form == formAny && n.Kind == yaml.MappingNode:
		return l.mapValue(n, v, p)
	case s.form == formAny && n.Kind == yaml.SequenceNode:
		return l.listValue(n, v, p)
	case s.form == formList && n.Kind != yaml.MappingNode && !(n.Kind == yaml.ScalarNode && onlyTemplate(n.Value)):
		return l.listValue(n, v, p) // a single value is a list of one
	case (s.form == formMap || s.form == formRecord) && n.Kind == yaml.MappingNode:
		return l.mapValue(n, v, p)
	case s.form == formSecret:
		v.fixed = l.secret(n)
		return v, true
	case s.form == formSuccess:
		return l.successValue(n, p)
	}
	before := len(l.out.found)
	if !n.isScalar(s.String() + " belongs here") {
		if s.form == formText && n.Kind == yaml.SequenceNode && p.static == "" {
			l.out.explain(before, "wrong-type", "a step takes one: write a step for each of them")
		}
		if s.form == formList && s.elem.form == formMap && n.Kind == yaml.MappingNode {
			l.out.explain(before, "wrong-type", "put a dash before each entry, - NAME: value: a map has no order")
		}
		return v, false
	}
	return l.scalarValue(n, v, p)
}

var statusClass = regexp.MustCompile(`^[1-5][xX]{2}$`)

// successValue is a list of statuses, or a condition on the answer.
func (l *loader) successValue(n node, p within) (v value, ok bool) {
	text := n.Kind == yaml.ScalarNode && n.Tag == "!!str"
	switch {
	case text && statusClass.MatchString(n.Value):
		below, _ := strconv.Atoi(n.Value[:1])
		n.add(issue{Code: "syntax-error", What: fmt.Sprintf("%s is no status", n.Value), Hint: fmt.Sprintf("write a condition: response.status >= %d00 and response.status < %d00", below, below+1)})
		return v, false
	case text && !hasTemplate(n.Value):
		sc := p.scope
		sc.answered = true
		program := l.compile(n, n.Value, 0, sc, wantBool)
		return value{fixed: engine.Success{If: n.Value}, success: program}, program != nil
	}
	v, ok = l.value(n, shape{form: formList, elem: &shape{form: formWhole}}, nil, p)
	if !ok || v.loose {
		return v, ok
	}
	var s engine.Success
	err := assign(reflect.ValueOf(&s.Statuses).Elem(), v.fixed)
	v.fixed = s
	return v, err == nil
}

// onlyTemplate reports whether text is nothing but one ${…}.
func onlyTemplate(text string) bool {
	pieces, problem := splitTemplate(strings.TrimSpace(text))
	return problem == nil && len(pieces) == 1 && pieces[0].isExpr
}

func (l *loader) listValue(n node, v value, p within) (value, bool) {
	elem := v.shape
	if v.elem != nil {
		elem = *v.elem
	}
	ok := true
	for _, c := range n.oneOrMore() {
		c.key, c.called = n.key, n.called
		x, fine := l.value(c, elem, v.enum, p)
		v.add("", x)
		ok = ok && fine
	}
	return v.settle(), ok
}

func (l *loader) mapValue(n node, v value, p within) (value, bool) {
	ok := true
	v.keys = []string{}
	if v.form == formRecord {
		read, inConnection := n.fields, p.static != ""
		if inConnection {
			read = n.secretFields
		}
		got := read("keys of "+n.name(), names(v.fields))
		for _, f := range v.fields {
			e, given := got[f.name]
			if !given {
				if f.required {
					n.addAtKey(issue{Code: "missing-key", What: fmt.Sprintf("%s needs %q", n.what(), f.name), Hint: f.doc})
					ok = false
				}
				continue
			}
			if inConnection && f.shape.form == formText {
				l.leaks(e)
			}
			x, fine := l.value(e, f.shape, f.enum, p)
			v.add(f.name, x)
			ok = ok && fine && (!inConnection || l.noReference(e, f.shape))
		}
		return v.settle(), ok
	}
	elem := v.shape
	if v.elem != nil {
		elem = *v.elem
	}
	for _, e := range n.entries() {
		if e.key.Tag == reported {
			continue
		}
		if hasTemplate(e.key.Value) {
			e.addAtKey(issue{Code: "template-here", What: "${…} cannot be used in a key"})
			ok = false
			continue
		}
		x, fine := l.value(e, elem, nil, p)
		v.add(e.key.Value, x)
		ok = ok && fine
	}
	return v.settle(), ok
}

// add puts x into the list or, under key, into the map.
func (v *value) add(key string, x value) {
	v.list = append(v.list, x)
	if v.keys != nil {
		v.keys = append(v.keys, key)
	}
	v.loose = v.loose || x.loose
}

// settle computes the fixed value of a list or map without ${…}.
func (v value) settle() value {
	if v.list == nil {
		v.list = []value{}
	}
	if !v.loose {
		v.fixed, _ = v.render(nil)
		v.list = nil
	}
	return v
}

func (l *loader) scalarValue(n node, v value, p within) (value, bool) {
	quotedText := n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0
	if n.Tag == "!!str" && hasTemplate(n.Value) {
		return l.filledValue(n, v, p)
	}
	literal := strings.ReplaceAll(n.Value, "$${", "${")
	var ok bool
	switch v.form {
	case formText:
		var text string
		if text, ok = n.text(); ok {
			l.warnLiteral(n, text)
			v.fixed, ok = literal, l.checkWord(n, v.enum, literal)
			if ok && isReference(literal) && p.static == "" {
				ok = false
				n.add(issue{Code: "secret-in-step", What: fmt.Sprintf("%s refers to a secret", n.what()), Why: "steps are stored and shown with all their values",
					Hint: "put it into a connection and name that by via:"})
			}
		}
	case formFlag:
		v.fixed, ok = n.flag()
	case formWhole:
		var x int64
		x, ok = n.whole()
		v.fixed = int(x)
	case formDuration:
		v.fixed, ok = n.duration()
	case formTime:
		v.fixed, ok = l.openingValue(n)
	case formDecimal:
		v.fixed, ok = decimalValue(n)
	case formAny:
		v.fixed, ok = anyValue(n, literal, quotedText)
		text, isText := v.fixed.(string)
		if ok && isText {
			l.warnLiteral(n, text)
		}
		if ok && isText && isReference(text) {
			ok = false
			n.add(issue{Code: "secret-in-step", What: fmt.Sprintf("%s refers to a secret", n.what()), Why: "steps are stored and shown with all their values",
				Hint: "put it into a connection and name that by via:"})
		}
	default:
		ok = false
		n.add(issue{Code: "wrong-type", What: fmt.Sprintf("%s must be %s", n.what(), v.shape), Hint: "write its entries below it"})
	}
	return v, ok
}

// checkWord reports a word that is not among the allowed ones.
func (l *loader) checkWord(n node, allowed []string, word string) bool {
	if len(allowed) == 0 || slices.Contains(allowed, word) {
		return true
	}
	n.add(issue{Code: "unknown-word", What: fmt.Sprintf("%s cannot be %q", n.what(), word), Hint: suggestion(word, "it can be", allowed)})
	return false
}

// decimalValue is an exact number: a whole one, or text. What YAML reads as a
// float has lost digits by the time anybody sees it.
func decimalValue(n node) (engine.Decimal, bool) {
	switch {
	case n.Tag == "!!int" && n.plain():
		if v, ok := n.whole(); ok {
			return engine.Decimal(strconv.FormatInt(v, 10)), true
		}
		return "", false
	case n.Tag == "!!float" && n.plain():
		n.add(issue{Code: "float-decimal", What: fmt.Sprintf("%s must be exact, and %s without quotes is a binary fraction", n.what(), n.Value), Hint: fmt.Sprintf("write %q", n.Value)})
		return "", false
	case !decimalText.MatchString(n.Value):
		n.add(issue{Code: "wrong-type", What: fmt.Sprintf("%s must be an exact number", n.what()), Hint: `write digits, with a point if need be: "0.004"`})
		return "", false
	}
	return engine.Decimal(n.Value), true
}

// anyValue is a scalar as YAML reads it.
func anyValue(n node, literal string, quoted bool) (any, bool) {
	if quoted {
		return literal, true
	}
	if why := ambiguous(n.Node); why != "" && n.Tag != "!!null" && !(n.Tag == "!!float" || n.Tag == "!!int" && n.Value[0] != '0') {
		n.add(issue{Code: "quote-it", What: fmt.Sprintf("%s is ambiguous without quotes", n.Value), Why: why, Hint: fmt.Sprintf("write %q if it is text", n.Value)})
		return nil, false
	}
	switch n.Tag {
	case "!!null":
		return nil, true
	case "!!bool":
		return strings.EqualFold(n.Value, "true"), true
	case "!!int":
		v, ok := n.whole()
		return int(v), ok
	case "!!float":
		v, err := strconv.ParseFloat(n.Value, 64)
		if !strings.ContainsAny(n.Value, ".eE") {
			n.add(issue{Code: "wrong-type", What: n.what() + " is too large a number", Hint: fmt.Sprintf("write %q, as text", n.Value)})
			return nil, false
		}
		if err != nil || math.IsInf(v, 0) || math.IsNaN(v) {
			n.add(issue{Code: "wrong-type", What: n.what() + " is no number that can be sent", Hint: "put it in quotes if it is text"})
			return nil, false
		}
		return v, true
	}
	return literal, true
}

// accepts reports whether the result of an expression of that static type can
// fit. A single value is a list of one.
func (s shape) accepts(k valueKind) bool {
	return s.form.accepts(k) || s.form == formList && s.elem.form.accepts(k)
}

// accepts reports the same of a form. What is not known before it runs is
// checked then.
func (f form) accepts(k valueKind) bool {
	switch {
	case k == kindUnknown || f == formAny:
		return true
	case f == formText:
		return k != kindList && k != kindMap
	case f == formFlag:
		return k == kindBool
	case f == formWhole:
		return k == kindWhole
	case f == formDuration:
		return k == kindDuration
	case f == formTime:
		return k == kindTime
	case f == formDecimal:
		return k == kindWhole || k == kindText
	case f == formList:
		return k == kindList
	}
	return k == kindMap
}

// filledValue is a scalar with ${…}.
func (l *loader) filledValue(n node, v value, p within) (value, bool) {
	v.loose = true
	text := n.Value
	if v.form != formText && v.form != formAny {
		if !onlyTemplate(text) {
			n.add(issue{Code: "wrong-type", What: fmt.Sprintf("%s must be %s, and a text with ${…} in it is not", n.what(), v.shape), Hint: "write a single ${…} that results in it"})
			return v, false
		}
	}
	w := wantValue
	if v.form == formText {
		w = wantText
	}
	if v.text = l.template(n, text, p, w); v.text == nil {
		return v, false
	}
	program := v.text.whole()
	if program == nil || v.accepts(program.kind()) {
		l.doubtText(n, v, program)
		return v, true
	}
	i := issue{Code: "wrong-type", What: fmt.Sprintf("%s must be %s, and this is %s", n.what(), v.shape, kindName(program.kind()))}
	switch {
	case v.form == formDecimal && program.kind() == kindFloat:
		i.Code, i.Why = "float-decimal", "a float is rounded before it is counted"
		i.Hint = "leave the division to the step: give the whole number, and what it is counted in as per: 1048576"
	case v.form == formDecimal && program.kind() == kindDuration:
		i.Hint = "say in what it is counted: ceil_minutes(…) or minutes(…)"
	case v.form == formTime && program.kind() == kindDuration:
		i.Hint = "a length of time is what for: takes"
	case v.form == formTime:
		if name, ok := l.isWindow(v.text.parts[0].src); ok {
			i.Why, i.Hint = fmt.Sprintf("${windows.%s} says whether it is open", name), "write until: "+name
		}
	case v.form == formDuration && program.kind() == kindTime && n.name() == waitName:
		i.Hint = fmt.Sprintf("write wait: { until: %q }", n.Value)
	case v.form == formWhole && program.kind() == kindFloat:
		i.Hint = "round it: int(…), floor(…) or ceil(…)"
	}
	n.add(i)
	return v, false
}

// kindName names a static type for people.
func kindName(k valueKind) string {
	switch k {
	case kindText:
		return "a text"
	case kindWhole:
		return "a whole number"
	case kindFloat:
		return "a number with a fraction"
	case kindBool:
		return "true or false"
	case kindDuration:
		return "a duration"
	case kindTime:
		return "a time"
	case kindList:
		return "a list"
	case kindMap:
		return "a map"
	}
	return "a value"
}

// render fills in the value. What it returns marshals to the JSON an action reads.
func (v *value) render(f *frame) (any, error) {
	switch {
	case v.list != nil && v.keys != nil:
		m := make(map[string]any, len(v.keys))
		for i, key := range v.keys {
			x, err := v.list[i].render(f)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", key, err)
			}
			m[key] = x
		}
		return m, nil
	case v.list != nil:
		list := make([]any, len(v.list))
		for i := range v.list {
			x, err := v.list[i].render(f)
			if err != nil {
				return nil, fmt.Errorf("[%d]: %w", i, err)
			}
			list[i] = x
		}
		return list, nil
	case v.text == nil:
		return v.fixed, nil
	}
	program := v.text.whole()
	if v.form == formText || program == nil {
		text, err := v.text.text(f, v.escape)
		if err == nil && len(v.enum) > 0 && !slices.Contains(v.enum, text) {
			err = fmt.Errorf("cannot be %q, only %s", text, enumerate(v.enum))
		}
		if err == nil {
			err = f.fill(text)
		}
		return text, err
	}
	x, err := program.run(f)
	if err == nil {
		err = f.fill(x)
	}
	if err == nil {
		x, err = fit(x, v.shape, v.escape, v.text.loc)
	}
	if err != nil {
		return nil, fmt.Errorf("${%s}: %w", v.text.parts[0].src, err)
	}
	return x, nil
}
