package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/rules"
	"github.com/gavelhq/gavel/engine/web"
)

// findingsText is what a doctor found, a line each.
func findingsText(found []web.Finding) string {
	var lines []string
	for _, f := range found {
		line := f.State + " " + subject(f) + ": " + f.What
		if f.Hint != "" {
			line += " (" + f.Hint + ")"
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func TestDoctorClock(t *testing.T) {
	at := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	event := func(source string, late time.Duration) web.Event {
		return web.Event{Source: source, Platform: "plugnmeet", Time: at, Received: at.Add(late)}
	}
	derived, test := event("pnm", -time.Hour), event("pnm", -time.Hour)
	derived.Derived, test.Test = []string{"room"}, true
	for _, tc := range []struct {
		events []web.Event
		want   string
	}{
		{nil, ""},
		{[]web.Event{event("pnm", 0), derived, test}, ""},
		{[]web.Event{event("pnm", time.Hour), event("pnm", 200*time.Millisecond)}, "ok clock: within 200ms of pnm"},
		{[]web.Event{event("pnm", -3*time.Second)}, "ok clock: within 3s of pnm"},
		{[]web.Event{event("pnm", time.Second), event("pnm", -time.Minute)}, "warning clock: events of pnm are up to 1m ahead of this clock (timedatectl says whether this clock is kept right)"},
		{[]web.Event{event("pnm", time.Hour), event("meet", time.Second)}, "ok clock: within 1s of meet\n" +
			"warning clock: events of pnm come at least 1h late by this clock (timedatectl says whether this clock is kept right; else the platform is slow)"},
	} {
		d := &doctor{}
		d.lookAtClock(tc.events)
		if got := findingsText(d.found); got != tc.want {
			t.Errorf("got\n%s\nwant\n%s", got, tc.want)
		}
	}
}

func TestDoctorHooks(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/healthz" {
			w.WriteHeader(http.StatusTeapot)
		}
	}))
	port := server.URL[strings.LastIndexByte(server.URL, ':'):]
	for base, want := range map[string]string{
		"":                      "failed hooks: the server does not listen yet (ask again in a moment)",
		server.URL:              "warning hooks: " + server.URL + " answers, on this host only (platforms need a public address: a reverse proxy passes deliveries on)",
		"http://0.0.0.0" + port: "ok hooks: http://0.0.0.0" + port + " answers",
	} {
		d := &doctor{}
		d.lookAtHooks(t.Context(), base)
		if got := findingsText(d.found); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", base, got, want)
		}
	}
	server.Close()
	d := &doctor{}
	d.lookAtHooks(t.Context(), server.URL)
	if got := findingsText(d.found); !strings.HasPrefix(got, "failed hooks: "+server.URL+" does not answer: connection refused") {
		t.Errorf("%s", got)
	}
}

// Connections are tried several at once, each for a bounded time, and told in
// order.
func TestProbeAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int32
		kind := engine.ActionKind{Name: "slow", Probe: func(ctx context.Context, in engine.ProbeInput) []engine.Finding {
			for n := now.Add(1); n > most.Load(); {
				most.Store(n)
			}
			defer now.Add(-1)
			<-ctx.Done()
			return []engine.Finding{{OK: in.Via == "c00", What: fmt.Sprint(in.Via, " ", len(in.Steps), " ", errors.Is(ctx.Err(), context.DeadlineExceeded))}}
		}}
		quick := engine.ActionKind{Name: "quick", Probe: func(context.Context, engine.ProbeInput) []engine.Finding {
			return []engine.Finding{{OK: true, What: "fine", Hint: "look"}}
		}}
		conns := []rules.Connection{{Kind: "quick"}, {Kind: "none"}, {Kind: "unknown"}}
		for i := range 20 {
			conns = append(conns, rules.Connection{Kind: "slow", Name: fmt.Sprintf("c%02d", i)})
		}
		began := time.Now()
		found := probeAll(t.Context(), []engine.ActionKind{kind, quick, {Name: "none"}}, conns, web.ProbeRequest{})
		if took := time.Since(began); took != 3*probeTime || most.Load() != probesAtOnce {
			t.Errorf("%s, %d at once", took, most.Load())
		}
		if len(found) != 21 || findingsText(found[:3]) != "warning quick: fine (look)\nok slow c00: c00 0 true\nfailed slow c01: c01 0 true" {
			t.Errorf("%s", findingsText(found))
		}
		if found := probeAll(t.Context(), []engine.ActionKind{kind, quick}, conns, web.ProbeRequest{Kind: "slow", With: map[string]any{"channel": "x"}}); len(found) != 20 || found[0].What != "c00 1 true" {
			t.Errorf("%s", findingsText(found))
		}
	})
}

func TestPrintFindings(t *testing.T) {
	var out bytes.Buffer
	a := &app{out: &out, lookupEnv: func(string) (string, bool) { return "", false }, color: "never"}
	a.printFindings([]web.Finding{
		{Kind: "rules", State: web.FindingOK, What: "7 rules\n\x1b[31m"}, {Kind: "slack", Name: "team", State: web.FindingFailed, What: "no", Hint: "do"},
		{Kind: "hooks", State: web.FindingWarning, What: "w"}, {Kind: "store", State: web.FindingUnknown, What: "u"},
	})
	want := "✓ rules       7 rules [31m\n✗ slack team  no\n              → do\n! hooks       w\n– store       u\n"
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

func TestDoctorLedger(t *testing.T) {
	for n, want := range map[int64]string{
		0: "",
		1: "warning ledger: 1 conflict in the ledger for a person to decide (gavel billing conflicts)",
		2: "warning ledger: 2 conflicts in the ledger for a person to decide (gavel billing conflicts)",
	} {
		d := &doctor{}
		d.lookAtLedger(engine.Stats{Conflicts: n})
		if got := findingsText(d.found); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
