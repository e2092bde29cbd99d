package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/gavelhq/gavel/actions"
	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/rules"
	"github.com/gavelhq/gavel/engine/web"
)

const (
	probeTime    = 10 * time.Second // of one connection
	probesAtOnce = 8
)

// probe has the connections of the rules tried: by the server, with its secrets
// and its network, else by this process with what allowed says.
func (a *app) probe(ctx context.Context, ask web.ProbeRequest, allowed actions.Options) ([]web.Finding, error) {
	c, err := a.connectServer()
	switch {
	case err == nil:
		defer c.close()
		findings, err := c.Probe(ctx, ask)
		return findings, answered(err)
	case !errors.Is(err, errNoServer):
		return nil, err
	}
	allowed.Now, allowed.Version = a.now, version
	acts := actions.Builtin(allowed)
	set, err := a.readBriefly(a.newLoader(a.rulesFile(), a.platforms(), acts, false))
	if err != nil {
		return nil, err
	}
	if ask.Send {
		return sendSlackTest(ctx, acts, set.Connections(), ask, a.now())
	}
	return probeAll(ctx, acts, set.Connections(), ask), nil
}

// Probe implements web.Server.
func (s *service) Probe(ctx context.Context, ask web.ProbeRequest) []web.Finding {
	s.mu.Lock()
	set := s.set
	s.mu.Unlock()
	if !ask.Send {
		return probeAll(ctx, s.actions, set.Connections(), ask)
	}
	found, err := sendSlackTest(ctx, s.actions, set.Connections(), ask, s.app.now())
	var f *failure
	if errors.As(err, &f) {
		return []web.Finding{{Kind: slackKind, State: web.FindingFailed, What: f.Error(), Hint: f.hint}}
	}
	return found
}

// probeAll tries the connections that ask names, several at once, and has their
// findings in order.
func probeAll(ctx context.Context, kinds []engine.ActionKind, conns []rules.Connection, ask web.ProbeRequest) []web.Finding {
	found := make([][]web.Finding, len(conns))
	places := make(chan struct{}, probesAtOnce)
	var work sync.WaitGroup
	for i, c := range conns {
		at := slices.IndexFunc(kinds, func(k engine.ActionKind) bool { return k.Name == c.Kind })
		if at < 0 || kinds[at].Probe == nil || ask.Kind != "" && ask.Kind != c.Kind {
			continue
		}
		if len(ask.With) > 0 && c.Name != "" {
			c.Steps = append(c.Steps, engine.CheckInput{With: ask.With, Conn: c.Conn})
		}
		work.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			found[i] = probeOne(ctx, kinds[at], c)
		})
	}
	work.Wait()
	return slices.Concat(found...)
}

// probeOne tries one connection.
func probeOne(ctx context.Context, kind engine.ActionKind, c rules.Connection) []web.Finding {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	var all []web.Finding
	for _, f := range kind.Probe(ctx, engine.ProbeInput{Via: c.Name, Conn: c.Conn, Steps: c.Steps}) {
		state := web.FindingOK
		switch {
		case !f.OK:
			state = web.FindingFailed
		case f.Hint != "":
			state = web.FindingWarning
		}
		all = append(all, web.Finding{Kind: c.Kind, Name: c.Name, State: state, What: f.What, Hint: f.Hint})
	}
	return all
}

// printFindings prints one line each, and a second one with what to do.
func (a *app) printFindings(findings []web.Finding) {
	wide := 0
	for _, f := range findings {
		wide = max(wide, len(subject(f)))
	}
	for _, f := range findings {
		fmt.Fprintf(a.out, "%s %-*s  %s\n", a.findingMark(f.State), wide, cleanCell(subject(f)), cleanCell(f.What))
		if f.Hint != "" {
			fmt.Fprintf(a.out, "  %-*s  %s %s\n", wide, "", a.paint(a.out, cyan, a.mark("→", "hint:")), cleanCell(f.Hint))
		}
	}
}

// subject is what a finding is about: "slack team".
func subject(f web.Finding) string {
	if f.Name == "" {
		return f.Kind
	}
	return f.Kind + " " + f.Name
}

func (a *app) findingMark(state string) string {
	switch state {
	case web.FindingOK:
		return a.ok()
	case web.FindingFailed:
		return a.bad()
	case web.FindingUnknown:
		return a.paint(a.out, faint, a.mark("–", "?"))
	}
	return a.paint(a.out, yellow, a.mark("!", "WARN"))
}

// failed is what the command ends with if a finding says that something does
// not work.
func failed(findings []web.Finding) error {
	if slices.ContainsFunc(findings, func(f web.Finding) bool { return f.State == web.FindingFailed }) {
		return fail(exitFindings, nil, "")
	}
	return nil
}
