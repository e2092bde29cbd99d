package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/gavelhq/gavel/test/load"
)

// tenPercent is a file of n rules that are all for the type of the events
// sent, so that each event has all of them evaluated. quietRoom says which
// events match one of them.
func tenPercent(n int) string {
	var b strings.Builder
	b.WriteString("version: 1\n" + load.Source + "rules:\n")
	for i := range n {
		fmt.Fprintf(&b, `  - id: rule-%d
    when: session_ended
    if: session.duration > 60m and room.id == "room-%d"
    then:
      - log: ${room.name} ran ${session.duration}
`, i, i)
	}
	return b.String()
}

// oneInTen is the room of the i-th event if each tenth is to match a rule of
// tenPercent, each of the rules in its turn.
func oneInTen(rules int) func(i int) string {
	return func(i int) string {
		if i%10 == 0 {
			return fmt.Sprint("room-", i/10%rules)
		}
		return fmt.Sprint("quiet-", i%1000)
	}
}

// acceptRow is how many deliveries a second become durable, beside servers
// that differ only in what they do with them: nothing, or append them to a log.
func acceptRow(ctx context.Context, b *bench) ([]result, error) {
	const rules = 100
	file, err := b.file("accept", "rules.yaml", tenPercent(rules))
	if err != nil {
		return nil, err
	}
	var gavel, nothing, log []taken
	for i := range b.rounds {
		all, err := deliveries(i*b.events, b.events, oneInTen(rules))
		if err != nil {
			return nil, err
		}
		for _, kind := range []struct {
			start func(data string) (*served, error)
			name  string
			runs  *[]taken
		}{
			{func(data string) (*served, error) { s, _, err := b.gavel(ctx, file, data); return s, err }, "gavel", &gavel},
			{func(data string) (*served, error) { return b.baseline(ctx, storesNothing, file, data) }, storesNothing, &nothing},
			{func(data string) (*served, error) { return b.baseline(ctx, storesLog, file, data) }, storesLog, &log},
		} {
			s, err := kind.start(b.path("accept", fmt.Sprint(kind.name, "-", i)))
			if err != nil {
				return nil, err
			}
			run, err := b.flood(ctx, s, "accept-"+kind.name, all)
			if err := errors.Join(err, s.stop()); err != nil {
				return nil, fmt.Errorf("%s: %w", kind.name, err)
			}
			*kind.runs = append(*kind.runs, run)
		}
	}
	rate := func(t taken) float64 { return t.rate }
	cpu := func(t taken) float64 { return us(t.cpu) }
	return []result{
		figure(fmt.Sprintf("accepted events, %d connections, JWT, 100 rules, 10 %% matching", b.clients), "/s", of(gavel, rate)).atLeast(9000),
		figure("accepted events, of a server that stores nothing", "%", ratios(of(gavel, rate), of(nothing, rate))).atLeast(33),
		figure("accepted events, of a server with a bare log", "%", ratios(of(gavel, rate), of(log, rate))).atLeast(60),
		figure("  answer, p50", "ms", of(gavel, func(t taken) float64 { return ms(t.p50) })),
		figure("  answer, p99", "ms", of(gavel, func(t taken) float64 { return ms(t.p99) })),
		figure("CPU of an accepted event, its runs included", "µs", of(gavel, cpu)).atMost(120),
		figure("  CPU without the store", "µs", of(nothing, cpu)),
		figure("  CPU with a bare log", "µs", of(log, cpu)),
		figure("  a server that stores nothing", "/s", of(nothing, rate)),
		figure("  a server with a bare log", "/s", of(log, rate)),
		figure("  load generator's share of the machine", "%", of(gavel, func(t taken) float64 { return t.generator })),
	}, nil
}
