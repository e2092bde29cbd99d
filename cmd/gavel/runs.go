package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/web"
	"github.com/spf13/cobra"
)

func (a *app) runsCmd() *cobra.Command {
	cmd := group(&cobra.Command{
		Use:   "runs",
		Short: "what the rules did, step by step",
		Example: `  gavel runs list --failed --since 24h
  gavel runs show 01K9F2M7
  gavel runs retry 01K9F2M7`,
	})
	cmd.AddCommand(a.runsListCmd(), a.runsShowCmd(), a.runsRetryCmd())
	return cmd
}

func (a *app) runsListCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "list runs, newest first",
		Example: `  gavel runs list --failed --since 1h
  gavel runs list --rule long-session -o json
  gavel runs list --shadow                  what rules on trial would have done`,
		Args: cobra.NoArgs,
	}
	f := filterFlags(cmd,
		[2]string{"rule", "only of this `rule`"}, [2]string{"source", "only of this `source`"},
		[2]string{"room", "only of this `room`"}, [2]string{"session", "only of this `session`"},
		[2]string{"state", "only in this `state`: ready, queued, running, retrying, waiting, done, failed"})
	failed := cmd.Flags().Bool("failed", false, "short for --state failed")
	shadow := cmd.Flags().Bool("shadow", false, "those of rules with mode: shadow instead of the others")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		params, err := f.values(a)
		if err != nil {
			return err
		}
		if *failed {
			params.Set("state", engine.RunFailed)
		}
		if *shadow {
			params.Set("shadow", "true")
		}
		var l web.RunList
		if err := a.get(cmd.Context(), "runs", params, &l); err != nil {
			return err
		}
		if err := printList(a, l.Runs, a.runColumns()); err != nil {
			return err
		}
		a.sayMore(len(l.Runs), l.Next, "no run fits: gavel events list shows what the rules made of each event")
		return nil
	}
	return cmd
}

func (a *app) runColumns() []column[web.Run] {
	return []column[web.Run]{
		{"ID", func(r web.Run) any { return r.ID }},
		{"RULE", func(r web.Run) any { return marked{r.Rule, replayedNote(r)} }},
		{"STATE", func(r web.Run) any { return state(r.State) }},
		{"TRIGGER", func(r web.Run) any { return r.Trigger }},
		{"ROOM", func(r web.Run) any { return r.Room }},
		{"STARTED", func(r web.Run) any { return r.Created }},
		{"TRIES", func(r web.Run) any { return tries(r) }},
		{"REASON", func(r web.Run) any { return a.runReason(r) }},
	}
}

// replayedNote tells a run of the past from the others.
func replayedNote(r web.Run) string {
	if r.Replayed {
		return "replayed"
	}
	return ""
}

// tries is "2/8" where the step may be tried eight times.
func tries(r web.Run) string {
	if r.Current == nil || r.State == engine.RunWaiting { // a wait is not tried
		return ""
	}
	limit := r.Current.Limit
	if limit == 0 {
		limit = engine.DefaultAttempts
	}
	return fmt.Sprintf("%d/%d", len(r.Current.Tries), limit)
}

// waitsForTurn is what a queued run does: an earlier one of its rule and session
// has the turn.
const waitsForTurn = "waits for its turn"

// runReason is why a run failed, or why it waits and until when.
func (a *app) runReason(r web.Run) string {
	switch r.State {
	case engine.RunWaiting:
		return "waits until " + a.clock(r.Due)
	case engine.RunQueued:
		return or(r.Reason, waitsForTurn)
	}
	if r.Held != nil {
		return a.heldReason(*r.Held)
	}
	if r.State != engine.RunRetrying || r.Current == nil || len(r.Current.Tries) == 0 {
		return r.Reason
	}
	last := r.Current.Tries[len(r.Current.Tries)-1].Error
	if wait := r.Due.Sub(a.now()); wait > 0 {
		return fmt.Sprintf("%s (retry in %s)", last, web.Duration(wait.Round(time.Second)))
	}
	return last
}

// heldReason is what a run that was due waits for.
func (a *app) heldReason(h engine.Held) string {
	switch {
	case h.Down:
		text := fmt.Sprintf("waits: %s is down since %s", h.Target, a.clock(h.Since))
		if h.Until.After(a.now()) { // else it is being tried, or nobody knows
			text += ", next tried at " + a.clock(h.Until)
		}
		return text
	case h.Until.After(a.now()):
		return fmt.Sprintf("waits: %s wants a pause until %s", h.Target, a.clock(h.Until))
	}
	text := fmt.Sprintf("waits: %s is busy", h.Target)
	if h.Before > 0 {
		text += fmt.Sprintf(", %s first", goes(h.Before))
	}
	return text
}

// goes is "1 run goes" or "12 runs go".
func goes(n int) string {
	if n == 1 {
		return "1 run goes"
	}
	return fmt.Sprintf("%d runs go", n)
}

