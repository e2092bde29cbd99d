package triggers

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
)

const (
	openViduMeetSecret    = "the API key of OpenVidu Meet (there is no separate webhook secret)"
	openViduMeetTolerance = 120 * time.Second
)

// OpenViduMeet is OpenVidu Meet, which signs with its API key:
// https://openvidu.io/latest/meet/embedded/reference/webhooks
func OpenViduMeet() engine.PlatformKind {
	return engine.PlatformKind{
		Name:   "openvidu-meet",
		Doc:    "OpenVidu Meet: HMAC-SHA256 with the API key, no participant events",
		ByRoom: true,
		Needs:  []string{"secret"},
		Takes:  []string{"tolerance"},
		Signed: true,
		Events: map[string][]string{
			"meetingStarted":   {engine.SessionStarted},
			"meetingEnded":     {engine.SessionEnded},
			"recordingStarted": {engine.RecordingStarted},
			"recordingUpdated": {engine.RecordingUpdated},
			"recordingEnded":   {engine.RecordingEnded, engine.RecordingFailed},
			"testEvent":        {engine.WebhookTest},
		},
		Facts: []string{
			"room.id", "room.name",
			"session.id", "session.status", "session.started", "session.ended", "session.duration", "session.recording",
			"recording.id", "recording.name", "recording.status", "recording.size", "recording.duration",
			"recording.started", "recording.ended", "recording.error",
		},
		New: func(c engine.SourceConfig) (engine.Platform, error) {
			keys, err := sharedSecrets(c, openViduMeetSecret)
			if err != nil {
				return nil, err
			}
			return openViduMeet{keys, toleranceOr(c, openViduMeetTolerance)}, nil
		},
		Sign: func(c engine.SourceConfig, s engine.SignRequest) (engine.Request, error) {
			keys, err := sharedSecrets(c, openViduMeetSecret)
			if err != nil {
				return engine.Request{}, err
			}
			ts := strconv.FormatInt(s.Now.UnixMilli(), 10)
			r := postJSON(s)
			r.Header.Set("X-Timestamp", ts)
			r.Header.Set("X-Signature", hex.EncodeToString(openViduMeetMAC(keys[0], ts, s.Body)))
			return r, nil
		},
	}
}

type openViduMeet struct {
	keys      [][]byte
	tolerance time.Duration
}

func openViduMeetMAC(key []byte, ts string, body []byte) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(ts))
	m.Write([]byte{'.'})
	m.Write(body)
	return m.Sum(nil)
}

func (p openViduMeet) Verify(r engine.Request) error {
	ts, err := soleHeader(r.Header, "X-Timestamp")
	if err != nil {
		return err
	}
	signature, err := soleHeader(r.Header, "X-Signature")
	if err != nil {
		return err
	}
	sent, err := hex.DecodeString(signature)
	if err != nil || len(sent) != sha256.Size {
		return engine.Refuse(engine.VerdictBadSignature, fmt.Sprintf("header X-Signature is not %d hex digits", 2*sha256.Size))
	}
	millis, ok := wholeNumber(ts)
	if !ok {
		return engine.Refuse(engine.VerdictBadSignature, "header X-Timestamp is not a number of milliseconds")
	}
	for _, key := range p.keys {
		if hmac.Equal(sent, openViduMeetMAC(key, ts, r.Body)) {
			if isSeconds(millis) {
				return engine.Refuse(engine.VerdictTooOld, fmt.Sprintf("timestamp %d is in seconds: this platform signs milliseconds", millis))
			}
			return checkAge(millis, r.ReceivedAt, p.tolerance)
		}
	}
	return engine.Refuse(engine.VerdictBadSignature, "the signature does not fit: is the secret the first API key of this OpenVidu Meet, and is the body passed on unchanged?")
}

func (p openViduMeet) Decode(r engine.Request) (engine.Delivery, error) {
	body, err := parseJSON(r.Body)
	if err != nil {
		return engine.Delivery{}, err
	}
	data := body.get("data")
	// data.creationDate is when the room was made; the event's time is outside.
	at := body.get("creationDate").millis()
	ev := engine.Event{
		Type:     engine.Other,
		Name:     body.get("event").str(),
		Platform: "openvidu-meet",
		Time:     at,
		Room:     engine.Room{ID: data.get("roomId").text(), Name: data.get("roomName").str()},
		Raw:      redacted(r.Body, joinLinks(data)),
	}
	ev.ByRoom = ev.Room.ID != ""
	switch ev.Name {
	case "meetingStarted":
		ev.Type = engine.SessionStarted
		ev.Session.Started = at
	case "meetingEnded":
		ev.Type = engine.SessionEnded
		ev.Session.Ended = at
	case "recordingStarted":
		ev.Type = engine.RecordingStarted
	case "recordingUpdated":
		ev.Type = engine.RecordingUpdated
	case "recordingEnded":
		ev.Type = engine.RecordingEnded
		// limit_reached is a usable recording that was cut short.
		if s := strings.ToLower(data.get("status").str()); s == "failed" || s == "aborted" {
			ev.Type = engine.RecordingFailed
		}
	case "testEvent":
		ev.Type = engine.WebhookTest
		ev.Test = true
	}
	if id := data.get("recordingId").text(); id != "" {
		ev.Recording = engine.Recording{
			ID:       id,
			Name:     data.get("filename").str(),
			Status:   data.get("status").str(),
			Size:     data.get("size").int(),
			Duration: data.get("duration").duration(time.Second),
			Started:  data.get("startDate").millis(),
			Ended:    data.get("endDate").millis(),
			Error:    data.get("error").str(),
		}
	}
	millis, _ := wholeNumber(r.Header.Get("X-Timestamp"))
	return engine.Delivery{
		Events: []engine.Event{ev},
		Keys: []engine.DedupeKey{{
			// A repeat has the same timestamp, body and signature; there is no id.
			ID:   strings.ToLower(r.Header.Get("X-Signature")),
			Time: time.UnixMilli(millis).UTC(),
		}},
	}, nil
}

// joinLinks are the texts of a room that let anybody in who reads them. Releases
// that have no access sent them as two members of the room.
func joinLinks(room value) []value {
	var links []value
	for _, name := range [...]string{"moderatorUrl", "speakerUrl"} {
		if link := room.get(name); link.node().kind == '"' {
			links = append(links, link)
		}
	}
	access := room.get("access")
	for i := access.at + 1; access.isObject() && i < access.node().next; i++ {
		n := access.doc.nodes[i]
		if n.kind == '"' && access.doc.key(i) == "url" {
			links = append(links, value{access.doc, i})
		}
	}
	slices.SortFunc(links, func(a, b value) int { return cmp.Compare(a.at, b.at) })
	return links
}

// redacted is body with other words in place of those texts, which are in the
// order of body. It is body itself if there are none.
func redacted(body []byte, texts []value) []byte {
	if len(texts) == 0 {
		return body
	}
	clean := make([]byte, 0, len(body))
	kept := int32(0)
	for _, text := range texts {
		n := text.node()
		clean = append(clean, body[kept:n.start]...)
		clean = append(clean, "redacted"...)
		kept = n.end
	}
	return append(clean, body[kept:]...)
}
