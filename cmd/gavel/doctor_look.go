package main

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/rules"
	"github.com/gavelhq/gavel/engine/store"
	"github.com/gavelhq/gavel/engine/web"
)

const (
	littleDisk = 1 << 30 // bytes that should be free
	// What lies between the platforms' clocks and ours: on the way a delivery
	// takes no time worth mentioning, and no platform knows the future.
	clockAhead  = 5 * time.Second
	clockBehind = 5 * time.Minute
)

// lookAtStatus looks at what a server says of itself.
func (d *doctor) lookAtStatus(st web.Status) {
	d.lookAtRules(st.Rules.File, rules.Counts{Rules: st.Rules.Rules, Sources: st.Rules.Sources}, st.Rules.Warnings)
	if st.Refused != nil {
		why := st.Refused.Error
		if why == "" {
			why = firstError(st.Refused.Problems)
		}
		d.add("rules", "", web.FindingFailed, "the reload of "+d.app.clock(st.RefusedAt)+" was refused, "+short(st.Rules.Revision)+" is in force: "+why, "mend the file, it is loaded by itself")
	}
	if st.Store != nil {
		d.lookAtDisk(st.Store.Size, st.Store.Schema)
		d.lookAtLedger(*st.Store)
	}
	d.add("server", "", web.FindingOK, fmt.Sprintf("%s, %s since %s", st.Version, st.State, d.app.clock(st.Started)), "")
}

// lookAtLedger says what a person has to decide.
func (d *doctor) lookAtLedger(st engine.Stats) {
	if st.Conflicts > 0 {
		d.add("ledger", "", web.FindingWarning, count(int(st.Conflicts), "conflict")+" in the ledger for a person to decide", "gavel billing conflicts")
	}
}

// lookAtStore looks at the store of a server that does not run. It reports
// whether its rows can be read.
func (d *doctor) lookAtStore(ctx context.Context) bool {
	file, err := store.File(d.app.dataDir)
	if err != nil {
		d.add("store", "", web.FindingUnknown, err.Error(), "")
		return false
	}
	info, err := store.ReadInfo(ctx, file)
	if err != nil {
		d.add("store", "", web.FindingFailed, err.Error(), "gavel store check says more")
		return false
	}
	d.lookAtDisk(info.Size, info.Schema)
	r, err := store.OpenReader(ctx, d.app.dataDir, d.app.now)
	if err != nil { // it is of an older version
		d.add("store", "", web.FindingUnknown, err.Error(), "")
		return false
	}
	defer r.Close()
	if st, err := r.Stats(ctx); err == nil { // else what follows says it
		d.lookAtLedger(st)
	}
	return true
}

// lookAtDisk says how large the store is, and what room it has.
func (d *doctor) lookAtDisk(bytes, schema int64) {
	what := fmt.Sprintf("%s, %s, schema %d", d.app.dataDir, size(bytes), schema)
	free, _, err := store.DiskSpace(d.app.dataDir)
	switch {
	case err != nil:
		d.add("store", "", web.FindingWarning, what, "the disk cannot be looked at: "+err.Error())
	case free < littleDisk:
		d.add("store", "", web.FindingWarning, what+", "+size(free)+" free", "make room: without any, no delivery is accepted")
	default:
		d.add("store", "", web.FindingOK, what+", "+size(free)+" free", "")
	}
	if info, err := os.Stat(d.app.dataDir); err == nil && info.Mode().Perm()&0o077 != 0 {
		d.add("store", "", web.FindingWarning, "others on this machine can look into "+d.app.dataDir, "chmod go= "+d.app.dataDir)
	}
}

// lookAtHooks looks whether the address for webhooks answers.
func (d *doctor) lookAtHooks(ctx context.Context, base string) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" {
		d.add("hooks", "", web.FindingFailed, "the server does not listen yet", "ask again in a moment")
		return
	}
	at, err := netip.ParseAddrPort(u.Host)
	here := *u
	if err == nil && at.Addr().IsUnspecified() {
		here.Host = net.JoinHostPort("127.0.0.1", strconv.Itoa(int(at.Port())))
	}
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, here.JoinPath("healthz").String(), nil)
	if err != nil {
		d.add("hooks", "", web.FindingFailed, base+": "+err.Error(), "")
		return
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		d.add("hooks", "", web.FindingFailed, base+" does not answer: "+unwrapped(err).Error(), "is a firewall between this machine and itself?")
		return
	}
	resp.Body.Close()
	if at.Addr().IsLoopback() {
		d.add("hooks", "", web.FindingWarning, base+" answers, on this host only", "platforms need a public address: a reverse proxy passes deliveries on")
		return
	}
	d.add("hooks", "", web.FindingOK, base+" answers", "")
}

