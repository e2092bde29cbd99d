package ledger

import (
	"fmt"
	"time"

	"github.com/gavelhq/gavel/test/load"
)

// rulesText are the rules after n changes of name. What is billed is the same
// under each name. Facts that come together from several deliveries are billed
// after a wait, when all of them have arrived.
func rulesText(n int, wait time.Duration) []byte {
	return fmt.Appendf(nil, load.Source+`
version: 1
timezone: UTC
prices:
  participant_minutes:
    EUR:
      - { up_to: 5000, price: "0" }
      - { up_to: 50000, price: "0.0031" }
      - { price: "0.0017" }
rules:
  - id: minutes-%[1]d
    when: session_ended
    then:
      - billing:
          customer: ${room.metadata.customer}
          meter: meeting_minutes
          quantity: ${ceil_minutes(session.duration)}
          price: "0.0041 USD"
  - id: people-%[1]d
    when: session_ended
    then:
      - wait: %[2]s
      - billing:
          customer: ${room.metadata.customer}
          meter: participant_minutes
          quantity: ${ceil_minutes(session.attended)}
  - id: recordings-%[1]d
    when: recording_ended
    then:
      - wait: %[2]s
      - billing:
          key: ${recording.id}
          customer: ${room.metadata.customer}
          meter: recording_minutes
          quantity: ${ceil_minutes(recording.duration)}
          price: "1.25 JPY"
          rounding: up
  - id: tokens-%[1]d
    when: artifact_created
    if: artifact.tokens != nil
    then:
      - billing:
          key: ${artifact.id}
          customer: ${room.metadata.customer}
          meter: ai_tokens
          quantity: ${artifact.tokens}
          per: 1000
          price: "0.0123 KWD"
          rounding: half_even
`, n, wait)
}
