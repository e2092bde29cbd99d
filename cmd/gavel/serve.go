package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/gavelhq/gavel/triggers"
	"github.com/spf13/cobra"
)

// drain is how long a stop may take.
const drain = 30 * time.Second

func (a *app) serveCmd() *cobra.Command {
	s := serveFlags{}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "run the service: receive webhooks, apply the rules",
		Long: `Webhooks come in on --hooks. The command line reaches the server over the socket
DATA/gavel.sock, which only its user can open.

The rules are loaded before anything else: with a mistake in them, or a secret
that is not set, the server does not start. Later changes are noticed, or
announced by SIGHUP or gavel reload; a broken file never replaces a good one.

SIGTERM or Ctrl-C stops: nothing new is accepted, what is under way finishes,
for at most 30 seconds; the rest goes on after the next start. A second signal
stops at once, which loses nothing either.

A session whose end nobody reports ends by itself when nothing was heard of it
for --session-timeout: as of its last sign of life, and marked as estimated. A
true end that arrives later corrects it.

What is over is kept for --retention, and deleted then: events and their timers,
runs that are done or failed, meetings that have ended, traces of refused
deliveries. "30d" is for all of them, "30d,events=7d,runs=90d" says something
else for some (events, runs, sessions, traces), and "forever" deletes nothing.
Whatever is not over yet keeps what it needs, and the ledger is kept for good.`,
		Example: `  gavel serve
  gavel serve --rules /etc/gavel --data /var/lib/gavel --hooks 127.0.0.1:6080
  gavel serve --trusted-proxies 127.0.0.1 --allow-net 10.0.0.0/8
  gavel serve --retention 90d,events=30d`,
		Args:        cobra.NoArgs,
		Annotations: map[string]string{"formats": "table"},
		RunE:        func(cmd *cobra.Command, _ []string) error { return a.serve(cmd.Context(), s) },
	}
	f := cmd.Flags()
	f.StringVar(&s.hooks, "hooks", ":6080", "`address` for webhooks")
	f.StringSliceVar(&s.allowNet, "allow-net", nil, "internal `networks` that steps may call (http, slack, email), such as 10.0.0.0/8")
	f.StringVar(&s.allowExec, "allow-exec", "", "`folder` of the programs that exec steps may start (default none)")
	f.StringSliceVar(&s.proxies, "trusted-proxies", nil, "`networks` whose X-Forwarded-For is believed")
	f.StringVar(&s.logFormat, "log-format", "auto", "`format`: auto (colours on a terminal, else json), text, json")
	f.StringVar(&s.logLevel, "log-level", "info", "`level`: debug, info, warn, error")
	f.IntVar(&s.workers, "workers", 256, "`number` of runs under way at once")
	f.DurationVar(&s.sessionTimeout, "session-timeout", 24*time.Hour, "silence after which a session has ended: a `time`, at least 1m")
	f.StringVar(&s.ledgerKey, "ledger-key", "", "private `key` that signs checkpoints of the ledger: a file, env:NAME or credential:NAME")
	f.StringVar(&s.checkpoints, "checkpoints", "", "`file` that they are appended to, every hour and every 1,000 entries")
	f.StringVar(&s.retention, "retention", "30d", "for how `long` what is over is kept: 30d, forever, or 30d,runs=90d")
	return cmd
}

// serveFlags are the settings of serve.
type serveFlags struct {
	hooks               string
	allowNet, proxies   []string
	allowExec           string
	logFormat, logLevel string
	workers             int
	sessionTimeout      time.Duration
	retention           string
	ledgerKey           string
	checkpoints         string
}

