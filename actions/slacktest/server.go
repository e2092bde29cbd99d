package slacktest

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// Options are how a Server behaves. The zero value accepts everything.
type Options struct {
	// Token is the only bot token accepted; "": any.
	Token string
	// Channels are the channels that exist, by name or id, each with "" or
	// the error it answers with ("not_in_channel"); nil: every channel exists.
	Channels map[string]string
	// OnMessage is called with each message, one at a time, after it is stored.
	OnMessage func(Message)
}

// Message is one posted message.
type Message struct {
	Channel  string          `json:"channel"` // as asked for; "" from a webhook
	TS       string          `json:"ts"`
	ThreadTS string          `json:"thread_ts,omitempty"` // of the root it answers
	Text     string          `json:"text"`
	Blocks   json.RawMessage `json:"blocks,omitempty"`
	Webhook  bool            `json:"webhook,omitempty"`
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
}

type refusal struct {
	times      int
	status     int
	retryAfter string
}

// New starts a Server. Close stops it.
func New(o Options) (*Server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start the fake Slack: %w", err)
	}
	s := &Server{
		URL:     "http://" + l.Addr().String() + "/api/",
		Webhook: "http://" + l.Addr().String() + "/services/T00000000/B00000000/fake",
		o:       o,
		posted:  make(chan struct{}),
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/chat.postMessage", s.postMessage)
	mux.HandleFunc("POST /api/auth.test", s.authTest)
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

// Messages are the messages so far, oldest first.
func (s *Server) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.messages)
}

// Wait returns the messages as soon as there are n of them.
func (s *Server) Wait(ctx context.Context, n int) ([]Message, error) {
	for {
		s.mu.Lock()
		got, more := slices.Clone(s.messages), s.posted
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

// https://docs.slack.dev/reference/methods/chat.postMessage
func (s *Server) postMessage(w http.ResponseWriter, r *http.Request) {
	if word := s.unauthorized(r); word != "" {
		answer(w, map[string]any{"ok": false, "error": word})
		return
	}
	m := Message{Channel: strings.TrimPrefix(r.PostFormValue("channel"), "#"), Text: r.PostFormValue("text"), ThreadTS: r.PostFormValue("thread_ts")}
	if blocks := r.PostFormValue("blocks"); blocks != "" {
		m.Blocks = json.RawMessage(blocks)
	}
	if word := s.wrong(m); word != "" {
		answer(w, map[string]any{"ok": false, "error": word})
		return
	}
	m = s.add(m)
	message := map[string]any{"type": "message", "text": m.Text, "ts": m.TS}
	if m.ThreadTS != "" {
		message["thread_ts"] = m.ThreadTS
	}
	answer(w, map[string]any{"ok": true, "channel": channelID(m.Channel), "ts": m.TS, "message": message})
}

// https://docs.slack.dev/reference/methods/auth.test
func (s *Server) authTest(w http.ResponseWriter, r *http.Request) {
	if word := s.unauthorized(r); word != "" {
		answer(w, map[string]any{"ok": false, "error": word})
		return
	}
	answer(w, map[string]any{"ok": true, "team": "Fake", "team_id": "T00000000", "user": "gavel", "user_id": "U00000000", "bot_id": "B00000000"})
}

// https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
func (s *Server) webhook(w http.ResponseWriter, r *http.Request) {
	var m Message
	if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
		http.Error(w, "invalid_payload", http.StatusBadRequest)
		return
	}
	m = Message{Text: m.Text, Blocks: m.Blocks, Webhook: true}
	switch {
	case s.o.Token != "" && r.PathValue("secret") != "fake":
		http.Error(w, "invalid_token", http.StatusForbidden)
		return
	case m.Text == "" && m.Blocks == nil:
		http.Error(w, "no_text", http.StatusBadRequest)
		return
	}
	s.add(m)
	_, _ = w.Write([]byte("ok"))
}

func (s *Server) unauthorized(r *http.Request) string {
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if token == "" {
		token = r.PostFormValue("token")
	}
	switch {
	case token == "":
		return "not_authed"
	case s.o.Token != "" && token != s.o.Token:
		return "invalid_auth"
	}
	return ""
}

func (s *Server) wrong(m Message) string {
	refused, known := s.o.Channels[m.Channel]
	var blocks []any
	switch {
	case m.Channel == "" || s.o.Channels != nil && !known:
		return "channel_not_found"
	case refused != "":
		return refused
	case m.Text == "" && m.Blocks == nil:
		return "no_text"
	case utf8.RuneCountInString(m.Text) > 40_000:
		return "msg_too_long"
	case m.Blocks != nil && (json.Unmarshal(m.Blocks, &blocks) != nil || len(blocks) > 50):
		return "invalid_blocks"
	}
	return ""
}

// add stores m. A thread whose root does not exist is no thread, as in Slack.
func (s *Server) add(m Message) Message {
	s.told.Lock()
	defer s.told.Unlock()
	s.mu.Lock()
	root := func(x Message) bool { return x.TS == m.ThreadTS && x.Channel == m.Channel }
	if !slices.ContainsFunc(s.messages, root) {
		m.ThreadTS = ""
	}
	m.TS = "1700000000." + fmt.Sprintf("%06d", len(s.messages)+1) // Slack's own form, the same in every run
	s.messages = append(s.messages, m)
	close(s.posted)
	s.posted = make(chan struct{})
	s.mu.Unlock()
	if s.o.OnMessage != nil {
		s.o.OnMessage(m)
	}
	return m
}

// channelID makes the id Slack would answer with.
func channelID(channel string) string {
	n := uint64(0)
	for _, b := range []byte(channel) {
		n = n*31 + uint64(b)
	}
	return "C" + strings.ToUpper(strconv.FormatUint(n%0xfffffff+0x10000000, 36))
}

func answer(w http.ResponseWriter, v map[string]any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_ = json.NewEncoder(w).Encode(v) // the client is gone if this fails
}
