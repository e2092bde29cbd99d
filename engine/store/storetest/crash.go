package storetest

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// childDir is the variable that makes a test binary the one to be killed, and
// childTimers the one that makes it set timers.
const (
	childDir    = "GAVEL_STORETEST_DIR"
	childTimers = "GAVEL_STORETEST_TIMERS"
)

// child stores events and tells each answer, until it is killed.
func child(t *testing.T, h *harness) {
	h.use(t)
	h.dispatch(t, 4, func(d engine.Due) {
		d.Run.State, d.Run.Due = engine.RunDone, time.Time{}
		e := entry(d.Run.ID)
		if _, err := h.Record(context.Background(), d.Run, engine.Result{Entries: []engine.Entry{e}}); err == nil {
			fmt.Printf("done %s\n", d.Run.ID)
		}
	})
	var wg sync.WaitGroup
	for i := range 32 {
		session := fmt.Sprint("s", i)
		wg.Go(func() {
			for {
				out, err := h.Accept(context.Background(), h.inbound(
					event(engine.ParticipantJoined, session, newcomer()), event(engine.ChatMessage, session, "")))
				if err != nil {
					return
				}
				for _, e := range out.Events {
					fmt.Printf("event %s\n", e.ID)
				}
			}
		})
	}
	wg.Wait()
}

// newcomer is a participant nobody has seen, not even before the last kill.
func newcomer() string { return fmt.Sprint("p", os.Getpid(), "-", time.Now().UnixNano()) }

func testKill(t *testing.T, h *harness) {
	for round := range 3 {
		acked, done := killed(t, h, 300*(round+1), childDir)
		h.Store = h.open(t, h.dir)
		h.use(t)
		for _, id := range acked {
			e, err := h.Event(context.Background(), id)
			if err != nil {
				t.Fatalf("an acknowledged event is lost: %v", err)
			}
			for _, ref := range e.Outcome.Runs {
				h.run(t, ref.Run)
			}
		}
		for _, id := range done {
			h.state(t, id, engine.RunDone)
		}
		s, err := h.Stats(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		left := s.Runs[engine.RunReady] + s.Runs[engine.RunQueued] + s.Runs[engine.RunRunning]
		finished := make(chan string, left)
		stop := h.dispatch(t, 8, func(d engine.Due) {
			d.Run.State, d.Run.Due = engine.RunDone, time.Time{}
			h.record(t, d.Run, engine.Result{Entries: []engine.Entry{entry(d.Run.ID)}})
			finished <- d.Run.ID
		})
		for range left {
			wait(t, finished)
		}
		stop()
		s, err = h.Stats(context.Background())
		if err != nil || s.Entries != s.Runs[engine.RunDone] || s.Runs[engine.RunDone] != s.Events {
			t.Errorf("%d events, %d runs done, %d entries (%v)", s.Events, s.Runs[engine.RunDone], s.Entries, err)
		}
		h.chain(t)
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	}
}

// killed starts this binary again on h.dir, kills it after so many lines, and
// is what it had told by then. mode is a variable that says what it does.
func killed(t *testing.T, h *harness, lines int, mode string) (acked, done []string) {
	t.Helper()
	test := strings.ReplaceAll(path.Dir(t.Name()), "/", "$/^") // the caller of Run
	cmd := exec.Command(os.Args[0], "-test.run=^"+test+"$")
	cmd.Env = append(os.Environ(), childDir+"="+h.dir, mode+"="+h.dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewScanner(out)
	for n := 0; in.Scan(); n++ {
		if n == lines {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
		switch what, id, _ := strings.Cut(in.Text(), " "); what {
		case "event":
			acked = append(acked, id)
		case "done":
			done = append(done, id)
		default:
			t.Logf("child: %s", in.Text())
		}
	}
	_ = cmd.Wait() // it was killed
	if len(acked)+len(done) < lines {
		t.Fatalf("the child ended after %d lines", len(acked)+len(done))
	}
	return acked, done
}
