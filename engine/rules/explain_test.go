package rules

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"
)

const explainHead = `
timezone: Europe/Madrid
sources:
  pnm: { platform: plugnmeet, api_key: env:KEY, secret: env:PNM_SECRET }
  meet: { platform: openvidu-meet, secret: env:MEET_SECRET }
  ov2: { platform: openvidu2, headers: { Authorization: env:OV2_AUTH } }
lists: { vips: [ceo@example.com, "85746065432"] }
tables: { rooms: { r1: { channel: exec, limit: 90m, seats: 12, open: true }, small: { channel: ops, limit: ~, seats: 2, open: false } } }
windows: { office: mon-fri 08:00-20:00, night: 20:00-06:00 }
rules:
`

// explainRule is a file with one rule, of the lines of its if:.
func explainRule(when string, lines ...string) string {
	text := explainHead + "  - id: a\n    when: " + when + "\n    if:\n"
	for _, line := range lines {
		text += "      - |-\n        " + strings.ReplaceAll(line, "\n", "\n        ") + "\n"
	}
	return text + "    then: [ log: x ]\n"
}

// of is the meeting of the tests of expressions as another event.
func of(eventType string, change ...func(*engine.MatchInput)) engine.MatchInput {
	in := waiting().MatchInput
	in.Event.Type, in.Event.Source, in.Event.Platform = eventType, "pnm", "plugnmeet"
	for _, c := range change {
		c(&in)
	}
	return in
}

func wire(platform, name string) func(*engine.MatchInput) {
	return func(in *engine.MatchInput) { in.Event.Platform, in.Event.Name = platform, name }
}

func payload(text string) func(*engine.MatchInput) {
	return func(in *engine.MatchInput) { in.Event.Raw = json.RawMessage(text) }
}

// verdictOn are the leaves that the verdict rests on: text | values.
func verdictOn(terms []Term) string {
	var all []string
	for _, leaf := range deciders(terms) {
		line := leaf.Text + " | " + leaf.Values
		if leaf.Error != "" {
			line += " | " + leaf.Error + " | " + leaf.Hint
		}
		all = append(all, line)
	}
	return strings.Join(all, "\n")
}

func deciders(terms []Term) []Term {
	var all []Term
	for _, t := range terms {
		if t.Decides {
			all = append(all, t)
		}
		all = append(all, deciders(t.Terms)...)
	}
	return all
}

