package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/gavelhq/gavel/actions"
	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/rules"
	"github.com/spf13/cobra"
)

func (a *app) validateCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "validate [FILE|FOLDER…]",
		Short: "check rules files and report every mistake at once",
		Long: `Checks what serve would load: keys, types, expressions, templates, lists,
connections, and that every secret the files refer to is there. With
--no-secrets references are checked for their form alone, for a machine that
does not have them.

Each file or folder given is checked as a set of its own.`,
		Example: `  gavel validate
  gavel validate rules/ -q
  gavel validate --no-secrets -o github rules.yaml      annotations for a workflow`,
		Annotations: map[string]string{"formats": "table,json,jsonl,github"},
	}
	noSecrets := cmd.Flags().Bool("no-secrets", false, "do not look secrets up")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			args = []string{a.rulesFile()}
		}
		kinds, acts := a.platforms(), actions.Builtin(actions.Options{Now: a.now})
		var all engine.Problems
		for _, path := range args {
			set, problems, err := a.newLoader(path, kinds, acts, *noSecrets).load()
			if err != nil {
				return fail(exitUnreadable, err, "name the file or folder: gavel validate FILE")
			}
			all = append(all, problems...)
			if a.output == "table" {
				a.printVerdict(path, set, problems)
			}
		}
		if err := a.printProblemData(all); err != nil {
			return err
		}
		if all.Errors() > 0 {
			return fail(exitFindings, nil, "")
		}
		return nil
	}
	return cmd
}

// printVerdict prints the problems of one set for people, and the verdict.
func (a *app) printVerdict(path string, set *rules.Set, problems engine.Problems) {
	a.printProblems(a.out, problems)
	if set == nil {
		if !a.quiet {
			fmt.Fprintf(a.out, "%s %s in %s\n", a.bad(), countProblems(problems), clean(path))
		}
		return
	}
	if !a.quiet {
		fmt.Fprintf(a.out, "%s %s: %s, %s, %s, %s (%s)\n", a.ok(), clean(path), count(set.Counts().Rules, "rule"), count(set.Counts().Sources, "source"),
			count(set.Counts().Actions, "action"), count(len(problems), "warning"), short(set.Revision()))
	}
}

// printProblemData prints problems for programs, where one of their formats
// was asked for.
func (a *app) printProblemData(problems engine.Problems) error {
	switch a.output {
	case "json":
		if problems == nil {
			problems = engine.Problems{}
		}
		return a.printJSON(problems)
	case "jsonl":
		var errs []error
		for _, p := range problems {
			errs = append(errs, a.printJSONLine(p))
		}
		return errors.Join(errs...)
	case "github":
		for _, p := range problems {
			fmt.Fprintln(a.out, annotation(p))
		}
	}
	return nil
}

// annotation is a problem as a workflow command.
// https://docs.github.com/actions/reference/workflow-commands-for-github-actions
func annotation(p engine.Problem) string {
	level := "error"
	if p.Warning {
		level = "warning"
	}
	value := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	property := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
	text := p.What
	if p.Hint != "" {
		text += "\nhint: " + p.Hint
	}
	place := "file=" + property.Replace(p.File)
	if p.Line > 0 {
		place += fmt.Sprintf(",line=%d,col=%d", p.Line, p.Col)
	}
	return fmt.Sprintf("::%s %s,title=%s::%s", level, place, property.Replace(p.Code), value.Replace(clean(text)))
}
