package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/store"
)

// replayRules see all that a rule can see of a meeting. %s is a condition.
const replayRules = `  - id: joined
    when: participant_joined
    if: [ %[1]s, 'participant.name != "Nobody"' ]
    then: [ log: "${participant.name} ${session.present} ${session.duration} ${len(session.participants)} ${participant.total}" ]
  - id: host-late
    when: session_started
    if: [ %[1]s ]
    expect: { event: participant_joined, if: participant.name == "Host", within: 5m, stop_on: [session_ended] }
    then: [ log: "no host, ${session.present} of ${session.peak} after ${session.duration}, ${session.attended} in all" ]
    on_late: [ log: "${participant.name} came ${expect.late_by} late" ]
  - id: empty
    when: participant_left
    if: [ %[1]s, session.present == 0 ]
    hold: 10m
    then: [ log: "empty since ${participant.name}, ${session.peak} at most" ]
  - id: ended
    when: session_ended
    if: [ %[1]s, session.duration > 60m ]
    then: [ log: "ran ${session.duration}, ${session.attended}" ]
    else: [ log: "ran only ${session.duration}" ]
  - id: left
    when: participant_left
    if: [ %[1]s ]
    order: parallel
    then:
      - log: "${participant.name} ${participant.duration}"
      - wait: 10m
      - log: waited
  - id: tell
    when: participant_left
    if: [ %[1]s ]
    then: [ emit: { name: gone, data: { who: "${participant.name}" } } ]
  - id: told
    when: gavel:gone
    then: [ log: "${raw.who} has gone" ]
`

// wordRulesReplayed keep something from one event to the next.
const wordRulesReplayed = `  - id: once
    when: participant_joined
    if: [ %[1]s ]
    once: [session.id]
    then: [ log: "${participant.name} is first" ]
  - id: cool
    when: participant_joined
    if: [ %[1]s ]
    cooldown: { for: 15m, per: [] }
    then: [ log: "${participant.name}" ]
  - id: rush
    when: participant_joined
    if: [ %[1]s ]
    count: { at_least: 3, within: 1h, per: [] }
    then: [ log: "${len(events)} up to ${events[2].participant.name}" ]
  - id: gather
    when: participant_joined
    if: [ %[1]s ]
    digest: { every: 30m, per: [] }
    then: [ log: "${len(events)} from ${events[0].participant.name}" ]
`

// fails is a condition that cannot be evaluated: nobody knows the host.
const fails = `'session.host.name != ""'`

// meetings are days of two meetings each. What is over for long is forgotten by a
// rehearsal.
func meetings(w *world) (events []string) {
	for day := range 4 {
		events = append(events, twoMeetings(w, fmt.Sprint("A", day), fmt.Sprint("B", day))...)
	}
	return events
}

func twoMeetings(w *world, s1, s2 string) (events []string) {
	send := func(what, session string, set ...string) {
		events = append(events, w.send(what, session, append(set, "room="+session)...))
	}
	join := func(session, who string) { send("participant_joined", session, "name="+who, "participant="+who) }
	leave := func(session, who string) { send("participant_left", session, "name="+who, "participant="+who) }
	send("session_started", s1)
	w.pass(time.Minute)
	join(s1, "Ana")
	w.pass(2 * time.Minute)
	join(s1, "Bob")
	send("session_started", s2)
	w.pass(30 * time.Second)
	leave(s1, "Bob")
	w.pass(3 * time.Minute)
	join(s1, "Host")
	join(s2, "Host")
	w.pass(20 * time.Minute)
	leave(s2, "Host")
	w.pass(15 * time.Minute)
	join(s2, "Eve")
	w.pass(40 * time.Minute)
	send("session_ended", s1)
	w.pass(5 * time.Minute)
	send("session_ended", s2)
	w.pass(24 * time.Hour)
	return events
}

// serve runs the rules of the world: what their steps ask for is only noted.
func (w *world) serve() (e *engine.Engine, stop func()) {
	w.t.Helper()
	kinds := worldOptions().Actions
	for i := range kinds {
		if kinds[i].Inside {
			continue
		}
		kinds[i].Do = func(context.Context, engine.Call) (engine.Result, error) { return engine.Result{}, nil }
	}
	e, err := engine.New(engine.Options{
		Store: w.store, Actions: kinds, Now: time.Now, Rand: func() float64 { return 0.5 }, Log: slog.New(slog.DiscardHandler),
		Load: func([]byte) (engine.Planner, error) { return w.set, nil },
	})
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := e.Use(w.t.Context(), w.set, w.set.Connection); err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan error)
	go func() { done <- e.Run(ctx, time.Second) }()
	return e, func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
	}
}

