package triggers

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// decodeOne decodes a body that holds one event.
func decodeOne(t *testing.T, k engine.PlatformKind, body string) engine.Event {
	t.Helper()
	d, err := suitePlatform(t, k, 0).Decode(suiteRequest(t, k, 0, []byte(body)))
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	if len(d.Events) != 1 {
		t.Fatalf("%s: %d events", body, len(d.Events))
	}
	return d.Events[0]
}

func TestOpenViduMeetVerify(t *testing.T) {
	k := OpenViduMeet()
	source, _ := suiteSource(k, 0)
	body := []byte(`{"event":"testEvent"}`)
	signedAt := func(ts string) engine.Request {
		r := suiteRequest(t, k, 0, body)
		r.Header.Set("X-Timestamp", ts)
		key := []byte(source.Secrets[0].Reveal())
		r.Header.Set("X-Signature", hexOf(openViduMeetMAC(key, ts, body)))
		return r
	}
	now := suiteNow.UnixMilli()
	for _, c := range []struct {
		name      string
		ts        string
		tolerance time.Duration
		verdict   string
		says      string
	}{
		{"now", decimalOf(now), 0, "", ""},
		{"119.999 s old", decimalOf(now - 119_999), 0, "", ""},
		{"120 s old", decimalOf(now - 120_000), 0, engine.VerdictTooOld, "timestamp 120 s old, limit 120 s"},
		{"119.999 s early", decimalOf(now + 119_999), 0, "", ""},
		{"120 s early", decimalOf(now + 120_000), 0, engine.VerdictTooNew, "120 s in the future"},
		{"own tolerance kept", decimalOf(now - 299_999), 5 * time.Minute, "", ""},
		{"own tolerance passed", decimalOf(now - 10_000), 10 * time.Second, engine.VerdictTooOld, "limit 10 s"},
		{"seconds", decimalOf(now / 1000), 0, engine.VerdictTooOld, "is in seconds: this platform signs milliseconds"},
		{"negative", "-" + decimalOf(now), 0, engine.VerdictBadSignature, "not a number of milliseconds"},
		{"decimals", decimalOf(now) + ".0", 0, engine.VerdictBadSignature, "not a number of milliseconds"},
	} {
		config := source
		config.Tolerance = c.tolerance
		p, err := k.New(config)
		if err != nil {
			t.Fatal(err)
		}
		err = p.Verify(signedAt(c.ts))
		if c.verdict == "" && err != nil || c.verdict != "" && (!isVerdict(err, c.verdict) || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: got %v, want %s %q", c.name, err, c.verdict, c.says)
		}
	}

	// A stranger learns nothing of the clock, nor does an old forgery pass for
	// an old delivery.
	old := signedAt(decimalOf(now - 600_000))
	old.Body = []byte(`{"event":"forged"}`)
	if err := suitePlatform(t, k, 0).Verify(old); !isVerdict(err, engine.VerdictBadSignature) {
		t.Errorf("an old forgery: %v", err)
	}
}

func TestOpenViduMeetKeyIsTheSignature(t *testing.T) {
	k := OpenViduMeet()
	p := suitePlatform(t, k, 0)
	r := suiteRequest(t, k, 0, []byte(`{"event":"testEvent"}`))
	lower := r.Header.Get("X-Signature")
	r.Header.Set("X-Signature", strings.ToUpper(lower))
	if err := p.Verify(r); err != nil {
		t.Fatal(err)
	}
	d, err := p.Decode(r)
	if err != nil {
		t.Fatal(err)
	}
	if want := (engine.DedupeKey{ID: lower, Time: suiteNow}); d.Keys[0] != want {
		t.Errorf("got %v, want %v: another case must not make it another delivery", d.Keys[0], want)
	}
}

func TestOpenViduMeetTypes(t *testing.T) {
	for _, c := range []struct{ name, status, want string }{
		{"recordingEnded", "complete", engine.RecordingEnded},
		{"recordingEnded", "limit_reached", engine.RecordingEnded},
		{"recordingEnded", "failed", engine.RecordingFailed},
		{"recordingEnded", "aborted", engine.RecordingFailed},
		{"recordingEnded", "ABORTED", engine.RecordingFailed}, // early releases
		{"recordingEnded", "", engine.RecordingEnded},
		{"recordingUpdated", "active", engine.RecordingUpdated},
		{"roomDeleted", "", engine.Other},
		{"MeetingEnded", "", engine.Other},
	} {
		ev := decodeOne(t, OpenViduMeet(), `{"event":"`+c.name+`","creationDate":1,"data":{"roomId":"r","recordingId":"x","status":"`+c.status+`"}}`)
		if ev.Type != c.want || ev.Name != c.name || !ev.ByRoom {
			t.Errorf("%s %s: got %s %s by room %v, want %s", c.name, c.status, ev.Type, ev.Name, ev.ByRoom, c.want)
		}
	}
}

