package soak

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gavelhq/gavel/test/load"
)

var seeds = flag.Int("seeds", days, "how many days TestDay plays")

// TestDay plays days.
func TestDay(t *testing.T) {
	first := max(1, *seed)
	var heaps []sample
	began := time.Now()
	for n := range uint64(*seeds) {
		t.Run(fmt.Sprint("seed=", first+n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { playDay(t, first+n) })
		})
		if (n+1)%10 == 0 {
			heaps = append(heaps, sample{at: time.Duration(n+1) * time.Hour, heap: inUse()})
		}
	}
	t.Logf("%d days in %s", *seeds, time.Since(began).Round(time.Millisecond))
	if len(heaps) < 20 {
		return
	}
	warm := heaps[len(heaps)/5:]
	rise, sure := slope(warm, func(x sample) float64 { return float64(x.heap) })
	t.Logf("the heap is %s after the first days, %s at the end: %.0f bytes a day, ± %.0f", mebibytes(float64(warm[0].heap)),
		mebibytes(float64(warm[len(warm)-1].heap)), rise, sure)
	if rise > perDay {
		t.Errorf("a day leaves %.0f bytes behind, at most %d are allowed", rise, perDay)
	}
}

// perDay is how much memory a day may leave behind, in bytes.
const perDay = 1 << 10

// inUse is the heap after a collection.
func inUse() int64 {
	runtime.GC()
	runtime.GC() // what the first one has finalised
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// day is one of them, under way in a synctest bubble.
type day struct {
	*plan
	t     *testing.T
	shift time.Duration // of the bubble's clock
	rules int           // number of those in force
	lives int

	mu       sync.Mutex
	life     *life // nil: the server is down
	calls    []call
	tried    map[string]int
	revision map[string]int // number of the rules, by the name of the revision

	crashed map[int]bool // lives that ended so
	over    atomic.Bool  // the platforms give up: there is no server any more
}

func playDay(t *testing.T, seed uint64) {
	d := &day{plan: newPlan(seed), t: t, shift: time.Until(dayStart), tried: map[string]int{}, revision: map[string]int{}, crashed: map[int]bool{}}
	l, err := d.birth(memoryDir(t))
	if err != nil {
		t.Fatal(err)
	}
	d.life = l
	var work sync.WaitGroup
	for _, m := range d.meetings {
		work.Go(func() { d.send(m) })
	}
	if err := d.disturb(); err != nil {
		d.over.Store(true)
		t.Error(err)
	} else {
		d.sleep(d.until.Add(drain))
		synctest.Wait()
	}
	work.Wait() // nobody sends any more
	if l = d.life; l != nil {
		if err := l.stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
		d.check(l.dir)
	}
	if t.Failed() {
		t.Logf("play this day again with -run TestDay -seed %d -seeds 1", seed)
	}
}

func (d *day) now() time.Time { return time.Now().Add(d.shift).UTC().Round(0) }

// sleep lets the time pass until at. In the bubble that takes none.
func (d *day) sleep(at time.Time) {
	if wait := at.Sub(d.now()); wait > 0 {
		time.Sleep(wait)
	}
}

// send sends what happens in a meeting: each event on its way of its own, but
// the end after the beginning is known.
func (d *day) send(m *meeting) {
	known := make(chan struct{})
	var work sync.WaitGroup
	for _, e := range m.events {
		for i, at := range e.sends {
			work.Go(func() {
				d.sleep(at)
				if e.name != started || i > 0 {
					<-known
				}
				d.deliver(e, i)
				if e.name == started && i == 0 {
					close(known)
				}
			})
		}
	}
	work.Wait()
}

// deliver sends e until it is acknowledged, as a platform does, but not for ever.
func (d *day) deliver(e *event, copy int) {
	for n := 1; !d.post(e) && !d.over.Load() && d.now().Before(d.until.Add(drain)); n++ {
		time.Sleep(time.Second + time.Duration(d.chance(fmt.Sprint(e.id, "/", copy), n)*float64(time.Minute)))
	}
}

// post sends e once and reports whether it was acknowledged.
func (d *day) post(e *event) bool {
	d.mu.Lock()
	l := d.life
	if l != nil {
		l.asked.Add(1)
	}
	d.mu.Unlock()
	if l == nil {
		return false
	}
	defer l.asked.Done()
	body, err := e.body()
	if err != nil {
		d.t.Error(err)
		return true
	}
	signed, err := load.Signed(body, d.now())
	if err != nil {
		d.t.Error(err)
		return true
	}
	req := httptest.NewRequest(http.MethodPost, "/hooks/load", bytes.NewReader(body))
	req.Header = signed.Request.Header.Clone()
	res := httptest.NewRecorder()
	l.handler.ServeHTTP(res, req)

	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case l.dead: // the answer never came
		return false
	case res.Code == http.StatusServiceUnavailable:
		return false
	case res.Code/100 != 2:
		d.t.Errorf("%s was answered %d", e, res.Code)
	case e.acked.IsZero():
		e.acked = d.now()
	}
	return true
}

// disturb ends servers and changes rules, as planned.
func (d *day) disturb() error {
	var dying sync.WaitGroup
	defer dying.Wait()
	for _, x := range d.changes {
		d.sleep(x.at)
		if x.how == reload {
			d.rules++
			if err := d.life.use(d.rules); err != nil {
				return fmt.Errorf("reload: %w", err)
			}
			continue
		}
		if err := d.end(x, &dying); err != nil {
			return err
		}
	}
	return nil
}

// end ends the server and starts the next one.
func (d *day) end(x change, dying *sync.WaitGroup) error {
	l, dir := d.life, d.life.dir
	if x.how == crash {
		l.crashAfter(x.points)
		dir = <-l.died
		d.crashed[l.n] = true
		dying.Go(func() { // nobody sees that it goes on for a while
			if err := errors.Join(l.stop(), os.RemoveAll(l.dir)); err != nil {
				d.t.Errorf("after a crash: %v", err)
			}
		})
	}
	d.mu.Lock()
	d.life = nil
	d.mu.Unlock()
	if x.how == restart {
		if err := l.stop(); err != nil {
			return fmt.Errorf("stop: %w", err)
		}
	}
	time.Sleep(x.down)
	next, err := d.birth(dir)
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	d.mu.Lock()
	d.life = next
	d.mu.Unlock()
	return nil
}

// memoryDir is a folder in memory where there is one: a day is about time, and
// its thousands of transactions need no disk to wait for.
func memoryDir(t *testing.T) string {
	base := ""
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		base = "/dev/shm"
	}
	dir, err := os.MkdirTemp(base, "gavel-soak-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir + "/0"
}

// env is the environment of the rules.
func env() map[string]string {
	all := map[string]string{}
	for _, x := range load.Env() {
		name, value, _ := strings.Cut(x, "=")
		all[name] = value
	}
	return all
}
