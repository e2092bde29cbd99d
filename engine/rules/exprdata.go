package rules

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gavelhq/gavel/engine"
)

// Untyped data is what platforms and targets send: raw, metadata, the body of
// a step. Whole numbers are ints. A whole number too large for that stays
// exact as text; nothing is ever rounded.

// visible is metadata as expressions see it; never nil.
func visible(m map[string]any) any {
	if len(m) == 0 {
		return map[string]any{}
	}
	return visibleAt(m, 0)
}

// visibleAt copies v within the limits: long texts and lists are cut, what is
// nested too deep is left out.
func visibleAt(v any, depth int) any {
	if depth > maxDepth {
		return nil
	}
	switch v := v.(type) {
	case nil, bool, int:
		return v
	case string:
		return cutText(v)
	case json.Number:
		return number(v.String())
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return int(v)
		}
		return v
	case int64:
		return int(v)
	case map[string]any:
		m := make(map[string]any, len(v))
		for key, x := range v {
			m[key] = visibleAt(x, depth+1)
		}
		return m
	case []any:
		list := make([]any, min(len(v), maxList))
		for i := range list {
			list[i] = visibleAt(v[i], depth+1)
		}
		return list
	case []string:
		list := make([]any, min(len(v), maxList))
		for i := range list {
			list[i] = cutText(v[i])
		}
		return list
	}
	return nil // nothing else is in JSON
}

