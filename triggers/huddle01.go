package triggers

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
)

const (
	huddle01Secret = "the API key of Huddle01"
	// Huddle01 states no limit; this is the one Standard Webhooks recommends.
	huddle01Tolerance = 5 * time.Minute
	// A delivery is one event; the array form of a body could hold any number.
	huddle01MaxEvents = 100
)

// Huddle01 is Huddle01, in the scheme of WebhookReceiver in its SDK:
// https://www.npmjs.com/package/@huddle01/server-sdk
func Huddle01() engine.PlatformKind {
	return engine.PlatformKind{
		Name:   "huddle01",
		Doc:    "Huddle01: HMAC-SHA256 or -SHA512 with the API key over id, timestamp and body",
		Needs:  []string{"secret"},
		Takes:  []string{"tolerance"},
		Signed: true,
		Events: huddle01Events(),
		Facts: []string{
			"room.id",
			"session.id", "session.status", "session.started", "session.ended", "session.duration",
			"session.present", "session.peak", "session.participants", "session.attended", "session.recording",
			"participant.id", "participant.name", "participant.role", "participant.kind", "participant.metadata",
			"participant.joined", "participant.left", "participant.duration", "participant.total", "participant.present",
			"track.id", "track.kind", "track.source",
			"recording.id", "recording.name", "recording.url", "recording.size", "recording.duration",
		},
		New: func(c engine.SourceConfig) (engine.Platform, error) {
			keys, err := sharedSecrets(c, huddle01Secret)
			if err != nil {
				return nil, err
			}
			return huddle01{keys, toleranceOr(c, huddle01Tolerance), huddle01Events()}, nil
		},
		Sign: func(c engine.SourceConfig, s engine.SignRequest) (engine.Request, error) {
			keys, err := sharedSecrets(c, huddle01Secret)
			if err != nil {
				return engine.Request{}, err
			}
			id, _ := huddle01ID(s.Body) // without one it can still be sent, and is refused
			ts := strconv.FormatInt(s.Now.UnixMilli(), 10)
			r := postJSON(s)
			r.Header.Set("Huddle01-Signature", "t="+ts+",sha256="+huddle01MAC(sha256.New, keys[0], id, ts, s.Body))
			return r, nil
		},
	}
}

// huddle01Events is a function so that nobody can change the map for others.
func huddle01Events() map[string][]string {
	return map[string][]string{
		"meeting:started":     {engine.SessionStarted},
		"meeting:ended":       {engine.SessionEnded},
		"peer:joined":         {engine.ParticipantJoined},
		"peer:left":           {engine.ParticipantLeft},
		"peer:trackPublished": {engine.TrackPublished}, "peer:trackUnpublished": {engine.TrackUnpublished},
		"recording:started": {engine.RecordingStarted},
		"recording:updated": {engine.RecordingUpdated},
		"recording:ended":   {engine.RecordingEnded},
		"recording:stopped": {engine.RecordingEnded}, // its name in older documentation
	}
}

type huddle01 struct {
	keys      [][]byte
	tolerance time.Duration
	events    map[string][]string
}

func huddle01MAC(algorithm func() hash.Hash, key []byte, id, ts string, body []byte) string {
	m := hmac.New(algorithm, key)
	m.Write([]byte(id + "." + ts + "."))
	m.Write(body)
	return hex.EncodeToString(m.Sum(nil))
}

// Verify checks "<label>=<timestamp>,<algorithm>=<hex>". As in the vendor's
// receiver the label means nothing, and the second part is compared as text.
// Unlike it, the bytes as received are signed, not JSON made of them anew.
func (p huddle01) Verify(r engine.Request) error {
	header, err := soleHeader(r.Header, "Huddle01-Signature")
	if err != nil {
		return err
	}
	first, rest, _ := strings.Cut(header, ",")
	signature, _, _ := strings.Cut(rest, ",")
	_, ts, _ := strings.Cut(first, "=")
	name, _, named := strings.Cut(signature, "=")
	millis, numeric := wholeNumber(ts)
	if !named || !numeric {
		return engine.Refuse(engine.VerdictBadSignature, "header Huddle01-Signature is not written as t=TIMESTAMP,sha256=HEX")
	}
	var algorithm func() hash.Hash
	switch name {
	case "sha256":
		algorithm = sha256.New
	case "sha512":
		algorithm = sha512.New
	default:
		return engine.Refuse(engine.VerdictBadSignature, fmt.Sprintf("header Huddle01-Signature names the algorithm %.20q: only sha256 and sha512 are accepted", name))
	}
	id, err := huddle01ID(r.Body)
	if err != nil {
		return engine.Refuse(engine.VerdictBadSignature, err.Error())
	}
	for _, key := range p.keys {
		if hmac.Equal([]byte(signature), []byte(name+"="+huddle01MAC(algorithm, key, id, ts, r.Body))) {
			if isSeconds(millis) {
				millis *= 1000
			}
			return checkAge(millis, r.ReceivedAt, p.tolerance)
		}
	}
	return engine.Refuse(engine.VerdictBadSignature, "the signature does not fit: is the secret the API key of this Huddle01 project, and is the body passed on unchanged?")
}

