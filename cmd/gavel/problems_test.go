package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gavelhq/gavel/actions"
	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/rules"
	"github.com/gavelhq/gavel/triggers"
	"github.com/google/go-cmp/cmp"
)

var updateProblems = flag.Bool("update-problems", false, "write the expected output of testdata/problems")

// rulesOptions are what this binary gives rules.Load; every variable is set.
func rulesOptions() rules.Options {
	return rules.Options{
		Actions:   actions.Builtin(actions.Options{Now: time.Now}),
		Platforms: triggers.Builtin(triggers.Options{Now: time.Now}),
		Getenv:    func(name string) (string, bool) { return "canary-secret-of-" + name, true },
	}
}

func loadText(name, text string) engine.Problems {
	_, problems := rules.Load([]rules.File{{Name: name, Text: []byte(text)}}, rulesOptions())
	return problems
}

func printedProblems(problems engine.Problems) string {
	var b strings.Builder
	rules.Print(&b, problems, false)
	return b.String()
}

// TestProblems: what the actions find wrong with their steps, each message
// with its file. Those of package rules are in its own testdata.
func TestProblems(t *testing.T) {
	for _, path := range filesOf(t, "testdata/problems/*.yaml") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			got := printedProblems(loadText(filepath.Base(path), readText(t, path)))
			if strings.Contains(got, "canary") {
				t.Errorf("a secret is quoted:\n%s", got)
			}
			out := strings.TrimSuffix(path, ".yaml") + ".out"
			if *updateProblems {
				if err := os.WriteFile(out, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(readText(t, out), got); diff != "" {
				t.Errorf("messages differ (- expected, + got):\n%s", diff)
			}
		})
	}
}

// TestMistakes: mistakes as people make them who write their first rules. Each
// file holds the rules with the mistake and the rules without it; "# fix:" is
// what the message must say, so that it alone leads from one to the other.
func TestMistakes(t *testing.T) {
	paths := filesOf(t, "testdata/mistakes/*.yaml")
	if len(paths) < 40 {
		t.Errorf("only %d mistakes", len(paths))
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".yaml"), func(t *testing.T) {
			wrong, right, ok := strings.Cut(readText(t, path), "--- # fixed\n")
			_, fix, hasFix := strings.Cut(strings.Replace(wrong, "# fix elsewhere: ", "# fix: ", 1), "# fix: ")
			if fix, _, _ = strings.Cut(fix, "\n"); !ok || !hasFix {
				t.Fatal("no fix, or no fixed rules")
			}
			if problems := loadText("fixed.yaml", right); len(problems) > 0 {
				t.Errorf("the fixed rules still have problems:\n%s", printedProblems(problems))
			}
			problems := loadText("rules.yaml", wrong)
			first, _ := firstDifference(wrong, "# \n# \n"+right)
			said, near := false, strings.Contains(wrong, "# fix elsewhere: ")
			for _, p := range problems {
				says := strings.Contains(p.Hint, fix)
				said = said || says
				near = near || says && (p.Line == first || p.Line == first-1 || p.Line == first+1)
			}
			switch {
			case !said:
				t.Errorf("no hint says %q:\n%s", fix, printedProblems(problems))
			case !near:
				t.Errorf("the hint is not at line %d:\n%s", first, printedProblems(problems))
			case len(problems) > 2:
				t.Errorf("one mistake, %d messages:\n%s", len(problems), printedProblems(problems))
			}
		})
	}
}

// firstDifference is the first line that differs, from 1.
func firstDifference(a, b string) (line int, found bool) {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range x {
		if strings.HasPrefix(x[i], "#") {
			continue
		}
		if i >= len(y) || x[i] != y[i] {
			return i + 1, true
		}
	}
	return 0, false
}

func filesOf(t *testing.T, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		t.Fatalf("%s: %v, %d files", pattern, err, len(paths))
	}
	return paths
}

func readText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
