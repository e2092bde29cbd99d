package engine

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Place finds the session of an event without a session id among the newest
// sessions of its room; on a platform that has none (ev.ByRoom) it makes one
// called key where none fits. changed are the sessions, s and new ones among
// them, whose facts the event moved by what it says of where a meeting begins
// and ends: they are altered in place, and are to be written with all their
// people, and only those. A new s that is not in changed has no people yet.
// s is nil if the event belongs to no session.
//
// # Where a room has no session ids
//
// The meetings of a room are what its events say together, whatever the order
// in which they came. In the order of what they are about (see moment):
//
//   - A start begins a meeting, which lasts until the first end, or, if there
//     is none before, until the next start.
//   - An end that says when its meeting began belongs to that one. Any other
//     ends the meeting that is under way. If there is none, it is a meeting of
//     its own, whose start is not known (yet).
//   - When an end and a start happen at one moment, the end is that of the
//     meeting before, if one is under way. If not, it is that of the new one.
//   - What a meeting begins with (see begins) and that comes when none is under
//     way begins one whose start is not known. So does whatever comes first of all.
//   - Everything else belongs to the meeting under way, or to the one that
//     ended last: a recording that is ready, people who leave.
//   - What is said of one recording belongs together, where it begins.
//
// A meeting whose facts are torn apart keeps its key with the earliest of
// them, so with its start; the rest gets a key of its own, that of the event
// with a number. Facts move between the sessions that are given only: the
// store gives the newest of a room, which events that come late are about. A
// session all of whose facts went to others stays without any.
//
// So the states of these sessions keep a log: facts that are merged for good
// could not be taken apart.
func Place(ev *Event, room []*SessionState, key string) (s *SessionState, changed []*SessionState) {
	if !ev.ByRoom {
		return findSession(ev, room), nil
	}
	meetings := make([]*SessionState, 0, len(room))
	for _, s := range room {
		if s.ByRoom && s.has() {
			meetings = append(meetings, s)
		}
	}
	slices.SortFunc(meetings, func(a, b *SessionState) int {
		return cmp.Or(a.begin().Compare(b.begin()), cmp.Compare(a.Key, b.Key))
	})
	if s, moves := findMeeting(ev, meetings); !moves || !Folds(ev) {
		if s == nil && Folds(ev) {
			s = NewSessionState(key, ev)
		}
		return s, nil
	}
	return rearrange(ev, meetings, key)
}

// findMeeting finds the meeting of an event that says nothing of where
// meetings begin and end. moves: it does. meetings are sorted.
func findMeeting(ev *Event, meetings []*SessionState) (s *SessionState, moves bool) {
	if Folds(ev) && (!startOf(ev).IsZero() || !endOf(ev).IsZero()) {
		return nil, len(meetings) > 0
	}
	if ev.Recording.ID != "" {
		for _, s := range meetings {
			if begin, known, opened := s.recordingBegin(ev.Recording.ID); known {
				return s, moment(ev).Before(begin) || opens(ev) && !opened
			}
		}
	}
	for i := len(meetings) - 1; i >= 0; i-- {
		s := meetings[i]
		if s.begin().After(moment(ev)) {
			continue
		}
		over := s.Over && s.End.At.Before(moment(ev))
		return s, over && opens(ev)
	}
	if len(meetings) > 0 && meetings[0].start().IsZero() {
		return meetings[0], false
	}
	return nil, len(meetings) > 0
}

// happening is what the log says of one moment in a room, and belongs together.
type happening struct {
	at    time.Time
	kind  happens
	start time.Time // of an end: the start of its meeting, if it says so
	notes []placed
	taken bool
}

// happens is what a happening does to the meetings of a room, in the order in
// which several at one moment count.
type happens int

const (
	meetingStarts happens = iota
	opensOne
	meetingEnds
	changesNothing
)

// placed is an event and the session whose log it is in; nil: it is new.
type placed struct {
	Event
	in *SessionState
}

// happenings sorts events by what they are about.
func happenings(all []placed) []*happening {
	var out []*happening
	recordings := map[string]*happening{}
	for _, x := range all {
		h := &happening{at: moment(&x.Event), kind: changesNothing, notes: []placed{x}}
		start, end := startOf(&x.Event), endOf(&x.Event)
		switch {
		case !start.IsZero():
			h.at, h.kind = start, meetingStarts
			if !end.IsZero() {
				out = append(out, &happening{at: latest(start, end), kind: meetingEnds, start: start})
			}
		case !end.IsZero():
			h.kind = meetingEnds
		case opens(&x.Event):
			h.kind = opensOne
		}
		if id := x.Recording.ID; id != "" && h.kind != meetingStarts && h.kind != meetingEnds {
			if r := recordings[id]; r != nil {
				r.at, r.kind = earliest(r.at, h.at), min(r.kind, h.kind)
				r.notes = append(r.notes, x)
				continue
			}
			recordings[id] = h
		}
		out = append(out, h)
	}
	slices.SortStableFunc(out, func(a, b *happening) int {
		return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.kind, b.kind))
	})
	return out
}

