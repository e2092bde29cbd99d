package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gavelhq/gavel/test/load"
)

// delays are those of one run at the pace, and the disk's own just before it.
type delays struct{ p50, p99, disk50, disk99 time.Duration }

// results are the delays of the runs, over what the disk takes by itself.
func results(what string, runs []delays) (p50, over50, p99, over99 result) {
	return figure("  "+what+", p50", "ms", of(runs, func(d delays) float64 { return ms(d.p50) })),
		figure(what+", p50 over the disk's fsync", "ms", of(runs, func(d delays) float64 { return ms(d.p50 - d.disk50) })),
		figure("  "+what+", p99", "ms", of(runs, func(d delays) float64 { return ms(d.p99) })),
		figure(what+", p99 over the disk's fsync", "ms", of(runs, func(d delays) float64 { return ms(d.p99 - d.disk99) }))
}

// ackRow is how soon a delivery is answered at a rate that is no effort.
func ackRow(ctx context.Context, b *bench) ([]result, error) {
	const rules = 100
	file, err := b.file("ack", "rules.yaml", tenPercent(rules))
	if err != nil {
		return nil, err
	}
	var runs []delays
	for i := range b.rounds {
		run, err := b.one(ctx, file, b.path("ack", i), func(first, n int) ([]load.Delivery, error) {
			return deliveries(first, n, oneInTen(rules))
		}, func(_ time.Time, took []time.Duration) ([]time.Duration, error) { return took, nil })
		if err != nil {
			return nil, err
		}
		runs = append(runs, run)
	}
	p50, over50, p99, over99 := results(fmt.Sprintf("answer at %d/s", pace), runs)
	return []result{p50, over50.atMost(1), p99, over99.atMost(5)}, nil
}

// actRow is how soon after a delivery its action reaches a target nearby.
func actRow(ctx context.Context, b *bench) ([]result, error) {
	t, err := newTarget()
	if err != nil {
		return nil, err
	}
	defer t.down()
	file, err := b.file("act", "rules.yaml", t.calling(100))
	if err != nil {
		return nil, err
	}
	var runs []delays
	for i := range b.rounds {
		first := i * 1_000_000
		run, err := b.one(ctx, file, b.path("act", i), func(from, n int) ([]load.Delivery, error) {
			return sessions(first+from, n)
		}, func(began time.Time, took []time.Duration) ([]time.Duration, error) {
			ctx, cancel := context.WithTimeout(ctx, time.Minute)
			defer cancel()
			return t.delays(ctx, first, began, took)
		})
		if err != nil {
			return nil, err
		}
		runs = append(runs, run)
	}
	p50, over50, p99, over99 := results(fmt.Sprintf("webhook to action at %d/s", pace), runs)
	return []result{p50, over50, p99, over99.atMost(10)}, nil
}

// delays are how long after its delivery was due each session was named to the
// target.
func (t *target) delays(ctx context.Context, first int, began time.Time, sent []time.Duration) ([]time.Duration, error) {
	out := make([]time.Duration, len(sent))
	for i := range out {
		at, ok := t.called(first + i)
		for !ok {
			select {
			case <-time.After(time.Millisecond):
				at, ok = t.called(first + i)
			case <-ctx.Done():
				return nil, fmt.Errorf("session %d did not reach the target: %w", first+i, ctx.Err())
			}
		}
		out[i] = at.Sub(due(began, i))
	}
	return out, nil
}

// one is one run at the pace on a fresh server. A second of it comes first and
// is not measured. judge makes delays of when it began and how long each
// delivery took.
func (b *bench) one(ctx context.Context, rules, data string, make func(first, n int) ([]load.Delivery, error),
	judge func(time.Time, []time.Duration) ([]time.Duration, error)) (out delays, err error) {
	n := int(b.open.Seconds() * pace)
	all, err := make(0, n)
	if err != nil {
		return out, err
	}
	warm, err := make(n, pace)
	if err != nil {
		return out, err
	}
	s, _, err := b.gavel(ctx, rules, data)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	if _, _, err := b.steady(ctx, s, warm); err != nil {
		return out, err
	}
	if out.disk50, out.disk99, err = b.disk.fsyncs(500); err != nil {
		return out, err
	}
	began, took, err := b.steady(ctx, s, all)
	if err != nil {
		return out, err
	}
	if took, err = judge(began, took); err != nil {
		return out, err
	}
	out.p50, out.p99 = quantiles(took)
	return out, nil
}
