package triggers

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"flag"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gavelhq/gavel/engine"
)

// manyBodies are far more with -bodies 1000000: the native fuzzer knows nothing
// of JSON, and seldom gets behind the first field.
var manyBodies = flag.Int("bodies", 500, "how many changed samples TestManyBodies decodes for each platform")

// decodingSuite is all decoders, and those of stored payloads.
type decodingSuite struct {
	kinds     []engine.PlatformKind
	platforms []engine.Platform
	stored    []*Decoder
}

func newDecodingSuite(t testing.TB) *decodingSuite {
	t.Helper()
	d := &decodingSuite{kinds: builtin()}
	for _, k := range d.kinds {
		d.platforms = append(d.platforms, suitePlatform(t, k, 0))
		again, err := NewDecoder(k, engine.SourceConfig{Name: "again", Platform: k.Name})
		if err != nil {
			t.Fatal(err)
		}
		d.stored = append(d.stored, again)
	}
	return d
}

// check: no body breaks a decoder, what it says of one is always the same, can
// be stored, and is what the stored payload says again later.
func (d *decodingSuite) check(t testing.TB, i int, body []byte) {
	t.Helper()
	name, r := d.kinds[i].Name, engine.Request{Header: http.Header{}, Body: bytes.Clone(body), ReceivedAt: suiteNow}
	got, err := d.platforms[i].Decode(r)
	again, errAgain := d.platforms[i].Decode(r)
	if diff := cmp.Diff(got, again); diff != "" || (err == nil) != (errAgain == nil) || !bytes.Equal(r.Body, body) {
		t.Fatalf("%s: decoded twice, %q differs: %v, %v\n%s", name, body, err, errAgain, diff)
	}
	stored, errStored := d.stored[i].Decode(body, suiteNow)
	if (err == nil) != (errStored == nil) || len(stored) != len(got.Events) {
		t.Fatalf("%s: %d events (%v), stored %d (%v): %q", name, len(got.Events), err, len(stored), errStored, body)
	}
	if err != nil {
		if !isVerdict(err, engine.VerdictBadBody) {
			t.Fatalf("%s: %v is no refusal of a bad body", name, err)
		}
		return
	}
	for n, ev := range got.Events {
		checkDecoded(t, d.kinds[i], ev)
		complete(&ev, engine.SourceConfig{Name: "again"}, suiteNow)
		if diff := cmp.Diff(ev, stored[n]); diff != "" {
			t.Fatalf("%s: the stored payload says something else (- received, + stored): %q\n%s", name, body, diff)
		}
	}
}

func FuzzDecode(f *testing.F) {
	d := newDecodingSuite(f)
	for i, k := range d.kinds {
		for _, body := range samples(f, k.Name) {
			f.Add(uint8(i), body)
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, body []byte) { d.check(t, int(which)%len(d.kinds), body) })
}

// TestManyBodies decodes samples with other values in some places.
func TestManyBodies(t *testing.T) {
	d := newDecodingSuite(t)
	for i, k := range d.kinds {
		t.Run(k.Name, func(t *testing.T) {
			all := samples(t, k.Name)
			names := slices.Sorted(maps.Keys(all))
			for seed := range uint64(*manyBodies) {
				r := rand.New(rand.NewPCG(seed, 0))
				d.check(t, i, changedJSON(r, all[names[r.IntN(len(names))]]))
			}
		})
	}
}

// oddValues are what a field may hold that should hold something else.
func oddValues() []any {
	return []any{
		nil, true, false, 0, -1, 1, 0.5, -0.5, json.Number("1e400"), json.Number("-9223372036854775808"), json.Number("9223372036854775808"),
		json.Number("1795251600"), json.Number("1795251600123"), json.Number("253402300800"), json.Number("1e-40"),
		"", " ", "0", "-1", "1795251600", "1e9", "0x10", "NaN", "true", "2026-11-21T09:00:00Z", "9999-12-31T23:59:59.999999999-14:00", "0000-01-01T00:00:00Z",
		"${room.name}", "{{.}}", "\u202e", "\u2028", "\x1b[31m", "\"", "\\", "é", "\U0001F600", strings.Repeat("x", 5000), "{}", "[]", "{\"a\":1}", "{\"a\":1,\"a\":2}", "\"x\"", "{broken",
		[]any{}, map[string]any{}, []any{nil}, []any{map[string]any{}}, map[string]any{"": nil}, []any{[]any{[]any{}}},
	}
}

