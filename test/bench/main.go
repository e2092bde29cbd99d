// Command bench measures what one machine can take: durable accepted events
// per second over HTTP, on a real gavel with 100 rules of which one matches,
// beside the rate of the store alone. Runs of both take turns, so that a
// machine that slows down slows both.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"time"

	"github.com/gavelhq/gavel/test/load"
	"github.com/gavelhq/gavel/test/server"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var b bench
	flag.IntVar(&b.events, "events", 20_000, "deliveries in a run")
	flag.IntVar(&b.clients, "clients", 64, "connections")
	flag.IntVar(&b.rounds, "rounds", 5, "runs of each kind")
	flag.StringVar(&b.dir, "dir", "bin", "`folder` on the disk to measure")
	flag.Parse()
	if err := b.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench is what to measure.
type bench struct {
	events, clients, rounds int
	dir                     string
}

func (b bench) run(ctx context.Context) (err error) {
	if err := os.MkdirAll(b.dir, 0o755); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(b.dir, "bench-") // relative: a socket's path must be short
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	bin, err := server.Build(ctx, dir)
	if err != nil {
		return err
	}
	bin, err = filepath.Abs(bin)
	if err != nil {
		return err
	}
	disk, err := fsyncs(dir, 200)
	if err != nil {
		return err
	}
	fmt.Printf("disk: fsync of 4 KiB takes %s (p50), %s (p99)\n", ms(disk.p50), ms(disk.p99))
	fmt.Printf("%d signed events of about 1 KB a run, %d rules of which one matches, %d connections\n\n", b.events, rules, b.clients)

	row := func(name string, http, store figures) {
		fmt.Printf("%-6s  %11.0f  %10s  %10s  %11.0f  %11.0f  %10s\n",
			name, http.accepted, ms(http.p50), ms(http.p99), http.finished, store.accepted, ms(store.p50))
	}
	fmt.Println("              http:                               runs    store alone:")
	fmt.Println("run        events/s         p50         p99       done/s     events/s         p50")
	var https, stores []figures
	for i := range b.rounds {
		deliveries := make([]load.Delivery, b.events)
		for n := range deliveries { // signed anew: a token lives five minutes
			if deliveries[n], err = load.SessionEnded(n, "room-0", time.Now()); err != nil {
				return err
			}
		}
		http, err := b.overHTTP(ctx, bin, filepath.Join(dir, fmt.Sprint("http-", i)), deliveries)
		if err != nil {
			return fmt.Errorf("over http: %w", err)
		}
		store, err := b.storeAlone(ctx, filepath.Join(dir, fmt.Sprint("store-", i)), deliveries)
		if err != nil {
			return fmt.Errorf("store alone: %w", err)
		}
		https, stores = append(https, http), append(stores, store)
		row(fmt.Sprint(i+1), http, store)
	}
	row("median", median(https), median(stores))
	return nil
}

// figures are what one run comes to.
type figures struct {
	accepted float64       // events per second, from the first byte to the last answer
	finished float64       // runs per second, until the last one is done
	p50, p99 time.Duration // of an answer
}

// summary makes figures of the latency of every answer.
func summary(latencies []time.Duration, accepted, finished time.Duration) figures {
	slices.Sort(latencies)
	n := len(latencies)
	return figures{
		accepted: float64(n) / accepted.Seconds(),
		finished: float64(n) / finished.Seconds(),
		p50:      latencies[n/2],
		p99:      latencies[n*99/100],
	}
}

// median takes the median of each figure.
func median(all []figures) figures {
	return figures{
		accepted: middle(all, func(f figures) float64 { return f.accepted }),
		finished: middle(all, func(f figures) float64 { return f.finished }),
		p50:      middle(all, func(f figures) time.Duration { return f.p50 }),
		p99:      middle(all, func(f figures) time.Duration { return f.p99 }),
	}
}

func middle[T float64 | time.Duration](all []figures, of func(figures) T) T {
	var values []T
	for _, f := range all {
		values = append(values, of(f))
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// fsyncs measures n writes of 4 KiB, each made durable.
func fsyncs(dir string, n int) (figures, error) {
	f, err := os.CreateTemp(dir, "fsync-")
	if err != nil {
		return figures{}, err
	}
	defer f.Close()
	page, latencies, began := make([]byte, 4096), make([]time.Duration, n), time.Now()
	for i := range latencies {
		start := time.Now()
		if _, err := f.Write(page); err != nil {
			return figures{}, err
		}
		if err := f.Sync(); err != nil {
			return figures{}, err
		}
		latencies[i] = time.Since(start)
	}
	took := time.Since(began)
	return summary(latencies, took, took), nil
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f ms", d.Seconds()*1000) }
