package faults

import (
	"math/rand/v2"
	"testing"
	"time"
)

// readyAfterKill is how long a server may take to its first answer after it was
// killed.
const readyAfterKill = 3 * time.Second

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
	if worst > readyAfterKill {
		t.Errorf("ready after %s, at most %s are allowed", worst, readyAfterKill)
	}
}
