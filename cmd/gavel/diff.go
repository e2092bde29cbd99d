package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/gavelhq/gavel/actions"
	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/rules"
	"github.com/gavelhq/gavel/engine/ruletest"
	"github.com/gavelhq/gavel/engine/store"
	"github.com/gavelhq/gavel/engine/web"
	"github.com/spf13/cobra"
)

// differ is one gavel diff: its flags, then what it works with.
type differ struct {
	app        *app
	against    string
	since      string
	until      string
	warmUp     time.Duration
	timeout    time.Duration
	only       []string
	limit      int
	exitCode   bool
	noProgress bool

	reader *store.Reader
	kinds  []engine.PlatformKind
	acts   []engine.ActionKind
	report diffReport
}

// diffReport is what gavel diff prints.
type diffReport struct {
	Before      ruleSet   `json:"before"`
	After       ruleSet   `json:"after"`
	Since       time.Time `json:"since"`
	Until       time.Time `json:"until"`
	Start       time.Time `json:"warm_up_since"`
	StoredSince time.Time `json:"stored_since,omitzero"` // the oldest event there is
	Events      int       `json:"events"`                // since Since
	*ruletest.Diff
}

// ruleSet is one of the two sides.
type ruleSet struct {
	Rules     string         `json:"rules"` // file, or where it is from
	Revision  string         `json:"revision"`
	Missing   map[string]int `json:"missing_sources"` // events of sources it does not have
	Undecoded int            `json:"undecoded"`       // events it cannot decode
}

func (a *app) diffCmd() *cobra.Command {
	d := &differ{app: a}
	cmd := &cobra.Command{
		Use:   "diff",
		Short: "what other rules would have done about the events of the last days",
		Long: `Plays the stored events twice, with the rules of --rules (the changed ones) and
with those of --against, on a clock of its own, so that waits, counters and
schedules are part of it. Nothing is sent: a step that needs an answer gets the
one that was recorded for the same step with the same parameters. Where there is
none, what depends on it is shown as unknown and left out of the totals.

--against is running (the rules in force), a file, a folder, a revision, or
shadow: then nothing is played, and what shadow rules have recorded is set
beside what their originals did (shadow_of: in the rules).

Events of one day before --since are played to know the meetings that went on;
what begins there does not count.`,
		Example: `  gavel diff                                       the file here against the rules in force
  gavel diff --rules new.yaml --since 30d
  gavel diff --against rules.yaml.old --rule long-session
  gavel diff --against shadow
  gavel diff --exit-code -o json > diff.json       1 if anything would be done otherwise`,
		Args:        cobra.NoArgs,
		Annotations: map[string]string{"formats": "table,json"},
		RunE:        func(cmd *cobra.Command, _ []string) error { return d.run(cmd.Context()) },
	}
	f := cmd.Flags()
	f.StringVar(&d.against, "against", "running", "the rules of today: running, a `file`, a revision, or shadow")
	f.StringVar(&d.since, "since", "7d", "events from then on: `7d`, 12h, 2026-11-20 or 2026-11-20T14:00:00Z")
	f.StringVar(&d.until, "until", "", "events before `then` (default: now)")
	f.DurationVar(&d.warmUp, "warm-up", 24*time.Hour, "how `long` before --since events are played without counting")
	f.DurationVar(&d.timeout, "session-timeout", 24*time.Hour, "as of gavel serve: the `time` of silence after which a session has ended")
	f.StringArrayVar(&d.only, "rule", nil, "only this `rule`; may be given again")
	f.IntVar(&d.limit, "limit", 0, "at most `n` differences of each rule (default: 3 for people, all in JSON)")
	f.BoolVar(&d.exitCode, "exit-code", false, "exit with 1 if anything would be done otherwise")
	f.BoolVar(&d.noProgress, "no-progress", false, "do not say how far it is")
	return cmd
}

func (d *differ) run(ctx context.Context) (err error) {
	if err := d.period(); err != nil {
		return err
	}
	if d.reader, err = store.OpenReader(ctx, d.app.dataDir, d.app.now); err != nil {
		return fail(exitUnreadable, err, "")
	}
	defer d.reader.Close()
	d.kinds, d.acts = d.app.platforms(), actions.Builtin(actions.Options{Now: d.app.now})
	compare := d.sets
	if d.against == "shadow" {
		compare = d.shadows
	}
	if err := compare(ctx); err != nil {
		return err
	}
	if err := d.print(); err != nil {
		return err
	}
	if d.exitCode && d.report.Differs() {
		return fail(exitFindings, nil, "")
	}
	return nil
}

// period reads what the flags say of the time.
func (d *differ) period() error {
	a, r := d.app, &d.report
	now := a.now()
	hint := "write 90m, 12h, 7d, 2026-11-20 or 2026-11-20T14:00:00Z"
	var err error
	if r.Since, err = parseSince(d.since, now, a.zone); err != nil {
		return fail(exitUsage, err, hint)
	}
	r.Until = now
	if d.until != "" {
		if r.Until, err = parseSince(d.until, now, a.zone); err != nil {
			return fail(exitUsage, fmt.Errorf("--until cannot be %q", d.until), hint)
		}
	}
	if r.Until.After(now) {
		r.Until = now
	}
	switch {
	case !r.Since.Before(r.Until):
		return fail(exitUsage, errors.New("--since is not before --until"), "")
	case d.timeout < time.Minute:
		return fail(exitUsage, fmt.Errorf("--session-timeout cannot be %s", d.timeout), "at least 1m; write it like 24h or 90m")
	case d.warmUp < 0:
		return fail(exitUsage, fmt.Errorf("--warm-up cannot be %s", d.warmUp), "write it like 24h, or 0s for none")
	case d.limit < 0:
		return fail(exitUsage, fmt.Errorf("--limit cannot be %d", d.limit), "")
	}
	r.Since, r.Until = r.Since.UTC(), r.Until.UTC()
	r.Start = r.Since.Add(-d.warmUp)
	return nil
}

