package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// Done calls fn with the runs created from since up to before until (zero: no
// bound) in the order in which they were made, those of shadow rules too: what
// their steps were, and what came of them. fn owns what it is given.
func (r *Reader) Done(ctx context.Context, since, until time.Time, fn func(*engine.Run) error) error {
	var f filter
	if !since.IsZero() {
		first, err := r.rowSince(ctx, "runs", "created", since)
		if err != nil {
			return err
		}
		f.add("seq >= ? AND created >= ?", first, since.UnixMicro())
	}
	if !until.IsZero() {
		f.add("created < ?", until.UnixMicro())
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	queue := make(chan *doneBatch, 2) // decoded side by side, taken in order
	var reading error
	go func() {
		defer close(queue)
		reading = r.readDone(ctx, f, queue)
	}()
	for b := range queue {
		<-b.decoded
		for _, run := range b.runs {
			if b.err = fn(run); b.err != nil {
				break
			}
		}
		if b.err != nil {
			cancel()
			for range queue { // until the reader has noticed
			}
			return b.err
		}
	}
	return reading
}

// doneBatch is some runs on their way.
type doneBatch struct {
	bodies  [][]byte
	runs    []*engine.Run
	err     error
	decoded chan struct{}
}

// readDone reads runs in batches.
func (r *Reader) readDone(ctx context.Context, f filter, queue chan<- *doneBatch) error {
	const size = 256
	b := &doneBatch{decoded: make(chan struct{})}
	hand := func() error {
		go b.decode()
		select {
		case queue <- b:
		case <-ctx.Done():
			return ctx.Err()
		}
		b = &doneBatch{decoded: make(chan struct{})}
		return nil
	}
	err := r.each(ctx, `SELECT body FROM runs`+f.where()+` ORDER BY seq`, f.args, func(rows *sql.Rows) error {
		var body []byte
		if err := rows.Scan(&body); err != nil {
			return err
		}
		if b.bodies = append(b.bodies, body); len(b.bodies) < size {
			return nil
		}
		return hand()
	})
	if err != nil {
		return err
	}
	return hand()
}

func (b *doneBatch) decode() {
	defer close(b.decoded)
	for _, body := range b.bodies {
		run := new(engine.Run)
		// Its view may hold numbers that only decode reads exactly: nobody asks
		// for them here, and there are many runs.
		if b.err = json.Unmarshal(body, run); b.err != nil {
			return
		}
		run.View = nil
		b.runs = append(b.runs, run)
	}
}

// Extent is what is there of the events.
type Extent struct {
	First, Last time.Time // received; zero: there are none
	From, To    int64     // see [Sent].Seq: of those that were asked for, about
}

// Extent says which events are there, and where those from since up to before
// until stand among them.
func (r *Reader) Extent(ctx context.Context, since, until time.Time) (x Extent, err error) {
	var first, last int64
	err = r.db.QueryRowContext(ctx, `SELECT received, seq FROM events ORDER BY seq LIMIT 1`).Scan(&first, &x.From)
	if errors.Is(err, sql.ErrNoRows) {
		return Extent{}, nil
	}
	if err == nil {
		err = r.db.QueryRowContext(ctx, `SELECT received, seq FROM events ORDER BY seq DESC LIMIT 1`).Scan(&last, &x.To)
	}
	if err != nil {
		return x, r.fail(err)
	}
	x.First, x.Last = at(first), at(last)
	if since.After(x.First) {
		if x.From, err = r.rowSince(ctx, "events", "received", since); err != nil {
			return x, err
		}
	}
	if !until.IsZero() && until.Before(x.Last) {
		x.To, err = r.rowSince(ctx, "events", "received", until)
	}
	return x, err
}

// InForce is the id of the rules revision that was used last: that of the newest
// event, or a newer one.
func (r *Reader) InForce(ctx context.Context) (id string, err error) {
	err = r.db.QueryRowContext(ctx, `SELECT id FROM
		(SELECT * FROM (SELECT revision AS id, received AS at FROM events ORDER BY seq DESC LIMIT 1)
		UNION ALL SELECT * FROM (SELECT id, saved FROM revisions ORDER BY saved DESC, rowid DESC LIMIT 1))
		ORDER BY at DESC LIMIT 1`).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("rules revisions: %w", engine.ErrNotFound)
	}
	return id, r.fail(err)
}

// RevisionID is the id of the rules revision that begins with prefix.
func (r *Reader) RevisionID(ctx context.Context, prefix string) (string, error) {
	var ids []string
	err := r.each(ctx, `SELECT id FROM revisions WHERE substr(id, 1, length(?)) = ? ORDER BY id LIMIT 2`, []any{prefix, prefix}, func(rows *sql.Rows) error {
		var id string
		err := rows.Scan(&id)
		ids = append(ids, id)
		return err
	})
	switch {
	case err != nil:
		return "", err
	case len(ids) == 0 || prefix == "":
		return "", fmt.Errorf("rules revision %s: %w", prefix, engine.ErrNotFound)
	case len(ids) > 1:
		return "", fmt.Errorf("rules revision %s is not clear: %s begin so: give more characters", prefix, strings.Join(ids, " and "))
	}
	return ids[0], nil
}
