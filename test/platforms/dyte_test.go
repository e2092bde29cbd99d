package platforms

import (
	"fmt"
	"time"
)

// dyte tells a meeting as Dyte does: two ways to write times, people without an
// account named by their connection, and recordings whose events have no time
// of their own.
func dyte(p *page) {
	session := fmt.Sprintf("05e57591-0000-45c9-ae44-%012d", p.began.UnixMilli()%1e12)
	meeting := func(name string) body {
		return like("dyte", name).set("meeting.id", p.room).set("meeting.sessionId", session).set("meeting.title", p.title).
			set("meeting.createdAt", iso(p.began)).set("meeting.startedAt", iso(p.began))
	}
	p.want = want{id: session, started: p.began, recordings: map[string]string{}}

	p.send(p.began, meeting("meeting.started"))
	peer := func(v visit) string { return fmt.Sprintf("e32fb785-%04d-4b96-b577-%012d", v.n, p.n) }
	identity := func(v visit) string {
		if v.who.guest {
			return peer(v)
		}
		return fmt.Sprintf("u-%d", v.who.n)
	}
	for _, v := range p.visits {
		who := func(name string) body {
			account := fmt.Sprintf("u-%d", v.who.n)
			if v.who.guest {
				account = ""
			}
			return meeting(name).set("participant.peerId", peer(v)).set("participant.userDisplayName", v.who.name).
				set("participant.customParticipantId", account).set("participant.clientSpecificId", account).
				set("participant.joinedAt", iso(v.from))
		}
		p.send(v.from, who("meeting.participantJoined"))
		if v.said {
			p.send(v.to, who("meeting.participantLeft").set("participant.leftAt", iso(v.to)))
		}
	}
	p.want.totals = p.totals(identity, time.Millisecond)
	if p.crashed {
		// Without recordings: their events happen when they are received, and so
		// the last sign of life would be another one every time.
		return
	}

	for _, x := range p.recordings {
		id := fmt.Sprintf("97cb480d-%04d-4528-ace3-%012d", x.n, p.n)
		record := func(status string, at time.Time) {
			b := meeting("recording.statusUpdate."+status).set("recording.id", id).set("recording.recordingId", id).
				set("recording.meetingId", p.room).set("recording.roomUUID", session).
				set("recording.outputFileName", id+".mp4").set("recording.startedTime", spaced(x.from))
			if status == "UPLOADING" || status == "UPLOADED" {
				b.set("recording.stoppedTime", spaced(x.to))
			}
			if status == "UPLOADED" {
				b.set("recording.recordingDuration", int(x.to.Sub(x.from)/time.Second))
			}
			p.send(at, b)
			p.want.recordings[id] = status
		}
		record("RECORDING", x.from)
		if x.failed {
			record("ERRORED", x.ready)
			continue
		}
		record("UPLOADING", x.to)
		record("UPLOADED", x.ready)
	}
	p.send(p.ended, meeting("meeting.ended").set("meeting.endedAt", iso(p.ended)))
	p.want.ended = p.ended
	p.send(p.ended.Add(2*time.Minute), meeting("meeting.summary").set("meeting.endedAt", iso(p.ended)))
	p.send(p.ended.Add(time.Minute), like("dyte", "meeting.chatSynced").set("sessionId", session).set("meetingId", p.room))
}

func iso(t time.Time) string    { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
func spaced(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05.000000Z") }
