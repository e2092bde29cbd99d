package secrets

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io/fs"
	"math/big"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/test/server"
	"github.com/gavelhq/gavel/triggers"
)

// planted are the secrets, as variables and as files. Those of targets are sent
// to them; those of sources sign what is sent to us.
func planted() []canary {
	return []canary{
		newCanary("PNM_SECRET", "pnm-%s"),
		newCanary("PNM_SECRET_OLD", "pnm-old-%s"),
		newCanary("LK_SECRET", "lk+%s/=="),
		newCanary("MEET_SECRET", "meet %s"),
		newCanary("MEET_SECRET_OLD", "meet-old-%s"),
		newCanary("OV_HEADER", "Bearer ov-%s"),
		newCanary("HUDDLE_SECRET", "huddle<%s>"),
		newCanary("SLACK_TOKEN", "xoxb-%s"),
		newCanary("SLACK_TOKEN_2", "xoxb-2-%s"),
		newCanary("HOOK_PATH", "%s"),
		newCanary("BEARER", "bearer-%s"),
		newCanary("BASIC", "p@ss:w/rd&%s"),
		newCanary("HEADER", "Token token=%s"),
		newCanary("HEADER_BARE", "bare-%s"),
		newCanary("API_KEY", "key?%s"),
		newCanary("OAUTH_SECRET", "oauth&%s"),
		newCanary("OAUTH_SECRET_2", "oauth-body-%s"),
		newCanary("SIGN_HMAC", "hmac-%s"),
		newCanary("LK_SECRET_OLD", "lk-old-%s"),
		newCanary("HUDDLE_SECRET_OLD", "huddle-old-%s"),
		newCanary("MAIL_PASSWORD", "mail-%s"),
		newCanary("QUOTED", `quo"ted\%s`),
		newCanary("UMLAUT", "schlüssel-%s"),
		newCanary("LONG", strings.Repeat("long-", 40)+"%s"),
		newCanary("SHORT_FILE", "file-%s"),
		newCanary("CREDENTIAL", "credential-%s"),
		newCanary("UNUSED", "unused-%s"),
	}
}

const rulesText = `version: 1
sources:
  pnm: { platform: plugnmeet, api_key: env:PNM_KEY, secret: [env:PNM_SECRET, env:PNM_SECRET_OLD] }
  lk: { platform: livekit, api_key: env:PNM_KEY, secret: [env:LK_SECRET, env:LK_SECRET_OLD] }
  meet: { platform: openvidu-meet, secret: [env:MEET_SECRET, env:MEET_SECRET_OLD] }
  ov: { platform: openvidu2, headers: { Authorization: env:OV_HEADER } }
  huddle: { platform: huddle01, secret: [env:HUDDLE_SECRET, env:HUDDLE_SECRET_OLD] }
connections:
  slack:
    team: { token: env:SLACK_TOKEN, channel: ops, api: BASE/api/ }
    other: { token: env:SLACK_TOKEN_2, channel: ops, api: BASE/api/ }
    hook: { url: env:HOOK }
  http:
    bearer: { base: BASE/bearer, bearer: env:BEARER }
    basic: { base: BASE/basic, user: gavel, password: env:BASIC }
    header: { base: BASE/header, headers: { Authorization: env:HEADER } }
    bare: { base: BASE/bare, headers: { Authorization: env:HEADER_BARE } }
    key: { base: BASE/key, headers: { X-Api-Key: env:API_KEY } }
    quoted: { base: BASE/quoted, bearer: env:QUOTED }
    umlaut: { base: BASE/umlaut, headers: { X-Api-Key: env:UMLAUT } }
    long: { base: BASE/long, bearer: env:LONG }
    file: { base: BASE/file, bearer: "file:DIR/short" }
    credential: { base: BASE/credential, bearer: credential:canary }
    oauth: { base: BASE/oauth, oauth: { token_url: BASE/oauth/token, client_id: gavel, client_secret: env:OAUTH_SECRET } }
    refused: { base: BASE/refused, oauth: { token_url: BASE/bad-token, client_id: gavel, client_secret: env:OAUTH_SECRET_2, auth: body } }
    signed: { base: BASE/signed, sign: { scheme: standard-webhooks, secret: env:SIGN_STANDARD } }
    hmac: { base: BASE/hmac, sign: { scheme: hmac-sha256, secret: env:SIGN_HMAC } }
    mtls: { base: OVERTLS/mtls, tls: { cert: "file:DIR/cert.pem", key: "file:DIR/key.pem", ca: "file:DIR/ca.pem" } }
    unused: { base: "http://127.0.0.1:1/unused", bearer: env:UNUSED }
  email:
    mail: { host: 127.0.0.1, port: MAILPORT, tls: none, user: gavel, password: env:MAIL_PASSWORD, from: gavel@example.com }
rules:
`

