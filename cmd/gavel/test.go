package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/gavelhq/gavel/actions"
	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/rules"
	"github.com/gavelhq/gavel/engine/ruletest"
	"github.com/gavelhq/gavel/engine/web"
	"github.com/spf13/cobra"
)

func (a *app) testCmd() *cobra.Command {
	t := &tester{app: a, sets: map[string]*testedRules{}}
	cmd := &cobra.Command{
		Use:   "test [FILE|FOLDER…]",
		Short: "play the tests of the rules",
		Long: `A test says what happens, at which time, and what the rules are to do about it.
It is played on a server in memory: waits, retries and schedules take no time,
and nothing is sent. Without arguments all *.test.yaml beside the rules file are
played. docs/testing.md says how tests are written.

--update writes into expect: what happened, after showing the difference: of an
entry only what is wrong is corrected. Tests in which something went wrong stay
as they are.`,
		Example: `  gavel test
  gavel test --run vip -v                       with all that is done
  gavel test --coverage                         what no test has tried
  gavel test --junit report.xml rules.test.yaml`,
		Annotations: map[string]string{"formats": "table,json,jsonl,github"},
		RunE:        t.run,
	}
	f := cmd.Flags()
	f.StringVar(&t.only, "run", "", "only tests whose name matches this regular expression (`pattern`)")
	f.BoolVarP(&t.verbose, "verbose", "v", false, "show what each test does")
	f.BoolVar(&t.coverage, "coverage", false, "show rules that never fired and conditions that were never true or never false")
	f.BoolVar(&t.update, "update", false, "write what happened into the test files")
	f.StringVar(&t.junit, "junit", "", "write a report as JUnit XML into this `file`")
	return cmd
}

// tester is one gavel test.
type tester struct {
	*app
	only, junit               string
	verbose, coverage, update bool

	kinds   []engine.PlatformKind
	actions []engine.ActionKind
	pattern *regexp.Regexp
	sets    map[string]*testedRules
	paths   []string // of sets, in order
	results []ruletest.Timed
	invalid engine.Problems // mistakes in test files
	stop    func() error
}

// testedRules are rules and what tests have seen of them.
type testedRules struct {
	path     string
	env      ruletest.Env
	coverage *ruletest.Coverage
}

func (t *tester) run(cmd *cobra.Command, args []string) (err error) {
	if t.pattern, err = regexp.Compile(t.only); err != nil {
		return fail(exitUsage, fmt.Errorf("--run cannot be %q", t.only), "it is a regular expression: "+err.Error())
	}
	files, err := t.files(args)
	if err != nil {
		return err
	}
	t.kinds, t.actions, t.stop = t.platforms(), actions.Builtin(actions.Options{Now: t.now}), cmd.Context().Err
	for _, name := range files {
		if err := t.file(name); err != nil {
			return err
		}
		if t.stop() != nil {
			return fail(exitInterrupted, nil, "")
		}
	}
	switch {
	case len(t.results)+len(t.invalid) > 0:
	case t.only != "":
		return fail(exitUsage, fmt.Errorf("no test has a name that matches %q", t.only), "")
	default:
		return fail(exitFindings, fmt.Errorf("there is no test in %s", strings.Join(files, ", ")), "docs/testing.md says how tests are written")
	}
	if err := t.report(); err != nil {
		return err
	}
	if t.failed() > 0 || len(t.invalid) > 0 {
		return fail(exitFindings, nil, "")
	}
	return nil
}

const testSuffix = ".test.yaml"

