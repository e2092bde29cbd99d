package engine

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// lanesOf are lanes for tests, and what they called.
func lanesOf(workers int) (*lanes, *callings) {
	called := new(callings)
	l := &lanes{workers: workers, log: slog.New(slog.DiscardHandler), rand: func() float64 { return 0.5 }}
	l.limit = func(string, time.Time) {}
	l.call = func(target string, n int) bool {
		called.mu.Lock()
		defer called.mu.Unlock()
		called.all = append(called.all, fmt.Sprintf("%s %d", target, n))
		return true
	}
	return l, called
}

// callings are what lanes called, from their timers too.
type callings struct {
	mu  sync.Mutex
	all []string
}

// take is what was called since it was asked last.
func (c *callings) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.all
	c.all = nil
	return all
}

func anHour(now time.Time) time.Time { return now.Add(time.Hour) }

func none(now time.Time) time.Time { return now }

// in enters and must get a place.
func in(t *testing.T, l *lanes, name string) *pass {
	t.Helper()
	now := time.Now()
	p, s := l.enter(way{name: name}, arrival{called: true, now: now, patience: anHour})
	if p == nil {
		t.Fatalf("may not enter %s: %+v", name, s)
	}
	return p
}

// out must not get a place.
func out(t *testing.T, l *lanes, name string) stay {
	t.Helper()
	now := time.Now()
	p, s := l.enter(way{name: name}, arrival{called: true, now: now, patience: anHour})
	if p != nil {
		t.Fatalf("may enter %s", name)
	}
	return s
}

// A connection may allow fewer attempts at once than there is room for.
func TestRoomOfConnection(t *testing.T) {
	for most, room := range map[int]int{0: 8, 1: 1, 3: 3, 100: 8} {
		l, _ := lanesOf(16)
		w := way{name: "a", most: most}
		entered := 0
		for p := new(pass); p != nil; entered++ {
			p, _ = l.enter(w, arrival{called: true, now: time.Now(), patience: anHour})
		}
		if entered-1 != room {
			t.Errorf("%d at once: %d entered, want %d", most, entered-1, room)
		}
	}
}

// A target takes half of what the others leave free, and at least one place.
func TestRoom(t *testing.T) {
	l, _ := lanesOf(16)
	for _, tc := range []struct {
		name string
		room int
	}{{"a", 8}, {"b", 4}, {"c", 2}, {"d", 1}, {"e", 1}} {
		for range tc.room {
			in(t, l, tc.name)
		}
		if s := out(t, l, tc.name); s != (stay{brief: true}) {
			t.Errorf("%s: %+v", tc.name, s)
		}
	}
	l, _ = lanesOf(1000)
	for range mostAtOnce {
		in(t, l, "a")
	}
	out(t, l, "a")
}

// Who comes anew stands behind those who wait.
func TestNoOvertaking(t *testing.T) {
	l, called := lanesOf(16)
	now := time.Now()
	in(t, l, "a")
	l.waits(way{name: "a"}, stay{}, now)
	if p, _ := l.enter(way{name: "a"}, arrival{now: now, patience: anHour}); p != nil {
		t.Error("overtook")
	}
	in(t, l, "a")
	if got := fmt.Sprint(called.take()); got != "[a 1]" {
		t.Errorf("called %s", got)
	}
}

var errDown = errors.New("connection refused")

// A target that fails five times in a row is down: it gets one attempt at a
// time, at growing distance, until one is answered.
func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, called := lanesOf(64)
		fail := func(p *pass) { l.leave(p, 1, errDown, time.Now()) }
		var inside []*pass
		for range 8 {
			inside = append(inside, in(t, l, "a"))
		}
		l.waits(way{name: "a"}, stay{}, time.Now())
		for _, p := range inside[:4] {
			fail(p)
		}
		in(t, l, "a") // four are not enough
		fail(inside[4])
		for _, p := range inside[5:] { // that were under way tell nothing new
			fail(p)
		}
		begin := time.Now()
		var probes []time.Duration
		for range 9 {
			s := out(t, l, "a")
			called.take()
			rest(time.Until(s.until))
			synctest.Wait()
			if got := called.take(); len(got) != 1 {
				t.Fatalf("called %v", got)
			}
			p := in(t, l, "a")
			out(t, l, "a") // one at a time
			probes = append(probes, time.Since(begin))
			fail(p)
		}
		if got := fmt.Sprint(probes); got != "[1s 3s 7s 15s 31s 1m3s 2m3s 3m3s 4m3s]" {
			t.Errorf("probed after %s", got)
		}
		rest(lastProbe)
		l.leave(in(t, l, "a"), 1, Permanent(errDown), time.Now()) // a refusal is an answer
		for range 20 {
			in(t, l, "a")
		}
	})
}

