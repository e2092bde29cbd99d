package actions

import (
	"encoding/json"
	"io"
	"testing"

	"github.com/gavelhq/gavel/engine"
)

func TestTargets(t *testing.T) {
	home := &slackConn{Token: engine.NewSecret("xoxb-1"), Channel: "ops"}
	hook := &slackConn{URL: engine.NewSecret("https://hooks.slack.com/services/a/b/c")}
	crm := &httpConn{Base: "https://crm.example.com:8443/api"}
	kinds := builtin(io.Discard)
	for _, tc := range []struct {
		kind, with string
		conn       any
		want       string
	}{
		{"slack", `{"text":"x"}`, home, "#ops"},
		{"slack", `{"text":"x","channel":"#exec"}`, home, "#exec"},
		{"slack", `{"text":"x","channel":"C024BE91L"}`, home, "C024BE91L"},
		{"slack", `{"text":"x"}`, hook, "webhook"},
		{"slack", `{"text":"x"}`, nil, ""},
		{"http", `{"get":"/leads/1"}`, crm, "GET crm.example.com:8443"},
		{"http", `{"post":"https://hooks.example.com/x?key=1"}`, nil, "POST hooks.example.com"},
		{"http", `{"post":"/leads"}`, nil, "POST"},
		{"http", `{}`, crm, ""},
		{"billing", `{"meter":"meeting_minutes","quantity":"72"}`, nil, "meeting_minutes"},
		{"emit", `{"name":"too-long"}`, nil, "too-long"},
		{"log", `{"message":"x"}`, nil, "log"},
		{"log", `{"message":"x"}`, &logConn{File: new("meetings.jsonl")}, "meetings.jsonl"},
		{"log", `{"message":"x"}`, &logConn{}, "log"},
		{"email", `{"to":["Ana <ana@example.com>","b@example.com"]}`, nil, "Ana <ana@example.com> and 1 more"},
		{"email", `{}`, nil, ""},
		{"exec", `{"program":"archive"}`, nil, "archive"},
		{"exec", `[]`, nil, ""},
		{"billing", `[]`, nil, ""},
	} {
		if got := kinds[tc.kind].Target(json.RawMessage(tc.with), tc.conn); got != tc.want {
			t.Errorf("%s %s: %q, want %q", tc.kind, tc.with, got, tc.want)
		}
	}
	for name, kind := range kinds {
		if kind.Target == nil {
			t.Errorf("%s names no target", name)
		}
	}
}

// What an attempt depends on is the same for all that go to one service, and
// holds no secret.
func TestServices(t *testing.T) {
	crm := &httpConn{Base: "https://CRM.example.com:8443/api", User: "u", Password: engine.NewSecret(canary)}
	hook := &slackConn{URL: engine.NewSecret("https://hooks.slack.com/services/" + canary)}
	kinds := builtin(io.Discard)
	for _, tc := range []struct {
		kind, with string
		conn       any
		want       string
	}{
		{"http", `{"get":"/leads/1"}`, crm, "https://crm.example.com:8443"},
		{"http", `{"post":"https://crm.example.com:8443/other?key=1"}`, crm, "https://crm.example.com:8443"},
		{"http", `{"put":"http://crm.example.com/"}`, nil, "http://crm.example.com"},
		{"email", `{}`, &emailConn{Host: "SMTP.example.com", Password: engine.NewSecret(canary)}, "smtp smtp.example.com"},
		{"email", `{}`, nil, ""},
		{"exec", `{"program":"archive","args":["x"]}`, nil, "program archive"},
		{"exec", `{}`, nil, ""},
		{"http", `{"get":"/leads"}`, nil, ""},
		{"http", `{}`, crm, ""},
		{"http", `[]`, nil, ""},
		{"slack", `{"text":"x"}`, hook, "slack team"},
		{"slack", `{"text":"x","channel":"other"}`, hook, "slack team"},
	} {
		if got := kinds[tc.kind].Service("team", json.RawMessage(tc.with), tc.conn); got != tc.want {
			t.Errorf("%s %s: %q, want %q", tc.kind, tc.with, got, tc.want)
		}
	}
	for _, name := range []string{"log", "billing", "emit"} {
		if kinds[name].Service != nil {
			t.Errorf("%s depends on nobody", name)
		}
	}
}
