package store

import (
	"context"
	"slices"
	"testing"
	"time"
)

// BenchmarkDelete is what it costs to delete b.N events as BenchmarkAccept
// stores them, long after: how long a transaction takes of the committer's time,
// flush included, and how many rows go at most in a second.
func BenchmarkDelete(b *testing.B) {
	o := options()
	shift := time.Duration(0)
	o.Now = func() time.Time { return time.Now().Add(shift) }
	s := inUse(b, b.TempDir())
	b.StopTimer()
	accepts(b, s)
	if err := probe(s, func(x *batch) error { // as if they had finished
		_, err := x.w.exec(`UPDATE runs SET state = 'done', turn = NULL, body = json_set(body, '$.state', 'done')`)
		return err
	}); err != nil {
		b.Fatal(err)
	}
	shift = 400 * 24 * time.Hour
	o.Retention = Retention{Events: time.Hour, Runs: time.Hour, Sessions: time.Hour, Traces: time.Hour}
	x := newRetainer(context.Background(), o, s.Reader, s.committer)
	b.StartTimer()
	var all []time.Duration
	for _, sweep := range x.sweeps {
		rows, took := int64(0), []time.Duration(nil)
		sweep.rows.begin(o.Now())
		for {
			j, done, _, err := sweep.rows.next(context.Background(), o.Now())
			if err != nil {
				b.Fatal(err)
			}
			if j != nil {
				if err := x.commit(j); err != nil {
					b.Fatal(err)
				}
				rows += j.n
				took = append(took, j.took)
			}
			if done {
				break
			}
		}
		if all = append(all, took...); len(took) > 0 {
			slices.Sort(took)
			b.Logf("%s: %d rows in %d transactions, half of them up to %s, at most %s", sweep.table, rows, len(took), took[len(took)/2], took[len(took)-1])
		}
	}
	slices.Sort(all)
	b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, "ms/transaction")
	b.ReportMetric(0, "accepts/s")
}
