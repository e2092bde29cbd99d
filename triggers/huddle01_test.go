package triggers

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
)

func hexOf(b []byte) string { return hex.EncodeToString(b) }

func decimalOf(n int64) string { return strconv.FormatInt(n, 10) }

func TestHuddle01ID(t *testing.T) {
	for body, want := range map[string]string{
		`{"id":"a"}`:                            "a",
		`{"x":{"id":"inner"},"id":"a"}`:         "a",
		`{"id":"a","id":"b"}`:                   "b", // as JSON.parse reads it
		`{"id":"b","ID":"c"}`:                   "b",
		`{"i\u0064":"\u0061"}`:                  "a",
		" {\n\"dup\":1,\"dup\":2,\"id\":\"a\"}": "a",
		"{\"id\":\"a\",\"name\":\"\xff\"}":      "a",
		`{"id":7}`:                              "7",
		`{"id":""}`:                             "",
		`{"id":0}`:                              "",
		`{"id":null}`:                           "",
		`{"id":false}`:                          "",
		`{"id":true}`:                           "",
		`{"id":{}}`:                             "",
		`{"id":[1]}`:                            "",
		`{"id":1.5}`:                            "",
		`{"event":"x"}`:                         "",
		`{"id":"a"`:                             "a", // Decode refuses it
		`{"id":`:                                "",
		`["id","a"]`:                            "",
		`"id"`:                                  "",
		``:                                      "",
		strings.Repeat("[", 100_000):            "",
		`{"x":` + strings.Repeat("[", 100_000):  "",
	} {
		got, err := huddle01ID([]byte(body))
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%.60q: got %q, %v, want %q", body, got, err, want)
		}
	}
}

func TestHuddle01Verify(t *testing.T) {
	k := Huddle01()
	source, _ := suiteSource(k, 0)
	key := []byte(source.Secrets[0].Reveal())
	body := []byte(`{"id":"e1","event":"peer:left"}`)
	now := suiteNow.UnixMilli()
	ms := decimalOf(now)
	mac := func(ts string) string { return huddle01MAC(sha256.New, key, "e1", ts, body) }
	good := "t=" + ms + ",sha256=" + mac(ms)
	at := func(millis int64) string { ts := decimalOf(millis); return "t=" + ts + ",sha256=" + mac(ts) }
	const malformed = "not written as"
	for _, c := range []struct{ name, header, verdict, says string }{
		{"good", good, "", ""},
		{"sha512", "t=" + ms + ",sha512=" + huddle01MAC(sha512.New, key, "e1", ms, body), "", ""},
		{"any label", "whatever=" + ms + ",sha256=" + mac(ms), "", ""},
		{"no label", "=" + ms + ",sha256=" + mac(ms), "", ""},
		{"more parts", good + ",sha512=00", "", ""}, // the vendor's receiver looks at two
		{"seconds", "t=" + decimalOf(now/1000) + ",sha256=" + mac(decimalOf(now/1000)), "", ""},
		{"299.999 s old", at(now - 299_999), "", ""},
		{"300 s old", at(now - 300_000), engine.VerdictTooOld, "300 s old, limit 300 s"},
		{"300 s early", at(now + 300_000), engine.VerdictTooNew, "300 s in the future"},
		{"sha512's name, sha256's sum", "t=" + ms + ",sha512=" + mac(ms), engine.VerdictBadSignature, "does not fit"},
		{"upper case", "t=" + ms + ",sha256=" + strings.ToUpper(mac(ms)), engine.VerdictBadSignature, "does not fit"},
		{"upper-case name", "t=" + ms + ",SHA256=" + mac(ms), engine.VerdictBadSignature, `algorithm "SHA256"`},
		{"a space", "t=" + ms + ", sha256=" + mac(ms), engine.VerdictBadSignature, "algorithm"},
		{"a space behind", "t=" + ms + ",sha256=" + mac(ms) + " ", engine.VerdictBadSignature, "does not fit"},
		{"no algorithm", "t=" + ms + "," + mac(ms), engine.VerdictBadSignature, malformed},
		{"swapped", "sha256=" + mac(ms) + ",t=" + ms, engine.VerdictBadSignature, malformed},
		{"only the signature", "sha256=" + mac(ms), engine.VerdictBadSignature, malformed},
		{"no timestamp", "t=,sha256=" + mac(""), engine.VerdictBadSignature, malformed},
		{"two timestamps", "t=" + ms + "=1,sha256=" + mac(ms), engine.VerdictBadSignature, malformed},
		{"none", "t=" + ms + ",none=", engine.VerdictBadSignature, `algorithm "none"`},
	} {
		r := suiteRequest(t, k, 0, body)
		r.Header.Set("Huddle01-Signature", c.header)
		err := suitePlatform(t, k, 0).Verify(r)
		if c.verdict == "" && err != nil || c.verdict != "" && (!isVerdict(err, c.verdict) || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: got %v, want %s %q", c.name, err, c.verdict, c.says)
		}
	}
	r := suiteRequest(t, k, 0, []byte(`{"event":"peer:left"}`))
	if err := suitePlatform(t, k, 0).Verify(r); !isVerdict(err, engine.VerdictBadSignature) || !strings.Contains(err.Error(), "has no id") {
		t.Errorf("without an id: %v", err)
	}
}

