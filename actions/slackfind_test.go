package actions

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gavelhq/gavel/actions/slacktest"
	"github.com/gavelhq/gavel/engine"
)

// After a crash between posting and recording, the message is looked for.
func TestSlackInterrupted(t *testing.T) {
	const foundNote, twice, skipped = ", and found there after an interruption", "; an earlier attempt may have posted it too", "may have been posted by an interrupted attempt, not repeated"
	noHistory := []string{"chat:write", "channels:read"}
	noNames := []string{"chat:write", "channels:history"}
	for _, tc := range []struct {
		about   string
		scopes  []string
		webhook bool
		sent    bool // the interrupted attempt had posted
		known   bool // something was posted to the channel before
		params  map[string]any
		note    string // its end
		n       int    // messages of the step
	}{
		{"found", nil, false, true, true, with(), foundNote, 1},
		{"not there", nil, false, false, true, with(), "posted to #ops", 1},
		{"found in a channel whose id is asked for", nil, false, true, false, with(), foundNote, 1},
		{"in a thread", nil, false, true, true, with("thread", "s0"), foundNote, 1},
		{"the root of a thread", nil, false, true, true, with("thread", "s1"), foundNote, 1},
		{"a message that is edited later", nil, false, true, true, with("update", "s1"), foundNote, 1},
		{"an id is a channel", nil, false, true, false, with("channel", "C0123456789"), foundNote, 1},
		{"no scope to read", noHistory, false, true, true, with(), twice, 2},
		{"no scope to find the channel", noNames, false, true, false, with(), twice, 2},
		{"no scope, skip", noHistory, false, true, true, with("if_unsure", "skip"), skipped, 1},
		{"no scope, skip, it was not there", noHistory, false, false, true, with("if_unsure", "skip"), skipped, 0},
		{"skip asks first", nil, false, false, true, with("if_unsure", "skip"), "posted to #ops", 1},
		{"a webhook", nil, true, true, true, with(), twice, 2},
		{"a webhook, skip", nil, true, true, true, with("if_unsure", "skip"), skipped, 1},
	} {
		w := newWorkspace(t, slacktest.Options{Scopes: tc.scopes}, with("channel", "ops"))
		if tc.webhook {
			w.conn = connOf(t, w.kind, with("url", w.Webhook))
		}
		before := 0
		if tc.known {
			params := with("text", "before")
			if !tc.webhook {
				params["thread"] = "s0"
			}
			if _, err := w.post(t, engine.Call{}, params); err != nil {
				t.Fatal(err)
			}
			before = 1
		}
		tc.params["text"] = "x"
		call := w.step(t, engine.Call{}, tc.params)
		for {
			res, err := w.kind.Do(t.Context(), call)
			if err != nil {
				t.Fatal(err)
			}
			if !res.Again {
				break // posted, and never recorded
			}
			for key, value := range res.State {
				w.state["slack "+key] = value
			}
		}
		if !tc.sent {
			all := w.Messages()
			w.Delete(all[len(all)-1].TS)
		}
		call.Uncertain = true
		res, err := w.run(t, call)
		if err != nil || !strings.HasSuffix(res.Note, tc.note) {
			t.Errorf("%s: %v %q, want …%s", tc.about, err, res.Note, tc.note)
		}
		if got := len(w.Messages()) - before; got != tc.n {
			t.Errorf("%s: %d messages, want %d", tc.about, got, tc.n)
		}
	}
}

// Killed between posting the root of a thread and recording it, another run may
// be first to come back: it finds the root.
func TestSlackRootOfAnother(t *testing.T) {
	for _, opener := range []string{"", "Weekly"} {
		w := newWorkspace(t, slacktest.Options{}, with("channel", "ops"))
		params := with("text", "Ana", "thread", "s1", "opener", opener)
		a := w.step(t, engine.Call{}, params)
		if res, err := w.once(t, a); err != nil || !res.Again { // claims the root
			t.Fatal(res, err)
		}
		if _, err := w.kind.Do(t.Context(), a); err != nil { // posted, and never recorded
			t.Fatal(err)
		}
		if _, err := w.post(t, engine.Call{}, with("text", "Bob", "thread", "s1", "opener", opener)); err != nil {
			t.Fatal(err)
		}
		a.Uncertain = true
		if _, err := w.run(t, a); err != nil {
			t.Fatal(err)
		}
		want := []string{"1 ops Ana", "2 ops>1 Bob"}
		if opener != "" {
			want = []string{"1 ops Weekly", "2 ops>1 Bob", "3 ops>1 Ana"}
		}
		if diff := cmp.Diff(want, w.shown()); diff != "" {
			t.Errorf("opener %q: %s", opener, diff)
		}
	}
}

