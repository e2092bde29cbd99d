package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/rules"
	"github.com/gavelhq/gavel/engine/ruletest"
	"github.com/gavelhq/gavel/triggers"
	"github.com/gavelhq/gavel/triggers/samples"
)

// envOf is what tests of these rules are run with.
func envOf(t *testing.T, text string) ruletest.Env {
	t.Helper()
	set, problems := rules.Load([]rules.File{{Name: "rules.yaml", Text: []byte(text)}}, worldOptions())
	if set == nil {
		t.Fatal(problems)
	}
	known, err := newDecoders(triggers.Builtin(triggers.Options{Now: time.Now}), set)
	if err != nil {
		t.Fatal(err)
	}
	return ruletest.Env{
		Rules: set, Actions: worldOptions().Actions, Platforms: worldOptions().Platforms,
		Decode: func(source string, body []byte, received time.Time) ([]engine.Event, error) {
			return known.sources[source].Decode(body, received)
		},
	}
}

// sentAt are the events of bodies that the first source sends, a minute apart.
func sentAt(t *testing.T, env ruletest.Env, bodies ...[]byte) (all []ruletest.Sent) {
	t.Helper()
	at := samples.Began()
	for _, body := range bodies {
		at = at.Add(time.Minute)
		events, err := env.Decode(env.Rules.Sources()[0].Name, body, at)
		if err != nil {
			t.Fatal(err)
		}
		for _, ev := range events {
			ev.Raw = body
			all = append(all, ruletest.Sent{Event: ev, Body: body})
		}
	}
	return all
}

// numbers are what a test expects to be logged.
func numbers(text []byte) (lines []string) {
	for _, found := range regexp.MustCompile(`(?m)- log: (.*)$`).FindAllSubmatch(text, -1) {
		lines = append(lines, string(found[1]))
	}
	return lines
}

// sentBy are types of events about sessions that a platform sends.
func sentBy(kind engine.PlatformKind) (types []string) {
	for _, of := range kind.Events {
		for _, typ := range of {
			if strings.HasPrefix(typ, "session_") || strings.HasPrefix(typ, "participant_") {
				types = append(types, typ)
			}
		}
	}
	slices.Sort(types)
	return slices.Compact(types)
}

// Every sample of every platform becomes part of a test that passes (Export sees
// to that), facts and payloads alike, and nobody's name is in it.
func TestExportEveryPlatform(t *testing.T) {
	for _, kind := range worldOptions().Platforms {
		keys := ""
		for _, key := range kind.Needs {
			value := "env:KEY"
			if key == "headers" {
				value = "{ Authorization: env:KEY }"
			}
			keys += ", " + key + ": " + value
		}
		env := envOf(t, `version: 1
sources:
  it: { platform: `+kind.Name+keys+` }
rules:
  - id: all
    when: [`+strings.Join(sentBy(kind), ", ")+`]
    then: [ log: "${event.type} ${session.duration ?? 0s} ${session.present ?? 0} ${session.peak ?? 0} ${session.attended}" ]
`)
		list, err := samples.Of(kind.Name)
		if err != nil {
			t.Fatal(err)
		}
		var bodies [][]byte
		for _, s := range list {
			bodies = append(bodies, s.Body)
		}
		var lines [2][]string
		for i, raw := range []bool{false, true} {
			sent := sentAt(t, env, bodies...)
			text, err := env.Export(ruletest.Export{Name: kind.Name, Events: sent, Raw: raw, Pseudonyms: ruletest.NewPseudonyms(env.Rules, false)})
			if err != nil {
				t.Errorf("%s, raw %v: %v", kind.Name, raw, err)
				continue
			}
			for _, s := range sent {
				for _, name := range []string{s.Event.Participant.Name, s.Event.Participant.ID, s.Event.Room.Name, s.Event.Recording.URL} {
					if len(name) > 3 && strings.Contains(string(text), name) {
						t.Errorf("%s, raw %v: %q is still there", kind.Name, raw, name)
					}
				}
			}
			lines[i] = numbers(text)
			if len(lines[i]) == 0 {
				t.Errorf("%s, raw %v: nothing is done:\n%s", kind.Name, raw, text)
			}
		}
		if d := cmp.Diff(lines[0], lines[1]); d != "" {
			t.Errorf("%s: facts and payloads differ: %s\n%q", kind.Name, d, lines)
		}
	}
}

