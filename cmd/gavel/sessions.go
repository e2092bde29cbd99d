package main

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/web"
	"github.com/spf13/cobra"
)

func (a *app) sessionsCmd() *cobra.Command {
	cmd := group(&cobra.Command{
		Use:   "sessions",
		Short: "meetings: who is there, what happened, what rules wait for",
		Example: `  gavel sessions list --active
  gavel sessions show RM_hQc3wzPyvBKi`,
	})
	cmd.AddCommand(a.sessionsListCmd(), a.sessionsShowCmd())
	return cmd
}

func (a *app) sessionsListCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "list sessions, newest first",
		Long: `A session is one meeting in a room. PRESENT and PEAK are empty where the platform
sends no participant events. A session that nobody ended, and that was silent
for as long as serve --session-timeout says, is ended as of its last sign of
life, and marked "end estimated". --since selects by when a session was last
heard of.`,
		Example: `  gavel sessions list --active
  gavel sessions list --source pnm --room standup --since 7d
  gavel sessions list --active -o json`,
		Args: cobra.NoArgs,
	}
	f := filterFlags(cmd, [2]string{"source", "only of this `source`"}, [2]string{"room", "only of this `room` (id or name)"})
	active := cmd.Flags().Bool("active", false, "only those that go on")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		params, err := f.values(a)
		if err != nil {
			return err
		}
		if *active {
			params.Set("active", "true")
		}
		var l web.SessionList
		if err := a.get(cmd.Context(), "sessions", params, &l); err != nil {
			return err
		}
		if err := printList(a, l.Sessions, sessionColumns()); err != nil {
			return err
		}
		empty := "no session fits: gavel events tail shows what comes in"
		if *active {
			empty = "no session goes on: without --active those that ended are listed too"
		}
		a.sayMore(len(l.Sessions), l.Next, empty)
		return nil
	}
	return cmd
}

func sessionColumns() []column[web.StoredSession] {
	return []column[web.StoredSession]{
		{"ID", func(s web.StoredSession) any { return or(s.ID, s.Key) }},
		{"STATUS", func(s web.StoredSession) any { return state(s.Status) }},
		{"ROOM", func(s web.StoredSession) any { return or(s.Room.Name, s.Room.ID) }},
		{"SOURCE", func(s web.StoredSession) any { return s.Source }},
		{"STARTED", func(s web.StoredSession) any { return s.Started }},
		{"DURATION", func(s web.StoredSession) any { return s.Duration }},
		{"PRESENT", func(s web.StoredSession) any { return s.Present }},
		{"PEAK", func(s web.StoredSession) any { return s.Peak }},
		{"RECORDING", func(s web.StoredSession) any { return yes(s.Recording) }},
		{"NOTE", func(s web.StoredSession) any {
			if s.Estimated {
				return "end estimated"
			}
			return s.EndReason
		}},
	}
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return ""
}

func (a *app) sessionsShowCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "show one session: participants, recordings, what is waited for, the timeline",
		Long: `ID is the platform's id of the session, the key that runs and the ledger name it
by (SOURCE/ID), or the start of one of them.

The timeline holds what came in, when, and what it did: runs, timers, and rules
that were held back. Of a long session the newest part is shown; --limit says
how much. -o json has everyone who was seen, the events, runs and timers.`,
		Example: `  gavel sessions show RM_hQc3wzPyvBKi
  gavel sessions show pnm/RM_hQc3wzPyvBKi --limit 500
  gavel sessions show RM_hQc3 -o json`,
		Args: cobra.ExactArgs(1),
	}
	limit := cmd.Flags().Int("limit", web.DefaultLimit, "at most `n` participants, and n events in the timeline")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *limit < 1 || *limit > 1_000_000 {
			return fail(exitUsage, fmt.Errorf("--limit cannot be %d", *limit), "from 1 to 1000000")
		}
		c, err := a.connect(cmd.Context())
		if err != nil {
			return err
		}
		defer c.close()
		r, err := readSession(cmd.Context(), c, args[0], *limit)
		switch {
		case err != nil:
			return answered(err)
		case a.structured():
			return printOne(a, r, nil)
		case a.output == "csv":
			return printOne(a, r.StoredSession, sessionColumns())
		}
		return a.printSession(r, *limit)
	}
	return cmd
}

