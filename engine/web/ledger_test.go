package web_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/web"
)

func TestLedgerReads(t *testing.T) {
	s := &fakeStore{
		entries:   []engine.Entry{{ID: "ent_1", Hash: "aa"}},
		conflicts: []engine.Conflict{{ID: "cfl_1", State: "open", Proposed: engine.Entry{Rule: "bill", Run: "run_1", Step: "then/1", Quantity: "2"}}},
	}
	h := web.New(web.Options{Store: s, Sources: noSources, Now: testNow})
	for _, tc := range []struct {
		path   string
		status int
		words  []string
	}{
		{"heads", 200, []string{`{"chains":[{"tenant":"default","number":3,"hash":"1f"}]}`}},
		{"entries/ent_1", 200, []string{`"id":"ent_1"`, `"hash":"aa"`, `"corrects":"ent_1"`}},
		{"entries/ent_2", 404, []string{"not found"}},
		{"conflicts", 200, []string{`"id":"cfl_1"`, `"rule":"bill"`, `"run":"run_1"`, `"step":"then/1"`, `"proposed":{`}},
		{"conflicts?state=lost", 400, []string{`no state \"lost\"`, "open, kept, corrected"}},
		{"conflicts?room=x", 400, []string{`no parameter \"room\"`}},
	} {
		w := get(h, http.MethodGet, "/api/v1/ledger/"+tc.path)
		for _, word := range tc.words {
			if w.Code != tc.status || !strings.Contains(w.Body.String(), word) {
				t.Errorf("%s: %d %s, want %d with %s", tc.path, w.Code, w.Body, tc.status, word)
			}
		}
	}
	if get(h, http.MethodGet, "/api/v1/ledger/conflicts?state=kept&tenant=acme&limit=7"); s.asked.State != "kept" || s.asked.Tenant != "acme" || s.asked.Limit != 7 {
		t.Errorf("asked for %+v", s.asked)
	}
}

func TestLedgerRequests(t *testing.T) {
	posted := engine.Posted{Entries: []engine.Entry{{ID: "ent_2", Hash: "bb"}}, Again: true}
	for _, tc := range []struct {
		path, body string
		err        error
		status     int
		asked      string
		words      string
	}{
		{"entries/ent_1/correct", `{"reason":"r","quantity":"3","request":"q"}`, nil, 200, "correct ent_1", `"hash":"bb"}],"again":true}`},
		{"entries/ent_1/void", `{"reason":"r"}`, nil, 200, "void ent_1", `"id":"ent_2"`},
		{"close", `{"reason":"r","month":"2026-11"}`, nil, 200, "close 2026-11", `"id":"ent_2"`},
		{"conflicts/cfl_1/keep", `{"reason":"r"}`, nil, 200, "kept cfl_1", `"state":"kept"`},
		{"conflicts/cfl_1/correct", `{"reason":"r"}`, nil, 200, "corrected cfl_1", `"hash":"1f"`},
		{"close", `{"reason":"r"}`, errors.New("it is not over"), 409, "close ", "it is not over"},
		{"close", `{"reason":"r"}`, fmt.Errorf("x: %w", engine.ErrNotFound), 404, "close ", "not found"},
		{"close", `{"reason":"r"}`, fmt.Errorf("x: %w", engine.ErrUnavailable), 503, "close ", "try again"},
		{"close", `{"reason":" "}`, nil, 400, "", "a reason is missing"},
		{"close", `{"reason":"r","why":1}`, nil, 400, "", "unknown field"},
		{"close", `{"reason":"r"}{}`, nil, 400, "", "something behind"},
		{"close", `{"reason":"` + strings.Repeat("x", 70_000) + `"}`, nil, 400, "", "larger than"},
		{"close", `{"reason":"` + strings.Repeat("é", 1001) + `"}`, nil, 400, "", "1001 characters is too long"},
		{"entries/ent_1/void", `{"reason":"` + strings.Repeat("r", 1000) + `"}`, nil, 200, "void ent_1", `"id":"ent_2"`},
		{"close", `[]`, nil, 400, "", "it is a list"},
	} {
		s := &fakeServer{posted: posted, err: tc.err}
		h := web.New(web.Options{Store: &fakeStore{}, Server: s, Sources: noSources, Now: testNow})
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/api/v1/ledger/"+tc.path, strings.NewReader(tc.body)))
		if w.Code != tc.status || s.asked != tc.asked || !strings.Contains(w.Body.String(), tc.words) {
			t.Errorf("%s %.40s: %d %s (asked %q), want %d with %s", tc.path, tc.body, w.Code, w.Body, s.asked, tc.status, tc.words)
		}
		if tc.status == 200 && strings.Trim(s.ask.Reason, "r") != "" {
			t.Errorf("%s: asked with %+v", tc.path, s.ask)
		}
	}
	h := web.New(web.Options{Store: &fakeStore{}, Sources: noSources, Now: testNow})
	if w := get(h, http.MethodPost, "/api/v1/ledger/close"); w.Code != 503 || !strings.Contains(w.Body.String(), "no server is running") {
		t.Errorf("without a server: %d %s", w.Code, w.Body)
	}
}

// The client says what it asks for as the server reads it.
func TestLedgerClient(t *testing.T) {
	s := &fakeServer{posted: engine.Posted{Entries: []engine.Entry{{ID: "ent_2", Hash: "bb"}}}}
	c := web.NewClient(web.Local(web.New(web.Options{Store: &fakeStore{}, Server: s, Sources: noSources, Now: testNow})))
	ask := web.LedgerRequest{Reason: "r", Request: "q", Amount: "1.00", Month: "2026-11", Tenant: "acme", Quantity: "1"}
	var out web.PostedEntries
	if err := c.Ledger(t.Context(), "entries/ent_1/correct", ask, &out); err != nil || len(out.Entries) != 1 || out.Entries[0].Hash != "bb" || s.ask != ask {
		t.Errorf("%+v, asked %+v (%v)", out, s.ask, err)
	}
	s.err = errors.New("no")
	var e *web.Error
	if err := c.Ledger(t.Context(), "close", ask, &out); !errors.As(err, &e) || e.Status != http.StatusConflict || e.What != "no" {
		t.Errorf("an error came out as %v", err)
	}
}
