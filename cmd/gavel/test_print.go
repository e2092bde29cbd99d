package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/ruletest"
	"github.com/gavelhq/gavel/triggers"
	"github.com/gavelhq/gavel/triggers/samples"
)

// Columns where the times of tests stand: the first, if all names leave room.
const (
	tookColumn    = 50
	longestColumn = 76
)

// printFile prints the tests of one file.
func (t *tester) printFile(name string, results []ruletest.Timed) {
	fine := !slices.ContainsFunc(results, func(r ruletest.Timed) bool { return !r.Passed })
	if len(results) == 0 || fine && t.quiet {
		return
	}
	word := t.paint(t.out, green, "ok  ")
	if !fine {
		word = t.paint(t.out, red, "FAIL")
	}
	fmt.Fprintf(t.out, "%s  %s\n", word, cleanCell(name))
	column := tookColumn
	for _, r := range results {
		column = min(longestColumn, max(column, utf8.RuneCountInString(cleanCell(r.Name))+2))
	}
	for _, r := range results {
		if r.Passed && t.quiet {
			continue
		}
		t.printTest(r, column)
	}
}

func (t *tester) printTest(r ruletest.Timed, column int) {
	sign, name := t.ok(), cleanCell(r.Name)
	if !r.Passed {
		sign = t.bad()
	}
	pad := strings.Repeat(" ", max(1, column-utf8.RuneCountInString(name)))
	fmt.Fprintf(t.out, "  %s %s%s%s\n", sign, name, pad, t.paint(t.out, faint, fmt.Sprintf("%d ms", r.Took.Round(time.Millisecond).Milliseconds())))
	if t.verbose {
		for _, line := range r.Done() {
			fmt.Fprintf(t.out, "      %s\n", cleanCell(line))
		}
	}
	for _, f := range r.Findings {
		fmt.Fprintf(t.out, "      %s:%d  %s\n", cleanCell(r.File), f.Line, cleanCell(f.What))
		for _, line := range f.Detail {
			fmt.Fprintf(t.out, "        %s\n", t.paint(t.out, lineColor(line), cleanCell(line)))
		}
	}
}

// lineColor is the colour of a line of a difference.
func lineColor(line string) string {
	switch {
	case strings.HasPrefix(line, "- "):
		return red
	case strings.HasPrefix(line, "+ "):
		return green
	}
	return ""
}

// printHunk prints what --update changes in a test.
func (t *tester) printHunk(name string, h ruletest.Hunk) {
	if t.structured() || t.output == "github" {
		return
	}
	fmt.Fprintf(t.out, "%s %s:%d  %s\n", t.mark("✎", "update"), cleanCell(name), h.Line, cleanCell(h.Test))
	for _, line := range h.Old {
		fmt.Fprintln(t.out, t.paint(t.out, red, "- "+clean(line)))
	}
	for _, line := range h.New {
		fmt.Fprintln(t.out, t.paint(t.out, green, "+ "+clean(line)))
	}
}

// printSummary prints how many tests passed, and which rules none has tried.
func (t *tester) printSummary() {
	line := fmt.Sprintf("%d passed, %d failed", len(t.results)-t.failed(), t.failed())
	if n := len(t.invalid); n > 0 {
		line += ", " + count(t.invalid.Errors(), "mistake")
	}
	if t.only != "" || len(t.invalid) > 0 { // what was not played has not tried its rules
		fmt.Fprintln(t.out, line)
		return
	}
	for _, path := range t.paths {
		all, never := t.sets[path].coverage.Rules()
		if all == 0 {
			continue
		}
		fired := all - len(never)
		line += fmt.Sprintf(" %s %d of %s exercised (%d %%)", t.mark("·", "-"), fired, count(all, "rule"), 100*fired/all)
		if len(t.paths) > 1 {
			line += " in " + cleanCell(path)
		}
		if len(never) > 0 {
			line += ", never fired: " + strings.Join(never, ", ")
		}
	}
	fmt.Fprintln(t.out, line)
}

// printCoverage prints what no test has tried.
func (t *tester) printCoverage() {
	for _, name := range t.paths {
		c := t.sets[name].coverage
		all, never := c.Rules()
		parts, lacking := c.Parts()
		fmt.Fprintf(t.out, "\ncoverage of %s: %d of %s fired, %d of %s of conditions tried both ways\n",
			cleanCell(name), all-len(never), count(all, "rule"), parts-len(lacking), count(parts, "part"))
		for _, id := range never {
			info, _ := infoOf(t.sets[name].env.Rules, id)
			fmt.Fprintf(t.out, "  %-24s never fired   rule %s\n", fmt.Sprintf("%s:%d", info.File, info.Line), id)
		}
		for _, p := range lacking {
			fmt.Fprintf(t.out, "  %-24s never %-6s  %s   rule %s\n", p.Place(), p.Never(), cleanCell(p.Text), p.Rule)
		}
	}
}

// printAnnotations prints what is wrong as workflow commands.
func (t *tester) printAnnotations() {
	for _, p := range t.invalid {
		fmt.Fprintln(t.out, annotation(p))
	}
	for _, r := range t.results {
		for _, f := range r.Findings {
			fmt.Fprintln(t.out, annotation(engine.Problem{
				File: r.File, Line: f.Line, Col: 1, Code: "failing-test", What: strings.Join(append([]string{r.Name + ": " + f.What}, f.Detail...), "\n"),
			}))
		}
	}
}

// sample finds a sample by PLATFORM/EVENT.
func (t *tester) sample(name string) (platform string, body []byte, err error) {
	platform, event, _ := strings.Cut(name, "/")
	kind, known := triggers.Find(t.kinds, platform)
	if !known {
		return "", nil, fmt.Errorf("there is no platform %q", platform)
	}
	s, err := samples.Find(platform, event, kind.Events)
	if err != nil {
		all, _ := samples.Of(platform) // none are none
		var names []string
		for _, x := range all {
			names = append(names, x.Name)
		}
		return "", nil, fmt.Errorf("%w: there are %s", err, strings.Join(names, ", "))
	}
	return platform, s.Body, nil
}

// changedSample makes a sample happen at a time, in the samples' own session.
func changedSample(platform string, body []byte, set map[string]string, at time.Time) ([]byte, error) {
	p, err := newPayload(platform, body)
	if err != nil {
		return nil, err
	}
	id := p.body[p.shape.delivery]
	p.freshen(at, p.shape.session)
	if id != nil {
		p.body[p.shape.delivery] = id // a test is the same each time
	}
	var names []string
	for name := range set {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := p.set(name+"="+set[name], at); err != nil {
			return nil, fmt.Errorf("%s", strings.TrimPrefix(err.Error(), "--set "))
		}
	}
	if len(p.added) > 0 {
		return nil, fmt.Errorf("the sample has no field %q: name its place to add one, such as room.%s", p.added[0], p.added[0])
	}
	return p.bytes()
}
