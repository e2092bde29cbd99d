package faults

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine/store"
	"github.com/gavelhq/gavel/test/server"
	"github.com/gavelhq/gavel/test/witness"
)

const (
	// notices is how long a server may take to know that it cannot write, and
	// heals how long until it acknowledges again when it could.
	notices = 2 * time.Second
	heals   = 5 * time.Second
)

// TestDiskRefuses makes the disk refuse what the server writes, for a while.
// Meanwhile nothing is acknowledged and the server says that it is not ready;
// afterwards it goes on by itself, nothing is lost and everything runs.
func TestDiskRefuses(t *testing.T) {
	injected := func(calls, what string) func(*siege) func() {
		return func(z *siege) func() { return z.inject(calls, what) }
	}
	for _, tc := range []struct {
		name   string
		folder func(t *testing.T) string
		refuse func(z *siege) (heal func())
		always bool // also without -rounds
	}{
		{"full", func(t *testing.T) string { return ram(t, 8) }, fill, true},
		{"no space for any write", (*testing.T).TempDir, injected("pwrite64", "error=ENOSPC"), false},
		{"an error at any write", (*testing.T).TempDir, injected("pwrite64", "error=EIO"), false},
		{"an error at any flush", (*testing.T).TempDir, injected("fsync,fdatasync", "error=EIO"), true},
		{"read-only", (*testing.T).TempDir, injected("pwrite64,ftruncate,openat", "error=EROFS"), false},
		{"files nobody may change", func(t *testing.T) string { return newDisk(t).data() }, forbid, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if *share == 0 && !tc.always {
				t.Skip("takes a while: see -rounds")
			}
			z := besiegeOn(t, filepath.Join(tc.folder(t), "data"), witness.Options{Seed: first(t)})
			z.up()
			z.acks(20, 20*time.Second)

			refused := z.w.Refused()
			heal := tc.refuse(z)
			t.Cleanup(heal)
			saw := z.until("a delivery refused", notices, func() bool { return z.w.Refused() > refused })
			unready := z.until("not ready", notices, func() bool { return !z.isReady() })
			acked := z.w.Acked()
			<-time.After(time.Second)
			if n := z.w.Acked() - acked; n > 0 {
				t.Errorf("%d deliveries were acknowledged while nothing could be written", n)
			}
			if status, took := z.asked("/api/v1/status"); status == 0 {
				t.Errorf("status had no answer within %s", took)
			}
			heal()
			back := z.acks(1, heals)
			z.until("ready", heals, z.isReady)
			z.acks(20, 20*time.Second)
			z.end()
			t.Logf("refused after %s, not ready after %s, acknowledged again after %s", saw, unready, back)
			if n := z.said(`"cannot write"`); n > 1 {
				t.Errorf("the log says %d times that it cannot write", n)
			}
			if n := z.said("cannot be recorded"); n > 0 {
				t.Errorf("the log says %d times that a run cannot be recorded", n)
			}
		})
	}
}

