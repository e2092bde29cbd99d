package rules

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/google/go-cmp/cmp"
)

// Where the expressions of state words stand.
func holdScope() scope {
	return scope{events: []string{engine.ParticipantJoined}, hold: true}
}

// expectScope: recording_ended is awaited after session_started.
func expectScope() scope {
	return scope{events: []string{engine.RecordingEnded}, trigger: &scope{events: []string{engine.SessionStarted}}}
}

func countScope(types ...string) scope { return scope{events: types, gathered: true} }

func digestScope(only ...string) scope {
	return scope{events: []string{engine.ParticipantJoined}, gathered: true, only: append([]string{}, only...), steps: []stepName{{id: "crm", known: true}}}
}

func scheduleScope() scope {
	return scope{events: []string{engine.Scheduled}, schedule: true, steps: []stepName{{id: "crm", known: true}}}
}

func emittedScope() scope { return scope{events: []string{engine.Emitted}, wire: true} }

// waiting is meeting with everything that state words add.
func waiting() input {
	in := meeting()
	in.Event.Session.Estimated = true
	trigger := *in.Event
	trigger.Type, trigger.Time, trigger.Source = engine.SessionStarted, in.Event.Time.Add(-time.Hour), "old"
	trigger.Room.Name = "Old name"
	trigger.Raw = json.RawMessage(`{"n":8}`)
	in.Trigger, in.LateBy = &trigger, 90*time.Second
	for i, name := range []string{"Ana", "Bob", "Eve"} {
		ev := *in.Event
		ev.ID, ev.Type, ev.Time = fmt.Sprint("j", i), engine.ParticipantJoined, in.Event.Time.Add(time.Duration(i)*time.Minute)
		ev.Participant = engine.Participant{ID: fmt.Sprint("u", i), Name: name, Role: engine.RoleParticipant}
		in.Events = append(in.Events, &ev)
	}
	in.Events[0].Participant.Role = engine.RoleHost
	in.Dropped = 4
	long, present := 3*time.Hour, 5
	in.Sessions = []engine.OpenSession{
		{Session: engine.Session{ID: "s1", Status: engine.Active, Duration: &long, Present: &present, Host: &engine.Participant{Name: "Ana"}}, Room: engine.Room{ID: "r1", Name: "Long"}, Source: "meet"},
		{Session: engine.Session{ID: "s2", Status: engine.Active}, Room: engine.Room{ID: "r2", Name: "New"}, Source: "pnm"},
	}
	in.steps = []engine.StepRecord{{ID: "crm", State: engine.StepShadow, Status: 200, Body: json.RawMessage(`{"a":1}`)}}
	return in
}

