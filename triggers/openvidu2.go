package triggers

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// OpenVidu2 is OpenVidu 2, which signs nothing and only repeats the headers it
// is configured with: https://docs.openvidu.io/en/stable/reference-docs/openvidu-server-webhook/
func OpenVidu2() engine.PlatformKind {
	return engine.PlatformKind{
		Name:         "openvidu2",
		Doc:          "OpenVidu 2: static headers, nothing is signed, nothing is repeated",
		ByRoom:       true,
		Needs:        []string{"headers"},
		Signed:       false,
		NeverRetries: true,
		Events:       openVidu2Events(),
		Facts: []string{
			"room.id",
			"session.id", "session.status", "session.started", "session.ended", "session.duration", "session.end_reason",
			"session.present", "session.peak", "session.participants", "session.attended", "session.recording",
			"participant.id", "participant.name", "participant.kind", "participant.metadata", "participant.joined", "participant.left",
			"participant.duration", "participant.total", "participant.present", "participant.leave_reason",
			"track.id", "track.source",
			"recording.id", "recording.name", "recording.status", "recording.size", "recording.duration",
			"recording.started", "recording.ended", "recording.error",
		},
		New: func(c engine.SourceConfig) (engine.Platform, error) {
			headers, err := staticHeaders(c)
			if err != nil {
				return nil, err
			}
			return openVidu2{headers, openVidu2Events()}, nil
		},
		Sign: func(c engine.SourceConfig, s engine.SignRequest) (engine.Request, error) {
			if _, err := staticHeaders(c); err != nil {
				return engine.Request{}, err
			}
			r := postJSON(s)
			for name, value := range c.Headers {
				r.Header.Set(name, value.Reveal())
			}
			return r, nil
		},
	}
}

// openVidu2Events lists the types an event can become. It is a function so
// that nobody can change the map for others.
func openVidu2Events() map[string][]string {
	return map[string][]string{
		"sessionCreated":            {engine.SessionStarted},
		"sessionDestroyed":          {engine.SessionEnded},
		"participantJoined":         {engine.ParticipantJoined},
		"participantLeft":           {engine.ParticipantLeft},
		"webrtcConnectionCreated":   {engine.TrackPublished, engine.Other},
		"webrtcConnectionDestroyed": {engine.TrackUnpublished, engine.Other},
		"recordingStatusChanged":    {engine.RecordingStarted, engine.RecordingStopped, engine.RecordingEnded, engine.RecordingFailed, engine.Other},
		"broadcastStarted":          {engine.StreamStarted},
		"broadcastStopped":          {engine.StreamEnded},
		"signalSent":                {engine.SignalSent},
		"filterEventDispatched":     {engine.Other},
		"nodeCrashed":               {engine.InfrastructureEvent},
		"nodeRecovered":             {engine.InfrastructureEvent},
		"mediaNodeStatusChanged":    {engine.InfrastructureEvent},
		"autoscaling":               {engine.InfrastructureEvent},
		"HANodeRegistered":          {engine.InfrastructureEvent},
		"HANodeDeregistered":        {engine.InfrastructureEvent},
	}
}

// staticHeader is a header that must be there. Digests are compared, so that
// neither the value nor its length can be guessed by the time it takes.
type staticHeader struct {
	name   string
	digest [sha256.Size]byte
}

func staticHeaders(c engine.SourceConfig) ([]staticHeader, error) {
	if len(c.Secrets) > 0 {
		return nil, errors.New("secret is given, but OpenVidu 2 signs nothing: name the headers it is to send in headers")
	}
	if len(c.Headers) == 0 {
		return nil, errors.New("headers is missing: name the headers of OPENVIDU_WEBHOOK_HEADERS, such as Authorization")
	}
	var all []staticHeader
	for name, secret := range c.Headers {
		value := secret.Reveal()
		if strings.TrimSpace(value) == "" {
			return nil, fmt.Errorf("headers: %s is empty: everybody could send it", name)
		}
		all = append(all, staticHeader{http.CanonicalHeaderKey(name), sha256.Sum256([]byte(value))})
	}
	slices.SortFunc(all, func(a, b staticHeader) int { return strings.Compare(a.name, b.name) })
	for i := 1; i < len(all); i++ {
		if all[i].name == all[i-1].name {
			return nil, fmt.Errorf("headers: %s is there twice: the case of a header's name means nothing", all[i].name)
		}
	}
	return all, nil
}

type openVidu2 struct {
	headers []staticHeader
	events  map[string][]string
}

func (p openVidu2) Verify(r engine.Request) error {
	for _, h := range p.headers {
		value, err := soleHeader(r.Header, h.name)
		if err != nil {
			return err
		}
		digest := sha256.Sum256([]byte(value))
		if subtle.ConstantTimeCompare(digest[:], h.digest[:]) != 1 {
			return engine.Refuse(engine.VerdictBadSignature,
				fmt.Sprintf("header %s has another value than configured (%d characters)", h.name, len(value)))
		}
	}
	return nil
}

