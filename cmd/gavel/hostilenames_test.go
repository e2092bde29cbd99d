package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"html"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/http"
	"net/http/httptest"
	netmail "net/mail"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/gavelhq/gavel/actions"
	"github.com/gavelhq/gavel/actions/slacktest"
	"github.com/gavelhq/gavel/actions/smtptest"
	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/rules"
	"github.com/gavelhq/gavel/triggers"
)

var namesTried = flag.Int("names", 150, "how many hostile names TestHostileNames tries")

// hostileRules send a name to every destination there is.
const hostileRules = `
sources:
  pnm: { platform: plugnmeet, api_key: env:KEY, secret: env:SECRET, allow_billing: true }
connections:
  slack: { team: { token: env:TOKEN, channel: ops, api: "SLACK" } }
  http: { crm: { base: "HTTP" } }
  email: { office: { host: 127.0.0.1, port: PORT, tls: none, from: gavel@example.com } }
  log: { default: {}, file: { file: names.jsonl } }
rules:
  - id: slack
    when: participant_joined
    then: [slack: "before ${participant.name} after"]
  - id: http
    when: participant_joined
    then:
      - http:
          post: /people/x${participant.name}/end?q=${participant.name}
          json: { name: "${participant.name}", text: "a ${participant.name} b" }
  - id: header
    when: participant_joined
    then: [http: { post: /header, headers: { X-Name: "${participant.name}" } }]
  - id: form
    when: participant_joined
    then: [http: { post: /form, form: { name: "${participant.name}" } }]
  - id: email
    when: participant_joined
    then:
      - email:
          to: ${participant.name} <ops@example.com>
          reply_to: ${participant.name} <desk@example.com>
          subject: joined ${participant.name} now
          text: "before ${participant.name} after"
          html: <p title="${participant.name}">before ${participant.name} after</p>
  - id: address
    when: participant_joined
    then: [email: { to: ["${participant.name}", "a${participant.name}@example.com"], text: hello }]
  - id: exec
    when: participant_joined
    then: [exec: { program: echo-all, args: [--, "${participant.name}", "x${participant.name}"], input: { name: "${participant.name}" } }]
  - id: option
    when: participant_joined
    then: [exec: { program: echo-all, args: ["${participant.name}"] }]
  - id: log
    when: participant_joined
    then: [log: { message: "before ${participant.name} after", fields: { name: "${participant.name}" } }]
  - id: file
    when: participant_joined
    then: [log: { via: file, message: "${participant.name}", fields: { name: "${participant.name}" } }]
  - id: emit
    when: participant_joined
    then: [emit: { name: joined, data: { name: "${participant.name}" } }]
  - id: billing
    when: participant_joined
    then: [billing: { customer: "${participant.name}", meter: people, quantity: 1, key: "${participant.id}" }]
`

// TestHostileNames: what a person typed reaches every destination as the text it
// is, made harmless for that destination by the action itself.
func TestHostileNames(t *testing.T) {
	w := newHostileWorld(t)
	seed := uint64(time.Now().UnixNano())
	rnd := rand.New(rand.NewPCG(seed, 0))
	for n := range *namesTried {
		name := strings.ReplaceAll(typedName(rnd, n), "TRAP", w.trap)
		w.name = plainText(t, name)
		for _, m := range w.set.Match(w.joined(name)) {
			if m.First == nil {
				t.Fatalf("seed %d: rule %s on %q: %s %s", seed, m.Rule, name, m.Err, m.Failed)
			}
			w.reset()
			res, err := w.do(m)
			for _, wrong := range w.judge(m.Rule, res, err) {
				t.Errorf("seed %d: %s with %.200q: %s", seed, m.Rule, name, wrong)
			}
			w.seen[m.Rule] = true
		}
		if t.Failed() {
			return
		}
	}
	if len(w.seen) != len(w.set.Rules()) {
		t.Errorf("rules that acted: %v", w.seen)
	}
	if _, err := os.Stat(w.trap); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("seed %d: the canary is there", seed)
	}
}

