package triggers

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
)

const liveKitSecret = "the API secret of LiveKit (keys in its configuration)"

// LiveKit is LiveKit: https://docs.livekit.io/home/server/webhooks/
// The bodies are those of WebhookEvent in livekit_webhook.proto, as protojson:
// 64-bit numbers are strings, enums names, and what is zero is left out.
func LiveKit() engine.PlatformKind {
	return engine.PlatformKind{
		Name:   "livekit",
		Doc:    "LiveKit: JWT with the body's digest in Authorization",
		Needs:  []string{"secret", "api_key"},
		Signed: true,
		Events: liveKitEvents(),
		Facts: append(mediaServerFacts(),
			"recording.id", "recording.name", "recording.status", "recording.url", "recording.size",
			"recording.duration", "recording.started", "recording.ended", "recording.error",
			"stream.id", "stream.status", "stream.url",
		),
		New: func(c engine.SourceConfig) (engine.Platform, error) {
			v, err := newTokenVerifier(c, liveKitSecret)
			if err != nil {
				return nil, err
			}
			return liveKit{v, liveKitEvents()}, nil
		},
		Sign: func(c engine.SourceConfig, s engine.SignRequest) (engine.Request, error) {
			token, err := signToken(c, liveKitSecret, s)
			if err != nil {
				return engine.Request{}, err
			}
			return tokenRequest(s, "application/webhook+json", token, "Authorization"), nil
		},
	}
}

// liveKitEvents lists the types an event can become. Of an egress, those of a
// recording come first; the others are those of a stream.
func liveKitEvents() map[string][]string {
	return map[string][]string{
		"room_started":                   {engine.SessionStarted},
		"room_finished":                  {engine.SessionEnded},
		"participant_joined":             {engine.ParticipantJoined},
		"participant_left":               {engine.ParticipantLeft},
		"participant_connection_aborted": {engine.ParticipantJoinFailed},
		"track_published":                {engine.TrackPublished},
		"track_unpublished":              {engine.TrackUnpublished},
		"egress_started":                 {engine.RecordingStarted, engine.StreamStarted},
		"egress_updated":                 {engine.RecordingUpdated, engine.StreamUpdated},
		"egress_ended":                   {engine.RecordingEnded, engine.RecordingFailed, engine.StreamEnded, engine.StreamFailed},
		"ingress_started":                {engine.IngressStarted},
		"ingress_ended":                  {engine.IngressEnded},
		"agent_job_started":              {engine.Other},
		"agent_job_ended":                {engine.Other},
	}
}

type liveKit struct {
	tokens tokenVerifier
	events map[string][]string
}

func (p liveKit) Verify(r engine.Request) error { return p.tokens.verify(r, "Authorization") }

func (p liveKit) Decode(r engine.Request) (engine.Delivery, error) {
	body, err := parseJSON(r.Body)
	if err != nil {
		return engine.Delivery{}, err
	}
	ev := engine.Event{
		Platform: "livekit",
		Name:     body.get("event").str(),
		Type:     engine.Other,
		Time:     body.get("createdAt").seconds(),
		Raw:      r.Body,
	}
	if types := p.events[ev.Name]; types != nil {
		ev.Type = types[0]
	}
	room, egress, ingress := body.get("room"), body.get("egressInfo"), body.get("ingressInfo")

	// The room's name is what joins it again: its id. sid names the session.
	name := firstText(room.get("name"), egress.get("roomName"), ingress.get("roomName"))
	ev.Room = engine.Room{ID: name, Name: name, Metadata: room.get("metadata").object()}
	ev.Session = engine.Session{
		ID:      firstText(room.get("sid"), egress.get("roomId"), ingress.get("state", "roomId")),
		Started: room.get("creationTimeMs").millis(),
	}
	if ev.Session.Started.IsZero() {
		ev.Session.Started = room.get("creationTime").seconds()
	}
	if ev.Type == engine.SessionEnded {
		ev.Session.Ended = notBefore(ev.Session.Started, ev.Time)
	}
	if who := body.get("participant"); who.exists() {
		ev.Participant = mediaServerParticipant(who, ev.Type, ev.Time)
	}
	ev.Track = mediaServerTrack(body.get("track"))

	events := []engine.Event{ev}
	if egress.exists() {
		events = liveKitEgress(ev, egress)
	}
	return engine.Delivery{Events: events, Keys: mediaServerKeys(body, r.Body, ev.Time)}, nil
}

