package witness

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"
)

// meeting is one session, as it is going to happen.
type meeting struct {
	n      int
	sid    string
	room   string
	began  time.Time
	events []*event
	next   int // of the events, the one to be sent
}

// event is what a platform says of a meeting.
type event struct {
	*meeting
	n      int    // of the meeting, from 0
	id     string // known to the server from the body only
	name   string // as the platform calls it
	person string // "" where it is not about somebody
	at     time.Time
	sent   time.Time // for the first time
	acked  time.Time // zero: never answered with 2xx
}

// Names of events, as the platform has them.
const (
	started = "room_started"
	joined  = "participant_joined"
	left    = "participant_left"
	ended   = "session_ended"
)

// host is who is expected, in time or not at all.
const host = "Host"

// hostWithin is how long the rule late waits for the host.
const hostWithin = time.Minute

// newMeeting makes up the meeting n of this seed, in room. Its end is now.
func newMeeting(r *rand.Rand, seed uint64, n int, room string, allEnd bool, now time.Time) *meeting {
	m := &meeting{n: n, sid: fmt.Sprintf("SW_%d_%06d", seed, n), room: room}
	length := time.Duration(10+r.IntN(50)) * time.Second // the host may still come
	if r.IntN(4) > 0 {
		length = time.Duration(61+r.IntN(2*3600)) * time.Second
	}
	now = now.UTC().Truncate(time.Second)
	m.began = now.Add(-length)
	m.say(started, "", 0)
	people := make([]string, 2+r.IntN(5))
	for i := range people {
		people[i] = fmt.Sprintf("%s-p%d", m.sid, i)
		if i == 0 && r.IntN(5) < 3 {
			people[i] = host
		}
	}
	at := time.Second
	for _, p := range people { // the host comes within a minute
		m.say(joined, p, at)
		at += time.Duration(r.IntN(2)) * time.Second
	}
	for _, p := range people {
		if r.IntN(2) == 0 {
			m.say(left, p, length-time.Second)
		}
	}
	if r.IntN(8) > 0 || allEnd {
		m.say(ended, "", length)
	} else { // nobody ever says so: its room stays taken
		m.room = fmt.Sprintf("open-%d", n)
	}
	return m
}

func (m *meeting) say(name, person string, after time.Duration) {
	n := len(m.events)
	m.events = append(m.events, &event{
		meeting: m, n: n, name: name, person: person, at: m.began.Add(after),
		id: fmt.Sprintf("%s_%02d", m.sid, n),
	})
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