func TestOpenViduMeetFacts(t *testing.T) {
	// Absent, null and 0 are all "unknown"; the room's date is not the event's.
	for _, body := range []string{
		`{"event":"recordingStarted","data":{"recordingId":"x","roomId":"r"}}`,
		`{"event":"recordingStarted","creationDate":null,"data":{"recordingId":"x","roomId":"r","startDate":null,"duration":null,"size":null,"error":null}}`,
		`{"event":"recordingStarted","creationDate":0,"data":{"recordingId":"x","roomId":"r","creationDate":1759990000000,"startDate":0}}`,
		`{"event":"recordingStarted","creationDate":-5,"data":{"recordingId":"x","roomId":"r","duration":-1,"size":1.5}}`,
	} {
		ev := decodeOne(t, OpenViduMeet(), body)
		x := ev.Recording
		if !ev.Time.IsZero() || !x.Started.IsZero() || x.Duration != nil || x.Size != nil || x.Error != "" {
			t.Errorf("%s: got time %v, recording %+v", body, ev.Time, x)
		}
	}
	ev := decodeOne(t, OpenViduMeet(), `{"event":"testEvent","creationDate":1760000000000,"data":{"message":"hello"}}`)
	if !ev.Test || ev.ByRoom || ev.Type != engine.WebhookTest {
		t.Errorf("testEvent: %+v", ev)
	}
	for _, body := range []string{`{}`, `{"event":1,"data":[]}`, `{"event":null,"data":"x"}`, `[]`, `{"data":{"access":[{"url":"u"}]}}`} {
		if ev := decodeOne(t, OpenViduMeet(), body); ev.Type != engine.Other || ev.ByRoom {
			t.Errorf("%s: %+v", body, ev)
		}
	}
}

func TestOpenViduMeetLinksAreRedacted(t *testing.T) {
	for _, c := range []struct{ name, body, want string }{
		{"at any depth", `{"data":{"access":{"anonymous":{"moderator":{"url":"https://m/?secret=a"}},"user":{"url":"https://m"}}}}`,
			`{"data":{"access":{"anonymous":{"moderator":{"url":"redacted"}},"user":{"url":"redacted"}}}}`},
		{"whitespace and the rest kept", "{ \"n\" : 1.50,\n \"data\":{\"access\":{ \"a\":{\"enabled\":true, \"url\" : \"s\" , \"x\":1}},\"z\":\"é\"} }",
			"{ \"n\" : 1.50,\n \"data\":{\"access\":{ \"a\":{\"enabled\":true, \"url\" : \"redacted\" , \"x\":1}},\"z\":\"é\"} }"},
		{"however it is escaped", `{"data":{"\u0061ccess":{"u\u0072l":"https:\/\/m\/\u003fsecret=\"a"}}}`,
			`{"data":{"\u0061ccess":{"u\u0072l":"redacted"}}}`},
		{"in arrays", `{"data":{"access":[{"url":"a"},["url","b"],{"url":["c"]}]}}`, `{"data":{"access":[{"url":"a"},["url","b"],{"url":["c"]}]}}`},
		{"in an array inside", `{"data":{"access":{"all":[{"url":"a"},{"url":""}]}}}`, `{"data":{"access":{"all":[{"url":"redacted"},{"url":"redacted"}]}}}`},
		{"links of earlier releases", `{"data":{"speakerUrl":"a","access":{"x":{"url":"b"}},"moderatorUrl":"c"}}`,
			`{"data":{"speakerUrl":"redacted","access":{"x":{"url":"redacted"}},"moderatorUrl":"redacted"}}`},
		{"other links stay", `{"url":"a","data":{"url":"b","access":null,"config":{"url":"c"},"moderatorUrl":1}}`,
			`{"url":"a","data":{"url":"b","access":null,"config":{"url":"c"},"moderatorUrl":1}}`},
	} {
		ev := decodeOne(t, OpenViduMeet(), c.body)
		if string(ev.Raw) != c.want || !json.Valid(ev.Raw) {
			t.Errorf("%s:\n got %s\nwant %s", c.name, ev.Raw, c.want)
		}
	}
	body := samples(t, "openvidu-meet")["meetingEnded"]
	if ev := decodeOne(t, OpenViduMeet(), string(body)); strings.Contains(string(ev.Raw), "secret=") {
		t.Errorf("a join secret is kept: %s", ev.Raw)
	}
}
