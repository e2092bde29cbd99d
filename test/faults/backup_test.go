package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine/store"
	"github.com/gavelhq/gavel/test/load"
	"github.com/gavelhq/gavel/test/server"
)

// stream sends deliveries at a steady rate and remembers when each was
// acknowledged.
type stream struct {
	every   time.Duration
	clients int

	mu   sync.Mutex
	sent int
	acks map[string]ack // by the id of the delivery
}

type ack struct {
	at   time.Time // 2xx had come
	took time.Duration
}

// run sends to the server at base until ctx ends.
func (s *stream) run(ctx context.Context, base string) error {
	due := make(chan int, s.clients)
	go func() {
		defer close(due)
		for tick := time.NewTicker(s.every); ; {
			s.mu.Lock()
			s.sent++
			n := s.sent
			s.mu.Unlock()
			select {
			case <-ctx.Done():
				tick.Stop()
				return
			case <-tick.C:
				due <- n
			}
		}
	}()
	wrong := make(chan error, s.clients)
	for range s.clients {
		go func() { wrong <- s.client(base, due) }()
	}
	var err error
	for range s.clients {
		if e := <-wrong; e != nil {
			err = e
		}
	}
	return err
}

func (s *stream) client(base string, due <-chan int) error {
	c, err := load.Dial(base)
	if err != nil {
		return err
	}
	defer c.Close()
	for n := range due {
		d, err := load.SessionEnded(n, "room", time.Now())
		if err != nil {
			return err
		}
		began := time.Now()
		status, err := c.Post(d)
		now := time.Now()
		if err != nil || status/100 != 2 {
			return fmt.Errorf("delivery %d: %d, %w", n, status, err)
		}
		var body struct{ ID string }
		if err := json.Unmarshal(d.Request.Body, &body); err != nil {
			return err
		}
		s.mu.Lock()
		s.acks[body.ID] = ack{now, now.Sub(began)}
		s.mu.Unlock()
	}
	return nil
}

// before are the deliveries acknowledged before t.
func (s *stream) before(t time.Time) (ids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, a := range s.acks {
		if a.at.Before(t) {
			ids = append(ids, id)
		}
	}
	return ids
}

// slowest is the time that 99 of 100 of the deliveries acknowledged in
// between took at most, and how many there were.
func (s *stream) slowest(from, to time.Time) (p99 time.Duration, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []time.Duration
	for _, a := range s.acks {
		if a.at.After(from) && a.at.Before(to) {
			all = append(all, a.took)
		}
	}
	if len(all) == 0 {
		return 0, 0
	}
	slices.Sort(all)
	return all[len(all)*99/100], len(all)
}

