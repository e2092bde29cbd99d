package actions

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gavelhq/gavel/engine"
)

func logTo(t *testing.T, kind engine.ActionKind, conn *logConn, with map[string]any) (engine.Result, error) {
	t.Helper()
	text, err := json.Marshal(with)
	if err != nil {
		t.Fatal(err)
	}
	return kind.Do(t.Context(), engine.Call{With: text, Conn: conn, Event: &engine.Event{ID: "ev-1"}, Rule: "r", Run: "n", Now: noon})
}

func TestLogFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs")
	kind := logAction(Options{LogDir: dir})
	conn := &logConn{File: new("meetings.jsonl")}
	res, err := logTo(t, kind, conn, map[string]any{"message": "over\n\x1b[31m\u202e\U000e0001", "level": "warn", "fields": map[string]any{"room": "Weekly", "n": json.Number("9007199254740993")}})
	if err != nil || res.Note != "logged to meetings.jsonl" {
		t.Fatalf("%+v %v", res, err)
	}
	if _, err := logTo(t, kind, conn, map[string]any{"message": "second"}); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, "meetings.jsonl"))
	want := `{"time":"2026-11-21T12:00:00Z","level":"warn","message":"over\n\u001b[31m\u202e\udb40\udc01","event":"ev-1","rule":"r","run":"n","fields":{"n":9007199254740993,"room":"Weekly"}}` + "\n" +
		`{"time":"2026-11-21T12:00:00Z","level":"info","message":"second","event":"ev-1","rule":"r","run":"n"}` + "\n"
	if err != nil || string(got) != want {
		t.Errorf("%v\n%s\nwant\n%s", err, got, want)
	}
	if info, err := os.Stat(filepath.Join(dir, "meetings.jsonl")); err != nil || info.Mode().Perm()&0o027 != 0 {
		t.Errorf("%v %v", info.Mode(), err)
	}
}

