package main

import (
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

func TestParseSince(t *testing.T) {
	zone := time.FixedZone("CET", 3600)
	for _, tt := range []struct {
		in   string
		want time.Time
	}{
		{"90m", testNow.Add(-90 * time.Minute)},
		{"7d", testNow.AddDate(0, 0, -7)},
		{"2026-11-20", time.Date(2026, 11, 20, 0, 0, 0, 0, zone)},
		{"2026-11-20T14:00:00Z", time.Date(2026, 11, 20, 14, 0, 0, 0, time.UTC)},
	} {
		if got, err := parseSince(tt.in, testNow, zone); err != nil || !got.Equal(tt.want) {
			t.Errorf("%s: got %v, %v", tt.in, got, err)
		}
	}
	for _, in := range []string{"", "yesterday", "-1h", "-3d", "d", "2026-13-01"} {
		if got, err := parseSince(in, testNow, zone); err == nil {
			t.Errorf("%q: got %v", in, got)
		}
	}
}

func TestUnixSeconds(t *testing.T) {
	for in, want := range map[string]time.Time{
		"1795219404":           time.Unix(1795219404, 0),
		"1795219404.5":         time.Unix(1795219404, 500_000_000),
		"1795219404.123456789": time.Unix(1795219404, 123_456_789),
		"0":                    time.Unix(0, 0),
	} {
		if got, err := unixSeconds(in); err != nil || !got.Equal(want) {
			t.Errorf("%s: got %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "now", "1e300", "1/2", "0x10", "99999999999999999999", strings.Repeat("9", 100), "1 000"} {
		if got, err := unixSeconds(in); err == nil {
			t.Errorf("%q: got %v", in, got)
		}
	}
}

func TestPrefixes(t *testing.T) {
	got, err := prefixes("allow-net", []string{"10.0.0.0/8", "127.0.0.1", "::1"})
	if err != nil || len(got) != 3 || got[1].Bits() != 32 || got[2].Bits() != 128 {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := prefixes("allow-net", []string{"10.0.0.0/33"}); err == nil {
		t.Error("a network of 33 bits")
	}
}

// Every flag has a twin in the environment, so no two may share one, and all
// say what they are for.
func TestFlags(t *testing.T) {
	a := testApp(nil)
	for cmd := range every(a.root()) {
		if cmd.Name() != "demo" && cmd.Runnable() && cmd.Short == "" {
			t.Errorf("%s does not say what it does", cmd.CommandPath())
		}
		seen := map[string]string{}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if other := seen[envName(f.Name)]; other != "" {
				t.Errorf("%s: --%s and --%s share %s", cmd.CommandPath(), f.Name, other, envName(f.Name))
			}
			seen[envName(f.Name)] = f.Name
			if f.Usage == "" {
				t.Errorf("%s --%s does not say what it is for", cmd.CommandPath(), f.Name)
			}
		})
	}
}

func TestNearest(t *testing.T) {
	names := []string{"log-level", "log-format", "data", "hooks"}
	for word, want := range map[string]string{"log-levle": "log-level", "hoks": "hooks", "dat": "data", "frobnicate": ""} {
		if got := nearest(word, names); got != want {
			t.Errorf("%s: got %q", word, got)
		}
	}
}
