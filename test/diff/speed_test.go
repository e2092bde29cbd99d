package diff

import (
	"encoding/json"
	"flag"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

var speedEvents = flag.Int("events", 0, "how many events TestSpeed stores; 0: it is skipped")

// TestSpeed measures gavel diff over stored events: make diff.
func TestSpeed(t *testing.T) {
	if *speedEvents == 0 {
		t.Skip("make diff runs it")
	}
	days := max(2, *speedEvents/15_000)
	c := newCalendar(1, *speedEvents/6, days)
	data, end := memoryDir(t), start.AddDate(0, 0, days+2)
	began := time.Now()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, data, "testdata/before.yaml")
		w.play(t, c.sent, end)
		if err := w.stop(); err != nil {
			t.Error(err)
		}
	})
	t.Logf("%d deliveries stored in %s", len(c.sent), time.Since(began).Round(time.Millisecond))
	if keep := os.Getenv("KEEP"); keep != "" {
		t.Logf("kept: %v", os.CopyFS(keep, os.DirFS(data)))
	}
	bin := build(t)
	for range 3 {
		began := time.Now()
		out := diff(t, bin, data, "--since", start.Add(24*time.Hour).Format(time.RFC3339), "--until", end.Format(time.RFC3339), "-o", "json", "--limit", "1")
		took := time.Since(began)
		var r report
		if err := json.Unmarshal(out, &r); err != nil {
			t.Fatal(err)
		}
		t.Logf("%d events of the period, and those of the day before, played with two rule sets in %s", r.Events, took.Round(time.Millisecond))
	}
}
