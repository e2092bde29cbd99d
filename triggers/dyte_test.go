package triggers

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// keyDesk serves the key document of a test, which can change it, and counts
// how often it is asked.
type keyDesk struct {
	mu     sync.Mutex
	asked  int
	answer http.HandlerFunc
	now    time.Time
}

func (d *keyDesk) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	d.asked++
	answer := d.answer
	d.mu.Unlock()
	answer(w, r)
}

func (d *keyDesk) clock() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.now
}

func (d *keyDesk) set(answer http.HandlerFunc, later time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now = d.now.Add(later)
	if answer != nil {
		d.answer = answer
	}
}

func (d *keyDesk) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.asked
}

func keyDocument(pem []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"success": true, "data": map[string]any{"publicKey": string(pem)}, "message": ""})
	}
}

func answeringStatus(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// unpinned is a source that has to fetch its key from the desk.
func unpinned(t *testing.T, answer http.HandlerFunc) (*keyDesk, engine.Platform) {
	t.Helper()
	desk := &keyDesk{answer: answer, now: suiteNow}
	server := httptest.NewServer(desk)
	t.Cleanup(server.Close)
	p, err := dyte(newKeyServer(server.Client(), desk.clock, server.URL+"/.well-known/webhooks.json")).New(engine.SourceConfig{Name: "d"})
	if err != nil {
		t.Fatal(err)
	}
	return desk, p
}

// dyteRequest is signed with one of the suite's two key pairs.
func dyteRequest(t *testing.T, n int) engine.Request {
	t.Helper()
	return suiteRequest(t, Dyte(nil, nil), n, []byte(`{"event":"meeting.started"}`))
}

func wantOutcome(t *testing.T, what string, err error, want string) {
	t.Helper()
	got := "accepted"
	switch {
	case errors.Is(err, engine.ErrUnavailable):
		got = engine.VerdictUnavailable
	case isVerdict(err, engine.VerdictBadSignature):
		got = engine.VerdictBadSignature
	case err != nil:
		got = err.Error()
	}
	if got != want {
		t.Errorf("%s: %s (%v), want %s", what, got, err, want)
	}
}

func TestDyteKeyIsFetchedOnce(t *testing.T) {
	public, _ := keyPairs[0]()
	desk, p := unpinned(t, keyDocument(public))
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() { wantOutcome(t, "genuine", p.Verify(dyteRequest(t, 0)), "accepted") })
	}
	wg.Wait()
	if n := desk.count(); n != 1 {
		t.Errorf("asked %d times for 20 deliveries at once", n)
	}
}

func TestDyteForgeriesDoNotAskAgain(t *testing.T) {
	public, _ := keyPairs[0]()
	desk, p := unpinned(t, keyDocument(public))
	wantOutcome(t, "genuine", p.Verify(dyteRequest(t, 0)), "accepted")
	desk.set(nil, dyteKeyPause)
	for range 10 {
		wantOutcome(t, "forged", p.Verify(dyteRequest(t, 1)), engine.VerdictBadSignature)
	}
	if n := desk.count(); n != 2 {
		t.Errorf("asked %d times, want once more in that minute", n)
	}
	desk.set(nil, dyteKeyPause)
	wantOutcome(t, "forged a minute later", p.Verify(dyteRequest(t, 1)), engine.VerdictBadSignature)
	if n := desk.count(); n != 3 {
		t.Errorf("asked %d times", n)
	}
}

func TestDyteKeyRotates(t *testing.T) {
	first, _ := keyPairs[0]()
	second, _ := keyPairs[1]()
	desk, p := unpinned(t, keyDocument(first))
	wantOutcome(t, "first key", p.Verify(dyteRequest(t, 0)), "accepted")
	desk.set(keyDocument(second), 10*time.Second)
	wantOutcome(t, "too soon to ask again", p.Verify(dyteRequest(t, 1)), engine.VerdictBadSignature)
	desk.set(nil, dyteKeyPause)
	wantOutcome(t, "second key", p.Verify(dyteRequest(t, 1)), "accepted")
	desk.set(nil, dyteKeyPause)
	wantOutcome(t, "the first key is no longer good", p.Verify(dyteRequest(t, 0)), engine.VerdictBadSignature)
}

