package main

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gavelhq/gavel/actions"
	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/rules"
	"github.com/gavelhq/gavel/engine/store"
	"github.com/gavelhq/gavel/engine/web"
	"github.com/spf13/cobra"
)

func (a *app) rulesCmd() *cobra.Command {
	cmd := group(&cobra.Command{
		Use:   "rules",
		Short: "the rules in force and what they did",
		Example: `  gavel rules list --since 7d
  gavel rules list --unused 30d
  gavel rules show long-session`,
	})
	cmd.AddCommand(a.rulesListCmd(), a.rulesShowCmd())
	return cmd
}

func (a *app) rulesListCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "list rules with their hits and errors",
		Long: `HITS are the runs a rule made since --since when it matched, FAILED its runs that
failed, ERRORS the events for which its condition could not be evaluated. LAST HIT
is its newest run, however old. Runs of else are no hits: NOTE says how many. A rule with mode: shadow is counted as if it acted.

The rules are those of the running server; without one, those of the file.`,
		Example: `  gavel rules list
  gavel rules list --since 7d -o json
  gavel rules list --unused 30d             what made no run for 30 days`,
		Args: cobra.NoArgs,
	}
	since := cmd.Flags().String("since", "24h", "count since then: `1h`, 7d, 2026-11-20 or 2026-11-20T14:00:00Z")
	unused := cmd.Flags().String("unused", "", "only rules without a run since then: `30d`")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		flag, value := "since", *since
		if *unused != "" {
			flag, value = "unused", *unused
		}
		params, err := a.sinceParam(flag, value)
		if err != nil {
			return err
		}
		l, err := a.readRuleList(cmd.Context(), "rules", params)
		if err != nil {
			return err
		}
		empty := "there are no rules"
		if *unused != "" {
			l.Rules = slices.DeleteFunc(l.Rules, func(r web.Rule) bool { return r.Hits+r.Else > 0 })
			empty = "every rule made a run since " + a.clock(l.Since)
		}
		if err := printList(a, l.Rules, ruleColumns()); err != nil {
			return err
		}
		a.sayMore(len(l.Rules), "", empty)
		return nil
	}
	return cmd
}

// sinceParam is the parameter since of the API, as a flag gives it.
func (a *app) sinceParam(flag, value string) (url.Values, error) {
	since, err := parseSince(value, a.now(), a.zone)
	if err != nil {
		return nil, fail(exitUsage, fmt.Errorf("--%s cannot be %q", flag, value), "write 90m, 1h, 7d, 2026-11-20 or 2026-11-20T14:00:00Z")
	}
	return url.Values{"since": {since.UTC().Format(time.RFC3339)}}, nil
}

// readRuleList reads one answer of the API about rules. Without a server the
// file must be readable.
func (a *app) readRuleList(ctx context.Context, path string, params url.Values) (l web.RuleList, err error) {
	c, err := a.connect(ctx)
	if err != nil {
		return l, err
	}
	defer c.close()
	if !c.live {
		if _, err := a.fileRules(); err != nil {
			return l, err
		}
	}
	return l, answered(c.Get(ctx, path, params, &l))
}

func ruleColumns() []column[web.Rule] {
	return []column[web.Rule]{
		{"ID", func(r web.Rule) any { return r.ID }},
		{"WHEN", func(r web.Rule) any { return or(strings.Join(r.When, " "), r.Schedule) }},
		{"MODE", func(r web.Rule) any { return state(r.Mode) }},
		{"HITS", func(r web.Rule) any { return r.Hits }},
		{"FAILED", func(r web.Rule) any { return r.Failed }},
		{"ERRORS", func(r web.Rule) any { return r.Errors }},
		{"LAST HIT", func(r web.Rule) any { return r.LastHit }},
		{"NOTE", func(r web.Rule) any { return r.Note }},
	}
}

// fileRules are the rules of the file, without secrets. Problems are printed
// only if they keep it from loading.
func (a *app) fileRules() (*rules.Set, error) {
	l := a.newLoader(a.rulesFile(), a.platforms(), actions.Builtin(actions.Options{Now: a.now}), true)
	set, problems, err := l.load()
	if err != nil {
		return nil, fail(exitUnreadable, err, "name the file or folder with --rules")
	}
	if set == nil {
		problems = slices.DeleteFunc(problems, func(p engine.Problem) bool { return p.Warning })
		a.printProblems(a.err, problems)
		return nil, fail(exitFindings, fmt.Errorf("%s in %s", countProblems(problems), l.path), "")
	}
	return set, nil
}

