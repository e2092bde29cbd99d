package engine

import (
	"cmp"
	"maps"
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
type SessionState struct {
	Key    string `json:"key"` // internal, permanent; ledger, guards and order use it
	Source string `json:"source"`
	Tenant string `json:"tenant"`
	ID     string `json:"id,omitempty"` // the platform's; room id and start where it has none
	Room   Room   `json:"room,omitzero"`

	RoomAt     time.Time      `json:"room_at,omitzero"` // event time of the newest room facts
	Metadata   map[string]any `json:"metadata,omitempty"`
	MetadataAt time.Time      `json:"metadata_at,omitzero"`

	First     time.Time `json:"first,omitzero"`      // event times seen
	Last      time.Time `json:"last,omitzero"`       //
	Stated    time.Time `json:"stated,omitzero"`     // earliest start a platform stated
	StartedAt time.Time `json:"started_at,omitzero"` // earliest session_started
	Created   bool      `json:"created,omitempty"`   // session_created was seen
	Begun     bool      `json:"begun,omitempty"`     // session_started was seen
	MediaEnd  time.Time `json:"media_end,omitzero"`  // earliest session_media_ended
	Over      bool      `json:"over,omitempty"`      // session_ended was seen
	End       End       `json:"end,omitzero"`        // the earliest one
	Alive     bool      `json:"alive,omitempty"`     // something showed that it goes on
	NoPeople  bool      `json:"no_people,omitempty"` // the platform sends no participant events

	Recordings map[string]*RecordingState `json:"recordings,omitempty"`
	Hosts      []string                   `json:"hosts,omitempty"` // ids of people with the role host

	Crowd  Crowd              `json:"crowd,omitzero"`
	People map[string]*Person `json:"-"` // by participant id; stored apart, a row each
}

// End is what a platform said of a session's end.
type End struct {
	At       time.Time      `json:"at,omitzero"`
	Duration *time.Duration `json:"duration,omitempty"`
	Reason   string         `json:"reason,omitempty"`
}

// RecordingState is one recording: the newest facts of each kind of event.
type RecordingState struct {
	Seen map[string]recordingFacts `json:"seen"` // by event type and status
}

type recordingFacts struct {
	Type  string    `json:"type"`
	At    time.Time `json:"at"`
	Facts Recording `json:"facts"`
}

// NewSessionState makes the empty state of the session ev belongs to.
func NewSessionState(key string, ev *Event) *SessionState {
	return &SessionState{
		Key: key, Source: ev.Source, Tenant: ev.Tenant, ID: ev.Session.ID,
		Room: Room{ID: ev.Room.ID}, NoPeople: ev.ByRoom, People: map[string]*Person{},
	}
}

// Fold adds what ev says. repeat: it is a lifecycle event that leaves the
// state as it was. touched are the people whose state is to be written beside
// the session's.
func (s *SessionState) Fold(ev *Event) (repeat bool, touched []*Person) {
	s.foldFacts(ev)
	switch ev.Type {
	case SessionCreated:
		repeat, s.Created = s.Created, true
		s.Alive = true
	case SessionStarted:
		repeat, s.Begun = s.Begun, true
		s.Alive = true
		s.StartedAt = earliest(s.StartedAt, cmp.Or(ev.Session.Started, ev.Time))
	case SessionMediaEnded:
		repeat = !s.MediaEnd.IsZero()
		s.MediaEnd = earliest(s.MediaEnd, ev.Time)
	case SessionEnded:
		repeat, s.Over = s.Over, true
		s.foldEnd(ev)
	case ParticipantJoined, ParticipantLeft, ParticipantRole, TrackPublished, TrackUnpublished:
		s.Alive = true
		if p, news := s.foldPerson(ev); p != nil {
			touched = []*Person{p}
			repeat = !news && (ev.Type == ParticipantJoined || ev.Type == ParticipantLeft)
		}
	case RecordingStarted, RecordingUpdated, RecordingStopped, RecordingEnded, RecordingFailed:
		repeat = s.foldRecording(ev)
		s.Alive = s.Alive || ev.Type == RecordingStarted
	case StreamStarted, IngressStarted, TranscriptionStarted, ParticipantWaiting:
		s.Alive = true
	}
	if s.NoPeople && s.ID == "" && !s.start().IsZero() {
		s.ID = s.Room.ID + "@" + s.start().UTC().Format("2006-01-02T15:04:05.000Z")
	}
	return repeat, touched
}

// foldFacts keeps what every event may say of its room and session.
func (s *SessionState) foldFacts(ev *Event) {
	s.First, s.Last = earliest(s.First, ev.Time), latest(s.Last, ev.Time)
	if !ev.Session.Started.IsZero() {
		s.Stated = earliest(s.Stated, ev.Session.Started)
	}
	if s.ID == "" {
		s.ID = ev.Session.ID
	}
	if (ev.Room.Name != "" || ev.Room.Metadata != nil) && !ev.Time.Before(s.RoomAt) {
		s.RoomAt = ev.Time
		s.Room.Name = cmp.Or(ev.Room.Name, s.Room.Name)
		if ev.Room.Metadata != nil {
			s.Room.Metadata = ev.Room.Metadata
		}
	} else {
		s.Room.Name = cmp.Or(s.Room.Name, ev.Room.Name)
		if s.Room.Metadata == nil {
			s.Room.Metadata = ev.Room.Metadata
		}
	}
	s.Room.ID = cmp.Or(s.Room.ID, ev.Room.ID)
	if ev.Session.Metadata != nil && !ev.Time.Before(s.MetadataAt) {
		s.Metadata, s.MetadataAt = ev.Session.Metadata, ev.Time
	}
}

func (s *SessionState) foldEnd(ev *Event) {
	at := cmp.Or(ev.Session.Ended, ev.Time)
	if !s.End.At.IsZero() && !at.Before(s.End.At) {
		return
	}
	s.End = End{At: at, Duration: ev.Session.Duration, Reason: ev.Session.EndReason}
	s.count()
}

// start is when the session began, zero if nobody said.
func (s *SessionState) start() time.Time { return cmp.Or(s.Stated, s.StartedAt) }

// Status is Active, Ended, or "" while nothing shows that the session took place.
func (s *SessionState) Status() string {
	switch {
	case s.Over:
		return Ended
	case s.Alive:
		return Active
	}
	return ""
}

// View is the session at now.
func (s *SessionState) View(now time.Time) Session {
	v := Session{
		ID: s.ID, Status: s.Status(), Started: s.start(), Ended: s.End.At, EndReason: s.End.Reason,
		Metadata: s.Metadata, Recording: s.recording(), Duration: s.End.Duration,
	}
	end := now
	if s.Over {
		end = s.End.At
	}
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

// recording reports whether one is running.
func (s *SessionState) recording() bool {
	if s.Over {
		return false
	}
	for _, r := range s.Recordings {
		if r.running() {
			return true
		}
	}
	return false
}

func (s *SessionState) foldRecording(ev *Event) (repeat bool) {
	key := ev.Type + " " + ev.Recording.Status
	r := s.Recordings[ev.Recording.ID]
	if r == nil {
		r = &RecordingState{Seen: map[string]recordingFacts{}}
		if s.Recordings == nil {
			s.Recordings = map[string]*RecordingState{}
		}
		s.Recordings[ev.Recording.ID] = r
	}
	old, seen := r.Seen[key]
	if !seen || ev.Time.Before(old.At) {
		r.Seen[key] = recordingFacts{Type: ev.Type, At: ev.Time, Facts: ev.Recording}
	}
	return seen
}

func (r *RecordingState) running() bool {
	started := false
	for _, f := range r.Seen {
		switch f.Type {
		case RecordingStopped, RecordingEnded, RecordingFailed:
			return false
		case RecordingStarted:
			started = true
		}
	}
	return started
}

// facts merges what all events said of the recording; later words win.
func (r *RecordingState) facts() Recording {
	var m Recording
	all := slices.SortedFunc(maps.Values(r.Seen), func(a, b recordingFacts) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Type, b.Type), cmp.Compare(a.Facts.Status, b.Facts.Status))
	})
	for _, f := range all {
		x := f.Facts
		m.ID, m.Name, m.Status = cmp.Or(x.ID, m.ID), cmp.Or(x.Name, m.Name), cmp.Or(x.Status, m.Status)
		m.URL, m.Error = cmp.Or(x.URL, m.URL), cmp.Or(x.Error, m.Error)
		m.Size, m.Duration = cmp.Or(x.Size, m.Size), cmp.Or(x.Duration, m.Duration)
		m.Started, m.Ended = cmp.Or(x.Started, m.Started), cmp.Or(x.Ended, m.Ended)
	}
	if m.Duration == nil && !m.Started.IsZero() && m.Ended.After(m.Started) {
		d := m.Ended.Sub(m.Started)
		m.Duration = &d
	}
	return m
}

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
