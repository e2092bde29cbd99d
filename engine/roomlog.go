package engine

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"
)

// moment is the time an event is about, where it is another than that of the
// event: a stay or a recording belongs where it began.
func moment(ev *Event) time.Time {
	at := cmp.Or(ev.Time, ev.Received)
	switch ev.Type {
	case SessionStarted:
		return cmp.Or(ev.Session.Started, at)
	case SessionEnded:
		return cmp.Or(ev.Session.Ended, at)
	case ParticipantJoined, ParticipantLeft:
		return earliest(ev.Participant.Joined, at)
	case RecordingStarted, RecordingUpdated, RecordingStopped, RecordingEnded, RecordingFailed:
		return earliest(ev.Recording.Started, at)
	}
	return at
}

// startOf is the start of a meeting that ev states, or zero.
func startOf(ev *Event) time.Time {
	if ev.Type == SessionStarted {
		return moment(ev)
	}
	return ev.Session.Started
}

// endOf is the end of a meeting that ev states, or zero.
func endOf(ev *Event) time.Time {
	if ev.Type != SessionEnded || isDerived(ev) {
		return time.Time{}
	}
	return moment(ev)
}

// opens reports whether ev begins a meeting when none is under way.
func opens(ev *Event) bool {
	return begins(ev.Type) || !ev.Recording.Started.IsZero() || (ev.Type == ParticipantLeft && !ev.Participant.Joined.IsZero())
}

// begin is where a meeting of a room begins, as far as is known.
func (s *SessionState) begin() time.Time { return cmp.Or(s.start(), s.First) }

// has reports whether anything is known of the session.
func (s *SessionState) has() bool { return !s.First.IsZero() }

// recordingBegin is the moment of the first event of a recording.
func (s *SessionState) recordingBegin(id string) (begin time.Time, known, opened bool) {
	for i := range s.Log {
		if ev := &s.Log[i]; ev.Recording.ID == id {
			begin, known, opened = earliest(begin, moment(ev)), true, opened || opens(ev)
		}
	}
	return begin, known, opened
}

// logged is what the log of a room keeps of an event.
func logged(ev *Event) Event {
	out := Event{
		Type: ev.Type, Time: cmp.Or(ev.Time, ev.Received), Received: ev.Received, ByRoom: true,
		Room: ev.Room, Session: ev.Session, Participant: ev.Participant, Recording: ev.Recording,
	}
	if isDerived(ev) {
		out.Derived = []string{DerivedEvent}
	}
	return out
}

// keep logs what ev says of a meeting that may have to be taken apart.
func (s *SessionState) keep(ev *Event) {
	if log := s.log(ev); s.ByRoom && log != nil && !s.knows(ev) {
		*log = append(*log, logged(ev))
	}
}

// log is where ev is kept: what is folded into a participant with them, so
// that the rest stays small. nil: it is not.
func (s *SessionState) log(ev *Event) *[]Event {
	switch ev.Type {
	case ParticipantJoined, ParticipantLeft, ParticipantRole, TrackPublished, TrackUnpublished:
		if ev.Participant.ID == "" {
			break
		}
		if p := s.People[ev.Participant.ID]; p != nil {
			return &p.Log
		}
		return nil
	}
	return &s.Log
}

// knows reports whether the session was told the same before.
func (s *SessionState) knows(ev *Event) bool {
	log := s.log(ev)
	if log == nil {
		return false
	}
	e := logged(ev)
	return slices.ContainsFunc(*log, func(old Event) bool { return sameWords(old, e) })
}

// sameWords reports whether two events of a log say the same.
func sameWords(a, b Event) bool {
	if a.Type != b.Type || !a.Time.Equal(b.Time) || a.Recording.ID != b.Recording.ID || a.Participant.ConnectionID != b.Participant.ConnectionID {
		return false
	}
	a.Received = b.Received
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}

// told is the whole log.
func (s *SessionState) told() []Event {
	all := slices.Clone(s.Log)
	for _, p := range s.People {
		all = append(all, p.Log...)
	}
	return all
}
