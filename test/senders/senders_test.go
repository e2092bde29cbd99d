// Package senders lets the platforms' own code post to a running gavel. It is
// a module of its own, so that gavel does not depend on their libraries.
package senders

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/livekit/protocol/livekit"
	lkwebhook "github.com/livekit/protocol/webhook"
	"github.com/mynaparrot/plugnmeet-protocol/plugnmeet"
	pnmwebhook "github.com/mynaparrot/plugnmeet-protocol/webhook"
	"github.com/sirupsen/logrus"
)

const (
	key    = "sender-key"
	secret = "a-secret-of-at-least-16-bytes"
)

// One rule for each thing a sender says; that it fired is what is tested.
const rules = `version: 1
sources:
  pnm: { platform: plugnmeet, api_key: env:SENDER_KEY, secret: env:SENDER_SECRET }
  lk: { platform: livekit, api_key: env:SENDER_KEY, secret: env:SENDER_SECRET }
rules:
  - id: joined
    when: participant_joined
    if: participant.id == "user-7" and participant.name == "Zoë Ünal"
    then:
      - log: ${participant.name} is in ${room.id}
  - id: long-session
    when: session_ended
    if: session.duration > 60m
    then:
      - log: ${room.id} ran ${session.duration}
  - id: screen
    when: track_published
    if: track.id == "TR_1"
    then:
      - log: ${participant.id} shares a ${track.source}
  - id: recorded
    when: recording_ended
    if: recording.id == "REC_1"
    then:
      - log: ${recording.url}
  - id: tokens
    when: artifact_created
    if: artifact.tokens == 1545
    then:
      - log: ${artifact.tokens} tokens, ${artifact.cost}
`

func TestPlugNMeet(t *testing.T) {
	s := start(t)
	log := logrus.New()
	log.SetOutput(io.Discard)
	n := pnmwebhook.NewNotifier(t.Context(), 1, 4, log.WithField("test", t.Name()))
	began, now := time.Now().Add(-2*time.Hour).Unix(), time.Now().Unix()
	room := &plugnmeet.NotifyEventRoom{
		Sid: new("RM_1"), RoomId: new("room01"), CreationTime: new(uint64(began)),
		Metadata: new(`{"room_title":"Weekly <sync> & more"}`),
	}
	bare := &plugnmeet.NotifyEventRoom{Sid: room.Sid, RoomId: room.RoomId}
	person := &livekit.ParticipantInfo{Sid: "PA_1", Identity: "user-7", Name: "Zoë Ünal", JoinedAt: began}
	for _, event := range []*plugnmeet.CommonNotifyEvent{
		{Event: new("room_created"), Room: room, CreatedAt: &began},
		{Event: new("room_started"), Room: room, CreatedAt: &began},
		{Event: new("participant_joined"), Room: room, Participant: person},
		{Event: new("track_published"), Room: room, Participant: person,
			Track: &livekit.TrackInfo{Sid: "TR_1", Type: livekit.TrackType_VIDEO, Source: livekit.TrackSource_SCREEN_SHARE}},
		{Event: new("RECORDING_PROCEEDED"), Room: bare, // the sender makes it lower case
			RecordingInfo: &plugnmeet.RecordingInfoEvent{RecordId: "REC_1", FilePath: new("node_01/rec.mp4"), FileSize: new(float32(15.37))}},
		{Event: new("artifact_created"), Room: bare, RoomArtifact: &plugnmeet.RoomArtifactWebhookEvent{
			Type: plugnmeet.RoomArtifactType_AI_TEXT_CHAT_INTERACTION_USAGE, ArtifactId: "ART_1",
			Metadata: &plugnmeet.RoomArtifactMetadata{UsageDetails: &plugnmeet.RoomArtifactMetadata_TokenUsage{
				TokenUsage: &plugnmeet.RoomArtifactTokenUsage{
					PromptTokens: 1200, CompletionTokens: 345, TotalTokens: 1545,
					TotalTokensEstimatedCost: new(0.000387),
				}}}}},
		{Event: new("session_ended"), Room: room, CreatedAt: &now},
	} {
		n.AddInNotifyQueue(event, key, secret, []string{s.url + "/hooks/pnm"})
	}
	n.StopGracefully()
	s.fired(t, "joined", "long-session", "recorded", "screen", "tokens")
}

