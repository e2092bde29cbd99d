package engine

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"time"
)

// SessionState is what is known of one session, folded from its events. It is
// owned by the store, which writes it in the transaction that folds an event
// into it and drops its copy when that transaction fails. Not safe for
// concurrent use.
//
// What is kept are sets of facts (when it started, when who joined and left),
// and what is shown is computed from them: the order in which events arrive,
// and how often they do, makes no difference.
//
//	what comes                         what becomes of it
//	left without joined                the person was seen; for how long nobody knows: total 0
//	left before joined                 the join is no repeat when it comes; the stay is the same
//	a join after the end               the person was seen, and not there
//	any other fact after the end       is kept; the end stays
//	ended without started              ended; the duration is unknown
//	several ends                       the earliest holds; one that moves it is no repeat
//	an end before the start            the duration is unknown, never negative
//	one person on two devices          one head, and time counts once
//	two people with one connection id  two heads: a connection belongs to its person
//	a bot known as such late           was never counted
//	another role                       the newest role; see host
//	session_media_ended, then an end   the end holds
//	session_media_ended alone          ended as of then, after mediaEndGrace
//	nothing for long                   ended as of the last sign of life, estimated, until
//	                                   a true end, or a later sign of life, says otherwise
//	present at the end                 participant_left follows after departureGrace
//
// How the meetings of a room without session ids are told apart stands at
// [Place].
type SessionState struct {
	Key      string `json:"key"` // internal, permanent; ledger, guards and order use it
	Source   string `json:"source"`
	Tenant   string `json:"tenant"`
	Platform string `json:"platform,omitempty"`
	ID       string `json:"id,omitempty"` // the platform's; room id and start where it has none
	Room     Room   `json:"room,omitzero"`
	ByRoom   bool   `json:"by_room,omitempty"` // the platform has none: see Place

	NameAt     time.Time      `json:"name_at,omitzero"` // event time of the room's name,
	RoomAt     time.Time      `json:"room_at,omitzero"` // and of its metadata
	Metadata   map[string]any `json:"metadata,omitempty"`
	MetadataAt time.Time      `json:"metadata_at,omitzero"`

	First     time.Time `json:"first,omitzero"`      // earliest moment an event is about: see moment
	Last      time.Time `json:"last,omitzero"`       // newest event time, of any event whatever
	Received  time.Time `json:"received,omitzero"`   // newest receipt of what a platform sent
	Life      time.Time `json:"life,omitzero"`       // event time of the newest sign of life
	Stated    time.Time `json:"stated,omitzero"`     // earliest start a platform stated
	StartedAt time.Time `json:"started_at,omitzero"` // earliest session_started
	Created   bool      `json:"created,omitempty"`   // session_created was seen
	Begun     bool      `json:"begun,omitempty"`     // session_started was seen
	Alive     bool      `json:"alive,omitempty"`     // something showed that it goes on
	NoPeople  bool      `json:"no_people,omitempty"` // the platform sends no participant events

	Over      bool      `json:"over,omitempty"`      // a platform sent session_ended
	End       End       `json:"end,omitzero"`        // the earliest one
	MediaEnd  time.Time `json:"media_end,omitzero"`  // earliest session_media_ended
	MediaSeen time.Time `json:"media_seen,omitzero"` // when the first one was received
	Promoted  time.Time `json:"promoted,omitzero"`   // end that was derived from it
	Estimate  time.Time `json:"estimate,omitzero"`   // newest end that was derived from silence
	Revived   time.Time `json:"revived,omitzero"`    // newest estimate that turned out wrong
	EndSeen   time.Time `json:"end_seen,omitzero"`   // when the end was received

	Recordings map[string]*RecordingState `json:"recordings,omitempty"`
	Hosts      []string                   `json:"hosts,omitempty"` // ids of people with the role host
	Log        []Event                    `json:"log,omitempty"`   // by room only: what is not of one person

	Crowd  Crowd              `json:"crowd,omitzero"`
	People map[string]*Person `json:"-"` // by participant id; stored apart, a row each

	timeline   *timeline // behind Crowd.Peak, once an event was overtaken
	departures int       // that are to be announced, if
	counted    bool      // they were counted
}

// End is what a platform said of a session's end.
type End struct {
	At       time.Time      `json:"at,omitzero"`
	Duration *time.Duration `json:"duration,omitempty"`
	Reason   string         `json:"reason,omitempty"`
}

