package web_test

import (
	"encoding/json"
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
	many := func(runs, events int) string {
		ask := web.ReplayRequest{Revision: "r1", Runs: make([]engine.Replay, runs)}
		for i := range ask.Runs {
			ask.Runs[i].Events = make([]string, events)
		}
		body, _ := json.Marshal(ask)
		return string(body)
	}
	for body, want := range map[string]string{
		"":                                      "it is empty",
		"[]":                                    "it is a list, not an object",
		"{nonsense":                             "it is not JSON",
		`{"revision": "r1"`:                     "it ends too early",
		`{"revision": "r1", "rnus": []}`:        `unknown field \"rnus\"`,
		`{"runs": [{"rule": 1}]}`:               `runs.rule\" cannot be a number`,
		`{"runs": [{"at": "soon"}]}`:            "is not a time such as 2026-11-20T14:00:00Z",
		`{"runs": [{"at": 7}]}`:                 "a time is not a text such as",
		`{"runs": [{"late_by": "1m"}]}`:         `runs.late_by\" cannot be a string`,
		`{"revision": "r1"} {"revision": "r1"}`: "something behind",
		`{"revision": "r1"}]`:                   "something behind",
		`{"revision": "` + big(2<<20) + `"}`:    "larger than 1048576 bytes",
		many(1, engine.MaxReplayEvents+1):       "1001 events are too many for run 1",
		many(6, 900):                            "5400 events are too many at once",
	} {
		w := post(h, "/api/v1/replay", body)
		got := w.Body.String()
		if w.Code != 400 || !strings.Contains(got, want) {
			t.Errorf("%.60s is answered %d %s", body, w.Code, got)
		}
		for _, name := range []string{"Go ", "web.", "engine.", "time.", "struct", "2006"} {
			if strings.Contains(got, name) {
				t.Errorf("%.60s: %s names %q", body, got, name)
			}
		}
	}
	for _, body := range []string{`{"revision": "r1"}`, `{"revision": "r1", "runs": []}` + "\n", many(5, 1000)} {
		w := post(h, "/api/v1/replay", body)
		if w.Code != 200 || strings.Contains(w.Body.String(), "null") {
			t.Errorf("%.60s is answered %d %s", body, w.Code, w.Body)
		}
	}
}

func TestReplayTakes(t *testing.T) {
	for _, tc := range []struct{ events, runs int }{{0, web.MaxReplay}, {1000, 5}, {700, 7}, {6000, 1}} {
		var ask web.ReplayRequest
		r := engine.Replay{Events: make([]string, tc.events)}
		for ask.Takes(r) {
			ask.Runs = append(ask.Runs, r)
		}
		if len(ask.Runs) != tc.runs {
			t.Errorf("%d runs of %d events", len(ask.Runs), tc.events)
		}
	}
}

func big(n int) string { return strings.Repeat("x", n) }

func post(h http.Handler, target, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, target, strings.NewReader(body)))
	return w
}
