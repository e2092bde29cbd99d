package actions

import (
	"encoding/json"
	"math/rand"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gavelhq/gavel/actions/slacktest"
	"github.com/gavelhq/gavel/engine"
)

var (
	// control is anything Slack acts on: <!channel>, <@U1>, <#C1>, <http…|…>.
	control = regexp.MustCompile(`<[^>]*>?`)
	// format is a sign that formats: at the edge of a word.
	format = regexp.MustCompile("`" + `|(^|[^A-Za-z0-9])[*_~]|[*_~]($|[^A-Za-z0-9])`)
)

// hostileNames are what people could call themselves, the same in every run.
func hostileNames(n int) []string {
	parts := []string{
		"<!channel>", "<!here>", "<!everyone>", "<!subteam^S1|x>", "<!date^1^{date}|x>", "<@U012AB3CD>", "<#C012AB3CD>", "<http://evil.example|click>",
		"<mailto:a@b|x>", "&lt;!channel&gt;", "&#60;!channel>", "&", ";", "<", ">", "|", "@channel", "@here", "\u200b", "\u202e", "\u2066", "\ufeff", "\u00ad", "\x00", "\x1b[2J",
		"\r\n", "\u2028", "\xff", "\xed\xa0\x80", "＜!channel＞", "*", "_", "~", "`", "```", "Ana", " ", "日本", "🎉", "\U000e0041", "!channel", "@U012AB3CD", "#C012AB3CD",
		"https://evil.example/", "snake_case",
	}
	r := rand.New(rand.NewSource(1))
	all := make([]string, n)
	for i := range all {
		for range 1 + r.Intn(5) {
			all[i] += parts[r.Intn(len(parts))]
		}
	}
	return all
}

func TestHostileNames(t *testing.T) {
	for _, name := range hostileNames(2_000) {
		text := escapeSlack(name)
		if strings.ContainsAny(text, "<>\n\r\t\x00\x1b\u200b\u202e\u2066\ufeff\u2028\u00ad") || !utf8.ValidString(text) {
			t.Fatalf("%q became %q", name, text)
		}
		if rest := regexp.MustCompile(`&(amp|lt|gt);`).ReplaceAllString(text, ""); strings.Contains(rest, "&") {
			t.Fatalf("%q became %q: a bare &", name, text)
		}
		// In a rule's own brackets it must not become a command either.
		for _, own := range []string{"Room " + text, "<https://meet.example|" + text + ">"} {
			for _, found := range control.FindAllString(own, -1) {
				if !strings.HasPrefix(found, "<https://meet.example|") {
					t.Fatalf("%q: %q", name, found)
				}
			}
		}
		if regexp.MustCompile(`^<([!]|@[UW]|#C)[A-Za-z0-9]`).MatchString("<" + text + ">") {
			t.Fatalf("<%s> is a command", text)
		}
		if format.MatchString(text) && !strings.HasPrefix(text, "https://") {
			t.Fatalf("%q became %q, which formats", name, text)
		}
		if !strings.HasPrefix(text, "https://") && regexp.MustCompile(`(?i)(^|[^a-z0-9])@(here|channel|everyone)\b`).MatchString(text) {
			t.Fatalf("%q became %q, which some take for a mention", name, text)
		}
	}
}

// What is made of names in every parameter mentions nobody, links nothing and
// keeps the rule's own formatting whole; of some, what reaches Slack.
func TestHostileNamesInMessages(t *testing.T) {
	w := newWorkspace(t, slacktest.Options{}, with("channel", "ops"))
	for i, name := range hostileNames(2_000) {
		text := w.kind.Escape("text", name)
		p := slackParams{Text: "*" + text + "* joined", Opener: "Room " + text, Fields: []map[string]string{{"Name": text}}}
		if i%2 == 0 {
			p.Fields, p.Blocks = nil, []any{
				with("type", "section", "text", with("type", "mrkdwn", "text", "*"+text+"*")),
				with("type", "context", "elements", []any{with("type", "plain_text", "text", "x"+text)}),
			}
		}
		s := &slackStep{p: p}
		parts, err := s.parts()
		if err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		raw, err := json.Marshal(parts[0].blocks)
		if err != nil {
			t.Fatal(err)
		}
		checkPlain(t, name, slacktest.Message{Text: parts[0].text, Blocks: raw})
		checkPlain(t, name, slacktest.Message{Text: p.Opener})
		if i < 100 {
			if _, err := w.post(t, engine.Call{}, with("text", p.Text, "thread", name, "opener", p.Opener)); err != nil {
				t.Fatalf("%q: %v", name, err)
			}
		}
	}
	for _, m := range w.Messages() {
		checkPlain(t, m.Text, m)
	}
}

// checkPlain fails if a message does more than its rule says.
func checkPlain(t *testing.T, name string, m slacktest.Message) {
	t.Helper()
	var blocks any
	if m.Blocks != nil {
		if err := json.Unmarshal(m.Blocks, &blocks); err != nil {
			t.Fatal(err)
		}
	}
	for _, text := range append(textsOf(blocks), m.Text) {
		if control.MatchString(text) {
			t.Fatalf("%q: %q is sent", name, text)
		}
		if strings.Contains(text, "`") {
			t.Fatalf("%q: %q is sent, its formatting is broken", name, text)
		}
	}
}

// textsOf are all texts in a value.
func textsOf(v any) []string {
	var all []string
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		for _, x := range v {
			all = append(all, textsOf(x)...)
		}
	case map[string]any:
		for _, x := range v {
			all = append(all, textsOf(x)...)
		}
	}
	return all
}

func TestEscapeSlack(t *testing.T) {
	for text, want := range map[string]string{
		"Ana & <Bob>":                       "Ana &amp; &lt;Bob&gt;",
		"&amp;":                             "&amp;amp;",
		"a\nb\tc\r\n":                       "a b c ",
		"ev\u202eil":                        "evil",
		"!channel":                          " !channel",
		"#1 room":                           "#1 room",
		"@home":                             "@home",
		"@Here we are":                      "＠Here we are",
		"a@here.example":                    "a@here.example",
		"ünï 日本 🎉":                          "ünï 日本 🎉",
		"\xff":                              "\uFFFD",
		"*bold* _it_ ~no~":                  "∗bold∗ ˍitˍ ∼no∼",
		"room_1*2~3":                        "room_1*2~3",
		"a`b":                               "aˋb",
		"é_é":                               "éˍé",
		"> quoted":                          "› quoted",
		"a > b":                             "a &gt; b",
		"https://x.example/_a_?b=*&c=`":     "https://x.example/ˍaˍ?b=∗&amp;c=ˋ",
		"https://x.example/_a_/my_file?b=1": "https://x.example/_a_/my_file?b=1",
		"https://x.example/`a`":             "https://x.example/%60a%60",
	} {
		if got := escapeSlack(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestLinkedSlack(t *testing.T) {
	for text, want := range map[string]string{
		"plain":                             "plain",
		"see https://x.example/a?b&amp;c.":  "see <https://x.example/a?b&amp;c>.",
		"*https://x.example*":               "*<https://x.example>*",
		"<https://x.example|here> or there": "<https://x.example|here> or there",
		"<https://x.example>":               "<https://x.example>",
		"a (http://x.example/b) c":          "a (<http://x.example/b>) c",
	} {
		if got := linkedSlack(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
