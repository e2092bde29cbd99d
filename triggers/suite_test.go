package triggers

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gavelhq/gavel/engine"
)

var update = flag.Bool("update", false, "write testdata/*/golden")

// suiteNow is when the suite signs and receives.
var suiteNow = time.Date(2026, 11, 21, 9, 0, 0, 123e6, time.UTC)

// builtin are the kinds under test; no key can be fetched.
func builtin() []engine.PlatformKind {
	offline := &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
		return nil, errors.New("the suite is offline")
	})}
	return Builtin(Options{KeyClient: offline, Now: func() time.Time { return suiteNow }})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// keyPairs are the RSA keys of the suite: making them is slow.
var keyPairs = [2]func() (public, private []byte){sync.OnceValues(newKeyPair), sync.OnceValues(newKeyPair)}

func newKeyPair() (public, private []byte) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		panic(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

// suiteSource configures a source with every key the platform takes. Sources
// of different n or platform share nothing.
func suiteSource(k engine.PlatformKind, n int) (c engine.SourceConfig, private []byte) {
	keys := append(slices.Clone(k.Needs), k.Takes...)
	c = engine.SourceConfig{Name: k.Name + "-" + string(rune('a'+n)), Platform: k.Name, Tenant: "default"}
	if slices.Contains(keys, "secret") {
		c.Secrets = []engine.Secret{engine.NewSecret("suite-secret-0123456789-" + c.Name)}
	}
	if slices.Contains(keys, "api_key") {
		c.APIKey = "APIsuite-" + c.Name
	}
	if slices.Contains(keys, "headers") {
		c.Headers = map[string]engine.Secret{"Authorization": engine.NewSecret("Bearer suite-header-0123456789-" + c.Name)}
	}
	if slices.Contains(keys, "public_key") {
		c.PublicKey, private = keyPairs[n]()
	}
	return c, private
}

// suiteRequest signs body for that source at suiteNow.
func suiteRequest(t testing.TB, k engine.PlatformKind, n int, body []byte) engine.Request {
	t.Helper()
	c, private := suiteSource(k, n)
	r, err := k.Sign(c, engine.SignRequest{Body: body, PrivateKey: private, ID: "delivery-1", Now: suiteNow})
	if err != nil {
		t.Fatalf("%s: sign: %v", k.Name, err)
	}
	r.ReceivedAt = suiteNow
	return r
}

func suitePlatform(t testing.TB, k engine.PlatformKind, n int) engine.Platform {
	t.Helper()
	c, _ := suiteSource(k, n)
	p, err := k.New(c)
	if err != nil {
		t.Fatalf("%s: %v", k.Name, err)
	}
	return p
}

func samples(t testing.TB, platform string) map[string][]byte {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join("samples", platform, "*.json"))
	all := map[string][]byte{}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all[strings.TrimSuffix(filepath.Base(f), ".json")] = text
	}
	return all
}

// anySample is the same sample every time.
func anySample(t testing.TB, platform string) []byte {
	t.Helper()
	all := samples(t, platform)
	if len(all) == 0 {
		t.Fatalf("%s has no samples in samples/%[1]s", platform)
	}
	var names []string
	for name := range all {
		names = append(names, name)
	}
	return all[slices.Min(names)]
}

func isVerdict(err error, verdict string) bool {
	refusal := (*engine.Refusal)(nil)
	return errors.As(err, &refusal) && refusal.Verdict == verdict && refusal.Reason != ""
}

func eachKind(t *testing.T, test func(*testing.T, engine.PlatformKind)) {
	t.Helper()
	for _, k := range builtin() {
		t.Run(k.Name, func(t *testing.T) { test(t, k) })
	}
}

func TestKindsAreDescribed(t *testing.T) {
	seen := map[string]bool{}
	eachKind(t, func(t *testing.T, k engine.PlatformKind) {
		if seen[k.Name] {
			t.Error("there are two kinds of this name")
		}
		seen[k.Name] = true
		if k.Name == "" || k.Doc == "" || k.New == nil || k.Sign == nil || len(k.Facts) == 0 {
			t.Error("a field is missing")
		}
		for name, types := range k.Events {
			for _, typ := range types {
				if !slices.Contains(engine.EventTypes(), typ) {
					t.Errorf("%s: unknown type %q", name, typ)
				}
			}
		}
		known := []string{"secret", "api_key", "public_key", "headers", "tolerance"}
		for _, key := range append(slices.Clone(k.Needs), k.Takes...) {
			if !slices.Contains(known, key) {
				t.Errorf("unknown source key %q", key)
			}
		}
		if found, ok := Find(builtin(), k.Name); !ok || found.Name != k.Name {
			t.Error("not found by its name")
		}
	})
}

