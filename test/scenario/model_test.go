package scenario

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// expected is what the rules of day.yaml are to say, worked out from what really
// happened, rule by rule, with nothing of the engine.
func (d *day) expected() map[string][]string {
	e := map[string][]string{}
	say := func(rule, format string, args ...any) { e[rule] = append(e[rule], fmt.Sprintf(format, args...)) }
	for _, r := range d.rooms {
		for _, m := range r.meetings {
			minutes := ceilMinutes(m.end.Sub(m.start))
			say("minutes", "%s %d", r.id, minutes)
			if m.end.Sub(m.start) > 90*time.Minute {
				say("long", "%s %d", r.id, minutes)
			}
			if m.endKnown.After(m.start.Add(2*time.Hour - 3*time.Second)) {
				say("still-running", "%s", r.id)
			}
			if m.id == "" {
				continue
			}
			m.hostLate(say)
			m.emptyRoom(say)
			m.recordingMissing(say)
			if r.source == "pnm" {
				say("look", "%s %d", m.id, m.present(m.startKnown.Add(5*time.Minute-3*time.Second)))
				say("pay", "%s/%s %d", m.id, m.people[0].id, ceilMinutes(m.people[0].total(m.end)))
			}
			for _, p := range m.people {
				if p.vip {
					say("vip", "%s %s", m.id, p.id)
				}
				m.badLine(p, say)
			}
		}
		r.crowded(say)
	}
	d.joins(say)
	d.evening(say)
	d.hourly(say)
	e["empty-room-tried"] = slices.Clone(e["empty-room"])
	return e
}

type sayer func(rule, format string, args ...any)

// hostLate: expect participant_joined of a host within 4m57s.
func (m *meeting) hostLate(say sayer) {
	due := m.start.Add(5*time.Minute - 3*time.Second)
	var came time.Time
	for _, p := range m.people {
		if p.host {
			came = p.stays[0].from
		}
	}
	if !came.IsZero() && !came.After(due) {
		return
	}
	say("host-late", "%s late", m.id)
	if came.After(due) {
		say("host-late", "%s came %s", m.id, span(came.Sub(due)))
	}
}

// emptyRoom: nobody there for 9m57s while it goes on.
func (m *meeting) emptyRoom(say sayer) {
	var left []time.Time
	for _, p := range m.people {
		for _, s := range p.stays {
			if !s.to.IsZero() {
				left = append(left, s.to)
			}
		}
	}
	slices.SortFunc(left, time.Time.Compare)
	var busy time.Time // until then one waits already
	for _, at := range left {
		if m.present(at) > 0 || at.Before(busy) {
			continue
		}
		busy = at.Add(10*time.Minute - 3*time.Second)
		back := m.endKnown
		for _, p := range m.people {
			for _, s := range p.stays {
				if !p.bot && s.from.After(at) && s.from.Before(back) {
					back = s.from
				}
			}
		}
		if back.After(busy) {
			say("empty-room", "%s", m.id)
		} else {
			busy = back
		}
	}
}

// recordingMissing: not there 29m57s after the end.
func (m *meeting) recordingMissing(say sayer) {
	due := m.end.Add(30*time.Minute - 3*time.Second)
	if !m.record || (!m.ready.IsZero() && m.ready.Before(due)) {
		return
	}
	say("recording-missing", "%s missing", m.id)
	if !m.ready.IsZero() {
		say("recording-missing", "%s after %s", m.id, span(m.ready.Sub(due)))
	}
}

// badLine: three times gone within 9m57s, also by the end of the meeting.
func (m *meeting) badLine(p *person, say sayer) {
	var gone []time.Time
	for _, s := range p.stays {
		gone = append(gone, cmp.Or(s.to, m.end))
	}
	slices.SortFunc(gone, time.Time.Compare)
	var recent []time.Time
	for _, at := range gone {
		recent = slices.DeleteFunc(recent, func(t time.Time) bool { return at.Sub(t) > 10*time.Minute-3*time.Second })
		if recent = append(recent, at); len(recent) == 3 {
			say("bad-line", "%s %s 3", m.id, p.id)
			recent = nil
		}
	}
}

// crowded: four or more, at most once in 14m57s per room.
func (r *room) crowded(say sayer) {
	var last time.Time
	for _, m := range r.meetings {
		for _, at := range m.joins() {
			if n := m.present(at); n >= 4 && (last.IsZero() || at.Sub(last) >= 15*time.Minute-3*time.Second) {
				last = at
				say("crowded", "%s %d", m.id, n)
			}
		}
	}
}

// joins: a digest of 4m57s from the first.
func (d *day) joins(say sayer) {
	var all []time.Time
	for _, r := range d.rooms {
		for _, m := range r.meetings {
			all = append(all, m.joins()...)
		}
	}
	slices.SortFunc(all, time.Time.Compare)
	for len(all) > 0 {
		due, n := all[0].Add(5*time.Minute-3*time.Second), 0
		for n < len(all) && all[n].Before(due) {
			n++
		}
		say("joins", "%d", n)
		all = all[n:]
	}
}

// evening: what ended before 18:00, and what ended later, a day after. A digest
// holds 1,000.
func (d *day) evening(say sayer) {
	early, late := 0, 0
	for _, r := range d.rooms {
		for _, m := range r.meetings {
			if m.endKnown.Before(dayStart.Add(18 * time.Hour)) {
				early++
			} else {
				late++
			}
		}
	}
	for _, n := range []int{early, late} {
		say("evening", "%d and %d", min(n, 1000), max(0, n-1000))
	}
}

// hourly: how many meetings are known to run, at most 1,000.
func (d *day) hourly(say sayer) {
	for at := dayStart.Add(time.Hour); at.Before(d.end()); at = at.Add(time.Hour) {
		n := 0
		for _, r := range d.rooms {
			for _, m := range r.meetings {
				if !at.Before(m.firstKnown) && at.Before(m.endKnown) {
					n++
				}
			}
		}
		say("hourly", "%s %d", at.Format("15:04"), min(n, 1000))
	}
}

// joins are all arrivals, bots' too, in order.
func (m *meeting) joins() []time.Time {
	var all []time.Time
	for _, p := range m.people {
		for _, s := range p.stays {
			all = append(all, s.from)
		}
	}
	slices.SortFunc(all, time.Time.Compare)
	return all
}

// present is how many people are there just after at.
func (m *meeting) present(at time.Time) int {
	n := 0
	for _, p := range m.people {
		if !p.bot && slices.ContainsFunc(p.stays, func(s stay) bool { return !s.from.After(at) && (s.to.IsZero() || s.to.After(at)) }) {
			n++
		}
	}
	return n
}

// total is a person's time, each second once.
func (p *person) total(end time.Time) time.Duration {
	stays := slices.SortedFunc(slices.Values(p.stays), func(a, b stay) int { return a.from.Compare(b.from) })
	var sum time.Duration
	var counted time.Time // up to here
	for _, s := range stays {
		from, to := s.from, cmp.Or(s.to, end)
		if from.Before(counted) {
			from = counted
		}
		if to.After(from) {
			sum += to.Sub(from)
			counted = to
		}
	}
	return sum
}

func ceilMinutes(d time.Duration) int64 {
	return int64((d + time.Minute - 1) / time.Minute)
}

// span is a duration as messages print it: 1h12m, without what is zero.
func span(d time.Duration) string {
	text := d.String()
	if s, ok := strings.CutSuffix(text, "m0s"); ok {
		text = s + "m"
	}
	if s, ok := strings.CutSuffix(text, "h0m"); ok {
		text = s + "h"
	}
	return text
}
