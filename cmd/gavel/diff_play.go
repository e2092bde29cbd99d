package main

import (
	"context"
	"errors"
	"maps"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/rules"
	"github.com/gavelhq/gavel/engine/ruletest"
	"github.com/gavelhq/gavel/engine/store"
	"github.com/gavelhq/gavel/triggers"
)

const (
	batchSize = 256 // events handed on together
	batches   = 8   // that may wait for a player
)

// player plays the events with one of the rule sets.
type player struct {
	decoders  *decoders
	rehearsal *ruletest.Rehearsal
	queue     chan []played
}

// played is a stored event on its way to the players.
type played struct {
	store.Sent
	decoded bool // once for all of them
	events  []engine.Event
	err     error
}

func (d *differ) newPlayer(ctx context.Context, start time.Time, set, other *rules.Set, answers *ruletest.Answers) (*player, error) {
	dec, err := newDecoders(d.kinds, set)
	if err != nil {
		return nil, fail(exitFindings, err, "")
	}
	r, err := ruletest.NewRehearsal(ruletest.RehearsalOptions{
		Rules: set, Actions: d.acts, Start: start, Since: d.report.Since, Timeout: d.timeout, Answers: answers, Other: other, Stop: ctx.Err,
	})
	if err != nil {
		return nil, err
	}
	return &player{dec, r, make(chan []played, batches)}, nil
}

// play takes what comes until there is no more.
func (p *player) play() error {
	for batch := range p.queue {
		for _, x := range batch {
			ev, ok := p.event(x)
			if !ok {
				continue
			}
			if err := p.rehearsal.Deliver(ev); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *player) event(x played) (engine.Event, bool) {
	if x.decoded {
		return p.decoders.fill(x.Sent, x.events, x.err)
	}
	return p.decoders.event(x.Sent)
}

// common are the decoders of the sources that are the same for all players, but
// for their fields.
func common(players []*player) map[string]*triggers.Decoder {
	same := maps.Clone(players[0].decoders.sources)
	type kind struct{ platform, tenant string }
	kinds := map[string]kind{}
	for _, c := range players[0].decoders.set.Sources() {
		kinds[c.Name] = kind{c.Platform, c.Tenant}
	}
	for _, p := range players[1:] {
		maps.DeleteFunc(same, func(name string, _ *triggers.Decoder) bool {
			return !slices.ContainsFunc(p.decoders.set.Sources(), func(c engine.SourceConfig) bool {
				return c.Name == name && kinds[name] == kind{c.Platform, c.Tenant}
			})
		})
	}
	return same
}

// play plays the stored events with both sets at once, and compares.
func (d *differ) play(ctx context.Context, before, after *rules.Set) error {
	r := &d.report
	extent, err := d.reader.Extent(ctx, r.Start, r.Until)
	if err != nil {
		return fail(exitUnreadable, err, "")
	}
	r.StoredSince = extent.First
	answers := ruletest.NewAnswers(d.acts)
	err = d.reader.Done(ctx, r.Start, r.Until, func(run *engine.Run) error {
		answers.Add(run)
		return nil
	})
	if err != nil {
		return fail(exitUnreadable, err, "")
	}
	debug.SetGCPercent(200) // much is kept for long, and little time spent on looking what is not
	var players [2]*player
	for i, sets := range [2][2]*rules.Set{{before, after}, {after, before}} {
		if players[i], err = d.newPlayer(ctx, begins(extent, r.Start), sets[0], sets[1], answers); err != nil {
			return err
		}
		defer players[i].rehearsal.Close()
	}
	progress := d.app.newProgress("playing events", extent.To-extent.From+1, d.noProgress)
	err = d.feed(ctx, players[:], extent.From, progress)
	progress.end()
	if err != nil {
		return err
	}
	for i, side := range []*ruleSet{&r.Before, &r.After} {
		side.Missing, side.Undecoded = players[i].decoders.missing, players[i].decoders.broken
	}
	r.Diff = ruletest.Compare(players[0].rehearsal, players[1].rehearsal, d.only...)
	return nil
}

// begins is when a rehearsal begins that is to begin at start: not before there
// are events, or the schedules of years would be played for nothing.
func begins(x store.Extent, start time.Time) time.Time {
	if x.First.After(start) {
		return x.First
	}
	return start
}

// feed reads the events once and hands them to all players, who work side by
// side. In the end it lets the time go on to the end of the period.
func (d *differ) feed(ctx context.Context, players []*player, first int64, progress *progress) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var playing sync.WaitGroup
	for _, p := range players {
		playing.Go(func() {
			err := p.play()
			if err == nil && ctx.Err() == nil {
				err = p.rehearsal.End(d.report.Until)
			}
			if err != nil {
				cancel(err)
			}
		})
	}
	hand := func(batch []played) error {
		for _, p := range players {
			select {
			case p.queue <- batch:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		return nil
	}
	decoders := common(players)
	batch := make([]played, 0, batchSize)
	err := d.reader.Sent(ctx, store.Past{Since: d.report.Start, Until: d.report.Until}, func(s store.Sent) error {
		if !s.Received.Before(d.report.Since) {
			d.report.Events++
		}
		x := played{Sent: s}
		if dec := decoders[s.Source]; dec != nil {
			x.decoded = true
			x.events, x.err = dec.Decode(s.Raw, s.Received)
		}
		if batch = append(batch, x); len(batch) < batchSize {
			return nil
		}
		full := batch
		batch = make([]played, 0, batchSize)
		progress.at(s.Seq-first, "")
		return hand(full)
	})
	if err == nil {
		err = hand(batch)
	}
	for _, p := range players {
		close(p.queue)
	}
	playing.Wait()
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, context.Canceled):
		return fail(exitInterrupted, nil, "")
	case cause != nil: // a player's
		return cause
	case err != nil:
		return fail(exitUnreadable, err, "")
	}
	return nil
}