// NewSessionState makes the empty state of the session ev belongs to.
func NewSessionState(key string, ev *Event) *SessionState {
	s := &SessionState{
		Key: key, Source: ev.Source, Platform: ev.Platform, Tenant: ev.Tenant, ID: ev.Session.ID,
		Room: Room{ID: ev.Room.ID}, ByRoom: ev.ByRoom, People: map[string]*Person{},
	}
	if ev.ByRoom {
		// OpenVidu 2 names its room where a session id belongs, and sends
		// participants; OpenVidu Meet does neither.
		s.NoPeople = ev.Session.ID == ""
		s.ID = ""
	}
	return s
}

// Fold adds what ev says. repeat: it is a lifecycle event that leaves the
// state as it was. touched are the people whose state is to be written beside
// the session's.
func (s *SessionState) Fold(ev *Event) (repeat bool, touched []*Person) {
	s.Last = latest(s.Last, ev.Time)
	switch {
	case ev.Type == Emitted || ev.Type == Scheduled: // our own words say nothing of the meeting
		return false, nil
	case isDerived(ev):
		repeat, touched = s.foldDerived(ev)
	case !Folds(ev):
		// It says nothing of the session, or a session would have other facts
		// when it comes before all others and has no state to go to.
		s.Received = latest(s.Received, ev.Received)
		return false, nil
	default:
		repeat, touched = s.foldSent(ev)
	}
	s.keep(ev)
	return repeat, touched
}

// foldSent adds what a platform says.
func (s *SessionState) foldSent(ev *Event) (repeat bool, touched []*Person) {
	s.foldFacts(ev)
	if showsLife(ev.Type) {
		s.reckon(ev.Received, func() { s.foldLife(latest(ev.Time, latest(ev.Participant.Joined, ev.Participant.Left))) })
	}
	switch ev.Type {
	case SessionCreated:
		repeat, s.Created = s.Created, true
	case SessionStarted:
		repeat, s.Begun = s.Begun, true
		s.StartedAt = earliest(s.StartedAt, cmp.Or(ev.Session.Started, ev.Time))
	case SessionMediaEnded:
		repeat = !s.MediaEnd.IsZero()
		s.MediaSeen = earliest(s.MediaSeen, ev.Received)
		s.reckon(ev.Received, func() { s.MediaEnd = earliest(s.MediaEnd, ev.Time) })
	case SessionEnded:
		was, over := s.End.At, s.Over
		s.reckon(ev.Received, func() { s.foldEnd(ev) })
		repeat = !s.Promoted.IsZero() || over && s.End.At.Equal(was)
	case ParticipantJoined, ParticipantLeft, ParticipantRole, TrackPublished, TrackUnpublished:
		if p, known := s.foldPerson(ev); p != nil {
			touched = []*Person{p}
			repeat = known
		}
	case RecordingStarted, RecordingUpdated, RecordingStopped, RecordingEnded, RecordingFailed:
		repeat = s.foldRecording(ev)
	}
	if s.ByRoom && s.ID == "" && !s.start().IsZero() {
		s.ID = s.Room.ID + "@" + s.start().UTC().Format("2006-01-02T15:04:05.000Z")
	}
	return repeat, touched
}

// showsLife reports whether an event of this type shows that its session goes
// on when it happens. What a platform makes of a session when it is over, a
// recording that is ready for one, does not.
func showsLife(typ string) bool {
	switch typ {
	case ParticipantLeft, ParticipantRole, TrackUnpublished, RecordingStopped:
		return true
	}
	return begins(typ)
}

// begins reports whether an event of this type is one of those that a meeting
// begins with, and that do not come when it is over.
func begins(typ string) bool {
	switch typ {
	case SessionCreated, SessionStarted, ParticipantWaiting, ParticipantJoined, TrackPublished,
		RecordingStarted, StreamStarted, IngressStarted, TranscriptionStarted:
		return true
	}
	return false
}

// foldFacts keeps what every event may say of its room and session.
func (s *SessionState) foldFacts(ev *Event) {
	s.First = earliest(s.First, moment(ev))
	s.Received = latest(s.Received, ev.Received)
	if !ev.Session.Started.IsZero() {
		s.Stated = earliest(s.Stated, ev.Session.Started)
	}
	if s.ID == "" && !s.ByRoom {
		s.ID = ev.Session.ID
	}
	if s.Room.ID == "" || (ev.Room.ID != "" && ev.Room.ID < s.Room.ID) {
		s.Room.ID = ev.Room.ID
	}
	name := fact{s.Room.Name, s.NameAt}
	name.add(ev.Room.Name, ev.Time)
	s.Room.Name, s.NameAt = name.Text, name.At
	newer(&s.Room.Metadata, &s.RoomAt, ev.Room.Metadata, ev.Time)
	newer(&s.Metadata, &s.MetadataAt, ev.Session.Metadata, ev.Time)
}