// TestExplain: events that a rule does not match, over all shapes of conditions.
func TestExplain(t *testing.T) {
	end, joined := of(engine.SessionEnded), of(engine.ParticipantJoined)
	for _, c := range []struct {
		when, cond string // lines of if: stand apart by an empty line
		in         engine.MatchInput
		want       string // the deciding leaves
		needed     string // by "; "
	}{
		// Comparisons.
		{"session_ended", `session.duration > 90m`, end, `session.duration > 90m | 1h12m > 1h30m`, "session.duration by more than +18m"},
		{"session_ended", `session.duration > 72m`, end, `session.duration > 72m | 1h12m > 1h12m`, "session.duration by more than +0s"},
		{"session_ended", `session.duration - 71m48s > 1h`, end, `session.duration - 71m48s > 1h | 12s > 1h`, "session.duration - 71m48s by more than +59m48s"},
		{"session_ended", `session.duration + 400ms >= 90m`, end, `session.duration + 400ms >= 90m | 1h12m >= 1h30m`, "session.duration + 400ms by +18m"},
		{"session_ended", `90m <= session.duration`, end, `90m <= session.duration | 1h30m <= 1h12m`, "session.duration by +18m"},
		{"session_ended", `session.duration < 1h`, end, `session.duration < 1h | 1h12m < 1h`, "session.duration by more than -12m"},
		{"session_ended", `session.peak >= 25`, end, `session.peak >= 25 | 9 >= 25`, "session.peak by +16"},
		{"session_ended", `session.peak > 25`, end, `session.peak > 25 | 9 > 25`, "session.peak by +17"},
		{"session_ended", `session.peak == 10`, end, `session.peak == 10 | 9 == 10`, "session.peak by +1"},
		{"session_ended", `session.peak != 9`, end, `session.peak != 9 | 9 != 9`, "session.peak != 9"},
		{"session_ended", `session.peak / 2 > 4.75`, end, `session.peak / 2 > 4.75 | 4.5 > 4.75`, "session.peak / 2 by more than +0.25"},
		{"session_ended", `1 < session.peak < 9`, end, `session.peak < 9 | 9 < 9`, "session.peak by -1"},
		{"session_ended", `room.name == "Daily"`, end, `room.name == "Daily" | "Weekly sync" == "Daily"`, `room.name == "Daily"`},
		{"session_ended", `(session.present ?? 0) > 3`, end, `(session.present ?? 0) > 3 | 0 > 3`, "(session.present ?? 0) by +4"},
		{"session_ended", `event.time < session.started`, end, `event.time < session.started | 2026-11-20 15:32 < 2026-11-20 14:20`, "event.time by more than -1h12m"},
		{"session_ended", `event.received < event.time`, end, `event.received < event.time | 2026-11-20 15:32:08 < 2026-11-20 15:32:07`, "event.received by more than -1s"},
		{"session_ended", `now() - session.started > 2h`, end, `now() - session.started > 2h | 1h13m > 2h`, "now() - session.started by more than +47m"},
		{"session_ended", `hour(event.time) < 12`, end, `hour(event.time) < 12 | 15 < 12`, "hour(event.time) by -4"},
		{"session_ended", `20 <= hour(now())`, end, `20 <= hour(now()) | 20 <= 15`, "hour(now()) by +5"},
		{"session_ended", `session.ended == nil`, end, `session.ended == nil | session.ended = 2026-11-20 15:32`, "session.ended == nil"},
		{"session_ended", `nil != session.host`, end, `nil != session.host | session.host = nil`, "nil != session.host"},

		// Texts.
		{"session_ended", `room.name contains "weekly"`, end, `room.name contains "weekly" | "Weekly sync" contains "weekly"`, `room.name contains "weekly"`},
		{"session_ended", `room.name not startsWith "Week"`, end, `room.name not startsWith "Week" | "Weekly sync" not startsWith "Week"`, `room.name not startsWith "Week"`},
		{"session_ended", `room.name matches "^\\d+$"`, end, `room.name matches "^\\d+$" | "Weekly sync" matches "^\\d+$"`, `room.name matches "^\\d+$"`},
		{"session_ended", `lower(room.name) endsWith "!"`, end, `lower(room.name) endsWith "!" | "weekly sync" endsWith "!"`, `lower(room.name) endsWith "!"`},
		{"session_ended", `room.name[0:4] == "Dail"`, end, `room.name[0:4] == "Dail" | "Week" == "Dail"`, `room.name[0:4] == "Dail"`},

		// Lists, tables, windows.
		{"participant_joined", `participant.email in lists.vips`, joined, `participant.email in lists.vips | "ana@example.com" in ["ceo@example.com", "85746065432"]`, `participant.email in lists.vips`},
		{"participant_joined", `participant.id not in lists.vips`, joined, `participant.id not in lists.vips | "85746065432" not in ["ceo@example.com", "85746065432"]`, `participant.id not in lists.vips`},
		{"session_ended", `room.id in ["r2", "r3"]`, end, `room.id in ["r2", "r3"] | "r1" in ["r2", "r3"]`, `room.id in ["r2", "r3"]`},
		{"session_ended", `"customer" in room.metadata.tags`, end, `"customer" in room.metadata.tags | room.metadata.tags = ["a", "b"]`, `"customer" in room.metadata.tags`},
		{"session_ended", `session.peak in 1..5`, end, `session.peak in 1..5 | 9 in 1..5`, `session.peak in 1..5`},
		{"session_ended", `room.name in tables.rooms`, end, `room.name in tables.rooms | "Weekly sync" in tables.rooms`, `room.name in tables.rooms`},
		{"session_ended", `session.duration > (tables.rooms[room.id]?.limit ?? 60m)`, end, `session.duration > (tables.rooms[room.id]?.limit ?? 60m) | 1h12m > 1h30m`, "session.duration by more than +18m"},
		{"session_ended", `(tables.rooms[room.name]?.channel ?? "ops") == "exec"`, end, `(tables.rooms[room.name]?.channel ?? "ops") == "exec" | "ops" == "exec"`, `(tables.rooms[room.name]?.channel ?? "ops") == "exec"`},
		{"session_ended", `tables.rooms.small.open`, end, `tables.rooms.small.open | tables.rooms.small.open = false`, "tables.rooms.small.open"},
		{"session_ended", `windows.night`, end, `windows.night | windows.night = false, Fri 15:33`, "windows.night"},
		{"session_ended", `windows.office and not windows.office`, end, `windows.office | windows.office = true, Fri 15:33`, "not (windows.office)"},

		// Logic.
		{"session_ended", `session.recording`, end, `session.recording | session.recording = false`, "session.recording"},
		{"session_ended", `not session.estimated`, end, `session.estimated | session.estimated = true`, "not (session.estimated)"},
		{"session_ended", `!(session.peak > 3)`, end, `session.peak > 3 | 9 > 3`, "session.peak by -6"},
		{"session_ended", `session.peak > 3 and session.duration > 2h and room.id == "r2"`, end, `session.duration > 2h | 1h12m > 2h`, `session.duration by more than +48m; room.id == "r2"`},
		{"session_ended", `session.peak > 30 && (room.id == "r2" || room.id == "r3")`, end, `session.peak > 30 | 9 > 30`, "session.peak by +22; one of 2 others"},
		{"session_ended", `room.id == "r2" or session.peak > 11`, end, "room.id == \"r2\" | \"r1\" == \"r2\"\nsession.peak > 11 | 9 > 11", `room.id == "r2" or session.peak by +3`},
		{"session_ended", `(room.id == "r2" and session.peak > 1) or (room.id == "r1" and (session.recording or session.peak > 10))`, end,
			"room.id == \"r2\" | \"r1\" == \"r2\"\nsession.recording | session.recording = false\nsession.peak > 10 | 9 > 10", "one of 2"},
		{"session_ended", `not (session.peak > 3 and room.id == "r1")`, end, "session.peak > 3 | 9 > 3\nroom.id == \"r1\" | \"r1\" == \"r1\"", `session.peak by -6 or not (room.id == "r1")`},
		{"session_ended", `not (session.recording or room.id == "r1")`, end, `room.id == "r1" | "r1" == "r1"`, `not (room.id == "r1")`},
		{"session_ended", `session.peak > 3 ? room.id == "r2" : true`, end, `room.id == "r2" | "r1" == "r2"`, `room.id == "r2"`},
		{"session_ended", `session.recording ? room.id == "r1" : false`, end, `session.recording | session.recording = false`, "session.recording"},
		{"session_ended", "session.peak > 3\n  // the long ones\n  and session.duration\n    > 2h", end, `session.duration > 2h | 1h12m > 2h`, "session.duration by more than +48m"},
		{"session_ended", "session.peak > 3\n\nroom.id == \"r1\"\n\nsession.recording\n\nsession.peak > 20", end, `session.recording | session.recording = false`, "session.recording; session.peak by +12"},

		// Predicates and let.
		{"session_ended", `any(session.participants, .role == "host" and .present)`, end, `any(session.participants, .role == "host" and .present) | 0 of 3 fit`, `any(session.participants, .role == "host" and .present)`},
		{"session_ended", `all(session.participants, .name != "Bob")`, end, `all(session.participants, .name != "Bob") | 2 of 3 fit`, `all(session.participants, .name != "Bob")`},
		{"session_ended", `none(session.participants, .role == "viewer")`, end, `none(session.participants, .role == "viewer") | 1 of 3 fit`, `none(session.participants, .role == "viewer")`},
		{"session_ended", `count(session.participants, .present) >= 2`, end, `count(session.participants, .present) >= 2 | 1 >= 2`, "count(session.participants, .present) by +1"},
		{"session_ended", `len(session.participants) > 10`, end, `len(session.participants) > 10 | 3 > 10`, "len(session.participants) by +8"},
		{"session_ended", `find(session.participants, .name == "Zoe") != nil`, end, `find(session.participants, .name == "Zoe") != nil | find(session.participants, .name == "Zoe") = nil`, `find(session.participants, .name == "Zoe") != nil`},
		{"session_ended", `let p = session.peak; p > 3 and p > 10`, end, `p > 10 | 9 > 10`, "p by +2"},
		{"session_ended", `let hosts = filter(session.participants, .role == "host"); let n = len(hosts); n > 1 or any(hosts, .name == "Eve")`, end,
			"n > 1 | 1 > 1\nany(hosts, .name == \"Eve\") | 0 of 1 fit", `n by +1 or any(hosts, .name == "Eve")`},

		// ?. and ??, untyped data, payloads.
		{"session_ended", `session.host?.email == "ana@example.com"`, end, `session.host?.email == "ana@example.com" | nil == "ana@example.com"`, `session.host?.email == "ana@example.com"`},
		{"session_ended", `session.host?.present ?? false`, end, `session.host?.present ?? false | session.host?.present = nil`, `session.host?.present ?? false`},
		{"other", `room?.name == "Daily"`, of(engine.Other), `room?.name == "Daily" | "Weekly sync" == "Daily"`, `room?.name == "Daily"`},
		{"session_ended", `raw.data.n == 4`, end, `raw.data.n == 4 | 3 == 4`, "raw.data.n by +1"},
		{"session_ended", `raw.data.missing == "x"`, end, `raw.data.missing == "x" | nil == "x"`, `raw.data.missing == "x"`},
		{"session_ended", `(raw.data.f ?? 0) > 2`, end, `(raw.data.f ?? 0) > 2 | 1.5 > 2`, "(raw.data.f ?? 0) by more than +0.5"},
		{"session_ended", `"z" in raw.data`, end, `"z" in raw.data | raw.data = {e: 1000, f: 1.5, id: 85746065432, list: [1, 2, 3], n: 3, neg: 0, …}`, `"z" in raw.data`},
		{"session_ended", `room.metadata.vip != true`, end, `room.metadata.vip != true | true != true`, "room.metadata.vip != true"},

		// Wire names, emitted events, schedules.
		{"plugnmeet:room_finished", `raw.data.n > 3`, of(engine.SessionMediaEnded, wire("plugnmeet", "room_finished")), `raw.data.n > 3 | 3 > 3`, "raw.data.n by +1"},
		{"gavel:deal", `raw.value > 5`, of(engine.Emitted, wire(engine.PlatformGavel, "deal"), payload(`{"value":2}`)), `raw.value > 5 | 2 > 5`, "raw.value by +4"},
		{`{ schedule: "0 8 * * *" }`, `any(sessions, .duration != nil and .duration > 4h)`, of(engine.Scheduled, wire("", "a")), `any(sessions, .duration != nil and .duration > 4h) | 0 of 2 fit`, `any(sessions, .duration != nil and .duration > 4h)`},
	} {
		t.Run(c.cond, func(t *testing.T) {
			s := mustLoad(t, explainRule(c.when, strings.Split(c.cond, "\n\n")...))
			x, err := s.Explain("a", c.in)
			if err != nil || x.Verdict != VerdictNotMatched || x.Why != "" {
				t.Fatalf("%s: %s %v", x.Verdict, x.Why, err)
			}
			if diff := cmp.Diff(c.want, verdictOn(x.If)); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(c.needed, strings.Join(x.Needed, "; ")); diff != "" {
				t.Error("needed:", diff)
			}
			if m := s.Match(c.in); len(m) > 0 {
				t.Errorf("it matches: %s", describe(m[0]))
			}
		})
	}
}