// sessionReport is a session with everything that is kept of it; lists are in
// the order in which things happened.
type sessionReport struct {
	web.StoredSession
	Timers []web.Timer `json:"timers"`
	Events []web.Event `json:"events"`
	Runs   []web.Run   `json:"runs"`
	// Truncated: there are older ones than those.
	Truncated bool `json:"truncated,omitempty"`
}

// readSession reads the session that id means, with its newest events.
func readSession(ctx context.Context, c *connection, id string, limit int) (*sessionReport, error) {
	r := &sessionReport{}
	if err := c.Get(ctx, "sessions/"+url.PathEscape(id), nil, &r.StoredSession); err != nil {
		return nil, err
	}
	params := url.Values{"session": {r.Key}}
	var err error
	r.Events, r.Truncated, err = newest(ctx, c, "events", params, limit, func(l web.EventList) ([]web.Event, string) { return l.Events, l.Next })
	if err != nil {
		return nil, err
	}
	// One event can start several runs, and set several timers.
	limit = max(limit, web.MaxLimit)
	timers, more, err := newest(ctx, c, "timers", params, limit, func(l web.TimerList) ([]web.Timer, string) { return l.Timers, l.Next })
	if err != nil {
		return nil, err
	}
	r.Timers, r.Truncated = timers, r.Truncated || more
	for _, shadow := range []string{"false", "true"} {
		params.Set("shadow", shadow)
		runs, more, err := newest(ctx, c, "runs", params, limit, func(l web.RunList) ([]web.Run, string) { return l.Runs, l.Next })
		if err != nil {
			return nil, err
		}
		r.Runs, r.Truncated = append(r.Runs, runs...), r.Truncated || more
	}
	slices.SortStableFunc(r.Runs, func(x, y web.Run) int { return x.Created.Compare(y.Created) })
	return r, nil
}

// newest reads up to limit rows of a list, following its pages, and puts the
// oldest first. more: there are older ones.
func newest[List, Row any](ctx context.Context, c *connection, path string, params url.Values, limit int, rows func(List) ([]Row, string)) (all []Row, more bool, err error) {
	params = maps.Clone(params)
	all = []Row{} // for programs: never null
	for {
		params.Set("limit", strconv.Itoa(min(limit-len(all), web.MaxLimit)))
		var l List
		if err := c.Get(ctx, path, params, &l); err != nil {
			return nil, false, err
		}
		page, next := rows(l)
		all = append(all, page...)
		if next == "" || len(all) >= limit {
			slices.Reverse(all)
			return all, next != "", nil
		}
		params.Set("cursor", next)
	}
}

func (a *app) printSession(r *sessionReport, limit int) error {
	a.printSessionFacts(r.StoredSession)
	if waits := a.waiting(r); len(waits) > 0 {
		a.heading("waiting")
		for _, line := range waits {
			fmt.Fprintf(a.out, "  %s\n", cleanCell(line))
		}
	}
	if people := r.Participants; len(people) > 0 {
		a.heading("participants")
		if err := printTable(a, people[:min(len(people), limit)], participantColumns()); err != nil {
			return err
		}
		if hidden := len(people) - limit; hidden > 0 {
			fmt.Fprintf(a.out, "… %s: --limit %d shows all\n", count(hidden, "more participant"), len(people))
		}
	}
	if len(r.Recordings) > 0 {
		a.heading("recordings")
		if err := printTable(a, r.Recordings, recordingColumns()); err != nil {
			return err
		}
	}
	a.heading("timeline")
	if r.Truncated {
		fmt.Fprintf(a.out, "… what came before is left out: --limit %d shows more\n", limit*10)
	}
	a.printTimeline(timeline(a, r))
	return nil
}

