package triggers

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/gavelhq/gavel/engine"
)

const (
	// dyteKeyURL is where Dyte publishes its key:
	// https://docs.dyte.io/guides/capabilities/webhooks/signatures
	dyteKeyURL = "https://api.dyte.io/.well-known/webhooks.json"

	dyteKeyTimeout = 2 * time.Second // Dyte waits 3 s for an answer
	dyteKeyLimit   = 64 << 10        // bytes of the document
	dyteKeyBits    = 2048            // at least
	dyteKeyMaxBits = 8192            // larger ones only make verifying slow

	// A signature that does not fit may mean that the key was changed, or only
	// that somebody is guessing: it is looked up no more often than this.
	dyteKeyPause = time.Minute
	// Without any key nothing can be accepted, so it is tried sooner.
	dyteFirstKeyPause = 5 * time.Second
)

// Dyte is Dyte: https://docs.dyte.io/guides/capabilities/webhooks/webhooks-overview
// client fetches the public key of sources that do not pin one; all of them
// share it.
func Dyte(client *http.Client, now func() time.Time) engine.PlatformKind {
	return dyte(newKeyServer(client, now, dyteKeyURL))
}

func dyte(published *keyServer) engine.PlatformKind {
	return engine.PlatformKind{
		Name:   "dyte",
		Doc:    "Dyte: RSA-SHA256 over the body with a published key",
		Takes:  []string{"public_key"},
		Signed: true,
		Events: dyteEvents(),
		Facts: []string{
			"room.id", "room.name",
			"session.id", "session.status", "session.started", "session.ended", "session.duration", "session.end_reason",
			"session.present", "session.peak", "session.participants", "session.attended", "session.recording",
			"participant.id", "participant.connection_id", "participant.name", "participant.kind",
			"participant.joined", "participant.left", "participant.duration", "participant.total", "participant.present",
			"recording.id", "recording.name", "recording.status", "recording.url", "recording.size",
			"recording.duration", "recording.started", "recording.ended",
			"stream.id", "stream.status",
			"artifact.type", "artifact.url",
		},
		New: func(c engine.SourceConfig) (engine.Platform, error) {
			if len(c.Secrets) > 0 {
				return nil, errors.New("secret is given, but Dyte signs with a key pair: leave it out, or pin the key by public_key")
			}
			if len(c.PublicKey) == 0 {
				return dytePlatform{published.verify, dyteEvents()}, nil
			}
			pinned, err := parsePublicKey(c.PublicKey)
			if err != nil {
				return nil, fmt.Errorf("public_key: %w", err)
			}
			check := func(digest, signature []byte) error {
				if !fitsKey(pinned, digest, signature) {
					return engine.Refuse(engine.VerdictBadSignature, "the signature does not fit the key pinned by public_key: was the body changed on the way, or did Dyte change its key?")
				}
				return nil
			}
			return dytePlatform{check, dyteEvents()}, nil
		},
		Sign: func(_ engine.SourceConfig, s engine.SignRequest) (engine.Request, error) {
			key, err := parsePrivateKey(s.PrivateKey)
			if err != nil {
				return engine.Request{}, fmt.Errorf("private key: %w", err)
			}
			digest := sha256.Sum256(s.Body)
			signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
			if err != nil {
				return engine.Request{}, fmt.Errorf("sign the body: %w", err)
			}
			r := postJSON(s)
			r.Header.Set("Dyte-Signature", base64.StdEncoding.EncodeToString(signature))
			if s.ID != "" {
				r.Header.Set("Dyte-Uuid", s.ID)
			}
			return r, nil
		},
	}
}

// dyteEvents lists the types an event can become. It is a function so that
// nobody can change the map for others.
func dyteEvents() map[string][]string {
	return map[string][]string{
		"meeting.started":           {engine.SessionStarted},
		"meeting.ended":             {engine.SessionEnded},
		"meeting.participantJoined": {engine.ParticipantJoined},
		"meeting.participantLeft":   {engine.ParticipantLeft},
		"recording.statusUpdate": {engine.RecordingUpdated, engine.RecordingStarted, engine.RecordingStopped,
			engine.RecordingEnded, engine.RecordingFailed},
		"livestreaming.statusUpdate": {engine.StreamUpdated, engine.StreamStarted, engine.StreamEnded},
		"meeting.chatSynced":         {engine.ArtifactCreated},
		"meeting.transcript":         {engine.ArtifactCreated},
		"meeting.summary":            {engine.ArtifactCreated},
	}
}

type dytePlatform struct {
	check  func(digest, signature []byte) error
	events map[string][]string
}

func (p dytePlatform) Verify(r engine.Request) error {
	text, err := soleHeader(r.Header, "Dyte-Signature")
	if err != nil {
		return err
	}
	signature, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return engine.Refuse(engine.VerdictBadSignature, "header Dyte-Signature is not base64")
	}
	digest := sha256.Sum256(r.Body)
	return p.check(digest[:], signature)
}

func fitsKey(key *rsa.PublicKey, digest, signature []byte) bool {
	return rsa.VerifyPKCS1v15(key, crypto.SHA256, digest, signature) == nil
}