// typedName is a name made of what somebody would obey.
func typedName(rnd *rand.Rand, n int) string {
	pieces := []string{
		"\x00", "\x07", "\x08", "\x1b[31m", "\x1b]0;title\x07", "\x1b[2J", "\u009b31m", "\x7f", "\u0085", "\u2028", "\u2029", "\r\n", "\n", "\r", "\t", "\v",
		"\u202e", "\u2066", "\u200b", "\u200d", "\ufeff", "\u00ad", "\U000e0041", "e\u0301\u0301\u0301\u0301", "\xff", "\xc0\xaf", "\xed\xa0\x80", "\U0010ffff",
		`'`, `"`, "`", `\`, `\"`, "''", "$(touch TRAP)", "; touch TRAP;", "| touch TRAP", "&& touch TRAP", "> TRAP", "%s%n", "$HOME", "*", "~", "-rf", "--help", "-", "--",
		"${participant.id}", "${1+1}", "$${x}", "{{ 7*7 }}", "{{.Secret}}", "<% system('id') %>", "#{1+1}", "!!python/object:os.system", "*alias", "&anchor", "- item: x", "key: value",
		"participant.name + raw", "len(raw)", "#{env:SECRET}", "env:SECRET", "file:/etc/passwd", "credential:x",
		"<script>alert(1)</script>", "<img src=x onerror=alert(1)>", `" onmouseover="alert(1)`, "&lt;b&gt;", "&amp;", "&#x3c;", "<!--", "-->", "]]>", "javascript:alert(1)",
		"<!channel>", "<!here>", "<@U123>", "<#C123|x>", "<http://evil.example|bank>", "@channel", "*bold* _it_ ~no~", "```", ":smile:", "<!date^0^{date}|x>", "&lt;!channel&gt;",
		"=1+1", "+1", "-1+2", "@SUM(A1)", "\t=1+1", "\uff1d1+1", "\uff0b1", "\uff0d1", "\uff20SUM", "=cmd|' /C calc'!A0", ";=1+1", ",=1+1", "\"=1+1",
		"\r\nBcc: eve@example.net", "\nRCPT TO:<eve@example.net>", "eve@example.net", ", eve@example.net", "<eve@example.net>", "\r\n.\r\n", "\r\nQUIT", "=?utf-8?q?=0d=0aBcc:_eve?=", "(comment)",
		"/../../admin", "..", "//evil.example/", "@evil.example/", "?admin=1", "&admin=1", "#x", "%2e%2e%2f", "%0d%0a", "http://evil.example", ";x=1", "+", "%",
		"\r\nX-Admin: 1", "\r\n\r\nGET /evil HTTP/1.1", "' OR 1=1 --", "'; DROP TABLE entries; --", `{"level":"error"}`, "level=ERROR msg=fake", "Ana", "日本", "👩\u200d💻", " ", "x",
	}
	var b strings.Builder
	for range 1 + rnd.IntN(4) {
		b.WriteString(pieces[rnd.IntN(len(pieces))])
	}
	if n < len(pieces) { // each of them alone, before they are mixed
		b.Reset()
		b.WriteString(pieces[n])
	}
	if rnd.IntN(50) == 0 {
		b.WriteString(strings.Repeat(pieces[rnd.IntN(len(pieces))], 2000))
	}
	return b.String()
}

// plainText is a name as JSON can carry it: bytes that are no text are marked.
func plainText(t *testing.T, name string) (text string) {
	t.Helper()
	b, err := json.Marshal(name)
	if err == nil {
		err = json.Unmarshal(b, &text)
	}
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// hostileWorld is all the receivers, with what the last step sent them.
type hostileWorld struct {
	t     *testing.T
	set   *rules.Set
	kinds map[string]engine.ActionKind
	name  string // of the moment
	trap  string
	logs  string
	seen  map[string]bool

	slack    *slacktest.Server
	messages int
	mail     *smtptest.Server
	mails    int
	host     string
	requests []*http.Request
	bodies   []string
	jsonLog  bytes.Buffer
}

func newHostileWorld(t *testing.T) *hostileWorld {
	w := &hostileWorld{t: t, kinds: map[string]engine.ActionKind{}, seen: map[string]bool{}, trap: filepath.Join(t.TempDir(), "canary"), logs: t.TempDir()}
	var err error
	if w.slack, err = slacktest.New(slacktest.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.slack.Close)
	w.mail = smtptest.Start(t, smtptest.Options{TLS: "none"})
	target := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.requests, w.bodies = append(w.requests, r), append(w.bodies, string(body))
	}))
	t.Cleanup(target.Close)
	w.host = strings.TrimPrefix(target.URL, "http://")
	programs := t.TempDir()
	if err := os.WriteFile(filepath.Join(programs, "echo-all"), []byte("#!/bin/sh\nfor x; do printf '%s\\0' \"$x\"; done\nexec cat\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	kinds := actions.Builtin(actions.Options{
		AllowNet: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, AllowExec: programs, Serving: true, LogDir: w.logs,
		Log: slog.New(slog.NewJSONHandler(&w.jsonLog, nil)), Version: "test", Now: time.Now,
	})
	for _, k := range kinds {
		w.kinds[k.Name] = k
	}
	text := strings.NewReplacer(`"SLACK"`, w.slack.URL, `"HTTP"`, target.URL, "PORT", fmt.Sprint(w.mail.Port)).Replace(hostileRules)
	var problems engine.Problems
	w.set, problems = rules.Load([]rules.File{{Name: "rules.yaml", Text: []byte(text)}}, rules.Options{
		Actions: kinds, Platforms: triggers.Builtin(triggers.Options{Now: time.Now}),
		Getenv: func(name string) (string, bool) { return "secret-0123456789-0123456789-of-" + name, true },
	})
	if w.set == nil {
		t.Fatal(printedProblems(problems))
	}
	return w
}

