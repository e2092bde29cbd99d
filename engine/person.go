package engine

import (
	"cmp"
	"slices"
	"time"
)

// Person is one participant of a session over all connections: the newest
// facts, and when each connection came and went.
type Person struct {
	ID          string           `json:"id"`
	Name        fact             `json:"name,omitzero"`
	Email       fact             `json:"email,omitzero"`
	Role        fact             `json:"role,omitzero"`
	Kind        fact             `json:"kind,omitzero"`
	LeaveReason fact             `json:"leave_reason,omitzero"`
	Metadata    map[string]any   `json:"metadata,omitempty"`
	MetadataAt  time.Time        `json:"metadata_at,omitzero"`
	Seen        time.Time        `json:"seen,omitzero"` // event time of the first event
	Conns       map[string]*conn `json:"conns"`
	Log         []Event          `json:"log,omitempty"` // by room only: see Place
}

// fact is a text and the time of the event that said it; a later one wins.
type fact struct {
	Text string    `json:"text"`
	At   time.Time `json:"at"`
}

func (f *fact) add(text string, at time.Time) {
	if text == "" {
		return
	}
	if f.Text == "" || at.After(f.At) || (at.Equal(f.At) && text > f.Text) {
		f.Text, f.At = text, at
	}
}

// conn holds the moments one connection came and went, each sorted and once.
type conn struct {
	Joins  []time.Time `json:"joins,omitempty"`
	Stated []time.Time `json:"stated,omitempty"` // joins that only participant_left told of
	Leaves []time.Time `json:"leaves,omitempty"`
	Gone   time.Time   `json:"gone,omitzero"` // end for which its departure was announced
}

// last is the newest moment of the connection.
func (c *conn) last() (t time.Time) {
	for _, marks := range [][]time.Time{c.Joins, c.Stated, c.Leaves} {
		if n := len(marks); n > 0 {
			t = latest(t, marks[n-1])
		}
	}
	return t
}

// visit is one stay. A zero from is unknown; a zero to is still there.
type visit struct{ from, to time.Time }

func (v visit) open() bool { return v.to.IsZero() }

// visits are the stays of the connection.
func (c *conn) visits() []visit {
	joins := c.Joins
	if len(c.Stated) > 0 {
		joins = slices.Concat(c.Joins, c.Stated)
		slices.SortFunc(joins, time.Time.Compare)
		joins = slices.CompactFunc(joins, time.Time.Equal)
	}
	return visits(joins, c.Leaves)
}

// visits reads the marks in the order of time: a join while there and a
// leave while away say nothing new.
func visits(joins, leaves []time.Time) []visit {
	var out []visit
	j, l := 0, 0
	inside := false
	for j < len(joins) || l < len(leaves) {
		takeJoin := l == len(leaves)
		if j < len(joins) && l < len(leaves) {
			if d := joins[j].Compare(leaves[l]); d != 0 {
				takeJoin = d < 0
			} else {
				takeJoin = !inside
			}
		}
		if takeJoin {
			if !inside {
				out = append(out, visit{from: joins[j]})
				inside = true
			}
			j++
			continue
		}
		switch {
		case inside:
			out[len(out)-1].to = leaves[l]
			inside = false
		case len(out) == 0:
			out = append(out, visit{to: leaves[l]})
		}
		l++
	}
	return out
}

// stays are the times the person was there, over all connections, clipped at
// end (zero: not ended), merged and sorted: two devices at once count once.
func (p *Person) stays(end time.Time) []visit {
	var all []visit
	for _, c := range p.Conns {
		for _, v := range c.visits() {
			if v.from.IsZero() {
				continue // nobody knows for how long
			}
			if !end.IsZero() {
				if !v.from.Before(end) {
					continue // came after the end
				}
				if v.open() || v.to.After(end) {
					v.to = end
				}
			}
			all = append(all, v)
		}
	}
	if len(all) < 2 {
		return all
	}
	slices.SortFunc(all, func(a, b visit) int { return a.from.Compare(b.from) })
	out := all[:1]
	for _, v := range all[1:] {
		last := &out[len(out)-1]
		switch {
		case last.open():
		case v.from.After(last.to):
			out = append(out, v)
		case v.open() || v.to.After(last.to):
			last.to = v.to
		}
	}
	return out
}

