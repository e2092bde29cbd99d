package rules

import (
	"strings"
	"testing"
)

// TestPlaces: the same mistake in every way a value can be written stands at
// the same word.
func TestPlaces(t *testing.T) {
	const head = "sources:\n  pnm: { platform: plugnmeet, api_key: env:KEY, secret: env:SECRET_OF_PNM }\nrules:\n  - id: a\n    when: session_ended\n"
	const then = "    then: [ log: hi ]\n"
	for _, c := range []struct{ name, text string }{
		{"plain", head + "    if: session.duraton > 60m\n" + then},
		{"plain, further right", head + "    if:     session.duraton > 60m   \n" + then},
		{"plain, with a comment", head + "    if: session.duraton > 60m  # long\n" + then},
		{"plain, below its key", head + "    if:\n      session.duraton > 60m\n" + then},
		{"plain, over lines", head + "    if: session.peak > 3 and\n      session.duraton\n        > 60m\n" + then},
		{"plain, over empty lines", head + "    if: session.peak > 3 and\n\n\n      session.duraton > 60m\n" + then},
		{"plain, in a list", head + "    if:\n      - session.peak > 3\n      - session.duraton > 60m\n" + then},
		{"plain, behind what is wider", head + "    if: room.name == \"Zoë 会议 🎥\" and session.duraton > 60m\n" + then},
		{"plain, in a flow list", head + "    if: [session.peak > 3, session.duraton > 60m]\n" + then},
		{"plain, in a flow list over lines", head + "    if: [session.peak > 3,\n      session.duraton\n      > 60m]\n" + then},
		{"single quotes", head + "    if: 'session.duraton > 60m'\n" + then},
		{"single quotes, escaped", head + "    if: 'room.name == ''it is'' and session.duraton > 60m'\n" + then},
		{"single quotes, over lines", head + "    if: 'session.peak > 3\n\n      and session.duraton > 60m'\n" + then},
		{"single quotes, in a flow map", head + "    then: [ { log: hi, if: 'session.duraton > 60m' } ]\n"},
		{"double quotes", head + "    if: \"session.duraton > 60m\"\n" + then},
		{"double quotes, escaped", head + "    if: \"room.name == \\\"\\u00e9\\x41\\U0001F600\\\\\\\\\\\" and session.duraton > 60m\"\n" + then},
		{"double quotes, over lines", head + "    if: \"session.peak > 3\n      and session.duraton > 60m\"\n" + then},
		{"double quotes, joined lines", head + "    if: \"session.peak > 3 \\\n      and session.\\\n      duraton > 60m\"\n" + then},
		{"double quotes, escaped break", head + "    if: \"session.peak > 3\\n and session.duraton > 60m\"\n" + then},
		{"literal", head + "    if: |\n      session.duraton > 60m\n" + then},
		{"literal, further down", head + "    if: |\n      session.peak > 3 and\n\n        session.duraton > 60m\n" + then},
		{"literal, with indicators", head + "    if: |2-\n          session.peak > 3\n        and session.duraton > 60m\n" + then},
		{"literal, kept", head + "    if: |+\n      session.duraton > 60m\n\n\n" + then},
		{"literal, with a comment", head + "    if: | # why\n      session.duraton > 60m\n" + then},
		{"literal, empty lines first", head + "    if: |\n\n\n      session.duraton > 60m\n" + then},
		{"folded", head + "    if: >\n      session.peak > 3 and\n      session.duraton > 60m\n" + then},
		{"folded, on its first line", head + "    if: >-\n      session.duraton\n      > 60m\n" + then},
		{"folded, empty lines", head + "    if: >\n\n      session.peak > 3\n\n      and\n\n\n      session.duraton > 60m\n" + then},
		{"folded, lines further right", head + "    if: >\n      session.peak > 3\n        and session.host != nil\n\n        and session.recording\n      and session.duraton > 60m\n" + then},
		{"folded, with indicators", head + "    if: >2+\n         session.peak > 3 and\n      session.duraton > 60m\n\n" + then},
		{"template, plain", head + "    then: [ log: hi ]\n    else:\n      - log: ${room.name} ran ${session.duraton}\n"},
		{"template, double quotes", head + "    then:\n      - log: \"${room.name}\\tran \\\"${session.duraton}\\\"\"\n"},
		{"template, literal", head + "    then:\n      - log: |\n          Room ${room.name}\n            ran ${session.duraton}\n"},
		{"template, folded", head + "    then:\n      - log: >\n          Room ${room.name}\n          ran ${session.duraton}\n"},
		{"template, in a map in a list", head + "    then:\n      - log:\n          message: hi\n          fields: { a: [1, \"é ${session.duraton}\"] }\n"},
		{"template over lines", head + "    then:\n      - log: >\n          ran ${session.peak > 3\n          ? \"long\" : session.duraton}\n"},
		{"key", head + "    duraton: 5m\n" + then},
		{"key in a flow map", head + "    cooldown: { for: 5m, duraton: 5m }\n" + then},
		{"key in quotes", head + "    cooldown: { for: 5m, \"duraton\": 5m }\n" + then},
		{"a whole value", head + "    mode: duraton\n" + then},
		{"tabs before it", head + "    if: session.peak > 3\tand\tsession.duraton > 60m\n" + then},
		{"a mended line", head + "    if: session.duraton > 60m ? true : false\n" + then},
		{"a mended quote", head + "    if: \"a\" == room.name and session.duraton > 60m\n" + then},
	} {
		for _, variant := range []struct {
			name   string
			change func(string) string
		}{
			{"", func(s string) string { return s }},
			{"crlf", func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }},
			{"bom", func(s string) string { return "\uFEFF" + s }},
			{"document", func(s string) string { return "---\n" + s + "...\n" }},
			{"deeper", func(s string) string { return strings.ReplaceAll(s, "\n", "\n ") }},
		} {
			t.Run(strings.TrimSpace(c.name+" "+variant.name), func(t *testing.T) {
				text := variant.change(c.text)
				if variant.name == "deeper" {
					text = " " + strings.TrimSuffix(text, " ")
				}
				checkPlace(t, text, "duraton")
			})
		}
	}
}

// checkPlace loads text, in which one problem is about word, and compares what
// is marked.
func checkPlace(t *testing.T, text, word string) {
	t.Helper()
	_, problems := Load([]File{{"rules.yaml", []byte(text)}}, testOptions())
	lines := splitLines(strings.TrimPrefix(text, "\uFEFF"))
	found := 0
	for _, p := range problems {
		if !strings.Contains(p.What, word) {
			continue
		}
		found++
		line := []rune(lines[p.Line-1])
		got := string(line[min(len(line), p.Col-1):min(len(line), p.Col-1+p.Width)])
		if strings.Trim(got, `"`) != word {
			t.Errorf("%s marks %q", p.Place(), got)
		}
	}
	if found != 1 {
		t.Errorf("%d problems about %q:\n%s\n%s", found, word, printed(problems), text)
	}
}
