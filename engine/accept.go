package engine

import (
	"cmp"
	"fmt"
	"time"
)

// Planned is an event folded and matched, ready to be stored. Stores call
// [Plan] inside their transaction and write what it holds.
type Planned struct {
	Input   MatchInput
	Touched []*Person // to be written besides the session
	Matches []Match   // those without Err
	Outcome Outcome   // repeat, errors, problem; the store adds runs and suppressed
}

// SessionKeyOf is the internal key of the session ev names, "" if it names
// none (then [FindSession] may know).
func SessionKeyOf(ev *Event) string {
	if ev.Session.ID == "" || ev.ByRoom {
		return ""
	}
	return ev.Source + "/" + ev.Session.ID
}

// Folds reports whether ev can open a session: a summary that arrives alone
// does not.
func Folds(ev *Event) bool {
	switch ev.Type {
	case ArtifactCreated, SignalSent, ChatMessage, InfrastructureEvent, WebhookTest, Other:
		return false
	}
	return true
}

// FindSession picks the session of an event without a session id among the
// newest sessions of its room. nil: none fits; the store makes a new one if
// ev.ByRoom.
func FindSession(ev *Event, room []*SessionState) *SessionState {
	if id := ev.Recording.ID; id != "" {
		for _, s := range room {
			if s.Recordings[id] != nil {
				return s
			}
		}
	}
	if ev.ByRoom {
		switch ev.Type {
		case SessionStarted:
			return findForStart(cmp.Or(ev.Session.Started, ev.Time), room)
		case SessionEnded:
			return findForEnd(cmp.Or(ev.Session.Ended, ev.Time), room)
		}
	}
	// the newest that had begun, and had not ended; else the newest that had begun
	var during, after, unknown *SessionState
	for _, s := range room {
		start := s.start()
		switch {
		case start.IsZero():
			if !s.Over || !s.End.At.Before(ev.Time) {
				unknown = s
			}
		case start.After(ev.Time):
		case !s.Over || !s.End.At.Before(ev.Time):
			during = newer(during, s)
		default:
			after = newer(after, s)
		}
	}
	return cmp.Or(during, unknown, after)
}

// findForStart: the session with this very start, else the one that ended, or
// showed signs of life, next after it and whose start nobody has said.
func findForStart(at time.Time, room []*SessionState) *SessionState {
	var best *SessionState
	for _, s := range room {
		if s.start().Equal(at) {
			return s
		}
		if !s.start().IsZero() || s.Last.Before(at) || (s.Over && s.End.At.Before(at)) {
			continue
		}
		if best == nil || s.First.Before(best.First) {
			best = s
		}
	}
	for _, s := range room { // one that began in between is nearer
		if best != nil && s.start().After(at) && !s.start().After(best.First) {
			return nil
		}
	}
	return best
}

// findForEnd: the session with this very end, else the newest that began
// before and has not ended.
func findForEnd(at time.Time, room []*SessionState) *SessionState {
	var open, unknown *SessionState
	for _, s := range room {
		switch {
		case s.Over && s.End.At.Equal(at):
			return s
		case s.Over:
		case s.start().IsZero():
			if !s.First.After(at) {
				unknown = s
			}
		case !s.start().After(at):
			open = newer(open, s)
		}
	}
	return cmp.Or(open, unknown)
}

func newer(a, b *SessionState) *SessionState {
	if a == nil || b.start().After(a.start()) {
		return b
	}
	return a
}

// Plan folds ev into s (nil: no session), fills the facts ev lacks and asks p
// what to do. It never fails: what goes wrong is in Outcome.Problem, and the
// event is stored with it.
func Plan(p Planner, ev *Event, s *SessionState, src Source, now time.Time) (out Planned) {
	defer func() {
		if r := recover(); r != nil {
			out.Matches = nil
			out.Outcome.Problem = fmt.Sprintf("internal error while planning: %v", r)
		}
	}()
	if ev.Time.IsZero() {
		ev.Time = ev.Received
		derived(ev, "event.time")
	}
	if ev.Participant.ID == "" && ev.Participant.ConnectionID != "" {
		ev.Participant.ID = ev.Participant.ConnectionID
		derived(ev, "participant.id")
	}
	out.Input = MatchInput{Event: ev, Source: src, Now: now}
	if s != nil {
		out.Outcome.Repeat, out.Touched = s.Fold(ev)
		s.fill(ev, now)
		out.Input.SessionKey = s.Key
	}
	if out.Outcome.Repeat {
		return out
	}
	if s != nil && p.Needs(ev).Participants {
		out.Input.Participants = s.Participants(now)
	}
	for _, m := range p.Match(out.Input) {
		if m.Err != "" {
			out.Outcome.Errors = append(out.Outcome.Errors, RuleError{m.Rule, m.Err})
			continue
		}
		out.Matches = append(out.Matches, m)
	}
	return out
}

// fill gives ev the facts of its session that it does not carry itself.
func (s *SessionState) fill(ev *Event, now time.Time) {
	sent := ev.Session
	ev.Session = s.View(now)
	v := &ev.Session
	derive(ev, "session.id", sent.ID == "" && v.ID != "")
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
		x.Size, x.Duration = cmp.Or(x.Size, m.Size), cmp.Or(x.Duration, m.Duration)
	}
}

// fillParticipant completes the participant of ev: joined, left and duration
// are those of this connection, total is over all of them.
func (s *SessionState) fillParticipant(ev *Event, p *Person, now time.Time) {
	x, known := &ev.Participant, p.view(s.End.At, now)
	derive(ev, "participant.name", x.Name == "" && known.Name != "")
	derive(ev, "participant.email", x.Email == "" && known.Email != "")
	derive(ev, "participant.role", x.Role == "" && known.Role != "")
	derive(ev, "participant.metadata", x.Metadata == nil && known.Metadata != nil)
	x.Name, x.Email = cmp.Or(x.Name, known.Name), cmp.Or(x.Email, known.Email)
	x.Role, x.Kind = cmp.Or(x.Role, known.Role), cmp.Or(x.Kind, known.Kind)
	if x.Metadata == nil {
		x.Metadata = known.Metadata
	}
	x.Total, x.Present = known.Total, known.Present
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
		end := cmp.Or(x.Left, latest(now, x.Joined))
		if d := end.Sub(x.Joined); d >= 0 {
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