// TestExplainErrors: the part that failed, in the words of Match, and how to
// write it.
func TestExplainErrors(t *testing.T) {
	for _, c := range []struct{ cond, want string }{
		{`session.present > 3`, `session.present > 3 | session.present = nil | session.present is unknown here | write (session.present ?? 0)`},
		{`room.id == "r1" and 3 < session.present`, `3 < session.present | session.present = nil | session.present is unknown here | write (session.present ?? 0)`},
		{`session.host.email endsWith "@acme.com"`, `session.host.email endsWith "@acme.com" | session.host = nil | session.host is unknown here, it has no email | write (session.host?.email ?? "")`},
		{`session.host.duration > 5m or room.id == "r1"`, `session.host.duration > 5m | session.host = nil | session.host is unknown here, it has no duration | write (session.host?.duration ?? 0s)`},
		{`not (session.host.present)`, `session.host.present | session.host = nil | session.host is unknown here, it has no present | write (session.host?.present ?? false)`},
		{`raw.data.missing > 2`, `raw.data.missing > 2 | raw.data.missing = nil | raw.data.missing is unknown here | write (raw.data.missing ?? 0)`},
		{`raw.missing["a"].b == "x"`, `raw.missing["a"].b == "x" | raw.missing = nil | raw.missing is unknown here, it has no a | write (raw.missing?.["a"].b ?? "")`},
		{`raw.missing.n == true`, `raw.missing.n == true | raw.missing = nil | raw.missing is unknown here, it has no n | write (raw.missing?.n ?? false)`},
		{`"x" in room.metadata.missing`, `"x" in room.metadata.missing | room.metadata.missing = nil | room.metadata.missing is unknown here | write (room.metadata.missing ?? [])`},
		{`any(room.metadata.missing, # == 1)`, `any(room.metadata.missing, # == 1) | room.metadata.missing = nil | room.metadata.missing is unknown here | write (room.metadata.missing ?? [])`},
		{`all(session.participants, .duration > 1h)`, `all(session.participants, .duration > 1h) | .duration = nil | .duration is unknown here | write (.duration ?? 0s)`},
		{`session.present + 1 > 3`, `session.present + 1 > 3 | session.present = nil | session.present is unknown here | write (session.present ?? 0)`},
		{`let h = session.host; h.name == "Ana"`, `h.name == "Ana" | h = nil | h is unknown here, it has no name | write (h?.name ?? "")`},
		{`let n = session.present + 1; n > 3`, `n = session.present + 1 | session.present = nil | session.present is unknown here | write (session.present ?? 0)`},
		{`raw.data.text > 3`, `raw.data.text > 3 | "x" > 3 | raw.data.text is a text here and 3 is a whole number: they cannot be compared by > | `},
		{`session.peak / 0 > 1`, `session.peak / 0 > 1 |  | division by zero | `},
	} {
		s := mustLoad(t, explainRule("session_ended", c.cond))
		in := of(engine.SessionEnded)
		x, err := s.Explain("a", in)
		if err != nil || x.Verdict != VerdictError {
			t.Errorf("%s: %s %v", c.cond, x.Verdict, err)
		}
		if diff := cmp.Diff(c.want, verdictOn(x.If)); diff != "" {
			t.Errorf("%s: %s", c.cond, diff)
		}
		if m := s.Match(in); len(m) != 1 || m[0].Err != x.Why {
			t.Errorf("%s: why %q, Match says %+v", c.cond, x.Why, m)
		}
		checkHint(t, c.cond, c.want)
	}
}

