package rules

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReadFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "rules[1]")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"b.yaml", "a.yaml", "a.test.yaml", ".hidden.yaml", "notes.txt", "c.yml"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	files, err := ReadFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, filepath.Base(f.Name))
		if string(f.Text) != filepath.Base(f.Name) {
			t.Errorf("%s holds %q", f.Name, f.Text)
		}
	}
	if diff := cmp.Diff([]string{"a.yaml", "b.yaml"}, names); diff != "" {
		t.Error(diff)
	}
	if files, err := ReadFiles(filepath.Join(dir, "c.yml")); err != nil || len(files) != 1 {
		t.Errorf("a file by its name: %v, %v", files, err)
	}
	if _, err := ReadFiles(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	if _, err := ReadFiles(t.TempDir()); err == nil || !strings.Contains(err.Error(), "no *.yaml") {
		t.Errorf("an empty folder: %v", err)
	}
}

// TestPipe: a pipe that nobody writes to is not waited for.
func TestPipe(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "a.yaml")
	if err := exec.Command("mkfifo", pipe).Run(); err != nil {
		t.Skip("no mkfifo here:", err)
	}
	for _, path := range []string{pipe, filepath.Dir(pipe)} {
		if _, err := ReadFiles(path); err == nil || !strings.Contains(err.Error(), "a pipe that nobody writes to") {
			t.Errorf("%s: %v", path, err)
		}
	}
}
