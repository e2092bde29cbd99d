package store

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// Steps of the disk guard: what is left out while the disk is that full. What
// was promised goes on in all of them: runs, timers, what they leave.
const (
	diskPlenty  = iota
	diskLow     // traces of refused deliveries go sooner
	diskLower   // they are counted, and no longer written
	diskReserve // new events are refused
)

const (
	// spaceEvery is how often the guard looks.
	spaceEvery = 2 * time.Second
	// comeAgain is what senders are told while events are refused.
	comeAgain = 30 * time.Second
)

// diskMark is how much room there is at least before a step is taken: a share of
// the disk, and at most so many bytes.
type diskMark struct{ percent, most int64 }

func (m diskMark) of(total int64) int64 { return min(total/100*m.percent, m.most) }

func marks() [diskReserve + 1]diskMark {
	return [...]diskMark{diskLow: {5, 1 << 30}, diskLower: {2, 256 << 20}, diskReserve: {1, 64 << 20}}
}

// guard watches the disk of the store, so that it is never asked for what it
// does not have.
type guard struct {
	dir    string
	log    *slog.Logger
	space  func(dir string) (free, total int64, err error)
	reader *Reader
	every  time.Duration

	at   atomic.Int32 // the step
	free atomic.Int64 // bytes on the disk; 0 before the first look
	lost bool         // it could not be looked at, and that was said
}

// newGuard is nil if nobody says how much room there is.
func newGuard(o Options, r *Reader, dir string) *guard {
	if o.Space == nil {
		return nil
	}
	return &guard{dir: dir, log: o.Log, space: o.Space, every: o.SpaceEvery, reader: r}
}

// loop looks at the disk until ctx ends.
func (g *guard) loop(ctx context.Context) {
	tick := time.NewTicker(g.every)
	defer tick.Stop()
	for {
		g.look(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// look finds out which step is to be taken.
func (g *guard) look(ctx context.Context) {
	free, total, err := g.space(g.dir)
	if err != nil || total <= 0 {
		if !g.lost && ctx.Err() == nil {
			g.lost = true
			g.log.Warn("free space on the disk is not known: nothing is left out before it is full", "folder", g.dir, "error", err)
		}
		return
	}
	g.lost = false
	g.free.Store(free)
	inside := int64(0)
	if free < marks()[diskLow].of(total)*2 {
		inside = g.reader.unused(ctx)
	}
	was := g.step()
	if is := stepAt(was, free, inside, total); is != was {
		g.at.Store(int32(is))
		g.tell(was, is, free, inside)
	}
}

// stepAt is the step to be taken with free bytes on a disk, and inside ones in
// the file for others to be stored in. A step is left only when there is a
// tenth more than its mark.
func stepAt(was int, free, inside, total int64) int {
	for step := diskReserve; step > diskPlenty; step-- {
		least := marks()[step].of(total)
		if was >= step {
			least += least / 10
		}
		// The log and the file's own growth need the disk itself.
		if free+inside < least || step == diskReserve && free < least/2 {
			return step
		}
	}
	return diskPlenty
}

// tell says what is left out from now on, or no longer.
func (g *guard) tell(was, is int, free, inside int64) {
	says := [...]string{
		diskPlenty:  "there is room on the disk again",
		diskLow:     "the disk is getting full: traces of refused deliveries are kept for less long",
		diskLower:   "the disk is almost full: refused deliveries are only counted",
		diskReserve: "the disk is full but for a reserve: new events are refused with 503, runs go on",
	}
	level, fields := slog.LevelWarn, []any{"folder", g.dir, "free", megabytes(free), "free_in_file", megabytes(inside)}
	switch {
	case is == diskPlenty:
		level = slog.LevelInfo
	case is == diskReserve:
		level = slog.LevelError
		fallthrough
	default:
		fields = append(fields, "hint", "free some space, or keep less: --retention")
	}
	if is < was && is > diskPlenty {
		level = slog.LevelInfo
	}
	g.log.Log(context.Background(), level, says[is], fields...)
}

// step is the step taken. Without a guard there is always room.
func (g *guard) step() int {
	if g == nil {
		return diskPlenty
	}
	return int(g.at.Load())
}

// disk is what people are told of it; nil if it is not watched.
func (g *guard) disk() *engine.Disk {
	if g == nil {
		return nil
	}
	says := [...]string{diskPlenty: "plenty", diskLow: "low", diskLower: "lower", diskReserve: "reserve"}
	return &engine.Disk{Free: g.free.Load(), Step: says[g.step()]}
}

// refuses is why no event is taken; nil if they are.
func (g *guard) refuses() error {
	if g.step() < diskReserve {
		return nil
	}
	return engine.RetryAfter(fmt.Errorf("%w: the disk of %s has %s left, which are kept for what is under way: free some space, or keep less: --retention",
		engine.ErrUnavailable, g.dir, megabytes(g.free.Load())), comeAgain)
}

// unused is how many bytes of the file hold nothing; 0 if that cannot be read.
func (r *Reader) unused(ctx context.Context) (n int64) {
	_ = r.db.QueryRowContext(ctx, unusedBytes).Scan(&n)
	return n
}

const unusedBytes = `SELECT freelist_count * page_size FROM pragma_freelist_count, pragma_page_size`
