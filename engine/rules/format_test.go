package rules

import (
	"math"
	"testing"
	"time"
)

func TestFormat(t *testing.T) {
	madrid, err := time.LoadLocation("Europe/Madrid")
	if err != nil {
		t.Fatal(err)
	}
	moment := time.Date(2026, 11, 21, 13, 5, 59, 0, time.UTC)
	for _, x := range []struct {
		v    any
		want string
	}{
		{nil, ""},
		{"a b", "a b"},
		{true, "true"},
		{42, "42"},
		{-7, "-7"},
		{1.76e12, "1760000000000"},
		{0.1, "0.1"},
		{3.0, "3"},
		{1e-7, "0.0000001"},
		{math.Copysign(0, -1), "0"},
		{math.NaN(), "NaN"},
		{72 * time.Minute, "1h12m"},
		{moment, "2026-11-21 14:05"},
		{time.Time{}, ""},
		{[]string{"a", "b"}, "a, b"},
		{[]any{"a", 1, 90 * time.Second}, "a, 1, 1m30s"},
		{map[string]any{"b": 1, "a": []any{time.Minute, moment}, "c": math.Inf(1)}, `{"a":["1m","2026-11-21 14:05"],"b":1,"c":"+Inf"}`},
	} {
		if got := format(x.v, madrid); got != x.want {
			t.Errorf("%v: %q, expected %q", x.v, got, x.want)
		}
	}
	if got := format(moment, nil); got != "2026-11-21 13:05" {
		t.Errorf("without a zone: %s", got)
	}
}

func TestHuman(t *testing.T) {
	for _, x := range []struct {
		v    any
		want string
	}{
		{0, "0 B"},
		{999, "999 B"},
		{1000, "1.0 kB"},
		{1_234_567, "1.2 MB"},
		{9_960_000, "10 MB"},
		{999_600, "1.0 MB"},
		{123_456_789_012, "123 GB"},
		{-2_000, "-2.0 kB"},
		{1.5e9, "1.5 GB"},
		{72 * time.Minute, "1 hour 12 minutes"},
		{time.Hour, "1 hour"},
		{time.Hour + 5*time.Second, "1 hour"},
		{49*time.Hour + 30*time.Minute, "2 days 1 hour"},
		{61 * time.Second, "1 minute 1 second"},
		{850 * time.Millisecond, "850 milliseconds"},
		{-time.Minute, "-1 minute"},
		{time.Date(2026, 11, 21, 14, 5, 0, 0, time.UTC), "Sat 21 Nov 2026, 14:05"},
		{"text", "text"},
	} {
		if got := human(x.v, time.UTC); got != x.want {
			t.Errorf("%v: %q, expected %q", x.v, got, x.want)
		}
	}
}
