package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"sync"
	"time"
)

// patience is how long the disk may take for one byte.
const patience = time.Second

// pulseAt is where in the lock file the byte is, behind what is for people.
const pulseAt = 20

// errHangs marks a file system on which writes do not return.
var errHangs = errors.New("the disk does not answer")

// pulse is felt before the database is used. The index of SQLite's log is a
// file mapped into memory: a thread that writes there while the file system
// hangs stops within a page fault. The garbage collector waits for it, and the
// whole process for the garbage collector. Writing the same byte again to a
// file beside the database is a system call: if that hangs, it holds up nobody
// but its goroutine. It is safe for concurrent use.
type pulse struct {
	file io.WriterAt
	now  func() time.Time

	mu   sync.Mutex
	beat *beat // under way
}

// beat is one write. err may be read when done is closed.
type beat struct {
	began time.Time
	done  chan struct{}
	err   error
}

// touch writes, however long that takes.
func (p *pulse) touch() error {
	_, err := p.file.WriteAt([]byte{'\n'}, pulseAt)
	return err
}

// feel is touch with patience.
func (p *pulse) feel(ctx context.Context) error {
	b := p.join()
	left := patience - p.now().Sub(b.began)
	timer := time.NewTimer(max(0, min(left, patience)))
	defer timer.Stop()
	select {
	case <-b.done:
		return b.err
	case <-timer.C:
		return errHangs
	case <-ctx.Done():
		return ctx.Err()
	}
}

// join is the write under way, begun if there is none.
func (p *pulse) join() *beat {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.beat != nil {
		return p.beat
	}
	b := &beat{began: p.now(), done: make(chan struct{})}
	p.beat = b
	go func() { // one at a time, and it outlives nobody but a disk that hangs
		b.err = p.touch()
		p.mu.Lock()
		p.beat = nil
		p.mu.Unlock()
		close(b.done)
	}()
	return b
}

// careful opens connections that feel the pulse before every question.
type careful struct {
	driver.Connector
	pulse *pulse
}

func (c careful) Connect(ctx context.Context) (driver.Conn, error) {
	if err := c.pulse.feel(ctx); errors.Is(err, errHangs) {
		return nil, err
	}
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	known, ok := conn.(sqliteConn)
	if !ok {
		conn.Close()
		return nil, errors.New("the database driver has changed")
	}
	return &carefulConn{known, c.pulse}, nil
}

// sqliteConn is what database/sql uses of a connection to SQLite.
type sqliteConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

type carefulConn struct {
	sqliteConn
	pulse *pulse
}

// QueryContext implements driver.QueryerContext. A disk that refuses to write
// may still be read.
func (c *carefulConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if err := c.pulse.feel(ctx); errors.Is(err, errHangs) {
		return nil, err
	}
	return c.sqliteConn.QueryContext(ctx, query, args)
}
