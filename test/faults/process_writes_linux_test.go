package faults

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/gavelhq/gavel/test/server"
	"github.com/gavelhq/gavel/test/witness"
)

// steps is how many of the things a new server does to its disk, writes and
// flushes, are tried: it makes its tables, and then commits under load.
const steps = 500

// TestKillAtEveryWrite kills a server right before the nth thing it does to its
// disk, for every n, and once more a few steps into the next start, when it
// recovers. Whatever it had promised is there.
func TestKillAtEveryWrite(t *testing.T) {
	seed, all := first(t), rounds(12, steps)
	each(t, all, func(t *testing.T, i int) {
		n := 1 + i*steps/all
		if all < steps {
			n += int(seed) % (steps / all)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		z := besiege(ctx, t, witness.Options{Seed: seed + uint64(n), Rate: 400})
		defer z.w.Close()
		z.dieAt(n)
		z.dieAt(1 + n%40)
		z.up()
		z.end()
		if tooLate(z.ready) {
			t.Errorf("step %d: ready after %s, at most %s are allowed", n, z.ready, readyAfterKill)
		}
	})
}

// dieAt starts a server and waits until it has died at step n.
func (z *siege) dieAt(n int) {
	z.t.Helper()
	o := z.o
	o.Under = []string{os.Args[0]}
	o.Env = append(slices.Clone(o.Env), fmt.Sprint(diesAt, "=", n))
	s, err := server.Start(z.ctx, o)
	if err == nil {
		z.hooks.Store(&s.Hooks)
		err = s.Wait()
		z.down()
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != diedThere {
		z.t.Fatalf("the server did not die at step %d: %v", n, err)
	}
	if z.w.Acked() > 0 { // else there may be no tables yet
		z.check()
	}
}