// fill fills the file system of the data folder. It heals by growing: at 8 MiB
// the log and the file alone would soon fill it.
func fill(z *siege) (heal func()) {
	z.t.Helper()
	ballast := filepath.Join(filepath.Dir(z.o.Data), "ballast")
	f, err := os.Create(ballast)
	if err != nil {
		z.t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.Copy(f, rand.Reader); !errors.Is(err, syscall.ENOSPC) {
		z.t.Fatalf("filled it: %v", err)
	}
	return func() { run(z.t, "mount", "-o", "remount,size=256m", filepath.Dir(z.o.Data)) }
}

// forbid makes the files of the database immutable, also for whoever has them
// open.
func forbid(z *siege) (heal func()) {
	z.t.Helper()
	needs(z.t, true, "chattr")
	files := []string{filepath.Join(z.o.Data, "gavel.db"), filepath.Join(z.o.Data, "gavel.db-wal"), filepath.Join(z.o.Data, "gavel.db-shm")}
	run(z.t, "chattr", append([]string{"+i"}, files...)...)
	done := false
	return func() {
		if !done {
			done = true
			run(z.t, "chattr", append([]string{"-i"}, files...)...)
		}
	}
}

// TestDiskFailsOnce lets a write or a flush fail at a moment that has nothing to
// do with what the server is doing. What was to be written then is refused, and
// all goes on at once.
func TestDiskFailsOnce(t *testing.T) {
	for _, tc := range []struct {
		name, calls, what string
		all               int
	}{
		{"no space for a write", "pwrite64", "error=ENOSPC", 300},
		{"an error at a flush", "fsync,fdatasync", "error=EIO", 100},
	} {
		t.Run(tc.name, func(t *testing.T) {
			z := besiegeOn(t, filepath.Join(t.TempDir(), "data"), witness.Options{Seed: first(t)})
			z.up()
			z.acks(50, 20*time.Second)
			n := rounds(2, tc.all)
			var slowest time.Duration
			for i := range n {
				refused := z.w.Refused()
				// Each thread has a few more calls until then.
				heal := z.inject(tc.calls, fmt.Sprintf("%s:when=%d+", tc.what, 1+i%6))
				z.until("a delivery refused", 20*time.Second, func() bool { return z.w.Refused() > refused })
				heal()
				slowest = max(slowest, z.acks(1, heals))
			}
			z.end()
			t.Logf("%d rounds, acknowledged again after %s at most", n, slowest)
		})
	}
}

var blamesDisk = regexp.MustCompile(`exit status 3\n(?s:.*)(the disk is full|the disk reports an error|no space left|input/output error)`)

// TestDiskFailsAtStart lets writes or flushes fail from the nth on while a
// server makes its database. It says why it cannot start, and the next one,
// when they do not fail, does.
func TestDiskFailsAtStart(t *testing.T) {
	needs(t, true, "strace")
	seed := first(t)
	for i := range rounds(2, 100) {
		calls, what := "pwrite64", "error=ENOSPC"
		if i%2 == 1 {
			calls, what = "fsync,fdatasync", "error=EIO"
		}
		nth := 1 + i/2*3
		t.Run(fmt.Sprintf("%s from number %d on", calls, nth), func(t *testing.T) {
			z := besiegeOn(t, filepath.Join(t.TempDir(), "data"), witness.Options{Seed: seed + uint64(i)})
			o := z.o
			o.Under = []string{"strace", "-D", "-f", "--seccomp-bpf", "-o", os.DevNull,
				"-e", "trace=" + calls, "-e", fmt.Sprintf("inject=%s:%s:when=%d+", calls, what, nth)}
			s, err := server.Start(z.ctx, o)
			switch {
			case err == nil: // that many were not needed
				s.Kill()
			case foreign.MatchString(err.Error()) || !blamesDisk.MatchString(err.Error()):
				t.Errorf("it says %v", err)
			}
			z.up()
			z.acks(20, 10*time.Second)
			z.end()
		})
	}
}

// TestDiskGivesUp has the file system find an error in itself, after which it
// refuses every write until it is repaired, as that of a failing disk does. The
// server lives on and refuses, and the one after the repair goes on.
//
// What was acknowledged in that very moment is not looked for: there, ext4 has
// been seen to say that it had flushed what it then dropped, to a program that
// does nothing but write and flush.
func TestDiskGivesUp(t *testing.T) {
	needs(t, true, "fsck.ext4")
	d := newDisk(t)
	z := besiegeOn(t, d.data(), witness.Options{Seed: first(t)})
	z.up()
	z.acks(50, 20*time.Second)
	refused := z.w.Refused()
	d.fail(t)
	z.until("a delivery refused", notices, func() bool { return z.w.Refused() > refused })
	z.until("not ready", notices, func() bool { return !z.isReady() })
	acked := z.w.Acked()
	<-time.After(time.Second)
	if n := z.w.Acked() - acked; n > 0 {
		t.Errorf("%d deliveries were acknowledged while nothing could be written", n)
	}
	if status, took := z.asked("/api/v1/status"); status == 0 {
		t.Errorf("status had no answer within %s", took)
	}
	z.kill()
	d.unmount(t)
	if out, err := exec.Command("fsck.ext4", "-y", d.file).CombinedOutput(); err != nil && exec.Command("fsck.ext4", "-n", d.file).Run() != nil {
		t.Fatalf("repair: %v\n%s", err, out)
	}
	d.mount(t)
	z.up()
	z.acks(20, 10*time.Second)
	z.stop()
	if err := z.s.Stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	report, err := store.Check(z.ctx, filepath.Join(z.o.Data, "gavel.db"), true)
	if err != nil || len(report.Findings) > 0 {
		t.Errorf("the store is damaged: %+v (%v)", report.Findings, err)
	}
}
