package engine

import (
	"encoding/json"
	"time"
)

// StateLane is the kind under which the engine keeps, by the name of the lane,
// until when a target wants to be left alone.
const StateLane = "lane"

// lateComer is how long others are kept behind a run that was called and does
// not come.
const lateComer = 2 * time.Second

// Runs that a start finds unfinished come to a lane for one at a time in any
// order, for many workers go on with them. So for a moment nobody enters: who
// comes is put in line by age, and the first is called when none has come for
// linesUp. What comes later than afterStart stands at the end.
const (
	linesUp    = 250 * time.Millisecond
	afterStart = 10 * time.Second
)

// token is when the next attempt may begin: a lane has a bucket that holds burst
// attempts, into which one falls every so often.
func (x *lane) token() time.Time {
	if x.every <= 0 {
		return time.Time{}
	}
	return x.full.Add(-time.Duration(max(x.burst, 1)-1) * x.every)
}

// spend takes n attempts out of the bucket, the first of which began at a time.
func (x *lane) spend(n int, at time.Time) {
	if x.every > 0 {
		x.full = latest(x.full, at).Add(time.Duration(n) * x.every)
	}
}

// keptPause is what the store has of the pause of a lane.
type keptPause struct {
	Until time.Time `json:"until"`
}

// opens is when somebody may enter again, if there is room; in the past: now.
func (x *lane) opens() time.Time { return latest(latest(x.until, x.token()), x.lines) }

// has reports whether a lane is in memory: what the store keeps of it need not
// be read.
func (l *lanes) has(w way) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all[w.name] != nil
}

// resume takes over the pause of a lane from before a restart.
func (l *lanes) resume(x *lane, v arrival) {
	if v.paused.IsZero() {
		return
	}
	x.kept = true
	if d := v.paused.Sub(v.now); d > 0 && d <= maxRetryAfter { // else it is over, or the clock was set back
		l.pause(x, v.now, d)
	}
}

// told notes the pause that the target of a paced attempt asked for, and is
// until when. Zero: it asked for none.
func (l *lanes) told(p *pass, err error, now time.Time) (until time.Time) {
	after, told := RetryDelay(err)
	if !told || p.lane == nil || !p.lane.single {
		return time.Time{}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	after = min(max(after, minRetryAfter), maxRetryAfter)
	if now.Add(after).After(p.lane.until) {
		l.pause(p.lane, now, after)
	}
	p.lane.kept = true
	return p.lane.until
}

// settles reports whether the store still has a pause of the lane that is over:
// it is to be removed with what is recorded next.
func (l *lanes) settles(p *pass, now time.Time) bool {
	if p.lane == nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !p.lane.kept || p.lane.until.After(now) {
		return false
	}
	p.lane.kept = false
	return true
}

// stands notes that a run waits for a lane that somebody is in.
func (l *lanes) stands(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all[name].aside = true
}

// awaited reports whether runs may wait for the lane of p.
func (l *lanes) awaited(p *pass) bool {
	if p.lane == nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return p.lane.aside
}

// pauseRow is the text of a pause for the store.
func pauseRow(until time.Time) json.RawMessage {
	text, _ := json.Marshal(keptPause{until.UTC()}) // a time can always be written
	return text
}