func number(text string) any {
	if !strings.ContainsAny(text, ".eE") {
		if n, err := strconv.Atoi(text); err == nil {
			return n
		}
		return cutText(text)
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil {
		return f
	}
	return cutText(text)
}

// cutText is the visible beginning of a text, cut between characters.
func cutText(s string) string {
	if len(s) <= maxText {
		return s
	}
	end := maxText
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}

// kindOf is the kind of a value at run time.
func kindOf(v any) valueKind {
	switch v.(type) {
	case nil:
		return kindNil
	case string:
		return kindText
	case int:
		return kindWhole
	case float64:
		return kindFloat
	case bool:
		return kindBool
	case time.Duration:
		return kindDuration
	case time.Time:
		return kindTime
	case []any, []string:
		return kindList
	case map[string]any:
		return kindMap
	}
	return kindRecord
}

// step is the record of a finished step, nil before that.
func (f *frame) step(id string) *engine.StepRecord {
	for i := range f.in.steps {
		if f.in.steps[i].ID == id {
			return &f.in.steps[i]
		}
	}
	return nil
}

// stepRecord is steps.ID: it exists from the start.
func stepRecord(id string, billing bool) *record {
	get := func(read func(*engine.StepRecord) any, otherwise any) func(any) any {
		return func(v any) any {
			if r, ok := v.(*engine.StepRecord); ok && r != nil {
				return read(r)
			}
			return otherwise
		}
	}
	headers := typ{kind: kindMap, elem: &typ{kind: kindText}}
	result := func(name string, t typ, read func(*engine.StepRecord) any, otherwise any) field {
		return field{name: name, typ: t, get: get(read, otherwise), result: true}
	}
	states := oneOf(engine.StepPending, engine.StepDone, engine.StepSkipped, engine.StepFailed, engine.StepShadow, engine.StepUndecided)
	rec := &record{name: "steps." + id, fields: []field{
		{name: "state", typ: states, get: get(func(r *engine.StepRecord) any { return r.State }, engine.StepPending)},
		result("status", wholeType(), func(r *engine.StepRecord) any { return r.Status }, 0),
		result("body", unknownType(), func(r *engine.StepRecord) any { return decodeJSON(r.Body) }, nil).keep(),
		result("headers", headers, func(r *engine.StepRecord) any { return headerMap(r.Headers) }, map[string]any{}).keep(),
		result("error", textType(), func(r *engine.StepRecord) any { return r.Error }, ""),
	}}
	if billing {
		number := typ{kind: kindFloat}
		rec.fields = append(rec.fields,
			result("before", number, func(r *engine.StepRecord) any { return total(r.Before) }, 0),
			result("month", number, func(r *engine.StepRecord) any { return total(r.Month) }, 0))
	}
	return rec
}

// total is an exact decimal as a number to compare; a step that wrote nothing
// has none, and 0 stands for it.
func total(text string) any {
	if n, err := strconv.Atoi(text); err == nil {
		return n
	}
	f, _ := strconv.ParseFloat(text, 64) // the ledger has written it
	return f
}

// totalOf finds an expression that is a total and nothing else.
var totalOf = regexp.MustCompile(`^steps\.(\w+)\.(before|month)$`)

// exactTotal is such an expression as text: a total can have more digits than a
// number to compare.
func (f *frame) exactTotal(src string) string {
	m := totalOf.FindStringSubmatch(src)
	r := f.step(m[1])
	switch {
	case r == nil:
		return "0"
	case m[2] == "before":
		return cmp.Or(r.Before, "0")
	}
	return cmp.Or(r.Month, "0")
}

// responseRecord is what the step at hand was answered.
func responseRecord() *record {
	type R = engine.StepRecord
	headers := typ{kind: kindMap, elem: &typ{kind: kindText}}
	return &record{name: "response", fields: []field{
		fact("status", wholeType(), func(r *R) any { return r.Status }),
		fact("body", unknownType(), func(r *R) any { return decodeJSON(r.Body) }).keep(),
		fact("headers", headers, func(r *R) any { return headerMap(r.Headers) }).keep(),
	}}
}

// decided reports an error if r is a step without a result: one that a shadow
// did not send, or that depends on such a one.
func decided(r *engine.StepRecord) error {
	if r == nil || r.State != engine.StepShadow && r.State != engine.StepUndecided {
		return nil
	}
	return &evalError{what: fmt.Sprintf("%s: step %q", engine.ErrUndecided, r.ID), cause: engine.ErrUndecided}
}

// headerMap has each header as it was sent and in lower case.
func headerMap(headers map[string]string) map[string]any {
	m := make(map[string]any, 2*len(headers))
	for name, value := range headers {
		m[name] = cutText(value)
		m[strings.ToLower(name)] = cutText(value)
	}
	return m
}

func failureRecord() *record {
	type F = engine.Failure
	return &record{name: "failure", fields: []field{
		fact("step", textType(), func(x *F) any { return x.Step }),
		fact("error", textType(), func(x *F) any { return x.Error }),
		fact("attempts", wholeType(), func(x *F) any { return x.Attempts }),
	}}
}

// tableRecord is a row of a table. A text that is not given is empty, anything
// else is unknown.
func tableRecord(name string, t table) *record {
	r := &record{name: "tables." + name}
	for _, column := range sortedKeys(t.columns) {
		kind := map[columnKind]valueKind{columnWhole: kindWhole, columnDuration: kindDuration, columnBool: kindBool}[t.columns[column]]
		if kind == kindUnknown {
			kind = kindText
		}
		f := field{name: column, typ: typ{kind: kind}, get: func(v any) any {
			row, _ := v.(map[string]any)
			if x := row[column]; x != nil || kind != kindText {
				return x
			}
			return ""
		}}
		for _, row := range t.rows {
			f.typ.null = f.typ.null || kind != kindText && row[column] == nil
		}
		r.fields = append(r.fields, f)
	}
	return r
}

// textSet is a list of texts to look things up in.
type textSet struct{ words map[string]struct{} }

func newTextSet(words []string) *textSet {
	s := &textSet{make(map[string]struct{}, len(words))}
	for _, w := range words {
		s.words[w] = struct{}{}
	}
	return s
}

// has looks v up. Lists hold text: a whole number of untyped data is looked up
// as it is written.
func (s *textSet) has(v any) bool {
	switch v := v.(type) {
	case string:
		_, ok := s.words[v]
		return ok
	case int:
		_, ok := s.words[strconv.Itoa(v)]
		return ok
	}
	return false
}

// exported is v without the records of this package: facts under their names,
// for callers that print or marshal it. It may share lists and maps with v,
// has at most so many elements, and says how many.
func (c *compiler) exported(v any, most int) (out any, elements int, err error) {
	x := exporter{compiler: c, left: most}
	if out = v; !x.plain(v) && x.left >= 0 {
		x.left = most
		out = x.value(v)
	}
	if x.left < 0 {
		return nil, 0, errElements
	}
	return out, most - x.left, x.err
}

// exporter counts the elements of what it looks at: lists that are small by
// themselves can stand in a list many times.
type exporter struct {
	*compiler
	left int
	err  error
}

// plain reports whether there is no record in v.
func (x *exporter) plain(v any) bool {
	switch v := v.(type) {
	case []any:
		x.left -= len(v)
		for _, e := range v {
			if x.left < 0 || !x.plain(e) {
				return false
			}
		}
		return true
	case map[string]any:
		x.left -= len(v)
		for _, e := range v {
			if x.left < 0 || !x.plain(e) {
				return false
			}
		}
		return true
	}
	return kindOf(v) != kindRecord
}

// value is a copy of v; it means nothing once x.left is negative.
func (x *exporter) value(v any) any {
	switch v := v.(type) {
	case []any:
		if x.left -= len(v); x.left < 0 {
			return nil
		}
		list := make([]any, len(v))
		for i, e := range v {
			list[i] = x.value(e)
		}
		return list
	case map[string]any:
		if x.left -= len(v); x.left < 0 {
			return nil
		}
		m := make(map[string]any, len(v))
		for key, e := range v {
			m[key] = x.value(e)
		}
		return m
	case *happening:
		return x.happening(v)
	case *evalError: // of a field
		x.err = v
		return nil
	case *engine.StepRecord:
		if err := decided(v); err != nil {
			x.err = err
			return nil
		}
	}
	r := x.recordOf(v)
	if r == nil {
		return v
	}
	if x.left -= len(r.fields); x.left < 0 {
		return nil
	}
	m := make(map[string]any, len(r.fields))
	for _, f := range r.fields {
		if f.name == participantsName { // they are asked for by name only
			continue
		}
		y := f.get(v)
		if !f.typ.json || !x.plain(y) { // untyped data is a copy already
			y = x.value(y)
		}
		m[f.name] = y
	}
	return m
}

func (x *exporter) happening(h *happening) any {
	if h == nil {
		return nil
	}
	m := map[string]any{}
	for _, name := range gatheredGroups() {
		if facts := x.groups[name].of((*engine.Event)(h)); facts != nil {
			m[name] = x.value(facts)
		}
	}
	return m
}

// recordOf is the record of a value at run time, nil if it is none.
func (c *compiler) recordOf(v any) *record {
	group := ""
	switch v := v.(type) {
	case *engine.Event:
		group = "event"
	case *engine.Room:
		group = "room"
	case *engine.Session:
		group = "session"
	case *engine.Participant:
		group = "participant"
	case *engine.Recording:
		group = "recording"
	case *engine.Track:
		group = "track"
	case *engine.Stream:
		group = "stream"
	case *engine.Artifact:
		group = "artifact"
	case *engine.Source:
		group = "source"
	case *engine.OpenSession:
		return c.openSession
	case *engine.Failure:
		return failureRecord()
	case *engine.StepRecord:
		if v == nil {
			return stepRecord("", false)
		}
		return stepRecord(v.ID, v.Action == billingName)
	default:
		return nil
	}
	return c.groups[group].rec
}
