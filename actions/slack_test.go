package actions

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/gavelhq/gavel/actions/slacktest"
	"github.com/gavelhq/gavel/engine"
)

// workspace is a fake Slack with a connection to it and state that remembers.
type workspace struct {
	*slacktest.Server
	kind  engine.ActionKind
	conn  any
	state stateOf
}

func newWorkspace(t *testing.T, o slacktest.Options, conn map[string]any) *workspace {
	t.Helper()
	s, err := slacktest.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	w := &workspace{Server: s, kind: builtin(io.Discard)["slack"], state: stateOf{}}
	filled := map[string]any{"token": "xoxb-fake", "api": s.URL}
	maps.Copy(filled, conn)
	w.conn = connOf(t, w.kind, filled)
	return w
}

// post runs a step as the engine does: state is kept when it succeeds.
func (w *workspace) post(t *testing.T, call engine.Call, params map[string]any) (engine.Result, error) {
	t.Helper()
	with, err := json.Marshal(params)
	if err != nil {
		t.Fatal(err)
	}
	if call.Event == nil {
		call.Event = &engine.Event{Tenant: "default"}
	}
	call.With, call.Conn, call.State, call.Now = with, w.conn, w.state, noon
	res, err := w.kind.Do(t.Context(), call)
	for key, value := range res.State {
		w.state["slack "+key] = value
	}
	return res, err
}

func TestThreads(t *testing.T) {
	w := newWorkspace(t, slacktest.Options{}, nil)
	other := &engine.Event{Tenant: "other"}
	for i, x := range []struct {
		channel, key string
		event        *engine.Event
		root         int // the message it must answer, from 1; 0: none
	}{
		{"ops", "s1", nil, 0}, {"ops", "s1", nil, 1}, {"#ops", "s1", nil, 1},
		{"ops", "s2", nil, 0}, {"vip", "s1", nil, 0}, {"ops", "", nil, 0},
		{"ops", "s1", other, 0}, {"ops", "s2", nil, 4}, {"ops", "s1", other, 7},
	} {
		if _, err := w.post(t, engine.Call{Via: "team", Event: x.event}, map[string]any{"channel": x.channel, "thread": x.key, "text": "x"}); err != nil {
			t.Fatal(err)
		}
		all := w.Messages()
		want := ""
		if x.root > 0 {
			want = all[x.root-1].TS
		}
		if got := all[i].ThreadTS; got != want {
			t.Errorf("message %d answers %q, want %q", i+1, got, want)
		}
	}
}

func TestSlackErrors(t *testing.T) {
	channels := map[string]string{"ops": "", "private": "not_in_channel", "old": "is_archived", "busy": "fatal_error", "odd": "no_such_word"}
	for _, tc := range []struct {
		conn   map[string]any
		params map[string]any
		want   string // "" is success
		keep   bool   // may be tried again
	}{
		{nil, map[string]any{"channel": "ops", "text": "x"}, "", false},
		{nil, map[string]any{"channel": "nowhere", "text": "x"}, "slack #nowhere: channel_not_found: no such channel, or a private one without the bot: check the name, or invite the bot: /invite @gavel", false},
		{nil, map[string]any{"channel": "private", "text": "x"}, "slack #private: not_in_channel: invite the bot: /invite @gavel", false},
		{nil, map[string]any{"channel": "old", "text": "x"}, "slack #old: is_archived: the channel is archived: use another one, or restore it", false},
		{nil, map[string]any{"channel": "busy", "text": "x"}, "slack #busy: fatal_error", true},
		{nil, map[string]any{"channel": "odd", "text": "x"}, "slack #odd: no_such_word", true},
		{nil, map[string]any{"channel": "ops", "text": " "}, "slack: the text is empty", false},
		{nil, map[string]any{"text": "x"}, "slack: the channel is empty: give the step or its connection a channel", false},
		{map[string]any{"token": "xoxb-wrong"}, map[string]any{"channel": "ops", "text": "x"}, "slack #ops: invalid_auth: Slack does not accept the token: check the connection's token", false},
		{map[string]any{"token": ""}, map[string]any{"channel": "ops", "text": "x"}, "slack: the connection needs either token or url", false},
		{nil, map[string]any{"channel": "ops", "text": "x", "blocks": []any{map[string]any{"type": "header", "text": map[string]any{"type": "plain_text", "text": strings.Repeat("x", 151)}}}},
			"slack: blocks[0].text.text: 151 characters, Slack takes 150", false},
	} {
		w := newWorkspace(t, slacktest.Options{Token: "xoxb-fake", Channels: channels}, tc.conn)
		_, err := w.post(t, engine.Call{Via: "team"}, tc.params)
		switch {
		case tc.want == "" && err != nil, tc.want != "" && (err == nil || err.Error() != tc.want):
			t.Errorf("%v: %v, want %s", tc.params, err, tc.want)
		case err != nil && engine.IsPermanent(err) == tc.keep:
			t.Errorf("%v: permanent %v", err, engine.IsPermanent(err))
		}
	}
}

