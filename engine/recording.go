package engine

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"time"
)

// RecordingState is one recording: the earliest facts of each kind of event.
type RecordingState struct {
	Seen map[string]recordingFacts `json:"seen"` // by event type and status
}

type recordingFacts struct {
	Type  string    `json:"type"`
	At    time.Time `json:"at"`
	Facts Recording `json:"facts"`
	// Untold: the platform does not say when; At is when it was received.
	Untold bool `json:"untold,omitempty"`
}

// before reports whether f is kept rather than g. Of two at one moment one
// has to win, whichever comes first.
func (f *recordingFacts) before(g *recordingFacts) bool {
	if d := f.At.Compare(g.At); d != 0 {
		return d < 0
	}
	a, _ := json.Marshal(f.Facts) // facts hold nothing that has no JSON
	b, _ := json.Marshal(g.Facts)
	return string(a) < string(b)
}

func (s *SessionState) foldRecording(ev *Event) (repeat bool) {
	key := ev.Type + " " + ev.Recording.Status
	if ev.Recording.ID == "" { // perhaps another one each time
		key += " " + ev.Time.UTC().Format(time.RFC3339Nano)
	}
	r := s.Recordings[ev.Recording.ID]
	if r == nil {
		r = &RecordingState{Seen: map[string]recordingFacts{}}
		if s.Recordings == nil {
			s.Recordings = map[string]*RecordingState{}
		}
		s.Recordings[ev.Recording.ID] = r
	}
	old, seen := r.Seen[key]
	facts := recordingFacts{Type: ev.Type, At: ev.Time, Facts: ev.Recording, Untold: slices.Contains(ev.Derived, "event.time")}
	if !seen || facts.before(&old) {
		r.Seen[key] = facts
	}
	return seen
}

// recording reports whether one is running.
func (s *SessionState) recording() bool {
	if s.Status() == Ended {
		return false
	}
	for id, r := range s.Recordings {
		if r.running(id != "") {
			return true
		}
	}
	return false
}

// running reports whether the recording was started and not stopped. What has
// no id may be several, one after the other.
func (r *RecordingState) running(one bool) bool {
	var started, stopped time.Time
	for _, f := range r.Seen {
		switch f.Type {
		case RecordingStopped, RecordingEnded, RecordingFailed:
			stopped = latest(stopped, f.At)
		case RecordingStarted:
			started = latest(started, f.At)
		}
	}
	if one {
		return !started.IsZero() && stopped.IsZero()
	}
	return started.After(stopped)
}

// stage is how far a recording has come. It orders what is said where the
// platform does not say when: what arrives last is not what happened last.
func (f *recordingFacts) stage() int {
	switch f.Type {
	case RecordingEnded, RecordingFailed:
		return 2
	case RecordingStopped:
		return 1
	}
	return 0
}

// facts merges what all events said of the recording; later words win.
func (r *RecordingState) facts() Recording {
	var m Recording
	untold := false
	for _, f := range r.Seen {
		untold = untold || f.Untold
	}
	all := slices.SortedFunc(maps.Values(r.Seen), func(a, b recordingFacts) int {
		if d := cmp.Compare(a.stage(), b.stage()); untold && d != 0 {
			return d
		}
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Type, b.Type), cmp.Compare(a.Facts.Status, b.Facts.Status))
	})
	for _, f := range all {
		x := f.Facts
		m.ID, m.Name, m.Status = cmp.Or(x.ID, m.ID), cmp.Or(x.Name, m.Name), cmp.Or(x.Status, m.Status)
		m.URL, m.Error = cmp.Or(x.URL, m.URL), cmp.Or(x.Error, m.Error)
		m.Size, m.Duration = cmp.Or(x.Size, m.Size), cmp.Or(positive(x.Duration), m.Duration)
		m.Started, m.Ended = cmp.Or(x.Started, m.Started), cmp.Or(x.Ended, m.Ended)
	}
	if m.Duration == nil && !m.Started.IsZero() && !m.Ended.Before(m.Started) {
		d := m.Ended.Sub(m.Started)
		m.Duration = &d
	}
	return m
}
