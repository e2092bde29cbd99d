package triggers

import (
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
)

const plugNMeetSecret = "the API secret of Plug-N-Meet (client.secret in its config.yaml)"

// PlugNMeet is Plug-N-Meet: https://www.plugnmeet.org/docs/developer-guide/webhooks
// The bodies are those of CommonNotifyEvent in plugnmeet-protocol.
func PlugNMeet() engine.PlatformKind {
	return engine.PlatformKind{
		Name:   "plugnmeet",
		Doc:    "Plug-N-Meet: JWT with the body's digest in Authorization and Hash-Token",
		Needs:  []string{"secret", "api_key"},
		Signed: true,
		Events: plugNMeetEvents(),
		Facts: append(mediaServerFacts(),
			"recording.id", "recording.status", "recording.url", "recording.started", "recording.ended", "recording.duration",
			"stream.id", "stream.status",
			"artifact.id", "artifact.type", "artifact.url", "artifact.size", "artifact.tokens", "artifact.duration",
			"artifact.characters", "artifact.cost", "artifact.reference",
		),
		New: func(c engine.SourceConfig) (engine.Platform, error) {
			v, err := newTokenVerifier(c, plugNMeetSecret)
			if err != nil {
				return nil, err
			}
			return plugNMeet{v, plugNMeetEvents()}, nil
		},
		Sign: func(c engine.SourceConfig, s engine.SignRequest) (engine.Request, error) {
			token, err := signToken(c, plugNMeetSecret, s)
			if err != nil {
				return engine.Request{}, err
			}
			return tokenRequest(s, "application/json", token, "Authorization", "Hash-Token"), nil
		},
	}
}

// plugNMeetEvents is a function so that nobody can change the map for others.
func plugNMeetEvents() map[string][]string {
	return map[string][]string{
		"room_created":                   {engine.SessionCreated},
		"room_started":                   {engine.SessionStarted},
		"room_finished":                  {engine.SessionMediaEnded},
		"session_ended":                  {engine.SessionEnded},
		"participant_joined":             {engine.ParticipantJoined},
		"participant_left":               {engine.ParticipantLeft},
		"track_published":                {engine.TrackPublished},
		"track_unpublished":              {engine.TrackUnpublished},
		"start_recording":                {engine.RecordingStarted},
		"end_recording":                  {engine.RecordingStopped},
		"recording_proceeded":            {engine.RecordingEnded},
		"recording_transcoding_finished": {engine.RecordingUpdated},
		"start_rtmp":                     {engine.StreamStarted},
		"end_rtmp":                       {engine.StreamEnded},
		"artifact_created":               {engine.ArtifactCreated},
		"analytics_proceeded":            {engine.ArtifactCreated},
	}
}

type plugNMeet struct {
	tokens tokenVerifier
	events map[string][]string
}

// Verify takes the token of either header. Hash-Token is there because some
// proxies and web servers use Authorization up.
func (p plugNMeet) Verify(r engine.Request) error {
	err := p.tokens.verify(r, "Authorization")
	if err == nil {
		return nil
	}
	first, second := r.Header.Get("Authorization"), r.Header.Get("Hash-Token")
	if second == "" || second == first {
		return err
	}
	err2 := p.tokens.verify(r, "Hash-Token")
	if err2 != nil && strings.Count(first, ".") == 2 {
		return err // Authorization holds a token too, so the proxy left it alone
	}
	return err2
}

func (p plugNMeet) Decode(r engine.Request) (engine.Delivery, error) {
	body, err := parseJSON(r.Body)
	if err != nil {
		return engine.Delivery{}, err
	}
	ev := engine.Event{
		Platform: "plugnmeet",
		Name:     body.get("event").str(),
		Type:     engine.Other,
		Time:     body.get("created_at").seconds(),
		Raw:      r.Body,
	}
	if types := p.events[ev.Name]; types != nil {
		ev.Type = types[0]
	}

	room := body.get("room")
	ev.Room = engine.Room{ID: room.get("room_id").text(), Metadata: room.get("metadata").object()}
	ev.Room.Name, _ = ev.Room.Metadata["room_title"].(string)
	ev.Session = engine.Session{ID: room.get("sid").text(), Started: room.get("creation_time").seconds()}
	if ev.Type == engine.SessionEnded {
		ev.Session.Ended = ev.Time
	}

	if who := body.get("participant"); who.exists() {
		ev.Participant = mediaServerParticipant(who, ev.Type, ev.Time)
		if kind := plugNMeetBot(ev.Participant.ID); kind != "" {
			ev.Participant.Kind = kind
		}
	}
	ev.Track = mediaServerTrack(body.get("track"))

	if info := body.get("recording_info"); info.exists() {
		id, said := info.get("record_id").text(), info.get("recorder_msg").str()
		switch ev.Type {
		case engine.StreamStarted, engine.StreamEnded:
			ev.Stream = engine.Stream{ID: id, Status: said}
		default:
			// file_size is left out: nothing says its unit.
			ev.Recording = engine.Recording{ID: id, Status: said, URL: info.get("file_path").str()}
		}
	}
	switch ev.Type {
	case engine.RecordingStarted:
		ev.Recording.Started = ev.Time
	case engine.RecordingStopped:
		ev.Recording.Ended = ev.Time
	}

	if a := body.get("room_artifact"); a.exists() {
		ev.Artifact = plugNMeetArtifact(a)
	} else if id := body.get("analytics", "file_id").text(); id != "" {
		ev.Artifact = engine.Artifact{ID: id, Type: "meeting_analytics"}
	}
	return engine.Delivery{Events: []engine.Event{ev}, Keys: mediaServerKeys(body, r.Body, ev.Time)}, nil
}

// plugNMeetBot tells the server's own participants by the identities it gives
// them (its pkg/config/constants.go); "" is everyone else.
func plugNMeetBot(identity string) string {
	switch {
	case identity == "RECORDER_BOT", identity == "RTMP_BOT":
		return engine.KindRecorder
	case strings.HasPrefix(identity, "pnm_agent-"), strings.HasPrefix(identity, "pnm_tts_agent-"), strings.HasPrefix(identity, "ingres_"):
		return engine.KindBot
	}
	return ""
}

func plugNMeetArtifact(a value) engine.Artifact {
	about := a.get("metadata")
	art := engine.Artifact{
		ID: a.get("artifact_id").text(),
		Type: a.get("type").enum("", "meeting_analytics", "meeting_summary", "meeting_summary_usage",
			"speech_transcription", "speech_transcription_usage", "synthesized_speech_usage", "chat_translation_usage",
			"ai_text_chat_interaction_usage", "ai_text_chat_summarization_usage"),
		URL:        about.get("file_info", "file_path").str(),
		Size:       about.get("file_info", "file_size").int(),
		Tokens:     about.get("token_usage", "total_tokens").int(),
		Duration:   about.get("duration_usage", "duration_sec").duration(time.Second),
		Characters: about.get("character_count_usage", "total_characters").int(),
		Reference:  about.get("reference_artifact_id").text(),
	}
	if art.Type == "unknown_artifact" {
		art.Type = ""
	}
	// A usage report holds one of the three.
	for _, cost := range [...]value{
		about.get("token_usage", "total_tokens_estimated_cost"),
		about.get("duration_usage", "duration_sec_estimated_cost"),
		about.get("character_count_usage", "total_characters_estimated_cost"),
	} {
		if art.Cost = cost.decimal(); art.Cost != "" {
			break
		}
	}
	return art
}
