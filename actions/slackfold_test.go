package actions

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gavelhq/gavel/actions/slacktest"
	"github.com/gavelhq/gavel/engine"
)

// behind makes the steps that wait behind one, a text or parameters each.
func (w *workspace) behind(t *testing.T, all ...any) []engine.Behind {
	t.Helper()
	var list []engine.Behind
	for i, x := range all {
		params, ok := x.(map[string]any)
		if !ok {
			params = with("text", x)
		}
		tenant := "default"
		if other, ok := params["tenant"].(string); ok {
			tenant = other
			delete(params, "tenant")
		}
		call := w.step(t, engine.Call{Key: fmt.Sprintf("wait-%d", i+1)}, params)
		list = append(list, engine.Behind{Key: call.Key, Tenant: tenant, With: call.With})
	}
	return list
}

const foldedLine = " messages in one: they came faster than Slack takes them_\n"

func TestSlackFolds(t *testing.T) {
	root := with("text", "live", "thread", "s1")
	long := strings.Repeat("x", 2_500)
	for _, tc := range []struct {
		about  string
		before map[string]any // a step that is done already
		head   any
		behind []any
		want   string // the last message
		folded string
	}{
		{"plain texts of a channel", nil, "a", []any{"b", "c", "d", "e", "f"}, "_6" + foldedLine + "a\nb\nc\nd\ne\nf", "wait-1 wait-2 wait-3 wait-4 wait-5"},
		{"nobody behind", nil, "a", nil, "a", ""},
		{"whole texts, as many as fit", nil, "a", []any{"b", long, long, "c"}, "_3" + foldedLine + "a\nb\n" + long, "wait-1 wait-2"},
		{"none fits", nil, long, []any{long, "c"}, long, ""},
		{"in a thread", root, with("text", "a", "thread", "s1"), []any{with("text", "b", "thread", "s1"), with("text", "c", "thread", "s1", "opener", "live")},
			"_3" + foldedLine + "a\nb\nc", "wait-1 wait-2"},
		{"the root is alone", nil, with("text", "a", "thread", "s1"), []any{with("text", "b", "thread", "s1")}, "a", ""},
		{"others of the channel are passed over", root, with("text", "a", "thread", "s1"), []any{"x", with("text", "y", "thread", "s2"), with("text", "b", "thread", "s1")},
			"_2" + foldedLine + "a\nb", "wait-3"},
		{"the same key of another tenant is another thread", root, with("text", "a", "thread", "s1"), []any{with("text", "b", "thread", "s1", "tenant", "x"), with("text", "c", "thread", "s1")},
			"_2" + foldedLine + "a\nc", "wait-2"},
		{"blocks are not overtaken", nil, "a", []any{"b", with("text", "c", "fields", []any{with("x", "y")}), "d"}, "_2" + foldedLine + "a\nb", "wait-1"},
		{"an edit is not overtaken", nil, "a", []any{with("text", "c", "update", "k"), "d"}, "a", ""},
		{"a reaction is not overtaken", nil, "a", []any{with("react", "eyes", "to_message", "k"), "d"}, "a", ""},
		{"an edit folds nothing", nil, with("text", "a", "update", "k"), []any{"b", "c"}, "a", ""},
		{"fields fold nothing", nil, with("text", "a", "fields", []any{with("x", "y")}), []any{"b", "c"}, "a\nx: y", ""},
		{"an answer for the channel folds nothing", root, with("text", "a", "thread", "s1", "also_to_channel", true), []any{with("text", "b", "thread", "s1")}, "a", ""},
		{"a text of several messages folds nothing", nil, strings.Repeat("x", 40_001), []any{"b"}, "x", ""},
	} {
		w := newWorkspace(t, slacktest.Options{}, with("channel", "ops"))
		if tc.before != nil {
			if _, err := w.post(t, engine.Call{}, tc.before); err != nil {
				t.Fatal(err)
			}
		}
		head, ok := tc.head.(map[string]any)
		if !ok {
			head = with("text", tc.head)
		}
		res, err := w.post(t, engine.Call{Behind: w.behind(t, tc.behind...)}, head)
		if err != nil {
			t.Fatalf("%s: %v", tc.about, err)
		}
		all := w.Messages()
		if got := all[len(all)-1].Text; got != tc.want {
			t.Errorf("%s: %q, want %q", tc.about, got, tc.want)
		}
		if got := strings.Join(res.Folded, " "); got != tc.folded {
			t.Errorf("%s: folded %s, want %s", tc.about, got, tc.folded)
		}
		if n := len(res.Folded); n > 0 && !strings.HasSuffix(res.Note, fmt.Sprintf(", in one message with %d more", n)) {
			t.Errorf("%s: %q", tc.about, res.Note)
		}
		for key := range w.state {
			if strings.HasPrefix(key, "slack wait-") || strings.HasPrefix(key, "slack run-") {
				t.Errorf("%s: %s is left behind", tc.about, key)
			}
		}
	}
}