// rulesOfFile is what the API says of rules where no server runs.
func (a *app) rulesOfFile(r *store.Reader) web.RulesSince {
	return func(ctx context.Context, since time.Time) (web.RuleList, error) {
		set, err := a.fileRules()
		if err != nil {
			return web.RuleList{}, err
		}
		return ruleList(ctx, set, a.platforms(), r, since, a.now())
	}
}

// unheard is for how long no event must have come for that to be worth a note.
const unheard = 30 * 24 * time.Hour

// ruleList describes the rules of a set and what they did since a moment.
func ruleList(ctx context.Context, set *rules.Set, kinds []engine.PlatformKind, r *store.Reader, since, now time.Time) (web.RuleList, error) {
	l := web.RuleList{Rules: []web.Rule{}, Revision: set.Revision(), Since: since.UTC()}
	hits, err := r.Hits(ctx, since)
	if err != nil {
		return l, err
	}
	var quiet []string
	last := map[string]time.Time{}
	for _, info := range set.Rules() {
		if h := hits[info.ID]; h.Runs+h.Else > 0 {
			last[info.ID] = h.Last
		} else {
			quiet = append(quiet, info.ID)
		}
	}
	looked, err := r.LastRuns(ctx, quiet, since, last)
	if err != nil {
		return l, err
	}
	var heard map[[2]string]int64
	if len(last) < len(set.Rules()) {
		if heard, err = r.Heard(ctx, now.Add(-unheard)); err != nil {
			return l, err
		}
	}
	for _, info := range set.Rules() {
		h := hits[info.ID]
		v := ruleView(info)
		v.Definition = set.Definition(info.ID)
		v.Hits, v.Else, v.Failed, v.Errors, v.LastHit = h.Runs, h.Else, h.Failed, h.Errors, last[info.ID]
		switch {
		case v.LastHit.IsZero():
			v.Note = whyNever(info, kinds, heard, looked)
		case h.Else > 0:
			v.Note = count(int(h.Else), "run") + " of else"
		}
		l.Rules = append(l.Rules, v)
	}
	return l, nil
}

func ruleView(r rules.RuleInfo) web.Rule {
	v := web.Rule{
		ID: r.ID, When: r.When, Schedule: r.Schedule, From: r.From, Words: r.Words, Actions: r.Actions, ShadowOf: r.ShadowOf,
		Owner: r.Owner, Description: r.Description, Runbook: r.Runbook, File: r.File, Line: r.Line,
	}
	switch {
	case !r.Enabled:
		v.Mode = web.ModeOff
	case r.Shadow:
		v.Mode = web.ModeShadow
	}
	return v
}

// whyNever says why a rule made no run, as far as that is plain. heard are the
// events of late by source and type; what was before looked is not known, if
// that is not zero.
func whyNever(r rules.RuleInfo, kinds []engine.PlatformKind, heard map[[2]string]int64, looked time.Time) string {
	types := typesOf(r, kinds)
	came, elsewhere := false, false
	for k := range heard {
		fromHere := len(r.From) == 0 || slices.Contains(r.From, k[0])
		about := slices.Contains(types, k[1])
		came = came || fromHere && about
		elsewhere = elsewhere || !fromHere && about
	}
	note := "never"
	if !looked.IsZero() {
		note = "not since " + looked.UTC().Format(time.DateOnly)
	}
	switch {
	case !r.Enabled:
		note += ": it is off"
	case !came && elsewhere:
		note += ": no such event from its sources in 30 days"
	case !came && r.Schedule == "":
		note += ": no event of this type in 30 days"
	}
	return note
}

// typesOf are the types of the events a rule is about.
func typesOf(r rules.RuleInfo, kinds []engine.PlatformKind) (types []string) {
	if r.Schedule != "" {
		return []string{engine.Scheduled}
	}
	for _, when := range r.When {
		platform, wire, named := strings.Cut(when, ":")
		switch {
		case !named:
			types = append(types, when)
		case platform == engine.PlatformGavel:
			types = append(types, engine.Emitted)
		default:
			i := slices.IndexFunc(kinds, func(k engine.PlatformKind) bool { return k.Name == platform })
			if i >= 0 {
				types = append(types, kinds[i].Events[wire]...)
			}
		}
	}
	slices.Sort(types)
	return slices.Compact(types)
}
