package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/store"
	"github.com/gavelhq/gavel/test/load"
	"github.com/gavelhq/gavel/triggers"
)

// storeAlone has the store take the same deliveries, verified and decoded
// beforehand, and complete the run that each of them makes.
func (b bench) storeAlone(ctx context.Context, dir string, deliveries []load.Delivery) (f figures, err error) {
	platform, err := triggers.PlugNMeet().New(load.Config())
	if err != nil {
		return f, err
	}
	inbound := make([]engine.Inbound, len(deliveries))
	for i, d := range deliveries {
		decoded, err := platform.Decode(d.Request)
		if err != nil {
			return f, err
		}
		for j := range decoded.Events {
			ev := &decoded.Events[j]
			ev.Source, ev.Tenant, ev.Received = load.Config().Name, load.Config().Tenant, d.Request.ReceivedAt
		}
		inbound[i] = engine.Inbound{
			Delivery: engine.Received{
				ID: fmt.Sprintf("d%012d", i), At: d.Request.ReceivedAt, Source: load.Config().Name,
				Verdict: engine.VerdictAccepted, Status: 200, Size: int64(len(d.Request.Body)),
			},
			Events: decoded.Events, Keys: decoded.Keys, Now: d.Request.ReceivedAt,
		}
	}

	var ids atomic.Int64
	s, err := store.Open(ctx, dir, store.Options{
		NewID: func() string { return fmt.Sprintf("%012d", ids.Add(1)) },
		Now:   time.Now,
	})
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if _, err := s.Use(ctx, planner{}); err != nil {
		return f, err
	}

	dispatch, stop := context.WithCancel(ctx)
	var dispatcher, done sync.WaitGroup
	done.Add(len(deliveries))
	var dispatched, recorded error
	var once sync.Once
	dispatcher.Go(func() {
		dispatched = s.Dispatch(dispatch, b.clients, func(ctx context.Context, d engine.Due) {
			defer done.Done()
			r := d.Run
			r.Steps = append(r.Steps, engine.StepRecord{ID: r.Call.ID, Branch: r.Branch, Action: r.Call.Action, State: engine.StepDone, With: r.Call.With})
			r.State, r.Call, r.Due, r.Updated = engine.RunDone, nil, time.Time{}, time.Now()
			if _, err := s.Record(ctx, r, engine.Result{}); err != nil {
				once.Do(func() { recorded = err })
			}
		})
	})
	defer func() {
		stop()
		dispatcher.Wait()
		err = errors.Join(err, dispatched)
	}()

	began := time.Now()
	latencies, err := each(len(inbound), b.clients, func(_, i int) error {
		_, err := s.Accept(ctx, inbound[i])
		return err
	})
	accepted := time.Since(began)
	if err != nil {
		return f, err
	}
	done.Wait()
	return summary(latencies, accepted, time.Since(began)), recorded
}

// planner matches every event with one rule of one step.
type planner struct{}

var _ engine.Planner = planner{}

func (planner) Revision() string                 { return "bench" }
func (planner) Text() []byte                     { return []byte("bench") }
func (planner) Fill(*engine.Event) error         { return nil }
func (planner) Needs(*engine.Event) engine.Needs { return engine.Needs{} }
func (planner) RuleFailure(string) bool          { return false }

func (planner) Match(in engine.MatchInput) []engine.Match {
	return []engine.Match{{
		Rule: "rule-0", Branch: engine.BranchThen, Turn: "rule-0/" + in.SessionKey,
		First: &engine.StepCall{ID: "1", Action: "log", With: json.RawMessage(`{"message":"Weekly sync ran 1h30m","level":"debug"}`)},
	}}
}

func (planner) NeedsOf(string) engine.Needs                          { return engine.Needs{} }
func (planner) Awaited(engine.MatchInput) []engine.Awaited           { return nil }
func (planner) Meets(*engine.Timer, engine.MatchInput) (bool, error) { return false, nil }
func (planner) Holds(*engine.Timer, engine.MatchInput) (bool, error) { return false, nil }
func (planner) Fire(*engine.Timer, engine.MatchInput) engine.Match   { return engine.Match{} }
func (planner) OnLate(*engine.Timer, engine.MatchInput) engine.Match { return engine.Match{} }
func (planner) Late(string) engine.Late                              { return engine.Late{} }
func (planner) Words(string) string                                  { return "bench" }
func (planner) Schedules() []engine.Schedule                         { return nil }

func (planner) Step(*engine.Run, engine.MatchInput, time.Time) (engine.StepCall, bool, error) {
	return engine.StepCall{}, false, nil
}
