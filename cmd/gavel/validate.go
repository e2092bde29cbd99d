package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

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

Each file or folder given is checked as a set of its own. With --watch they are
checked again at every change of theirs or of a list file, until Ctrl-C.`,
		Example: `  gavel validate
  gavel validate rules/ -q
  gavel validate --watch                                again after every change
  gavel validate --no-secrets -o github rules.yaml      annotations for a workflow`,
		Annotations: map[string]string{"formats": "table,json,jsonl,github"},
	}
	noSecrets := cmd.Flags().Bool("no-secrets", false, "do not look secrets up")
	watch := cmd.Flags().Bool("watch", false, "check again at every change, until interrupted")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			args = []string{a.rulesFile()}
		}
		if *watch && a.output != "table" && a.output != "jsonl" {
			return fail(exitUsage, fmt.Errorf("--watch does not go with -o %s", a.output), "use -o jsonl: a problem per line")
		}
		kinds, acts := a.platforms(), actions.Builtin(actions.Options{Now: a.now})
		var loaders []*rulesLoader
		for _, path := range args {
			loaders = append(loaders, a.newLoader(path, kinds, acts, *noSecrets))
		}
		if *watch {
			return a.validateAgain(cmd.Context(), loaders, watchFiles)
		}
		return a.validate(loaders)
	}
	return cmd
}

// validate loads each and reports what is wrong. The failure says no more than
// the exit code.
func (a *app) validate(loaders []*rulesLoader) error {
	var all engine.Problems
	for _, l := range loaders {
		set, problems, err := l.load()
		if err != nil {
			return fail(exitUnreadable, err, "name the file or folder: gavel validate FILE")
		}
		all = append(all, problems...)
		if a.output == "table" {
			a.printVerdict(l.path, set, problems)
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

// watcher calls changed at the start and whenever one of the paths may have
// changed, until ctx ends: watchFiles.
type watcher func(ctx context.Context, log *slog.Logger, paths func() []string, changed func()) error

// validateAgain validates now and after every change, each time with the time
// of day. A file that cannot be read is waited for like a broken one.
func (a *app) validateAgain(ctx context.Context, loaders []*rulesLoader, watch watcher) error {
	paths := func() []string {
		var all []string
		for _, l := range loaders {
			all = append(all, l.paths()...)
		}
		return all
	}
	first := true
	err := watch(ctx, slog.New(slog.NewTextHandler(a.err, nil)), paths, func() {
		if !first && !slices.ContainsFunc(loaders, (*rulesLoader).changed) {
			return
		}
		first = false
		if a.output == "table" {
			fmt.Fprintf(a.out, "%s\n", a.paint(a.out, cyan, a.now().In(a.zone).Format(time.TimeOnly)))
		}
		var f *failure
		if err := a.validate(loaders); errors.As(err, &f) && f.err != nil {
			fmt.Fprintf(a.err, "%s %s\n", a.bad(), clean(f.err.Error()))
		}
	})
	if err != nil {
		return fail(exitUnreadable, err, "")
	}
	return fail(exitInterrupted, nil, "")
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
	if p.Why != "" {
		text += "\nwhy: " + p.Why
	}
	if p.Hint != "" {
		text += "\nhint: " + p.Hint
	}
	place := "file=" + property.Replace(p.File)
	if p.Line > 0 {
		place += fmt.Sprintf(",line=%d,endLine=%d,col=%d,endColumn=%d", p.Line, p.Line, p.Col, p.Col+max(1, p.Width))
	}
	return fmt.Sprintf("::%s %s,title=%s::%s", level, place, property.Replace(p.Code), value.Replace(clean(text)))
}
