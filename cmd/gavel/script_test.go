package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	testscript.Main(leakChecked{m}, map[string]func(){"gavel": main})
}

// leakChecked are tests after which no goroutine of theirs may be left.
type leakChecked struct{ *testing.M }

func (m leakChecked) Run() int {
	code := m.M.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	return code
}

// TestScripts runs the command line as people do: every exec gavel is a
// process of its own. Scripts wait for the server by what it tells the
// service manager, so none of them sleeps.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup:               setUpScript,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "until": until, "await": await, "signal": sendSignal, "mode": checkMode, "stale": leaveSocket,
			"truncated": truncate, "slack": fakeSlack,
		},
	})
}

type notifySocket struct{}

// setUpScript gives each script secrets and a service manager to talk to.
func setUpScript(env *testscript.Env) error {
	path := filepath.Join(env.WorkDir, "notify.sock")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return err
	}
	env.Defer(func() { c.Close() })
	env.Values[notifySocket{}] = c
	oldest, err := filepath.Abs("../../engine/store/testdata/schema-0001.db")
	if err != nil {
		return err
	}
	for name, value := range map[string]string{
		"OLDEST_STORE":  oldest,
		"NOTIFY_SOCKET": path, "TZ": "UTC", "LANG": "C.UTF-8",
		"PNM_KEY": "APIdemoKey01", "PNM_SECRET": "demo-secret-0123456789-abcdefghij-ABCDE", "MEET_KEY": "meet-api-key-0123456789",
	} {
		env.Setenv(name, value)
	}
	return nil
}

// exits CODE COMMAND… is exec for a command that ends with that code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND…")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if fmt.Sprint(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

// until PATTERN COMMAND… runs a command until its output fits: for what the
// server does on its own.
func until(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until PATTERN COMMAND…")
	}
	pattern := regexp.MustCompile("(?m)" + args[0])
	for deadline := time.Now().Add(20 * time.Second); ; {
		ts.Check(ts.Exec(args[1], args[2:]...))
		if pattern.MatchString(ts.ReadFile("stdout")) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("still no match for %q", args[0])
		}
		<-time.After(20 * time.Millisecond)
	}
}

// await LINE… waits until the server has told the service manager all of the
// lines (regular expressions for their beginnings), in this order, in one
// message or several.
func await(ts *testscript.TestScript, neg bool, lines []string) {
	if neg || len(lines) == 0 {
		ts.Fatalf("usage: await LINE…")
	}
	c, _ := ts.Value(notifySocket{}).(*net.UnixConn)
	ts.Check(c.SetReadDeadline(time.Now().Add(20 * time.Second)))
	buf := make([]byte, 4096)
	for len(lines) > 0 {
		n, err := c.Read(buf)
		if err != nil {
			ts.Fatalf("waiting for %q: %v", lines[0], err)
		}
		got := strings.Split(string(buf[:n]), "\n")
		ts.Logf("notified: %q", got)
		for len(lines) > 0 && slices.ContainsFunc(got, func(line string) bool { return regexp.MustCompile("^" + lines[0]).MatchString(line) }) {
			lines = lines[1:]
		}
	}
}

// signal NAME sends it to the command in the background.
func sendSignal(ts *testscript.TestScript, neg bool, args []string) {
	signals := map[string]os.Signal{"TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP, "INT": syscall.SIGINT, "KILL": syscall.SIGKILL}
	if neg || len(args) != 1 || signals[args[0]] == nil || len(ts.BackgroundCmds()) != 1 {
		ts.Fatalf("usage: signal TERM|HUP|INT|KILL, with one command in the background")
	}
	ts.Check(ts.BackgroundCmds()[0].Process.Signal(signals[args[0]]))
}

// mode FILE PERM checks who may use a file.
func checkMode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: mode FILE 0600")
	}
	info, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	if got := fmt.Sprintf("%04o", info.Mode().Perm()); got != args[1] {
		ts.Fatalf("%s has mode %s, want %s", args[0], got, args[1])
	}
}

// stale PATH leaves a socket file there that nobody listens on.
func leaveSocket(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: stale PATH")
	}
	path := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(filepath.Dir(path), 0o700))
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	ts.Check(err)
	l.SetUnlinkOnClose(false)
	ts.Check(l.Close())
}

// truncated FILE SIZE cuts off what is behind.
func truncate(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: truncated FILE SIZE")
	}
	size, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	ts.Check(os.Truncate(ts.MkAbs(args[0]), size))
}
