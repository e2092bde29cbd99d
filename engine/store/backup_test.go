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
		{"no store", out, path("new"), false, []string{"gavel.db", "no such file"}},
		{"a folder", dir, out, true, []string{"is a folder"}},
		{"no folder", dir, path("none/new"), false, []string{"no such file or directory"}},
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
	says(t, err, "b.db.partial", "symbolic links")
	if text, err := os.ReadFile(other); err != nil || string(text) != "not to be touched" {
		t.Errorf("written through a link: %q (%v)", text, err)
	}

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
	clear(data[3*4096 : 4*4096])
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