func (p dytePlatform) Decode(r engine.Request) (engine.Delivery, error) {
	body, err := parseJSON(r.Body)
	if err != nil {
		return engine.Delivery{}, err
	}
	meeting, rec := body.get("meeting"), body.get("recording")
	ev := engine.Event{
		Type:     engine.Other,
		Name:     body.get("event").str(),
		Platform: "dyte",
		Room: engine.Room{
			ID:   firstText(meeting.get("id"), body.get("meetingId"), rec.get("meetingId")),
			Name: meeting.get("title").str(),
		},
		Session: engine.Session{
			ID:      firstText(meeting.get("sessionId"), body.get("sessionId"), rec.get("roomUUID")),
			Started: dyteTime(meeting.get("startedAt")),
		},
		Raw: r.Body,
	}
	if types := p.events[ev.Name]; types != nil {
		ev.Type = types[0]
	}
	switch ev.Name {
	case "meeting.started":
		ev.Time = ev.Session.Started
	case "meeting.ended":
		// meeting.status still says LIVE here.
		ev.Session.Ended = dyteTime(meeting.get("endedAt"))
		ev.Session.EndReason = body.get("reason").str()
		ev.Time = ev.Session.Ended
	case "meeting.participantJoined":
		ev.Participant = dyteParticipant(body.get("participant"))
		ev.Time = ev.Participant.Joined
	case "meeting.participantLeft":
		ev.Participant = dyteParticipant(body.get("participant"))
		ev.Time = ev.Participant.Left
	case "recording.statusUpdate":
		dyteRecording(&ev, rec)
	case "livestreaming.statusUpdate":
		ev.Stream = engine.Stream{ID: body.get("streamId").text(), Status: body.get("status").str()}
		switch ev.Stream.Status {
		case "LIVE":
			ev.Type = engine.StreamStarted
		case "OFFLINE":
			ev.Type = engine.StreamEnded
		}
	case "meeting.chatSynced":
		ev.Artifact = engine.Artifact{Type: "chat", URL: body.get("chatDownloadUrl").str()}
	case "meeting.transcript":
		ev.Artifact = engine.Artifact{Type: "transcript", URL: body.get("transcriptDownloadUrl").str()}
	case "meeting.summary":
		ev.Artifact = engine.Artifact{Type: "summary", URL: body.get("summaryDownloadUrl").str()}
	}
	return engine.Delivery{Events: []engine.Event{ev}, Keys: dyteKeys(r)}, nil
}

// dyteKeys are two: the id says which deliveries are one, but it is not signed,
// so whoever replays a delivery can change it. The body cannot be changed.
func dyteKeys(r engine.Request) []engine.DedupeKey {
	digest := sha256.Sum256(r.Body)
	keys := []engine.DedupeKey{{ID: "sha256:" + hex.EncodeToString(digest[:])}}
	if id := r.Header.Get("Dyte-Uuid"); id != "" {
		keys = append(keys, engine.DedupeKey{ID: "uuid:" + id})
	}
	return keys
}

func dyteParticipant(who value) engine.Participant {
	return engine.Participant{
		// Empty for guests; then the engine takes the connection's.
		ID:           firstText(who.get("customParticipantId"), who.get("clientSpecificId")),
		ConnectionID: who.get("peerId").text(),
		Name:         who.get("userDisplayName").str(),
		Joined:       dyteTime(who.get("joinedAt")),
		Left:         dyteTime(who.get("leftAt")),
	}
}

func dyteRecording(ev *engine.Event, rec value) {
	ev.Recording = engine.Recording{
		ID:       firstText(rec.get("recordingId"), rec.get("id")),
		Name:     rec.get("outputFileName").str(),
		Status:   rec.get("status").str(),
		URL:      rec.get("downloadUrl").str(),
		Size:     rec.get("fileSize").int(),
		Duration: rec.get("recordingDuration").duration(time.Second),
		Started:  dyteTime(rec.get("startedTime")),
		Ended:    dyteTime(rec.get("stoppedTime")),
	}
	switch ev.Recording.Status {
	case "RECORDING":
		ev.Type = engine.RecordingStarted
	case "UPLOADING":
		ev.Type = engine.RecordingStopped
	case "UPLOADED":
		ev.Type = engine.RecordingEnded
	case "ERRORED":
		ev.Type = engine.RecordingFailed
	}
	x := &ev.Recording
	if x.Duration != nil && *x.Duration > 0 {
		return
	}
	// It is sent as 0 although the recording ran.
	x.Duration = nil
	if !x.Started.IsZero() && !x.Ended.IsZero() && !x.Ended.Before(x.Started) {
		d := x.Ended.Sub(x.Started)
		x.Duration = &d
		ev.Derived = append(ev.Derived, "recording.duration")
	}
}

// dyteTime reads both ways one body writes times: as in RFC 3339 those of
// meetings, with a space instead of the T those of recordings.
func dyteTime(v value) time.Time {
	if t := v.iso(); !t.IsZero() {
		return t
	}
	t, err := time.Parse("2006-01-02 15:04:05.999999999Z07:00", v.str())
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}