// joined is somebody of that name who comes in.
func (w *hostileWorld) joined(name string) engine.MatchInput {
	at := time.Date(2026, 11, 20, 14, 32, 7, 0, time.UTC)
	return engine.MatchInput{
		Event: &engine.Event{
			ID: "e1", Type: engine.ParticipantJoined, Name: "participant_joined", Source: "pnm", Platform: "plugnmeet", Tenant: "default", Time: at, Received: at,
			Room: engine.Room{ID: "r1", Name: name}, Session: engine.Session{ID: "s1", Status: engine.Active, Started: at},
			Participant: engine.Participant{ID: "u1", Name: name}, Raw: json.RawMessage(`{}`),
		},
		SessionKey: "pnm/s1", Source: engine.Source{Name: "pnm", Tenant: "default"}, Now: at,
	}
}

// keptState is what an action left between its calls.
type keptState map[string]json.RawMessage

func (s keptState) ActionState(_ context.Context, kind, key string) (json.RawMessage, error) {
	if v, ok := s[key]; ok {
		return v, nil
	}
	return nil, engine.ErrNotFound
}

// do does the step of a match, over and over while it asks for that.
func (w *hostileWorld) do(m engine.Match) (engine.Result, error) {
	call := m.First
	var conn any
	if call.Via != "" {
		var err error
		if conn, err = w.set.Connection(call.Action, call.Via); err != nil {
			w.t.Fatal(err)
		}
	}
	in := w.joined(w.name)
	state := keptState{}
	for range 20 {
		res, err := w.kinds[call.Action].Do(w.t.Context(), engine.Call{
			Key: "run-1.then.0", Attempt: 1, Run: "run-1", Rule: m.Rule, Step: "0", Event: in.Event, Session: in.SessionKey, With: call.With, Via: call.Via, Conn: conn,
			State: state, Now: in.Now, Billable: true,
		})
		if err != nil || !res.Again {
			return res, err
		}
		maps.Copy(state, res.State)
	}
	return engine.Result{}, errors.New("it asked to be called for ever")
}

// judge says what is wrong with what came of a step.
func (w *hostileWorld) judge(rule string, res engine.Result, err error) []string {
	switch {
	case err == nil:
	case !engine.IsPermanent(err):
		return []string{"may pass: " + err.Error()}
	case unprintable.MatchString(err.Error()):
		return []string{fmt.Sprintf("the error holds it: %q", err)}
	case rule == "billing" && strings.TrimSpace(w.name) == "":
		return nil // nobody
	case !slices.Contains([]string{"http", "header", "address", "option"}, rule):
		return []string{"failed: " + err.Error()}
	}
	switch rule {
	case "slack":
		return w.judgeSlack()
	case "http", "header", "form":
		return w.judgeHTTP(rule, err)
	case "email":
		return w.judgeEmail()
	case "address":
		return w.judgeAddress(err)
	case "exec", "option":
		return w.judgeExec(rule, res, err)
	case "log":
		return w.judgeLog()
	case "file":
		return w.judgeFile()
	case "emit":
		return unlikeJSON("data", string(res.Emit[0].Raw), map[string]string{"name": w.name})
	}
	return w.judgeLedger(res)
}

