package platforms

import (
	"fmt"
	"time"
)

// huddle01 tells a meeting as Huddle01 does: times in milliseconds, durations in
// seconds, a peer for every device, tracks that name the peer only, and
// neither tracks nor recordings with a time of their own.
func huddle01(p *page) {
	session := fmt.Sprintf("sess_%s_%d", p.room, p.n)
	event := func(name string) body {
		return like("huddle01", name).set("payload.sessionId", session).set("payload.roomId", p.room)
	}
	p.want = want{id: session, started: p.began, recordings: map[string]string{}}

	p.send(p.began, event("meeting_started").set("payload.createdAt", p.began.UnixMilli()))
	peer := func(v visit) string {
		if v.other {
			return fmt.Sprintf("peer_%d_%d_%d", p.n, v.who.n, v.n)
		}
		return fmt.Sprintf("peer_%d_%d", p.n, v.who.n) // the same one when he comes back
	}
	for _, v := range p.visits {
		who := func(name string) body {
			role := "guest"
			switch {
			case v.who.host:
				role = "host"
			case v.who.bot:
				role = "bot"
			}
			return event(name).set("payload.id", peer(v)).set("payload.role", role).
				set("payload.metadata", inText(map[string]any{"displayName": v.who.name}))
		}
		p.send(v.from, who("peer_joined").set("payload.joinedAt", v.from.UnixMilli()))
		if !p.crashed && chance(p.rand, 50) {
			p.send(v.from.Add(700*time.Millisecond), like("huddle01", "peer_trackPublished").set("payload.id", peer(v)))
		}
		if v.said {
			p.send(v.to, who("peer_left").set("payload.leftAt", v.to.UnixMilli()).
				set("payload.duration", int(v.to.Sub(v.from)/time.Second)))
		}
	}
	p.want.totals, p.want.bots = p.totals(peer, time.Millisecond), p.bots(peer)
	if p.crashed {
		// Without recordings and tracks: they happen when they are received, and
		// so the last sign of life would be another one every time.
		return
	}

	for _, x := range p.recordings {
		id := fmt.Sprintf("rec_%s_%d", p.room, x.n)
		p.send(x.from, event("recording_started").set("payload.id", id))
		p.send(x.from.Add(time.Second), event("recording_updated").set("payload.id", id))
		p.send(x.ready, event("recording_ended").set("payload.id", id))
		p.want.recordings[id] = ""
	}
	p.send(p.ended, event("meeting_ended").set("payload.createdAt", p.began.UnixMilli()).set("payload.endedAt", p.ended.UnixMilli()).
		set("payload.duration", int(p.ended.Sub(p.began)/time.Second)))
	p.want.ended = p.ended
}
