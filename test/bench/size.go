package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// sizeRow is what Gavel takes while nothing happens: in memory and as a file, and
// on disk for each event, its log folded in.
func sizeRow(ctx context.Context, b *bench) ([]result, error) {
	file, err := b.file("size", "rules.yaml", tenPercent(100))
	if err != nil {
		return nil, err
	}
	var idle, after, each []float64
	for i := range b.rounds {
		all, err := deliveries(i*b.events, b.events, oneInTen(100))
		if err != nil {
			return nil, err
		}
		s, _, err := b.gavel(ctx, file, b.path("size", i))
		if err != nil {
			return nil, err
		}
		rest := func() (float64, error) {
			select {
			case <-time.After(time.Second):
				return resident(s.pid, "VmRSS")
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		}
		before, err := rest()
		if err != nil {
			return nil, errors.Join(err, s.stop())
		}
		_, err = b.flood(ctx, s, "size", all)
		if err != nil {
			return nil, errors.Join(err, s.stop())
		}
		left, err := rest()
		if err := errors.Join(err, s.stop()); err != nil {
			return nil, err
		}
		stored, err := os.Stat(filepath.Join(b.path("size", i), "gavel.db"))
		if err != nil {
			return nil, err
		}
		idle, after = append(idle, before), append(after, left)
		each = append(each, float64(stored.Size())/float64(b.events))
	}
	info, err := os.Stat(b.bin)
	if err != nil {
		return nil, err
	}
	return []result{
		figure("memory (RSS), idle after the start", "MB", idle).atMost(40),
		figure(fmt.Sprintf("  a second after %d deliveries as fast as it goes", b.events), "MB", after),
		figure("on disk for each event, what it makes included", "B", each),
		figure("program, static and stripped", "MB", []float64{float64(info.Size()) / 1e6}).atMost(40),
	}, nil
}