func TestEvalState(t *testing.T) {
	c := newCompiler(testDefinitions(t))
	joins := countScope(engine.ParticipantJoined)
	for _, x := range []struct {
		scope scope
		src   string
		want  any // an error: part of its text
	}{
		// hold: the session as it is.
		{holdScope(), `session.present == nil and session.peak > 3 and room.id == "r1"`, true},
		{holdScope(), `any(session.participants, .role == "host") and source.sessions > 1`, true},
		{holdScope(), `room.id in tables.rooms and "x" not in lists.vips and windows.office`, true},
		{holdScope(), `now() > session.started and session.estimated`, true},

		// expect: the event that began to wait, and how late this one is.
		{expectScope(), `trigger.session.id == session.id`, true},
		{expectScope(), `trigger.room.name + ", " + room.name`, "Old name, Weekly sync"},
		{expectScope(), `trigger.event.type`, "session_started"},
		{expectScope(), `event.time - trigger.event.time`, time.Hour},
		{expectScope(), `trigger.source.name`, "old"},
		{expectScope(), `trigger.raw.n`, 8},
		{expectScope(), `trigger.room.metadata.customer`, "acme"},
		{expectScope(), `trigger.session.host?.name ?? "nobody"`, "nobody"},
		{expectScope(), `expect.late_by`, 90 * time.Second},
		{expectScope(), `expect.late_by > 1m and recording.id == "rec"`, true},
		{expectScope(), `string(expect.late_by)`, "1m30s"},

		// count and digest: each event with its facts.
		{joins, `len(events)`, 3},
		{joins, `events_dropped`, 4},
		{joins, `map(events, .participant.name)`, []any{"Ana", "Bob", "Eve"}},
		{joins, `len(filter(events, .participant.role == "host"))`, 1},
		{joins, `join(map(filter(events, .participant.role != "host"), .participant.name), ", ")`, "Bob, Eve"},
		{joins, `any(events, .participant.name == participant.name) and all(events, .room.id == "r1")`, true},
		{joins, `count(events, .event.time > event.time)`, 2},
		{joins, `none(events, .session.present != nil)`, true},
		{joins, `events[0].room.name`, "Weekly sync"},
		{joins, `events[-1].participant.name`, "Eve"},
		{joins, `first(events).event.id + last(events).event.id`, "j0j2"},
		{joins, `events[1]?.participant.id`, "u1"},
		{joins, `events[9]?.participant.id`, nil},
		{joins, `let e = events[0]; e.participant.name + e.room.id`, "Anar1"},
		{joins, `map(sortBy(events, .event.time, "desc"), .event.id)`, []any{"j2", "j1", "j0"}},
		{joins, `len(uniq(map(events, .participant.id)))`, 3},
		{joins, `max(map(events, .event.time)) - min(map(events, .event.time))`, 2 * time.Minute},
		{joins, `map(events, {who: .participant.name, n: #index})[2]`, map[string]any{"who": "Eve", "n": 2}},
		{countScope(engine.ChatMessage), `map(events, .participant?.name)`, []any{"Ana", "Bob", "Eve"}},
		{digestScope(), `len(events) + events_dropped`, 7},
		{digestScope("session", "room"), `room.name + session.id`, "Weekly syncs1"},
		{digestScope(), `source.name`, "meet"},

		// Schedules: every active session.
		{scheduleScope(), `len(sessions)`, 2},
		{scheduleScope(), `map(filter(sessions, .duration != nil and .duration > 2h), .room.name)`, []any{"Long"}},
		{scheduleScope(), `map(sessions, .room.name + "@" + .source)`, []any{"Long@meet", "New@pnm"}},
		{scheduleScope(), `sum(sessions, .present ?? 0)`, 5},
		{scheduleScope(), `any(sessions, .host != nil and .host.name == "Ana")`, true},
		{scheduleScope(), `sessions[1]?.status`, "active"},
		{scheduleScope(), `event.id + event.platform`, "e1openvidu-meet"},
		{scheduleScope(), `windows.office`, true},

		// Emitted events.
		{emittedScope(), `raw.data.n`, 3},
		{emittedScope(), `room?.name`, "Weekly sync"},
		{emittedScope(), `session?.id ?? "none"`, "s1"},

		// A shadow has a state, and no result.
		{scheduleScope(), `steps.crm.state`, "shadow"},
		{scheduleScope(), `steps.crm.state == "shadow" or steps.crm.status == 200`, true},
		{scheduleScope(), `steps.crm.state != "shadow" ? steps.crm.body.a : 0`, 0},
		{scheduleScope(), `steps.crm.status == 200`, engine.ErrUndecided},
		{scheduleScope(), `steps.crm.body`, engine.ErrUndecided},
		{scheduleScope(), `steps.crm.body.a`, engine.ErrUndecided},
		{scheduleScope(), `steps.crm.body?.a ?? 3`, engine.ErrUndecided},
		{scheduleScope(), `steps.crm.headers["x"]`, engine.ErrUndecided},
		{scheduleScope(), `steps.crm.error`, engine.ErrUndecided},
		{scheduleScope(), `steps.crm`, engine.ErrUndecided},
		{scheduleScope(), `string([steps.crm])`, engine.ErrUndecided},
		{scheduleScope(), `any([steps.crm], .status == 200)`, engine.ErrUndecided},
	} {
		p, issues := c.compile(x.src, x.scope, wantValue)
		if p == nil || len(issues) > 0 {
			t.Errorf("%s: %+v", x.src, issues)
			continue
		}
		got, err := p.eval(waiting())
		if want, fails := x.want.(error); fails {
			if !errors.Is(err, want) || !strings.Contains(err.Error(), "crm") {
				t.Errorf("%s: %v, %v", x.src, got, err)
			}
		} else if diff := cmp.Diff(x.want, got); diff != "" || err != nil {
			t.Errorf("%s: %v %s", x.src, err, diff)
		}
	}
}

