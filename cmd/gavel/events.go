package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/web"
	"github.com/spf13/cobra"
)

func (a *app) eventsCmd() *cobra.Command {
	cmd := group(&cobra.Command{
		Use:   "events",
		Short: "what came in and what the rules made of it",
		Example: `  gavel events list --type session_ended --since 24h
  gavel events show 01K9F2M7
  gavel events tail`,
	})
	cmd.AddCommand(a.eventsListCmd(), a.eventsShowCmd(), a.eventsTailCmd(), a.eventsExportCmd())
	return cmd
}

func (a *app) eventsListCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "list events, newest first",
		Example: `  gavel events list --since 1h
  gavel events list --source pnm --type participant_joined
  gavel events list --unmatched -o json`,
		Args: cobra.NoArgs,
	}
	f := filterFlags(cmd,
		[2]string{"source", "only of this `source`"}, [2]string{"type", "only of this `type`, such as session_ended"},
		[2]string{"room", "only of this `room` (id or name)"}, [2]string{"session", "only of this `session` (id)"},
		[2]string{"rule", "only those that this `rule` matched"})
	unmatched := cmd.Flags().Bool("unmatched", false, "only those that no rule matched")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		params, err := f.values(a)
		if err != nil {
			return err
		}
		if *unmatched {
			params.Set("unmatched", "true")
		}
		var l web.EventList
		if err := a.get(cmd.Context(), "events", params, &l); err != nil {
			return err
		}
		if err := printList(a, l.Events, eventColumns()); err != nil {
			return err
		}
		a.sayMore(len(l.Events), l.Next, "no event fits: gavel deliveries list --refused shows what was refused")
		return nil
	}
	return cmd
}

// sayMore tells a person that a list is not all there is, or empty.
func (a *app) sayMore(rows int, next, empty string) {
	switch {
	case rows == 0 && !a.structured():
		a.say("%s", empty)
	case next != "" && isTerminal(a.err):
		a.say("there are more: raise --limit, or narrow with --since")
	}
}

func eventColumns() []column[web.Event] {
	return []column[web.Event]{
		{"ID", func(e web.Event) any { return e.ID }},
		{"TIME", func(e web.Event) any { return e.Received }},
		{"SOURCE", func(e web.Event) any { return e.Source }},
		{"TYPE", func(e web.Event) any { return marked{e.Type, origin(e)} }},
		{"ROOM", func(e web.Event) any { return or(e.Room.Name, e.Room.ID) }},
		{"RESULT", func(e web.Event) any { return outcomeText(e) }},
	}
}

// origin says where an event comes from that no platform sent.
func origin(e web.Event) string {
	switch {
	case e.Type == engine.Emitted:
		return engine.PlatformGavel + ":" + e.Name
	case e.Type == engine.Scheduled:
		return e.Name
	case slices.Contains(e.Derived, engine.DerivedEvent):
		return "derived"
	}
	return ""
}

