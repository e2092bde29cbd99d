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
	Conns       map[string]*conn `json:"conns"`
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
	Leaves []time.Time `json:"leaves,omitempty"`
}

// last is the newest moment of the connection.
func (c *conn) last() (t time.Time) {
	if n := len(c.Joins); n > 0 {
		t = c.Joins[n-1]
	}
	if n := len(c.Leaves); n > 0 {
		t = latest(t, c.Leaves[n-1])
	}
	return t
}

// visit is one stay. A zero from is unknown; a zero to is still there.
type visit struct{ from, to time.Time }

func (v visit) open() bool { return v.to.IsZero() }

// visits reads the marks in the order of time: a join while there and a
// leave while away say nothing new.
func (c *conn) visits() []visit {
	var out []visit
	j, l := 0, 0
	inside := false
	for j < len(c.Joins) || l < len(c.Leaves) {
		takeJoin := l == len(c.Leaves)
		if j < len(c.Joins) && l < len(c.Leaves) {
			if d := c.Joins[j].Compare(c.Leaves[l]); d != 0 {
				takeJoin = d < 0
			} else {
				takeJoin = !inside
			}
		}
		if takeJoin {
			if !inside {
				out = append(out, visit{from: c.Joins[j]})
				inside = true
			}
			j++
			continue
		}
		switch {
		case inside:
			out[len(out)-1].to = c.Leaves[l]
			inside = false
		case len(out) == 0:
			out = append(out, visit{to: c.Leaves[l]})
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

// foldPerson keeps what ev says of its participant. news: its visits changed.
func (s *SessionState) foldPerson(ev *Event) (p *Person, news bool) {
	x := &ev.Participant
	if x.ID == "" {
		return nil, false
	}
	p = s.People[x.ID]
	if p == nil {
		p = &Person{ID: x.ID, Conns: map[string]*conn{}}
		s.People[x.ID] = p
	}
	before := p.stays(s.End.At)
	counted := p.counts()
	p.Name.add(x.Name, ev.Time)
	p.Email.add(x.Email, ev.Time)
	p.Role.add(x.Role, ev.Time)
	p.Kind.add(x.Kind, ev.Time)
	p.LeaveReason.add(x.LeaveReason, ev.Time)
	if x.Metadata != nil && !ev.Time.Before(p.MetadataAt) {
		p.Metadata, p.MetadataAt = x.Metadata, ev.Time
	}
	news, added := p.foldVisit(ev)
	s.foldHost(p)
	switch {
	case counted == p.counts() && !news:
	case counted == p.counts() && s.End.At.IsZero() && len(added) == 1 && added[0].After(s.Crowd.Mark):
		s.Crowd.replace(before, p.stays(s.End.At), p.counts())
		s.Crowd.Mark = added[0]
	default:
		s.count()
	}
	return p, news
}

// foldVisit adds the moments ev states. It reports whether the visits are
// others now, and which moments are new.
func (p *Person) foldVisit(ev *Event) (news bool, added []time.Time) {
	if ev.Type != ParticipantJoined && ev.Type != ParticipantLeft {
		return false, nil
	}
	x := &ev.Participant
	c := p.Conns[x.ConnectionID]
	if c == nil {
		c = &conn{}
		p.Conns[x.ConnectionID] = c
	}
	before := c.visits()
	joined, left := x.Joined, time.Time{}
	if ev.Type == ParticipantJoined {
		joined = cmp.Or(joined, ev.Time)
	} else {
		left = cmp.Or(x.Left, ev.Time)
		if joined.IsZero() && x.Duration != nil {
			joined = left.Add(-*x.Duration)
		}
	}
	for _, m := range []struct {
		at    time.Time
		marks *[]time.Time
	}{{joined, &c.Joins}, {left, &c.Leaves}} {
		i, known := slices.BinarySearchFunc(*m.marks, m.at, time.Time.Compare)
		if m.at.IsZero() || known {
			continue
		}
		*m.marks = slices.Insert(*m.marks, i, m.at)
		added = append(added, m.at)
	}
	return !slices.Equal(before, c.visits()), added
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
		x := p.view(s.End.At, now)
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
	out := make([]Participant, 0, len(s.People))
	for _, p := range s.People {
		out = append(out, p.view(s.End.At, now))
	}
	slices.SortFunc(out, func(a, b Participant) int {
		return cmp.Or(a.Joined.Compare(b.Joined), cmp.Compare(a.ID, b.ID))
	})
	return out
}

// Crowd is the headcount of a session, kept up to date event by event so that
// a large session costs no more than a small one.
type Crowd struct {
	Present int           `json:"present,omitempty"`
	Peak    int           `json:"peak,omitempty"`
	Mark    time.Time     `json:"mark,omitzero"`    // newest moment that is counted in
	Closed  time.Duration `json:"closed,omitempty"` // time of all finished stays
	Base    time.Time     `json:"base,omitzero"`    // open stays began, on the whole,
	Since   time.Duration `json:"since,omitempty"`  // this long after Base
}

// attended is everyone's time up to now.
func (c *Crowd) attended(now time.Time) time.Duration {
	return max(0, c.Closed+time.Duration(c.Present)*now.Sub(c.Base)-c.Since)
}

func (c *Crowd) add(v visit, n int) {
	if !v.open() {
		c.Closed += time.Duration(n) * v.to.Sub(v.from)
		return
	}
	if c.Base.IsZero() {
		c.Base = v.from
	}
	c.Present += n
	c.Since += time.Duration(n) * v.from.Sub(c.Base)
}

// replace exchanges one person's stays, when the change is the newest of all.
func (c *Crowd) replace(before, after []visit, counts bool) {
	if !counts {
		return
	}
	for _, v := range before {
		c.add(v, -1)
	}
	for _, v := range after {
		c.add(v, 1)
	}
	c.Peak = max(c.Peak, c.Present)
}

// count computes the headcount anew. Who leaves at the moment another comes
// is not there together with him.
func (s *SessionState) count() {
	type step struct {
		at time.Time
		n  int
	}
	var c Crowd
	var steps []step
	for _, p := range s.People {
		for _, x := range p.Conns {
			c.Mark = latest(c.Mark, x.last())
		}
		if !p.counts() {
			continue
		}
		for _, v := range p.stays(s.End.At) {
			c.add(v, 1)
			steps = append(steps, step{v.from, 1})
			if !v.open() {
				steps = append(steps, step{v.to, -1})
			}
		}
	}
	slices.SortFunc(steps, func(a, b step) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.n, b.n)) })
	n := 0
	for _, x := range steps {
		n += x.n
		c.Peak = max(c.Peak, n)
	}
	s.Crowd = c
}
