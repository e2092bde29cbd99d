package rules

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/google/go-cmp/cmp"
)

func ptr[T any](v T) *T { return &v }

// ended is the end of a meeting of 72 minutes, peak 9 people.
func ended() engine.MatchInput {
	at := time.Date(2026, 11, 20, 14, 32, 7, 0, time.UTC)
	return engine.MatchInput{
		Event: &engine.Event{
			ID: "e1", Type: engine.SessionEnded, Name: "meetingEnded", Source: "meet", Platform: "openvidu-meet", Tenant: "default", Time: at, Received: at,
			Room:    engine.Room{ID: "r1", Name: "Weekly <b>sync</b>"},
			Session: engine.Session{ID: "s1", Status: engine.Ended, Started: at.Add(-72 * time.Minute), Ended: at, Duration: ptr(72 * time.Minute), Peak: ptr(9)},
			Raw:     json.RawMessage(`{"data":{"n":3,"f":1.5,"text":"${room.name}","tags":["a","b"]}}`),
		},
		SessionKey: "meet/s1", Source: engine.Source{Name: "meet", Tenant: "default"}, Now: at,
	}
}

// joined is somebody who comes in.
func joined() engine.MatchInput {
	in := ended()
	in.Event.Type, in.Event.Name, in.Event.Source, in.Event.Platform = engine.ParticipantJoined, "participant_joined", "pnm", "plugnmeet"
	in.Event.Session = engine.Session{ID: "s1", Status: engine.Active, Started: in.Now.Add(-time.Minute)}
	in.Event.Participant = engine.Participant{ID: "u1", Name: "Ana", Metadata: map[string]any{"email": "ana@example.com", "is_admin": true}}
	in.SessionKey = "pnm/s1"
	return in
}

const threeSources = `
sources:
  pnm:
    platform: plugnmeet
    api_key: env:KEY
    secret: env:PNM_SECRET
    fields:
      participant.email: participant.metadata.email
      participant.role: 'participant.metadata.is_admin == true ? "host" : "participant"'
  meet: { platform: openvidu-meet, secret: env:MEET_SECRET }
  ov2: { platform: openvidu2, headers: { Authorization: env:OV2_AUTH }, allow_billing: true }
connections:
  slack: { team: { token: env:SLACK_TOKEN, channel: ops } }
  http: { crm: { base: https://crm.example.com, headers: { Authorization: env:CRM_TOKEN } } }
lists: { vips: [ana@example.com] }
tables: { rooms: { r1: { channel: exec, limit: 60m } } }
rules:
`

