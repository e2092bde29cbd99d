package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/web"
)

func ago(minutes float64) time.Time {
	return testNow.Add(-time.Duration(minutes * float64(time.Minute)))
}

func in(minutes float64) time.Time { return ago(-minutes) }

func span(d time.Duration) *web.Duration { return (*web.Duration)(&d) }

// aMeeting is a session in which every kind of thing has happened.
func aMeeting() *sessionReport {
	present, peak := 2, 3
	event := func(id, typ string, at time.Time, o engine.Outcome) web.Event {
		return web.Event{ID: id, Type: typ, Time: at, Received: at, Outcome: o}
	}
	joined := event("evt_2", engine.ParticipantJoined, ago(9), engine.Outcome{
		Runs: []engine.RunRef{{Rule: "vip", Run: "run_1"}, {Rule: "trial", Run: "run_2", Shadow: true}, {Rule: "gone", Run: "run_9"}},
		Suppressed: []engine.Suppressed{
			{Rule: "greet", By: "once"}, {Rule: "crowd", By: "cooldown", Until: in(5)}, {Rule: "rush", By: "count", Note: "2 of 3"},
			{Rule: "empty", By: "pending", Until: in(1)}, {Rule: "joins", By: "digest", Until: in(3)},
		},
		Timers: []engine.TimerRef{{Rule: "host-late", Timer: "tmr_1", Kind: engine.TimerExpect, State: engine.TimerMet}},
		Errors: []engine.RuleError{{Rule: "broken", Error: "session.host is nil"}},
	})
	joined.Participant = web.Participant{Name: "Maria Chen", ID: "u7", Role: engine.RoleHost}
	joined.Time = ago(9.5)
	repeat := event("evt_3", engine.SessionStarted, ago(8), engine.Outcome{Repeat: true})
	emitted := event("evt_4", engine.Emitted, ago(7), engine.Outcome{Problem: "internal error"})
	emitted.Name = "escalated"
	left := event("evt_5", engine.ParticipantLeft, ago(6), engine.Outcome{})
	left.Derived = []string{engine.DerivedEvent, "participant.total"}
	left.Participant = web.Participant{ID: "u8"}
	return &sessionReport{
		StoredSession: web.StoredSession{
			Key: "pnm/RM_1", Source: "pnm", Platform: "plugnmeet", Room: engine.Room{ID: "room01", Name: "Weekly sync"},
			Session: web.Session{
				ID: "RM_1", Status: engine.Active, Started: ago(10), Duration: span(10 * time.Minute), Present: &present, Peak: &peak,
				Attended: span(25 * time.Minute), Host: &web.Participant{Name: "Maria Chen"}, Recording: true,
			},
			LastEvent: ago(6),
			Participants: []web.Participant{
				{ID: "u7", Name: "Maria Chen", Role: engine.RoleHost, Kind: engine.KindPerson, Joined: ago(9.5), Total: span(9 * time.Minute), Present: true},
				{ID: "u8", Kind: engine.KindBot, Joined: ago(9), Left: ago(6), Total: span(3 * time.Minute)},
				{ID: "u9", Kind: engine.KindPerson},
			},
			Recordings: []web.Recording{{ID: "EG_1", Status: "ACTIVE", Started: ago(5)}},
		},
		Events: []web.Event{
			event("evt_1", engine.SessionStarted, ago(10), engine.Outcome{Timers: []engine.TimerRef{
				{Rule: "host-late", Timer: "tmr_1", Kind: engine.TimerExpect, State: engine.TimerPending, Due: ago(5)},
				{Rule: "long", Timer: "tmr_2", Kind: engine.TimerHold, State: engine.TimerPending, Due: in(50)},
				{Rule: "old", Timer: "tmr_4", Kind: engine.TimerHold, State: engine.TimerPending, Due: in(2)},
			}}),
			joined, repeat, emitted, left,
		},
		Runs: []web.Run{
			{ID: "run_1", Rule: "vip", State: engine.RunWaiting, Created: ago(9), Due: in(5), At: 2, Branch: engine.BranchThen},
			{ID: "run_2", Rule: "trial", State: engine.RunDone, Created: ago(9), Shadow: true, Branch: engine.BranchThen},
			{ID: "run_3", Rule: "empty", State: engine.RunFailed, Reason: "http 503", Created: ago(4), Timer: "tmr_3", Branch: engine.BranchThen},
		},
		Timers: []web.Timer{
			{ID: "tmr_1", Rule: "host-late", Kind: engine.TimerExpect, State: engine.TimerMet, Awaits: []string{engine.ParticipantJoined}, Ended: ago(9), By: "evt_2"},
			{ID: "tmr_2", Rule: "long", Kind: engine.TimerHold, State: engine.TimerPending, Due: in(50)},
			{ID: "tmr_3", Rule: "empty", Kind: engine.TimerHold, State: engine.TimerFired, Ended: ago(4), Run: "run_3"},
			{ID: "tmr_4", Rule: "old", Kind: engine.TimerHold, State: engine.TimerCancelled, Reason: "the rule was removed or changed", Ended: ago(2)},
			{ID: "tmr_5", Rule: "second", Kind: engine.TimerExpect, State: engine.TimerMissed, Awaits: []string{engine.RecordingEnded, engine.RecordingFailed}, Due: in(60 * 24)},
			{ID: "tmr_6", Rule: "joins", Kind: engine.TimerDigest, State: engine.TimerPending, Due: in(3), Shadow: true},
		},
	}
}