// counts reports whether the person is one of those that are counted.
func (p *Person) counts() bool { return p.Kind.Text != KindBot && p.Kind.Text != KindRecorder }

// heads are the stays that are counted.
func (p *Person) heads(end time.Time) []visit {
	if !p.counts() {
		return nil
	}
	return p.stays(end)
}

// foldPerson keeps what ev says of its participant. repeat: it tells again of
// a coming or going.
func (s *SessionState) foldPerson(ev *Event) (p *Person, repeat bool) {
	x := &ev.Participant
	if x.ID == "" {
		return nil, false
	}
	p = s.People[x.ID]
	if p == nil {
		p = &Person{ID: x.ID, Conns: map[string]*conn{}}
		s.People[x.ID] = p
	}
	end := s.ended().At
	counted, heads, leaving := p.counts(), p.heads(end), len(s.leaving(p))
	p.Seen = earliest(p.Seen, ev.Time)
	p.Name.add(x.Name, ev.Time)
	p.Email.add(x.Email, ev.Time)
	p.Role.add(x.Role, ev.Time)
	p.Kind.add(x.Kind, ev.Time)
	p.LeaveReason.add(x.LeaveReason, ev.Time)
	newer(&p.Metadata, &p.MetadataAt, x.Metadata, ev.Time)
	s.foldHost(p)
	var added []time.Time
	switch ev.Type {
	case ParticipantJoined:
		repeat, added = p.foldJoin(ev)
	case ParticipantLeft:
		repeat, added = p.foldLeave(ev)
		repeat = repeat || s.announced(p.Conns[x.ConnectionID])
	}
	s.departures += len(s.leaving(p)) - leaving
	s.recount(heads, p.heads(end), added, counted == p.counts())
	return p, repeat
}

func (p *Person) conn(id string) *conn {
	c := p.Conns[id]
	if c == nil {
		c = &conn{}
		p.Conns[id] = c
	}
	return c
}

// foldJoin adds the moment ev states. It is new even if participant_left has
// told of it before: it was overtaken.
func (p *Person) foldJoin(ev *Event) (repeat bool, added []time.Time) {
	c := p.conn(ev.Participant.ConnectionID)
	heard := visits(c.Joins, c.Leaves)
	at := cmp.Or(ev.Participant.Joined, ev.Time)
	if mark(&c.Joins, at) && !marked(c.Stated, at) {
		added = append(added, at)
	}
	return slices.Equal(heard, visits(c.Joins, c.Leaves)), added
}

// foldLeave adds the moments ev states.
func (p *Person) foldLeave(ev *Event) (repeat bool, added []time.Time) {
	x := &ev.Participant
	c := p.conn(x.ConnectionID)
	heard := visits(c.Joins, c.Leaves)
	left := cmp.Or(x.Left, ev.Time)
	joined := x.Joined
	if joined.IsZero() && x.Duration != nil {
		joined = left.Add(-*x.Duration)
	}
	if !joined.IsZero() && !joined.After(left) && !marked(c.Joins, joined) && mark(&c.Stated, joined) {
		added = append(added, joined)
	}
	if mark(&c.Leaves, left) {
		added = append(added, left)
	}
	return slices.Equal(heard, visits(c.Joins, c.Leaves)), added
}

func marked(marks []time.Time, at time.Time) bool {
	_, known := slices.BinarySearchFunc(marks, at, time.Time.Compare)
	return known
}

// mark adds a moment. It reports whether that is a new one.
func mark(marks *[]time.Time, at time.Time) bool {
	i, known := slices.BinarySearchFunc(*marks, at, time.Time.Compare)
	if !known {
		*marks = slices.Insert(*marks, i, at)
	}
	return !known
}

