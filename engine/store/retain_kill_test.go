package store

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/store/storetest"
)

// retainDir is the variable that makes a test binary the one that deletes what
// is too old until it is killed.
const retainDir = "GAVEL_RETAIN_DIR"

// Killed while it deletes, the store is consistent, and the next one goes on.
func TestKilledWhileDeleting(t *testing.T) {
	if dir := os.Getenv(retainDir); dir != "" {
		deleteAll(t, dir)
		return
	}
	n := *seed
	if n == 0 {
		n = rand.Uint64()
	}
	t.Logf("seed %d", n)
	random := rand.New(rand.NewPCG(n, 1))
	dir := t.TempDir()
	overAll(t, dir, 240)
	kills := 0
	for over := false; !over; {
		before := figuresOf(t, dir)
		over = killedAfter(t, dir, 1+random.IntN(6))
		if !over {
			kills++
		}
		sound(t, dir+"/"+fileName)
		after := figuresOf(t, dir)
		if after.Entries != before.Entries || after.Events > before.Events {
			t.Fatalf("after kill %d: %+v, before %+v", kills, after, before)
		}
		if over && (after.Events > 1 || after.Runs[engine.RunDone] > 1) {
			t.Errorf("left are %+v", after)
		}
	}
	if kills < 3 {
		t.Errorf("only %d kills", kills)
	}
}

// overAll makes a store of n finished runs, of meetings of three that have ended.
func overAll(t *testing.T, dir string, n int) {
	s := inUse(t, dir)
	defer s.Close()
	for i := range n {
		session, person := fmt.Sprint(i/3), newID()
		id := accepted(t, s, of(engine.ParticipantJoined, session, person)).Events[0].Outcome.Runs[0].Run
		finished(t, s, id, engine.RunDone, engine.Entry{Tenant: "default", Source: "pnm", Key: id, Meter: "m", Revision: "r1"})
		accepted(t, s, of(engine.ParticipantLeft, session, person))
		if i%3 == 2 {
			accepted(t, s, of(engine.SessionEnded, session, ""))
		}
	}
}

func figuresOf(t *testing.T, dir string) engine.Stats {
	t.Helper()
	s := opened(t, dir)
	defer s.Close()
	stats := figures(t, s.Reader)
	if n := count(t, s.Reader, `SELECT count(*) FROM events`); n != int(stats.Events) {
		t.Errorf("%d events, counted %d", n, stats.Events)
	}
	if n := count(t, s.Reader, `SELECT count(*) FROM runs`); n != int(stats.Runs[engine.RunDone]) {
		t.Errorf("%d runs, counted %v", n, stats.Runs)
	}
	return stats
}

// killedAfter starts this binary again, kills it after so many transactions, and
// reports whether it had finished before.
func killedAfter(t *testing.T, dir string, transactions int) (over bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilledWhileDeleting$")
	cmd.Env = append(os.Environ(), retainDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewScanner(out)
	for n := 0; in.Scan(); {
		switch in.Text() {
		case "deleting":
			if n++; n == transactions {
				_ = cmd.Process.Kill() // it may be over
			}
		case "over":
			over = true
		case "PASS":
		default:
			t.Logf("child: %s", in.Text())
		}
	}
	_ = cmd.Wait()
	return over
}

// deleteAll deletes everything as if it were much too old, and tells before
// each transaction.
func deleteAll(t *testing.T, dir string) {
	o := options()
	o.Now = func() time.Time { return time.Now().Add(400 * day) }
	s, err := Open(context.Background(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Use(context.Background(), storetest.NewRules("r2")); err != nil {
		t.Fatal(err)
	}
	o.Retention = month()
	x := newRetainer(context.Background(), o, s.Reader, s.committer)
	for _, sweep := range x.sweeps {
		sweep.rows.begin(o.Now())
		for {
			j, through, _, err := sweep.rows.next(context.Background(), o.Now())
			if err != nil {
				t.Fatal(err)
			}
			if j != nil {
				fmt.Println("deleting")
				if err := x.commit(j); err != nil {
					t.Fatal(err)
				}
			}
			if through {
				break
			}
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	fmt.Println("over")
}
