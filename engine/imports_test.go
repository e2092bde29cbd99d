package engine_test

import (
	"bytes"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	module = "github.com/gavelhq/gavel/"
	root   = ".." // its folder
)

// layers says which packages of this module each package may import. A folder
// that is not listed may import none.
var layers = map[string][]string{
	"engine":                 {},
	"engine/rules":           {"engine"},
	"engine/ruletest":        {"engine", "engine/rules"},
	"engine/store":           {"engine"},
	"engine/store/storetest": {"engine"},
	"engine/web":             {"engine"},
	"triggers":               {"engine"},
	"actions":                {"engine"},
}

// homes says where a library may be imported. A library that is not listed has
// no home yet: give it one here and in .golangci.yml.
var homes = map[string][]string{
	"code.dny.dev/ssrf":              {"actions", "triggers"},
	"github.com/coreos/go-systemd":   {"cmd"},
	"github.com/expr-lang/expr":      {"engine/rules"},
	"github.com/fsnotify/fsnotify":   {"cmd"},
	"github.com/go-chi/chi":          {"cmd", "triggers", "engine/web"},
	"github.com/golang-jwt/jwt":      {"triggers"},
	"github.com/govalues/decimal":    {"actions"},
	"github.com/gowebpki/jcs":        {"engine/store"},
	"github.com/lmittmann/tint":      {"cmd"},
	"github.com/mattn/go-isatty":     {"cmd"},
	"github.com/netresearch/go-cron": {"engine/rules"},
	"github.com/oklog/ulid":          {"cmd", "engine/store"},
	"github.com/pressly/goose":       {"engine/store"},
	"github.com/slack-go/slack":      {"actions"},
	"github.com/spf13/cobra":         {"cmd"},
	"github.com/spf13/pflag":         {"cmd"},
	"github.com/wneessen/go-mail":    {"actions"},
	"github.com/standard-webhooks":   {"actions"},
	"golang.org/x/oauth2":            {"actions"},
	"golang.org/x/time":              {"actions", "triggers", "engine/store"},
	"gopkg.in/yaml.v3":               {"engine/rules", "engine/ruletest"},
	"modernc.org/sqlite":             {"engine/store"},
}

// testOnly are the libraries any test may import.
var testOnly = []string{
	"github.com/google/go-cmp",
	"github.com/santhosh-tekuri/jsonschema",
	"github.com/rogpeppe/go-internal",
	"go.uber.org/goleak",
	"gopkg.in/yaml.v3",
	"pgregory.net/rapid",
}

// .golangci.yml says the same to the editor; this one needs nothing but go test.
func TestImportsPointInward(t *testing.T) {
	for file, imports := range imports(t) {
		dir := path.Dir(file)
		if strings.HasPrefix(dir, "test/") { // drives the whole from outside
			continue
		}
		test := strings.HasSuffix(file, "_test.go")
		for _, imp := range imports {
			if why := forbidden(dir, imp, test); why != "" {
				t.Errorf("%s imports %s: %s", file, imp, why)
			}
		}
	}
}

// A sleep in a testing/synctest bubble takes no time and is exact. Any other
// is a test that is slow on a good day and fails on a bad one.
func TestSleepsAreFake(t *testing.T) {
	sleep := []byte("time." + "Sleep(")
	for file, imports := range imports(t) {
		if slices.Contains(imports, "testing/synctest") || path.Dir(file) == "test/bench" { // that measures time
			continue
		}
		src, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(src, sleep) {
			t.Errorf("%s sleeps outside of a synctest bubble: wait on a channel", file)
		}
	}
}

func TestForbidden(t *testing.T) {
	for _, tc := range []struct {
		dir, imp string
		test, ok bool
	}{
		{dir: "engine", imp: "net/http", ok: true},
		{dir: "engine", imp: module + "engine/rules"},
		{dir: "engine", imp: "gopkg.in/yaml.v3"},
		{dir: "engine/rules", imp: module + "engine", ok: true},
		{dir: "engine/rules", imp: module + "actions"},
		{dir: "engine/rules", imp: module + "engine/ruletest"},
		{dir: "engine/ruletest", imp: module + "engine/rules", ok: true},
		{dir: "engine/ruletest", imp: module + "engine/store"},
		{dir: "engine/web", imp: module + "engine/store"},
		{dir: "engine/rules", imp: "github.com/expr-lang/expr/ast", ok: true},
		{dir: "actions", imp: "github.com/expr-lang/expr"},
		{dir: "triggers", imp: "github.com/golang-jwt/jwt/v5", ok: true},
		{dir: "cmd/gavel", imp: module + "engine/store", ok: true},
		{dir: "cmd/gavel", imp: "gopkg.in/yaml.v3"},
		{dir: "cmd/gavel", imp: "example.com/unheard-of"},
		{dir: "newcomer", imp: module + "engine"},
		{dir: "triggers", imp: "github.com/google/go-cmp/cmp"},
		{dir: "triggers", imp: "github.com/google/go-cmp/cmp", test: true, ok: true},
		{dir: "engine", imp: "pgregory.net/rapid", test: true, ok: true},
		{dir: "engine/store", imp: module + "engine/rules", test: true},
		{dir: "actions", imp: "code.dny.dev/ssrfoo"},
	} {
		if why := forbidden(tc.dir, tc.imp, tc.test); (why == "") != tc.ok {
			t.Errorf("%s importing %s (test: %v): %q", tc.dir, tc.imp, tc.test, why)
		}
	}
}

// forbidden says why a file in dir must not import imp, or "".
func forbidden(dir, imp string, test bool) string {
	if own, inside := strings.CutPrefix(imp, module); inside {
		if within(dir, "cmd") || own == dir { // cmd wires; an external test imports its package
			return ""
		}
		if slices.Contains(layers[dir], own) {
			return ""
		}
		if test && within(own, dir) { // a behaviour suite kept below its package
			return ""
		}
		return "imports point to engine, and only cmd wires"
	}
	if first, _, _ := strings.Cut(imp, "/"); !strings.Contains(first, ".") {
		return "" // standard library
	}
	if test {
		for _, lib := range testOnly {
			if within(imp, lib) {
				return ""
			}
		}
	}
	for lib, dirs := range homes {
		if !within(imp, lib) {
			continue
		}
		for _, home := range dirs {
			if within(dir, home) {
				return ""
			}
		}
		return "its home is " + strings.Join(dirs, ", ")
	}
	return "this library has no home"
}

// within reports whether p is root or below it.
func within(p, root string) bool {
	return p == root || strings.HasPrefix(p, root+"/")
}

// imports are the import paths of every Go file of the module, by file.
func imports(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			hidden := strings.HasPrefix(d.Name(), ".") && name != root
			_, err := os.Stat(filepath.Join(name, "go.mod"))
			nested := err == nil && name != root
			if hidden || nested || d.Name() == "testdata" {
				return fs.SkipDir
			}
			return nil
		}
		if filepath.Ext(name) != ".go" {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		found[rel] = nil
		for _, spec := range file.Imports {
			imp, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			found[rel] = append(found[rel], imp)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found["engine/imports_test.go"]) == 0 {
		t.Fatal("found no files: is the test run from its own folder?")
	}
	return found
}