func TestLiveKit(t *testing.T) {
	s := start(t)
	lkwebhook.InitWebhookStats(nil) // it counts what it sends
	sent := make(chan *livekit.WebhookInfo, 10)
	n := lkwebhook.NewURLNotifier(lkwebhook.URLNotifierParams{
		URL: s.url + "/hooks/lk", APIKey: key, APISecret: secret,
		Config: lkwebhook.URLNotifierConfig{NumWorkers: 1},
	})
	n.RegisterProcessedHook(func(_ context.Context, whi *livekit.WebhookInfo) { sent <- whi })
	began := time.Now().Add(-2 * time.Hour)
	room := &livekit.Room{Sid: "RM_1", Name: "room01", CreationTime: began.Unix(), CreationTimeMs: began.UnixMilli()}
	person := &livekit.ParticipantInfo{Sid: "PA_1", Identity: "user-7", Name: "Zoë Ünal", JoinedAt: began.Unix()}
	events := []*livekit.WebhookEvent{
		{Event: lkwebhook.EventRoomStarted, Room: room, CreatedAt: began.Unix()},
		{Event: lkwebhook.EventParticipantJoined, Room: room, Participant: person},
		{Event: lkwebhook.EventTrackPublished, Room: room, Participant: person,
			Track: &livekit.TrackInfo{Sid: "TR_1", Type: livekit.TrackType_VIDEO, Source: livekit.TrackSource_SCREEN_SHARE}},
		{Event: lkwebhook.EventEgressEnded, EgressInfo: &livekit.EgressInfo{
			EgressId: "REC_1", RoomId: "RM_1", RoomName: "room01", Status: livekit.EgressStatus_EGRESS_COMPLETE,
			FileResults: []*livekit.FileInfo{{Filename: "rec.mp4", Location: "https://files.example.com/rec.mp4", Size: 15_370_000}}}},
		{Event: lkwebhook.EventRoomFinished, Room: room},
	}
	for i, event := range events {
		event.Id = fmt.Sprintf("EV_%d", i)
		if event.CreatedAt == 0 {
			event.CreatedAt = time.Now().Unix()
		}
		if err := n.QueueNotify(t.Context(), event); err != nil {
			t.Fatal(err)
		}
	}
	for range events {
		if whi := <-sent; whi.SendError != "" || whi.IsDropped {
			t.Errorf("%s was not accepted: %s", whi.Event, whi.SendError)
		}
	}
	n.Stop(false)
	s.fired(t, "joined", "long-session", "recorded", "screen")
}

// A sender with another secret gets nothing through.
func TestWrongSecret(t *testing.T) {
	s := start(t)
	log := logrus.New()
	log.SetOutput(io.Discard)
	n := pnmwebhook.NewNotifier(t.Context(), 1, 4, log.WithField("test", t.Name()))
	n.AddInNotifyQueue(&plugnmeet.CommonNotifyEvent{
		Event:       new("participant_joined"),
		Room:        &plugnmeet.NotifyEventRoom{Sid: new("RM_1"), RoomId: new("room01")},
		Participant: &livekit.ParticipantInfo{Sid: "PA_1", Identity: "user-7", Name: "Zoë Ünal"},
	}, key, secret+"x", []string{s.url + "/hooks/pnm"})
	n.StopGracefully()
	s.fired(t)
}

// gavel is a running server.
type gavel struct {
	url  string
	bin  string
	data string
	cmd  *exec.Cmd
}

// start builds gavel, starts it on a free port and waits until it listens.
func start(t *testing.T) *gavel {
	t.Helper()
	dir := t.TempDir()
	s := &gavel{bin: filepath.Join(dir, "gavel"), data: filepath.Join(dir, "data")}
	build := exec.Command("go", "build", "-o", s.bin, "./cmd/gavel")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build gavel: %v\n%s", err, out)
	}
	file := filepath.Join(dir, "rules.yaml")
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	s.url = "http://" + freePort(t)
	ready := notifySocket(t, filepath.Join(dir, "notify"))
	s.cmd = exec.CommandContext(t.Context(), s.bin, "serve", "--rules", file, "--data", s.data, "--hooks", s.url[len("http://"):])
	s.cmd.Env = append(os.Environ(), "SENDER_KEY="+key, "SENDER_SECRET="+secret, "NOTIFY_SOCKET="+filepath.Join(dir, "notify"))
	s.cmd.Stdout, s.cmd.Stderr = t.Output(), t.Output()
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := ready.Read(make([]byte, 4096)); err != nil {
		t.Fatalf("gavel serve did not get ready: %v", err)
	}
	go io.Copy(io.Discard, ready) // what else it says: a full queue would block it
	return s
}

// notifySocket is where the server says that it is ready, as it does to systemd.
func notifySocket(t *testing.T, path string) net.Conn {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// fired stops the server, which lets every run finish, and compares the rules
// that fired with those that should have, each once.
func (s *gavel) fired(t *testing.T, want ...string) {
	t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Wait(); err != nil {
		t.Fatalf("gavel serve ended: %v", err)
	}
	out, err := exec.Command(s.bin, "runs", "list", "--data", s.data, "-o", "json").Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("gavel runs list: %v\n%s", err, exit.Stderr)
		}
		t.Fatal(err)
	}
	var runs []struct{ Rule, State, Reason string }
	if err := json.Unmarshal(out, &runs); err != nil {
		t.Fatalf("gavel runs list: %v\n%s", err, out)
	}
	var got []string
	for _, run := range runs {
		got = append(got, run.Rule)
		if run.State != "done" {
			t.Errorf("rule %s is %s: %s", run.Rule, run.State, run.Reason)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("rules that fired: %q, want %q", got, want)
	}
}
