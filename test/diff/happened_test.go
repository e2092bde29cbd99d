package diff

import (
	"context"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// happened is what a server really did since a moment.
type happened struct {
	runs    map[string]int
	actions map[string]int // by rule
	failed  map[string]int // runs by rule
	errors  map[string]int // conditions by rule
	meters  map[string]string
	targets map[string]int
}

// look reads the store. Shadow rules do nothing.
func (w *world) look(t *testing.T, since time.Time) happened {
	h := happened{map[string]int{}, map[string]int{}, map[string]int{}, map[string]int{}, map[string]string{}, map[string]int{}}
	ctx := context.Background()
	counted := map[string]bool{}
	conflicts := map[string]int{}
	targets := map[string]func(rec engine.StepRecord) string{}
	for _, k := range w.kinds {
		targets[k.Name] = func(rec engine.StepRecord) string {
			var conn any
			if rec.Via != "" {
				conn, _ = w.set.Connection(k.Name, rec.Via)
			}
			return k.Name + " " + k.Target(rec.With, conn)
		}
	}
	err := w.store.Done(ctx, since, time.Time{}, func(r *engine.Run) error {
		if r.Shadow {
			return nil
		}
		counted[r.ID] = true
		h.runs[r.Rule]++
		if r.State == engine.RunFailed {
			h.failed[r.Rule]++
		}
		for _, s := range r.Steps {
			target := targets[s.Action]
			switch {
			case target == nil:
			case s.State == engine.StepDone:
				h.actions[r.Rule]++
				if s.Action != "billing" {
					h.targets[target(s)]++
				}
			case s.State == engine.StepFailed && s.Action == "billing":
				conflicts[strings.TrimPrefix(target(s), "billing ")]++
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	entries, quantity, amount := map[string]int{}, map[string]*big.Rat{}, map[string]int64{}
	err = w.store.Entries(ctx, engine.Query{}, time.Time{}, time.Time{}, func(e engine.Entry) error {
		if !counted[e.Run] {
			return nil
		}
		if quantity[e.Meter] == nil {
			quantity[e.Meter] = new(big.Rat)
		}
		q, _ := new(big.Rat).SetString(e.Quantity)
		quantity[e.Meter].Add(quantity[e.Meter], q)
		entries[e.Meter]++
		if e.Amount != nil {
			amount[e.Meter] += *e.Amount
		}
		return nil
	})
	for meter, q := range quantity {
		h.meters[meter] = fmt.Sprintf("%d entries, %s, %d minor, %d conflicts", entries[meter], q.FloatString(0), amount[meter], conflicts[meter])
	}
	if err == nil {
		err = w.errors(ctx, h, since)
	}
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// errors reads what conditions could not be evaluated.
func (w *world) errors(ctx context.Context, h happened, since time.Time) error {
	hits, err := w.store.Hits(ctx, since)
	for rule, x := range hits {
		if x.Errors > 0 {
			h.errors[rule] = int(x.Errors)
		}
	}
	return err
}
