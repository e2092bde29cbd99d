package actions

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/gavelhq/gavel/engine"
)

// The example of the specification, and of GitHub's documentation:
// https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries
func TestSignature(t *testing.T) {
	secret := engine.NewSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	h := http.Header{}
	s := &httpSign{Scheme: signStandard, Secret: []engine.Secret{secret}}
	if err := s.sign(h, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`)); err != nil {
		t.Fatal(err)
	}
	if got := h.Get("webhook-signature"); got != "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" || h.Get("webhook-timestamp") != "1614265330" {
		t.Errorf("%v", h)
	}
	s = &httpSign{Scheme: signHMAC, Secret: []engine.Secret{engine.NewSecret("It's a Secret to Everybody")}}
	if err := s.sign(h, "", time.Time{}, []byte("Hello, World!")); err != nil {
		t.Fatal(err)
	}
	if got := h.Get("X-Hub-Signature-256"); got != "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17" {
		t.Error(got)
	}
}

// A target with the specification's own library takes every attempt: their id
// is the same, their time is new. While the secret is changed both are taken.
func TestStandardWebhooks(t *testing.T) {
	secrets := []string{"whsec_" + base64.StdEncoding.EncodeToString([]byte("a new secret of thirty-two bytes")), base64.StdEncoding.EncodeToString([]byte("an old secret of more than 24 bytes"))}
	url, requests := listen(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	out := testClient(t)
	conn := &httpConn{Base: url, Sign: &httpSign{Scheme: signStandard, Secret: []engine.Secret{engine.NewSecret(secrets[0]), engine.NewSecret(secrets[1])}}}
	now := time.Now()
	out.now = func() time.Time { return now }
	for _, with := range []string{`{"post":"/x","json":{"n":12345678901234567890}}`, `{"get":"/x"}`, `{"post":"/x","multipart":{"a":"b"}}`} {
		*requests = nil
		for range 3 {
			now = now.Add(time.Second)
			_, _ = callHTTP(t.Context(), out, engine.Call{Key: "run-7.then.2", With: []byte(with), Conn: conn})
		}
		for i, r := range *requests {
			if r.Header.Get("webhook-id") != "run-7.then.2" || r.Header.Get("webhook-timestamp") != strconv.FormatInt(now.Add(time.Duration(i-2)*time.Second).Unix(), 10) {
				t.Errorf("attempt %d: %v", i, r.Header)
			}
			for _, secret := range secrets {
				w, err := standardwebhooks.NewWebhook(secret)
				if err != nil {
					t.Fatal(err)
				}
				if err := w.Verify([]byte(r.body), r.Header); err != nil {
					t.Errorf("attempt %d: %v", i, err)
				}
				if err := w.Verify([]byte(r.body+" "), r.Header); err == nil {
					t.Error("another body verifies")
				}
			}
		}
	}
}

// Nothing is signed for others, and a connection's own headers and prefix are used.
func TestSignedAtHomeOnly(t *testing.T) {
	url, requests := listen(t, nil)
	out := testClient(t)
	prefix := ""
	conn := &httpConn{Base: url + "/api", Sign: &httpSign{Scheme: signHMAC, Secret: []engine.Secret{engine.NewSecret("s")}, Header: "X-Sign", Prefix: &prefix}}
	for _, tc := range []struct{ address, want string }{
		{"/x", hexMAC("s", []byte("body"))}, {url + "/api/x", hexMAC("s", []byte("body"))}, {url + "/x", ""},
	} {
		if _, err := callHTTP(t.Context(), out, engine.Call{With: fmt.Appendf(nil, `{"post":%q,"body":"body"}`, tc.address), Conn: conn}); err != nil {
			t.Fatal(err)
		}
		if got := (*requests)[len(*requests)-1].Header.Get("X-Sign"); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.address, got, tc.want)
		}
	}
}

func TestStandardSecret(t *testing.T) {
	b64 := func(n int) string { return base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", n))) }
	for text, ok := range map[string]bool{
		"whsec_" + b64(24): true, b64(32): true, b64(64): true, b64(23): false, b64(65): false, "": false, "whsec_": false, "whsec_!": false, "whsk_" + b64(32): false,
	} {
		if standardSecret(text) != ok {
			t.Errorf("%q: %v", text, !ok)
		}
	}
}