// serve runs the service until ctx ends.
func (a *app) serve(ctx context.Context, f serveFlags) error {
	allowNet, err := prefixes("allow-net", f.allowNet)
	if err != nil {
		return err
	}
	proxies, err := prefixes("trusted-proxies", f.proxies)
	if err != nil {
		return err
	}
	allowExec, err := programFolder(f.allowExec)
	if err != nil {
		return err
	}
	if f.workers < 1 || f.workers > 10_000 {
		return fail(exitUsage, fmt.Errorf("--workers cannot be %d", f.workers), "from 1 to 10000")
	}
	if f.sessionTimeout < time.Minute {
		return fail(exitUsage, fmt.Errorf("--session-timeout cannot be %s", f.sessionTimeout), "at least 1m; write it like 24h or 90m")
	}
	retention, err := parseRetention(f.retention)
	if err != nil {
		return err
	}
	log, err := a.logger(f.logFormat, f.logLevel)
	if err != nil {
		return err
	}
	signer, err := a.newSigner(f.ledgerKey, f.checkpoints)
	if err != nil {
		return err
	}
	forLibraries(log)
	if a.getenv("GOGC") == "" {
		// The heap is small beside any machine: collecting it half as often
		// costs a few megabytes and takes a quarter more deliveries.
		debug.SetGCPercent(200)
	}

	limits := a.allowed(os.DirFS("/"))
	limits.useMemory(a.getenv("GOMEMLIMIT"))
	if limits.saves() {
		log.Info("limited by what the process may have", "memory_mib", limits.memory>>20, "connections", limits.connections)
	}

	s, err := a.newService(ctx, serviceOptions{
		allowNet: allowNet, allowExec: allowExec, proxies: proxies, workers: f.workers, sessionTimeout: f.sessionTimeout, retention: retention,
		limits: limits, signer: signer, log: log,
	})
	if err != nil {
		return err
	}
	defer s.close()
	hooks, err := listenHooks(f.hooks)
	if err != nil {
		return err
	}
	hooks = triggers.Limit(hooks, triggers.ListenerOptions{
		Most: limits.connections, Strangers: limits.strangers, Now: a.now, Log: log,
	})
	socket, err := listenSocket(a.socketPath())
	if err != nil {
		hooks.Close()
		return fail(exitFindings, err, "")
	}
	stop := s.onSignals(ctx)
	defer stop()
	return s.run(ctx, hooks, socket)
}

// programFolder is the absolute path of --allow-exec, "" if none is given.
func programFolder(dir string) (string, error) {
	if dir == "" {
		return "", nil
	}
	path, err := filepath.Abs(dir)
	if err == nil {
		var info os.FileInfo
		if info, err = os.Stat(path); err == nil && !info.IsDir() {
			err = fmt.Errorf("%s is no folder", path)
		}
	}
	if err != nil {
		return "", fail(exitUsage, fmt.Errorf("--allow-exec: %w", err), "make the folder and put the programs into it, each executable")
	}
	return path, nil
}

// listenHooks listens for webhooks at address.
func listenHooks(address string) (net.Listener, error) {
	if address == "" { // the system would choose a port that nobody knows
		return nil, fail(exitUsage, errors.New("--hooks is empty"), "write :6080 or 127.0.0.1:6080")
	}
	l, err := net.Listen("tcp", address)
	if err == nil {
		return l, nil
	}
	hint := "write --hooks as :6080 or 127.0.0.1:6080"
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		hint = "another server runs there; choose another address with --hooks"
	case errors.Is(err, syscall.EACCES):
		hint = "ports below 1024 are for root; choose another one with --hooks"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		hint = "this machine does not have that address; choose another one with --hooks"
	}
	return nil, fail(exitFindings, fmt.Errorf("listen for webhooks on %s: %w", address, unwrapped(err)), hint)
}

// onSignals reloads at SIGHUP and ends the process at the second signal that
// asks for it; the first one ends ctx.
func (s *service) onSignals(ctx context.Context) (stop func()) {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGTERM, os.Interrupt)
	go func() {
		asked := false
		for sig := range signals {
			switch {
			case sig == syscall.SIGHUP:
				s.reloadFor(ctx, "signal")
			case asked:
				s.log.Warn("stopped at once")
				os.Exit(exitInterrupted)
			default:
				asked = true
			}
		}
	}()
	return func() {
		signal.Stop(signals)
		close(signals)
	}
}

// baseURL is the address of a listener as a URL.
func baseURL(addr net.Addr) string {
	ap, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return "http://" + addr.String()
	}
	host := ap.Addr()
	if host == netip.IPv6Unspecified() { // Go listens on IPv4 too, and people look for that
		host = netip.IPv4Unspecified()
	}
	return "http://" + netip.AddrPortFrom(host, ap.Port()).String()
}
