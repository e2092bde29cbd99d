package web_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine/web"
)

func TestRules(t *testing.T) {
	now := time.Date(2026, 11, 20, 14, 0, 0, 0, time.UTC)
	var asked time.Time
	list := func(_ context.Context, since time.Time) (web.RuleList, error) {
		asked = since
		if since.Year() == 1999 {
			return web.RuleList{}, errors.New("the store is gone")
		}
		return web.RuleList{Revision: "abc", Since: since, Rules: []web.Rule{
			{ID: "long", When: []string{"session_ended"}, Hits: 3, Definition: "- id: long"}, {ID: "other", Mode: web.ModeOff},
		}}, nil
	}
	h := web.New(web.Options{Store: &fakeStore{}, Rules: list, Now: func() time.Time { return now }})
	for _, tt := range []struct {
		path   string
		status int
		want   string
	}{
		{"rules", 200, `"id":"long"`},
		{"rules", 200, `"id":"other"`},
		{"rules?since=2026-11-01T00:00:00Z", 200, `"since":"2026-11-01T00:00:00Z"`},
		{"rules/long", 200, `"definition":"- id: long"`},
		{"rules/nothing", 404, `no rule \"nothing\"`},
		{"rules?sinse=1", 400, "no parameter"},
		{"rules/long?sinse=1", 400, "no parameter"},
		{"rules?since=1999-01-01T00:00:00Z", 500, "the store is gone"},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/v1/"+tt.path, nil))
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
			t.Errorf("%s: got %d %s", tt.path, w.Code, w.Body)
		}
		if tt.path == "rules" && (strings.Contains(w.Body.String(), "definition") || !asked.Equal(now.Add(-24*time.Hour))) {
			t.Errorf("since %s: got %s", asked, w.Body)
		}
		if tt.path == "rules/long" && strings.Contains(w.Body.String(), "other") {
			t.Errorf("got %s", w.Body)
		}
	}
}
