package slacktest

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Options are how a Server behaves. The zero value accepts everything.
type Options struct {
	// Token is the only bot token accepted; "": any.
	Token string
	// Bot is the name of the bot; "": gavel.
	Bot string
	// Scopes are those of the token; nil: all there are.
	Scopes []string
	// Channels are the channels that exist, by name or id, each with "" or
	// the error it answers with ("not_in_channel"); nil: every channel exists.
	Channels map[string]string
	// Private are those of Channels that are private.
	Private []string
	// People are the ids of the workspace's people by e-mail address; nil:
	// every address is somebody's.
	People map[string]string
	// Every and Burst are the pace of a channel: who posts faster is answered
	// with 429. Every 0: no pace.
	Every time.Duration
	Burst int
	// Now is the clock: messages are stamped with it, and the pace goes by it.
	// nil: it stands still, so that every run of a test is the same.
	Now func() time.Time
	// OnMessage is called with each new message, one at a time, after it is stored.
	OnMessage func(Message)
}

// Message is one message, as it is now.
type Message struct {
	Channel   string          `json:"channel"` // as asked for; "" from a webhook
	TS        string          `json:"ts"`
	ThreadTS  string          `json:"thread_ts,omitempty"` // of the root it answers
	Text      string          `json:"text"`
	Blocks    json.RawMessage `json:"blocks,omitempty"`
	Webhook   bool            `json:"webhook,omitempty"`
	Metadata  json.RawMessage `json:"metadata,omitempty"`
	Broadcast bool            `json:"broadcast,omitempty"` // an answer that the channel shows as well
	Edits     int             `json:"edits,omitempty"`     // how often it was edited
	Reactions []string        `json:"reactions,omitempty"`

	deleted bool
}

// Server is a fake Slack on a loopback port. Its methods are safe for
// concurrent use.
type Server struct {
	// URL is the base of the API, for the connection's api.
	URL string
	// Webhook is the address of an incoming webhook.
	Webhook string

	o    Options
	http *http.Server
	told sync.Mutex // one OnMessage at a time

	mu       sync.Mutex
	messages []Message
	posted   chan struct{} // closed and replaced at every message
	refuse   refusal
	calls    map[string]int
	pace     map[string]*bucket // of channels
}

type refusal struct {
	times      int
	status     int
	retryAfter string
}

// method is one of the API.
type method struct {
	scope string
	do    func(args url.Values) reply
}

// reply is what the API answers.
type reply map[string]any

func refused(word string) reply { return reply{"ok": false, "error": word} }

func (s *Server) methods() map[string]method {
	return map[string]method{
		"auth.test":             {"", s.authTest},
		"chat.postMessage":      {"chat:write", s.postMessage},
		"chat.update":           {"chat:write", s.update},
		"reactions.add":         {"reactions:write", s.react},
		"users.lookupByEmail":   {"users:read.email", s.lookupByEmail},
		"conversations.open":    {"im:write", s.open},
		"conversations.info":    {"channels:read", s.info},
		"conversations.list":    {"channels:read", s.list},
		"users.conversations":   {"channels:read", s.own},
		"conversations.history": {"channels:history", s.history},
		"conversations.replies": {"channels:history", s.replies},
	}
}

// allScopes are those of a token without Options.Scopes.
const allScopes = "chat:write,reactions:write,users:read,users:read.email,im:write,im:history,channels:read,channels:history,groups:read,groups:history"

// New starts a Server. Close stops it.
func New(o Options) (*Server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start the fake Slack: %w", err)
	}
	if o.Scopes == nil {
		o.Scopes = strings.Split(allScopes, ",")
	}
	s := &Server{
		URL:     "http://" + l.Addr().String() + "/api/",
		Webhook: "http://" + l.Addr().String() + "/services/T00000000/B00000000/fake",
		o:       o,
		posted:  make(chan struct{}),
		calls:   map[string]int{},
		pace:    map[string]*bucket{},
	}
	mux := http.NewServeMux()
	for name, m := range s.methods() {
		mux.HandleFunc("POST /api/"+name, s.method(name, m))
	}
	mux.HandleFunc("POST /services/{team}/{bot}/{secret}", s.webhook)
	s.http = &http.Server{Handler: s.refusing(mux), ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = s.http.Serve(l) }() // returns when Close is called
	return s, nil
}

