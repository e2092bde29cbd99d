package rules

import (
	"encoding/json"
	"fmt"
	"strings"
)

// editorSnippet is what an editor offers to fill in.
type editorSnippet struct {
	Label       string          `json:"label"`
	Description string          `json:"description"`
	Body        json.RawMessage `json:"body"`
}

// usualRule is a rule that many people begin with. The words of stops are what
// they will change first.
type usualRule struct {
	label, description, rule string
	stops                    []string
}

func usualRules() []usualRule {
	return []usualRule{
		{"long meeting", "tell a channel that a meeting was long", `
id: long-session
when: session_ended
if: session.duration > 60m
then:
  - slack:
      channel: ops
      text: ${room.name ?? room.id} ran ${session.duration}
`, []string{"long-session", "60m", "ops"}},
		{"VIP", "tell a channel once per meeting that somebody of a list has joined", `
id: vip-joined
when: participant_joined
if: participant.email in lists.vips or participant.id in lists.vips
once: [session.id, participant.id]
then:
  - slack:
      channel: sales
      text: ${participant.name ?? participant.id} joined ${room.name ?? room.id}
`, []string{"vip-joined", "sales"}},
		{"host late", "tell a channel that no host has come in time", `
id: host-late
when: session_started
expect:
  event: participant_joined
  if: participant.role == "host"
  within: 5m
  stop_on: [session_ended]
then:
  - slack:
      channel: ops
      text: no host in ${room.name ?? room.id}, ${session.present} waiting
`, []string{"host-late", "5m", "ops"}},
		{"billing", "write the minutes of every meeting to the ledger", `
id: meeting-minutes
when: session_ended
then:
  - billing:
      customer: ${room.metadata.customer ?? "unassigned"}
      meter: meeting_minutes
      quantity: ${ceil_minutes(session.duration)}
      price: 0.004 EUR
`, []string{"meeting-minutes", "unassigned", "0.004 EUR"}},
		{"recording ready", "tell a channel where the recording is", `
id: recording-ready
when: recording_ended
then:
  - slack:
      channel: ops
      text: recording of ${room.name ?? room.id} is ready, ${recording.url ?? "see the platform"}
`, []string{"recording-ready", "ops"}},
	}
}

// snippets are the usual rules that the actions at hand can do.
func (m *schemaMaker) snippets() []editorSnippet {
	var all []editorSnippet
	for _, u := range usualRules() {
		all = append(all, editorSnippet{u.label, u.description, m.json(u.body())})
	}
	return all
}

// body is the rule with the stops of an editor in it. To the editor a $ begins
// one, so those of ${…} are escaped.
func (u usualRule) body() string {
	text := strings.NewReplacer(`\`, `\\`, `$`, `\$`).Replace(u.rule)
	for i, stop := range u.stops {
		text = strings.Replace(text, stop, fmt.Sprintf("${%d:%s}", i+1, stop), 1)
	}
	return text
}
