package web_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/web"
)

func TestReplay(t *testing.T) {
	one := []engine.Replay{{Rule: "a", Event: "evt_1", Branch: engine.BranchThen}}
	for _, tc := range []struct {
		name   string
		server web.Server
		ask    web.ReplayRequest
		status int // 0: it goes well
		what   string
	}{
		{"made", &fakeServer{}, web.ReplayRequest{Revision: "r1", Runs: one}, 0, ""},
		{"none", &fakeServer{}, web.ReplayRequest{Revision: "r1"}, 0, ""},
		{"other rules", &fakeServer{}, web.ReplayRequest{Revision: "r0", Runs: one}, 409, "in force"},
		{"too many", &fakeServer{}, web.ReplayRequest{Revision: "r1", Runs: make([]engine.Replay, web.MaxReplay+1)}, 400, "too many"},
		{"busy", &fakeServer{err: engine.ErrUnavailable}, web.ReplayRequest{Revision: "r1", Runs: one}, 503, "unavailable"},
		{"no server", nil, web.ReplayRequest{Revision: "r1", Runs: one}, 503, "no server"},
	} {
		c := web.NewClient(web.Local(web.New(web.Options{Store: &fakeStore{}, Server: tc.server, Sources: noSources, Now: testNow})))
		report, err := c.Replay(t.Context(), tc.ask)
		var e *web.Error
		switch {
		case tc.status == 0:
			if err != nil || len(report.Runs) != len(tc.ask.Runs) {
				t.Errorf("%s: %+v, %v", tc.name, report, err)
			}
		case !errors.As(err, &e) || e.Status != tc.status || !strings.Contains(e.What, tc.what):
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

func TestReplayBody(t *testing.T) {
	h := web.New(web.Options{Store: &fakeStore{}, Server: &fakeServer{}, Sources: noSources, Now: testNow})
	for _, body := range []string{"", "[]", `{"revision": "r1", "rnus": []}`, `{"runs": [{"rule": 1}]}`} {
		if w := post(h, "/api/v1/replay", body); w.Code != 400 {
			t.Errorf("%s is answered %d %s", body, w.Code, w.Body)
		}
	}
}

func post(h http.Handler, target, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("POST", target, strings.NewReader(body)))
	return w
}