// describe is a match in one line.
func describe(m engine.Match) string {
	s := m.Rule + " " + m.Branch
	if m.Err != "" {
		return m.Rule + " error: " + m.Err
	}
	if m.Once != "" {
		s += " once=" + m.Once
	}
	s += " turn=" + m.Turn
	if m.Failed != "" {
		return s + " failed: " + m.Failed
	}
	return s + " " + m.First.Action + string(m.First.With)
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		name, rule string
		in         engine.MatchInput
		want       string // "" is no match
	}{
		{"yes", `when: session_ended
    if: session.duration > 60m
    then: [ log: "${room.id} ${session.duration}" ]`, ended(), `a then turn=default|a|meet/s1 log{"message":"r1 1h12m"}`},
		{"no", `when: session_ended
    if: session.duration > 90m
    then: [ log: x ]`, ended(), ""},
		{"other type", `when: session_started
    then: [ log: x ]`, ended(), ""},
		{"other source", `when: session_ended
    from: ov2
    then: [ log: x ]`, ended(), ""},
		{"disabled", `when: session_ended
    enabled: false
    then: [ log: x ]`, ended(), ""},
		{"else", `when: session_ended
    if: session.duration > 90m
    once: [session.id]
    then: [ log: x ]
    else: [ log: short ]`, ended(), `a else turn=default|a|meet/s1 log{"message":"short"}`},
		{"list of conditions", `when: session_ended
    if:
      - session.duration > 60m
      - room.id == "r2"
    then: [ log: x ]`, ended(), ""},
		{"error is no no", `when: session_ended
    if: session.present > 3
    then: [ log: x ]
    else: [ log: y1 ]`, ended(), `a error: if: session.present > 3: `},
		{"a false line saves the next", `when: session_ended
    if: [room.id == "r2", session.present > 3]
    then: [ log: x ]`, ended(), ""},
		{"once", `when: session_ended
    once: [session.id, room.id, room.name]
    then: [ log: x ]`, ended(), `a then once=default|a|meet/s1|meet/r1|Weekly <b>sync</b> turn=default|a|meet/s1 log{"message":"x"}`},
		{"once for all", `when: session_ended
    once: []
    then: [ log: x ]`, ended(), `a then once=default|a turn=default|a|meet/s1 log{"message":"x"}`},
		{"once, unknown", `when: session_ended
    once: [session.end_reason]
    then: [ log: x ]`, ended(), `a error: once: session.end_reason is not known`},
		{"once, unknown number", `when: session_ended
    once: [session.present]
    then: [ log: x ]`, ended(), `a error: once: session.present is not known`},
		{"parallel", `when: session_ended
    order: parallel
    then: [ log: x ]`, ended(), `a then turn= log{"message":"x"}`},
		{"wire name", `when: openvidu-meet:meetingEnded
    then: [ log: "${event.name}" ]`, ended(), `a then turn=default|a|meet/s1 log{"message":"meetingEnded"}`},
		{"wire name of another platform", `when: openvidu2:sessionDestroyed
    then: [ log: x ]`, ended(), ""},
		{"type and wire name are one match", `when: [session_ended, openvidu-meet:meetingEnded]
    then: [ log: x ]`, ended(), `a then turn=default|a|meet/s1 log{"message":"x"}`},
		{"escape, default, table", `when: session_ended
    then:
      - slack:
          channel: ${tables.rooms[room.id]?.channel ?? "x"}
          thread: ${room.name}
          text: <b>${room.name}</b>`, ended(),
			`a then turn=default|a|meet/s1 slack{"channel":"exec","text":"<b>Weekly &lt;b&gt;sync&lt;/b&gt;</b>","thread":"Weekly <b>sync</b>"}`},
		{"connection default", `when: session_ended
    then: [ slack: hi ]`, ended(), `a then turn=default|a|meet/s1 slack{"channel":"ops","text":"hi"}`},
		{"deep escape", `when: session_ended
    then:
      - slack: { text: x, blocks: [ { text: "${room.name}" }, "${[room.name]}" ] }`, ended(),
			`a then turn=default|a|meet/s1 slack{"blocks":[{"text":"Weekly &lt;b&gt;sync&lt;/b&gt;"},["Weekly &lt;b&gt;sync&lt;/b&gt;"]],"channel":"ops","text":"x"}`},
		{"types are kept", `when: session_ended
    then:
      - http:
          post: /x
          ok: [200, "${raw.data.n}"]
          every: ${session.duration}
          follow: ${session.peak > 3}
          json: { n: "${raw.data.n}", f: "${raw.data.f}", d: "${session.duration}", t: "${session.started}", none: "${session.present}", tags: "${raw.data.tags}", s: "a${raw.data.n}", fixed: [1, 1.5, true, ~, "0123"] }`, ended(),
			`a then turn=default|a|meet/s1 http{"every":4320000000000,"follow":true,"json":{"d":4320,"f":1.5,"fixed":[1,1.5,true,null,"0123"],"n":3,"none":null,"s":"a3","t":"2026-11-20T13:20:07Z","tags":["a","b"]},"ok":[200,3],"post":"/x"}`},
		{"payload is data", `when: session_ended
    then: [ log: "${raw.data.text} $${x}" ]`, ended(), `a then turn=default|a|meet/s1 log{"message":"${room.name} ${x}"}`},
		{"exact numbers", `when: session_ended
    then: [ billing: { customer: x, meter: m, quantity: "${raw.data.n}", price: "0.004 EUR" } ]`, ended(),
			`a then turn=default|a|meet/s1 billing{"customer":"x","meter":"m","price":"0.004 EUR","quantity":"3"}`},
		{"a fraction is not exact", `when: session_ended
    then: [ billing: { customer: x, meter: m, quantity: "${raw.data.f}" } ]`, ended(), `a then turn=default|a|meet/s1 failed: rules.yaml:20: step 1 (billing): quantity: ${raw.data.f}: is `},
		{"unknown text is empty", `when: session_ended
    then: [ log: "<${session.end_reason}>" ]`, ended(), `a then turn=default|a|meet/s1 log{"message":"<>"}`},
		{"unknown number in a text", `when: session_ended
    then: [ log: "<${session.present}>" ]`, ended(), `a then turn=default|a|meet/s1 failed: rules.yaml:20: step 1 (log): message: ${session.present}: is not known; write ${session.present ?? …} to say what stands for it`},
		{"unknown quantity", `when: session_ended
    then: [ billing: { customer: x, meter: m, quantity: "${session.present}" } ]`, ended(), `a then turn=default|a|meet/s1 failed: rules.yaml:20: step 1 (billing): quantity: ${session.present}: is not known`},
		{"first step skipped", `when: session_ended
    then: [ { if: room.id == "r2", log: x } ]`, ended(), `a then turn=default|a|meet/s1 log`},
		{"fields", `when: participant_joined
    if: participant.email in lists.vips and participant.role == "host"
    then: [ log: x ]`, joined(), `a then turn=default|a|pnm/s1 log{"message":"x"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := mustLoad(t, threeSources+"  - id: a\n    "+c.rule+"\n")
			if err := s.Fill(c.in.Event); err != nil {
				t.Fatal(err)
			}
			got := ""
			for _, m := range s.Match(c.in) {
				got += describe(m)
			}
			partial := strings.Contains(c.want, "error: ") || strings.Contains(c.want, "failed: ")
			if c.want != got && !(partial && strings.HasPrefix(got, c.want)) {
				t.Errorf("%s", cmp.Diff(c.want, got))
			}
		})
	}
}

// TestMatchOrder: rules come in the order of the file, typed and named alike.
func TestMatchOrder(t *testing.T) {
	text := threeSources
	for i, when := range []string{"session_ended", "openvidu-meet:meetingEnded", "[session_started, session_ended]", "openvidu-meet:meetingStarted", "session_ended"} {
		text += fmt.Sprintf("  - { id: r%d, when: %s, then: [ log: x ] }\n", i, when)
	}
	var got []string
	for _, m := range mustLoad(t, text).Match(ended()) {
		got = append(got, m.Rule)
	}
	if diff := cmp.Diff([]string{"r0", "r1", "r2", "r4"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestSteps(t *testing.T) {
	s := mustLoad(t, threeSources+`  - id: a
    when: session_ended
    then:
      - id: crm
        http: { get: "/x/${room.id}" }
        via: crm
        retry: { attempts: 3, first: 1s, max: 1m, for: 1h }
        timeout: 5s
        on_failure:
          - log: ${failure.step} ${failure.error} ${failure.attempts}
      - if: steps.crm.status == 200
        log: deal ${steps.crm.body.deal}
        on_failure: continue
      - stop: enough
    on_failure:
      - log: ${steps.crm.state}
`)
	in := ended()
	run := &engine.Run{Rule: "a", Branch: engine.BranchThen}
	crm := engine.StepRecord{Branch: engine.BranchThen, ID: "crm", State: engine.StepDone, Status: 200, Body: json.RawMessage(`{"deal":7}`)}
	step := func(branch string, at int, records ...engine.StepRecord) string {
		run.Branch, run.At, run.Steps = branch, at, records
		call, ok, err := s.Step(run, in, in.Now)
		if err != nil {
			return "error: " + err.Error()
		}
		if !ok {
			return "end"
		}
		if call.Skip {
			return call.ID + " skip"
		}
		return fmt.Sprintf("%s %s %s%s %v %v on_failure=%s", call.ID, call.Action, call.Via, call.With, call.Timeout, call.Retry, call.OnFailure)
	}
	for _, c := range []struct{ got, want string }{
		{step("then", 0), `crm http crm{"get":"/x/r1"} 5s {3 1s 1m0s 1h0m0s} on_failure=then/0/on_failure`},
		{step("then", 1, crm), `2 log {"message":"deal 7"} 0s {0 0s 0s 0s} on_failure=continue`},
		{step("then", 1), `2 skip`},
		{step("then", 2), `3 stop {"reason":"enough"} 0s {0 0s 0s 0s} on_failure=`},
		{step("then", 3), "end"},
		{step("then", -1), "end"},
		{step("else", 0), "end"},
		{step("on_failure", 0), `1 log {"message":"pending"} 0s {0 0s 0s 0s} on_failure=`},
	} {
		if c.got != c.want {
			t.Error(cmp.Diff(c.want, c.got))
		}
	}
	run.Failure = &engine.Failure{Step: "crm", Error: "503", Attempts: 3}
	if got, want := step("then/0/on_failure", 0), `1 log {"message":"crm 503 3"} 0s {0 0s 0s 0s} on_failure=`; got != want {
		t.Error(cmp.Diff(want, got))
	}
	run.Rule = "gone"
	if got := step("then", 0); !strings.HasPrefix(got, "error: rule gone is not in revision") {
		t.Error(got)
	}
	if !s.RuleFailure("a") || s.RuleFailure("gone") {
		t.Error("RuleFailure")
	}
	if c := s.Counts(); c != (Counts{Rules: 1, Sources: 3, Actions: 5}) {
		t.Errorf("counts: %+v", c)
	}
}

func TestFill(t *testing.T) {
	const head = `sources:
  pnm:
    platform: plugnmeet
    api_key: env:KEY
    secret: env:PNM_SECRET
    fields:
`
	for _, c := range []struct {
		name, fields string
		change       func(*engine.Event)
		email, role  string
		err          string
	}{
		{name: "both", fields: "participant.email: participant.metadata.email\n      participant.role: 'participant.metadata.is_admin == true ? \"host\" : \"viewer\"'", email: "ana@example.com", role: "host"},
		{name: "nothing found", fields: "participant.email: participant.metadata.mail"},
		{name: "from the payload", fields: "participant.email: raw.data.text", email: "${room.name}"},
		{name: "no role", fields: "participant.role: '\"bo\" + \"ss\"'", err: `fields: participant.role: is "boss", and can only be host, participant, viewer`},
		{name: "one fails, the other is kept", fields: "participant.role: '\"bo\" + \"ss\"'\n      participant.email: participant.metadata.email", email: "ana@example.com", err: "participant.role"},
		{name: "nobody is there", fields: "participant.role: '\"host\"'", change: func(ev *engine.Event) { ev.Type, ev.Participant = engine.SessionStarted, engine.Participant{} }},
		{name: "other source", fields: "participant.role: '\"host\"'", change: func(ev *engine.Event) { ev.Source = "x" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := mustLoad(t, head+"      "+c.fields+"\n")
			ev := joined().Event
			if c.change != nil {
				c.change(ev)
			}
			err := s.Fill(ev)
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("error: %v, expected %q", err, c.err)
			}
			if ev.Participant.Email != c.email || ev.Participant.Role != c.role {
				t.Errorf("%q, %q; expected %q, %q", ev.Participant.Email, ev.Participant.Role, c.email, c.role)
			}
		})
	}
}

func TestNeeds(t *testing.T) {
	s := mustLoad(t, threeSources+`  - { id: a, when: session_ended, from: meet, then: [ log: "${len(session.participants)}" ] }
  - { id: b, when: participant_joined, then: [ log: x ] }
`)
	other := ended().Event
	other.Source = "ov2"
	for _, c := range []struct {
		ev   *engine.Event
		want bool
	}{{ended().Event, true}, {joined().Event, false}, {other, false}} {
		if got := s.Needs(c.ev).Participants; got != c.want {
			t.Errorf("%s of %s: %v", c.ev.Type, c.ev.Source, got)
		}
	}
}

func TestSet(t *testing.T) {
	s := mustLoad(t, threeSources+"  - { id: a, when: [session_ended], then: [ log: x, slack: y1 ], owner: ops }\n")
	if len(s.Revision()) != 12 {
		t.Errorf("revision %q", s.Revision())
	}
	for _, secret := range []string{"canary-secret-of-PNM_SECRET", "canary-secret-of-CRM_TOKEN"} {
		if strings.Contains(string(s.Text()), secret) {
			t.Errorf("%s is in the text of the revision", secret)
		}
	}
	o := testOptions()
	o.Getenv, o.ReadFile, o.CredentialDir = nil, nil, ""
	again, err := LoadRevision(s.Text(), o)
	if err != nil {
		t.Fatal(err)
	}
	if again.Revision() != s.Revision() {
		t.Errorf("revision %s became %s", s.Revision(), again.Revision())
	}
	if diff := cmp.Diff(s.Match(ended()), again.Match(ended())); diff != "" {
		t.Errorf("the revision matches otherwise: %s", diff)
	}
	want := []RuleInfo{{ID: "a", When: []string{"session_ended"}, Enabled: true, Actions: []string{"log", "slack"}, Owner: "ops", File: "rules.yaml", Line: 18}}
	if diff := cmp.Diff(want, s.Rules()); diff != "" {
		t.Error(diff)
	}
	conn, err := s.Connection("http", "crm")
	if err != nil {
		t.Fatal(err)
	}
	if c := conn.(*httpTestConn); c.Base != "https://crm.example.com" || c.Headers["Authorization"].Reveal() != "canary-secret-of-CRM_TOKEN" {
		t.Errorf("connection: %+v", c)
	}
	if _, err := s.Connection("http", "gone"); err == nil {
		t.Error("a connection that is gone was found")
	}
	if src := s.Sources(); len(src) != 3 || src[0].Secrets[0].Reveal() != "canary-secret-of-PNM_SECRET" || src[0].MaxBody != 1<<20 || src[0].Tenant != "default" {
		t.Errorf("sources: %+v", src)
	}
	if _, err := LoadRevision([]byte("{"), o); err == nil {
		t.Error("a broken revision loads")
	}
}

// TestMatchNeverPanics: an event without anything, an event of nothing known.
func TestMatchNeverPanics(t *testing.T) {
	s := mustLoad(t, threeSources+`  - { id: a, when: session_ended, if: session.host.name == "x", then: [ log: x ] }
  - { id: b, when: openvidu-meet:meetingEnded, if: raw.a.b.c == 1, then: [ log: "${raw.x.y}" ] }
`)
	for _, in := range []engine.MatchInput{
		{}, {Event: &engine.Event{}}, {Event: &engine.Event{Type: engine.SessionEnded}},
		{Event: &engine.Event{Type: engine.SessionEnded, Platform: "openvidu-meet", Name: "meetingEnded", Raw: json.RawMessage("[")}},
	} {
		for _, m := range s.Match(in) {
			if m.Err == "" && m.Failed == "" && m.First == nil {
				t.Errorf("%+v says nothing", m)
			}
		}
	}
}

// BenchmarkMatch is an event for which one of 100 rules runs.
func BenchmarkMatch(b *testing.B) {
	var text strings.Builder
	text.WriteString(threeSources)
	for i := range 100 {
		when := "participant_joined"
		if i == 50 {
			when = "session_ended"
		}
		fmt.Fprintf(&text, "  - { id: r%d, when: %s, if: room.id == \"r1\", then: [ log: \"${room.name} is open\" ] }\n", i, when)
	}
	s := mustLoad(b, text.String())
	in := ended()
	b.ReportAllocs()
	for b.Loop() {
		if m := s.Match(in); len(m) != 1 || m[0].First == nil {
			b.Fatal("no match")
		}
	}
}