// newer replaces untyped facts by later ones. Of two at one moment one has to
// win, whichever comes first.
func newer(facts *map[string]any, at *time.Time, said map[string]any, when time.Time) {
	if said == nil || when.Before(*at) {
		return
	}
	if when.Equal(*at) && *facts != nil {
		a, errA := json.Marshal(*facts)
		b, errB := json.Marshal(said)
		if errA != nil || errB != nil || bytes.Compare(b, a) <= 0 {
			return
		}
	}
	*facts, *at = said, when
}

func (s *SessionState) foldLife(at time.Time) {
	s.Alive, s.Life = true, latest(s.Life, at)
	s.revive()
}

// revive notes that an estimated end was wrong, if a sign of life is later.
func (s *SessionState) revive() {
	if !s.Over && s.Promoted.IsZero() && s.Life.After(s.Estimate) {
		s.Revived = s.Estimate
	}
}

func (s *SessionState) foldEnd(ev *Event) {
	s.Over = true
	e := End{At: cmp.Or(ev.Session.Ended, ev.Time), Duration: positive(ev.Session.Duration), Reason: ev.Session.EndReason}
	switch d := e.At.Compare(s.End.At); {
	case s.End.At.IsZero() || d < 0:
		s.End = e
	case d == 0: // the same end in other words
		s.End.Reason = max(s.End.Reason, e.Reason)
		if s.End.Duration == nil || (e.Duration != nil && *e.Duration > *s.End.Duration) {
			s.End.Duration = e.Duration
		}
	}
}

// ended is how the session ended: what a platform said, else what was derived
// from the end of its media, else from its silence. At is zero while it goes on.
func (s *SessionState) ended() End {
	switch {
	case s.Over:
		return s.End
	case !s.Promoted.IsZero():
		return End{At: earliest(s.Promoted, s.MediaEnd)}
	case s.estimated():
		return End{At: cmp.Or(s.Life, s.Estimate)}
	}
	return End{}
}

// estimated reports whether the session is over for want of a sign of life only.
func (s *SessionState) estimated() bool {
	return s.Alive && !s.Over && s.Promoted.IsZero() && !s.Estimate.IsZero() && !s.Life.After(s.Estimate)
}

// reckon makes a change that may end the session, or move its end, and
// reckons anew what depends on it.
func (s *SessionState) reckon(received time.Time, change func()) {
	was := s.ended().At
	change()
	is := s.ended().At
	if is.Equal(was) {
		return
	}
	if was.IsZero() {
		s.EndSeen = received
	}
	s.count()
	s.counted = false
}

// start is when the session began, zero if nobody said.
func (s *SessionState) start() time.Time { return cmp.Or(s.Stated, s.StartedAt) }

// Status is Active, Ended, or "" while nothing shows that the session took place.
func (s *SessionState) Status() string {
	switch {
	case !s.ended().At.IsZero():
		return Ended
	case s.Alive:
		return Active
	}
	return ""
}

// View is the session at now.
func (s *SessionState) View(now time.Time) Session {
	e := s.ended()
	v := Session{
		ID: s.ID, Status: s.Status(), Started: s.start(), Ended: e.At, EndReason: e.Reason,
		Estimated: s.estimated(), Metadata: s.Metadata, Recording: s.recording(), Duration: e.Duration,
	}
	end := cmp.Or(e.At, now)
	if v.Duration == nil && !v.Started.IsZero() && !end.Before(v.Started) && v.Status != "" {
		d := end.Sub(v.Started)
		v.Duration = &d
	}
	if !s.NoPeople || len(s.People) > 0 {
		present, peak := s.Crowd.Present, s.Crowd.Peak
		v.Present, v.Peak = &present, &peak
		v.Attended = s.Crowd.attended(end)
	}
	v.Host = s.host(end)
	return v
}

// positive is d, or nil if d is nil or cannot be true.
func positive(d *time.Duration) *time.Duration {
	if d == nil || *d < 0 {
		return nil
	}
	return d
}

func isDerived(ev *Event) bool { return slices.Contains(ev.Derived, DerivedEvent) }

func earliest(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
