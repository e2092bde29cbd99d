package rules

import (
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
	"gopkg.in/yaml.v3"
)

// defaultTenant is the tenant of sources that name none, and of schedules.
const defaultTenant = "default"

// isSchedule reports whether when: was meant as { schedule: … }.
func isSchedule(n node) bool {
	if n.Kind != yaml.MappingNode {
		return false
	}
	for _, e := range n.entries() {
		if closest(e.name(), []string{"schedule"}) != "" || meant(e.name(), "keys of when") != "" {
			return true
		}
	}
	return false
}

// readSchedule reads when: { schedule: … }.
func (l *loader) readSchedule(r *rule, n node) (scope, bool) {
	e, given := n.fields("keys of when", keyNames(scheduleKeys()))["schedule"]
	if !given {
		return scope{}, false
	}
	c, ok := l.readCron(e)
	if !ok {
		return scope{schedule: true}, false
	}
	r.schedule, r.Schedule, r.When = &c, e.Value, []string{}
	return scope{events: []string{engine.Scheduled}, schedule: true}, true
}

// isCron reports whether text is a time in the form of cron.
func isCron(text string) bool {
	_, err := parseCron(text)
	return err == nil
}

// readCron reads a time that comes again and again, in the form of cron.
func (l *loader) readCron(n node) (cron, bool) {
	text, ok := n.text()
	if !ok {
		return cron{}, false
	}
	c, err := parseCron(text)
	if err != nil {
		what, hint, found := strings.Cut(err.Error(), ": write ")
		if found {
			hint = "write " + hint
		}
		n.add(issue{Code: "bad-schedule", What: what, Hint: hint})
		return cron{}, false
	}
	return c, true
}

// Schedules lists the enabled rules that fire by the clock.
func (s *Set) Schedules() []engine.Schedule {
	var all []engine.Schedule
	for _, r := range s.rules {
		if r.schedule == nil || !r.Enabled {
			continue
		}
		next := func(t time.Time) time.Time { return r.schedule.next(t, s.loc) }
		all = append(all, engine.Schedule{Rule: r.ID, Words: r.fingerprint, Tenant: defaultTenant, Next: next})
	}
	return all
}
