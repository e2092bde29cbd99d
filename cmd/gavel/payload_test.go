package main

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/triggers"
	"github.com/gavelhq/gavel/triggers/samples"
)

// testNow has milliseconds, as clocks do.
var testNow = time.Date(2026, 11, 20, 14, 0, 0, 123_000_000, time.UTC) //nolint:gochecknoglobals // never written

// A sample of every platform must be taken by that platform's own verifier
// and say that it happened now.
func TestEverySampleIsAccepted(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})
	privatePEM := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})

	now := func() time.Time { return testNow }
	kinds := triggers.Builtin(triggers.Options{Now: now})
	for _, kind := range kinds {
		config := engine.SourceConfig{Name: "s", Platform: kind.Name, APIKey: "APIkey"}
		switch kind.Name {
		case "dyte":
			config.PublicKey = publicPEM
		case "openvidu2":
			config.Headers = map[string]engine.Secret{"Authorization": engine.NewSecret("Bearer 0123456789abcdef")}
		default:
			config.Secrets = []engine.Secret{engine.NewSecret("0123456789abcdef0123456789abcdef")}
		}
		list, err := samples.Of(kind.Name)
		if err != nil {
			t.Fatal(err)
		}
		for _, sample := range list {
			t.Run(kind.Name+"/"+sample.Name, func(t *testing.T) {
				p, err := newPayload(kind.Name, sample.Body)
				if err != nil {
					t.Fatal(err)
				}
				p.freshen(testNow, "fresh-session")
				body, err := p.bytes()
				if err != nil {
					t.Fatal(err)
				}
				for _, old := range []string{`"1760`, `:1760`, `"2025-10-`, p.shape.session} {
					if old != "" && bytes.Contains(body, []byte(old)) {
						t.Errorf("%s is still in %s", old, body)
					}
				}
				req, err := kind.Sign(config, engine.SignRequest{Body: body, PrivateKey: privatePEM, ID: "d1", Now: testNow})
				if err != nil {
					t.Fatal(err)
				}
				req.ReceivedAt = testNow
				steps := triggers.Check(kinds, []engine.SourceConfig{config}, "s", req)
				if !triggers.Passed(steps) {
					t.Errorf("refused: %+v\n%s", steps, body)
				}
			})
		}
	}
}

func TestFindSample(t *testing.T) {
	types := map[string][]string{"meeting:ended": {"session_ended"}, "recordingEnded": {"recording_ended", "recording_failed"}}
	for _, tt := range []struct{ platform, event, want string }{
		{"huddle01", "meeting:ended", "meeting_ended"},
		{"huddle01", "meeting_ended", "meeting_ended"},
		{"huddle01", "session_ended", "meeting_ended"},
		{"openvidu-meet", "recordingEnded", "recordingEnded"}, // not recordingEnded.failed
		{"openvidu-meet", "recordingEnded.failed", "recordingEnded.failed"},
	} {
		got, err := samples.Find(tt.platform, tt.event, types)
		if err != nil || got.Name != tt.want {
			t.Errorf("%s %s: got %s, %v", tt.platform, tt.event, got.Name, err)
		}
	}
	if _, err := samples.Find("huddle01", "nothing", types); err == nil {
		t.Error("a sample for nothing")
	}
	if _, err := samples.Find("../..", "main", nil); err == nil {
		t.Error("a platform outside the folder")
	}
}

