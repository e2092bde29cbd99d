package ruletest

import (
	"cmp"
	"container/heap"
	"slices"
	"time"

	"github.com/gavelhq/gavel/engine"
)

const (
	// roomSessions is how many of a room's sessions an event without a session
	// id is compared with.
	roomSessions = 50
	// lookAgain is how long a session is left alone in which nothing followed.
	lookAgain = time.Minute
)

// session is a session in memory.
type session struct {
	seq     int
	state   *engine.SessionState
	room    room // as in the index
	open    bool // as counted in its source
	present int
	idle    bool // was looked at, and nothing new followed

	look time.Time // when it is to be looked at, zero: never
	at   int       // in the looks
}

// folded is the state, nil without a session.
func (s *session) folded() *engine.SessionState {
	if s == nil {
		return nil
	}
	return s.state
}

type room struct{ source, id string }

// sender is a source as it is counted.
type sender struct{ engine.Source }

func (m *memory) source(name string) *sender {
	x := m.sources[name]
	if x == nil {
		x = &sender{engine.Source{Name: name}}
		m.sources[name] = x
	}
	return x
}

func (x *sender) count(s *session, n int) {
	if s.open {
		x.Sessions += n
		x.Present += n * s.present
	}
}

// sessionOf is the session of ev, made if there is none yet, or nil.
func (m *memory) sessionOf(ev *engine.Event) *session {
	if key := engine.SessionKeyOf(ev); key != "" {
		s := m.sessions[key]
		if s != nil || !engine.Folds(ev) {
			return s
		}
		return m.newSession(engine.NewSessionState(key, ev))
	}
	switch {
	case ev.Room.ID != "":
		return m.sessionOfRoom(ev)
	case ev.Participant.ID != "" || ev.Participant.ConnectionID != "":
		return m.sessions[m.peopleOf(ev.Source)[cmp.Or(ev.Participant.ID, ev.Participant.ConnectionID)]]
	}
	return nil
}

func (m *memory) newSession(state *engine.SessionState) *session {
	s := &session{seq: m.count(), state: state, room: room{state.Source, state.Room.ID}, at: -1}
	m.sessions[state.Key] = s
	m.sessionList = append(m.sessionList, s)
	m.rooms[s.room] = append(m.rooms[s.room], s)
	return s
}

// sessionOfRoom is the session of an event that names its room only.
func (m *memory) sessionOfRoom(ev *engine.Event) *session {
	found := slices.Clone(m.rooms[room{ev.Source, ev.Room.ID}])
	slices.Reverse(found)
	found = found[:min(len(found), roomSessions)]
	states := make([]*engine.SessionState, len(found))
	for i, s := range found {
		states[i] = s.state
	}
	best, changed := engine.Place(ev, states, ev.Source+"/"+ev.Room.ID+"/"+ev.ID)
	of := func(x *engine.SessionState) *session {
		if s := m.sessions[x.Key]; s != nil && s.state == x {
			return s
		}
		return m.newSession(x)
	}
	for _, x := range changed {
		m.touch(of(x), nil)
	}
	if best == nil {
		return nil
	}
	return of(best)
}

// touch notes that s is another now, and these of its people.
func (m *memory) touch(s *session, people []*engine.Person) {
	if s == nil {
		return
	}
	src := m.source(s.state.Source)
	src.count(s, -1)
	s.open, s.present = s.state.Status() == engine.Active, s.state.Crowd.Present
	src.count(s, 1)
	m.move(s)
	m.saw(s, people)
	m.looks.put(s, m.lookAt(s))
}

// move keeps the index of rooms.
func (m *memory) move(s *session) {
	now := room{s.state.Source, s.state.Room.ID}
	if now == s.room {
		return
	}
	m.rooms[s.room] = slices.DeleteFunc(m.rooms[s.room], func(x *session) bool { return x == s })
	s.room = now
	at, _ := slices.BinarySearchFunc(m.rooms[now], s, func(a, b *session) int { return cmp.Compare(a.seq, b.seq) })
	m.rooms[now] = slices.Insert(m.rooms[now], at, s)
}

// peopleOf are the open sessions people of a source were last seen in. They are
// kept from the first event on that names a participant only.
func (m *memory) peopleOf(source string) map[string]string {
	of := m.people[source]
	if of != nil {
		return of
	}
	of = map[string]string{}
	for _, s := range m.sessionList {
		if s.open && s.state.Source == source {
			for id := range s.state.People {
				of[id] = s.state.Key
			}
		}
	}
	m.people[source] = of
	return of
}

// saw notes that people of s were seen in it.
func (m *memory) saw(s *session, people []*engine.Person) {
	of := m.people[s.state.Source]
	if of == nil {
		return
	}
	if !s.open {
		for id := range s.state.People {
			if of[id] == s.state.Key {
				delete(of, id)
			}
		}
		return
	}
	for _, p := range people {
		of[p.ID] = s.state.Key
	}
}

// lookAt is when something follows in a session by itself, zero if nothing will.
func (m *memory) lookAt(s *session) time.Time {
	t := s.state.Look(m.timeout)
	if t.IsZero() {
		return t
	}
	t = t.Add(time.Microsecond - 1).Truncate(time.Microsecond)
	if now := m.now(); s.idle && !t.After(now) { // nothing follows from looking again at once
		return now.Add(lookAgain)
	}
	return t
}

// looks is a heap of sessions, that to be looked at first on top.
type looks []*session

func (q looks) Len() int { return len(q) }

func (q looks) Less(i, j int) bool {
	if d := q[i].look.Compare(q[j].look); d != 0 {
		return d < 0
	}
	return q[i].seq < q[j].seq
}

func (q looks) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].at, q[j].at = i, j
}

// Push implements [heap.Interface].
func (q *looks) Push(x any) {
	s := x.(*session)
	s.at = len(*q)
	*q = append(*q, s)
}

// Pop implements [heap.Interface].
func (q *looks) Pop() any {
	old := *q
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	last.at = -1
	return last
}

// put sets when s is to be looked at.
func (q *looks) put(s *session, when time.Time) {
	s.look = when
	switch {
	case when.IsZero() && s.at >= 0:
		heap.Remove(q, s.at)
	case when.IsZero():
	case s.at >= 0:
		heap.Fix(q, s.at)
	default:
		heap.Push(q, s)
	}
}

func (q looks) next() time.Time {
	if len(q) == 0 {
		return time.Time{}
	}
	return q[0].look
}

// due is the next session to look at, if it is time.
func (q looks) due(now time.Time) *session {
	if len(q) == 0 || q[0].look.After(now) {
		return nil
	}
	return q[0]
}

// plain reports whether anything follows but from silence.
func (q looks) plain() bool {
	return slices.ContainsFunc(q, func(s *session) bool { return !s.state.Look(0).IsZero() })
}