// httpConnections are those of rulesText.
func httpConnections() []string {
	return strings.Fields("bearer basic header bare key quoted umlaut long file credential oauth refused signed hmac mtls unused")
}

// rules are a rule for each connection and each way to answer.
func rules(x *target, dir, mailPort string) string {
	var b strings.Builder
	b.WriteString(strings.NewReplacer("BASE", x.URL, "OVERTLS", x.tls.URL, "DIR", dir, "MAILPORT", mailPort).Replace(rulesText))
	rule := func(id, steps string) {
		fmt.Fprintf(&b, "  - id: %s\n    when: session_started\n    then:\n%s    on_failure:\n      - log: ${failure.step} ${failure.error}\n", id, steps)
	}
	for _, via := range httpConnections() {
		for _, path := range []string{"echo", "fail", "later", "redirect", "broken", "garbage"} {
			rule(via+"-"+path, fmt.Sprintf(`      - id: x
        http: { via: %s, post: /%s, json: { room: "${room.id}" } }
        retry: { attempts: 2, first: 100ms }
      - log: { level: debug, message: "${steps.x.status}", fields: { body: "${steps.x.body}", headers: "${steps.x.headers}" } }
      - emit: { name: seen, data: "${steps.x.body}" }
`, via, path))
		}
	}
	for _, via := range []string{"team", "other", "hook"} {
		rule("slack-"+via, "      - slack: { via: "+via+", text: hello }\n")
	}
	rule("mail", "      - email: { to: ops@example.com, subject: hello, text: hello }\n")
	return b.String()
}

