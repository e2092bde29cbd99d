// Command gavel turns the webhooks of meeting platforms into actions.
//
// This package is the wiring: it reads flags, environment and signals, and
// hands the other packages exactly the values they use. There is one file per
// subcommand; root.go holds what they share, serve.go and service.go the
// server.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
	_ "time/tzdata" // rules name time zones; a small system may have none

	"github.com/spf13/cobra"
)

func main() {
	a := &app{in: os.Stdin, out: os.Stdout, err: os.Stderr, lookupEnv: os.LookupEnv, now: time.Now}
	os.Exit(a.run(context.Background(), os.Args[1:]))
}

// app is what the commands share: the process they run in and the flags that
// every command has.
type app struct {
	in        io.Reader
	out       io.Writer // data
	err       io.Writer // everything else
	lookupEnv func(string) (string, bool)
	now       func() time.Time

	rulesPath string
	dataDir   string
	output    string
	json      bool
	quiet     bool
	color     string
	tz        string
	zone      *time.Location // of tz

	longHelp bool // gavel help COMMAND, in contrast to -h
}

func (a *app) getenv(name string) string {
	value, _ := a.lookupEnv(name)
	return value
}

// run executes a command line and returns the exit code.
func (a *app) run(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(args)
	ctx, stop := signal.NotifyContext(ctx, endings(root, args)...)
	defer stop()
	context.AfterFunc(ctx, stop) // the second signal ends the process, whatever it waits for
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	var f *failure
	if !errors.As(err, &f) {
		f = &failure{code: exitFindings, err: err}
	}
	if ctx.Err() != nil && f.code != exitFindings && f.code != exitInterrupted {
		f = &failure{code: exitInterrupted}
	}
	if f.err != nil {
		fmt.Fprintf(a.err, "%s %s\n", a.paint(a.err, red, cmd.CommandPath()+":"), clean(f.err.Error()))
	}
	if f.hint != "" {
		fmt.Fprintf(a.err, "%s %s\n", a.paint(a.err, cyan, "hint:"), clean(f.hint))
	}
	return f.code
}

// endings are the signals that end a command. A server reloads at SIGHUP, and
// shows what it does at SIGQUIT.
func endings(root *cobra.Command, args []string) []os.Signal {
	all := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if cmd, _, err := root.Find(args); err == nil && cmd.Name() == "serve" {
		return all
	}
	if !signal.Ignored(syscall.SIGHUP) { // nohup
		all = append(all, syscall.SIGHUP)
	}
	return append(all, syscall.SIGQUIT)
}
