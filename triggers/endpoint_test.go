package triggers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// recorder stands for the engine behind an endpoint.
type recorder struct {
	mu       sync.Mutex
	ids      int
	accepted []engine.Received
	events   []engine.Event
	once     bool // the last one was of a platform that never retries
	refused  []engine.Received
	seen     map[string]string // dedupe key: event id
	fail     error
}

func (c *recorder) accept(_ context.Context, r engine.Received, d engine.Delivery) (engine.Accepted, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fail != nil {
		return engine.Accepted{}, c.fail
	}
	for _, k := range d.Keys {
		if id := c.seen[k.ID]; id != "" {
			return engine.Accepted{Duplicate: true, Events: []engine.AcceptedEvent{{ID: id}}}, nil
		}
	}
	var out engine.Accepted
	for i := range d.Events { // as the store does
		c.ids++
		d.Events[i].ID = fmt.Sprintf("evt_%04d", c.ids)
		out.Events = append(out.Events, engine.AcceptedEvent{ID: d.Events[i].ID})
	}
	for _, k := range d.Keys {
		c.seen[k.ID] = d.Events[0].ID
	}
	c.accepted = append(c.accepted, r)
	c.once = d.NeverRetries
	c.events = append(c.events, d.Events...)
	return out, nil
}

func (c *recorder) refuse(r engine.Received) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refused = append(c.refused, r)
}

func (c *recorder) newID() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ids++
	return fmt.Sprintf("%04d", c.ids)
}

// lastRefusal is the only refusal since the last call.
func (c *recorder) lastRefusal(t *testing.T) engine.Received {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.refused) != 1 {
		t.Fatalf("%d refusals, want 1", len(c.refused))
	}
	r := c.refused[0]
	c.refused = nil
	return r
}

func endpoint(t *testing.T, sources []engine.SourceConfig, change ...func(*EndpointOptions)) (*Endpoint, *recorder) {
	t.Helper()
	c := &recorder{seen: map[string]string{}}
	o := EndpointOptions{Accept: c.accept, Refused: c.refuse, NewID: c.newID, Now: func() time.Time { return suiteNow }}
	for _, f := range change {
		f(&o)
	}
	e := NewEndpoint(o)
	if err := e.Use(builtin(), sources); err != nil {
		t.Fatal(err)
	}
	return e, c
}

// post sends r to path and returns the answer.
func post(e *Endpoint, path string, r engine.Request) *httptest.ResponseRecorder {
	req := httptest.NewRequest(http.MethodPost, path, bytes.NewReader(r.Body))
	if r.Header != nil {
		req.Header = r.Header.Clone()
	}
	req.RemoteAddr = "203.0.113.9:4711"
	w := httptest.NewRecorder()
	e.Handler().ServeHTTP(w, req)
	return w
}

func kind(t testing.TB, name string) engine.PlatformKind {
	t.Helper()
	k, ok := Find(builtin(), name)
	if !ok {
		t.Fatalf("no platform %s", name)
	}
	return k
}

func liveKitSource(n int) engine.SourceConfig {
	c, _ := suiteSource(LiveKit(), n)
	return c
}

