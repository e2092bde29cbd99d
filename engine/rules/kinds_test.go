package rules

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// The kinds of the tests stand for real ones: same names and tags, no effect.

type slackTestParams struct {
	Channel string `json:"channel" doc:"where to post" gavel:"inherit,required"`
	Text    string `json:"text" doc:"the message" gavel:"main,escape"`
	Thread  string `json:"thread" doc:"messages with the same key go into one thread"`
	Blocks  any    `json:"blocks" doc:"Block Kit" gavel:"escape"`
}

type slackTestConn struct {
	Token   engine.Secret `json:"token" doc:"bot token"`
	URL     engine.Secret `json:"url" doc:"incoming webhook"`
	Channel string        `json:"channel" doc:"the channel of steps that name none"`
}

type httpTestParams struct {
	Get     string            `json:"get" gavel:"escape"`
	Post    string            `json:"post" gavel:"escape"`
	Headers map[string]string `json:"headers"`
	JSON    any               `json:"json"`
	OK      engine.Success    `json:"ok"`
	Follow  bool              `json:"follow"`
	Every   time.Duration     `json:"every"`
}

type httpTestConn struct {
	Base    string                   `json:"base" gavel:"required" doc:"what every path is appended to"`
	Headers map[string]engine.Secret `json:"headers"`
	OAuth   *httpTestOAuth           `json:"oauth"`
}

type httpTestOAuth struct {
	TokenURL string          `json:"token_url" gavel:"required"`
	Secret   []engine.Secret `json:"secret" gavel:"required"`
	Scopes   []string        `json:"scopes"`
	Auth     string          `json:"auth" enum:"header,body"`
}

type logTestParams struct {
	Message string         `json:"message" doc:"the line" gavel:"main,required"`
	Level   string         `json:"level" enum:"debug,info,warn,error"`
	Fields  map[string]any `json:"fields"`
}

type billingTestParams struct {
	Customer string         `json:"customer" gavel:"required"`
	Meter    string         `json:"meter" gavel:"required"`
	Quantity engine.Decimal `json:"quantity" gavel:"required"`
	Per      int64          `json:"per"`
	Price    string         `json:"price"`
	Key      string         `json:"key"`
}

type emitTestParams struct {
	Name string `json:"name" gavel:"main,required"`
	Data any    `json:"data"`
}

type noConn struct{}

func testAction[P, C any](kind engine.ActionKind) engine.ActionKind {
	return engine.NewAction(kind, func(context.Context, engine.Call, *C, P) (engine.Result, error) {
		return engine.Result{}, nil
	})
}

func testActions() []engine.ActionKind {
	return []engine.ActionKind{
		testAction[slackTestParams, slackTestConn](engine.ActionKind{
			Name: "slack", ConnRequired: true,
			Escape: func(_, text string) string {
				return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(text)
			},
			Check: func(in engine.CheckInput) []engine.Complaint {
				var all []engine.Complaint
				if blocks, ok := in.With["blocks"].([]any); ok && len(blocks) > 0 {
					all = append(all, engine.Complaint{Param: "blocks[0].text", What: "the block has no type", Hint: "type: section"})
				}
				if text, _ := in.With["text"].(string); strings.Contains(text, "@channel") {
					all = append(all, engine.Complaint{Param: "text", What: "this calls everybody", Warning: true})
				}
				return all
			},
		}),
		testAction[httpTestParams, httpTestConn](engine.ActionKind{Name: "http"}),
		testAction[logTestParams, noConn](engine.ActionKind{Name: "log"}),
		testAction[billingTestParams, noConn](engine.ActionKind{Name: "billing", Check: func(in engine.CheckInput) []engine.Complaint {
			if len(in.When) == 1 && in.When[0] == engine.SessionEnded || in.With["key"] != nil {
				return nil
			}
			return []engine.Complaint{{What: "billing on " + enumerate(in.When) + " needs a key", Hint: "key: ${recording.id}", Warning: true}}
		}}),
		testAction[emitTestParams, noConn](engine.ActionKind{Name: "emit"}),
	}
}

