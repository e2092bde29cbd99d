package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	sqlite3 "modernc.org/sqlite/lib"
)

// Compacted is what [Compact] did.
type Compacted struct {
	Report
	Before int64 `json:"size_before"` // bytes
}

// Compact writes the store in dir anew without the room that deleted rows have
// left in it, while no server runs there. The new file takes the place of the
// old one when it is complete and has been read back: a crash leaves one or the
// other.
func Compact(ctx context.Context, dir string) (Compacted, error) {
	path, err := File(dir) // before a folder is made for it
	if err != nil {
		return Compacted{}, err
	}
	db, err := openToRead(path)
	if err != nil {
		return Compacted{}, err
	}
	_, err = known(ctx, db, path)
	if err = errors.Join(err, db.Close()); err != nil {
		return Compacted{}, notCompacted(path, err)
	}
	f, err := lockFolder(dir)
	if err != nil {
		return Compacted{}, err
	}
	defer f.close()
	if err := f.itself(); err != nil {
		return Compacted{}, err
	}
	if err := fold(path); err != nil {
		return Compacted{}, err
	}
	if log, err := os.Stat(path + "-wal"); err == nil && log.Size() > 0 { // it cannot be folded: what is in it would be lost
		return Compacted{}, damagedStore(path)
	}
	p, err := newPartial(path)
	if err != nil {
		return Compacted{}, err
	}
	defer p.close()
	before, err := p.vacuum(ctx, path)
	if err != nil {
		return Compacted{}, notCompacted(path, cannotWrite(path, err))
	}
	after, err := check(ctx, p.path, true, false)
	if err != nil {
		return Compacted{}, err
	}
	if damage := after.Damage(); damage != "" {
		return Compacted{}, fmt.Errorf("%s is damaged, and stays as it is: %s: %s", path, damage, doRestore)
	}
	out := Compacted{after, before.Size}
	out.File = path
	if before.Size = after.Size; before != after.Contents {
		return Compacted{}, cannotWrite(path, fmt.Errorf("the new file holds %s instead of %s: check the disk", after.words(), before.words()))
	}
	if err := inherit(p.path); err != nil {
		return Compacted{}, cannotWrite(path, err)
	}
	return out, p.publish()
}

// notCompacted is err, or that the store is damaged.
func notCompacted(path string, err error) error {
	switch code(err) {
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return damagedStore(path)
	case sqlite3.SQLITE_ERROR:
		return cannotRead(path, err)
	}
	return err
}

func damagedStore(path string) error {
	return fmt.Errorf("%s is damaged, and stays as it is: keep a copy of the folder, then see what gavel store check says", path)
}

// vacuum writes what is in the file at path to p, and says what that is.
func (p *partial) vacuum(ctx context.Context, path string) (c Contents, err error) {
	// It is one file, and the lock is ours.
	db, err := sql.Open("sqlite", dsn(path, "mode=ro&immutable=1&"+pageSize))
	if err != nil {
		return c, err
	}
	defer db.Close()
	if c, err = contents(ctx, db); err != nil {
		return c, err
	}
	var unused int64
	if err := db.QueryRowContext(ctx, unusedBytes).Scan(&unused); err != nil {
		return c, err
	}
	if err := room(filepath.Dir(path), c.Size-unused); err != nil {
		return c, err
	}
	_, err = db.ExecContext(ctx, `VACUUM INTO ?`, p.path)
	return c, err
}
