package rules

import (
	"encoding/json"
	"testing"

	"github.com/gavelhq/gavel/engine"
)

// The condition of ok is asked about the answer, with all that the step sees.
func TestAccepts(t *testing.T) {
	s := mustLoad(t, threeSources+`
  - id: a
    when: session_ended
    then:
      - http: { get: /x, ok: 'response.status < 300 and response.body.accepted == true and response.headers["X-Mode"] != "dry"' }
      - http: { get: /x, ok: [200] }
      - http: { get: /x, ok: response.body.room == room.name and session.peak > 3 }
`)
	yes := map[string]string{"x-mode": "live"}
	for _, tt := range []struct {
		at   int
		res  engine.Result
		want string
	}{
		{0, engine.Result{Status: 200, Body: json.RawMessage(`{"accepted":true}`)}, "true"},
		{0, engine.Result{Status: 200, Body: json.RawMessage(`{"accepted":true}`), Headers: yes}, "true"},
		{0, engine.Result{Status: 200, Body: json.RawMessage(`{"accepted":true}`), Headers: map[string]string{"X-Mode": "dry"}}, "false"},
		{0, engine.Result{Status: 200, Body: json.RawMessage(`{"accepted":false}`)}, "false"},
		{0, engine.Result{Status: 200, Body: json.RawMessage(`{}`)}, "false"},
		{0, engine.Result{Status: 503, Body: json.RawMessage(`"no"`)}, "false"},
		{0, engine.Result{Status: 200, Body: json.RawMessage(`"no"`)}, "error"},
		{0, engine.Result{Status: 200}, "error"},
		{1, engine.Result{Status: 200}, "none"},
		{2, engine.Result{Status: 500, Body: json.RawMessage(`{"room":"Weekly <b>sync</b>"}`)}, "true"},
		{3, engine.Result{}, "none"},
	} {
		in := ended()
		accepts := s.Accepts(&engine.Run{Rule: "a", Branch: engine.BranchThen, At: tt.at}, in)
		got := "none"
		if accepts != nil {
			ok, err := accepts(tt.res)
			got = map[bool]string{true: "true", false: "false"}[ok]
			if err != nil {
				got = "error"
			}
		}
		if got != tt.want {
			t.Errorf("step %d, %d %s: %s, want %s", tt.at, tt.res.Status, tt.res.Body, got, tt.want)
		}
	}
	if s.Accepts(&engine.Run{Rule: "gone", Branch: engine.BranchThen}, ended()) != nil {
		t.Error("a rule that is gone has a condition")
	}
}
