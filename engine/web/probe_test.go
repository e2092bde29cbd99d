package web_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gavelhq/gavel/engine/web"
)

func TestProbe(t *testing.T) {
	up := web.Options{Store: &fakeStore{}, Server: &fakeServer{}, Sources: noSources, Now: testNow}
	found, err := web.NewClient(web.Local(web.New(up))).Probe(t.Context(), web.ProbeRequest{Kind: "slack"})
	if err != nil || len(found) != 1 || found[0].Kind != "slack" || found[0].State != web.FindingOK {
		t.Errorf("%+v %v", found, err)
	}
	down := up
	down.Server = nil
	for _, tc := range []struct {
		o      web.Options
		body   string
		status int
		has    string
	}{
		{up, `{}`, 200, `"findings":[`},
		{up, ``, 400, "it is empty"},
		{up, `{"knid": "slack"}`, 400, "cannot be read"},
		{up, `{"with": "` + strings.Repeat("x", 20<<10) + `"}`, 400, "larger than"},
		{down, `{}`, 503, "no server is running"},
	} {
		w := httptest.NewRecorder()
		web.New(tc.o).ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/api/v1/probe", strings.NewReader(tc.body)))
		if w.Code != tc.status || !strings.Contains(w.Body.String(), tc.has) {
			t.Errorf("%.40s: %d %s", tc.body, w.Code, w.Body)
		}
	}
}