// Backups are taken while deliveries come in, one every second. Each can be
// restored, nothing is wrong with it, and it has what was acknowledged before.
func TestBackupUnderLoad(t *testing.T) {
	bin, dir := binary(t), t.TempDir()
	rules := filepath.Join(dir, "rules.yaml")
	text := "version: 1\n" + load.Source + `rules:
  - id: bill
    when: session_ended
    then:
      - billing: { customer: "${room.id}", meter: minutes, quantity: "${ceil_minutes(session.duration)}" }
`
	if err := os.WriteFile(rules, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	data := filepath.Join(dir, "data")
	s, err := server.Start(ctx, server.Options{Bin: bin, Rules: rules, Data: data, Env: load.Env()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Kill()

	events := &stream{every: 5 * time.Millisecond, clients: 8, acks: map[string]ack{}}
	sending, stop := context.WithCancel(ctx)
	sent := make(chan error, 1)
	go func() { sent <- events.run(sending, s.Hooks) }()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	quiet := time.Now()
	for range rounds(2, 5) { // what acknowledging takes when nothing else goes on
		<-tick.C
	}
	began := time.Now()
	var taken []time.Time
	file := func(n int) string { return filepath.Join(dir, fmt.Sprintf("%d.db", n)) }
	for n := range rounds(3, 30) {
		taken = append(taken, time.Now())
		out, err := exec.CommandContext(ctx, bin, "backup", "--data", data, file(n)).CombinedOutput()
		if err != nil {
			t.Fatalf("backup: %v\n%s", err, out)
		}
		<-tick.C
	}
	ended := time.Now()
	stop()
	if err := <-sent; err != nil {
		t.Fatalf("%v\n%s", err, s.Log())
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
	for n, at := range taken {
		restores(t, bin, file(n), events.before(at))
	}
	before, some := events.slowest(quiet, began)
	during, more := events.slowest(began, ended)
	t.Logf("99 of 100 acknowledged within %v (%d), while backups were taken %v (%d)", before, some, during, more)
}

// restores puts a backup into a new folder and looks for deliveries in it.
func restores(t *testing.T, bin, file string, want []string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "restored")
	if out, err := exec.Command(bin, "restore", "--data", dir, file).CombinedOutput(); err != nil {
		t.Errorf("restore: %v\n%s", err, out)
		return
	}
	if out, err := exec.Command(bin, "store", "check", "--full", "--data", dir).CombinedOutput(); err != nil {
		t.Errorf("check: %v\n%s", err, out)
	}
	r, err := store.OpenReader(t.Context(), dir, time.Now)
	if err != nil {
		t.Error(err)
		return
	}
	defer r.Close()
	there := map[string]bool{}
	err = r.Sent(t.Context(), store.Past{}, func(s store.Sent) error {
		var body struct{ ID string }
		err := json.Unmarshal(s.Raw, &body)
		there[body.ID] = true
		return err
	})
	if err != nil {
		t.Error(err)
	}
	lost := slices.DeleteFunc(want, func(id string) bool { return there[id] })
	if len(lost) > 0 {
		t.Errorf("%s lacks %d deliveries that were acknowledged before it was taken, such as %s", file, len(lost), lost[0])
	}
	if len(there) == 0 {
		t.Error("the backup is empty")
	}
}

// A backup that cannot be written says why, leaves nothing, and leaves the
// backup alone that is there.
func TestBackupCannotBeWritten(t *testing.T) {
	needs(t, true, "mount", "umount", "strace")
	bin, data := binary(t), t.TempDir()
	fixture, err := os.ReadFile(filepath.Join("..", "..", "engine", "store", "testdata", "schema-0001.db"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, "gavel.db"), fixture, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name   string
		make   func(dir string)
		inject string // into what is done to the copy
		says   string
	}{
		{"no room", func(dir string) { run(t, "dd", "if=/dev/zero", "of="+filepath.Join(dir, "full"), "bs=1k", "count=900") }, "", "are free: free some space"},
		{"read-only", func(dir string) { run(t, "mount", "-o", "remount,ro", dir) }, "", "read-only file system"},
		{"full after all", nil, "pwrite64:error=ENOSPC:when=8+", "the disk is full: free some space"},
		{"cannot be flushed", nil, "fsync:error=EIO", "the disk reports an error"},
		{"cannot be named", nil, "renameat:error=EIO", "input/output error"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := ram(t, 2)
			run(t, bin, "backup", "--data", data, filepath.Join(dir, "a.db"))
			if tc.make != nil {
				tc.make(dir)
			}
			file := filepath.Join(dir, "a.db")
			args := []string{bin, "backup", "--data", data, "--force", file}
			if call, _, some := strings.Cut(tc.inject, ":"); some {
				args = append([]string{"strace", "-f", "-qq", "-o", "/dev/null", "-P", file + ".partial", "-e", "trace=" + call, "-e", "inject=" + tc.inject}, args...)
			}
			cmd := exec.Command(args[0], args[1:]...)
			out, err := cmd.CombinedOutput()
			if err == nil || cmd.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), tc.says) {
				t.Errorf("%v: %s", err, out)
			}
			if left, err := filepath.Glob(filepath.Join(dir, "*.partial")); err != nil || len(left) > 0 {
				t.Errorf("left %q (%v)", left, err)
			}
			run(t, bin, "store", "check", "--full", file)
		})
	}
}