// unprintable is what a line for people must not hold.
var unprintable = regexp.MustCompile(`[\x00-\x1f\x7f-\x9f\x{2028}\x{2029}\x{202a}-\x{202e}\x{2066}-\x{2069}]`)

func unlike(what, got, want string) []string {
	if got == want {
		return nil
	}
	return []string{fmt.Sprintf("%s is %.300q, want %.300q", what, got, want)}
}

// unlikeJSON compares an object with what its members should be.
func unlikeJSON(what, got string, want map[string]string) []string {
	members := map[string]string{}
	if err := json.Unmarshal([]byte(got), &members); err != nil || !maps.Equal(members, want) {
		return []string{fmt.Sprintf("%s is %.300q, want %.300q: %v", what, got, want, err)}
	}
	return nil
}

func (w *hostileWorld) reset() {
	w.messages, w.mails = len(w.slack.Messages()), len(w.mail.Messages())
	w.requests, w.bodies = nil, nil
	w.jsonLog.Reset()
	_ = os.RemoveAll(w.logs)
}

// slackMarkup is what Slack obeys in a text: https://docs.slack.dev/messaging/formatting-message-text
var slackMarkup = regexp.MustCompile(`<|>|&(?:[^alg]|a[^m]|l[^t]|g[^t]|$)`)

func (w *hostileWorld) judgeSlack() (wrong []string) {
	var text strings.Builder
	for _, m := range w.slack.Messages()[w.messages:] {
		text.WriteString(m.Text)
		if found := slackMarkup.FindString(m.Text); found != "" {
			wrong = append(wrong, fmt.Sprintf("the text has %q: %.300q", found, m.Text))
		}
		if m.Channel != "ops" {
			wrong = append(wrong, "posted to "+m.Channel)
		}
	}
	// What would format the text is there by another character that looks alike.
	unformatted := strings.NewReplacer("∗", "*", "ˍ", "_", "∼", "~", "ˋ", "`", "%60", "`", "＠", "@", "›", ">")
	whole := strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&").Replace(text.String())
	if len(w.name) > 2000 {
		return wrong // it is split: what belongs to it is the action's own test
	}
	return append(wrong, unlike("the text", unformatted.Replace(visibleOnly(whole)), unformatted.Replace(visibleOnly("before "+w.name+" after")))...)
}

// visibleOnly is what a person sees of a text.
func visibleOnly(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, text)
}

func (w *hostileWorld) judgeHTTP(rule string, err error) (wrong []string) {
	if err != nil {
		if len(w.requests) > 0 {
			return []string{"failed, and sent a request"}
		}
		may := strings.ContainsFunc(w.name, unicode.IsControl)
		if rule == "http" { // what is decoded on the way could lead elsewhere
			may = strings.Contains(w.name, "\x00") || strings.Contains(w.name, "..")
		}
		if !may {
			return []string{"failed for no reason: " + err.Error()}
		}
		return nil
	}
	if len(w.requests) != 1 {
		return []string{fmt.Sprintf("%d requests", len(w.requests))}
	}
	r, body := w.requests[0], w.bodies[0]
	allowed := []string{"Accept", "Accept-Encoding", "Content-Length", "Content-Type", "Idempotency-Key", "User-Agent", "X-Name"}
	for name := range r.Header {
		if !slices.Contains(allowed, name) {
			wrong = append(wrong, "a header "+name)
		}
	}
	wrong = append(wrong, unlike("host", r.Host, w.host)...)
	switch rule {
	case "header":
		return append(wrong, unlike("header", r.Header.Get("X-Name"), strings.Trim(w.name, " \t"))...)
	case "form":
		form, err := url.ParseQuery(body)
		if err != nil || len(form) != 1 {
			wrong = append(wrong, "form "+body)
		}
		return append(wrong, unlike("form", form.Get("name"), w.name)...)
	}
	path, query, _ := strings.Cut(r.RequestURI, "?")
	parts := strings.Split(path, "/")
	values, err := url.ParseQuery(query)
	if len(parts) != 4 || err != nil || len(values) != 1 {
		return append(wrong, "address "+r.RequestURI)
	}
	segment, err := url.PathUnescape(parts[2])
	if err != nil {
		wrong = append(wrong, err.Error())
	}
	wrong = append(wrong, unlike("path", plainText(w.t, segment), "x"+w.name)...)
	wrong = append(wrong, unlike("query", plainText(w.t, values.Get("q")), w.name)...)
	return append(wrong, unlikeJSON("body", body, map[string]string{"name": w.name, "text": "a " + w.name + " b"})...)
}

