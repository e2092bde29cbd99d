package ruletest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/rules"
	"github.com/gavelhq/gavel/engine/ruletest"
	"github.com/google/go-cmp/cmp"
)

type sayParams struct {
	Text string `json:"text" gavel:"main,required"`
	To   string `json:"to"`
}

type sayConn struct {
	Name string `json:"name"`
}

type billParams struct {
	Quantity string `json:"quantity" gavel:"main,required"`
	Meter    string `json:"meter"`
	Key      string `json:"key"`
}

// diffKinds are an action that leaves Gavel, whose Do nobody may call, and the
// ledger's.
func diffKinds(t *testing.T) []engine.ActionKind {
	return []engine.ActionKind{
		{
			Name: "say", Params: reflect.TypeFor[sayParams](), Conn: reflect.TypeFor[sayConn](),
			Do: func(context.Context, engine.Call) (engine.Result, error) {
				t.Error("an action was called that leaves Gavel")
				return engine.Result{}, nil
			},
			Target: func(with json.RawMessage, conn any) string {
				var p sayParams
				_ = json.Unmarshal(with, &p)
				if c, ok := conn.(*sayConn); ok && p.To == "" {
					return c.Name
				}
				return p.To
			},
		},
		{
			Name: "billing", Params: reflect.TypeFor[billParams](), Inside: true,
			Do: func(_ context.Context, c engine.Call) (engine.Result, error) {
				var p billParams
				if err := json.Unmarshal(c.With, &p); err != nil {
					return engine.Result{}, err
				}
				amount := int64(len(p.Quantity))
				return engine.Result{Entries: []engine.Entry{{
					Tenant: c.Event.Tenant, Source: c.Event.Source, Key: p.Key, Meter: p.Meter, Quantity: p.Quantity,
					Amount: &amount, Currency: "USD", Exponent: 2, Run: c.Run, Rule: c.Rule,
				}}}, nil
			},
		},
	}
}

// ruleSet are rules, which are what follows `rules:`; what comes before is the
// same in all sets unless text brings it.
func ruleSet(t *testing.T, text string) *rules.Set {
	t.Helper()
	if !strings.Contains(text, "rules:") {
		text = "connections: { say: { home: { name: ops } } }\nrules:\n" + text
	}
	set, problems := rules.Load([]rules.File{{Name: "rules.yaml", Text: []byte("version: 1\nsources: { a: { platform: any } }\n" + text)}}, rules.Options{
		Actions: diffKinds(t), Platforms: []engine.PlatformKind{{Name: "any", Signed: true, Facts: []string{"participant.id", "participant.name"}, Events: map[string][]string{
			"start": {engine.SessionStarted}, "end": {engine.SessionEnded}, "join": {engine.ParticipantJoined},
		}}},
	})
	if set == nil {
		t.Fatal(problems)
	}
	return set
}

// at is an event so long after noon: "start S1", "join S1 ana", "end S1".
func at(after time.Duration, what string) engine.Event {
	words := strings.Fields(what)
	when := noon.Add(after)
	ev := engine.Event{
		ID: fmt.Sprintf("evt_%s_%s", after, strings.Join(words, "_")), Source: "a", Platform: "any", Tenant: "default",
		Type: map[string]string{"start": engine.SessionStarted, "join": engine.ParticipantJoined, "end": engine.SessionEnded}[words[0]],
		Time: when, Received: when, Session: engine.Session{ID: words[1]}, Room: engine.Room{ID: "room", Name: "Room \"1\"\x1b[31m"},
	}
	if len(words) > 2 {
		ev.Participant.ID, ev.Participant.ConnectionID = words[2], after.String()
	}
	return ev
}

// past is a run as it was recorded, with its steps: "ID STATE PARAMETERS ANSWER".
func past(rule, event string, created time.Duration, steps ...string) *engine.Run {
	r := &engine.Run{ID: "run_" + rule + event, Rule: rule, Event: event, Source: "a", Session: "a/S1", Trigger: engine.ParticipantJoined, Created: noon.Add(created)}
	for i, text := range steps {
		words := strings.SplitN(text, " ", 4)
		s := engine.StepRecord{Branch: engine.BranchThen, At: i, ID: words[0], Action: "say", Via: "home", State: words[1], With: json.RawMessage(words[2])}
		if s.State == engine.StepFailed {
			s.Error = words[3]
		} else {
			s.Body = json.RawMessage(words[3])
		}
		r.Steps = append(r.Steps, s)
	}
	return r
}

