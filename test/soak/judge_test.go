package soak

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"
)

const (
	// long is how long a soak has to last to tell what grows from what varies.
	long = 25 * time.Minute
	// perHour is how much memory may rise in an hour.
	perHour = 1 << 20
	// perAnswered is by how many bytes the file may grow for each delivery while
	// what is over is deleted: keys of deliveries are kept for a week, and the
	// ledger for good.
	perAnswered = 256
	// drift is how much more an event may cost at the end.
	drift = 1.25
	// warmUp is how long it takes at 300 events a second until all caches are full.
	warmUp = 18 * time.Minute
)

// judge says what grew that should not.
func judge(t *testing.T, all []sample) {
	t.Helper()
	warm := warmed(all)
	for _, x := range []struct {
		what string
		of   func(sample) float64
	}{
		{"resident memory", func(x sample) float64 { return float64(x.resident) }},
		{"the heap", func(x sample) float64 { return float64(x.heap) }},
	} {
		if rise, sure := slope(warm, x.of); rise-2*sure > perHour {
			t.Errorf("%s rises by %s an hour, ± %s, at most 1 MiB is allowed", x.what, mebibytes(rise), mebibytes(sure))
		}
	}
	grown, answered := warm[len(warm)-1].disk-warm[len(warm)/2].disk, warm[len(warm)-1].acked-warm[len(warm)/2].acked
	if grown > perAnswered*int64(answered) {
		t.Errorf("the database grows by %d bytes for each answered delivery, at most %d are allowed", grown/int64(max(1, answered)), perAnswered)
	}
	if first, last := costs(warm); float64(last) > drift*float64(first) {
		t.Errorf("an event costs %s of CPU at the end, %s after the warm-up", last, first)
	}
}

// warmed are the samples after the warm-up, all if it was not reached.
func warmed(all []sample) []sample {
	i := slices.IndexFunc(all, func(s sample) bool { return s.at >= warmUp })
	return all[max(i, 0):]
}

// slope is by how much a figure rises in an hour, by the line that fits the
// samples best, and the standard error of that.
func slope(samples []sample, of func(sample) float64) (perHour, sure float64) {
	n := float64(len(samples))
	var sx, sy float64
	for _, s := range samples {
		sx, sy = sx+s.at.Hours(), sy+of(s)
	}
	var xx, xy, rest float64
	for _, s := range samples {
		dx := s.at.Hours() - sx/n
		xx, xy = xx+dx*dx, xy+dx*(of(s)-sy/n)
	}
	perHour = xy / xx
	for _, s := range samples {
		d := of(s) - sy/n - perHour*(s.at.Hours()-sx/n)
		rest += d * d
	}
	return perHour, math.Sqrt(rest / (n - 2) / xx)
}

// costs are the CPU time of an event in the first and in the last third.
func costs(samples []sample) (first, last time.Duration) {
	third := len(samples) / 3
	return cost(samples[0], samples[third]), cost(samples[len(samples)-1-third], samples[len(samples)-1])
}

func cost(from, to sample) time.Duration {
	return (to.cpu - from.cpu) / time.Duration(max(1, to.acked-from.acked))
}

// report tells the figures, ten times in all.
func report(t *testing.T, before sample, samples []sample, after sample) {
	t.Logf("%8s %9s %10s %10s %10s %5s %5s %9s", "after", "answered", "CPU/event", "resident", "heap", "gor.", "files", "disk")
	line := func(name string, x sample, cpu time.Duration) {
		t.Logf("%8s %9d %10s %10s %10s %5d %5d %9s", name, x.acked, cpu.Round(100*time.Nanosecond), mebibytes(float64(x.resident)),
			mebibytes(float64(x.heap)), x.goroutines, x.files+x.database, mebibytes(float64(x.disk)))
	}
	line("before", before, 0)
	last := sample{cpu: before.cpu}
	for i, x := range samples {
		if (i+1)%max(1, len(samples)/10) == 0 {
			line(x.at.Round(time.Second).String(), x, cost(last, x))
			last = x
		}
	}
	line("idle", after, 0)
	if len(samples) < 10 {
		return
	}
	end := samples[len(samples)-1]
	t.Logf("an answered delivery takes %d bytes on disk", end.disk/int64(max(1, end.acked)))
	warm := warmed(samples)
	for _, x := range []struct {
		what string
		of   func(sample) float64
	}{
		{"resident memory", func(x sample) float64 { return float64(x.resident) }},
		{"heap", func(x sample) float64 { return float64(x.heap) }},
		{"disk", func(x sample) float64 { return float64(x.disk) }},
	} {
		rise, sure := slope(warm, x.of)
		t.Logf("%s: %s an hour, ± %s", x.what, mebibytes(rise), mebibytes(sure))
	}
}

func mebibytes(n float64) string { return fmt.Sprintf("%.2f MiB", n/(1<<20)) }