// Files are turned over by size, whoever writes them, and none has half a line.
func TestLogFileTurnsOver(t *testing.T) {
	dir := t.TempDir()
	kind := logAction(Options{LogDir: dir})
	conn := &logConn{File: new("a.jsonl"), MaxSize: new(1), Keep: new(2)}
	const writers, lines = 4, 30
	text := strings.Repeat("x", 50<<10)
	var work sync.WaitGroup
	for range writers {
		work.Go(func() {
			for range lines {
				if _, err := logTo(t, kind, conn, map[string]any{"message": text}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	work.Wait()
	var names []string
	for _, name := range []string{"a.jsonl", "a.jsonl.1", "a.jsonl.2", "a.jsonl.3"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			continue
		}
		names = append(names, name)
		if len(b) > 1<<20 || !bytes.HasSuffix(b, []byte("}\n")) {
			t.Errorf("%s has %d bytes", name, len(b))
		}
		for line := range bytes.Lines(b) {
			if !json.Valid(line) {
				t.Errorf("%s: no JSON: %.40s", name, line)
			}
		}
	}
	if want := []string{"a.jsonl", "a.jsonl.1", "a.jsonl.2"}; !slices.Equal(names, want) {
		t.Errorf("files %v, want %v", names, want)
	}
	// Somebody else moves the file away: the next line begins another.
	if err := os.Rename(filepath.Join(dir, "a.jsonl"), filepath.Join(dir, "moved")); err != nil {
		t.Fatal(err)
	}
	if _, err := logTo(t, kind, conn, map[string]any{"message": "new"}); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "a.jsonl")); err != nil || bytes.Count(b, []byte("\n")) != 1 {
		t.Errorf("%v, %d lines", err, bytes.Count(b, []byte("\n")))
	}
}

// A file stays in its folder, and what cannot be written now may be later.
func TestLogFileFails(t *testing.T) {
	base := t.TempDir()
	dir := filepath.Join(base, "logs")
	kind := logAction(Options{LogDir: dir})
	if err := os.MkdirAll(filepath.Join(dir, "folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"out": "../outside", "absolute": filepath.Join(base, "outside")} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"out", "absolute", "folder", "../outside", "a/../../outside"} {
		if _, err := logTo(t, kind, &logConn{File: new(name)}, map[string]any{"message": "x"}); err == nil || engine.IsPermanent(err) != strings.Contains(name, "/") {
			t.Errorf("%s: %v", name, err)
		}
		if found := kind.Probe(t.Context(), engine.ProbeInput{Conn: &logConn{File: new(name)}}); len(found) != 1 || found[0].OK {
			t.Errorf("%s: %+v", name, found)
		}
	}
	if _, err := os.Stat(filepath.Join(base, "outside")); err == nil {
		t.Error("a file outside was written")
	}
	if _, err := logTo(t, logAction(Options{}), &logConn{File: new("a")}, map[string]any{"message": "x"}); !engine.IsPermanent(err) {
		t.Errorf("without a folder: %v", err)
	}
	err := (&logFiles{dir: "logs"}).failed("a.jsonl", &os.PathError{Op: "write", Err: syscall.ENOSPC})
	if err.Error() != "write a.jsonl in logs: the disk is full" || engine.IsPermanent(err) {
		t.Errorf("%v", err)
	}
}

// On a full disk no half of a line stays, and the step is tried again.
func TestLogFileFullDisk(t *testing.T) {
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", dir).CombinedOutput(); err != nil {
		missing(t, "a small disk cannot be mounted: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount %s: %v: %s", dir, err, out)
		}
	})
	kind := logAction(Options{LogDir: dir})
	conn := &logConn{File: new("a.jsonl")}
	if _, err := logTo(t, kind, conn, map[string]any{"message": strings.Repeat("x", 40<<10)}); err != nil {
		t.Fatal(err)
	}
	_, err := logTo(t, kind, conn, map[string]any{"message": strings.Repeat("y", 40<<10)})
	if err == nil || engine.IsPermanent(err) || !strings.Contains(err.Error(), "the disk is full") {
		t.Errorf("%v", err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "a.jsonl")); err != nil || bytes.Contains(b, []byte("y")) || !bytes.HasSuffix(b, []byte("}\n")) {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

// A probe leaves nothing behind.
func TestLogProbe(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs")
	kind := logAction(Options{LogDir: dir})
	for range 2 {
		if found := kind.Probe(t.Context(), engine.ProbeInput{Conn: &logConn{File: new("a.jsonl")}}); len(found) != 1 || !found[0].OK {
			t.Errorf("%+v", found)
		}
		if left, err := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("%v %v", left, err)
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if found := kind.Probe(t.Context(), engine.ProbeInput{}); found != nil {
		t.Errorf("%+v", found)
	}
}

func TestLogJournal(t *testing.T) {
	var out bytes.Buffer
	var got []string
	fails := false
	kind := logAction(Options{
		Log: slog.New(slog.NewTextHandler(&out, nil)),
		Journal: func(message string, level slog.Level, fields map[string]string) error {
			if fails {
				return errors.New("no journal")
			}
			line := fmt.Sprint(level, " ", message)
			for _, name := range slices.Sorted(maps.Keys(fields)) {
				line += " " + name + "=" + fields[name]
			}
			got = append(got, line)
			return nil
		},
	})
	with := map[string]any{"message": "over\nPRIORITY=0", "level": "warn", "fields": map[string]any{"a b": 1, "a-b": "x\ny", "MESSAGE": "m", strings.Repeat("é", 100): true, "list": []any{1, "a"}}}
	for _, w := range []map[string]any{with, {"message": "quiet", "level": "debug"}} {
		if _, err := logTo(t, kind, nil, w); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{`WARN over\nPRIORITY=0 GAVEL_EVENT=ev-1 GAVEL_FIELD_A_B=1 GAVEL_FIELD_A_B_2=x\ny GAVEL_FIELD_LIST=[1,"a"] GAVEL_FIELD_MESSAGE=m GAVEL_FIELD_` + strings.Repeat("_", 52) + `=true GAVEL_RULE=r GAVEL_RUN=n SYSLOG_IDENTIFIER=gavel`}
	if diff := cmp.Diff(want, got); diff != "" || out.Len() > 0 {
		t.Errorf("journal (-want +got):\n%s\nlog: %s", diff, out.String())
	}
	fails = true
	if _, err := logTo(t, kind, nil, with); err != nil || strings.Count(out.String(), "\n") != 1 {
		t.Errorf("%v %s", err, out.String())
	}
}

func TestCheckLog(t *testing.T) {
	for _, tc := range []struct {
		conn *logConn
		want string
	}{
		{nil, ""}, {&logConn{}, ""}, {&logConn{File: new("a.jsonl"), MaxSize: new(1024), Keep: new(100)}, ""},
		{&logConn{File: new("../a")}, "via.file"}, {&logConn{File: new("a/b")}, "via.file"}, {&logConn{File: new(".a")}, "via.file"}, {&logConn{File: new("/var/log/a")}, "via.file"},
		{&logConn{File: new("")}, "via.file"}, {&logConn{File: new("m.jsonl.1")}, "via.file"}, {&logConn{MaxSize: new(1)}, "via"}, {&logConn{Keep: new(1)}, "via"},
		{&logConn{File: new("a"), MaxSize: new(0)}, "via.max_size"}, {&logConn{File: new("a"), Keep: new(0)}, "via.keep"},
		{&logConn{File: new("a"), MaxSize: new(2000)}, "via.max_size"}, {&logConn{File: new("a"), MaxSize: new(-1)}, "via.max_size"}, {&logConn{File: new("a"), Keep: new(101)}, "via.keep"},
	} {
		got := checkLog(engine.CheckInput{Conn: tc.conn})
		if (len(got) > 0) != (tc.want != "") || len(got) > 0 && got[0].Param != tc.want {
			t.Errorf("%+v: %+v", tc.conn, got)
		}
	}
}
