package scenario

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// day is a generated day: what really happened in its meetings, and what the
// platforms tell of it.
type day struct {
	rooms []*room
}

// room is a room with its meetings, one after the other, and everything that
// is delivered about them, by the time it arrives.
type room struct {
	source     string
	id         string
	meetings   []*meeting
	deliveries []delivery
}

type meeting struct {
	id         string // "" on a platform that has none
	start, end time.Time
	people     []*person
	record     bool
	ready      time.Time // the recording; zero: never
	mediaEnd   string    // of Plug-N-Meet: "", "before", "after", "alone"

	firstKnown, startKnown, endKnown time.Time // when Gavel hears of it
}

type person struct {
	id    string
	host  bool
	vip   bool
	bot   bool
	stays []stay
}

// stay is one connection. A zero to: until the end.
type stay struct{ from, to time.Time }

// delivery is an event on its way.
type delivery struct {
	event     engine.Event
	key       string
	received  time.Time
	duplicate bool // a key seen before
	repeat    bool // said before, in a delivery of its own
}

func (d *day) deliveries() (n int) {
	for _, r := range d.rooms {
		n += len(r.deliveries)
	}
	return n
}

// restarts are between events.
func (d *day) restarts() []time.Time {
	return []time.Time{dayStart.Add(7*time.Hour + 13*time.Minute + 7*time.Second), dayStart.Add(16*time.Hour + 40*time.Minute + 47*time.Second)}
}

// end is when everything that waits has happened.
func (d *day) end() time.Time { return dayStart.Add(49*time.Hour + 30*time.Minute) }

// Everything happens three seconds past an even minute, when nothing of the rules
// is due. Much happens at once then, which is also what makes the day short:
// the store takes it all in one transaction.
const (
	tick  = 2 * time.Minute
	phase = 3 * time.Second
)

func newDay(rng *rand.Rand, meetings int) *day {
	d := &day{}
	for n := 0; n < meetings; {
		source := [...]string{"lk", "lk", "lk", "pnm", "pnm", "meet", "meet", "meet", "meet", "meet"}[rng.IntN(10)]
		g := &generator{rng: rng, room: &room{source: source, id: fmt.Sprintf("room-%d", len(d.rooms))}, used: map[time.Duration]bool{}}
		at := time.Duration(rng.IntN(3600)) * time.Second
		for n < meetings {
			length := g.length()
			if at+length > 23*time.Hour+50*time.Minute {
				break
			}
			at = g.meeting(at, length) + time.Duration(60+rng.IntN(1800))*time.Second
			n++
		}
		slices.SortStableFunc(g.room.deliveries, func(a, b delivery) int {
			return cmp.Or(a.received.Compare(b.received), a.event.Time.Compare(b.event.Time))
		})
		d.rooms = append(d.rooms, g.room)
	}
	return d
}

// generator makes the meetings of a room.
type generator struct {
	rng  *rand.Rand
	room *room
	used map[time.Duration]bool // moments at which something has happened
	m    *meeting
	n    int // deliveries
}

func (g *generator) chance(percent int) bool { return g.rng.IntN(100) < percent }

// between is a time of from up to to minutes.
func (g *generator) between(from, to int) time.Duration {
	return time.Duration(from*60+g.rng.IntN((to-from)*60)) * time.Second
}

func (g *generator) length() time.Duration {
	switch n := g.rng.IntN(10); {
	case n < 2:
		return g.between(20, 40)
	case n < 7:
		return g.between(40, 80)
	case n < 9:
		return g.between(80, 125)
	}
	return g.between(115, 190)
}

// moment is the next tick at which nothing has happened in the room.
func (g *generator) moment(at time.Duration) time.Time {
	at = at.Truncate(tick)
	for g.used[at] {
		at += tick
	}
	g.used[at] = true
	return dayStart.Add(at + phase)
}

// meeting adds a meeting, and is when it has ended.
func (g *generator) meeting(at, length time.Duration) time.Duration {
	m := &meeting{start: g.moment(at)}
	g.m = m
	if g.room.source != "meet" {
		m.id = fmt.Sprintf("%s-%d", g.room.id, len(g.room.meetings))
		g.people(at, length)
	}
	g.room.meetings = append(g.room.meetings, m)
	end := at + length
	for _, p := range m.people {
		for _, s := range p.stays {
			end = max(end, s.from.Sub(dayStart)+2*time.Minute, s.to.Sub(dayStart)+2*time.Minute)
		}
	}
	m.end = g.moment(end)
	if g.room.source == "lk" {
		if m.record = g.chance(40); m.record && g.chance(80) {
			m.ready = m.end.Add([...]time.Duration{10 * time.Minute, 25 * time.Minute, 40 * time.Minute}[g.rng.IntN(3)])
		}
	}
	if g.room.source == "pnm" {
		m.mediaEnd = [...]string{"", "before", "after", "alone"}[g.rng.IntN(4)]
	}
	g.deliver()
	return m.end.Sub(dayStart)
}

