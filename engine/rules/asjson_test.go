package rules

import (
	"strings"
	"testing"
)

func TestAsJSON(t *testing.T) {
	for text, want := range map[string]string{
		`{"a": 1.50}`:                        `{"a": 1.50}`, // as it is
		"type: session_ended\nn: 3":          `{"n":3,"type":"session_ended"}`,
		"at: 2026-11-20T14:00:00Z":           `{"at":"2026-11-20T14:00:00Z"}`,
		"a: &x { b: yes }\nc: *x":            `{"a":{"b":"yes"},"c":{"b":"yes"}}`,
		"a: [":                               "error: it is neither JSON nor YAML: line 1",
		"1: a":                               "error: it has keys that are no text",
		"a: " + strings.Repeat("[", 200_000): "error: it is neither JSON nor YAML",
	} {
		got, err := AsJSON([]byte(text))
		if err != nil {
			got = []byte("error: " + err.Error())
		}
		if string(got) != want && !(err != nil && strings.HasPrefix(string(got), want)) {
			t.Errorf("%.40q: got %s", text, got)
		}
	}
}