func TestDyteKeyServerDownAndBack(t *testing.T) {
	public, _ := keyPairs[0]()
	desk, p := unpinned(t, answeringStatus(http.StatusBadGateway))
	wantOutcome(t, "down", p.Verify(dyteRequest(t, 0)), engine.VerdictUnavailable)
	desk.set(keyDocument(public), time.Second)
	wantOutcome(t, "not asked again at once", p.Verify(dyteRequest(t, 0)), engine.VerdictUnavailable)
	if n := desk.count(); n != 1 {
		t.Errorf("asked %d times", n)
	}
	desk.set(nil, dyteFirstKeyPause)
	wantOutcome(t, "back", p.Verify(dyteRequest(t, 0)), "accepted")

	// With a key in hand an outage refuses nobody who fits it; the others may
	// have been signed with a newer key.
	desk.set(answeringStatus(http.StatusBadGateway), dyteKeyPause)
	wantOutcome(t, "known key while down", p.Verify(dyteRequest(t, 0)), "accepted")
	wantOutcome(t, "other key while down", p.Verify(dyteRequest(t, 1)), engine.VerdictUnavailable)
	wantOutcome(t, "known key after that", p.Verify(dyteRequest(t, 0)), "accepted")
}

func TestDyteKeyServerAnswers(t *testing.T) {
	public, private := keyPairs[0]()
	large := bytes.Repeat([]byte(" "), dyteKeyLimit)
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		says   string // "": accepted
	}{
		{"the document", keyDocument(public), ""},
		{"a key in the older form", keyDocument(pkcs1(t, public)), ""},
		{"a redirect within the host", redirectOnce("/elsewhere", keyDocument(public)), ""},
		{"not found", answeringStatus(http.StatusNotFound), "404"},
		{"no content", answeringStatus(http.StatusNoContent), "204"},
		{"a server's page", answering("<html>hello</html>"), "not acceptable JSON"},
		{"nothing", answering(""), "empty"},
		{"another document", answering(`{"success":false,"message":"no"}`), "no PEM"},
		{"two keys of one name", answering(`{"data":{"publicKey":"a","publicKey":"b"}}`), "twice"},
		{"garbage for a key", keyDocument([]byte("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")), "no readable public key"},
		{"a private key", keyDocument(private), "not a PUBLIC KEY"},
		{"a key of 1024 bits", keyDocument(pkix(t, &small.PublicKey)), "1024 bits"},
		{"an elliptic key", keyDocument(pkix(t, &ec.PublicKey)), "no RSA key"},
		{"more than 64 KiB", func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write(large)
			keyDocument(public)(w, r)
		}, "larger than 65536 bytes"},
		{"a broken answer", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = fmt.Fprint(w, "{")
		}, "unexpected EOF"},
		{"endless redirects", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusFound) }, "redirects"},
	} {
		_, p := unpinned(t, c.answer)
		err := p.Verify(dyteRequest(t, 0))
		if c.says == "" {
			wantOutcome(t, c.name, err, "accepted")
			continue
		}
		wantOutcome(t, c.name, err, engine.VerdictUnavailable)
		if err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", c.name, err, c.says)
		}
	}
}

// Whoever can redirect the look-up must not choose the key.
func TestDyteKeyIsNotFetchedElsewhere(t *testing.T) {
	attacker, _ := keyPairs[1]()
	elsewhere := &keyDesk{answer: keyDocument(attacker)}
	server := httptest.NewServer(elsewhere)
	defer server.Close()
	_, p := unpinned(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, server.URL, http.StatusFound) })
	wantOutcome(t, "redirected", p.Verify(dyteRequest(t, 1)), engine.VerdictUnavailable)
	if n := elsewhere.count(); n != 0 {
		t.Errorf("the other host was asked %d times", n)
	}
}

