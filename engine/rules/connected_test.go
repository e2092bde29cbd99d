package rules

import (
	"fmt"
	"strings"
	"testing"
)

// TestConnections lists every connection with the steps that use it, and the
// steps that use none.
func TestConnections(t *testing.T) {
	s := mustLoad(t, `
connections:
  slack:
    team: { token: env:SLACK_TOKEN, channel: ops }
    spare: { token: env:SLACK_TOKEN }
rules:
  - id: a
    when: session_ended
    then:
      - slack: { via: team, channel: general, text: "over: ${room.name}" }
      - slack: { via: team, channel: "${room.id}", text: over }
      - http: { get: "https://example.com/" }
    on_failure:
      - slack: { via: team, text: failed }
  - id: b
    when: participant_left
    enabled: false
    then: [{ slack: { via: spare, channel: quiet, text: x } }]
`)
	var got []string
	for _, c := range s.Connections() {
		line := fmt.Sprintf("%s %q conn=%t:", c.Kind, c.Name, c.Conn != nil)
		for _, in := range c.Steps {
			line += fmt.Sprintf(" %v dynamic=%v conn=%t when=%v;", in.With, in.Dynamic, in.Conn == c.Conn, in.When)
		}
		got = append(got, line)
	}
	want := []string{
		`http "" conn=false: map[get:https://example.com/] dynamic=map[] conn=true when=[session_ended];`,
		`slack "spare" conn=true:`,
		`slack "team" conn=true: map[channel:ops text:failed] dynamic=map[] conn=true when=[session_ended];` +
			` map[channel:general] dynamic=map[text:true] conn=true when=[session_ended];` +
			` map[text:over] dynamic=map[channel:true] conn=true when=[session_ended];`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
