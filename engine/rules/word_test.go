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

// wordsHead is the start of the files of these tests.
const wordsHead = `
timezone: Europe/Madrid
sources:
  pnm:
    platform: plugnmeet
    api_key: env:KEY
    secret: env:PNM_SECRET
    fields: { participant.role: participant.metadata.role }
  meet: { platform: openvidu-meet, secret: env:MEET_SECRET }
tables: { rooms: { r1: { limit: 90m }, r2: { limit: ~ } } }
windows: { office: mon-fri 08:00-20:00 }
rules:
  - id: a
    `

// loadRule loads one rule, its keys one below the other.
func loadRule(t testing.TB, rule string) *Set {
	t.Helper()
	return mustLoad(t, wordsHead+strings.ReplaceAll(strings.TrimSpace(rule), "\n", "\n    ")+"\n")
}

// left is somebody who leaves; change makes it another event.
func left(change ...func(*engine.MatchInput)) engine.MatchInput {
	in := joined()
	in.Event.Type, in.Event.Name = engine.ParticipantLeft, "participant_left"
	in.Event.Session.Present = ptr(0)
	in.Event.Time = in.Now.Add(-3 * time.Second)
	for _, c := range change {
		c(&in)
	}
	return in
}

func noSession(in *engine.MatchInput) { in.SessionKey = "" }

func typed(eventType string) func(*engine.MatchInput) {
	return func(in *engine.MatchInput) { in.Event.Type = eventType }
}

// describeWords is what stands between a match and its run.
func describeWords(m engine.Match) string {
	if m.Err != "" {
		return "error: " + m.Err
	}
	all := []string{m.Branch}
	if m.Shadow {
		all = append(all, "shadow")
	}
	if c := m.Count; c != nil {
		all = append(all, fmt.Sprintf("count(%s %d in %s %q)", c.Key, c.AtLeast, c.Within, c.Value))
	}
	if h := m.Hold; h != nil {
		all = append(all, fmt.Sprintf("hold(%s %s)", h.Key, h.For))
	}
	if x := m.Expect; x != nil {
		all = append(all, fmt.Sprintf("expect(%s %s in %s late=%v session=%v)", x.Key, strings.Join(x.Types, "+"), x.Within, x.OnLate, x.InSession))
	}
	if m.Once != "" {
		all = append(all, "once("+m.Once+")")
	}
	if c := m.Cooldown; c != nil {
		all = append(all, fmt.Sprintf("cooldown(%s %s)", c.Key, c.For))
	}
	if d := m.Digest; d != nil {
		all = append(all, fmt.Sprintf("digest(%s %s)", d.Key, d.Due.Format("Mon 15:04:05")))
	}
	if m.First != nil {
		all = append(all, string(m.First.With))
	}
	if m.Failed != "" {
		all = append(all, "failed: "+m.Failed)
	}
	return strings.Join(all, " ")
}

