package main

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gavelhq/gavel/engine/rules"
	"github.com/gavelhq/gavel/engine/store"
	"github.com/gavelhq/gavel/engine/web"
)

const listedRules = `  - id: long
    owner: ops
    description: tells ops of long meetings
    when: session_ended
    if: session.duration > 60m
    then: [ log: long ]
  - id: fragile
    when: session_ended
    if: room.metadata.seats > 3
    then: [ log: seats ]
  - id: waiting
    when: session_started
    expect: { event: participant_joined, within: 2h }
    then: [ log: empty ]
  - id: trial
    mode: shadow
    when: session_started
    then: [ log: trial ]
  - id: recorded
    when: recording_ended
    then: [ log: recorded ]
  - id: retired
    enabled: false
    when: session_ended
    then: [ log: retired ]
`

func TestRulesList(t *testing.T) {
	inWorld(t, listedRules, func(t *testing.T, w *world) {
		w.send("session_ended", "s1", "duration=72m")
		w.pass(40 * 24 * time.Hour)
		w.send("session_started", "s2")
		w.send("session_ended", "s2", "duration=10m")
		w.says(`
long	session_ended		0	0	0	2000-01-01T00:00:00Z	
fragile	session_ended		0	0	1		never
waiting	session_started		0	0	0		never
trial	session_started	shadow	1	0	0	2000-02-10T00:00:00Z	
recorded	recording_ended		0	0	0		never: no event of this type in 30 days
retired	session_ended	off	0	0	0		never: it is off
`, "rules", "list")
		got, err := w.gavel("rules", "list", "--unused", "90d")
		if err != nil || strings.Contains(got, "long\t") || strings.Contains(got, "trial") || !strings.Contains(got, "recorded") {
			t.Errorf("got %v, %s", err, got)
		}
		var l []web.Rule
		got, err = w.gavel("rules", "list", "--since", "60d", "-o", "json")
		if err := json.Unmarshal([]byte(got), &l); err != nil {
			t.Fatal(err)
		}
		if err != nil || l[0].Hits != 1 || l[0].Owner != "ops" || l[0].Definition != "" || l[3].Mode != web.ModeShadow {
			t.Errorf("got %v, %s", err, got)
		}
		for _, args := range [][]string{{"--since", "soon"}, {"--unused", "soon"}} {
			if _, err := w.gavel(append([]string{"rules", "list"}, args...)...); err == nil || !strings.Contains(err.Error(), args[0]+" cannot be") {
				t.Errorf("%v: got %v", args, err)
			}
		}
		w.write("  - id: broken\n")
		if got, err := w.gavel("rules", "list"); err == nil || !strings.Contains(got, "rules.yaml:5:5") {
			t.Errorf("got %v, %s", err, got)
		}
	})
}

