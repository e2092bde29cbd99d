package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/test/load"
)

// twentyTypes writes a folder of n rules for twenty types of event in turn. The
// first is for the type of the events sent and matches the room that all are
// in; no other matches.
func (b *bench) twentyTypes(n int) (folder string, err error) {
	types := []string{
		engine.SessionEnded, engine.SessionCreated, engine.SessionStarted, engine.SessionMediaEnded,
		engine.ParticipantJoined, engine.ParticipantLeft, engine.ParticipantJoinFailed,
		engine.TrackPublished, engine.TrackUnpublished,
		engine.RecordingStarted, engine.RecordingUpdated, engine.RecordingStopped, engine.RecordingEnded, engine.RecordingFailed,
		engine.StreamStarted, engine.StreamUpdated, engine.StreamEnded, engine.StreamFailed,
		engine.IngressStarted, engine.IngressEnded,
	}
	// No platform sends all of these, and a rule whose event nobody sends is a mistake.
	sources := load.Source + "  other: { platform: livekit, api_key: env:LOAD_KEY, secret: env:LOAD_SECRET }\n"
	folder = fmt.Sprint("many/rules-", n)
	if _, err := b.file(folder, "sources.yaml", "version: 1\n"+sources); err != nil {
		return "", err
	}
	const each = 500 // of a file, which may have 10,000 values
	for first := 0; first < n; first += each {
		var text strings.Builder
		text.WriteString("version: 1\nrules:\n")
		for i := first; i < min(first+each, n); i++ {
			when, first := types[i%len(types)], `room.name != ""`
			if when == engine.SessionEnded {
				first = `session.duration > 60m`
			}
			fmt.Fprintf(&text, `  - id: rule-%d
    when: %s
    if: %s and room.id == "room-%d"
    then:
      - log: ${event.type} in ${room.name}
`, i, when, first, i)
		}
		if _, err := b.file(folder, fmt.Sprintf("rules-%05d.yaml", first), text.String()); err != nil {
			return "", err
		}
	}
	return b.path(folder), nil
}

// manyRow is what ten thousand rules instead of one make of the rate.
func manyRow(ctx context.Context, b *bench) ([]result, error) {
	var one, many []taken
	for i := range b.rounds {
		all, err := deliveries(i*b.events, b.events, func(int) string { return "room-0" })
		if err != nil {
			return nil, err
		}
		for _, kind := range []struct {
			rules int
			runs  *[]taken
		}{{1, &one}, {10_000, &many}} {
			folder, err := b.twentyTypes(kind.rules)
			if err != nil {
				return nil, err
			}
			s, _, err := b.gavel(ctx, folder, b.path("many", fmt.Sprint(kind.rules, "-", i)))
			if err != nil {
				return nil, err
			}
			run, err := b.flood(ctx, s, fmt.Sprint("many-", kind.rules), all)
			if err := errors.Join(err, s.stop()); err != nil {
				return nil, fmt.Errorf("%d rules: %w", kind.rules, err)
			}
			*kind.runs = append(*kind.runs, run)
		}
	}
	rate := func(t taken) float64 { return t.rate }
	cpu := func(t taken) float64 { return us(t.cpu) }
	return []result{
		figure("rate with 10,000 rules for 20 types of event, of the rate with 1", "%", ratios(of(many, rate), of(one, rate))).atLeast(85),
		figure("  CPU of an accepted event, of that with 1", "%", ratios(of(many, cpu), of(one, cpu))),
		figure("  accepted events with 10,000 rules", "/s", of(many, rate)),
		figure("  accepted events with 1 rule", "/s", of(one, rate)),
	}, nil
}

// allRow is how many events a second are accepted and acted upon if each
// matches a rule with an HTTP step.
func allRow(ctx context.Context, b *bench) ([]result, error) {
	t, err := newTarget()
	if err != nil {
		return nil, err
	}
	defer t.down()
	file, err := b.file("all", "rules.yaml", t.calling(100))
	if err != nil {
		return nil, err
	}
	var runs []taken
	for i := range b.rounds {
		all, err := sessions(i*b.events, b.events)
		if err != nil {
			return nil, err
		}
		s, _, err := b.gavel(ctx, file, b.path("all", i))
		if err != nil {
			return nil, err
		}
		s.after = func(ctx context.Context, sent int) error { return t.wait(ctx, i*b.events+sent) }
		run, err := b.flood(ctx, s, "all", all)
		if err := errors.Join(err, s.stop()); err != nil {
			return nil, err
		}
		runs = append(runs, run)
	}
	return []result{
		figure("runs completed, one HTTP call for every event", "/s", of(runs, func(t taken) float64 { return t.done })).atLeast(4000),
		figure("  accepted events meanwhile", "/s", of(runs, func(t taken) float64 { return t.rate })),
		figure("  CPU of an event with its call", "µs", of(runs, func(t taken) float64 { return us(t.cpu) })),
	}, nil
}