// TestWords: what Match says of each word. 14:32:07 UTC is 15:32:07 in Madrid.
func TestWords(t *testing.T) {
	const then = "\nthen: [ log: x ]"
	for _, c := range []struct {
		name, rule string
		in         engine.MatchInput
		want       string
	}{
		{"count", "when: participant_left\ncount: { at_least: 3, within: 10m }" + then, left(),
			`then count(default|a|pnm/s1 3 in 10m0s "")`},
		{"count per and distinct", "when: participant_left\ncount: { at_least: 3, within: 1m, per: [room.id], distinct: participant.id }" + then, left(),
			`then count(default|a|pnm/r1 3 in 1m0s "pnm/u1")`},
		{"count for all", "when: participant_left\ncount: { at_least: 1, within: '${tables.rooms[room.id].limit}', per: [] }" + then, left(),
			`then count(default|a 1 in 1h30m0s "")`},
		{"count, unknown value", "when: participant_left\ncount: { at_least: 3, within: 1m, distinct: participant.email }" + then, left(),
			`error: count: distinct: participant.email is not known`},
		{"count, unknown key", "when: participant_left\ncount: { at_least: 3, within: 1m, per: [participant.email] }" + then, left(),
			`error: count: participant.email is not known`},
		{"count, unknown time", "when: participant_left\ncount: { at_least: 3, within: '${session.duration}' }" + then, left(),
			`error: count: within: ${session.duration}: is not known, and a duration is needed`},
		{"count, then the rest", "when: participant_left\ncount: { at_least: 3, within: 1m }\nonce: [room.id]\ncooldown: 5m" + then, left(),
			`then count(default|a|pnm/s1 3 in 1m0s "") once(default|a|pnm/r1) cooldown(default|a|pnm/s1 5m0s)`},
		{"else knows no words", "when: participant_left\nif: session.present > 3\ncount: { at_least: 3, within: 1m }\nonce: [session.end_reason]\nelse: [ log: y1 ]" + then, left(),
			`else {"message":"y1"}`},

		{"hold", "when: participant_left\nif: session.present == 0\nhold: 10m\nonce: [session.end_reason]\ncooldown: 1m\ndigest: { every: 5m }" + then, left(),
			`then hold(default|a|pnm/s1 10m0s)`},
		{"hold, no", "when: participant_left\nif: session.present == 1\nhold: 10m" + then, left(), ""},
		{"hold, filled in", "when: participant_left\nif: session.present == 0\nhold: ${tables.rooms[room.id]?.limit ?? 10m}" + then, left(),
			`then hold(default|a|pnm/s1 1h30m0s)`},
		{"hold, not later", "when: participant_left\nif: session.present == 0\nhold: ${session.started - now()}" + then, left(),
			`error: hold: ${session.started - now()}: is -1m, and must be longer than 0`},
		{"hold, zero", "when: participant_left\nif: session.present == 0\nhold: ${5m - 5m}" + then, left(),
			`error: hold: ${5m - 5m}: is 0s, and must be longer than 0`},
		{"hold, from data", "when: participant_left\nif: session.present == 0\nhold: ${participant.metadata.email}" + then, left(),
			`error: hold: ${participant.metadata.email}: "ana@example.com" is not a duration`},
		{"hold without session", "when: participant_left\nif: session.present == 0\nhold: 10m" + then, left(noSession),
			`error: hold: session.id is not known`},
		{"count, hold", "when: participant_left\nif: session.present == 0\ncount: { at_least: 2, within: 1m }\nhold: 10m" + then, left(),
			`then count(default|a|pnm/s1 2 in 1m0s "") hold(default|a|pnm/s1 10m0s)`},

		{"expect", "when: participant_left\nexpect: { event: participant_joined, within: 5m }\nonce: [session.end_reason]" + then, left(),
			`then expect(default|a|pnm/s1 participant_joined in 5m0s late=false session=true)`},
		{"expect per, on_late", "when: participant_left\nexpect: { event: [participant_joined, track_published], per: [participant.id], within: 5m }\non_late: [ log: late ]" + then, left(),
			`then expect(default|a|pnm/u1 participant_joined+track_published in 5m0s late=true session=false)`},
		{"expect, unknown time", "when: participant_left\nfrom: pnm\nexpect: { event: participant_joined, within: '${session.duration}' }" + then, left(),
			`error: expect: within: ${session.duration}: is not known, and a duration is needed`},

		{"parts stay apart", "when: participant_left\nonce: [participant.name, participant.metadata.email]" + then, left(func(in *engine.MatchInput) {
			in.Event.Participant.Name, in.Event.Participant.Metadata["email"] = `a|b`, `\`
		}), `then once(default|a|a\|b|\\) {"message":"x"}`},

		{"cooldown", "when: participant_left\ncooldown: { for: 15m, per: [room.id, participant.name] }" + then, left(),
			`then cooldown(default|a|pnm/r1|Ana 15m0s) {"message":"x"}`},
		{"cooldown, short", "when: participant_left\ncooldown: ${15m}" + then, left(),
			`then cooldown(default|a|pnm/s1 15m0s) {"message":"x"}`},
		{"cooldown, unknown", "when: participant_left\ncooldown: ${session.duration}" + then, left(),
			`error: cooldown: for: ${session.duration}: is not known, and a duration is needed`},

		{"digest", "when: participant_left\ndigest: { every: 5m }" + then, left(),
			`then digest(default|a|pnm/s1 Fri 14:37:07)`},
		{"digest at", "when: participant_left\nonce: [participant.id]\ndigest: { at: '0 18 * * *', per: [] }" + then, left(),
			`then once(default|a|pnm/u1) digest(default|a Fri 18:00:00)`},
		{"digest without session", "when: participant_left\ndigest: { every: 5m }" + then, left(noSession),
			`error: digest: session.id is not known`},

		{"shadow", "when: participant_left\nmode: shadow\nonce: [session.id]\ncooldown: 1m" + then, left(),
			`then shadow once(default|a~shadow|pnm/s1) cooldown(default|a~shadow|pnm/s1 1m0s) {"message":"x"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := loadRule(t, c.rule)
			got := ""
			for _, m := range s.Match(c.in) {
				got += describeWords(m)
				if m.Err == "" && m.Words != s.Words("a") {
					t.Errorf("words %q, the rule has %q", m.Words, s.Words("a"))
				}
			}
			if got != c.want && !(strings.HasPrefix(c.want, "error: ") && strings.HasPrefix(got, c.want)) {
				t.Error(cmp.Diff(c.want, got))
			}
		})
	}
}

// TestFire: what stands behind hold and expect, once their time has come, and
// the run of a digest.
func TestFire(t *testing.T) {
	for _, c := range []struct {
		name, kind, rule string
		in               engine.MatchInput
		want             string
	}{
		{"hold", engine.TimerHold, "when: participant_left\nif: session.present == 0\nhold: 10m\nthen: [ log: '${participant.name}' ]", left(),
			`then {"message":"Ana"}`},
		{"hold and the rest", engine.TimerHold, "when: participant_left\nif: session.present == 0\nhold: 10m\nonce: [room.id]\ncooldown: 1h\nthen: [ log: x ]", left(),
			`then once(default|a|pnm/r1) cooldown(default|a|pnm/s1 1h0m0s) {"message":"x"}`},
		{"expect", engine.TimerExpect, "when: participant_left\nexpect: { event: participant_joined, within: 5m }\nmode: shadow\ncooldown: 1h\nthen: [ log: x ]", left(),
			`then shadow cooldown(default|a~shadow|pnm/s1 1h0m0s) {"message":"x"}`},
		{"a key that got lost", engine.TimerExpect, "when: participant_left\nexpect: { event: participant_joined, within: 5m }\nonce: [participant.email]\nthen: [ log: x ]", left(),
			`error: once: participant.email is not known`},
		{"events are for the worker", engine.TimerHold, "when: participant_left\nif: session.present == 0\ncount: { at_least: 2, within: 1m }\nhold: 10m\nthen: [ log: '${len(events)}' ]", left(),
			`then`},
		{"hold, digest", engine.TimerHold, "when: participant_left\nif: session.present == 0\nhold: 10m\nonce: [room.id]\ndigest: { every: 1m }\nthen: [ log: x ]", left(),
			`then once(default|a|pnm/r1) digest(default|a|pnm/s1 Fri 14:33:07)`},
		{"digest", engine.TimerDigest, "when: participant_left\nonce: [participant.email]\ndigest: { every: 1m }\nthen: [ log: '${len(events)}' ]", left(),
			`then`},
		{"a step that cannot be rendered", engine.TimerHold, "when: participant_left\nif: session.present == 0\nhold: 10m\nthen: [ log: '${session.peak}' ]", left(),
			`then failed: rules.yaml:17: step 1 (log): message: ${session.peak}: is not known; write ${session.peak ?? …} to say what stands for it`},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := loadRule(t, c.rule)
			m := s.Fire(&engine.Timer{Rule: "a", Kind: c.kind, Key: "default|a|x"}, c.in)
			if got := describeWords(m); got != c.want {
				t.Error(cmp.Diff(c.want, got))
			}
			turn := "default|a|pnm/s1"
			switch {
			case c.kind == engine.TimerDigest:
				turn = "default|a|x"
			case m.Shadow:
				turn = "default|a~shadow|pnm/s1"
			case m.Err != "":
				turn = ""
			}
			if m.Turn != turn {
				t.Errorf("turn %q, expected %q", m.Turn, turn)
			}
		})
	}
	m := loadRule(t, "when: participant_left\nthen: [ log: x ]").Fire(&engine.Timer{Rule: "gone"}, left())
	if !strings.HasPrefix(m.Err, "rule gone is not in revision") {
		t.Errorf("%+v", m)
	}
}

