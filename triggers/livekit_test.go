package triggers

import (
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// decode is what that platform makes of body, which must be one event or more.
func decode(t *testing.T, k engine.PlatformKind, body string) []engine.Event {
	t.Helper()
	d, err := suitePlatform(t, k, 0).Decode(engine.Request{Header: http.Header{}, Body: []byte(body), ReceivedAt: suiteNow})
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	if len(d.Events) == 0 {
		t.Fatalf("%s: no event", body)
	}
	return d.Events
}

// Other senders write enums as numbers and 64-bit numbers as numbers: it is
// the same event.
func TestNumbersAndNamesMeanTheSame(t *testing.T) {
	for _, c := range []struct {
		kind       engine.PlatformKind
		this, that string
	}{
		{LiveKit(),
			`{"event":"egress_ended","createdAt":"1760000007","egressInfo":{"egressId":"EG","status":"EGRESS_ABORTED","startedAt":"1760000010000000001","fileResults":[{"duration":"600000000000","size":"73400320"}]}}`,
			`{"event":"egress_ended","createdAt":1760000007,"egressInfo":{"egressId":"EG","status":5,"startedAt":1760000010000000001,"fileResults":[{"duration":600000000000,"size":73400320}]}}`},
		{LiveKit(),
			`{"event":"participant_left","createdAt":"1760000009","participant":{"identity":"7","kind":"AGENT","disconnectReason":"ROOM_DELETED","joinedAtMs":"1760000005456"}}`,
			`{"event":"participant_left","createdAt":1760000009,"participant":{"identity":7,"kind":4,"disconnectReason":5,"joinedAtMs":1760000005456}}`},
		{LiveKit(),
			`{"event":"track_published","track":{"sid":"TR","type":"VIDEO","source":"SCREEN_SHARE"}}`,
			`{"event":"track_published","track":{"sid":"TR","type":1,"source":3}}`},
		{PlugNMeet(),
			`{"event":"artifact_created","created_at":"1760000019","room_artifact":{"type":"SPEECH_TRANSCRIPTION_USAGE","metadata":{"duration_usage":{"duration_sec":754},"file_info":{"file_size":"2048"}}}}`,
			`{"event":"artifact_created","created_at":1760000019,"room_artifact":{"type":5,"metadata":{"duration_usage":{"duration_sec":"754"},"file_info":{"file_size":2048}}}}`},
		{PlugNMeet(),
			`{"event":"artifact_created","room_artifact":{"type":"UNKNOWN_ARTIFACT"}}`,
			`{"event":"artifact_created","room_artifact":{"type":0}}`},
	} {
		this, that := decode(t, c.kind, c.this), decode(t, c.kind, c.that)
		this[0].Raw, that[0].Raw = nil, nil
		if !reflect.DeepEqual(this, that) {
			t.Errorf("%s\n%+v\n%+v", c.this, this[0], that[0])
		}
	}
}

func TestPlugNMeetArtifactTypes(t *testing.T) {
	for number, name := range []string{"", "meeting_analytics", "meeting_summary", "meeting_summary_usage", "speech_transcription",
		"speech_transcription_usage", "synthesized_speech_usage", "chat_translation_usage", "ai_text_chat_interaction_usage",
		"ai_text_chat_summarization_usage"} {
		body := `{"event":"artifact_created","room_artifact":{"type":` + string(rune('0'+number)) + `}}`
		if got := decode(t, PlugNMeet(), body)[0].Artifact.Type; got != name {
			t.Errorf("%d: got %q, want %q", number, got, name)
		}
	}
	if got := decode(t, PlugNMeet(), `{"room_artifact":{"type":"NEW_THING"}}`)[0].Artifact.Type; got != "new_thing" {
		t.Errorf("a type of a later server: got %q", got)
	}
}

// Costs stay the text that was sent: no float on the way.
func TestPlugNMeetCost(t *testing.T) {
	for sent, want := range map[string]string{
		`0.000387`: "0.000387", `"0.10"`: "0.10", `0.1000000000000000055511151231257827`: "0.1000000000000000055511151231257827",
		`1e-7`: "1e-7", `null`: "", `"free"`: "", `"0x1"`: "",
	} {
		body := `{"event":"artifact_created","room_artifact":{"metadata":{"token_usage":{"total_tokens_estimated_cost":` + sent + `}}}}`
		if got := decode(t, PlugNMeet(), body)[0].Artifact.Cost; got != want {
			t.Errorf("%s: got %q, want %q", sent, got, want)
		}
	}
}

func TestParticipantKinds(t *testing.T) {
	for _, c := range []struct{ event, participant, kind string }{
		{"participant_joined", `"identity":"u"`, engine.KindPerson},
		{"participant_left", `"identity":"u","kind":"STANDARD"`, engine.KindPerson},
		{"participant_joined", `"identity":"u","kind":"AGENT"`, engine.KindBot},
		{"participant_joined", `"identity":"u","kind":"INGRESS"`, engine.KindBot},
		{"participant_joined", `"identity":"u","kind":"EGRESS"`, engine.KindRecorder},
		{"participant_joined", `"identity":"u","kind":"SIP"`, engine.KindSIP},
		{"participant_joined", `"identity":"u","kind":"CONNECTOR"`, engine.KindPerson},
		{"participant_joined", `"identity":"u","permission":{"recorder":true}`, engine.KindRecorder},
		{"participant_joined", `"identity":"u","permission":{"agent":true,"recorder":false}`, engine.KindBot},
		{"track_published", `"identity":"u"`, ""},
	} {
		for _, k := range []engine.PlatformKind{LiveKit(), PlugNMeet()} {
			body := `{"event":"` + c.event + `","participant":{` + c.participant + `}}`
			if got := decode(t, k, body)[0].Participant.Kind; got != c.kind {
				t.Errorf("%s: %s: got %q, want %q", k.Name, body, got, c.kind)
			}
		}
	}
	for identity, kind := range map[string]string{
		"RECORDER_BOT": engine.KindRecorder, "RTMP_BOT": engine.KindRecorder, "pnm_agent-1": engine.KindBot,
		"pnm_tts_agent-de": engine.KindBot, "ingres_7": engine.KindBot, "recorder_bot": engine.KindPerson,
	} {
		body := `{"event":"participant_joined","participant":{"identity":"` + identity + `"}}`
		if got := decode(t, PlugNMeet(), body)[0].Participant.Kind; got != kind {
			t.Errorf("%s: got %q, want %q", identity, got, kind)
		}
	}
}

func TestTracks(t *testing.T) {
	for sent, want := range map[string]engine.Track{
		`"sid":"T"`:                       {ID: "T", Kind: "audio"},
		`"sid":"T","source":"MICROPHONE"`: {ID: "T", Kind: "audio", Source: "microphone"},
		`"sid":"T","type":"VIDEO","source":"SCREEN_SHARE"`:  {ID: "T", Kind: "video", Source: "screen"},
		`"sid":"T","source":"SCREEN_SHARE_AUDIO"`:           {ID: "T", Kind: "audio", Source: "screen_audio"},
		`"sid":"T","type":"DATA","source":"UNKNOWN"`:        {ID: "T", Kind: "data"},
		`"sid":"T","type":"AUDIO","source":"SOMETHING_NEW"`: {ID: "T", Kind: "audio", Source: "something_new"},
	} {
		if got := decode(t, LiveKit(), `{"event":"track_published","track":{`+sent+`}}`)[0].Track; got != want {
			t.Errorf("%s: got %+v, want %+v", sent, got, want)
		}
	}
}

func TestEgress(t *testing.T) {
	for _, c := range []struct{ event, info, types string }{
		{"egress_started", `"roomComposite":{}`, "recording_started"},
		{"egress_started", `"roomComposite":{"fileOutputs":[{"filepath":"x"}]}`, "recording_started"},
		{"egress_started", `"roomComposite":{"streamOutputs":[{"urls":["rtmp://x"]}]}`, "stream_started"},
		{"egress_started", `"web":{"stream":{"urls":["rtmp://x"]}}`, "stream_started"},
		{"egress_started", `"track":{"websocketUrl":"wss://x"}`, "stream_started"},
		{"egress_started", `"participant":{"fileOutputs":[],"segmentOutputs":[{}],"streamOutputs":[]}`, "recording_started"},
		{"egress_started", `"roomComposite":{"fileOutputs":[{"filepath":"x"}],"streamOutputs":[{"urls":["rtmp://x"]}]}`, "recording_started stream_started"},
		{"egress_updated", `"streamResults":[{"url":"rtmp://x"}]`, "stream_updated"},
		{"egress_updated", `"segmentResults":[{"playlistName":"x"}]`, "recording_updated"},
		{"egress_ended", `"status":"EGRESS_COMPLETE","streamResults":[{"url":"rtmp://x"}]`, "stream_ended"},
		{"egress_ended", `"status":"EGRESS_FAILED","streamResults":[{"url":"rtmp://x"}]`, "stream_failed"},
		{"egress_ended", `"status":"EGRESS_ABORTED","fileResults":[{"filename":"x"}]`, "recording_failed"},
		{"egress_ended", `"status":"EGRESS_LIMIT_REACHED","fileResults":[{"filename":"x"}]`, "recording_ended"},
		{"egress_ended", `"file":{"filename":"x"},"stream":{"info":[{"url":"rtmp://x"}]}`, "recording_ended stream_ended"},
	} {
		var types []string
		for _, ev := range decode(t, LiveKit(), `{"event":"`+c.event+`","egressInfo":{"egressId":"EG",`+c.info+`}}`) {
			types = append(types, ev.Type)
			if ev.Recording.ID+ev.Stream.ID != "EG" {
				t.Errorf("%s: ids %q and %q", c.info, ev.Recording.ID, ev.Stream.ID)
			}
		}
		if got := strings.Join(types, " "); got != c.types {
			t.Errorf("%s with %s: got %s, want %s", c.event, c.info, got, c.types)
		}
	}
	segments := decode(t, LiveKit(), `{"event":"egress_ended","egressInfo":{"segmentResults":[{"playlistName":"a.m3u8","playlistLocation":"https://x/a.m3u8","size":"5","duration":"1500000000"}]}}`)[0].Recording
	if segments.Name != "a.m3u8" || segments.URL != "https://x/a.m3u8" || *segments.Size != 5 || *segments.Duration != 1500*time.Millisecond {
		t.Errorf("segments: %+v", segments)
	}
}

// Events that nobody has heard of yet, or that hold nothing, are kept.
func TestUnknownEvents(t *testing.T) {
	for _, k := range []engine.PlatformKind{LiveKit(), PlugNMeet()} {
		for body, name := range map[string]string{
			`{"event":"room_renamed","room":{"sid":"RM"}}`: "room_renamed",
			`{"event":"ROOM_STARTED"}`:                     "ROOM_STARTED",
			`{"EVENT":"room_started"}`:                     "",
			`{}`:                                           "",
			`{"event":7,"room":[],"participant":"x","track":null,"id":{},"createdAt":"soon"}`: "",
		} {
			ev := decode(t, k, body)[0]
			if ev.Type != engine.Other || ev.Name != name {
				t.Errorf("%s: %s: got %s %q", k.Name, body, ev.Type, ev.Name)
			}
		}
	}
}

// Without an id the body itself identifies the delivery.
func TestDedupeKeys(t *testing.T) {
	key := func(body string) engine.DedupeKey {
		d, err := suitePlatform(t, PlugNMeet(), 0).Decode(engine.Request{Body: []byte(body)})
		if err != nil {
			t.Fatal(err)
		}
		return d.Keys[0]
	}
	if k := key(`{"id":"a","created_at":"1760000000"}`); k.ID != "a" || k.Time.Unix() != 1760000000 {
		t.Errorf("%+v", k)
	}
	if k := key(`{"id":"a"}`); !k.Time.IsZero() {
		t.Errorf("%+v", k)
	}
	if first, again := key(`{"event":"x"}`), key(`{"event":"x"}`); first != again || first == key(`{"event":"y"}`) {
		t.Error("bodies without id")
	}
}

// Times of an event are whole seconds, starts have milliseconds.
func TestEndsAreNotBeforeStarts(t *testing.T) {
	ev := decode(t, LiveKit(), `{"event":"room_finished","createdAt":"1760000000","room":{"sid":"RM","creationTimeMs":"1760000000123"}}`)[0]
	if !ev.Session.Ended.Equal(ev.Session.Started) {
		t.Errorf("session from %s to %s", ev.Session.Started, ev.Session.Ended)
	}
	ev = decode(t, PlugNMeet(), `{"event":"participant_left","created_at":"1760000005","participant":{"identity":"u","joined_at":"1760000009"}}`)[0]
	if ev.Participant.Left.Unix() != 1760000005 {
		t.Errorf("a real contradiction is kept: left %s", ev.Participant.Left)
	}
}

func TestMetadata(t *testing.T) {
	ev := decode(t, LiveKit(), `{"event":"participant_joined","room":{"metadata":"{\"n\":1}"},"participant":{"metadata":"free text","attributes":{"plan":"gold"}}}`)[0]
	if !reflect.DeepEqual(ev.Room.Metadata, map[string]any{"n": 1}) {
		t.Errorf("room %#v", ev.Room.Metadata)
	}
	if !reflect.DeepEqual(ev.Participant.Metadata, map[string]any{"attributes": map[string]any{"plan": "gold"}}) {
		t.Errorf("participant %#v", ev.Participant.Metadata)
	}
	ev = decode(t, LiveKit(), `{"event":"participant_joined","participant":{"metadata":"{\"attributes\":7}","attributes":{"plan":"gold"}}}`)[0]
	if !reflect.DeepEqual(ev.Participant.Metadata, map[string]any{"attributes": 7}) {
		t.Errorf("attributes of the metadata's own %#v", ev.Participant.Metadata)
	}
}
