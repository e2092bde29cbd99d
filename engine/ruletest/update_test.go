package ruletest_test

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/gavelhq/gavel/engine/rules"
	"github.com/gavelhq/gavel/engine/ruletest"
)

// played checks a test file and plays its tests.
func played(t *testing.T, env ruletest.Env, text []byte) []*ruletest.Result {
	t.Helper()
	file, problems := ruletest.Parse(rules.File{Name: "rules.test.yaml", Text: text}).Check(env)
	if file == nil {
		var b strings.Builder
		rules.Print(&b, problems, false)
		t.Fatal(b.String())
	}
	var all []*ruletest.Result
	for i := range file.Tests {
		all = append(all, env.Run(file, &file.Tests[i]))
	}
	return all
}

// Every file of testdata/update is rules, tests, the tests as they are rewritten,
// and what is said of it. Line breaks of Windows stay as they are.
func TestUpdate(t *testing.T) {
	paths, err := filepath.Glob("testdata/update/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatal(err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			a, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			env := testEnv(t, testRules(t, section(a, "rules.yaml").Data))
			text := section(a, "rules.test.yaml").Data
			w := ruletest.Update(text, played(t, env, text))
			got := string(w.Text) + "-- said --\n"
			for _, h := range w.Hunks {
				got += fmt.Sprintf("%d %s: %d lines go, %d come\n", h.Line, h.Test, len(h.Old), len(h.New))
			}
			for _, r := range w.Refused {
				got += fmt.Sprintf("%d %s: %s\n", r.Line, r.Test, r.Why)
			}
			compareSection(t, path, a, got)

			// What is rewritten holds, and is not rewritten again.
			again := ruletest.Update(w.Text, played(t, env, w.Text))
			if d := cmp.Diff(string(w.Text), string(again.Text)); d != "" {
				t.Errorf("the second time: %s", d)
			}
			for _, r := range played(t, env, w.Text) {
				for _, h := range w.Hunks {
					if h.Test == r.Name && !r.Passed {
						t.Errorf("%s still fails: %v", r.Name, r.Findings)
					}
				}
			}
			windows := func(text []byte) []byte { return bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n")) }
			kept := ruletest.Update(windows(text), played(t, env, windows(text)))
			if d := cmp.Diff(string(windows(w.Text)), string(kept.Text)); d != "" {
				t.Errorf("with line breaks of Windows: %s", d)
			}
		})
	}
}

// compareSection compares what came out with the want section of an archive.
func compareSection(t *testing.T, path string, a *txtar.Archive, got string) {
	t.Helper()
	want := section(a, "want")
	d := cmp.Diff(strings.ReplaceAll(string(want.Data), "~~ ", "-- "), got)
	if d == "" {
		return
	}
	if !*update {
		t.Errorf("- want, + got:\n%s", d)
		return
	}
	if want.Name == "" {
		a.Files = append(a.Files, txtar.File{Name: "want"})
	}
	section(a, "want").Data = []byte(strings.ReplaceAll(got, "-- ", "~~ "))
	if err := os.WriteFile(path, txtar.Format(a), 0o644); err != nil {
		t.Fatal(err)
	}
}

// A report is XML, whatever tests and rooms are called.
func TestJUnit(t *testing.T) {
	env := testEnv(t, testRules(t, []byte(`
version: 1
sources: { a: { platform: any } }
rules: [ { id: r, when: session_started, then: [ slack: "${room.name}" ] } ]
`)))
	var all []ruletest.Timed
	for _, r := range played(t, env, []byte(`
tests:
  - name: "<b> & \"c\" ]]> \e"
    events: [ { type: session_started, session: { id: S }, room: { id: r, name: "<x>&\u0001" } } ]
    expect: []
  - name: fine
    events: []
    expect: []
`)) {
		all = append(all, ruletest.Timed{Result: r, Took: 1500 * time.Millisecond})
	}
	var b bytes.Buffer
	if err := ruletest.WriteJUnit(&b, all); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
		Suites   []struct {
			Name  string `xml:"name,attr"`
			Time  string `xml:"time,attr"`
			Cases []struct {
				Name    string `xml:"name,attr"`
				Failure string `xml:"failure"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatalf("%v\n%s", err, b.String())
	}
	if got.Tests != 2 || got.Failures != 1 || len(got.Suites) != 1 || got.Suites[0].Time != "3.000" {
		t.Errorf("%s", b.String())
	}
	if c := got.Suites[0].Cases; c[0].Name != "<b> & \"c\" ]]> \uFFFD" || !strings.Contains(c[0].Failure, `<x>&\x01`) || c[1].Failure != "" {
		t.Errorf("%+v", c)
	}
}
