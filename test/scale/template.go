package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/gavelhq/gavel/actions"
	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/rules"
	"github.com/gavelhq/gavel/engine/store"
	"github.com/gavelhq/gavel/test/load"
	"github.com/gavelhq/gavel/triggers"
)

// mark is what stands in the texts of one of the template's sessions where the
// copies have something of their own: as long as that, so that the copies are
// as large as real ones.
type mark struct {
	id   string // of Gavel's ids, which sort by time: the copies are numbered
	name string // of the platform's, which are random
	room string
}

func endedMark() mark { return mark{"0ENDED00", "0ENDNAME", "0ROOM000"} }
func openMark() mark  { return mark{"0OPEN000", "0OPENAME", "0ROOM000"} }

// name is the i-th random name of a session: each only once.
func name(i int) string { return fmt.Sprintf("%08X", i*scramble%(1<<32)) }

// scramble is odd, so that multiples of it differ: Knuth's, of multiplicative hashing.
const scramble = 2654435761

// rig is the engine over a store, without a server around it.
type rig struct {
	store  *store.SQLite
	engine *engine.Engine
	stop   func() error
}

// openRig opens the store in dir with the rules of the measurements.
func openRig(ctx context.Context, dir, rulesText string, newID func() string) (*rig, error) {
	log := slog.New(slog.DiscardHandler)
	options := rules.Options{
		Actions:   actions.Builtin(actions.Options{Log: log, Version: "scale", Now: time.Now}),
		Platforms: []engine.PlatformKind{triggers.PlugNMeet()},
		Getenv:    func(name string) (string, bool) { return "the value of " + name, true },
	}
	set, problems := rules.Load([]rules.File{{Name: "rules.yaml", Text: []byte(rulesText)}}, options)
	if set == nil {
		return nil, problems
	}
	s, err := store.Open(ctx, dir, store.Options{NewID: newID, Now: time.Now, SessionTimeout: 24 * time.Hour})
	if err != nil {
		return nil, err
	}
	e, err := engine.New(engine.Options{
		Store: s, Actions: options.Actions, Now: time.Now, Rand: func() float64 { return 0.5 }, Log: log,
		Load: func(text []byte) (engine.Planner, error) { return rules.LoadRevision(text, options) },
	})
	if err == nil {
		_, err = e.Use(ctx, set, set.Connection)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	work, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- e.Run(work, time.Minute) }()
	return &rig{s, e, func() error {
		cancel()
		return errors.Join(<-done, s.Close())
	}}, nil
}

// accept stores a decoded delivery.
func (r *rig) accept(ctx context.Context, id string, d engine.Delivery, now time.Time) error {
	for i := range d.Events {
		d.Events[i].Source, d.Events[i].Tenant, d.Events[i].Received = "load", "default", now
	}
	_, err := r.engine.Accept(ctx, engine.Received{
		ID: "dlv_" + id, At: now, Source: "load", Verdict: engine.VerdictAccepted, Remote: "192.0.2.1", Status: 200, Size: 1000,
	}, d)
	return err
}

// decode reads a body of Plug-N-Meet.
func decode(b []byte) (engine.Delivery, error) {
	p, err := triggers.PlugNMeet().New(load.Config())
	if err != nil {
		return engine.Delivery{}, err
	}
	return p.Decode(engine.Request{Body: b})
}

// message is what Plug-N-Meet sends of an event in a session.
func message(event, session, room, title string, who int, created, at time.Time) ([]byte, error) {
	meta, err := json.Marshal(map[string]any{"room_title": title, "is_recording": false})
	if err != nil {
		return nil, err
	}
	m := map[string]any{
		"event": event, "id": fmt.Sprintf("%s-%s-%d", session, event, who), "created_at": fmt.Sprint(at.Unix()),
		"room": map[string]any{
			"sid": "RM_" + session, "room_id": room, "creation_time": fmt.Sprint(created.Unix()), "metadata": string(meta), "empty_timeout": 1800,
		},
	}
	if who > 0 {
		m["participant"] = map[string]any{
			"sid": fmt.Sprintf("PA_%s_%d", session, who), "identity": fmt.Sprintf("user-%d", who), "state": "ACTIVE",
			"joined_at": fmt.Sprint(created.Unix() + int64(who)), "name": fmt.Sprintf("Participant %d", who),
		}
	}
	return json.Marshal(m)
}

// wholeSession is how many events there are of an ended session.
const wholeSession = 6

// template stores one ended and one open session, as real ones are stored.
func template(ctx context.Context, dir, rulesText string) (err error) {
	n, of := 0, endedMark()
	r, err := openRig(ctx, dir, rulesText, func() string {
		n++
		return fmt.Sprintf("%s%018d", of.id, n)
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.stop()) }()

	now := time.Now().Truncate(time.Second)
	say := func(title, event string, who int, at time.Time) error {
		b, err := message(event, of.name, "room-"+of.room, title, who, now.Add(-time.Hour), at)
		if err != nil {
			return err
		}
		d, err := decode(b)
		if err != nil {
			return err
		}
		return r.accept(ctx, fmt.Sprintf("%s%018d", of.id, n), d, time.Now())
	}
	for _, meeting := range []struct {
		mark  mark
		title string
	}{{endedMark(), "Weekly sync"}, {openMark(), "All hands"}} {
		of, n = meeting.mark, 0
		events := []string{"room_started", "participant_joined", "participant_joined"}
		if of == endedMark() {
			events = append(events, "participant_left", "participant_left", "session_ended")
		}
		for i, event := range events {
			who := 0
			if event == "participant_joined" || event == "participant_left" {
				who = 1 + i%2
			}
			if err := say(meeting.title, event, who, now.Add(time.Duration(i-60)*time.Minute)); err != nil {
				return err
			}
		}
	}
	return r.idle(ctx)
}

// idle waits until no run is left to do.
func (r *rig) idle(ctx context.Context) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		st, err := r.store.Stats(ctx)
		if err != nil {
			return err
		}
		left := -st.Runs[engine.RunDone]
		for _, n := range st.Runs {
			left += n
		}
		if left == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
