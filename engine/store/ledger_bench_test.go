package store

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// billed is the n-th entry of a ledger, with all that one has.
func billed(n int) engine.Entry {
	amount := int64(28 + n%100)
	ended := time.Date(2026, 11, 1, 0, 0, n, 0, time.UTC)
	key := fmt.Sprintf("pnm/RM_%016x", n*0x9E3779B1)
	return engine.Entry{
		ID: fmt.Sprintf("ent_%026d", n), Kind: engine.EntryUsage, Tenant: "default", Source: "pnm", Key: key, Meter: "meeting_minutes",
		Customer: fmt.Sprint("Müller & Söhne ", n%500), Quantity: "72", Price: "0.004", Currency: "USD", Rounding: "half_up",
		Amount: &amount, Exponent: 2, Service: ended.Format(monthFormat), Zone: "Europe/Madrid", Session: key, Room: "Weekly",
		Platform: "plugnmeet", Rule: "bill", Revision: "4f0c6a1e9b2d", Run: fmt.Sprintf("run_%026d", n), Step: "then/bill",
		Event: fmt.Sprintf("evt_%026d", n), Started: ended.Add(-72 * time.Minute), Ended: ended, At: ended, Version: "1.4.0",
		Charge: func(e *engine.Entry, before string) (err error) {
			e.Before = before
			e.Month, err = sum(before, e.Quantity)
			return err
		},
	}
}

// ledger is a store with n entries, as it is on disk.
func ledger(tb testing.TB, n int) (path string) {
	tb.Helper()
	dir := tb.TempDir()
	s := inUse(tb, dir)
	for from := 0; from < n; from += 1000 {
		err := probe(s, func(b *batch) error {
			p := newPosting(b)
			for i := from; i < min(n, from+1000); i++ {
				e := billed(i)
				if _, err := p.add(e, e.Charge); err != nil {
					return err
				}
			}
			return p.write()
		})
		if err != nil {
			tb.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		tb.Fatal(err)
	}
	return filepath.Join(dir, fileName)
}

func BenchmarkVerifyLedger(b *testing.B) {
	const rows = 50_000
	path := ledger(b, rows)
	for b.Loop() {
		r, err := VerifyLedger(context.Background(), path, nil)
		if err != nil || r.Found > 0 || r.Entries != rows {
			b.Fatalf("%+v (%v)", r, err)
		}
	}
	b.ReportMetric(float64(b.N*rows)/b.Elapsed().Seconds(), "rows/s")
}
