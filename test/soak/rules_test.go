package soak

import (
	"fmt"

	"github.com/gavelhq/gavel/test/load"
)

// dayRules are the rules of a day, the n-th text of them: all do the same.
func dayRules(n int) string {
	tell := func(what, id string) string {
		return fmt.Sprintf(`http: { post: "https://target.example/%s", json: { rules: r%d, id: "%s" } }
        retry: { attempts: 100, first: 1s, max: 2m }`, what, n, id)
	}
	return `version: 1
timezone: UTC
` + load.Source + `
rules:
  - id: call
    when: [session_started, participant_joined, session_ended]
    then:
      - id: tell
        ` + tell("call", "${raw.id}") + `
      - log: told of ${raw.id}, ${steps.tell.status}
  - id: note
    when: participant_left
    then: [ log: "${participant.id} has left ${session.id}" ]
  - id: bill
    when: session_ended
    then:
      - billing: { customer: "${room.id}", meter: minutes, quantity: "${ceil_minutes(session.duration)}" }
      - ` + tell("bill", "${raw.id}") + `
  - id: late
    when: session_started
    expect: { event: participant_joined, if: participant.name == "Host", within: 5m, stop_on: [session_ended] }
    then:
      - ` + tell("late", "${raw.id}") + `
    on_late:
      - log: ${participant.name} came ${expect.late_by} late
  - id: still
    when: session_started
    if: session.status == "active"
    hold: 2h
    then:
      - ` + tell("still", "${raw.id}") + `
  - id: look
    when: session_started
    then:
      - wait: 30m
      - ` + tell("look", "${raw.id}") + `
  - id: joins
    when: participant_joined
    digest: { every: 10m, per: [] }
    then: [ log: "${len(events)} have joined" ]
  - id: crowd
    when: participant_joined
    count: { at_least: 3, within: 10m }
    then: [ log: "${len(events)} came to ${session.id}" ]
  - id: first
    when: participant_joined
    once: [participant.id]
    then:
      - ` + tell("first", "${participant.id}") + `
  - id: close
    when: session_ended
    then: [ emit: { name: closed, data: { id: "${raw.id}" } } ]
  - id: closed
    when: gavel:closed
    then:
      - ` + tell("closed", "${raw.id}") + `
  - id: hourly
    when: { schedule: "0 * * * *" }
    then: [ log: "it is ${clock(event.time)}" ]
  - id: never
    when: session_started
    if: room.id == "nowhere"
    then: [ log: never ]
`
}
