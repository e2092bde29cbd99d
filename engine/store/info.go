package store

import (
	"context"
	"database/sql"
	"os"
	"strings"
)

// Info says how a database file is used.
type Info struct {
	File   string `json:"file"`
	Schema int64  `json:"schema"`
	Contents
	Log    int64       `json:"log"`  // bytes of the log beside it
	Free   int64       `json:"free"` // bytes of it that hold nothing: new rows take them first
	Tables []TableSize `json:"tables"`
}

// TableSize is one table with its indexes.
type TableSize struct {
	Name string `json:"name"`
	Rows int64  `json:"rows"`
	Size int64  `json:"size"` // bytes
}

// ReadInfo looks at every page of the database file at path, beside a server
// or without one. Tables come by their size.
func ReadInfo(ctx context.Context, path string) (Info, error) {
	info := Info{File: path}
	db, err := openToRead(path)
	if err != nil {
		return info, err
	}
	defer db.Close()
	if info.Schema, err = known(ctx, db, path); err != nil {
		return info, err
	}
	if err := info.read(ctx, db); err != nil {
		return info, cannotRead(path, err)
	}
	if log, err := os.Stat(path + "-wal"); err == nil {
		info.Log = log.Size()
	}
	return info, nil
}

func (i *Info) read(ctx context.Context, db *sql.DB) (err error) {
	tx, err := db.BeginTx(ctx, nil) // all of it at one moment
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // nothing was written
	if i.Contents, err = contents(ctx, tx); err != nil {
		return err
	}
	err = tx.QueryRowContext(ctx, `SELECT freelist_count * page_size FROM pragma_freelist_count, pragma_page_size`).Scan(&i.Free)
	if err != nil {
		return err
	}
	rows, err := tx.QueryContext(ctx, `SELECT o.tbl_name, sum(s.pgsize) FROM dbstat s JOIN sqlite_schema o ON o.name = s.name
		WHERE s.aggregate = TRUE AND o.tbl_name NOT LIKE 'goose_%' AND o.tbl_name NOT LIKE 'sqlite_%' GROUP BY o.tbl_name ORDER BY 2 DESC, 1`)
	if err != nil {
		return err
	}
	err = scanAll(rows, func(r *sql.Rows) error {
		var t TableSize
		err := r.Scan(&t.Name, &t.Size)
		i.Tables = append(i.Tables, t)
		return err
	})
	for n := range i.Tables {
		if err != nil {
			return err
		}
		t := &i.Tables[n]
		err = tx.QueryRowContext(ctx, `SELECT count(*) FROM "`+strings.ReplaceAll(t.Name, `"`, `""`)+`"`).Scan(&t.Rows)
	}
	return err
}
