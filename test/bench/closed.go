package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gavelhq/gavel/test/load"
)

// taken is what a run came to.
type taken struct {
	rate      float64       // accepted deliveries a second, from the first byte to the last answer
	done      float64       // the same until every run is done
	p50, p99  time.Duration // of an answer
	cpu       time.Duration // of the server for each delivery, its runs included
	generator float64       // what sending took of the machine, in percent
}

// deliveries are n signed ones of sessions of their own, each in the room that
// is given to it. They are good for five minutes.
func deliveries(first, n int, room func(i int) string) ([]load.Delivery, error) {
	all, now := make([]load.Delivery, n), time.Now()
	for i := range all {
		var err error
		if all[i], err = load.SessionEnded(first+i, room(i), now); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// flood sends the deliveries as fast as the server takes them. A tenth comes
// first and is not measured. name is that of its profile.
func (b *bench) flood(ctx context.Context, s *served, name string, all []load.Delivery) (out taken, err error) {
	if _, _, err := b.disk.fsyncs(100); err != nil {
		return out, err
	}
	conns, err := dial(s.hooks, b.clients)
	if err != nil {
		return out, err
	}
	defer hangUp(conns)
	before, err := s.stored(ctx)
	if err != nil {
		return out, err
	}
	sent, warm := len(all), len(all)/10
	if _, err := post(conns, all[:warm]); err != nil {
		return out, err
	}
	if err := s.after(ctx, warm); err != nil {
		return out, err
	}
	profile := b.profiled(s, name)
	if out, err = b.measured(ctx, s, conns, all[warm:], sent); err != nil {
		return out, err
	}
	after, err := s.stored(ctx)
	if err == nil && after > 0 && after-before != sent {
		err = fmt.Errorf("%d deliveries were accepted, and %d events are stored", sent, after-before)
	}
	return out, errors.Join(err, profile())
}

// measured sends the deliveries, after which so many have been sent in all.
func (b *bench) measured(ctx context.Context, s *served, conns []*load.Conn, all []load.Delivery, sent int) (out taken, err error) {
	m, err := b.machine.start(s.pid)
	if err != nil {
		return out, err
	}
	latencies, err := post(conns, all)
	if err != nil {
		return out, err
	}
	accepted := time.Since(m.began)
	if err := s.after(ctx, sent); err != nil {
		return out, err
	}
	done := time.Since(m.began)
	cost, err := m.stop()
	if err != nil {
		return out, err
	}
	n := float64(len(all))
	out = taken{
		rate: n / accepted.Seconds(), done: n / done.Seconds(),
		cpu: cost.server / time.Duration(len(all)), generator: percent(cost.self, cost.wall),
	}
	out.p50, out.p99 = quantiles(latencies)
	return out, nil
}

// post sends the deliveries over the connections, whichever is free the next
// one, and returns how long each took to be answered.
func post(conns []*load.Conn, all []load.Delivery) ([]time.Duration, error) {
	latencies := make([]time.Duration, len(all))
	errs := make([]error, len(conns))
	var next atomic.Int64
	var wg sync.WaitGroup
	for c, conn := range conns {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(all); i = int(next.Add(1)) - 1 {
				began := time.Now()
				if errs[c] = accepted(conn.Post(all[i])); errs[c] != nil {
					return
				}
				latencies[i] = time.Since(began)
			}
		})
	}
	wg.Wait()
	return latencies, errors.Join(errs...)
}

// accepted makes an error of an answer that is not 2xx.
func accepted(status int, err error) error {
	if err == nil && status/100 != 2 {
		err = fmt.Errorf("answered %d %s", status, http.StatusText(status))
	}
	return err
}
