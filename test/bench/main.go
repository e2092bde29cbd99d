// Command bench measures what one machine can take, row by row: how many
// deliveries a second are durable, what each costs, how soon it is answered
// and acted upon, and what a large rule set, a large store or a slow target
// make of that. It prints each figure beside its mark.
//
// The server is a real one, in a process of its own, on the same cores as the
// load; deliveries are signed and verified, and every commit is flushed. What
// is compared takes turns, so that a machine that slows down slows both. Rates
// depend on the machine and on what else it does, which is said: the CPU time
// of an event and the ratios depend on it least.
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
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := command(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// command is bench itself or, with the argument baseline, the server that it
// compares Gavel with.
func command(ctx context.Context, args []string) error {
	if len(args) == 4 && args[0] == "baseline" {
		return serveBaseline(ctx, args[1], args[2], args[3])
	}
	var names []string
	for _, r := range rows() {
		names = append(names, r.name)
	}
	flags := flag.NewFlagSet("bench", flag.ExitOnError)
	var b bench
	flags.IntVar(&b.events, "events", 20_000, "deliveries in a run")
	flags.IntVar(&b.clients, "clients", 64, "connections")
	flags.IntVar(&b.rounds, "rounds", 5, "runs of each kind")
	flags.DurationVar(&b.open, "open", 5*time.Second, "how long a run at a fixed rate takes")
	flags.IntVar(&b.burst, "burst", 20_000, "deliveries in a burst into a bad target")
	flags.DurationVar(&b.down, "down", 30*time.Second, "how long the bad target is down")
	flags.IntVar(&b.stored, "stored", 5_000_000, "events in the large store; a fifth of it for the start")
	flags.StringVar(&b.profiles, "profile", "", "write CPU profiles of the servers under full load to this `folder`")
	flags.StringVar(&b.bin, "bin", "", "measure this gavel; default: the one of this tree, built for it")
	dir := flags.String("dir", "bin", "`folder` on the disk to measure")
	only := flags.String("only", "", "measure these `rows` only: "+strings.Join(names, ","))
	format := flags.String("o", "table", "`format`: table, json, markdown: figures with a mark only")
	_ = flags.Parse(args) // it exits

	var chosen []row
	for _, r := range rows() {
		if *only == "" || slices.Contains(strings.Split(*only, ","), r.name) {
			chosen = append(chosen, r)
		}
	}
	for _, name := range strings.Split(*only, ",") {
		if name != "" && !slices.Contains(names, name) {
			return fmt.Errorf("there is no row %q, only %s", name, strings.Join(names, ", "))
		}
	}
	if !slices.Contains([]string{"table", "json", "markdown"}, *format) {
		return fmt.Errorf("-o cannot be %q, only table, json or markdown", *format)
	}
	if b.rounds < 1 || b.events < 100 || b.clients < 1 {
		return errors.New("at least 1 round, 100 events and 1 client")
	}
	return b.run(ctx, *dir, chosen, &report{out: os.Stdout, format: *format})
}

// bench is what to measure, and where.
type bench struct {
	events, clients, rounds int
	burst, stored           int
	open, down              time.Duration
	bin                     string // gavel
	profiles                string // folder, or ""
	dir                     string // a new folder on the disk to measure

	disk    *disk
	machine *machine
}

func (b *bench) run(ctx context.Context, parent string, chosen []row, out *report) (err error) {
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return err
	}
	if b.machine, err = newMachine(); err != nil { // before anything is built
		return err
	}
	if b.dir, err = os.MkdirTemp(parent, "bench-"); err != nil { // relative: a socket's path must be short
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	b.disk = &disk{dir: b.dir}
	if b.bin == "" {
		b.bin = filepath.Join(b.dir, "gavel")
		if err := build(ctx, b.bin); err != nil {
			return err
		}
	}
	if b.bin, err = filepath.Abs(b.bin); err != nil {
		return err
	}
	out.begin(b)
	for _, r := range chosen {
		results, err := r.measure(ctx, b)
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		out.add(r.name, results)
		if err := os.RemoveAll(b.path(r.name)); err != nil {
			return err
		}
	}
	return out.end(b)
}

// path is a place for the files of a row, which go when it is done.
func (b *bench) path(row string, parts ...any) string {
	p := filepath.Join(b.dir, row)
	for _, part := range parts {
		p = filepath.Join(p, fmt.Sprint(part))
	}
	return p
}

// file writes a file of a row.
func (b *bench) file(row, name, text string) (string, error) {
	if err := os.MkdirAll(b.path(row), 0o755); err != nil {
		return "", err
	}
	return b.path(row, name), os.WriteFile(b.path(row, name), []byte(text), 0o600)
}
