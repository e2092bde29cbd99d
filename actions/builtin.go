package actions

import (
	"log/slog"
	"net/netip"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// Options are what the actions need to know of the process.
type Options struct {
	// AllowNet are the internal addresses that may be called: --allow-net.
	AllowNet []netip.Prefix
	// AllowExec is the folder of the programs that exec may start: --allow-exec.
	// "" is off.
	AllowExec string
	// ExecDir is where the programs' working folders are made: what a server that
	// was killed has left there, the next one removes. "" is the system's.
	ExecDir string
	// Serving says that steps are done with these actions, not only checked:
	// what this process does not allow is a mistake.
	Serving bool
	// Log is where the log action writes; nil: nowhere.
	Log *slog.Logger
	// Journal gets the lines of the log action instead; nil: there is none.
	Journal Journal
	// LogDir is the folder of the log action's files.
	LogDir string
	// Version of gavel, for the User-Agent.
	Version string
	// Now tells when an answer came: a Retry-After that is a date counts from
	// there. Required.
	Now func() time.Time
}

// Builtin lists every action.
func Builtin(o Options) []engine.ActionKind {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	out := newClient(o, nil)
	return []engine.ActionKind{
		slackAction(out),
		httpAction(out),
		emailAction(out),
		execAction(o),
		logAction(o),
		billingAction(o.Version),
		emitAction(),
	}
}
