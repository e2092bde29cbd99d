package rules

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/google/go-cmp/cmp"
)

// clock8 is the event of a schedule at eight on a Monday in Madrid.
func clock8(rule string) engine.MatchInput {
	at := time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)
	return engine.MatchInput{Now: at, Event: &engine.Event{
		ID: "e8", Type: engine.Scheduled, Name: rule, Platform: engine.PlatformGavel, Source: engine.PlatformGavel, Tenant: "default", Time: at,
	}}
}

const schedules = wordsHead + `when: { schedule: "0 8 * * mon" }
    if: len(sessions) > 0
    cooldown: { for: 1h, per: [] }
    then: [ log: "${len(sessions)} in ${sessions[0]?.room?.name}" ]
  - { id: b, when: { schedule: "0 8 * * mon" }, then: [ log: b ] }
  - { id: switched-off, enabled: false, when: { schedule: "0 8 * * mon" }, then: [ log: x ] }
  - { id: c, when: "gavel:b", then: [ log: c ] }
  - { id: d, when: { schedule: "0 9 * * *" }, from: pnm, expect: { event: session_started, within: 5m, per: [] }, then: [ log: d ] }
  - { id: e, when: session_ended, then: [ emit: b, emit: go ] }
  - { id: f, when: ["gavel:go", session_ended], from: pnm, then: [ log: "${event.name} ${raw.n} ${room?.id}" ] }
`

func TestScheduled(t *testing.T) {
	s := mustLoad(t, schedules)
	busy := clock8("a")
	busy.Sessions = []engine.OpenSession{{Room: engine.Room{Name: "sync"}}}
	emitted := func(name, source string) engine.MatchInput {
		in := left()
		in.Event.Type, in.Event.Platform, in.Event.Name, in.Event.Source = engine.Emitted, engine.PlatformGavel, name, source
		in.Event.Raw = json.RawMessage(`{"n":7}`)
		return in
	}
	of := func(platform string) engine.MatchInput {
		in := emitted("go", "pnm")
		in.Event.Platform = platform
		return in
	}
	for _, c := range []struct {
		name string
		in   engine.MatchInput
		want string
	}{
		{"the rule alone", clock8("b"), `b then {"message":"b"}`},
		{"with a condition", busy, `a then cooldown(default|a 1h0m0s) {"message":"1 in sync"}`},
		{"no", clock8("a"), ""},
		{"not enabled", clock8("switched-off"), ""},
		{"not there", clock8("gone"), ""},
		{"not by the clock", clock8("c"), ""},
		{"from is about what is expected", clock8("d"), "d then expect(default|d session_started in 5m0s late=false session=false)"},
		{"emitted", emitted("go", "pnm"), `f then {"message":"go 7 r1"}`},
		{"emitted, other name", emitted("b", "pnm"), `c then {"message":"c"}`},
		{"emitted, other source", emitted("go", "meet"), ""},
		{"a platform's own event of that name", of("plugnmeet"), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := ""
			for _, m := range s.Match(c.in) {
				got += m.Rule + " " + describeWords(m)
			}
			if got != c.want {
				t.Error(cmp.Diff(c.want, got))
			}
		})
	}
}

func TestSchedules(t *testing.T) {
	s := mustLoad(t, schedules)
	now := time.Date(2026, 11, 20, 14, 32, 7, 0, time.UTC)
	var got []string
	for _, x := range s.Schedules() {
		if x.Words != s.Words(x.Rule) {
			t.Errorf("%s: words %q, expected %q", x.Rule, x.Words, s.Words(x.Rule))
		}
		got = append(got, fmt.Sprintf("%s %s %s", x.Rule, x.Tenant, x.Next(now).UTC().Format("Mon 15:04")))
	}
	want := []string{"a default Mon 07:00", "b default Mon 07:00", "d default Sat 08:00"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestNeedsOf: what is looked at for an event is what its rules need, and
// those that expect it or hold on through it.
func TestNeedsOf(t *testing.T) {
	s := mustLoad(t, wordsHead+`when: session_started
    from: pnm
    expect: { event: participant_joined, if: len(session.participants) > 3, within: 5m }
    then: [ log: x ]
  - { id: b, when: { schedule: "0 8 * * *" }, then: [ log: "${len(sessions)}" ] }
  - { id: c, when: session_started, from: meet, if: "session.host == nil", hold: 5m, then: [ log: x ] }
  - { id: d, when: session_started, if: "session.status != ''", hold: 5m, then: [ log: x ] }
`)
	for rule, want := range map[string]engine.Needs{"a": {Participants: true}, "b": {Sessions: true}, "c": {Participants: true}, "d": {}, "gone": {}} {
		if got := s.NeedsOf(rule); got != want {
			t.Errorf("%s: %+v", rule, got)
		}
	}
	for _, c := range []struct {
		name string
		in   engine.MatchInput
		want engine.Needs
	}{
		{"expected", joined(), engine.Needs{Participants: true}},
		{"nothing of it", left(), engine.Needs{}},
		{"held", ended(), engine.Needs{Participants: true}},
		{"scheduled", clock8("b"), engine.Needs{Sessions: true}},
	} {
		if got := s.Needs(c.in.Event); got != c.want {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}
