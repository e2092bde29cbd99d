package rules

import (
	"testing"

	"github.com/gavelhq/gavel/engine"
)

type listTestParams struct {
	To []string `json:"to"`
}

// A single value, written out or filled in, is a list of one where a list
// belongs.
func TestListOfOne(t *testing.T) {
	load := func(rules string) *Set {
		o := testOptions()
		o.Actions = append(o.Actions, testAction[listTestParams, noConn](engine.ActionKind{Name: "mail"}))
		s, problems := Load([]File{{"rules.yaml", []byte(threeSources + rules)}}, o)
		if s == nil {
			t.Fatalf("%s", printed(problems))
		}
		return s
	}
	for with, want := range map[string]string{
		`to: ana@example.com`:                       `{"to":["ana@example.com"]}`,
		`to: "${room.id}"`:                          `{"to":["r1"]}`,
		`to: "${room.id}@example.com"`:              `{"to":["r1@example.com"]}`,
		`to: "${raw.data.tags}"`:                    `{"to":["a","b"]}`,
		`to: "${raw.data.n}"`:                       `{"to":["3"]}`,
		`to: ["${room.id}", "${session.duration}"]`: `{"to":["r1","1h12m"]}`,
	} {
		s := load("  - { id: a, when: session_ended, then: [{ mail: { " + with + " } }] }\n")
		m := s.Match(ended())
		if len(m) != 1 || m[0].First == nil || string(m[0].First.With) != want {
			t.Errorf("%s: %+v", with, m)
		}
	}
	s := load(`  - { id: a, when: session_ended, then: [{ mail: { to: "${raw.data.nothing}" } }] }` + "\n")
	if m := s.Match(ended()); len(m) != 1 || m[0].Failed == "" {
		t.Errorf("what is not known: %+v", m)
	}
}