// A run that can wait no more tries a target that is down; what comes of it
// counts.
func TestForced(t *testing.T) {
	l, _ := lanesOf(64)
	now := time.Now()
	for range failuresDown {
		l.leave(in(t, l, "a"), 1, errDown, now)
	}
	p, s := l.enter(way{name: "a"}, arrival{now: now, patience: none})
	if p == nil || !p.forced {
		t.Fatalf("%+v", s)
	}
	l.leave(p, 1, nil, now)
	in(t, l, "a")
}

// A target that is back gets up to 1,000 attempts a second while runs wait for
// it, twice as many each ten seconds, and then as many as it likes.
func TestGentle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, called := lanesOf(64)
		for range failuresDown {
			l.leave(in(t, l, "a"), 1, errDown, time.Now())
		}
		l.waits(way{name: "a"}, stay{}, time.Now())
		time.Sleep(2 * time.Second)
		l.leave(in(t, l, "a"), 1, nil, time.Now()) // it is back
		passed := func(span time.Duration) (n int) {
			for end := time.Now().Add(span); time.Now().Before(end); {
				p, _ := l.enter(way{name: "a"}, arrival{called: true, now: time.Now(), patience: anHour})
				if p == nil {
					time.Sleep(50 * time.Microsecond)
					continue
				}
				l.leave(p, 1, nil, time.Now())
				n++
			}
			return n
		}
		for _, want := range []int{1000, 2000, 4000, 8000, 16000} {
			got := passed(time.Second)
			if got < want*9/10 || got > want*11/10 {
				t.Errorf("%d attempts in a second, want about %d", got, want)
			}
			time.Sleep(9 * time.Second)
		}
		time.Sleep(gentle)
		called.take()
		l.leave(in(t, l, "a"), 1, nil, time.Now())
		if got := fmt.Sprint(called.take()); got != "[a 2]" {
			t.Errorf("called %s, want the next ones at once", got)
		}
		l.close()
	})
}

// An attempt that was not made leaves the probe to the next one.
func TestProbeNotMade(t *testing.T) {
	l, called := lanesOf(64)
	now := time.Now()
	held := &Held{Target: "a", Since: now.Add(-time.Hour), Down: true}
	v := arrival{called: true, held: held, now: now, patience: anHour}
	p, _ := l.enter(way{name: "a"}, v) // it was down before the start: a probe
	if p == nil || !p.probe {
		t.Fatal("no probe")
	}
	l.waits(way{name: "a"}, stay{}, now)
	l.leave(p, 0, nil, now)
	if got := fmt.Sprint(called.take()); got != "[a 1]" {
		t.Errorf("called %s", got)
	}
	if p, _ := l.enter(way{name: "a"}, v); p == nil || !p.probe {
		t.Error("no probe")
	}
}

// What a run says of its target from before does not count once the target has
// answered again.
func TestStaleHeld(t *testing.T) {
	l, _ := lanesOf(64)
	now := time.Now()
	held := &Held{Target: "a", Since: now.Add(-time.Hour), Down: true}
	v := arrival{called: true, held: held, now: now, patience: anHour}
	for _, probe := range []bool{true, false, false} {
		p, _ := l.enter(way{name: "a"}, v)
		if p == nil || p.probe != probe {
			t.Fatalf("%+v, want probe %v", p, probe)
		}
		l.leave(p, 1, nil, now)
	}
	for range failuresDown { // nor if it was down since
		l.leave(in(t, l, "b"), 1, errDown, now)
	}
	p, _ := l.enter(way{name: "b"}, arrival{now: now, patience: none})
	l.leave(p, 1, nil, now)
	held.Target = "b"
	if p, _ := l.enter(way{name: "b"}, v); p == nil || p.probe {
		t.Errorf("%+v", p)
	}
}

// A target that is down is tried once a minute at least, whatever it asks for,
// and forgotten when nobody waits for it any more.
func TestPauseOfDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, called := lanesOf(64)
		limited := ""
		l.limit = func(target string, until time.Time) { limited = fmt.Sprint(target, " ", time.Until(until)) }
		for range failuresDown {
			l.leave(in(t, l, "a"), 1, RetryAfter(errDown, time.Hour), time.Now())
		}
		if limited != "a 10s" {
			t.Errorf("runs in line were limited: %q", limited)
		}
		l.waits(way{name: "a"}, stay{}, time.Now())
		called.take()
		time.Sleep(lastProbe + time.Second)
		if got := fmt.Sprint(called.take()); got != "[a 1]" {
			t.Errorf("called %s", got)
		}
		l.call = func(string, int) bool { return false } // they have gone
		l.leave(in(t, l, "a"), 1, errDown, time.Now())
		time.Sleep(2 * lastProbe)
		l.mu.Lock()
		defer l.mu.Unlock()
		if len(l.all) != 0 {
			t.Errorf("still known: %v", l.all)
		}
	})
}

