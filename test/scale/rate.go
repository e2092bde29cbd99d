package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/test/load"
)

// meetings are the deliveries of n short meetings, decoded. No two runs begin
// with numbers that are nearer to one another than n.
func meetings(first, n, rooms int, now time.Time) ([]engine.Delivery, error) {
	var all []engine.Delivery
	for i := range n {
		for j, event := range []string{"room_started", "participant_joined", "participant_left", "session_ended"} {
			who := 0
			if j == 1 || j == 2 {
				who = 1
			}
			b, err := message(event, name(first+i), fmt.Sprintf("room-%08d", i%rooms), "Weekly sync", who,
				now.Add(-time.Hour), now.Add(time.Duration(j-10)*time.Minute))
			if err != nil {
				return nil, err
			}
			d, err := decode(b)
			if err != nil {
				return nil, err
			}
			all = append(all, d)
		}
	}
	return all, nil
}

// taken says how a store took a run of deliveries.
type taken struct {
	rate  float64 // a second
	bytes float64 // written for each, to the log and by copying it
}

// inProcess has the store in dir take deliveries from so many clients.
func inProcess(ctx context.Context, dir, rules string, first, n, clients, rooms int) (out taken, err error) {
	now := time.Now()
	warm, err := meetings(first, n/10, rooms, now)
	if err != nil {
		return out, err
	}
	measured, err := meetings(first+n/10, n/4, rooms, now)
	if err != nil {
		return out, err
	}
	r, err := openRig(ctx, dir, rules, func() string { return ulid.Make().String() })
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, r.stop()) }()
	var ids atomic.Int64
	take := func(all []engine.Delivery) func(int, int) error {
		return func(_, i int) error { return r.accept(ctx, fmt.Sprint(first, "-", ids.Add(1)), all[i], time.Now()) }
	}
	if err := each(len(warm), clients, take(warm)); err != nil {
		return out, err
	}
	if err := r.idle(ctx); err != nil {
		return out, err
	}
	before, err := written()
	if err != nil {
		return out, err
	}
	began := time.Now()
	if err := each(len(measured), clients, take(measured)); err != nil {
		return out, err
	}
	out.rate = float64(len(measured)) / time.Since(began).Seconds()
	after, err := written()
	out.bytes = float64(after-before) / float64(len(measured))
	return out, err
}

// written is what this process has written so far, in bytes. Unlike a rate it
// does not depend on what else the machine does.
func written() (n int64, err error) {
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0, err
	}
	var read int64
	_, err = fmt.Sscanf(string(text), "rchar: %d\nwchar: %d", &read, &n)
	return n, err
}

// overHTTP is how many deliveries a second the server takes.
func overHTTP(ctx context.Context, p *process, first, n, clients int) (rate float64, err error) {
	deliveries := make([]load.Delivery, n)
	for i := range deliveries { // signed now: a token lives five minutes
		if deliveries[i], err = load.SessionEnded(first+i, "room-0", time.Now()); err != nil {
			return 0, err
		}
	}
	conns := make([]*load.Conn, clients)
	for i := range conns {
		if conns[i], err = load.Dial(p.hooks); err != nil {
			return 0, err
		}
		defer conns[i].Close()
	}
	began := time.Now()
	err = each(n, clients, func(client, i int) error {
		status, err := conns[client].Post(deliveries[i])
		if err == nil && status/100 != 2 {
			err = fmt.Errorf("answered %d %s", status, http.StatusText(status))
		}
		return err
	})
	return float64(n) / time.Since(began).Seconds(), err
}

// each has the clients do 0 to n-1, whoever is free the next one.
func each(n, clients int, do func(client, i int) error) error {
	errs := make([]error, clients)
	var next atomic.Int64
	var wg sync.WaitGroup
	for client := range clients {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && errs[client] == nil; i = int(next.Add(1)) - 1 {
				errs[client] = do(client, i)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