// TestNoResult: what depends on a step that depends on a shadow's has no
// result either; a step that was done has one.
func TestNoResult(t *testing.T) {
	c := newCompiler(testDefinitions(t))
	p, _ := c.compile(`steps.crm.status`, scheduleScope(), wantValue)
	for state, want := range map[string]error{engine.StepDone: nil, engine.StepFailed: nil, engine.StepSkipped: nil, engine.StepShadow: engine.ErrUndecided, engine.StepUndecided: engine.ErrUndecided} {
		in := waiting()
		in.steps[0].State = state
		if _, err := p.eval(in); !errors.Is(err, want) {
			t.Errorf("%s: %v", state, err)
		}
	}
}

// TestStateMistakes: each says what is there instead.
func TestStateMistakes(t *testing.T) {
	c := newCompiler(testDefinitions(t))
	joins := countScope(engine.ParticipantJoined)
	for _, x := range []struct {
		scope                 scope
		src, code, word, text string // text is part of what, why or hint
	}{
		{holdScope(), `participant.name == ""`, "not-in-hold", "participant", "hold is checked again at every later event of the session: only session, room and source are known then"},
		{holdScope(), `participant.name == ""`, "not-in-hold", "participant", "session.participants"},
		{holdScope(), `event.time < now()`, "not-in-hold", "event", "now()"},
		{holdScope(), `raw.x == 1`, "not-in-hold", "raw", "raw is not known while a hold waits"},
		{holdScope(), `recording.id == ""`, "not-in-hold", "recording", "session.recording"},
		{holdScope(), `steps.crm.status == 1`, "not-in-hold", "steps", ""},
		{holdScope(), `sesion.peak == 1`, "unknown-name", "sesion", "names: lists, room, session, source, tables, windows"},

		{expectScope(), `trigger.participant.name == ""`, "not-in-event", "participant", "session_started has no participant"},
		{expectScope(), `trigger.participant.name == ""`, "not-in-event", "participant", "trigger has event, room, session, source, raw"},
		{expectScope(), `trigger.session.participants == []`, "not-in-event", "participants", "the participants of other sessions are not known here"},
		{expectScope(), `trigger.source.present == 1`, "not-in-event", "present", "source.present"},
		{expectScope(), `trigger.rom.name == ""`, "unknown-field", "rom", `did you mean "room"?`},
		{expectScope(), `trigger == "x"`, "type-mismatch", "==", "name one of its fields"},
		{expectScope(), `expect.late > 1m`, "unknown-field", "late", "late_by"},
		{expectScope(), `expect == nil`, "type-mismatch", "expect", "name one of it: late_by"},
		{expectScope(), `expect.late_by > 60`, "type-mismatch", ">", "60m"},
		{endScope(), `trigger.session.id == ""`, "unknown-name", "trigger", "known in the if of expect and under on_late only"},
		{endScope(), `expect.late_by > 1m`, "unknown-name", "expect", "under then, the facts are those of the event that began the waiting"},

		{joins, `events.participant.name == ""`, "unknown-field", "participant", "ask its elements: any(events, .participant"},
		{joins, `any(events, .recording.id == "")`, "not-in-event", "recording", "participant_joined has no recording"},
		{countScope(engine.ParticipantJoined, engine.SessionStarted), `any(events, .participant.id == "")`, "not-in-event", "participant", "session_started has no participant"},
		{joins, `any(events, .raw.x == 1)`, "not-in-event", "raw", "facts only"},
		{joins, `any(events, .source.name == "")`, "not-in-event", "source", ".event.source"},
		{joins, `any(events, any(.session.participants, .present))`, "not-in-event", "participants", "not known here"},
		{joins, `any(events, .partcipant.id == "")`, "unknown-field", "partcipant", `did you mean "participant"?`},
		{joins, `"u1" in events`, "type-mismatch", "in", `any(events, .event.id == "u1")`},
		{joins, `join(events) == ""`, "type-mismatch", "events", "map(events, .event.id)"},
		{endScope(), `len(events) > 1`, "unknown-name", "events", "in rules with count or digest only"},
		{endScope(), `events_dropped > 1`, "unknown-name", "events_dropped", "in rules with count or digest only"},

		{digestScope(), `session.id == ""`, "not-in-digest", "session", "a digest has no session of its own"},
		{digestScope(), `session.id == ""`, "not-in-digest", "session", "put session.id into per, or use events: map(events, .session.id)"},
		{digestScope("session"), `room.id == ""`, "not-in-digest", "room", "room.id"},
		{digestScope(), `participant.id == ""`, "not-in-digest", "participant", "participant.id"},
		{digestScope("session"), `event.time < now()`, "not-in-digest", "event", "map(events, .event.id)"},
		{digestScope("session"), `raw.x == 1`, "not-in-digest", "raw", "facts of events"},

		{scheduleScope(), `session.id == ""`, "not-in-schedule", "session", "sessions are all that are active now"},
		{scheduleScope(), `room.id == ""`, "not-in-schedule", "room", "it fires by the clock"},
		{scheduleScope(), `participant.id == ""`, "not-in-schedule", "participant", ""},
		{scheduleScope(), `source.present > 1`, "not-in-schedule", "source", ""},
		{scheduleScope(), `raw.x == 1`, "not-in-schedule", "raw", ""},
		{scheduleScope(), `any(sessions, any(.participants, .present))`, "not-in-event", "participants", "present says how many are there"},
		{scheduleScope(), `any(sessions, .romm.id == "")`, "unknown-field", "romm", `did you mean "room"?`},
		{endScope(), `len(sessions) > 1`, "unknown-name", "sessions", "in rules with a schedule only"},

		{emittedScope(), `participant.name == ""`, "not-in-event", "participant", "what the emitting step gives as data is in raw"},
		{emittedScope(), `session.id == ""`, "possible-null", "session", "session?.id"},
		{scheduleScope(), `steps.crm.state == "sent"`, "never-equal", `"sent"`, "pending, done, skipped, failed, shadow, undecided"},
		{countScope(engine.ParticipantJoined), `events[1].room.id == ""`, "possible-null", "events[1]", "events[1]?.room"},
		{endScope(), `event.type == "emited"`, "never-equal", `"emited"`, "it is one of: session_ended"},
	} {
		_, issues := c.compile(x.src, x.scope, wantBool)
		if len(issues) != 1 {
			t.Errorf("%s: %+v", x.src, issues)
			continue
		}
		i := issues[0]
		checkWords(t, x.src, i)
		word := string([]rune(x.src)[i.Offset : i.Offset+i.Width])
		if i.Code != x.code || word != x.word || !strings.Contains(i.What+"\n"+i.Why+"\n"+i.Hint, x.text) {
			t.Errorf("%s: %s at %q: %s (%s; %s)", x.src, i.Code, word, i.What, i.Why, i.Hint)
		}
	}
}

