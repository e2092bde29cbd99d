package pressure

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gavelhq/gavel/test/load"
	"github.com/gavelhq/gavel/test/server"
)

// The server may have 64 files open, and there are 200 connections of
// strangers, or steps whose calls take all files: it does not spin, its store
// goes on, and so does everything else when there are files again.
func TestFewFiles(t *testing.T) {
	t.Parallel()
	call := func(url string) string {
		return "- http: { post: " + url + " }\n        timeout: 3s\n        retry: { attempts: 1 }"
	}
	for _, c := range []struct {
		name      string
		step      string
		strangers int
		events    int  // before: each makes a run, in which c.step waits
		takes     bool // webhooks and commands, meanwhile
	}{
		{"strangers", "- log: hello", 200, 0, true},
		{"steps", call(hungTarget(t)) + "\n  - id: call\n    when: session_started\n    then:\n      " + call(hungTarget(t)), 0, 40, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := options(t)
			o.Args = []string{"--allow-net", "127.0.0.0/8"}
			o.Under = []string{"sh", "-c", `ulimit -n 64 && exec "$0" "$@"`}
			text := strings.Replace(rules, "- log: ${room.id} ${event.type}", c.step, 1)
			if err := os.WriteFile(o.Rules, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			s := start(t, o)
			began, used := time.Now(), cpu(t, s)
			strangers := crowd(t, s.Hooks, c.strangers, "POST /hooks/load HTTP/1.1\r\nHost: gavel\r\nX-Half: ")
			for n := range c.events {
				d, err := once(n)
				if err != nil {
					t.Fatal(err)
				}
				post(s.Hooks, d)
			}
			status := ask(o.Data)
			ctx, stop := context.WithTimeout(t.Context(), 2*time.Second)
			defer stop()
			usual := stream{deliver: retrying(1000), from: 1_000_000, rate: 20, clients: 2}
			got := usual.run(ctx, s.Hooks)
			open := files(t, s)
			share := float64(cpu(t, s)-used) / float64(time.Since(began))
			t.Logf("%d files open; meanwhile %s, %.0f %% of a core; the socket: %v", open, got, 100*share, status)
			if share > 0.5 {
				t.Errorf("it takes %.0f %% of a core", 100*share)
			}
			if c.takes && (len(got.status) != 1 || got.accepted() == 0 || got.broken > 0 || status != nil) {
				t.Errorf("meanwhile: %s, the socket: %v; want both to work", got, status)
			}
			if n := strings.Count(s.Log(), "cannot be accepted"); n > 1 {
				t.Errorf("the log says %d times that connections cannot be accepted", n)
			}

			strangers.Wait()
			recovers(t, s, usual, 10*time.Second)
		})
	}
}

// hungTarget is a target that takes connections and never answers.
func hungTarget(t *testing.T) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return "http://" + l.Addr().String() + "/"
}

// post posts d on a connection of its own, whatever comes of it.
func post(base string, d load.Delivery) {
	c, err := load.Dial(base)
	if err != nil {
		return
	}
	defer c.Close()
	_, _ = c.Post(d)
}

// ask asks the server of a data folder for its status, on a new connection to
// its socket.
func ask(data string) error {
	c, err := net.Dial("unix", filepath.Join(data, "gavel.sock"))
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(2 * time.Second))
	if _, err := io.WriteString(c, "GET /api/v1/status HTTP/1.0\r\nHost: gavel\r\n\r\n"); err != nil {
		return err
	}
	answer, err := io.ReadAll(c)
	if err == nil && !strings.Contains(string(answer), " 200 OK\r\n") {
		err = fmt.Errorf("answered %.100q", answer)
	}
	return err
}

// files is how many the process has open.
func files(t *testing.T, s *server.Server) int {
	t.Helper()
	all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.Pid()))
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// cpu is the time the process has worked.
func cpu(t *testing.T, s *server.Server) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.Pid()))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), ") ") // the name may hold anything
	var state string
	var skip [10]int64
	var user, system int64
	if _, err := fmt.Sscan(after, &state, &skip[0], &skip[1], &skip[2], &skip[3], &skip[4], &skip[5], &skip[6], &skip[7], &skip[8], &skip[9], &user, &system); err != nil {
		t.Fatal(err)
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}
