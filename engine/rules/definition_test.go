package rules

import "testing"

func TestDefinition(t *testing.T) {
	const text = `version: 1
rules:
  # the first
  - id: first
    when: session_ended
    then:
      - log: |
          a line

          # not a comment

  # the second
  - { id: second, when: session_ended, then: [ { log: b } ] }
  - id: third   # the last
    when: session_ended

    then:
    - log: c
  # nothing follows
`
	set := mustLoad(t, text)
	for id, want := range map[string]string{
		"first":  "  - id: first\n    when: session_ended\n    then:\n      - log: |\n          a line\n\n          # not a comment",
		"second": "  - { id: second, when: session_ended, then: [ { log: b } ] }",
		"third":  "  - id: third   # the last\n    when: session_ended\n\n    then:\n    - log: c",
		"fourth": "",
	} {
		if got := set.Definition(id); got != want {
			t.Errorf("%s: got %q, want %q", id, got, want)
		}
	}
}
