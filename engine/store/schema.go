package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
)

//go:embed migrations/*.sql
var migrations embed.FS

// schemaVersion is the newest migration.
const schemaVersion = 4

// applicationID is what migration 1 writes into the head of the file.
const applicationID = 1734440556

// migrate brings the file to schemaVersion. It refuses a file that is not ours
// and one that a newer version has written.
func migrate(ctx context.Context, db *sql.DB, path string) error {
	if err := ours(ctx, db, path); err != nil {
		return err
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, files,
		goose.WithLogger(goose.NopLogger()), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	current, newest, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("cannot open %s: %s", path, explain(err))
	}
	if current > newest {
		return newer(path, current)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("cannot bring %s to schema %d: %s", path, newest, explain(err))
	}
	return nil
}

func newer(path string, version int64) error {
	return fmt.Errorf("cannot open %s: a newer gavel wrote it (schema %d, this version knows %d): use that version, or name another folder with --data",
		path, version, schemaVersion)
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
	return fmt.Errorf("cannot open %s: another program's database: move it away, or name another folder with --data", path)
}

// known is the schema of a file this version can read, or bring up to date.
func known(ctx context.Context, db queryer, path string) (int64, error) {
	if err := ours(ctx, db, path); err != nil {
		return 0, err
	}
	var begun bool
	if err := db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'entries')`).Scan(&begun); err != nil {
		return 0, cannotRead(path, err)
	}
	if !begun {
		return 0, fmt.Errorf("cannot read %s: nothing is in it yet: start gavel serve first", path)
	}
	v, err := version(ctx, db)
	switch {
	case err != nil:
		return 0, cannotRead(path, err)
	case v > schemaVersion:
		return v, newer(path, v)
	}
	return v, nil
}

// version is the schema of the file.
func version(ctx context.Context, db queryer) (int64, error) {
	var v int64
	err := db.QueryRowContext(ctx, `SELECT max(version_id) FROM goose_db_version WHERE is_applied`).Scan(&v)
	return v, err
}