// TestStateFacts: what is read beyond the event is named, so that it is there.
func TestStateFacts(t *testing.T) {
	c := newCompiler(testDefinitions(t))
	for _, x := range []struct {
		scope      scope
		src, facts string
	}{
		{holdScope(), `any(session.participants, .present)`, "session.participants session.participants.present"},
		{scheduleScope(), `len(sessions) > 1`, "sessions"},
		{scheduleScope(), `any(sessions, .room.name == "")`, "sessions sessions.room sessions.room.name"},
		{scheduleScope(), `any(sessions, .host?.email == "")`, "sessions sessions.host sessions.host.email"},
		{expectScope(), `trigger.session.host?.email == ""`, "trigger.session trigger.session.host trigger.session.host.email"},
		{expectScope(), `expect.late_by > 1m`, "expect.late_by"},
		{countScope(engine.ParticipantJoined), `any(events, .participant.email == "")`, "events events.participant events.participant.email"},
		{emittedScope(), `any(session?.participants, .present)`, "session session.participants session.participants.present"},
	} {
		p, issues := c.compile(x.src, x.scope, wantBool)
		if p == nil {
			t.Errorf("%s: %+v", x.src, issues)
		} else if got := strings.Join(p.facts(), " "); got != x.facts {
			t.Errorf("%s: %s", x.src, got)
		}
	}
}

