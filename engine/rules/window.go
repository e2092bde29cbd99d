package rules

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// window is a set of weekly times: "mon-fri 08:00-20:00; sat,sun". A span
// over midnight (22:00-06:00) belongs to the day it begins on.
type window struct{ spans []span }

// span is a time of day on some weekdays, in minutes since midnight. to may
// exceed a day: it then ends on the next one.
type span struct {
	days     [7]bool
	from, to int
}

const dayMinutes = 24 * 60

// parseWindow reads one or several "DAYS TIMES" with ";" between them. Either
// half may be left out: every day, the whole day.
func parseWindow(s string) (window, error) {
	var w window
	for part := range strings.SplitSeq(s, ";") {
		fields := strings.Fields(part)
		if len(fields) == 0 {
			continue
		}
		days, err := parseDays("mon-sun")
		if c := fields[0][0]; c < '0' || c > '9' {
			days, err = parseDays(fields[0])
			fields = fields[1:]
		}
		if err != nil {
			return window{}, err
		}
		if len(fields) > 1 {
			return window{}, fmt.Errorf("%q is not a window: write days, then times, with ; between several: mon-fri 08:00-20:00; sat 10:00-14:00", cut(strings.TrimSpace(part)))
		}
		if len(fields) == 0 {
			w.spans = append(w.spans, span{days, 0, dayMinutes})
			continue
		}
		for times := range strings.SplitSeq(fields[0], ",") {
			from, to, err := parseTimes(times)
			if err != nil {
				return window{}, err
			}
			w.spans = append(w.spans, span{days, from, to})
		}
	}
	if len(w.spans) == 0 {
		return window{}, fmt.Errorf("the window is empty: write days and times, such as mon-fri 08:00-20:00")
	}
	return w, nil
}

// parseDays reads "mon-fri", "sat,sun", "fri-mon".
func parseDays(s string) ([7]bool, error) {
	var days [7]bool
	for part := range strings.SplitSeq(s, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		from, to := dayIndex(first), dayIndex(last)
		if from < 0 || to < 0 {
			return days, fmt.Errorf("%q is no weekday: write mon, tue, wed, thu, fri, sat, sun or a range such as mon-fri", cut(part))
		}
		for d := from; ; d = (d + 1) % 7 {
			days[d] = true
			if d == to {
				break
			}
		}
	}
	return days, nil
}

// weekdays are the days as windows and weekday() name them, by [time.Weekday].
func weekdays() []string { return []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"} }

func dayIndex(s string) int { return slices.Index(weekdays(), strings.ToLower(s)) }

// parseTimes reads "08:00-20:00". The end may be 24:00, or earlier than the
// beginning: the next day.
func parseTimes(s string) (from, to int, err error) {
	first, last, ok := strings.Cut(s, "-")
	if from, to = parseClock(first), parseClock(last); !ok || from < 0 || to < 0 || from == dayMinutes {
		return 0, 0, fmt.Errorf("%q is no time of day: write from-to as HH:MM-HH:MM, such as 08:00-20:00", cut(s))
	}
	if from == to {
		return 0, 0, fmt.Errorf("%q is empty: for the whole day leave the times out", cut(s))
	}
	if to < from {
		to += dayMinutes
	}
	return from, to, nil
}

// parseClock is the minute of the day, -1 if s is none.
func parseClock(s string) int {
	h, m, _ := strings.Cut(s, ":")
	if len(h) < 1 || len(h) > 2 || len(m) != 2 {
		return -1
	}
	hour, err := strconv.ParseUint(h, 10, 8)
	minute, err2 := strconv.ParseUint(m, 10, 8)
	if err != nil || err2 != nil || minute > 59 || hour*60+minute > dayMinutes {
		return -1
	}
	return int(hour*60 + minute)
}

// contains reports whether t lies in w, by the clock of t's location.
func (w window) contains(t time.Time) bool {
	day, minute := int(t.Weekday()), t.Hour()*60+t.Minute()
	for _, s := range w.spans {
		if s.days[day] && s.from <= minute && minute < s.to {
			return true
		}
		if s.days[(day+6)%7] && minute+dayMinutes < s.to {
			return true
		}
	}
	return false
}

// next is the earliest moment from t on that lies in w; zero if there is none
// within three weeks. It walks the minutes: a few thousand steps at most, and
// right where clocks change, times are skipped or come twice.
func (w window) next(t time.Time) time.Time {
	if w.contains(t) {
		return t
	}
	minute := t.Truncate(time.Minute)
	for range 21 * dayMinutes {
		minute = minute.Add(time.Minute)
		if w.contains(minute) {
			return minute
		}
	}
	return time.Time{}
}
