package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/web"
	"github.com/gavelhq/gavel/triggers"
	"github.com/gavelhq/gavel/triggers/samples"
	"github.com/oklog/ulid/v2"
)

const (
	look    = 25 * time.Millisecond // how often what happens by itself is looked at
	patient = 3 * time.Second       // how long something that must happen may take
)

// tally counts what was sent and how it was answered.
type tally struct {
	sent, accepted, duplicates, refused, retries int
	began                                        time.Time
}

// sentBeat is a delivery as it was sent.
type sentBeat struct {
	beat   beat
	kind   engine.PlatformKind
	signed engine.Request
	event  web.Event // that it became
}

// play tells the story as often as the pace says. It returns early, and
// without an error, when ctx ends.
func (d *demo) play(ctx context.Context, seed uint64) error {
	d.tally.began = d.app.now()
	d.revision = d.service.Status().Rules.Revision
	r := rand.New(rand.NewPCG(seed, 0))
	for round := range d.pace.rounds {
		start := d.tally.began.Add(time.Duration(round) * d.pace.round)
		// The meetings took place up to now: their times end when the demo does.
		// Whole seconds, because that is what most platforms send.
		end := d.tally.began.Add(time.Duration(d.pace.rounds) * d.pace.round).Truncate(time.Second)
		opening := end.Add(-storyLength * time.Duration(d.pace.rounds-round))
		for _, b := range story(r) {
			d.until(ctx, start.Add(d.wall(b.at)))
			if ctx.Err() != nil {
				return nil
			}
			if err := d.perform(ctx, b, opening); err != nil && ctx.Err() == nil {
				return err
			}
		}
		d.until(ctx, start.Add(d.pace.round))
	}
	// A slow machine may still be waiting for a retry.
	for deadline := d.app.now().Add(patient); len(d.shown) > 0 && ctx.Err() == nil && d.app.now().Before(deadline); {
		d.until(ctx, d.app.now().Add(look))
	}
	return nil
}

// wall is a span of meeting time as people at the terminal live it.
func (d *demo) wall(meeting time.Duration) time.Duration {
	return time.Duration(float64(meeting) / d.pace.speed())
}

// until waits, and meanwhile tells what happens by itself: retries, and rules
// that somebody has changed.
func (d *demo) until(ctx context.Context, t time.Time) {
	tick := time.NewTicker(look)
	defer tick.Stop()
	for ctx.Err() == nil && d.app.now().Before(t) {
		select {
		case <-ctx.Done():
		case <-tick.C:
			d.follow(ctx)
		}
	}
}

// perform sends one delivery and tells what came of it.
func (d *demo) perform(ctx context.Context, b beat, opening time.Time) error {
	if b.outage > 0 {
		d.accounting.refuse(b.outage)
	}
	s := d.last
	if b.trick != again {
		var err error
		if s, err = d.sign(b, opening); err != nil {
			return err
		}
	}
	at := d.app.now()
	status, id, err := d.post(ctx, s)
	if err != nil {
		return err
	}
	d.tally.sent++
	switch {
	case status/100 != 2:
		d.tally.refused++
		return d.tellRefused(ctx, s, at, status)
	case id == "" || d.last != nil && id == d.last.event.ID:
		d.tally.duplicates++
		d.tellDuplicate(s, at, status)
		return nil
	}
	d.tally.accepted++
	d.last = s
	if err := d.api.Get(ctx, "events/"+url.PathEscape(id), nil, &s.event); err != nil {
		return err
	}
	d.tellEvent(s, at)
	return d.settle(ctx, s.event)
}

// sign makes the delivery of a beat as its platform sends it.
func (d *demo) sign(b beat, opening time.Time) (*sentBeat, error) {
	config := d.sources[b.room.source]
	kind, _ := triggers.Find(d.service.kinds, config.Platform) // a loaded set names no other
	body, err := b.body(kind, opening)
	if err != nil {
		return nil, err
	}
	if b.trick == forged {
		config.Secrets = []engine.Secret{engine.NewSecret("not the secret at all")}
	}
	// Deliveries are signed with the real time, whatever the time in the story:
	// old signatures are refused.
	signed, err := kind.Sign(config, engine.SignRequest{Body: body, PrivateKey: d.dyteKey, ID: ulid.Make().String(), Now: d.app.now()})
	if err != nil {
		return nil, fmt.Errorf("sign as %s: %w", kind.Name, err)
	}
	return &sentBeat{beat: b, kind: kind, signed: signed}, nil
}

