package faults

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gavelhq/gavel/test/witness"
)

var hang = flag.Duration("hang", 6*time.Second, "how long a disk hangs")

// TestSlowDisk makes every flush take long. Deliveries share it, so that many
// are acknowledged nevertheless; nobody is refused and memory does not grow.
func TestSlowDisk(t *testing.T) {
	t.Parallel() // with the one below: both wait most of the time
	for _, tc := range []struct {
		flush time.Duration
		load  time.Duration
		least int // deliveries acknowledged per second
	}{
		{200 * time.Millisecond, 3 * time.Second, 100},
		{2 * time.Second, 10 * time.Second, 5},
	} {
		t.Run(tc.flush.String(), func(t *testing.T) {
			if tc.flush > time.Second && *share == 0 {
				t.Skip("takes a while: see -rounds")
			}
			z := besiegeOn(t, filepath.Join(t.TempDir(), "data"), witness.Options{Seed: first(t), Clients: 64, Rate: 1000})
			z.up()
			z.acks(200, 20*time.Second)
			heal := z.inject("fsync,fdatasync", fmt.Sprintf("delay_enter=%d", tc.flush.Microseconds()))
			z.acks(1, 10*time.Second) // the first of those that were slow
			acked, refused, memory := z.w.Acked(), z.w.Refused(), z.memory()
			began := time.Now()
			<-time.After(tc.load)
			rate := float64(z.w.Acked()-acked) / time.Since(began).Seconds()
			grown := z.memory() - memory
			t.Logf("%.0f deliveries/s acknowledged, %d refused, %d MiB more in memory", rate, z.w.Refused()-refused, grown>>20)
			if rate < float64(tc.least) {
				t.Errorf("want %d/s", tc.least)
			}
			if z.w.Refused() > refused {
				t.Error("deliveries were refused")
			}
			if grown > 32<<20 {
				t.Error("memory grows")
			}
			heal()
			z.acks(100, heals)
			z.end()
		})
	}
}

// memory is what the server has in memory, in bytes.
func (z *siege) memory() (bytes int64) {
	z.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", z.s.Pid()))
	if err != nil {
		z.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	if _, err := fmt.Sscanf(rest, "%d", &bytes); err != nil {
		z.t.Fatal(err)
	}
	return bytes << 10
}

// TestHungDisk freezes the file system of a server that is idle, or under load.
// It refuses soon, still answers people, and goes on when the disk does.
func TestHungDisk(t *testing.T) {
	t.Parallel()
	const answers = 1500 * time.Millisecond
	for _, idle := range []bool{true, false} {
		name := "under load"
		if idle {
			name = "idle"
		}
		t.Run(name, func(t *testing.T) {
			if !idle && *share == 0 {
				t.Skip("takes a while: see -rounds")
			}
			d := newDisk(t)
			z := besiegeOn(t, d.data(), witness.Options{Seed: first(t)})
			z.up()
			z.acks(100, 20*time.Second)
			if idle {
				z.down()
				<-time.After(500 * time.Millisecond)
			}
			thawed := d.freeze(t, *hang)
			z.hooks.Store(&z.s.Hooks)
			refused := z.w.Refused()
			began := time.Now()
			var slowest, shed, unready time.Duration
			for frozen := true; frozen; {
				status, took := z.asked("/api/v1/status")
				slowest = max(slowest, took)
				if status == 0 {
					t.Errorf("after %s: status had no answer within %s", time.Since(began), took)
				}
				if unready == 0 && !z.isReady() {
					unready = time.Since(began)
				}
				if shed == 0 && z.w.Refused() > refused {
					shed = time.Since(began)
				}
				select {
				case <-thawed:
					frozen = false
				case <-time.After(50 * time.Millisecond):
				}
			}
			hung := time.Since(began)
			back := z.acks(1, heals)
			z.until("ready", heals, z.isReady)
			t.Logf("hung for %s, refused after %s, not ready after %s, status within %s, acknowledged again after %s", hung, shed, unready, slowest, back)
			if shed == 0 || shed > 5*time.Second {
				t.Error("it did not refuse within 5s")
			}
			if unready == 0 || unready > notices+time.Second {
				t.Error("it was ready")
			}
			if slowest > answers {
				t.Errorf("status took %s", slowest)
			}
			z.acks(100, 20*time.Second)
			z.end()
		})
	}
}
