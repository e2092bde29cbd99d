package rules

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/google/go-cmp/cmp"
)

// testDefinitions are lists, tables and windows for the tests of expressions.
func testDefinitions(t testing.TB) definitions {
	t.Helper()
	office, err := parseWindow("mon-fri 08:00-20:00")
	if err != nil {
		t.Fatal(err)
	}
	night, err := parseWindow("20:00-06:00")
	if err != nil {
		t.Fatal(err)
	}
	madrid, err := time.LoadLocation("Europe/Madrid")
	if err != nil {
		t.Fatal(err)
	}
	return definitions{
		lists: map[string][]string{"vips": {"ceo@example.com", "85746065432"}, "vip-list": {"x"}, "none": nil},
		tables: map[string]table{"rooms": {
			columns: map[string]columnKind{"channel": columnText, "limit": columnDuration, "seats": columnWhole, "open": columnBool, "rate": columnDecimal},
			rows: map[string]map[string]any{
				"r1":    {"channel": "exec", "limit": 90 * time.Minute, "seats": 12, "open": true, "rate": "0.10"},
				"small": {"seats": 2},
			},
		}},
		windows: map[string]window{"office": office, "night": night},
		loc:     madrid,
	}
}

// meeting is the end of a session of 72 minutes; nobody knows who hosted it.
func meeting() input {
	at := time.Date(2026, 11, 20, 14, 32, 7, 0, time.UTC)
	long, short := 72*time.Minute, 5*time.Minute
	peak, size := 9, int64(1_234_567)
	return input{
		MatchInput: engine.MatchInput{
			Event: &engine.Event{
				ID: "e1", Type: engine.SessionEnded, Name: "meetingEnded", Source: "meet", Platform: "openvidu-meet", Tenant: "default", Time: at, Received: at.Add(time.Second), Derived: []string{"session.duration"},
				Room:        engine.Room{ID: "r1", Name: "Weekly sync", Metadata: map[string]any{"customer": "acme", "n": json.Number("7"), "f": 2.5, "big": json.Number("123456789012345678901"), "vip": true, "tags": []any{"a", "b"}, "empty": ""}},
				Session:     engine.Session{ID: "s1", Status: engine.Ended, Started: at.Add(-long), Ended: at, Duration: &long, Peak: &peak, Attended: 3 * time.Hour},
				Participant: engine.Participant{ID: "85746065432", Name: "Ana", Email: "ana@example.com", Role: engine.RoleHost},
				Recording:   engine.Recording{ID: "rec", Size: &size},
				Raw:         json.RawMessage(`{"data":{"n":3,"f":1.5,"e":1e3,"list":[1,2,3],"text":"x","null":null,"id":85746065432,"neg":-0},"String":"s"}`),
			},
			SessionKey: "meet/s1",
			Participants: []engine.Participant{
				{ID: "u1", Name: "Ana", Email: "ana@example.com", Role: engine.RoleHost, Total: long, Duration: &long, Metadata: map[string]any{"team": "red"}},
				{ID: "u2", Name: "Bob", Role: engine.RoleParticipant, Total: short, Present: true},
				{ID: "u3", Name: "Eve", Role: engine.RoleViewer},
			},
			Source: engine.Source{Name: "meet", Tenant: "default", Sessions: 2, Present: 4},
			Now:    at.Add(time.Minute),
		},
		steps: []engine.StepRecord{{ID: "crm", State: engine.StepDone, Status: 200, Body: json.RawMessage(`{"deal":{"value":12000},"tags":["x"]}`), Headers: map[string]string{"Content-Type": "application/json"}}},
	}
}

func endScope() scope {
	return scope{events: []string{engine.SessionEnded}, steps: []stepName{{id: "crm", known: true}, {id: "other", known: true}, {id: "late"}}}
}

