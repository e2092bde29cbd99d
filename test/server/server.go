// Package server runs the gavel of this tree as a process of its own, for
// tests and measurements that have to see it from outside: its HTTP endpoint,
// its socket, its exit.
package server

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Build compiles cmd/gavel into dir and returns the program's path.
func Build(ctx context.Context, dir string) (string, error) {
	bin := filepath.Join(dir, "gavel")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", bin, "github.com/gavelhq/gavel/cmd/gavel")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build gavel: %w\n%s", err, out)
	}
	return bin, nil
}

// Options say how to start a server.
type Options struct {
	Bin   string
	Rules string   // file
	Data  string   // folder; the same one after a crash
	Env   []string // NAME=value, besides the caller's
	Args  []string // further flags of gavel serve
	Log   string   // file for what it writes; "": gavel.log in Data
	Under []string // what runs Bin, such as strace -D, in the process that is then the server's
}

// Server is one running gavel. Its methods are safe for concurrent use.
type Server struct {
	// Hooks is the base of the webhook endpoint: http://127.0.0.1:34567.
	Hooks string
	// Ready is how long it took from its start until it said that it is ready.
	Ready time.Duration

	cmd    *exec.Cmd
	api    *http.Client
	log    string // file with all it wrote
	exited chan struct{}
	exit   error // of cmd.Wait; read it after exited
}

// Start starts gavel on a free port of 127.0.0.1 and returns once it is ready.
// When ctx ends, the process is killed.
func Start(ctx context.Context, o Options) (*Server, error) {
	// The service says when it is ready as it says to systemd, so nothing
	// here has to guess, poll or parse its log.
	notify := filepath.Join(o.Data, "notify.sock")
	if err := os.MkdirAll(o.Data, 0o700); err != nil {
		return nil, err
	}
	if err := os.Remove(notify); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: notify, Net: "unixgram"})
	if err != nil {
		return nil, err
	}
	s := &Server{log: cmp.Or(o.Log, filepath.Join(o.Data, "gavel.log")), exited: make(chan struct{})}
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		conn.Close()
		return nil, err
	}
	defer log.Close() // the process has its own copy

	args := append(slices.Clip(o.Under), o.Bin, "serve", "--rules", o.Rules, "--data", o.Data, "--hooks", "127.0.0.1:0")
	args = append(args, o.Args...)
	s.cmd = exec.CommandContext(ctx, args[0], args[1:]...)
	s.cmd.Env = append(append(os.Environ(), "NOTIFY_SOCKET="+notify), o.Env...)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	began := time.Now()
	if err := s.cmd.Start(); err != nil {
		conn.Close()
		return nil, err
	}
	ready := make(chan struct{})
	go listen(conn, ready)
	go func() {
		s.exit = s.cmd.Wait()
		close(s.exited)
		conn.Close()
	}()
	select {
	case <-ready:
		s.Ready = time.Since(began)
	case <-s.exited:
		return nil, fmt.Errorf("gavel serve ended: %w\n%s", s.exit, s.Log())
	case <-time.After(30 * time.Second):
		s.Kill()
		return nil, fmt.Errorf("gavel serve did not get ready\n%s", s.Log())
	}

	s.api = &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(o.Data, "gavel.sock"))
		},
	}}
	status, err := s.Status(ctx)
	if err != nil {
		select {
		case <-s.exited: // by itself: then that is why
		case <-time.After(time.Second):
			s.Kill()
		}
		return nil, errors.Join(err, s.exit)
	}
	s.Hooks = strings.TrimSuffix(status.Hooks, "/")
	return s, nil
}

// listen takes what the service tells its manager until conn is closed, and
// closes ready at READY=1.
func listen(conn net.Conn, ready chan<- struct{}) {
	var once sync.Once
	for buf := make([]byte, 4096); ; {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		for line := range bytes.Lines(buf[:n]) {
			if string(bytes.TrimSpace(line)) == "READY=1" {
				once.Do(func() { close(ready) })
			}
		}
	}
}

// Pid is the process's id.
func (s *Server) Pid() int { return s.cmd.Process.Pid }

// Kill ends the process at once, as a crash would, and waits until it is gone.
func (s *Server) Kill() {
	_ = s.cmd.Process.Kill() // it is gone already: all the better
	<-s.exited
}

// Wait waits until the process has ended by itself and returns how it went.
func (s *Server) Wait() error {
	<-s.exited
	return s.exit
}

// Stop ends the process as systemd would and returns how it went.
func (s *Server) Stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	<-s.exited
	return s.exit
}

// Log is the end of what the process wrote.
func (s *Server) Log() string {
	text, err := os.ReadFile(s.log)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-4096):])
}

// Status is what these tests read of the server's status.
type Status struct {
	Hooks string `json:"hooks"`
	Store struct {
		Events  int            `json:"events"`
		Runs    map[string]int `json:"runs"` // by state
		Entries int            `json:"entries"`
	} `json:"store"`
}

// Status asks the server for its figures.
func (s *Server) Status(ctx context.Context) (Status, error) {
	var st Status
	return st, s.get(ctx, "/api/v1/status", &st)
}

// Idle waits until no run is under way or waiting, and returns the figures.
func (s *Server) Idle(ctx context.Context) (Status, error) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		st, err := s.Status(ctx)
		if err != nil {
			return st, err
		}
		busy := 0
		for state, n := range st.Store.Runs {
			if state != "done" && state != "failed" {
				busy += n
			}
		}
		if busy == 0 {
			return st, nil
		}
		select {
		case <-ctx.Done():
			return st, fmt.Errorf("%d runs are still not finished: %w", busy, ctx.Err())
		case <-s.exited:
			return st, fmt.Errorf("the server ended: %w", s.exit)
		case <-tick.C:
		}
	}
}

// Run is what these tests read of a run.
type Run struct {
	ID    string `json:"id"`
	Rule  string `json:"rule"`
	Event string `json:"event"`
	State string `json:"state"`
}

// Runs lists all runs.
func (s *Server) Runs(ctx context.Context) ([]Run, error) {
	var all []Run
	for cursor := ""; ; {
		var page struct {
			Runs []Run  `json:"runs"`
			Next string `json:"next"`
		}
		q := url.Values{"limit": {"1000"}}
		if cursor != "" {
			q.Set("cursor", cursor)
		}
		if err := s.get(ctx, "/api/v1/runs?"+q.Encode(), &page); err != nil {
			return nil, err
		}
		all = append(all, page.Runs...)
		if cursor = page.Next; cursor == "" {
			return all, nil
		}
	}
}

func (s *Server) get(ctx context.Context, path string, into any) error {
	text, err := s.Get(ctx, path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("GET %s: %w", path, err)
	}
	return nil
}

// Get asks the server's socket for path.
func (s *Server) Get(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://gavel"+path, nil)
	if err != nil {
		return nil, err
	}
	res, err := s.api.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s: %s", path, res.Status)
	}
	return io.ReadAll(res.Body)
}
