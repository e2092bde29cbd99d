package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/gavelhq/gavel/test/load"
	"github.com/gavelhq/gavel/test/server"
)

// served is a server under test: Gavel, or what it is compared with.
type served struct {
	hooks string // base of its webhooks
	pid   int
	// after waits until everything that so many deliveries make happen is done.
	after func(ctx context.Context, sent int) error
	// stored is how many events it has; always 0 of a baseline.
	stored func(context.Context) (int, error)
	stop   func() error
	// profile is a CPU profile of some seconds.
	profile func(seconds int) ([]byte, error)
}

// gavel starts Gavel.
func (b *bench) gavel(ctx context.Context, rules, data string, env ...string) (*served, *server.Server, error) {
	s, err := server.Start(ctx, server.Options{
		Bin: b.bin, Rules: rules, Data: data, Env: append(load.Env(), env...), Args: []string{"--allow-net", "127.0.0.0/8"},
	})
	if err != nil {
		return nil, nil, err
	}
	stop := func() error {
		if err := s.Stop(); err != nil {
			return fmt.Errorf("stop: %w\n%s", err, s.Log())
		}
		return nil
	}
	return &served{
		hooks: s.Hooks, pid: s.Pid(), stop: stop,
		after: func(ctx context.Context, _ int) error { _, err := s.Idle(ctx); return err },
		stored: func(ctx context.Context) (int, error) {
			status, err := s.Status(ctx)
			return status.Store.Events, err
		},
		profile: func(seconds int) ([]byte, error) {
			return profile("unix", filepath.Join(data, "gavel.sock"), seconds)
		},
	}, s, nil
}

// baseline starts the server of that kind: see baseline.go.
func (b *bench) baseline(ctx context.Context, kind, rules, data string) (*served, error) {
	if err := os.MkdirAll(data, 0o700); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(data, "baseline.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close() // the process has its own copy
	cmd := exec.CommandContext(ctx, self, "baseline", kind, rules, data)
	cmd.Env, cmd.Stderr = append(os.Environ(), load.Env()...), log
	leash, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	hooks, err := bufio.NewReader(out).ReadString('\n')
	stop := func() error { return errors.Join(leash.Close(), cmd.Wait()) }
	if err != nil {
		text, _ := os.ReadFile(log.Name()) // what is missing is in the error
		return nil, fmt.Errorf("the baseline %s does not serve: %w\n%s", kind, errors.Join(err, stop()), text)
	}
	hooks = strings.TrimSpace(hooks)
	return &served{
		hooks: hooks, pid: cmd.Process.Pid, stop: stop,
		after:  func(context.Context, int) error { return nil },
		stored: func(context.Context) (int, error) { return 0, nil },
		profile: func(seconds int) ([]byte, error) {
			return profile("tcp", strings.TrimPrefix(hooks, "http://"), seconds)
		},
	}, nil
}

// profile asks the server there for a CPU profile.
func profile(network, address string, seconds int) ([]byte, error) {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}}}
	res, err := client.Get(fmt.Sprint("http://gavel/debug/pprof/profile?seconds=", seconds))
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("profile: %s", res.Status)
	}
	return io.ReadAll(res.Body)
}

// profiled writes a profile of the next two seconds, if one is asked for, and
// returns how to wait for it.
func (b *bench) profiled(s *served, name string) (wait func() error) {
	if b.profiles == "" {
		return func() error { return nil }
	}
	done := make(chan error, 1)
	go func() {
		text, err := s.profile(2)
		if err == nil {
			err = os.WriteFile(filepath.Join(b.profiles, name+".pprof"), text, 0o600)
		}
		done <- err
	}()
	return func() error { return <-done }
}
