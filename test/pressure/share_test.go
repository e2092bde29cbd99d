package pressure

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/gavelhq/gavel/test/server"
)

// The disk is slow, and a source that retries sends far more than can be
// stored: it is refused. A source that never retries, at its usual rate, is
// not; runs complete; and memory stays as it is.
func TestReservedShare(t *testing.T) {
	needs(t, false, "strace")
	t.Parallel()
	o := options(t)
	o.Under = []string{"strace", "-D", "-f", "-qq", "-o", "/dev/null", "--seccomp-bpf",
		"-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:delay_enter=100000"}
	o.Env = append(o.Env, "GOMEMLIMIT=128MiB")
	s := start(t, o)
	usual := stream{deliver: once, rate: 20, clients: 20}
	ctx, stop := context.WithTimeout(t.Context(), time.Second)
	usual.run(ctx, s.Hooks)
	stop()

	ctx, stop = context.WithTimeout(t.Context(), time.Duration(*long)*4*time.Second)
	defer stop()
	flood := stream{deliver: retrying(10_000), from: 1_000_000, rate: 2000, clients: 400}
	usual.from = 2_000_000
	var flooded, kept *answers
	var sending sync.WaitGroup
	sending.Go(func() { flooded = flood.run(ctx, s.Hooks) })
	sending.Go(func() { kept = usual.run(ctx, s.Hooks) })
	levels := watch(ctx, t, s)
	sending.Wait()
	t.Logf("the flood: %s; the usual: %s; memory %s", flooded, kept, levels)
	if flooded.status[503] == 0 {
		t.Error("the flood was not refused: this test shows nothing")
	}
	if n := flooded.status[200] + flooded.status[503]; len(flooded.status) != 2 || flooded.broken > 0 || n == 0 {
		t.Errorf("the flood: %s, want 200 and 503 only", flooded)
	}
	if len(kept.status) != 1 || kept.accepted() == 0 || kept.broken > 0 {
		t.Errorf("the source that never retries: %s, want all accepted", kept)
	}
	if grown := levels.end - levels.middle; grown > 16<<20 {
		t.Errorf("memory grew by %s in the second half", mib(grown))
	}
	// The results of steps went first all the time: few are left.
	ctx, stop = context.WithTimeout(t.Context(), 5*time.Second)
	defer stop()
	if _, err := s.Idle(ctx); err != nil {
		t.Error(err)
	}
}

// levels are what a process had in memory.
type levels struct{ middle, end, most int64 }

func (l levels) String() string {
	return mib(l.middle) + " in the middle, " + mib(l.end) + " at the end, at most " + mib(l.most)
}

// watch looks at the memory until ctx, which has a deadline, ends.
func watch(ctx context.Context, t *testing.T, s *server.Server) (l levels) {
	t.Helper()
	deadline, _ := ctx.Deadline()
	began := time.Now()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			_, l.most = memory(t, s)
			return l
		case now := <-tick.C:
			l.end, _ = memory(t, s)
			if now.Sub(began) < deadline.Sub(began)/2 {
				l.middle = max(l.middle, l.end)
			}
		}
	}
}
