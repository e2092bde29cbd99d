package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// StoredSession is a session as it is now, by itself and not as an event left
// it.
type StoredSession struct {
	Key      string      `json:"key"` // what runs, timers and the ledger call it
	Source   string      `json:"source"`
	Platform string      `json:"platform"`
	Tenant   string      `json:"tenant"`
	Room     engine.Room `json:"room,omitzero"`
	Session
	FirstEvent time.Time `json:"first_event,omitzero"`
	LastEvent  time.Time `json:"last_event,omitzero"`

	Participants []Participant `json:"participants,omitempty"` // everyone seen; only of one session
	Recordings   []Recording   `json:"recordings,omitempty"`   // likewise
}

// Timer is something a rule waits for, or waited for.
type Timer struct {
	ID       string    `json:"id"`
	Rule     string    `json:"rule"`
	Kind     string    `json:"kind"` // hold, expect, digest, schedule
	State    string    `json:"state"`
	Shadow   bool      `json:"shadow,omitempty"`
	Tenant   string    `json:"tenant"`
	Source   string    `json:"source,omitempty"`
	Session  string    `json:"session,omitempty"` // the session's key
	Event    string    `json:"event,omitempty"`   // that set it
	Set      time.Time `json:"set"`
	Due      time.Time `json:"due"`
	Deadline time.Time `json:"deadline,omitzero"` // expect: the latest time of what is awaited
	Awaits   []string  `json:"awaits,omitempty"`  // expect: event types
	Events   int       `json:"events_count,omitempty"`
	Dropped  int       `json:"events_dropped,omitempty"` // further ones of a digest
	Reason   string    `json:"reason,omitempty"`         // why it ended
	By       string    `json:"by,omitempty"`             // the event that ended it
	Run      string    `json:"run,omitempty"`            // that it made
	Ended    time.Time `json:"ended,omitzero"`
}

// Open reports whether the timer still has an effect.
func (t Timer) Open() bool { return t.State == engine.TimerPending || t.State == engine.TimerMissed }

// SessionList is a page of sessions.
type SessionList struct {
	Sessions []StoredSession `json:"sessions"`
	Next     string          `json:"next,omitempty"`
}

// TimerList is a page of timers.
type TimerList struct {
	Timers []Timer `json:"timers"`
	Next   string  `json:"next,omitempty"`
}

func storedSession(r engine.SessionRow) StoredSession {
	v := StoredSession{
		Key: r.Key, Source: r.Source, Platform: r.Platform, Tenant: r.Tenant, Room: r.Room,
		Session: sessionView(r.Session), FirstEvent: r.First.UTC(), LastEvent: r.Last.UTC(),
	}
	for _, p := range r.Participants {
		v.Participants = append(v.Participants, participantView(p))
	}
	for _, x := range r.Recordings {
		v.Recordings = append(v.Recordings, recordingView(x))
	}
	return v
}

// TimerOf is a timer as the API shows it.
func TimerOf(t engine.Timer) Timer {
	return Timer{
		ID: t.ID, Rule: t.Rule, Kind: t.Kind, State: t.State, Shadow: t.Shadow, Tenant: t.Tenant, Source: t.Source,
		Session: t.Session, Event: t.Event, Set: t.Set.UTC(), Due: t.Due.UTC(), Deadline: t.Deadline.UTC(), Awaits: t.Awaits,
		Events: max(t.N, len(t.Events)), Dropped: t.Dropped, Reason: t.Reason, By: t.By, Run: t.Run, Ended: t.Ended.UTC(),
	}
}

func (a *api) sessions(w http.ResponseWriter, r *http.Request) {
	q, err := query(r, "source", "since", "room", "active")
	if err != nil {
		a.fail(w, r, err)
		return
	}
	list := func(q engine.Query) ([]engine.SessionRow, error) { return a.o.Store.Sessions(r.Context(), q) }
	var l SessionList
	l.Sessions, l.Next, err = page(q, list, storedSession, func(s StoredSession) string { return s.Key })
	if err != nil {
		a.fail(w, r, err)
		return
	}
	a.answer(w, r, l)
}

func (a *api) session(w http.ResponseWriter, r *http.Request) {
	key, err := a.sessionKey(r.Context(), param(r, "*"))
	if err != nil {
		a.fail(w, r, err)
		return
	}
	s, err := a.o.Store.Session(r.Context(), key)
	if err != nil {
		a.fail(w, r, named("session", key, err))
		return
	}
	a.answer(w, r, storedSession(s))
}

// sessionKey finds the session that id means: its key, the platform's id of
// it, or the start of one of them.
func (a *api) sessionKey(ctx context.Context, id string) (string, error) {
	if id == "" || len(id) > maxParam {
		return "", bad(fmt.Sprintf("%q is no id", id), "gavel sessions list shows them")
	}
	// An id can be as short as the platform likes, and the start of others.
	for _, q := range []engine.Query{{Session: id, Limit: 4}, {ID: id, Limit: 4}} {
		rows, err := a.o.Store.Sessions(ctx, q)
		if err != nil && !errors.Is(err, engine.ErrNotFound) {
			return "", err
		}
		keys := ids(rows, func(s engine.SessionRow) string { return s.Key })
		switch {
		case slices.Contains(keys, id):
			return id, nil
		case len(keys) == 1:
			return keys[0], nil
		case len(keys) > 1:
			return "", &Error{http.StatusConflict, fmt.Sprintf("more than one session is meant by %q", id), "give the whole of one of them: " + strings.Join(keys, ", ")}
		}
	}
	return "", named("session", id, engine.ErrNotFound)
}

func (a *api) timers(w http.ResponseWriter, r *http.Request) {
	q, err := query(r, "rule", "session", "state", "active")
	if err != nil {
		a.fail(w, r, err)
		return
	}
	if q.State != "" && !slices.Contains(timerStates(), q.State) {
		a.fail(w, r, bad("no state \""+q.State+"\"", "there are: "+strings.Join(timerStates(), ", ")))
		return
	}
	list := func(q engine.Query) ([]engine.Timer, error) { return a.o.Store.Timers(r.Context(), q) }
	var l TimerList
	l.Timers, l.Next, err = page(q, list, TimerOf, func(t Timer) string { return t.ID })
	if err != nil {
		a.fail(w, r, err)
		return
	}
	a.answer(w, r, l)
}

func timerStates() []string {
	return []string{
		engine.TimerPending, engine.TimerMissed, engine.TimerFired, engine.TimerMet, engine.TimerStopped,
		engine.TimerCancelled, engine.TimerSkipped, engine.TimerFailed,
	}
}
