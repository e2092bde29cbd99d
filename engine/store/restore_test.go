package store

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine/store/storetest"
)

var restoreTime = time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC)

func atRestore() time.Time { return restoreTime }

func TestRestore(t *testing.T) {
	ctx := context.Background()
	dir, file := filled(t), filepath.Join(t.TempDir(), "a.db")
	taken := backup(t, dir, file)
	s := running(t, dir)
	if _, err := s.Accept(ctx, delivery("after the backup")); err != nil {
		t.Fatal(err)
	}
	_, err := Restore(ctx, file, dir, atRestore)
	says(t, err, "another gavel (process ", "stop that one")
	s.Close()

	r, err := Restore(ctx, file, dir, atRestore)
	if err != nil {
		t.Fatal(err)
	}
	if r.File != file || r.Contents != taken.Contents || r.Target != filepath.Join(dir, fileName) || r.Kept != filepath.Join(dir, "gavel.db.before-20261121T030000.000Z") {
		t.Errorf("restored %+v", r)
	}
	if got := names(t, dir); got != "gavel.db gavel.db.before-20261121T030000.000Z lock" {
		t.Errorf("folder has %s", got)
	}
	if kept := sound(t, r.Kept); kept.Events != 4 {
		t.Errorf("kept %+v", kept)
	}
	if now := sound(t, filepath.Join(dir, fileName)); now.Events != 3 || !now.Taken.IsZero() {
		t.Errorf("store holds %+v", now)
	}
	s = running(t, dir)
	if out, err := s.Accept(ctx, delivery("after the backup")); err != nil || out.Duplicate {
		t.Errorf("accepted %+v, %v: sent again, it is new", out, err)
	}
	if info, err := os.Stat(filepath.Join(dir, fileName)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("file is %v (%v)", info, err)
	}
}

// running is the store in dir, in use at the time of what is in it: later, its
// session would have ended.
func running(t *testing.T, dir string) *SQLite {
	t.Helper()
	s := openedAt(t, dir, fixtureTime.Add(time.Hour))
	if _, err := s.Use(context.Background(), rulesWithText{storetest.NewRules("r1")}); err != nil {
		t.Fatal(err)
	}
	return s
}

// On a new machine there is nothing yet.
func TestRestoreIntoNothing(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.db")
	backup(t, filled(t), file)
	dir := filepath.Join(t.TempDir(), "new")
	r, err := Restore(context.Background(), file, dir, atRestore)
	if err != nil || r.Kept != "" || r.Target != filepath.Join(dir, fileName) {
		t.Errorf("restored %+v, %v", r, err)
	}
	if s := opened(t, dir); figures(t, s.Reader).Events != 3 {
		t.Error("it is not there")
	}
}

// What the log of a killed server holds belongs to what is kept.
func TestRestoreKeepsTheLog(t *testing.T) {
	dir, file := filled(t), filepath.Join(t.TempDir(), "a.db")
	backup(t, dir, file)
	killed := copyOfRunning(t, dir)
	r, err := Restore(context.Background(), file, killed, atRestore)
	if err != nil {
		t.Fatal(err)
	}
	if kept := sound(t, r.Kept); kept.Events != 4 {
		t.Errorf("kept %+v", kept)
	}

	// A damaged one has to be replaced too, and keeps what it has.
	damaged := copyOfRunning(t, dir)
	write(t, filepath.Join(damaged, fileName), strings.Repeat("not a database ", 1000))
	log, err := os.ReadFile(filepath.Join(damaged, fileName+"-wal"))
	if err != nil {
		t.Fatal(err)
	}
	if r, err = Restore(context.Background(), file, damaged, atRestore); err != nil {
		t.Fatal(err)
	}
	if kept, err := os.ReadFile(r.Kept + "-wal"); err != nil || string(kept) != string(log) {
		t.Errorf("%d bytes of the log were kept of %d (%v)", len(kept), len(log), err)
	}
	if s := opened(t, damaged); figures(t, s.Reader).Events != 3 {
		t.Error("the backup is not there")
	}
}

