package store

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/gavelhq/gavel/engine"
)

// sessionSize is roughly what a session takes in memory, besides twice its
// text, and each of its people.
const (
	sessionSize = 2 << 10
	personSize  = 1 << 10
)

func sizeOfSession(text int, people int) int { return sessionSize + 2*text + people*personSize }

// roomSessions is how many of a room's sessions an event without a session id
// is compared with.
const roomSessions = 50

// session is the state of a session in the committer's hands.
type session struct {
	seq      int64
	state    *engine.SessionState
	open     bool // as counted in its source
	present  int
	dirty    bool
	replaced bool // its people are others now
	idle     bool // was looked at, and nothing new followed
	row      sessionColumns
}

// sessionColumns are the columns of a session that indexes are made of, as
// they are in the table: a row of which they stay the same is cheap to write.
type sessionColumns struct {
	stored                     bool
	id, room, roomName, status string
	present                    int
	look                       int64 // microseconds; 0: null
}

// folded is the state, nil without a session.
func (s *session) folded() *engine.SessionState {
	if s == nil {
		return nil
	}
	return s.state
}

type roomKey struct{ source, room string }

type personKey struct{ session, id string }

// sessionFor is the session an event goes into, or nil. What is our own goes
// where it is told to.
func (b *batch) sessionFor(ev *engine.Event, from origin) (*session, error) {
	switch {
	case !from.own():
		return b.session(ev)
	case from.session != "":
		return b.load(from.session)
	}
	return nil, nil
}

// session is the session of ev, made if there is none yet, or nil.
func (b *batch) session(ev *engine.Event) (*session, error) {
	if key := engine.SessionKeyOf(ev); key != "" {
		s, err := b.load(key)
		if s != nil || err != nil || !engine.Folds(ev) {
			return s, err
		}
		return b.newSession(engine.NewSessionState(key, ev)), nil
	}
	switch {
	case ev.Room.ID != "":
		return b.sessionOfRoom(ev)
	case ev.Participant.ID != "" || ev.Participant.ConnectionID != "":
		return b.sessionOfPerson(ev)
	}
	return nil, nil
}

func (b *batch) newSession(state *engine.SessionState) *session {
	b.lastSession++
	s := &session{seq: b.lastSession, state: state}
	b.sessions.put(state.Key, s, sessionSize)
	delete(b.absent, state.Key)
	room := roomKey{state.Source, state.Room.ID}
	b.byRoom[room] = append(b.byRoom[room], s)
	return s
}

// lookUpSessions finds which of the sessions that a batch names are not in
// the table: most events that are not of a session in memory begin one.
func (b *batch) lookUpSessions(accepts []*accept) error {
	var args []any
	for _, a := range accepts {
		for i := range a.in.Events {
			key := engine.SessionKeyOf(&a.in.Events[i])
			if key == "" || b.absent[key] {
				continue
			}
			if _, known := b.sessions.get(key); !known {
				b.absent[key] = true
				args = append(args, key)
			}
		}
	}
	return chunks(args, 1, func(n int, args []any) error {
		in := strings.TrimSuffix(strings.Repeat("?,", n), ",")
		return b.w.each(`SELECT key FROM sessions WHERE key IN (`+in+`)`, args, func(r *sql.Rows) error {
			var key string
			err := r.Scan(&key)
			delete(b.absent, key)
			return err
		})
	})
}

// load is the session called key, nil if there is none.
func (b *batch) load(key string) (*session, error) {
	if s, known := b.sessions.get(key); known || b.absent[key] {
		return s, nil
	}
	s := &session{state: &engine.SessionState{People: map[string]*engine.Person{}}}
	length := 0
	err := b.w.each(`SELECT seq, id, room, room_name, status, present, coalesce(look, 0), state FROM sessions WHERE key = ?`,
		[]any{key}, func(r *sql.Rows) error {
			var text sql.RawBytes
			c := &s.row
			c.stored = true
			if err := r.Scan(&s.seq, &c.id, &c.room, &c.roomName, &c.status, &c.present, &c.look, &text); err != nil {
				return err
			}
			length = len(text)
			return decode(text, s.state)
		})
	if err != nil || !s.row.stored {
		return nil, wrap(err, "session "+key)
	}
	err = b.w.each(`SELECT id, state FROM people WHERE session = ?`, []any{key}, scanPerson(s.state.People))
	if err != nil {
		return nil, wrap(err, "people of session "+key)
	}
	s.open, s.present = s.state.Status() == engine.Active, s.state.Crowd.Present
	b.sessions.put(key, s, sizeOfSession(length, len(s.state.People)))
	return s, nil
}

