package store

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"os"
)

// rollBack undoes what a server was writing when it died before the file had a
// log: the first thing ever written to it. Connections that only read cannot,
// and would refuse the file for good.
func rollBack(ctx context.Context, path string) error {
	if _, err := os.Stat(path + "-journal"); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	db, err := sql.Open("sqlite", dsn(path, "_pragma=busy_timeout(5000)"))
	if err != nil {
		return err
	}
	defer db.Close()
	var tables int
	return db.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_schema`).Scan(&tables)
}
