package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gavelhq/gavel/actions"
	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/rules"
	"github.com/gavelhq/gavel/engine/store"
	"github.com/gavelhq/gavel/triggers"
	"github.com/gavelhq/gavel/triggers/samples"
)

// The example rules do what their comments say when the platforms' samples
// come in: every step that would be done, in order.
func TestExampleRules(t *testing.T) {
	tests := []struct {
		source, platform string
		samples          []string
		change           func(*engine.Event)
		want             []string
	}{
		{"plugnmeet", "plugnmeet", []string{"room_started", "session_ended"}, nil,
			[]string{`meeting-minutes billing {"customer":"unassigned","meter":"meeting_minutes","price":"0.004 EUR","quantity":"1"}`}},
		{"huddle01", "huddle01", []string{"meeting_started", "meeting_ended"}, func(ev *engine.Event) {
			if ev.Session.Duration != nil {
				*ev.Session.Duration += 12*time.Minute + time.Second
			}
			ev.Room.Name, ev.Room.Metadata = "Weekly sync", map[string]any{"customer": "acme"}
		}, []string{
			`meeting-minutes billing {"customer":"acme","meter":"meeting_minutes","price":"0.004 EUR","quantity":"73"}`,
			`long-session slack {"channel":"meetings","text":":hourglass: Weekly sync ran 1h12m1s"}`,
			`long-session billing {"customer":"acme","meter":"overtime_minutes","price":"0.002 EUR","quantity":"13"}`,
		}},
		{"livekit", "livekit", []string{"room_started", "participant_joined", "participant_joined"}, func(ev *engine.Event) {
			ev.Participant.Metadata = map[string]any{"email": "ceo@example.com"}
		}, []string{
			`vip-joined slack {"channel":"meetings","text":":star: Zoë Ünal joined standup-42"}`,
			`vip-joined http {"get":"/leads/user-7","ok":[200,404]}`,
			`vip-joined slack {"channel":"meetings","text":"In the CRM: no company"}`,
		}},
		{"livekit", "livekit", []string{"room_started", "participant_joined"}, nil, nil},
		{"dyte", "dyte", []string{"recording.statusUpdate.UPLOADED"}, nil,
			[]string{`recording-ready slack {"channel":"meetings","text":":film_frames: Recording of Weekly sync: https://storage.example.com/weekly.mp4"}`}},
		{"plugnmeet", "plugnmeet", []string{"room_started", "recording_proceeded"}, nil,
			[]string{`recording-ready slack {"channel":"meetings","text":":film_frames: Recording of Weekly sync: https://meet.example.com/files/node_01/RM_zG9e4bY2pD-1761814595173/rec.mp4"}`}},
		{"meet", "openvidu-meet", []string{"meetingStarted", "recordingEnded", "recordingEnded.failed"}, nil,
			[]string{`recording-ready slack {"channel":"meetings","text":":film_frames: Recording of design-review: see the platform"}`}},
		{"plugnmeet", "plugnmeet", []string{"room_started", "artifact_created.MEETING_SUMMARY"}, nil,
			[]string{`meeting-summary slack {"channel":"meetings","text":":memo: Summary of Weekly sync: https://meet.example.com/files/meeting_summary/room01/summary.txt"}`}},
		{"dyte", "dyte", []string{"meeting.summary"}, nil,
			[]string{`meeting-summary slack {"channel":"meetings","text":":memo: Summary of Weekly sync: https://storage.example.com/s.txt"}`}},
		{"plugnmeet", "plugnmeet", []string{"artifact_created.SPEECH_TRANSCRIPTION_USAGE"}, nil, []string{
			`transcription-usage billing {"customer":"unassigned","key":"ART_05","meter":"transcription_seconds","quantity":"754"}`,
			`transcription-usage billing {"customer":"unassigned","key":"ART_05","meter":"transcription_estimated_cost","quantity":"0.2094"}`,
		}},
		{"plugnmeet", "plugnmeet", []string{"artifact_created.AI_TEXT_CHAT_INTERACTION_USAGE"}, nil, []string{
			`ai-chat-usage billing {"customer":"unassigned","key":"ART_08","meter":"ai_chat_tokens","quantity":"1545"}`,
			`ai-chat-usage billing {"customer":"unassigned","key":"ART_08","meter":"ai_chat_estimated_cost","quantity":"0.000387"}`,
		}},
		{"openvidu", "openvidu2", []string{"webrtcConnectionCreated"}, func(ev *engine.Event) { ev.Track.Source = "screen" },
			[]string{`screen-shared log {"fields":{"participant":"con_EIeO06zgMz","room":"ses_Jd8tUyvhXO"},"message":"screen shared"}`}},
		{"openvidu", "openvidu2", []string{"webrtcConnectionCreated"}, nil, nil},
		{"openvidu", "openvidu2", []string{"sessionDestroyed"}, nil,
			[]string{`meeting-minutes billing {"customer":"unassigned","meter":"meeting_minutes","price":"0.004 EUR","quantity":"11"}`}},
	}
	kinds := triggers.Builtin(triggers.Options{Now: time.Now})
	set := exampleRules(t, kinds)
	for _, tt := range tests {
		t.Run(tt.source+"/"+strings.Join(tt.samples, "+"), func(t *testing.T) {
			kind, _ := triggers.Find(kinds, tt.platform)
			var events []engine.Event
			for _, name := range tt.samples {
				for _, ev := range decodeSample(t, kind, set, tt.source, name) {
					if tt.change != nil {
						tt.change(&ev)
					}
					if err := set.Fill(&ev); err != nil {
						t.Fatal(err)
					}
					events = append(events, ev)
				}
			}
			done := playEvents(t, set, events)
			if d := cmp.Diff(tt.want, done); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

func exampleRules(t *testing.T, kinds []engine.PlatformKind) *rules.Set {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "rules.example.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	set, problems := rules.Load([]rules.File{{Name: "rules.example.yaml", Text: text}}, rules.Options{
		Actions: actions.Builtin(actions.Options{Now: time.Now}), Platforms: kinds,
		Getenv: func(string) (string, bool) { return "0123456789abcdef0123456789abcdef", true },
	})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return set
}

func decodeSample(t *testing.T, kind engine.PlatformKind, set *rules.Set, source, name string) []engine.Event {
	t.Helper()
	for _, c := range set.Sources() {
		if c.Name != source {
			continue
		}
		sample, err := samples.Find(kind.Name, name, kind.Events)
		if err != nil {
			t.Fatal(err)
		}
		p, err := kind.New(c)
		if err != nil {
			t.Fatal(err)
		}
		d, err := p.Decode(engine.Request{Body: sample.Body})
		if err != nil {
			t.Fatal(err)
		}
		for i := range d.Events {
			d.Events[i].Source, d.Events[i].Tenant = source, c.Tenant
			d.Events[i].Received = samples.Began().Add(time.Hour)
		}
		return d.Events
	}
	t.Fatalf("there is no source %q", source)
	return nil
}

// playEvents gives events to a store of its own, one after the other, and
// returns the steps that would be done, each with success.
func playEvents(t *testing.T, set *rules.Set, events []engine.Event) (done []string) {
	t.Helper()
	var ids atomic.Int64
	now := samples.Began().Add(time.Hour)
	s, err := store.Open(t.Context(), t.TempDir(), store.Options{
		NewID: func() string { return fmt.Sprintf("%06d", ids.Add(1)) },
		Now:   func() time.Time { return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Use(t.Context(), set); err != nil {
		t.Fatal(err)
	}
	left := 0
	for _, ev := range events {
		out, err := s.Accept(t.Context(), engine.Inbound{Events: []engine.Event{ev}, Now: now})
		if err != nil {
			t.Fatal(err)
		}
		o := out.Events[0].Outcome
		if o.Problem != "" || len(o.Errors) > 0 {
			t.Fatalf("%+v", o)
		}
		left += len(o.Runs)
	}
	if left == 0 {
		return nil
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	err = s.Dispatch(ctx, 1, func(_ context.Context, d engine.Due) {
		done = append(done, steps(t, set, d)...)
		d.Run.State, d.Run.Call, d.Run.Due = engine.RunDone, nil, time.Time{}
		if _, err := s.Record(ctx, d.Run, engine.Result{}); err != nil {
			t.Error(err)
		}
		if left--; left == 0 {
			stop()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// steps are the steps of a run that would be done, each with success.
func steps(t *testing.T, set *rules.Set, d engine.Due) (done []string) {
	for r := d.Run; ; r.At++ {
		call, ok, err := set.Step(r, d.Input, d.Input.Now)
		if err != nil {
			t.Errorf("rule %s: %v", r.Rule, err)
			return done
		}
		if !ok {
			return done
		}
		rec := engine.StepRecord{Branch: r.Branch, At: r.At, ID: call.ID, Action: call.Action, State: engine.StepSkipped}
		if !call.Skip {
			done = append(done, fmt.Sprintf("%s %s %s", r.Rule, call.Action, call.With))
			rec.State, rec.Status, rec.Body = engine.StepDone, 200, []byte(`{"deal_value": 5}`)
		}
		r.Steps = append(r.Steps, rec)
	}
}