// huddle01ID reads the top-level id, which is part of what is signed, from a
// body that nothing is known of yet. It asks for no more than the vendor's
// receiver does, JSON.parse and a truthy id, because it is no check of the
// body: of two ids the last counts. Decode is the strict reader.
func huddle01ID(body []byte) (string, error) {
	noID := errors.New("the body has no id, which is part of what is signed")
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return "", noID
	}
	var id json.RawMessage
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return "", noID
		}
		var member json.RawMessage
		if err := d.Decode(&member); err != nil {
			return "", noID
		}
		if name == "id" {
			id = member
		}
	}
	text := string(id)
	if strings.HasPrefix(text, `"`) {
		if err := json.Unmarshal(id, &text); err != nil {
			return "", noID
		}
	} else if n, err := strconv.ParseInt(text, 10, 64); err != nil || n == 0 {
		return "", noID
	}
	if text == "" {
		return "", noID
	}
	return text, nil
}

func (p huddle01) Decode(r engine.Request) (engine.Delivery, error) {
	body, err := parseJSON(r.Body)
	if err != nil {
		return engine.Delivery{}, err
	}
	name, payload := body.get("event").str(), body.get("payload")
	var events []engine.Event
	for item := range payload.items() { // another form: [{"data": {…}}]
		if len(events) == huddle01MaxEvents {
			return engine.Delivery{}, engine.Refuse(engine.VerdictBadBody, fmt.Sprintf("the payload holds more than %d events", huddle01MaxEvents))
		}
		events = append(events, p.event(name, firstOf(item.get("data"), item), r.Body))
	}
	if len(events) == 0 {
		events = append(events, p.event(name, payload, r.Body))
	}
	return engine.Delivery{
		Events: events,
		// The id is signed. No time is that every repeat would share: the one
		// in the header may be new each time, that of the payload is not always
		// there.
		Keys: []engine.DedupeKey{{ID: body.get("id").text()}},
	}, nil
}

func (p huddle01) event(name string, payload value, raw []byte) engine.Event {
	ev := engine.Event{
		Type:     engine.Other,
		Name:     name,
		Platform: "huddle01",
		Room:     engine.Room{ID: payload.get("roomId").text()},
		Session:  engine.Session{ID: payload.get("sessionId").text()},
		Raw:      raw,
	}
	if types := p.events[name]; types != nil {
		ev.Type = types[0]
	}
	// The SDK declares times and durations as numbers and says no more. Its
	// senders are JavaScript, so times are milliseconds; durations in seconds
	// fit the minutes sent beside them.
	switch ev.Type {
	case engine.SessionStarted:
		ev.Session.Started = huddle01Time(payload.get("createdAt"))
		ev.Time = ev.Session.Started
	case engine.SessionEnded:
		ev.Session.Started, ev.Session.Ended = huddle01Time(payload.get("createdAt")), huddle01Time(payload.get("endedAt"))
		ev.Session.Duration = payload.get("duration").duration(time.Second)
		ev.Time = ev.Session.Ended
	case engine.ParticipantJoined:
		ev.Participant = huddle01Peer(payload)
		ev.Participant.Joined = huddle01Time(payload.get("joinedAt"))
		ev.Time = ev.Participant.Joined
	case engine.ParticipantLeft:
		ev.Participant = huddle01Peer(payload)
		ev.Participant.Left = huddle01Time(payload.get("leftAt"))
		ev.Participant.Duration = payload.get("duration").duration(time.Second)
		ev.Time = ev.Participant.Left
	case engine.TrackPublished, engine.TrackUnpublished:
		// Neither room nor session is sent: the peer leads to them.
		ev.Participant = huddle01Peer(payload)
		ev.Track = huddle01Track(payload.get("track"))
	case engine.RecordingStarted, engine.RecordingUpdated, engine.RecordingEnded:
		file := payload.get("files").first()
		ev.Recording = engine.Recording{
			ID:       payload.get("id").text(),
			Name:     file.get("filename").str(),
			URL:      file.get("location").str(),
			Size:     file.get("size").int(),
			Duration: file.get("duration").duration(time.Second),
		}
	}
	return ev
}

// huddle01Time takes milliseconds, and seconds where the number is too small
// to be milliseconds.
func huddle01Time(v value) time.Time {
	t := v.millis()
	if isSeconds(t.UnixMilli()) {
		return v.seconds()
	}
	return t
}

func huddle01Peer(payload value) engine.Participant {
	peer := engine.Participant{ID: payload.get("id").text(), Metadata: payload.get("metadata").object()}
	for _, key := range [...]string{"displayName", "name"} {
		if name, _ := peer.Metadata[key].(string); name != "" {
			peer.Name = name
			break
		}
	}
	// Roles are names of the SDK (HOST, CO_HOST, …), in the sample lower case.
	switch strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(payload.get("role").str())) {
	case "host", "cohost":
		peer.Role = engine.RoleHost
	case "speaker", "guest":
		peer.Role = engine.RoleParticipant
	case "listener":
		peer.Role = engine.RoleViewer
	case "bot":
		peer.Kind = engine.KindBot
	}
	return peer
}

// huddle01Track reads a track's label.
func huddle01Track(label value) engine.Track {
	track := engine.Track{ID: label.text()}
	switch track.ID {
	case "video":
		track.Kind, track.Source = "video", "camera"
	case "audio":
		track.Kind, track.Source = "audio", "microphone"
	case "screen-share-video":
		track.Kind, track.Source = "video", "screen"
	case "screen-share-audio":
		track.Kind, track.Source = "audio", "screen_audio"
	}
	return track
}
