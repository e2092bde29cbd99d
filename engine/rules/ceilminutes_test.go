package rules

import (
	"math"
	"testing"
	"time"
)

// Minutes of the ledger are (ms + 59,999) div 60,000.
func TestCeilMinutes(t *testing.T) {
	s := &site{names: []string{"session.duration"}}
	minutes := func(d time.Duration) any {
		v, err := doCeilMinutes(nil, s, []any{d})
		if err != nil {
			return err.Error()
		}
		return v
	}
	for ms, want := range map[int]any{
		0: 0, 1: 1, 59_999: 1, 60_000: 1, 60_001: 2, 3_600_000: 60, 3_600_001: 61,
		-1: "session.duration is negative here", -60_000: "session.duration is negative here",
	} {
		if got := minutes(time.Duration(ms) * time.Millisecond); got != want {
			t.Errorf("%d ms: %v, want %v", ms, got, want)
		}
	}
	// As scripts compute it, for each duration of up to 7 days around every minute.
	for m := range 7 * 24 * 60 {
		for ms := max(0, m*60_000-2); ms <= m*60_000+2; ms++ {
			if got := minutes(time.Duration(ms) * time.Millisecond); got != int(math.Ceil(float64(ms)/60_000)) {
				t.Fatalf("%d ms: %v, and Math.ceil makes %v", ms, got, math.Ceil(float64(ms)/60_000))
			}
		}
	}
}