func testPlatforms() []engine.PlatformKind {
	meeting := []string{"room.id", "room.name", "room.metadata", "session.id", "session.status", "session.started", "session.ended", "session.duration"}
	people := []string{"session.present", "session.peak", "session.participants", "session.attended", "participant.id", "participant.name", "participant.metadata",
		"participant.joined", "participant.left", "participant.duration", "participant.total", "participant.present", "participant.connection_id"}
	return []engine.PlatformKind{
		{
			Name: "plugnmeet", Needs: []string{"secret", "api_key"}, Signed: true,
			Events: map[string][]string{
				"room_started": {engine.SessionStarted}, "room_finished": {engine.SessionMediaEnded},
				"participant_joined": {engine.ParticipantJoined}, "participant_left": {engine.ParticipantLeft},
				"artifact_created": {engine.ArtifactCreated}, "recording_proceeded": {engine.RecordingEnded}, "track_published": {engine.TrackPublished},
			},
			Facts: append(append([]string{"artifact.type", "artifact.url", "artifact.tokens", "artifact.duration", "artifact.cost", "artifact.id", "recording.id", "recording.url", "recording.size", "track.source"}, meeting...), people...),
		},
		{
			Name: "openvidu-meet", Needs: []string{"secret"}, Takes: []string{"tolerance"}, Signed: true,
			Events: map[string][]string{
				"meetingStarted": {engine.SessionStarted}, "meetingEnded": {engine.SessionEnded}, "recordingEnded": {engine.RecordingEnded, engine.RecordingFailed},
			},
			Facts: append([]string{"recording.id", "recording.size", "recording.status"}, meeting...),
		},
		{
			Name: "openvidu2", Needs: []string{"headers"},
			Events: map[string][]string{"sessionCreated": {engine.SessionStarted}, "sessionDestroyed": {engine.SessionEnded}, "participantJoined": {engine.ParticipantJoined}},
			Facts:  append(append([]string{}, meeting...), people...),
		},
		{
			Name: "dyte", Takes: []string{"public_key"}, Signed: true,
			Events: map[string][]string{"meeting.ended": {engine.SessionEnded}},
			New: func(c engine.SourceConfig) (engine.Platform, error) {
				if len(c.PublicKey) > 0 && !strings.Contains(string(c.PublicKey), "BEGIN PUBLIC KEY") {
					return nil, engine.Refuse("", "the public key is no PEM")
				}
				return nil, nil
			},
		},
	}
}

// testOptions resolve every reference but a few that are missing on purpose.
func testOptions() Options {
	return Options{
		Actions: testActions(), Platforms: testPlatforms(),
		CredentialDir: "/creds",
		Getenv: func(name string) (string, bool) {
			switch name {
			case "UNSET":
				return "", false
			case "EMPTY":
				return "", true
			case "BLANK":
				return " \n", true
			case "SHORT":
				return "meet-api-key", true
			}
			return "canary-secret-of-" + name, true
		},
		ReadFile: func(name string) ([]byte, error) {
			switch name {
			case "/creds/hook", "/etc/key":
				return []byte("canary-secret-from-file\n"), nil
			case "/etc/empty":
				return []byte("\n"), nil
			case "/etc/forbidden":
				return nil, os.ErrPermission
			}
			return os.ReadFile(name)
		},
	}
}

// sourcesText is the start of most test files.
const sourcesText = `
sources:
  pnm: { platform: plugnmeet, api_key: env:KEY, secret: env:SECRET_OF_PNM }
  meet: { platform: openvidu-meet, secret: env:SECRET_OF_MEET }
connections:
  slack: { team: { token: env:SLACK_TOKEN, channel: ops } }
`

// mustLoad loads text, which has no mistake.
func mustLoad(t testing.TB, text string) *Set {
	t.Helper()
	s, problems := Load([]File{{"rules.yaml", []byte(text)}}, testOptions())
	if s == nil {
		t.Fatalf("%s", printed(problems))
	}
	return s
}

func printed(p engine.Problems) string {
	var b strings.Builder
	Print(&b, p, false)
	return b.String()
}

// readFixture reads a file or folder of testdata under short names, so that
// messages do not hold paths of this machine.
func readFixture(t *testing.T, path string) []File {
	t.Helper()
	files, err := ReadFiles(path)
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range files {
		files[i].Name = filepath.Base(f.Name)
	}
	return files
}
