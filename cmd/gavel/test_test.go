package main

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// gavelTest runs gavel test in a folder, with the clock standing still.
func gavelTest(t *testing.T, dir string, args ...string) (out string, code int) {
	t.Helper()
	t.Chdir(dir)
	var b bytes.Buffer
	a := &app{in: strings.NewReader(""), out: &b, err: &b, lookupEnv: func(string) (string, bool) { return "", false }, now: func() time.Time { return testNow }}
	code = a.run(context.Background(), append([]string{"test"}, args...))
	return b.String(), code
}

// The tests of the example rules pass, and leave nothing of the rules untried.
func TestExampleTests(t *testing.T) {
	out, code := gavelTest(t, filepath.Join("..", "..", "docs", "examples"), "rules.example.test.yaml", "--coverage", "-v")
	t.Log(out)
	text, err := os.ReadFile("rules.example.test.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, schema := builtinSchemas(t)
	if err := compileSchema(t, schema).Validate(editorValue(t, string(text))); err != nil {
		t.Error(err)
	}
	if code != 0 || !strings.Contains(out, "rules exercised (100 %)\n") || strings.Contains(out, " never ") {
		t.Errorf("exit code %d", code)
	}
}

var (
	docBlock   = regexp.MustCompile("(?s)```(yaml|console)\n(.*?)```")
	testBlock  = regexp.MustCompile(`(?m)^tests:`)
	rulesBlock = regexp.MustCompile(`(?m)^rules:\n`)
	testName   = regexp.MustCompile(`^# (\S+\.test\.yaml)\n`)
	tookTime   = regexp.MustCompile(`(?m) +\d+ ms$`)
)

// Every block of tests in the documentation passes against the rules before it,
// unless the next console block shows how it fails; and what console blocks show
// of gavel test is what it says.
func TestDocumentedTests(t *testing.T) {
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	played := 0
	err = filepath.WalkDir(filepath.Join(root, "docs"), func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".md" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		t.Run(filepath.Base(path), func(t *testing.T) { played += playDocument(t, string(text)) })
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if played < 3 {
		t.Errorf("only %d blocks of tests found", played)
	}
}

// playDocument plays the blocks of tests of a document.
func playDocument(t *testing.T, text string) (played int) {
	dir := t.TempDir()
	blocks := docBlock.FindAllStringSubmatch(text, -1)
	for i, b := range blocks {
		kind, body := b[1], b[2]
		switch {
		case kind == "console":
			if line, shown, _ := strings.Cut(body, "\n"); played > 0 && strings.HasPrefix(line, "$ gavel test") {
				out, _ := gavelTest(t, dir, strings.Fields(line)[3:]...)
				if d := cmp.Diff(tookTime.ReplaceAllString(shown, ""), tookTime.ReplaceAllString(out, "")); d != "" {
					t.Errorf("%s: - shown, + said:\n%s", line, d)
				}
			}
		case testBlock.MatchString(body):
			name := "rules.test.yaml"
			if m := testName.FindStringSubmatch(body); m != nil {
				name = m[1]
			}
			writeDoc(t, dir, name, body)
			fails := i+1 < len(blocks) && blocks[i+1][1] == "console" && strings.Contains(blocks[i+1][2], "FAIL")
			if out, code := gavelTest(t, dir, name); code != 0 && !fails {
				t.Errorf("%s\n%s", body, out)
			}
			played++
		case rulesBlock.MatchString(body):
			writeDoc(t, dir, "rules.yaml", body)
		}
	}
	return played
}

func writeDoc(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestReplaceFile(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "a.test.yaml"), filepath.Join(dir, "b.test.yaml")
	if err := errors.Join(os.WriteFile(file, []byte("old"), 0o600), os.Symlink(file, link)); err != nil {
		t.Fatal(err)
	}
	if err := replaceFile(link, []byte("new")); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(file); string(text) != "new" {
		t.Errorf("%s (%v)", text, err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is %v (%v)", info.Mode(), err)
	}
	if err := os.Chmod(file, 0o400); err != nil {
		t.Fatal(err)
	}
	if err := replaceFile(link, []byte("newer")); err == nil {
		t.Error("a read-only file was changed")
	}
}
