// Command scale measures a Gavel that has been running for a long time: with a
// million stored sessions, ten thousand of them open, and fifty thousand timers
// to wait for. How long it takes to start, and whether it accepts deliveries as
// fast as one that has just been installed.
//
// The big store is made of a small one that Gavel itself has written: see
// multiply.go. Runs on it and on an empty one take turns, so that a machine
// that slows down slows both.
package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"time"

	"github.com/gavelhq/gavel/test/server"
)

//go:embed rules.yaml
var rulesText string

// The marks.
const (
	readyMark = 2 * time.Second
	rateMark  = 0.8 // of the rate of an empty store
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var s scale
	flag.IntVar(&s.plan.sessions, "sessions", 1_000_000, "stored sessions")
	flag.IntVar(&s.plan.open, "open", 10_000, "open ones among them, with five timers each")
	flag.IntVar(&s.plan.rooms, "rooms", 1000, "rooms")
	flag.IntVar(&s.plan.blocks, "blocks", 10, "places among the others where open sessions lie")
	flag.BoolVar(&s.plan.whole, "whole", false, "store all six events of each session, not only its last")
	only := flag.String("make", "", "make the big store in this `folder` and end")
	flag.IntVar(&s.deliveries, "deliveries", 20_000, "deliveries in a run")
	flag.IntVar(&s.clients, "clients", 64, "who deliver at once")
	flag.IntVar(&s.rounds, "rounds", 5, "runs of each kind")
	flag.StringVar(&s.profile, "profile", "", "write CPU profiles of the store in process to this `folder`")
	dir := flag.String("dir", "bin", "`folder` on the disk to measure")
	flag.Parse()
	if *only != "" {
		if err := build(ctx, *only, s.plan); err != nil {
			fmt.Fprintln(os.Stderr, "scale:", err)
			os.Exit(1)
		}
		return
	}
	if err := s.run(ctx, *dir, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
}

// scale is what to measure.
type scale struct {
	plan                        plan
	deliveries, clients, rounds int
	profile                     string
}

var errMissed = errors.New("a mark was missed")

func (s scale) run(ctx context.Context, parent string, out io.Writer) (err error) {
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(parent, "scale-") // relative: a socket's path must be short
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	bin, err := server.Build(ctx, dir)
	if err != nil {
		return err
	}
	if bin, err = filepath.Abs(bin); err != nil {
		return err
	}
	rules := filepath.Join(dir, "rules.yaml")
	if err := os.WriteFile(rules, []byte(rulesText), 0o600); err != nil {
		return err
	}
	big := filepath.Join(dir, "big")
	began := time.Now()
	if err := build(ctx, big, s.plan); err != nil {
		return err
	}
	info, err := os.Stat(filepath.Join(big, "gavel.db"))
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d sessions, %d open with %d timers: %d MB, made in %s\n\n", s.plan.sessions, s.plan.open, 5*s.plan.open,
		info.Size()>>20, time.Since(began).Round(time.Second))

	met := true
	if err := s.starts(ctx, out, bin, rules, dir, &met); err != nil {
		return err
	}
	if err := s.rates(ctx, out, bin, rules, dir, &met); err != nil {
		return err
	}
	if !met {
		return errMissed
	}
	return nil
}

// build makes the big store.
func build(ctx context.Context, dir string, p plan) error {
	if err := template(ctx, dir, rulesText); err != nil {
		return fmt.Errorf("store the template: %w", err)
	}
	if err := multiply(ctx, dir, p); err != nil {
		return fmt.Errorf("multiply it: %w", err)
	}
	return nil
}

// starts measures the start, and what people ask for right after it.
func (s scale) starts(ctx context.Context, out io.Writer, bin, rules, dir string, met *bool) error {
	big := filepath.Join(dir, "big")
	var ready []time.Duration
	for i := range s.rounds {
		p, err := start(ctx, bin, rules, big)
		if err != nil {
			return err
		}
		ready = append(ready, p.ready)
		if i == s.rounds-1 {
			err = s.asks(ctx, out, p, bin, big)
		}
		if err := errors.Join(err, p.stop()); err != nil {
			return err
		}
	}
	fast := middle(ready) < readyMark
	*met = *met && fast
	fmt.Fprintf(out, "%-34s %9s   mark %s %s\n\n", "start to ready", ms(middle(ready)), ms(readyMark), word(fast))
	return nil
}