func (w *hostileWorld) judgeEmail() (wrong []string) {
	all := w.mail.Messages()[w.mails:]
	if len(all) != 1 {
		return []string{fmt.Sprintf("%d messages", len(all))}
	}
	if !slices.Equal(all[0].To, []string{"ops@example.com"}) || all[0].From != "gavel@example.com" {
		wrong = append(wrong, fmt.Sprintf("from %s to %v", all[0].From, all[0].To))
	}
	msg, err := netmail.ReadMessage(strings.NewReader(all[0].Data))
	if err != nil {
		return append(wrong, err.Error())
	}
	allowed := []string{"Auto-Submitted", "Content-Type", "Date", "From", "Message-Id", "Mime-Version", "Reply-To", "Subject", "To", "User-Agent", "X-Mailer"}
	for name, values := range msg.Header {
		if !slices.Contains(allowed, name) || len(values) != 1 {
			wrong = append(wrong, fmt.Sprintf("header %s: %q", name, values))
		}
	}
	for name, want := range map[string]string{"To": "ops@example.com", "Reply-To": "desk@example.com"} {
		list, err := msg.Header.AddressList(name)
		if err != nil || len(list) != 1 || list[0].Address != want || unprintable.MatchString(list[0].Name) {
			wrong = append(wrong, fmt.Sprintf("%s is %q: %v", name, msg.Header.Get(name), err))
		}
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(msg.Header.Get("Subject"))
	if err != nil || unprintable.MatchString(subject) {
		wrong = append(wrong, fmt.Sprintf("subject %q: %v", subject, err))
	}
	if want := visibleOnly("joined " + w.name + " now"); len([]rune(subject)) < 200 {
		wrong = append(wrong, unlike("subject", visibleOnly(subject), want)...)
	}
	text, markup, err := mailParts(msg)
	if err != nil {
		return append(wrong, err.Error())
	}
	wrong = append(wrong, unlike("text", visibleOnly(text), visibleOnly("before "+w.name+" after"))...)
	inside := html.EscapeString(w.name)
	return append(wrong, unlike("html", visibleOnly(markup), visibleOnly(`<p title="`+inside+`">before `+inside+` after</p>`))...)
}

// mailParts are the two halves of a message.
func mailParts(msg *netmail.Message) (text, markup string, err error) {
	kind, params, err := mime.ParseMediaType(msg.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/alternative" {
		return "", "", fmt.Errorf("content type %s: %w", kind, err)
	}
	var found []string
	parts := multipart.NewReader(msg.Body, params["boundary"])
	for {
		p, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", "", err
		}
		b, err := io.ReadAll(quotedprintable.NewReader(p))
		if err != nil {
			return "", "", err
		}
		found = append(found, string(b))
	}
	if len(found) != 2 {
		return "", "", fmt.Errorf("%d parts", len(found))
	}
	return found[0], found[1], nil
}

// judgeAddress: a name in the place of an address is one address, or none.
func (w *hostileWorld) judgeAddress(err error) []string {
	all := w.mail.Messages()[w.mails:]
	if err != nil {
		if len(all) > 0 {
			return []string{"failed, and sent a message"}
		}
		return nil
	}
	if len(all) != 1 || len(all[0].To) != 2 || all[0].To[0] != strings.TrimSpace(w.name) {
		return []string{fmt.Sprintf("sent to %q", all)}
	}
	return nil
}

