package diff

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gavelhq/gavel/engine/ruletest"
	"github.com/gavelhq/gavel/test/server"
	"github.com/google/go-cmp/cmp"
)

// report is what gavel diff -o json prints.
type report struct {
	Events int
	Rules  []ruletest.RuleDiff
	Same   []ruletest.SameRule
	ruletest.Counts
	Targets []ruletest.Total
	Meters  []ruletest.Meter
}

// play plays a calendar on a server of its own, and tells what happened since
// each of these moments.
func play(t *testing.T, dir, file string, all []delivery, end time.Time, since ...time.Time) (out []happened) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir, file)
		w.play(t, all, end)
		for _, s := range since {
			out = append(out, w.look(t, s))
		}
		if err := w.stop(); err != nil {
			t.Error(err)
		}
	})
	return out
}

func build(t *testing.T) string {
	t.Helper()
	bin, err := server.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

// diff runs gavel diff.
func diff(t *testing.T, bin, data string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), bin, append([]string{"diff", "--data", data, "--tz", "UTC"}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("gavel diff: %v\n%s", err, stderr.String())
	}
	return out
}

// TestNumbers compares the numbers of gavel diff with what happened.
func TestNumbers(t *testing.T) {
	meetings := 900
	if slow || testing.Short() {
		meetings = 200
	}
	const days = 3
	all := newCalendar(1, meetings, days).sent
	end := start.AddDate(0, 0, days+2)
	// The server has begun at start: what is due at that moment is not its own.
	whole, part := start.Add(time.Minute), start.Add(30*time.Hour)
	data := memoryDir(t)
	before := play(t, data, "testdata/before.yaml", all, end, whole, part)
	after := play(t, memoryDir(t), "testdata/after.yaml", all, end, whole, part)
	bin := build(t)
	for i, since := range []time.Time{whole, part} {
		t.Run(since.Format(time.DateTime), func(t *testing.T) {
			out := diff(t, bin, data, "--rules", "testdata/after.yaml", "--since", since.Format(time.RFC3339), "--until", end.Format(time.RFC3339), "--warm-up", "30h", "-o", "json")
			var got report
			if err := json.Unmarshal(out, &got); err != nil {
				t.Fatal(err)
			}
			t.Logf("%d events, %d more, %d less, %d different, %d unknown", got.Events, got.More, got.Less, got.Different, got.Unknown)
			if got.Unknown > 0 {
				t.Errorf("%d unknown", got.Unknown)
			}
			same(t, got, before[i], after[i])
		})
	}
}

// same compares a report with what happened before and after the change.
func same(t *testing.T, got report, before, after happened) {
	t.Helper()
	told := [2]happened{}
	for i := range told {
		told[i] = happened{map[string]int{}, map[string]int{}, map[string]int{}, map[string]int{}, map[string]string{}, map[string]int{}}
	}
	put := func(to func(happened) map[string]int, name string, p ruletest.Pair) {
		for i, n := range []int{p.Before, p.After} {
			if n != 0 {
				to(told[i])[name] += n
			}
		}
	}
	runs := func(h happened) map[string]int { return h.runs }
	actions := func(h happened) map[string]int { return h.actions }
	failed := func(h happened) map[string]int { return h.failed }
	wrong := func(h happened) map[string]int { return h.errors }
	for _, r := range got.Rules {
		put(runs, r.Rule, r.Runs)
		put(actions, r.Rule, r.Actions)
		put(failed, r.Rule, r.Failed)
		put(wrong, r.Rule, r.Errors)
	}
	both := func(n int) ruletest.Pair { return ruletest.Pair{Before: n, After: n} }
	for _, r := range got.Same {
		put(runs, r.Rule, both(r.Runs))
		put(actions, r.Rule, both(r.Actions))
		put(failed, r.Rule, both(r.Failed))
		put(wrong, r.Rule, both(r.Errors))
	}
	for _, x := range got.Targets {
		put(func(h happened) map[string]int { return h.targets }, x.Action+" "+x.Target, x.Pair)
	}
	for _, m := range got.Meters {
		for i, s := range []ruletest.Sum{m.Before, m.After} {
			minor := "0"
			if len(s.Amounts) > 0 {
				minor = s.Amounts[0].Minor
			}
			told[i].meters[m.Meter] = fmt.Sprintf("%d entries, %s, %s minor, %d conflicts", s.Entries, s.Quantity, minor, s.Conflicts)
		}
	}
	for i, want := range []happened{before, after} {
		side := [2]string{"before", "after"}[i]
		for name, pair := range map[string][2]any{
			"runs": {want.runs, told[i].runs}, "actions": {want.actions, told[i].actions}, "failed runs": {want.failed, told[i].failed},
			"errors": {want.errors, told[i].errors}, "meters": {want.meters, told[i].meters}, "targets": {want.targets, told[i].targets},
		} {
			if d := cmp.Diff(pair[0], pair[1]); d != "" {
				t.Errorf("%s, %s (- happened, + told):\n%s", side, name, d)
			}
		}
	}
}