func TestRulesShow(t *testing.T) {
	inWorld(t, listedRules, func(t *testing.T, w *world) {
		w.send("session_ended", "s1", "duration=72m")
		w.pass(time.Minute)
		w.send("session_ended", "s2", "duration=48m")
		w.send("session_started", "s3")
		w.says(`
rule      long
when      session_ended
does      log
owner     ops
about     tells ops of long meetings
hits      1 since 1999-12-31 00:01:00, 0 failed, 0 errors
last hit  00:00:00

rules.yaml (REVISION)
    5 |   - id: long
    6 |     owner: ops
    7 |     description: tells ops of long meetings
    8 |     when: session_ended
    9 |     if: session.duration > 60m
   10 |     then: [ log: long ]

last runs
ID       RULE  STATE  TRIGGER        ROOM         STARTED   TRIES  REASON
run_002  long  ready  session_ended  Weekly sync  00:00:00  0/8

asked about last
EVENT    TIME      TYPE           ROOM         VERDICT      DECIDES
evt_003  00:01:00  session_ended  Weekly sync  not matched  session.duration > 60m: 48m > 1h
evt_001  00:00:00  session_ended  Weekly sync  matched
near miss: 1 of the last 2 session_ended events failed only on session.duration > 60m (closest: 48m > 1h, evt_003)
`, "rules", "show", "long")
		w.says(`
rule      waiting
when      session_started
words     expect participant_joined within 2h
does      log
hits      0 since 1999-12-31 00:01:00, 0 failed, 0 errors
last hit  never

rules.yaml (REVISION)
   15 |   - id: waiting
   16 |     when: session_started
   17 |     expect: { event: participant_joined, within: 2h }
   18 |     then: [ log: empty ]

waiting
  pnm/s3  waits for participant_joined until 02:01:00

asked about last
EVENT    TIME      TYPE             ROOM         VERDICT  DECIDES
evt_004  00:01:00  session_started  Weekly sync  matched
`, "rules", "show", "waiting")
		got, err := w.gavel("rules", "show", "fragile")
		if err != nil || !strings.Contains(got, "\nlast errors\n00:01:00  evt_003  session_ended: ") || !strings.Contains(got, "0 failed, 2 errors\n") {
			t.Errorf("got %v, %s", err, got)
		}
		var r wholeRule
		got, err = w.gavel("rules", "show", "fragile", "-o", "json")
		if err := json.Unmarshal([]byte(got), &r); err != nil {
			t.Fatal(err)
		}
		if err != nil || len(r.LastErrors) != 2 || r.ID != "fragile" || !strings.HasPrefix(r.Definition, "  - id: fragile") {
			t.Errorf("got %v, %s", err, got)
		}
		_, err = w.gavel("rules", "show", "fragil")
		if hint := hintOf(err); !strings.Contains(hint, `did you mean "fragile"?`) {
			t.Errorf("got %v, %s", err, hint)
		}
	})
}

func hintOf(err error) string {
	var f *failure
	if !errors.As(err, &f) {
		return ""
	}
	return f.hint
}

// What a rule missed by little is found without an event.
func TestExplainRule(t *testing.T) {
	inWorld(t, listedRules, func(t *testing.T, w *world) {
		w.says("rule      recorded (rules.yaml:23)\nabout     recording_ended\nno event of its types is stored\n", "explain", "--rule", "recorded")
		w.send("session_ended", "s1", "duration=58m12s")
		w.says(`
rule      long (rules.yaml:5)
about     session_ended
near miss: the last session_ended event failed only on session.duration > 60m (closest: 58m12s > 1h, evt_001)

asked about last
EVENT    TIME      TYPE           ROOM         VERDICT      DECIDES
evt_001  00:00:00  session_ended  Weekly sync  not matched  session.duration > 60m: 58m12s > 1h
`, "explain", "--rule", "long")
		if _, err := w.gavel("explain", "--rule", "lon"); !strings.Contains(hintOf(err), `did you mean "long"?`) {
			t.Errorf("got %v", err)
		}
	})
}

// A part without an order is no near miss where it is all there is, or a text.
func TestNearMissNeedsAnOrder(t *testing.T) {
	const text = `  - id: alone
    when: session_ended
    if: session.recording
    then: [ log: alone ]
  - id: named
    when: session_ended
    if: room.id == "cellar" and session.duration > 10m
    then: [ log: named ]
  - id: marked
    when: session_ended
    if: session.recording and session.duration > 10m
    then: [ log: marked ]
  - id: exact
    when: session_ended
    if: session.duration > 48m
    then: [ log: exact ]
`
	inWorld(t, text, func(t *testing.T, w *world) {
		id := w.send("session_ended", "s1", "duration=48m")
		for rule, want := range map[string]string{
			"alone": "", "named": "",
			"marked": "the last session_ended event failed only on session.recording (the last: session.recording = false, " + id + ")",
			"exact":  "the last session_ended event failed only on session.duration > 48m (closest: 48m > 48m, " + id + ")",
		} {
			if got := w.line("near miss:", "explain", id, "--rule", rule); got != want {
				t.Errorf("%s: got %s", rule, got)
			}
		}
	})
}

