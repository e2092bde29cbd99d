package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine/store"
)

// chore is a command that replaces files of the store.
type chore struct {
	name string
	args []string
	// before fills the data folder; after looks what the command has left there.
	before, after func(t *testing.T, dir string)
}

// A command that is killed right before the nth thing it does to the disk, for
// every n, leaves the old files or the new ones, and can be given again.
func TestKillChores(t *testing.T) {
	bin := binary(t)
	random := rand.New(rand.NewPCG(first(t), 0))
	for _, c := range chores(t) {
		t.Run(c.name, func(t *testing.T) {
			steps := c.steps(t, bin)
			at := random.Perm(steps)[:min(steps, rounds(5, 1000))]
			t.Logf("killed before %d of %d steps", len(at), steps)
			for _, n := range at {
				dir := t.TempDir()
				c.before(t, dir)
				if code, out := c.run(t, bin, dir, n+1); code != diedThere {
					t.Fatalf("step %d: exit code %d\n%s", n+1, code, out)
				}
				c.after(t, dir)
				c.run(t, bin, dir, 0)
				c.after(t, dir)
				if t.Failed() {
					left, _ := filepath.Glob(filepath.Join(dir, "*"))
					t.Fatalf("killed before step %d, left %q", n+1, left)
				}
			}
		})
	}
}

// run gives the command, to die before step n; 0: not.
func (c *chore) run(t *testing.T, bin, dir string, n int) (code int, out []byte) {
	t.Helper()
	args := []string{bin}
	for _, a := range c.args {
		args = append(args, strings.ReplaceAll(a, "DIR", dir))
	}
	if n > 0 {
		args = append([]string{os.Args[0]}, args...)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), fmt.Sprint(diesAt, "=", n))
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out
}

// steps is how many things the command does to the disk.
func (c *chore) steps(t *testing.T, bin string) int {
	t.Helper()
	low, high := 0, 1 // it has more than low, and less than high
	for died := true; died; high *= 2 {
		dir := t.TempDir()
		c.before(t, dir)
		code, _ := c.run(t, bin, dir, high)
		if died = code == diedThere; died {
			low = high
		}
		if !died {
			break
		}
	}
	for low+1 < high {
		dir := t.TempDir()
		c.before(t, dir)
		middle := (low + high) / 2
		if code, _ := c.run(t, bin, dir, middle); code == diedThere {
			low = middle
		} else {
			high = middle
		}
	}
	if low < 5 {
		t.Fatalf("it does only %d things to the disk", low)
	}
	return low
}

// The stores of chores: an empty one, and one of the oldest schema with three
// events.
const events = 3

func chores(t *testing.T) []chore {
	empty, backup := t.TempDir(), filepath.Join(t.TempDir(), "backup.db")
	opened(t, empty)
	old, err := os.ReadFile(filepath.Join("..", "..", "engine", "store", "testdata", "schema-0001.db"))
	if err != nil {
		t.Fatal(err)
	}
	put := func(t *testing.T, path string) {
		t.Helper()
		if err := os.WriteFile(path, old, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(t, backup)
	none := func(t *testing.T, dir string) {
		t.Helper()
		if err := os.CopyFS(dir, os.DirFS(empty)); err != nil {
			t.Fatal(err)
		}
	}
	three := func(t *testing.T, dir string) {
		t.Helper()
		put(t, filepath.Join(dir, "gavel.db"))
	}
	return []chore{
		{"backup", []string{"backup", "--data", "DIR", "--force", "DIR/copy.db"}, three, func(t *testing.T, dir string) {
			t.Helper()
			copied := filepath.Join(dir, "copy.db")
			if _, err := os.Stat(copied); err == nil && sound(t, copied).Events != events {
				t.Error("the backup is not complete")
			}
			sound(t, filepath.Join(dir, "gavel.db"))
		}},
		{"restore", []string{"restore", "--data", "DIR", backup}, none, func(t *testing.T, dir string) {
			t.Helper()
			opened(t, dir)
			kept, _ := filepath.Glob(filepath.Join(dir, "gavel.db.before-*Z"))
			switch got := sound(t, filepath.Join(dir, "gavel.db")); got.Events {
			case 0:
			case events:
				if len(kept) == 0 {
					t.Error("nothing was kept")
				}
			default:
				t.Errorf("holds %+v", got)
			}
			for _, f := range kept {
				sound(t, f)
			}
		}},
		{"compact", []string{"store", "compact", "--data", "DIR"}, three, func(t *testing.T, dir string) {
			t.Helper()
			if got := sound(t, filepath.Join(dir, "gavel.db")); got.Events != events {
				t.Errorf("holds %+v", got)
			}
		}},
		// The server cannot listen there, and ends once the store is up to date. The
		// session in it is not to end by itself.
		{"upgrade", []string{"serve", "--data", "DIR", "--rules", rulesOfNone(t), "--hooks", "256.0.0.1:1", "--session-timeout", "1000000h"}, three, func(t *testing.T, dir string) {
			t.Helper()
			opened(t, dir)
			if got := sound(t, filepath.Join(dir, "gavel.db")); got.Events != events || got.Older {
				t.Errorf("holds %+v", got)
			}
			if kept := sound(t, filepath.Join(dir, "gavel.db.schema-1")); kept.Events != events || kept.Schema != 1 {
				t.Errorf("kept %+v", kept)
			}
		}},
	}
}

func rulesOfNone(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(path, []byte("version: 1\nsources:\n  s: { platform: plugnmeet, api_key: key, secret: env:HOME }\nrules: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// opened opens the store in dir as a server does, and closes it.
func opened(t *testing.T, dir string) {
	t.Helper()
	s, err := store.Open(context.Background(), dir, store.Options{NewID: func() string { return "id" }, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// sound is what is in a file in which there is nothing to find.
func sound(t *testing.T, path string) store.Report {
	t.Helper()
	r, err := store.Check(context.Background(), path, true)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Findings) > 0 {
		t.Errorf("%s: %+v", path, r.Findings)
	}
	return r
}
