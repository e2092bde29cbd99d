package secrets

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// target hands back what it is sent, secrets and all, in every way a target has.
type target struct {
	*httptest.Server
	tls  *httptest.Server // the same, for those who show a certificate
	mu   sync.Mutex
	seen []byte // all it was sent, to know that it was
}

func newTarget(t *testing.T) *target {
	t.Helper()
	x := &target{}
	x.Server = httptest.NewServer(x)
	t.Cleanup(x.Close)
	x.tls = httptest.NewUnstartedServer(x)
	x.tls.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	x.tls.StartTLS()
	t.Cleanup(x.tls.Close)
	return x
}

// ServeHTTP answers as the last part of the path says.
func (x *target) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	var said strings.Builder
	fmt.Fprintf(&said, "%s %s\n", r.Method, r.URL)
	_ = r.Header.Write(&said)
	said.Write(body)
	if _, password, ok := r.BasicAuth(); ok {
		said.WriteString("\n" + password)
	}
	x.note(said.String())

	secret := r.Header.Get("Authorization") + r.Header.Get("X-Api-Key")
	if _, word, ok := strings.Cut(secret, " "); ok {
		secret = word
	}
	coded := base64.StdEncoding.EncodeToString([]byte(secret)) + " " + hex.EncodeToString([]byte(secret)) + " " + url.QueryEscape(secret)
	w.Header().Set("X-Request-Id", secret)
	w.Header().Set("X-Echo", said.String()[:0]+coded)
	w.Header().Set("Etag", secret)
	text := said.String() + "\n" + coded
	answer, _ := json.Marshal(map[string]any{"you_said": text, "headers": r.Header, secret: "a key of an object", "escaped": url.PathEscape(secret)})
	switch {
	case strings.HasSuffix(r.URL.Path, "/token"):
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": oauthToken, "token_type": "bearer", "expires_in": 3600})
	case strings.HasSuffix(r.URL.Path, "/bad-token"):
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		_ = json.NewEncoder(w).Encode(map[string]any{"error": "invalid_client", "error_description": text})
	case strings.HasSuffix(r.URL.Path, "/redirect"):
		w.Header().Set("Location", "http://user:"+url.QueryEscape(secret)+"@127.0.0.1/"+url.PathEscape(secret)+"?token="+url.QueryEscape(secret))
		w.WriteHeader(http.StatusFound)
	case strings.HasSuffix(r.URL.Path, "/fail"):
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write(answer)
	case strings.HasSuffix(r.URL.Path, "/later"):
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write(answer)
	case strings.HasSuffix(r.URL.Path, "/broken"):
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nX-%s: %s\r\nContent-Length: 9999\r\n\r\n%s", secret, secret, text)
			conn.Close()
		}
	case strings.HasSuffix(r.URL.Path, "/garbage"):
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			fmt.Fprintf(conn, "%s\r\n\r\n", secret)
			conn.Close()
		}
	case strings.HasPrefix(r.URL.Path, "/api/"), strings.HasPrefix(r.URL.Path, "/services/"): // Slack's
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"ok": false, "error": "invalid_auth", "response_metadata": map[string]any{"messages": []string{text}}})
	default:
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(answer)
	}
}

func (x *target) note(text string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.seen = append(x.seen, text...)
}

func (x *target) got(text string) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return strings.Contains(string(x.seen), text)
}

// oauthToken is what the target gives for a client's secret.
const oauthToken = "canary-of-an-access-token-0123456789"

// mailServer refuses every password, and says it back.
func (x *target) mailServer(t *testing.T) (port string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go x.mail(conn)
		}
	}()
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return port
}

func (x *target) mail(conn net.Conn) {
	defer conn.Close()
	c := textproto.NewReader(bufio.NewReader(conn))
	say := func(text string) { fmt.Fprintf(conn, "%s\r\n", text) }
	say("220 mail.example.com")
	for {
		line, err := c.ReadLine()
		if err != nil {
			return
		}
		switch word, rest, _ := strings.Cut(line, " "); strings.ToUpper(word) {
		case "EHLO":
			say("250-mail.example.com")
			say("250 AUTH PLAIN")
		case "AUTH":
			_, coded, _ := strings.Cut(rest, " ")
			plain, _ := base64.StdEncoding.DecodeString(coded)
			x.note(string(plain))
			say("535 5.7.8 " + strings.ReplaceAll(string(plain), "\x00", " ") + " " + coded + " is wrong")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}
