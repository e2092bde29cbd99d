package main

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/web"
)

// documented fails where a page of the documentation does not say something.
func documented(t *testing.T, page string, says ...string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", filepath.FromSlash(page)))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range says {
		if !strings.Contains(string(text), s) {
			t.Errorf("docs/%s does not say %s", page, s)
		}
	}
}

// The command line's page says what is in the status.
func TestDocumentedStatus(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "cli.md"))
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile("(?m)^\\| `GET /api/v1/status` .*$").FindString(string(text))
	names := []string{"store", "disk", "down"}
	for _, typ := range []reflect.Type{reflect.TypeFor[web.DownTarget](), reflect.TypeFor[engine.Disk]()} {
		for i := range typ.NumField() {
			name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
			names = append(names, name)
		}
	}
	for _, name := range names {
		if !strings.Contains(row, "`"+name+"`") {
			t.Errorf("the row of the status does not say %s: %s", name, row)
		}
	}
	documented(t, "cli.md", "| `GET /debug/pprof/` |")
}

// Every page names the same share of the workers for one target.
func TestDocumentedWorkers(t *testing.T) {
	workers := (&app{}).serveCmd().Flag("workers").DefValue
	documented(t, "delivery.md", "### How much a target gets", "than 32 attempts at once")
	documented(t, "cli.md", "default "+workers+", of which one target gets [at most 32]", "## Flags of serve")
	documented(t, "performance.md", "at most [32 at once](delivery.md#how-much-a-target-gets) of ["+workers+"](cli.md#flags-of-serve)")
}
