package witness

import (
	"fmt"
	"time"
)

// billed is what a meeting costs, by arithmetic of our own: begun minutes, and
// 0.004 USD each in whole cents, a half rounded up.
func (m *meeting) billed(end time.Time) (minutes, cents int64) {
	seconds := int64(end.Sub(m.began) / time.Second)
	minutes = (seconds + 59) / 60
	return minutes, (minutes*4 + 5) / 10
}

// dollars is an amount as a step shows it.
func dollars(cents int64) string { return fmt.Sprintf("%d.%02d", cents/100, cents%100) }

// rulesOf are the rules that make a run of what is said, and the actions of
// their steps.
func rulesOf(kind string) map[string][]string {
	switch kind {
	case "session_started":
		return map[string][]string{"call": {"http", "log"}}
	case "participant_joined":
		return map[string][]string{"call": {"http", "log"}}
	case "participant_left":
		return map[string][]string{"note": {"log"}}
	case "session_ended":
		return map[string][]string{"call": {"http", "log"}, "bill": {"billing", "http"}}
	}
	return nil
}

// stepsOfLate are those of the rule whose runs a timer makes.
func stepsOfLate() []string { return []string{"http"} }

// kindOf is the type of an event in Gavel's words.
func kindOf(name string) string {
	if name == started {
		return "session_started"
	}
	return name // the others are the same
}

// stayed are the people who are still there after these events, where they are
// the end of the meeting: they leave with it.
func stayed(events []*event) map[string]bool {
	people := map[string]bool{}
	for _, e := range events {
		switch e.name {
		case joined:
			people[e.person] = true
		case left:
			delete(people, e.person)
		case ended:
			return people
		}
	}
	return nil
}