// A step that claimed a root and failed leaves it to the next.
func TestSlackRootOfAFailed(t *testing.T) {
	for _, scopes := range [][]string{nil, {"chat:write"}} {
		w := newWorkspace(t, slacktest.Options{Scopes: scopes}, with("channel", "ops"))
		if res, err := w.once(t, w.step(t, engine.Call{}, with("text", "Ana", "thread", "s1"))); err != nil || !res.Again {
			t.Fatal(res, err)
		}
		for _, text := range []string{"Bob", "Cem"} {
			if _, err := w.post(t, engine.Call{}, with("text", text, "thread", "s1")); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff([]string{"1 ops Bob", "2 ops>1 Cem"}, w.shown()); diff != "" {
			t.Error(diff)
		}
	}
}

// An attempt that got no answer may have posted, too: the next one looks first,
// and if_unsure decides where it cannot. One that was refused has posted nothing.
func TestSlackBrokenOff(t *testing.T) {
	blind := []string{"chat:write", "channels:read"}
	const twice, skipped = "; an earlier attempt may have posted it too", "may have been posted by an interrupted attempt, not repeated"
	for _, tc := range []struct {
		about  string
		scopes []string
		skip   bool
		status int // Slack answers so, and posts nothing; 0: it posts, and does not answer
		note   string
		n      int  // messages
		looks  bool // in the channel
	}{
		{"no answer", nil, false, 0, "posted to #ops, and found there after an interruption", 1, true},
		{"no answer, nor a scope to look", blind, false, 0, twice, 2, true},
		{"no answer, nor a scope to look, skip", blind, true, 0, skipped, 1, true},
		{"something broke", nil, false, 500, "posted to #ops", 1, true},
		{"something broke, skip", blind, true, 502, skipped, 0, true},
		{"too fast", nil, true, 429, "posted to #ops", 1, false},
		{"too fast, nor a scope to look", blind, true, 429, "posted to #ops", 1, false},
		{"not now", blind, true, 503, "posted to #ops", 1, false},
		{"no connection", blind, true, -1, "posted to #ops", 1, false},
	} {
		breaks := tc.status == 0
		w := newWorkspace(t, slacktest.Options{Scopes: tc.scopes, Channels: map[string]string{"ops": ""}, OnMessage: func(slacktest.Message) {
			if breaks {
				breaks = false
				panic(http.ErrAbortHandler)
			}
		}}, with("channel", "ops"))
		params := with("text", "x")
		if tc.skip {
			params["if_unsure"] = "skip"
		}
		call := w.step(t, engine.Call{}, params)
		there := call.Conn
		switch {
		case tc.status > 0:
			w.Refuse(1, tc.status, "")
		case tc.status < 0:
			call.Conn = connOf(t, w.kind, with("token", "xoxb-fake", "api", "http://127.0.0.1:1/", "channel", "ops"))
		}
		if _, err := w.run(t, call); err == nil || engine.IsPermanent(err) {
			t.Fatalf("%s: %v", tc.about, err)
		}
		call.Attempt, call.Conn = 2, there
		res, err := w.run(t, call)
		if err != nil || !strings.HasSuffix(res.Note, tc.note) || len(w.Messages()) != tc.n {
			t.Errorf("%s: %v %q, %d messages", tc.about, err, res.Note, len(w.Messages()))
		}
		if asked := w.Calls("conversations.history") + w.Calls("users.conversations"); (asked > 0) != tc.looks {
			t.Errorf("%s: looked %d times", tc.about, asked)
		}
	}
}

// Only the message that an attempt may have posted is looked for.
func TestSlackLooksOnce(t *testing.T) {
	w := newWorkspace(t, slacktest.Options{}, with("channel", "ops"))
	call := w.step(t, engine.Call{}, with("text", strings.Repeat("x", maxSlackText)+"y"))
	call.Uncertain = true
	if _, err := w.run(t, call); err != nil || len(w.Messages()) != 2 || w.Calls("users.conversations") != 1 {
		t.Errorf("%v, %d messages, asked %d times", err, len(w.Messages()), w.Calls("users.conversations"))
	}
	if n := w.Calls("conversations.history"); n > 1 {
		t.Errorf("looked %d times", n)
	}
}

// While Slack cannot be asked for the moment, nothing is decided.
func TestSlackStaysUnsure(t *testing.T) {
	w := newWorkspace(t, slacktest.Options{}, with("channel", "ops", "if_unsure", "skip"))
	if _, err := w.post(t, engine.Call{}, with("text", "before")); err != nil {
		t.Fatal(err)
	}
	call := w.step(t, engine.Call{}, with("text", "x", "if_unsure", "skip"))
	call.Uncertain = true
	if res, err := w.once(t, call); err != nil || !res.Again {
		t.Fatal(res, err)
	}
	call.Uncertain = false
	w.Refuse(1, 503, "9")
	if _, err := w.once(t, call); err == nil || engine.IsPermanent(err) {
		t.Fatal(err)
	}
	call.Attempt = 2
	if res, err := w.run(t, call); err != nil || res.Note != "posted to #ops" {
		t.Errorf("%v %q", err, res.Note)
	}
}

// What is further back than a few pages is not found, and not taken for absent.
func TestSlackLooksNotForever(t *testing.T) {
	w := newWorkspace(t, slacktest.Options{}, with("channel", "ops"))
	call := w.step(t, engine.Call{}, with("text", "x"))
	if _, err := w.kind.Do(t.Context(), call); err != nil {
		t.Fatal(err)
	}
	for range findPages*findLimit + 1 {
		if _, err := w.post(t, engine.Call{}, with("text", "other")); err != nil {
			t.Fatal(err)
		}
	}
	call.Uncertain = true
	res, err := w.run(t, call)
	if err != nil || !strings.HasSuffix(res.Note, "may have posted it too") {
		t.Errorf("%v %q", err, res.Note)
	}
}

// Only what came after the event can be the step's message.
func TestSlackLooksSinceTheEvent(t *testing.T) {
	now := noon.Add(-time.Hour)
	w := newWorkspace(t, slacktest.Options{Now: func() time.Time { return now }}, with("channel", "ops"))
	call := w.step(t, engine.Call{}, with("text", "x"))
	if _, err := w.kind.Do(t.Context(), call); err != nil {
		t.Fatal(err)
	}
	now = noon
	call.Uncertain = true
	if _, err := w.run(t, call); err != nil || len(w.Messages()) != 2 {
		t.Errorf("%v, %d messages", err, len(w.Messages()))
	}
}
