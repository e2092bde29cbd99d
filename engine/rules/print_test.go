package rules

import (
	"strings"
	"testing"

	"github.com/gavelhq/gavel/engine"
	"github.com/google/go-cmp/cmp"
)

func TestPrint(t *testing.T) {
	long := strings.Repeat("x", 200)
	for _, c := range []struct {
		name  string
		p     engine.Problem
		color bool
		want  string
	}{
		{"all of it", engine.Problem{File: "rules.yaml", Line: 14, Col: 17, Width: 7, Rule: "long-session", Code: "unknown-field",
			What: `session has no field "duraton"`, Why: "because", Hint: `did you mean "duration"?`, Source: "    if: session.duraton > 60m"}, false,
			`rules.yaml:14:17: session has no field "duraton"                  [rule long-session] unknown-field
   14 |     if: session.duraton > 60m
      |                 ^~~~~~~
 why:  because
 hint: did you mean "duration"?
`},
		{"a warning about a file", engine.Problem{File: "rules.yaml", Code: "no-rules", What: "there are no rules", Warning: true}, false,
			"rules.yaml: warning: there are no rules                           no-rules\n"},
		{"tabs stay", engine.Problem{File: "a", Line: 1, Col: 3, Width: 1, Code: "c", What: strings.Repeat("w", 70), Source: "\t\tx"}, false,
			"a:1:3: " + strings.Repeat("w", 70) + "  c\n    1 | \t\tx\n      | \t\t^\n"},
		{"behind the end of the line", engine.Problem{File: "a", Line: 1, Col: 9, Width: 9, Code: "c", What: strings.Repeat("w", 70), Source: "ab"}, false,
			"a:1:9: " + strings.Repeat("w", 70) + "  c\n    1 | ab\n      |   ^\n"},
		{"a long line", engine.Problem{File: "a", Line: 1, Col: 101, Width: 2, Code: "c", What: strings.Repeat("w", 70), Source: long}, false,
			"a:1:101: " + strings.Repeat("w", 70) + "  c\n    1 | …" + long[:120] + "…\n      | " + strings.Repeat(" ", 61) + "^~\n"},
		{"in colour", engine.Problem{File: "a", Line: 1, Col: 1, Width: 2, Code: "c", What: strings.Repeat("w", 70), Source: "ab"}, true,
			"\x1b[1ma:1:1:\x1b[0m \x1b[31m" + strings.Repeat("w", 70) + "\x1b[0m  c\n    1 | ab\n      | \x1b[31m^~\x1b[0m\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b strings.Builder
			Print(&b, engine.Problems{c.p}, c.color)
			if diff := cmp.Diff(c.want, b.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}
