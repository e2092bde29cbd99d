package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/rules"
	"github.com/gavelhq/gavel/engine/ruletest"
	"github.com/gavelhq/gavel/engine/web"
	"github.com/gavelhq/gavel/triggers"
	"github.com/gavelhq/gavel/triggers/samples"
)

// samplePrefix begins the name of a sample, instead of that of a file.
const samplePrefix = "sample:"

// explainFile explains the events of a file as if nothing had been before, and
// says what would be done.
func (x *explainer) explainFile(_ context.Context, name string) error {
	set, err := x.fileRules()
	if err != nil {
		return err
	}
	if _, ok := infoOf(set, x.rule); x.rule != "" && !ok {
		return noRule(x.rule, idsOf(set))
	}
	events, err := x.givenEvents(set, name)
	if err != nil {
		return err
	}
	if len(events) == 0 {
		return fail(exitFindings, fmt.Errorf("%s: there is no event in it", name), "")
	}
	h, err := ruletest.NewHistory(events[0].Received)
	if err != nil {
		return err
	}
	defer h.Close()
	reports := make([]*eventReport, len(events))
	for i, ev := range events {
		if reports[i], err = x.rehearsal(set, h, ev); err != nil {
			return err
		}
	}
	for i, r := range reports {
		switch {
		case x.structured():
			err = printOne(x.app, r, nil)
		default:
			if i > 0 {
				fmt.Fprintln(x.out)
			}
			err = x.printReport(r)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// rehearsal explains an event that has not come.
func (x *explainer) rehearsal(set *rules.Set, h *ruletest.History, g given) (*eventReport, error) {
	ev, session, err := h.Add(g.Event)
	if err != nil {
		return nil, err
	}
	in := engine.MatchInput{Event: ev, SessionKey: session, Now: ev.Received}
	if _, err := h.Fill(&in); err != nil {
		return nil, err
	}
	if g.facts != nil {
		facts := *ev
		if err := decodeFacts(g.facts, &facts); err != nil {
			return nil, err
		}
		facts.ID, facts.Time, facts.Received = ev.ID, ev.Time, ev.Received
		facts.Source, facts.Platform, facts.Tenant, facts.Name = ev.Source, ev.Platform, ev.Tenant, ev.Name
		in.Event = &facts
	}
	in.Event.Raw = g.Raw
	row := engine.EventRow{Event: *in.Event, Payload: g.Raw}
	row.ID = g.ID // not one that folding has made
	r := &eventReport{Event: web.EventOf(row), Rules: usedRules{Revision: set.Revision(), File: x.rulesFile()}, Explained: []ruleReport{}}
	matches := set.Match(in)
	for _, info := range set.Rules() {
		one := ruleReport{Mode: ruleView(info).Mode}
		if one.Explanation, err = set.Explain(info.ID, in); err != nil {
			return nil, err
		}
		switch {
		case x.rule != "" && x.rule != info.ID:
			continue
		case x.rule == "" && one.Verdict == rules.VerdictNotAsked:
			r.leftOut(info)
			continue
		}
		for _, m := range matches {
			if m.Rule == info.ID && m.Err == "" {
				one.Would = x.would(set, m, in)
			}
		}
		r.Explained = append(r.Explained, one)
	}
	return r, nil
}

// givenEvents are the events that a name stands for.
func (x *explainer) givenEvents(set *rules.Set, name string) ([]given, error) {
	if sample, ok := strings.CutPrefix(name, samplePrefix); ok {
		return x.sampleEvents(set, sample)
	}
	text, err := x.readInput(name)
	if err != nil {
		return nil, fail(exitUnreadable, err, "")
	}
	text, err = rules.AsJSON(text)
	if err != nil {
		return nil, fail(exitFindings, fmt.Errorf("%s: %w", name, err), "")
	}
	if x.source != "" && !isCanonical(text) {
		return x.decoded(set, x.source, text, x.now().UTC())
	}
	g, err := x.canonical(set, text)
	if err != nil {
		return nil, fail(exitFindings, fmt.Errorf("%s: %w", name, err), "it is an event as gavel events show -o json prints it; a body as a platform sends it needs --source NAME")
	}
	return []given{g}, nil
}

// readInput reads a file, or standard input.
func (x *explainer) readInput(name string) ([]byte, error) {
	if name != "-" {
		return readBounded(name)
	}
	return io.ReadAll(io.LimitReader(x.in, maxListFile))
}

// sampleEvents are those of a sample, as it would come now.
func (x *explainer) sampleEvents(set *rules.Set, name string) ([]given, error) {
	platform, event, ok := strings.Cut(name, "/")
	if !ok {
		return nil, fail(exitUsage, fmt.Errorf("no sample is called %q", name), "write sample:PLATFORM/EVENT, such as sample:livekit/room_finished")
	}
	kind, ok := triggers.Find(x.kinds, platform)
	if !ok {
		return nil, fail(exitUsage, fmt.Errorf("there is no platform %q", platform), "there are: "+strings.Join(platformNames(x.kinds), ", "))
	}
	sample, err := samples.Find(platform, event, kind.Events)
	if err != nil {
		list, _ := samples.Of(platform)
		var names []string
		for _, s := range list {
			names = append(names, s.Name)
		}
		return nil, fail(exitUsage, err, "there are: "+strings.Join(names, ", "))
	}
	p, err := newPayload(platform, sample.Body)
	if err != nil {
		return nil, err
	}
	now := x.now().UTC()
	p.freshen(now, "sample")
	body, err := p.bytes()
	if err != nil {
		return nil, err
	}
	return x.decoded(set, or(x.source, platform), body, now)
}

func platformNames(kinds []engine.PlatformKind) []string {
	var names []string
	for _, k := range kinds {
		names = append(names, k.Name)
	}
	return names
}

// decoded are the events of a body as a source, or the only one of a platform,
// sends it.
func (x *explainer) decoded(set *rules.Set, source string, body []byte, now time.Time) ([]given, error) {
	sources := set.Sources()
	i, err := pickSource(sources, source)
	if err != nil {
		return nil, fail(exitFindings, err, "sources: "+strings.Join(sourceNames(sources), ", "))
	}
	kind, _ := triggers.Find(x.kinds, sources[i].Platform) // a loaded set names no other
	d, err := triggers.NewDecoder(kind, sources[i])
	if err != nil {
		return nil, err
	}
	events, err := d.Decode(body, now)
	if err != nil {
		return nil, fail(exitFindings, fmt.Errorf("it is no body as %s sends it: %w", kind.Name, err), "")
	}
	all := make([]given, len(events))
	for i, ev := range events {
		if err := set.Fill(&ev); err != nil {
			x.say("warning: %s", err)
		}
		ev.Raw = body
		all[i] = given{Event: ev}
	}
	return all, nil
}