// Killed between posting a message of several steps and recording it, each of
// them finds its text there, whoever comes first.
func TestSlackFoldsOnce(t *testing.T) {
	for _, first := range []string{"the head", "one of the others"} {
		w := newWorkspace(t, slacktest.Options{}, with("channel", "ops"))
		head := w.step(t, engine.Call{}, with("text", "a"))
		head.Behind = w.behind(t, "b", "c")
		res, err := w.once(t, head)
		if err != nil || !res.Again {
			t.Fatal(res, err)
		}
		if _, err := w.kind.Do(t.Context(), head); err != nil { // posted, and never recorded
			t.Fatal(err)
		}
		var order []engine.Call
		for _, b := range head.Behind {
			order = append(order, w.step(t, engine.Call{Key: b.Key}, with("text", string(rune('b'+len(order))))))
		}
		again := head
		again.Uncertain, again.Behind = true, nil
		if first == "the head" {
			order = slices.Insert(order, 0, again)
		} else {
			order = append(order, again)
		}
		for _, call := range order {
			res, err := w.run(t, call)
			if err != nil || !strings.HasSuffix(res.Note, ", and found there after an interruption") {
				t.Errorf("%s first, %s: %v %q", first, call.Key, err, res.Note)
			}
		}
		if diff := cmp.Diff([]string{"1 ops _3" + foldedLine + "a\nb\nc"}, w.shown()); diff != "" {
			t.Errorf("%s first: %s", first, diff)
		}
		if len(w.state) != 1 { // the id of the channel
			t.Errorf("%s first: %v is left", first, w.state)
		}
	}
}

// A message that was refused is posted without those that found it out
// themselves meanwhile.
func TestSlackFoldRefused(t *testing.T) {
	w := newWorkspace(t, slacktest.Options{}, with("channel", "ops"))
	head := w.step(t, engine.Call{}, with("text", "a"))
	head.Behind = w.behind(t, "b", "c")
	if _, err := w.once(t, head); err != nil {
		t.Fatal(err)
	}
	w.Refuse(1, 429, "3")
	if _, err := w.once(t, head); err == nil {
		t.Fatal("not refused")
	}
	if _, err := w.run(t, w.step(t, engine.Call{Key: "wait-1"}, with("text", "b"))); err != nil {
		t.Fatal(err)
	}
	head.Attempt, head.Behind = 2, head.Behind[1:]
	if _, err := w.run(t, head); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"1 ops b", "2 ops _2" + foldedLine + "a\nc"}, w.shown()); diff != "" {
		t.Error(diff)
	}
}

// A step that has sent something already is not folded.
func TestSlackFoldsNothingBegun(t *testing.T) {
	w := newWorkspace(t, slacktest.Options{}, with("channel", "ops"))
	head := w.step(t, engine.Call{}, with("text", "a"))
	head.Behind = w.behind(t, "b", "c")
	w.state["slack wait-2"] = []byte(`{"unsure":true}`)
	res, err := w.run(t, head)
	if err != nil || !slices.Equal(res.Folded, []string{"wait-1"}) || w.state["slack wait-2"] == nil {
		t.Errorf("%v %q %s", err, res.Folded, w.state["slack wait-2"])
	}
}

// The fake's pace is Slack's: a message a second, and a few at once.
func TestSlackPace(t *testing.T) {
	now := noon
	w := newWorkspace(t, slacktest.Options{Every: time.Second, Burst: 2, Now: func() time.Time { return now }}, with("channel", "ops"))
	var got []string
	for range 4 {
		_, err := w.post(t, engine.Call{}, with("text", "x"))
		d, _ := engine.RetryDelay(err)
		got = append(got, d.String())
	}
	now = now.Add(time.Second)
	_, err := w.post(t, engine.Call{}, with("text", "x"))
	if _, other := w.post(t, engine.Call{}, with("text", "x", "channel", "vip")); err != nil || other != nil {
		t.Error(err, other)
	}
	if diff := cmp.Diff([]string{"0s", "0s", "1s", "1s"}, got); diff != "" {
		t.Error(diff)
	}
}