func TestSlackComesBackAfterRefusals(t *testing.T) {
	w := newWorkspace(t, slacktest.Options{}, nil)
	w.Refuse(1, http.StatusTooManyRequests, "12")
	_, err := w.post(t, engine.Call{Via: "team"}, map[string]any{"channel": "ops", "text": "x"})
	if d, ok := engine.RetryDelay(err); !ok || d != 12*time.Second {
		t.Errorf("429: %v", err)
	}
	res, err := w.post(t, engine.Call{Via: "team", Attempt: 2, Uncertain: true}, map[string]any{"channel": "ops", "text": "x"})
	if want := "posted to #ops; an earlier attempt may have posted it too"; err != nil || res.Note != want {
		t.Errorf("%v %q", err, res.Note)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.Wait(ctx, 1); err != nil {
		t.Error(err)
	}
	if _, err := w.Wait(ctx, 2); err == nil {
		t.Error("waited for a message that never came, and said nothing")
	}
}

func TestSlackWebhook(t *testing.T) {
	var told []string
	w := newWorkspace(t, slacktest.Options{OnMessage: func(m slacktest.Message) { told = append(told, m.Text) }}, nil)
	w.conn = connOf(t, w.kind, map[string]any{"url": w.Webhook})
	if _, err := w.post(t, engine.Call{Via: "team"}, map[string]any{"text": "hello"}); err != nil {
		t.Fatal(err)
	}
	if all := w.Messages(); len(all) != 1 || !all[0].Webhook || len(told) != 1 || told[0] != "hello" {
		t.Errorf("%v %v", all, told)
	}
}

// One attempt at a time per channel, however it is written; the engine keeps connections apart.
func TestSlackLane(t *testing.T) {
	a := &slackConn{Token: engine.NewSecret("a"), Channel: "ops"}
	lane := func(c *slackConn, with string) string { return slackLane([]byte(with), c).Name }
	same := lane(a, `{"channel":"ops"}`)
	for with, want := range map[string]bool{`{"channel":"#ops"}`: true, `{}`: true, `{"channel":"vip"}`: false} {
		if got := lane(a, with) == same; got != want {
			t.Errorf("%s: same lane %v", with, got)
		}
	}
}

// control is anything Slack acts on: <!channel>, <@U1>, <#C1>, <http…|…>.
var control = regexp.MustCompile(`<[^>]*>?`)

func TestHostileNames(t *testing.T) {
	parts := []string{
		"<!channel>", "<!here>", "<!everyone>", "<!subteam^S1|x>", "<!date^1^{date}|x>", "<@U012AB3CD>", "<#C012AB3CD>", "<http://evil.example|click>",
		"<mailto:a@b|x>", "&lt;!channel&gt;", "&#60;!channel>", "&", ";", "<", ">", "|", "@channel", "\u200b", "\u202e", "\u2066", "\ufeff", "\u00ad", "\x00", "\x1b[2J",
		"\r\n", "\u2028", "\xff", "\xed\xa0\x80", "＜!channel＞", "*", "_", "~", "`", "```", "Ana", " ", "日本", "🎉", "\U000e0041", "!channel", "@U012AB3CD", "#C012AB3CD",
	}
	r := rand.New(rand.NewSource(1)) // the same names in every run
	for range 2000 {
		var name strings.Builder
		for range 1 + r.Intn(5) {
			name.WriteString(parts[r.Intn(len(parts))])
		}
		text := escapeSlack(name.String())
		if strings.ContainsAny(text, "<>\n\r\t\x00\x1b\u200b\u202e\u2066\ufeff\u2028\u00ad") || !utf8.ValidString(text) {
			t.Fatalf("%q became %q", name.String(), text)
		}
		if rest := regexp.MustCompile(`&(amp|lt|gt);`).ReplaceAllString(text, ""); strings.Contains(rest, "&") {
			t.Fatalf("%q became %q: a bare &", name.String(), text)
		}
		// In a rule's own brackets it must not become a command either.
		for _, own := range []string{"Room " + text, "<https://meet.example|" + text + ">"} {
			for _, found := range control.FindAllString(own, -1) {
				if !strings.HasPrefix(found, "<https://meet.example|") {
					t.Fatalf("%q: %q", name.String(), found)
				}
			}
		}
		if regexp.MustCompile(`^<([!]|@[UW]|#C)[A-Za-z0-9]`).MatchString("<" + text + ">") {
			t.Fatalf("<%s> is a command", text)
		}
	}
}

func TestEscapeSlack(t *testing.T) {
	for text, want := range map[string]string{
		"Ana & <Bob>": "Ana &amp; &lt;Bob&gt;",
		"&amp;":       "&amp;amp;",
		"a\nb\tc\r\n": "a b c ",
		"ev\u202eil":  "evil",
		"!channel":    " !channel",
		"#1 room":     "#1 room",
		"@home":       "@home",
		"ünï 日本 🎉":    "ünï 日本 🎉",
		"\xff":        "\uFFFD",
	} {
		if got := escapeSlack(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestCheckBlocks(t *testing.T) {
	long := func(n int) string { return strings.Repeat("é", n) }
	text := func(kind string, n int) string { return fmt.Sprintf(`{"type":%q,"text":%q}`, kind, long(n)) }
	many := func(n int, one string) string { return "[" + strings.TrimSuffix(strings.Repeat(one+",", n), ",") + "]" }
	for _, tc := range []struct{ blocks, want string }{
		{`[]`, ""},
		{many(50, `{"type":"divider"}`), ""},
		{many(51, `{"type":"divider"}`), "blocks: 51 blocks, Slack takes 50"},
		{`{"type":"divider"}`, "blocks: blocks is not a list"},
		{`["divider"]`, "blocks[0]: a block is a map with a type"},
		{`[{}]`, "blocks[0]: the block has no type"},
		{`[{"type":"secton"}]`, `blocks[0].type: "secton" is no block type we know (warning)`},
		{`[{"type":"rich_text","elements":[]}]`, ""},
		{`[{"type":"section"}]`, "blocks[0]: a section needs text or fields"},
		{`[{"type":"section","text":"x"}]`, "blocks[0].text: the text is not a text object"},
		{`[{"type":"section","text":` + text("mrkdwn", 3000) + `}]`, ""},
		{`[{"type":"section","text":` + text("mrkdwn", 3001) + `}]`, "blocks[0].text.text: 3001 characters, Slack takes 3000"},
		{`[{"type":"section","text":` + text("markdown", 1) + `}]`, "blocks[0].text.type: the text has the wrong type"},
		{`[{"type":"section","text":` + text("mrkdwn", 0) + `}]`, "blocks[0].text.text: the text is empty"},
		{`[{"type":"section","fields":` + many(10, text("mrkdwn", 2000)) + `}]`, ""},
		{`[{"type":"section","fields":` + many(11, text("mrkdwn", 1)) + `}]`, "blocks[0].fields: 11 entries, Slack takes 10"},
		{`[{"type":"section","fields":[` + text("plain_text", 2001) + `]}]`, "blocks[0].fields[0].text: 2001 characters, Slack takes 2000"},
		{`[{"type":"section","fields":[]}]`, "blocks[0].fields: an empty list"},
		{`[{"type":"header","text":` + text("plain_text", 150) + `}]`, ""},
		{`[{"type":"header","text":` + text("plain_text", 151) + `}]`, "blocks[0].text.text: 151 characters, Slack takes 150"},
		{`[{"type":"header","text":` + text("mrkdwn", 1) + `}]`, "blocks[0].text.type: the text has the wrong type"},
		{`[{"type":"context","elements":[` + text("mrkdwn", 1) + `,{"type":"image","image_url":"https://x/y","alt_text":"z"}]}]`, ""},
		{`[{"type":"context","elements":` + many(11, text("mrkdwn", 1)) + `}]`, "blocks[0].elements: 11 entries, Slack takes 10"},
		{`[{"type":"actions","elements":[{"type":"button","text":` + text("plain_text", 75) + `,"url":"https://x"}]}]`, ""},
		{`[{"type":"actions","elements":[{"type":"button","text":` + text("plain_text", 76) + `}]}]`, "blocks[0].elements[0].text.text: 76 characters, Slack takes 75"},
		{`[{"type":"actions","elements":["x"]}]`, "blocks[0].elements[0]: an element is a map with a type"},
		{`[{"type":"actions","elements":[{}]}]`, "blocks[0].elements[0]: the element has no type"},
		{`[{"type":"image","image_url":"https://x/y"}]`, "blocks[0]: an image needs alt_text"},
		{`[{"type":"image","alt_text":"x"}]`, "blocks[0]: an image needs image_url"},
		{`[{"type":"divider","block_id":"` + long(256) + `"}]`, "blocks[0].block_id: 256 characters, Slack takes 255"},
	} {
		var blocks any
		if err := json.Unmarshal([]byte(tc.blocks), &blocks); err != nil {
			t.Fatalf("%s: %v", tc.blocks, err)
		}
		if got := complaints(checkBlocks(blocks)); got != tc.want {
			t.Errorf("%.80s\n got %s\nwant %s", tc.blocks, got, tc.want)
		}
	}
}

// complaints prints them in one line.
func complaints(all []engine.Complaint) string {
	var lines []string
	for _, c := range all {
		line := c.What
		if c.Param != "" {
			line = c.Param + ": " + line
		}
		if c.Warning {
			line += " (warning)"
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "; ")
}

func TestCheckSlack(t *testing.T) {
	token := &slackConn{Token: engine.NewSecret("xoxb-1")}
	home := &slackConn{Token: engine.NewSecret("xoxb-1"), Channel: "ops"}
	hook := &slackConn{URL: engine.NewSecret("https://hooks.slack.com/services/a/b/c")}
	for _, tc := range []struct {
		conn    *slackConn
		with    map[string]any
		dynamic string
		want    string
	}{
		{home, map[string]any{"text": "x"}, "", ""},
		{token, map[string]any{"text": "x", "channel": "ops"}, "", ""},
		{token, map[string]any{"text": "x"}, "channel", ""},
		{token, map[string]any{"text": "x", "channel": "#ops"}, "", ""},
		{token, map[string]any{"text": "x", "channel": "C0123ABCD"}, "", ""},
		{token, map[string]any{"text": "x", "channel": "команда-1"}, "", ""},
		{token, map[string]any{"text": "x", "channel": "Big Channel"}, "", `channel: "Big Channel" is no name of a channel: those are lower case, without spaces and points (warning)`},
		{&slackConn{URL: engine.NewSecret("http://hooks.example.com/x")}, map[string]any{"text": "x"}, "", "via.url: the connection's url has no TLS: anyone on the way can read and change the messages (warning)"},
		{&slackConn{Token: hook.URL, Channel: "ops"}, map[string]any{"text": "x"}, "", "via.token: the connection's token is a web address (warning)"},
		{token, map[string]any{"text": "x"}, "", "the message has no channel"},
		{hook, map[string]any{"text": "x"}, "", ""},
		{hook, map[string]any{"text": "x"}, "thread", "thread: an incoming webhook cannot thread"},
		{hook, map[string]any{"text": "x", "channel": "ops"}, "", "channel: an incoming webhook posts to its own channel (warning)"},
		{&slackConn{}, map[string]any{"text": "x"}, "", "via: the connection has neither token nor url"},
		{&slackConn{Token: token.Token, URL: hook.URL}, map[string]any{"text": "x"}, "", "via: the connection has both token and url"},
		{&slackConn{URL: engine.NewSecret("xoxb-1")}, map[string]any{"text": "x"}, "", "via.url: the connection's url is not a web address"},
		{&slackConn{Token: token.Token, Channel: "ops", API: "localhost"}, map[string]any{"text": "x"}, "", "via.api: the connection's api is not a web address"},
		{home, map[string]any{"text": strings.Repeat("é", 40_001)}, "", "text: the text has more than 40000 characters"},
		{home, map[string]any{"text": "x", "blocks": []any{map[string]any{"type": "section"}}}, "", "blocks[0]: a section needs text or fields"},
	} {
		in := engine.CheckInput{With: tc.with, Dynamic: map[string]bool{tc.dynamic: true}, Conn: tc.conn}
		if got := complaints(checkSlack(in)); got != tc.want {
			t.Errorf("%v, dynamic %q: %s, want %s", tc.with, tc.dynamic, got, tc.want)
		}
	}
}
