package store

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestRollBack opens a file whose server died while it made the first tables,
// before the file had a log.
func TestRollBack(t *testing.T) {
	dir := t.TempDir()
	whole, dead := filepath.Join(dir, "whole.db"), filepath.Join(dir, "dead.db")
	db, err := sql.Open("sqlite", dsn(whole, "_pragma=cache_size(2)")) // so small that it writes to the file before the end
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	_, err = db.Exec(`CREATE TABLE a (x); INSERT INTO a VALUES ('before');
		BEGIN; UPDATE a SET x = 'after'; CREATE TABLE b (x);
		WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200) INSERT INTO b SELECT randomblob(1000) FROM n`)
	for _, end := range []string{"", "-journal"} {
		text, readErr := os.ReadFile(whole + end)
		err = errors.Join(err, readErr, os.WriteFile(dead+end, text, 0o600))
	}
	if err != nil {
		t.Fatal(err)
	}

	read := func() (x string, err error) {
		db, err := sql.Open("sqlite", dsn(dead, readerSettings))
		if err != nil {
			return "", err
		}
		defer db.Close()
		return x, db.QueryRow(`SELECT group_concat(x) FROM a`).Scan(&x)
	}
	if x, err := read(); err == nil {
		t.Fatalf("there is nothing to roll back: %q", x)
	}
	if err := rollBack(t.Context(), dead); err != nil {
		t.Fatal(err)
	}
	if x, err := read(); x != "before" || err != nil {
		t.Errorf("got %q, %v", x, err)
	}
	if err := rollBack(t.Context(), dead); err != nil {
		t.Errorf("again: %v", err)
	}
}