// hostileNames are names that YAML, rules or a terminal could take for something else.
func hostileNames() []string {
	return []string{
		`"`, `'`, "a: b", "# no", "- x", "{x}", "[x]", "*a", "&a", "!x", "%x", "@x", "`x`", "|", ">", "~", "null", "yes", "1e3", "0x1F", "2026-11-20", "10:30",
		"${1+1}", "a\nb: c", "a\r\n- d", "tab\there", "\u2028line", "\u202eright", "\u0085next", "\x7f", "é", "日本", "--- x", "...", "? x", " lead", "trail ", "a #b",
		"<!channel>", "person-1", "Person 2", "room-1", "text-1", "a@b.c", "person-1@example.com", "https://x.example/?a=b", "192.0.2.7", "::1", strings.Repeat("long ", 100),
	}
}

const exportRules = `version: 1
sources:
  pnm: { platform: plugnmeet, api_key: env:KEY, secret: env:SECRET }
lists:
  vips: [ceo@example.org, "85746065432"]
rules:
  - id: said
    when: participant_joined
    then: [ log: "${participant.name} ${participant.id} in ${room.name} ${participant.metadata.note}" ]
  - id: vip
    when: participant_joined
    if: participant.email in lists.vips or participant.id in lists.vips
    then: [ log: "vip ${participant.name}" ]
  - id: gold
    when: participant_joined
    if: participant.metadata.plan == "gold"
    then: [ log: "gold" ]
`

// joined is a participant as plugnmeet decodes one.
func joined(n int, who engine.Participant, room string) ruletest.Sent {
	at := time.Date(2026, 11, 2, 10, n, 0, 0, time.UTC)
	who.ConnectionID = fmt.Sprint("c", n)
	return ruletest.Sent{Event: engine.Event{
		Type: engine.ParticipantJoined, Name: "participant_joined", Source: "pnm", Platform: "plugnmeet", Tenant: "default", Time: at, Received: at,
		Session: engine.Session{ID: "S"}, Room: engine.Room{ID: "R", Name: room}, Participant: who,
	}}
}

// Whatever people are called, the test has only stand-ins, is YAML, and passes.
func TestExportHostileNames(t *testing.T) {
	env := envOf(t, exportRules)
	var events []ruletest.Sent
	for i, name := range hostileNames() {
		who := engine.Participant{ID: name, Name: fmt.Sprint(name, i), Metadata: map[string]any{"note": name, name: i}}
		events = append(events, joined(i, who, name))
	}
	for _, keep := range []bool{false, true} {
		names := ruletest.NewPseudonyms(env.Rules, keep)
		text, err := env.Export(ruletest.Export{Name: "x", Note: []string{"a\nb"}, Events: events, Pseudonyms: names})
		if err != nil {
			t.Fatal(err)
		}
		var read struct {
			Tests []struct{ Events []map[string]any }
		}
		if err := yaml.Unmarshal(text, &read); err != nil {
			t.Fatal(err)
		}
		if n := len(read.Tests[0].Events); n != len(events) {
			t.Errorf("%d events, want %d", n, len(events))
		}
		seen := map[string]bool{}
		for _, e := range read.Tests[0].Events {
			id := fmt.Sprint(e["participant"].(map[string]any)["id"])
			if seen[id] || slices.ContainsFunc(events, func(s ruletest.Sent) bool { return s.Event.Participant.ID == id }) {
				t.Errorf("the stand-in %q is not one person's", id)
			}
			seen[id] = true
		}
	}
}

