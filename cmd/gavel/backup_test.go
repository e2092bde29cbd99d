package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// storeApp is an app with a store of three events, and what it says.
func storeApp(t *testing.T) (a *app, errs *bytes.Buffer) {
	t.Helper()
	dir := t.TempDir()
	data, err := os.ReadFile("../../engine/store/testdata/schema-0001.db")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "gavel.db"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	errs = new(bytes.Buffer)
	return &app{
		in: strings.NewReader(""), out: io.Discard, err: errs, now: time.Now,
		lookupEnv: func(name string) (string, bool) {
			return map[string]string{"GAVEL_DATA": dir}[name], name == "GAVEL_DATA"
		},
	}, errs
}

// Whoever breaks a command off is told what that means.
func TestBackupBrokenOff(t *testing.T) {
	a, errs := storeApp(t)
	ctx, cancel := context.WithCancel(t.Context())
	a.now = func() time.Time { cancel(); return time.Now() }
	file := filepath.Join(t.TempDir(), "a.db")
	if code := a.run(ctx, []string{"backup", file}); code != exitInterrupted || errs.String() != "gavel backup: broken off: nothing was written\n" {
		t.Errorf("exit %d, %q", code, errs)
	}
	for _, args := range [][]string{{"store", "compact"}, {"restore", "../../engine/store/testdata/schema-0001.db"}} {
		errs.Reset()
		if code := a.run(ctx, args); code != exitInterrupted || !strings.Contains(errs.String(), "broken off: nothing was written") {
			t.Errorf("%q: exit %d, %q", args, code, errs)
		}
	}
}

// A reader that takes its time does not keep a backup from being broken off,
// and one that goes away is told of; no copy is left.
func TestBackupIntoAPipe(t *testing.T) {
	for name, tc := range map[string]struct {
		what func(cancel func(), r *os.File)
		code int
		says string
	}{
		"broken off": {func(cancel func(), _ *os.File) { cancel() }, exitInterrupted, "broken off: not all of the backup was handed on"},
		"gone":       {func(_ func(), r *os.File) { r.Close() }, exitFindings, "whoever read the backup went away"},
	} {
		t.Run(name, func(t *testing.T) {
			temp := t.TempDir()
			t.Setenv("TMPDIR", temp)
			a, errs := storeApp(t)
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			a.out = w
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			code := make(chan int, 1)
			go func() {
				defer w.Close()
				code <- a.run(ctx, []string{"backup", "-"})
			}()
			if _, err := r.Read(make([]byte, 1)); err != nil { // it has begun, and there is more than fits
				t.Fatal(err, errs)
			}
			if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
				t.Errorf("left %v (%v)", left, err)
			}
			tc.what(cancel, r)
			if got := <-code; got != tc.code || !strings.Contains(errs.String(), tc.says) {
				t.Errorf("exit %d, %q", got, errs)
			}
			r.Close()
		})
	}
}

// Nobody waits for a backup that does not come.
func TestRestoreFromAPipeBrokenOff(t *testing.T) {
	a, errs := storeApp(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	a.in = r
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if code := a.run(ctx, []string{"restore", "-"}); code != exitInterrupted || !strings.Contains(errs.String(), "broken off: nothing was written") {
		t.Errorf("exit %d, %q", code, errs)
	}
}

// A closed terminal ends what people wait for; a server goes on.
func TestEndings(t *testing.T) {
	for _, tc := range []struct {
		args string
		want bool
	}{
		{"backup a.db", true}, {"store compact --data x", true}, {"--data serve restore a.db", true}, {"", true}, {"serves", true},
		{"serve", false}, {"--data x serve --hooks :0", false},
	} {
		all := endings(new(app).root(), strings.Fields(tc.args))
		hangup := tc.want && !signal.Ignored(syscall.SIGHUP) // these tests may run under nohup
		if slices.Contains(all, os.Signal(syscall.SIGHUP)) != hangup || slices.Contains(all, os.Signal(syscall.SIGQUIT)) != tc.want || !slices.Contains(all, os.Signal(syscall.SIGTERM)) {
			t.Errorf("gavel %s ends at %v", tc.args, all)
		}
	}
}