func (a *app) runsShowCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "show ID",
		Short: "show one run with its steps and attempts",
		Example: `  gavel runs show 01K9F2M7
  gavel runs show 01K9F2M7 -o json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[0] == "" {
				return noID("run", "gavel runs list")
			}
			c, err := a.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer c.close()
			var r web.Run
			if err := c.Get(cmd.Context(), "runs/"+url.PathEscape(args[0]), nil, &r); err != nil {
				return answered(err)
			}
			if a.output != "table" {
				return printOne(a, r, a.runColumns())
			}
			if r.State == engine.RunQueued {
				ahead, err := before(cmd.Context(), c, r)
				if err != nil {
					return answered(err)
				}
				r.Reason = waitsForTurn + ahead
			}
			a.printRun(r)
			return nil
		},
	}
}

// before says which run a queued one comes after, "" if that is not known: the
// last one of its rule and session that is not over. Digests take turns of their
// own, which no run tells.
func before(ctx context.Context, c *connection, r web.Run) (string, error) {
	if r.Session == "" || r.Timer != "" && r.Gathered > 0 {
		return "", nil
	}
	params := url.Values{"rule": {r.Rule}, "session": {r.Session}, "cursor": {r.ID}, "shadow": {strconv.FormatBool(r.Shadow)}}
	var l web.RunList
	if err := c.Get(ctx, "runs", params, &l); err != nil {
		return "", err
	}
	retrying := ""
	for _, x := range l.Runs {
		switch x.State {
		case engine.RunQueued, engine.RunReady, engine.RunRunning:
			return ", behind " + x.ID, nil
		case engine.RunRetrying: // it has its turn, or gave it away after an hour
			retrying = or(retrying, ", behind "+x.ID)
		}
	}
	return retrying, nil
}

func (a *app) printRun(r web.Run) {
	text, color := a.readableState(state(r.State))
	a.field("run", "%s  %s", r.ID, painted(a.paint(a.out, color, text)))
	a.field("rule", "%s (revision %s)", r.Rule, r.Revision)
	a.field("trigger", "%s of %s  gavel events show %s", r.Trigger, r.Source, r.Event)
	if r.Shadow {
		a.field("mode", "shadow: recorded, not done")
	}
	if r.Replayed {
		a.field("replayed", "made long after its event, with the facts of then")
	}
	if r.Gathered > 0 {
		text := count(r.Gathered, "event")
		if r.Dropped > 0 {
			text += fmt.Sprintf(", and %d more that were not kept", r.Dropped)
		}
		a.field("events", "%s", text)
	}
	switch {
	case r.Awaited != "":
		late := web.Duration(0)
		if r.LateBy != nil {
			late = *r.LateBy
		}
		a.field("late", "by %s; the waiting began with gavel events show %s", late.String(), r.Awaited)
	case r.Timer != "":
		a.field("timer", "%s: its time had come", r.Timer)
	}
	if r.Room != "" {
		a.field("room", "%s", r.Room)
	}
	if r.Session != "" {
		a.field("session", "gavel sessions show %s", shellWord(r.Session))
	}
	a.field("started", "%s", a.clock(r.Created))
	if why := a.runReason(r); why != "" {
		a.field("reason", "%s", why)
	}
	if len(r.Steps) > 0 || r.Current != nil {
		fmt.Fprintln(a.out)
	}
	branch := engine.BranchThen
	for _, s := range r.Steps {
		branch = a.printBranch(branch, s)
		a.printStep(s)
	}
	if r.Current != nil {
		a.printBranch(branch, *r.Current)
		a.printStep(*r.Current)
	}
	if r.State == engine.RunFailed {
		fmt.Fprintf(a.out, "\n  gavel runs retry %s   goes on at the step that failed; the others are not repeated\n", r.ID)
	}
}

// printBranch names the branch of s where it is not the one before: steps
// without an id count from 1 in each.
func (a *app) printBranch(before string, s web.Step) string {
	if s.Branch != before {
		fmt.Fprintf(a.out, "  %s:\n", s.Branch[strings.LastIndexByte(s.Branch, '/')+1:])
	}
	return s.Branch
}

func (a *app) printStep(s web.Step) {
	sign, color := a.mark("○", "-"), faint
	switch s.State {
	case engine.StepDone:
		sign, color = a.mark("✓", "ok"), green
	case engine.StepFailed:
		sign, color = a.mark("✗", "FAIL"), red
	case engine.StepSkipped:
		sign, color = a.mark("⊘", "skip"), faint
	case engine.StepShadow:
		sign, color = a.mark("◌", "shadow"), cyan
	case engine.StepUndecided:
		sign, color = "?", yellow
	}
	name := s.Action
	if s.ID != "" {
		name = s.ID + " " + s.Action
	}
	if s.Via != "" {
		name += " via " + s.Via
	}
	took := ""
	if s.Took != nil {
		took = s.Took.String()
	}
	note := or(s.Error, s.Note)
	switch {
	case note != "":
	case s.State == engine.StepShadow:
		note = "would be done"
	case s.State == engine.StepUndecided:
		note = "needs the result of a step that was not sent"
	}
	fmt.Fprintf(a.out, "  %s %-28s %8s  %s\n", a.paint(a.out, color, sign), cleanCell(name), took, cleanCell(note))
	for i, t := range s.Tries {
		fmt.Fprintf(a.out, "      attempt %d  %s  %s\n", i+1, a.clock(t.At), cleanCell(t.Error))
	}
	if len(s.With) > 0 && s.State != engine.StepSkipped {
		fmt.Fprintf(a.out, "      %s\n", a.paint(a.out, faint, cut(cleanCell(shownWith(s)), 160)))
	}
}

// shownWith are the parameters of a step for people. Those of exec hold a mark
// before each dash that was inserted.
func shownWith(s web.Step) string {
	text := compact(s.With)
	if s.Action == "exec" {
		text = strings.ReplaceAll(text, `\u0000-`, "-")
	}
	return text
}

func (a *app) runsRetryCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "retry ID… | --failed",
		Short: "make failed runs go on at the step that failed",
		Long: `Steps that succeeded are not repeated, and the step that failed is repeated with