// golden is what a sample is to decode to.
type golden struct {
	Events []engine.Event
	Keys   []engine.DedupeKey
}

func TestSamples(t *testing.T) {
	eachKind(t, func(t *testing.T, k engine.PlatformKind) {
		all := samples(t, k.Name)
		if len(all) == 0 {
			t.Fatalf("no samples in samples/%s", k.Name)
		}
		p := suitePlatform(t, k, 0)
		for name, body := range all {
			t.Run(name, func(t *testing.T) {
				r := suiteRequest(t, k, 0, body)
				if err := p.Verify(r); err != nil {
					t.Fatalf("verify: %v", err)
				}
				d, err := p.Decode(r)
				if err != nil {
					t.Fatalf("decode: %v", err)
				}
				if len(d.Events) == 0 || len(d.Keys) == 0 {
					t.Fatal("no event or no dedupe key")
				}
				for i, ev := range d.Events {
					if types, ok := k.Events[ev.Name]; !ok || !slices.Contains(types, ev.Type) {
						t.Errorf("event %q became %q, which Events does not list", ev.Name, ev.Type)
					}
					if ev.Platform != k.Name || len(ev.Raw) == 0 {
						t.Errorf("event %d: platform %q, %d bytes of raw", i, ev.Platform, len(ev.Raw))
					}
				}
				compareGolden(t, filepath.Join("testdata", k.Name, "golden", name+".json"), golden{d.Events, d.Keys})
			})
		}
	})
}

