package store

import (
	"cmp"
	"container/list"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/gavelhq/gavel/engine"
)

// cachedSessions is how many sessions stay in memory between batches.
const cachedSessions = 20_000

// roomSessions is how many of a room's sessions an event without a session id
// is compared with; openSessions, of a source's, for one without a room.
const (
	roomSessions = 20
	openSessions = 1000
)

// session is the state of a session in the committer's hands.
type session struct {
	state   *engine.SessionState
	open    bool // as counted in its source
	present int
	dirty   bool
}

// folded is the state, nil without a session.
func (s *session) folded() *engine.SessionState {
	if s == nil {
		return nil
	}
	return s.state
}

// sessions are the ones used last.
type sessions struct {
	byKey map[string]*list.Element
	order *list.List // of *session, newest first
}

func newSessions() sessions { return sessions{map[string]*list.Element{}, list.New()} }

func (c *sessions) get(key string) *session {
	e := c.byKey[key]
	if e == nil {
		return nil
	}
	c.order.MoveToFront(e)
	return e.Value.(*session)
}

func (c *sessions) put(s *session) { c.byKey[s.state.Key] = c.order.PushFront(s) }

// trim is called between batches: what a batch has changed must not be read
// back before it is written.
func (c *sessions) trim() {
	for c.order.Len() > cachedSessions {
		s := c.order.Remove(c.order.Back()).(*session)
		delete(c.byKey, s.state.Key)
	}
}

func (c *sessions) clear() { *c = newSessions() }

type roomKey struct{ source, room string }

type personKey struct{ session, id string }

// session is the session of ev, made if there is none yet, or nil.
func (b *batch) session(ev *engine.Event) (*session, error) {
	if key := engine.SessionKeyOf(ev); key != "" {
		s, err := b.load(key)
		if s != nil || err != nil || !engine.Folds(ev) {
			return s, err
		}
		return b.newSession(key, ev), nil
	}
	switch {
	case ev.Room.ID != "":
		s, err := b.sessionOfRoom(ev)
		if s != nil || err != nil || !ev.ByRoom || !engine.Folds(ev) {
			return s, err
		}
		return b.newSession(ev.Source+"/"+ev.Room.ID+"/"+ev.ID, ev), nil
	case ev.Participant.ID != "" || ev.Participant.ConnectionID != "":
		return b.sessionOfPerson(ev)
	}
	return nil, nil
}

func (b *batch) newSession(key string, ev *engine.Event) *session {
	s := &session{state: engine.NewSessionState(key, ev)}
	b.sessions.put(s)
	delete(b.absent, key)
	room := roomKey{ev.Source, ev.Room.ID}
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
			if key != "" && b.sessions.get(key) == nil && !b.absent[key] {
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
	if s := b.sessions.get(key); s != nil || b.absent[key] {
		return s, nil
	}
	var text sql.RawBytes
	state := &engine.SessionState{People: map[string]*engine.Person{}}
	found := false
	err := b.w.each(`SELECT state FROM sessions WHERE key = ?`, []any{key}, func(r *sql.Rows) error {
		found = true
		if err := r.Scan(&text); err != nil {
			return err
		}
		return decode(text, state)
	})
	if err != nil || !found {
		return nil, wrap(err, "session "+key)
	}
	err = b.w.each(`SELECT id, state FROM people WHERE session = ?`, []any{key}, scanPerson(state.People))
	if err != nil {
		return nil, wrap(err, "people of session "+key)
	}
	s := &session{state: state, open: state.Status() == engine.Active, present: state.Crowd.Present}
	b.sessions.put(s)
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

// sessionOfRoom is the session of an event that names its room only.
func (b *batch) sessionOfRoom(ev *engine.Event) (*session, error) {
	var found []*session
	var states []*engine.SessionState
	add := func(s *session) {
		if len(states) < roomSessions {
			found, states = append(found, s), append(states, s.state)
		}
	}
	made := b.byRoom[roomKey{ev.Source, ev.Room.ID}]
	for i := range made {
		add(made[len(made)-1-i])
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
		add(s)
	}
	best := engine.FindSession(ev, states)
	for i := range states {
		if states[i] == best {
			return found[i], nil
		}
	}
	return nil, nil
}

// sessionOfPerson is the newest open session of an event that names its
// participant only.
func (b *batch) sessionOfPerson(ev *engine.Event) (*session, error) {
	id := cmp.Or(ev.Participant.ID, ev.Participant.ConnectionID)
	for i := range b.dirty { // what is not in the table yet
		s := b.dirty[len(b.dirty)-1-i]
		if s.open && s.state.Source == ev.Source && s.state.People[id] != nil {
			return s, nil
		}
	}
	keys, err := b.keys(`SELECT s.key FROM
		(SELECT seq, key FROM sessions WHERE source = ? AND status = 'active' ORDER BY seq DESC LIMIT ?) s
		CROSS JOIN people p ON p.session = s.key AND p.id = ? ORDER BY s.seq DESC LIMIT 1`, ev.Source, openSessions, id)
	if err != nil || len(keys) == 0 {
		return nil, err
	}
	return b.load(keys[0])
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

// touch notes that an event was folded into s.
func (b *batch) touch(s *session, src *sender, people []*engine.Person) {
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
	src.count(s, -1)
	s.open, s.present = s.state.Status() == engine.Active, s.state.Crowd.Present
	src.count(s, 1)
}

// gatherSession gathers the row of a session.
func (b *batch) gatherSession(s *session) error {
	s.dirty = false
	x := s.state
	text, err := json.Marshal(x)
	if err != nil {
		return wrap(err, "session "+x.Key)
	}
	b.tables.sessions.add(x.Key, x.Source, x.Room.ID, x.Status(), x.Crowd.Present, string(text))
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