// sets compares two rule sets.
func (d *differ) sets(ctx context.Context) error {
	after, err := d.app.readWithoutSecrets(d.app.rulesFile(), d.kinds, d.acts)
	if err != nil {
		return err
	}
	d.report.After = ruleSet{Rules: d.app.rulesFile(), Revision: after.Revision()}
	before, err := d.todays(ctx)
	if err != nil {
		return err
	}
	if err := d.known(before, after); err != nil {
		return err
	}
	return d.play(ctx, before, after)
}

// known refuses ids that neither set has.
func (d *differ) known(sets ...*rules.Set) error {
	var ids []string
	for _, s := range sets {
		for _, r := range s.Rules() {
			ids = append(ids, r.ID)
		}
	}
	return unknownRule(d.only, ids)
}

func unknownRule(wanted, have []string) error {
	for _, id := range wanted {
		if !slices.Contains(have, id) {
			hint := ""
			if near := nearest(id, have); near != "" {
				hint = fmt.Sprintf("did you mean %q?", near)
			}
			return fail(exitUsage, fmt.Errorf("there is no rule %q", id), hint)
		}
	}
	return nil
}

// todays are the rules of --against.
func (d *differ) todays(ctx context.Context) (*rules.Set, error) {
	r := &d.report.Before
	if d.against != "running" {
		if _, err := os.Stat(d.against); err == nil {
			set, err := d.app.readWithoutSecrets(d.against, d.kinds, d.acts)
			if err != nil {
				return nil, err
			}
			*r = ruleSet{Rules: d.against, Revision: set.Revision()}
			return set, nil
		}
	}
	id, err := d.revision(ctx)
	if err != nil {
		return nil, err
	}
	*r = ruleSet{Rules: "revision", Revision: id}
	if d.against == "running" {
		r.Rules = "running"
	}
	set, err := d.load(ctx, id)
	if err != nil {
		return nil, fail(exitUnreadable, fmt.Errorf("rules revision %s: %w", id, err), "compare with a file: --against FILE")
	}
	return set, nil
}

// load loads a revision that is stored.
func (d *differ) load(ctx context.Context, id string) (*rules.Set, error) {
	text, err := d.reader.Revision(ctx, id)
	if err != nil {
		return nil, err
	}
	return rules.LoadRevision(text, rules.Options{Actions: d.acts, Platforms: d.kinds})
}

// revision is the one that --against names. Which is running, the server knows
// best.
func (d *differ) revision(ctx context.Context) (string, error) {
	if d.against != "running" {
		id, err := d.reader.RevisionID(ctx, strings.ToLower(d.against))
		if errors.Is(err, engine.ErrNotFound) {
			return "", fail(exitUnreadable, fmt.Errorf("--against %s: there is neither such a file nor such a revision in %s", d.against, d.app.dataDir),
				"give running, shadow, a file, or a revision: gavel events show EVENT names that of an event")
		}
		if err != nil {
			return "", fail(exitUsage, err, "")
		}
		return id, nil
	}
	if c, err := d.app.connectServer(); err == nil {
		defer c.close()
		var s web.Status
		if err := c.Get(ctx, "status", nil, &s); err == nil && s.Rules.Revision != "" {
			return s.Rules.Revision, nil
		}
	}
	id, err := d.reader.InForce(ctx)
	if errors.Is(err, engine.ErrNotFound) {
		return "", fail(exitUnreadable, fmt.Errorf("no rules have been in force in %s yet", d.app.dataDir), "compare with a file: --against FILE")
	}
	if err != nil {
		return "", fail(exitUnreadable, err, "")
	}
	return id, nil
}

// shadows compares what shadow rules recorded with what their originals did.
func (d *differ) shadows(ctx context.Context) error {
	d.against = "running"
	set, err := d.todays(ctx)
	if err != nil {
		return err
	}
	if err := d.known(set); err != nil {
		return err
	}
	d.report.After = ruleSet{Rules: "shadow", Revision: set.Revision()}
	d.report.Start = d.report.Since
	past := ruletest.Recorded{Errors: map[string]int{}, Tried: d.tried(ctx, set)}
	err = d.reader.Done(ctx, d.report.Since, d.report.Until, func(r *engine.Run) error {
		past.Runs = append(past.Runs, r)
		return nil
	})
	if err != nil {
		return fail(exitUnreadable, err, "")
	}
	hits, err := d.reader.Hits(ctx, d.report.Since)
	if err != nil {
		return fail(exitUnreadable, err, "")
	}
	for rule, h := range hits {
		past.Errors[rule] = int(h.Errors)
	}
	d.report.Diff = ruletest.CompareShadows(set, d.acts, past, d.only...)
	return nil
}

// tried finds out which revisions had a shadow. One that this version cannot
// load had none.
func (d *differ) tried(ctx context.Context, now *rules.Set) func(revision, rule string) bool {
	shadows := map[string][]string{}
	note := func(set *rules.Set, revision string) {
		shadows[revision] = []string{}
		if set == nil {
			return
		}
		for _, r := range set.Rules() {
			if r.Shadow && r.Enabled {
				shadows[revision] = append(shadows[revision], r.ID)
			}
		}
	}
	note(now, now.Revision())
	return func(revision, rule string) bool {
		if _, known := shadows[revision]; !known {
			set, _ := d.load(ctx, revision)
			note(set, revision)
		}
		return slices.Contains(shadows[revision], rule)
	}
}
