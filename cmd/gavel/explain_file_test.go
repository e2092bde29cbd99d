package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gavelhq/gavel/engine/rules"
)

// explained runs gavel explain on an event of standard input, with these rules.
func explained(t *testing.T, rulesText, event string, args ...string) (string, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(path, []byte(pastSources+rulesText), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	a := testApp(&out)
	a.in = strings.NewReader(event)
	root := a.root()
	root.SetArgs(append([]string{"explain", "-", "--rules", path, "--color", "never", "--tz", "UTC"}, args...))
	err := root.ExecuteContext(t.Context())
	return strings.ReplaceAll(out.String(), path, "rules.yaml"), err
}

// The part that decides is named for whatever does not match.
func TestExplainNamesWhatDecides(t *testing.T) {
	const event = `type: session_ended
time: 2026-11-20T14:00:00Z
room: { id: math, name: Maths, metadata: { customer: acme, tags: [emea, gold], seats: 12, plan: { level: 2 }, muted: true } }
session:
  id: S1
  started: 2026-11-20T13:12:00Z
  ended: 2026-11-20T14:00:00Z
  duration: 48m
  end_reason: all left
  peak: 11
  present: 0
  attended: 3h
  metadata: { topic: budget }
  host: { id: ana, name: Ana, email: ana@acme.com, role: host, total: 40m }
`
	for _, tt := range []struct{ condition, decides string }{
		{`session.duration > 60m`, `session.duration > 60m`},
		{`session.duration >= 48m1s`, `session.duration >= 48m1s`},
		{`session.duration < 10m`, `session.duration < 10m`},
		{`not (session.duration > 30m)`, `session.duration > 30m`},
		{`session.duration > 60m and session.peak > 3`, `session.duration > 60m`},
		{`session.peak > 3 and session.duration > 60m`, `session.duration > 60m`},
		{`session.peak > 3 and session.peak < 5`, `session.peak < 5`},
		{`session.peak > 20 or session.duration > 60m`, `session.duration > 60m`},
		{`(session.peak > 20 or session.duration > 60m) and room.id == "math"`, `session.duration > 60m`},
		{`room.id == "math" and (session.peak > 3 and session.end_reason == "kicked")`, `session.end_reason == "kicked"`},
		{`room.id == "board"`, `room.id == "board"`},
		{`room.id != "math"`, `room.id != "math"`},
		{`room.name startsWith "Phys"`, `room.name startsWith "Phys"`},
		{`room.name endsWith "x"`, `room.name endsWith "x"`},
		{`room.name contains "ology"`, `room.name contains "ology"`},
		{`not (room.name contains "ath")`, `room.name contains "ath"`},
		{`room.name matches "^[a-z]+$"`, `room.name matches "^[a-z]+$"`},
		{`lower(room.name) == "physics"`, `lower(room.name) == "physics"`},
		{`len(room.name) > 10`, `len(room.name) > 10`},
		{`room.metadata.customer == "globex"`, `room.metadata.customer == "globex"`},
		{`room.metadata.seats == 13`, `room.metadata.seats == 13`},
		{`room.metadata.plan.level > 2`, `room.metadata.plan.level > 2`},
		{`(room.metadata.missing ?? "") == "x"`, `(room.metadata.missing ?? "") == "x"`},
		{`room.metadata.missing != nil`, `room.metadata.missing != nil`},
		{`room.metadata.muted == false`, `room.metadata.muted == false`},
		{`"apac" in room.metadata.tags`, `"apac" in room.metadata.tags`},
		{`not ("gold" in room.metadata.tags)`, `"gold" in room.metadata.tags`},
		{`"gold" not in room.metadata.tags`, `"gold" not in room.metadata.tags`},
		{`room.id in ["board", "exec"]`, `room.id in ["board", "exec"]`},
		{`session.peak in 20..30`, `session.peak in 20..30`},
		{`session.host?.email endsWith "@globex.com"`, `session.host?.email endsWith "@globex.com"`},
		{`session.host == nil`, `session.host == nil`},
		{`session.host?.total > 1h`, `session.host?.total > 1h`},
		{`session.end_reason == ""`, `session.end_reason == ""`},
		{`session.status == "active"`, `session.status == "active"`},
		{`session.recording`, `session.recording`},
		{`not session.recording and session.peak == 12`, `session.peak == 12`},
		{`session.attended > 4h`, `session.attended > 4h`},
		{`session.attended / session.duration > 5`, `session.attended / session.duration > 5`},
		{`ceil_minutes(session.duration) > 60`, `ceil_minutes(session.duration) > 60`},
		{`minutes(session.duration) >= 60`, `minutes(session.duration) >= 60`},
		{`session.metadata.topic == "sales"`, `session.metadata.topic == "sales"`},
		{`hour(event.time) < 8`, `hour(event.time) < 8`},
		{`weekday(event.time) in ["sat", "sun"]`, `weekday(event.time) in ["sat", "sun"]`},
		{`session.started > event.time`, `session.started > event.time`},
		{`event.source == "meet"`, `event.source == "meet"`},
		{`event.test`, `event.test`},
		{`session.peak > 3 ? session.duration > 1h : room.id == "math"`, `session.duration > 1h`},
		{`let d = session.duration; d > 1h and session.peak > 3`, `d > 1h`},
		{`any(room.metadata.tags, # == "silver")`, `any(room.metadata.tags, # == "silver")`},
		{`all(room.metadata.tags, # startsWith "e")`, `all(room.metadata.tags, # startsWith "e")`},
		{`count(room.metadata.tags, # startsWith "e") > 1`, `count(room.metadata.tags, # startsWith "e") > 1`},
		{`not (session.peak > 3 or session.duration > 60m)`, `session.peak > 3`},
		{`room.id == "math" and not (session.peak > 20) and session.duration > 2h`, `session.duration > 2h`},
	} {
		quoted, err := json.Marshal(tt.condition)
		if err != nil {
			t.Fatal(err)
		}
		text := "  - id: asked\n    when: session_ended\n    if: " + string(quoted) + "\n    then: [ log: matched ]\n"
		got, err := explained(t, text, event, "-o", "json")
		if err != nil {
			t.Errorf("%s: %v\n%s", tt.condition, err, got)
			continue
		}
		var r eventReport
		if err := json.Unmarshal([]byte(got[strings.Index(got, "{"):]), &r); err != nil {
			t.Fatal(err)
		}
		e := r.Explained[0]
		var decides []string
		for _, term := range rules.Leaves(e.If) {
			if term.Decides {
				decides = append(decides, term.Text)
			}
		}
		if e.Verdict != rules.VerdictNotMatched || len(decides) == 0 || decides[len(decides)-1] != tt.decides {
			t.Errorf("%s: %s, decided by %q, want %q", tt.condition, e.Verdict, decides, tt.decides)
		}
	}
}

const billRules = `  - id: long
    when: session_ended
    if: session.duration > 60m
    then:
      - id: crm
        log: "${room.name} ran ${session.duration} with ${session.peak}"
      - wait: 10m
      - if: steps.crm.status == 200
        log: told
    else:
      - stop: too short
  - id: third
    when: session_ended
    count: { at_least: 3, within: 1h, per: [room.id] }
    then: [ log: third ]
  - id: quiet
    when: session_ended
    expect: { event: session_started, per: [room.id], within: 1h, stop_on: [recording_started] }
    then: [ log: "${room.name} stays empty" ]
`

func TestExplainFile(t *testing.T) {
	const event = `
type: session_ended
time: 2026-11-20T14:00:00Z
room: { id: math, name: Maths }
session: { id: S1, duration: 72m, peak: 9 }
`
	got, err := explained(t, billRules, event)
	if err != nil {
		t.Error(err)
	}
	want := `event    session_ended · Maths · pnm · 14:00:00
rules    REVISION, rules.yaml as it is now

rule     long (rules.yaml:5)
verdict  ✓ matched

  ✓ session.duration > 60m   1h12m > 1h
would    this would be done; nothing is sent:
  ◌ crm log                                would be done
      {"message":"Maths ran 1h12m with 9"}
  ◌ 2 wait                                 would be done
      {"until":"2026-11-20T14:10:00Z"}
  ? 3 log                                  needs the result of a step that was not sent

rule     third (rules.yaml:16)
verdict  ✓ matched
would    when it has counted 3 of them within 1h; this is the first, this would be done; nothing is sent:
  ◌ 1 log                                  would be done
      {"message":"third"}

rule     quiet (rules.yaml:20)
verdict  ✓ matched
would    if no session_started comes within 1h, unless recording_started comes before, this would be done; nothing is sent:
  ◌ 1 log                                  would be done
      {"message":"Maths stays empty"}
`
	lines := strings.Split(got, "\n")
	if len(lines) > 1 {
		_, rest, _ := strings.Cut(lines[1], ",")
		lines[1] = "rules    REVISION," + rest
	}
	if d := cmp.Diff(want, strings.Join(lines, "\n")); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func TestExplainFileElse(t *testing.T) {
	got, err := explained(t, billRules, `{"event": {"type": "session_ended", "session": {"duration": {"seconds": 60}}}}`, "--rule", "long")
	if err != nil || !strings.Contains(got, "would    the steps of else, this would be done; nothing is sent:\n  ◌ 1 stop") {
		t.Errorf("got %v, %s", err, got)
	}
}

func TestExplainBody(t *testing.T) {
	const body = `{"event": "participant_joined", "room": {"sid": "RM_1", "room_id": "r1", "creation_time": "1760000000"},
		"participant": {"sid": "PA_1", "identity": "u1", "name": "Zoë"}, "id": "1", "created_at": "1760000003"}`
	const text = `  - id: greet
    when: participant_joined
    if: session.present == 1 and raw.room.sid == "RM_1"
    then: [ log: "${participant.name} joined" ]
`
	got, err := explained(t, text, body, "--source", "pnm")
	if err != nil || !strings.Contains(got, `{"message":"Zoë joined"}`) {
		t.Errorf("got %v, %s", err, got)
	}
}

// --source does not make a body of what is an event: it names its source.
func TestExplainFileSource(t *testing.T) {
	const text = `  - id: greet
    from: [pnm]
    when: participant_joined
    then: [ log: "${participant.name} joined" ]
`
	for _, event := range []string{
		"type: participant_joined\nparticipant: { id: u1, name: Zoë }\n",
		`{"event": {"type": "participant_joined", "participant": {"id": "u1", "name": "Zoë"}}}`,
	} {
		for _, source := range []string{"pnm", "plugnmeet"} {
			got, err := explained(t, text, event, "--source", source)
			if err != nil || !strings.Contains(got, " · pnm · ") || !strings.Contains(got, `{"message":"Zoë joined"}`) {
				t.Errorf("got %v, %s", err, got)
			}
		}
		if _, err := explained(t, text, event, "--source", "nobody"); err == nil || !strings.Contains(err.Error(), `no source or platform "nobody"`) {
			t.Errorf("got %v", err)
		}
	}
}

func TestExplainRefuses(t *testing.T) {
	for event, want := range map[string]string{
		`type: sesion_ended`:        `there is no event type "sesion_ended": did you mean "session_ended"?`,
		`{"event": "meetingEnded"}`: "it has no type",
		`{}`:                        "it has no type",
		`[1]`:                       "it is no event",
		"\x00":                      "it is neither JSON nor YAML",
		`{"type": "session_ended", "sesion": {}}`: `unknown field "sesion"`,
		`{"type": 5}`: "type cannot be a number",
		`{type: session_ended, session: {duration: longish}}`: "session.duration is no duration: write 72m, or seconds",
	} {
		if _, err := explained(t, billRules, event); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", event, err, want)
		}
	}
	for _, tt := range []struct{ args, want string }{
		{"sample:nobody/x", `there is no platform "nobody"`}, {"sample:livekit/room_finished", `there is no source or platform "livekit"`},
		{"sample:plugnmeet/nothing", `platform plugnmeet has no sample "nothing"`}, {"sample:x", "no sample is called"},
		{"nothing.yaml", "no such file"}, {"sample:plugnmeet/session_ended --rule lng", `there is no rule "lng"`}, {"sample:plugnmeet/session_ended --source meet", `there is no source or platform "meet"`},
	} {
		path := filepath.Join(t.TempDir(), "rules.yaml")
		if err := os.WriteFile(path, []byte(pastSources+billRules), 0o600); err != nil {
			t.Fatal(err)
		}
		root := testApp(&bytes.Buffer{}).root()
		root.SetArgs(append([]string{"explain", "--rules", path}, strings.Fields(tt.args)...))
		if err := root.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s", tt.args, err, tt.want)
		}
	}
}

// Whoever can name a room or a person does not reach the terminal.
func TestExplainHostile(t *testing.T) {
	const text = `  - id: long
    when: session_ended
    if: room.name == "x" and room.metadata.name == "y" and session.end_reason matches "z"
    else: [ log: "${room.name}" ]
    then: [ log: "${room.name}" ]
`
	for _, evil := range hostile() {
		event, err := json.Marshal(map[string]any{
			"id": evil, "type": "session_ended", "name": evil,
			"room": map[string]any{"id": evil, "name": evil, "metadata": map[string]any{"name": evil, evil: evil}}, "session": map[string]any{"id": evil, "end_reason": evil},
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, format := range []string{"table", "json"} {
			got, err := explained(t, text, string(event), "-o", format)
			if err != nil {
				t.Error(err)
			}
			if strings.Trim(got, "\n") != strings.Trim(clean(got), "\n") {
				t.Errorf("%q as %s: got %q", evil, format, got)
			}
		}
	}
}