func compareGolden(t *testing.T, file string, got golden) {
	t.Helper()
	text, err := json.MarshalIndent(got, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	text = append(text, '\n')
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, text, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v (go test -update writes it)", err)
	}
	if diff := cmp.Diff(string(want), string(text)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

// vector is one entry of vectors.json: a request and the verdict it must get.
type vector struct {
	Name      string
	Secret    string
	APIKey    string `json:"api_key"`
	PublicKey string `json:"public_key"`
	Config    struct {
		Tolerance int64             `json:"tolerance_seconds"`
		Headers   map[string]string `json:"static_headers"`
	}
	Method, URL string
	Headers     map[string]string
	Body        []byte `json:"body_base64"`
	Expect      string
	Reason      string
	Now         int64
	NowMS       int64 `json:"now_ms"`
	Stage       string
	JSONValid   *bool `json:"json_valid"`
	Duplicate   bool
	After       []string
}

func (v vector) source(platform string) engine.SourceConfig {
	c := engine.SourceConfig{
		Name: "vectors", Platform: platform, APIKey: v.APIKey, PublicKey: []byte(v.PublicKey),
		Tolerance: time.Duration(v.Config.Tolerance) * time.Second,
	}
	if v.Secret != "" && v.Config.Headers == nil { // else it is the header's value
		c.Secrets = []engine.Secret{engine.NewSecret(v.Secret)}
	}
	for name, value := range v.Config.Headers {
		if c.Headers == nil {
			c.Headers = map[string]engine.Secret{}
		}
		c.Headers[name] = engine.NewSecret(value)
	}
	return c
}

func (v vector) request() engine.Request {
	r := engine.Request{Method: v.Method, URL: v.URL, Header: http.Header{}, Body: v.Body, ReceivedAt: time.Unix(v.Now, 0).UTC()}
	if v.NowMS != 0 {
		r.ReceivedAt = time.UnixMilli(v.NowMS).UTC()
	}
	for name, value := range v.Headers {
		r.Header.Set(name, value)
	}
	return r
}

func vectors(t testing.TB, platform string) []vector {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", platform, "vectors.json"))
	if err != nil {
		t.Fatal(err)
	}
	var list []vector
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	if len(list) == 0 {
		t.Fatalf("%s has no vectors", platform)
	}
	return list
}

func TestVectors(t *testing.T) {
	eachKind(t, func(t *testing.T, k engine.PlatformKind) {
		all := vectors(t, k.Name)
		keysOf := func(t *testing.T, v vector) []engine.DedupeKey {
			p, err := k.New(v.source(k.Name))
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Verify(v.request()); err != nil {
				t.Fatalf("%s: verify: %v", v.Name, err)
			}
			d, err := p.Decode(v.request())
			if err != nil {
				t.Fatalf("%s: decode: %v", v.Name, err)
			}
			return d.Keys
		}
		for _, v := range all {
			t.Run(v.Name, func(t *testing.T) {
				if v.Duplicate {
					// Its signature is right; what refuses it is the dedupe.
					mine := keysOf(t, v)
					for _, name := range v.After {
						i := slices.IndexFunc(all, func(o vector) bool { return o.Name == name })
						if i < 0 {
							t.Fatalf("no vector %q", name)
						}
						if !shareKey(keysOf(t, all[i]), mine) {
							t.Errorf("shares no dedupe key with %s", name)
						}
					}
					return
				}
				p, err := k.New(v.source(k.Name))
				if err != nil {
					t.Fatal(err)
				}
				verr := p.Verify(v.request())
				_, derr := p.Decode(v.request())
				if v.JSONValid != nil && !*v.JSONValid && !isVerdict(derr, engine.VerdictBadBody) {
					t.Errorf("decode: %v, want a bad body", derr)
				}
				err = verr
				if v.Stage != "signature" {
					err = errors.Join(verr, derr)
				}
				if accepted := err == nil; accepted != (v.Expect == "accept") {
					t.Errorf("want %s (%s), got: %v", v.Expect, v.Reason, err)
				}
			})
		}
	})
}

func shareKey(a, b []engine.DedupeKey) bool {
	return slices.ContainsFunc(a, func(x engine.DedupeKey) bool {
		return slices.ContainsFunc(b, func(y engine.DedupeKey) bool { return x.ID == y.ID && x.Time.Equal(y.Time) })
	})
}

// The cases below are derived from a sample: nobody has to think of them for
// a new platform.

func TestFlippedBits(t *testing.T) {
	eachKind(t, func(t *testing.T, k engine.PlatformKind) {
		if !k.Signed {
			t.Skip("bodies are not signed")
		}
		p := suitePlatform(t, k, 0)
		r := suiteRequest(t, k, 0, anySample(t, k.Name))
		for i := range r.Body {
			forged := r
			forged.Body = bytes.Clone(r.Body)
			forged.Body[i] ^= 1 << (i % 8)
			if err := p.Verify(forged); err == nil {
				t.Errorf("accepted with a bit of byte %d flipped", i)
			}
		}
		for _, body := range [][]byte{nil, r.Body[:len(r.Body)-1], append(bytes.Clone(r.Body), ' ')} {
			forged := r
			forged.Body = body
			if p.Verify(forged) == nil {
				t.Errorf("accepted with %d bytes instead of %d", len(body), len(r.Body))
			}
		}
	})
}

func TestForgedHeaders(t *testing.T) {
	eachKind(t, func(t *testing.T, k engine.PlatformKind) {
		p := suitePlatform(t, k, 0)
		good := suiteRequest(t, k, 0, anySample(t, k.Name))
		if err := p.Verify(good); err != nil {
			t.Fatal(err)
		}
		change := map[string]func(string) []string{
			"missing":   func(string) []string { return nil },
			"empty":     func(string) []string { return []string{""} },
			"blank":     func(string) []string { return []string{" "} },
			"truncated": func(s string) []string { return []string{s[:len(s)-1]} },
			"longer":    func(s string) []string { return []string{s + "A"} },
			"prefix":    func(s string) []string { return []string{s[:len(s)/2]} },
			"garbage":   func(string) []string { return []string{"\x00\xff,=;t=1,sha256="} },
			"dots":      func(string) []string { return []string{strings.Repeat(".", 1<<20)} },
		}
		for name, f := range change {
			forged := good
			forged.Header = http.Header{}
			for h, values := range good.Header {
				if forged.Header[h] = values; h != "Content-Type" {
					forged.Header[h] = f(values[0])
				}
			}
			if err := p.Verify(forged); !isVerdict(err, engine.VerdictBadSignature) {
				t.Errorf("%s: got %v, want a bad signature", name, err)
			}
		}
	})
}

func TestOtherKeys(t *testing.T) {
	eachKind(t, func(t *testing.T, k engine.PlatformKind) {
		body := anySample(t, k.Name)
		if err := suitePlatform(t, k, 1).Verify(suiteRequest(t, k, 0, body)); !isVerdict(err, engine.VerdictBadSignature) {
			t.Errorf("another source's key: got %v", err)
		}
		mine, _ := suiteSource(k, 0)
		other, _ := suiteSource(k, 1)
		if mine.APIKey != "" {
			mixed := mine
			mixed.APIKey = other.APIKey
			r, err := k.Sign(mixed, engine.SignRequest{Body: body, Now: suiteNow})
			if err != nil {
				t.Fatal(err)
			}
			r.ReceivedAt = suiteNow
			if err := suitePlatform(t, k, 0).Verify(r); !isVerdict(err, engine.VerdictBadSignature) {
				t.Errorf("another api_key: got %v", err)
			}
		}
		if len(mine.Secrets) > 0 {
			both := mine
			both.Secrets = append(slices.Clone(other.Secrets), mine.Secrets...)
			p, err := k.New(both)
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Verify(suiteRequest(t, k, 0, body)); err != nil {
				t.Errorf("the second of two secrets while rotating: %v", err)
			}
		}
	})
}

// timed reports whether the platform signs when it sends.
func timed(k engine.PlatformKind) bool {
	return slices.Contains(k.Needs, "api_key") || slices.Contains(k.Takes, "tolerance")
}

func TestClocks(t *testing.T) {
	eachKind(t, func(t *testing.T, k engine.PlatformKind) {
		if !timed(k) {
			t.Skip("no time is signed")
		}
		p := suitePlatform(t, k, 0)
		r := suiteRequest(t, k, 0, anySample(t, k.Name))
		for verdict, now := range map[string]time.Time{
			engine.VerdictTooOld: suiteNow.Add(time.Hour),
			engine.VerdictTooNew: suiteNow.Add(-time.Hour),
		} {
			r.ReceivedAt = now
			if err := p.Verify(r); !isVerdict(err, verdict) {
				t.Errorf("received %s from signing: got %v, want %s", now.Sub(suiteNow), err, verdict)
			}
		}
	})
}

func TestNewRefusesMissingKeys(t *testing.T) {
	blank := map[string]func(*engine.SourceConfig){
		"no secret":         func(c *engine.SourceConfig) { c.Secrets = nil },
		"empty secret":      func(c *engine.SourceConfig) { c.Secrets = []engine.Secret{{}} },
		"one empty of two":  func(c *engine.SourceConfig) { c.Secrets = append(c.Secrets, engine.Secret{}) },
		"no api_key":        func(c *engine.SourceConfig) { c.APIKey = "" },
		"no headers":        func(c *engine.SourceConfig) { c.Headers = nil },
		"an empty header":   func(c *engine.SourceConfig) { c.Headers = map[string]engine.Secret{"Authorization": {}} },
		"garbage for a key": func(c *engine.SourceConfig) { c.PublicKey = []byte("garbage") },
	}
	concerns := map[string]string{
		"no secret": "secret", "empty secret": "secret", "one empty of two": "secret",
		"no api_key": "api_key", "no headers": "headers", "an empty header": "headers", "garbage for a key": "public_key",
	}
	eachKind(t, func(t *testing.T, k engine.PlatformKind) {
		for name, f := range blank {
			key := concerns[name]
			if !slices.Contains(k.Needs, key) && (key != "public_key" || !slices.Contains(k.Takes, key)) {
				continue
			}
			c, _ := suiteSource(k, 0)
			f(&c)
			if _, err := k.New(c); err == nil || strings.Contains(err.Error(), "suite-") {
				t.Errorf("%s: got %v", name, err)
			}
		}
	})
}

// No platform decodes a body that two readers could understand differently.
func TestAmbiguousBodiesAreRefused(t *testing.T) {
	eachKind(t, func(t *testing.T, k engine.PlatformKind) {
		p := suitePlatform(t, k, 0)
		for name, c := range ambiguousBodies() {
			if _, err := p.Decode(suiteRequest(t, k, 0, []byte(c.body))); !isVerdict(err, engine.VerdictBadBody) {
				t.Errorf("%s: got %v, want a bad body", name, err)
			}
		}
	})
}

// costOf measures f over a few runs: enough to tell a microsecond from a second.
func costOf(t *testing.T, f func()) testing.BenchmarkResult {
	t.Helper()
	runs := flag.Lookup("test.benchtime").Value
	before := runs.String()
	if err := runs.Set("20x"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = runs.Set(before) })
	return testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			f()
		}
	})
}

func BenchmarkVerifyDecode(b *testing.B) {
	for _, k := range builtin() {
		b.Run(k.Name, func(b *testing.B) {
			p := suitePlatform(b, k, 0)
			r := suiteRequest(b, k, 0, kilobyte(anySample(b, k.Name)))
			b.SetBytes(int64(len(r.Body)))
			b.ReportAllocs()
			for b.Loop() {
				if err := p.Verify(r); err != nil {
					b.Fatal(err)
				}
				if _, err := p.Decode(r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// kilobyte is a sample, compact as senders make it, with a member that brings
// it to 1 KiB.
func kilobyte(sample []byte) []byte {
	var buf bytes.Buffer
	_ = json.Compact(&buf, sample)
	body := buf.Bytes()
	const pad = `,"padding":""}`
	if n := 1024 - len(body) - len(pad); n > 0 {
		body = append(body[:len(body)-1], `,"padding":"`...)
		body = append(body, base64.StdEncoding.EncodeToString(make([]byte, n*3/4))...)
		body = append(body, `"}`...)
	}
	return body
}
