package engine

import (
	"cmp"
	"time"
)

// Refresh reads room, session, participant and recording of ev again, as they
// are at now.
func Refresh(ev *Event, s *SessionState, now time.Time) {
	derived := ev.Derived
	ev.Participant = Participant{ID: ev.Participant.ID, ConnectionID: ev.Participant.ConnectionID, Name: ev.Participant.Name}
	if ev.Recording.ID != "" && s.Recordings[ev.Recording.ID] != nil {
		ev.Recording = s.Recordings[ev.Recording.ID].facts()
	}
	ev.Room = s.Room
	s.fill(ev, now)
	ev.Derived = derived
}

// fill gives ev the facts of its session that it does not carry itself.
func (s *SessionState) fill(ev *Event, now time.Time) {
	sent := ev.Session
	ev.Session = s.View(now)
	v := &ev.Session
	derive(ev, "session.id", (sent.ID == "" || ev.ByRoom) && v.ID != "")
	derive(ev, "session.started", sent.Started.IsZero() && !v.Started.IsZero())
	derive(ev, "session.ended", sent.Ended.IsZero() && !v.Ended.IsZero())
	derive(ev, "session.duration", sent.Duration == nil && v.Duration != nil)
	derive(ev, "session.present", v.Present != nil)
	derive(ev, "session.peak", v.Peak != nil)

	derive(ev, "room.id", ev.Room.ID == "" && s.Room.ID != "")
	derive(ev, "room.name", ev.Room.Name == "" && s.Room.Name != "")
	derive(ev, "room.metadata", ev.Room.Metadata == nil && s.Room.Metadata != nil)
	ev.Room.ID, ev.Room.Name = cmp.Or(ev.Room.ID, s.Room.ID), cmp.Or(ev.Room.Name, s.Room.Name)
	if ev.Room.Metadata == nil {
		ev.Room.Metadata = s.Room.Metadata
	}
	if p := s.People[ev.Participant.ID]; p != nil {
		s.fillParticipant(ev, p, now)
	}
	if r := s.Recordings[ev.Recording.ID]; r != nil && ev.Recording.ID != "" {
		x, m := &ev.Recording, r.facts()
		derive(ev, "recording.url", x.URL == "" && m.URL != "")
		derive(ev, "recording.started", x.Started.IsZero() && !m.Started.IsZero())
		derive(ev, "recording.ended", x.Ended.IsZero() && !m.Ended.IsZero())
		derive(ev, "recording.duration", x.Duration == nil && m.Duration != nil)
		x.Name, x.URL = cmp.Or(x.Name, m.Name), cmp.Or(x.URL, m.URL)
		x.Started, x.Ended = cmp.Or(x.Started, m.Started), cmp.Or(x.Ended, m.Ended)
		x.Size, x.Duration = cmp.Or(x.Size, m.Size), cmp.Or(positive(x.Duration), m.Duration)
	}
}

// fillParticipant completes the participant of ev: joined, left and duration
// are those of this connection, total is over all of them.
func (s *SessionState) fillParticipant(ev *Event, p *Person, now time.Time) {
	x, end := &ev.Participant, s.ended().At
	known := p.view(end, now)
	derive(ev, "participant.name", x.Name == "" && known.Name != "")
	derive(ev, "participant.email", x.Email == "" && known.Email != "")
	derive(ev, "participant.role", x.Role == "" && known.Role != "")
	derive(ev, "participant.metadata", x.Metadata == nil && known.Metadata != nil)
	x.Name, x.Email = cmp.Or(x.Name, known.Name), cmp.Or(x.Email, known.Email)
	x.Role, x.Kind = cmp.Or(x.Role, known.Role), cmp.Or(x.Kind, known.Kind)
	if x.Metadata == nil {
		x.Metadata = known.Metadata
	}
	x.Total, x.Present, x.Duration = known.Total, known.Present, positive(x.Duration)
	c := p.Conns[x.ConnectionID]
	if c == nil {
		return
	}
	visits := c.visits()
	if len(visits) == 0 {
		return
	}
	at := visits[len(visits)-1]
	for _, v := range visits { // the stay this event is about
		if (!x.Joined.IsZero() && v.from.Equal(x.Joined)) || (!x.Left.IsZero() && v.to.Equal(x.Left)) {
			at = v
		}
	}
	derive(ev, "participant.joined", x.Joined.IsZero() && !at.from.IsZero())
	derive(ev, "participant.left", x.Left.IsZero() && !at.to.IsZero())
	x.Joined, x.Left = cmp.Or(x.Joined, at.from), cmp.Or(x.Left, at.to)
	if x.Duration == nil && !x.Joined.IsZero() {
		until := cmp.Or(x.Left, end, latest(now, x.Joined))
		if d := until.Sub(x.Joined); d >= 0 {
			x.Duration = &d
			derived(ev, "participant.duration")
		}
	}
}

func derive(ev *Event, name string, is bool) {
	if is {
		derived(ev, name)
	}
}

func derived(ev *Event, name string) { ev.Derived = append(ev.Derived, name) }
