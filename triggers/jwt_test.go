package triggers

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
)

const (
	craftedSecret = "crafted-secret-0123456789-abcdefghij"
	craftedKey    = "APIcrafted"
)

func segment(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// craft signs whatever it is given, as an attacker with some key would.
func craft(header, claims, secret string, h func() hash.Hash) string {
	text := segment(header) + "." + segment(claims)
	m := hmac.New(h, []byte(secret))
	m.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

// otherSpelling changes the bits behind the last byte of a 32-byte value in
// base64, which careless decoders ignore.
func otherSpelling(text string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	last := strings.IndexByte(alphabet, strings.NewReplacer("-", "+", "_", "/").Replace(text[len(text)-1:])[0])
	return text[:len(text)-1] + string(alphabet[last^1])
}

// TestCraftedTokens tries every way to make a token that is none.
func TestCraftedTokens(t *testing.T) {
	body := []byte(`{"event":"room_started","id":"EV_1"}`)
	digest := sha256.Sum256(body)
	b64, hx := base64.StdEncoding.EncodeToString(digest[:]), hex.EncodeToString(digest[:])
	other := sha256.Sum256([]byte("another body"))
	now := suiteNow.Unix()

	const hs256 = `{"alg":"HS256","typ":"JWT"}`
	claims := func(iss string, nbf, exp int64, sum string) string {
		return fmt.Sprintf(`{"iss":%q,"exp":%d,"nbf":%d,"iat":%d,"sha256":%q}`, iss, exp, nbf, nbf, sum)
	}
	right := claims(craftedKey, now, now+300, b64)
	sign := func(header, claims string) string { return craft(header, claims, craftedSecret, sha256.New) }
	good := sign(hs256, right)
	parts := strings.Split(good, ".")
	mac, _ := base64.RawURLEncoding.DecodeString(parts[2])
	mac[31] ^= 1
	with := func(sum string) string { return sign(hs256, claims(craftedKey, now, now+300, sum)) }
	at := func(nbf, exp int64) string { return sign(hs256, claims(craftedKey, now+nbf, now+exp, b64)) }

	tokens := []struct {
		name, token, verdict, reason string
	}{
		{"right", good, "", ""},
		{"digest in hex", with(hx), "", ""},
		{"digest in upper-case hex", with(strings.ToUpper(hx)), "", ""},
		{"expired inside the leeway", at(-400, -59), "", ""},
		{"valid soon, inside the leeway", at(60, 300), "", ""},
		{"no nbf", sign(hs256, fmt.Sprintf(`{"iss":%q,"exp":%d,"sha256":%q}`, craftedKey, now+300, b64)), "", ""},

		{"empty", "", engine.VerdictBadSignature, "missing"},
		{"a word", "token", engine.VerdictBadSignature, "three parts"},
		{"two parts", parts[0] + "." + parts[1], engine.VerdictBadSignature, "three parts"},
		{"four parts", good + ".e30", engine.VerdictBadSignature, "three parts"},
		{"five parts (encrypted)", "a.b.c.d.e", engine.VerdictBadSignature, "three parts"},
		{"only dots", "..", engine.VerdictBadSignature, "malformed"},
		{"too long", good + strings.Repeat("A", maxToken), engine.VerdictBadSignature, "characters"},
		{"bearer", "Bearer " + good, engine.VerdictBadSignature, "Bearer"},
		{"basic", "Basic dXNlcjpwYXNz", engine.VerdictBadSignature, "three parts"},
		{"space before", " " + good, engine.VerdictBadSignature, "malformed"},
		{"padded base64", parts[0] + "=." + parts[1] + "." + parts[2], engine.VerdictBadSignature, "malformed"},
		{"not base64", "!!." + parts[1] + "." + parts[2], engine.VerdictBadSignature, "malformed"},
		{"another spelling of the signature", parts[0] + "." + parts[1] + "." + otherSpelling(parts[2]), engine.VerdictBadSignature, "malformed"},
		{"header no JSON", segment("nope") + "." + parts[1] + "." + parts[2], engine.VerdictBadSignature, "malformed"},
		{"claims no JSON", sign(hs256, "nope"), engine.VerdictBadSignature, "malformed"},
		{"claims a list", sign(hs256, "[]"), engine.VerdictBadSignature, "malformed"},
		{"exp a word", sign(hs256, `{"iss":"APIcrafted","exp":"never","sha256":"`+b64+`"}`), engine.VerdictBadSignature, "malformed"},
		{"sha256 a number", sign(hs256, fmt.Sprintf(`{"iss":%q,"exp":%d,"sha256":1}`, craftedKey, now+300)), engine.VerdictBadSignature, "malformed"},

		{"no alg", sign(`{"typ":"JWT"}`, right), engine.VerdictBadSignature, "HS256"},
		{"alg a list", sign(`{"alg":["HS256"]}`, right), engine.VerdictBadSignature, "HS256"},
		{"alg none", segment(`{"alg":"none"}`) + "." + parts[1] + ".", engine.VerdictBadSignature, "HS256"},
		{"alg NoNe", segment(`{"alg":"NoNe"}`) + "." + parts[1] + ".", engine.VerdictBadSignature, "HS256"},
		{"alg none, signed", sign(`{"alg":"none","typ":"JWT"}`, right), engine.VerdictBadSignature, "HS256"},
		{"alg hs256", sign(`{"alg":"hs256"}`, right), engine.VerdictBadSignature, "HS256"},
		{"alg HS384", craft(`{"alg":"HS384","typ":"JWT"}`, right, craftedSecret, sha512.New384), engine.VerdictBadSignature, "HS256"},
		{"alg HS512", craft(`{"alg":"HS512","typ":"JWT"}`, right, craftedSecret, sha512.New), engine.VerdictBadSignature, "HS256"},
		{"alg RS256 over a MAC", sign(`{"alg":"RS256","typ":"JWT"}`, right), engine.VerdictBadSignature, "HS256"},
		{"alg ES256 over a MAC", sign(`{"alg":"ES256","typ":"JWT"}`, right), engine.VerdictBadSignature, "HS256"},
		{"own key in jwk", craft(`{"alg":"HS256","jwk":{"kty":"oct","k":"YQ"}}`, right, "a", sha256.New), engine.VerdictBadSignature, "does not fit"},
		{"kid of an empty file", craft(`{"alg":"HS256","kid":"/dev/null"}`, right, "", sha256.New), engine.VerdictBadSignature, "does not fit"},

		{"wrong secret", craft(hs256, right, "wrong", sha256.New), engine.VerdictBadSignature, "does not fit"},
		{"empty secret", craft(hs256, right, "", sha256.New), engine.VerdictBadSignature, "does not fit"},
		{"signed with the api_key", craft(hs256, right, craftedKey, sha256.New), engine.VerdictBadSignature, "does not fit"},
		{"no signature", parts[0] + "." + parts[1] + ".", engine.VerdictBadSignature, "does not fit"},
		{"half a signature", good[:len(good)-22], engine.VerdictBadSignature, ""},
		{"one bit of the signature", parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(mac), engine.VerdictBadSignature, "does not fit"},
		{"claims swapped", parts[0] + "." + segment(claims(craftedKey, now, now+9999, b64)) + "." + parts[2], engine.VerdictBadSignature, "does not fit"},

		{"other issuer", sign(hs256, claims("APIother", now, now+300, b64)), engine.VerdictBadSignature, "APIother"},
		{"issuer in another case", sign(hs256, claims("apicrafted", now, now+300, b64)), engine.VerdictBadSignature, "api_key"},
		{"no issuer", sign(hs256, fmt.Sprintf(`{"exp":%d,"sha256":%q}`, now+300, b64)), engine.VerdictBadSignature, "iss"},
		{"no exp", sign(hs256, fmt.Sprintf(`{"iss":%q,"nbf":%d,"sha256":%q}`, craftedKey, now, b64)), engine.VerdictBadSignature, "exp"},
		{"exp null", sign(hs256, fmt.Sprintf(`{"iss":%q,"exp":null,"sha256":%q}`, craftedKey, b64)), engine.VerdictBadSignature, "exp"},
		{"exp 0", sign(hs256, claims(craftedKey, 0, 0, b64)), engine.VerdictTooOld, "expired"},
		{"expired", at(-672, -372), engine.VerdictTooOld, "token expired 372 s ago, leeway 60 s"},
		{"expired at the leeway", at(-360, -60), engine.VerdictTooOld, "60 s ago"},
		{"not yet valid", at(372, 672), engine.VerdictTooNew, "leeway 60 s"},
		{"nbf far beyond any clock", sign(hs256, fmt.Sprintf(`{"iss":%q,"exp":%d,"nbf":1e300,"sha256":%q}`, craftedKey, now+300, b64)), engine.VerdictBadSignature, "no time"},
		{"nbf in microseconds", sign(hs256, claims(craftedKey, now*1e6, now+300, b64)), engine.VerdictBadSignature, "no time"},
		{"exp far beyond any clock", sign(hs256, fmt.Sprintf(`{"iss":%q,"exp":1e300,"sha256":%q}`, craftedKey, b64)), engine.VerdictBadSignature, "no time"},
		{"exp in 25 hours", at(0, 25*3600), engine.VerdictBadSignature, "expires in 25 h only"},
		{"exp before 1970", sign(hs256, claims(craftedKey, now, -1, b64)), engine.VerdictBadSignature, "no time"},
		{"other issuer and expired", sign(hs256, claims("APIother", now-900, now-600, b64)), engine.VerdictBadSignature, "APIother"},

		{"no digest", sign(hs256, fmt.Sprintf(`{"iss":%q,"exp":%d}`, craftedKey, now+300)), engine.VerdictBadSignature, "join token"},
		{"empty digest", with(""), engine.VerdictBadSignature, "join token"},
		{"digest of another body", with(base64.StdEncoding.EncodeToString(other[:])), engine.VerdictBadSignature, "body does not match the sha256 claim"},
		{"another spelling of the digest", with(otherSpelling(strings.TrimRight(b64, "=")) + "="), engine.VerdictBadSignature, "no digest"},
		{"half a digest", with(base64.StdEncoding.EncodeToString(digest[:16])), engine.VerdictBadSignature, "no digest"},
		{"digest in base64url", with("-" + base64.RawURLEncoding.EncodeToString(digest[:])[1:]), engine.VerdictBadSignature, "no digest"},
		{"digest without padding", with(strings.TrimRight(b64, "=")), engine.VerdictBadSignature, "no digest"},
		{"digest with line breaks", with(b64[:40] + "\n\n\n\n"), engine.VerdictBadSignature, "no digest"},
		{"SHA-1 in hex", with(hx[:40]), engine.VerdictBadSignature, "no digest"},
		{"hex of no hex", with(strings.Repeat("g", 64)), engine.VerdictBadSignature, "no digest"},
	}
	refused := 0
	for _, k := range []engine.PlatformKind{LiveKit(), PlugNMeet()} {
		p, err := k.New(engine.SourceConfig{Name: "crafted", APIKey: craftedKey, Secrets: []engine.Secret{engine.NewSecret(craftedSecret)}})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range tokens {
			r := engine.Request{Header: http.Header{"Authorization": {c.token}}, Body: body, ReceivedAt: suiteNow.Truncate(time.Second)}
			err := p.Verify(r)
			switch {
			case c.verdict == "" && err != nil:
				t.Errorf("%s: %s: %v", k.Name, c.name, err)
			case c.verdict != "" && !isVerdict(err, c.verdict):
				t.Errorf("%s: %s: got %v, want %s", k.Name, c.name, err, c.verdict)
			case c.verdict != "" && !strings.Contains(err.Error(), c.reason):
				t.Errorf("%s: %s: %q does not say %q", k.Name, c.name, err, c.reason)
			}
			if err != nil && strings.Contains(err.Error(), craftedSecret) {
				t.Errorf("%s: the reason holds the secret", c.name)
			}
			if c.verdict != "" {
				refused++
			}
		}
	}
	if refused < 2*40 {
		t.Errorf("only %d crafted tokens", refused)
	}
}

// A header of a million dots costs nothing: it is refused by its size.
func TestTokenOfDots(t *testing.T) {
	p := suitePlatform(t, LiveKit(), 0)
	for _, token := range []string{strings.Repeat(".", 1<<20), strings.Repeat(".", maxToken), strings.Repeat("A", 1<<20)} {
		r := engine.Request{Header: http.Header{"Authorization": {token}}, ReceivedAt: suiteNow}
		cost := costOf(t, func() {
			if p.Verify(r) == nil {
				t.Fatal("accepted")
			}
		})
		if cost.NsPerOp() > int64(time.Millisecond) || cost.AllocedBytesPerOp() > 10_000 {
			t.Errorf("%d characters cost %d ns and %d bytes", len(token), cost.NsPerOp(), cost.AllocedBytesPerOp())
		}
	}
}

func TestTokenSentTwice(t *testing.T) {
	r := suiteRequest(t, LiveKit(), 0, anySample(t, "livekit"))
	r.Header["Authorization"] = append(r.Header["Authorization"], "another")
	if err := suitePlatform(t, LiveKit(), 0).Verify(r); !isVerdict(err, engine.VerdictBadSignature) {
		t.Errorf("got %v", err)
	}
}

// Plug-N-Meet's two headers: one right token is enough, and the reason is that
// of the token that was meant for us.
func TestPlugNMeetHeaders(t *testing.T) {
	body := anySample(t, "plugnmeet")
	mine := suiteRequest(t, PlugNMeet(), 0, body).Header.Get("Authorization")
	forged := suiteRequest(t, PlugNMeet(), 1, body).Header.Get("Authorization")
	p := suitePlatform(t, PlugNMeet(), 0)
	for _, c := range []struct {
		authorization, hashToken, reason string // "" is accepted
	}{
		{mine, mine, ""},
		{mine, "", ""},
		{"", mine, ""},
		{mine, forged, ""},
		{forged, mine, ""},
		{"Basic dXNlcjpwYXNz", mine, ""},
		{"", "", "header Authorization is missing"},
		{"Basic dXNlcjpwYXNz", "", "three parts"},
		{"Basic dXNlcjpwYXNz", forged, "does not fit"},
		{forged, "Basic dXNlcjpwYXNz", "does not fit"},
		{forged, forged, "does not fit"},
	} {
		h := http.Header{}
		for name, token := range map[string]string{"Authorization": c.authorization, "Hash-Token": c.hashToken} {
			if token != "" {
				h.Set(name, token)
			}
		}
		err := p.Verify(engine.Request{Header: h, Body: body, ReceivedAt: suiteNow})
		if (err == nil) != (c.reason == "") || err != nil && !strings.Contains(err.Error(), c.reason) {
			t.Errorf("%.10q and %.10q: got %v, want %q", c.authorization, c.hashToken, err, c.reason)
		}
	}
}
