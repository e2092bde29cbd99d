package store

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// says checks that err holds all words.
func says(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error, want one with %q", words)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q, want %q in it", err, w)
		}
	}
}

// saysNot checks that err holds none of the words.
func saysNot(t *testing.T, err error, words ...string) {
	t.Helper()
	for _, w := range words {
		if err != nil && strings.Contains(err.Error(), w) {
			t.Errorf("error %q, want no %q in it", err, w)
		}
	}
}

// Whoever has the folder removes what killed commands have left.
func TestFolderIsTidied(t *testing.T) {
	left := []string{"gavel.db.partial", "gavel.db.partial-journal", "gavel.db.restored.partial", "gavel.db.schema-1.partial", "gavel.db.given.partial"}
	for name, use := range map[string]func(t *testing.T, dir string){
		"a server": func(t *testing.T, dir string) { opened(t, dir).Close() },
		"compact": func(t *testing.T, dir string) {
			if _, err := Compact(context.Background(), dir); err != nil {
				t.Error(err)
			}
		},
		"restore": func(t *testing.T, dir string) {
			if _, err := Restore(context.Background(), "testdata/schema-0001.db", dir, time.Now); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filled(t)
			for _, n := range left {
				write(t, filepath.Join(dir, n), "x")
			}
			write(t, filepath.Join(dir, "gavel.db.mine"), "x")
			use(t, dir)
			for _, n := range left {
				if exists(filepath.Join(dir, n)) {
					t.Errorf("%s is left", n)
				}
			}
			if !exists(filepath.Join(dir, "gavel.db.mine")) {
				t.Error("removed what is somebody's")
			}
		})
	}
}

// Where there is no store it is said what to do.
func TestNoStore(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	file := filepath.Join(t.TempDir(), "a.db")
	all := func(words ...string) {
		t.Helper()
		_, err := File(dir)
		says(t, err, words...)
		_, err = Backup(ctx, dir, file, BackupOptions{Now: time.Now})
		says(t, err, words...)
		_, err = Compact(ctx, dir)
		says(t, err, words...)
	}
	all("cannot open "+filepath.Join(dir, fileName), "there is none", "start gavel serve first", "--data")
	write(t, filepath.Join(dir, restoredName), "x")
	all("a restore was broken off", "start gavel serve, which finishes it")
	if got := names(t, dir); got != restoredName {
		t.Errorf("folder has %s", got)
	}
}

// A log without its file is not removed by whoever reads.
func TestEmptiedIsOnlyLookedAt(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, fileName)
	write(t, path, "")
	write(t, path+"-wal", "what was received")
	_, err := Check(context.Background(), path, false)
	says(t, err, "it is empty, but gavel.db-wal beside it is not", "keep a copy")
	if !exists(path + "-wal") {
		t.Error("the log is gone")
	}
}

func TestFolderIsPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "data")
	s := inUse(t, dir)
	if _, err := s.Accept(context.Background(), delivery("a")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]os.FileMode{"": 0o700, "gavel.db": 0o600, "gavel.db-wal": 0o600, "gavel.db-shm": 0o600, "lock": 0o600} {
		st, err := os.Stat(filepath.Join(dir, name))
		if err != nil || st.Mode().Perm() != want {
			t.Errorf("%s: mode %v, want %v (%v)", name, st.Mode().Perm(), want, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "gavel.db-wal")); err == nil {
		t.Error("the log is left behind")
	}
}

func TestOneServerPerFolder(t *testing.T) {
	dir := t.TempDir()
	s := inUse(t, dir)
	_, err := Open(context.Background(), dir, options())
	says(t, err, dir, "another gavel (process ", "--data")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	opened(t, dir)
}

func TestOpenRefuses(t *testing.T) {
	for _, tc := range []struct {
		name  string
		make  func(t *testing.T, dir string)
		words []string
	}{
		{"text", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, fileName), strings.Repeat("not a database ", 100))
		}, []string{"gavel.db", "not a database", "--data"}},
		{"another program's database", func(t *testing.T, dir string) {
			execute(t, dir, `CREATE TABLE songs (title TEXT)`)
		}, []string{"gavel.db", "another program's", "--data"}},
		{"a newer schema", func(t *testing.T, dir string) {
			opened(t, dir).Close()
			execute(t, dir, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (7, 1)`)
		}, []string{"gavel.db", "newer gavel", "schema 7", "--data"}},
		{"a folder that is a file", func(t *testing.T, dir string) {
			if err := os.Remove(dir); err != nil {
				t.Fatal(err)
			}
			write(t, dir, "")
		}, []string{"data folder", "not a directory", "--data"}},
		{"a database that is a folder", func(t *testing.T, dir string) {
			if err := os.MkdirAll(filepath.Join(dir, fileName), 0o700); err != nil {
				t.Fatal(err)
			}
		}, []string{"data folder", "gavel.db in it is a folder", "--data"}},
		{"a lock that is a folder", func(t *testing.T, dir string) {
			if err := os.Mkdir(filepath.Join(dir, "lock"), 0o700); err != nil {
				t.Fatal(err)
			}
		}, []string{"data folder", "is a directory", "--data"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			tc.make(t, dir)
			before, _ := os.ReadFile(filepath.Join(dir, fileName))
			for range 2 { // the lock is given back
				_, err := Open(context.Background(), dir, options())
				says(t, err, tc.words...)
			}
			if after, _ := os.ReadFile(filepath.Join(dir, fileName)); string(after) != string(before) {
				t.Error("the file was changed")
			}
		})
	}
}

func TestReadOnlyFolder(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may write everywhere")
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	_, err := Open(context.Background(), dir, options())
	says(t, err, dir, "permission denied", "--data")
}

func TestOpenReader(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	_, err := OpenReader(ctx, dir, time.Now)
	says(t, err, "gavel.db", "gavel serve", "--data")

	s := inUse(t, dir)
	if _, err := s.Accept(ctx, delivery("a")); err != nil {
		t.Fatal(err)
	}
	read := func(when string) {
		t.Helper()
		r, err := OpenReader(ctx, dir, time.Now)
		if err != nil {
			t.Errorf("%s: %v", when, err)
			return
		}
		defer r.Close()
		if got := figures(t, r); got.Events != 1 {
			t.Errorf("%s: %+v", when, got)
		}
		if _, err := r.db.Exec(`DELETE FROM events`); err == nil {
			t.Errorf("%s: the reader can write", when)
		}
	}
	read("beside a server")
	if _, err := s.Accept(ctx, delivery("a")); err != nil { // not disturbed by it
		t.Fatal(err)
	}
	s.Close()
	read("without a server")
	opened(t, dir)
	read("beside another server")

	old := t.TempDir()
	opened(t, old).Close()
	execute(t, old, `DELETE FROM goose_db_version WHERE version_id > 1`)
	_, err = OpenReader(ctx, old, time.Now)
	says(t, err, "older", "gavel serve")
	execute(t, old, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (7, 1)`)
	_, err = OpenReader(ctx, old, time.Now)
	says(t, err, "newer gavel", "schema 7")
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// execute changes the database in dir behind the store's back.
func execute(t *testing.T, dir, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, fileName))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(statement); err != nil {
		t.Fatal(err)
	}
}
