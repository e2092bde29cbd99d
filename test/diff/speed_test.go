package diff

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var speedEvents = flag.Int("events", 0, "how many events TestSpeed stores, about; 0: it is skipped")

// TestSpeed measures gavel diff over stored events: make diff.
func TestSpeed(t *testing.T) {
	if *speedEvents == 0 {
		t.Skip("make diff runs it")
	}
	const example = "../../rules.example.yaml"
	days := max(2, *speedEvents/15_000)
	c := newCalendar(1, *speedEvents*2/15, days)
	data, end := memoryDir(t), start.AddDate(0, 0, days)
	began := time.Now()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, data, example)
		w.play(t, c.sent, end)
		if err := w.stop(); err != nil {
			t.Error(err)
		}
	})
	t.Logf("%d deliveries of %d days stored in %s", len(c.sent), days, time.Since(began).Round(time.Millisecond))
	bin := build(t)
	for _, tc := range []struct{ name, before, after string }{
		{"the example rules", example, changed(t, example)},
		{"rules of every word", "testdata/before.yaml", "testdata/after.yaml"},
	} {
		began := time.Now()
		out := diff(t, bin, data, "--rules", tc.after, "--against", tc.before, "--since", start.Format(time.RFC3339), "--until", end.Format(time.RFC3339), "-o", "json", "--limit", "1")
		took := time.Since(began)
		var r report
		if err := json.Unmarshal(out, &r); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %d events, %d actions to add, %d to remove, %d changed: %s", tc.name, r.Events, r.More, r.Less, r.Different, took.Round(10*time.Millisecond))
	}
}

// changed is a copy of the example with some changes.
func changed(t *testing.T, example string) (file string) {
	text, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	other := strings.NewReplacer("session.duration > 60m", "session.duration > 45m", "within: 5m", "within: 3m", "0.004 EUR", "0.005 EUR").Replace(string(text))
	file = filepath.Join(t.TempDir(), "changed.yaml")
	if err := os.WriteFile(file, []byte(other), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