// TestWordsNeverPanic: a timer whose event is not there, or nothing known.
func TestWordsNeverPanic(t *testing.T) {
	rules := []string{
		"when: participant_left\nif: session.present < 1\ncount: { at_least: 1, within: 1m, distinct: participant.id }\nhold: 10m\nonce: [room.id]\nthen: [ log: '${participant.name}' ]",
		"when: participant_left\ndigest: { every: 1m, per: [participant.id] }\nthen: [ log: '${events[0]?.participant?.name}' ]", hostLate,
	}
	for _, rule := range rules {
		s := loadRule(t, rule)
		for _, ev := range []*engine.Event{nil, {}, {Type: engine.ParticipantLeft}, {Type: engine.ParticipantJoined}, {Type: engine.Scheduled, Name: "a"}} {
			in := engine.MatchInput{Event: ev}
			for _, kind := range []string{engine.TimerHold, engine.TimerExpect, engine.TimerDigest, engine.TimerSchedule} {
				timer := &engine.Timer{Rule: "a", Kind: kind}
				if m := s.Fire(timer, in); m.Rule != "a" || m.Err == "" && m.Branch != engine.BranchThen {
					t.Errorf("%+v", m)
				}
				if m := s.OnLate(timer, in); m.Rule != "a" || m.Err == "" && m.Branch != engine.BranchOnLate {
					t.Errorf("%+v", m)
				}
				if yes, err := s.Meets(timer, in); yes && ev == nil {
					t.Errorf("%v, %v", yes, err)
				}
				if yes, err := s.Holds(timer, in); yes && ev == nil {
					t.Errorf("%v, %v", yes, err)
				}
			}
			s.Match(in)
			s.Awaited(in)
		}
	}
}

