package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/gavelhq/gavel/test/witness"
)

// longestStop is how long a server may take to end after SIGTERM, and lateStop
// how much more a busy machine may.
const (
	longestStop = 30 * time.Second
	lateStop    = 2 * time.Second
)

// TestStop stops a server under load with SIGTERM at moments that have nothing
// to do with what it is doing. It ends soon, with 0, and what was under way is
// finished or goes on after the next start.
func TestStop(t *testing.T) {
	var longest, all time.Duration
	n := rounds(5, 200)
	_, repeated := folders(t, n, func(z *siege, rng *rand.Rand) {
		z.rest(rng, time.Second)
		took := z.term()
		longest, all = max(longest, took), all+took
		z.check()
		z.up()
	})
	t.Logf("stopped in %s, on average in %s", longest.Round(time.Millisecond), (all / time.Duration(n)).Round(time.Millisecond))
	if repeated > 0 { // all answer soon
		t.Errorf("%d calls were broken off and made again", repeated)
	}
	if longest > longestStop {
		t.Errorf("a stop took %s, at most %s are allowed", longest, longestStop)
	}
}

// term stops the server and returns how long that took.
func (z *siege) term() time.Duration {
	z.t.Helper()
	start := time.Now()
	if err := z.s.Stop(); err != nil {
		z.fatal(fmt.Errorf("stop: %w", err))
	}
	z.down()
	return time.Since(start)
}

// TestStopWhileTargetHangs stops a server whose steps hang. It does not wait
// for them for longer than it says, and they are done after the next start.
func TestStopWhileTargetHangs(t *testing.T) {
	if *share == 0 {
		t.Skip("takes half a minute: see -rounds")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	z := besiege(ctx, t, witness.Options{Seed: first(t)})
	z.up()
	z.rest(rand.New(rand.NewPCG(1, 1)), time.Second)
	z.w.Delay(time.Hour)
	for z.w.Acked() < 500 && ctx.Err() == nil {
		z.rest(rand.New(rand.NewPCG(1, 1)), 100*time.Millisecond)
	}
	took := z.term()
	t.Logf("stopped in %s", took.Round(time.Millisecond))
	if took > longestStop+lateStop {
		t.Errorf("the stop took %s, at most %s are allowed", took, longestStop)
	}
	z.check()
	z.w.Delay(0)
	z.up()
	z.end()
}
