package faults

import (
	"math/rand/v2"
	"testing"
	"time"
)

// readyAfterKill is how long a server may take to its first answer after it was
// killed.
const readyAfterKill = 3 * time.Second

// tooLate reports whether a server was ready too late. In the everyday suite, with
// other tests beside it on the same cores, nothing follows from that.
func tooLate(ready time.Duration) bool { return *share > 0 && ready > readyAfterKill }

// TestKill kills a server under load with SIGKILL, at moments that have nothing
// to do with what it is doing, and starts it again. Whatever it had promised is
// there each time.
func TestKill(t *testing.T) {
	worst, _ := folders(t, rounds(5, 200), func(z *siege, rng *rand.Rand) {
		z.rest(rng, time.Second)
		z.kill()
		z.check()
		z.up()
	})
	if tooLate(worst) {
		t.Errorf("ready after %s, at most %s are allowed", worst, readyAfterKill)
	}
}
