package actions

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gavelhq/gavel/actions/slacktest"
	"github.com/gavelhq/gavel/engine"
)

func TestProbeSlack(t *testing.T) {
	step := func(pairs ...any) engine.CheckInput {
		return engine.CheckInput{With: with(pairs...), Dynamic: map[string]bool{}}
	}
	dynamic := engine.CheckInput{With: with("text", "x"), Dynamic: map[string]bool{"channel": true}}
	channels := map[string]string{"ops": "", "vip": "not_in_channel", "old": "is_archived", "board": "", "C0123456789": ""}
	token := "token of the workspace Fake, bot gavel"
	for _, tc := range []struct {
		about   string
		scopes  string // "" is all
		conn    map[string]any
		steps   []engine.CheckInput
		want    []string
		private []string
	}{
		{"all is well", "", with("channel", "ops"), []engine.CheckInput{step("text", "x", "channel", "#ops"), step("text", "x", "channel", "board")},
			[]string{token, "scopes are there", "#board: the bot is a member", "#ops: the bot is a member"}, []string{"board"}},
		{"channels of all kinds", "", with("channel", "ops"), []engine.CheckInput{step("text", "x", "channel", "vip"), step("text", "x", "channel", "old"), step("text", "x", "channel", "gone"), step("text", "x", "channel", "C0123456789"), dynamic, dynamic},
			[]string{token, "scopes are there", "C0123456789 (#C0123456789): the bot is a member",
				"BAD #gone: channel_not_found → no such channel, or a private one without the bot: check the name, or invite the bot: /invite @gavel",
				"BAD #old: is_archived → use another one, or restore it", "#ops: the bot is a member", "BAD #vip: not_in_channel → invite the bot: /invite @gavel",
				"2 steps take the channel from the event: not looked at"}, nil},
		{"public channels need no member with the scope for it", "chat:write,chat:write.public,channels:read,channels:history,groups:read", nil, []engine.CheckInput{step("text", "x", "channel", "vip")},
			[]string{token, "scopes are there", "#vip: public, the bot may post without being a member"}, nil},
		{"no scope for private channels", "chat:write,channels:read,channels:history", nil, []engine.CheckInput{step("text", "x", "channel", "ops"), step("text", "x", "channel", "board")},
			[]string{token, "scopes are there",
				"BAD #board: channel_not_found among the public ones → check the name; for a private channel give the app the bot scope groups:read to have it looked at",
				"#ops: the bot is a member"}, []string{"board"}},
		{"no scope for channels", "chat:write,channels:history", with("channel", "ops"), []engine.CheckInput{step("text", "x"), step("text", "x", "channel", "vip")},
			[]string{token, "scopes are there", "! 2 channels were not looked at: missing_scope → give the app the bot scopes channels:read and groups:read"}, nil},
		{"an id without a scope", "chat:write,channels:history", nil, []engine.CheckInput{step("text", "x", "channel", "C0123456789")},
			[]string{token, "scopes are there", "! C0123456789 could not be looked at: missing_scope → give the app the bot scope channels:read, and groups:read for private channels"}, nil},
		{"scopes that steps need", "channels:read,groups:read", with("channel", "ops"), []engine.CheckInput{step("react", "eyes", "to_message", "k"), step("text", "x", "to", "maria@acme.com")},
			[]string{token, "BAD the token lacks the scope chat:write, to post and to edit messages → give the app the bot scope chat:write and install it again",
				"BAD the token lacks the scope users:read.email, to find people by e-mail address → give the app the bot scope users:read.email and install it again",
				"BAD the token lacks the scope reactions:write, to react → give the app the bot scope reactions:write and install it again",
				"#ops: the bot is a member"}, nil},
		{"no scope to look for messages", "chat:write,channels:read,groups:read", with("channel", "ops"), nil,
			[]string{token, "! scopes are there; without channels:history a message may be posted twice after a crash → give the app the bot scope channels:history, and groups:history for private channels",
				"#ops: the bot is a member"}, nil},
		{"people", "", nil, []engine.CheckInput{step("text", "x", "to", "maria@acme.com"), step("text", "x", "to", "maria@acme.com"), step("text", "x", "to", "gone@acme.com")},
			[]string{token, "scopes are there", "maria@acme.com: found", "BAD gone@acme.com: users_not_found → nobody in the workspace has this e-mail address"}, nil},
		{"a wrong token", "", with("token", "xoxb-wrong"), []engine.CheckInput{step("text", "x", "channel", "ops")},
			[]string{"BAD token: invalid_auth → Slack does not accept the token: check the connection's token"}, nil},
		{"a webhook", "", with("token", "", "url", "https://hooks.slack.com/services/T1/B1/x"), nil,
			[]string{"! webhook at hooks.slack.com: nothing but posting can tell whether it works → gavel slack test --send posts a message"}, nil},
		{"half a webhook", "", with("token", "", "url", "https://hooks.slack.com/services"), nil,
			[]string{"BAD the webhook's url is not whole → it looks like https://hooks.slack.com/services/T…/B…/…"}, nil},
		{"no webhook", "", with("token", "", "url", "xoxb-1"), nil,
			[]string{"BAD the webhook's url is not a web address → it looks like https://hooks.slack.com/services/…"}, nil},
	} {
		o := slacktest.Options{Token: "xoxb-fake", Channels: channels, Private: tc.private, People: map[string]string{"maria@acme.com": "U012MARIA"}}
		if tc.scopes != "" {
			o.Scopes = strings.Split(tc.scopes, ",")
		}
		w := newWorkspace(t, o, tc.conn)
		if diff := cmp.Diff(tc.want, told(w.kind.Probe(t.Context(), engine.ProbeInput{Via: "team", Conn: w.conn, Steps: tc.steps}))); diff != "" {
			t.Errorf("%s:\n%s", tc.about, diff)
		}
		if len(w.Messages()) > 0 {
			t.Errorf("%s: it posted something", tc.about)
		}
	}
}

// told are findings as people see them.
func told(found []engine.Finding) []string {
	var all []string
	for _, f := range found {
		line := f.What
		if f.Hint != "" {
			line += " → " + f.Hint
		}
		switch {
		case !f.OK:
			line = "BAD " + line
		case f.Hint != "":
			line = "! " + line
		}
		all = append(all, line)
	}
	return all
}

// A probe that gets no answer says so, without the secret.
func TestProbeSlackFails(t *testing.T) {
	w := newWorkspace(t, slacktest.Options{}, with("token", canary))
	w.Refuse(1, http.StatusServiceUnavailable, "")
	got := told(w.kind.Probe(t.Context(), engine.ProbeInput{Conn: w.conn}))
	if diff := cmp.Diff([]string{"BAD token: 503 Service Unavailable → try again: gavel slack test"}, got); diff != "" {
		t.Error(diff)
	}
	w.Close()
	if got = told(w.kind.Probe(t.Context(), engine.ProbeInput{Conn: w.conn})); len(got) != 1 || !strings.HasPrefix(got[0], "BAD token: ") || strings.Contains(got[0], canary) {
		t.Error(got)
	}
	if got = told(w.kind.Probe(t.Context(), engine.ProbeInput{})); got != nil {
		t.Error(got)
	}
}
