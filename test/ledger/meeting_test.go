package ledger

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"
)

// meeting is what really happened in one session.
type meeting struct {
	n        int
	room     string
	customer string
	began    time.Time // whole seconds, as the platform tells them
	ended    time.Time
	stays    []stay
	records  []recording
	usages   []usage

	noStart bool // nobody told of its start
	silent  bool // its end was not told while it was going on
	late    bool // but much later
}

// stay is somebody's time in a meeting.
type stay struct {
	who      int
	from, to time.Time // to is zero: until the end
}

type recording struct {
	id       string
	from, to time.Time
}

// usage is a report of tokens that a meeting has used.
type usage struct {
	id     string
	tokens int64
}

const customers = 40

// newMeeting makes the n-th meeting, which lies in the hours before now.
func newMeeting(n int, rng *rand.Rand, now time.Time) *meeting {
	m := &meeting{
		n: n, room: fmt.Sprintf("room-%d", n%500), customer: customerName(rng.IntN(customers)),
		began: now.Add(-20 * time.Hour).Add(time.Duration(rng.IntN(16*3600)) * time.Second).Truncate(time.Second),
	}
	length := 1 + rng.IntN(3*3600)
	if rng.IntN(4) == 0 {
		length = 60 * (1 + rng.IntN(120)) // to the minute: where rounding goes wrong
	}
	m.ended = m.began.Add(time.Duration(length) * time.Second)
	m.noStart, m.silent, m.late = n%100 == 1, n%100 == 2 || n%100 == 3, n%100 == 3
	for who := range rng.IntN(4) {
		m.stays = append(m.stays, m.stay(who, rng))
	}
	if m.silent {
		return m
	}
	for i := range max(0, rng.IntN(5)-3) {
		from := m.moment(rng, m.began)
		m.records = append(m.records, recording{fmt.Sprintf("rec-%d-%d", n, i), from, m.moment(rng, from)})
	}
	for i := range max(0, rng.IntN(5)-2) {
		m.usages = append(m.usages, usage{fmt.Sprintf("art-%d-%d", n, i), rng.Int64N(5_000_000)})
	}
	return m
}

// customerName is also a name that could do harm in a sheet or a query.
func customerName(i int) string {
	if i == 0 {
		return `=HYPERLINK("x"), O'Neill & Söhne`
	}
	return fmt.Sprintf("customer-%d", i)
}

func (m *meeting) stay(who int, rng *rand.Rand) stay {
	s := stay{who: who, from: m.moment(rng, m.began)}
	if !m.silent && rng.IntN(3) > 0 {
		s.to = m.moment(rng, s.from)
	}
	return s
}

// moment is one from then on, before the end.
func (m *meeting) moment(rng *rand.Rand, then time.Time) time.Time {
	return then.Add(time.Duration(rng.Int64N(1+int64(m.ended.Sub(then)/time.Second))) * time.Second)
}

// lastSign is when something was heard of the meeting last, where its end was
// not told.
func (m *meeting) lastSign() time.Time {
	last := m.began
	for _, s := range m.stays {
		if s.from.After(last) {
			last = s.from
		}
	}
	return last
}

// message is one webhook of a meeting.
type message struct {
	name string
	at   time.Time
	more map[string]any
}

// messages are all webhooks that the platform sends while the meeting goes on.
func (m *meeting) messages() []message {
	var all []message
	add := func(name string, at time.Time, more map[string]any) {
		all = append(all, message{name, at, more})
	}
	if !m.noStart {
		add("room_started", m.began, nil)
	}
	for _, s := range m.stays {
		person := map[string]any{"participant": map[string]any{
			"sid": fmt.Sprintf("PA_%d_%d", m.n, s.who), "identity": fmt.Sprintf("user-%d", s.who), "state": "ACTIVE",
			"joined_at": fmt.Sprint(s.from.Unix()), "name": fmt.Sprintf("Person %d", s.who),
		}}
		add("participant_joined", s.from, person)
		if !s.to.IsZero() {
			add("participant_left", s.to, person)
		}
	}
	for _, r := range m.records {
		info := map[string]any{"recording_info": map[string]any{"record_id": r.id, "recorder_msg": "success"}}
		add("start_recording", r.from, info)
		add("end_recording", r.to, info)
		add("recording_proceeded", r.to.Add(time.Second), info)
	}
	for _, u := range m.usages {
		add("artifact_created", m.began, map[string]any{"room_artifact": map[string]any{
			"artifact_id": u.id, "type": "MEETING_SUMMARY_USAGE",
			"metadata": map[string]any{"token_usage": map[string]any{"total_tokens": fmt.Sprint(u.tokens)}},
		}})
	}
	if !m.silent {
		all = append(all, m.end())
	}
	return all
}

func (m *meeting) end() message { return message{name: "session_ended", at: m.ended} }

// body is the i-th message of m as Plug-N-Meet sends it.
func (m *meeting) body(i int, x message) ([]byte, error) {
	about, err := json.Marshal(map[string]string{"room_title": m.room, "customer": m.customer})
	if err != nil {
		return nil, err
	}
	b := map[string]any{
		"event": x.name, "id": fmt.Sprintf("%08d-0000-4000-8000-%012d", m.n, i), "created_at": fmt.Sprint(x.at.Unix()),
		"room": map[string]any{
			"sid": fmt.Sprintf("RM_%08d", m.n), "room_id": m.room, "metadata": string(about),
			"creation_time": fmt.Sprint(m.began.Unix()),
		},
	}
	for key, value := range x.more {
		b[key] = value
	}
	return json.Marshal(b)
}
