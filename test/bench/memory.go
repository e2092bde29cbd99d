package main

import (
	"context"
	"sync"

	"github.com/gavelhq/gavel/engine"
)

// memory is a store that remembers nothing: what it is given goes through the
// rules and, if there is one, to a log, and the runs to the workers. Each event
// is taken for the first of its session. It knows no rules that wait for
// something.
type memory struct {
	engine.Store // what nobody asks of a baseline
	newID        func() string
	keep         func([]byte) error // nil: nothing is kept
	rules        engine.Planner
	runs         chan engine.Due
}

// Use implements engine.Store. It is called once, before all else.
func (m *memory) Use(_ context.Context, p engine.Planner) (engine.Switched, error) {
	m.rules = p
	return engine.Switched{}, nil
}

// Accept implements engine.Store.
func (m *memory) Accept(_ context.Context, in engine.Inbound) (out engine.Accepted, err error) {
	for i := range in.Events {
		ev := &in.Events[i]
		ev.ID = "evt_" + m.newID()
		p, err := engine.Plan(unread{newID: m.newID}, m.rules, ev, engine.NewSessionState(engine.SessionKeyOf(ev), ev), in.Now)
		if err != nil {
			return out, err
		}
		if m.keep != nil {
			if err := m.keep(ev.Raw); err != nil {
				return out, err
			}
		}
		out.Events = append(out.Events, engine.AcceptedEvent{ID: ev.ID, Type: ev.Type, Outcome: p.Outcome})
		for _, s := range p.Starts {
			m.runs <- engine.Due{Run: engine.NewRun("run_"+m.newID(), m.rules, s), Input: s.Input, Plan: m.rules}
		}
	}
	return out, nil
}

// Dispatch implements engine.Store.
func (m *memory) Dispatch(ctx context.Context, workers int, advance func(context.Context, engine.Due)) error {
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for {
				select {
				case d := <-m.runs:
					advance(ctx, d)
				case <-ctx.Done():
					return
				}
			}
		})
	}
	wg.Wait()
	return nil
}

// Record implements engine.Store.
func (m *memory) Record(context.Context, *engine.Run, engine.Result) (engine.Recorded, error) {
	return engine.Recorded{}, nil
}

// unread is a transaction of memory: there is never anything in it.
type unread struct {
	engine.Tx // what only rules that wait for something ask
	newID     func() string
}

func (t unread) NewID(prefix string) string       { return prefix + t.newID() }
func (unread) Timer(string, string) *engine.Timer { return nil }
func (unread) TimersOf(string) []*engine.Timer    { return nil }
func (unread) Sender(name, tenant string) engine.Source {
	return engine.Source{Name: name, Tenant: tenant}
}
