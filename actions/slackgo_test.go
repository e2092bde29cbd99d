package actions

import (
	"encoding/json"
	"io"
	"testing"

	upstream "github.com/slack-go/slack/slacktest"

	"github.com/gavelhq/gavel/engine"
)

// The action gets on with slack-go's own test server, too.
func TestSlackGoServer(t *testing.T) {
	s := upstream.NewTestServer()
	s.Start()
	defer s.Stop()
	w := &workspace{kind: builtin(io.Discard)["slack"], state: stateOf{}}
	w.conn = connOf(t, w.kind, with("token", "xoxb-fake", "api", s.GetAPIURL()))
	for _, params := range []map[string]any{
		with("channel", "ops", "text", "Weekly ran 1h12m", "fields", []any{with("Room", "Weekly")}),
		with("to", "spengler@ghostbusters.example.com", "text", "hello"),
		with("channel", "ops", "text", "live", "thread", "s1"),
		with("channel", "ops", "react", "eyes", "to_message", "s1"),
	} {
		res, err := w.post(t, engine.Call{}, params)
		if err != nil {
			t.Errorf("%v: %v", params, err)
			continue
		}
		var at struct{ Channel, TS string }
		if err := json.Unmarshal(res.Body, &at); err != nil || at.Channel == "" || at.TS == "" {
			t.Errorf("%v: %v %s", params, err, res.Body)
		}
	}
}
