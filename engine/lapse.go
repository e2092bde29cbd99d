package engine

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

const (
	// mediaEndGrace is how long session_ended may come after
	// session_media_ended. Plug-N-Meet sends both, in either order and within
	// a second or two; its older servers send the latter alone.
	mediaEndGrace = 10 * time.Second
	// departureGrace is how long participant_left may come after the end: a
	// platform that throws everyone out reports the end first.
	departureGrace = 10 * time.Second
	// maxDepartures bounds the transaction that announces them, and in a crowd
	// perDeparture, the people each of them is evaluated with.
	maxDepartures = 200
	perDeparture  = 200_000
)

// Look is when something follows by itself unless events say otherwise before:
// the end of a session that fell silent for timeout (0: never), the promotion of
// session_media_ended, participant_left for those who were present at the end.
// Zero: nothing will. An earlier look does no harm.
func (s *SessionState) Look(timeout time.Duration) time.Time {
	return earliest(s.promotion(), earliest(s.silence(timeout), s.departure()))
}

// Lapse returns what follows by itself at now: derived events, to be accepted
// into this session in this order. There may be more afterwards: see Look.
func (s *SessionState) Lapse(timeout time.Duration, now time.Time) []Event {
	due := func(t time.Time) bool { return !t.IsZero() && !t.After(now) }
	switch {
	case due(s.promotion()):
		return []Event{s.derived(SessionEnded, s.MediaEnd, now)}
	case due(s.silence(timeout)):
		e := s.derived(SessionEnded, cmp.Or(s.Life, s.Last), now)
		e.Session.Estimated = true
		return []Event{e}
	case due(s.departure()):
		return s.leave(now)
	}
	return nil
}

// derived is an event of our own, received now, that says what happened at.
func (s *SessionState) derived(typ string, at, now time.Time) Event {
	return Event{
		Type: typ, Source: s.Source, Platform: s.Platform, Tenant: s.Tenant, Time: at, Received: now,
		Derived: []string{DerivedEvent}, ByRoom: s.ByRoom, Room: Room{ID: s.Room.ID}, Session: Session{ID: s.ID},
	}
}

// promotion is when the end of the media becomes the end of the session.
func (s *SessionState) promotion() time.Time {
	if s.MediaEnd.IsZero() || s.Over || !s.Promoted.IsZero() {
		return time.Time{}
	}
	return s.MediaSeen.Add(mediaEndGrace)
}

// silence is when the session will have been silent for timeout. It is
// measured by receipt: what a platform sends late is a sign that it sends.
func (s *SessionState) silence(timeout time.Duration) time.Time {
	if timeout <= 0 || s.Status() != Active {
		return time.Time{}
	}
	return cmp.Or(s.Received, s.Last).Add(timeout)
}

// departure is when those who are still there are said to have left.
func (s *SessionState) departure() time.Time {
	if s.EndSeen.IsZero() {
		return time.Time{}
	}
	if !s.counted {
		s.departures, s.counted = 0, true
		for _, p := range s.People {
			s.departures += len(s.leaving(p))
		}
	}
	if s.departures == 0 {
		return time.Time{}
	}
	return s.EndSeen.Add(departureGrace)
}

// leave announces departures: some, if they are many.
func (s *SessionState) leave(now time.Time) []Event {
	var out []Event
	end := s.ended().At
	limit := max(1, min(maxDepartures, perDeparture/max(1, len(s.People))))
	for _, id := range slices.Sorted(maps.Keys(s.People)) {
		for _, c := range s.leaving(s.People[id]) {
			if len(out) == limit {
				return out
			}
			e := s.derived(ParticipantLeft, end, now)
			e.Participant = Participant{ID: id, ConnectionID: c, Left: end}
			out = append(out, e)
		}
	}
	return out
}

// leaving are the connections of p that were open at the end of the session
// and whose departure was not announced.
func (s *SessionState) leaving(p *Person) (ids []string) {
	end := s.ended().At
	for id, c := range p.Conns {
		v := c.visits()
		if end.IsZero() || len(v) == 0 || s.announced(c) {
			continue
		}
		if last := v[len(v)-1]; last.open() && !last.from.After(end) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// announced reports whether participant_left was derived for c: at the end as
// it is, or at another one, but not at one that was estimated and wrong.
func (s *SessionState) announced(c *conn) bool {
	return !c.Gone.IsZero() && (c.Gone.After(s.Revived) || c.Gone.Equal(s.ended().At))
}

// foldDerived adds what we ourselves have derived. It moves no mark that a
// platform has set: what it says later holds.
func (s *SessionState) foldDerived(ev *Event) (repeat bool, touched []*Person) {
	switch ev.Type {
	case SessionEnded:
		if ev.Session.Estimated {
			repeat = s.Over || !s.Promoted.IsZero() || !ev.Time.After(s.Estimate)
			s.reckon(ev.Received, func() {
				s.Estimate = latest(s.Estimate, ev.Time)
				s.revive()
			})
			break
		}
		repeat = s.Over || !s.Promoted.IsZero()
		s.reckon(ev.Received, func() { s.Promoted = earliest(s.Promoted, ev.Time) })
	case ParticipantLeft:
		p := s.People[ev.Participant.ID]
		if p == nil || p.Conns[ev.Participant.ConnectionID] == nil {
			return true, nil
		}
		c := p.Conns[ev.Participant.ConnectionID]
		before := len(s.leaving(p))
		c.Gone = ev.Time
		after := len(s.leaving(p))
		s.departures += after - before
		return after == before, []*Person{p}
	}
	return repeat, nil
}
