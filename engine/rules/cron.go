package rules

import (
	"errors"
	"fmt"
	"strings"
	"time"

	gocron "github.com/netresearch/go-cron"
)

// cron is a schedule of five fields: minute, hour, day of month, month and
// weekday. Immutable, safe for concurrent use.
type cron struct {
	spec *gocron.SpecSchedule
	// everyHour: the hour is not restricted, so it is about the time that
	// passes, not about times of day.
	everyHour bool
}

const (
	// cronYears is how far the next time may be away: 29 February can take
	// eight years.
	cronYears = 8
	// cronChanges is how many stretches between changes of clocks that are, at most.
	cronChanges = 5 * cronYears
	// cronStar marks a field that does not restrict, in the library's fields.
	cronStar = 1 << 63
)

// cronField is what people are told of a field.
type cronField struct{ name, values string }

func cronFields() [5]cronField {
	return [...]cronField{
		{"minute", "0 to 59, such as 0, */15, 0,30 or 10-20"},
		{"hour", "0 to 23, such as 8, */2, 8,12 or 8-18"},
		{"day of the month", "1 to 31, such as 1, 1,15 or 1-7"},
		{"month", "1 to 12 or jan to dec, such as 3 or jan-mar"},
		{"weekday", "sun to sat or 0 to 6, such as mon-fri or sat,sun"},
	}
}

// parseCron reads a schedule: five fields with numbers, names of months and
// weekdays, lists, ranges and steps; or @hourly, @daily, @weekly, @monthly,
// @yearly. Its error says what to write instead.
func parseCron(text string) (cron, error) {
	const all = gocron.Minute | gocron.Hour | gocron.Dom | gocron.Month | gocron.Dow
	// DowOrDom: where both days are restricted, either will do.
	parser := gocron.MustNewParser(all | gocron.DowOrDom | gocron.Descriptor).WithMaxSearchYears(cronYears)
	text = strings.TrimSpace(text)
	fields := strings.Fields(text)
	switch {
	case text == "":
		return cron{}, errors.New(`the schedule is empty: write minute, hour, day of the month, month and weekday, such as "0 8 * * mon-fri"`)
	case strings.HasPrefix(text, "@every"):
		return cron{}, fmt.Errorf(`%q is no schedule: write "*/15 * * * *" for every 15 minutes, "0 */2 * * *" for every two hours`, cut(text))
	case strings.HasPrefix(text, "@"):
		if _, err := parser.Parse(text); err != nil {
			return cron{}, fmt.Errorf(`%q is no schedule: write @hourly, @daily, @weekly, @monthly, @yearly or five fields, such as "0 8 * * mon-fri"`, cut(text))
		}
	case strings.Contains(text, "="):
		return cron{}, fmt.Errorf("%q holds a time zone: leave it out, timezone: of the rules holds", cut(text))
	case len(fields) == 6:
		return cron{}, fmt.Errorf(`%q has six fields: write five, without seconds, such as "0 8 * * mon-fri"`, cut(text))
	case len(fields) != 5:
		return cron{}, fmt.Errorf(`%q has %d of five fields: write minute, hour, day of the month, month and weekday, such as "0 8 * * mon-fri"`, cut(text), len(fields))
	}
	if len(fields) == 5 {
		// One field at a time, to know which is wrong.
		for i, f := range cronFields() {
			alone := [...]string{"*", "*", "*", "*", "*"}
			alone[i] = fields[i]
			_, err := parser.Parse(strings.Join(alone[:], " "))
			if err != nil || strings.Contains(","+fields[i]+",", ",,") { // the library takes 1,,2
				return cron{}, fmt.Errorf("the %s cannot be %q: write %s", f.name, cut(fields[i]), f.values)
			}
		}
	}
	parsed, err := parser.Parse(text)
	spec, ok := parsed.(*gocron.SpecSchedule)
	if err != nil || !ok {
		return cron{}, fmt.Errorf(`%q is no schedule: write five fields, such as "0 8 * * mon-fri"`, cut(text))
	}
	if len(fields) == 5 {
		// As in Vixie cron, a field that begins with * does not restrict, even
		// with a step: "0 0 */2 * mon" is every Monday on an odd day. To the
		// library */2 is a list of days.
		if strings.HasPrefix(fields[2], "*") {
			spec.Dom |= cronStar
		}
		if strings.HasPrefix(fields[4], "*") {
			spec.Dow |= cronStar
		}
	}
	if spec.Next(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return cron{}, fmt.Errorf("%q never comes: no such month has such a day", cut(text))
	}
	const hours = 1<<24 - 1
	return cron{spec: spec, everyHour: spec.Hour&hours == hours}, nil
}

// next is the first time after t by the clocks of loc (nil is UTC), zero if
// there is none within eight years.
//
// A time of day comes once on every day it is meant for. Where clocks go
// forward and leave it out, it comes at the moment they do: 02:30 at 03:00.
// Where they go back and show it twice, it comes the first time. A schedule
// for every hour comes in every hour that passes, also in both of the same
// name, and in none that is left out.
//
// The library sees only clocks that do not change: on its own it runs 02:30 at
// 03:30 on the one day, and twice on the other.
func (c cron) next(t time.Time, loc *time.Location) time.Time {
	if loc == nil {
		loc = time.UTC
	}
	at, after := t.In(loc), t // a moment of the stretch between two changes, and what lies before it
	for range cronChanges {
		start, end := at.ZoneBounds()
		if !end.IsZero() && !end.After(at) {
			// From 2038 on, stretches end at the latest with the 365th day of a year.
			end = at.AddDate(0, 0, 1)
		}
		name, offset := at.Zone()
		if again := start.Add(shift(start)); !start.IsZero() && !c.everyHour && after.Before(again) {
			after = again.Add(-time.Second) // until then clocks show what they showed before
		}
		next := c.spec.Next(after.In(time.FixedZone(name, offset)))
		switch {
		case next.IsZero() || end.IsZero() || next.Before(end):
			return next.In(loc)
		case !c.everyHour && next.Before(end.Add(-shift(end))):
			return end.In(loc) // clocks leave it out
		}
		at, after = end.In(loc), end.Add(-time.Second)
	}
	return time.Time{}
}

// shift is how far clocks went back at the change; negative: forward.
func shift(change time.Time) time.Duration {
	_, before := change.Add(-1).Zone()
	_, now := change.Zone()
	return time.Duration(before-now) * time.Second
}