// checkHint: what a hint proposes can be read.
func checkHint(t *testing.T, cond, want string) {
	t.Helper()
	hint := strings.TrimPrefix(want[strings.LastIndex(want, "| ")+2:], "write ")
	if hint == "" || strings.HasPrefix(hint, "(.") || strings.HasPrefix(hint, "(h") {
		return
	}
	if _, issues := newCompiler(testDefinitions(t)).compile(hint, scope{events: []string{engine.SessionEnded}}, wantValue); len(issues) > 0 {
		t.Errorf("%s: the hint %s: %+v", cond, hint, issues)
	}
}

// TestExplainVerdicts: verdicts other than a plain no.
func TestExplainVerdicts(t *testing.T) {
	end := of(engine.SessionEnded)
	other := of(engine.SessionEnded, func(in *engine.MatchInput) { in.Event.Source = "meet" })
	for _, c := range []struct {
		name, rule   string
		in           engine.MatchInput
		verdict, why string
	}{
		{"matched", "when: session_ended\n    if: session.peak > 3", end, VerdictMatched, ""},
		{"no condition", "when: session_ended", end, VerdictMatched, ""},
		{"a key", "when: session_ended\n    once: [session.end_reason]", end, VerdictError, "once: session.end_reason is not known"},
		{"else", "when: session_ended\n    if: session.peak > 30\n    else: [ log: y1 ]", end, VerdictNotMatched, "the steps of else are done"},
		{"other type", "when: [session_started, gavel:go]", end, VerdictNotAsked, "it is about session_started or gavel:go"},
		{"other wire name", "when: plugnmeet:room_started", end, VerdictNotAsked, "it is about plugnmeet:room_started"},
		{"other source", "when: session_ended\n    from: [pnm, ov2]", other, VerdictNotAsked, "it is about events of pnm or ov2"},
		{"off", "when: session_ended\n    enabled: false", end, VerdictNotAsked, "it is off: enabled is false"},
		{"schedule", `when: { schedule: "0 8 * * *" }`, end, VerdictNotAsked, "it fires by the clock: 0 8 * * *"},
		{"schedule of another rule", `when: { schedule: "0 8 * * *" }`, of(engine.Scheduled, wire("", "b")), VerdictNotAsked, "it fires by the clock: 0 8 * * *"},
		{"shadow", "when: session_ended\n    mode: shadow", end, VerdictMatched, ""},
		{"no event", "when: session_ended", engine.MatchInput{}, VerdictNotAsked, "there is no event"},
	} {
		x, err := mustLoad(t, explainHead+"  - id: a\n    "+c.rule+"\n    then: [ log: x ]\n").Explain("a", c.in)
		if err != nil || x.Verdict != c.verdict || !strings.HasPrefix(x.Why, c.why) || (x.Why == "") != (c.why == "") || len(x.Needed) > 0 == (c.verdict != VerdictNotMatched) {
			t.Errorf("%s: %+v %v", c.name, x, err)
		}
		if x.Rule != "a" || x.File != "rules.yaml" || x.Line != 11 {
			t.Errorf("%s: %s %s:%d", c.name, x.Rule, x.File, x.Line)
		}
		if c.verdict == VerdictMatched && len(deciders(x.If)) > 0 {
			t.Errorf("%s: %s decides", c.name, verdictOn(x.If))
		}
	}
	if _, err := mustLoad(t, explainRule("session_ended", "true")).Explain("gone", end); err == nil || !strings.HasPrefix(err.Error(), "rule gone is not in revision") {
		t.Error(err)
	}
}