// changedJSON is a sample with up to four changes: another value, a member less,
// or one that belongs elsewhere.
func changedJSON(r *rand.Rand, text []byte) []byte {
	odd := oddValues()
	for range 1 + r.IntN(4) {
		dec := json.NewDecoder(bytes.NewReader(text))
		dec.UseNumber()
		var root any
		if dec.Decode(&root) != nil {
			return text
		}
		places := placesIn(root, []place{{root, func(v any) { root = v }, func() { root = nil }}})
		at := places[r.IntN(len(places))]
		switch r.IntN(4) {
		case 0:
			at.drop()
		case 1:
			at.set(places[r.IntN(len(places))].value)
		default:
			at.set(odd[r.IntN(len(odd))])
		}
		next, err := json.Marshal(root)
		if err != nil || len(next) > 64<<10 { // it holds itself, or has grown too often
			return text
		}
		text = next
	}
	return text
}

// place is where a value stands.
type place struct {
	value any
	set   func(any)
	drop  func()
}

// placesIn adds the places inside of a value.
func placesIn(value any, all []place) []place {
	switch v := value.(type) {
	case []any:
		for i := range v {
			all = append(all, place{v[i], func(x any) { v[i] = x }, func() { v[i] = nil }})
			all = placesIn(v[i], all)
		}
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			all = append(all, place{v[k], func(x any) { v[k] = x }, func() { delete(v, k) }})
			all = placesIn(v[k], all)
		}
	}
	return all
}

// checkDecoded holds what an event must be to be stored and evaluated.
func checkDecoded(t testing.TB, k engine.PlatformKind, ev engine.Event) {
	t.Helper()
	text, err := json.Marshal(ev)
	if err != nil {
		t.Fatalf("%s: the event cannot be stored: %v", k.Name, err)
	}
	if back := (engine.Event{}); json.Unmarshal(text, &back) != nil {
		t.Fatalf("%s: the event cannot be read again: %s", k.Name, text)
	}
	if !json.Valid(ev.Raw) {
		t.Fatalf("%s: raw is no JSON: %q", k.Name, ev.Raw)
	}
	if !slices.Contains(engine.EventTypes(), ev.Type) {
		t.Fatalf("%s: there is no type %q", k.Name, ev.Type)
	}
	if d := ev.Session.Duration; d != nil && *d < 0 {
		t.Fatalf("%s: a duration of %s", k.Name, *d)
	}
}

// FuzzVerify looks for a header value that is taken for a signature, or that
// breaks the verifier.
func FuzzVerify(f *testing.F) {
	kinds := builtin()
	var platforms []engine.Platform
	var signed []engine.Request
	for i, k := range kinds {
		platforms = append(platforms, suitePlatform(f, k, 0))
		r := suiteRequest(f, k, 0, anySample(f, k.Name))
		signed = append(signed, r)
		for _, values := range r.Header {
			f.Add(uint8(i), values[0], r.Body)
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, header string, body []byte) {
		i := int(which) % len(platforms)
		r := engine.Request{Header: http.Header{}, Body: body, ReceivedAt: suiteNow}
		right := false
		for name, values := range signed[i].Header {
			r.Header.Set(name, header)
			right = right || values[0] == header && (!kinds[i].Signed || bytes.Equal(body, signed[i].Body))
		}
		if err := platforms[i].Verify(r); err == nil && !right {
			t.Fatalf("%s: accepted %q", kinds[i].Name, header)
		}
	})
}

// FuzzTampered changes a signed delivery: a part of it, which is a header or the
// body, and when it comes. Whatever is accepted has the body that was signed,
// and comes when it may.
func FuzzTampered(f *testing.F) {
	kinds := builtin()
	for i := range kinds {
		for part := range uint8(4) {
			f.Add(uint8(i), part, uint16(3), uint8(1), []byte("x"), int64(0))
		}
		f.Add(uint8(i), uint8(0), uint16(0), uint8(0), []byte{}, int64(0))
		f.Add(uint8(i), uint8(0), uint16(0), uint8(0), []byte{}, int64(1e9))
		f.Add(uint8(i), uint8(0), uint16(1<<15), uint8(0), []byte("\n"), int64(-3600))
	}
	var platforms []engine.Platform
	var signed []engine.Request
	var names [][]string // of headers
	for _, k := range kinds {
		platforms = append(platforms, suitePlatform(f, k, 0))
		r := suiteRequest(f, k, 0, anySample(f, k.Name))
		signed = append(signed, r)
		var all []string
		for name := range r.Header {
			if name != "Content-Type" { // nobody reads it
				all = append(all, name)
			}
		}
		slices.Sort(all)
		names = append(names, all)
	}
	f.Fuzz(func(t *testing.T, which, part uint8, at uint16, drop uint8, put []byte, late int64) {
		i := int(which) % len(kinds)
		r := signed[i]
		r.Header = r.Header.Clone()
		late %= 1 << 33 // seconds
		r.ReceivedAt = time.Unix(suiteNow.Unix()+late, 0)
		header := ""
		if n := int(part) % (1 + len(names[i])); n == 0 {
			r.Body = changed(r.Body, int(at), int(drop), put)
		} else {
			header = names[i][n-1]
			r.Header[header] = []string{string(changed([]byte(r.Header.Get(header)), int(at), int(drop), put))}
		}
		if platforms[i].Verify(r) != nil {
			return
		}
		if kinds[i].Signed && !bytes.Equal(r.Body, signed[i].Body) {
			t.Errorf("%s: accepted with another body: %q", kinds[i].Name, r.Body)
		}
		if value := r.Header.Get(header); !kinds[i].Signed && value != signed[i].Header.Get(header) {
			t.Errorf("%s: accepted with %s: %q", kinds[i].Name, header, value)
		}
		if hour := int64(3600); timed(kinds[i]) && (late > hour || late < -hour) {
			t.Errorf("%s: accepted %d s after it was signed", kinds[i].Name, late)
		}
	})
}