// Runs of else are no hits, but the rule is used.
func TestElseIsNoHit(t *testing.T) {
	const text = `  - id: long
    when: session_ended
    if: session.duration > 1h
    then: [ log: long ]
    else: [ log: short ]
  - id: elsewhere
    from: [meet]
    when: session_ended
    then: [ log: elsewhere ]
`
	const sources = `  meet: { platform: openvidu-meet, secret: env:SECRET }
rules:
`
	set, problems := rules.Load([]rules.File{{Name: "rules.yaml", Text: []byte(strings.Replace(pastSources, "rules:\n", sources, 1) + text)}}, worldOptions())
	if set == nil {
		t.Fatal(problems)
	}
	inWorld(t, strings.Split(text, "  - id: elsewhere")[0], func(t *testing.T, w *world) {
		w.send("session_ended", "s1", "duration=48m")
		w.send("session_ended", "s2", "duration=47m")
		w.says("long\tsession_ended\t\t0\t0\t0\t2000-01-01T00:00:00Z\t2 runs of else\n", "rules", "list")
		w.says("every rule made a run since 1999-12-02 00:00:00\n", "rules", "list", "--unused", "30d")
		w.send("session_ended", "s3", "duration=72m")
		w.says("long\tsession_ended\t\t1\t0\t0\t2000-01-01T00:00:00Z\t2 runs of else\n", "rules", "list")
		if got := w.line("hits", "rules", "show", "long"); got != "1 since 1999-12-31 00:00:00, 0 failed, 0 errors, 2 runs of else" {
			t.Errorf("got %s", got)
		}
		r, err := store.OpenReader(t.Context(), filepath.Join(w.dir, "data"), time.Now)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		l, err := ruleList(t.Context(), set, nil, r, time.Now(), time.Now())
		if err != nil || l.Rules[1].Note != "never: no such event from its sources in 30 days" {
			t.Errorf("got %v, %v", l.Rules, err)
		}
	})
}

func TestTurning(t *testing.T) {
	leaf := func(id, result string) rules.Term { return rules.Term{ID: id, Text: id, Result: result} }
	op := func(op string, terms ...rules.Term) rules.Term { return rules.Term{Op: op, Terms: terms} }
	for name, tt := range map[string]struct {
		terms []rules.Term
		want  string
	}{
		"one":            {[]rules.Term{leaf("a", rules.False)}, "a"},
		"two lines":      {[]rules.Term{leaf("a", rules.False), leaf("b", rules.True)}, "a"},
		"both wrong":     {[]rules.Term{leaf("a", rules.False), leaf("b", rules.False)}, ""},
		"and":            {[]rules.Term{op("and", leaf("a", rules.True), leaf("b", rules.False))}, "b"},
		"or":             {[]rules.Term{op("or", leaf("a", rules.False), leaf("b", rules.False))}, "a b"},
		"not":            {[]rules.Term{op("not", leaf("a", rules.True))}, "a"},
		"error behind":   {[]rules.Term{op("and", leaf("a", rules.False), leaf("b", rules.Error))}, ""},
		"unknown behind": {[]rules.Term{op("and", leaf("a", rules.False), leaf("b", rules.Unknown))}, ""},
		"other branch":   {[]rules.Term{op("if", leaf("c", rules.True), leaf("a", rules.False), leaf("b", rules.True))}, "c a"},
		"let":            {[]rules.Term{op("let", leaf("v", rules.Value), leaf("a", rules.False))}, "a"},
	} {
		var got []string
		for _, part := range turning(tt.terms) {
			got = append(got, part.ID)
		}
		if d := cmp.Diff(tt.want, strings.Join(got, " ")); d != "" {
			t.Errorf("%s: -want +got:\n%s", name, d)
		}
	}
}

func TestDistance(t *testing.T) {
	for text, want := range map[string]float64{
		"session.duration by +12m": 720, "session.duration by +1d2h": 26 * 3600, "session.peak by +3": 3, "session.peak by -2.5": 2.5, "x by +2d": 2 * 86400,
		"session.duration by more than +12m": 720, "session.peak by more than -2.5": 2.5,
	} {
		if got := distance([]string{text}); got != want {
			t.Errorf("%s: got %v", text, got)
		}
	}
	for _, none := range [][]string{nil, {"a by +1", "b by +2"}, {"room.id"}, {"by +x"}} {
		if got := distance(none); got < 1e300 {
			t.Errorf("%v: got %v", none, got)
		}
	}
}