// The same text has the same stand-in wherever it stands, what conditions name
// stays, and the rules know list members only where they are kept.
func TestExportConsistent(t *testing.T) {
	env := envOf(t, exportRules)
	note := func(text string) map[string]any {
		return map[string]any{"note": text, "plan": "gold", "n": 7, "ok": true}
	}
	events := []ruletest.Sent{
		joined(0, engine.Participant{ID: "u1", Name: "Ana", Email: "ana@example.org", Metadata: note("ana@example.org")}, "Board"),
		joined(1, engine.Participant{ID: "85746065432", Name: "Boss", Email: "ceo@example.org", Metadata: note(`{"who": "Ana", "at": "10.1.2.3"}`)}, "Board"),
		joined(2, engine.Participant{ID: "u3", Name: "Ana", Metadata: note("https://acme.example/Ana")}, "Board"),
	}
	for _, tc := range []struct {
		keep bool
		want []string
	}{
		{false, []string{
			"Person 1 person-1 in Room 1 person-1@example.com", "gold",
			`Person 2 person-2 in Room 1 {"key-3":"192.0.2.1","key-4":"Person 1"}`, "gold",
			"Person 1 person-3 in Room 1 https://example.com/1", "gold",
		}},
		{true, []string{
			"Person 1 person-1 in Room 1 person-1@example.com", "gold",
			`Person 2 85746065432 in Room 1 {"key-3":"192.0.2.1","key-4":"Person 1"}`, "vip Person 2", "gold",
			"Person 1 person-3 in Room 1 https://example.com/1", "gold",
		}},
	} {
		names := ruletest.NewPseudonyms(env.Rules, tc.keep)
		text, err := env.Export(ruletest.Export{Name: "x", Events: events, Pseudonyms: names})
		if err != nil {
			t.Fatal(err)
		}
		var read struct {
			Tests []struct{ Expect []map[string]any }
		}
		if err := yaml.Unmarshal(text, &read); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, x := range read.Tests[0].Expect {
			got = append(got, fmt.Sprint(x["log"]))
		}
		if d := cmp.Diff(tc.want, got); d != "" {
			t.Errorf("keep %v: -want +got:\n%s", tc.keep, d)
		}
		if n := names.Named(); n != map[bool]int{false: 2, true: 0}[tc.keep] {
			t.Errorf("keep %v: %d are named", tc.keep, n)
		}
		if n := names.Left(string(text)); n != 0 {
			t.Errorf("keep %v: %d names are left:\n%s", tc.keep, n, text)
		}
	}
}

const answerRules = `version: 1
sources:
  pnm: { platform: plugnmeet, api_key: env:KEY, secret: env:SECRET }
connections:
  http:
    crm: { base: https://crm.example.com }
rules:
  - id: crm
    when: participant_joined
    then:
      - id: lead
        http: { via: crm, get: "/leads/${participant.id}", ok: [200, 404] }
      - if: steps.lead.status == 200
        log: lead of ${steps.lead.body.owner}
      - if: steps.lead.status == 404
        log: nobody
  - id: odd
    when: participant_joined
    if: session.host.name == "x"
    then: [ log: odd ]
`

// Steps are answered as they were; what nobody knows is made up, and said to be;
// what goes wrong is expected to.
func TestExportAnswers(t *testing.T) {

	env := envOf(t, answerRules)
	events := []ruletest.Sent{joined(0, engine.Participant{ID: "u1", Name: "Ana"}, "R"), joined(1, engine.Participant{ID: "u2", Name: "Bob"}, "R")}
	step := func(status int, body string) *engine.Run {
		s := engine.StepRecord{Branch: engine.BranchThen, ID: "lead", Action: "http", State: engine.StepDone, Status: status, Body: json.RawMessage(body)}
		return &engine.Run{Rule: "crm", Steps: []engine.StepRecord{s}}
	}
	broke := step(0, `null`)
	broke.Steps[0].State, broke.Steps[0].Error = engine.StepFailed, "GET crm.example.com/leads/Ana: no route to 10.9.8.7"
	for _, tc := range []struct {
		name string
		runs []*engine.Run
		want []string
		has  string
	}{
		{"failed", []*engine.Run{broke}, nil, "error: it failed when it happened"},
		{"as they were", []*engine.Run{step(200, `{"owner": "Ana"}`), step(404, `null`)}, []string{"lead of Person 1", "nobody"}, "returns:"},
		{"unknown", nil, nil, "# Nobody knows what these steps were answered, so it is made up: lead"},
	} {
		text, err := env.Export(ruletest.Export{Name: "x", Events: events, Runs: tc.runs, Pseudonyms: ruletest.NewPseudonyms(env.Rules, false)})
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		if !strings.Contains(string(text), tc.has) || !strings.Contains(string(text), "failures:") {
			t.Errorf("%s:\n%s", tc.name, text)
		}
		if strings.Contains(string(text), "Ana") || strings.Contains(string(text), "10.9.8.7") {
			t.Errorf("%s: it tells of somebody:\n%s", tc.name, text)
		}
		for _, line := range tc.want {
			if !slices.ContainsFunc(numbers(text), func(got string) bool { return strings.Contains(got, line) }) {
				t.Errorf("%s: nothing logged %q:\n%s", tc.name, line, text)
			}
		}
	}
}
