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
// one attempt, then two, then four. In a lane for one at a time there is an
// order: nobody is called before the one called last has come, and who comes
// uncalled meanwhile waits.
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
	single bool          // one attempt at a time
	every  time.Duration // see Lane; 0: as often as they like
	burst  int
	most   int // attempts at once; 0: mostAtOnce
}

// lane is the way to one target.
type lane struct {
	way
	breaker
	inside int
	aside  bool        // runs may wait for it
	coming bool        // one of them was called and has not come yet; only of single ones
	until  time.Time   // nobody enters before
	wake   *time.Timer // looks at it again
	rings  time.Time   // when that is; zero: it has
	back   time.Time   // it was down until then, and runs wait; zero: it was not
	kept   bool        // the store has a pause of it, perhaps one that is over
	full   time.Time   // when the bucket of its pace is full again
	lines  time.Time   // until when all who come are put in line, by age
}

// arrival is a run on its way into a lane.
type arrival struct {
	called bool      // it had to wait, and was called
	held   *Held     // how it had to wait
	left   bool      // from before the start, which was just now
	paused time.Time // until when the lane is, as the store has it; zero: it is not
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
	put    Put
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
	fresh := x == nil
	if fresh {
		x = l.add(w)
		x.aside = v.called && v.held != nil // so may others: it was recorded before the start
		if w.single {
			l.resume(x, v)
		} else {
			l.remember(x, v)
		}
	}
	if w.single && v.left && (fresh || !v.called) {
		x.lines = v.now.Add(linesUp)
	}
	x.way = w // the rules may have changed its pace
	if v.called {
		x.coming = false
	}
	p := &pass{lane: x, since: v.now, forced: x.isDown() && !v.now.Before(v.patience(v.now))}
	switch {
	case !p.forced && !x.open(v.now):
		return nil, x.stay(v.now)
	case !p.forced && x.isDown():
		p.probe, x.probing = true, true
	case x.inside >= l.room(x) || ((x.aside || x.coming) && !v.called && !p.forced):
		return nil, x.stay(v.now)
	}
	l.count(x, 1)
	return p, stay{}
}

// add makes a lane.
func (l *lanes) add(w way) *lane {
	if l.all == nil {
		l.all = map[string]*lane{}
	}
	x := &lane{way: w}
	l.all[w.name] = x
	return x
}

// open reports whether somebody may enter if there is room.
func (x *lane) open(now time.Time) bool {
	return !x.opens().After(now) && !(x.isDown() && x.probing)
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
	s := stay{down: x.down, brief: !x.opens().After(now.Add(brief))}
	if x.until.After(now) {
		s.until = x.until
	}
	if x.lines.After(now) {
		s.put = PutByAge
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
	return max(1, min(cmp.Or(x.most, mostAtOnce), mostAtOnce, (l.workers-(l.shared-x.inside))/2))
}

func (l *lanes) count(x *lane, n int) {
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
		x = l.add(w)
	}
	x.aside = true
	if x.isDown() && s.record.IsZero() { // it came to be so meanwhile
		l.limit(x.name, x.down.Add(brief))
	}
	switch {
	case x.open(now) && x.inside < l.room(x):
		l.next(x, 1, now)
	case x.single:
		l.ring(x, now)
	}
}

// next calls runs that wait for x.
func (l *lanes) next(x *lane, n int, now time.Time) {
	if !x.aside || x.coming {
		return
	}
	x.aside = l.call(x.name, n)
	if x.single {
		x.coming = true
		l.wakeAfter(x, now, lateComer)
	}
}

// unused is for a run that was called for a target and did not come.
func (l *lanes) unused(target string, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	x := l.all[target]
	if x == nil || !x.single {
		l.call(target, 1)
		return
	}
	x.coming = false
	l.next(x, 1, now)
}