// people come and go. at is the start.
func (g *generator) people(at, length time.Duration) {
	m := g.m
	add := func(p *person) *person {
		p.id = fmt.Sprintf("p%d", len(m.people))
		m.people = append(m.people, p)
		return p
	}
	switch n := g.rng.IntN(10); {
	case n < 7:
		add(&person{host: true}).stays = []stay{{from: g.moment(at + g.between(0, 3))}}
	case n < 9:
		add(&person{host: true}).stays = []stay{{from: g.moment(at + g.between(6, 9))}}
	}
	others := 1
	if g.chance(20) {
		others += g.rng.IntN(5)
	}
	for range others {
		p := add(&person{vip: g.chance(5), bot: g.chance(8)})
		p.stays = []stay{{from: g.moment(at + g.between(0, 10))}}
	}
	if g.chance(10) { // a second device
		p := m.people[g.rng.IntN(len(m.people))]
		from := at + g.between(10, 12)
		p.stays = append(p.stays, stay{from: g.moment(from), to: g.moment(from + 2*tick)})
	}
	if g.chance(12) { // a bad line
		p := m.people[g.rng.IntN(len(m.people))]
		t := at + 13*time.Minute
		for range 2 + g.rng.IntN(4) {
			p.hangUp(g.moment(t))
			p.stays = append(p.stays, stay{from: g.moment(t + tick)})
			t += 2 * tick
		}
	}
	if g.chance(20) { // everybody but the bots goes out for a while
		t := at + length/2 + time.Minute
		back := t + time.Duration(len(m.people))*tick + g.between(4, 16)
		for _, p := range m.people {
			if !p.bot {
				p.hangUp(g.moment(t))
			}
		}
		for _, p := range m.people {
			if !p.bot && g.chance(70) {
				p.stays = append(p.stays, stay{from: g.moment(back)})
			}
		}
		return
	}
	for _, p := range m.people { // some leave early
		if g.chance(30) {
			p.hangUp(g.moment(at + length*4/5 + g.between(0, 2)))
		}
	}
}

// hangUp ends the connection that is open.
func (p *person) hangUp(at time.Time) {
	for i := range p.stays {
		if s := &p.stays[i]; s.to.IsZero() && s.from.Before(at) {
			s.to = at
		}
	}
}

// deliver makes the deliveries of the meeting.
func (g *generator) deliver() {
	m := g.m
	room := engine.Room{ID: g.room.id, Name: g.room.id}
	started := engine.Event{Type: engine.SessionStarted, Time: m.start, Room: room}
	if m.record {
		started.Room.Metadata = map[string]any{"record": "yes"}
	}
	m.startKnown = g.send(started, g.delay())
	for _, p := range m.people {
		for i, s := range p.stays {
			ev := engine.Event{Type: engine.ParticipantJoined, Time: s.from, Room: room}
			ev.Participant = engine.Participant{ID: p.id, ConnectionID: fmt.Sprintf("%s-c%d", p.id, i), Name: p.id, Metadata: map[string]any{}}
			if p.host {
				ev.Participant.Metadata["role"] = "host"
			}
			if p.vip {
				ev.Participant.Metadata["email"] = "ceo@example.com"
			}
			if p.bot {
				ev.Participant.Kind = engine.KindBot
			}
			g.send(ev, 0)
			if !s.to.IsZero() {
				ev.Type, ev.Time = engine.ParticipantLeft, s.to
				g.send(ev, 0)
			}
		}
	}
	if m.record {
		rec := engine.Event{Type: engine.RecordingStarted, Time: m.start.Add(5 * time.Second), Room: room, Recording: engine.Recording{ID: m.id + "-r"}}
		g.send(rec, g.delay())
		if !m.ready.IsZero() {
			rec.Type, rec.Time = engine.RecordingEnded, m.ready
			g.send(rec, g.delay())
		}
	}
	ended := engine.Event{Type: engine.SessionEnded, Time: m.end, Room: room}
	media := engine.Event{Type: engine.SessionMediaEnded, Time: m.end, Room: room}
	switch m.mediaEnd {
	case "before":
		g.send(media, 0)
		m.endKnown = g.send(ended, 5*time.Second)
	case "after":
		m.endKnown = g.send(ended, 0)
		g.send(media, 5*time.Second)
	case "alone":
		m.endKnown = g.send(media, 0).Add(10 * time.Second)
	default:
		m.endKnown = g.send(ended, g.delay())
	}
}

// delay is how late a delivery is: mostly not at all.
func (g *generator) delay() time.Duration {
	if g.chance(90) {
		return 0
	}
	return time.Duration(1+g.rng.IntN(2)) * tick
}

// send adds a delivery, and sometimes the same one again, or the same event in
// another one.
func (g *generator) send(ev engine.Event, delay time.Duration) (received time.Time) {
	ev.Source, ev.Session.ID, ev.Raw = g.room.source, g.m.id, json.RawMessage("{}")
	received = ev.Time.Add(delay)
	if g.m.firstKnown.IsZero() || received.Before(g.m.firstKnown) {
		g.m.firstKnown = received
	}
	g.n++
	x := delivery{event: ev, key: fmt.Sprintf("%s-%d", g.room.id, g.n), received: received}
	g.room.deliveries = append(g.room.deliveries, x)
	if g.chance(4) {
		again := x
		again.received, again.duplicate = received.Add(time.Duration(g.rng.IntN(10))*tick), true
		g.room.deliveries = append(g.room.deliveries, again)
	}
	if g.chance(3) {
		again := x
		again.key += "-again"
		again.received, again.repeat = received.Add(time.Duration(g.rng.IntN(5))*tick), true
		g.room.deliveries = append(g.room.deliveries, again)
	}
	return received
}
