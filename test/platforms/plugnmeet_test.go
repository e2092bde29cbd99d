package platforms

import (
	"fmt"
	"time"
)

// plugNMeet tells a meeting as Plug-N-Meet does: times of events in seconds,
// those of joining in milliseconds too, and two words for the end.
func plugNMeet(p *page) {
	sid := fmt.Sprintf("RM_%s-%d", p.room, p.began.UnixMilli())
	meta := map[string]any{"room_title": p.title, "is_recording": false}
	room := func(b body, at time.Time) body {
		return b.set("room.sid", sid).set("room.room_id", p.room).set("created_at", seconds(at))
	}
	whole := func(name string, at time.Time) body { // with all that is known of the room
		return room(like("plugnmeet", name), at).set("room.creation_time", seconds(p.began)).set("room.metadata", inText(meta))
	}
	p.want = want{id: sid, started: p.began.Truncate(time.Second), recordings: map[string]string{}}

	p.send(p.began, whole("room_created", p.began))
	p.send(p.began.Add(40*time.Millisecond), whole("room_started", p.began.Add(40*time.Millisecond)))
	identity := func(v visit) string {
		switch {
		case v.who.bot && v.who.n == 4:
			return "RECORDER_BOT"
		case v.who.bot && v.who.n == 6:
			return "RTMP_BOT"
		case v.who.bot:
			return fmt.Sprintf("pnm_agent-%d", v.who.n)
		}
		return fmt.Sprintf("user-%d", v.who.n)
	}
	for _, v := range p.visits {
		who := func(name string, at time.Time) body {
			return whole(name, at).set("participant.sid", fmt.Sprintf("PA_%d_%d", p.n, v.n)).set("participant.identity", identity(v)).
				set("participant.name", v.who.name)
		}
		present := func(name string, at time.Time) body {
			return who(name, at).set("participant.joined_at", seconds(v.from)).set("participant.joined_at_ms", millis(v.from)).
				set("participant.metadata", inText(map[string]any{"is_admin": v.who.host, "since": v.n}))
		}
		p.send(v.from, present("participant_joined", v.from))
		if chance(p.rand, 50) {
			at := v.from.Add(500 * time.Millisecond)
			p.send(at, who("track_published", at))
		}
		if v.said {
			b := present("participant_left", v.to)
			if v.drops {
				b.set("participant.disconnect_reason", "CONNECTION_TIMEOUT")
			}
			p.send(v.to, b)
		}
	}
	p.want.totals, p.want.bots = p.totals(identity, time.Second), p.bots(identity)

	for _, x := range p.recordings {
		id := fmt.Sprintf("%s-%d", sid, x.from.UnixMilli())
		record := func(name string, at time.Time, said string) {
			p.send(at, room(like("plugnmeet", name), at).set("recording_info.record_id", id).set("recording_info.recorder_msg", said))
		}
		record("start_recording", x.from, "success")
		p.want.recordings[id] = "success"
		if p.crashed {
			continue
		}
		record("end_recording", x.to, "success")
		if x.failed { // it just never gets ready
			continue
		}
		record("recording_proceeded", x.ready, "recording processed")
		record("recording_transcoding_finished", x.ready.Add(90*time.Second), "done")
		p.want.recordings[id] = "done"
	}
	if p.crashed {
		if chance(p.rand, 50) { // made by another server
			at := p.ended.Add(30 * time.Minute)
			p.send(at, room(like("plugnmeet", "artifact_created.MEETING_ANALYTICS"), at))
		}
		return
	}
	finished, ended := p.ended.Add(1500*time.Millisecond), p.ended
	switch p.rand.IntN(5) {
	case 0: // servers before April 2024
		ended = time.Time{}
		p.want.ended = finished
	case 1: // the media server ended the room by itself
		finished = p.ended.Add(-1200 * time.Millisecond)
	case 2: // longer before than room_finished waits for it
		finished, ended = p.ended, p.ended.Add(15*time.Second)
	}
	p.send(finished, whole("room_finished", finished))
	if !ended.IsZero() {
		b := whole("session_ended", ended)
		room := b["room"].(map[string]any)
		body(room).drop("empty_timeout", "max_participants", "num_participants")
		p.send(ended, b)
		p.want.ended = ended
	}
	p.want.ended = p.want.ended.Truncate(time.Second)
	at := p.ended.Add(time.Minute)
	p.send(at, room(like("plugnmeet", "artifact_created.SPEECH_TRANSCRIPTION_USAGE"), at))

	if until := p.want.ended; until.After(p.ended) { // who is said to have left nowhere was there until then
		plot := *p.plot
		plot.ended = until
		p.want.totals = plot.totals(identity, time.Second)
	}
}