func (s scale) asks(ctx context.Context, out io.Writer, p *process, bin, big string) error {
	var status struct {
		Store struct {
			Timers int `json:"open_timers"`
		} `json:"store"`
	}
	began := time.Now()
	if err := p.get(ctx, big, "/api/v1/status", &status); err != nil {
		return err
	}
	fmt.Fprintf(out, "%-34s %9s\n", "status", ms(time.Since(began)))
	bytes, err := p.memory()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%-34s %6d MB\n", "memory after the start", bytes>>20)
	for _, args := range [][]string{
		{"sessions", "list", "--active"},
		{"sessions", "list"},
		{"sessions", "list", "--source", "load", "--active"},
		{"sessions", "list", "--room", "room-00000017"},
		{"sessions", "list", "--room", "nowhere"},
		{"sessions", "show", "RM_" + name(17)},
		{"events", "list", "--room", "room-00000017"},
		{"runs", "list", "--failed"},
	} {
		took, _, err := ask(ctx, bin, big, args...)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%-34s %9s\n", fmt.Sprint("gavel ", args), ms(took))
	}
	return nil
}

// rates measures how fast deliveries are accepted, beside an empty store.
func (s scale) rates(ctx context.Context, out io.Writer, bin, rules, dir string, met *bool) error {
	big := filepath.Join(dir, "big")
	var alone, http, bytes [2][]float64
	fmt.Fprintf(out, "%-10s %14s %14s %14s %14s\n", "accepts/s", "store, empty", "store, big", "http, empty", "http, big")
	for i := range s.rounds {
		var row [4]float64
		for j, data := range []string{filepath.Join(dir, fmt.Sprint("empty-", i)), big} {
			stop, err := s.profiling(filepath.Base(data))
			if err != nil {
				return err
			}
			got, err := inProcess(ctx, data, rulesText, 20_000_000+i*s.deliveries, s.deliveries, s.clients, s.plan.rooms)
			stop()
			if err != nil {
				return fmt.Errorf("store alone: %w", err)
			}
			alone[j], row[j] = append(alone[j], got.rate), got.rate
			bytes[j] = append(bytes[j], got.bytes)
		}
		for j, data := range []string{filepath.Join(dir, fmt.Sprint("served-", i)), big} {
			p, err := start(ctx, bin, rules, data)
			if err != nil {
				return err
			}
			rate, err := overHTTP(ctx, p, 10_000_000+i*s.deliveries, s.deliveries, s.clients)
			if err := errors.Join(err, p.stop()); err != nil {
				return fmt.Errorf("over http: %w", err)
			}
			http[j], row[2+j] = append(http[j], rate), rate
		}
		fmt.Fprintf(out, "%-10d %14.0f %14.0f %14.0f %14.0f\n", i+1, row[0], row[1], row[2], row[3])
	}
	fmt.Fprintf(out, "%-10s %14.0f %14.0f %14.0f %14.0f\n", "median", middle(alone[0]), middle(alone[1]), middle(http[0]), middle(http[1]))
	fmt.Fprintf(out, "%-10s %11.1f KB %11.1f KB   written for each delivery, whatever else the machine does\n",
		"", middle(bytes[0])/1024, middle(bytes[1])/1024)
	for _, kind := range []struct {
		name string
		r    [2][]float64
	}{{"store", alone}, {"http", http}} {
		share := middle(kind.r[1]) / middle(kind.r[0])
		fast := share >= rateMark
		*met = *met && fast
		fmt.Fprintf(out, "%-34s %8.0f%%   mark %.0f%% %s\n", kind.name+", big beside empty", 100*share, 100*rateMark, word(fast))
	}
	return nil
}

// profiling writes a CPU profile until stop is called, if one is asked for.
func (s scale) profiling(name string) (stop func(), err error) {
	if s.profile == "" {
		return func() {}, nil
	}
	f, err := os.Create(filepath.Join(s.profile, name+".pprof"))
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() {
		pprof.StopCPUProfile()
		f.Close()
	}, nil
}

func word(met bool) string {
	if met {
		return "met"
	}
	return "MISSED"
}

func middle[T float64 | time.Duration](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

func ms(d time.Duration) string { return fmt.Sprintf("%.0f ms", d.Seconds()*1000) }
