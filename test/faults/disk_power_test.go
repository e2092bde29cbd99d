package faults

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gavelhq/gavel/test/witness"
)

// cut is when the power fails.
type cut struct {
	name string
	wait func(z *siege, rng *rand.Rand)
	rate int // events per second
}

// cuts are the moments that are tried in turn.
func cuts() []cut {
	return []cut{
		{"at any time", func(z *siege, rng *rand.Rand) { z.rest(rng, 700*time.Millisecond) }, 200},
		{"right after the first acknowledgement", func(z *siege, _ *rand.Rand) { z.acks(1, 10*time.Second) }, 200},
		{"while the log is copied", func(z *siege, rng *rand.Rand) { z.copying(rng) }, 4000},
	}
}

// TestPowerCut has the power fail under a server: what the disk has not been
// made to flush is gone. It keeps all that was acknowledged and goes on.
func TestPowerCut(t *testing.T) {
	seed := first(t)
	all := cuts()
	acked := 0
	for n := range rounds(len(all), 200) {
		c := all[n%len(all)]
		seed++
		t.Run(fmt.Sprintf("%s, seed %d", c.name, seed), func(t *testing.T) {
			d := newDisk(t)
			z := besiegeOn(t, d.data(), witness.Options{Seed: seed, Rate: c.rate})
			z.up()
			c.wait(z, rand.New(rand.NewPCG(seed, 1)))
			z.cut(d)
			z.check()
			z.up()
			z.acks(20, 10*time.Second)
			z.end()
			acked += z.w.Acked()
		})
	}
	t.Logf("%d deliveries acknowledged", acked)
}

// TestPowerCutAtStart has the power fail while a server makes its folder, or is
// about to be ready. The next one starts.
func TestPowerCutAtStart(t *testing.T) {
	seed := first(t)
	for range rounds(1, 40) {
		seed++
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			d := newDisk(t)
			z := besiegeOn(t, d.data(), witness.Options{Seed: seed})
			moment := time.Duration(rand.New(rand.NewPCG(seed, 1)).IntN(80)) * time.Millisecond
			cmd := exec.Command(z.o.Bin, "serve", "--rules", z.o.Rules, "--data", z.o.Data, "--hooks", "127.0.0.1:0")
			cmd.Env = append(os.Environ(), z.o.Env...)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			<-time.After(moment)
			d.cut(t, cmd.Process.Pid, func() {
				_ = cmd.Process.Kill()
				_ = cmd.Wait()
			})
			z.up()
			z.acks(20, 10*time.Second)
			z.end()
		})
	}
}

// TestPowerCutLoses is the control: on a disk that says it has flushed but has
// not, the same cut does lose what was acknowledged. Or else the tests above
// prove nothing.
func TestPowerCutLoses(t *testing.T) {
	needs(t, true, "strace")
	seed := first(t)
	n, lost := rounds(1, 40), 0
	for range n {
		seed++
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			d := newDisk(t)
			z := besiegeOn(t, d.data(), witness.Options{Seed: seed})
			z.o.Under = []string{"strace", "-D", "-f", "--seccomp-bpf", "-o", os.DevNull,
				"-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:retval=0"}
			z.up()
			run(t, "sync", "-f", d.dir) // it is what is acknowledged from here that is lost
			z.acks(50, 10*time.Second)
			z.rest(rand.New(rand.NewPCG(seed, 1)), 700*time.Millisecond)
			z.cut(d)
			if err := z.w.Check(z.o.Data); err != nil {
				lost++
			}
			z.stop()
		})
	}
	t.Logf("%d of %d rounds lost something", lost, n)
	if 10*lost < 9*n {
		t.Error("a disk that does not flush loses nothing: these tests do not see what is lost")
	}
}

// copying waits until the log is being copied into the database file, for as
// long as a machine with other things to do may need to fill it.
func (z *siege) copying(rng *rand.Rand) {
	z.t.Helper()
	path := filepath.Join(z.o.Data, "gavel.db")
	changed := func() time.Time {
		info, err := os.Stat(path)
		if err != nil {
			z.t.Fatal(err)
		}
		return info.ModTime()
	}
	before := changed()
	z.until("the log copied", 30*time.Second, func() bool { return changed().After(before) })
	<-time.After(time.Duration(rng.IntN(10_000)) * time.Microsecond)
}

// cut ends the server as a power cut does.
func (z *siege) cut(d *disk) {
	z.t.Helper()
	d.cut(z.t, z.s.Pid(), z.kill)
}

// cut takes the power from the disk, and from the process that writes to it.
func (d *disk) cut(t *testing.T, pid int, kill func()) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(5 * time.Second); !stopped(t, pid); {
		if time.Now().After(deadline) {
			t.Fatal("the server does not stop")
		}
		<-time.After(time.Millisecond)
	}
	kept := d.file + ".kept"
	run(t, "cp", "--sparse=always", d.file, kept)
	kill()
	d.unmount(t)
	if err := os.Rename(kept, d.file); err != nil {
		t.Fatal(err)
	}
	d.mount(t)
}

// stopped reports whether no thread of a process runs, nor is in the kernel.
func stopped(t *testing.T, pid int) bool {
	t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil || len(threads) == 0 {
		t.Fatalf("no threads of process %d: %v", pid, err)
	}
	for _, path := range threads {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		if !strings.HasPrefix(rest, "T") && !strings.HasPrefix(rest, "t") {
			return false
		}
	}
	return true
}