func TestPrintSession(t *testing.T) {
	var out bytes.Buffer
	if err := testApp(&out).printSession(aMeeting(), 2); err != nil {
		t.Fatal(err)
	}
	want := `session   RM_1  ● active
key       pnm/RM_1
source    pnm (plugnmeet)
room      Weekly sync (room01)
started   13:50:00
duration  10m
people    2 present, peak 3, attended 25m in all
host      Maria Chen
recording one is running
heard of  13:54:00

waiting
  long waits until 14:50:00, as long as its condition holds
  second did not get recording_ended or recording_failed in time; it counts as late until 2026-11-21 14:00:00
  joins (shadow) gathers events until 14:03:00
  vip waits until 14:05:00, at step 2 of then  gavel runs show run_1

participants
NAME        ID  ROLE  JOINED    LEFT      TOTAL  PRESENT
Maria Chen  u7  host  13:50:30            9m     yes
u8          u8  bot   13:51:00  13:54:00  3m
… 1 more participant: --limit 3 shows all

recordings
ID    NAME  STATUS  STARTED   ENDED  DURATION  ERROR
EG_1        ACTIVE  13:55:00

timeline
13:50:00  session_started
          ○ host-late waits for participant_joined until 13:55:00
          ○ long waits until 14:50:00, as long as its condition holds
          ○ old waits until 14:02:00, as long as its condition holds
13:51:00  participant_joined         Maria Chen, host (at 13:50:30)
          → vip waiting: waits until 14:05:00  run_1
          ✓ trial (shadow) done  run_2
          → gone  run_9
          ⊘ greet held back by once
          ⊘ crowd held back by cooldown, until 14:05:00
          ⊘ rush has counted 2 of 3
          ⊘ empty waits already, until 14:01:00
          ⊘ joins put it into its digest, until 14:03:00
          ○ host-late got what it expected in time
          ✗ broken: session.host is nil
13:52:00  session_started
          ⊘ a repeat: it changed nothing
13:53:00  emitted (gavel:escalated)
          ✗ not evaluated: internal error
13:54:00  participant_left (derived) u8
13:56:00  time                       for empty has come
          ✗ empty failed: http 503  run_3
13:58:00  timer                      old cancelled: the rule was removed or changed
`
	if d := cmp.Diff(want, out.String()); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

// What is cut off at the beginning leaves nothing of itself behind.
func TestTimelineOfALongSession(t *testing.T) {
	r := aMeeting()
	r.Events, r.Truncated = r.Events[3:], true
	var got []string
	for _, m := range timeline(testApp(&bytes.Buffer{}), r) {
		got = append(got, m.at.Format(time.TimeOnly)+" "+m.what)
	}
	want := []string{"13:53:00 emitted (gavel:escalated)", "13:54:00 participant_left (derived)", "13:56:00 time", "13:58:00 timer"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	var out bytes.Buffer
	if err := testApp(&out).printSession(r, 50); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "what came before is left out: --limit 500 shows more\n13:53:00") {
		t.Errorf("got %s", out.String())
	}
}

func TestPrintEndedSession(t *testing.T) {
	for why, s := range map[string]web.Session{
		"ended     13:55:00, estimated: nobody said so, it fell silent\n": {Status: engine.Ended, Ended: ago(5), Estimated: true},
		"ended     13:55:00, all left\n":                                  {Status: engine.Ended, Ended: ago(5), EndReason: "all left"},
		"ended     13:55:00\n":                                            {Status: engine.Ended, Ended: ago(5)},
		"session   meet/r/evt_1  nothing shows that it took place\n":      {},
	} {
		var out bytes.Buffer
		testApp(&out).printSessionFacts(web.StoredSession{Key: "meet/r/evt_1", Session: s})
		if !strings.Contains(out.String(), why) {
			t.Errorf("got %s, want %s", out.String(), why)
		}
	}
}

// Whoever can name a room, a person or a recording does not reach the terminal.
func TestHostileSession(t *testing.T) {
	for _, text := range hostile() {
		r := aMeeting()
		r.ID, r.Key, r.EndReason, r.Host.Name, r.Ended = text, text, text, text, ago(1)
		r.Room = engine.Room{ID: text, Name: text + "x"}
		for i := range r.Participants {
			r.Participants[i].Name, r.Participants[i].ID, r.Participants[i].Role = text, text, text
		}
		for i := range r.Events {
			e := &r.Events[i]
			e.Name, e.Participant.Name, e.Recording.Name = text, text, text
			e.Outcome.Problem, e.Outcome.Errors = text, []engine.RuleError{{Rule: "x", Error: text}}
		}
		r.Recordings[0].Name, r.Recordings[0].Error, r.Recordings[0].Status = text, text, text
		r.Runs[2].Reason, r.Timers[3].Reason = text, text
		var plain, out bytes.Buffer
		if err := testApp(&plain).printSession(aMeeting(), 2); err != nil {
			t.Fatal(err)
		}
		if err := testApp(&out).printSession(r, 2); err != nil {
			t.Fatal(err)
		}
		for _, e := range r.Events {
			if err := testApp(&out).printEvent(e); err != nil {
				t.Fatal(err)
			}
		}
		testApp(&out).printRun(web.Run{ID: "run_1", Rule: "r", Room: text, Session: text, Reason: text, Steps: []web.Step{{Note: text, Error: text, With: json.RawMessage(`"` + "\u009b" + `"`)}}})
		if i := strings.IndexAny(out.String(), "\x1b\x00\x07\x7f\u009b\u202e\u2028\r"); i >= 0 {
			t.Errorf("%q: a control character at %d of %q", text, i, out.String())
		}
	}
}

func TestOutcomeText(t *testing.T) {
	for want, o := range map[string]engine.Outcome{
		"–":                     {},
		"repeat":                {Repeat: true},
		"a, b (shadow)":         {Runs: []engine.RunRef{{Rule: "a"}, {Rule: "b", Shadow: true}}},
		"a (held back by once)": {Suppressed: []engine.Suppressed{{Rule: "a", By: "once"}}},
		"a (2 of 3)":            {Suppressed: []engine.Suppressed{{Rule: "a", By: "count", Note: "2 of 3"}}},
		"a (waits already)":     {Suppressed: []engine.Suppressed{{Rule: "a", By: "pending"}}},
		"a (gathered)":          {Suppressed: []engine.Suppressed{{Rule: "a", By: "digest"}}},
		"a (waits)":             {Timers: []engine.TimerRef{{Rule: "a", State: engine.TimerPending}}},
		"a (came in time)":      {Timers: []engine.TimerRef{{Rule: "a", State: engine.TimerMet}}},
		"a (stopped)":           {Timers: []engine.TimerRef{{Rule: "a", State: engine.TimerStopped}}},
		"a (error)":             {Errors: []engine.RuleError{{Rule: "a"}}},
		"not evaluated: p":      {Problem: "p"},
	} {
		if got := outcomeText(web.Event{Outcome: o}); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestPrintEventsOfOurOwn(t *testing.T) {
	for _, tt := range []struct {
		e         web.Event
		row, says string
	}{
		{web.Event{Type: engine.ParticipantLeft, Derived: []string{engine.DerivedEvent, "event.time"}}, "participant_left (derived)", "origin    derived: no platform sent it\ntime      , received \nderived   event.time\n"},
		{web.Event{Type: engine.Scheduled, Name: "report", Derived: []string{engine.DerivedEvent}}, "scheduled (report)", "origin    the schedule of the rule report\ntime      , received \nrules"},
		{web.Event{Type: engine.Emitted, Name: "late"}, "emitted (gavel:late)", "origin    a step emitted it: rules catch it by when: gavel:late\n"},
		{web.Event{Type: engine.SessionEnded, Derived: []string{"session.duration"}}, "session_ended", "derived   session.duration\n"},
	} {
		var out bytes.Buffer
		a := testApp(&out)
		if err := printTable(a, []web.Event{tt.e}, eventColumns()[3:4]); err != nil {
			t.Fatal(err)
		}
		if got := strings.Split(out.String(), "\n")[1]; got != tt.row {
			t.Errorf("got %q, want %q", got, tt.row)
		}
		if got := exact(eventColumns()[3].cell(tt.e)); got != tt.e.Type {
			t.Errorf("for programs: got %q", got)
		}
		if err := a.printEvent(tt.e); err != nil || !strings.Contains(out.String(), tt.says) {
			t.Errorf("got %s, want %s (%v)", out.String(), tt.says, err)
		}
	}
}

func TestPrintRun(t *testing.T) {
	for want, r := range map[string]web.Run{
		"reason    waits until 14:05:00\n":                                             {State: engine.RunWaiting, Due: in(5)},
		"mode      shadow: recorded, not done\n":                                       {Shadow: true},
		"events    12 events\n":                                                        {Gathered: 12},
		"events    1000 events, and 3 more that were not kept\n":                       {Gathered: 1000, Dropped: 3},
		"late      by 2m30s; the waiting began with gavel events show evt_1\n":         {Awaited: "evt_1", Timer: "tmr_1", LateBy: span(150 * time.Second)},
		"late      by 0s; the waiting began with gavel events show evt_1\n":            {Awaited: "evt_1"},
		"timer     tmr_1: its time had come\n":                                         {Timer: "tmr_1"},
		"session   gavel sessions show pnm/RM_1\n":                                     {Session: "pnm/RM_1"},
		"session   gavel sessions show 'meet/a; rm -rf ~'\n":                           {Session: "meet/a; rm -rf ~"},
		"  ◌ 1 slack                                would be done\n      {\"text\"":    {Steps: []web.Step{{ID: "1", Branch: "then", Action: "slack", State: engine.StepShadow, With: json.RawMessage(`{"text":"x"}`)}}},
		"  ? 2 http                                 needs the result of a step that w": {Steps: []web.Step{{ID: "2", Branch: "then", Action: "http", State: engine.StepUndecided}}},
	} {
		var out bytes.Buffer
		testApp(&out).printRun(r)
		if !strings.Contains(out.String(), want) {
			t.Errorf("got %s\nwant %s", out.String(), want)
		}
	}
}

func TestPrintReload(t *testing.T) {
	report := web.ReloadReport{Accepted: true, Changed: true, Rules: 12, Sources: 3, Revision: "a41f9c2d00", Loaded: ago(1)}
	for _, tt := range []struct {
		timers  web.Timers
		changed bool
		want    string
	}{
		{web.Timers{}, true, "✓ reloaded: 12 rules, 3 sources (a41f9c2)\n"},
		{web.Timers{Kept: 40}, true, "✓ reloaded: 12 rules, 3 sources (a41f9c2); 40 timers kept\n"},
		{web.Timers{Kept: 40, Cancelled: 2, Rules: []string{"host-late"}}, true, "✓ reloaded: 12 rules, 3 sources (a41f9c2); 2 timers of changed rules cancelled (host-late), 40 kept\n"},
		{web.Timers{Cancelled: 1, Rules: []string{"a", "b"}}, false, "✓ nothing changed since 13:59:00: 12 rules, 3 sources (a41f9c2); 1 timer of changed rules cancelled (a, b), 0 kept\n"},
	} {
		var out bytes.Buffer
		report.Timers, report.Changed = tt.timers, tt.changed
		testApp(&out).printReload(report)
		if out.String() != tt.want {
			t.Errorf("got %s, want %s", out.String(), tt.want)
		}
	}
}

// Pages are followed as far as the limit, and the oldest row comes first.
func TestNewest(t *testing.T) {
	const rows = 2500
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from, _ := strconv.Atoi(r.URL.Query().Get("cursor")) // none on the first page
		limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
		l := web.RunList{}
		for i := from; i < min(from+limit, rows); i++ {
			l.Runs = append(l.Runs, web.Run{ID: fmt.Sprint(rows - i)})
		}
		if from+limit < rows {
			l.Next = fmt.Sprint(from + limit)
		}
		if limit < 1 || limit > web.MaxLimit || json.NewEncoder(w).Encode(l) != nil {
			t.Errorf("limit %d", limit)
		}
	})
	c := &connection{Client: web.NewClient(web.Local(h))}
	for _, tt := range []struct {
		limit, want int
		more        bool
	}{{50, 50, true}, {1000, 1000, true}, {1500, 1500, true}, {2500, 2500, false}, {9000, 2500, false}} {
		got, more, err := newest(t.Context(), c, "runs", url.Values{}, tt.limit, func(l web.RunList) ([]web.Run, string) { return l.Runs, l.Next })
		if err != nil || len(got) != tt.want || more != tt.more || got[len(got)-1].ID != "2500" || got[0].ID != fmt.Sprint(rows-tt.want+1) {
			t.Errorf("limit %d: got %d, from %s to %s, more %v, %v", tt.limit, len(got), got[0].ID, got[len(got)-1].ID, more, err)
		}
	}
}

func TestSilentSource(t *testing.T) {
	column := sourceColumns()[6]
	if column.head != "STATE" || exact(column.cell(web.Source{Silent: true})) != "silent" || exact(column.cell(web.Source{})) != "" {
		t.Errorf("%s: got %q and %q", column.head, exact(column.cell(web.Source{Silent: true})), exact(column.cell(web.Source{})))
	}
}