// leave gives the place back. err is what came of the attempts; tried is how
// many there were.
func (l *lanes) leave(p *pass, tried int, err error, now time.Time) {
	x := p.lane
	if x == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.probe {
		x.probing = false
	}
	if tried > 0 {
		x.spend(tried, p.since)
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
	l.count(x, -1)
	switch {
	case !x.open(now) && x.single:
		l.ring(x, now)
	case !x.open(now): // who shut it calls the next one
	case x.isDown():
		l.next(x, 1, now)
	default:
		l.next(x, max(1, min(2, l.room(x)-x.inside)), now)
	}
	if x.inside == 0 && !x.aside && !x.coming && x.breaker.idle() && !x.until.After(now) {
		l.forget(x, now)
	}
}

// forget drops what is known of a lane, unless it is more than nothing.
func (l *lanes) forget(x *lane, now time.Time) {
	switch rest := x.full.Sub(now); {
	case x.kept: // a row in the store, which goes with the next attempt
	case x.every > 0 && rest > 0:
		l.wakeAfter(x, now, rest)
	default:
		delete(l.all, x.name)
	}
}

// judge learns from an attempt.
func (l *lanes) judge(x *lane, p *pass, err error, now time.Time) {
	if x.single { // only paced: whether its target is down, the other lane knows
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
	if after, told := RetryDelay(err); told {
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
	if !x.single {
		l.knows(x)
	}
	x.until = now.Add(d)
	l.wakeAfter(x, now, d)
}

// ring looks at x when it opens, unless it is looked at before.
func (l *lanes) ring(x *lane, now time.Time) {
	at := x.opens()
	if x.rings.IsZero() || x.rings.After(at) {
		l.wakeAfter(x, now, at.Sub(now))
	}
}

// wakeAfter looks at x after d, and not before.
func (l *lanes) wakeAfter(x *lane, now time.Time, d time.Duration) {
	if x.wake != nil {
		x.wake.Stop()
	}
	at := now.Add(d) // also if the clock is set back meanwhile
	x.rings = at
	var wake *time.Timer
	wake = time.AfterFunc(d, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if x.wake == wake && !l.closed {
			l.look(x, at)
		}
	})
	x.wake = wake
}

// look calls the next run for x, if its time has come.
func (l *lanes) look(x *lane, now time.Time) {
	x.rings, x.coming = time.Time{}, false
	if !x.until.After(now) {
		x.until = time.Time{}
	}
	switch {
	case l.all[x.name] != x:
	case x.single && x.opens().After(now):
		l.ring(x, now)
	case x.inside == 0 && !x.aside && x.until.IsZero(): // nobody wants to know
		l.forget(x, now)
	case x.single && x.inside > 0: // who leaves calls
	default:
		l.next(x, 1, now)
		if !x.aside && x.rings.IsZero() { // none came, or the last one is on its way
			l.wakeAfter(x, now, lastProbe)
		}
	}
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
	call := upcoming(r)
	kind, known := e.kinds[call.Action]
	due := r.State == RunReady || (r.State == RunRetrying && !r.Due.After(e.o.Now()))
	if !known || (r.Held == nil && !due) {
		return r.Held
	}
	var conn any
	if call.Via != "" {
		var err error
		if conn, err = e.connection(kind.Name, call.Via); err != nil {
			return r.Held
		}
	}
	paced, shared := ways(kind, &call, conn)
	for _, w := range []way{shared, paced} {
		if h := e.lanes.held(w, e.o.Now()); h != nil {
			return h
		}
	}
	if target, before := e.o.Store.Place(r.ID); target != "" {
		return &Held{Target: target, Before: before}
	}
	return r.Held
}

// upcoming is the current step of a run, or the one that failed and is to be
// repeated; empty if neither is known.
func upcoming(r *Run) StepCall {
	if r.Call != nil {
		return *r.Call
	}
	for _, s := range slices.Backward(r.Steps) {
		if s.Branch == r.Branch && s.At == r.At && s.State == StepFailed {
			return StepCall{ID: s.ID, Action: s.Action, Via: s.Via, With: s.With}
		}
	}
	return StepCall{}
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