// meeting is one that the log of a room tells of.
type meeting struct {
	start, end time.Time // zero: not known
	notes      []placed
	session    *SessionState
}

func (m *meeting) over() bool { return m == nil || !m.end.IsZero() }

// meetingsOf reads the log of a room.
func meetingsOf(all []placed) []*meeting {
	var out []*meeting
	var now *meeting // the last one that began
	begin := func(start time.Time) {
		now = &meeting{start: start}
		out = append(out, now)
	}
	log := happenings(all)
	for i, h := range log {
		switch {
		case h.taken:
			continue
		case h.kind == meetingStarts:
			if now != nil && now.start.Equal(h.at) {
				break
			}
			if !now.over() { // does it end as the next one starts?
				for _, e := range log[i:] {
					if e.at.Equal(h.at) && e.kind == meetingEnds && e.start.IsZero() {
						e.taken, now.end = true, e.at
						now.notes = append(now.notes, e.notes...)
					}
				}
			}
			begin(h.at)
		case h.kind == opensOne:
			if now.over() {
				begin(time.Time{})
			}
		case h.kind == meetingEnds && !h.start.IsZero():
			for _, m := range out {
				if m.start.Equal(h.start) {
					m.end = earliest(m.end, h.at)
				}
			}
		case h.kind == meetingEnds:
			if now.over() && (now == nil || !now.end.Equal(h.at)) {
				begin(time.Time{})
			}
			now.end = h.at
		case now == nil:
			begin(time.Time{})
		}
		now.notes = append(now.notes, h.notes...)
	}
	return out
}

// rearrange puts ev, and what was said before, into the meetings that they
// say together there were.
func rearrange(ev *Event, sessions []*SessionState, key string) (s *SessionState, changed []*SessionState) {
	all := []placed{{Event: logged(ev)}}
	had := map[*SessionState]int{}
	for _, s := range sessions {
		for _, e := range s.told() {
			all = append(all, placed{e, s})
			had[s]++
		}
	}
	meetings := meetingsOf(all)
	claim(meetings, sessions)
	made := 0
	rebuilt := map[*SessionState]*SessionState{}
	rebuild := func(s *SessionState, notes []placed) {
		rebuilt[s] = s.rebuild(notes)
		changed = append(changed, s)
	}
	for _, m := range meetings {
		if m.session == nil {
			k := key
			if made++; made > 1 {
				k = fmt.Sprintf("%s/%d", key, made)
			}
			m.session = NewSessionState(k, ev)
		}
		old := slices.DeleteFunc(slices.Clone(m.notes), func(x placed) bool { return x.in == nil })
		if len(old) < len(m.notes) {
			s = m.session // ev itself is folded later
		}
		others := slices.ContainsFunc(old, func(x placed) bool { return x.in != m.session })
		if others || len(old) != had[m.session] {
			rebuild(m.session, old)
		}
		delete(had, m.session)
	}
	for _, s := range sessions {
		if had[s] > 0 { // all went to others
			rebuild(s, nil)
		}
	}
	for s, now := range rebuilt { // last: until here the old states were read
		*s = *now
	}
	return s, changed
}

// claim gives each session the meeting that keeps its key.
func claim(meetings []*meeting, sessions []*SessionState) {
	for _, s := range sessions {
		for _, m := range meetings {
			if !m.start.IsZero() && m.start.Equal(s.start()) {
				m.session = s
			}
		}
	}
	for _, s := range sessions {
		for _, m := range meetings {
			if s.start().IsZero() && m.session == nil && slices.ContainsFunc(m.notes, func(x placed) bool { return x.in == s }) {
				m.session = s
				break
			}
		}
	}
}

// rebuild is the session with these facts only.
func (s *SessionState) rebuild(notes []placed) *SessionState {
	out := &SessionState{
		Key: s.Key, Source: s.Source, Tenant: s.Tenant, Platform: s.Platform, Room: Room{ID: s.Room.ID},
		ByRoom: true, NoPeople: s.NoPeople, Last: s.Last, Received: s.Received, People: map[string]*Person{},
	}
	slices.SortStableFunc(notes, func(a, b placed) int { return a.Time.Compare(b.Time) })
	for _, x := range notes {
		out.Last, out.Received = latest(out.Last, x.in.Last), latest(out.Received, x.in.Received)
		out.Fold(&x.Event)
	}
	return out
}