// TestExplainUnknown: what is no longer stored is never guessed, and does not
// hide what decides without it.
func TestExplainUnknown(t *testing.T) {
	gone := []string{"source", "sessions", "session.participants"}
	for _, c := range []struct{ when, cond, verdict, want string }{
		{"session_ended", `any(session.participants, .role == "host")`, VerdictUnknown, `any(session.participants, .role == "host") | session.participants = unknown`},
		{"session_ended", `source.sessions > 1`, VerdictUnknown, `source.sessions > 1 | source.sessions = unknown`},
		{"session_ended", `source.name == "meet" and source.tenant == "default"`, VerdictNotMatched, `source.name == "meet" | "pnm" == "meet"`},
		{"session_ended", `source.present > 1 and session.peak > 10`, VerdictNotMatched, `session.peak > 10 | 9 > 10`},
		{"session_ended", `source.present > 1 and session.peak > 1`, VerdictUnknown, `source.present > 1 | source.present = unknown`},
		{"session_ended", `source.present > 1 or session.peak > 1`, VerdictMatched, ``},
		{"session_ended", `source.present > 1 or session.present > 1`, VerdictUnknown, `source.present > 1 | source.present = unknown`},
		{"session_ended", `session.present > 1 or source.present > 1`, VerdictError, `session.present > 1 | session.present = nil | session.present is unknown here | write (session.present ?? 0)`},
		{"session_ended", `not (source.present > 1)`, VerdictUnknown, `source.present > 1 | source.present = unknown`},
		{"session_ended", `source.present > 1 ? session.peak > 10 : session.peak > 20`, VerdictNotMatched, `source.present > 1 | source.present = unknown`},
		{"session_ended", `let n = len(session.participants); n > 1 and session.peak > 1`, VerdictUnknown, `n = len(session.participants) | session.participants = unknown`},
		{"session_ended", `let n = source.present; session.peak > 10 and n > 1`, VerdictNotMatched, `session.peak > 10 | 9 > 10`},
		{"session_ended", `let s = session; any(s.participants, .present)`, VerdictUnknown, `any(s.participants, .present) | session.participants = unknown`},
		{"other", `(session?.peak ?? 0) > 10`, VerdictNotMatched, `(session?.peak ?? 0) > 10 | 9 > 10`},
		{"other", `len(session?.participants ?? []) > 10`, VerdictUnknown, `len(session?.participants ?? []) > 10 | session.participants = unknown`},
		{`{ schedule: "0 8 * * *" }`, `len(sessions) > 5`, VerdictUnknown, `len(sessions) > 5 | sessions = unknown`},
	} {
		s := mustLoad(t, explainRule(c.when, c.cond))
		in := of(c.when)
		if strings.HasPrefix(c.when, "{") {
			in = of(engine.Scheduled, wire("", "a"))
		}
		in.Participants, in.Source, in.Sessions = nil, engine.Source{}, nil
		x, err := s.Explain("a", in, gone...)
		if err != nil || x.Verdict != c.verdict {
			t.Errorf("%s: %s %v", c.cond, x.Verdict, err)
		}
		if diff := cmp.Diff(c.want, verdictOn(x.If)); diff != "" {
			t.Errorf("%s: %s", c.cond, diff)
		}
	}
}

