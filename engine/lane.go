package engine

import (
	"context"
	"sync"
	"time"
)

// maxLaneQueue is how many attempts may stand in one lane. More are put aside
// so that one slow target does not take all workers.
const maxLaneQueue = 8

// laneFull is how long an attempt that finds its lane full is put aside.
const laneFull = time.Second

// lanes let one attempt at a time through to each target that wants it so,
// and keep everybody out of a lane that was told to pause.
type lanes struct {
	mu    sync.Mutex
	lanes map[string]*lane
}

type lane struct {
	turn   chan struct{} // holds one token
	inside int           // waiting or acting
	until  time.Time     // paused until
}

// enter waits for the turn in the lane called name ("" has no queue). It
// returns leave, or nil and how long to stay away.
func (l *lanes) enter(ctx context.Context, name string, now time.Time) (wait time.Duration, leave func()) {
	if name == "" {
		return 0, func() {}
	}
	l.mu.Lock()
	x := l.lanes[name]
	if x == nil {
		if l.lanes == nil {
			l.lanes = map[string]*lane{}
		}
		x = &lane{turn: make(chan struct{}, 1)}
		x.turn <- struct{}{}
		l.lanes[name] = x
	}
	if !x.until.After(now) {
		x.until = time.Time{}
	}
	if !x.until.IsZero() || x.inside >= maxLaneQueue {
		wait = max(x.until.Sub(now), laneFull)
		l.mu.Unlock()
		return wait, nil
	}
	x.inside++
	l.mu.Unlock()

	select {
	case <-x.turn:
	case <-ctx.Done():
		l.out(name, x)
		return laneFull, nil
	}
	l.mu.Lock()
	paused := x.until.Sub(now)
	l.mu.Unlock()
	if paused > 0 { // the one before was told so
		x.turn <- struct{}{}
		l.out(name, x)
		return paused, nil
	}
	return 0, func() {
		x.turn <- struct{}{}
		l.out(name, x)
	}
}

func (l *lanes) out(name string, x *lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	x.inside--
	if x.inside == 0 && x.until.IsZero() {
		delete(l.lanes, name)
	}
}

// pause keeps everybody out of the lane until then.
func (l *lanes) pause(name string, until time.Time) {
	if name == "" {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if x := l.lanes[name]; x != nil && until.After(x.until) {
		x.until = until
	}
}
