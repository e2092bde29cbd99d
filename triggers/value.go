package triggers

import (
	"iter"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"
)

// value is one value of a parsed body. The zero value stands for an absent
// one, and every getter of it says "unknown".
type value struct {
	doc *document
	at  int32
}

func (v value) node() node {
	if v.doc == nil {
		return node{}
	}
	return v.doc.nodes[v.at]
}

// exists reports whether there is a value other than null.
func (v value) exists() bool { return v.doc != nil && v.node().kind != 'n' }

func (v value) isObject() bool { return v.node().kind == '{' }

// isEmpty reports whether v is absent, null, "", {} or [].
func (v value) isEmpty() bool {
	switch n := v.node(); n.kind {
	case '"':
		return n.start == n.end
	case '{', '[':
		return n.next == v.at+1
	}
	return !v.exists()
}

// get walks down to the member with that path of names, exactly as spelt.
func (v value) get(path ...string) value {
	for _, name := range path {
		v = v.member(name)
	}
	return v
}

func (v value) member(name string) value {
	if !v.isObject() {
		return value{}
	}
	d := v.doc
	for i := v.at + 1; i < d.nodes[v.at].next; i = d.nodes[i].next {
		n := &d.nodes[i]
		if n.keyEscaped && d.key(i) == name || !n.keyEscaped && string(d.body[n.keyStart:n.keyEnd]) == name {
			return value{d, i}
		}
	}
	return value{}
}

// items are the elements of an array.
func (v value) items() iter.Seq[value] {
	return func(yield func(value) bool) {
		if v.node().kind != '[' {
			return
		}
		for i := v.at + 1; i < v.node().next; i = v.doc.nodes[i].next {
			if !yield(value{v.doc, i}) {
				return
			}
		}
	}
}

// first is the first element of an array.
func (v value) first() value {
	for x := range v.items() {
		return x
	}
	return value{}
}

// text is a string, or a number as it was sent: ids come as either.
func (v value) text() string {
	switch n := v.node(); n.kind {
	case '"', '0':
		return v.doc.string(n.start, n.end, n.escaped)
	}
	return ""
}

// firstOf is the first of vs that is not empty.
func firstOf(vs ...value) value {
	for _, v := range vs {
		if !v.isEmpty() {
			return v
		}
	}
	return value{}
}

// firstText is the text of the first of vs that has one.
func firstText(vs ...value) string { return firstOf(vs...).text() }

// str is a string; a number is none.
func (v value) str() string {
	if v.node().kind != '"' {
		return ""
	}
	return v.text()
}

func (v value) bool() bool { return v.node().kind == 't' }

// decimal is a number as it was sent, with or without quotes around it.
func (v value) decimal() string {
	s := v.text()
	if n, ok := numberPrefix([]byte(s)); !ok || n != len(s) || n > maxNumber {
		return ""
	}
	return s
}

// int is a whole number, with or without quotes around it.
func (v value) int() *int64 {
	i, err := strconv.ParseInt(v.decimal(), 10, 64)
	if err != nil {
		return nil
	}
	return &i
}

// enum is the lower-case name of an enum that is sent as its name or as its
// number; names lists the names by number.
func (v value) enum(names ...string) string {
	if v.node().kind == '0' {
		if i := v.int(); i != nil && *i >= 0 && *i < int64(len(names)) {
			return names[*i]
		}
	}
	return strings.ToLower(v.text())
}

// object is an object, or the object in a string that holds JSON, as people's
// expressions see it: whole numbers are ints. nil if it is something else.
func (v value) object() map[string]any {
	switch v.node().kind {
	case '{':
		m, _ := v.any().(map[string]any)
		return m
	case '"':
		text := v.text()
		if !strings.HasPrefix(strings.TrimLeft(text, " \t\r\n"), "{") {
			return nil
		}
		inner, err := parseJSON([]byte(text))
		if err != nil {
			return nil // free text of a participant that only looks like JSON
		}
		m, _ := inner.any().(map[string]any)
		return m
	}
	return nil
}

// any is the value untyped. Its depth is bounded by maxDepth.
func (v value) any() any {
	n := v.node()
	switch n.kind {
	case '{':
		m := make(map[string]any)
		for i := v.at + 1; i < n.next; i = v.doc.nodes[i].next {
			m[v.doc.key(i)] = value{v.doc, i}.any()
		}
		return m
	case '[':
		list := []any{}
		for x := range v.items() {
			list = append(list, x.any())
		}
		return list
	case '"':
		return v.text()
	case '0':
		return untypedNumber(v.text())
	case 't', 'f':
		return n.kind == 't'
	}
	return nil
}

// untypedNumber is an int where the number is whole, else a float. A whole
// number that no int holds stays text rather than being rounded.
func untypedNumber(text string) any {
	if i, err := strconv.Atoi(text); err == nil {
		return i
	}
	if !strings.ContainsAny(text, ".eE") {
		return text
	}
	f, err := strconv.ParseFloat(text, 64)
	switch {
	case err != nil:
		return text
	case f == math.Trunc(f) && math.Abs(f) < 1<<53:
		return int(f)
	}
	return f
}

// duration is a number of units, which may have decimals. nil if it is
// unknown, negative or beyond what a duration can hold.
func (v value) duration(unit time.Duration) *time.Duration {
	n, ok := scaled(v.decimal(), int64(unit))
	if !ok || n < 0 {
		return nil
	}
	d := time.Duration(n)
	return &d
}

// seconds, millis and nanos are times since 1970 in that unit; 0 is how
// several platforms write "unknown".
func (v value) seconds() time.Time { return v.since1970(time.Second) }
func (v value) millis() time.Time  { return v.since1970(time.Millisecond) }
func (v value) nanos() time.Time   { return v.since1970(time.Nanosecond) }

// A time before 1970 or after 2262, where nanoseconds end, is none either.
func (v value) since1970(unit time.Duration) time.Time {
	n, ok := scaled(v.decimal(), int64(unit))
	if !ok || n <= 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}

// iso is a time written as in RFC 3339.
func (v value) iso() time.Time {
	t, err := time.Parse(time.RFC3339Nano, v.str())
	if err != nil || t.UTC().Year() < 1 || t.UTC().Year() > 9999 {
		return time.Time{}
	}
	return t.UTC()
}

// scaled is number × unit, exactly; what is beyond the unit's precision is cut
// off. Floats are avoided because 15.37 is none.
func scaled(number string, unit int64) (int64, bool) {
	if i, err := strconv.ParseInt(number, 10, 64); err == nil {
		if i > math.MaxInt64/unit || i < math.MinInt64/unit {
			return 0, false
		}
		return i * unit, true
	}
	if _, exp, ok := strings.Cut(strings.ToLower(number), "e"); ok {
		// A large exponent would make a number of as many digits.
		if e, err := strconv.Atoi(exp); err != nil || e < -30 || e > 30 {
			return 0, false
		}
	}
	r, ok := new(big.Rat).SetString(number)
	if !ok {
		return 0, false
	}
	r.Mul(r, new(big.Rat).SetInt64(unit))
	q := new(big.Int).Quo(r.Num(), r.Denom())
	return q.Int64(), q.IsInt64()
}
