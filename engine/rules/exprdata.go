package rules

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gavelhq/gavel/engine"
)

// Untyped data is what platforms and targets send: raw, metadata, the body of
// a step. Whole numbers are ints. A whole number too large for that stays
// exact as text; nothing is ever rounded.

// decodeJSON reads untyped data; nil if it is none.
func decodeJSON(text []byte) any {
	if len(bytes.TrimSpace(text)) == 0 {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return nil
	}
	if m, ok := v.(map[string]any); ok {
		return visible(m)
	}
	return visibleAt(v, 0)
}

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
func stepRecord(id string) *record {
	get := func(read func(*engine.StepRecord) any, otherwise any) func(any) any {
		return func(v any) any {
			if r, ok := v.(*engine.StepRecord); ok && r != nil {
				return read(r)
			}
			return otherwise
		}
	}
	headers := typ{kind: kindMap, elem: &typ{kind: kindText}}
	return &record{"steps." + id, []field{
		{"state", oneOf(engine.StepPending, engine.StepDone, engine.StepSkipped, engine.StepFailed),
			get(func(r *engine.StepRecord) any { return r.State }, engine.StepPending)},
		{"status", wholeType(), get(func(r *engine.StepRecord) any { return r.Status }, 0)},
		{"body", unknownType(), get(func(r *engine.StepRecord) any { return decodeJSON(r.Body) }, nil)},
		{"headers", headers, get(func(r *engine.StepRecord) any { return headerMap(r.Headers) }, map[string]any{})},
		{"error", textType(), get(func(r *engine.StepRecord) any { return r.Error }, "")},
	}}
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
	return &record{"failure", []field{
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
// for callers that print or marshal it.
func (c *compiler) exported(v any) any {
	var r *record
	switch v := v.(type) {
	case []any:
		list := make([]any, len(v))
		for i, x := range v {
			list[i] = c.exported(x)
		}
		return list
	case map[string]any:
		m := make(map[string]any, len(v))
		for key, x := range v {
			m[key] = c.exported(x)
		}
		return m
	case *engine.Participant:
		r = c.groups["participant"].rec
	case *engine.Event:
		r = c.groups["event"].rec
	case *engine.Room:
		r = c.groups["room"].rec
	case *engine.Session:
		r = c.groups["session"].rec
	case *engine.Recording:
		r = c.groups["recording"].rec
	case *engine.Track:
		r = c.groups["track"].rec
	case *engine.Stream:
		r = c.groups["stream"].rec
	case *engine.Artifact:
		r = c.groups["artifact"].rec
	case *engine.Source:
		r = c.groups["source"].rec
	case *engine.Failure:
		r = failureRecord()
	case *engine.StepRecord:
		r = stepRecord(v.ID)
	default:
		return v
	}
	m := make(map[string]any, len(r.fields))
	for _, f := range r.fields {
		m[f.name] = c.exported(f.get(v))
	}
	return m
}