func (w *hostileWorld) judgeExec(rule string, res engine.Result, err error) (wrong []string) {
	arg := strings.ReplaceAll(w.name, "\x00", "\uFFFD") // no argument can hold it
	if rule == "option" && strings.HasPrefix(w.name, "-") {
		if err == nil {
			return []string{"a value became an option"}
		}
		return nil
	}
	if err != nil {
		return []string{"failed: " + err.Error()}
	}
	var output string
	if err := json.Unmarshal(res.Body, &output); err != nil {
		return []string{err.Error()}
	}
	cut := strings.HasSuffix(res.Note, "is not kept") // of the output
	want := []string{arg}
	if rule == "exec" {
		want = []string{"--", arg, "x" + arg}
	}
	for _, x := range want {
		got, rest, found := strings.Cut(output, "\x00")
		if !found {
			if cut {
				return wrong
			}
			return append(wrong, fmt.Sprintf("no argument %.100q", x))
		}
		wrong = append(wrong, unlike("argument", got, x)...)
		output = rest
	}
	if rule == "option" || cut {
		return wrong
	}
	var in struct {
		Participant struct{ Name string }
		Input       struct{ Name string }
	}
	if err := json.Unmarshal([]byte(output), &in); err != nil {
		return append(wrong, err.Error())
	}
	wrong = append(wrong, unlike("participant.name", in.Participant.Name, w.name)...)
	return append(wrong, unlike("input", in.Input.Name, w.name)...)
}

func (w *hostileWorld) judgeLog() (wrong []string) {
	line := w.jsonLog.String()
	if strings.Count(line, "\n") != 1 || unprintable.MatchString(strings.TrimSuffix(line, "\n")) {
		return []string{fmt.Sprintf("lines %.300q", line)}
	}
	var got struct {
		Msg, Level, Rule string
		Fields           map[string]string
	}
	if err := json.Unmarshal([]byte(line), &got); err != nil {
		return []string{err.Error()}
	}
	if got.Level != "INFO" || got.Rule != "log" || len(got.Fields) != 1 {
		wrong = append(wrong, "another line: "+line)
	}
	if !strings.ContainsFunc(w.name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		wrong = append(wrong, unlike("message", got.Msg, "before "+w.name+" after")...)
		wrong = append(wrong, unlike("field", got.Fields["name"], w.name)...)
	}
	return wrong
}

func (w *hostileWorld) judgeFile() (wrong []string) {
	text, err := os.ReadFile(filepath.Join(w.logs, "names.jsonl"))
	line := string(text)
	if err != nil || strings.Count(line, "\n") != 1 || unprintable.MatchString(strings.TrimSuffix(line, "\n")) {
		return []string{fmt.Sprintf("%v: lines %.300q", err, line)}
	}
	var got struct {
		Message string
		Fields  map[string]string
	}
	if err := json.Unmarshal(text, &got); err != nil {
		return []string{err.Error()}
	}
	return append(unlike("message", got.Message, w.name), unlike("field", got.Fields["name"], w.name)...)
}

// formula is how a cell begins that a spreadsheet would compute.
var formula = regexp.MustCompile(`^"*[\s\p{Cc}\p{Cf}]*[=+\-@\x{ff1d}\x{ff0b}\x{ff0d}\x{ff20}]`)

func (w *hostileWorld) judgeLedger(res engine.Result) (wrong []string) {
	if len(res.Entries) != 1 {
		return []string{fmt.Sprintf("%d entries", len(res.Entries))}
	}
	wrong = unlike("customer", res.Entries[0].Customer, w.name)
	columns := []column[engine.Entry]{
		{"CUSTOMER", func(e engine.Entry) any { return e.Customer }}, {"METER", func(e engine.Entry) any { return e.Meter }},
	}
	var table, tabs, colored bytes.Buffer
	if err := printCSV(&table, res.Entries, columns); err != nil {
		return append(wrong, err.Error())
	}
	rows, err := csv.NewReader(&table).ReadAll()
	if err != nil || len(rows) != 2 || len(rows[1]) != 2 || rows[1][1] != "people" || formula.MatchString(rows[1][0]) {
		wrong = append(wrong, fmt.Sprintf("rows %.300q: %v", rows, err))
	}
	if err := printTabs(&tabs, res.Entries, columns); err != nil || strings.Count(tabs.String(), "\t") != 1 || strings.Count(tabs.String(), "\n") != 1 ||
		unprintable.MatchString(strings.NewReplacer("\t", "", "\n", "").Replace(tabs.String())) {
		wrong = append(wrong, fmt.Sprintf("line %.300q: %v", tabs.String(), err))
	}
	a := &app{out: &colored, lookupEnv: func(string) (string, bool) { return "", false }, color: "never"}
	if err := printTable(a, res.Entries, columns); err != nil || strings.Count(colored.String(), "\n") != 2 || unprintable.MatchString(strings.ReplaceAll(colored.String(), "\n", "")) {
		wrong = append(wrong, fmt.Sprintf("table %.300q: %v", colored.String(), err))
	}
	return wrong
}
