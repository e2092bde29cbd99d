package actions

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/gavelhq/gavel/actions/slacktest"
	"github.com/gavelhq/gavel/engine"
)

// outline is the shape of blocks: their types with the lengths of their texts.
func outline(t *testing.T, raw json.RawMessage) string {
	t.Helper()
	type text struct{ Type, Text string }
	var blocks []struct {
		Type     string
		Text     *text
		Fields   []text
		Elements []text
	}
	if err := json.Unmarshal(raw, &blocks); err != nil && raw != nil {
		t.Fatal(err)
	}
	var all []string
	for _, b := range blocks {
		line := b.Type
		if b.Text != nil {
			line += fmt.Sprintf(" %d", utf8.RuneCountInString(b.Text.Text))
		}
		for _, f := range append(b.Fields, b.Elements...) {
			line += " " + strings.ReplaceAll(f.Text, "\n", "|")
		}
		all = append(all, line)
	}
	return strings.Join(all, "; ")
}

func TestSlackFields(t *testing.T) {
	long := func(n int) string { return strings.Repeat("é", n) }
	fields := func(pairs ...string) []any {
		var all []any
		for i := 0; i+1 < len(pairs); i += 2 {
			all = append(all, map[string]any{pairs[i]: pairs[i+1]})
		}
		return all
	}
	many := func(n int) (all []any) {
		for range n {
			all = append(all, map[string]any{"x": "y"})
		}
		return all
	}
	for _, tc := range []struct {
		about  string
		params map[string]any
		text   []string // of the messages, or their length
		blocks string   // of the last message
	}{
		{"in the order written", with("text", "over", "fields", fields("Room", "Weekly", "Duration", "72m", "A", "b")),
			[]string{"over\nRoom: Weekly\nDuration: 72m\nA: b"}, "section 4; section *Room*|Weekly *Duration*|72m *A*|b; context rule joins"},
		{"a long value goes below the text", with("text", "over", "fields", fields("Room", "Weekly", "Notes", long(2_500))),
			[]string{"2526"}, "section 2513; section *Room*|Weekly; context rule joins"},
		{"a longer text becomes sections", with("text", long(5_000), "fields", fields("Room", "Weekly")),
			[]string{"5013"}, "section 3000; section 2000; section *Room*|Weekly; context rule joins"},
		{"a very long one messages", with("text", long(41_000), "fields", fields("Room", "Weekly")),
			[]string{"40000", "1000", "Room: Weekly"}, "section *Room*|Weekly; context rule joins"},
		{"none of the values is short", with("text", "over", "fields", fields("a", long(50_000))),
			[]string{"40000", "10009"}, ""},
		{"when edited, too", with("text", "over", "update", "k", "fields", fields("a", long(1_900), "b", long(1_900))),
			[]string{"3812"}, "section 4; section *a*|" + long(1_900) + " *b*|" + long(1_900) + "; context rule joins"},
		{"ten", with("text", "x", "fields", many(10)), []string{"x" + strings.Repeat("\nx: y", 10)},
			"section 1; section" + strings.Repeat(" *x*|y", 10) + "; context rule joins"},
	} {
		w := newWorkspace(t, slacktest.Options{}, with("channel", "ops"))
		if _, err := w.post(t, engine.Call{}, tc.params); err != nil {
			t.Errorf("%s: %v", tc.about, err)
			continue
		}
		var texts []string
		all := w.Messages()
		for i, m := range all {
			texts = append(texts, m.Text)
			if n := utf8.RuneCountInString(m.Text); n > 200 && i < len(tc.text) {
				texts[i] = fmt.Sprint(n)
			}
		}
		if diff := cmp.Diff(tc.text, texts); diff != "" {
			t.Errorf("%s: %s", tc.about, diff)
		}
		if got := outline(t, all[len(all)-1].Blocks); got != tc.blocks {
			t.Errorf("%s: %s, want %s", tc.about, got, tc.blocks)
		}
	}
	w := newWorkspace(t, slacktest.Options{}, with("channel", "ops"))
	for want, params := range map[string]map[string]any{
		"slack: 11 fields, Slack takes 10": with("text", "x", "fields", many(11)),
		"slack: text and fields have more than 6000 characters, too many for a message that is edited: shorten them": with("text", long(3_900), "update", "k", "fields", fields("a", long(2_100))),
	} {
		if _, err := w.post(t, engine.Call{}, params); err == nil || err.Error() != want || !engine.IsPermanent(err) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// A message of text alone has no blocks.
func TestSlackPlainStaysPlain(t *testing.T) {
	w := newWorkspace(t, slacktest.Options{}, with("channel", "ops"))
	if _, err := w.post(t, engine.Call{}, with("text", "x")); err != nil || w.Messages()[0].Blocks != nil {
		t.Errorf("%v %s", err, w.Messages()[0].Blocks)
	}
}

// Whatever our own check lets through, Slack's limits do, too.
func TestSlackLimitsAgree(t *testing.T) {
	text := func(kind string, n int) map[string]any { return with("type", kind, "text", strings.Repeat("x", n)) }
	for _, tc := range []struct {
		name string
		most int
		make func(n int) map[string]any
	}{
		{"section", 3_000, func(n int) map[string]any { return with("type", "section", "text", text("mrkdwn", n)) }},
		{"field", 2_000, func(n int) map[string]any { return with("type", "section", "fields", []any{text("mrkdwn", n)}) }},
		{"header", 150, func(n int) map[string]any { return with("type", "header", "text", text("plain_text", n)) }},
		{"button", 75, func(n int) map[string]any {
			return with("type", "actions", "elements", []any{with("type", "button", "text", text("plain_text", n))})
		}},
		{"action_id", 255, func(n int) map[string]any {
			return with("type", "actions", "elements", []any{with("type", "button", "text", text("plain_text", 1), "action_id", strings.Repeat("x", n))})
		}},
		{"url", 3_000, func(n int) map[string]any {
			return with("type", "actions", "elements", []any{with("type", "button", "text", text("plain_text", 1), "url", strings.Repeat("x", n))})
		}},
		{"context", 10, func(n int) map[string]any {
			var all []any
			for range n {
				all = append(all, text("mrkdwn", 1))
			}
			return with("type", "context", "elements", all)
		}},
	} {
		w := newWorkspace(t, slacktest.Options{}, with("channel", "ops"))
		if _, err := w.post(t, engine.Call{}, with("text", "x", "blocks", []any{tc.make(tc.most)})); err != nil {
			t.Errorf("%s of %d: %v", tc.name, tc.most, err)
		}
		before := w.Calls("chat.postMessage")
		if _, err := w.post(t, engine.Call{}, with("text", "x", "blocks", []any{tc.make(tc.most + 1)})); err == nil || !engine.IsPermanent(err) {
			t.Errorf("%s of %d: %v", tc.name, tc.most+1, err)
		}
		if w.Calls("chat.postMessage") != before {
			t.Errorf("%s: Slack was asked", tc.name)
		}
	}
}
