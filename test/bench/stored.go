package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"time"

	"github.com/gavelhq/gavel/test/load"
)

// perSession is how many events test/scale stores of a session.
const perSession = 6

// grow makes a store with so many events in it, in a folder of the row.
func (b *bench) grow(ctx context.Context, row string, events int) (folder string, err error) {
	folder = b.path(row, "big")
	if err := room(b.dir, int64(events)*3000); err != nil { // about 1.9 kB each, and what comes on top
		return "", fmt.Errorf("%w: fewer with -stored, or another disk with -dir", err)
	}
	out, err := exec.CommandContext(ctx, "go", "run", "github.com/gavelhq/gavel/test/scale", "-make", folder, "-whole",
		"-sessions", fmt.Sprint(events/perSession), "-open", "0").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("make a store of %d events: %w\n%s", events, err, out)
	}
	return folder, nil
}

// storedRow is what a store with a long past makes of the rate.
func storedRow(ctx context.Context, b *bench) ([]result, error) {
	began := time.Now()
	big, err := b.grow(ctx, "stored", b.stored)
	if err != nil {
		return nil, err
	}
	made := time.Since(began)
	file, err := b.file("stored", "rules.yaml", tenPercent(100))
	if err != nil {
		return nil, err
	}
	var empty, full []taken
	for i := range b.rounds {
		all, err := deliveries(i*b.events, b.events, oneInTen(100))
		if err != nil {
			return nil, err
		}
		for _, kind := range []struct {
			data string
			runs *[]taken
		}{{b.path("stored", fmt.Sprint("empty-", i)), &empty}, {big, &full}} {
			s, _, err := b.gavel(ctx, file, kind.data)
			if err != nil {
				return nil, err
			}
			run, err := b.flood(ctx, s, "stored", all)
			if err := errors.Join(err, s.stop()); err != nil {
				return nil, err
			}
			*kind.runs = append(*kind.runs, run)
		}
	}
	rate := func(t taken) float64 { return t.rate }
	cpu := func(t taken) float64 { return us(t.cpu) }
	return []result{
		figure(fmt.Sprintf("rate with %d events stored, of an empty store's", b.stored), "%", ratios(of(full, rate), of(empty, rate))).atLeast(80),
		figure("  CPU of an accepted event, of that with an empty one", "%", ratios(of(full, cpu), of(empty, cpu))),
		figure("  accepted events, beside those stored", "/s", of(full, rate)),
		figure("  accepted events, empty store", "/s", of(empty, rate)),
		figure("  answer with the full store, p99", "ms", of(full, func(t taken) float64 { return ms(t.p99) })),
		figure("  making the store", "s", []float64{made.Seconds()}),
	}, nil
}

// startRow is how long it takes until Gavel is ready: on an empty store, on a
// large one, and on the same after it was killed amid deliveries.
func startRow(ctx context.Context, b *bench) ([]result, error) {
	file, err := b.file("start", "rules.yaml", tenPercent(100))
	if err != nil {
		return nil, err
	}
	large := b.stored / 5
	big, err := b.grow(ctx, "start", large)
	if err != nil {
		return nil, err
	}
	var empty, full, killed []float64
	for i := range b.rounds {
		for _, kind := range []struct {
			data string
			took *[]float64
		}{{b.path("start", fmt.Sprint("empty-", i)), &empty}, {big, &full}} {
			s, process, err := b.gavel(ctx, file, kind.data)
			if err != nil {
				return nil, err
			}
			*kind.took = append(*kind.took, ms(process.Ready))
			if err := s.stop(); err != nil {
				return nil, err
			}
		}
		all, err := deliveries(i*b.events, b.events, oneInTen(100))
		if err != nil {
			return nil, err
		}
		if err := b.killed(ctx, file, big, all); err != nil {
			return nil, err
		}
		s, process, err := b.gavel(ctx, file, big)
		if err != nil {
			return nil, err
		}
		killed = append(killed, ms(process.Ready))
		if err := s.stop(); err != nil {
			return nil, err
		}
	}
	return []result{
		figure("start to ready, empty store", "ms", empty).atMost(100),
		figure(fmt.Sprintf("start to ready, %d events stored", large), "ms", full).atMost(500),
		figure("start to ready, the same after kill -9 under full load", "ms", killed).atMost(1000),
	}, nil
}

// killed kills a server when it has taken half of the deliveries.
func (b *bench) killed(ctx context.Context, rules, data string, all []load.Delivery) error {
	s, process, err := b.gavel(ctx, rules, data)
	if err != nil {
		return err
	}
	defer process.Kill()
	conns, err := dial(s.hooks, b.clients)
	if err != nil {
		return err
	}
	defer hangUp(conns)
	if _, err := post(conns, all[:len(all)/2]); err != nil {
		return err
	}
	broken := make(chan error, 1)
	go func() {
		_, err := post(conns, all[len(all)/2:])
		broken <- err
	}()
	<-time.After(20 * time.Millisecond) // amid the other half
	process.Kill()
	if err := <-broken; err == nil {
		return errors.New("all deliveries were answered before the server was killed: more of them with -events")
	}
	return nil
}
