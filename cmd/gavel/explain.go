package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/gavelhq/gavel/actions"
	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/rules"
	"github.com/gavelhq/gavel/engine/store"
	"github.com/spf13/cobra"
)

func (a *app) explainCmd() *cobra.Command {
	x := &explainer{app: a}
	var typed bool
	cmd := &cobra.Command{
		Use:   "explain EVENT|RUN|FILE",
		Short: "say for each rule why it fired or did not",
		Long: `EVENT is the id of a stored event, or the start of one. It is explained with the
rules that it was evaluated with, and with the state as it was then. With --rules
it is explained with these rules instead, still with the state of then. RUN stands
for the event and the rule of a run.

FILE is an event as gavel events show -o json prints it, in JSON or YAML: source:
in it, or --source, names its source. With --source it can also be a body as the
platform sends it; - is standard input, and sample:PLATFORM/EVENT a sample as
gavel send has them. It is evaluated with the rules file as if nothing had happened
before, and it is shown what would be done. Nothing is sent.

Without EVENT, --rule shows the events a rule was asked about last, and which of
them it missed by little.

Every part of a condition is evaluated, also those that the engine did not need
to look at. What the state was is known from the events that are stored; what is
not stored any more is said to be unknown.`,
		Example: `  gavel explain 01K9F2M7
  gavel explain 01K9F2M7 --rule long-session
  gavel explain 01K9F2M7 --rules rules.yaml      what today's rules make of it
  gavel explain --rule long-session              what it missed by little
  gavel explain sample:livekit/room_finished`,
		Annotations: map[string]string{"formats": "table,json,jsonl"},
		Args: func(cmd *cobra.Command, args []string) error {
			// Before the environment is asked: what it says is not about this event.
			typed = cmd.Flags().Changed("rules")
			if len(args) == 0 && x.rule != "" {
				return nil
			}
			return cobra.ExactArgs(1)(cmd, args)
		},
	}
	cmd.Flags().StringVar(&x.rule, "rule", "", "only this `rule`, also if it is about other events")
	cmd.Flags().StringVar(&x.source, "source", "", "the `source` that FILE comes from")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		x.today = typed
		x.kinds, x.actions = a.platforms(), actions.Builtin(actions.Options{Now: a.now})
		switch {
		case len(args) == 0:
			return x.explainRule(cmd.Context())
		case isFile(args[0]):
			return x.explainFile(cmd.Context(), args[0])
		}
		return x.explainEvent(cmd.Context(), args[0])
	}
	return cmd
}

// isFile reports whether an argument is no id.
func isFile(name string) bool {
	if name == "-" || strings.HasPrefix(name, samplePrefix) || strings.ContainsAny(name, "./") {
		return true
	}
	_, err := os.Stat(name)
	return err == nil
}

// explainer is one gavel explain.
type explainer struct {
	*app
	rule, source string
	today        bool // with the rules of --rules

	kinds   []engine.PlatformKind
	actions []engine.ActionKind
	reader  *store.Reader
	run     *engine.Run // that was asked for; nil: an event was
}

// open opens the store. It is read beside a server as well as without one.
func (x *explainer) open(ctx context.Context) (err error) {
	if x.reader, err = store.OpenReader(ctx, x.dataDir, x.now); err != nil {
		return fail(exitUnreadable, err, "")
	}
	return nil
}

// revision loads rules of before.
func (x *explainer) revision(ctx context.Context, id string) (*rules.Set, error) {
	text, err := x.reader.Revision(ctx, id)
	if err != nil {
		return nil, err
	}
	return rules.LoadRevision(text, rules.Options{Actions: x.actions, Platforms: x.kinds})
}

// infoOf is what is known of a rule.
func infoOf(set *rules.Set, id string) (rules.RuleInfo, bool) {
	for _, r := range set.Rules() {
		if r.ID == id {
			return r, true
		}
	}
	return rules.RuleInfo{}, false
}

// explainEvent explains a stored event.
func (x *explainer) explainEvent(ctx context.Context, id string) error {
	if err := x.open(ctx); err != nil {
		return err
	}
	defer x.reader.Close()
	if strings.HasPrefix(id, "run_") {
		run, err := x.reader.Run(ctx, id)
		if err != nil {
			return fail(exitFindings, err, "those that are kept are listed by: gavel runs list")
		}
		x.run, id, x.rule = &run, run.Event, or(x.rule, run.Rule)
	}
	row, err := x.reader.Stored(ctx, id)
	switch {
	case errors.Is(err, engine.ErrNotFound) && x.run != nil:
		return fail(exitFindings, fmt.Errorf("event %s of %s is no longer kept, so there is nothing to explain it with", id, x.run.ID),
			"what the run did is shown by: gavel runs show "+x.run.ID)
	case errors.Is(err, engine.ErrNotFound):
		return fail(exitFindings, fmt.Errorf("no event %q", id), "those that are kept are listed by: gavel events list; a file is named with its path: ./"+id)
	case err != nil:
		return fail(exitFindings, err, "")
	}
	r, err := x.report(ctx, &row)
	if err != nil {
		return err
	}
	if x.structured() {
		return printOne(x.app, r, nil)
	}
	return x.printReport(r)
}

// explainRule shows what a rule was asked about of late.
func (x *explainer) explainRule(ctx context.Context) error {
	if err := x.open(ctx); err != nil {
		return err
	}
	defer x.reader.Close()
	set, err := x.fileRules()
	if err != nil {
		return err
	}
	info, ok := infoOf(set, x.rule)
	if !ok {
		return noRule(x.rule, idsOf(set))
	}
	n, err := x.nearMisses(ctx, set, info)
	if err != nil {
		return err
	}
	if x.structured() {
		return printOne(x.app, n, nil)
	}
	x.field("rule", "%s (%s:%d)", info.ID, info.File, info.Line)
	x.field("about", "%s", strings.Join(n.Types, " or "))
	if n.Asked == 0 {
		x.say("no event of its types is stored")
		return nil
	}
	x.printNearMisses(n)
	x.heading("asked about last")
	return x.printLast(n)
}
