package rules

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDecodeJSON(t *testing.T) {
	long := strings.Repeat("ä", maxText)
	for _, x := range []struct {
		text string
		want any
	}{
		{`{"a":1,"b":1.5,"c":"x","d":true,"e":null}`, map[string]any{"a": 1, "b": 1.5, "c": "x", "d": true, "e": nil}},
		{`9223372036854775807`, 9223372036854775807},
		{`-9223372036854775808`, -9223372036854775808},
		{`9223372036854775808`, "9223372036854775808"}, // exact, as text
		{`85746065432`, 85746065432},
		{`1e3`, 1000.0},
		{`1.0`, 1.0},
		{`1e999`, "1e999"},
		{`[1,[2]]`, []any{1, []any{2}}},
		{`{}`, map[string]any{}},
		{``, nil},
		{`null`, nil},
		{`{"a":`, nil},
		{`"` + long + `"`, long[:maxText]},
		{strings.Repeat("[", 100) + strings.Repeat("]", 100), nested(maxDepth + 1)},
	} {
		// Not cmp.Diff: deep data takes it for ever.
		if got := decodeJSON([]byte(x.text)); !reflect.DeepEqual(x.want, got) {
			t.Errorf("%s: %.200v", cut(x.text), got)
		}
	}
	list, _ := decodeJSON([]byte("[" + strings.Repeat("1,", 5000) + "1]")).([]any)
	if len(list) != maxList {
		t.Errorf("%d elements are visible", len(list))
	}
}

// nested is depth lists in each other; what is too deep is nil.
func nested(depth int) any {
	if depth == 0 {
		return nil
	}
	return []any{nested(depth - 1)}
}

func TestVisible(t *testing.T) {
	in := map[string]any{"n": json.Number("7"), "f": 3.0, "g": 2.5, "i": int64(5), "l": []string{"a"}, "x": struct{}{}, "m": map[string]any{"k": json.Number("x")}}
	want := map[string]any{"n": 7, "f": 3, "g": 2.5, "i": 5, "l": []any{"a"}, "x": nil, "m": map[string]any{"k": "x"}}
	if diff := cmp.Diff(want, visible(in)); diff != "" {
		t.Error(diff)
	}
	if _, ok := in["n"].(json.Number); !ok {
		t.Error("the event was changed")
	}
	if m, ok := visible(nil).(map[string]any); !ok || m == nil {
		t.Error("no metadata is an empty map")
	}
}

func TestCutText(t *testing.T) {
	text := strings.Repeat("x", maxText-1) + "ä"
	if got := cutText(text); len(got) != maxText-1 {
		t.Errorf("%d bytes", len(got))
	}
}

// TestSameData: what is within the limits is read as encoding/json reads it.
func TestSameData(t *testing.T) {
	e := newExprMaker(newCompiler(testDefinitions(t)), endScope(), newMutator(nil, *seed))
	read := 0
	for range 5_000 {
		text := e.payload()
		var want any
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		if d.Decode(&want) == nil {
			want = visibleAt(want, 0)
			read++
		}
		if got := decodeJSON([]byte(text)); !reflect.DeepEqual(want, got) {
			t.Fatalf("%q:\n%#v\n%#v", text, want, got)
		}
	}
	if read < 2_000 {
		t.Errorf("only %d were JSON", read)
	}
}

// TestTooMuchData: more than an expression may look at is an error of those
// that ask for it.
func TestTooMuchData(t *testing.T) {
	c := newCompiler(testDefinitions(t))
	in := meeting()
	in.Event.Raw = json.RawMessage(`{"m":` + wideMap(maxVisible) + `}`)
	in.steps[0].Body = in.Event.Raw
	for src, want := range map[string]string{
		`raw.m != nil`:             "raw: the data has more than 100000 values",
		`steps.crm.body.m != nil`:  "the data has more than 100000 values",
		`steps.crm.state`:          "",
		`session.duration > 60m`:   "",
		`steps.crm`:                "the data has more than 100000 values",
		`steps.crm.body?.m ?? "x"`: "the data has more than 100000 values",
	} {
		p, issues := c.compile(src, endScope(), wantValue)
		if p == nil {
			t.Errorf("%s: %+v", src, issues)
			continue
		}
		got := ""
		if _, err := p.eval(in); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: %q", src, got)
		}
	}
}
