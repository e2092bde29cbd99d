package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gavelhq/gavel/test/load"
	"github.com/gavelhq/gavel/test/server"
)

// TestMain is also the baseline: it runs in a process of its own, of the same
// program.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "baseline" {
		if err := command(context.Background(), os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// TestSmall runs the rows that take no time, so that they do not rot. The
// figures say nothing.
func TestSmall(t *testing.T) {
	dir, err := os.MkdirTemp("", "b") // t.TempDir is too long for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	bin, err := server.Build(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	b := bench{events: 200, clients: 8, rounds: 2, open: 200 * time.Millisecond, bin: bin}
	var out strings.Builder
	quick := []string{"accept", "ack", "act", "all", "size"}
	chosen := slices.DeleteFunc(rows(), func(r row) bool { return !slices.Contains(quick, r.name) })
	if err := b.run(t.Context(), dir, chosen, &report{out: &out, format: "json"}); err != nil {
		t.Fatal(err)
	}
	var got report
	if err := json.Unmarshal([]byte(out.String()), &got); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, r := range got.Rows {
		seen[r.Row] = true
		if r.Min > r.Median || r.Median > r.Max || r.Unit == "/s" && r.Min <= 0 {
			t.Errorf("%+v", r)
		}
	}
	if len(seen) != len(quick) || got.Machine.FsyncP50 <= 0 || got.Machine.Generator <= 0 {
		t.Errorf("rows %v, machine %+v", seen, got.Machine)
	}
}

// TestBaseline: what Gavel is compared with verifies, decodes, matches and acts
// as it does, and the log has every event.
func TestBaseline(t *testing.T) {
	for _, kind := range []string{storesNothing, storesLog} {
		t.Run(kind, func(t *testing.T) {
			b := bench{dir: t.TempDir()}
			rules, err := b.file("row", "rules.yaml", tenPercent(5))
			if err != nil {
				t.Fatal(err)
			}
			all, err := deliveries(0, 50, oneInTen(5))
			if err != nil {
				t.Fatal(err)
			}
			s, err := b.baseline(t.Context(), kind, rules, b.path("row", "data"))
			if err != nil {
				t.Fatal(err)
			}
			conns, err := dial(s.hooks, 4)
			if err != nil {
				t.Fatal(err)
			}
			defer hangUp(conns)
			if _, err := post(conns, all); err != nil {
				t.Fatal(err)
			}
			forged := load.Delivery{Wire: bytes.Replace(all[0].Wire, []byte("Weekly"), []byte("Forged"), 1)}
			if status, err := conns[0].Post(forged); status != http.StatusUnauthorized || err != nil {
				t.Errorf("a forged delivery was answered %d (%v)", status, err)
			}
			ran := 0
			for deadline := time.Now().Add(10 * time.Second); ran < 5 && time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
				ran = count(t, b.path("row", "data", "baseline.log"), "Weekly sync ran 1h30m")
			}
			if err := s.stop(); err != nil || ran != 5 {
				t.Errorf("%d of 5 runs (%v)", ran, err)
			}
			if kind == storesLog {
				if n := count(t, b.path("row", "data", "events.log"), `"session_ended"`); n != len(all) {
					t.Errorf("%d of %d events are in the log", n, len(all))
				}
			}
		})
	}
}

func count(t *testing.T, file, text string) int {
	t.Helper()
	all, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(all), text)
}

func TestUnknownRow(t *testing.T) {
	if err := command(t.Context(), []string{"-only", "accept,acept"}); err == nil || !strings.Contains(err.Error(), `"acept"`) {
		t.Error(err)
	}
}

// TestPaced: who waits behind an answer that takes long is charged for it from
// the moment it was due.
func TestPaced(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	const stall = 200 * time.Millisecond
	var once sync.Once
	srv := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		once.Do(func() { time.Sleep(stall) })
	})}
	go func() { _ = srv.Serve(l) }() // until it is closed
	t.Cleanup(func() { srv.Close() })
	conns, err := dial("http://"+l.Addr().String(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer hangUp(conns)
	all := slices.Repeat([]load.Delivery{{Wire: []byte("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")}}, 20)
	took, err := paced(t.Context(), conns, all, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for i, d := range took {
		if least := stall - time.Duration(i)*time.Second/pace; d < least {
			t.Errorf("delivery %d waited %s, at least %s", i, d, least)
		}
	}
}

// TestFlatLog: what was appended is in the file, from everybody.
func TestFlatLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l, err := openLog(path)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	errs := make([]error, 50)
	for i := range errs {
		wg.Go(func() { errs[i] = l.append(fmt.Append(nil, i)) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path) // before it is closed
	if err != nil {
		t.Fatal(err)
	}
	lines := slices.Sorted(strings.Lines(string(text)))
	if n := len(slices.Compact(lines)); n != len(errs) {
		t.Errorf("%d lines of %d", n, len(errs))
	}
	if err := l.close(); err != nil {
		t.Error(err)
	}
}

// TestTarget: it tells the first call of a session from further ones, and
// refuses everybody while it is down.
func TestTarget(t *testing.T) {
	x, err := newTarget()
	if err != nil {
		t.Fatal(err)
	}
	defer x.down()
	call := func(n int) error {
		res, err := http.Post(fmt.Sprintf("http://%s/RM_%08d", x.address, n), "text/plain", strings.NewReader("x"))
		if err == nil {
			res.Body.Close()
		}
		return err
	}
	if err := errors.Join(call(1), call(1), call(2)); err != nil {
		t.Fatal(err)
	}
	x.down()
	if call(3) == nil {
		t.Error("it answers while it is down")
	}
	if err := errors.Join(x.up(), call(4), x.wait(t.Context(), 3)); err != nil {
		t.Fatal(err)
	}
	_, down := x.called(3)
	if _, again := x.heard(); down || again != 1 {
		t.Errorf("called while down: %t, again: %d", down, again)
	}
}

func TestMarks(t *testing.T) {
	for _, tt := range []struct {
		r    result
		want string
	}{
		{figure("", "/s", []float64{9, 9001, 12}).atLeast(12), "≥ 12 /s      reached"},
		{figure("", "/s", []float64{9, 9001, 11}).atLeast(12), "≥ 12 /s      not reached"},
		{figure("", "ms", []float64{4.5, 5.5, 5.01}).atMost(5), "≤ 5 ms       not reached"},
		{figure("", "ms", []float64{4.5, 5.5, 5}).atMost(5), "≤ 5 ms       reached"},
		{figure("", "ms", []float64{1}), ""},
	} {
		if got := tt.r.Mark.text(tt.r.Unit); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
	if got := ratios([]float64{1, 3}, []float64{2, 2}); !slices.Equal(got, []float64{50, 150}) {
		t.Error(got)
	}
}