// TestWholeValues: a group, an event, a session as it goes into JSON.
func TestWholeValues(t *testing.T) {
	c := newCompiler(testDefinitions(t))
	keys := func(v any) string {
		m, _ := v.(map[string]any)
		return strings.Join(sortedKeys(m), " ")
	}
	for _, x := range []struct {
		scope     scope
		src, keys string
	}{
		{countScope(engine.ParticipantJoined), `events[0]`, "event participant room session"},
		{countScope(engine.ParticipantJoined), `events[0].participant`, strings.Join(sortedNames(participantRecord()), " ")},
		{expectScope(), `trigger`, "event room session"},
		{expectScope(), `trigger.event`, strings.Join(sortedNames(eventRecord()), " ")},
		{scheduleScope(), `sessions[0]`, strings.Join(sortedNames(c.openSession), " ")},
		{endScope(), `session`, strings.Join(sortedNames(c.otherSession), " ")},
	} {
		p, issues := c.compile(x.src, x.scope, wantValue)
		if p == nil {
			t.Errorf("%s: %+v", x.src, issues)
			continue
		}
		got, err := p.eval(waiting())
		if err != nil || keys(got) != x.keys {
			t.Errorf("%s: %v %s", x.src, err, keys(got))
		}
		if _, err := json.Marshal(jsonValue(got, nil)); err != nil {
			t.Errorf("%s: %v", x.src, err)
		}
	}
}

func sortedNames(r *record) []string {
	all := map[string]bool{}
	for _, name := range r.names() {
		all[name] = true
	}
	return sortedKeys(all)
}

// TestNothingGathered: facts that should be there and are not break nothing.
func TestNothingGathered(t *testing.T) {
	c := newCompiler(testDefinitions(t))
	for _, x := range []struct {
		scope scope
		src   string
	}{
		{expectScope(), `trigger`}, {expectScope(), `trigger.room.name`}, {expectScope(), `trigger.raw?.x`}, {expectScope(), `trigger.source.name`},
		{countScope(engine.ParticipantJoined), `len(events)`}, {scheduleScope(), `sessions`},
	} {
		p, issues := c.compile(x.src, x.scope, wantValue)
		if p == nil {
			t.Errorf("%s: %+v", x.src, issues)
			continue
		}
		if v, err := p.eval(meeting()); err != nil {
			t.Errorf("%s: %v, %v", x.src, v, err)
		}
	}
	p, _ := c.compile(`events[0].room.name`, countScope(engine.ParticipantJoined), wantText)
	if v, err := p.eval(meeting()); err == nil || !strings.Contains(err.Error(), "events[0] is unknown here") {
		t.Error(v, err)
	}
}