// changed is text with something else in place of a part of it.
func changed(text []byte, at, drop int, put []byte) []byte {
	at = min(at, len(text))
	return slices.Concat(text[:at], put, text[min(at+drop, len(text)):])
}

// FuzzToken makes tokens of any header and claims. Signed by somebody else they
// are never accepted; signed with the secret, they are only if they say that
// they are for this body, by this key, and until when.
func FuzzToken(f *testing.F) {
	const hs256 = `{"alg":"HS256","typ":"JWT"}`
	body := []byte(`{"event":"room_started","id":"EV_1"}`)
	digest := sha256.Sum256(body)
	right := `{"iss":"` + craftedKey + `","exp":` + "1795251900" + `,"nbf":1795251600,"sha256":"` + base64.StdEncoding.EncodeToString(digest[:]) + `"}`
	for _, header := range []string{hs256, `{"alg":"none"}`, `{"alg":"RS256"}`, `{"alg":"hs256"}`, `{"alg":["HS256"]}`, `{"alg":"HS256","alg":"none"}`, `{"alg":"HS256","crit":["x"]}`, `{}`, ``} {
		f.Add(header, right, body)
	}
	for _, claims := range []string{`{}`, `null`, `[]`, `{"iss":"` + craftedKey + `"}`, `{"exp":1e400}`, `{"exp":-1}`, `{"exp":"1795251900"}`, `{"sha256":["x"]}`, `{"ISS":"x","SHA256":"x"}`} {
		f.Add(hs256, claims, body)
	}
	c := engine.SourceConfig{Name: "x", APIKey: craftedKey, Secrets: []engine.Secret{engine.NewSecret(craftedSecret)}}
	platforms := map[string]engine.Platform{}
	for _, k := range []engine.PlatformKind{LiveKit(), PlugNMeet()} {
		p, err := k.New(c)
		if err != nil {
			f.Fatal(err)
		}
		platforms[k.Name] = p
	}
	f.Fuzz(func(t *testing.T, header, claims string, body []byte) {
		for name, p := range platforms {
			verify := func(token string) error {
				h := http.Header{}
				for _, name := range []string{"Authorization", "Hash-Token"} {
					h.Set(name, token)
				}
				return p.Verify(engine.Request{Header: h, Body: body, ReceivedAt: suiteNow})
			}
			unsigned := segment(header) + "." + segment(claims) + "."
			for _, forged := range []string{unsigned, craft(header, claims, "", sha256.New), craft(header, claims, "another secret, as long as it gets", sha256.New), craft(header, claims, craftedKey, sha256.New)} {
				if verify(forged) == nil {
					t.Fatalf("%s: accepted a token nobody signed: %s", name, forged)
				}
			}
			if verify(craft(header, claims, craftedSecret, sha256.New)) == nil {
				checkClaims(t, name, claims, body)
			}
		}
	})
}

// checkClaims holds what an accepted token must say, read by encoding/json.
func checkClaims(t *testing.T, name, claims string, body []byte) {
	t.Helper()
	var said struct {
		Iss    string
		Exp    json.Number // the library takes a number in quotes as well
		SHA256 string
	}
	if err := json.Unmarshal([]byte(claims), &said); err != nil {
		t.Fatalf("%s: accepted the claims %q: %v", name, claims, err)
	}
	digest := sha256.Sum256(body)
	sum, err := base64.StdEncoding.DecodeString(said.SHA256)
	if err != nil || len(said.SHA256) == 2*len(digest) {
		sum, _ = hex.DecodeString(said.SHA256)
	}
	until, errExp := said.Exp.Float64()
	if said.Iss != craftedKey || errExp != nil || until < float64(suiteNow.Unix()-61) || !bytes.Equal(sum, digest[:]) {
		t.Fatalf("%s: accepted the claims %q for %q", name, claims, body)
	}
}
