package rules

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// TestLocate finds the X of the value in the file.
func TestLocate(t *testing.T) {
	for _, c := range []struct{ name, text string }{
		{"plain", "a: éé X y"},
		{"plain in a list", "- ab X"},
		{"single quotes", "a: 'it''s ''X'' é'"},
		{"double quotes", `a: "\"é\" \u00e9\x41\U0001F600\\ X"`},
		{"flow", `a: {b: "\n X", c: d}`},
		{"literal", "a: |\n  one\n\n  two é X\n"},
		{"literal, first line", "a: |-\n   X\n"},
		{"literal, indented further", "a:\n  b: |\n    one\n      two X\n"},
		{"literal, explicit indent", "a: |2\n    é X\n"},
		{"literal, explicit indent, indented text", "a:\n  b: |2-\n      é X\n"},
		{"literal, empty lines", "a: |+\n\n\n  one\n\n    two\n\n  X\n\n"},
		{"literal with a comment", "a: | # note\n  one\n  X\n"},
		{"folded", "a: >\n  one\n  two é X\n"},
		{"folded, empty lines", "a: >-\n\n  one\n  two\n\n\n  three\n  X\n"},
		{"folded, indented further", "a: >\n  one\n    two\n\n    three\n  four\n  é X\n"},
		{"folded, explicit indent", "a: >2\n     one\n   two\n  X\n"},
		{"folded, on its first line", "a: >\n  X\n"},
		{"plain over lines", "a: one   \n  é two\n  X\n"},
		{"plain over lines and empty ones", "a: one\n\n\n  two\n  é X"},
		{"plain over lines in a list", "- one\n  two\n  X"},
		{"plain below its key", "a:\n  one X"},
		{"single quotes over lines", "a: 'it''s\n  é   \n\n  ''X'' '"},
		{"double quotes over lines", "a: \"\\\"one\n  \\u00e9 \n\n  two X\""},
		{"double quotes, joined", "a: \"one \\\n   \\  two\\\n  é X\""},
		{"double quotes, escaped breaks", "a: \"one\\n\\n two X\""},
		{"flow over lines", "a: { b: one\n   two X, c: d }"},
		{"after crlf, folded", "a: >\r\n  one\r\n\r\n  two X\r\n"},
		{"after crlf, plain", "a: one\r\n  two X\r\n"},
		{"tabs between", "a: 'one\tX'"},
		{"tabs in front of a line", "a: 'one\n\t\ttwo X'"},
		{"after crlf", "a: |\r\n  one\r\n  two X\r\n"},
		{"after a wide line break", "a: 1 # \u2028b: 2\nc: ab X"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDocument("rules.yaml", 0, c.text)
			var root yaml.Node
			if err := yaml.Unmarshal([]byte(c.text), &root); err != nil {
				t.Fatal(err)
			}
			n := withX(&root)
			line, col, ok := d.locate(n, utf8.RuneCountInString(n.Value[:strings.Index(n.Value, "X")]))
			if !ok {
				t.Fatal("no place found")
			}
			if r := []rune(d.line(line)); col > len(r) || r[col-1] != 'X' {
				t.Errorf("%d:%d is not the X", line, col)
			}
		})
	}
}

func withX(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.ScalarNode && strings.Contains(n.Value, "X") {
		return n
	}
	for _, c := range n.Content {
		if found := withX(c); found != nil {
			return found
		}
	}
	return nil
}

func TestMaskSecrets(t *testing.T) {
	for line, want := range map[string]string{
		"secret: abc":                                  "secret: …",
		"secret: env:ABC":                              "secret: env:ABC",
		"  token: \"env:ABC\"  # the bot":              "  token: \"env:ABC\"  # the bot",
		"secret: [env:A, env:B]":                       "secret: [env:A, env:B]",
		"secret: [env:A, abc]":                         "secret: …",
		"{ secret: env:A, api_key: abc, tenant: x }":   "{ secret: env:A, api_key: …",
		"{ secret: env:A, api_key: env:B, tenant: x }": "{ secret: env:A, api_key: env:B, tenant: x }",
		"secret: #abc":                                 "secret: …",
		"secret:  # below":                             "secret:  # below",
		"headers: { Authorization: Bearer abc }":       "headers: { Authorization: …",
		"text: the secret is out":                      "text: the secret is out",
		"slack_token: x":                               "slack_token: …",
		"password: 'x":                                 "password: …",
		"if: x > 1":                                    "if: x > 1",
	} {
		if got := maskSecrets(line); got != want {
			t.Errorf("%q: %q, expected %q", line, got, want)
		}
	}
}

func TestSuggest(t *testing.T) {
	known := []string{"session_ended", "session_started", "when", "if"}
	for word, want := range map[string]string{
		"sesion_ended": "session_ended", "sessionended": "session_ended", "wehn": "when", "When": "when", "iff": "if",
		"": "", "x": "", "participant": "", strings.Repeat("x", 1000): "",
	} {
		if got := closest(word, known); got != want {
			t.Errorf("%q: %q, expected %q", word, got, want)
		}
	}
}

func TestAmbiguous(t *testing.T) {
	for text, want := range map[string]bool{
		"yes": true, "No": true, "on": true, "OFF": true, "1e3": true, "0123": true, "-0123": true, "0x1f": true, "1_000": true, "+1": true, ".5": true,
		"12:30": true, "1:02:03": true, "2026-11-20": true, "~": true, "null": true, ".inf": true,
		"0": false, "12": false, "-12": false, "1.5": false, "true": false, "hello": false, "10:": false, "a:1": false, "85746065432": false, "1000:2000": false, "0.004": false,
	} {
		var n yaml.Node
		if err := yaml.Unmarshal([]byte(fmt.Sprintf("a: %s", text)), &n); err != nil {
			if strings.HasSuffix(text, ":") {
				continue
			}
			t.Fatal(err)
		}
		if got := ambiguous(n.Content[0].Content[1]); (got != "") != want {
			t.Errorf("%s: %q", text, got)
		}
	}
}