// TestExplainReached: every part has a result, and says whether the engine got
// to it.
func TestExplainReached(t *testing.T) {
	for _, c := range []struct{ cond, want string }{
		{`session.recording and session.peak > 3 and session.present > 1`, "false reached; true; error"},
		{`session.peak > 3 or session.recording or session.present > 1`, "true reached; false; error"},
		{`session.recording ? session.peak > 3 : session.peak > 4`, "false reached; true; true reached"},
		{`not (session.recording and session.peak > 1)`, "false reached; true"},
		{`let n = session.present + 1; n > 3 and session.peak > 3`, "error; true"},
		{`(session.peak > 3 or (let n = session.present + 1; n > 3)) and (let n = session.peak; n > 3)`, "true reached; error; true reached"},
		{"session.peak > 30\n\nsession.peak > 3", "false reached; true"},
		{"session.present > 3\n\nsession.peak > 3", "error reached; true"},
		{"session.peak > 3\n\nsession.recording or session.peak > 3", "true reached; false reached; true reached"},
	} {
		x, err := mustLoad(t, explainRule("session_ended", strings.Split(c.cond, "\n\n")...)).Explain("a", of(engine.SessionEnded))
		if err != nil {
			t.Error(err)
		}
		var got []string
		for _, leaf := range Leaves(x.If) {
			got = append(got, leaf.Result+map[bool]string{true: " reached"}[leaf.Reached])
		}
		if diff := cmp.Diff(c.want, strings.Join(got, "; ")); diff != "" {
			t.Errorf("%s: %s", c.cond, diff)
		}
	}
}

