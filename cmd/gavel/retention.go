package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine/rules"
	"github.com/gavelhq/gavel/engine/store"
	"github.com/gavelhq/gavel/engine/web"
)

const (
	forever      = "forever"
	shortestKept = time.Minute
)

// kept is one part of a retention by the name it has on the command line.
type kept struct {
	name string
	time *time.Duration
}

func partsOf(r *store.Retention) []kept {
	return []kept{{"events", &r.Events}, {"runs", &r.Runs}, {"sessions", &r.Sessions}, {"traces", &r.Traces}}
}

// parseRetention reads "30d", or "30d,runs=90d,traces=forever": a time for all,
// and others for some.
func parseRetention(text string) (r store.Retention, err error) {
	const hint = "write 30d, forever, or one for all and others for some: 30d,runs=90d,traces=7d"
	parts, said := partsOf(&r), map[string]bool{}
	for item := range strings.SplitSeq(text, ",") {
		name, value, named := strings.Cut(strings.TrimSpace(item), "=")
		if !named {
			name, value = "", name
		}
		d, err := parseKept(value)
		switch {
		case err != nil:
			return r, fail(exitUsage, fmt.Errorf("--retention: %w", err), hint)
		case named && name == "":
			return r, fail(exitUsage, fmt.Errorf("--retention: nothing stands before %q", "="+value), hint)
		case said[name] && named:
			return r, fail(exitUsage, fmt.Errorf("--retention says twice how long %s are kept", name), hint)
		case said[name]:
			return r, fail(exitUsage, errors.New("--retention names two times for all"), hint)
		case !named && len(said) > 0:
			return r, fail(exitUsage, fmt.Errorf("--retention: the time for all, %q, goes first", value), hint)
		case named && !slices.ContainsFunc(parts, func(k kept) bool { return k.name == name }):
			return r, fail(exitUsage, fmt.Errorf("--retention: nothing is called %q", name), "events, runs, sessions or traces")
		}
		said[name] = true
		for _, k := range parts {
			if !named || k.name == name {
				*k.time = d
			}
		}
	}
	if !said[""] {
		return r, fail(exitUsage, errors.New("--retention does not say how long the others are kept"), hint)
	}
	return r, nil
}

// parseKept reads a time, or forever: 0.
func parseKept(text string) (time.Duration, error) {
	if text == forever {
		return 0, nil
	}
	d, err := rules.ParseDuration(text)
	switch {
	case err != nil: // its hints are for rules, where minutes are meant, not days
		return 0, fmt.Errorf("%q is no time to keep things", text)
	case d == 0:
		return 0, fmt.Errorf("%q would delete everything: to keep it for good say %s", text, forever)
	case d < shortestKept:
		return 0, fmt.Errorf("%q is too short: at least 1m", text)
	}
	return d, nil
}

// retentionText is how long what is kept, as --retention says it.
func retentionText(r store.Retention) string {
	text := func(d time.Duration) string {
		const day = 24 * time.Hour
		switch {
		case d == 0:
			return forever
		case d%day == 0:
			return fmt.Sprintf("%dd", d/day)
		}
		return web.Duration(d).String()
	}
	all := text(r.Events)
	for _, k := range partsOf(&r) {
		if *k.time != r.Events {
			all += "," + k.name + "=" + text(*k.time)
		}
	}
	return all
}