func scanPerson(into map[string]*engine.Person) func(*sql.Rows) error {
	return func(r *sql.Rows) error {
		var id string
		var text sql.RawBytes
		if err := r.Scan(&id, &text); err != nil {
			return err
		}
		p := new(engine.Person)
		into[id] = p
		return decode(text, p)
	}
}

func wrap(err error, what string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// sessionOfRoom is the session of an event that names its room only. Where the
// platform has no session ids, the event may say of others that they begin or
// end elsewhere than it seemed.
func (b *batch) sessionOfRoom(ev *engine.Event) (*session, error) {
	var found []*session
	made := b.byRoom[roomKey{ev.Source, ev.Room.ID}]
	for i := range made {
		found = append(found, made[len(made)-1-i])
	}
	keys, err := b.keys(`SELECT key FROM sessions WHERE source = ? AND room = ? ORDER BY seq DESC LIMIT ?`,
		ev.Source, ev.Room.ID, roomSessions)
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		s, err := b.load(k)
		if err != nil {
			return nil, err
		}
		found = append(found, s)
	}
	found = found[:min(len(found), roomSessions)]
	states := make([]*engine.SessionState, len(found))
	for i, s := range found {
		states[i] = s.state
	}
	best, changed := engine.Place(ev, states, ev.Source+"/"+ev.Room.ID+"/"+ev.ID)
	of := func(x *engine.SessionState) *session {
		i := slices.Index(states, x)
		if i < 0 {
			i = len(states)
			states, found = append(states, x), append(found, b.newSession(x))
		}
		return found[i]
	}
	for _, x := range changed {
		s := of(x)
		s.replaced = true
		b.touch(s, nil)
	}
	if best == nil {
		return nil, nil
	}
	return of(best), nil
}

func (b *batch) keys(query string, args ...any) (keys []string, err error) {
	err = b.w.each(query, args, func(r *sql.Rows) error {
		var k string
		err := r.Scan(&k)
		keys = append(keys, k)
		return err
	})
	return keys, err
}

// touch notes that s is another now, and these of its people.
func (b *batch) touch(s *session, people []*engine.Person) {
	if s == nil {
		return
	}
	if !s.dirty {
		s.dirty = true
		b.dirty = append(b.dirty, s)
	}
	for _, p := range people {
		b.people[personKey{s.state.Key, p.ID}] = p
	}
	src := b.source(s.state.Source)
	src.count(s, -1)
	s.open, s.present = s.state.Status() == engine.Active, s.state.Crowd.Present
	src.count(s, 1)
	b.whereabouts.seen(s, people)
}

// meeting is the seq of a session of this batch, null without one.
func (b *batch) meeting(key string) any {
	if s, known := b.sessions.get(key); known && s != nil {
		return s.seq
	}
	return nil
}

// gatherSession gathers the row of a session.
func (b *batch) gatherSession(s *session) error {
	x := s.state
	text, err := json.Marshal(x)
	if err != nil {
		return wrap(err, "session "+x.Key)
	}
	if s.replaced {
		if err := b.replacePeople(x); err != nil {
			return err
		}
	}
	row := sessionColumns{
		stored: true, id: x.ID, room: x.Room.ID, roomName: x.Room.Name, status: x.Status(), present: x.Crowd.Present,
		look: b.lookAt(s),
	}
	into := b.tables.sessions
	if s.row == row {
		into = b.tables.states
	}
	into.add(s.seq, x.Key, row.id, x.Source, row.room, row.roomName, row.status, row.present, x.Last.UnixMicro(), null(row.look), string(text))
	s.row, s.dirty, s.replaced, s.idle = row, false, false, false
	b.sessions.resize(x.Key, sizeOfSession(len(text), len(x.People)))
	if row.status == engine.Ended {
		b.sessions.last(x.Key) // little is to be expected of it
	}
	return nil
}

// replacePeople makes the rows of people those of x.
func (b *batch) replacePeople(x *engine.SessionState) error {
	if _, err := b.w.exec(`DELETE FROM people WHERE session = ?`, x.Key); err != nil {
		return err
	}
	for k := range b.people {
		if k.session == x.Key { // touched before they went to another session
			delete(b.people, k)
		}
	}
	for _, p := range x.People {
		b.people[personKey{x.Key, p.ID}] = p
	}
	return nil
}

func (b *batch) gatherPeople() error {
	for k, p := range b.people {
		text, err := json.Marshal(p)
		if err != nil {
			return wrap(err, "participant "+k.id)
		}
		b.tables.people.add(k.session, k.id, string(text))
	}
	return nil
}