// rehearse plays events with one set, from an hour before noon until an hour after.
func rehearse(t *testing.T, set *rules.Set, answers *ruletest.Answers, events []engine.Event) *ruletest.Rehearsal {
	t.Helper()
	r, err := ruletest.NewRehearsal(ruletest.RehearsalOptions{Rules: set, Actions: diffKinds(t), Start: noon.Add(-time.Hour), Since: noon, Answers: answers})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	for _, ev := range events {
		if err := r.Deliver(ev); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.End(noon.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	return r
}

// told is a diff in short lines.
func told(d *ruletest.Diff) (lines []string) {
	say := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	for _, c := range d.Shared {
		say("%s: %q %q", c.Name, c.Before, c.After)
	}
	for _, r := range d.Rules {
		like := ""
		if r.Like != "" {
			like = " like " + r.Like
		}
		say("%s %s%s: runs %d %d, actions %d %d", r.Rule, r.Is, like, r.Runs.Before, r.Runs.After, r.Actions.Before, r.Actions.After)
		if r.Failed != (ruletest.Pair{}) || r.Errors != (ruletest.Pair{}) {
			say("  failed %d %d, errors %d %d", r.Failed.Before, r.Failed.After, r.Errors.Before, r.Errors.After)
		}
		for _, x := range r.Differences {
			var changes []string
			for _, c := range x.Changes {
				changes = append(changes, fmt.Sprintf("%s %s %s", c.Name, c.Before, c.After))
			}
			was := ""
			if !x.Was.IsZero() {
				was = x.Was.Format("15:04 ")
			}
			say("  %s %s%s %s %s %s", x.Kind, was, x.At.Format("15:04"), x.Action, x.Target, strings.Join(changes, ", "))
		}
	}
	for _, s := range d.Same {
		say("%s same: runs %d, actions %d", s.Rule, s.Runs, s.Actions)
	}
	for _, x := range d.Targets {
		say("%s %s: %d %d", x.Action, x.Target, x.Before, x.After)
	}
	for _, m := range d.Meters {
		say("%s: %+v %+v", m.Meter, m.Before, m.After)
	}
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return lines
}

const greet = `
  - id: greet
    when: participant_joined
    then:
      - say: hello ${participant.id}
`

func TestDiff(t *testing.T) {
	meeting := []engine.Event{
		at(-30*time.Minute, "start S1"), at(-20*time.Minute, "join S1 early"),
		at(5*time.Minute, "join S1 ana"), at(10*time.Minute, "join S1 ben"), at(15*time.Minute, "join S1 ana"), at(50*time.Minute, "end S1"),
	}
	for _, tc := range []struct {
		name          string
		before, after string
		past          []*engine.Run
		want          string
	}{
		{"nothing", greet, greet, nil, `
greet same: runs 3, actions 3
say ops: 3 3`},

		{"a condition", greet, strings.Replace(greet, "then:", "if: participant.id == \"ana\"\n    then:", 1), nil, `
greet changed: runs 3 2, actions 3 2
  less 12:10 say ops
say ops: 3 2`},

		{"a text", greet, strings.Replace(greet, "hello", "welcome", 1), nil, `
greet changed: runs 3 3, actions 3 3
  different 12:05 say ops text "hello ana" "welcome ana"
  different 12:10 say ops text "hello ben" "welcome ben"
  different 12:15 say ops text "hello ana" "welcome ana"
say ops: 3 3`},

		{"a target", greet, "connections: { say: { home: { name: exec } } }\nrules:\n" + greet, nil, `
connections.say: "{ home: { name: ops } }" "{ home: { name: exec } }"
greet unchanged: runs 3 3, actions 3 3
  different 12:05 say exec to home ops home exec
  different 12:10 say exec to home ops home exec
  different 12:15 say exec to home ops home exec
say exec: 0 3
say ops: 3 0`},

		{"another name", greet, strings.Replace(greet, "id: greet", "id: hello", 1), nil, `
hello added like greet: runs 0 3, actions 0 3
  more 12:05 say ops
  more 12:10 say ops
  more 12:15 say ops
greet removed: runs 3 0, actions 3 0
  less 12:05 say ops
  less 12:10 say ops
  less 12:15 say ops
say ops: 3 3`},

		{"another step", greet, greet + `      - say: bye ${participant.id}
`, nil, `
greet changed: runs 3 3, actions 3 6
  more 12:05 say ops
  more 12:10 say ops
  more 12:15 say ops
say ops: 3 6`},

		{"trial", greet, strings.Replace(greet, "then:", "mode: shadow\n    then:", 1), nil, `
greet changed: runs 3 0, actions 3 0
  less 12:05 say ops
  less 12:10 say ops
  less 12:15 say ops
say ops: 3 0`},

		// What is counted before the period counts; the hold that began before it fires in it, and counts.
		{"memory", `
  - id: third
    when: participant_joined
    count: { at_least: 3, within: 2h }
    then: [{ say: third }]
  - id: long
    when: session_started
    if: session.status == "active"
    hold: 40m
    then: [{ say: long }]
`, `
  - id: third
    when: participant_joined
    count: { at_least: 2, within: 2h }
    then: [{ say: third }]
  - id: long
    when: session_started
    if: session.status == "active"
    hold: 50m
    then: [{ say: long }]
`, nil, `
third changed: runs 1 2, actions 1 2
  more 12:05 say ops
  less 12:10 say ops
  more 12:15 say ops
long changed: runs 1 1, actions 1 1
  different 12:10 12:20 say ops
say ops: 2 3`},

		{"errors and failures", greet, strings.Replace(greet, "hello ${participant.id}", "hello ${[1][len(participant.id) - 3]}", 1) + `
  - id: wrong
    when: participant_joined
    if: '[1, 2][len(participant.name)] + participant.metadata.n > 1'
    then: [{ say: never }]
`, nil, `
greet changed: runs 3 3, actions 3 3
  different 12:05 say ops text "hello ana" "hello 1"
  different 12:10 say ops text "hello ben" "hello 1"
  different 12:15 say ops text "hello ana" "hello 1"
wrong added: runs 0 0, actions 0 0
  failed 0 0, errors 0 3
say ops: 3 3`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			answers := ruletest.NewAnswers(diffKinds(t))
			for _, r := range tc.past {
				answers.Add(r)
			}
			d := ruletest.Compare(rehearse(t, ruleSet(t, tc.before), answers, meeting), rehearse(t, ruleSet(t, tc.after), answers, meeting))
			if diff := cmp.Diff(strings.TrimPrefix(tc.want, "\n"), strings.Join(told(d), "\n")); diff != "" {
				t.Errorf("(- want, + got)\n%s", diff)
			}
			if d.Differs() != (tc.name != "nothing") {
				t.Errorf("differs: %t", d.Differs())
			}
		})
	}
}

const ask = `
  - id: ask
    when: participant_joined
    then:
      - { id: crm, say: "who-is-${participant.id}" }
      - if: (steps.crm.body.value ?? 0) > 10
        say: { text: rich, to: vip }
    on_failure:
      - say: { text: nobody, to: alarm }
`

// Steps are answered what they were answered in earnest.
func TestDiffAnswers(t *testing.T) {
	events := []engine.Event{at(5*time.Minute, "join S1 ana"), at(10*time.Minute, "join S1 ben")}
	ana, ben := events[0].ID, events[1].ID
	who := func(id, state, answer string) string {
		return `crm ` + state + ` {"text":"who-is-` + id + `"} ` + answer
	}
	dear := strings.Replace(ask, "> 10", "> 30", 1)
	for _, tc := range []struct {
		name  string
		after string
		past  []*engine.Run
		want  string
	}{
		{"for the same event", dear, []*engine.Run{
			past("ask", "evt_other", 5*time.Minute, who("ana", "done", `{"value":99}`)),
			past("ask", ana, 5*time.Minute, who("ana", "done", `{"value":20}`)),
			past("ask", ben, 10*time.Minute, who("ben", "done", `{"value":40}`)),
		}, `
ask changed: runs 2 2, actions 4 3
  less 12:05 say vip
say ops: 2 2
say vip: 2 1`},

		{"the last one before", dear, []*engine.Run{
			past("ask", "evt_1", -2*time.Minute, who("ana", "done", `{"value":40}`), who("ben", "done", `{"value":40}`)),
			past("ask", "evt_2", -time.Minute, who("ana", "done", `{"value":20}`)),
			past("ask", "evt_3", 20*time.Minute, who("ana", "done", `{"value":40}`)),
		}, `
ask changed: runs 2 2, actions 4 3
  less 12:05 say vip
say ops: 2 2
say vip: 2 1`},

		{"a failure", strings.Replace(ask, "nobody", "somebody", 1), []*engine.Run{
			past("ask", ana, 5*time.Minute, who("ana", "failed", "404 Not Found")),
			past("ask", ben, 10*time.Minute, who("ben", "done", `{"value":40}`)),
		}, `
ask changed: runs 2 2, actions 3 3
  failed 1 1, errors 0 0
  different 12:05 say alarm text "nobody" "somebody"
say alarm: 1 1
say ops: 1 1
say vip: 1 1`},

		{"nobody knows, and the rule is the same", ask, nil, `
ask same: runs 2, actions 2
say ops: 2 2`},

		{"nobody knows", dear, nil, `
ask changed: runs 2 2, actions 2 2
  unknown 12:05 say
  unknown 12:10 say
say ops: 2 2`},

		// The step is sent in both; only before is known whether the one after it is, too: it is
		// left out of the totals.
		{"asked otherwise", strings.Replace(ask, "who-is", "whois", 1), []*engine.Run{
			past("ask", ana, 5*time.Minute, who("ana", "done", `{"value":40}`)),
			past("ask", ben, 10*time.Minute, who("ben", "done", `{"value":40}`)),
		}, `
ask changed: runs 2 2, actions 2 2
  unknown 12:05 say
  different 12:05 say ops text "who-is-ana" "whois-ana"
  unknown 12:10 say
  different 12:10 say ops text "who-is-ben" "whois-ben"
say ops: 2 2`},

		{"of another step", strings.Replace(ask, "id: ask", "id: ask-again", 1), []*engine.Run{
			past("ask", ana, 5*time.Minute, who("ana", "done", `{"value":40}`)),
			past("ask", ben, 10*time.Minute, who("ben", "done", `{"value":4}`)),
		}, `
ask-again added like ask: runs 0 2, actions 0 2
  unknown 12:05 say
  more 12:05 say ops
  unknown 12:10 say
  more 12:10 say ops
ask removed: runs 2 0, actions 3 0
  less 12:05 say ops
  less 12:05 say vip
  less 12:10 say ops
say ops: 2 2
say vip: 1 0`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			answers := ruletest.NewAnswers(diffKinds(t))
			for _, r := range tc.past {
				answers.Add(r)
			}
			d := ruletest.Compare(rehearse(t, ruleSet(t, ask), answers, events), rehearse(t, ruleSet(t, tc.after), answers, events))
			if diff := cmp.Diff(strings.TrimPrefix(tc.want, "\n"), strings.Join(told(d), "\n")); diff != "" {
				t.Errorf("(- want, + got)\n%s", diff)
			}
		})
	}
}