// TestExplainPlaces: leaves stand where they are written, and are called the
// same for every event.
func TestExplainPlaces(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`    if: room.id == "r1" and session.peak > 3`, "13:9 13:29"},
		{`    if: "room.id == \"r1\" and session.peak > 3"`, "13:10 13:32"},
		{`    if: 'room.id == ''r1'' and session.peak > 3'`, "13:10 13:32"},
		{"    if: |\n      room.id == \"r1\" and\n      session.peak > 3", "14:7 15:7"},
		{"    if:\n      - room.id == \"r1\"\n      - not (session.peak > 3)", "14:9 15:14"},
		{"    if: >\n      room.id == \"r1\" and\n      session.peak > 3", "14:7 15:7"},
		{"    if: room.id == \"r1\" and\n      session.peak > 3", "13:9 14:7"},
	} {
		s := mustLoad(t, explainHead+"  - id: a\n    when: session_ended\n"+c.text+"\n    then: [ log: x ]\n")
		ids := map[string]int{}
		for _, in := range []engine.MatchInput{of(engine.SessionEnded), {Event: &engine.Event{Type: engine.SessionEnded, Source: "meet"}}} {
			x, err := s.Explain("a", in)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, leaf := range Leaves(x.If) {
				got = append(got, fmt.Sprintf("%d:%d", leaf.Line, leaf.Col))
				ids[leaf.ID]++
			}
			if diff := cmp.Diff(c.want, strings.Join(got, " ")); diff != "" {
				t.Errorf("%s: %s", c.text, diff)
			}
		}
		if len(ids) != 2 {
			t.Errorf("%s: ids %v", c.text, ids)
		}
	}
}

// TestExplainStep: the if: of a step, with the results of those before it.
func TestExplainStep(t *testing.T) {
	s := mustLoad(t, threeSources+`  - id: a
    when: session_ended
    then:
      - { id: crm, http: { get: /x }, via: crm }
      - if: [steps.crm.status == 200, "(steps.crm.body.deal ?? 0) > 10"]
        log: y1
    on_failure:
      - { if: failure.attempts > 5, log: z1 }
`)
	crm := engine.StepRecord{Branch: engine.BranchThen, ID: "crm", State: engine.StepDone, Status: 200, Body: json.RawMessage(`{"deal":7}`)}
	shadow := crm
	shadow.State = engine.StepShadow
	for _, c := range []struct {
		name string
		run  engine.Run
		want string
	}{
		{"no condition", engine.Run{Branch: "then"}, ""},
		{"no", engine.Run{Branch: "then", At: 1, Steps: []engine.StepRecord{crm}}, `(steps.crm.body.deal ?? 0) > 10 | 7 > 10`},
		{"not done", engine.Run{Branch: "then", At: 1}, `steps.crm.status == 200 | 0 == 200`},
		{"shadow", engine.Run{Branch: "then", At: 1, Steps: []engine.StepRecord{shadow}}, `steps.crm.status == 200 |  | needs the result of a step that was not sent: step "crm" | `},
		{"failure", engine.Run{Branch: "on_failure", Failure: &engine.Failure{Step: "crm", Attempts: 3}}, `failure.attempts > 5 | 3 > 5`},
	} {
		c.run.Rule = "a"
		terms, err := s.ExplainStep(&c.run, ended())
		if got := verdictOn(terms); err != nil || got != c.want {
			t.Errorf("%s: %v %s", c.name, err, cmp.Diff(c.want, got))
		}
	}
	for _, r := range []engine.Run{{Rule: "gone", Branch: "then"}, {Rule: "a", Branch: "then", At: 9}, {Rule: "a", Branch: "else"}} {
		if _, err := s.ExplainStep(&r, ended()); err == nil {
			t.Errorf("%+v: no error", r)
		}
	}
}