func TestEval(t *testing.T) {
	c := newCompiler(testDefinitions(t))
	for _, x := range []struct {
		src  string
		want any // an error: part of its text
	}{
		// Durations, times, clock: 14:32 UTC is 15:32 in Madrid, a Friday.
		{`session.duration > 60m`, true},
		{`session.duration == 1h12m`, true},
		{`session.duration > 1h and session.duration < 2d`, true},
		{`session.duration / 1m`, 72.0},
		{`session.duration / 2`, 36 * time.Minute},
		{`session.duration * 2`, 144 * time.Minute},
		{`1.5 * session.duration`, 108 * time.Minute},
		{`session.duration + 30s - 1m`, 71*time.Minute + 30*time.Second},
		{`-session.duration`, -72 * time.Minute},
		{`session.duration % 1h`, 12 * time.Minute},
		{`session.ended - session.started == session.duration`, true},
		{`session.started + 72m == session.ended`, true},
		{`session.started < now()`, true},
		{`now() - event.time`, time.Minute},
		{`hour(event.time)`, 15},
		{`weekday(event.time)`, "fri"},
		{`clock(event.time)`, "15:32"},
		{`date(event.time)`, "2026-11-20"},
		{`windows.office`, true},
		{`windows.night`, false},
		{`duration("90m") > session.duration`, true},
		{`duration(session.id)`, fmt.Errorf(`session.id: "s1" is not a duration`)},
		{`500ms + 1w`, 7*24*time.Hour + 500*time.Millisecond},
		{`ceil_minutes(session.duration)`, 72},
		{`ceil_minutes(session.duration + 1ms)`, 73},
		{`ceil_minutes(0s)`, 0},
		{`ceil_minutes(-1m)`, fmt.Errorf("is negative here")},
		{`minutes(90s)`, 1.5},

		// Missing values.
		{`session.present > 3`, fmt.Errorf("session.present is unknown here")},
		{`3 < session.present`, fmt.Errorf("session.present is unknown here")},
		{`session.present == nil`, true},
		{`session.present == 3`, false},
		{`session.peak != nil and session.peak > 3`, true},
		{`session.present + 1`, fmt.Errorf("session.present is unknown here")},
		{`(session.present ?? 0) > 3`, false},
		{`session.end_reason ?? "none"`, "none"},
		{`room.metadata.empty ?? "none"`, "none"},
		{`room.metadata.missing ?? "none"`, "none"},
		{`room.metadata.customer ?? "none"`, "acme"},
		{`session.present ?? session.peak ?? 1`, 9},
		{`ceil_minutes(session.host?.duration)`, fmt.Errorf("session.host?.duration is unknown here")},
		{`session.host.email == "x"`, fmt.Errorf("session.host is unknown here, it has no email")},
		{`session.host?.email == "x"`, false},
		{`session.host?.email endsWith "x"`, false},
		{`session.host?.metadata.team == "red"`, false},
		{`session.host == nil`, true},
		{`session.host != nil and session.host.name == "Ana"`, false},

		// Untyped data.
		{`raw.data.n`, 3},
		{`raw.data.n > 2`, true},
		{`raw.data.f`, 1.5},
		{`raw.data.e`, 1000.0},
		{`raw.data.neg`, 0},
		{`raw.data.list[-1]`, 3},
		{`raw.data.list[9]`, nil},
		{`raw.data["n"] + 1`, 4},
		{`raw.data.missing > 2`, fmt.Errorf("raw.data.missing is unknown here")},
		{`raw.missing.n`, fmt.Errorf("raw.missing is unknown here, it has no n")},
		{`raw.missing?.n`, nil},
		{`raw.data.text > 3`, fmt.Errorf("raw.data.text is a text here and 3 is a whole number")},
		{`raw.data.n contains "x"`, fmt.Errorf("contains needs a text on both sides")},
		{`raw.data.n.x`, fmt.Errorf("raw.data.n is a whole number here")},
		{`raw.String`, "s"},
		{`raw.data.id in lists.vips`, true},
		{`raw.data.n in raw.data.list`, true},
		{`raw.data.n == raw.data.text`, false},
		{`raw.data.list == raw.data.list`, false},
		{`raw.data.n * 1s`, 3 * time.Second},
		{`raw.data.text + "y"`, "xy"},
		{`"n" in raw.data and "z" not in raw.data`, true},
		{`room.metadata.n`, 7},
		{`room.metadata.big`, "123456789012345678901"},
		{`room.metadata.vip == true`, true},
		{`room.metadata.tags`, []any{"a", "b"}},
		{`"a" in room.metadata.tags`, true},
		{`any(room.metadata.tags, # == "b")`, true},
		{`any(room.metadata.n, true)`, fmt.Errorf("room.metadata.n is a whole number here, and a list is needed")},
		{`any(room.metadata.x, true)`, fmt.Errorf("room.metadata.x is unknown here")},
		{`session.metadata.x == nil`, true},

		// Lists, tables, steps, participants.
		{`participant.id in lists.vips`, "not in event"},
		{`room.id in ["r1", "r2"]`, true},
		{`room.id not in ["r1", "r2"]`, false},
		{`session.peak in [1, 9]`, true},
		{`session.peak in 1..10`, true},
		{`"x" in lists["vip-list"]`, true},
		{`len(lists.vips)`, 2},
		{`filter(lists.vips, # startsWith "ceo")`, []any{"ceo@example.com"}},
		{`tables.rooms[room.id]?.channel ?? "ops"`, "exec"},
		{`tables.rooms[room.name]?.channel ?? "ops"`, "ops"},
		{`tables.rooms["small"].channel ?? "ops"`, "ops"},
		{`tables.rooms.small.limit`, nil},
		{`session.duration > (tables.rooms[room.id]?.limit ?? 60m)`, false},
		{`tables.rooms[session.id].channel`, fmt.Errorf("tables.rooms[session.id] is unknown here, it has no channel")},
		{`room.id in tables.rooms`, true},
		{`tables.rooms.r1.rate`, "0.10"},
		{`steps.crm.state`, "done"},
		{`steps.crm.status == 200 and steps.crm.body.deal.value > 10000`, true},
		{`steps.crm.headers["content-type"]`, "application/json"},
		{`steps.crm.headers.missing`, ""},
		{`steps.other.state`, "pending"},
		{`steps.other.status`, 0},
		{`steps.other.body`, nil},
		{`steps.other.body.x`, fmt.Errorf("steps.other.body is unknown here, it has no x")},
		{`len(session.participants)`, 3},
		{`count(session.participants, .role == "viewer")`, 1},
		{`map(session.participants, .name)`, []any{"Ana", "Bob", "Eve"}},
		{`join(map(filter(session.participants, .present), .name), ", ")`, "Bob"},
		{`join(map(session.participants, .name))`, "AnaBobEve"},
		{`find(session.participants, .email == "ana@example.com")?.name`, "Ana"},
		{`find(session.participants, .email == "zoe")?.name ?? "nobody"`, "nobody"},
		{`session.participants[0].name`, "Ana"},
		{`session.participants[0]?.metadata.team`, "red"},
		{`any(session.participants, .role == "host" and any(lists.vips, # == "ceo@example.com"))`, true},
		{`sum(session.participants, minutes(.total))`, 77.0},
		{`sum([1, 2, 3])`, 6},
		{`sum(map(session.participants, minutes(.total)))`, 77.0},
		{`max(map(session.participants, .total))`, 72 * time.Minute},
		{`max(1, 2.5)`, 2.5},
		{`mean([1, 2])`, 1.5},
		{`map(sortBy(session.participants, .name, "desc"), .id)`, []any{"u3", "u2", "u1"}},
		{`map(session.participants, #index)`, []any{0, 1, 2}},
		{`all(session.participants, .duration == nil or .duration > 1h)`, true},
		{`all(session.participants, .duration > 1h)`, fmt.Errorf(".duration is unknown here")},
		{`none(session.participants, .kind == "bot") and one(session.participants, .role == "host")`, true},
		{`findIndex(session.participants, .name == "Eve")`, 2},
		{`lists.vips | len()`, 2},
		{`len(session.participants | filter(.present))`, 1},

		// Texts and numbers.
		{`room.name contains "sync"`, true},
		{`room.name matches "^Week.*c$"`, true},
		{`upper(room.name) + "!"`, "WEEKLY SYNC!"},
		{`room.name[0:6]`, "Weekly"},
		{`"año"[1:2]`, "ñ"},
		{`len("año")`, 3},
		{`split("a,b", ",")`, []any{"a", "b"}},
		{`trim(" a ")`, "a"},
		{`replace("aaa", "a", "b")`, "bbb"},
		{`string(session.duration)`, "1h12m"},
		{`string(1760000000000.0)`, "1760000000000"},
		{`string(session.started)`, "2026-11-20 14:20"},
		{`string(event.test)`, "false"},
		{`human(1234567)`, "1.2 MB"},
		{`human(session.duration)`, "1 hour 12 minutes"},
		{`int("12") + int(3.9)`, 15},
		{`int(room.name)`, fmt.Errorf("room.name is no whole number here")},
		{`round(2.5) + floor(2.5) + ceil(2.1)`, 8},
		{`session.peak / 2`, 4.5},
		{`session.peak % 2`, 1},
		{`2 ** 3`, 8.0},
		{`session.peak / 0`, fmt.Errorf("division by zero")},
		{`9223372036854775807 + session.peak`, fmt.Errorf("too large")},
		{`4611686018427387904 * 2`, fmt.Errorf("too large")},
		{`session.peak > 3 ? "many" : "few"`, "many"},
		{`let p = session.peak; p > 3 and p < 10`, true},
		{`1 < session.peak < 10`, true},
		{`not (session.peak > 3)`, false},
		{`not session.recording`, true},
		{`[1, "a", nil]`, []any{1, "a", nil}},
		{`{"a": session.peak}`, map[string]any{"a": 9}},
		{"`raw ${x}`", "raw ${x}"},
		{`event.type == "session_ended" // a comment`, true},
		{`/* 60m */ session.peak`, 9},
		{`"60m" == "60m"`, true},
		{`source.sessions + source.present`, 6},
		{`first(event.derived)`, "session.duration"},
	} {
		p, issues := c.compile(x.src, endScope(), wantValue)
		if p == nil {
			if x.want != "not in event" {
				t.Errorf("%s: %+v", x.src, issues)
			}
			continue
		}
		got, err := p.eval(meeting())
		if want, fails := x.want.(error); fails {
			if err == nil || !strings.Contains(err.Error(), want.Error()) {
				t.Errorf("%s: %v, %v; expected the error %v", x.src, got, err, want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", x.src, err)
		} else if diff := cmp.Diff(x.want, got); diff != "" {
			t.Errorf("%s: %s", x.src, diff)
		}
	}
}

func TestEvalRecord(t *testing.T) {
	c := newCompiler(testDefinitions(t))
	p, issues := c.compile(`session.participants[1]`, endScope(), wantValue)
	if p == nil {
		t.Fatal(issues)
	}
	got, err := p.eval(meeting())
	if err != nil {
		t.Fatal(err)
	}
	m, ok := got.(map[string]any)
	if !ok || m["id"] != "u2" || m["total"] != 5*time.Minute || m["left"] != nil || len(m) != 13 {
		t.Errorf("%#v", got)
	}
	if p.kind() != kindMap {
		t.Errorf("kind %d", p.kind())
	}
}

// TestFrame: programs on one frame see the same facts, and nothing of an
// earlier one's budget.
func TestFrame(t *testing.T) {
	c := newCompiler(testDefinitions(t))
	a, _ := c.compile(`session.peak > 3 and room.id == "r1"`, endScope(), wantBool)
	b, _ := c.compile(`any(1..100, # == 100)`, endScope(), wantBool)
	f := newFrame(meeting())
	for range 2_000 {
		for _, p := range []*program{a, b} {
			if v, err := p.run(f); err != nil || v != true {
				t.Fatal(v, err)
			}
		}
	}
}

func TestKindAndFacts(t *testing.T) {
	c := newCompiler(testDefinitions(t))
	for _, x := range []struct {
		src   string
		kind  valueKind
		facts string
	}{
		{`room.name`, kindText, "room.name"},
		{`session.peak`, kindWhole, "session.peak"},
		{`session.peak / 2`, kindFloat, "session.peak"},
		{`session.duration > 60m and room.id == "x"`, kindBool, "room.id session.duration"},
		{`session.duration`, kindDuration, "session.duration"},
		{`session.started`, kindTime, "session.started"},
		{`session.participants`, kindList, "session.participants"},
		{`map(session.participants, .email)`, kindList, "session.participants session.participants.email"},
		{`room.metadata`, kindMap, "room.metadata"},
		{`room.metadata.customer`, kindUnknown, "room.metadata"},
		{`room.metadata.customer ?? "x"`, kindUnknown, "room.metadata"},
		{`session.host?.email`, kindText, "session.host session.host.email"},
		{`raw.a.b`, kindUnknown, "raw"},
		{`ceil_minutes(session.duration)`, kindWhole, "session.duration"},
		{`tables.rooms[room.id]?.channel ?? "ops"`, kindText, "room.id"},
		{`tables.rooms[room.id]?.limit`, kindDuration, "room.id"},
		{`steps.crm.status`, kindWhole, "steps.crm steps.crm.status"},
		{`nil`, kindUnknown, ""},
		{`session.host`, kindMap, "session.host"},
	} {
		p, issues := c.compile(x.src, endScope(), wantValue)
		if p == nil {
			t.Errorf("%s: %v", x.src, issues)
			continue
		}
		if got := strings.Join(p.facts(), " "); p.kind() != x.kind || got != x.facts {
			t.Errorf("%s: kind %d, facts %s", x.src, p.kind(), got)
		}
	}
}

// TestScopes: which groups there are for which events.
func TestScopes(t *testing.T) {
	c := newCompiler(testDefinitions(t))
	for _, x := range []struct {
		src    string
		scope  scope
		want   string // the first issue's code
		naming string // what its text must name
	}{
		{`participant.name == "x"`, scope{events: []string{engine.SessionEnded}}, "not-in-event", "session_ended"},
		{`participant.name == "x"`, scope{events: []string{engine.ParticipantJoined}}, "", ""},
		{`participant.name == "x"`, scope{events: []string{engine.TrackPublished}}, "", ""},
		{`participant.name == "x"`, scope{events: []string{engine.ParticipantJoined, engine.SessionStarted}}, "not-in-event", "session_started"},
		{`participant.name == "x"`, scope{events: []string{engine.ChatMessage}}, "possible-null", "participant"},
		{`participant?.name == "x"`, scope{events: []string{engine.ChatMessage}}, "", ""},
		{`recording.url == ""`, scope{events: []string{engine.RecordingEnded}}, "", ""},
		{`track.kind == ""`, scope{events: []string{engine.TrackUnpublished}}, "", ""},
		{`stream.url == ""`, scope{events: []string{engine.StreamFailed}}, "", ""},
		{`artifact.cost == ""`, scope{events: []string{engine.ArtifactCreated}}, "", ""},
		{`artifact.cost == ""`, scope{events: []string{engine.RecordingEnded}}, "not-in-event", "recording_ended"},
		{`room.id == "x" and session.id == "x"`, scope{events: []string{engine.Other}}, "possible-null", "room"},
		{`room?.id == "x"`, scope{events: []string{engine.InfrastructureEvent, engine.SessionEnded}}, "", ""},
		{`room != nil and room.id == "x"`, scope{events: []string{engine.WebhookTest}}, "", ""},
		{`raw.x == 1 and event.name == "x" and source.name == "x"`, scope{events: []string{engine.Other}, wire: true}, "", ""},
		{`failure.error == ""`, scope{events: []string{engine.Other}}, "unknown-name", "on_failure"},
		{`failure.attempts > 1`, scope{events: []string{engine.Other}, failure: true}, "", ""},
		{`steps.crm.status == 1`, scope{events: []string{engine.Other}}, "unknown-name", "steps"},
		{`steps.late.status == 1`, endScope(), "later-step", "late"},
		{`participant.metadata.email != nil and room.id != "" and recording.id != "" and artifact.id != ""`, scope{fields: true}, "", ""},
	} {
		_, issues := c.compile(x.src, x.scope, wantBool)
		code, text := "", ""
		if len(issues) > 0 {
			code, text = issues[0].Code, issues[0].What
		}
		if code != x.want || !strings.Contains(text, x.naming) {
			t.Errorf("%s for %v: %s: %s", x.src, x.scope.events, code, text)
		}
	}
	for _, e := range engine.EventTypes() {
		if _, issues := c.compile(`event.id != "" and source.name != "" and room?.id != "" and session?.id != ""`, scope{events: []string{e}}, wantBool); len(issues) > 0 {
			t.Errorf("%s: %+v", e, issues)
		}
	}
}

// TestNoRoom: an event that is about no room has none.
func TestNoRoom(t *testing.T) {
	c := newCompiler(testDefinitions(t))
	p, _ := c.compile(`room?.id ?? "none"`, scope{events: []string{engine.Other}}, wantText)
	in := input{MatchInput: engine.MatchInput{Event: &engine.Event{Type: engine.Other}}}
	if v, err := p.eval(in); v != "none" || err != nil {
		t.Error(v, err)
	}
	in.Event.Room.ID = "r1"
	if v, err := p.eval(in); v != "r1" || err != nil {
		t.Error(v, err)
	}
}

// TestFieldNames: facts are called alike in expressions, JSON and the store.
func TestFieldNames(t *testing.T) {
	have := groups()
	for name, sample := range map[string]any{
		"session": engine.Session{}, "participant": engine.Participant{}, "room": engine.Room{}, "recording": engine.Recording{},
		"track": engine.Track{}, "stream": engine.Stream{}, "artifact": engine.Artifact{}, "source": engine.Source{},
	} {
		got := have[name].rec.names()
		want := jsonNames(sample)
		if name == "session" {
			want = append(want, participantsName)
		}
		slices.Sort(got)
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// TestDurationLiterals: durations are found where they are durations only.
func TestDurationLiterals(t *testing.T) {
	c := newCompiler(testDefinitions(t))
	for src, want := range map[string]any{
		`"60m"`:                    "60m",
		`'1h' + "2d"`:              "1h2d",
		`{"a5m": 1}`:               map[string]any{"a5m": 1},
		`[1m,2m][1]`:               2 * time.Minute,
		`let x5m = 3; x5m`:         3,
		`1w2d3h4m5s6ms`:            9*24*time.Hour + 3*time.Hour + 4*time.Minute + 5*time.Second + 6*time.Millisecond,
		`60m> 1h ?1s:2s`:           2 * time.Second,
		`1..3`:                     []any{1, 2, 3},
		`1e3 + 0x1F + 1_000 + 0.5`: 2031.5 + 0,
		`"ñ" + string(5m)`:         "ñ5m",
	} {
		p, issues := c.compile(src, endScope(), wantValue)
		if p == nil {
			t.Errorf("%s: %+v", src, issues)
			continue
		}
		got, err := p.eval(meeting())
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v %s", src, err, diff)
		}
	}
}

func jsonNames(sample any) []string {
	var names []string
	for t, i := reflect.TypeOf(sample), 0; i < t.NumField(); i++ {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}

func BenchmarkRule(b *testing.B) {
	c := newCompiler(testDefinitions(b))
	p, issues := c.compile(`session.duration > 60m and session.peak > 3 and room.id not in lists.vips`, endScope(), wantBool)
	if p == nil {
		b.Fatal(issues)
	}
	f := newFrame(meeting())
	b.ReportAllocs()
	for b.Loop() {
		if v, err := p.run(f); v != true || err != nil {
			b.Fatal(v, err)
		}
	}
}

// BenchmarkEvent is ten rules on a new event.
func BenchmarkEvent(b *testing.B) {
	c := newCompiler(testDefinitions(b))
	p, _ := c.compile(`session.duration > 60m and session.peak > 3 and room.id not in lists.vips`, endScope(), wantBool)
	in := meeting()
	b.ReportAllocs()
	for b.Loop() {
		f := newFrame(in)
		for range 10 {
			if _, err := p.run(f); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// TestRuleAllocations: evaluating a rule costs next to nothing.
func TestRuleAllocations(t *testing.T) {
	c := newCompiler(testDefinitions(t))
	p, _ := c.compile(`session.duration > 60m and session.peak > 3 and room.id not in lists.vips`, endScope(), wantBool)
	f := newFrame(meeting())
	if n := testing.AllocsPerRun(100, func() { _, _ = p.run(f) }); n > 2 {
		t.Errorf("%v allocations", n)
	}
}
