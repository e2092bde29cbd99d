package main

import (
	"os"
	"slices"
	"time"
)

// disk is what fsync takes by itself, measured again and again between the
// runs: no answer can come sooner.
type disk struct {
	dir  string
	took []time.Duration
}

// fsyncs writes 4 KiB n times, each made durable, and returns the quantiles.
func (d *disk) fsyncs(n int) (p50, p99 time.Duration, err error) {
	f, err := os.CreateTemp(d.dir, "fsync-")
	if err != nil {
		return 0, 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	page, took := make([]byte, 4096), make([]time.Duration, n)
	for i := range took {
		began := time.Now()
		if _, err := f.Write(page); err != nil {
			return 0, 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, 0, err
		}
		took[i] = time.Since(began)
	}
	d.took = append(d.took, took...)
	p50, p99 = quantiles(took)
	return p50, p99, nil
}

// all are the quantiles of everything measured, in milliseconds.
func (d *disk) all() (p50, p99 float64) {
	if len(d.took) == 0 {
		return 0, 0
	}
	a, b := quantiles(d.took)
	return ms(a), ms(b)
}

func quantiles(took []time.Duration) (p50, p99 time.Duration) {
	sorted := slices.Sorted(slices.Values(took))
	return sorted[len(sorted)/2], sorted[len(sorted)*99/100]
}

func ms(d time.Duration) float64 { return d.Seconds() * 1000 }

func us(d time.Duration) float64 { return d.Seconds() * 1e6 }
