package triggers

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gavelhq/gavel/engine"
)

func TestOpenVidu2Verify(t *testing.T) {
	p, err := OpenVidu2().New(engine.SourceConfig{Headers: map[string]engine.Secret{
		"authorization": engine.NewSecret("Basic abc"), "X-Gavel": engine.NewSecret("second"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		h    http.Header
		says string
	}{
		{"both", http.Header{"Authorization": {"Basic abc"}, "X-Gavel": {"second"}}, ""},
		{"first missing", http.Header{"X-Gavel": {"second"}}, "header Authorization is missing"},
		{"second missing", http.Header{"Authorization": {"Basic abc"}}, "header X-Gavel is missing"},
		{"second wrong", http.Header{"Authorization": {"Basic abc"}, "X-Gavel": {"Second"}}, "header X-Gavel has another value than configured (6 characters)"},
		{"swapped", http.Header{"Authorization": {"second"}, "X-Gavel": {"Basic abc"}}, "header Authorization has another value"},
		{"twice", http.Header{"Authorization": {"Basic abc", "Basic abc"}, "X-Gavel": {"second"}}, "more than once"},
	} {
		err := p.Verify(engine.Request{Header: c.h})
		if c.says == "" && err != nil || c.says != "" && (!isVerdict(err, engine.VerdictBadSignature) || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.says)
		}
		if err != nil && strings.Contains(err.Error(), "abc") {
			t.Errorf("%s: %v quotes the value", c.name, err)
		}
	}
}

func TestOpenVidu2RefusesConfig(t *testing.T) {
	header := map[string]engine.Secret{"Authorization": engine.NewSecret("Basic abc")}
	for says, c := range map[string]engine.SourceConfig{
		"signs nothing":                {Headers: header, Secrets: []engine.Secret{engine.NewSecret("x")}},
		"headers is missing":           {},
		"Authorization is there twice": {Headers: map[string]engine.Secret{"authorization": engine.NewSecret("a"), "Authorization": engine.NewSecret("b")}},
		"Authorization is empty":       {Headers: map[string]engine.Secret{"Authorization": engine.NewSecret(" ")}},
	} {
		if _, err := OpenVidu2().New(c); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want %q", err, says)
		}
	}
}

func TestOpenVidu2Data(t *testing.T) {
	for _, c := range []struct {
		name           string
		client, server any // members as sent
		want           string
		metadata       map[string]any
	}{
		{"plain text", "Zoë", "", "Zoë", nil},
		{"plain text with spaces", "  Zoë ", nil, "Zoë", nil},
		{"text of the tutorials", `{"clientData":"Zoë"}`, nil, "Zoë", map[string]any{"clientData": "Zoë"}},
		{"the server wins", `{"name":"me","vip":true,"a":1}`, `{"name":"Zoë","vip":false}`, "Zoë", map[string]any{"name": "Zoë", "vip": false, "a": 1}},
		{"the browser's name if the server has none", `{"nickname":"Zoë"}`, `{"userId":"u"}`, "Zoë", map[string]any{"nickname": "Zoë", "userId": "u"}},
		{"plain text and the server's object", "Zoë", `{"userId":7}`, "Zoë", map[string]any{"userId": 7}},
		{"the server's plain text is no name", "", "room-service", "", nil},
		{"no name anywhere", `{"name":5}`, `{}`, "", map[string]any{"name": 5}},
		{"a JSON text", `"Zoë \u0026 Max"`, nil, "Zoë & Max", nil},
		{"a number", "42", nil, "42", nil},
		{"broken JSON is not shown as a name", `{"name":`, nil, "", nil},
		{"ambiguous JSON is not taken", `{"name":"a","name":"b"}`, nil, "", nil},
		{"an array", `["Zoë"]`, nil, "", nil},
		{"an object not in a text", map[string]any{"name": "Zoë"}, nil, "Zoë", map[string]any{"name": "Zoë"}},
		{"nothing", nil, nil, "", nil},
	} {
		body, err := json.Marshal(map[string]any{"event": "participantJoined", "sessionId": "s", "connectionId": "c", "clientData": c.client, "serverData": c.server})
		if err != nil {
			t.Fatal(err)
		}
		got := decodeOne(t, OpenVidu2(), string(body)).Participant
		if got.Name != c.want {
			t.Errorf("%s: name %q, want %q", c.name, got.Name, c.want)
		}
		if diff := cmp.Diff(c.metadata, got.Metadata); diff != "" {
			t.Errorf("%s: metadata (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestOpenVidu2Facts(t *testing.T) {
	older := decodeOne(t, OpenVidu2(), `{"event":"participantLeft","sessionId":"s","timestamp":1760000605000,"startTime":1760000005000,"duration":0,"participantId":"p"}`)
	if older.Session.ID != "s" || older.Room.ID != "s" || older.Participant.ID != "p" || !older.ByRoom {
		t.Errorf("without uniqueSessionId and connectionId: %+v", older)
	}
	if d := older.Participant.Duration; d == nil || *d != 0 {
		t.Errorf("a stay of less than a second: %v", d)
	}
	newer := decodeOne(t, OpenVidu2(), `{"event":"sessionCreated","sessionId":"s","uniqueSessionId":"s_1"}`)
	if newer.Session.ID != "s_1" || newer.Room.ID != "s" || newer.ByRoom {
		t.Errorf("with uniqueSessionId: %+v", newer)
	}
	if node := decodeOne(t, OpenVidu2(), `{"event":"nodeCrashed","id":"n"}`); node.ByRoom || node.Recording.ID != "" {
		t.Errorf("an event of no session: %+v", node)
	}
	for _, c := range []struct {
		status   string
		kind     string
		duration time.Duration // -1: unknown
	}{
		{"started", engine.RecordingStarted, -1},
		{"stopped", engine.RecordingStopped, -1},
		{"ready", engine.RecordingEnded, 1500 * time.Millisecond},
		{"failed", engine.RecordingFailed, -1},
		{"paused", engine.Other, -1},
		{"", engine.Other, -1},
	} {
		ev := decodeOne(t, OpenVidu2(), `{"event":"recordingStatusChanged","sessionId":"s","id":"r","duration":1.5,"size":9,"reason":"why","status":"`+c.status+`"}`)
		got := time.Duration(-1)
		if d := ev.Recording.Duration; d != nil {
			got = *d
		}
		if ev.Type != c.kind || got != c.duration || (ev.Recording.Error != "") != (c.status == "failed") || ev.Session.EndReason != "" {
			t.Errorf("%q: %s %v %q", c.status, ev.Type, got, ev.Recording.Error)
		}
	}
	for body, want := range map[string]engine.Track{
		`{"event":"webrtcConnectionCreated","connection":"OUTBOUND","streamId":"x","videoSource":"SCREEN"}`: {ID: "x", Source: "screen"},
		`{"event":"webrtcConnectionCreated","connection":"OUTBOUND","streamId":"x"}`:                        {ID: "x"},
	} {
		if ev := decodeOne(t, OpenVidu2(), body); ev.Type != engine.TrackPublished || ev.Track != want {
			t.Errorf("%s: %s %+v", body, ev.Type, ev.Track)
		}
	}
	for _, body := range []string{
		`{"event":"webrtcConnectionCreated","connection":"INBOUND","streamId":"x"}`,
		`{"event":"webrtcConnectionDestroyed","streamId":"x"}`,
		`{"event":"sessiondestroyed"}`, `{"Event":"sessionDestroyed"}`, `{}`, `[]`,
	} {
		if ev := decodeOne(t, OpenVidu2(), body); ev.Type != engine.Other {
			t.Errorf("%s: %s", body, ev.Type)
		}
	}
}