// files are the test files that args name, or those beside the rules.
func (t *tester) files(args []string) ([]string, error) {
	if len(args) == 0 {
		beside := t.rulesFile()
		if info, err := os.Stat(beside); err != nil || !info.IsDir() {
			beside = filepath.Dir(beside)
		}
		args = []string{beside}
	}
	var all []string
	for _, arg := range args {
		info, err := os.Stat(arg)
		switch {
		case err != nil:
			return nil, fail(exitUnreadable, fmt.Errorf("%s: %w", arg, reasonOf(err)), "name a test file, or a folder with files called NAME"+testSuffix)
		case !info.IsDir():
			all = append(all, arg)
			continue
		}
		entries, err := os.ReadDir(arg)
		if err != nil {
			return nil, fail(exitUnreadable, err, "")
		}
		found := false
		for _, e := range entries {
			if strings.HasSuffix(e.Name(), testSuffix) && !e.IsDir() {
				all, found = append(all, filepath.Join(arg, e.Name())), true
			}
		}
		if !found {
			return nil, fail(exitUnreadable, fmt.Errorf("there is no *%s in %s", testSuffix, arg), "write one: docs/testing.md says how, and gavel events export --as-test makes one of what happened")
		}
	}
	return all, nil
}

// reasonOf is what the system says of a path, without the path.
func reasonOf(err error) error {
	var of *os.PathError
	if errors.As(err, &of) {
		return of.Err
	}
	return err
}

// file plays the tests of one file.
func (t *tester) file(name string) error {
	text, err := readBounded(name)
	if err != nil {
		return fail(exitUnreadable, err, "")
	}
	draft := ruletest.Parse(rules.File{Name: name, Text: text})
	path := t.rulesFile()
	if draft.Rules != "" {
		path = draft.Rules
		if !filepath.IsAbs(path) {
			path = filepath.Join(filepath.Dir(name), path)
		}
	}
	set, err := t.load(path)
	if err != nil {
		return err
	}
	file, problems := draft.Check(set.env)
	if file == nil {
		t.invalid = append(t.invalid, problems...)
		if !t.structured() && t.output != "github" {
			t.printProblems(t.out, problems)
			fmt.Fprintf(t.out, "%s %s in %s\n", t.bad(), countProblems(problems), clean(name))
		}
		return nil
	}
	if !t.update { // which writes down what a test does not ask for
		t.printProblems(t.err, problems)
	}
	results := t.play(set, file)
	if t.update {
		if results, err = t.updated(set, name, text, results); err != nil {
			return err
		}
	}
	for _, r := range results {
		set.coverage.Add(r.Result)
	}
	t.results = append(t.results, results...)
	if t.output == "table" {
		t.printFile(name, results)
	}
	return nil
}

// load loads rules once. Secrets need not be there.
func (t *tester) load(path string) (*testedRules, error) {
	if s := t.sets[path]; s != nil {
		return s, nil
	}
	set, _, err := t.readRules(t.newLoader(path, t.kinds, t.actions, true))
	if err != nil {
		return nil, err
	}
	known, err := newDecoders(t.kinds, set)
	if err != nil {
		return nil, err
	}
	s := &testedRules{path: path, coverage: ruletest.NewCoverage(set, t.coverage)}
	s.env = ruletest.Env{
		Rules: set, Actions: t.actions, Platforms: t.kinds, Sample: t.sample, Change: changedSample, Stop: t.stop,
		Decode: func(source string, body []byte, received time.Time) ([]engine.Event, error) {
			return known.sources[source].Decode(body, received)
		},
	}
	t.sets[path] = s
	t.paths = append(t.paths, path)
	return s, nil
}

// play plays the tests of a file whose names match.
func (t *tester) play(set *testedRules, file *ruletest.File) []ruletest.Timed {
	var all []ruletest.Timed
	for i := range file.Tests {
		if c := &file.Tests[i]; t.pattern.MatchString(c.Name) {
			began := t.now()
			r := set.env.Run(file, c)
			all = append(all, ruletest.Timed{Result: r, Took: t.now().Sub(began)})
		}
	}
	return all
}

