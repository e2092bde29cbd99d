package store

import (
	"context"
	"flag"
	"fmt"
	"path/filepath"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gavelhq/gavel/engine"
)

var waitingRuns = flag.Int("waiting", 2_000, "runs that wait, for TestWaitingRuns")

// putOff makes many runs in dir that are all put off until due, as copies of
// one; every other one is held for a target.
func putOff(t *testing.T, dir string, n int, due time.Time) {
	t.Helper()
	s := inUse(t, dir)
	if _, err := s.Accept(context.Background(), delivery("a")); err != nil {
		t.Fatal(err)
	}
	s.Close()
	execute(t, dir, fmt.Sprintf(`WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)
		INSERT INTO runs (id, rule, source, session, room, event, trigger, state, due, target, epoch, created, body)
		SELECT printf('run_%%026d', i), rule, source, session, room, event, trigger, 'retrying', %d, iif(i %% 2, 'x', NULL), 0, created,
		json_set(body, '$.id', printf('run_%%026d', i), '$.state', 'retrying', '$.turn', '', '$.due', '%s',
			'$.held', json(iif(i %% 2, '{"target":"x","down":true}', NULL))) FROM runs, n`,
		n, due.UnixMicro(), due.UTC().Format(time.RFC3339Nano)))
	execute(t, dir, `UPDATE runs SET state = 'done' WHERE state = 'ready'`)
}

func inUseBytes() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// Runs that wait take no memory and are not asked for; when they come due, all
// at once, each is handed out once, and not all of them are in memory.
func TestWaitingRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, n := filepath.Join(t.TempDir(), "data"), *waitingRuns
		began := time.Now()
		putOff(t, dir, n, began.Add(10*time.Hour))
		s := inUse(t, dir)
		s.dispatcher.limit = 100
		before := inUseBytes()
		got := make(chan string, n)
		most := 0
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- s.Dispatch(ctx, 4, func(_ context.Context, d engine.Due) {
				s.dispatcher.mu.Lock()
				most = max(most, len(s.dispatcher.held))
				s.dispatcher.mu.Unlock()
				if d.Called == "x" && time.Since(began) < 10*time.Hour { // the target is still down
					d.Run.State, d.Run.Due = engine.RunRetrying, began.Add(10*time.Hour)
				} else {
					d.Run.State, d.Run.Held = engine.RunDone, nil
					got <- d.Run.ID
				}
				if _, err := s.Record(ctx, d.Run, engine.Result{}); err != nil {
					t.Error(err)
				}
			})
		}()
		<-time.After(time.Minute)
		synctest.Wait()
		whole := func() time.Time {
			s.dispatcher.mu.Lock()
			defer s.dispatcher.mu.Unlock()
			return s.dispatcher.whole
		}
		searched := whole()
		<-time.After(9 * time.Hour)
		synctest.Wait()
		if whole() != searched {
			t.Error("the table was searched while nothing was due")
		}
		if len(got) > 0 {
			t.Fatalf("%d came early", len(got))
		}
		if grown := int64(inUseBytes()) - int64(before); grown > 1<<19 {
			t.Errorf("%d runs that wait take %d KiB", n, grown>>10)
		}
		<-time.After(2 * time.Hour)
		synctest.Wait()
		seen := map[string]bool{}
		for range len(got) {
			seen[<-got] = true
		}
		if len(seen) != n {
			t.Errorf("%d of %d came", len(seen), n)
		}
		if bound := 4 * s.dispatcher.limit; most > bound {
			t.Errorf("%d in memory at once, at most %d", most, bound)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		s.Close()
	})
}

// What is due earlier than what was searched for already is found: the clock
// was set back.
func TestSearchedTooFar(t *testing.T) {
	s := inUse(t, t.TempDir())
	now := time.Now()
	s.dispatcher.found = reached{due: now.UnixMicro(), dueSeq: 5}
	s.dispatcher.at(now.Add(time.Second))
	if s.dispatcher.found.due != now.UnixMicro() {
		t.Error("searches again what it has found")
	}
	s.dispatcher.at(now)
	if found := s.dispatcher.found; found.due >= now.UnixMicro() {
		t.Errorf("does not find what is due now: %+v", found)
	}
}
