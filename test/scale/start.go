package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gavelhq/gavel/test/load"
)

// process is a running gavel.
type process struct {
	cmd   *exec.Cmd
	hooks string        // base of its webhooks
	ready time.Duration // from its start until it said that it is ready
}

// start runs gavel serve until it says, as it does to systemd, that it is ready.
func start(ctx context.Context, bin, rules, data string) (p *process, err error) {
	socket := filepath.Join(data, "notify.sock")
	if err := os.MkdirAll(data, 0o700); err != nil {
		return nil, err
	}
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	log, err := os.Create(filepath.Join(data, "gavel.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close() // the process has its own copy
	p = &process{cmd: exec.CommandContext(ctx, bin, "serve", "--rules", rules, "--data", data, "--hooks", "127.0.0.1:0", "--log-format", "json")}
	p.cmd.Env = append(append(os.Environ(), "NOTIFY_SOCKET="+socket), load.Env()...)
	p.cmd.Stdout, p.cmd.Stderr = log, log

	began := time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	if err := conn.SetReadDeadline(began.Add(5 * time.Minute)); err != nil {
		return nil, err
	}
	for buf := make([]byte, 4096); ; {
		n, err := conn.Read(buf)
		if err != nil {
			text, _ := os.ReadFile(log.Name()) // what is missing is in the error
			return nil, errors.Join(fmt.Errorf("gavel serve did not get ready: %w\n%s", err, text), p.cmd.Process.Kill(), p.cmd.Wait())
		}
		if bytes.Contains(buf[:n], []byte("READY=1")) {
			break
		}
	}
	p.ready = time.Since(began)
	var status struct{ Hooks string }
	if err := p.get(ctx, data, "/api/v1/status", &status); err != nil {
		return nil, errors.Join(err, p.stop())
	}
	p.hooks = strings.TrimSuffix(status.Hooks, "/")
	return p, nil
}

// stop ends the process as systemd does.
func (p *process) stop() error {
	return errors.Join(p.cmd.Process.Signal(syscall.SIGTERM), p.cmd.Wait())
}

// memory is what the process has in memory, in bytes.
func (p *process) memory() (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if kb, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(kb), "kB")), 10, 64)
			return n << 10, err
		}
	}
	return 0, errors.New("the system does not say how much memory the process has")
}

// get asks the server over its socket.
func (p *process) get(ctx context.Context, data, path string, into any) error {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(data, "gavel.sock"))
	}}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://gavel"+path, nil)
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", path, res.Status)
	}
	return json.NewDecoder(res.Body).Decode(into)
}

// ask is how long the command line takes, and what it prints.
func ask(ctx context.Context, bin, data string, args ...string) (time.Duration, string, error) {
	began := time.Now()
	out, err := exec.CommandContext(ctx, bin, append(args, "--data", data)...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("gavel %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return time.Since(began), string(out), err
}
