package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestValidateAgain: a verdict at the start and after each change that is one,
// under the time of day, and 130 at the end.
func TestValidateAgain(t *testing.T) {
	const good = "sources: { pnm: { platform: plugnmeet, api_key: env:K, secret: env:S } }\nlists: { vips: { file: vips.txt } }\n" +
		"rules: [ { id: a, when: session_ended, if: room.id in lists.vips, then: [ log: hi ] } ]\n"
	folder := t.TempDir()
	rulesPath, list := filepath.Join(folder, "rules.yaml"), filepath.Join(folder, "vips.txt")
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(rulesPath, good)
	write(list, "a\n")
	var out, errs strings.Builder
	a := watchingApp(&out, &errs)
	loaders := []*rulesLoader{a.newLoader(rulesPath, a.platforms(), rulesOptions().Actions, true)}
	said := func(part string, times int) {
		t.Helper()
		if strings.Count(out.String()+errs.String(), part) != times {
			t.Errorf("%q is not there %d times:\n%s%s", part, times, out.String(), errs.String())
		}
	}
	err := a.validateAgain(t.Context(), loaders, func(_ context.Context, _ *slog.Logger, paths func() []string, changed func()) error {
		changed()
		said("09:00:00\n", 1)
		said("1 rule", 1)
		changed() // nothing did
		said("09:00:00\n", 1)
		if !strings.Contains(strings.Join(paths(), " "), list) {
			t.Errorf("the list file is not watched: %q", paths())
		}
		write(list, "b\n")
		changed()
		said("1 rule", 2)
		write(rulesPath, strings.Replace(good, "session_ended", "sesion_ended", 1))
		changed()
		said(`did you mean "session_ended"`, 1)
		said("✗ 1 error in", 1)
		if err := os.Remove(rulesPath); err != nil {
			t.Fatal(err)
		}
		changed()
		said("there is no such file or folder", 1)
		write(rulesPath, good)
		changed()
		said("1 rule", 3)
		return nil
	})
	if f := (*failure)(nil); !errors.As(err, &f) || f.code != exitInterrupted {
		t.Errorf("%v", err)
	}
}

// TestValidateWatch is the same with the file system: it waits for what is
// printed.
func TestValidateWatch(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rules.yaml")
	const good = "sources: { pnm: { platform: plugnmeet, api_key: env:K, secret: env:S } }\nrules: [ { id: a, when: session_ended, then: [ log: hi ] } ]\n"
	if err := os.WriteFile(path, []byte(good), 0o600); err != nil {
		t.Fatal(err)
	}
	read, written := io.Pipe()
	a := watchingApp(written, io.Discard)
	loader := a.newLoader(path, a.platforms(), rulesOptions().Actions, true)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- a.validateAgain(ctx, []*rulesLoader{loader}, watchFiles)
		written.Close()
	}()
	lines := bufio.NewScanner(read)
	await := func(part string) {
		t.Helper()
		for lines.Scan() {
			if strings.Contains(lines.Text(), part) {
				return
			}
		}
		t.Fatalf("never said %q", part)
	}
	await("1 rule")
	if err := os.WriteFile(path, []byte(strings.Replace(good, "log", "lgo", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	await("unknown-action")
	await("1 error")
	stop()
	_, _ = io.Copy(io.Discard, read)
	if f := (*failure)(nil); !errors.As(<-done, &f) || f.code != exitInterrupted {
		t.Errorf("it did not end as interrupted")
	}
}

func watchingApp(out, errs io.Writer) *app {
	return &app{
		out: out, err: errs, output: "table", color: "never", zone: time.UTC,
		lookupEnv: func(name string) (string, bool) { return map[string]string{"LANG": "C.UTF-8"}[name], name == "LANG" },
		now:       func() time.Time { return time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC) },
	}
}