// body is the sample with the story's names and times.
func (b beat) body(kind engine.PlatformKind, opening time.Time) ([]byte, error) {
	sample, err := samples.Find(kind.Name, b.event, kind.Events)
	if err != nil {
		return nil, err
	}
	p, err := newPayload(kind.Name, sample.Body)
	if err != nil {
		return nil, err
	}
	happened := b.at
	if b.happened > 0 {
		happened = b.happened
	}
	when := opening.Add(happened)
	p.freshen(when, b.room.session)
	if err := p.setDuration(happened-b.room.began, when); err != nil && !errors.Is(err, errNoDuration) {
		return nil, err
	}
	set := b.room.set
	if b.who != nil {
		for _, path := range []string{"participant.joinedAt", "participant.joinedAtMs", "participant.joined_at", "participant.joined_at_ms"} {
			if old, ok := get(p.body, path); ok {
				p.replace(path, like(old, opening.Add(b.joined)))
			}
		}
		set = append(set[:len(set):len(set)], "name="+b.who.name, "participant="+b.who.id,
			fmt.Sprintf("participant.sid=PA_%s_%d", b.who.id, b.joined/time.Second))
		if b.who.email != "" {
			set = append(set, "participant.metadata.email="+b.who.email)
		}
	}
	for _, assignment := range set {
		if err := p.set(assignment, when); err != nil {
			return nil, fmt.Errorf("%s %s: %w", kind.Name, b.event, err)
		}
	}
	return p.bytes()
}

// post sends a delivery over HTTP. id is the event it became, "" if none.
func (d *demo) post(ctx context.Context, s *sentBeat) (status int, id string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*patient)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.hooks+"/hooks/"+s.beat.room.source, bytes.NewReader(s.signed.Body))
	if err != nil {
		return 0, "", err
	}
	req.Header = s.signed.Header.Clone()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10))
	return res.StatusCode, res.Header.Get("Gavel-Event"), err
}

// refusal is the newest refused delivery. It is stored after the answer.
func (d *demo) refusal(ctx context.Context) (web.Delivery, error) {
	for deadline := d.app.now().Add(patient); ; {
		var l web.DeliveryList
		if err := d.api.Get(ctx, "deliveries", url.Values{"refused": {"true"}, "limit": {"1000"}}, &l); err != nil {
			return web.Delivery{}, err
		}
		if len(l.Deliveries) >= d.tally.refused {
			return l.Deliveries[0], nil
		}
		if d.app.now().After(deadline) {
			return web.Delivery{}, errors.New("a refused delivery was not recorded")
		}
		if err := pause(ctx, look); err != nil {
			return web.Delivery{}, err
		}
	}
}

// settle waits until the event's runs have done what they can for now, and
// tells it.
func (d *demo) settle(ctx context.Context, ev web.Event) error {
	deadline := d.app.now().Add(patient)
	for _, ref := range ev.Outcome.Runs {
		for {
			run, err := d.readRun(ctx, ref.Run)
			if err != nil {
				return err
			}
			waits := run.State == engine.RunWaiting || run.State == engine.RunRetrying && run.Current != nil && len(run.Current.Tries) > 0
			if waits || run.State == engine.RunDone || run.State == engine.RunFailed || d.app.now().After(deadline) {
				d.shown[run.ID] = &shownRun{}
				d.tellRun(time.Time{}, run)
				break
			}
			if err := pause(ctx, look/5); err != nil {
				return err
			}
		}
	}
	return nil
}

// follow tells what has happened since it was last asked.
func (d *demo) follow(ctx context.Context) {
	for id := range d.shown {
		if run, err := d.readRun(ctx, id); err == nil {
			d.tellRun(d.app.now(), run)
		}
	}
	if rules := d.service.Status().Rules; rules.Revision != d.revision {
		d.revision = rules.Revision
		d.screen.event(d.app.now(), told{sign: d.app.ok(), what: "rules reloaded", note: fmt.Sprintf("%s, %s", count(rules.Rules, "rule"), short(rules.Revision))})
	}
}

func (d *demo) readRun(ctx context.Context, id string) (web.Run, error) {
	var run web.Run
	err := d.api.Get(ctx, "runs/"+url.PathEscape(id), nil, &run)
	return run, err
}

// pause waits for t, or fails when ctx ends.
func pause(ctx context.Context, t time.Duration) error {
	timer := time.NewTimer(t)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
