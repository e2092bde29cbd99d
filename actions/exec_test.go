package actions

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gavelhq/gavel/engine"
)

// programs makes a folder with scripts, by name.
func programs(t *testing.T, scripts map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range scripts {
		writeProgram(t, filepath.Join(dir, name), text)
	}
	return dir
}

func writeProgram(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
}

// start runs a step of exec, its values inserted as rules does. The folder is the
// name of its run, by which its processes can be found.
func start(ctx context.Context, dir, name string, input any, args ...string) (engine.Result, error) {
	kind := execAction(Options{AllowExec: dir})
	marked := make([]string, len(args))
	for i, arg := range args {
		marked[i] = arg
		if literal, ok := strings.CutPrefix(arg, "literal:"); ok {
			marked[i] = literal
		} else {
			marked[i] = kind.Escape("args", arg)
		}
	}
	with, err := json.Marshal(map[string]any{"program": name, "args": marked, "input": input})
	if err != nil {
		return engine.Result{}, err
	}
	minutes := 72 * time.Minute
	ev := &engine.Event{
		ID: "ev-1", Type: engine.SessionEnded, Room: engine.Room{Name: "Weekly"},
		Session: engine.Session{ID: "s1", Duration: &minutes, Host: &engine.Participant{Name: "Ana", Total: time.Second}},
	}
	return kind.Do(ctx, engine.Call{Key: "run-7/2", Run: dir, Rule: "long-session", Event: ev, With: with})
}

