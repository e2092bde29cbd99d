package store

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func backup(t *testing.T, dir, file string) Report {
	t.Helper()
	r, err := Backup(context.Background(), dir, file, BackupOptions{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// names are the files in a folder.
func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return strings.Join(all, " ")
}

func TestBackup(t *testing.T) {
	dir, out := filled(t), t.TempDir()
	opened(t, dir) // beside a server
	before := time.Now()
	file := filepath.Join(out, "a.db")
	r := backup(t, dir, file)
	if r.Events != 3 || r.Runs != 2 || r.Entries != 1 || r.Left != 1 || r.Timers != 1 || !r.Newest.Equal(fixtureTime) || r.Taken.Before(before.Truncate(time.Microsecond)) {
		t.Errorf("backup holds %+v", r)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 || info.Size() != r.Size {
		t.Errorf("file is %v (%v)", info, err)
	}
	sound(t, file)
	if got := names(t, out); got != "a.db" {
		t.Errorf("left behind: %s", got)
	}
}

func TestBackupRefuses(t *testing.T) {
	ctx := context.Background()
	dir, out := filled(t), t.TempDir()
	path := func(name string) string { return filepath.Join(out, name) }
	write(t, path("text"), "dear diary")
	backup(t, dir, path("older.db"))
	for link, to := range map[string]string{"link": filepath.Join(dir, fileName), "dangling": path("none")} {
		if err := os.Symlink(to, path(link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		name, dir, file string
		force           bool
		words           []string
	}{
		{"no store", out, path("new"), false, []string{"gavel.db", "there is none", "gavel serve", "--data"}},
		{"a folder", dir, out, true, []string{"is a folder"}},
		{"no folder", dir, path("none/new"), false, []string{"there is no folder", "make it first"}},
		{"the store", dir, filepath.Join(dir, fileName), true, []string{"uses that name itself"}},
		{"a link to the store", dir, path("link"), true, []string{"the store itself"}},
		{"a link to nothing", dir, path("dangling"), false, []string{"it exists", "--force"}},
		{"a link to nothing, forced", dir, path("dangling"), true, []string{"no backup"}},
		{"something else", dir, path("text"), false, []string{"it exists", "--force"}},
		{"something else, forced", dir, path("text"), true, []string{"no backup", "another file"}},
		{"another backup", dir, path("older.db"), false, []string{"it exists", "--force"}},
		{"its log", dir, filepath.Join(dir, fileName+"-wal"), false, []string{"uses that name itself"}},
		{"its lock", dir, filepath.Join(dir, "lock"), false, []string{"uses that name itself"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := names(t, out)
			_, err := Backup(ctx, tc.dir, tc.file, BackupOptions{Force: tc.force, Now: time.Now})
			says(t, err, tc.words...)
			if after := names(t, out); after != before {
				t.Errorf("folder has %s, had %s", after, before)
			}
		})
	}
	if _, err := Backup(ctx, dir, path("older.db"), BackupOptions{Force: true, Now: time.Now}); err != nil {
		t.Errorf("force: %v", err)
	}
	sound(t, path("older.db"))
	sound(t, filepath.Join(dir, fileName))
}

// What an earlier one left is no obstacle, and no trap; two never write to one
// file.
func TestBackupLeftovers(t *testing.T) {
	dir, out := filled(t), t.TempDir()
	file := filepath.Join(out, "a.db")
	write(t, file+".partial", strings.Repeat("x", 1<<20))
	backup(t, dir, file)
	sound(t, file)

	other := filepath.Join(out, "other")
	write(t, other, "not to be touched")
	if err := os.Symlink(other, filepath.Join(out, "b.db.partial")); err != nil {
		t.Fatal(err)
	}
	_, err := Backup(context.Background(), dir, filepath.Join(out, "b.db"), BackupOptions{Now: time.Now})
	says(t, err, "b.db.partial", "it is a link", "remove it")
	if text, err := os.ReadFile(other); err != nil || string(text) != "not to be touched" {
		t.Errorf("written through a link: %q (%v)", text, err)
	}

	if err := os.Mkdir(filepath.Join(out, "e.db.partial"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err = Backup(context.Background(), dir, filepath.Join(out, "e.db"), BackupOptions{Now: time.Now})
	says(t, err, "e.db.partial", "it is a folder", "remove it")
	if err := syscall.Mkfifo(filepath.Join(out, "f.db.partial"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Backup(context.Background(), dir, filepath.Join(out, "f.db"), BackupOptions{Now: time.Now})
	says(t, err, "f.db.partial", "it is no file", "remove it")

	if os.Geteuid() == 0 {
		foreign := filepath.Join(out, "d.db.partial")
		write(t, foreign, "")
		if err := os.Chown(foreign, 65534, 65534); err != nil {
			t.Fatal(err)
		}
		_, err = Backup(context.Background(), dir, filepath.Join(out, "d.db"), BackupOptions{Now: time.Now})
		says(t, err, "belongs to another user")
	}

	busy, err := os.Create(filepath.Join(out, "c.db.partial"))
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	if err := syscall.Flock(int(busy.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	_, err = Backup(context.Background(), dir, filepath.Join(out, "c.db"), BackupOptions{Now: time.Now})
	says(t, err, "another gavel", "wait")
}

func TestBackupBrokenOff(t *testing.T) {
	dir, out := filled(t), t.TempDir()
	ctx, cancel := context.WithCancel(context.Background())
	cancelled := func() time.Time { cancel(); return time.Now() }
	if _, err := Backup(ctx, dir, filepath.Join(out, "a.db"), BackupOptions{Now: cancelled}); err == nil {
		t.Error("a backup that was broken off is said to be done")
	}
	if got := names(t, out); got != "" {
		t.Errorf("left behind: %s", got)
	}
}

// A damaged store does not take the place of a good backup.
func TestBackupOfDamage(t *testing.T) {
	dir, out := filled(t), t.TempDir()
	file := filepath.Join(out, "a.db")
	backup(t, dir, file)
	path := filepath.Join(dir, fileName)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	clear(data[3*8192 : 4*8192])
	write(t, path, string(data))
	_, err = Backup(context.Background(), dir, file, BackupOptions{Force: true, Now: time.Now})
	says(t, err, "damaged", "no copy was made", "gavel restore")
	sound(t, file)
	if got := names(t, out); got != "a.db" {
		t.Errorf("left behind: %s", got)
	}
}

// An older version's store can be copied before it is upgraded.
func TestBackupOfOlder(t *testing.T) {
	dir := t.TempDir()
	data, err := os.ReadFile("testdata/schema-0001.db")
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, fileName), string(data))
	if r := backup(t, dir, filepath.Join(dir, "a.db")); r.Schema != 1 || r.Events != 3 || r.Taken.IsZero() {
		t.Errorf("backup holds %+v", r)
	}
}

// Whoever opens a copy beside another file's log would play it over the copy.
func TestBackupBesideALog(t *testing.T) {
	dir, out := filled(t), t.TempDir()
	file := filepath.Join(out, "a.db")
	for _, suffix := range []string{"-wal", "-journal"} {
		for _, there := range []bool{true, false} {
			os.Remove(file)
			if there {
				backup(t, dir, file)
			}
			write(t, file+suffix, "old")
			_, err := Backup(context.Background(), dir, file, BackupOptions{Force: true, Now: time.Now})
			says(t, err, "cannot write "+file+":", file+suffix+" is the log of another file", "move it away")
			write(t, file+suffix, "")
			if _, err := Backup(context.Background(), dir, file, BackupOptions{Force: true, Now: time.Now}); err != nil {
				t.Errorf("beside an empty %s: %v", suffix, err)
			}
			os.Remove(file + suffix)
		}
	}
}

// With force a backup is replaced, and no store.
func TestBackupReplacesBackupsOnly(t *testing.T) {
	dir, other, out := filled(t), filled(t), t.TempDir()
	opened(t, other)
	kept := filepath.Join(out, "kept.db")
	store, err := os.ReadFile(filepath.Join(dir, fileName))
	if err != nil {
		t.Fatal(err)
	}
	write(t, kept, string(store))
	inFolder := filepath.Join(out, fileName)
	backup(t, dir, inFolder)
	for _, tc := range []struct {
		file  string
		force bool
		words []string
	}{
		{filepath.Join(other, fileName), true, []string{"the store of a server", "gavel restore"}},
		{filepath.Join(other, fileName), false, []string{"the store of a server"}},
		{kept, true, []string{"a store, no backup", "another file"}},
	} {
		_, err := Backup(context.Background(), dir, tc.file, BackupOptions{Force: tc.force, Now: time.Now})
		says(t, err, tc.words...)
	}
	if _, err := Backup(context.Background(), dir, inFolder, BackupOptions{Force: true, Now: time.Now}); err != nil {
		t.Errorf("a backup called gavel.db: %v", err)
	}
}

// A backup put in place by hand is a store once a server has it.
func TestBackupInUse(t *testing.T) {
	for _, fixture := range []string{"testdata/schema-0001.db", "testdata/schema-0004.db"} {
		from, dir := t.TempDir(), t.TempDir()
		data, err := os.ReadFile(fixture)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(from, fileName), string(data))
		path := filepath.Join(dir, fileName)
		if r := backup(t, from, path); r.Taken.IsZero() {
			t.Errorf("%s: not a backup: %+v", fixture, r)
		}
		opened(t, dir).Close()
		if r := checked(t, path, false); !r.Taken.IsZero() || r.Events != 3 {
			t.Errorf("%s: still a backup: %+v", fixture, r)
		}
	}
}

// What a store lacks is said in words, and no backup says less than the store.
func TestBackupOfWhatLacksATable(t *testing.T) {
	dir, file := filled(t), filepath.Join(t.TempDir(), "a.db")
	execute(t, dir, `DROP TABLE runs`)
	_, err := Backup(context.Background(), dir, file, BackupOptions{Now: time.Now})
	says(t, err, "cannot read "+filepath.Join(dir, fileName), "tables or columns are missing", "gavel store check")
	saysNot(t, err, "SQL", "no such table")
	if exists(file) || exists(file+".partial") {
		t.Error("something was written")
	}
}

func TestContentsInWords(t *testing.T) {
	c := Contents{Events: 3, Runs: 2, Entries: 1, Left: 1, Timers: 4, Newest: fixtureTime, Taken: fixtureTime}
	const want = "3 events, 2 runs, 1 ledger entries, 1 unfinished runs, 4 open timers, the newest event of 2026-11-20T12:00:00Z, taken 2026-11-20T12:00:00Z"
	if c.words() != want {
		t.Errorf("got %q", c.words())
	}
}
