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
	// Log is where the log action writes; nil: nowhere.
	Log *slog.Logger
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
		logAction(o.Log),
		billingAction(),
		emitAction(),
	}
}