// liveKitEgress makes a recording's event, a stream's, or both: one egress may
// write a file and send a stream at once.
func liveKitEgress(ev engine.Event, egress value) []engine.Event {
	files := firstOf(egress.get("fileResults").first(), egress.get("file"))
	segments := firstOf(egress.get("segmentResults").first(), egress.get("segments"))
	stream := firstOf(egress.get("streamResults").first(), egress.get("stream", "info").first())
	recorded := files.exists() || segments.exists()
	streamed := stream.exists() || egress.get("stream").exists()
	for _, kind := range [...]string{"roomComposite", "web", "participant", "trackComposite", "track"} {
		// What was asked for is known before there are results.
		request := egress.get(kind)
		if !request.exists() {
			continue
		}
		for _, output := range [...]string{"file", "fileOutputs", "segments", "segmentOutputs"} {
			recorded = recorded || !request.get(output).isEmpty()
		}
		for _, output := range [...]string{"stream", "streamOutputs", "websocketUrl"} {
			streamed = streamed || !request.get(output).isEmpty()
		}
	}

	// Starting is the zero of the enum, so it is left out on the wire.
	status := "EGRESS_STARTING"
	if s := egress.get("status"); s.exists() {
		status = strings.ToUpper(s.enum("egress_starting", "egress_active", "egress_ending", "egress_complete",
			"egress_failed", "egress_aborted", "egress_limit_reached"))
	}
	// A recording that reached its limit is cut short, but usable.
	failed := status == "EGRESS_FAILED" || status == "EGRESS_ABORTED"
	id := egress.get("egressId").text()

	var events []engine.Event
	if recorded || !streamed {
		e := ev
		result := firstOf(files, segments)
		e.Recording = engine.Recording{
			ID:       id,
			Name:     firstText(result.get("filename"), result.get("playlistName")),
			Status:   status,
			URL:      firstText(result.get("location"), result.get("playlistLocation")),
			Size:     result.get("size").int(),
			Duration: result.get("duration").duration(time.Nanosecond),
			Started:  egress.get("startedAt").nanos(),
			Ended:    egress.get("endedAt").nanos(),
			Error:    egress.get("error").str(),
		}
		if ev.Type == engine.RecordingEnded && failed {
			e.Type = engine.RecordingFailed
		}
		events = append(events, e)
	}
	if streamed {
		e := ev
		e.Stream = engine.Stream{ID: id, Status: status, URL: stream.get("url").str()}
		switch {
		case ev.Type == engine.RecordingStarted:
			e.Type = engine.StreamStarted
		case ev.Type == engine.RecordingUpdated:
			e.Type = engine.StreamUpdated
		case ev.Type == engine.RecordingEnded && failed:
			e.Type = engine.StreamFailed
		case ev.Type == engine.RecordingEnded:
			e.Type = engine.StreamEnded
		}
		events = append(events, e)
	}
	return events
}

// What follows is LiveKit's data model, which Plug-N-Meet passes on under its
// proto names (joined_at for joinedAt).

// mediaServerFacts are the facts both supply, or let the engine derive.
func mediaServerFacts() []string {
	return []string{
		"room.id", "room.name", "room.metadata",
		"session.id", "session.status", "session.started", "session.ended", "session.duration",
		"session.present", "session.peak", "session.participants", "session.attended", "session.recording",
		"participant.id", "participant.connection_id", "participant.name", "participant.kind", "participant.metadata",
		"participant.joined", "participant.left", "participant.duration", "participant.total", "participant.present",
		"participant.leave_reason",
		"track.id", "track.kind", "track.source",
	}
}

