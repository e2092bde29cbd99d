package store

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/store/storetest"
)

func TestDone(t *testing.T) {
	r := generated(t, 3000) // a run every three minutes
	ctx := context.Background()
	minute := func(n int) time.Time { return plotted().Add(time.Duration(n) * time.Minute) }
	for _, tc := range []struct {
		since, until time.Time
		first, n     int
	}{
		{n: 1000, first: 1},
		{since: minute(1500), n: 501, first: 500},
		{since: minute(1501), n: 500, first: 501},
		{until: minute(3), n: 0},
		{until: minute(4), n: 1, first: 1},
		{since: minute(300), until: minute(330), n: 10, first: 100},
		{since: minute(9000), n: 0},
	} {
		n := 0
		err := r.Done(ctx, tc.since, tc.until, func(run *engine.Run) error {
			if want := fmt.Sprintf("run_%08d", tc.first+n); run.ID != want {
				return fmt.Errorf("run %d is %s, want %s", n, run.ID, want)
			}
			n++
			return nil
		})
		if err != nil || n != tc.n {
			t.Errorf("from %s to %s: %d runs, want %d (%v)", tc.since, tc.until, n, tc.n, err)
		}
	}
	enough := errors.New("enough")
	n := 0
	err := r.Done(ctx, time.Time{}, time.Time{}, func(*engine.Run) error {
		if n++; n == 300 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || n != 300 {
		t.Errorf("%d runs: %v", n, err)
	}
	stopped, cancel := context.WithCancel(ctx)
	cancel()
	if err := r.Done(stopped, time.Time{}, time.Time{}, func(*engine.Run) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
}

func TestExtent(t *testing.T) {
	ctx := context.Background()
	r := generated(t, 3000)
	minute := func(n int) time.Time { return plotted().Add(time.Duration(n) * time.Minute) }
	x, err := r.Extent(ctx, minute(1000), minute(2000))
	// What waits together for a commit is stored in any order: a minute's worth more.
	if want := (Extent{First: minute(1), Last: minute(3000), From: 999, To: 1999}); err != nil || x != want {
		t.Errorf("%+v, want %+v (%v)", x, want, err)
	}
	x, err = r.Extent(ctx, minute(-10), minute(9000))
	if want := (Extent{First: minute(1), Last: minute(3000), From: 1, To: 3000}); err != nil || x != want {
		t.Errorf("%+v, want %+v (%v)", x, want, err)
	}
	if x, err = inUse(t, t.TempDir()).Extent(ctx, minute(0), minute(1)); err != nil || x != (Extent{}) {
		t.Errorf("empty: %+v %v", x, err)
	}
}

func TestRevisions(t *testing.T) {
	ctx := context.Background()
	var hours atomic.Int64 // since the beginning; the committer looks at the clock as well
	now := func() time.Time { return plotted().Add(time.Duration(hours.Load()) * time.Hour) }
	o := options()
	o.Now = now
	s, err := Open(ctx, t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if id, err := s.InForce(ctx); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("nothing yet: %s %v", id, err)
	}
	inForce := func(want string) {
		t.Helper()
		if id, err := s.InForce(ctx); err != nil || id != want {
			t.Errorf("in force: %s, want %s (%v)", id, want, err)
		}
	}
	use := func(id string) {
		t.Helper()
		hours.Add(1)
		if _, err := s.Use(ctx, storetest.NewRules(id)); err != nil {
			t.Fatal(err)
		}
	}
	use("aa1")
	inForce("aa1")
	use("ab2")
	inForce("ab2")
	use("aa1") // the old rules again: seen from the first event on
	hours.Add(1)
	in := delivery("a")
	in.Now, in.Delivery.At, in.Events[0].Received = now(), now(), now()
	if _, err := s.Accept(ctx, in); err != nil {
		t.Fatal(err)
	}
	inForce("aa1")
	use("ac3")
	inForce("ac3")

	if id, err := s.RevisionID(ctx, "ab"); err != nil || id != "ab2" {
		t.Errorf("ab: %s %v", id, err)
	}
	_, err = s.RevisionID(ctx, "a")
	says(t, err, "not clear", "aa1 and ab2")
	for _, prefix := range []string{"", "b", "aa12"} {
		if id, err := s.RevisionID(ctx, prefix); !errors.Is(err, engine.ErrNotFound) {
			t.Errorf("%q: %s %v", prefix, id, err)
		}
	}
}