// did is what was done, a line for each run: events are called by the order in
// which they came, those of our own by their type.
func (w *world) did(events []string) (lines []string) {
	w.t.Helper()
	name := func(id string) string {
		if i := slices.Index(events, id); i >= 0 {
			return fmt.Sprint(i)
		}
		ev, err := w.store.Event(w.t.Context(), id)
		if err != nil {
			w.t.Fatal(err)
		}
		if ev.Type == engine.Emitted {
			return ev.Name + "/" + string(ev.Payload)
		}
		return ev.Type + "/" + ev.Participant.ID + ev.Session.ID
	}
	runs, err := w.store.Runs(w.t.Context(), engine.Query{Limit: 1000})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, r := range runs {
		line := fmt.Sprintf("%s %s %s %s", r.Rule, name(r.Event), r.Began(), r.State)
		if r.Awaited != "" {
			line += " after " + name(r.Awaited)
		}
		for _, id := range r.Events {
			line += " " + name(id)
		}
		for _, s := range r.Steps {
			if s.Action == "log" {
				line += " " + string(s.With)
			}
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return lines
}

// replay replays the last days, some runs at a time.
func (w *world) replay(e *engine.Engine) (x replayReport) {
	w.t.Helper()
	a := testApp(&bytes.Buffer{})
	a.now, a.dataDir, a.zone = time.Now, filepath.Join(w.dir, "data"), time.UTC
	r := &replayer{app: a, since: "5d", timeout: 24 * time.Hour, noProgress: true, kinds: worldOptions().Platforms, acts: worldOptions().Actions, set: w.set}
	var err error
	if r.reader, err = store.OpenReader(w.t.Context(), a.dataDir, a.now); err != nil {
		w.t.Fatal(err)
	}
	defer r.reader.Close()
	if err := r.period(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	if err := r.find(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	for chunk := range slices.Chunk(r.report.Runs, 3) {
		var ask []engine.Replay
		for i := range chunk {
			text, err := json.Marshal(chunk[i].replay) // as it is sent
			if err != nil {
				w.t.Fatal(err)
			}
			ask = append(ask, engine.Replay{})
			if err := json.Unmarshal(text, &ask[i]); err != nil {
				w.t.Fatal(err)
			}
		}
		out, err := e.Replay(w.t.Context(), w.set.Revision(), ask)
		if err != nil {
			w.t.Fatal(err)
		}
		for i, got := range out {
			if got.Run == "" {
				w.t.Errorf("%s for %s: %+v", ask[i].Rule, ask[i].Event, got)
			}
		}
	}
	return r.report
}

// What a replay makes is what the mended rules would have made at once, down to
// the last word; and it is made once.
func TestReplayIsWhatWouldHaveBeen(t *testing.T) {
	for _, tc := range []struct{ name, rules, broken string }{
		{"nothing could be evaluated", replayRules + wordRulesReplayed, fails},
		{"some could not", replayRules, `'session.present != 2 or ` + fails[1:]},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var want, missing []string
			mended, broken := fmt.Sprintf(tc.rules, `session.status != ""`), fmt.Sprintf(tc.rules, tc.broken)
			inWorld(t, mended, func(_ *testing.T, w *world) {
				_, stop := w.serve()
				defer stop()
				want = w.did(meetings(w))
			})
			inWorld(t, broken, func(t *testing.T, w *world) {
				_, stop := w.serve()
				events := meetings(w)
				missing = w.did(events)
				stop()
				w.use(mended)
				e, stop := w.serve()
				defer stop()
				x := w.replay(e)
				w.pass(time.Hour)
				if d := cmp.Diff(want, w.did(events)); d != "" {
					t.Errorf("-want +got:\n%s", d)
				}
				if x.New+x.Not[notFollows] != len(want)-len(missing) || x.Not[engine.NotDone] != len(missing) {
					t.Errorf("%d new, %v; %d of %d were missing", x.New, x.Not, len(want)-len(missing), len(want))
				}
				if again := w.replay(e); again.New != 0 || again.Not[engine.NotDone] != len(want) {
					t.Errorf("the second time %d new, %v", again.New, again.Not)
				}
			})
			if len(missing) >= len(want) || len(want) < 15 {
				t.Errorf("%d runs of %d were missing:\n%s", len(want)-len(missing), len(want), strings.Join(want, "\n"))
			}
		})
	}
}

// What failed is left to gavel runs retry; what the clock alone begins, and rules
// on trial, are left out.
func TestReplayLeavesOut(t *testing.T) {
	const failing = `  - id: joined
    when: participant_joined
    then: [ log: "${participant.metadata.nothing.there}" ]
`
	const more = failing + `  - id: clock
    when: { schedule: "0 * * * *" }
    then: [ log: tick ]
  - id: trial
    when: participant_joined
    mode: shadow
    then: [ log: tried ]
`
	inWorld(t, failing, func(t *testing.T, w *world) {
		_, stop := w.serve()
		meetings(w)
		stop()
		w.use(more)
		e, stop := w.serve()
		defer stop()
		x := w.replay(e)
		if d := cmp.Diff(map[string]int{notFailed: 20}, x.Not); d != "" || x.New != 0 {
			t.Errorf("%d new, -want +got:\n%s", x.New, d)
		}
	})
}
