package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/store/storetest"
)

func TestDiskSteps(t *testing.T) {
	const mb, gb = 1 << 20, 1 << 30
	for _, tc := range []struct {
		name                string
		was                 int
		free, inside, total int64
		want                int
	}{
		{"a large disk with room", diskPlenty, 2 * gb, 0, 100 * gb, diskPlenty},
		{"less than 1 GiB", diskPlenty, gb - 1, 0, 100 * gb, diskLow},
		{"less than 256 MiB", diskPlenty, 255 * mb, 0, 100 * gb, diskLower},
		{"less than 64 MiB", diskPlenty, 63 * mb, 0, 100 * gb, diskReserve},
		{"a small disk has small marks", diskPlenty, 600 * mb, 0, 10 * gb, diskPlenty},
		{"less than 5 % of it", diskPlenty, 500 * mb, 0, 10 * gb, diskLow},
		{"a very small one", diskPlenty, 7 * mb, 0, 8 * mb, diskPlenty},
		{"less than 1 % of it", diskPlenty, mb / 16, 0, 8 * mb, diskReserve},
		{"what was deleted makes room", diskPlenty, 63 * mb, 2 * gb, 100 * gb, diskPlenty},
		{"but not for the log", diskPlenty, 31 * mb, 2 * gb, 100 * gb, diskReserve},
		{"a step is not left for a few bytes", diskReserve, 65 * mb, 0, 100 * gb, diskReserve},
		{"but for a tenth more", diskReserve, 71 * mb, 0, 100 * gb, diskLower},
		{"two steps at once", diskReserve, 2 * gb, 0, 100 * gb, diskPlenty},
	} {
		if got := stepAt(tc.was, tc.free, tc.inside, tc.total); got != tc.want {
			t.Errorf("%s: step %d, want %d", tc.name, got, tc.want)
		}
	}
}

// guarded is a store that asks space how much is left.
func guarded(t *testing.T, dir string, space func(string) (int64, int64, error)) (s *SQLite, log *bytes.Buffer) {
	t.Helper()
	log = new(bytes.Buffer)
	o := options()
	o.Space, o.SpaceEvery, o.Log = space, 50*time.Millisecond, slog.New(slog.NewTextHandler(log, nil))
	s, err := Open(context.Background(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if _, err := s.Use(context.Background(), storetest.NewRules("r1")); err != nil {
		t.Fatal(err)
	}
	return s, log
}

// The fuller the disk, the more is left out; what was promised is not, and when
// there is room again everything goes on.
func TestGuard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const total = 100 << 30
		var free atomic.Int64
		free.Store(10 << 30)
		s, log := guarded(t, t.TempDir(), func(string) (int64, int64, error) { return free.Load(), total, nil })
		ctx := context.Background()
		left := func(bytes int64, want string) {
			t.Helper()
			free.Store(bytes)
			pass(5 * time.Second)
			if got := figures(t, s.Reader); got.Disk != nil {
				t.Error("a reader watches no disk")
			}
			got, err := s.Stats(ctx)
			if err != nil || got.Disk == nil || got.Disk.Step != want || got.Disk.Free != bytes {
				t.Errorf("with %d: %+v (%v)", bytes, got.Disk, err)
			}
		}
		refused := func() (kept, dropped int64) {
			s.Refused(engine.Received{At: time.Now(), Source: "pnm", Verdict: engine.VerdictBadSignature, Status: 401})
			synctest.Wait()
			got, err := s.Stats(ctx)
			if err != nil {
				t.Fatal(err)
			}
			return got.Deliveries, got.Dropped
		}
		left(10<<30, "plenty")
		run := accepted(t, s, delivery("a")).Events[0].Outcome.Runs[0].Run
		left(900<<20, "low")
		if kept, dropped := refused(); kept != 1 || dropped != 0 {
			t.Errorf("%d traces, %d counted", kept, dropped)
		}
		left(200<<20, "lower")
		if kept, dropped := refused(); kept != 1 || dropped != 1 {
			t.Errorf("%d traces, %d counted", kept, dropped)
		}
		accepted(t, s, delivery("b"))
		if err := s.Writable(); err != nil {
			t.Error(err)
		}
		left(60<<20, "reserve")
		_, err := s.Accept(ctx, delivery("c"))
		if !errors.Is(err, engine.ErrUnavailable) {
			t.Errorf("accepted with %v", err)
		}
		says(t, err, "62.9 MB left", "free some space", filepath.Dir(s.path))
		if d, ok := engine.RetryDelay(err); !ok || d != comeAgain {
			t.Errorf("come again in %s", d)
		}
		if err := s.Writable(); !errors.Is(err, engine.ErrUnavailable) {
			t.Errorf("ready: %v", err)
		}
		finished(t, s, run, engine.RunDone) // what was promised
		left(66<<20, "reserve")
		left(10<<30, "plenty")
		accepted(t, s, delivery("c"))
		for text, times := range map[string]int{
			"getting full": 1, "almost full": 1, "but for a reserve": 1, "there is room": 1, "level=ERROR": 1,
		} {
			if n := strings.Count(log.String(), text); n != times {
				t.Errorf("%q was logged %d times", text, n)
			}
		}
	})
}

// A disk that cannot be looked at is taken for one with room.
func TestGuardIsBlind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, log := guarded(t, t.TempDir(), func(string) (int64, int64, error) { return 0, 0, os.ErrPermission })
		pass(time.Minute)
		accepted(t, s, delivery("a"))
		if n := strings.Count(log.String(), "not known"); n != 1 {
			t.Errorf("it was said %d times", n)
		}
	})
}

// On a real disk that is filled by somebody else events are refused before the
// disk refuses, and taken again when there is room.
func TestGuardOnFullDisk(t *testing.T) {
	dir := smallDisk(t, 64)
	looks, over := make(chan struct{}), make(chan struct{})
	s, _ := guarded(t, dir, func(dir string) (free, total int64, err error) {
		free, total, err = DiskSpace(dir)
		select {
		case looks <- struct{}{}:
		case <-over:
		}
		return free, total, err
	})
	t.Cleanup(func() { close(over) })
	look := func() { // one that began after now has ended
		for range 3 {
			<-looks
		}
	}
	ctx := context.Background()
	accepted(t, s, delivery("a"))
	ballast := filepath.Join(dir, "ballast")
	free, _, err := DiskSpace(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(ballast, make([]byte, free-(400<<10)), 0o600); err != nil {
		t.Fatal(err)
	}
	look()
	if _, err := s.Accept(ctx, delivery("b")); !errors.Is(err, engine.ErrUnavailable) {
		t.Errorf("accepted with %v", err)
	}
	all, err := s.Runs(ctx, engine.Query{State: engine.RunReady})
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	finished(t, s, all[0].ID, engine.RunDone)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	look()
	accepted(t, s, delivery("b"))
}

// smallDisk is a folder on a disk of its own of so many megabytes.
func smallDisk(t *testing.T, megabytes int) string {
	t.Helper()
	dir := t.TempDir()
	out, err := exec.Command("mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%dm", megabytes), "tmpfs", dir).CombinedOutput()
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("a small disk cannot be mounted: %v: %s", err, out)
		}
		t.Skipf("a small disk cannot be mounted: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount %s: %v: %s", dir, err, out)
		}
	})
	return dir
}
