package main

import (
	"os"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/gavelhq/gavel/actions/slacktest"
)

// fakeSlack FILE… starts a Slack and puts its address where the files say
// {slack}, and that of a webhook where they say {webhook}.
func fakeSlack(ts *testscript.TestScript, neg bool, files []string) {
	if neg || len(files) == 0 {
		ts.Fatalf("usage: slack FILE…")
	}
	s, err := slacktest.New(slacktest.Options{
		Token:    "xoxb-script-0123456789",
		Scopes:   []string{"chat:write", "channels:read", "groups:read", "channels:history"},
		Channels: map[string]string{"ops": "", "old": "is_archived", "vip": "not_in_channel"},
	})
	ts.Check(err)
	ts.Defer(s.Close)
	ts.Setenv("SLACK_WEBHOOK", s.Webhook)
	for _, name := range files {
		text := strings.ReplaceAll(ts.ReadFile(name), "{slack}", s.URL)
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(text), 0o600))
	}
}
