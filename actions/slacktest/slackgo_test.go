package slacktest_test

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"testing"
	"time"

	upstream "github.com/slack-go/slack/slacktest"

	"github.com/gavelhq/gavel/actions"
	"github.com/gavelhq/gavel/actions/slacktest"
	"github.com/gavelhq/gavel/engine"
)

// step runs a slack step against the API at an address, until it is done.
func step(t *testing.T, api, with string) (engine.Result, error) {
	t.Helper()
	o := actions.Options{AllowNet: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Now: time.Now}
	for _, kind := range actions.Builtin(o) {
		if kind.Name != "slack" {
			continue
		}
		conn := reflect.New(kind.Conn)
		conn.Elem().FieldByName("Token").Set(reflect.ValueOf(engine.NewSecret("xoxb-fake")))
		conn.Elem().FieldByName("API").SetString(api)
		return kind.Do(t.Context(), engine.Call{Key: "run.then.0", Attempt: 1, Via: "team", With: json.RawMessage(with), Conn: conn.Interface(), Now: time.Now()})
	}
	t.Fatal("there is no action slack")
	return engine.Result{}, nil
}

// The action gets on with slack-go's own test server, too.
func TestSlackGoServer(t *testing.T) {
	s := upstream.NewTestServer()
	s.Start()
	defer s.Stop()
	res, err := step(t, s.GetAPIURL(), `{"channel":"ops","text":"Weekly ran 1h12m","fields":[{"Room":"Weekly"}]}`)
	if err != nil || res.Note != "posted to #ops" {
		t.Fatalf("%v %q", err, res.Note)
	}
	var at struct{ Channel, TS string }
	if err := json.Unmarshal(res.Body, &at); err != nil || at.Channel != "ops" || at.TS == "" {
		t.Errorf("%v %s", err, res.Body)
	}
}

// Both servers are asked the same and are told the same.
func TestSameAsSlackGo(t *testing.T) {
	s, err := slacktest.New(slacktest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	res, err := step(t, s.URL, `{"channel":"ops","text":"Weekly ran 1h12m"}`)
	if all := s.Messages(); err != nil || res.Note != "posted to #ops" || len(all) != 1 || all[0].Text != "Weekly ran 1h12m" {
		t.Errorf("%v %q %v", err, res.Note, all)
	}
}