func TestEndpointAcceptsEveryPlatform(t *testing.T) {
	eachKind(t, func(t *testing.T, k engine.PlatformKind) {
		config, _ := suiteSource(k, 0)
		config.Tenant = "acme"
		e, c := endpoint(t, []engine.SourceConfig{config})
		r := suiteRequest(t, k, 0, anySample(t, k.Name))
		w := post(e, "/hooks/"+config.Name, r)
		if w.Code != 200 || strings.TrimSpace(w.Body.String()) != "{}" {
			t.Fatalf("status %d, body %q, refused %+v", w.Code, w.Body, c.refused)
		}
		if len(c.accepted) != 1 || len(c.events) != 1 {
			t.Fatalf("%d deliveries, %d events", len(c.accepted), len(c.events))
		}
		d, ev := c.accepted[0], c.events[0]
		if got := w.Header().Get("Gavel-Event"); got != ev.ID || !strings.HasPrefix(got, "evt_") {
			t.Errorf("Gavel-Event %q, event %q", got, ev.ID)
		}
		if !strings.HasPrefix(d.ID, "dlv_") || d.Source != config.Name || d.Verdict != engine.VerdictAccepted ||
			d.Status != 200 || d.Remote != "203.0.113.9" || d.Size != int64(len(r.Body)) || !d.At.Equal(suiteNow) {
			t.Errorf("trace %+v", d)
		}
		if c.once != k.NeverRetries {
			t.Errorf("never retries: %t", c.once)
		}
		if ev.Source != config.Name || ev.Tenant != "acme" || ev.Platform != k.Name || !ev.Received.Equal(suiteNow) || ev.Time.IsZero() {
			t.Errorf("event %+v", ev)
		}
		// The same again is answered 200, with the first event's id.
		if again := post(e, "/hooks/"+config.Name, r); again.Code != 200 || again.Header().Get("Gavel-Event") != ev.ID {
			t.Errorf("duplicate: %d, %q", again.Code, again.Header().Get("Gavel-Event"))
		}
		if len(c.accepted) != 1 || len(c.refused) != 1 || c.refused[0].Verdict != engine.VerdictDuplicate || c.refused[0].Status != 200 {
			t.Errorf("%d accepted, traces %+v", len(c.accepted), c.refused)
		}
	})
}

func TestEndpointBoundsBodiesOfEveryPlatform(t *testing.T) {
	eachKind(t, func(t *testing.T, k engine.PlatformKind) {
		config, _ := suiteSource(k, 0)
		body := anySample(t, k.Name)
		config.MaxBody = int64(len(body)) - 1
		e, c := endpoint(t, []engine.SourceConfig{config})
		if w := post(e, "/hooks/"+config.Name, suiteRequest(t, k, 0, body)); w.Code != http.StatusRequestEntityTooLarge {
			t.Errorf("status %d", w.Code)
		}
		if r := c.lastRefusal(t); r.Verdict != engine.VerdictTooLarge || r.Status != 413 {
			t.Errorf("%+v", r)
		}
		config.MaxBody++
		if err := e.Use(builtin(), []engine.SourceConfig{config}); err != nil {
			t.Fatal(err)
		}
		if w := post(e, "/hooks/"+config.Name, suiteRequest(t, k, 0, body)); w.Code != 200 {
			t.Errorf("status %d at the limit", w.Code)
		}
	})
}

func TestEndpointRefuses(t *testing.T) {
	sources := []engine.SourceConfig{liveKitSource(0), liveKitSource(1)}
	sources[1].Name = "livekit-staging"
	closed := liveKitSource(0)
	closed.Name, closed.AllowFrom = "closed", []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}
	e, c := endpoint(t, append(sources, closed))

	body := anySample(t, "livekit")
	good := suiteRequest(t, LiveKit(), 0, body)
	with := func(f func(*engine.Request)) engine.Request {
		r := good
		r.Header = good.Header.Clone()
		f(&r)
		return r
	}
	late := suiteRequestAt(t, LiveKit(), body, suiteNow.Add(-612*time.Second))
	twice := suiteRequest(t, LiveKit(), 0, []byte(`{"event":"room_started","id":"1","id":"2"}`))
	for _, c2 := range []struct {
		name, path      string
		r               engine.Request
		status          int
		verdict, reason string
	}{
		{"unknown source", "/hooks/nobody", good, 401, engine.VerdictUnknown, "no source"},
		{"no token", "/hooks/livekit-a", with(func(r *engine.Request) { r.Header.Del("Authorization") }), 401, engine.VerdictBadSignature, "missing"},
		{"changed body", "/hooks/livekit-a", with(func(r *engine.Request) { r.Body = append(bytes.Clone(r.Body), ' ') }), 401, engine.VerdictBadSignature, "does not match the sha256 claim"},
		{"another source's key", "/hooks/livekit-a", suiteRequest(t, LiveKit(), 1, body), 401, engine.VerdictBadSignature, `the signature fits source "livekit-staging": is the secret or the path swapped?`},
		{"too old", "/hooks/livekit-a", late, 401, engine.VerdictTooOld, "token expired 312 s ago, leeway 60 s"},
		{"wrong address", "/hooks/closed", good, 401, engine.VerdictForbidden, "203.0.113.9"},
		{"compressed", "/hooks/livekit-a", with(func(r *engine.Request) { r.Header.Set("Content-Encoding", "gzip") }), 415, engine.VerdictBadBody, "gzip"},
		{"duplicate names", "/hooks/livekit-a", twice, 400, engine.VerdictBadBody, `"id" occurs twice`},
	} {
		w := post(e, c2.path, c2.r)
		got := c.lastRefusal(t)
		if w.Code != c2.status || got.Status != c2.status || got.Verdict != c2.verdict || !strings.Contains(got.Reason, c2.reason) {
			t.Errorf("%s: status %d, %+v, want %d %s %q", c2.name, w.Code, got, c2.status, c2.verdict, c2.reason)
		}
		if strings.TrimSpace(w.Body.String()) != "{}" || w.Header().Get("Gavel-Event") != "" {
			t.Errorf("%s: the sender learns %q %v", c2.name, w.Body, w.Header())
		}
		if got.Remote != "203.0.113.9" || !strings.HasPrefix(got.ID, "dlv_") || got.Event != "" {
			t.Errorf("%s: trace %+v", c2.name, got)
		}
	}
	if len(c.accepted) != 0 {
		t.Errorf("%d accepted", len(c.accepted))
	}
}