// TestPerhaps: what an event may lack is asked of each for itself.
func TestPerhaps(t *testing.T) {
	c := newCompiler(testDefinitions(t))
	in := waiting()
	for _, ev := range in.Events {
		ev.Type = engine.ChatMessage
	}
	in.Events[1].Participant = engine.Participant{}
	in.Event.Session = engine.Session{} // known by its key alone
	for _, x := range []struct {
		scope scope
		src   string
		want  any
	}{
		{countScope(engine.ChatMessage), `map(events, .participant?.name)`, []any{"Ana", nil, "Eve"}},
		{countScope(engine.ChatMessage), `any(events, .participant == nil)`, true},
		{emittedScope(), `session != nil`, true},
	} {
		p, issues := c.compile(x.src, x.scope, wantValue)
		if p == nil || len(issues) > 0 {
			t.Errorf("%s: %+v", x.src, issues)
			continue
		}
		got, err := p.eval(in)
		if diff := cmp.Diff(x.want, got); diff != "" || err != nil {
			t.Errorf("%s: %v %s", x.src, err, diff)
		}
	}
	in.SessionKey = ""
	p, _ := c.compile(`session != nil`, emittedScope(), wantBool)
	if got, err := p.eval(in); got != false || err != nil {
		t.Errorf("without a session: %v %v", got, err)
	}
}

// TestCharges: what an evaluation is charged.
func TestCharges(t *testing.T) {
	c := newCompiler(testDefinitions(t))
	for src, want := range map[string]int{
		`map(session.participants, .name)`:                    3 * (1 + 1),
		`map(session.participants, {a: 1})`:                   3 * (1 + 1 + 4),
		`map(session.participants, {a: {b: 1}})`:              3 * (1 + 2*(1+4)),
		`map(session.participants, .metadata)`:                3*(1+1+1+4) + 1, // one has a team
		`len(string(session.participants))`:                   43 + 20,         // 3 people of 13 fields, one with a team; 600 bytes twice
		`any(session.participants, ceil_minutes(.total) > 1)`: 1 + 2,           // the first says yes
	} {
		p, issues := c.compile(src, endScope(), wantValue)
		if p == nil {
			t.Errorf("%s: %+v", src, issues)
			continue
		}
		f := newFrame(meeting())
		if _, err := p.run(f); err != nil || f.budget.steps != want {
			t.Errorf("%s: %d steps, expected %d (%v)", src, f.budget.steps, want, err)
		}
	}
}

// TestMapOfEach: a map for each element, in the braces people write.
func TestMapOfEach(t *testing.T) {
	c := newCompiler(testDefinitions(t))
	for src, want := range map[string]any{
		`map(lists.vips, {id: #, "at": #index})[1]`:           map[string]any{"id": "85746065432", "at": 1},
		`map(lists.vips, {'x': # == "a" ? 1 : 2, })[0]`:       map[string]any{"x": 2},
		`map(lists.vips, {a:{b:[1,{c:#index}]}})[1]`:          map[string]any{"a": map[string]any{"b": []any{1, map[string]any{"c": 1}}}},
		`map(lists.vips, {len: len(#), true: 1, (#): 5m})[1]`: map[string]any{"len": 11, "true": 1, "85746065432": 5 * time.Minute},
		`map(lists.vips, ({id: #index}))[0]`:                  map[string]any{"id": 0},
		`map(lists.vips, {{id: #index}})[0]`:                  map[string]any{"id": 0},
		`map(lists.vips, {let x = #index; x + 1})`:            []any{1, 2},
		`count(lists.vips, {true ? # != "" : false})`:         2,
		`[1, {a: 2}]`: []any{1, map[string]any{"a": 2}},
		`map(session.participants, {name: .name, minutes: ceil_minutes(.total), in: .present})[1]`: nil, // in is an operator
		`map(session.participants, {name: .name, minutes: ceil_minutes(.total)})[1]`:               map[string]any{"name": "Bob", "minutes": 5},
	} {
		p, issues := c.compile(src, endScope(), wantValue)
		if p == nil {
			if want != nil {
				t.Errorf("%s: %+v", src, issues)
			}
			continue
		}
		got, err := p.eval(meeting())
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v %s", src, err, diff)
		}
	}
	p, _ := c.compile(`let x = "k"; map(lists.vips, {y: 1, (x): 2})[0].k`, endScope(), wantValue)
	if got, err := p.eval(meeting()); got != 2 || err != nil {
		t.Errorf("a key in brackets is an expression: %v %v", got, err)
	}
	for src, word := range map[string]string{
		`map(lists.vips, {id: #, foo}) == []`:             "}",
		`map(lists.vips, {id: #, foo, bar: 1}) == []`:     ",",
		`map(lists.vips, {id: }) == []`:                   "}",
		`map(lists.vips, {id: # bar: 1}) == []`:           ":",
		`map(session.participants, {id: .idd}) == []`:     "idd",
		`map(session.participants, {1: .id}) == []`:       ":",
		`map(lists.vips, {id: #, (#index): 1}) == []`:     "#",
		`map(session.participants, {id: .id, x: y}) == 1`: "y",
	} {
		_, issues := c.compile(src, endScope(), wantValue)
		if len(issues) == 0 || string([]rune(src)[issues[0].Offset:issues[0].Offset+issues[0].Width]) != word {
			t.Errorf("%s: %+v", src, issues)
		}
	}
}

