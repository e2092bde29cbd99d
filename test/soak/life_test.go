package soak

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oklog/ulid/v2"
	_ "modernc.org/sqlite" // what holds a file still while it is copied

	"github.com/gavelhq/gavel/actions"
	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/rules"
	"github.com/gavelhq/gavel/engine/store"
	"github.com/gavelhq/gavel/triggers"
)

// life is a server from its start to its end.
type life struct {
	d        *day
	n        int
	dir      string
	actions  []engine.ActionKind
	sources  []engine.PlatformKind
	store    *store.SQLite
	engine   *engine.Engine
	endpoint *triggers.Endpoint
	handler  http.Handler
	stopped  chan error // of engine.Run
	cancel   context.CancelFunc
	asked    sync.WaitGroup // deliveries under way
	ids      atomic.Uint64

	left atomic.Int64 // points until it crashes; 0: it does not
	died chan string  // the folder it left behind

	dead bool // by d.mu: what it does from now on did not happen
}

// birth starts a server on what the one before it left in dir.
func (d *day) birth(dir string) (*life, error) {
	l := &life{d: d, n: d.lives, dir: dir, stopped: make(chan error, 1), died: make(chan string, 1)}
	d.lives++
	ctx, log := context.Background(), slog.New(slog.DiscardHandler)
	l.actions = actions.Builtin(actions.Options{Log: log, Version: "test", Now: d.now})
	l.sources = triggers.Builtin(triggers.Options{KeyClient: http.DefaultClient, Now: d.now})
	for i, k := range l.actions {
		if k.Name == "http" {
			l.actions[i].Do = func(ctx context.Context, c engine.Call) (engine.Result, error) { return d.callTarget(ctx, l, c) }
		}
	}
	var err error
	if l.store, err = store.Open(ctx, dir, store.Options{NewID: l.newID, Now: l.now, Log: log, SessionTimeout: 3 * dayLong}); err != nil {
		return nil, err
	}
	l.engine, err = engine.New(engine.Options{
		Store: l.store, Actions: l.actions, Now: l.now, Log: log, Workers: 8,
		Rand: func() float64 { return 0.5 },
		Load: func(text []byte) (engine.Planner, error) {
			return rules.LoadRevision(text, rules.Options{Actions: l.actions, Platforms: l.sources})
		},
	})
	if err != nil {
		return nil, errors.Join(err, l.store.Close())
	}
	l.endpoint = triggers.NewEndpoint(triggers.EndpointOptions{
		Accept: l.engine.Accept, Refused: l.engine.Refused, Now: d.now, NewID: l.newID, Log: log,
		Fill: func(ev *engine.Event) error { return l.engine.Planner().Fill(ev) },
	})
	l.handler = l.endpoint.Handler()
	if err := l.use(d.rules); err != nil {
		return nil, errors.Join(err, l.store.Close())
	}
	run, cancel := context.WithCancel(ctx)
	l.cancel = cancel
	go func() { l.stopped <- l.engine.Run(run, 20*time.Second) }()
	return l, nil
}

// use puts the rules of that number in force.
func (l *life) use(n int) error {
	set, problems := rules.Load([]rules.File{{Name: "rules.yaml", Text: []byte(dayRules(n))}}, rules.Options{
		Actions: l.actions, Platforms: l.sources,
		Getenv: func(name string) (string, bool) { v, ok := env()[name]; return v, ok },
	})
	if len(problems) > 0 {
		return fmt.Errorf("the rules of the day: %w", problems)
	}
	if err := l.endpoint.Use(l.sources, set.Sources()); err != nil {
		return err
	}
	_, err := l.engine.Use(context.Background(), set, set.Connection)
	l.d.mu.Lock()
	defer l.d.mu.Unlock()
	l.d.revision[set.Revision()] = n
	return err
}

// now is the time, and a point at which the server may crash.
func (l *life) now() time.Time {
	l.point()
	return l.d.now()
}

// newID makes ids that sort by time, which no other life makes. The committer
// asks for them in the middle of its transactions.
func (l *life) newID() string {
	l.point()
	var id ulid.ULID
	_ = id.SetTime(ulid.Timestamp(l.d.now())) // fails in the year 10889
	binary.BigEndian.PutUint16(id[6:], uint16(l.n))
	binary.BigEndian.PutUint64(id[8:], l.ids.Add(1))
	return id.String()
}

// crashAfter lets the server crash at the n-th point from now on.
func (l *life) crashAfter(n int) { l.left.Store(int64(n)) }

// point is something that the server does. If it is the last thing, the files
// are left as they are at this moment, whatever transaction is under way, and
// nobody hears of the server any more. It goes on none the less, on files
// that are thrown away.
func (l *life) point() {
	if l.left.Load() <= 0 || l.left.Add(-1) != 0 {
		return
	}
	l.d.mu.Lock()
	defer l.d.mu.Unlock()
	l.dead = true
	next := l.dir + "x"
	if err := leave(l.dir, next); err != nil {
		l.d.t.Errorf("crash: %v", err)
	}
	l.died <- next
}

// leave copies the database and its log as a crash would leave them. A reader
// holds on to the log meanwhile: pages may be written back from it that are in
// it, and it is not begun anew, so that both files fit together.
func leave(from, to string) error {
	ctx := context.Background()
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: filepath.Join(from, "gavel.db"), RawQuery: "mode=ro"}).String())
	if err != nil {
		return err
	}
	defer db.Close()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // it has only read
	var n int
	if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_master").Scan(&n); err != nil {
		return err
	}
	if err := os.Mkdir(to, 0o700); err != nil {
		return err
	}
	for _, name := range []string{"gavel.db", "gavel.db-wal"} {
		if err := copyFile(filepath.Join(from, name), filepath.Join(to, name)); err != nil {
			return err
		}
	}
	return nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// stop ends the server in order.
func (l *life) stop() error {
	l.cancel()
	err := <-l.stopped
	l.asked.Wait()
	return errors.Join(err, l.store.Close())
}