func suiteRequestAt(t *testing.T, k engine.PlatformKind, body []byte, at time.Time) engine.Request {
	t.Helper()
	c, private := suiteSource(k, 0)
	r, err := k.Sign(c, engine.SignRequest{Body: body, PrivateKey: private, Now: at})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A stranger cannot tell an unknown source from one whose key he lacks.
func TestUnknownSourceLooksLikeABadSignature(t *testing.T) {
	e, _ := endpoint(t, []engine.SourceConfig{liveKitSource(0)})
	forged := suiteRequest(t, LiveKit(), 1, anySample(t, "livekit"))
	unknown, bad := post(e, "/hooks/nobody", forged), post(e, "/hooks/livekit-a", forged)
	if unknown.Code != bad.Code || unknown.Body.String() != bad.Body.String() || fmt.Sprint(unknown.Header()) != fmt.Sprint(bad.Header()) {
		t.Errorf("%d %q %v\n%d %q %v", unknown.Code, unknown.Body, unknown.Header(), bad.Code, bad.Body, bad.Header())
	}
}

func TestEndpointUnavailable(t *testing.T) {
	queue := fmt.Errorf("queue: %w", engine.ErrUnavailable)
	for _, tc := range []struct {
		fail        error
		first, last int // seconds
	}{
		{queue, 5, 10},
		{errors.New("disk on fire"), 5, 10},
		{engine.RetryAfter(queue, 20*time.Second), 20, 40},
		{engine.RetryAfter(queue, 0), 1, 2},
		{engine.RetryAfter(queue, time.Hour), 60, 120},
	} {
		fail := tc.fail
		e, c := endpoint(t, []engine.SourceConfig{liveKitSource(0)})
		c.fail = fail
		w := post(e, "/hooks/livekit-a", suiteRequest(t, LiveKit(), 0, anySample(t, "livekit")))
		after, err := strconv.Atoi(w.Header().Get("Retry-After"))
		if w.Code != 503 || err != nil || after < tc.first || after > tc.last || w.Header().Get("Gavel-Event") != "" {
			t.Errorf("%v: %d %v, want Retry-After from %d to %d", fail, w.Code, w.Header(), tc.first, tc.last)
		}
		if r := c.lastRefusal(t); r.Verdict != engine.VerdictUnavailable || r.Event != "" {
			t.Errorf("%v: %+v", fail, r)
		}
	}
}

func TestEndpointRoutes(t *testing.T) {
	withPath := liveKitSource(0)
	withPath.Path = "/livekit/webhook"
	meet, _ := suiteSource(kind(t, "openvidu-meet"), 0)
	e, _ := endpoint(t, []engine.SourceConfig{withPath, meet})
	livekit := suiteRequest(t, LiveKit(), 0, anySample(t, "livekit"))
	openvidu := suiteRequest(t, kind(t, "openvidu-meet"), 0, anySample(t, "openvidu-meet"))
	for _, c := range []struct {
		path   string
		r      engine.Request
		status int
	}{
		{"/hooks/livekit-a", livekit, 200},
		{"/hooks/livekit-a?x=1", livekit, 200},
		{"/livekit/webhook", livekit, 200},
		{"/webhook", openvidu, 200},
		{"/hooks/openvidu-meet-a", openvidu, 200},
		{"/hooks/livekit-a/", livekit, 404},
		{"/hooks/", livekit, 404},
		{"/", livekit, 404},
		{"/debug/pprof/", livekit, 404},
		{"/healthz", livekit, 405},
	} {
		if w := post(e, c.path, c.r); w.Code != c.status {
			t.Errorf("%s: %d, want %d", c.path, w.Code, c.status)
		}
	}
	for path, status := range map[string]int{"/healthz": 200, "/hooks/livekit-a": 405, "/webhook": 405, "/metrics": 404} {
		w := httptest.NewRecorder()
		e.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != status {
			t.Errorf("GET %s: %d, want %d", path, w.Code, status)
		}
	}
	// Of two openvidu-meet sources none takes /webhook by itself.
	second, _ := suiteSource(kind(t, "openvidu-meet"), 1)
	if err := e.Use(builtin(), []engine.SourceConfig{meet, second}); err != nil {
		t.Fatal(err)
	}
	if w := post(e, "/webhook", openvidu); w.Code != 404 {
		t.Errorf("/webhook with two sources: %d", w.Code)
	}
	if w := post(e, "/livekit/webhook", livekit); w.Code != 404 {
		t.Errorf("the path of a source that is gone: %d", w.Code)
	}
}

func TestUseIsAllOrNothing(t *testing.T) {
	good := liveKitSource(0)
	change := func(f func(*engine.SourceConfig)) engine.SourceConfig {
		c := liveKitSource(1)
		f(&c)
		return c
	}
	for name, c := range map[string]struct {
		sources []engine.SourceConfig
		says    []string
	}{
		"unknown platform": {[]engine.SourceConfig{change(func(c *engine.SourceConfig) { c.Platform = "zoom" })}, []string{"livekit-b", "zoom"}},
		"empty secret":     {[]engine.SourceConfig{change(func(c *engine.SourceConfig) { c.Secrets = nil })}, []string{"livekit-b", "secret"}},
		"same name":        {[]engine.SourceConfig{good, good}, []string{"livekit-a", "two"}},
		"taken path":       {[]engine.SourceConfig{change(func(c *engine.SourceConfig) { c.Path = "/healthz" })}, []string{"/healthz"}},
		"path in hooks":    {[]engine.SourceConfig{change(func(c *engine.SourceConfig) { c.Path = "/hooks/x" })}, []string{"/hooks/x"}},
		"relative path":    {[]engine.SourceConfig{change(func(c *engine.SourceConfig) { c.Path = "x" })}, []string{`"x"`}},
		"pattern":          {[]engine.SourceConfig{change(func(c *engine.SourceConfig) { c.Path = "/{x}" })}, []string{"{x}"}},
		"two mistakes": {[]engine.SourceConfig{
			change(func(c *engine.SourceConfig) { c.Secrets, c.Name = nil, "one" }),
			change(func(c *engine.SourceConfig) { c.APIKey, c.Name = "", "two" }),
		}, []string{"one", "two", "api_key"}},
		"same path": {[]engine.SourceConfig{
			change(func(c *engine.SourceConfig) { c.Path, c.Name = "/x", "one" }),
			change(func(c *engine.SourceConfig) { c.Path, c.Name = "/x", "two" }),
		}, []string{"one", "two", "/x"}},
	} {
		e, _ := endpoint(t, []engine.SourceConfig{good})
		err := e.Use(builtin(), c.sources)
		for _, word := range c.says {
			if err == nil || !strings.Contains(err.Error(), word) {
				t.Errorf("%s: got %v, want it to say %q", name, err, word)
			}
		}
		if w := post(e, "/hooks/livekit-a", suiteRequest(t, LiveKit(), 0, anySample(t, "livekit"))); w.Code != 200 {
			t.Errorf("%s: the earlier sources are gone: %d", name, w.Code)
		}
	}
}

func TestUseKeepsUnchangedPlatforms(t *testing.T) {
	made := 0
	k := LiveKit()
	fresh := k.New
	k.New = func(c engine.SourceConfig) (engine.Platform, error) { made++; return fresh(c) }
	e, _ := endpoint(t, nil)
	changed := liveKitSource(0)
	changed.Secrets = append(changed.Secrets, engine.NewSecret("another-secret-0123456789"))
	for i, c := range []struct {
		config engine.SourceConfig
		made   int
	}{{liveKitSource(0), 1}, {liveKitSource(0), 1}, {changed, 2}, {changed, 2}} {
		if err := e.Use([]engine.PlatformKind{k}, []engine.SourceConfig{c.config}); err != nil {
			t.Fatal(err)
		}
		if made != c.made {
			t.Errorf("after %d: %d platforms made, want %d", i+1, made, c.made)
		}
	}
}

func TestFillAndTest(t *testing.T) {
	var log bytes.Buffer
	fill := func(ev *engine.Event) error {
		ev.Participant.Email = "zoe@example.com"
		return errors.New("participant.role: no such member")
	}
	e, c := endpoint(t, []engine.SourceConfig{liveKitSource(0)}, func(o *EndpointOptions) {
		o.Fill, o.Log = fill, slog.New(slog.NewTextHandler(&log, nil))
	})
	if w := post(e, "/hooks/livekit-a", suiteRequest(t, LiveKit(), 0, anySample(t, "livekit"))); w.Code != 200 {
		t.Fatal(w.Code)
	}
	if c.events[0].Participant.Email != "zoe@example.com" || !strings.Contains(log.String(), "participant.role") {
		t.Errorf("email %q, log %q", c.events[0].Participant.Email, &log)
	}
	if c.events[0].Test {
		t.Error("a real event is a test")
	}
	meet, _ := suiteSource(kind(t, "openvidu-meet"), 0)
	if err := e.Use(builtin(), []engine.SourceConfig{meet}); err != nil {
		t.Fatal(err)
	}
	body := samples(t, "openvidu-meet")["testEvent"]
	if w := post(e, "/webhook", suiteRequest(t, kind(t, "openvidu-meet"), 0, body)); w.Code != 200 || !c.events[1].Test {
		t.Errorf("test event: %d, %+v", w.Code, c.events[1])
	}
}

// What a platform leaves open, the endpoint fills in.
func TestEventDefaults(t *testing.T) {
	e, c := decoding(t, engine.Delivery{Events: []engine.Event{{Type: engine.WebhookTest}, {Time: suiteNow.Add(-time.Hour)}}})
	post(e, "/hooks/livekit-a", engine.Request{Body: []byte("{}")})
	if len(c.events) != 2 {
		t.Fatalf("%d events", len(c.events))
	}
	test, old := c.events[0], c.events[1]
	if !test.Test || !test.Time.Equal(suiteNow) || !slices.Equal(test.Derived, []string{"event.time"}) || test.Tenant != "default" {
		t.Errorf("%+v", test)
	}
	if old.Test || !old.Time.Equal(suiteNow.Add(-time.Hour)) || old.ID == test.ID {
		t.Errorf("%+v", old)
	}
}

// The id of an event that was not stored is not given out.
func TestDuplicateWithoutEvents(t *testing.T) {
	accept := func(context.Context, engine.Received, engine.Delivery) (engine.Accepted, error) {
		return engine.Accepted{Duplicate: true}, nil
	}
	e, _ := endpoint(t, []engine.SourceConfig{liveKitSource(0)}, func(o *EndpointOptions) { o.Accept = accept })
	w := post(e, "/hooks/livekit-a", suiteRequest(t, LiveKit(), 0, anySample(t, "livekit")))
	if w.Code != 200 || w.Header().Get("Gavel-Event") != "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

func TestHandshakeReply(t *testing.T) {
	e, c := decoding(t, engine.Delivery{Reply: &engine.Reply{ContentType: "text/plain", Body: []byte("challenge")}})
	w := post(e, "/hooks/livekit-a", engine.Request{Body: []byte("{}")})
	if w.Code != 200 || w.Body.String() != "challenge" || w.Header().Get("Content-Type") != "text/plain" || len(c.accepted) != 0 {
		t.Errorf("%d %q %v", w.Code, w.Body, w.Header())
	}
}

// decoding is an endpoint whose only source decodes everything to d.
func decoding(t *testing.T, d engine.Delivery) (*Endpoint, *recorder) {
	t.Helper()
	k := LiveKit()
	k.New = func(engine.SourceConfig) (engine.Platform, error) { return fixed{d}, nil }
	e, c := endpoint(t, nil)
	if err := e.Use([]engine.PlatformKind{k}, []engine.SourceConfig{liveKitSource(0)}); err != nil {
		t.Fatal(err)
	}
	return e, c
}

type fixed struct{ d engine.Delivery }

func (fixed) Verify(engine.Request) error                      { return nil }
func (p fixed) Decode(engine.Request) (engine.Delivery, error) { return p.d, nil }

// The guess which source a signature fits must not be a lever for strangers.
func TestGuessesAreBounded(t *testing.T) {
	verified := 0
	k := LiveKit()
	k.New = func(engine.SourceConfig) (engine.Platform, error) { return counting{&verified}, nil }
	var sources []engine.SourceConfig
	for i := range 20 {
		c := liveKitSource(0)
		c.Name = fmt.Sprintf("s%d", i)
		sources = append(sources, c)
	}
	e, _ := endpoint(t, nil)
	if err := e.Use([]engine.PlatformKind{k}, sources); err != nil {
		t.Fatal(err)
	}
	forged := engine.Request{Header: http.Header{}, Body: []byte("{}")}
	post(e, "/hooks/s0", forged)
	if verified != 1+guessMaxSources {
		t.Errorf("%d signatures checked for one delivery, want %d", verified, 1+guessMaxSources)
	}
	verified = 0
	for range 1000 { // all in the same moment of the test's clock
		post(e, "/hooks/s0", forged)
	}
	if limit := 1000 + guessesPerSecond*guessMaxSources; verified > limit {
		t.Errorf("%d signatures checked for 1000 deliveries, want at most %d", verified, limit)
	}
	verified = 0
	forged.Body = make([]byte, guessMaxBody+1)
	e, c := endpoint(t, nil)
	if err := e.Use([]engine.PlatformKind{k}, sources); err != nil {
		t.Fatal(err)
	}
	post(e, "/hooks/s0", forged)
	if verified != 1 || len(c.refused) != 1 {
		t.Errorf("%d signatures checked for a large body", verified)
	}
}

type counting struct{ n *int }

func (c counting) Verify(engine.Request) error {
	*c.n++
	return engine.Refuse(engine.VerdictBadSignature, "no")
}
func (counting) Decode(engine.Request) (engine.Delivery, error) { return engine.Delivery{}, nil }

func TestRemote(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, c := range []struct {
		socket string
		xff    []string
		want   string
	}{
		{"203.0.113.9:1", nil, "203.0.113.9"},
		{"203.0.113.9:1", []string{"10.0.0.1"}, "203.0.113.9"},
		{"203.0.113.9:1", []string{"198.51.100.7, 10.0.0.1"}, "203.0.113.9"},
		{"10.0.0.1:1", nil, "10.0.0.1"},
		{"10.0.0.1:1", []string{""}, "10.0.0.1"},
		{"10.0.0.1:1", []string{"198.51.100.7"}, "198.51.100.7"},
		{"10.0.0.1:1", []string{"6.6.6.6, 198.51.100.7"}, "198.51.100.7"},
		{"10.0.0.1:1", []string{"6.6.6.6", "198.51.100.7"}, "198.51.100.7"},
		{"10.0.0.1:1", []string{"198.51.100.7, 10.0.0.2"}, "198.51.100.7"},
		{"10.0.0.1:1", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"10.0.0.1:1", []string{"6.6.6.6, garbage"}, "10.0.0.1"},
		{"10.0.0.1:1", []string{"198.51.100.7:9999"}, "198.51.100.7"},
		{"10.0.0.1:1", []string{"[2001:db8::7]:9999"}, "2001:db8::7"},
		{"10.0.0.1:1", []string{"[2001:db8::7]"}, "2001:db8::7"},
		{"10.0.0.1:1", []string{"::ffff:198.51.100.7"}, "198.51.100.7"},
		{"[::ffff:10.0.0.1]:1", []string{"198.51.100.7"}, "198.51.100.7"},
		{"[fd00::1%eth0]:1", []string{"198.51.100.7"}, "198.51.100.7"},
		{"[2001:db8::9]:1", []string{"198.51.100.7"}, "2001:db8::9"},
	} {
		r := &http.Request{RemoteAddr: c.socket, Header: http.Header{"X-Forwarded-For": c.xff}}
		if got := remote(r, trusted).String(); got != c.want {
			t.Errorf("%s, %q: got %s, want %s", c.socket, c.xff, got, c.want)
		}
		if got := remote(r, nil); got.String() == "198.51.100.7" {
			t.Errorf("%s, %q: believed without trusted proxies", c.socket, c.xff)
		}
	}
}

func TestAllowFromBehindAProxy(t *testing.T) {
	config := liveKitSource(0)
	config.AllowFrom = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}
	e, _ := endpoint(t, []engine.SourceConfig{config}, func(o *EndpointOptions) {
		o.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}
	})
	r := suiteRequest(t, LiveKit(), 0, anySample(t, "livekit"))
	for xff, status := range map[string]int{"198.51.100.7": 200, "192.0.2.1": 401, "198.51.100.7, 192.0.2.1": 401} {
		r.Header.Set("X-Forwarded-For", xff)
		if w := post(e, "/hooks/livekit-a", r); w.Code != status {
			t.Errorf("%s: %d, want %d", xff, w.Code, status)
		}
	}
}

