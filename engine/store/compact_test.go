package store

import (
	"context"
	"os"
	"path/filepath"
	"testing"
)

func TestCompact(t *testing.T) {
	dir := copyOfRunning(t, filled(t))
	path := filepath.Join(dir, fileName)
	r, err := Compact(context.Background(), dir)
	if err != nil || r.File != path || r.Events != 4 {
		t.Errorf("compacted %+v, %v", r, err)
	}
	sound(t, path)
	if got := names(t, dir); exists(path+"-wal") || exists(path+".partial") {
		t.Errorf("folder has %s", got)
	}
}

// What cannot be read to its end stays as it is, with its log.
func TestCompactOfDamage(t *testing.T) {
	for _, tc := range []struct {
		name string
		page int
	}{{"where it begins", 0}, {"amid", 3}} {
		t.Run(tc.name, func(t *testing.T) {
			dir := copyOfRunning(t, filled(t))
			path := filepath.Join(dir, fileName)
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			clear(data[tc.page*8192 : (tc.page+1)*8192])
			write(t, path, string(data))
			_, err = Compact(context.Background(), dir)
			says(t, err, path+" is damaged, and stays as it is", "keep a copy of the folder", "gavel ")
			saysNot(t, err, "move it away", "not a database")
			if after, err := os.ReadFile(path); err != nil || tc.page == 0 && string(after) != string(data) {
				t.Errorf("it was changed (%v)", err)
			}
			if exists(path + ".partial") {
				t.Errorf("folder has %s", names(t, dir))
			}
		})
	}
}

func TestCompactOfALink(t *testing.T) {
	dir, elsewhere := filled(t), filepath.Join(t.TempDir(), "elsewhere.db")
	if err := os.Rename(filepath.Join(dir, fileName), elsewhere); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(elsewhere, filepath.Join(dir, fileName)); err != nil {
		t.Fatal(err)
	}
	_, err := Compact(context.Background(), dir)
	says(t, err, "it is a link to "+elsewhere, "put that file in its place")
	sound(t, elsewhere)
}