func TestHuddle01Units(t *testing.T) {
	want := time.Date(2025, 10, 9, 8, 53, 20, 0, time.UTC)
	for _, sent := range []string{"1760000000000", "1760000000", `"1760000000000"`, "1760000000.0", "1.76e9"} {
		ev := decodeOne(t, Huddle01(), `{"id":"e","event":"peer:joined","payload":{"id":"p","sessionId":"s","joinedAt":`+sent+`}}`)
		if !ev.Time.Equal(want) || !ev.Participant.Joined.Equal(want) {
			t.Errorf("%s: %v, %v", sent, ev.Time, ev.Participant.Joined)
		}
	}
	ev := decodeOne(t, Huddle01(), `{"id":"e","event":"meeting:ended","payload":{"endedAt":0,"duration":90.5}}`)
	if !ev.Session.Ended.IsZero() || ev.Session.Duration == nil || *ev.Session.Duration != 90500*time.Millisecond {
		t.Errorf("%+v", ev.Session)
	}
}

func TestHuddle01Peers(t *testing.T) {
	for _, c := range []struct{ role, metadata, wantRole, wantKind, wantName string }{
		{`"host"`, `"{\"displayName\":\"Zoë\"}"`, engine.RoleHost, "", "Zoë"},
		{`"coHost"`, `"{\"name\":\"Zoë\"}"`, engine.RoleHost, "", "Zoë"},
		{`"CO_HOST"`, `{"displayName":"Zoë"}`, engine.RoleHost, "", "Zoë"},
		{`"speaker"`, `"Zoë"`, engine.RoleParticipant, "", ""},
		{`"listener"`, `"{broken"`, engine.RoleViewer, "", ""},
		{`"bot"`, `""`, "", engine.KindBot, ""},
		{`"moderator"`, `null`, "", "", ""},
		{`null`, `7`, "", "", ""},
	} {
		p := decodeOne(t, Huddle01(), `{"id":"e","event":"peer:joined","payload":{"id":"p","role":`+c.role+`,"metadata":`+c.metadata+`}}`).Participant
		if p.Role != c.wantRole || p.Kind != c.wantKind || p.Name != c.wantName || p.ID != "p" || p.ConnectionID != "" {
			t.Errorf("%s %s: %+v", c.role, c.metadata, p)
		}
	}
}

func TestHuddle01Payloads(t *testing.T) {
	p := suitePlatform(t, Huddle01(), 0)
	for _, c := range []struct{ body, want string }{
		{`{"id":"e","event":"peer:left","payload":{"id":"a"}}`, "a"},
		{`{"id":"e","event":"peer:left","payload":[{"data":{"id":"a"}}]}`, "a"},
		{`{"id":"e","event":"peer:left","payload":[{"data":{"id":"a"}},{"data":{"id":"b"}}]}`, "a b"},
		{`{"id":"e","event":"peer:left","payload":[{"id":"a"}]}`, "a"},
		{`{"id":"e","event":"peer:left","payload":[]}`, ""},
		{`{"id":"e","event":"peer:left"}`, ""},
		{`{"id":"e","event":"peer:left","payload":[1,null]}`, " "},
	} {
		d, err := p.Decode(engine.Request{Body: []byte(c.body)})
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, ev := range d.Events {
			ids = append(ids, ev.Participant.ID)
			if ev.Type != engine.ParticipantLeft {
				t.Errorf("%s: %s", c.body, ev.Type)
			}
		}
		if got := strings.Join(ids, " "); got != c.want || len(d.Keys) != 1 || d.Keys[0].ID != "e" {
			t.Errorf("%s: %q, keys %v", c.body, got, d.Keys)
		}
	}
	many := `{"id":"e","event":"peer:left","payload":[1` + strings.Repeat(",1", huddle01MaxEvents) + `]}`
	if _, err := p.Decode(engine.Request{Body: []byte(many)}); !isVerdict(err, engine.VerdictBadBody) {
		t.Errorf("too many events: %v", err)
	}
}