func TestSet(t *testing.T) {
	const body = `{
		"event": "e", "n": 1, "on": true, "list": [1],
		"room": {"room_id": "a", "metadata": "{\"room_title\":\"A\"}"},
		"participant": {"name": "Zoë"}, "data": {"deep": {"only": "x"}}, "a": {"twice": 1}, "b": {"twice": 2}
	}`
	for _, tt := range []struct{ set, want, err string }{
		{"room.room_id=b", `"room_id":"b"`, ""},
		{"room=b", `"room_id":"b"`, ""},
		{"title=Weekly", `"metadata":"{\"room_title\":\"Weekly\"}"`, ""},
		{"room.metadata.customer=acme", `\"customer\":\"acme\"`, ""},
		{"room.metadata={}", `"metadata":"{}"`, ""},
		{"name=Maria", `"name":"Maria"`, ""},
		{"n=72", `"n":72`, ""},
		{"on=false", `"on":false`, ""},
		{"only=y", `"only":"y"`, ""},
		{"new=5", `"new":5`, ""},
		{"new=hello world", `"new":"hello world"`, ""},
		{"new.inner=true", `"new":{"inner":true}`, ""},
		{"list=[2,3]", `"list":[2,3]`, ""},
		{"event=a=b", `"event":"a=b"`, ""},
		{"n=many", "", "not a number"},
		{"n=0x10", "", "not a number"},
		{"on=maybe", "", "neither true nor false"},
		{"list=two", "", "give JSON"},
		{"twice=3", "", "there are several"},
		{"event.x=1", "", "no object"},
		{"nothing", "", "not field=value"},
		{"duration=72m", "", "does not say when"},
	} {
		t.Run(tt.set, func(t *testing.T) {
			p, err := newPayload("plugnmeet", []byte(body))
			if err != nil {
				t.Fatal(err)
			}
			err = p.set(tt.set, testNow)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("got %v, want %s", err, tt.err)
				}
				return
			}
			got, _ := p.bytes()
			if err != nil || !strings.Contains(string(got), tt.want) || !json.Valid(got) {
				t.Errorf("got %s, %v, want %s", got, err, tt.want)
			}
			if added := strings.HasPrefix(tt.set, "new="); added != (len(p.added) > 0) {
				t.Errorf("added: got %v", p.added)
			}
		})
	}
}

func TestSetDuration(t *testing.T) {
	for _, tt := range []struct{ platform, event, has string }{
		{"plugnmeet", "session_ended", `"creation_time":"1795178880"`},
		{"livekit", "room_finished", `"creationTimeMs":"1795178880000"`}, // its end is in whole seconds
		{"livekit", "room_finished", `"creationTime":"1795178880"`},
		{"openvidu2", "sessionDestroyed", `"duration":4320`},
		{"openvidu2", "sessionDestroyed", `"startTime":1795178880123`},
		{"dyte", "meeting.ended", `"startedAt":"2026-11-20T12:48:00.123Z"`},
		{"huddle01", "meeting:ended", `"createdAt":1795178880123`},
	} {
		sample, err := samples.Find(tt.platform, tt.event, nil)
		if err != nil {
			t.Fatal(err)
		}
		p, err := newPayload(tt.platform, sample.Body)
		if err != nil {
			t.Fatal(err)
		}
		p.freshen(testNow, "s")
		if err := p.set("duration=72m", testNow); err != nil {
			t.Fatal(err)
		}
		if got, _ := p.bytes(); !bytes.Contains(got, []byte(tt.has)) {
			t.Errorf("%s: no %s in %s", tt.platform, tt.has, got)
		}
	}
}

// What is sent by hand happens when it is sent: were it put before, what waits
// since an earlier one would not see it.
func TestSamplesHappenNow(t *testing.T) {
	kinds := triggers.Builtin(triggers.Options{Now: func() time.Time { return testNow }})
	for _, kind := range kinds {
		list, err := samples.Of(kind.Name)
		if err != nil {
			t.Fatal(err)
		}
		d, err := triggers.NewDecoder(kind, engine.SourceConfig{Name: "s", Platform: kind.Name})
		if err != nil {
			t.Fatal(err)
		}
		for _, sample := range list {
			p, err := newPayload(kind.Name, sample.Body)
			if err != nil {
				t.Fatal(err)
			}
			p.freshen(testNow, "s")
			body, err := p.bytes()
			if err != nil {
				t.Fatal(err)
			}
			events, err := d.Decode(body, testNow)
			if err != nil {
				t.Fatal(err)
			}
			for _, ev := range events {
				if !ev.Time.Equal(testNow) && !ev.Time.Equal(testNow.Truncate(time.Second)) {
					t.Errorf("%s/%s: %s happened %s before it was sent", kind.Name, sample.Name, ev.Type, testNow.Sub(ev.Time))
				}
				for _, at := range []time.Time{ev.Session.Started, ev.Session.Ended, ev.Participant.Joined, ev.Participant.Left} {
					if at.After(testNow) {
						t.Errorf("%s/%s: %s is in the future", kind.Name, sample.Name, at)
					}
				}
			}
		}
	}
}