const hostLate = `when: [session_started, participant_left]
expect:
  event: participant_joined
  if: participant.role == "host" and trigger.room.id == room.id
  within: 5m
  stop_on: [session_ended]
then: [ log: x ]
on_late: [ log: "${participant.name} ${expect.late_by} ${trigger.event.type}" ]
`

func TestAwaited(t *testing.T) {
	const perParticipant = "when: participant_left\nexpect: { event: participant_joined, per: [participant.id, participant.name], within: 5m, stop_on: [session_ended, track_published] }\nthen: [ log: x ]"
	const perEmail = "when: participant_left\nexpect: { event: participant_joined, per: [participant.email], within: 5m }\nthen: [ log: x ]"
	for _, c := range []struct {
		name, rule string
		in         engine.MatchInput
		want       string
	}{
		{"awaited", hostLate, joined(), "default|a|pnm/s1"},
		{"stop", hostLate, left(typed(engine.SessionEnded)), "stop default|a|pnm/s1"},
		{"the trigger itself", hostLate, left(), ""},
		{"another source", "from: meet\nwhen: session_started\nexpect: { event: session_ended, within: 5m }\nthen: [ log: x ]", left(typed(engine.SessionEnded)), ""},
		{"disabled", "enabled: false\n" + hostLate, joined(), ""},
		{"shadow", "mode: shadow\n" + hostLate, joined(), "default|a~shadow|pnm/s1"},
		{"no session, so none of it", hostLate, left(noSession, typed(engine.ParticipantJoined)), ""},
		{"per", perParticipant, joined(), "default|a|pnm/u1|Ana"},
		{"stop with the key", perParticipant, left(typed(engine.TrackPublished)), "stop default|a|pnm/u1|Ana"},
		{"stop without it", perParticipant, left(typed(engine.SessionEnded)), "stop "},
		{"stop without session", perParticipant, left(noSession, typed(engine.SessionEnded)), ""},
		{"unknown key", perEmail, joined(), "error: expect: participant.email is not known"},
		{"one for all", "when: { schedule: '0 9 * * *' }\nexpect: { event: session_started, within: 5m, per: [], stop_on: session_ended }\nthen: [ log: x ]",
			left(noSession, typed(engine.SessionStarted)), "default|a"},
		{"stop for all", "when: { schedule: '0 9 * * *' }\nexpect: { event: session_started, within: 5m, per: [], stop_on: session_ended }\nthen: [ log: x ]",
			left(noSession, typed(engine.SessionEnded)), "stop default|a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := ""
			for _, a := range loadRule(t, c.rule).Awaited(c.in) {
				switch {
				case a.Err != "":
					got += "error: " + a.Err
				case a.Stop:
					got += "stop " + a.Key
				default:
					got += a.Key
				}
			}
			if got != c.want {
				t.Errorf("%q, expected %q", got, c.want)
			}
		})
	}
}