const bill = `
  - id: bill
    when: session_ended
    then:
      - billing: { meter: minutes, quantity: "0.1", key: "${session.id}" }
`

func TestDiffMeters(t *testing.T) {
	events := []engine.Event{
		at(-40*time.Minute, "start S0"), at(-10*time.Minute, "end S0"),
		at(1*time.Minute, "start S1"), at(20*time.Minute, "end S1"), at(21*time.Minute, "start S2"), at(40*time.Minute, "end S2"),
	}
	for _, tc := range []struct {
		name, after string
		want        string
	}{
		{"the same", bill, `
bill same: runs 2, actions 2
minutes: {Entries:2 Quantity:0.2 Amounts:[{Currency:USD Minor:6 Exponent:2}] Conflicts:0} {Entries:2 Quantity:0.2 Amounts:[{Currency:USD Minor:6 Exponent:2}] Conflicts:0}`},

		{"another quantity", strings.Replace(bill, "0.1", "0.30001", 1), `
bill changed: runs 2 2, actions 2 2
  different 12:20 billing minutes quantity "0.1" "0.30001"
  different 12:40 billing minutes quantity "0.1" "0.30001"
minutes: {Entries:2 Quantity:0.2 Amounts:[{Currency:USD Minor:6 Exponent:2}] Conflicts:0} {Entries:2 Quantity:0.60002 Amounts:[{Currency:USD Minor:14 Exponent:2}] Conflicts:0}`},

		// What was billed before the period stands, and says something else.
		{"a conflict", `
  - id: bill
    when: session_ended
    then:
      - billing:
          meter: minutes
          quantity: '${session.id == "S0" ? "0.1" : "0.2"}'
          key: all
`, `
bill changed: runs 2 2, actions 2 0
  failed 0 2, errors 0 0
  less 12:20 billing minutes
  less 12:40 billing minutes
minutes: {Entries:2 Quantity:0.2 Amounts:[{Currency:USD Minor:6 Exponent:2}] Conflicts:0} {Entries:0 Quantity:0 Amounts:[] Conflicts:2}`},

		{"fewer", strings.Replace(bill, "then:", "if: session.id == \"S2\"\n    then:", 1), `
bill changed: runs 2 1, actions 2 1
  less 12:20 billing minutes
minutes: {Entries:2 Quantity:0.2 Amounts:[{Currency:USD Minor:6 Exponent:2}] Conflicts:0} {Entries:1 Quantity:0.1 Amounts:[{Currency:USD Minor:3 Exponent:2}] Conflicts:0}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := ruletest.Compare(rehearse(t, ruleSet(t, bill), nil, events), rehearse(t, ruleSet(t, tc.after), nil, events))
			if diff := cmp.Diff(strings.TrimPrefix(tc.want, "\n"), strings.Join(told(d), "\n")); diff != "" {
				t.Errorf("(- want, + got)\n%s", diff)
			}
		})
	}
}

// What corresponds to an unknown entry is in no total.
func TestDiffMeterUnknown(t *testing.T) {
	text := `
  - id: bill
    when: session_ended
    then:
      - { id: crm, say: "who pays ${session.id}" }
      - if: (steps.crm.body.value ?? 0) > 10
        billing: { meter: minutes, quantity: 1, key: "${session.id}" }
`
	answers := ruletest.NewAnswers(diffKinds(t))
	paid := past("bill", "evt_1", -time.Minute, `crm done {"text":"who_pays_S1"} {"value":20}`)
	paid.Steps[0].With = json.RawMessage(`{"text":"who pays S1"}`)
	answers.Add(paid)
	events := []engine.Event{at(time.Minute, "start S1"), at(20*time.Minute, "end S1")}
	d := ruletest.Compare(rehearse(t, ruleSet(t, text), answers, events), rehearse(t, ruleSet(t, strings.Replace(text, "who pays", "whose is", 1)), answers, events))
	want := `
bill changed: runs 1 1, actions 1 1
  unknown 12:20 billing
  different 12:20 say ops text "who pays S1" "whose is S1"
say ops: 1 1`
	if diff := cmp.Diff(strings.TrimPrefix(want, "\n"), strings.Join(told(d), "\n")); diff != "" {
		t.Errorf("(- want, + got)\n%s", diff)
	}
}

// What is waited for longer than events are kept is still there when its time
// has come.
func TestDiffOverDays(t *testing.T) {
	text := `
  - id: hold
    when: session_started
    if: session.status == "active"
    hold: 60h
    then: [{ say: "${session.id} goes on" }]
  - id: count
    when: participant_joined
    if: participant.id != "ben"
    count: { at_least: 3, within: 80h, per: [participant.id] }
    then: [{ say: "${len(events)} times" }]
  - id: wait
    when: participant_joined
    if: participant.id == "ben"
    then: [{ wait: 70h }, { say: "${participant.id} in ${session.id}" }]
  - id: expect
    when: session_ended
    expect: { event: session_started, within: 50h, per: [room.id] }
    then: [{ say: "nothing after ${session.id}" }]
`
	var events []engine.Event
	for hour := range 90 { // so that there is something to forget
		events = append(events, at(time.Duration(hour)*time.Hour, fmt.Sprintf("join S1 p%d", hour)))
		switch hour {
		case 1:
			events = append(events, at(time.Hour+time.Minute, "start S1"), at(time.Hour+2*time.Minute, "start S2"), at(time.Hour+3*time.Minute, "join S1 ben"))
		case 2:
			events = append(events, at(2*time.Hour+time.Minute, "end S2"))
		case 1 + 35, 1 + 75:
			events = append(events, at(time.Duration(hour)*time.Hour+time.Minute, fmt.Sprintf("join S1 p%d", 1)))
		}
	}
	play := func(text string) *ruletest.Rehearsal {
		r, err := ruletest.NewRehearsal(ruletest.RehearsalOptions{Rules: ruleSet(t, text), Actions: diffKinds(t), Start: noon, Since: noon})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(r.Close)
		for _, ev := range events {
			if err := r.Deliver(ev); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.End(noon.Add(100 * time.Hour)); err != nil {
			t.Fatal(err)
		}
		return r
	}
	d := ruletest.Compare(play(text), play(strings.ReplaceAll(text, "say: \"", "say: \">")))
	want := `
hold changed: runs 1 1, actions 1 1
  different 01:01 say ops text "S1 goes on" ">S1 goes on"
count changed: runs 1 1, actions 1 1
  different 16:01 say ops text "3 times" ">3 times"
wait changed: runs 1 1, actions 1 1
  different 11:03 say ops text "ben in S1" ">ben in S1"
expect changed: runs 1 1, actions 1 1
  different 16:01 say ops text "nothing after S2" ">nothing after S2"
say ops: 4 4`
	if diff := cmp.Diff(strings.TrimPrefix(want, "\n"), strings.Join(told(d), "\n")); diff != "" {
		t.Errorf("(- want, + got)\n%s", diff)
	}
}

// What a shadow has recorded stands beside what its original did.
func TestCompareShadows(t *testing.T) {
	set := ruleSet(t, greet+`
  - id: trial
    mode: shadow
    shadow_of: greet
    when: participant_joined
    then:
      - say: welcome ${participant.id}
  - id: alone
    mode: shadow
    when: session_ended
    then:
      - billing: { meter: minutes, quantity: "2.5", key: "${session.id}" }
`)
	run := func(rule, event string, created time.Duration, action, state, with string) *engine.Run {
		return &engine.Run{
			ID: "run_" + rule + event, Rule: rule, Event: event, Source: "a", Session: "a/S1", Created: noon.Add(created), Shadow: rule != "greet",
			Steps: []engine.StepRecord{{Branch: engine.BranchThen, ID: "1", Action: action, State: state, With: json.RawMessage(with), Started: noon.Add(created)}},
		}
	}
	early := run("greet", "evt_0", 0, "say", engine.StepDone, `{"text":"hello early"}`)
	early.Revision = "before the trial"
	past := ruletest.Recorded{Runs: []*engine.Run{
		early,
		run("greet", "evt_1", time.Minute, "say", engine.StepDone, `{"text":"hello ana"}`),
		run("trial", "evt_1", time.Minute, "say", engine.StepShadow, `{"text":"welcome ana"}`),
		run("greet", "evt_2", 2*time.Minute, "say", engine.StepDone, `{"text":"hello ben"}`),
		run("trial", "evt_3", 3*time.Minute, "say", engine.StepShadow, `{"text":"welcome cem"}`),
		run("alone", "evt_4", 4*time.Minute, "billing", engine.StepShadow, `{"meter":"minutes","quantity":"2.5","key":"S1"}`),
		run("alone", "evt_5", 5*time.Minute, "billing", engine.StepShadow, `{"meter":"minutes","quantity":"2.5","key":"S1"}`),
	}, Errors: map[string]int{"trial": 7}, Tried: func(revision, _ string) bool { return revision == "" }}
	d := ruletest.CompareShadows(set, diffKinds(t), past)
	want := `
alone shadow: runs 0 2, actions 0 2
  more 12:04 billing minutes
  more 12:05 billing minutes
trial shadow like greet: runs 2 2, actions 2 2
  failed 0 0, errors 0 7
  different 12:01 say  text "hello ana" "welcome ana"
  less 12:02 say
  more 12:03 say
say : 2 2
minutes: {Entries:0 Quantity:0 Amounts:[] Conflicts:0} {Entries:1 Quantity:2.5 Amounts:[{Currency:USD Minor:3 Exponent:2}] Conflicts:0}`
	if diff := cmp.Diff(strings.TrimPrefix(want, "\n"), strings.Join(told(d), "\n")); diff != "" {
		t.Errorf("(- want, + got)\n%s", diff)
	}
}
