package platforms

import (
	"fmt"
	"time"
)

// openVidu2 tells a meeting as OpenVidu 2 does: times in milliseconds,
// durations in whole seconds, every connection somebody of his own. The source
// ov2old is a server that does not send uniqueSessionId yet.
func openVidu2(p *page) {
	unique := fmt.Sprintf("%s_%d", p.room, p.began.UnixMilli())
	old := p.platform.source == "ov2old"
	event := func(name string, at time.Time) body {
		b := like("openvidu2", name).set("sessionId", p.room).set("timestamp", at.UnixMilli()).set("uniqueSessionId", unique)
		if old {
			b.drop("uniqueSessionId")
		}
		return b
	}
	since := func(b body, from, at time.Time) body {
		return b.set("startTime", from.UnixMilli()).set("duration", int(at.Sub(from)/time.Second))
	}
	p.want = want{id: unique, started: p.began, recordings: map[string]string{}}
	if old {
		p.want.id = byStart(p.room, p.began)
	}

	p.send(p.began, event("sessionCreated", p.began))
	connection := func(v visit) string { return fmt.Sprintf("con_%d_%d", p.n, v.n) }
	for _, v := range p.visits {
		who := func(name string, at time.Time) body {
			return event(name, at).set("participantId", connection(v)).set("connectionId", connection(v)).
				set("clientData", inText(map[string]any{"name": v.who.name}))
		}
		p.send(v.from, who("participantJoined", v.from))
		for i, name := range []string{"webrtcConnectionCreated", "webrtcConnectionCreated.inbound"} {
			at := v.from.Add(time.Duration(100+50*i) * time.Millisecond)
			p.send(at, who(name, at).set("streamId", "str_CAM_"+connection(v)))
		}
		if v.said {
			p.send(v.to, since(who("participantLeft", v.to), v.from, v.to))
		}
	}
	p.want.totals = p.totals(connection, time.Millisecond)

	for _, x := range p.recordings {
		id := p.room
		if x.n > 1 {
			id = fmt.Sprintf("%s~%d", p.room, x.n-1)
		}
		record := func(status string, at time.Time) body {
			return event("recordingStatusChanged."+status, at).set("id", id).set("startTime", x.from.UnixMilli())
		}
		p.send(x.from.Add(100*time.Millisecond), record("started", x.from.Add(100*time.Millisecond)))
		p.want.recordings[id] = "started"
		if p.crashed {
			continue
		}
		p.send(x.to, record("stopped", x.to))
		status := "ready"
		if x.failed {
			status = "failed"
		}
		b := record(status, x.ready)
		if !x.failed {
			b.set("duration", x.to.Sub(x.from).Seconds())
		}
		p.send(x.ready, b)
		p.want.recordings[id] = status
	}
	if p.crashed {
		return
	}
	p.send(p.ended, since(event("sessionDestroyed", p.ended), p.began, p.ended))
	p.want.ended = p.ended
}
