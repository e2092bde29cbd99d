package faults

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/gavelhq/gavel/test/server"
	"github.com/gavelhq/gavel/test/witness"
)

var (
	seed  = flag.Uint64("seed", 0, "begin with this seed, 0: any")
	share = flag.Int("rounds", 0, "rounds of each test: 200 are all there are, fewer a share of them, 0: a few")
)

// rounds is how many rounds a test does: few, or of all as many as -rounds says.
func rounds(few, all int) int {
	if *share == 0 {
		return few
	}
	return max(1, all**share/200)
}

// first is the seed of a test. It is printed if the test fails.
func first(t *testing.T) uint64 {
	n := cmp.Or(*seed, rand.Uint64N(1_000_000))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("again with -seed %d", n)
		}
	})
	return n
}

// built compiles gavel once for all tests.
var built = sync.OnceValues(func() (string, error) {
	if err := os.MkdirAll(binaries(), 0o700); err != nil {
		return "", err
	}
	return server.Build(context.Background(), binaries())
})

// binaries is a folder of this process.
func binaries() string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("gavel-faults-%d", os.Getpid()))
}

func TestMain(m *testing.M) {
	trace() // if this is the process that runs a server for a test
	code := m.Run()
	os.RemoveAll(binaries())
	os.Exit(code)
}

// binary is the gavel of this tree.
func binary(t *testing.T) string {
	t.Helper()
	bin, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

// needs skips a test where root or a tool is missing.
func needs(t *testing.T, root bool, tools ...string) {
	t.Helper()
	missing := func(what string) {
		t.Helper()
		if os.Getenv("CI") == "true" {
			t.Fatal("needs " + what)
		}
		t.Skip("needs " + what)
	}
	if root && os.Geteuid() != 0 {
		missing("root")
	}
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			missing(tool)
		}
	}
}

// observer is a witness that ends with the test.
func observer(t *testing.T, o witness.Options) *witness.Witness {
	t.Helper()
	w, err := witness.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

// rulesFile writes the witness' rules into a folder of its own.
func rulesFile(t *testing.T, w *witness.Witness) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(path, []byte(w.Rules()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