// A delivery that has come completely is stored whether or not its sender
// still listens, but not waited for for ever.
func TestEndpointStoresForSendersThatHangUp(t *testing.T) {
	var left error
	var deadline bool
	e, _ := endpoint(t, []engine.SourceConfig{liveKitSource(0)}, func(o *EndpointOptions) {
		o.Accept = func(ctx context.Context, _ engine.Received, _ engine.Delivery) (engine.Accepted, error) {
			left = ctx.Err()
			_, deadline = ctx.Deadline()
			return engine.Accepted{}, nil
		}
	})
	r := suiteRequest(t, LiveKit(), 0, anySample(t, "livekit"))
	gone, hangUp := context.WithCancel(t.Context())
	hangUp()
	req := httptest.NewRequest(http.MethodPost, "/hooks/livekit-a", bytes.NewReader(r.Body)).WithContext(gone)
	req.Header = r.Header
	w := httptest.NewRecorder()
	e.Handler().ServeHTTP(w, req)
	if w.Code != 200 || left != nil || !deadline {
		t.Errorf("status %d, context %v, deadline %t", w.Code, left, deadline)
	}
}

// On a real connection: bodies without a length, too long, cut off, compressed.
func TestEndpointOverTheNetwork(t *testing.T) {
	config := liveKitSource(0)
	config.MaxBody = 64 << 10
	e, c := endpoint(t, []engine.SourceConfig{config})
	server := Server("", e.Handler())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	defer func() {
		server.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	}()
	if server.ReadHeaderTimeout != 5*time.Second || server.ReadTimeout != 15*time.Second || server.IdleTimeout != 60*time.Second ||
		server.MaxHeaderBytes != 32<<10 || server.WriteTimeout == 0 {
		t.Errorf("limits %+v", server)
	}
	address := "http://" + l.Addr().String() + "/hooks/livekit-a"
	good := suiteRequest(t, LiveKit(), 0, anySample(t, "livekit"))
	send := func(body io.Reader, length int64, headers ...string) int {
		req, err := http.NewRequest(http.MethodPost, address, body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header = good.Header.Clone()
		req.ContentLength = length
		for i := 0; i < len(headers); i += 2 {
			req.Header.Set(headers[i], headers[i+1])
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0 // the server closed the connection
		}
		defer resp.Body.Close()
		_, _ = io.Copy(io.Discard, resp.Body)
		return resp.StatusCode
	}
	if got := send(bytes.NewReader(good.Body), int64(len(good.Body))); got != 200 {
		t.Errorf("plain: %d", got)
	}
	if got := send(bytes.NewReader(good.Body), -1); got != 200 {
		t.Errorf("chunked: %d", got)
	}
	// Connections are kept for those who have shown that they know the secret,
	// unless there may be two ways to tell where the body ends.
	signed := fmt.Sprintf("POST /hooks/livekit-a HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\n", good.Header.Get("Authorization"))
	for _, c := range []struct {
		wire    string
		answers int // to it and a second request
	}{
		{fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", signed, len(good.Body), good.Body), 2},
		{fmt.Sprintf("%sContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", signed, len(good.Body), good.Body), 1},
		{"POST /hooks/livekit-a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", 1},
		{"POST /hooks/nobody HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 1},
		{"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 1},
		{"GET /elsewhere HTTP/1.1\r\nHost: x\r\n\r\n", 1},
	} {
		answers := exchange(t, l.Addr(), c.wire+"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
		if got := bytes.Count(answers, []byte("HTTP/1.1 ")); got != c.answers {
			t.Errorf("%.60q: %d answers, want %d: %s", c.wire, got, c.answers, answers)
		}
	}
	c.mu.Lock()
	c.refused = nil
	c.mu.Unlock()
	if got := send(bytes.NewReader(good.Body), int64(len(good.Body)), "Content-Type", "application/x-www-form-urlencoded"); got != 200 {
		t.Errorf("another content type: %d", got)
	}
	c.mu.Lock()
	for _, r := range c.refused {
		if r.Verdict != engine.VerdictDuplicate {
			t.Fatalf("refused: %+v", r)
		}
	}
	c.refused = nil
	c.mu.Unlock()
	if len(c.accepted) != 1 {
		t.Fatalf("%d accepted", len(c.accepted))
	}
	if got := send(bytes.NewReader(good.Body), int64(len(good.Body)), "Content-Encoding", "gzip"); got != 415 {
		t.Errorf("compressed: %d", got)
	}
	c.lastRefusal(t)
	// Endless bodies are cut off at the limit, whatever length they claim.
	for _, length := range []int64{-1, 10 << 30} {
		if got := send(endless{}, length); got != 413 && got != 0 {
			t.Errorf("endless of length %d: %d", length, got)
		}
		if r := c.lastRefusal(t); r.Verdict != engine.VerdictTooLarge || r.Size > config.MaxBody || length > 0 && r.Size > 0 {
			t.Errorf("endless of length %d: %+v", length, r)
		}
	}
	if got := send(bytes.NewReader(nil), 0, "X-Large", strings.Repeat("x", 64<<10)); got != 431 && got != 0 {
		t.Errorf("large header: %d", got)
	}
}

// exchange sends wire and reads until the server closes the connection.
func exchange(t *testing.T, addr net.Addr, wire string) []byte {
	t.Helper()
	conn, err := net.Dial(addr.Network(), addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, wire); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	answer, _ := io.ReadAll(conn) // a reset ends it too
	return answer
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func BenchmarkEndpoint(b *testing.B) {
	k := LiveKit()
	e := NewEndpoint(EndpointOptions{
		Accept: func(context.Context, engine.Received, engine.Delivery) (engine.Accepted, error) {
			return engine.Accepted{}, nil
		},
		Refused: func(engine.Received) {}, NewID: func() string { return "1" }, Now: func() time.Time { return suiteNow },
	})
	if err := e.Use(builtin(), []engine.SourceConfig{liveKitSource(0)}); err != nil {
		b.Fatal(err)
	}
	r := suiteRequest(b, k, 0, kilobyte(anySample(b, "livekit")))
	h := e.Handler()
	b.ReportAllocs()
	for b.Loop() {
		req := &http.Request{Method: http.MethodPost, URL: &url.URL{Path: "/hooks/livekit-a"}, Header: r.Header, RemoteAddr: "127.0.0.1:1",
			Body: io.NopCloser(bytes.NewReader(r.Body)), ContentLength: int64(len(r.Body))}
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, req); w.Code != 200 {
			b.Fatal(w.Code)
		}
	}
}