// Close stops the server and its connections.
func (s *Server) Close() { _ = s.http.Close() }

// Refuse makes the next times requests fail with an HTTP status, such as 429
// or 503; retryAfter is the header's text, "" for none.
func (s *Server) Refuse(times, status int, retryAfter string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = refusal{times, status, retryAfter}
}

// Calls is how often a method was called that was not refused by Refuse, such
// as chat.postMessage.
func (s *Server) Calls(method string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[method]
}

// Messages are the messages so far, oldest first.
func (s *Server) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.visible()
}

func (s *Server) visible() []Message {
	all := make([]Message, 0, len(s.messages))
	for _, m := range s.messages {
		if !m.deleted {
			m.Reactions = slices.Clone(m.Reactions)
			all = append(all, m)
		}
	}
	return all
}

// Delete deletes a message, as a person can. Slack tells nobody.
func (s *Server) Delete(ts string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.messages {
		s.messages[i].deleted = s.messages[i].deleted || s.messages[i].TS == ts
	}
}

// Wait returns the messages as soon as there are n of them.
func (s *Server) Wait(ctx context.Context, n int) ([]Message, error) {
	for {
		s.mu.Lock()
		got, more := s.visible(), s.posted
		s.mu.Unlock()
		if len(got) >= n {
			return got, nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return got, fmt.Errorf("waiting for %d Slack messages, %d came: %w", n, len(got), context.Cause(ctx))
		}
	}
}

// refusing answers as Refuse says, else passes on to next.
func (s *Server) refusing(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		refuse := s.refuse
		s.refuse.times = max(0, refuse.times-1)
		s.mu.Unlock()
		if refuse.times == 0 {
			r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
			next.ServeHTTP(w, r)
			return
		}
		if refuse.retryAfter != "" {
			w.Header().Set("Retry-After", refuse.retryAfter)
		}
		w.WriteHeader(refuse.status)
	})
}

// method serves one method: who may not call it learns why.
func (s *Server) method(name string, m method) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.calls[name]++
		s.mu.Unlock()
		args, err := arguments(r)
		if err != nil {
			answer(w, refused("invalid_form_data"))
			return
		}
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if token == "" {
			token = args.Get("token")
		}
		w.Header().Set("X-OAuth-Scopes", strings.Join(s.o.Scopes, ","))
		switch {
		case token == "":
			answer(w, refused("not_authed"))
		case s.o.Token != "" && token != s.o.Token:
			answer(w, refused("invalid_auth"))
		case m.scope != "" && !slices.Contains(s.o.Scopes, m.scope):
			answer(w, s.lacking(m.scope))
		default:
			s.answerTo(w, m.do(args))
		}
	}
}

// lacking is the answer to a token without a scope.
func (s *Server) lacking(scope string) reply {
	return reply{"ok": false, "error": "missing_scope", "needed": scope, "provided": strings.Join(s.o.Scopes, ",")}
}

// answerTo answers with v, or with 429 if that is what it says.
func (s *Server) answerTo(w http.ResponseWriter, v reply) {
	if wait, limited := v["retry_after"]; limited {
		w.Header().Set("Retry-After", fmt.Sprint(wait))
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.WriteHeader(http.StatusTooManyRequests)
		_ = json.NewEncoder(w).Encode(refused("ratelimited"))
		return
	}
	answer(w, v)
}

// arguments reads a form or a JSON object.
func arguments(r *http.Request) (url.Values, error) {
	if !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		err := r.ParseForm()
		return r.PostForm, err
	}
	var object map[string]any
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(body, &object)
	}
	args := url.Values{}
	for name, v := range maps.All(object) {
		text, isText := v.(string)
		if !isText {
			raw, err := json.Marshal(v)
			if err != nil {
				return nil, fmt.Errorf("argument %s: %w", name, err)
			}
			text = string(raw)
		}
		args.Set(name, text)
	}
	return args, err
}

func answer(w http.ResponseWriter, v reply) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_ = json.NewEncoder(w).Encode(v) // the client is gone if this fails
}

// https://docs.slack.dev/reference/methods/auth.test
func (s *Server) authTest(url.Values) reply {
	return reply{"ok": true, "team": "Fake", "team_id": "T00000000", "user": cmp.Or(s.o.Bot, "gavel"), "user_id": "U00000000", "bot_id": "B00000000"}
}
