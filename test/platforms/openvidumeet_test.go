package platforms

import (
	"fmt"
	"time"
)

// openViduMeet tells a meeting as OpenVidu Meet does: neither participants nor
// ids of sessions, and the end without the start.
func openViduMeet(p *page) {
	envelope := func(name string, at time.Time) body {
		return like("openvidu-meet", name).set("creationDate", at.UnixMilli()).
			set("data.roomId", p.room).set("data.roomName", p.title)
	}
	p.want = want{id: byStart(p.room, p.began), started: p.began, recordings: map[string]string{}}

	p.send(p.began, envelope("meetingStarted", p.began))
	for _, x := range p.recordings {
		id := fmt.Sprintf("%s--EG_%d--9a1b2c", p.room, x.n)
		record := func(name, status string, at time.Time) body {
			return envelope(name, at).set("data.recordingId", id).set("data.filename", id+".mp4").
				set("data.startDate", x.from.UnixMilli()).set("data.status", status)
		}
		p.send(x.from.Add(200*time.Millisecond), record("recordingStarted", "starting", x.from.Add(200*time.Millisecond)))
		p.send(x.from.Add(2*time.Second), record("recordingUpdated", "active", x.from.Add(2*time.Second)))
		p.want.recordings[id] = "active"
		if p.crashed {
			continue
		}
		p.send(x.to, record("recordingUpdated.ending", "ending", x.to))
		name, status := "recordingEnded", "complete"
		if x.failed {
			name, status = "recordingEnded.failed", "failed"
		}
		b := record(name, status, x.ready).set("data.endDate", x.to.UnixMilli())
		if !x.failed {
			b.set("data.duration", x.to.Sub(x.from).Seconds())
		}
		p.send(x.ready, b)
		p.want.recordings[id] = status
	}
	if p.crashed {
		return
	}
	p.send(p.ended, envelope("meetingEnded", p.ended))
	p.want.ended = p.ended
}

// byStart is the id of a session whose platform has none.
func byStart(room string, began time.Time) string {
	return room + "@" + began.UTC().Format("2006-01-02T15:04:05.000Z")
}
