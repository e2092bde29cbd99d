package actions

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gavelhq/gavel/actions/slacktest"
	"github.com/gavelhq/gavel/engine"
)

// workspace is a fake Slack with a connection to it and state that remembers.
type workspace struct {
	*slacktest.Server
	kind  engine.ActionKind
	conn  any
	state stateOf
	steps int
}

func newWorkspace(t *testing.T, o slacktest.Options, conn map[string]any) *workspace {
	t.Helper()
	if o.Now == nil {
		o.Now = func() time.Time { return noon }
	}
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

// step is a call of a new step.
func (w *workspace) step(t *testing.T, call engine.Call, params map[string]any) engine.Call {
	t.Helper()
	with, err := json.Marshal(params)
	if err != nil {
		t.Fatal(err)
	}
	if call.Event == nil {
		call.Event = &engine.Event{Tenant: "default", Received: noon}
	}
	if w.steps++; call.Key == "" {
		call.Key = fmt.Sprintf("run-%d.then.0", w.steps)
	}
	if call.Via == "" {
		call.Via = "team"
	}
	call.With, call.Conn, call.State, call.Now, call.Rule = with, w.conn, w.state, noon, "joins"
	return call
}

// once makes one attempt; what it leaves is kept if it succeeds.
func (w *workspace) once(t *testing.T, call engine.Call) (engine.Result, error) {
	t.Helper()
	res, err := w.kind.Do(t.Context(), call)
	for key, value := range res.State {
		if value == nil {
			delete(w.state, "slack "+key)
			continue
		}
		w.state["slack "+key] = value
	}
	return res, err
}

// run runs a step as the engine does: again as long as it asks for that.
func (w *workspace) run(t *testing.T, call engine.Call) (engine.Result, error) {
	t.Helper()
	for range 20 {
		res, err := w.once(t, call)
		if err != nil || !res.Again {
			return res, err
		}
		call.Uncertain = false
	}
	t.Fatal("the step does not end")
	return engine.Result{}, nil
}

func (w *workspace) post(t *testing.T, call engine.Call, params map[string]any) (engine.Result, error) {
	t.Helper()
	return w.run(t, w.step(t, call, params))
}

// shown are the messages, a line each: its number, its channel, the number of
// the root it answers, its text and what else there is to it.
func (w *workspace) shown() []string {
	all := w.Messages()
	var lines []string
	for i, m := range all {
		line := fmt.Sprintf("%d %s", i+1, m.Channel)
		if m.ThreadTS != "" {
			line += fmt.Sprintf(">%d", 1+slices.IndexFunc(all, func(x slacktest.Message) bool { return x.TS == m.ThreadTS }))
		}
		line += " " + m.Text
		if m.Blocks != nil {
			line += " [blocks]"
		}
		if m.Broadcast {
			line += " [also]"
		}
		if m.Edits > 0 {
			line += fmt.Sprintf(" [%d edits]", m.Edits)
		}
		for _, r := range m.Reactions {
			line += " :" + r + ":"
		}
		lines = append(lines, line)
	}
	return lines
}

// with makes parameters of key, value, ….
func with(pairs ...any) map[string]any {
	m := map[string]any{}
	for i := 0; i+1 < len(pairs); i += 2 {
		m[pairs[i].(string)] = pairs[i+1]
	}
	return m
}

func TestSlackSteps(t *testing.T) {
	for _, tc := range []struct {
		about string
		steps []map[string]any // a "delete" deletes the message of that number
		notes string           // of the last step
		want  []string
	}{
		{"an opener is the root, once", []map[string]any{
			with("text", "Ana", "thread", "s1", "opener", "Weekly"), with("text", "Bob", "thread", "s1", "opener", "Weekly"),
		}, "posted to a thread in #ops", []string{"1 ops Weekly", "2 ops>1 Ana", "3 ops>1 Bob"}},
		{"an answer for the channel, too", []map[string]any{
			with("text", "live", "thread", "s1"), with("text", "over", "thread", "s1", "also_to_channel", true),
		}, "posted to a thread in #ops", []string{"1 ops live", "2 ops>1 over [also]"}},
		{"the first of a thread is in the channel anyway", []map[string]any{
			with("text", "live", "thread", "s1", "also_to_channel", true),
		}, "posted to #ops", []string{"1 ops live"}},
		{"update posts, then edits", []map[string]any{
			with("text", "live", "update", "s1"), with("text", "live, 9 people", "update", "s1"), with("text", "ended", "update", "s1"),
		}, "edited the message in #ops", []string{"1 ops ended [2 edits]"}},
		{"update edits the root of a thread", []map[string]any{
			with("text", "live", "thread", "s1"), with("text", "Ana", "thread", "s1"), with("text", "ended", "update", "s1"), with("text", "late", "thread", "s1"),
		}, "posted to a thread in #ops", []string{"1 ops ended [1 edits]", "2 ops>1 Ana", "3 ops>1 late"}},
		{"and the other way round", []map[string]any{
			with("text", "live", "update", "s1"), with("text", "Ana", "thread", "s1"),
		}, "posted to a thread in #ops", []string{"1 ops live", "2 ops>1 Ana"}},
		{"a message in a thread that is edited", []map[string]any{
			with("text", "live", "thread", "s1"), with("text", "1 person", "thread", "s1", "update", "s1 people"), with("text", "2 people", "thread", "s1", "update", "s1 people"),
		}, "edited the message in #ops", []string{"1 ops live", "2 ops>1 2 people [1 edits]"}},
		{"a deleted message is posted anew, and remembered", []map[string]any{
			with("text", "live", "update", "s1"), with("delete", 1), with("text", "still live", "update", "s1"), with("text", "ended", "update", "s1"),
		}, "edited the message in #ops", []string{"1 ops ended [1 edits]"}},
		{"a thread whose root was deleted begins anew", []map[string]any{
			with("text", "live", "thread", "s1"), with("delete", 1), with("text", "Ana", "thread", "s1"), with("text", "Bob", "thread", "s1"),
		}, "posted to a thread in #ops", []string{"1 ops Ana", "2 ops>1 Bob"}},
		{"an edit takes the blocks away", []map[string]any{
			with("text", "live", "update", "s1", "fields", []any{with("Host", "Ana")}), with("text", "ended", "update", "s1"),
		}, "edited the message in #ops", []string{"1 ops ended [1 edits]"}},
		{"a reaction, twice", []map[string]any{
			with("text", "live", "thread", "s1"), with("react", "white_check_mark", "to_message", "s1"), with("react", ":white_check_mark:", "to_message", "s1"),
		}, "reacted with :white_check_mark: in #ops", []string{"1 ops live :white_check_mark:"}},
		{"a direct message, with a thread of its own", []map[string]any{
			with("text", "hi", "to", "Maria@acme.com", "thread", "s1"), with("text", "again", "to", "maria@acme.com", "thread", "s1"), with("text", "done", "to", "maria@acme.com", "update", "s1"),
		}, "edited the message in maria@acme.com", []string{"1 U012MARIA done [1 edits]", "2 U012MARIA>1 again"}},
		{"keys are of a channel", []map[string]any{
			with("text", "a", "thread", "s1"), with("text", "b", "thread", "s1", "channel", "vip"), with("text", "c", "thread", "s1", "channel", "#vip"),
		}, "posted to a thread in #vip", []string{"1 ops a", "2 vip b", "3 vip>2 c"}},
		{"an empty key is none", []map[string]any{with("text", "a", "thread", ""), with("text", "b", "thread", "")},
			"posted to #ops", []string{"1 ops a", "2 ops b"}},
	} {
		w := newWorkspace(t, slacktest.Options{People: map[string]string{"maria@acme.com": "U012MARIA"}}, with("channel", "ops"))
		note := ""
		for i, params := range tc.steps {
			if n, ok := params["delete"].(int); ok {
				w.Delete(w.Messages()[n-1].TS)
				continue
			}
			res, err := w.post(t, engine.Call{}, params)
			if err != nil {
				t.Fatalf("%s: step %d: %v", tc.about, i+1, err)
			}
			note = res.Note
		}
		if diff := cmp.Diff(tc.want, w.shown()); diff != "" || note != tc.notes {
			t.Errorf("%s: %q, want %q\n%s", tc.about, note, tc.notes, diff)
		}
		for key := range w.state {
			if strings.HasPrefix(key, "slack run-") {
				t.Errorf("%s: the position %s is left behind", tc.about, key)
			}
		}
	}
}

// An address is looked up once a day: it may be given to somebody else.
func TestSlackPeople(t *testing.T) {
	w := newWorkspace(t, slacktest.Options{}, nil)
	for i, tc := range []struct {
		after time.Duration
		calls int
	}{{0, 1}, {time.Hour, 1}, {25 * time.Hour, 2}} {
		call := w.step(t, engine.Call{}, with("text", "x", "to", "maria@acme.com"))
		call.Now = noon.Add(tc.after)
		if _, err := w.run(t, call); err != nil {
			t.Fatal(err)
		}
		if n := w.Calls("users.lookupByEmail"); n != tc.calls {
			t.Errorf("step %d: looked up %d times, want %d", i, n, tc.calls)
		}
	}
}

// Two workspaces may have the same channels and keys.
func TestSlackWorkspaces(t *testing.T) {
	later := func() time.Time { return noon.Add(time.Hour) } // the same stamps would hide a mix-up
	a, b := newWorkspace(t, slacktest.Options{}, nil), newWorkspace(t, slacktest.Options{Now: later}, nil)
	b.state = a.state // of the one server
	for range 2 {
		for via, w := range map[string]*workspace{"a": a, "b": b} {
			if _, err := w.post(t, engine.Call{Via: via}, with("text", "x", "channel", "ops", "thread", "s1", "to", "")); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, w := range []*workspace{a, b} {
		if diff := cmp.Diff([]string{"1 ops x", "2 ops>1 x"}, w.shown()); diff != "" {
			t.Error(diff)
		}
	}
}

// The channel of a message may be gone: then the message is posted anew.
func TestSlackChannelGone(t *testing.T) {
	w := newWorkspace(t, slacktest.Options{Channels: map[string]string{"ops": ""}}, with("channel", "ops"))
	w.state["slack default/team/ops/s1"] = json.RawMessage(`{"ts":"1.2","channel":"C0OTHERONE"}`)
	for _, text := range []string{"live", "ended"} {
		if _, err := w.post(t, engine.Call{}, with("text", text, "update", "s1")); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"1 ops ended [1 edits]"}, w.shown()); diff != "" {
		t.Error(diff)
	}
}

// What was kept before channels were: the thread goes on, the message cannot be
// edited.
func TestSlackOldState(t *testing.T) {
	w := newWorkspace(t, slacktest.Options{}, with("channel", "ops"))
	if _, err := w.post(t, engine.Call{}, with("text", "live")); err != nil {
		t.Fatal(err)
	}
	w.state["slack default/team/ops/s1"] = json.RawMessage(`{"ts":"` + w.Messages()[0].TS + `"}`)
	for _, params := range []map[string]any{with("text", "Ana", "thread", "s1"), with("text", "ended", "update", "s1"), with("text", "over", "update", "s1")} {
		if _, err := w.post(t, engine.Call{}, params); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"1 ops live", "2 ops>1 Ana", "3 ops over [1 edits]"}, w.shown()); diff != "" {
		t.Error(diff)
	}
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
		{nil, map[string]any{"channel": "nowhere", "text": "x"}, "slack #nowhere: channel_not_found: no such channel, or a private one without the bot: check the name, or invite the bot: /invite @umpire", false},
		{nil, map[string]any{"channel": "private", "text": "x"}, "slack #private: not_in_channel: invite the bot: /invite @umpire", false},
		{nil, map[string]any{"channel": "old", "text": "x"}, "slack #old: is_archived: the channel is archived: use another one, or restore it", false},
		{nil, map[string]any{"channel": "busy", "text": "x"}, "slack #busy: fatal_error", true},
		{nil, map[string]any{"channel": "odd", "text": "x"}, "slack #odd: no_such_word: " + unknownHint, true},
		{nil, map[string]any{"channel": "ops", "text": " "}, "slack: the text is empty", false},
		{nil, with("channel", "ops", "text", "x", "to", "maria"), `slack: to: "maria" is no e-mail address`, false},
		{nil, with("to", "nobody@acme.com", "text", "x"), "slack nobody@acme.com: users_not_found: nobody in the workspace has this e-mail address", false},
		{nil, with("channel", "ops", "react", "eyes"), "slack: to_message is empty: it is the key of the message to react to", false},
		{nil, with("channel", "ops", "react", "👍", "to_message", "s9"), `slack: react: "👍" is no name of an emoji: it is what Slack shows between colons, like thumbsup`, false},
		{nil, with("channel", "ops", "text", "x", "blocks", "a text"), "slack: blocks is not a list", false},
		{nil, with("channel", "ops", "react", "eyes", "to_message", "s9"), `slack #ops: there is no message with the key "s9" yet`, true},
		{nil, with("channel", "ops", "text", strings.Repeat("é", 4001), "update", "s1"), "slack: the text has 4001 characters, Slack takes 4000 when a message is edited: post a summary and a link", false},
		{nil, with("channel", "ops", "text", strings.Repeat("é", 40_001), "blocks", []any{}), "slack: the text has 40001 characters, Slack takes 40000: post a summary and a link", false},
		{nil, with("channel", "ops", "text", "x", "thread", "s1", "opener", strings.Repeat("é", 40_001)), "slack: the opener is longer than 40000 characters: shorten it", false},
		{nil, map[string]any{"text": "x"}, "slack: the channel is empty: give the step or its connection a channel", false},
		{map[string]any{"token": "xoxb-wrong"}, map[string]any{"channel": "ops", "text": "x"}, "slack #ops: invalid_auth: Slack does not accept the token: check the connection's token", false},
		{map[string]any{"token": ""}, map[string]any{"channel": "ops", "text": "x"}, "slack: the connection needs either token or url", false},
		{nil, map[string]any{"channel": "ops", "text": "x", "blocks": []any{map[string]any{"type": "header", "text": map[string]any{"type": "plain_text", "text": strings.Repeat("x", 151)}}}},
			"slack: blocks[0].text.text: 151 characters, Slack takes 150", false},
	} {
		w := newWorkspace(t, slacktest.Options{Token: "xoxb-fake", Bot: "umpire", Channels: channels, People: map[string]string{}}, tc.conn)
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
	if got := slackLane([]byte(`{"channel":"ops"}`), a); got.Every != time.Second || got.Burst != 5 {
		t.Errorf("the pace of a channel is %s, %d at once", got.Every, got.Burst)
	}
	hook := &slackConn{URL: engine.NewSecret("https://hooks.slack.com/services/a/b/c")}
	if got := slackLane([]byte(`{}`), hook); got.Name == "" || got.Every != time.Second {
		t.Errorf("the lane of a webhook is %v", got)
	}
	for with, want := range map[string]bool{`{"channel":"#ops"}`: true, `{}`: true, `{"channel":"vip"}`: false} {
		if got := lane(a, with) == same; got != want {
			t.Errorf("%s: same lane %v", with, got)
		}
	}
}
