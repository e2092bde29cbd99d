package rules

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the expected output of testdata/rules/err")

// TestOK loads files without a mistake.
func TestOK(t *testing.T) {
	for _, path := range glob(t, "testdata/rules/ok/*") {
		if strings.HasSuffix(path, ".txt") {
			continue
		}
		t.Run(filepath.Base(path), func(t *testing.T) {
			o := testOptions()
			o.ReadFile = inFolder(t, "testdata/rules/ok")
			s, problems := Load(readFixture(t, path), o)
			if len(problems) > 0 || s == nil {
				t.Fatalf("\n%s", printed(problems))
			}
			if _, err := LoadRevision(s.Text(), o); err != nil {
				t.Errorf("the revision does not load again: %v", err)
			}
		})
	}
}

// TestErr loads files with mistakes and compares every message.
func TestErr(t *testing.T) {
	for _, path := range glob(t, "testdata/rules/err/*") {
		if strings.HasSuffix(path, ".out") || strings.HasSuffix(path, ".txt") {
			continue
		}
		t.Run(filepath.Base(path), func(t *testing.T) {
			o := testOptions()
			o.ReadFile = inFolder(t, "testdata/rules/err")
			_, problems := Load(readFixture(t, path), o)
			passed := PassedOver(path)
			for i := range passed {
				passed[i].File = filepath.Base(path)
			}
			problems = append(passed, problems...)
			got := printed(problems)
			if len(problems) == 0 {
				t.Fatal("no problem was found")
			}
			if strings.Contains(got, "canary") {
				t.Errorf("a secret is quoted:\n%s", got)
			}
			out := strings.TrimSuffix(path, ".yaml") + ".out"
			if *update {
				if err := os.WriteFile(out, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("messages differ (- expected, + got):\n%s", diff)
			}
		})
	}
}

func glob(t testing.TB, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		t.Fatalf("%s: %v, %d files", pattern, err, len(paths))
	}
	return paths
}

// inFolder reads list files of fixtures, which are named without their folder.
func inFolder(t *testing.T, folder string) func(string) ([]byte, error) {
	t.Helper()
	fallback := testOptions().ReadFile
	return func(name string) ([]byte, error) {
		if !filepath.IsAbs(name) {
			name = filepath.Join(folder, name)
		}
		return fallback(name)
	}
}
