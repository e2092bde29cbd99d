package actions

import (
	"math/rand"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/gavelhq/gavel/actions/slacktest"
	"github.com/gavelhq/gavel/engine"
)

func TestSplitSlack(t *testing.T) {
	for _, tc := range []struct {
		text string
		most int
		want []string
	}{
		{"", 5, []string{""}},
		{"short", 5, []string{"short"}},
		{"one two three", 8, []string{"one two", "three"}},
		{"one two\nthree", 8, []string{"one two", "three"}},
		{"one\ntwo three four", 14, []string{"one\ntwo three", "four"}}, // the line is too far back
		{"abcdefghij", 4, []string{"abcd", "efgh", "ij"}},
		{"éééééééééé", 4, []string{"éééé", "éééé", "éé"}},
		{"abc&amp;def", 5, []string{"abc", "&amp;", "def"}},
		{"ab &lt;&gt; cd", 9, []string{"ab &lt;", "&gt; cd"}},
		{"see <https://x.example|a long label> there", 20, []string{"see ", "<https://x.example|a", " long label> there"}}, // nowhere else
		{"see <https://x|a b> ok", 16, []string{"see ", "<https://x|a b>", "ok"}},
		{"a < b and c > d", 8, []string{"a < b", "and c >", "d"}},
	} {
		if diff := cmp.Diff(tc.want, splitSlack(tc.text, tc.most)); diff != "" {
			t.Errorf("%q at %d:\n%s", tc.text, tc.most, diff)
		}
	}
}

// Nothing is lost but breaks, nothing is too long, and no entity or link is cut.
func TestSplitSlackKeepsAll(t *testing.T) {
	words := []string{"a", "word", "&amp;", "&lt;!channel&gt;", "<https://x.example|b c>", "é", "🎉", "\n", " ", "\n\n", "&", "<", "*bold*"}
	r := rand.New(rand.NewSource(1)) // the same texts in every run
	for range 2_000 {
		var b strings.Builder
		for range r.Intn(60) {
			b.WriteString(words[r.Intn(len(words))])
		}
		text, most := b.String(), 30+r.Intn(40)
		parts := splitSlack(text, most)
		bare := func(s string) string { return strings.NewReplacer(" ", "", "\n", "").Replace(s) }
		if bare(strings.Join(parts, "")) != bare(text) {
			t.Fatalf("%q at %d became %q", text, most, parts)
		}
		for _, part := range parts {
			if utf8.RuneCountInString(part) > most {
				t.Fatalf("%q at %d: %q is too long", text, most, part)
			}
		}
		for _, whole := range []string{"&amp;", "&lt;", "&gt;", "<https://x.example|b c>"} {
			n := 0
			for _, part := range parts {
				n += strings.Count(part, whole)
			}
			if n != strings.Count(text, whole) {
				t.Fatalf("%q at %d cut a %s: %q", text, most, whole, parts)
			}
		}
	}
}

// A text that is too long for one message becomes several, in order; a crash
// repeats one of them at most.
func TestLongTexts(t *testing.T) {
	line := strings.Repeat("x", 99) + "\n"
	text := strings.Repeat(line, 1_000) // 100,000 characters
	for _, conn := range []map[string]any{with("channel", "ops"), with("token", "")} {
		w := newWorkspace(t, slacktest.Options{}, conn)
		if conn["token"] == "" {
			w.conn = connOf(t, w.kind, with("url", w.Webhook))
		}
		res, err := w.post(t, engine.Call{}, with("text", text))
		if err != nil || !strings.HasSuffix(res.Note, " in 3 messages") {
			t.Fatalf("%v %q", err, res.Note)
		}
		var all []string
		for _, m := range w.Messages() {
			all = append(all, m.Text)
		}
		if strings.Join(all, "\n") != strings.TrimSuffix(text, "\n")+"\n" || len(all) != 3 {
			t.Errorf("%d messages, not the text", len(all))
		}
	}
}

// In a thread, the first part is the root; the position is kept.
func TestLongTextInThread(t *testing.T) {
	w := newWorkspace(t, slacktest.Options{}, with("channel", "ops"))
	call := w.step(t, engine.Call{}, with("text", strings.Repeat("a", 40_000)+strings.Repeat("b", 40_000)+"c", "thread", "s1"))
	for range 2 { // the claim, the first part
		if res, err := w.once(t, call); err != nil || !res.Again {
			t.Fatalf("%v %v", res, err)
		}
	}
	w.Refuse(1, 503, "")
	if _, err := w.once(t, call); err == nil || engine.IsPermanent(err) {
		t.Fatal(err)
	}
	call.Attempt = 2 // it goes on where it was
	res, err := w.run(t, call)
	if err != nil {
		t.Fatal(err)
	}
	var first []string
	all := w.Messages()
	for _, m := range all {
		first = append(first, m.Text[:1])
	}
	if !slices.Equal(first, []string{"a", "b", "c"}) || all[2].ThreadTS != all[0].TS || !strings.Contains(string(res.Body), all[0].TS) {
		t.Errorf("%q %s", first, res.Body)
	}
}