func (s *SessionState) foldHost(p *Person) {
	i, listed := slices.BinarySearch(s.Hosts, p.ID)
	switch is := p.Role.Text == RoleHost; {
	case is && !listed:
		s.Hosts = slices.Insert(s.Hosts, i, p.ID)
	case !is && listed:
		s.Hosts = slices.Delete(s.Hosts, i, i+1)
	}
}

// host is the present host who came first, else the one who came first.
func (s *SessionState) host(now time.Time) *Participant {
	var best *Participant
	for _, id := range s.Hosts {
		p := s.People[id]
		if p == nil {
			continue
		}
		x := p.view(s.ended().At, now)
		if best == nil || (x.Present && !best.Present) || (x.Present == best.Present && x.Joined.Before(best.Joined)) {
			best = &x
		}
	}
	return best
}

// view is the person at now in a session that ended at end (zero: it did not).
func (p *Person) view(end, now time.Time) Participant {
	x := Participant{
		ID: p.ID, Name: p.Name.Text, Email: p.Email.Text, Role: p.Role.Text,
		Kind: cmp.Or(p.Kind.Text, KindPerson), LeaveReason: p.LeaveReason.Text, Metadata: p.Metadata,
	}
	stays := p.stays(end)
	for _, v := range stays {
		to := v.to
		if v.open() {
			x.Present = true
			to = latest(now, v.from)
		} else {
			x.Left = v.to
		}
		x.Total += to.Sub(v.from)
	}
	if x.Present {
		x.Left = time.Time{}
	}
	if len(stays) > 0 {
		x.Joined = stays[0].from
		total := x.Total
		x.Duration = &total
	} else {
		for _, c := range p.Conns {
			for _, v := range c.visits() {
				x.Left = latest(x.Left, v.to)
			}
		}
	}
	var newest time.Time
	for id, c := range p.Conns {
		mark := c.last()
		if d := mark.Compare(newest); d > 0 || (d == 0 && id > x.ConnectionID) {
			newest, x.ConnectionID = mark, id
		}
	}
	return x
}

// Participants is everyone seen, at now, by the time of joining.
func (s *SessionState) Participants(now time.Time) []Participant {
	end := s.ended().At
	out := make([]Participant, 0, len(s.People))
	for _, p := range s.People {
		out = append(out, p.view(end, now))
	}
	return byJoining(out)
}

func byJoining(all []Participant) []Participant {
	slices.SortFunc(all, func(a, b Participant) int {
		return cmp.Or(a.Joined.Compare(b.Joined), cmp.Compare(a.ID, b.ID))
	})
	return all
}

// ParticipantsAt is everyone seen by t, as they were then, for a run that goes
// on with what it saw: who came later is not among them, and who left later is
// still there. Names and roles are the newest.
func (s *SessionState) ParticipantsAt(t time.Time) []Participant {
	end := s.ended().At
	if end.After(t) {
		end = time.Time{}
	}
	out := []Participant{}
	for _, p := range s.People {
		if then := p.at(t); then != nil {
			out = append(out, then.view(end, t))
		}
	}
	return byJoining(out)
}

// at is the person as of t; nil if nothing had been seen of them.
func (p *Person) at(t time.Time) *Person {
	until := func(marks []time.Time) []time.Time {
		n, _ := slices.BinarySearchFunc(marks, t, func(m, t time.Time) int {
			if m.After(t) {
				return 1
			}
			return -1
		})
		return marks[:n]
	}
	then := *p
	then.Conns = map[string]*conn{}
	seen := !p.Seen.After(t)
	for id, c := range p.Conns {
		x := &conn{Joins: until(c.Joins), Stated: until(c.Stated), Leaves: until(c.Leaves)}
		if !x.last().IsZero() {
			then.Conns[id] = x
			seen = true
		}
	}
	if !seen {
		return nil
	}
	return &then
}
