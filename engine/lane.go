package engine

import (
	"cmp"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// mostAtOnce is how many attempts at once a target gets at most, however many
// workers are free.
const mostAtOnce = 32

// While runs wait for a target that was down, each place in its lane is taken
// for shortest at least, and half as long for every gentle since it is back:
// it gets up to 1,000 attempts a second at first, and deliveries are not
// disturbed by thousands of runs that go on at once.
const (
	shortest = mostAtOnce * time.Millisecond
	gentle   = 10 * time.Second
)

// lanes are the ways to the targets. They bound how many attempts go on side by
// side in each, keep everybody out of one that was told to pause, and find out
// which targets are down. Nobody stands in a lane: a run that may not enter is
// put aside in the store, and called when there is room.
//
// Who leaves a lane calls up to two others, so a target that comes back gets
// one attempt, then two, then four.
type lanes struct {
	workers int
	// call hands out runs that wait for a target, and reports whether more may.
	call func(target string, n int) bool
	// limit bounds how long runs wait that were put aside without a time.
	limit func(target string, until time.Time)
	rand  func() float64
	log   *slog.Logger

	mu     sync.Mutex
	all    map[string]*lane
	shared int // attempts in lanes that are not single
	// known are the targets that have been down, or wanted a pause, since the
	// start: what runs say of them is old.
	known  map[string]bool
	closed bool
}

// way names a lane.
type way struct {
	name   string
	single bool // one attempt at a time
}

// lane is the way to one target.
type lane struct {
	way
	breaker
	inside int
	aside  bool        // runs may wait for it
	until  time.Time   // nobody enters before
	wake   *time.Timer // at until
	back   time.Time   // it was down until then, and runs wait; zero: it was not
}

// arrival is a run on its way into a lane.
type arrival struct {
	called bool  // it had to wait, and was called
	held   *Held // how it had to wait
	now    time.Time
	// patience is until when it can be put off: then it tries a target that is
	// down, too.
	patience func(now time.Time) time.Time
}

// pass is a place in a lane.
type pass struct {
	lane   *lane
	since  time.Time
	probe  bool // finds out whether the target is still down
	forced bool // the target is down, and the run can wait no more
}

// stay says how a run that may not enter has to wait. Zero: until others leave.
type stay struct {
	down   time.Time // since
	until  time.Time // at least
	brief  bool      // it is expected to be short: nothing need be recorded
	record time.Time // unless it takes until then
}

// brief is for how long a run waits for a target that is down, or that wants a
// pause, before the store records it.
const brief = 10 * time.Second

// enter gives a place in the lane, or says how to wait.
func (l *lanes) enter(w way, v arrival) (*pass, stay) {
	if w.name == "" {
		return &pass{}, stay{}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	x := l.all[w.name]
	if x == nil {
		if l.all == nil {
			l.all = map[string]*lane{}
		}
		x = &lane{way: w}
		l.all[w.name] = x
		l.remember(x, v)
	}
	p := &pass{lane: x, since: v.now, forced: x.isDown() && !v.now.Before(v.patience(v.now))}
	switch {
	case !p.forced && !x.open(v.now):
		return nil, x.stay(v.now)
	case !p.forced && x.isDown():
		p.probe, x.probing = true, true
	case x.inside >= l.room(x) || (x.aside && !v.called && !p.forced):
		return nil, x.stay(v.now)
	}
	l.add(x, 1)
	return p, stay{}
}

// open reports whether somebody may enter if there is room.
func (x *lane) open(now time.Time) bool {
	return !x.until.After(now) && !(x.isDown() && x.probing)
}

// remember takes over what a run knows of its target from before a restart.
func (l *lanes) remember(x *lane, v arrival) {
	h := v.held
	if h == nil || h.Target != x.name || l.known[x.name] {
		return
	}
	l.knows(x)
	if h.Down {
		x.breaker.remember(h.Since)
	}
	if d := h.Until.Sub(v.now); d > 0 && d <= maxRetryAfter {
		l.pause(x, v.now, d)
	}
}

func (l *lanes) knows(x *lane) {
	if l.known == nil {
		l.known = map[string]bool{}
	}
	l.known[x.name] = true
}

func (x *lane) stay(now time.Time) stay {
	s := stay{down: x.down, brief: !x.until.After(now.Add(brief))}
	if x.until.After(now) {
		s.until = x.until
	}
	if x.isDown() {
		s.record = x.down.Add(brief)
		s.brief = s.record.After(now)
	}
	return s
}

// room is how many attempts may be in x: half of the workers that the other
// targets leave free, at least one.
func (l *lanes) room(x *lane) int {
	if x.single {
		return 1
	}
	return max(1, min(mostAtOnce, (l.workers-(l.shared-x.inside))/2))
}

func (l *lanes) add(x *lane, n int) {
	x.inside += n
	if !x.single {
		l.shared += n
	}
}

// waits notes that a run was put aside for the lane of w, as s told it. If it is
// passable by now, the one that has waited longest is called.
func (l *lanes) waits(w way, s stay, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	x := l.all[w.name]
	if x == nil { // all have left
		x = &lane{way: w}
		l.all[w.name] = x
	}
	x.aside = true
	if x.isDown() && s.record.IsZero() { // it came to be so meanwhile
		l.limit(x.name, x.down.Add(brief))
	}
	if x.open(now) && x.inside < l.room(x) {
		l.next(x, 1)
	}
}

// next calls runs that wait for x.
func (l *lanes) next(x *lane, n int) {
	if x.aside {
		x.aside = l.call(x.name, n)
	}
}

// unused is for a run that was called for a target and did not come.
func (l *lanes) unused(target string) { l.call(target, 1) }

// leave gives the place back. err is what came of the attempt; tried is false if
// none was made.
func (l *lanes) leave(p *pass, tried bool, err error, now time.Time) {
	x := p.lane
	if x == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.probe {
		x.probing = false
	}
	if tried {
		l.judge(x, p, err, now)
	}
	// Not all at once: their results would be one large write.
	if d := time.Duration(float64(x.holds(now))*(0.5+l.rand())) - now.Sub(p.since); d > 0 {
		time.AfterFunc(d, func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			if !l.closed {
				l.free(x, now.Add(d))
			}
		})
		return
	}
	l.free(x, now)
}

// holds is for how long a place is taken at least.
func (x *lane) holds(now time.Time) time.Duration {
	if x.back.IsZero() {
		return 0
	}
	d := shortest >> max(0, now.Sub(x.back)/gentle)
	if !x.aside || d < time.Millisecond {
		x.back = time.Time{}
		return 0
	}
	return d
}

// free makes room for others.
func (l *lanes) free(x *lane, now time.Time) {
	l.add(x, -1)
	switch {
	case !x.open(now): // who shut it calls the next one
	case x.isDown():
		l.next(x, 1)
	default:
		l.next(x, max(1, min(2, l.room(x)-x.inside)))
	}
	if x.inside == 0 && !x.aside && x.breaker.idle() && !x.until.After(now) {
		delete(l.all, x.name)
	}
}

// judge learns from an attempt.
func (l *lanes) judge(x *lane, p *pass, err error, now time.Time) {
	after, told := RetryDelay(err)
	after = min(max(after, minRetryAfter), maxRetryAfter)
	if x.single { // only paced: whether its target is down, the other lane knows
		if told && now.Add(after).After(x.until) {
			l.pause(x, now, after)
		}
		return
	}
	if err == nil || IsPermanent(err) { // it answers
		if since, was := x.up(); was {
			l.log.Info("target answers again", "target", x.name, "after", now.Sub(since).Round(time.Second).String())
			x.until, x.back = time.Time{}, now
		}
		return
	}
	opened, shut := x.fails(err, p.probe, now)
	if !shut {
		return
	}
	d := time.Duration(float64(x.distance) * (0.8 + 0.4*l.rand()))
	if told {
		d = max(d, min(after, lastProbe))
	}
	l.pause(x, now, d)
	if opened {
		l.limit(x.name, x.down.Add(brief))
		l.log.Warn("target is down, runs wait for it", "target", x.name, "failures", x.failures, "error", err.Error(), "next", d.Round(time.Second).String())
	}
}

// pause keeps everybody out of x for d, then calls one run.
func (l *lanes) pause(x *lane, now time.Time, d time.Duration) {
	l.knows(x)
	until := now.Add(d)
	x.until = until
	if x.wake != nil {
		x.wake.Stop()
	}
	var wake *time.Timer
	wake = time.AfterFunc(d, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if x.until.Equal(until) { // over, also if the clock was set back
			x.until = time.Time{}
		}
		if l.all[x.name] != x {
			return
		}
		if x.inside == 0 && !x.aside && x.until.IsZero() { // nobody wants to know
			delete(l.all, x.name)
			return
		}
		l.next(x, 1)
		if !x.aside && x.wake == wake { // none came, or the last one is on its way
			wake.Reset(lastProbe)
		}
	})
	x.wake = wake
}