// A lane that was told to pause lets nobody in, then one at a time again, and
// does not judge its target.
func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, called := lanesOf(64)
		w := way{name: "channel", single: true}
		enter := func() (*pass, stay) {
			return l.enter(w, arrival{called: true, now: time.Now(), patience: anHour})
		}
		p, _ := enter()
		l.waits(w, stay{}, time.Now())
		wants := RetryAfter(errDown, 5*time.Second)
		l.told(p, wants, time.Now())
		l.leave(p, 1, wants, time.Now())
		if _, s := enter(); time.Until(s.until) != 5*time.Second || !s.brief {
			t.Errorf("%+v", s)
		}
		rest(5 * time.Second)
		synctest.Wait()
		if got := fmt.Sprint(called.take()); got != "[channel 1]" {
			t.Errorf("called %s", got)
		}
		for range 2 * failuresDown {
			p, s := enter()
			if p == nil {
				t.Fatalf("%+v", s)
			}
			if p2, _ := enter(); p2 != nil {
				t.Fatal("two at once")
			}
			l.leave(p, 1, errDown, time.Now())
		}
	})
}

// Lanes that nothing is known of are forgotten.
func TestLanesForgotten(t *testing.T) {
	l, _ := lanesOf(64)
	for i := range 1000 {
		l.leave(in(t, l, fmt.Sprint(i)), 1, nil, time.Now())
	}
	if len(l.all) != 0 || l.shared != 0 {
		t.Errorf("%d lanes, %d inside", len(l.all), l.shared)
	}
}

// rest lets d pass on the bubble's clock.
func rest(d time.Duration) { <-time.After(d) }

// Every attempt costs a token, also one that fails; a place that was not used
// costs none. A lane that is quiet again is forgotten.
func TestPaceCosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _ := lanesOf(64)
		w := way{name: "channel", single: true, every: time.Second, burst: 2}
		enter := func() (*pass, stay) {
			return l.enter(w, arrival{called: true, now: time.Now(), patience: anHour})
		}
		for i, tried := range []int{0, 1, 0, 0, 1} {
			p, s := enter()
			if p == nil {
				t.Fatalf("attempt %d: %+v", i, s)
			}
			l.leave(p, tried, errDown, time.Now())
		}
		if p, s := enter(); p != nil || !s.brief || !s.until.IsZero() {
			t.Errorf("a third one: %+v", s)
		}
		time.Sleep(time.Second)
		p, _ := enter()
		l.leave(p, 3, nil, time.Now()) // rounds
		time.Sleep(3*time.Second - time.Millisecond)
		if p, _ := enter(); p != nil {
			t.Error("its rounds cost nothing")
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		l.mu.Lock()
		defer l.mu.Unlock()
		if len(l.all) != 0 {
			t.Errorf("still known: %v", l.all)
		}
	})
}

// In a lane for one at a time the one that was called goes before those that come
// meanwhile, and nobody else is called before it has come; but it is not waited
// for for ever.
func TestCalledGoesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, called := lanesOf(64)
		w := way{name: "channel", single: true}
		enter := func(called bool) (*pass, stay) {
			return l.enter(w, arrival{called: called, now: time.Now(), patience: anHour})
		}
		want := func(what string, calls string) {
			t.Helper()
			synctest.Wait()
			if got := fmt.Sprint(called.take()); got != calls {
				t.Errorf("%s: called %s, want %s", what, got, calls)
			}
		}
		first, _ := enter(false)
		if p, _ := enter(false); p != nil {
			t.Fatal("two at once")
		}
		l.waits(w, stay{}, time.Now())
		want("one waits", "[]")
		l.leave(first, 1, nil, time.Now())
		want("the first has left", "[channel 1]")
		if p, _ := enter(false); p != nil {
			t.Error("one that came meanwhile overtook the one that was called")
		}
		l.waits(w, stay{}, time.Now())
		want("another one waits", "[]")
		second, _ := enter(true)
		if second == nil {
			t.Fatal("the one that was called may not enter")
		}
		l.call = func(string, int) bool { // it was the last one
			called.all = append(called.all, "last")
			return false
		}
		l.leave(second, 1, nil, time.Now())
		want("the second has left", "[last]")
		if p, _ := enter(false); p != nil {
			t.Error("one that came meanwhile overtook the last one")
		}
		l.waits(w, stay{}, time.Now())
		time.Sleep(lateComer)
		want("the last one never came", "[last]")
		time.Sleep(lateComer)
		synctest.Wait()
		if p, _ := enter(false); p == nil {
			t.Error("the lane is shut, though nobody comes")
		}
		l.close()
	})
}
