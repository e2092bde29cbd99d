package actions

import (
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/gavelhq/gavel/engine"
)

// What a request makes of a status alone is what it makes of an answer with it.
func TestHTTPAnswered(t *testing.T) {
	answered := builtin(io.Discard)["http"].Answered
	for _, tt := range []struct {
		with      string
		status    int
		ok        bool
		permanent bool
	}{
		{`{"get":"/x"}`, 200, true, false},
		{`{"get":"/x"}`, 204, true, false},
		{`{"get":"/x"}`, 301, false, true},
		{`{"get":"/x"}`, 404, false, true},
		{`{"get":"/x","ok":[200,404]}`, 404, true, false},
		{`{"get":"/x","ok":[404]}`, 200, false, true},
		{`{"post":"/x"}`, 429, false, false},
		{`{"post":"/x"}`, 503, false, false},
		{`{"post":"/x"}`, 501, false, true},
		{`{}`, 200, false, true},
		{`[]`, 200, false, true},
	} {
		err := answered(engine.Call{With: json.RawMessage(tt.with)}, engine.Result{Status: tt.status})
		if (err == nil) != tt.ok || err != nil && engine.IsPermanent(err) != tt.permanent {
			t.Errorf("%s %d: %v", tt.with, tt.status, err)
		}
	}
	if err := answered(engine.Call{With: json.RawMessage(`{"get":"/leads/a?key=secret"}`)}, engine.Result{Status: 404}); err == nil || err.Error() != "GET /leads/a: 404 Not Found" || strings.Contains(err.Error(), "secret") {
		t.Errorf("%v", err)
	}
}