// copyOfRunning copies the folder of a server that has just accepted a fourth
// event, as kill -9 leaves it.
func copyOfRunning(t *testing.T, dir string) string {
	t.Helper()
	mine := t.TempDir()
	if err := os.CopyFS(mine, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	s := running(t, mine)
	if _, err := s.Accept(context.Background(), delivery("in the log")); err != nil {
		t.Fatal(err)
	}
	killed := filepath.Join(t.TempDir(), "killed")
	if err := os.CopyFS(killed, os.DirFS(mine)); err != nil {
		t.Fatal(err)
	}
	return killed
}

func TestRestoreRefuses(t *testing.T) {
	ctx := context.Background()
	dir, out := filled(t), t.TempDir()
	path := func(name string) string { return filepath.Join(out, name) }
	backup(t, dir, path("good.db"))
	good, err := os.ReadFile(path("good.db"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, path("cut.db"), string(good[:len(good)/2]))
	write(t, path("text"), strings.Repeat("not a database ", 1000))
	write(t, path("empty"), "")
	write(t, path("a.db.gz"), "\x1f\x8b\b and so on, for some more bytes than a database has in its head: "+strings.Repeat("x", 100))
	songs, newer := filepath.Join(out, "songs"), filled(t)
	if err := os.Mkdir(songs, 0o700); err != nil {
		t.Fatal(err)
	}
	execute(t, songs, `CREATE TABLE songs (title TEXT)`)
	execute(t, newer, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (7, 1)`)
	backupOfNewer := filepath.Join(newer, fileName)
	for _, tc := range []struct {
		file  string
		words []string
	}{
		{path("none"), []string{"none", "no such file"}},
		{out, []string{"is a folder"}},
		{path("cut.db"), []string{"cut.db", "damaged", "another backup"}},
		{path("text"), []string{"text", "not a database", "name a file that gavel backup has made"}},
		{path("empty"), []string{"nothing is in it", "name a file that gavel backup has made"}},
		{path("a.db.gz"), []string{"it is gzip", "gunzip it first"}},
		{filepath.Join(songs, fileName), []string{"another program's", "name another file"}},
		{backupOfNewer, []string{"newer gavel", "schema 7", "name another file"}},
		{filepath.Join(dir, fileName), []string{"the store itself"}},
	} {
		before := names(t, dir)
		_, err := Restore(ctx, tc.file, dir, atRestore)
		says(t, err, tc.words...)
		saysNot(t, err, "--data", "gavel serve")
		if after := names(t, dir); after != before {
			t.Errorf("%s: folder has %s, had %s", tc.file, after, before)
		}
	}
	if r := sound(t, filepath.Join(dir, fileName)); r.Events != 3 {
		t.Errorf("store holds %+v", r)
	}
}

// A restore that fails while the old store is in place leaves nothing that a
// later start would take for the store.
func TestRestoreFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.db")
	backup(t, filled(t), file)
	for _, tc := range []struct {
		name  string
		make  func(t *testing.T, dir string)
		words []string
	}{
		{"cannot be moved away", func(t *testing.T, dir string) {
			if err := os.Mkdir(filepath.Join(dir, "gavel.db.before-20261121T030000.000Z"), 0o700); err != nil {
				t.Fatal(err)
			}
		}, []string{"cannot write", "before-"}},
		{"a folder", func(t *testing.T, dir string) {
			os.Remove(filepath.Join(dir, fileName))
			if err := os.Mkdir(filepath.Join(dir, fileName), 0o700); err != nil {
				t.Fatal(err)
			}
		}, []string{"cannot replace", "it is a folder", "move it away"}},
		{"no store, and no way to install", func(t *testing.T, dir string) {
			os.Remove(filepath.Join(dir, fileName))
			write(t, filepath.Join(dir, fileName+"-journal"), "x")
			if err := os.Mkdir(filepath.Join(dir, "gavel.db.before-20261121T030000.000Z-journal"), 0o700); err != nil {
				t.Fatal(err)
			}
		}, []string{"cannot write", "before-"}},
		{"a link", func(t *testing.T, dir string) {
			to := filepath.Join(t.TempDir(), "elsewhere.db")
			if err := os.Rename(filepath.Join(dir, fileName), to); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(to, filepath.Join(dir, fileName)); err != nil {
				t.Fatal(err)
			}
		}, []string{"cannot replace", "it is a link to", "elsewhere.db", "in its place"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := filled(t)
			tc.make(t, dir)
			_, err := Restore(context.Background(), file, dir, atRestore)
			says(t, err, tc.words...)
			if exists(filepath.Join(dir, restoredName)) {
				t.Errorf("folder has %s", names(t, dir))
			}
		})
	}

	dir := filled(t)
	write(t, filepath.Join(dir, restoredName), "x")
	_, err := Restore(context.Background(), filepath.Join(dir, restoredName), dir, atRestore)
	says(t, err, "a restore that was broken off has left it")
	if !exists(filepath.Join(dir, restoredName)) {
		t.Error("it is gone")
	}
}

// A restore over one that was cut short keeps the old store with its log.
func TestRestoreAfterOneBrokenOff(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.db")
	backup(t, filled(t), file)
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	const kept = "gavel.db.before-20261121T020000.000Z"
	dir := copyOfRunning(t, filled(t))
	write(t, filepath.Join(dir, restoredName), string(good))
	rename(t, dir, fileName, kept)
	if _, err := Restore(context.Background(), file, dir, atRestore); err != nil {
		t.Fatal(err)
	}
	if old := sound(t, filepath.Join(dir, kept)); old.Events != 4 {
		t.Errorf("kept %+v, folder has %s", old, names(t, dir))
	}
}

// What was read from the log is made anew, and not kept beside what is kept.
func TestRestoreKeepsNoIndexOfTheLog(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.db")
	backup(t, filled(t), file)
	dir := filled(t)
	write(t, filepath.Join(dir, fileName), strings.Repeat("not a database ", 1000))
	write(t, filepath.Join(dir, fileName+"-shm"), "x")
	if _, err := Restore(context.Background(), file, dir, atRestore); err != nil {
		t.Fatal(err)
	}
	if got := names(t, dir); strings.Contains(got, "-shm") {
		t.Errorf("folder has %s", got)
	}
}

func TestRestoreFrom(t *testing.T) {
	ctx := context.Background()
	file, dir := filepath.Join(t.TempDir(), "a.db"), filled(t)
	backup(t, filled(t), file)
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	r, err := RestoreFrom(ctx, bytes.NewReader(good), dir, atRestore)
	if err != nil || r.File != "standard input" || r.Events != 3 || r.Taken.IsZero() || r.Kept == "" {
		t.Errorf("restored %+v, %v", r, err)
	}
	if got := names(t, dir); got != "gavel.db gavel.db.before-20261121T030000.000Z lock" {
		t.Errorf("folder has %s", got)
	}
	before := sound(t, filepath.Join(dir, fileName))
	for _, tc := range []struct {
		given string
		words []string
	}{
		{"\x1f\x8b\b and so on", []string{"cannot read standard input", "gunzip it first"}},
		{"", []string{"cannot read standard input", "nothing is in it"}},
		{string(good[:len(good)/2]), []string{"cannot restore standard input", "damaged"}},
	} {
		_, err := RestoreFrom(ctx, strings.NewReader(tc.given), dir, atRestore)
		says(t, err, tc.words...)
		saysNot(t, err, "partial")
		if got := names(t, dir); got != "gavel.db gavel.db.before-20261121T030000.000Z lock" {
			t.Errorf("folder has %s", got)
		}
	}
	if after := sound(t, filepath.Join(dir, fileName)); after.Contents != before.Contents {
		t.Errorf("store holds %+v", after)
	}
}

// Whoever has the old store open would go on with it.
func TestRestoreWhileRead(t *testing.T) {
	dir, file := filled(t), filepath.Join(t.TempDir(), "a.db")
	backup(t, dir, file)
	opened(t, dir).Close()
	r, err := OpenReader(context.Background(), dir, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	figures(t, r)
	_, err = Restore(context.Background(), file, dir, atRestore)
	says(t, err, "another program has it open")
	if exists(filepath.Join(dir, restoredName)) {
		t.Errorf("folder has %s", names(t, dir))
	}
	r.Close()
	if _, err = Restore(context.Background(), file, dir, atRestore); err != nil {
		t.Error(err)
	}
}

// A restore that is cut short at any of its steps leaves the old store or the
// new one, and says so.
func TestRestoreBrokenOff(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.db")
	backup(t, filled(t), file)
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	const kept = "gavel.db.before-20261121T030000.000Z"
	for _, tc := range []struct {
		name   string
		cut    func(t *testing.T, dir string)
		said   string
		events int64
		kept   bool // the old one has gone aside
	}{
		{"while it copies", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "gavel.db.restored.partial"), string(good[:8192]))
		}, "", 4, false},
		{"before it replaces", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, restoredName), string(good))
		}, "run gavel restore again", 4, false},
		{"between old and new", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, restoredName), string(good))
			rename(t, dir, fileName, kept)
			rename(t, dir, fileName+"-wal", kept+"-wal")
		}, "is finished now", 3, true},
		{"between old and new, with the log still there", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, restoredName), string(good))
			rename(t, dir, fileName, kept)
		}, "is finished now", 3, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := copyOfRunning(t, filled(t))
			tc.cut(t, dir)
			log := new(logged)
			o := options()
			o.Now, o.Log = func() time.Time { return fixtureTime.Add(time.Hour) }, log.logger()
			s, err := Open(context.Background(), dir, o)
			if err != nil {
				t.Fatal(err)
			}
			if got := figures(t, s.Reader); got.Events != tc.events {
				t.Errorf("holds %+v", got)
			}
			s.Close()
			if !strings.Contains(log.text(), tc.said) || (tc.said == "") != !strings.Contains(log.text(), "restore") {
				t.Errorf("said %q", log.text())
			}
			if tc.kept {
				if _, err := os.Stat(filepath.Join(dir, kept+"-wal")); err != nil {
					t.Errorf("the old log: %v, folder has %s", err, names(t, dir))
				}
				if old := sound(t, filepath.Join(dir, kept)); old.Events != 4 {
					t.Errorf("kept %+v", old)
				}
			}
			// again, as the message says
			if _, err := Restore(context.Background(), file, dir, func() time.Time { return restoreTime.Add(time.Hour) }); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(filepath.Join(dir, restoredName)); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("folder has %s", names(t, dir))
			}
			sound(t, filepath.Join(dir, fileName))
		})
	}
}

func rename(t *testing.T, dir, from, to string) {
	t.Helper()
	if err := os.Rename(filepath.Join(dir, from), filepath.Join(dir, to)); err != nil {
		t.Fatal(err)
	}
}

// logged keeps what a store says.
type logged struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (l *logged) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// Write implements io.Writer.
func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(p)
}

func (l *logged) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}

// Root may restore the store of a service, whose user has to be able to use it.
func TestRestoreByRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	dir, file := t.TempDir(), filepath.Join(t.TempDir(), "a.db")
	backup(t, filled(t), file)
	const nobody = 65534
	if err := os.Chown(dir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(context.Background(), file, dir, atRestore); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{fileName, "lock"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if owner, ok := info.Sys().(*syscall.Stat_t); !ok || owner.Uid != nobody || owner.Gid != nobody {
			t.Errorf("%s belongs to %+v", name, info.Sys())
		}
	}
}
