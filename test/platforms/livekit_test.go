package platforms

import (
	"fmt"
	"strconv"
	"time"
)

// liveKit tells a meeting as LiveKit does: times of events in seconds, those of
// rooms and of joining in milliseconds too, those of egresses in nanoseconds.
func liveKit(p *page) {
	sid := fmt.Sprintf("RM_%d_%d", p.n, p.began.UnixMilli())
	whole := func(name string, at time.Time) body {
		return like("livekit", name).set("createdAt", seconds(at)).set("room.sid", sid).set("room.name", p.room).
			set("room.creationTime", seconds(p.began)).set("room.creationTimeMs", millis(p.began))
	}
	p.want = want{id: sid, started: p.began, recordings: map[string]string{}}

	p.send(p.began, whole("room_started", p.began))
	identity := func(v visit) string { return fmt.Sprintf("user-%d", v.who.n) }
	for _, v := range p.visits {
		named := func(b body) body {
			return b.set("participant.sid", fmt.Sprintf("PA_%d_%d", p.n, v.n)).set("participant.identity", identity(v)).
				set("participant.name", v.who.name)
		}
		present := func(name string, at time.Time) body {
			b := named(whole(name, at)).set("participant.joinedAt", seconds(v.from)).set("participant.joinedAtMs", millis(v.from)).
				set("participant.metadata", inText(map[string]any{"device": v.n}))
			switch {
			case v.who.bot && v.who.n%2 == 0:
				b.set("participant.kind", "EGRESS")
			case v.who.bot:
				b.set("participant.kind", "AGENT")
			}
			return b
		}
		p.send(v.from, present("participant_joined", v.from))
		if chance(p.rand, 60) {
			at := v.from.Add(time.Duration(p.rand.IntN(1200)) * time.Millisecond)
			b := named(like("livekit", "track_published")).set("room.sid", sid).set("room.name", p.room).set("createdAt", seconds(at))
			if chance(p.rand, 30) { // within the same second, perhaps
				b.set("participant.name", "renamed")
			}
			p.send(at, b)
		}
		if v.said {
			b := present("participant_left", v.to)
			if v.drops {
				b.set("participant.disconnectReason", "DUPLICATE_IDENTITY")
			}
			p.send(v.to, b)
		}
	}
	p.want.totals, p.want.bots = p.totals(identity, time.Second), p.bots(identity)

	for _, x := range p.recordings {
		id := fmt.Sprintf("EG_%s_%d", p.room, x.n)
		egress := func(name, status string, at time.Time) body {
			b := like("livekit", name).set("createdAt", seconds(at)).set("egressInfo.egressId", id).
				set("egressInfo.roomId", sid).set("egressInfo.roomName", p.room).set("egressInfo.roomComposite.roomName", p.room).
				set("egressInfo.startedAt", nanos(x.from)).set("egressInfo.updatedAt", nanos(at))
			if status != "" {
				b.set("egressInfo.status", status)
			}
			return b
		}
		p.send(x.from, egress("egress_started", "", x.from))
		p.send(x.from.Add(2*time.Second), egress("egress_updated", "EGRESS_ACTIVE", x.from.Add(2*time.Second)))
		p.want.recordings[id] = "EGRESS_ACTIVE"
		if p.crashed {
			continue
		}
		p.send(x.to, egress("egress_updated", "EGRESS_ENDING", x.to))
		name, status := "egress_ended", "EGRESS_COMPLETE"
		if x.failed {
			name, status = "egress_ended.failed", "EGRESS_FAILED"
		}
		b := egress(name, status, x.ready).set("egressInfo.endedAt", nanos(x.to))
		if !x.failed {
			b.set("egressInfo.fileResults", []any{map[string]any{
				"filename": id + ".mp4", "location": "https://bucket.example.com/" + id + ".mp4", "size": "73400320",
				"startedAt": nanos(x.from), "endedAt": nanos(x.to), "duration": strconv.FormatInt(int64(x.to.Sub(x.from)), 10),
			}})
		}
		p.send(x.ready, b)
		p.want.recordings[id] = status
	}
	if p.crashed {
		return
	}
	p.send(p.ended, whole("room_finished", p.ended))
	p.want.ended = p.ended.Truncate(time.Second)
}

func nanos(t time.Time) string { return strconv.FormatInt(t.UnixNano(), 10) }