func TestExec(t *testing.T) {
	t.Setenv("CANARY", canary)
	dir := programs(t, map[string]string{
		"json":      `echo '{"a": 9007199254740993}'`,
		"text":      `echo hello; echo`,
		"nothing":   `:`,
		"fail":      `echo first >&2; echo "what went wrong" >&2; exit 3`,
		"later":     `echo busy >&2; exit 75`,
		"crash":     `kill -SEGV $$`,
		"env":       `/usr/bin/env | /usr/bin/sort; pwd; ls -A; umask`,
		"input":     `cat`,
		"deaf":      `exec 0<&-; echo deaf`,
		"long":      `head -c 100000 /dev/zero | tr '\0' x`,
		"bytes":     `printf '\377a'`,
		"noisy":     `head -c 1000000 /dev/zero | tr '\0' x >&2; printf '\033[31mred\nlast\n\n' >&2; exit 1`,
		"status":    `exit 1`,
		"leftover":  `sleep 300 & echo done`,
		"sleep":     `sleep 300`,
		"no-script": "",
	})
	if err := os.WriteFile(filepath.Join(dir, "no-interpreter"), []byte("#!/nowhere/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "no-program"), []byte("\x01\x02\x03"), 0o755); err != nil {
		t.Fatal(err)
	}
	facts := `{"event":{"id":"ev-1","type":"session_ended","name":"","source":"","platform":"","tenant":"","time":"0001-01-01T00:00:00Z","received":"0001-01-01T00:00:00Z"},` +
		`"room":{"name":"Weekly"},"session":{"id":"s1","duration":4320,"host":{"name":"Ana","total":1}},"input":{"n":1}}`
	for _, tc := range []struct {
		name, body, note, err string
		permanent             bool
	}{
		{name: "json", body: `{"a": 9007199254740993}`, note: "json ended well"},
		{name: "text", body: `"hello"`, note: "text ended well"},
		{name: "nothing", note: "nothing ended well"},
		{name: "fail", err: "exec: fail: exit code 3: what went wrong", permanent: true},
		{name: "status", err: "exec: status: exit code 1", permanent: true},
		{name: "later", err: "exec: later: it asks to be tried again later (exit code 75): busy"},
		{name: "crash", err: "exec: crash: it was ended from outside: segmentation fault"},
		{name: "input", body: facts, note: "input ended well"},
		{name: "deaf", body: `"deaf"`, note: "deaf ended well"},
		{name: "bytes", body: "\"\ufffda\"", note: "bytes ended well"},
		{name: "long", body: `"` + strings.Repeat("x", 64<<10) + `"`, note: "long ended well; its output has more than 64 KiB, the rest is not kept"},
		{name: "noisy", err: "exec: noisy: exit code 1: last", permanent: true},
		{name: "leftover", body: `"done"`, note: "leftover ended well"},
		{name: "no-interpreter", err: "exec: no-interpreter: it cannot be started: its first line names an interpreter that is not there", permanent: true},
		{name: "no-program", err: "exec: no-program: it cannot be started: it is no program of this machine; a script begins with #! and its interpreter", permanent: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			res, err := start(t.Context(), dir, tc.name, map[string]any{"n": 1})
			if tc.err != "" {
				if err == nil || err.Error() != tc.err || engine.IsPermanent(err) != tc.permanent {
					t.Errorf("permanent %v: %v", engine.IsPermanent(err), err)
				}
				return
			}
			if err != nil || string(res.Body) != tc.body || res.Note != tc.note || res.Status != 0 {
				t.Errorf("%.200s, %q, %v", res.Body, res.Note, err)
			}
		})
	}
	res, err := start(t.Context(), dir, "env", nil)
	lines := strings.Split(fmt.Sprint(plainJSON(res.Body)), "\n")
	if err != nil || len(lines) != 8 || !strings.Contains(lines[6], "/gavel-exec-") {
		t.Fatalf("%q %v", lines, err)
	}
	if diff := cmp.Diff([]string{"GAVEL_KEY=run-7/2", "GAVEL_RULE=long-session", "GAVEL_RUN=" + dir, "LANG=C.UTF-8", "PATH=/usr/bin:/bin", "PWD=" + lines[6]}, lines[:6]); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
	if _, err := os.Stat(lines[6]); err == nil {
		t.Errorf("%s is left", lines[6])
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err = start(ctx, dir, "sleep", nil); err == nil || engine.IsPermanent(err) || !strings.Contains(err.Error(), "it was ended, it took longer than the step's timeout") {
		t.Errorf("%v", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err = start(ctx, dir, "sleep", nil); err == nil || engine.IsPermanent(err) || !strings.Contains(err.Error(), "it was ended, the server stops") {
		t.Errorf("%v", err)
	}
	if left := running(t, dir); len(left) > 0 {
		t.Errorf("%d are left: %v", len(left), left)
	}
	if _, err = start(t.Context(), "", "json", nil); !engine.IsPermanent(err) || !strings.Contains(err.Error(), "--allow-exec") {
		t.Errorf("off: %v", err)
	}
}

// A value that begins with a dash is no option, unless the rule says that what
// follows is none.
func TestExecDashes(t *testing.T) {
	dir := programs(t, map[string]string{"argv": `printf '%s\n' "$@"`})
	for _, tc := range []struct {
		args []string
		want string // "" is refused
	}{
		{[]string{"literal:-n", "Ana"}, "-n\nAna"},
		{[]string{"-rf"}, ""},
		{[]string{"--"}, ""},
		{[]string{"-"}, ""},
		{[]string{"literal:-n", "-rf"}, ""},
		{[]string{"--", "-rf"}, ""},
		{[]string{"literal:--", "-rf", "--"}, "--\n-rf\n--"},
		{[]string{"a-b", "\u2212x", " -x"}, "a-b\n\u2212x\n -x"},
		{[]string{"literal:--name=" + markDash("-5")}, "--name=-5"},
		{[]string{"literal:" + markDash("") + markDash("-x")}, ""},
		{[]string{"a\x00-b"}, "a\uFFFD-b"},
		{[]string{"\x00-b"}, "\uFFFD-b"},
	} {
		res, err := start(t.Context(), dir, "argv", nil, tc.args...)
		switch {
		case tc.want == "" && (err == nil || !engine.IsPermanent(err) || !strings.Contains(err.Error(), `begins with "-"`)):
			t.Errorf("%q: %s, %v", tc.args, res.Body, err)
		case tc.want != "" && (err != nil || plainJSON(res.Body) != tc.want):
			t.Errorf("%q: %s, %v", tc.args, res.Body, err)
		}
	}
	if _, err := start(t.Context(), dir, "argv", nil, strings.Repeat("x", 128<<10)); !engine.IsPermanent(err) {
		t.Errorf("a long argument: %v", err)
	}
}

// 2,000 values full of what a shell would obey arrive as they are, and nothing
// that they ask for is done.
func TestExecMetacharacters(t *testing.T) {
	const values, each = 2000, 50
	dir := programs(t, map[string]string{"argv": `shift; for x; do printf '%s\0' "$x"; done`})
	trap := filepath.Join(t.TempDir(), "canary")
	pieces := []string{
		"$(touch " + trap + ")", "`touch " + trap + "`", "; touch " + trap, "| touch " + trap, "&& touch " + trap, "\ntouch " + trap + "\n",
		"> " + trap, "$IFS", "${PATH}", "*", "?", "~", "'", `"`, `\`, "!", "#", "%s%n", "{a,b}", "$((1+1))", "<(touch " + trap + ")", "\t", "\r", "\x1b[31m", "é", "\u202e", "--x", "$@", "$0",
	}
	seed := uint64(time.Now().UnixNano())
	rnd := rand.New(rand.NewPCG(seed, 0))
	for range values / each {
		want := make([]string, each)
		for i := range want {
			for range 1 + rnd.IntN(4) {
				want[i] += pieces[rnd.IntN(len(pieces))]
			}
		}
		res, err := start(t.Context(), dir, "argv", nil, append([]string{"literal:--"}, want...)...)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		got := strings.Split(strings.TrimSuffix(fmt.Sprint(plainJSON(res.Body)), "\x00"), "\x00")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("seed %d: arguments (-want +got):\n%s", seed, diff)
		}
	}
	if _, err := os.Stat(trap); err == nil {
		t.Errorf("seed %d: the canary is there", seed)
	}
}

// What forks and ignores SIGTERM does not outlive its step for long.
func TestExecLeavesNobody(t *testing.T) {
	const children = 100
	dir := programs(t, map[string]string{"stubborn": `trap '' TERM; (trap '' TERM; sleep 300) & (sleep 300 & sleep 300) & sleep 300`})
	began := time.Now()
	var work sync.WaitGroup
	for range children {
		work.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			if _, err := start(ctx, dir, "stubborn", nil); err == nil || !strings.Contains(err.Error(), "timeout") {
				t.Errorf("%v", err)
			}
		})
	}
	work.Wait()
	if took := time.Since(began); took > 500*time.Millisecond+5*time.Second {
		t.Errorf("it took %s", took)
	}
	if left := running(t, dir); len(left) > 0 {
		t.Errorf("%d are left: %v", len(left), left)
	}
}

// running are the processes that a step started from a folder, and theirs.
func running(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil || len(files) == 0 {
		missing(t, "there is no /proc here")
	}
	return slices.DeleteFunc(files, func(file string) bool {
		env, err := os.ReadFile(file)
		return err != nil || !strings.Contains(string(env), "GAVEL_RUN="+dir+"\x00")
	})
}

// No way of writing a name leads out of the folder.
func TestExecPaths(t *testing.T) {
	base := t.TempDir()
	dir, outside := filepath.Join(base, "programs"), filepath.Join(base, "outside")
	trap := filepath.Join(base, "canary")
	for _, folder := range []string{dir, outside, filepath.Join(dir, "sub")} {
		if err := os.Mkdir(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{filepath.Join(outside, "evil"), filepath.Join(dir, "sub", "evil"), filepath.Join(dir, ".hidden"), filepath.Join(dir, "-evil"), filepath.Join(dir, "evil ")} {
		writeProgram(t, file, "touch "+trap)
	}
	writeProgram(t, filepath.Join(dir, "fine"), "echo fine")
	writeProgram(t, filepath.Join(dir, "of-others"), "touch "+trap)
	writeProgram(t, filepath.Join(dir, "of-group"), "touch "+trap)
	writeProgram(t, filepath.Join(dir, "plain"), "touch "+trap)
	for name, mode := range map[string]os.FileMode{"of-others": 0o757, "of-group": 0o775, "plain": 0o644} {
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	tricks := []string{"", ".", "..", "sub", "of-others", "of-group", "plain", ".hidden", "-evil", "evil ", "missing", strings.Repeat("x", 300)}
	for name, to := range map[string]string{
		"out": "../outside/evil", "absolute": filepath.Join(outside, "evil"), "shell": "/bin/sh", "loop": "loop", "chain": "out", "up": "..", "self": "/proc/self/exe",
		"into-sub": "sub/../../outside/evil", "dangling": "nowhere",
	} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		tricks = append(tricks, name)
	}
	for _, prefix := range []string{"", "./", "../", "../../", "/", "//", "sub/../", "../programs/", "..\\", "%2e%2e/", "‥/", "．．/", "\u2215", "~/", "$PWD/", "C:\\", "file:", "\x00", "\n"} {
		for _, name := range []string{"../outside/evil", "outside/evil", "sub/evil", "evil", "fine/", "fine/.", "fine\x00", "fine\n", " fine", "fine;", outside + "/evil", "fine/../../outside/evil", "/bin/sh"} {
			tricks = append(tricks, prefix+name)
		}
	}
	tricks = slices.DeleteFunc(tricks, func(name string) bool { return name == "fine" })
	if len(tricks) < 200 {
		t.Fatalf("only %d tricks", len(tricks))
	}
	for _, name := range tricks {
		if res, err := start(t.Context(), dir, name, nil); !engine.IsPermanent(err) {
			t.Errorf("%q: %s, %v", name, res.Body, err)
		}
	}
	if _, err := os.Stat(trap); err == nil {
		t.Error("the canary is there")
	}
	if err := os.Symlink("fine", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"fine", "link"} {
		if res, err := start(t.Context(), dir, name, nil); err != nil || string(res.Body) != `"fine"` {
			t.Errorf("%s: %s, %v", name, res.Body, err)
		}
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := start(t.Context(), dir, "fine", nil); !engine.IsPermanent(err) || !strings.Contains(err.Error(), "others can put programs into") {
		t.Errorf("a folder of everybody's: %v", err)
	}
}

func TestCheckExec(t *testing.T) {
	dir := programs(t, map[string]string{"notify": "true"})
	for _, tc := range []struct {
		name    string
		o       Options
		in      engine.CheckInput
		warning bool
		want    string
	}{
		{"fine", Options{AllowExec: dir, Serving: true}, engine.CheckInput{With: map[string]any{"program": "notify"}}, false, ""},
		{"validate", Options{}, engine.CheckInput{With: map[string]any{"program": "notify"}}, true, "only a server that is told so starts programs"},
		{"off", Options{Serving: true}, engine.CheckInput{With: map[string]any{"program": "notify"}}, false, "this server starts no programs"},
		{"missing", Options{AllowExec: dir, Serving: true}, engine.CheckInput{With: map[string]any{"program": "notfy"}}, true, "there is no program notfy"},
		{"path", Options{AllowExec: dir}, engine.CheckInput{With: map[string]any{"program": "/bin/sh"}}, false, "is no name of a program"},
		{"computed", Options{AllowExec: dir}, engine.CheckInput{Dynamic: map[string]bool{"program": true}, Text: map[string]string{"program": "${room.name}"}}, false, "named by the event"},
	} {
		got := checkExec(tc.o, tc.in)
		if tc.want == "" {
			if len(got) > 0 {
				t.Errorf("%s: %+v", tc.name, got)
			}
			continue
		}
		if len(got) != 1 || got[0].Warning != tc.warning || !strings.Contains(got[0].What, tc.want) {
			t.Errorf("%s: %+v", tc.name, got)
		}
	}
	in := engine.ProbeInput{Steps: []engine.CheckInput{{With: map[string]any{"program": "notify"}}, {With: map[string]any{"program": "other"}}}}
	found := probeExec(dir, in)
	if len(found) != 2 || !found[0].OK || found[1].OK || !strings.Contains(found[1].What, "there is no program other") {
		t.Errorf("%+v", found)
	}
	if found := probeExec("", in); len(found) != 1 || found[0].OK {
		t.Errorf("%+v", found)
	}
}

// What keeps a program from being started is found without starting it.
func TestRunnable(t *testing.T) {
	for text, want := range map[string]string{
		"#!/bin/sh\n:":                "",
		"#! /bin/sh -e\n:":            "",
		"\x7fELF\x02\x01\x01\x00\x00": "",
		"echo hello\n":                "a script begins with #!",
		"":                            "a script begins with #!",
		"#!\n":                        "a script begins with #!",
		"#!/nowhere/sh\n":             "an interpreter that is not there: /nowhere/sh",
	} {
		path := filepath.Join(t.TempDir(), "program")
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := runnable(path); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// The working folder is where a server that starts anew can empty it.
func TestExecFolder(t *testing.T) {
	dir, work := programs(t, map[string]string{"where": "pwd"}), filepath.Join(t.TempDir(), "exec")
	kind := execAction(Options{AllowExec: dir, ExecDir: work})
	res, err := kind.Do(t.Context(), engine.Call{With: []byte(`{"program":"where"}`)})
	if err != nil || !strings.HasPrefix(string(res.Body), `"`+work+"/") {
		t.Errorf("%s, %v", res.Body, err)
	}
	if left, err := os.ReadDir(work); err != nil || len(left) > 0 {
		t.Errorf("%v, %v", left, err)
	}
}
