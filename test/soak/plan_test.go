package soak

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"time"
)

// dayStart is when a day begins, and its platforms.
var dayStart = time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)

const (
	dayLong = 24 * time.Hour
	// drain is how long everything may take to come to its end once nothing
	// fails any more: two hours that are held, and then some.
	drain = 4 * time.Hour
	// meetings of a day.
	meetings = 60
)

// Names of events, as the platform has them.
const (
	started = "room_started"
	joined  = "participant_joined"
	left    = "participant_left"
	ended   = "session_ended"
)

// host is who is expected.
const host = "Host"

// meeting is one session, as it happens.
type meeting struct {
	sid, room string
	began     time.Time
	events    []*event
}

// event is what the platform says of a meeting.
type event struct {
	*meeting
	id     string // known to the server from the body only
	name   string
	person string
	at     time.Time
	sends  []time.Time // when it is sent: more than once is a duplicate
	acked  time.Time   // zero: never answered with 2xx
}

// plan is a day: what happens in it, and what goes wrong. It follows from the
// seed alone.
type plan struct {
	seed     uint64
	meetings []*meeting
	outages  []outage  // of the target
	changes  []change  // of the server, one after the other
	until    time.Time // then nothing fails any more
}

// outage is a time in which the target fails.
type outage struct {
	from, to time.Time
	how      string // one of troubles
}

// Changes of the server.
const (
	crash   = "crash"
	restart = "restart"
	reload  = "reload" // the rules change
)

type change struct {
	at     time.Time
	how    string
	points int           // crash: after so many things it does from then on
	down   time.Duration // for how long there is no server
}

func newPlan(seed uint64) *plan {
	r := rand.New(rand.NewPCG(seed, 0))
	p := &plan{seed: seed, until: dayStart.Add(dayLong)}
	for n := range meetings {
		p.meetings = append(p.meetings, newMeeting(r, n))
	}
	for range 3 + r.IntN(5) {
		from := dayStart.Add(upTo(r, dayLong))
		p.outages = append(p.outages, outage{from, from.Add(upTo(r, 25*time.Minute)), troubles[r.IntN(len(troubles))]})
	}
	all := []string{crash, crash, restart, reload}
	for at := dayStart.Add(upTo(r, 4*time.Hour)); at.Before(p.until); at = at.Add(20*time.Minute + upTo(r, 4*time.Hour)) {
		p.changes = append(p.changes, change{at, all[r.IntN(len(all))], 1 + r.IntN(60), upTo(r, 10*time.Minute)})
	}
	return p
}

func upTo(r *rand.Rand, most time.Duration) time.Duration {
	return time.Duration(r.Int64N(int64(most)))
}

// newMeeting makes up the meeting n. It is short, long, or has no end.
func newMeeting(r *rand.Rand, n int) *meeting {
	length := 10*time.Minute + upTo(r, 80*time.Minute)
	if r.IntN(5) == 0 {
		length = 160*time.Minute + upTo(r, 3*time.Hour)
	}
	length = length.Truncate(time.Second)
	m := &meeting{sid: fmt.Sprintf("S%03d", n), room: fmt.Sprintf("room-%d", n)}
	m.began = dayStart.Add(upTo(r, dayLong-length)).Truncate(time.Second)
	m.say(r, started, "", 0)
	for i := range 1 + r.IntN(5) {
		person, at := fmt.Sprintf("p%d", i), upTo(r, 8*time.Minute)
		if i == 0 && r.IntN(2) == 0 {
			person = host
		}
		m.say(r, joined, person, at.Truncate(time.Second))
		if r.IntN(2) == 0 {
			m.say(r, left, person, (at + upTo(r, length-at)).Truncate(time.Second))
		}
	}
	if r.IntN(10) > 0 {
		m.say(r, ended, "", length)
	}
	return m
}

// say adds an event. It is sent a little after it happened, now and then much
// later, and now and then more than once.
func (m *meeting) say(r *rand.Rand, name, person string, after time.Duration) {
	e := &event{meeting: m, id: fmt.Sprintf("%s-%d", m.sid, len(m.events)), name: name, person: person, at: m.began.Add(after)}
	late := upTo(r, 5*time.Second)
	switch r.IntN(20) {
	case 0:
		late = upTo(r, 15*time.Minute)
	case 1, 2, 3:
		late = upTo(r, time.Minute)
	}
	e.sends = []time.Time{e.at.Add(late)}
	for r.IntN(5) == 0 {
		again := upTo(r, 2*time.Second)
		if r.IntN(3) == 0 {
			again = upTo(r, time.Hour)
		}
		e.sends = append(e.sends, e.sends[0].Add(again))
	}
	m.events = append(m.events, e)
}

// body is the webhook.
func (e *event) body() ([]byte, error) {
	body := map[string]any{
		"event": e.name, "id": e.id, "created_at": fmt.Sprint(e.at.Unix()),
		"room": map[string]any{"sid": e.sid, "room_id": e.room, "creation_time": fmt.Sprint(e.began.Unix())},
	}
	if e.person != "" {
		body["participant"] = map[string]any{"identity": e.person, "sid": "PA_" + e.sid + e.person, "name": e.person}
	}
	return json.Marshal(body)
}

func (e *event) String() string { return fmt.Sprintf("%s (%s)", e.id, e.name) }

// minutes is what the meeting costs, by arithmetic of our own: begun ones.
func (e *event) minutes() int64 { return (e.at.Unix() - e.began.Unix() + 59) / 60 }

// chance is a number in [0,1) that follows from the seed and what it is for, and
// not from what happened before: who comes first must not change the others.
func (p *plan) chance(what string, n int) float64 {
	h := fnv.New64a()
	fmt.Fprint(h, what, n)
	return rand.New(rand.NewPCG(p.seed, h.Sum64())).Float64()
}