// close stops what is to happen later.
func (l *lanes) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, x := range l.all {
		if x.wake != nil {
			x.wake.Stop()
		}
	}
}

// held is how a run that wants to enter has to wait now; nil if it does not.
func (l *lanes) held(w way, now time.Time) *Held {
	l.mu.Lock()
	defer l.mu.Unlock()
	x := l.all[w.name]
	if x == nil || (!x.isDown() && !x.until.After(now)) {
		return nil
	}
	return &Held{Target: x.name, Since: x.down, Until: x.until, Down: x.isDown()}
}

// Held is the target that a run waits for: as it was recorded, or as it is
// known now of one that could go on. nil if it waits for none.
func (e *Engine) Held(r *Run) *Held {
	kind, known := e.kinds[callOf(r).Action]
	due := r.State == RunReady || (r.State == RunRetrying && !r.Due.After(e.o.Now()))
	if !known || (r.Held == nil && !due) {
		return r.Held
	}
	var conn any
	if r.Call.Via != "" {
		var err error
		if conn, err = e.connection(kind.Name, r.Call.Via); err != nil {
			return r.Held
		}
	}
	paced, shared := ways(kind, r.Call, conn)
	for _, w := range []way{shared, paced} {
		if h := e.lanes.held(w, e.o.Now()); h != nil {
			return h
		}
	}
	return r.Held
}

// callOf is the current step of a run, empty if it has none.
func callOf(r *Run) StepCall {
	if r.Call == nil {
		return StepCall{}
	}
	return *r.Call
}

// Target is what the engine knows of a target that is down.
type Target struct {
	Name  string
	Since time.Time
	Next  time.Time // when it is tried again
	Error string    // the last one
}

// Down are the targets that are down, by name.
func (e *Engine) Down() []Target {
	l := &e.lanes
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []Target
	for _, x := range l.all {
		if x.isDown() && (x.aside || x.inside > 0 || !x.until.IsZero()) { // else nobody waits for it any more
			all = append(all, Target{x.name, x.down, x.until, x.last})
		}
	}
	slices.SortFunc(all, func(a, b Target) int { return cmp.Compare(a.Name, b.Name) })
	return all
}
