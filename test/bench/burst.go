package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gavelhq/gavel/test/load"
)

// bursting is a file of rules of which one calls the target for each event in
// the room burst.
func (t *target) bursting() string {
	return tenPercent(99) + fmt.Sprintf(`  - id: call
    when: session_ended
    if: room.id == "burst"
    then:
      - http:
          post: http://%s/${session.id}
          json: { room: "${room.name}", minutes: "${ceil_minutes(session.duration)}" }
`, t.address)
}

// probe is where the numbers of the deliveries begin that only measure answers.
const probe = 50_000_000

// burst is a server under test with a target that makes trouble.
type burst struct {
	*bench
	s      *served
	t      *target
	probes int // sent so far
	called int // sessions that were sent for the target
}

// burstRow is what a burst of deliveries makes of the answers to others, and of
// memory, while the target of its actions is slow, and while it is down.
func burstRow(ctx context.Context, b *bench) (out []result, err error) {
	t, err := newTarget()
	if err != nil {
		return nil, err
	}
	defer t.down()
	file, err := b.file("burst", "rules.yaml", t.bursting())
	if err != nil {
		return nil, err
	}
	s, process, err := b.gavel(ctx, file, b.path("burst", "data"))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	x := &burst{bench: b, s: s, t: t}
	if _, err := x.answers(ctx, time.Now()); err != nil { // warm
		return nil, err
	}
	if _, _, err := b.disk.fsyncs(500); err != nil {
		return nil, err
	}
	idle, err := x.answers(ctx, time.Now().Add(2*b.open))
	if err != nil {
		return nil, err
	}

	t.delay.Store(int64(200 * time.Millisecond))
	slow, err := x.burst(ctx, time.Hour)
	if err != nil {
		return nil, fmt.Errorf("target that takes 200 ms: %w", err)
	}
	t.delay.Store(0)
	t.down()
	back := make(chan error, 1)
	time.AfterFunc(b.down, func() { back <- t.up() })
	down, err := x.burst(ctx, b.down)
	if err := errors.Join(err, <-back); err != nil {
		return nil, fmt.Errorf("target that was down: %w", err)
	}

	status, err := process.Idle(ctx)
	if err != nil {
		return nil, err
	}
	peak, err := resident(s.pid, "VmHWM")
	if err != nil {
		return nil, err
	}
	heard, again := t.heard()
	lost := float64(x.called - heard + status.Store.Runs["failed"])
	_, idle99 := quantiles(idle)
	times := func(took []time.Duration) []float64 {
		_, p99 := quantiles(took)
		return []float64{p99.Seconds() / idle99.Seconds()}
	}
	one := func(what, unit string, v float64) result { return figure(what, unit, []float64{v}) }
	return []result{
		one(fmt.Sprintf("bursts of %d into a slow target and one that is down: lost", b.burst), "", lost).atMost(0),
		figure("answers to others until a target that takes 200 ms has heard of all: p99, of idle", "x", times(slow.answers)).atMost(2),
		figure(fmt.Sprintf("the same with one that is down for %s", b.down), "x", times(down.answers)).atMost(2),
		figure("  of these, as long as it was down", "x", times(down.during)),
		one("memory (RSS) during the bursts, at most", "MB", peak).atMost(200),
		one("  idle answer at 200/s, p99", "ms", ms(idle99)),
		one("  burst accepted, slow target", "/s", slow.rate),
		one("  burst accepted, target down", "/s", down.rate),
		one("  until all actions were done, slow target", "s", slow.drained.Seconds()),
		one("  until all actions were done, target down", "s", down.drained.Seconds()),
		one("  sessions the target heard of again", "", float64(again)),
	}, nil
}

// endured is what a burst came to.
type endured struct {
	rate    float64 // of the burst itself
	answers []time.Duration
	during  []time.Duration // of these, as long as there was trouble
	drained time.Duration   // from its beginning until the target knew of all
}

// burst sends as many deliveries as it can, then measures the answers to others
// until the target has been told of each. There is trouble for a while from now on.
func (x *burst) burst(ctx context.Context, trouble time.Duration) (out endured, err error) {
	well := time.Now().Add(trouble)
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	all, err := deliveries(x.called, x.bench.burst, func(int) string { return "burst" })
	if err != nil {
		return out, err
	}
	conns, err := dial(x.s.hooks, x.clients)
	if err != nil {
		return out, err
	}
	defer hangUp(conns)
	began := time.Now()
	if _, err := post(conns, all); err != nil {
		return out, err
	}
	out.rate = float64(len(all)) / time.Since(began).Seconds()
	x.called += len(all)
	drained := make(chan error, 1)
	go func() {
		err := x.t.wait(ctx, x.called)
		out.drained = time.Since(began)
		drained <- err
	}()
	for {
		more, err := x.answers(ctx, time.Now())
		if err != nil {
			return out, err
		}
		out.answers = append(out.answers, more...)
		if time.Now().Before(well) {
			out.during = append(out.during, more...)
		}
		select {
		case err := <-drained:
			return out, err
		default:
		}
	}
}

// answers measures how long answers take, for a second or until then.
func (x *burst) answers(ctx context.Context, until time.Time) (took []time.Duration, err error) {
	for first := true; first || time.Now().Before(until); first = false {
		var all []load.Delivery
		if all, err = sessions(probe+x.probes, pace); err != nil {
			return nil, err
		}
		x.probes += len(all)
		_, some, err := x.steady(ctx, x.s, all)
		if err != nil {
			return nil, err
		}
		took = append(took, some...)
	}
	return took, nil
}
