package triggers

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
)

func TestCheckAge(t *testing.T) {
	now := time.UnixMilli(1_760_000_120_123)
	for _, c := range []struct {
		millis  int64
		verdict string
		says    string
	}{
		{1_760_000_120_123, "", ""},
		{1_760_000_000_124, "", ""},
		{1_760_000_000_123, engine.VerdictTooOld, "timestamp 120 s old, limit 120 s"},
		{1_759_999_808_000, engine.VerdictTooOld, "timestamp 312 s old, limit 120 s"},
		{0, engine.VerdictTooOld, "timestamp 1760000120 s old"},
		{1_760_000_240_122, "", ""},
		{1_760_000_240_123, engine.VerdictTooNew, "timestamp 120 s in the future, limit 120 s"},
		{1<<52 - 1, engine.VerdictTooNew, "in the future"},
	} {
		err := checkAge(c.millis, now, 120*time.Second)
		if c.verdict == "" && err != nil || c.verdict != "" && (!isVerdict(err, c.verdict) || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%d: got %v, want %s %q", c.millis, err, c.verdict, c.says)
		}
	}
}

func TestWholeNumber(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "1760000000123": 1_760_000_000_123, "": -1, "-1": -1, "+1": -1, " 1": -1, "1.0": -1, "1e3": -1, "0x10": -1,
		"1_000": -1, "99999999999999999999": -1, "4503599627370496": -1, "١": -1,
	} {
		if n, ok := wholeNumber(text); ok != (want >= 0) || ok && n != want {
			t.Errorf("%q: got %d, %v", text, n, ok)
		}
	}
}

func TestSoleHeader(t *testing.T) {
	for _, c := range []struct {
		values []string
		want   string
		says   string
	}{
		{[]string{"a"}, "a", ""},
		{nil, "", "header X-Signature is missing"},
		{[]string{""}, "", "header X-Signature is missing"},
		{[]string{"a", "a"}, "", "more than once"},
		{[]string{"", "a"}, "", "more than once"},
	} {
		got, err := soleHeader(http.Header{"X-Signature": c.values}, "X-Signature")
		if got != c.want || (err != nil) != (c.says != "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q: got %q, %v", c.values, got, err)
		}
	}
}
