package pressure

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// The server may have 128 MiB and gets ten times its usual load, among it large
// bodies: it refuses what it cannot take, is not killed, has what it
// acknowledged, and soon takes everything again.
func TestMemoryCap(t *testing.T) {
	needs(t, true)
	group := memoryGroup(t, 128<<20)
	o := options(t)
	o.Under = []string{"sh", "-c", `echo $$ > "$0/cgroup.procs" && exec "$@"`, group}
	s := start(t, o)
	acked := 0
	usual := stream{deliver: retrying(1000), rate: 300, clients: 16}
	play := func(length time.Duration, streams ...stream) (all []*answers) {
		ctx, stop := context.WithTimeout(t.Context(), length)
		defer stop()
		all = make([]*answers, len(streams))
		var sending sync.WaitGroup
		for i, x := range streams {
			sending.Go(func() { all[i] = x.run(ctx, s.Hooks) })
		}
		sending.Wait()
		for _, a := range all {
			acked += a.accepted()
		}
		return all
	}
	before := play(time.Second, usual)

	burst := play(time.Duration(*long)*3*time.Second,
		stream{deliver: retrying(1000), from: 1_000_000, rate: 3000, clients: 400},
		stream{deliver: retrying(900_000), from: 2_000_000, rate: 60, clients: 60},
	)
	now, most := memory(t, s)
	t.Logf("before: %s; the burst: %s; large bodies: %s; memory %s, at most %s; the group had at most %s bytes",
		before[0], burst[0], burst[1], mib(now), mib(most), strings.TrimSpace(read(t, group, "memory.max_usage_in_bytes", "memory.peak")))
	for i, a := range burst {
		// Who is refused in the middle of a large body may not get to read it.
		if n := a.status[200] + a.status[503]; i == 0 && a.broken > 0 || len(a.status) > 2 || n == 0 || a.accepted() == 0 {
			t.Errorf("the burst: %s, want 200 and 503 only", a)
		}
	}

	recovers(t, s, usual, 10*time.Second)
	if killed := read(t, group, "memory.oom_control", "memory.events"); !strings.Contains(killed, "oom_kill 0") {
		t.Errorf("the group: %s", killed)
	}
	status, err := s.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if status.Store.Events < acked {
		t.Errorf("%d events are there, %d were acknowledged", status.Store.Events, acked)
	}
}

// memoryGroup makes a control group that may have so many bytes. It goes with
// the test, after its processes.
func memoryGroup(t *testing.T, bytes int64) string {
	t.Helper()
	group, limit := "/sys/fs/cgroup/memory", "memory.limit_in_bytes"
	if _, err := os.Stat(group); err != nil {
		group, limit = "/sys/fs/cgroup", "memory.max"
	}
	group = filepath.Join(group, fmt.Sprintf("gavel-pressure-%d", os.Getpid()))
	if err := os.Mkdir(group, 0o700); err != nil {
		missing(t, "control groups for memory: "+err.Error())
	}
	t.Cleanup(func() {
		if err := os.Remove(group); err != nil {
			t.Error(err)
		}
	})
	if err := os.WriteFile(filepath.Join(group, limit), fmt.Append(nil, bytes), 0o600); err != nil {
		missing(t, "control groups for memory: "+err.Error())
	}
	return group
}

// read is the first of these files that is there.
func read(t *testing.T, dir string, names ...string) string {
	t.Helper()
	for _, name := range names {
		if text, err := os.ReadFile(filepath.Join(dir, name)); err == nil {
			return string(text)
		}
	}
	t.Errorf("none of %q in %s", names, dir)
	return ""
}