func or(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

func (a *app) eventsShowCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "show ID",
		Short: "show one event with its payload",
		Example: `  gavel events show 01K9F2M7
  gavel events show 01K9F2M7 -o json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var e web.Event
			if err := a.get(cmd.Context(), "events/"+url.PathEscape(args[0]), nil, &e); err != nil {
				return err
			}
			if a.output != "table" {
				return printOne(a, e, eventColumns())
			}
			return a.printEvent(e)
		},
	}
}

func (a *app) printEvent(e web.Event) error {
	a.field("event", "%s  %s", e.ID, painted(a.paint(a.out, cyan, e.Type)))
	a.field("source", "%s (%s, %s)", e.Source, e.Platform, e.Name)
	switch {
	case e.Type == engine.Emitted:
		a.field("origin", "a step emitted it: rules catch it by when: %s", origin(e))
	case e.Type == engine.Scheduled:
		a.field("origin", "the schedule of the rule %s", e.Name)
	case origin(e) != "":
		a.field("origin", "derived: no platform sent it")
	}
	a.field("time", "%s, received %s", a.clock(e.Time), a.clock(e.Received))
	if room := or(e.Room.Name, e.Room.ID); room != "" {
		a.field("room", "%s", room)
	}
	if s := e.Session; s.ID != "" || s.Status != "" {
		text := strings.TrimSpace(s.ID + " " + s.Status)
		if s.Duration != nil {
			text += ", " + s.Duration.String()
		}
		if s.Present != nil && s.Peak != nil {
			text += fmt.Sprintf(", %d present, peak %d", *s.Present, *s.Peak)
		}
		a.field("session", "%s", text)
	}
	if p := e.Participant; or(p.Name, p.ID) != "" {
		a.field("who", "%s", strings.TrimSpace(p.Name+" "+p.ID+" "+p.Role))
	}
	if facts := slices.DeleteFunc(slices.Clone(e.Derived), func(name string) bool { return name == engine.DerivedEvent }); len(facts) > 0 {
		a.field("derived", "%s", strings.Join(facts, ", "))
	}
	if e.Delivery != "" {
		a.field("delivery", "%s", e.Delivery)
	}
	a.field("rules", "%s", e.Revision)
	a.field("result", "%s", outcomeText(e))
	for _, r := range e.Outcome.Runs {
		if r.Shadow {
			a.field("shadow", "%s  gavel runs show %s", r.Rule, r.Run)
			continue
		}
		a.field("run", "%s  gavel runs show %s", r.Rule, r.Run)
	}
	for _, s := range e.Outcome.Suppressed {
		a.field("no run", "%s %s", s.Rule, a.heldBack(s))
	}
	for _, t := range e.Outcome.Timers {
		a.field("timer", "%s %s", t.Rule, a.timerText(t, nil))
	}
	for _, x := range e.Outcome.Errors {
		a.field("error", "%s: %s", x.Rule, x.Error)
	}
	if len(e.Raw) == 0 {
		return nil
	}
	fmt.Fprintln(a.out)
	return a.printJSON(e.Raw)
}

// painted is text of our own, with colours.
type painted string

// field prints one line of a description. Texts among its values are data of
// strangers, unless they are painted.
func (a *app) field(name, format string, args ...any) {
	for i, arg := range args {
		if s, ok := arg.(string); ok {
			args[i] = cleanCell(s)
		}
	}
	fmt.Fprintf(a.out, "%s %s\n", a.paint(a.out, faint, fmt.Sprintf("%-9s", name)), fmt.Sprintf(format, args...))
}

func (a *app) eventsTailCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "follow events and refused deliveries as they come in",
		Example: `  gavel events tail
  gavel events tail --source pnm -o jsonl`,
		Args:        cobra.NoArgs,
		Annotations: map[string]string{"formats": "table,jsonl"},
	}
	source := cmd.Flags().String("source", "", "only of this `source`")
	lines := cmd.Flags().IntP("lines", "n", 10, "begin with the last `n` events")
	cmd.Flags().BoolP("follow", "f", true, "go on until interrupted")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := a.connect(cmd.Context())
		if err != nil {
			return err
		}
		defer c.close()
		follow, _ := cmd.Flags().GetBool("follow")
		t := tail{app: a, api: c, source: *source}
		return t.run(cmd.Context(), min(max(*lines, 0), web.MaxLimit), follow)
	}
	return cmd
}

// tail follows two lists by the last id seen of each. Asking every half
// second over a local socket costs next to nothing, and the server needs to
// remember nobody.
type tail struct {
	*app
	api                   *connection
	source                string
	lastEvent, lastRefuse string
}

const tailEvery = 500 * time.Millisecond

func (t *tail) run(ctx context.Context, lines int, follow bool) error {
	started := t.now()
	if err := t.begin(ctx, lines); err != nil {
		return answered(err)
	}
	if !follow {
		return nil
	}
	tick := time.NewTicker(tailEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return fail(exitInterrupted, nil, "")
		case <-tick.C:
		}
		if err := t.step(ctx, started); err != nil && ctx.Err() == nil {
			return answered(err)
		}
	}
}

// begin prints the last events and remembers where they end.
func (t *tail) begin(ctx context.Context, lines int) error {
	var events web.EventList
	if err := t.api.Get(ctx, "events", t.params("limit", fmt.Sprint(max(lines, 1))), &events); err != nil {
		return err
	}
	var refused web.DeliveryList
	if err := t.api.Get(ctx, "deliveries", t.params("refused", "true", "limit", "1"), &refused); err != nil {
		return err
	}
	if len(events.Events) > 0 {
		t.lastEvent = events.Events[0].ID
	}
	if len(refused.Deliveries) > 0 {
		t.lastRefuse = refused.Deliveries[0].ID
	}
	if lines == 0 {
		return nil
	}
	slices.Reverse(events.Events)
	return t.print(events.Events, nil)
}

// step prints what is new.
func (t *tail) step(ctx context.Context, started time.Time) error {
	since := func(after string) url.Values {
		if after != "" {
			return t.params("after", after)
		}
		return t.params("since", started.UTC().Format(time.RFC3339)) // the list was empty
	}
	var events web.EventList
	if err := t.api.Get(ctx, "events", since(t.lastEvent), &events); err != nil {
		return err
	}
	params := since(t.lastRefuse)
	params.Set("refused", "true")
	var refused web.DeliveryList
	if err := t.api.Get(ctx, "deliveries", params, &refused); err != nil {
		return err
	}
	if t.lastEvent == "" {
		slices.Reverse(events.Events) // without after, the newest comes first
	}
	if t.lastRefuse == "" {
		slices.Reverse(refused.Deliveries)
	}
	if n := len(events.Events); n > 0 {
		t.lastEvent = events.Events[n-1].ID
	}
	if n := len(refused.Deliveries); n > 0 {
		t.lastRefuse = refused.Deliveries[n-1].ID
	}
	return t.print(events.Events, refused.Deliveries)
}

func (t *tail) params(pairs ...string) url.Values {
	v := url.Values{}
	if t.source != "" {
		v.Set("source", t.source)
	}
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return v
}

func (t *tail) print(events []web.Event, refused []web.Delivery) error {
	if t.structured() {
		for _, e := range events {
			if err := t.printJSONLine(e); err != nil {
				return err
			}
		}
		for _, d := range refused {
			if err := t.printJSONLine(map[string]web.Delivery{"refused": d}); err != nil {
				return err
			}
		}
		return nil
	}
	for _, e := range events {
		what, _ := t.readable(marked{e.Type, origin(e)})
		fmt.Fprintf(t.out, "%s  %-14s %-26s %-24s %s\n", t.clock(e.Received), cleanCell(e.Source),
			cleanCell(what), cut(cleanCell(or(e.Room.Name, e.Room.ID)), 24), cleanCell(matchedText(e)))
	}
	for _, d := range refused {
		fmt.Fprintf(t.out, "%s  %-14s %s\n", t.clock(d.At), cleanCell(d.Source), t.paint(t.out, red,
			cleanCell(fmt.Sprintf("%s %d %s  from %s", t.mark("✗", "FAIL"), d.Status, strings.ReplaceAll(d.Verdict, "_", " "), d.Remote))))
	}
	return nil
}

// matchedText is "2 rules: a, b" for the line of an event.
func matchedText(e web.Event) string {
	o := e.Outcome
	if n := len(o.Runs); n > 0 && len(o.Errors) == 0 && o.Problem == "" {
		return fmt.Sprintf("%s: %s", count(n, "rule"), outcomeText(e))
	}
	return outcomeText(e)
}

// count is "1 rule", "2 rules".
func count(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	if strings.HasSuffix(word, "y") {
		return fmt.Sprintf("%d %sies", n, word[:len(word)-1])
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// compact is JSON on one line, for a cell.
func compact(raw json.RawMessage) string { return strings.Join(strings.Fields(string(raw)), " ") }
