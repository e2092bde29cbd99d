package main

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// notifier tells the service manager how the server is. Without one (no
// NOTIFY_SOCKET) it does nothing.
// https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html
type notifier struct{ log *slog.Logger }

func (n notifier) send(lines ...string) {
	if _, err := daemon.SdNotify(false, strings.Join(lines, "\n")); err != nil {
		n.log.Warn("the service manager was not told", "error", err)
	}
}

func (n notifier) ready(status string) { n.send(daemon.SdNotifyReady, "STATUS="+status) }

func (n notifier) reloading() {
	n.send(daemon.SdNotifyReloading, strings.TrimSpace(daemon.SdNotifyMonotonicUsec()), "STATUS=loading rules")
}

func (n notifier) stopping() { n.send(daemon.SdNotifyStopping, "STATUS=finishing what is under way") }

// watchdog pings until ctx ends, if the service manager asks for it, twice as
// often as it wants, and only while alive says so.
func (n notifier) watchdog(ctx context.Context, alive func(context.Context) error) {
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		n.log.Warn("the watchdog setting cannot be read", "error", err)
	}
	if every <= 0 {
		return
	}
	tick := time.NewTicker(every / 2)
	defer tick.Stop()
	for {
		if err := alive(ctx); err == nil {
			n.send(daemon.SdNotifyWatchdog)
		} else if ctx.Err() == nil {
			n.log.Error("the watchdog is not answered", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
