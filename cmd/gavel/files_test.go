package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gavelhq/gavel/actions"
	"github.com/gavelhq/gavel/engine"
)

func TestListenSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data", "gavel.sock")
	l, err := listenSocket(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if second, err := listenSocket(path); err == nil {
		second.Close()
		t.Error("took the socket of a server that answers")
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file stays: %v", err)
	}

	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close()
	if l, err = listenSocket(path); err != nil {
		t.Fatalf("a stale socket is not replaced: %v", err)
	}
	l.Close()

	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if l, err := listenSocket(path); err == nil {
		l.Close()
		t.Error("a file that is no socket was replaced")
	}
	if _, err := listenSocket(filepath.Join(t.TempDir(), strings.Repeat("x", 120))); err == nil || !strings.Contains(err.Error(), "--data") {
		t.Errorf("a path that is too long: %v", err)
	}
}

func TestBaseURL(t *testing.T) {
	for in, want := range map[string]string{
		"[::]:6080": "http://0.0.0.0:6080", "127.0.0.1:6080": "http://127.0.0.1:6080", "[::1]:6080": "http://[::1]:6080",
	} {
		addr, err := net.ResolveTCPAddr("tcp", in)
		if err != nil {
			t.Fatal(err)
		}
		if got := baseURL(addr); got != want {
			t.Errorf("%s: got %s", in, got)
		}
	}
}

const loaderRules = `version: 1
sources:
  pnm: { platform: plugnmeet, api_key: env:KEY, secret: [env:SECRET, file:secret.txt] }
lists:
  vips: { file : vips.txt }
rules:
  - id: joined
    when: participant_joined
    then:
      - log: somebody joined
`

func TestLoaderNoticesChanges(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("rules.yaml", strings.ReplaceAll(loaderRules, "file:", "file:"+dir+"/"))
	write("vips.txt", "a@example.com\n")
	write("secret.txt", "fedcba9876543210fedcba9876543210\n")
	a := testApp(nil)
	env := map[string]string{"KEY": "APIkey", "SECRET": "0123456789abcdef0123456789abcdef"}
	a.lookupEnv = func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	l := a.newLoader("rules.yaml", a.platforms(), actions.Builtin(actions.Options{Now: a.now}), false)
	set, problems, err := l.load()
	if set == nil || err != nil {
		t.Fatal(problems, err)
	}
	want := []string{"env:SECRET", "file:" + dir + "/secret.txt"}
	if got := set.Sources()[0].Refs; strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("references: got %v", got)
	}
	if l.changed() {
		t.Error("nothing has changed")
	}
	for _, name := range []string{"rules.yaml", "vips.txt", "secret.txt"} {
		before, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		write(name, string(before)+"# more\n")
		if !l.changed() {
			t.Errorf("a change of %s is not noticed", name)
		}
		write(name, string(before))
		if l.changed() {
			t.Errorf("%s is as it was", name)
		}
	}
	write("rules.yaml", "rules: 7\n")
	if set, problems, err := l.load(); set != nil || problems.Errors() == 0 || err != nil {
		t.Error(problems, err)
	}
	if l.changed() {
		t.Error("the same broken file again is no change")
	}
	// A change while a load is under way: what it has read is what counts.
	write("rules.yaml", strings.ReplaceAll(loaderRules, "file:", "file:"+dir+"/"))
	l.options.Getenv = func(name string) (string, bool) {
		write("rules.yaml", "rules: 8\n")
		v, ok := env[name]
		return v, ok
	}
	if set, problems, err := l.load(); set == nil || err != nil {
		t.Fatal(problems, err)
	}
	if !l.changed() {
		t.Error("a change during the load is not noticed")
	}
}

func TestWatchFiles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "rules.yaml")
	if err := os.WriteFile(path, []byte("a"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	changed, done := make(chan struct{}, 16), make(chan error)
	paths := func() []string { return []string{path} }
	go func() {
		done <- watchFiles(ctx, slog.New(slog.DiscardHandler), paths, func() { changed <- struct{}{} })
	}()
	noticed := func(what string) {
		t.Helper()
		select {
		case <-changed:
		case <-time.After(20 * time.Second):
			t.Fatal(what)
		}
	}
	noticed("what changed before is not looked for")
	next := filepath.Join(dir, ".next")
	if err := errors.Join(os.WriteFile(next, []byte("b"), 0o600), os.Rename(next, path)); err != nil {
		t.Fatal(err)
	}
	noticed("a file that was replaced is not noticed")
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestConcerns(t *testing.T) {
	paths := []string{"/etc/gavel/rules.yaml", "/etc/gavel/vips.txt"}
	for name, want := range map[string]bool{
		"/etc/gavel/rules.yaml": true, "/etc/gavel/new.yaml": true, "/etc/gavel/vips.txt": true, "/etc/gavel/..data": true,
		"/etc/gavel/vips.txt.swp": false, "/etc/gavel/gavel.db-wal": false,
	} {
		if got := concerns(name, paths); got != want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

func TestSourceViews(t *testing.T) {
	a := testApp(nil)
	one := sourceViews(a.platforms(), []engine.SourceConfig{{Name: "meet", Platform: "openvidu-meet"}})
	if got := strings.Join(one[0].Paths, " "); got != "/hooks/meet /webhook" {
		t.Errorf("the only openvidu-meet source: got %s", got)
	}
	own := sourceViews(a.platforms(), []engine.SourceConfig{{Name: "meet", Platform: "openvidu-meet", Path: "/x"}})
	if got := strings.Join(own[0].Paths, " "); got != "/hooks/meet /x /webhook" {
		t.Errorf("with a path of its own: got %s", got)
	}
	taken := sourceViews(a.platforms(), []engine.SourceConfig{{Name: "meet", Platform: "openvidu-meet"}, {Name: "pnm", Platform: "plugnmeet", Path: "/webhook"}})
	if got := strings.Join(append(taken[0].Paths, taken[1].Paths...), " "); got != "/hooks/meet /hooks/pnm /webhook" {
		t.Errorf("with its path taken: got %s", got)
	}
	two := sourceViews(a.platforms(), []engine.SourceConfig{{Name: "a", Platform: "openvidu-meet"}, {Name: "b", Platform: "openvidu-meet", Path: "/x"}})
	if got := strings.Join(append(two[0].Paths, two[1].Paths...), " "); got != "/hooks/a /hooks/b /x" {
		t.Errorf("two of them: got %s", got)
	}
}