func TestDytePinnedKey(t *testing.T) {
	public, _ := keyPairs[0]()
	k := builtinKind(t, "dyte") // offline
	for _, c := range []struct {
		name string
		key  []byte
		says string
	}{
		{"pkix", public, ""},
		{"pkcs1", pkcs1(t, public), ""},
		{"text before it", append([]byte("Dyte's key\n"), public...), ""},
		{"no pem", []byte("MIIB"), "public_key: there is no PEM"},
		{"empty pem", []byte("-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n"), "public_key: the PEM holds no readable"},
	} {
		p, err := k.New(engine.SourceConfig{PublicKey: c.key})
		if c.says != "" {
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: %v, want %q", c.name, err, c.says)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		wantOutcome(t, c.name, p.Verify(dyteRequest(t, 0)), "accepted")
		wantOutcome(t, c.name+", another key", p.Verify(dyteRequest(t, 1)), engine.VerdictBadSignature)
	}
	if _, err := k.New(engine.SourceConfig{PublicKey: public, Secrets: []engine.Secret{engine.NewSecret("x")}}); err == nil {
		t.Error("a secret is taken for something")
	}
	if _, err := k.Sign(engine.SourceConfig{}, engine.SignRequest{Body: []byte("{}")}); err == nil {
		t.Error("signed without a private key")
	}
}

// One signature has one spelling: the last letter has bits that no byte needs.
func TestDyteSignatureIsSpeltOneWay(t *testing.T) {
	r := dyteRequest(t, 0)
	p := suitePlatform(t, builtinKind(t, "dyte"), 0)
	good, found := r.Header.Get("Dyte-Signature"), false
	for last := rune('A'); last <= 'z'; last++ {
		spelling := good[:len(good)-3] + string(last) + "=="
		r.Header.Set("Dyte-Signature", spelling)
		if p.Verify(r) != nil {
			continue
		}
		if found = true; spelling != good {
			t.Errorf("also accepted with %q at its end", last)
		}
	}
	if !found {
		t.Error("the signature itself is refused")
	}
}

func TestDyteKeys(t *testing.T) {
	p := suitePlatform(t, builtinKind(t, "dyte"), 0)
	r := dyteRequest(t, 0)
	first, err := p.Decode(r)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = http.Header{"Dyte-Uuid": {"another"}}
	again, err := p.Decode(r)
	if err != nil {
		t.Fatal(err)
	}
	r.Header, r.Body = http.Header{"Dyte-Uuid": {"another"}}, []byte(`{"event":"meeting.ended"}`)
	other, err := p.Decode(r)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = http.Header{}
	bare, err := p.Decode(r)
	if err != nil {
		t.Fatal(err)
	}
	if !shareKey(first.Keys, again.Keys) || !shareKey(again.Keys, other.Keys) || shareKey(first.Keys, other.Keys) || len(bare.Keys) != 1 {
		t.Errorf("keys: %v, %v, %v, %v", first.Keys, again.Keys, other.Keys, bare.Keys)
	}
}

func TestDyteTime(t *testing.T) {
	for sent, want := range map[string]string{
		`"2025-10-09T08:53:20.123Z"`:         "2025-10-09T08:53:20.123Z",
		`"2025-10-09 08:55:00.000123Z"`:      "2025-10-09T08:55:00.000123Z",
		`"2025-10-09 08:55:00Z"`:             "2025-10-09T08:55:00Z",
		`"2025-10-09 10:55:00.5+02:00"`:      "2025-10-09T08:55:00.5Z",
		`"2025-10-09"`:                       "",
		`"2025-13-09 08:55:00Z"`:             "",
		`1760000000000`:                      "",
		`null`:                               "",
		`""`:                                 "",
		`"2025-10-09 08:55:00.000123Z junk"`: "",
	} {
		body, err := parseJSON([]byte(`{"t":` + sent + `}`))
		if err != nil {
			t.Fatal(err)
		}
		got := dyteTime(body.get("t"))
		if want == "" && !got.IsZero() || want != "" && got.Format(time.RFC3339Nano) != want {
			t.Errorf("%s: %v", sent, got)
		}
	}
}

func TestDyteRecordings(t *testing.T) {
	const times = `"startedTime":"2025-10-09 08:55:00.000123Z","stoppedTime":"2025-10-09 08:56:30.000123Z"`
	for _, c := range []struct {
		members  string
		duration time.Duration // -1: unknown
		derived  bool
	}{
		{times + `,"recordingDuration":0`, 90 * time.Second, true},
		{times, 90 * time.Second, true},
		{times + `,"recordingDuration":88`, 88 * time.Second, false},
		{times + `,"recordingDuration":"88.5"`, 88500 * time.Millisecond, false},
		{`"startedTime":"2025-10-09 08:55:00Z","recordingDuration":0`, -1, false},
		{`"startedTime":"2025-10-09 08:55:00Z","stoppedTime":"2025-10-09 08:54:00Z"`, -1, false},
		{`"recordingDuration":-1`, -1, false},
	} {
		ev := decodeOne(t, builtinKind(t, "dyte"), `{"event":"recording.statusUpdate","recording":{"status":"UPLOADED",`+c.members+`}}`)
		got := time.Duration(-1)
		if d := ev.Recording.Duration; d != nil {
			got = *d
		}
		if got != c.duration || (len(ev.Derived) == 1) != c.derived {
			t.Errorf("%s: %v derived %v", c.members, got, ev.Derived)
		}
	}
	for sent, want := range map[string]int64{`2044680`: 2044680, `"2044680"`: 2044680, `9007199254740993`: 9007199254740993, `null`: -1, `"2 MB"`: -1} {
		got := int64(-1)
		if s := decodeOne(t, builtinKind(t, "dyte"), `{"event":"recording.statusUpdate","recording":{"fileSize":`+sent+`}}`).Recording.Size; s != nil {
			got = *s
		}
		if got != want {
			t.Errorf("size %s: %d", sent, got)
		}
	}
	for status, want := range map[string]string{
		"INVOKED": engine.RecordingUpdated, "RECORDING": engine.RecordingStarted, "UPLOADING": engine.RecordingStopped,
		"UPLOADED": engine.RecordingEnded, "ERRORED": engine.RecordingFailed, "PAUSED": engine.RecordingUpdated, "": engine.RecordingUpdated,
	} {
		if ev := decodeOne(t, builtinKind(t, "dyte"), `{"event":"recording.statusUpdate","recording":{"status":"`+status+`"}}`); ev.Type != want {
			t.Errorf("%q: %s", status, ev.Type)
		}
	}
}

func TestDyteIDs(t *testing.T) {
	for _, c := range []struct{ body, room, session, participant string }{
		{`{"event":"x","meeting":{"id":"m","sessionId":"s"},"meetingId":"m2","sessionId":"s2"}`, "m", "s", ""},
		{`{"event":"meeting.chatSynced","meetingId":"m2","sessionId":"s2"}`, "m2", "s2", ""},
		{`{"event":"recording.statusUpdate","recording":{"meetingId":"m3","roomUUID":"s3"}}`, "m3", "s3", ""},
		{`{"event":"meeting.participantJoined","participant":{"peerId":"p","customParticipantId":"c","clientSpecificId":"d"}}`, "", "", "c"},
		{`{"event":"meeting.participantJoined","participant":{"peerId":"p","customParticipantId":null,"clientSpecificId":"d"}}`, "", "", "d"},
		{`{"event":"meeting.participantJoined","participant":{"peerId":"p","customParticipantId":""}}`, "", "", ""},
		{`{"event":"meeting.started","meeting":null,"participant":[]}`, "", "", ""},
	} {
		ev := decodeOne(t, builtinKind(t, "dyte"), c.body)
		if ev.Room.ID != c.room || ev.Session.ID != c.session || ev.Participant.ID != c.participant {
			t.Errorf("%s: room %q session %q participant %q", c.body, ev.Room.ID, ev.Session.ID, ev.Participant.ID)
		}
	}
}

func builtinKind(t *testing.T, name string) engine.PlatformKind {
	t.Helper()
	k, ok := Find(builtin(), name)
	if !ok {
		t.Fatalf("no platform %s", name)
	}
	return k
}

func pkix(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func pkcs1(t *testing.T, public []byte) []byte {
	t.Helper()
	key, err := parsePublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(key)})
}

func answering(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, body) }
}

// redirectOnce answers at to and sends everybody else there.
func redirectOnce(to string, answer http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != to {
			http.Redirect(w, r, to, http.StatusFound)
			return
		}
		answer(w, r)
	}
}