the same parameters and the same idempotency key. The run goes on out of turn:
it does not wait for other runs of its rule and session.`,
		Example: `  gavel runs retry 01K9F2M7
  gavel runs retry --failed --since 1h
  gavel runs retry --failed --rule crm --yes`,
	}
	failed := cmd.Flags().Bool("failed", false, "every failed run that the other flags select")
	f := filterFlags(cmd, [2]string{"rule", "only of this `rule`"}, [2]string{"source", "only of this `source`"})
	yes := cmd.Flags().BoolP("yes", "y", false, "do not ask")
	dry := cmd.Flags().Bool("dry-run", false, "only say which")
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if *failed == (len(args) > 0) {
			return errors.New("give ids, or --failed")
		}
		if slices.Contains(args, "") {
			return noID("run", "gavel runs list --failed")
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := a.requireServer()
		if err != nil {
			return err
		}
		defer c.close()
		ids := args
		if *failed {
			params, err := f.values(a)
			if err != nil {
				return err
			}
			params.Set("state", engine.RunFailed)
			var l web.RunList
			if err := c.Get(cmd.Context(), "runs", params, &l); err != nil {
				return answered(err)
			}
			for _, r := range l.Runs {
				ids = append(ids, r.ID)
			}
			if len(ids) == 0 {
				a.say("no failed run")
				return nil
			}
		}
		if *dry {
			for _, id := range ids {
				a.printLine(a.out, "%s", id)
			}
			return nil
		}
		if err := a.confirmRetry(cmd.Context(), len(ids), *failed, *yes); err != nil {
			return err
		}
		return a.retry(cmd, c, ids)
	}
	return cmd
}

// askAbove is the number of runs that are retried without a question.
const askAbove = 20

func (a *app) confirmRetry(ctx context.Context, n int, selected, yes bool) error {
	if yes || n <= askAbove && (!selected || !a.stdinIsTerminal()) {
		return nil
	}
	if !a.stdinIsTerminal() {
		return fail(exitUsage, fmt.Errorf("this would retry %s", count(n, "run")), "say --yes, or look first with --dry-run")
	}
	fmt.Fprintf(a.err, "Retry %s? Steps that already succeeded are not repeated. [y/N] ", count(n, "run"))
	if !a.answersYes(ctx) {
		return fail(exitInterrupted, errors.New("nothing was retried"), "")
	}
	return nil
}

// answersYes reads the answer to a question.
func (a *app) answersYes(ctx context.Context) bool {
	answer := make(chan string, 1)
	go func() { // Ctrl-C must not wait for the answer
		line, _ := bufio.NewReader(a.in).ReadString('\n')
		answer <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case line := <-answer:
		return strings.HasPrefix(line, "y")
	case <-ctx.Done():
		return false
	}
}

// noID is the failure of a command whose ID is an empty argument: a variable of
// a script that is not set.
func noID(what, list string) error {
	return fail(exitUsage, fmt.Errorf("the ID of the %s is empty", what), list+" shows them")
}

func (a *app) retry(cmd *cobra.Command, c *connection, ids []string) error {
	wrong := 0
	var last error
	for _, id := range ids {
		var r web.Run
		if err := c.Post(cmd.Context(), "runs/"+url.PathEscape(id)+"/retry", &r); err != nil {
			last = answered(err)
			wrong++
			a.printLine(a.err, "%s %s %s", a.mark("✗", "FAIL"), id, err)
			continue
		}
		if a.structured() {
			if err := a.printJSONLine(r); err != nil {
				return err
			}
			continue
		}
		place := fmt.Sprintf("at step %d of %s", r.At, r.Branch)
		if r.Held != nil {
			a.printLine(a.out, "%s %s is ready again, %s, and %s", a.mark("✓", "ok"), r.ID, place, a.heldReason(*r.Held))
			continue
		}
		a.printLine(a.out, "%s %s goes on, out of turn, %s", a.mark("✓", "ok"), r.ID, place)
	}
	switch {
	case wrong == 1 && len(ids) == 1:
		var f *failure
		if errors.As(last, &f) {
			return fail(f.code, nil, f.hint)
		}
		return last
	case wrong > 0:
		return fail(exitFindings, fmt.Errorf("%d of %s were not retried", wrong, count(len(ids), "run")), "")
	}
	return nil
}