// crowd is a session of n people in which as much happened as one run sees.
func crowd(n int) input {
	in := waiting()
	in.Participants, in.Events, in.Sessions = nil, nil, nil
	for i := range n {
		in.Participants = append(in.Participants, engine.Participant{
			ID: fmt.Sprint("u", i), Name: fmt.Sprint("Person number ", i), Email: "somebody@example.com", Role: engine.RoleParticipant,
			Total: time.Duration(i) * time.Second, Present: i%2 == 0, Joined: in.Now, Metadata: map[string]any{"team": "red"},
		})
	}
	for i := range 1000 {
		ev := *in.Event
		ev.Type, ev.Participant = engine.ParticipantJoined, in.Participants[i%n]
		in.Events = append(in.Events, &ev)
		in.Sessions = append(in.Sessions, engine.OpenSession{Session: ev.Session, Room: ev.Room, Source: "meet"})
	}
	return in
}

// TestCrowd: 10,000 people, 1,000 events and 1,000 sessions are within the
// limits of what people ask about them.
func TestCrowd(t *testing.T) {
	c := newCompiler(testDefinitions(t))
	in := crowd(10_000)
	joins := countScope(engine.ParticipantJoined)
	for _, x := range []struct {
		scope scope
		src   string
	}{
		{endScope(), `any(session.participants, .role == "host" and .present)`},
		{endScope(), `map(session.participants, .name)`},
		{endScope(), `map(session.participants, {name: .name, minutes: ceil_minutes(.total)})`},
		{endScope(), `map(session.participants, {id: .id, name: lower(.name), team: .metadata.team, joined: .joined, minutes: ceil_minutes(.total)})`},
		{endScope(), `map(sortBy(session.participants, .total, "desc"), .name)[0:3]`},
		{endScope(), `len(uniq(sort(map(session.participants, .name))))`},
		{endScope(), `sum(session.participants, minutes(.total)) > 1.0`},
		{endScope(), `count(session.participants, .name matches "^Person.*9$") > 1`},
		{endScope(), `filter(session.participants, .email in lists.vips)`},
		{joins, `any(events, .participant.role == "host")`},
		{joins, `join(map(events, .participant.name), ", ")`},
		{joins, `map(events, {who: .participant.name, at: .event.time, room: .room.name})`},
		{joins, `events`},
		{endScope(), `map(session.participants, [.id, .name, .email, .role, .kind, .connection_id, .leave_reason, .present, .left, #index])`},
		{scheduleScope(), `map(filter(sessions, .duration > 2m), {room: .room.name, minutes: ceil_minutes(.duration ?? 0s)})`},
		{scheduleScope(), `sessions`},
	} {
		p, issues := c.compile(x.src, x.scope, wantValue)
		if p == nil {
			t.Errorf("%s: %+v", x.src, issues)
			continue
		}
		f := newFrame(in)
		start := time.Now()
		_, err := p.run(f)
		took := time.Since(start)
		// Time runs out by itself on a machine that is very busy.
		if err != nil && !(errors.Is(err, errTime) && slowness > 1) {
			t.Errorf("%s: %v after %s and %d steps", x.src, err, took, f.budget.steps)
		}
		t.Logf("%8s, %6d steps: %s", took.Round(10*time.Microsecond), f.budget.steps, x.src)
	}
}