// keyServer is the published key: fetched when first needed, then again when a
// signature does not fit it. It is safe for concurrent use.
type keyServer struct {
	client *http.Client
	now    func() time.Time
	url    string

	// fetching is held while the key is looked up: one asks, the others wait.
	fetching sync.Mutex
	tried    time.Time // of the last try
	lastErr  error     // of the last try

	mu  sync.RWMutex
	key *rsa.PublicKey // nil: not known yet
}

func newKeyServer(client *http.Client, now func() time.Time, url string) *keyServer {
	if client == nil {
		client = &http.Client{}
	}
	own := *client // the redirect rule is for this use only
	own.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		first := via[0].URL
		if r.URL.Scheme != first.Scheme || r.URL.Host != first.Host || len(via) > 3 {
			return fmt.Errorf("it redirects to %s://%s", r.URL.Scheme, r.URL.Host)
		}
		return nil
	}
	return &keyServer{client: &own, now: now, url: url}
}

func (k *keyServer) verify(digest, signature []byte) error {
	known := k.known()
	if known != nil && fitsKey(known, digest, signature) {
		return nil
	}
	fresh, err := k.refresh(known)
	switch {
	case fresh != nil && fresh != known && fitsKey(fresh, digest, signature):
		return nil
	case err != nil:
		// It may be a delivery signed with a new key that we could not get.
		return fmt.Errorf("the key the signature is to be checked with cannot be had: %w (%w; or pin it by public_key)", err, engine.ErrUnavailable)
	}
	return engine.Refuse(engine.VerdictBadSignature, "the signature does not fit the key that Dyte publishes: was the body changed on the way?")
}

func (k *keyServer) known() *rsa.PublicKey {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.key
}

// refresh returns a key that is newer than old if there is one, else old and
// why there is none.
func (k *keyServer) refresh(old *rsa.PublicKey) (*rsa.PublicKey, error) {
	k.fetching.Lock()
	defer k.fetching.Unlock()
	if key := k.known(); key != old {
		return key, nil // somebody else has just fetched it
	}
	pause := dyteKeyPause
	if old == nil {
		pause = dyteFirstKeyPause
	}
	now := k.now()
	if age := now.Sub(k.tried); !k.tried.IsZero() && age >= 0 && age < pause {
		return old, k.lastErr
	}
	k.tried = now
	key, err := k.fetch()
	if k.lastErr = err; err != nil {
		return old, err
	}
	k.mu.Lock()
	k.key = key
	k.mu.Unlock()
	return key, nil
}

// fetch asks for the document {"success": true, "data": {"publicKey": PEM}}.
func (k *keyServer) fetch() (*rsa.PublicKey, error) {
	// Its own deadline: verifying knows none, and others wait for the key too.
	ctx, cancel := context.WithTimeout(context.Background(), dyteKeyTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, k.url, nil)
	if err != nil {
		return nil, fmt.Errorf("fetch %s: %w", k.url, err)
	}
	req.Header.Set("Accept", "application/json")
	res, err := k.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("fetch the public key: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("fetch %s: the answer is %s", k.url, res.Status)
	}
	text, err := io.ReadAll(io.LimitReader(res.Body, dyteKeyLimit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", k.url, err)
	}
	if len(text) > dyteKeyLimit {
		return nil, fmt.Errorf("read %s: it is larger than %d bytes", k.url, dyteKeyLimit)
	}
	document, err := parseJSON(text)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", k.url, err)
	}
	key, err := parsePublicKey([]byte(document.get("data", "publicKey").str()))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", k.url, err)
	}
	return key, nil
}

// parsePublicKey reads the first PEM block of text.
func parsePublicKey(text []byte) (*rsa.PublicKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("there is no PEM with -----BEGIN PUBLIC KEY-----")
	}
	var parsed any
	var err error
	switch block.Type {
	case "PUBLIC KEY":
		parsed, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		parsed, err = x509.ParsePKCS1PublicKey(block.Bytes)
	default:
		return nil, fmt.Errorf("the PEM holds a %.40q, not a PUBLIC KEY", block.Type)
	}
	if err != nil {
		return nil, errors.New("the PEM holds no readable public key")
	}
	key, ok := parsed.(*rsa.PublicKey)
	if !ok {
		return nil, errors.New("the public key is no RSA key")
	}
	if bits := key.N.BitLen(); bits < dyteKeyBits || bits > dyteKeyMaxBits {
		return nil, fmt.Errorf("the RSA key has %d bits: it must have %d to %d", bits, dyteKeyBits, dyteKeyMaxBits)
	}
	return key, nil
}

func parsePrivateKey(text []byte) (*rsa.PrivateKey, error) {
	if len(text) == 0 {
		return nil, errors.New("there is none: Dyte signs with a key pair, and only Dyte has the real one")
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("there is no PEM with -----BEGIN PRIVATE KEY-----")
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("the PEM holds no readable private key")
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return nil, errors.New("the private key is no RSA key")
	}
	return key, nil
}
