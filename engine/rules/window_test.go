package rules

import (
	"strings"
	"testing"
	"time"
)

func at(t *testing.T, zone, text string) time.Time {
	t.Helper()
	loc, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	moment, err := time.ParseInLocation("2006-01-02 15:04:05", text, loc)
	if err != nil {
		t.Fatal(err)
	}
	return moment
}

// 2026-11-20 is a Friday.
func TestWindowContains(t *testing.T) {
	for _, x := range []struct {
		window, time string
		want         bool
	}{
		{"mon-fri 08:00-20:00", "2026-11-20 08:00:00", true},
		{"mon-fri 08:00-20:00", "2026-11-20 19:59:59", true},
		{"mon-fri 08:00-20:00", "2026-11-20 20:00:00", false},
		{"mon-fri 08:00-20:00", "2026-11-20 07:59:59", false},
		{"mon-fri 08:00-20:00", "2026-11-21 12:00:00", false},
		{"sat,sun", "2026-11-21 00:00:00", true},
		{"sat,sun", "2026-11-22 23:59:59", true},
		{"sat,sun", "2026-11-23 00:00:00", false},
		{"fri-mon", "2026-11-22 12:00:00", true},
		{"fri-mon", "2026-11-24 12:00:00", false},
		{"22:00-06:00", "2026-11-20 23:00:00", true},
		{"22:00-06:00", "2026-11-20 05:59:00", true},
		{"22:00-06:00", "2026-11-20 06:00:00", false},
		{"fri 22:00-06:00", "2026-11-21 03:00:00", true},
		{"fri 22:00-06:00", "2026-11-20 03:00:00", false},
		{"mon-fri 08:00-12:00,13:00-18:00", "2026-11-20 12:30:00", false},
		{"mon-fri 08:00-12:00,13:00-18:00", "2026-11-20 13:30:00", true},
		{"mon-fri 08:00-20:00; sat 10:00-14:00", "2026-11-21 10:30:00", true},
		{"00:00-24:00", "2026-11-21 23:59:59", true},
		{"MON 8:00-9:00", "2026-11-23 08:30:00", true},
		// The night when clocks go back has two 02:30, the one when they go
		// forward none.
		{"02:00-03:00", "2026-10-25 02:30:00", true},
		{"02:00-03:00", "2026-03-29 03:30:00", false},
	} {
		w, err := parseWindow(x.window)
		if err != nil {
			t.Errorf("%s: %v", x.window, err)
			continue
		}
		if got := w.contains(at(t, "Europe/Madrid", x.time)); got != x.want {
			t.Errorf("%s at %s: %v", x.window, x.time, got)
		}
	}
}

func TestWindowNext(t *testing.T) {
	for _, x := range []struct{ window, zone, from, want string }{
		{"mon-fri 08:00-20:00", "Europe/Madrid", "2026-11-20 09:30:15", "2026-11-20 09:30:15"},
		{"mon-fri 08:00-20:00", "Europe/Madrid", "2026-11-20 20:00:15", "2026-11-23 08:00:00"},
		{"mon-fri 08:00-20:00", "Europe/Madrid", "2026-11-20 07:59:59", "2026-11-20 08:00:00"},
		{"sat,sun", "Europe/Madrid", "2026-11-20 12:00:00", "2026-11-21 00:00:00"},
		{"22:00-06:00", "Europe/Madrid", "2026-11-20 12:00:00", "2026-11-20 22:00:00"},
		{"08:00-09:00", "Asia/Kathmandu", "2026-11-20 12:00:00", "2026-11-21 08:00:00"},
		// Forward: 02:30 does not come on 29 March.
		{"02:30-02:45", "Europe/Madrid", "2026-03-28 12:00:00", "2026-03-30 02:30:00"},
		{"02:30-03:30", "Europe/Madrid", "2026-03-28 12:00:00", "2026-03-29 03:00:00"},
		{"sun 02:00-03:00", "Europe/Madrid", "2026-03-28 12:00:00", "2026-04-05 02:00:00"},
		// A night over the change is one window, and an hour shorter or longer.
		{"22:00-06:00", "America/New_York", "2026-03-08 06:00:00", "2026-03-08 22:00:00"},
		{"mon 00:00-06:00", "America/New_York", "2026-03-07 12:00:00", "2026-03-09 00:00:00"},
		{"01:30-01:45", "America/New_York", "2026-10-31 12:00:00", "2026-11-01 01:30:00"},
		{"00:00-00:30", "Africa/Cairo", "2026-04-23 12:00:00", "2026-04-25 00:00:00"},
	} {
		w, err := parseWindow(x.window)
		if err != nil {
			t.Fatal(err)
		}
		got := w.next(at(t, x.zone, x.from)).Format("2006-01-02 15:04:05")
		if got != x.want {
			t.Errorf("%s from %s: %s, expected %s", x.window, x.from, got, x.want)
		}
	}
	// Back: 02:30 comes twice on 25 October; after the first there is a second.
	w, err := parseWindow("02:30-02:45")
	if err != nil {
		t.Fatal(err)
	}
	first := w.next(at(t, "Europe/Madrid", "2026-10-25 01:00:00"))
	second := w.next(first.Add(20 * time.Minute))
	if second.Sub(first) != time.Hour {
		t.Errorf("%s, then %s", first, second)
	}
}

func TestParseWindowErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                       "empty",
		" ; ":                    "empty",
		"monday 08:00-20:00":     "no weekday",
		"mon-fry":                "no weekday",
		"mon- 08:00-20:00":       "no weekday",
		"08:00":                  "no time of day",
		"mon 8-20":               "no time of day",
		"mon 08:00-25:00":        "no time of day",
		"mon 08:60-09:00":        "no time of day",
		"mon 24:00-24:00":        "no time of day",
		"mon 08:00-08:00":        "is empty",
		"mon 08:00 - 20:00":      "not a window",
		"mon-fri 08:00-20:00 uk": "not a window",
		"mon +8:00-20:00":        "no time of day",
		"mon 08:00-20:00 sat":    "not a window",
	} {
		if _, err := parseWindow(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
