package main

import (
	"strings"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine/store"
)

func TestParseRetention(t *testing.T) {
	const day = 24 * time.Hour
	for _, tt := range []struct {
		in   string
		want store.Retention
		text string
	}{
		{"30d", store.Retention{Events: 30 * day, Runs: 30 * day, Sessions: 30 * day, Traces: 30 * day}, "30d"},
		{"forever", store.Retention{}, "forever"},
		{"30d, runs=90d,traces=12h", store.Retention{Events: 30 * day, Runs: 90 * day, Sessions: 30 * day, Traces: 12 * time.Hour}, "30d,runs=90d,traces=12h"},
		{"forever,traces=1w", store.Retention{Traces: 7 * day}, "forever,traces=7d"},
		{"1m", store.Retention{Events: time.Minute, Runs: time.Minute, Sessions: time.Minute, Traces: time.Minute}, "1m"},
	} {
		got, err := parseRetention(tt.in)
		if err != nil || got != tt.want {
			t.Errorf("%s: got %+v, %v", tt.in, got, err)
		}
		if text := retentionText(got); text != tt.text {
			t.Errorf("%s: told as %s, want %s", tt.in, text, tt.text)
		}
	}
	for in, want := range map[string]string{
		"":                    "no time to keep",
		"30":                  `"30" is no time to keep`,
		"1M":                  `"1M" is no time to keep`,
		"0d":                  "delete everything",
		"30d,=9d":             `"=9d"`,
		"59s":                 "too short",
		"-1d":                 "no time to keep",
		"runs=90d":            "others",
		"30d,rums=1d":         `"rums"`,
		"30d,runs=1d,runs=2d": "twice",
		"30d,60d":             "two times for all",
		"runs=1d,30d":         "goes first",
		"30d,":                "no time to keep",
	} {
		if got, err := parseRetention(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %+v, %v", in, got, err)
		}
	}
}

// A run whose event is gone still shows what it did.
func TestRunWithoutItsEvent(t *testing.T) {
	inWorld(t, "  - id: ended\n    when: session_ended\n    then: [ log: it ended ]\n", func(t *testing.T, w *world) {
		w.send("session_ended", "s1")
		event := w.send("session_ended", "s2")
		run := w.line("then ", "explain", event)
		_, run, _ = strings.Cut(run, "gavel runs show ")
		w.change("DELETE FROM events WHERE id = '" + event + "'")
		_, err := w.gavel("explain", run)
		if err == nil || !strings.Contains(err.Error(), event+" of "+run+" is no longer kept") {
			t.Errorf("explain says %v", err)
		}
		got, err := w.gavel("runs", "show", run)
		if err != nil || !strings.Contains(got, run) {
			t.Errorf("runs show says %s (%v)", got, err)
		}
	})
}
