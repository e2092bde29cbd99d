package rules

import (
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParseDuration(t *testing.T) {
	for _, x := range []struct {
		text string
		want time.Duration
		err  string // part of it
	}{
		{"60m", time.Hour, ""},
		{"1h30m", 90 * time.Minute, ""},
		{"90s", 90 * time.Second, ""},
		{"2d", 48 * time.Hour, ""},
		{"1w", 7 * 24 * time.Hour, ""},
		{"500ms", 500 * time.Millisecond, ""},
		{"1w2d3h4m5s6ms", 9*24*time.Hour + 3*time.Hour + 4*time.Minute + 5*time.Second + 6*time.Millisecond, ""},
		{" 5m ", 5 * time.Minute, ""},
		{"0s", 0, ""},
		{"007m", 7 * time.Minute, ""},
		{"", 0, "a duration is missing"},
		{"60", 0, "write 60m, 60s or 60h"},
		{"60x", 0, "such as 60m"},
		{"m", 0, "such as 60m"},
		{"1h30", 0, "such as 60m"},
		{"60min", 0, "write 60m"},
		{"2 hours", 0, "write 2h"},
		{"1.5h", 0, "write 1h30m"},
		{"0.5 days", 0, "write 12h"},
		{"30 seconds", 0, "write 30s"},
		{"20 millis", 0, "write 20ms"},
		{"60M", 0, "write 60m"},
		{"30m1h", 0, "from large to small"},
		{"1m1m", 0, "from large to small"},
		{"-5m", 0, "such as 60m"},
		{"1e3s", 0, "such as 60m"},
		{"١m", 0, "such as 60m"},
		{"99999999999999999999m", 0, "292 years"},
		{"300000000h", 0, "292 years"},
		{"15250w4d", 0, "292 years"},
		{strings.Repeat("9", 5000) + "x", 0, "…"},
	} {
		got, err := parseDuration(x.text)
		if got != x.want || (err == nil) != (x.err == "") || err != nil && !strings.Contains(err.Error(), x.err) {
			t.Errorf("%q: %v, %v", x.text, got, err)
		}
	}
}

func TestFormatDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		72 * time.Minute:                "1h12m",
		48 * time.Minute:                "48m",
		12 * time.Second:                "12s",
		850 * time.Millisecond:          "850ms",
		time.Hour:                       "1h",
		60 * time.Hour:                  "2d12h",
		8 * 24 * time.Hour:              "8d",
		time.Hour + 5*time.Second:       "1h5s",
		90*time.Second + 900e6:          "1m30s",
		0:                               "0s",
		999 * time.Microsecond:          "0s",
		-5 * time.Minute:                "-5m",
		-time.Microsecond:               "0s",
		time.Duration(math.MinInt64):    "-106751d23h47m16s",
		time.Duration(math.MaxInt64):    "106751d23h47m16s",
		25*time.Hour + time.Millisecond: "1d1h",
	} {
		if got := formatDuration(d); got != want {
			t.Errorf("%v: %s, expected %s", d, got, want)
		}
	}
}

// TestDurationRoundTrip: what is printed can be read, and is the same duration.
func TestDurationRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(0, 1<<30).Draw(t, "seconds")) * time.Second
		if back, err := parseDuration(formatDuration(d)); err != nil || back != d {
			t.Fatalf("%v is printed %s and read %v, %v", d, formatDuration(d), back, err)
		}
	})
}
