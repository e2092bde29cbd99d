package diff

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"
)

// start is when the first day begins.
var start = time.Date(2025, 3, 3, 0, 0, 0, 0, time.UTC)

// delivery is what a platform sends, and when it arrives.
type delivery struct {
	source string
	body   []byte
	at     time.Time
}

// calendar makes up meetings, and what the platforms tell of them.
type calendar struct {
	rng   *rand.Rand
	rooms int // of each source
	n     int // meetings so far
	sent  []delivery
}

// newCalendar makes this many meetings over some days.
func newCalendar(seed uint64, meetings, days int) *calendar {
	c := &calendar{rng: rand.New(rand.NewPCG(seed, 1)), rooms: max(40, meetings/20)}
	for c.n < meetings {
		source := [...]string{"livekit", "livekit", "plugnmeet", "plugnmeet", "meet"}[c.n%5]
		began := start.Add(time.Duration(c.rng.IntN(days*24*3600-3*3600)) * time.Second)
		c.meeting(source, began)
	}
	slices.SortStableFunc(c.sent, func(a, b delivery) int { return a.at.Compare(b.at) })
	return c
}

func (c *calendar) chance(percent int) bool { return c.rng.IntN(100) < percent }

func (c *calendar) seconds(from, to int) time.Duration {
	return time.Duration(from+c.rng.IntN(to-from)) * time.Second
}

// meeting is one meeting on its way.
type meeting struct {
	*calendar
	source, room, name, sid string
	began, ended            time.Time
}

func (c *calendar) meeting(source string, began time.Time) {
	c.n++
	room := c.rng.IntN(c.rooms)
	m := &meeting{
		calendar: c, source: source, room: fmt.Sprintf("%s-room-%d", source, room), sid: fmt.Sprintf("RM_%s_%d", source, c.n),
		name:  [...]string{"Weekly sync", "Board", "Zoë's \"1:1\"", "=2+5", "\x1b[31mred\x07", "a\nb"}[room%6],
		began: began, ended: began.Add(c.seconds(300, 7200)),
	}
	m.send("started", m.began, nil)
	if source != "meet" {
		for who := range 1 + c.rng.IntN(5) {
			m.person(who)
		}
	}
	if source == "livekit" && c.chance(30) {
		m.send("recorded", m.ended.Add(c.seconds(60, 3000)), nil)
	}
	if !c.chance(3) { // else nobody says that it ended
		m.send("ended", m.ended, nil)
	}
}

// person comes, and perhaps goes and comes again.
func (m *meeting) person(n int) {
	from := m.began.Add(m.seconds(1, 500))
	for stay := 0; from.Before(m.ended.Add(-2 * time.Minute)); stay++ {
		who := map[string]any{"id": fmt.Sprintf("user-%d", n), "sid": fmt.Sprintf("PA_%d_%d_%d", m.n, n, stay), "since": from}
		if n == 0 {
			who["role"] = "host"
		}
		if n == 1 && m.chance(40) {
			who["email"] = "ceo@example.com"
		}
		m.send("joined", from, who)
		to := from.Add(m.seconds(60, 2400))
		if to.After(m.ended) || !m.chance(60) {
			return // is there until the end
		}
		m.send("left", to, who)
		if !m.chance(70) {
			return
		}
		from = to.Add(m.seconds(5, 300))
	}
}

// send adds a delivery: mostly at once, sometimes late, sometimes twice.
func (m *meeting) send(what string, at time.Time, who map[string]any) {
	body := m.mediaServer
	if m.source == "meet" {
		body = m.openViduMeet
	}
	d := delivery{m.source, body(what, at, who), at.Add(time.Duration(m.rng.IntN(900)) * time.Millisecond)}
	if m.chance(5) {
		d.at = d.at.Add(m.seconds(10, 600))
	}
	m.sent = append(m.sent, d)
	if m.chance(3) {
		d.at = d.at.Add(m.seconds(1, 60))
		m.sent = append(m.sent, d)
	}
}

// words are what LiveKit and Plug-N-Meet call things.
type words struct{ event, at, sid, room, began, joined string }

// mediaServer is a body of LiveKit or Plug-N-Meet.
func (m *meeting) mediaServer(what string, at time.Time, who map[string]any) []byte {
	w := words{"createdAt", "createdAt", "sid", "name", "creationTime", "joinedAt"}
	event := map[string]string{"started": "room_started", "joined": "participant_joined", "left": "participant_left", "recorded": "egress_ended", "ended": "room_finished"}[what]
	meta := map[string]any{"title": m.name}
	if m.source == "plugnmeet" {
		w = words{"created_at", "created_at", "sid", "room_id", "creation_time", "joined_at"}
		meta = map[string]any{"room_title": m.name}
		if what == "ended" {
			event = "session_ended"
		}
	}
	seconds := func(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }
	b := map[string]any{
		"event": event, "id": fmt.Sprintf("EV_%d_%s_%v_%d", m.n, what, who["sid"], at.Unix()), w.at: seconds(at),
		"room": map[string]any{w.sid: m.sid, w.room: m.room, w.began: seconds(m.began), "metadata": text(meta)},
	}
	if who != nil {
		b["participant"] = map[string]any{
			"sid": who["sid"], "identity": who["id"], "name": "Name of " + who["id"].(string), w.joined: seconds(who["since"].(time.Time)),
			"state": "ACTIVE", "metadata": text(map[string]any{"role": who["role"], "email": who["email"]}),
		}
	}
	if what == "recorded" {
		b["egressInfo"] = map[string]any{
			"egressId": fmt.Sprintf("EG_%d", m.n), "roomId": m.sid, "roomName": m.room, "status": "EGRESS_COMPLETE", "roomComposite": map[string]any{"file": map[string]any{"filepath": "x.mp4"}},
			"startedAt": strconv.FormatInt(m.began.UnixNano(), 10), "endedAt": strconv.FormatInt(m.ended.UnixNano(), 10),
			"fileResults": []any{map[string]any{"filename": "x.mp4", "size": "73400320", "location": "https://bucket.example.com/x.mp4"}},
		}
	}
	return []byte(text(b))
}

func (m *meeting) openViduMeet(what string, at time.Time, _ map[string]any) []byte {
	event := map[string]string{"started": "meetingStarted", "ended": "meetingEnded"}[what]
	return []byte(text(map[string]any{
		"event": event, "creationDate": at.UnixMilli(), "data": map[string]any{"roomId": m.room, "roomName": m.name, "owner": "root"},
	}))
}

func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}
