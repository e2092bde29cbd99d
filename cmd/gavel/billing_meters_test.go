package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gavelhq/gavel/actions"
	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/rules"
	"github.com/gavelhq/gavel/engine/ruletest"
	"github.com/gavelhq/gavel/triggers"
	"github.com/gavelhq/gavel/triggers/samples"
)

// documentedMeters is the rule set of docs/billing.md.
func documentedMeters(t *testing.T) *rules.Set {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "billing.md"))
	if err != nil {
		t.Fatal(err)
	}
	block := yamlBlock.FindStringSubmatch(string(text))
	set, problems := rules.Load([]rules.File{{Name: "billing.md", Text: []byte(block[1])}}, rules.Options{
		Actions: actions.Builtin(actions.Options{Now: time.Now}), Platforms: triggers.Builtin(triggers.Options{Now: time.Now}),
		Getenv: func(string) (string, bool) { return "0123456789abcdef0123456789abcdef", true },
	})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return set
}

// billedBy is the ledger after these events.
func billedBy(t *testing.T, set *rules.Set, events []engine.Event) []engine.Entry {
	t.Helper()
	stage, err := ruletest.NewStage(ruletest.StageOptions{
		Rules: set, Actions: actions.Builtin(actions.Options{Now: time.Now}), Start: samples.Began(),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer stage.Close()
	for _, ev := range events {
		ev.Received = stage.Now().Add(time.Second)
		if ev.Time.After(ev.Received) {
			ev.Received = ev.Time
		}
		if _, err := stage.Deliver(ev, ""); err != nil {
			t.Fatal(err)
		}
	}
	if err := stage.Pass(stage.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	return stage.Entries()
}

// billedLines are entries on a line each: meter, quantity and amount.
func billedLines(entries []engine.Entry) (lines []string) {
	for _, e := range entries {
		line := e.Meter + " " + e.Quantity + " " + major(e.Amount, e.Exponent) + " " + e.Currency
		lines = append(lines, strings.TrimSpace(line))
	}
	return lines
}

// sampleEvents are events as their platform sends them.
func sampleEvents(t *testing.T, set *rules.Set, source, platform string, names ...string) (events []engine.Event) {
	t.Helper()
	kind, _ := triggers.Find(triggers.Builtin(triggers.Options{Now: time.Now}), platform)
	for _, name := range names {
		events = append(events, decodeSample(t, kind, set, source, name)...)
	}
	return events
}

// The meters of docs/billing.md, from what each platform really sends.
func TestMeters(t *testing.T) {
	set := documentedMeters(t)
	for _, tt := range []struct {
		source, platform string
		samples          string
		want             []string
	}{
		{"pnm", "plugnmeet", "room_started participant_joined participant_left session_ended", []string{
			"meeting_minutes 1 0.00 EUR", "participant_minutes 1 0.00 EUR",
		}},
		{"pnm", "plugnmeet", "room_started start_recording end_recording recording_proceeded", []string{"recording_minutes 1 0.00 EUR"}},
		{"pnm", "plugnmeet", "artifact_created.SPEECH_TRANSCRIPTION_USAGE artifact_created.SPEECH_TRANSCRIPTION", []string{"transcription_seconds 754 0.08 EUR"}},
		{"pnm", "plugnmeet", "artifact_created.AI_TEXT_CHAT_INTERACTION_USAGE artifact_created.AI_TEXT_CHAT_SUMMARIZATION_USAGE artifact_created.MEETING_SUMMARY_USAGE artifact_created.MEETING_SUMMARY",
			[]string{"ai_tokens 1545 0.00 EUR", "ai_tokens 1545 0.00 EUR", "ai_tokens 1545 0.00 EUR"}},
		{"pnm", "plugnmeet", "artifact_created.CHAT_TRANSLATION_USAGE artifact_created.SYNTHESIZED_SPEECH_USAGE", []string{"characters 8123", "characters 8123"}},
		{"livekit", "livekit", "room_started participant_joined egress_started egress_ended participant_left room_finished", []string{
			"recording_minutes 10 0.02 EUR", "meeting_minutes 1 0.00 EUR", "participant_minutes 1 0.00 EUR",
		}},
		{"dyte", "dyte", "meeting.started meeting.participantJoined meeting.participantLeft recording.statusUpdate.UPLOADED meeting.ended", []string{
			"recording_minutes 30 0.06 EUR", "meeting_minutes 60 0.24 EUR", "participant_minutes 31 0.03 EUR",
		}},
		{"huddle", "huddle01", "meeting_started peer_joined recording_started recording_ended peer_left meeting_ended", []string{
			"recording_minutes 10 0.02 EUR", "meeting_minutes 60 0.24 EUR", "participant_minutes 30 0.03 EUR",
		}},
		{"meet", "openvidu-meet", "meetingStarted recordingStarted recordingEnded meetingEnded", []string{
			"recording_minutes 10 0.02 EUR", "meeting_minutes 61 0.24 EUR",
		}},
		{"ov2", "openvidu2", "sessionCreated participantJoined participantLeft recordingStatusChanged.ready sessionDestroyed", []string{
			"recording_minutes 1 0.00 EUR", "meeting_minutes 11 0.04 EUR", "participant_minutes 10 0.01 EUR",
		}},
	} {
		got := billedLines(billedBy(t, set, sampleEvents(t, set, tt.source, tt.platform, strings.Fields(tt.samples)...)))
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s %s (-want +got):\n%s", tt.platform, tt.samples, diff)
		}
	}
}

// Two meetings in one room on one day are two entries, on every platform, and
// stay two when all of it is delivered again.
func TestTwoSessionsOfARoom(t *testing.T) {
	set := documentedMeters(t)
	kinds := triggers.Builtin(triggers.Options{Now: time.Now})
	for _, tt := range []struct{ source, platform, opens, ends string }{
		{"pnm", "plugnmeet", "room_started", "session_ended"},
		{"livekit", "livekit", "room_started", "room_finished"},
		{"dyte", "dyte", "meeting.started", "meeting.ended"},
		{"huddle", "huddle01", "meeting_started", "meeting_ended"},
		{"meet", "openvidu-meet", "meetingStarted", "meetingEnded"},
		{"ov2", "openvidu2", "sessionCreated", "sessionDestroyed"},
	} {
		kind, _ := triggers.Find(kinds, tt.platform)
		var events []engine.Event
		for i, session := range []string{"first-1", "second-2"} {
			at := samples.Began().Add(time.Duration(i) * 3 * time.Hour)
			events = append(events, freshEvents(t, kind, set, tt.source, tt.opens, session, at)...)
			events = append(events, freshEvents(t, kind, set, tt.source, tt.ends, session, at.Add(2*time.Hour))...)
		}
		stage := billedBy(t, set, append(events, events...))
		sessions, rooms := map[string]bool{}, map[string]bool{}
		n := 0
		for _, e := range stage {
			if e.Meter == "meeting_minutes" {
				n++
				sessions[e.Key], rooms[e.Room] = true, true
			}
		}
		if n != 2 || len(sessions) != 2 || len(rooms) != 1 {
			t.Errorf("%s: %d entries of %d sessions in %d rooms\n%+v", tt.platform, n, len(sessions), len(rooms), stage)
		}
	}
}

// freshEvents are a sample as if it had happened at a time, in a session.
func freshEvents(t *testing.T, kind engine.PlatformKind, set *rules.Set, source, name, session string, at time.Time) []engine.Event {
	t.Helper()
	sample, err := samples.Find(kind.Name, name, kind.Events)
	if err != nil {
		t.Fatal(err)
	}
	p, err := newPayload(kind.Name, sample.Body)
	if err != nil {
		t.Fatal(err)
	}
	p.freshen(at, session)
	body, err := p.bytes()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range set.Sources() {
		if c.Name != source {
			continue
		}
		platform, err := kind.New(c)
		if err != nil {
			t.Fatal(err)
		}
		d, err := platform.Decode(engine.Request{Body: body})
		if err != nil {
			t.Fatal(err)
		}
		for i := range d.Events {
			d.Events[i].Source, d.Events[i].Tenant = source, c.Tenant
			if d.Events[i].Time.IsZero() {
				d.Events[i].Time = at
			}
		}
		return d.Events
	}
	t.Fatalf("there is no source %q", source)
	return nil
}
