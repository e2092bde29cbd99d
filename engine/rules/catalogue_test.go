package rules

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestCatalogue: docs/validate.md lists every code with an example out of the
// fixtures. go test -run TestCatalogue -update writes it.
func TestCatalogue(t *testing.T) {
	const page = "../../docs/validate.md"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(text), "<!-- codes -->\n")
	_, tail, closed := strings.Cut(rest, "<!-- /codes -->\n")
	if !ok || !closed {
		t.Fatalf("%s: no markers <!-- codes --> and <!-- /codes -->", page)
	}
	want := head + "<!-- codes -->\n" + catalogue(t) + "<!-- /codes -->\n" + tail
	if want == string(text) {
		return
	}
	if !*update {
		t.Fatalf("%s is out of date: go test ./engine/rules -run TestCatalogue -update", page)
	}
	if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

// catalogue is the list of codes in Markdown.
func catalogue(t *testing.T) string {
	t.Helper()
	examples := map[string]string{}
	head := regexp.MustCompile(`^\S+?:(?:\d+:\d+:)? .*  (?:\[rule [a-z0-9-]+\] )?([a-z0-9-]+)$`)
	for _, path := range glob(t, "testdata/rules/err/*.out") {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range strings.Split(strings.TrimSpace(string(text)), "\n\n") {
			first, _, _ := strings.Cut(p, "\n")
			m := head.FindStringSubmatch(first)
			if m == nil {
				t.Fatalf("%s: %q is no problem", path, first)
			}
			if old := examples[m[1]]; old == "" || better(p, old) {
				examples[m[1]] = p
			}
		}
	}
	var b strings.Builder
	for _, code := range slices.Sorted(func(yield func(string) bool) {
		for code := range examples {
			if !yield(code) {
				return
			}
		}
	}) {
		fmt.Fprintf(&b, "### %s\n\n```text\n%s\n```\n\n", code, shortened(examples[code]))
	}
	return b.String()
}

// fixtureName is the file of an example: its name says nothing to a reader.
var fixtureName = regexp.MustCompile(`^[\w-]+\.yaml`)

// better reports whether an example shows more than another one: a hint and a
// line of ordinary length.
func better(a, b string) bool {
	rank := func(s string) int {
		longest := 0
		for _, line := range strings.Split(s, "\n") {
			longest = max(longest, len(line))
		}
		n := longest / 40
		if !strings.Contains(s, "\n hint: ") {
			n += 3
		}
		if strings.Contains(s, "…") {
			n++
		}
		return n
	}
	return rank(a) < rank(b)
}

// shortened is an example for a page: long lists of names are cut.
func shortened(example string) string {
	lines := strings.Split(fixtureName.ReplaceAllString(example, "rules.yaml"), "\n")
	for i, line := range lines {
		if r := []rune(line); len(r) > 160 {
			lines[i] = string(r[:160]) + "…"
		}
	}
	return strings.Join(lines, "\n")
}
