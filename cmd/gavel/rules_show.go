package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gavelhq/gavel/actions"
	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/rules"
	"github.com/gavelhq/gavel/engine/store"
	"github.com/gavelhq/gavel/engine/web"
	"github.com/spf13/cobra"
)

// shown is how many runs and errors of a rule people see.
const shown = 5

// wholeRule is a rule with everything that is kept of it.
type wholeRule struct {
	web.Rule
	Revision   string        `json:"revision"`
	Since      time.Time     `json:"since"`       // of the figures
	Runs       []web.Run     `json:"runs"`        // the newest
	LastErrors []ruleFailure `json:"last_errors"` // likewise
	Timers     []web.Timer   `json:"timers"`      // open ones
	NearMisses *nearMisses   `json:"near_misses,omitempty"`
}

// ruleFailure is an event for which a condition could not be evaluated.
type ruleFailure struct {
	Event string    `json:"event"`
	Type  string    `json:"type"`
	At    time.Time `json:"at"`
	Error string    `json:"error"`
}

func (a *app) rulesShowCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "show one rule: definition, figures, last runs and errors, near misses",
		Example: `  gavel rules show long-session
  gavel rules show long-session --since 7d -o json`,
		Args: cobra.ExactArgs(1),
	}
	since := cmd.Flags().String("since", "24h", "count since then: `1h`, 7d, 2026-11-20 or 2026-11-20T14:00:00Z")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		params, err := a.sinceParam("since", *since)
		if err != nil {
			return err
		}
		r, err := a.readRule(cmd.Context(), args[0], params)
		switch {
		case err != nil:
			return err
		case a.structured():
			return printOne(a, r, nil)
		case a.output == "csv":
			return printOne(a, r.Rule, ruleColumns())
		}
		return a.printWholeRule(r)
	}
	return cmd
}

// readRule reads everything about a rule.
func (a *app) readRule(ctx context.Context, id string, params url.Values) (*wholeRule, error) {
	l, err := a.readRuleList(ctx, "rules/"+url.PathEscape(id), params)
	var missing *web.Error
	if errors.As(err, &missing) && missing.Status == http.StatusNotFound {
		return nil, a.unknownRule(ctx, id, params)
	}
	if err != nil {
		return nil, err
	}
	r := &wholeRule{Rule: l.Rules[0], Revision: l.Revision, Since: l.Since, LastErrors: []ruleFailure{}, Runs: []web.Run{}, Timers: []web.Timer{}}
	reader, err := store.OpenReader(ctx, a.dataDir, a.now)
	if err != nil {
		return nil, fail(exitUnreadable, err, "")
	}
	defer reader.Close()
	return r, a.fillRule(ctx, reader, r)
}

// unknownRule says which rule was probably meant.
func (a *app) unknownRule(ctx context.Context, id string, params url.Values) error {
	l, err := a.readRuleList(ctx, "rules", params)
	if err != nil {
		return err
	}
	var ids []string
	for _, r := range l.Rules {
		ids = append(ids, r.ID)
	}
	return noRule(id, ids)
}

// fillRule adds what the store has of a rule.
func (a *app) fillRule(ctx context.Context, reader *store.Reader, r *wholeRule) error {
	runs, err := reader.LastRunsOf(ctx, r.ID, shown)
	if err != nil {
		return err
	}
	for _, run := range runs {
		r.Runs = append(r.Runs, web.RunOf(run))
	}
	failed, err := reader.Errors(ctx, r.ID, shown)
	if err != nil {
		return err
	}
	for _, f := range failed {
		r.LastErrors = append(r.LastErrors, ruleFailure(f))
	}
	timers, err := reader.Timers(ctx, engine.Query{Rule: r.ID, Active: true, Limit: web.DefaultLimit})
	if err != nil {
		return err
	}
	for _, t := range timers {
		r.Timers = append(r.Timers, web.TimerOf(t))
	}
	x := &explainer{app: a, kinds: a.platforms(), actions: actions.Builtin(actions.Options{Now: a.now}), reader: reader}
	set, err := x.revision(ctx, r.Revision)
	if errors.Is(err, engine.ErrNotFound) { // of a file that no server has used yet
		set, err = a.fileRules()
	}
	if err != nil {
		return err
	}
	info, ok := infoOf(set, r.ID)
	if !ok {
		return nil
	}
	r.NearMisses, err = x.nearMisses(ctx, set, info)
	return err
}

func (a *app) printWholeRule(r *wholeRule) error {
	a.field("rule", "%s", r.ID)
	a.field("when", "%s", or(strings.Join(r.When, ", "), r.Schedule))
	for _, f := range [][2]string{
		{"mode", r.Mode}, {"shadow of", r.ShadowOf}, {"from", strings.Join(r.From, ", ")}, {"words", strings.Join(r.Words, ", ")}, {"does", strings.Join(r.Actions, ", ")},
		{"owner", r.Owner}, {"about", r.Description}, {"runbook", r.Runbook},
	} {
		if f[1] != "" {
			a.field(f[0], "%s", f[1])
		}
	}
	hits := fmt.Sprintf("%d since %s, %d failed, %s", r.Hits, a.clock(r.Since), r.Failed, count(int(r.Errors), "error"))
	if r.Else > 0 {
		hits += ", " + r.Note
	}
	a.field("hits", "%s", hits)
	a.field("last hit", "%s", or(a.clock(r.LastHit), r.Note))
	a.heading(fmt.Sprintf("%s (%s)", cleanCell(r.File), short(r.Revision)))
	for i, line := range strings.Split(r.Definition, "\n") {
		fmt.Fprintf(a.out, "%5d | %s\n", r.Line+i, clean(line))
	}
	if len(r.Timers) > 0 {
		a.heading("waiting")
		for _, t := range r.Timers {
			a.printLine(a.out, "  %s  %s", or(t.Session, t.Event, t.ID), a.timerText(refOf(t), t.Awaits))
		}
	}
	if len(r.Runs) > 0 {
		a.heading("last runs")
		if err := printTable(a, r.Runs, a.runColumns()); err != nil {
			return err
		}
	}
	if len(r.LastErrors) > 0 {
		a.heading("last errors")
		for _, f := range r.LastErrors {
			a.printLine(a.out, "%s  %s  %s: %s", a.clock(f.At), f.Event, f.Type, cleanCell(f.Error))
		}
	}
	if n := r.NearMisses; n != nil && len(n.Last) > 0 {
		a.heading("asked about last")
		if err := a.printLast(n); err != nil {
			return err
		}
		a.printNearMisses(n)
	}
	return nil
}

// idsOf are the ids of all rules of a set.
func idsOf(set *rules.Set) []string {
	var ids []string
	for _, r := range set.Rules() {
		ids = append(ids, r.ID)
	}
	return ids
}

// noRule says that there is no rule of that id, and which was meant.
func noRule(id string, ids []string) error {
	hint := "gavel rules list shows those there are"
	if near := nearest(id, ids); near != "" {
		hint = fmt.Sprintf("did you mean %q? %s", near, hint)
	}
	return fail(exitFindings, fmt.Errorf("there is no rule %q", id), hint)
}