// lookAtPast looks at what has happened: the clock, the sources, what failed.
func (d *doctor) lookAtPast(ctx context.Context, c *connection, live bool) error {
	var events web.EventList
	if err := c.Get(ctx, "events", url.Values{"limit": {"200"}}, &events); err != nil {
		return answered(err)
	}
	d.lookAtClock(events.Events)
	if live { // without a server they are known with their secrets
		var sources web.SourceList
		if err := c.Get(ctx, "sources", nil, &sources); err != nil {
			return answered(err)
		}
		d.lookAtSources(sources.Sources)
	}
	var runs web.RunList
	since := d.app.now().Add(-24 * time.Hour).UTC().Format(time.RFC3339)
	params := url.Values{"state": {engine.RunFailed}, "since": {since}, "limit": {strconv.Itoa(web.MaxLimit)}}
	if err := c.Get(ctx, "runs", params, &runs); err != nil {
		return answered(err)
	}
	if n := len(runs.Runs); n > 0 {
		d.add("runs", "", web.FindingWarning, count(n, "run")+" failed in the last 24 h", "gavel runs list --failed --since 24h")
	} else {
		d.add("runs", "", web.FindingOK, "none failed in the last 24 h", "")
	}
	return nil
}

// lookAtClock compares when events happened, by their senders' clocks, with
// when they came.
func (d *doctor) lookAtClock(events []web.Event) {
	least := map[string]time.Duration{} // by source
	for _, ev := range events {
		if ev.Test || ev.Time.Equal(ev.Received) || len(ev.Derived) > 0 || ev.Platform == engine.PlatformGavel {
			continue // it has no other clock than ours
		}
		late := ev.Received.Sub(ev.Time)
		if have, known := least[ev.Source]; !known || late < have {
			least[ev.Source] = late
		}
	}
	for _, source := range slices.Sorted(maps.Keys(least)) {
		late := least[source]
		length := web.Duration(late.Abs()).String()
		switch {
		case late < -clockAhead:
			d.add("clock", "", web.FindingWarning, fmt.Sprintf("events of %s are up to %s ahead of this clock", source, length), "timedatectl says whether this clock is kept right")
		case late > clockBehind:
			d.add("clock", "", web.FindingWarning, fmt.Sprintf("events of %s come at least %s late by this clock", source, length), "timedatectl says whether this clock is kept right; else the platform is slow")
		default:
			d.add("clock", "", web.FindingOK, fmt.Sprintf("within %s of %s", length, source), "")
		}
	}
}

// lookAtSources looks at the senders of a server.
func (d *doctor) lookAtSources(sources []web.Source) {
	for _, s := range sources {
		what := s.Platform + ", secret " + strings.Join(s.Secrets, " ")
		switch {
		case s.Removed:
		case s.Silent:
			d.add("source", s.Name, web.FindingWarning, what+", silent since "+d.app.clock(s.LastEvent), "does the platform still send to "+strings.Join(s.Paths, " or ")+"?")
		case s.LastEvent.IsZero():
			d.add("source", s.Name, web.FindingOK, what+", nothing has come yet", "")
		default:
			d.add("source", s.Name, web.FindingOK, what+", last event "+d.app.clock(s.LastEvent), "")
		}
	}
}

// lookAtSecrets looks at the senders of rules that are loaded here.
func (d *doctor) lookAtSecrets(set *rules.Set) {
	for _, s := range set.Sources() {
		shortest := -1
		for _, secret := range secretsOf(s) {
			if n := len(secret.Reveal()); shortest < 0 || n < shortest {
				shortest = n
			}
		}
		what := s.Platform + ", secret " + strings.Join(s.Refs, " ")
		if shortest >= 0 {
			what += fmt.Sprintf(" (%d bytes)", shortest)
		}
		d.add("source", s.Name, web.FindingOK, what, "")
	}
}
