package main

import (
	"context"
	"errors"
	"fmt"
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

// replayer is one gavel replay: its flags, then what it works with.
type replayer struct {
	app        *app
	since      string
	until      string
	event      string
	source     string
	only       []string
	timeout    time.Duration
	limit      int
	send       bool
	yes        bool
	noProgress bool

	reader *store.Reader
	server *connection // with --send
	kinds  []engine.PlatformKind
	acts   []engine.ActionKind
	set    *rules.Set
	report replayReport
}

// warmUp is how long before the period events are played, so that the meetings
// that went on are known.
const warmUp = 24 * time.Hour

func (a *app) replayCmd() *cobra.Command {
	r := &replayer{app: a}
	cmd := &cobra.Command{
		Use:   "replay",
		Short: "do for events of the past what today's rules would have done",
		Long: `Plays the stored events of the last day (or --since, or --event) with the rules
file, on a clock of its own, and shows the runs that would be made and were not:
what was done is not done again, also if it failed. Nothing is sent.

--send makes the runs, with the rules that the server runs. The server makes
each of them once, however often it is asked. Steps see the facts of then;
waits count from now. Rules with mode: shadow are left out unless --rule names
them, and so is what the clock alone begins.`,
		Example: `  gavel replay --since 6h                      what is missing, after a rule was mended
  gavel replay --since 6h --rule crm --send
  gavel replay --event 01K9F2M7 --send --yes
  gavel replay --since 7d -o json`,
		Args:        cobra.NoArgs,
		Annotations: map[string]string{"formats": "table,json"},
		RunE:        func(cmd *cobra.Command, _ []string) error { return r.run(cmd.Context()) },
	}
	f := cmd.Flags()
	f.StringVar(&r.since, "since", "", "events from then on: `6h`, 7d, 2026-11-20 or 2026-11-20T14:00:00Z (default 24h)")
	f.StringVar(&r.until, "until", "", "events before `then` (default: now)")
	f.StringVar(&r.event, "event", "", "only what this `event` makes happen")
	f.StringVar(&r.source, "source", "", "only of this `source`")
	f.StringArrayVar(&r.only, "rule", nil, "only this `rule`; may be given again")
	f.DurationVar(&r.timeout, "session-timeout", 24*time.Hour, "as of gavel serve: the `time` of silence after which a session has ended")
	f.IntVar(&r.limit, "limit", 20, "show at most `n` runs to people; JSON has all")
	f.BoolVar(&r.send, "send", false, "make the runs")
	f.BoolVarP(&r.yes, "yes", "y", false, "do not ask")
	f.BoolVar(&r.noProgress, "no-progress", false, "do not say how far it is")
	return cmd
}

func (r *replayer) run(ctx context.Context) (err error) {
	a := r.app
	if r.since != "" && r.event != "" {
		return fail(exitUsage, errors.New("--since and --event are both given"), "an event is played from its own time on")
	}
	if r.send {
		if !r.yes && !a.stdinIsTerminal() {
			return fail(exitUsage, errors.New("--send does what it finds"), "look first without --send, then say --yes")
		}
		if r.server, err = a.requireServer(); err != nil {
			return err
		}
		defer r.server.close()
	}
	r.kinds, r.acts = a.platforms(), actions.Builtin(actions.Options{Now: a.now})
	if r.reader, err = store.OpenReader(ctx, a.dataDir, a.now); err != nil {
		return fail(exitUnreadable, err, "")
	}
	defer r.reader.Close()
	if err := r.period(ctx); err != nil {
		return err
	}
	if err := r.load(ctx); err != nil {
		return err
	}
	if err := r.find(ctx); err != nil {
		if ctx.Err() != nil {
			return fail(exitInterrupted, nil, "")
		}
		return err
	}
	if r.report.Sent = r.send; r.send && r.report.New > 0 {
		if err := r.sendAll(ctx); err != nil {
			return err
		}
	}
	return r.print()
}

// period reads what the flags say of the time.
func (r *replayer) period(ctx context.Context) (err error) {
	a, x, now := r.app, &r.report, r.app.now()
	const hint = "write 90m, 12h, 7d, 2026-11-20 or 2026-11-20T14:00:00Z"
	x.Since, x.Until = now.Add(-24*time.Hour), now
	if r.event != "" {
		row, err := r.reader.Event(ctx, r.event)
		switch {
		case errors.Is(err, engine.ErrNotFound):
			return fail(exitFindings, fmt.Errorf("no event %q", r.event), "those that are kept are listed by: gavel events list")
		case err != nil:
			return fail(exitFindings, err, "")
		}
		r.event, x.Since = row.ID, row.Received.Truncate(time.Microsecond) // as events are selected
	}
	if r.since != "" {
		if x.Since, err = parseSince(r.since, now, a.zone); err != nil {
			return fail(exitUsage, err, hint)
		}
	}
	if r.until != "" {
		if x.Until, err = parseSince(r.until, now, a.zone); err != nil {
			return fail(exitUsage, fmt.Errorf("--until cannot be %q", r.until), hint)
		}
	}
	if x.Until.After(now) {
		x.Until = now
	}
	if !x.Since.Before(x.Until) {
		return fail(exitUsage, errors.New("--since is not before --until"), "")
	}
	x.Since, x.Until = x.Since.UTC(), x.Until.UTC()
	return nil
}

// load loads the rules: those of the file or, with --send, those that the server
// runs.
func (r *replayer) load(ctx context.Context) (err error) {
	x, path := &r.report, r.app.rulesFile()
	if r.send {
		err = r.loadRunning(ctx, path)
	} else {
		x.Rules = path
		r.set, err = r.app.readWithoutSecrets(path, r.kinds, r.acts)
	}
	if err != nil {
		return err
	}
	x.Revision = r.set.Revision()
	var ids, sources []string
	for _, rule := range r.set.Rules() {
		ids = append(ids, rule.ID)
	}
	for _, s := range r.set.Sources() {
		sources = append(sources, s.Name)
	}
	if r.source != "" && !slices.Contains(sources, r.source) {
		return fail(exitUsage, fmt.Errorf("there is no source %q", r.source), "there are: "+strings.Join(sources, ", "))
	}
	return unknownRule(r.only, ids)
}

// loadRunning loads the rules in force, and says if the file has others.
func (r *replayer) loadRunning(ctx context.Context, path string) error {
	var s web.Status
	if err := r.server.Get(ctx, "status", nil, &s); err != nil {
		return answered(err)
	}
	text, err := r.reader.Revision(ctx, s.Rules.Revision)
	if err != nil {
		return fail(exitUnreadable, err, "")
	}
	if r.set, err = rules.LoadRevision(text, rules.Options{Actions: r.acts, Platforms: r.kinds}); err != nil {
		return fail(exitUnreadable, fmt.Errorf("the rules in force: %w", err), "")
	}
	r.report.Rules = "running"
	if file, _, err := r.app.newLoader(path, r.kinds, r.acts, true).load(); err == nil && (file == nil || file.Revision() != s.Rules.Revision) {
		r.report.Differs = true
		r.app.say("%s is not what the server runs (%s): its rules count here; gavel reload puts the file in force", path, short(s.Rules.Revision))
	}
	return nil
}