func mediaServerParticipant(who value, eventType string, at time.Time) engine.Participant {
	p := engine.Participant{
		ID:           who.get("identity").text(),
		ConnectionID: who.get("sid").text(),
		Name:         who.get("name").str(),
		Metadata:     who.get("metadata").object(),
		Joined:       firstOf(who.get("joinedAtMs"), who.get("joined_at_ms")).millis(),
		LeaveReason:  firstOf(who.get("disconnectReason"), who.get("disconnect_reason")).enum(disconnectReasons()...),
	}
	if p.Joined.IsZero() {
		p.Joined = firstOf(who.get("joinedAt"), who.get("joined_at")).seconds()
	}
	if attributes := who.get("attributes"); !attributes.isEmpty() {
		if p.Metadata == nil {
			p.Metadata = map[string]any{}
		}
		if _, taken := p.Metadata["attributes"]; !taken {
			p.Metadata["attributes"] = attributes.any()
		}
	}
	switch eventType {
	case engine.ParticipantJoined, engine.ParticipantLeft, engine.ParticipantJoinFailed:
		p.Kind = participantKind(who)
	}
	if eventType == engine.ParticipantLeft {
		p.Left = notBefore(p.Joined, at)
	}
	return p
}

// participantKind is known only from a whole ParticipantInfo: track events
// carry three members of it.
func participantKind(who value) string {
	switch who.get("kind").enum("standard", "ingress", "egress", "sip", "agent") {
	case "agent", "ingress":
		return engine.KindBot
	case "egress":
		return engine.KindRecorder
	case "sip":
		return engine.KindSIP
	}
	switch permission := who.get("permission"); { // how servers before kind said it
	case permission.get("recorder").bool():
		return engine.KindRecorder
	case permission.get("agent").bool():
		return engine.KindBot
	}
	return engine.KindPerson
}

// disconnectReasons are the names of DisconnectReason by number.
func disconnectReasons() []string {
	return []string{"", "client_initiated", "duplicate_identity", "server_shutdown", "participant_removed", "room_deleted",
		"state_mismatch", "join_failure", "migration", "signal_close", "room_closed", "user_unavailable", "user_rejected",
		"sip_trunk_failure", "connection_timeout", "media_failure"}
}

func mediaServerTrack(t value) engine.Track {
	if !t.exists() {
		return engine.Track{}
	}
	track := engine.Track{ID: t.get("sid").text(), Kind: "audio"} // audio is the zero of the enum: left out
	if kind := t.get("type"); kind.exists() {
		track.Kind = kind.enum("audio", "video", "data")
	}
	switch source := t.get("source").enum("", "camera", "microphone", "screen_share", "screen_share_audio"); source {
	case "screen_share":
		track.Source = "screen"
	case "screen_share_audio":
		track.Source = "screen_audio"
	case "unknown":
	default:
		track.Source = source
	}
	return track
}

// mediaServerKeys identify a delivery by its id, which is signed with the
// body; so is the event's time. A body without id is its own.
func mediaServerKeys(body value, raw []byte, at time.Time) []engine.DedupeKey {
	id := body.get("id").text()
	if id == "" {
		digest := sha256.Sum256(raw)
		id = "sha256:" + hex.EncodeToString(digest[:])
	}
	return []engine.DedupeKey{{ID: id, Time: at}}
}

// notBefore is end, or start if that is later: an event's time is cut to whole
// seconds while starts have milliseconds, so what lasted less than a second
// would end before it began.
func notBefore(start, end time.Time) time.Time {
	if end.Before(start) && start.Sub(end) < time.Second {
		return start
	}
	return end
}
