package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/gavelhq/gavel/test/load"
)

// pace is the rate of the runs at a fixed rate, in deliveries a second.
const pace = 200

// steady sends deliveries at the pace for as long as a run takes. It returns
// when the first of them was due; the i-th was i/pace seconds later.
func (b *bench) steady(ctx context.Context, s *served, all []load.Delivery) (began time.Time, took []time.Duration, err error) {
	conns, err := dial(s.hooks, 16)
	if err != nil {
		return began, nil, err
	}
	defer hangUp(conns)
	m, err := b.machine.start(s.pid)
	if err != nil {
		return began, nil, err
	}
	began = time.Now()
	took, err = paced(ctx, conns, all, began)
	_, stopped := m.stop()
	return began, took, errors.Join(err, stopped)
}

// due is when the i-th delivery is to be sent.
func due(began time.Time, i int) time.Time {
	return began.Add(time.Duration(i) * time.Second / pace)
}

// paced sends the deliveries at the pace, whether or not earlier ones have been
// answered, and returns how long after it was due each was answered: a server
// that stops to think is charged for all who wait meanwhile.
func paced(ctx context.Context, conns []*load.Conn, all []load.Delivery, began time.Time) ([]time.Duration, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	tickets := make(chan int, len(all))
	took := make([]time.Duration, len(all))
	var wg sync.WaitGroup
	for _, conn := range conns {
		wg.Go(func() {
			for i := range tickets {
				if err := accepted(conn.Post(all[i])); err != nil {
					cancel(err)
					return
				}
				took[i] = time.Since(due(began, i))
			}
		})
	}
	for i := 0; i < len(all) && ctx.Err() == nil; i++ {
		for wait := time.Until(due(began, i)); wait > 0; wait = time.Until(due(began, i)) {
			nap(wait)
		}
		tickets <- i
	}
	close(tickets)
	wg.Wait()
	return took, context.Cause(ctx)
}

// dial opens n connections.
func dial(hooks string, n int) (conns []*load.Conn, err error) {
	for range n {
		conn, err := load.Dial(hooks)
		if err != nil {
			hangUp(conns)
			return nil, err
		}
		conns = append(conns, conn)
	}
	return conns, nil
}

func hangUp(conns []*load.Conn) {
	for _, c := range conns {
		c.Close()
	}
}