// TestCanaries looks for every secret in everything a server leaves behind after
// it has met targets that hand them back, and senders that get them wrong.
func TestCanaries(t *testing.T) {
	ctx := t.Context()
	dir := t.TempDir()
	x := newTarget(t)
	all := planted()
	key := writeKeyPair(t, dir)
	all = append(all, canary{"key.pem", key}, canary{"the access token", oauthToken},
		canary{"SIGN_STANDARD", base64.StdEncoding.EncodeToString([]byte(newCanary("SIGN_STANDARD", "standard-%s").text))})
	env := environment(t, all, dir, x.URL)
	write(t, filepath.Join(dir, "ca.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: x.tls.Certificate().Raw})))

	o := server.Options{Bin: build(t, dir), Rules: filepath.Join(dir, "rules.yaml"), Data: filepath.Join(dir, "data"), Env: env,
		Args: []string{"--log-level", "debug", "--log-format", "json", "--allow-net", "127.0.0.0/8"}}
	write(t, o.Rules, rules(x, dir, x.mailServer(t)))
	s, err := server.Start(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	knock(t, s.Hooks, all)
	if _, err := s.Idle(ctx); err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		if sent(c.name) && !x.got(c.text) {
			t.Errorf("%s was sent to nobody: nothing is proved", c.name)
		}
	}

	hits := commands(t, o, all)
	for _, path := range []string{"/debug/pprof/goroutine?debug=2", "/debug/pprof/heap", "/debug/pprof/allocs?debug=1", "/api/v1/status", "/metrics"} {
		if text, err := s.Get(ctx, path); err == nil {
			hits = append(hits, found(all, path, text)...)
		}
	}
	if err := syscall.Kill(s.Pid(), syscall.SIGABRT); err != nil { // with a dump of all goroutines
		t.Fatal(err)
	}
	_ = s.Wait()
	hits = append(hits, files(t, o.Data, all)...)
	for _, h := range hits[:min(len(hits), 40)] {
		t.Error(h)
	}
	if len(all) < 30 {
		t.Errorf("only %d secrets are planted", len(all))
	}
}

// sent reports whether a secret goes out as it is.
func sent(name string) bool {
	switch name {
	case "SLACK_TOKEN", "SLACK_TOKEN_2", "HOOK_PATH", "BEARER", "BASIC", "HEADER", "HEADER_BARE", "API_KEY", "QUOTED", "UMLAUT", "LONG",
		"SHORT_FILE", "CREDENTIAL", "MAIL_PASSWORD", "the access token", "OAUTH_SECRET_2":
		return true
	}
	return false
}

// environment are the variables and files the rules refer to.
func environment(t *testing.T, all []canary, dir, base string) []string {
	t.Helper()
	env := []string{"PNM_KEY=the-name-of-a-key", "CREDENTIALS_DIRECTORY=" + filepath.Join(dir, "credentials")}
	for _, c := range all {
		switch c.name {
		case "SHORT_FILE":
			write(t, filepath.Join(dir, "short"), c.text+"\n")
		case "CREDENTIAL":
			write(t, filepath.Join(dir, "credentials", "canary"), c.text)
		case "HOOK_PATH":
			env = append(env, "HOOK="+base+"/services/T0/B0/"+c.text)
		case "SIGN_STANDARD":
			env = append(env, "SIGN_STANDARD=whsec_"+c.text)
		case "key.pem", "the access token":
		default:
			env = append(env, c.name+"="+c.text)
		}
	}
	return env
}

// knock sends one delivery that starts all rules, and many that are refused.
func knock(t *testing.T, hooks string, all []canary) {
	t.Helper()
	now := time.Now()
	secret := func(name string) engine.Secret {
		for _, c := range all {
			if c.name == name {
				return engine.NewSecret(c.text)
			}
		}
		t.Fatalf("no secret %s", name)
		return engine.Secret{}
	}
	body := fmt.Appendf(nil, `{"event":"room_started","id":"1","created_at":"%d","room":{"sid":"RM_1","room_id":"daily","creation_time":"%[1]d"}}`, now.Unix())
	signed, err := triggers.PlugNMeet().Sign(engine.SourceConfig{Name: "pnm", APIKey: "the-name-of-a-key", Secrets: []engine.Secret{secret("PNM_SECRET")}},
		engine.SignRequest{Body: body, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	if status := post(t, hooks+"/hooks/pnm", signed.Header, body); status != 200 {
		t.Fatalf("answered with %d", status)
	}
	// The secret itself where a signature or a token belongs, in the address, and
	// in a body that is refused.
	for _, at := range []struct{ source, name string }{
		{"pnm", "PNM_SECRET"}, {"pnm", "PNM_SECRET_OLD"}, {"lk", "LK_SECRET"}, {"meet", "MEET_SECRET"}, {"meet", "MEET_SECRET_OLD"}, {"ov", "OV_HEADER"}, {"huddle", "HUDDLE_SECRET"},
	} {
		text := secret(at.name).Reveal()
		for _, header := range []string{"Authorization", "Hash-Token", "X-Signature", "X-Timestamp", "Huddle01-Signature", "User-Agent", "Content-Type", "X-Forwarded-For"} {
			if header == "Authorization" && at.name == "OV_HEADER" {
				continue // that is how it is meant
			}
			post(t, hooks+"/hooks/"+at.source, http.Header{header: {text}}, []byte(text))
			post(t, hooks+"/hooks/"+at.source, http.Header{header: {"Bearer " + text}}, nil)
		}
	}
}

func post(t *testing.T, url string, header http.Header, body []byte) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	return res.StatusCode
}

// commands runs what shows things to people.
func commands(t *testing.T, o server.Options, all []canary) (hits []string) {
	t.Helper()
	ctx := t.Context()
	for _, line := range []string{
		"validate", "validate -o json", "rules list", "rules show bearer-echo", "rules show bearer-echo -o json", "sources list -o json",
		"deliveries list -o json --limit 500", "events list -o json", "sessions list -o json", "runs list -o json --limit 500", "runs list --failed", "explain --last",
		"doctor", "doctor -o json", "slack test", "slack test -o json", "billing export", "backup DIR/backup.db", "schema", "reload --wait",
	} {
		args := strings.Fields(strings.ReplaceAll(line, "DIR", filepath.Dir(o.Rules)))
		hits = append(hits, command(ctx, o, all, args...)...)
	}
	// Of every run all that is known.
	cmd := exec.CommandContext(ctx, o.Bin, "runs", "list", "-o", "jsonl", "--limit", "500", "--data", o.Data)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		if _, rest, ok := strings.Cut(line, `"id":"`); ok {
			id, _, _ := strings.Cut(rest, `"`)
			hits = append(hits, command(ctx, o, all, "runs", "show", id, "-o", "json")...)
		}
	}
	text, err := os.ReadFile(filepath.Join(filepath.Dir(o.Rules), "backup.db"))
	if err != nil {
		t.Fatal(err)
	}
	return append(hits, found(all, "the backup", text)...)
}

// command runs gavel and looks at what it prints, whatever its exit code is.
func command(ctx context.Context, o server.Options, all []canary, args ...string) []string {
	cmd := exec.CommandContext(ctx, o.Bin, append(args, "--data", o.Data, "--rules", o.Rules)...)
	cmd.Env = append(os.Environ(), o.Env...)
	out, _ := cmd.CombinedOutput()
	return found(all, "gavel "+strings.Join(args, " "), out)
}

// files looks into all the server has written: log, dump, store.
func files(t *testing.T, dir string, all []canary) (hits []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		hits = append(hits, found(all, filepath.Base(path), text)...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return hits
}

// writeKeyPair writes a client's certificate and returns what is secret of its
// key: a line of it.
func writeKeyPair(t *testing.T, dir string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	about := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "gavel"}, NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, about, about, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	write(t, filepath.Join(dir, "key.pem"), text)
	write(t, filepath.Join(dir, "cert.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})))
	return strings.Split(text, "\n")[2]
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func build(t *testing.T, dir string) string {
	t.Helper()
	bin, err := server.Build(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return bin
}
