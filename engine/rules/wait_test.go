package rules

import (
	"strings"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// TestWait: the engine is told until when. It is Friday, 14:32:07 UTC, and in
// Madrid an hour later; the step begins at 20:00 there.
func TestWait(t *testing.T) {
	for _, c := range []struct{ wait, want string }{
		{"5m", "2026-11-20T19:05:00Z"},
		{"{ for: 1h30m }", "2026-11-20T20:30:00Z"},
		{"${tables.rooms[room.id].limit}", "2026-11-20T20:30:00Z"},
		{"{ until: office }", "2026-11-23T07:00:00Z"},
		{"{ until: '${session.started + 90m}' }", "2026-11-20T16:01:07Z"},
		{"{ until: '${raw.at}' }", "error: until: ${raw.at}: is not known, and a time is needed"},
		{"{ until: '${participant.metadata.email}' }", "error: until: ${participant.metadata.email}: is a text, and a time is needed"},
		{"${session.duration}", "error: for: ${session.duration}: is not known, and a duration is needed"},
		{"${session.started - session.started}", "error: for: ${session.started - session.started}: is 0s, and must be longer than 0"},
	} {
		t.Run(c.wait, func(t *testing.T) {
			s := loadRule(t, "when: participant_left\nthen:\n  - log: x\n  - wait: "+c.wait)
			begins := time.Date(2026, 11, 20, 19, 0, 0, 0, time.UTC)
			call, ok, err := s.Step(&engine.Run{Rule: "a", Branch: engine.BranchThen, At: 1}, left(), begins)
			got := strings.TrimSuffix(strings.TrimPrefix(string(call.With), `{"until":"`), `"}`)
			if err != nil {
				_, text, _ := strings.Cut(err.Error(), "(wait): ")
				got = "error: " + text
			}
			if !ok || call.Action != "wait" || got != c.want {
				t.Errorf("%s %s, %v; expected %s", call.Action, got, ok, c.want)
			}
		})
	}
}

// TestWaitFirst: a first step is rendered with the match, and counts from then.
func TestWaitFirst(t *testing.T) {
	m := loadRule(t, "when: participant_left\nthen: [ wait: 5m ]").Match(left())
	if len(m) != 1 || m[0].First == nil || string(m[0].First.With) != `{"until":"2026-11-20T14:37:07Z"}` {
		t.Errorf("%+v", m)
	}
}
