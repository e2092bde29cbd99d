package rules

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"
)

// TestSchemaIsStable: the same options give the same bytes.
func TestSchemaIsStable(t *testing.T) {
	one, err := Schema(testOptions())
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if again, _ := Schema(testOptions()); !bytes.Equal(one, again) {
			t.Fatal("it differs from call to call")
		}
	}
}

// TestSchemaExamples: what the schema gives as an example or default fits.
func TestSchemaExamples(t *testing.T) {
	text, err := Schema(testOptions())
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("mem:rules", doc); err != nil {
		t.Fatal(err)
	}
	n := 0
	var walk func(v any, pointer string)
	walk = func(v any, pointer string) {
		switch v := v.(type) {
		case []any:
			for i := range v {
				walk(v[i], fmt.Sprint(pointer, "/", i))
			}
		case map[string]any:
			examples, _ := v["examples"].([]any)
			if d, given := v["default"]; given {
				examples = append(examples, d)
			}
			for _, x := range examples {
				n++
				if s, err := c.Compile("mem:rules#" + pointer); err != nil {
					t.Errorf("%s: %v", pointer, err)
				} else if err := s.Validate(x); err != nil {
					t.Errorf("%s: %v: %v", pointer, x, err)
				}
			}
			for key, x := range v {
				if key != "examples" && key != "default" && key != "defaultSnippets" {
					walk(x, pointer+"/"+strings.NewReplacer("~", "~0", "/", "~1").Replace(key))
				}
			}
		}
	}
	walk(doc, "")
	if n < 40 {
		t.Errorf("only %d examples", n)
	}
}

// TestUsualRules: the rules that editors offer are good rules, and what is
// inserted is them.
func TestUsualRules(t *testing.T) {
	c := newSchemaCheck(t, testOptions())
	stop := regexp.MustCompile(`\$\{\d+:([^}]*)\}`)
	for _, u := range usualRules() {
		t.Run(u.label, func(t *testing.T) {
			entry := "rules:\n  - " + strings.ReplaceAll(strings.TrimSpace(u.rule), "\n", "\n    ") + "\n"
			f := File{"rules.yaml", []byte(sourcesText + "lists: { vips: [ceo@example.com] }\n" + entry)}
			if s, problems := Load([]File{f}, testOptions()); s == nil {
				t.Errorf("%s", printed(problems))
			}
			for _, m := range c.mistakes(t, f.Text) {
				t.Error(m.what)
			}
			inserted := strings.ReplaceAll(stop.ReplaceAllString(u.body(), "$1"), `\$`, `$`)
			if d := cmp.Diff(u.rule, inserted); d != "" {
				t.Errorf("-rule +inserted:\n%s", d)
			}
			if n := len(stop.FindAllString(u.body(), -1)); n != len(u.stops) {
				t.Errorf("%d of %d words are stops", n, len(u.stops))
			}
		})
	}
}

func TestEditorJSON(t *testing.T) {
	for _, tt := range []struct{ yaml, json string }{
		{"", "null"},
		{"# nothing", "null"},
		{"{ b: 1, a: [x, ~, ] }", `{"b":1,"a":["x",null]}`},
		{"[yes, no, on, off, y, N]", `["yes","no","on","off","y","N"]`},
		{"[true, True, FALSE, 'true']", `[true,true,false,"true"]`},
		{"[5, -5, +5, 0123, 0o17, 0x1F, '5', 99999999999999999999]", `[5,-5,5,123,15,31,"5",99999999999999999999]`},
		{"[1.5, 1., .5, 1e3, 1.0, .inf, .NaN, 1e999, 1_000]", `[1.5,1,0.5,1000,1,".inf",".NaN","1e999","1_000"]`},
		{"[12:30, 2026-11-20, 90s, 1:2:3]", `["12:30","2026-11-20","90s","1:2:3"]`},
		{"[~, null, Null, '', nil]", `[null,null,null,"","nil"]`},
		{"{ a: &x [1], b: *x }", `{"a":[1],"b":[1]}`},
		{"{ <<: { a: 1 }, b: !x 2 }", `{"<<":{"a":1},"b":"2"}`},
		{"a: |\n  x\n  y\nb: >-\n  x\n  y\n", `{"a":"x\ny\n","b":"x y"}`},
		{"5: x", `{"5":"x"}`},
		{"a: \"<&>\u2028\"", "{\"a\":\"<&>\\u2028\"}"},
	} {
		got, err := EditorJSON([]byte(tt.yaml))
		if err != nil {
			t.Errorf("%s: %v", tt.yaml, err)
		}
		if !json.Valid(got) || string(got) != tt.json {
			t.Errorf("%s:\n got %s\nwant %s", tt.yaml, got, tt.json)
		}
	}
	for _, bad := range []string{"a: b: c", "a: 1\n---\nb: 2", "a: &x [*x]"} {
		if got, err := EditorJSON([]byte(bad)); err == nil {
			t.Errorf("%s: no error, %s", bad, got)
		}
	}
}

// TestSchemaInOldEditors: some read YAML by version 1.1, where yes is true and
// 0123 another number. What validate takes means the same to them.
func TestSchemaInOldEditors(t *testing.T) {
	c := newSchemaCheck(t, testOptions())
	for _, f := range okFiles(t) {
		root, _, _ := decode(string(bytes.TrimPrefix(f.Text, []byte("\uFEFF"))))
		readAs11(root)
		text, err := yaml.Marshal(root)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range c.mistakes(t, text) {
			t.Errorf("%s: %s", f.Name, m.what)
		}
	}
}

// readAs11 writes out what YAML 1.1 makes of plain values.
// https://yaml.org/type/
func readAs11(n *yaml.Node) {
	for _, c := range n.Content {
		readAs11(c)
	}
	if n.Kind != yaml.ScalarNode || n.Style != 0 {
		return
	}
	switch v := strings.ToLower(n.Value); {
	case v == "yes" || v == "on" || v == "y":
		n.Tag, n.Value = "!!bool", "true"
	case v == "no" || v == "off" || v == "n":
		n.Tag, n.Value = "!!bool", "false"
	case sexagesimal(v) || regexp.MustCompile(`^[-+]?(?:0[0-7]+|[0-9]+_[0-9_]*)$`).MatchString(v):
		n.Tag, n.Value = "!!int", "60"
	}
}