func (p openVidu2) Decode(r engine.Request) (engine.Delivery, error) {
	body, err := parseJSON(r.Body)
	if err != nil {
		return engine.Delivery{}, err
	}
	ev := engine.Event{
		Type:        engine.Other,
		Name:        body.get("event").str(),
		Platform:    "openvidu2",
		Time:        body.get("timestamp").millis(),
		Room:        engine.Room{ID: body.get("sessionId").text()},
		Session:     engine.Session{ID: body.get("uniqueSessionId").text()},
		Participant: engine.Participant{ID: firstText(body.get("connectionId"), body.get("participantId"))},
		Raw:         r.Body,
	}
	if ev.Session.ID == "" {
		// An older server. Custom ids are used again and again, so this one
		// alone would make one session of several meetings.
		ev.Session.ID = ev.Room.ID
		ev.ByRoom = ev.Room.ID != ""
	}
	if types := p.events[ev.Name]; types != nil {
		ev.Type = types[0]
	}
	switch ev.Name {
	case "sessionCreated":
		ev.Session.Started = ev.Time
	case "sessionDestroyed":
		ev.Session.Started, ev.Session.Ended = body.get("startTime").millis(), ev.Time
		ev.Session.Duration = body.get("duration").duration(time.Second)
		ev.Session.EndReason = body.get("reason").str()
	case "participantJoined":
		ev.Participant.Name, ev.Participant.Metadata = openVidu2Data(body)
		ev.Participant.Joined = ev.Time
	case "participantLeft":
		ev.Participant.Name, ev.Participant.Metadata = openVidu2Data(body)
		ev.Participant.Joined, ev.Participant.Left = body.get("startTime").millis(), ev.Time
		ev.Participant.Duration = body.get("duration").duration(time.Second)
		ev.Participant.LeaveReason = body.get("reason").str()
	case "webrtcConnectionCreated", "webrtcConnectionDestroyed":
		ev.Track = engine.Track{ID: body.get("streamId").text(), Source: strings.ToLower(body.get("videoSource").str())}
		// A stream is published once (OUTBOUND) and received by everyone else.
		if body.get("connection").str() != "OUTBOUND" {
			ev.Type = engine.Other
		}
	case "recordingStatusChanged":
		ev.Type, ev.Recording = openVidu2Recording(body, ev.Time)
	}
	digest := sha256.Sum256(r.Body)
	return engine.Delivery{
		Events: []engine.Event{ev},
		Keys:   []engine.DedupeKey{{ID: hex.EncodeToString(digest[:])}},
	}, nil
}

func openVidu2Recording(body value, at time.Time) (eventType string, rec engine.Recording) {
	rec = engine.Recording{
		ID:      body.get("id").text(),
		Name:    body.get("name").str(),
		Status:  body.get("status").str(),
		Started: body.get("startTime").millis(),
	}
	switch rec.Status {
	case "started":
		return engine.RecordingStarted, rec
	case "stopped":
		rec.Ended = at
		return engine.RecordingStopped, rec
	case "ready":
		// Before, both are sent as 0 for "not known yet".
		rec.Duration = body.get("duration").duration(time.Second)
		rec.Size = body.get("size").int()
		return engine.RecordingEnded, rec
	case "failed":
		rec.Error = body.get("reason").str() // there is no other text
		return engine.RecordingFailed, rec
	}
	return engine.Other, rec
}

// openVidu2Data reads the two texts an application gives a participant:
// clientData, which the browser chooses, and serverData, which the
// application's server chose with the token and which therefore wins. Both are
// JSON by custom only.
func openVidu2Data(body value) (name string, metadata map[string]any) {
	client, server := body.get("clientData").object(), body.get("serverData").object()
	if client != nil || server != nil {
		metadata = map[string]any{}
		maps.Copy(metadata, client)
		maps.Copy(metadata, server)
	}
	for _, data := range []map[string]any{server, client} {
		// The first is how OpenVidu's own tutorials and OpenVidu Call write it.
		for _, key := range [...]string{"clientData", "name", "nickname", "displayName", "userName", "username"} {
			if name, _ := data[key].(string); name != "" {
				return name, metadata
			}
		}
	}
	text := strings.TrimSpace(body.get("clientData").text())
	if strings.HasPrefix(text, "{") || strings.HasPrefix(text, "[") {
		return "", metadata // an object without a name, or broken JSON
	}
	if unquoted := ""; json.Unmarshal([]byte(text), &unquoted) == nil {
		text = unquoted
	}
	return text, metadata
}