// TestAwaitedKey: both sides of an expectation make the same key.
func TestAwaitedKey(t *testing.T) {
	for _, per := range []string{"", "per: [room.id], ", "per: [], ", "per: [session.id, participant.id], "} {
		s := loadRule(t, "when: participant_left\nexpect: { event: participant_joined, "+per+"within: 5m }\nthen: [ log: x ]")
		set, met := s.Match(left()), s.Awaited(joined())
		if len(set) != 1 || len(met) != 1 || set[0].Expect.Key != met[0].Key || met[0].Key == "" {
			t.Errorf("%s: %+v, %+v", per, set, met)
		}
	}
}

func TestMeets(t *testing.T) {
	host := func(in *engine.MatchInput) { in.Event.Participant.Role = "host" }
	for _, c := range []struct {
		name   string
		change []func(*engine.MatchInput)
		want   string
	}{
		{"the host", []func(*engine.MatchInput){host}, "true"},
		{"somebody else", nil, "false"},
		{"another room", []func(*engine.MatchInput){host, func(in *engine.MatchInput) { in.Event.Room.ID = "r2" }}, "false"},
	} {
		in := left(append(c.change, typed(engine.ParticipantJoined))...)
		in.Trigger = left().Event
		yes, err := loadRule(t, hostLate).Meets(&engine.Timer{Rule: "a"}, in)
		if got := fmt.Sprint(yes); err != nil || got != c.want {
			t.Errorf("%s: %s, %v, expected %s", c.name, got, err, c.want)
		}
	}
	const broken = "when: participant_left\nexpect: { event: participant_joined, if: session.peak > 3, within: 5m }\nthen: [ log: x ]"
	in := left(typed(engine.ParticipantJoined))
	in.Trigger = left().Event
	if yes, err := loadRule(t, broken).Meets(&engine.Timer{Rule: "a"}, in); yes || err == nil || !strings.HasPrefix(err.Error(), "expect: if: session.peak > 3: ") {
		t.Errorf("%v, %v", yes, err)
	}
	for rule, want := range map[string]string{"gone": "rule gone is not in revision", "a": "rule a expects nothing any more"} {
		if yes, err := loadRule(t, "when: participant_left\nthen: [ log: x ]").Meets(&engine.Timer{Rule: rule}, in); yes || err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, %v", rule, yes, err)
		}
	}
}

func TestHolds(t *testing.T) {
	s := loadRule(t, "when: participant_left\nif: [session.present < 1, room.id == 'r1']\nhold: 5m\nthen: [ log: x ]")
	for _, c := range []struct {
		present *int
		room    string
		want    string
	}{{ptr(0), "r1", "true"}, {ptr(1), "r1", "false"}, {ptr(0), "r2", "false"}, {nil, "r1", "error"}} {
		in := left()
		in.Event.Session.Present, in.Event.Room.ID = c.present, c.room
		yes, err := s.Holds(&engine.Timer{Rule: "a"}, in)
		got := fmt.Sprint(yes)
		if err != nil {
			got = "error"
		}
		if got != c.want {
			t.Errorf("%v in %s: %s, %v", c.present, c.room, got, err)
		}
	}
	for rule, want := range map[string]string{"gone": "rule gone is not in revision", "a": "rule a has no hold any more"} {
		if yes, err := loadRule(t, "when: participant_left\nthen: [ log: x ]").Holds(&engine.Timer{Rule: rule}, left()); yes || err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, %v", rule, yes, err)
		}
	}
}

func TestOnLate(t *testing.T) {
	s := loadRule(t, hostLate)
	in := joined()
	in.Trigger, in.LateBy = left().Event, 90*time.Second
	m := s.OnLate(&engine.Timer{Rule: "a"}, in)
	if got, want := describeWords(m), `on_late {"message":"Ana 1m30s participant_left"}`; got != want || m.Turn != "default|a|pnm/s1" {
		t.Errorf("%s turn=%s, expected %s", got, m.Turn, want)
	}
	// on_late was removed while the timer ran: a run without steps
	s = loadRule(t, "when: participant_left\nexpect: { event: participant_joined, within: 5m }\nthen: [ log: x ]")
	if m := s.OnLate(&engine.Timer{Rule: "a"}, in); m.Err != "" || m.First != nil || m.Failed != "" {
		t.Errorf("%+v", m)
	}
	if _, ok, err := s.Step(&engine.Run{Rule: "a", Branch: engine.BranchOnLate}, in, in.Now); ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
}

