package actions

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// tokenService gives out tokens, and is the API that takes them.
type tokenService struct {
	*httptest.Server
	mu       sync.Mutex
	given    int      // tokens
	valid    []string // of them
	asked    []string // what came with each wish for a token
	calls    []string // what the API was called with
	lives    int      // seconds; 0: does not say
	answer   func(w http.ResponseWriter)
	withdraw bool // every token at once
}

func tokenServer(t *testing.T) *tokenService {
	t.Helper()
	s := &tokenService{lives: 3600}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *tokenService) host() string { return s.Listener.Addr().String() }

func (s *tokenService) oauth(id, secret string) *httpOAuth {
	return &httpOAuth{TokenURL: s.URL + "/token", ClientID: id, ClientSecret: engine.NewSecret(secret)}
}

func (s *tokenService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.URL.Path != "/token" {
		token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		s.calls = append(s.calls, token)
		if s.withdraw || !slices.Contains(s.valid, token) {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, "the token "+token+" is not known")
		}
		return
	}
	_ = r.ParseForm()
	user, password, _ := r.BasicAuth()
	s.asked = append(s.asked, strings.TrimSpace(user+":"+password+" "+r.PostForm.Encode()+" "+r.Header.Get("User-Agent")))
	if s.answer != nil {
		s.answer(w)
		return
	}
	if password+r.PostForm.Get("client_secret") != "secret" {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"error":"invalid_client","error_description":"you sent `+password+`"}`)
		return
	}
	s.given++
	token := fmt.Sprint("token-number-", s.given)
	s.valid = append(s.valid, token)
	said := map[string]any{"access_token": token, "token_type": "Bearer"}
	if s.lives > 0 {
		said["expires_in"] = s.lives
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(said)
}

func TestOAuth(t *testing.T) {
	s := tokenServer(t)
	out := testClient(t)
	for _, tc := range []struct {
		change func(*httpOAuth)
		want   string
	}{
		{func(*httpOAuth) {}, "id:secret grant_type=client_credentials gavel/test"},
		{func(o *httpOAuth) { o.Scopes = []string{"leads:read", "leads:write"} }, "id:secret grant_type=client_credentials&scope=leads%3Aread+leads%3Awrite gavel/test"},
		{func(o *httpOAuth) { o.Audience, o.Auth = "https://crm.example.com", "header" }, "id:secret audience=https%3A%2F%2Fcrm.example.com&grant_type=client_credentials gavel/test"},
		{func(o *httpOAuth) { o.Auth = "body" }, ": client_id=id&client_secret=secret&grant_type=client_credentials gavel/test"},
	} {
		s.asked, s.calls = nil, nil
		o := s.oauth("id", "secret")
		tc.change(o)
		for range 3 { // one token is enough
			if _, err := callHTTP(t.Context(), out, engine.Call{Via: "crm", With: get("/x"), Conn: &httpConn{Base: s.URL + "/api", OAuth: o}}); err != nil {
				t.Fatal(err)
			}
		}
		if len(s.asked) != 1 || s.asked[0] != tc.want || len(s.calls) != 3 || s.calls[0] != s.calls[2] {
			t.Errorf("asked %q, want %q; called with %q", s.asked, tc.want, s.calls)
		}
	}
	// Nobody else gets the token.
	s.calls = nil
	_, err := callHTTP(t.Context(), out, engine.Call{Via: "crm", With: get(s.URL + "/other"), Conn: &httpConn{Base: s.URL + "/api", OAuth: s.oauth("id", "secret")}})
	if err == nil || len(s.calls) != 1 || s.calls[0] != "" {
		t.Errorf("%v %q", err, s.calls)
	}
}

// A token is used until a minute before its end, or until it is refused.
func TestTokenEnds(t *testing.T) {
	for _, tc := range []struct {
		lives, after time.Duration
		good         bool
	}{
		{time.Hour, 59*time.Minute - time.Second, true}, {time.Hour, 59 * time.Minute, false},
		{time.Minute, 29 * time.Second, true}, {time.Minute, 30 * time.Second, false},
		{-time.Minute, 0, false},
	} {
		x := oauthToken{text: "t", until: goodUntil(noon.Add(tc.lives), noon)}
		if x.good(noon.Add(tc.after)) != tc.good {
			t.Errorf("for %s, after %s: good %v", tc.lives, tc.after, !tc.good)
		}
	}
	if !(oauthToken{text: "t"}).good(noon.Add(1000*time.Hour)) || (oauthToken{}).good(noon) {
		t.Error("a token without an end, or none")
	}
}

// A kept token that is refused is fetched anew, once; a new one that is refused
// is the answer.
func TestTokenWithdrawn(t *testing.T) {
	s := tokenServer(t)
	out := testClient(t)
	conn := &httpConn{Base: s.URL + "/api", OAuth: s.oauth("id", "secret")}
	call := func() error {
		_, err := callHTTP(t.Context(), out, engine.Call{Via: "crm", With: get("/x"), Conn: conn})
		return err
	}
	if err := call(); err != nil {
		t.Fatal(err)
	}
	s.valid = nil
	if err := call(); err != nil || s.given != 2 || len(s.calls) != 3 {
		t.Errorf("%v, %d tokens, %d calls", err, s.given, len(s.calls))
	}
	s.withdraw = true
	err := call()
	if !engine.IsPermanent(err) || s.given != 3 || len(s.calls) != 5 || strings.Contains(err.Error(), "token-number") {
		t.Errorf("%v, %d tokens, %d calls", err, s.given, len(s.calls))
	}
}

// Who waits for a token waits no longer than his step may take.
func TestTokenInTime(t *testing.T) {
	s := tokenServer(t)
	slow := make(chan struct{})
	s.answer = func(http.ResponseWriter) { <-slow }
	defer close(slow)
	out := testClient(t)
	conn := &httpConn{Base: s.URL + "/api", OAuth: s.oauth("id", "secret")}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			_, err := callHTTP(ctx, out, engine.Call{Via: "crm", With: get("/x"), Conn: conn})
			if want := "GET " + s.host() + "/api/x: token from " + s.host() + ": no complete answer in time"; fmt.Sprint(err) != want || engine.IsPermanent(err) {
				t.Errorf("%v", err)
			}
		})
	}
	group.Wait()
}

// Many at once wait for one token.
func TestOneTokenForMany(t *testing.T) {
	s := tokenServer(t)
	out := testClient(t)
	conn := &httpConn{Base: s.URL + "/api", OAuth: s.oauth("id", "secret")}
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() {
			if _, err := callHTTP(t.Context(), out, engine.Call{Via: "crm", With: get("/x"), Conn: conn}); err != nil {
				t.Error(err)
			}
		})
	}
	if group.Wait(); s.given != 1 || len(s.calls) != 50 {
		t.Errorf("%d tokens for %d calls", s.given, len(s.calls))
	}
}

func TestNoToken(t *testing.T) {
	s := tokenServer(t)
	said := func(status int, header, body string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			if name, value, ok := strings.Cut(header, ": "); ok {
				w.Header().Set(name, value)
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	const credentials = "are client_id and client_secret of the connection right, and may this client use client credentials?"
	const noToken = "what it answers is no bearer token: is token_url right?"
	for _, tc := range []struct {
		answer    func(http.ResponseWriter)
		want      string
		permanent bool
		after     time.Duration
	}{
		{said(401, "", `{"error":"invalid_client"}`), "401 Unauthorized invalid_client: " + credentials, true, 0},
		{said(400, "", `{"error":"invalid_scope"}`), "400 Bad Request invalid_scope: are scopes right?", true, 0},
		{said(400, "", `{"error":"secret is \"`+canary+`\""}`), "400 Bad Request: " + credentials, true, 0},
		{said(403, "", ``), "403 Forbidden: " + credentials, true, 0},
		{said(404, "", `<html>`), "404 Not Found: is token_url right?", true, 0},
		{said(302, "Location: https://login.example.com/", ``), "302 Found: is token_url right?", true, 0},
		{said(200, "", `{"error":"unauthorized_client"}`), "200 OK unauthorized_client: " + credentials, true, 0},
		{said(200, "", `<html>sign in</html>`), noToken, true, 0},
		{said(200, "", `{}`), noToken, true, 0},
		{said(200, "", `{"access_token":"a\nb","token_type":"bearer"}`), noToken, true, 0},
		{said(200, "", `{"access_token":"abc","token_type":"mac"}`), noToken, true, 0},
		{said(200, "", strings.Repeat(" ", maxAnswer+1)), noToken, true, 0},
		{said(503, "Retry-After: 7", ``), "503 Service Unavailable", false, 7 * time.Second},
		{said(429, "", `{"error":"slow_down"}`), "429 Too Many Requests: slow_down", false, 0},
		{said(500, "", canary), "500 Internal Server Error", false, 0},
		{func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, "the connection was closed before all of the answer was there", false, 0},
	} {
		s.answer = tc.answer
		_, err := callHTTP(t.Context(), testClient(t), engine.Call{Via: "crm", With: get("/x"), Conn: &httpConn{Base: s.URL, OAuth: s.oauth("id", canary)}})
		want := "GET " + s.host() + "/x: token from " + s.host() + ": " + tc.want
		after, _ := engine.RetryDelay(err)
		if fmt.Sprint(err) != want || engine.IsPermanent(err) != tc.permanent || after != tc.after {
			t.Errorf("\n got %v (permanent %v, after %s)\nwant %s", err, engine.IsPermanent(err), after, want)
		}
	}
	if len(s.calls) > 0 {
		t.Error("the API was called without a token")
	}
}

// A token service is called through the guard, too, and in the time of the step.
func TestTokenServiceIsGuarded(t *testing.T) {
	port, reached := listenCanary(t)
	out := newClient(Options{Now: time.Now}, resolverTo(t, [4]byte{127, 0, 0, 1}))
	conn := &httpConn{Base: "https://crm.example.com", OAuth: &httpOAuth{TokenURL: "http://login.example.com:" + port + "/token", ClientID: "id", ClientSecret: engine.NewSecret("secret")}}
	_, err := callHTTP(t.Context(), out, engine.Call{Via: "crm", With: get("/x"), Conn: conn})
	if err == nil || !engine.IsPermanent(err) || reached.Load() > 0 || !strings.Contains(err.Error(), "127.0.0.1 is an internal address: to allow it, start gavel with --allow-net 127.0.0.1/32") {
		t.Errorf("%v, %d connections", err, reached.Load())
	}
}
