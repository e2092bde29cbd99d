package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gavelhq/gavel/actions"
	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/rules"
	"github.com/gavelhq/gavel/engine/ruletest"
	"github.com/gavelhq/gavel/engine/store"
	"github.com/gavelhq/gavel/engine/web"
	"github.com/spf13/cobra"
)

// exporter is one gavel events export.
type exporter struct {
	*app
	session, source, since, until string
	asTest, raw, keepMembers      bool
	only                          []string

	reader *store.Reader
	past   store.Past
}

func (a *app) eventsExportCmd() *cobra.Command {
	x := &exporter{app: a}
	cmd := &cobra.Command{
		Use:   "export",
		Short: "write stored events as JSON lines, or a meeting as a test",
		Long: `Writes stored events, the oldest first, each with its payload on one line.

--as-test writes a test of what happened in a session, for gavel test: its events
at their times, what its steps were answered, and as expectation what the rules
file does about them. Names, addresses, ids, links and other texts get stand-ins,
the same one for the same text; what remains are words of the platforms, short
numbers, times, and the words that conditions compare with. Look at it before you
give it away.`,
		Example: `  gavel events export --since 1h > events.jsonl
  gavel events export --session RM_hQc3 --as-test > long.test.yaml
  gavel test long.test.yaml`,
		Args:        cobra.NoArgs,
		Annotations: map[string]string{"formats": "jsonl"},
		RunE:        func(cmd *cobra.Command, _ []string) error { return x.run(cmd.Context()) },
	}
	f := cmd.Flags()
	f.StringVar(&x.session, "session", "", "only of this `session` (id)")
	f.StringVar(&x.source, "source", "", "only of this `source`")
	f.StringVar(&x.since, "since", "", "only newer ones: `1h`, 7d, 2026-11-20 or 2026-11-20T14:00:00Z")
	f.StringVar(&x.until, "until", "", "only those before `then`")
	f.BoolVar(&x.asTest, "as-test", false, "write a test of the session instead")
	f.BoolVar(&x.raw, "raw", false, "with --as-test: the payloads instead of what they say")
	f.BoolVar(&x.keepMembers, "keep-list-members", false, "with --as-test: who is named by lists and conditions of the rules keeps the name")
	f.StringArrayVar(&x.only, "rule", nil, "with --as-test: about this `rule`; may be given again")
	return cmd
}

func (x *exporter) run(ctx context.Context) (err error) {
	switch {
	case x.asTest && x.session == "":
		return fail(exitUsage, errors.New("--as-test needs --session"), "gavel sessions list shows those there are")
	case !x.asTest && (x.raw || x.keepMembers || len(x.only) > 0):
		return fail(exitUsage, errors.New("--raw, --rule and --keep-list-members go with --as-test"), "lines of JSON have everything")
	}
	if x.reader, err = store.OpenReader(ctx, x.dataDir, x.now); err != nil {
		return fail(exitUnreadable, err, "")
	}
	defer x.reader.Close()
	if err := x.selection(ctx); err != nil {
		return err
	}
	if x.asTest {
		return x.test(ctx)
	}
	err = x.reader.Export(ctx, x.past, func(e engine.EventRow) error { return x.printJSONLine(web.EventOf(e)) })
	if errors.Is(err, engine.ErrUnavailable) {
		return fail(exitUnreadable, err, "")
	}
	return err
}

// selection reads what the flags select.
func (x *exporter) selection(ctx context.Context) (err error) {
	const hint = "write 90m, 12h, 7d, 2026-11-20 or 2026-11-20T14:00:00Z"
	x.past.Source = x.source
	if x.since != "" {
		if x.past.Since, err = parseSince(x.since, x.now(), x.zone); err != nil {
			return fail(exitUsage, err, hint)
		}
	}
	if x.until != "" {
		if x.past.Until, err = parseSince(x.until, x.now(), x.zone); err != nil {
			return fail(exitUsage, fmt.Errorf("--until cannot be %q", x.until), hint)
		}
	}
	if x.session == "" {
		return nil
	}
	row, err := x.reader.Session(ctx, x.session)
	switch {
	case errors.Is(err, engine.ErrNotFound):
		return fail(exitFindings, fmt.Errorf("no session %q", x.session), "gavel sessions list shows those there are")
	case err != nil:
		return fail(exitFindings, err, "")
	}
	x.past.Session = row.Key
	return nil
}

// test writes the session as a test.
func (x *exporter) test(ctx context.Context) error {
	t := &tester{app: x.app, sets: map[string]*testedRules{}, kinds: x.platforms(), actions: actions.Builtin(actions.Options{Now: x.now})}
	set, err := t.load(x.rulesFile())
	if err != nil {
		return err
	}
	if err := unknownRule(x.only, ruleIDs(set.env.Rules)); err != nil {
		return err
	}
	out := ruletest.Export{Rule: x.only, Raw: x.raw, Pseudonyms: ruletest.NewPseudonyms(set.env.Rules, x.keepMembers)}
	if err := x.collect(ctx, &set.env, &out); err != nil {
		return err
	}
	begun := out.Events[0].Event.Received.In(set.env.Rules.Location())
	out.Name = "what happened on " + begun.Format("2 January 2006 at 15:04")
	out.Note = []string{"Written by gavel events export, of what happened in a meeting: names and other texts are stand-ins."}
	text, err := set.env.Export(out)
	if err != nil {
		return fail(exitFindings, err, "")
	}
	if n := out.Pseudonyms.Left(string(text)); n > 0 {
		x.say("%s of people may still be in it, inside of other texts: look before you give it away", count(n, "name"))
	}
	_, err = x.out.Write(text)
	return err
}

// collect reads the events of the session as they were sent, and its runs.
func (x *exporter) collect(ctx context.Context, env *ruletest.Env, out *ruletest.Export) error {
	var wrong error
	err := x.reader.Sent(ctx, x.past, func(s store.Sent) error {
		if !slices.ContainsFunc(env.Rules.Sources(), func(c engine.SourceConfig) bool { return c.Name == s.Source }) {
			wrong = fail(exitFindings, fmt.Errorf("the rules have no source %s, which this session is from", s.Source), "")
			return wrong
		}
		all, err := env.Decode(s.Source, s.Raw, s.Received)
		if err != nil || s.Part >= len(all) {
			wrong = fail(exitFindings, fmt.Errorf("event %s cannot be decoded by this version", s.ID), "")
			return wrong
		}
		ev := all[s.Part]
		ev.Raw = s.Raw
		out.Events = append(out.Events, ruletest.Sent{Event: ev, Body: s.Raw})
		return nil
	})
	switch {
	case wrong != nil:
		return wrong
	case err != nil:
		return fail(exitUnreadable, err, "")
	case len(out.Events) == 0:
		return fail(exitFindings, errors.New("no event of it is stored"), "")
	}
	runs, err := x.reader.Runs(ctx, engine.Query{Session: x.past.Session, Limit: maxAnswers})
	if err != nil {
		return fail(exitUnreadable, err, "")
	}
	for _, r := range slices.Backward(runs) {
		out.Runs = append(out.Runs, &r)
	}
	return nil
}

// maxAnswers is how many runs of a session are searched for answers.
const maxAnswers = 10_000

// ruleIDs are the ids of the rules.
func ruleIDs(set *rules.Set) []string {
	var ids []string
	for _, r := range set.Rules() {
		ids = append(ids, r.ID)
	}
	return ids
}
