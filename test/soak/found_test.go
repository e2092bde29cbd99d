package soak

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/store"
)

// found is what a day left in its folder.
type found struct {
	events  []*stored // in the order they were accepted
	byID    map[string]*stored
	runs    []*engine.Run
	timers  []engine.Timer
	entries []engine.Entry
}

// stored is an event as it is stored.
type stored struct {
	engine.EventRow
	sent string // its id on the wire; "" if it is Gavel's own
}

func find(dir string, now func() time.Time) (*found, error) {
	ctx := context.Background()
	if err := whole(ctx, dir); err != nil {
		return nil, fmt.Errorf("the database is damaged: %w", err)
	}
	r, err := store.OpenReader(ctx, dir, now)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	f, sent := &found{byID: map[string]*stored{}}, map[string]string{}
	const most = 1 << 20
	err = r.Sent(ctx, store.Past{}, func(s store.Sent) error {
		var body struct{ ID string }
		err := json.Unmarshal(s.Raw, &body)
		sent[s.ID] = body.ID
		return err
	})
	rows, readErr := r.Events(ctx, engine.Query{Limit: most, After: "evt_"})
	err = errors.Join(err, readErr)
	for _, row := range rows {
		x := &stored{row, sent[row.ID]}
		f.events, f.byID[row.ID] = append(f.events, x), x
	}
	err = errors.Join(err, r.Done(ctx, time.Time{}, time.Time{}, func(run *engine.Run) error {
		f.runs = append(f.runs, run)
		return nil
	}))
	f.timers, readErr = r.Timers(ctx, engine.Query{Limit: most})
	err = errors.Join(err, readErr)
	return f, errors.Join(err, r.Entries(ctx, engine.Query{}, time.Time{}, time.Time{}, func(e engine.Entry) error {
		f.entries = append(f.entries, e)
		return nil
	}))
}

// whole says what SQLite finds wrong with the file.
func whole(ctx context.Context, dir string) error {
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: filepath.Join(dir, "gavel.db"), RawQuery: "mode=ro"}).String())
	if err != nil {
		return err
	}
	defer db.Close()
	var said string
	if err := db.QueryRowContext(ctx, "PRAGMA integrity_check").Scan(&said); err != nil {
		return err
	}
	if said != "ok" {
		return errors.New(said)
	}
	return nil
}
