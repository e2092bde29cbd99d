package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gavelhq/gavel/test/load"
	"github.com/gavelhq/gavel/test/server"
)

const rules = 100

// ruleset is a file of rules that are all for the type of the events sent, so
// that each event has all of them evaluated.
func ruleset() string {
	var b strings.Builder
	b.WriteString("version: 1\n" + load.Source + "rules:\n")
	for i := range rules {
		fmt.Fprintf(&b, `  - id: rule-%d
    when: session_ended
    if: session.duration > 60m and room.id == "room-%d"
    then:
      - log: { message: "${room.name} ran ${session.duration}", level: debug }
`, i, i)
	}
	return b.String()
}

// overHTTP posts the deliveries to a fresh gavel.
func (b bench) overHTTP(ctx context.Context, bin, dir string, deliveries []load.Delivery) (f figures, err error) {
	file := dir + ".yaml"
	if err := os.WriteFile(file, []byte(ruleset()), 0o600); err != nil {
		return f, err
	}
	s, err := server.Start(ctx, server.Options{Bin: bin, Rules: file, Data: dir, Env: load.Env()})
	if err != nil {
		return f, err
	}
	defer func() {
		if stopped := s.Stop(); stopped != nil {
			err = errors.Join(err, fmt.Errorf("stop: %w\n%s", stopped, s.Log()))
		}
	}()
	conns := make([]*load.Conn, b.clients)
	for i := range conns {
		if conns[i], err = load.Dial(s.Hooks); err != nil {
			return f, err
		}
		defer conns[i].Close()
	}

	began := time.Now()
	latencies, err := each(len(deliveries), b.clients, func(client, i int) error {
		status, err := conns[client].Post(deliveries[i])
		if err == nil && status/100 != 2 {
			err = fmt.Errorf("answered %d %s", status, http.StatusText(status))
		}
		return err
	})
	accepted := time.Since(began)
	if err != nil {
		return f, err
	}
	status, err := s.Idle(ctx)
	finished := time.Since(began)
	if err != nil {
		return f, err
	}
	if status.Store.Events != len(deliveries) || status.Store.Runs["done"] != len(deliveries) {
		return f, fmt.Errorf("%d events were accepted, but %d are stored and %d runs are done",
			len(deliveries), status.Store.Events, status.Store.Runs["done"])
	}
	return summary(latencies, accepted, finished), nil
}

// each has the clients do 0 to n-1, whoever is free the next one, and returns
// how long each took.
func each(n, clients int, do func(client, i int) error) ([]time.Duration, error) {
	latencies := make([]time.Duration, n)
	errs := make([]error, clients)
	var next atomic.Int64
	var wg sync.WaitGroup
	for client := range clients {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				start := time.Now()
				if err := do(client, i); err != nil {
					errs[client] = fmt.Errorf("delivery %d: %w", i, err)
					return
				}
				latencies[i] = time.Since(start)
			}
		})
	}
	wg.Wait()
	return latencies, errors.Join(errs...)
}