// updated writes what happened into a test file, and plays it again.
func (t *tester) updated(set *testedRules, name string, text []byte, results []ruletest.Timed) ([]ruletest.Timed, error) {
	var plain []*ruletest.Result
	for _, r := range results {
		plain = append(plain, r.Result)
	}
	w := ruletest.Update(text, plain)
	for _, r := range w.Refused {
		t.say("%s:%d  %q is not updated: %s", name, r.Line, r.Test, r.Why)
	}
	if len(w.Hunks) == 0 {
		return results, nil
	}
	file, problems := ruletest.Parse(rules.File{Name: name, Text: w.Text}).Check(set.env)
	if file == nil {
		return nil, fail(exitFindings, fmt.Errorf("%s cannot be updated: it would have mistakes: %w", name, problems), "")
	}
	for _, h := range w.Hunks {
		t.printHunk(name, h)
	}
	if err := replaceFile(name, w.Text); err != nil {
		return nil, fail(exitUnreadable, fmt.Errorf("update %s: %w", name, err), "")
	}
	return t.play(set, file), nil
}

// replaceFile changes a file as a whole or not at all: the one that a link points
// to, and none that may not be written.
func replaceFile(name string, text []byte) error {
	name, err := filepath.EvalSymlinks(name)
	if err != nil {
		return err
	}
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o200 == 0 {
		return fmt.Errorf("%s is read-only", name)
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".gavel-*")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Chmod(info.Mode().Perm()), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

func (t *tester) failed() int {
	n := 0
	for _, r := range t.results {
		if !r.Passed {
			n++
		}
	}
	return n
}

// testView is what programs are told of a test.
type testView struct {
	*ruletest.Result
	Took web.Duration `json:"took"`
	Done []string     `json:"done"`
}

// coverageView is what programs are told of the tests of a rule set.
type coverageView struct {
	Rules string          `json:"rules"`
	All   int             `json:"all"`
	Never []string        `json:"never"` // fired
	Parts *int            `json:"parts,omitempty"`
	Lack  []ruletest.Part `json:"lacking,omitempty"` // never true, or never false
}

func (t *tester) testView(r ruletest.Timed) testView {
	return testView{r.Result, web.Duration(r.Took), r.Done()}
}

// report prints what there is to say of all tests.
func (t *tester) report() error {
	if t.junit != "" {
		if err := t.writeJUnit(); err != nil {
			return err
		}
	}
	switch t.output {
	case "json":
		return t.printJSON(t.summary())
	case "jsonl":
		var errs []error
		for _, r := range t.results {
			errs = append(errs, t.printJSONLine(t.testView(r)))
		}
		return errors.Join(errs...)
	case "github":
		t.printAnnotations()
		return nil
	}
	if !t.quiet {
		t.printSummary()
	}
	if t.coverage {
		t.printCoverage()
	}
	return nil
}

// testSummary is what -o json prints.
type testSummary struct {
	Passed   int             `json:"passed"`
	Failed   int             `json:"failed"`
	Tests    []testView      `json:"tests"`
	Problems engine.Problems `json:"problems"`
	Coverage []coverageView  `json:"coverage"`
}

func (t *tester) summary() testSummary {
	s := testSummary{Passed: len(t.results) - t.failed(), Failed: t.failed(), Tests: []testView{}, Problems: engine.Problems{}, Coverage: []coverageView{}}
	s.Problems = append(s.Problems, t.invalid...)
	for _, r := range t.results {
		s.Tests = append(s.Tests, t.testView(r))
	}
	for _, path := range t.paths {
		all, never := t.sets[path].coverage.Rules()
		v := coverageView{Rules: path, All: all, Never: slices.Concat([]string{}, never)}
		if t.coverage {
			n, lacking := t.sets[path].coverage.Parts()
			v.Parts, v.Lack = &n, lacking
		}
		s.Coverage = append(s.Coverage, v)
	}
	return s
}

func (t *tester) writeJUnit() error {
	all := slices.Clone(t.results)
	for _, p := range t.invalid { // no test of such a file was played
		r := &ruletest.Result{File: p.File, Line: p.Line, Name: p.Code, Findings: []ruletest.Finding{{Line: p.Line, What: p.What}}}
		all = append(all, ruletest.Timed{Result: r})
	}
	f, err := os.Create(t.junit)
	if err == nil {
		err = errors.Join(ruletest.WriteJUnit(f, all), f.Close())
	}
	if err != nil {
		return fail(exitUnreadable, fmt.Errorf("write the report: %w", err), "")
	}
	return nil
}