// TestGathered: count and digest show their events to the steps.
func TestGathered(t *testing.T) {
	s := loadRule(t, "when: participant_left\ndigest: { every: 5m, per: [room.id] }\nthen: [ log: '${room.name}: ${join(map(events, .participant.name), \", \")} and ${events_dropped}' ]")
	in := left()
	in.Event.Room.Name = "sync"
	in.Events, in.Dropped = []*engine.Event{left().Event, left(func(in *engine.MatchInput) { in.Event.Participant.Name = "Bo" }).Event}, 7
	call, ok, err := s.Step(&engine.Run{Rule: "a", Branch: engine.BranchThen}, in, in.Now)
	if want := `{"message":"sync: Ana, Bo and 7"}`; err != nil || !ok || string(call.With) != want {
		t.Errorf("%s, %v, %v; expected %s", call.With, ok, err, want)
	}
}

func TestLate(t *testing.T) {
	const hold = "when: session_started\nif: session.present == 0\nhold: 5m\nthen: [ log: x ]\n"
	for late, want := range map[string]engine.Late{
		"": {}, "late: skip": {Skip: true}, "late: { within: 10m }": {Within: 10 * time.Minute},
	} {
		if got := loadRule(t, hold+late).Late("a"); got != want {
			t.Errorf("%q: %+v", late, got)
		}
	}
	if got := loadRule(t, hold).Late("gone"); got != (engine.Late{}) {
		t.Errorf("%+v", got)
	}
}

// TestUndecided: a step that needs what a shadow did not send says so.
func TestUndecided(t *testing.T) {
	s := loadRule(t, `when: session_started
mode: shadow
then:
  - { id: crm, log: x }
  - { if: steps.crm.status == 200, log: x }
  - log: "a ${steps.crm.body.x}"
  - log: { message: x, fields: { y1: "${steps.crm.body}" } }
  - wait: ${steps.crm.body.x}
  - log: ${steps.crm.state}
`)
	run := &engine.Run{Rule: "a", Branch: engine.BranchThen, Shadow: true, Steps: []engine.StepRecord{{ID: "crm", State: engine.StepShadow}}}
	for at, want := range map[int]bool{1: true, 2: true, 3: true, 4: true, 5: false} {
		run.At = at
		call, ok, err := s.Step(run, left(), left().Now)
		if errors.Is(err, engine.ErrUndecided) != want || !ok || call.Action == "" {
			t.Errorf("step %d: %+v, %v, %v", at+1, call, ok, err)
		}
	}
}

// TestRuleInfo: the words as people are told of them.
func TestRuleInfo(t *testing.T) {
	for rule, want := range map[string]string{
		"when: session_ended\nonce: [session.id, room.id]":                                             "once per session.id, room.id",
		"when: session_ended\nonce: []":                                                                "once for all",
		"when: session_started\nif: session.present == 0\nhold: 90m\nlate: skip\nmode: shadow":         "hold 1h30m; late skip; shadow",
		"when: session_started\nif: session.present == 0\nhold: ${5m * 2}\nlate: { within: 1d }":       "hold ${5m * 2}; late within 1d",
		"when: session_ended\ncount: { at_least: 3, within: 10m, per: [room.id] }\ncooldown: 15m":      "count 3 within 10m per room.id; cooldown 15m",
		"when: session_ended\ncooldown: { for: 15m, per: [] }\ndigest: { every: 5m }":                  "cooldown 15m for all; digest every 5m",
		"when: session_started\nexpect: { event: [session_ended, participant_left], within: 5m }":      "expect session_ended, participant_left within 5m",
		"when: { schedule: '0 8 * * mon' }\ndigest: { at: '0 18 * * *', per: [] }\norder: parallel":    "digest at 0 18 * * * for all; schedule 0 8 * * mon",
		"when: session_started\ncooldown: { for: 15m, per: [session.id] }\nthen: [ log: x, wait: 5m ]": "cooldown 15m",
	} {
		if !strings.Contains(rule, "then:") {
			rule += "\nthen: [ log: x ]"
		}
		info := loadRule(t, rule).Rules()[0]
		got := info.Words
		if info.Shadow {
			got = append(got, "shadow")
		}
		if info.Schedule != "" {
			got = append(got, "schedule "+info.Schedule)
		}
		if text := strings.Join(got, "; "); text != want {
			t.Errorf("%q, expected %q", text, want)
		}
		if text, err := json.Marshal(info); err != nil || strings.Contains(string(text), `"when":null`) {
			t.Errorf("%s, %v", text, err)
		}
	}
}
