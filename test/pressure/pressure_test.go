package pressure

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/test/load"
	"github.com/gavelhq/gavel/test/server"
	"github.com/gavelhq/gavel/triggers"
)

// long is how much longer than in the everyday suite everything goes on.
var long = flag.Int("long", 1, "go on so many times as long")

func TestMain(m *testing.M) {
	code := m.Run()
	os.RemoveAll(binaries())
	os.Exit(code)
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
	return filepath.Join(os.TempDir(), fmt.Sprintf("gavel-pressure-%d", os.Getpid()))
}

// needs skips a test where root or a tool is missing.
func needs(t *testing.T, root bool, tools ...string) {
	t.Helper()
	if root && os.Geteuid() != 0 {
		missing(t, "root")
	}
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			missing(t, tool)
		}
	}
}

// missing skips a test, but where everything has to be there.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal("needs " + what)
	}
	t.Skip("needs " + what)
}

const rules = `version: 1
` + load.Source + `  once: { platform: openvidu2, headers: { Authorization: env:ONCE_TOKEN } }

rules:
  - id: tell
    when: session_started
    then:
      - log: ${room.id} ${event.type}
`

const token = "Bearer a-token-of-at-least-16-bytes"

// options are those of a server whose events of once each make a run.
func options(t *testing.T) server.Options {
	t.Helper()
	bin, err := built()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	o := server.Options{
		Bin: bin, Rules: filepath.Join(dir, "rules.yaml"), Data: filepath.Join(dir, "data"),
		Log: filepath.Join(dir, "gavel.log"), Env: append(load.Env(), "ONCE_TOKEN="+token, "GAVEL_LOG_LEVEL=warn"),
	}
	if err := os.WriteFile(o.Rules, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	return o
}

// start starts a server that ends with the test.
func start(t *testing.T, o server.Options) *server.Server {
	t.Helper()
	s, err := server.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Kill()
		if t.Failed() {
			t.Log(s.Log())
		}
	})
	return s
}

// retrying are deliveries of a source that comes again, with bodies of size
// bytes or a little more.
func retrying(size int) func(n int) (load.Delivery, error) {
	filler := strings.Repeat("x", size)
	return func(n int) (load.Delivery, error) {
		now := time.Now()
		return load.Signed(fmt.Appendf(nil, `{"event":"session_ended","id":"00000000-0000-4000-8000-%012d","created_at":"%d",`+
			`"room":{"sid":"RM_%08d","room_id":"room-%d","metadata":%q}}`, n, now.Unix(), n, n%100, filler), now)
	}
}

// once are deliveries of a source that never retries.
func once(n int) (d load.Delivery, err error) {
	now := time.Now()
	config := engine.SourceConfig{Name: "once", Platform: "openvidu2", Headers: map[string]engine.Secret{"Authorization": engine.NewSecret(token)}}
	d.Request, err = triggers.OpenVidu2().Sign(config, engine.SignRequest{
		Body: fmt.Appendf(nil, `{"event":"sessionCreated","sessionId":"ses_%08d","timestamp":%d}`, n, now.UnixMilli()), Now: now,
	})
	if err != nil {
		return d, err
	}
	d.Wire = wire("once", d.Request.Header, d.Request.Body)
	return d, nil
}

func wire(source string, h http.Header, body []byte) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "POST /hooks/%s HTTP/1.1\r\nHost: gavel\r\nContent-Length: %d\r\n", source, len(body))
	_ = h.Write(&b) // into memory
	b.WriteString("\r\n")
	b.Write(body)
	return []byte(b.String())
}

// memory is what the process has in memory, and the most it had, in bytes.
func memory(t *testing.T, s *server.Server) (now, most int64) {
	t.Helper()
	return figure(t, s, "status", "VmRSS:") << 10, figure(t, s, "status", "VmHWM:") << 10
}

// figure reads a number from a file of the process in /proc.
func figure(t *testing.T, s *server.Server, file, name string) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", s.Pid(), file))
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(text), name)
	fields := strings.Fields(after)
	if !found || len(fields) == 0 {
		t.Fatalf("no %s in %s", name, text)
	}
	n, err := strconv.ParseInt(fields[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// mib is for people.
func mib(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
