package actions

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gavelhq/gavel/engine"
)

func TestCheckBlocks(t *testing.T) {
	long := func(n int) string { return strings.Repeat("é", n) }
	text := func(kind string, n int) string { return fmt.Sprintf(`{"type":%q,"text":%q}`, kind, long(n)) }
	many := func(n int, one string) string { return "[" + strings.TrimSuffix(strings.Repeat(one+",", n), ",") + "]" }
	element := func(e string) string { return `[{"type":"actions","elements":[` + e + `]}]` }
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
		{`[{"type":"section","fields":` + many(10, text("mrkdwn", 1200)) + `}]`, ""},
		{`[{"type":"section","fields":` + many(10, text("mrkdwn", 2000)) + `}]`, "blocks: 20000 characters in all blocks, Slack takes about 12000 (warning)"},
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
		{`[{"type":"divider","block_id":"a"},{"type":"divider","block_id":"a"}]`, `blocks[1].block_id: two blocks have the id "a"`},
		{`[{"type":"markdown","text":"` + long(12_000) + `"}]`, ""},
		{`[{"type":"markdown","text":"` + long(12_001) + `"}]`, "blocks[0].text: 12001 characters, Slack takes 12000"},
		{`[{"type":"markdown"}]`, "blocks[0]: a block of type markdown needs text"},
		{`[{"type":"table","rows":` + many(100, `["x"]`) + `}]`, ""},
		{`[{"type":"table","rows":` + many(101, `["x"]`) + `}]`, "blocks[0].rows: 101 entries, Slack takes 100"},
		{`[{"type":"table","rows":[` + many(21, `"x"`) + `]}]`, "blocks[0].rows[0]: 21 entries, Slack takes 20"},
		{`[{"type":"table","rows":[["x"]]},{"type":"table","rows":[["x"]]}]`, "blocks[1]: a second table, Slack takes one in a message"},
		{`[{"type":"video","alt_text":"x","thumbnail_url":"https://x","video_url":"https://x","title":` + text("plain_text", 201) + `}]`, "blocks[0].title.text: 201 characters, Slack takes 200"},
		{`[{"type":"context_actions","elements":` + many(6, `{"type":"feedback_buttons"}`) + `}]`, "blocks[0].elements: 6 entries, Slack takes 5"},
		{element(`{"type":"button","text":` + text("plain_text", 1) + `,"action_id":"` + long(256) + `"}`), "blocks[0].elements[0].action_id: 256 characters, Slack takes 255"},
		{element(`{"type":"button","text":` + text("plain_text", 1) + `,"url":"` + long(3001) + `"}`), "blocks[0].elements[0].url: 3001 characters, Slack takes 3000"},
		{element(`{"type":"button","text":` + text("plain_text", 1) + `,"style":"blue"}`), "blocks[0].elements[0].style: the style is neither primary nor danger"},
		{element(`{"type":"button","text":` + text("mrkdwn", 1) + `}`), "blocks[0].elements[0].text.type: the text has the wrong type"},
		{element(`{"type":"button","text":` + text("plain_text", 1) + `,"confirm":{"title":` + text("plain_text", 101) + `,"text":` + text("mrkdwn", 1) + `,"confirm":` + text("plain_text", 1) + `,"deny":` + text("plain_text", 1) + `}}`), "blocks[0].elements[0].confirm.title.text: 101 characters, Slack takes 100"},
		{element(`{"type":"overflow","options":` + many(6, `{"text":`+text("plain_text", 1)+`,"value":"x"}`) + `}`), "blocks[0].elements[0].options: 6 entries, Slack takes 5"},
		{element(`{"type":"static_select","placeholder":` + text("plain_text", 151) + `,"option_groups":[]}`), "blocks[0].elements[0].placeholder.text: 151 characters, Slack takes 150"},
		{element(`{"type":"static_select","options":[{"text":` + text("plain_text", 76) + `}]}`), "blocks[0].elements[0].options[0].text.text: 76 characters, Slack takes 75"},
		{element(`{"type":"users_select"}`), ""},
		{`[{"type":"actions","elements":` + many(26, `{"type":"users_select"}`) + `}]`, "blocks[0].elements: 26 entries, Slack takes 25"},
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
		{home, map[string]any{"text": strings.Repeat("é", 40_001)}, "", ""}, // several messages
		{home, with("text", strings.Repeat("é", 4_001)), "update", "text: 4001 characters, Slack takes 4000 when a message is edited"},
		{home, with("text", strings.Repeat("é", 40_001)), "blocks", "text: 40001 characters, Slack takes 40000"},
		{home, with("text", "x", "thread", "k", "opener", strings.Repeat("é", 40_001)), "", "opener: the opener has more than 40000 characters"},
		{home, with(), "blocks", "the message has no text"},
		{home, with("react", "eyes"), "to_message", ""},
		{home, with("react", "eyes"), "", "react: react needs to_message, the key of the message it is for"},
		{home, with("text", "x"), "to_message", "to_message: to_message is for react alone"},
		{home, with("react", "eyes", "text", "x", "thread", "k"), "to_message", "text: a step that reacts posts nothing: text means nothing; thread: a step that reacts posts nothing: thread means nothing"},
		{home, with("text", "x", "opener", "y"), "", "opener: opener is the root of a thread, and the step has none"},
		{home, with("text", "x", "opener", "y"), "thread", ""},
		{home, with("text", "x", "also_to_channel", true), "", "also_to_channel: also_to_channel is for answers in a thread, and the step has none"},
		{home, with("text", "x", "also_to_channel", true, "thread", "k"), "update", "also_to_channel: also_to_channel and update do not go together"},
		{home, with("text", "x", "opener", "y", "thread", "k"), "update", "opener: opener and update do not go together"},
		{home, with("text", "x", "thread", "k"), "update", ""},
		{home, with("text", "x", "fields", []map[string]string{{"a": "b"}}), "blocks", "fields: fields and blocks do not go together"},
		{home, with("text", "x", "fields", []map[string]string{{"a": "b"}, {"c": "d", "e": "f"}}), "", "fields[1]: a field has one label, and this one has 2"},
		{home, with("text", "x", "fields", slices.Repeat([]map[string]string{{"a": "b"}}, 11)), "", "fields: 11 fields, Slack takes 10"},
		{token, with("text", "x", "to", "maria@acme.com"), "", ""},
		{home, with("text", "x", "to", "maria@acme.com"), "", ""},
		{home, with("text", "x", "to", "maria@acme.com", "channel", "ops"), "", "channel: channel and to do not go together"},
		{nil, with("text", "x", "to", "maria@acme.com", "channel", "vip"), "", "channel: channel and to do not go together"},
		{token, with("text", "x", "to", "maria@acme.com"), "channel", "channel: channel and to do not go together"},
		{home, with("text", ""), "", "text: the text is empty"},
		{home, with("text", " "), "", "text: the text is empty"},
		{home, with("text", "x", "channel", "@ana"), "", `channel: "@ana" is a person, and no channel`},
		{home, with("react", ":white_check_mark:"), "to_message", ""},
		{home, with("react", "+1::skin-tone-3"), "to_message", ""},
		{home, with("react", "👍"), "to_message", `react: "👍" is no name of an emoji`},
		{home, with("react", ":thumbs up:"), "to_message", `react: ":thumbs up:" is no name of an emoji`},
		{home, with("react", ""), "to_message", `react: "" is no name of an emoji`},
		{home, with("text", "x", "blocks", "a text"), "", "blocks: blocks is not a list"},
		{&slackConn{Token: engine.NewSecret("http://hooks.example.com/x"), Channel: "ops"}, map[string]any{"text": "x"}, "", "via.token: the connection's token is a web address (warning)"},
		{token, with("text", "x", "to", "maria"), "", `to: "maria" is no e-mail address`},
		{hook, with("text", "x"), "update", "update: an incoming webhook cannot edit messages"},
		{hook, with("text", "x"), "to", "to: an incoming webhook cannot write to a person"},
		{hook, with("react", "eyes", "to_message", "k"), "", "react: an incoming webhook cannot react"},
		{hook, with("text", "x", "thread", "k", "opener", "y", "also_to_channel", true), "", "thread: an incoming webhook cannot thread; opener: an incoming webhook cannot thread; also_to_channel: an incoming webhook cannot thread"},
		{hook, with("text", "x", "fields", []map[string]string{{"a": "b"}}), "", ""},
		{home, map[string]any{"text": "x", "blocks": []any{map[string]any{"type": "section"}}}, "", "blocks[0]: a section needs text or fields"},
	} {
		in := engine.CheckInput{With: tc.with, Dynamic: map[string]bool{tc.dynamic: true}, Conn: tc.conn}
		if got := complaints(checkSlack(in)); got != tc.want {
			t.Errorf("%v, dynamic %q: %s, want %s", tc.with, tc.dynamic, got, tc.want)
		}
	}
}

// Blocks that come with the event as a text are no list of them either.
func TestCheckSlackBlocksText(t *testing.T) {
	in := engine.CheckInput{With: with("text", "x"), Dynamic: map[string]bool{"blocks": true}, Text: map[string]string{"blocks": "${session.id}"}}
	if got := complaints(checkSlack(in)); got != "blocks: blocks is not a list" {
		t.Error(got)
	}
}
