package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gavelhq/gavel/test/server"
	"github.com/gavelhq/gavel/test/witness"
)

// siege is a gavel under the load of a witness, which goes on while the server
// goes down and comes back.
type siege struct {
	t     *testing.T
	ctx   context.Context
	w     *witness.Witness
	o     server.Options
	s     *server.Server
	hooks atomic.Pointer[string]
	stop  context.CancelFunc // of the load
	sent  chan error
	ready time.Duration // the longest time from a start until the server was ready
}

// besiege makes one. Its server is started by up.
func besiege(ctx context.Context, t *testing.T, o witness.Options) *siege {
	t.Helper()
	w := observer(t, o)
	z := &siege{
		t: t, ctx: ctx, w: w, sent: make(chan error, 1),
		o: server.Options{Bin: binary(t), Rules: rulesFile(t, w), Data: filepath.Join(t.TempDir(), "data"), Env: w.Env()},
	}
	z.down()
	var load context.Context
	load, z.stop = context.WithCancel(ctx)
	go func() { z.sent <- w.Send(load, func() string { return *z.hooks.Load() }) }()
	t.Cleanup(func() {
		z.stop()
		if z.s != nil {
			z.s.Kill()
		}
	})
	return z
}

// up starts the server.
func (z *siege) up() {
	z.t.Helper()
	s, err := server.Start(z.ctx, z.o)
	if err != nil {
		z.t.Fatal(err)
	}
	z.s, z.ready = s, max(z.ready, s.Ready)
	z.hooks.Store(&s.Hooks)
}

// down tells the witness that there is no server.
func (z *siege) down() { z.hooks.Store(new("")) }

// kill is kill -9.
func (z *siege) kill() {
	z.s.Kill()
	z.down()
}

// check compares what is on disk with what was promised. The server is down.
func (z *siege) check() {
	z.t.Helper()
	if err := z.w.Check(z.o.Data); err != nil {
		z.fatal(err)
	}
}

// fatal ends the test with the end of what the server wrote.
func (z *siege) fatal(err error) {
	z.t.Helper()
	z.t.Fatalf("%v\nthe server wrote:\n%s", err, z.s.Log())
}

// settle lets the load stop and everything run.
func (z *siege) settle() {
	z.t.Helper()
	z.stop()
	if err := <-z.sent; err != nil {
		z.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(z.ctx, time.Minute)
	defer cancel()
	if err := z.w.Drained(ctx, z.s); err != nil {
		z.fatal(err)
	}
}

// end lets the load stop and everything run, stops the server and checks.
func (z *siege) end() {
	z.t.Helper()
	z.settle()
	if err := z.s.Stop(); err != nil {
		z.fatal(fmt.Errorf("stop: %w", err))
	}
	z.check()
}

// rest lets some of the load pass: up to most.
func (z *siege) rest(rng *rand.Rand, most time.Duration) {
	select {
	case <-z.ctx.Done():
		z.t.Fatal(z.ctx.Err())
	case <-time.After(time.Duration(rng.Int64N(int64(most)))):
	}
}

// perFolder is how many rounds are done in one data folder: what it holds is
// compared after each of them.
const perFolder = 10

// folders does all rounds of a test, in as many data folders as it takes. It
// returns the longest time until a server was ready, and how many calls were
// made again.
func folders(t *testing.T, all int, round func(z *siege, rng *rand.Rand)) (worst time.Duration, repeated int) {
	seed := first(t)
	acked := 0
	for n := 0; n < all && !t.Failed(); n += perFolder {
		seed++
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		rng := rand.New(rand.NewPCG(seed, 0))
		z := besiege(ctx, t, witness.Options{Seed: seed})
		z.up()
		for range min(perFolder, all-n) {
			round(z, rng)
		}
		z.end()
		worst = max(worst, z.ready)
		acked, repeated = acked+z.w.Acked(), repeated+z.w.Repeated()
		z.w.Close()
		cancel()
	}
	t.Logf("%d rounds, %d deliveries acknowledged, %d calls made again, ready after %s at most",
		all, acked, repeated, worst.Round(time.Millisecond))
	return worst, repeated
}

// each does the rounds of a test in some groups, several of them at once, each
// until a round of it fails.
func each(t *testing.T, all int, round func(t *testing.T, i int)) {
	size := min(25, (all+1)/2)
	for first := 0; first < all; first += size {
		last := min(first+size, all) - 1
		t.Run(fmt.Sprintf("%d-%d", first, last), func(t *testing.T) {
			t.Parallel()
			for i := first; i <= last && !t.Failed(); i++ {
				round(t, i)
			}
		})
	}
}