// heading begins a part of a description.
func (a *app) heading(text string) { fmt.Fprintf(a.out, "\n%s\n", a.paint(a.out, faint, text)) }

func (a *app) printSessionFacts(s web.StoredSession) {
	text, color := a.readableState(state(or(s.Status, "nothing shows that it took place")))
	a.field("session", "%s  %s", or(s.ID, s.Key), painted(a.paint(a.out, color, text)))
	if s.ID != "" {
		a.field("key", "%s", s.Key)
	}
	a.field("source", "%s (%s)", s.Source, s.Platform)
	switch {
	case s.Room.Name != "" && s.Room.ID != "" && s.Room.Name != s.Room.ID:
		a.field("room", "%s (%s)", s.Room.Name, s.Room.ID)
	case or(s.Room.Name, s.Room.ID) != "":
		a.field("room", "%s", or(s.Room.Name, s.Room.ID))
	}
	if !s.Started.IsZero() {
		a.field("started", "%s", a.clock(s.Started))
	}
	if !s.Ended.IsZero() {
		why := ""
		switch {
		case s.Estimated:
			why = ", estimated: nobody said so, it fell silent"
		case s.EndReason != "":
			why = ", " + s.EndReason
		}
		a.field("ended", "%s%s", a.clock(s.Ended), why)
	}
	if s.Duration != nil {
		a.field("duration", "%s", s.Duration.String())
	}
	if s.Present != nil && s.Peak != nil {
		attended := ""
		if s.Attended != nil {
			attended = ", attended " + s.Attended.String() + " in all"
		}
		a.field("people", "%d present, peak %d%s", *s.Present, *s.Peak, attended)
	}
	if s.Host != nil {
		a.field("host", "%s", or(s.Host.Name, s.Host.ID))
	}
	if s.Session.Recording {
		a.field("recording", "one is running")
	}
	a.field("heard of", "%s", a.clock(s.LastEvent))
}

func participantColumns() []column[web.Participant] {
	return []column[web.Participant]{
		{"NAME", func(p web.Participant) any { return or(p.Name, p.ID) }},
		{"ID", func(p web.Participant) any { return p.ID }},
		{"ROLE", func(p web.Participant) any {
			if p.Kind != engine.KindPerson {
				return strings.TrimSpace(p.Role + " " + p.Kind)
			}
			return p.Role
		}},
		{"JOINED", func(p web.Participant) any { return p.Joined }},
		{"LEFT", func(p web.Participant) any { return p.Left }},
		{"TOTAL", func(p web.Participant) any { return p.Total }},
		{"PRESENT", func(p web.Participant) any { return yes(p.Present) }},
	}
}

func recordingColumns() []column[web.Recording] {
	return []column[web.Recording]{
		{"ID", func(r web.Recording) any { return r.ID }},
		{"NAME", func(r web.Recording) any { return r.Name }},
		{"STATUS", func(r web.Recording) any { return r.Status }},
		{"STARTED", func(r web.Recording) any { return r.Started }},
		{"ENDED", func(r web.Recording) any { return r.Ended }},
		{"DURATION", func(r web.Recording) any { return r.Duration }},
		{"ERROR", func(r web.Recording) any { return r.Error }},
	}
}

// waiting is what rules wait for in the session.
func (a *app) waiting(r *sessionReport) (lines []string) {
	for _, t := range r.Timers {
		if t.Open() {
			lines = append(lines, named(t.Rule, t.Shadow)+" "+a.timerText(refOf(t), t.Awaits))
		}
	}
	for _, x := range r.Runs {
		if x.State == engine.RunWaiting {
			lines = append(lines, fmt.Sprintf("%s waits until %s, at step %d of %s  gavel runs show %s", named(x.Rule, x.Shadow), a.clock(x.Due), x.At, x.Branch, x.ID))
		}
	}
	return lines
}

// named is a rule as lists name it.
func named(rule string, shadow bool) string {
	if shadow {
		return rule + " (shadow)"
	}
	return rule
}