// TestHostileCrowd: what multiplies a crowd by itself ends as soon as it would
// without one.
func TestHostileCrowd(t *testing.T) {
	c := newCompiler(testDefinitions(t))
	in := crowd(10_000)
	in.Events, in.Sessions = in.Events[:100], nil
	people, joins := endScope(), countScope(engine.ParticipantJoined)
	for _, x := range []struct {
		scope scope
		src   string
	}{
		{people, `any(session.participants, any(session.participants, .name == "x"))`},
		{people, `map(1..1000, session.participants)`},
		{people, `map(session.participants, session.participants)`},
		{people, `len(map(1..1000, sort(map(session.participants, .name))))`},
		{people, `len(map(1..1000, sortBy(session.participants, .name)))`},
		{people, `len(map(session.participants, map(session.participants, {a: .metadata})))`},
		{people, `len(map(session.participants, string(session.participants)))`},
		{emittedScope(), `len(map(session?.participants, count(session?.participants, .present)))`},
		{emittedScope(), `any(1..1000, any(1..1000, session?.participants == nil))`},
		{joins, `map(1..1000, map(events, events))`},
		{joins, `len(map(1..1000, map(events, {a: .event, b: events})))`},
		{joins, `string(map(1..1000, events))`},
	} {
		p, issues := c.compile(x.src, x.scope, wantValue)
		if p == nil {
			t.Errorf("%s: %+v", x.src, issues)
			continue
		}
		var f *frame
		var err error
		took, used := withinBounds(t, x.src, func() {
			f = newFrame(in)
			_, err = p.run(f)
		})
		if err == nil {
			t.Errorf("%s has a result", x.src)
		} else {
			checkWords(t, x.src, issue{What: err.Error(), Code: "x", Width: 1})
		}
		t.Logf("%8s, %2d MiB, %6d steps: %s (%v)", took.Round(10*time.Microsecond), used>>20, f.budget.steps, x.src, err)
	}
}

// TestAttendance: everyone's minutes as one value of a call, for 1,000 people.
func TestAttendance(t *testing.T) {
	s, problems := Load([]File{{"rules.yaml", []byte(threeSources + `
  - id: attendance
    when: session_ended
    from: pnm
    then:
      - http:
          post: /attendance
          json:
            class: ${room.name}
            attendance: '${map(session.participants, {name: .name, minutes: ceil_minutes(.total)})}'
`)}}, testOptions())
	if s == nil {
		t.Fatal(printed(problems))
	}
	in := crowd(1000).MatchInput
	in.Event.Source = "pnm"
	if !s.Needs(in.Event).Participants {
		t.Error("the rule does not ask for the participants")
	}
	matches := s.Match(in)
	if len(matches) != 1 || matches[0].First == nil {
		t.Fatalf("%+v", matches)
	}
	var with struct {
		JSON struct {
			Class      string
			Attendance []struct {
				Name    string
				Minutes int
			}
		}
	}
	if err := json.Unmarshal(matches[0].First.With, &with); err != nil {
		t.Fatal(err)
	}
	all := with.JSON.Attendance
	if len(all) != 1000 || all[0].Minutes != 0 || all[999].Name != "Person number 999" || all[999].Minutes != 17 || with.JSON.Class != "Weekly sync" {
		t.Errorf("%d: %.200s", len(all), matches[0].First.With)
	}
}