// TestExplainWaiting: the conditions that hold and expect come back to.
func TestExplainWaiting(t *testing.T) {
	s := mustLoad(t, wordsHead+`when: participant_left
    if: session.present == 0 and participant.name != ""
    then: [ log: x ]
  - { id: h, when: participant_left, if: session.present == 0, hold: 10m, then: [ log: x ] }
  - { id: e, when: session_started, from: pnm, expect: { event: participant_joined, if: participant.name == trigger.room.name, within: 5m }, then: [ log: x ] }
`)
	held := left(func(in *engine.MatchInput) { in.Event.Session.Present = ptr(2) })
	terms, err := s.ExplainHold(&engine.Timer{Rule: "h"}, held)
	if got := verdictOn(terms); err != nil || got != `session.present == 0 | 2 == 0` {
		t.Error(got, err)
	}
	in := joinedAfter("Weekly")
	terms, err = s.ExplainAwaited(&engine.Timer{Rule: "e"}, in)
	if got := verdictOn(terms); err != nil || got != `participant.name == trigger.room.name | "Ana" == "Weekly"` {
		t.Error(got, err)
	}
	for _, rule := range []string{"a", "gone"} {
		if _, err := s.ExplainHold(&engine.Timer{Rule: rule}, held); err == nil {
			t.Errorf("hold of %s: no error", rule)
		}
		if _, err := s.ExplainAwaited(&engine.Timer{Rule: rule}, in); err == nil {
			t.Errorf("expect of %s: no error", rule)
		}
	}
}

// joinedAfter is somebody who comes into a meeting of that name.
func joinedAfter(room string) engine.MatchInput {
	in := joined()
	trigger := *in.Event
	trigger.Type, trigger.Room.Name, trigger.Time = engine.SessionStarted, room, in.Now.Add(-time.Minute)
	in.Trigger = &trigger
	return in
}

// TestExplainWhole: where the parts do not come to what the engine came to, the
// line is explained as a whole. They can keep within the limits one by one and
// not together; here the engine evaluates something else.
func TestExplainWhole(t *testing.T) {
	c := newCompiler(testDefinitions(t))
	const src = `session.peak > 3 and room.id == "r1"`
	for other, want := range map[string]string{
		`session.present > 3`: src + " |  | session.present is unknown here | ",
		`session.peak > 30`:   src + " | ",
		`session.peak > 4`:    "",
	} {
		p, _ := c.compile(other, endScope(), wantBool)
		at := node{Node: &yaml.Node{Kind: yaml.ScalarNode, Value: src, Line: 1, Column: 1}, doc: newDocument("rules.yaml", 0, src)}
		e := (&Set{loc: c.defs.loc}).explainer(&rule{}, "if", meeting(), nil)
		x := e.conditions([]condition{newCondition(at, p, endScope())})
		if diff := cmp.Diff(want, verdictOn(exportClauses(x.clauses))); diff != "" {
			t.Errorf("%s: %s", other, diff)
		}
	}
}

// TestExplainShared: parts that the engine gets to share its steps, so that the
// one that took the last of them is found; the others have their own.
func TestExplainShared(t *testing.T) {
	many := func(n int) string { return fmt.Sprintf(`any(1..%d, raw.s + raw.s == "")`, n) }
	s := mustLoad(t, explainRule("session_ended", many(60)+" or "+many(61)+" or "+many(62)))
	in := of(engine.SessionEnded, payload(`{"s":"`+strings.Repeat("x", 30_000)+`"}`))
	x, err := s.Explain("a", in)
	for range 10 {
		if strings.Contains(x.Why, "takes too long") { // the machine is busy
			x, err = s.Explain("a", in)
		}
	}
	leaves := Leaves(x.If)
	if err != nil || len(leaves) != 3 {
		t.Fatalf("%+v %v", x, err)
	}
	if got, want := verdictOn(x.If), many(61)+" |  | the expression takes too many steps | "; got != want || leaves[2].Result != False {
		t.Error(cmp.Diff(want, got), leaves[2])
	}
}

// BenchmarkExplain is a condition of four parts.
func BenchmarkExplain(b *testing.B) {
	s := mustLoad(b, explainRule("session_ended", `session.duration > 90m and (room.id == "r2" or session.peak > 25) and not session.recording`))
	in := of(engine.SessionEnded)
	b.ReportAllocs()
	for b.Loop() {
		if x, err := s.Explain("a", in); err != nil || x.Verdict != VerdictNotMatched {
			b.Fatal(x, err)
		}
	}
}
