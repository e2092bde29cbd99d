package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
	sqlite3 "modernc.org/sqlite/lib"
)

//go:embed migrations/*.sql
var migrations embed.FS

// schemaVersion is the newest migration.
const schemaVersion = 5

// applicationID is what migration 1 writes into the head of the file.
const applicationID = 1734440556

// migrate brings the file to schemaVersion. It refuses a file that is not ours
// and one that a newer version has written.
func migrate(ctx context.Context, db *sql.DB, path string) error {
	if err := ours(ctx, db, path); err != nil {
		return err
	}
	p, err := steps(db)
	if err != nil {
		return err
	}
	current, newest, err := p.GetVersions(ctx)
	if err != nil {
		return cannotRead(path, err)
	}
	if current > newest {
		return newer(path, current)
	}
	// The indexes of a large table are sorted in files, not in memory. It cannot be
	// said within a transaction; the pool hands this connection out again.
	if _, err := db.ExecContext(ctx, `PRAGMA temp_store = FILE`); err != nil {
		return cannotRead(path, err)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("cannot bring %s to schema %d: %s", path, newest, notBrought(err))
	}
	return nil
}

// steps are the migrations of a database.
func steps(db *sql.DB) (*goose.Provider, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectSQLite3, db, files,
		goose.WithLogger(goose.NopLogger()), goose.WithDisableGlobalRegistry(true), goose.WithGoMigrations(ledgerMigration()))
}

// notBrought says why a step of a migration failed. The step is undone then.
func notBrought(err error) string {
	if step := (*goose.PartialError)(nil); errors.As(err, &step) {
		if code(step.Err) == sqlite3.SQLITE_ERROR || code(step.Err) == sqlite3.SQLITE_CONSTRAINT {
			return fmt.Sprintf("the step to schema %d does not fit what is in it: keep a copy of the folder, then restore a backup", step.Failed.Source.Version)
		}
		err = step.Err
	}
	return explain(err)
}

func newer(path string, version int64) error {
	return fmt.Errorf("cannot open %s: a newer gavel wrote it (schema %d, this version knows %d): use that version, or %s",
		path, version, schemaVersion, insteadOf(path))
}

// ours refuses files of other programs before anything is written to them.
func ours(ctx context.Context, db queryer, path string) error {
	var id, tables int64
	err := db.QueryRowContext(ctx, `SELECT (SELECT application_id FROM pragma_application_id),
		(SELECT count(*) FROM sqlite_schema WHERE name NOT LIKE 'goose_%' AND name NOT LIKE 'sqlite_%')`).Scan(&id, &tables)
	if err != nil {
		return cannotRead(path, err)
	}
	if id == applicationID || (id == 0 && tables == 0) {
		return nil
	}
	return fmt.Errorf("cannot open %s: another program's database: %s", path, moveOr(path))
}

// known is the schema of a file this version can read, or bring up to date.
func known(ctx context.Context, db queryer, path string) (int64, error) {
	if err := ours(ctx, db, path); err != nil {
		return 0, err
	}
	var tables, versions int
	err := db.QueryRowContext(ctx, `SELECT count(*) FILTER (WHERE name NOT LIKE 'goose_%' AND name NOT LIKE 'sqlite_%'),
		count(*) FILTER (WHERE name = 'goose_db_version') FROM sqlite_schema WHERE type = 'table'`).Scan(&tables, &versions)
	switch {
	case err != nil:
		return 0, cannotRead(path, err)
	case tables == 0 && isStore(path):
		return 0, fmt.Errorf("cannot read %s: nothing is in it yet: start gavel serve first", path)
	case tables == 0:
		return 0, fmt.Errorf("cannot read %s: nothing is in it: name a file that gavel backup has made", path)
	}
	var v int64
	if versions > 0 {
		if v, err = version(ctx, db); err != nil {
			return 0, cannotRead(path, err)
		}
	}
	switch {
	case v < 1:
		return v, fmt.Errorf("cannot read %s: it is no store of this program, or was never finished: %s", path, moveOr(path))
	case v > schemaVersion:
		return v, newer(path, v)
	}
	return v, nil
}

// insteadOf is what can be named instead of the file at path.
func insteadOf(path string) string {
	if isStore(path) {
		return "name another folder with --data"
	}
	return "name another file"
}

func moveOr(path string) string {
	if isStore(path) {
		return "move it away, or " + insteadOf(path)
	}
	return insteadOf(path)
}

// version is the schema of the file, 0 if it does not say.
func version(ctx context.Context, db queryer) (int64, error) {
	var v int64
	err := db.QueryRowContext(ctx, `SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied`).Scan(&v)
	return v, err
}
