package ledger

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gavelhq/gavel/test/load"
	"github.com/gavelhq/gavel/test/server"
)

// siege is a server that is told of meetings while it is killed, given other
// rules, and made to replay.
type siege struct {
	t    *testing.T
	ctx  context.Context
	o    server.Options
	wait time.Duration // of the rules

	s     *server.Server
	hooks atomic.Pointer[string] // "" while there is no server
	names int                    // how often the rules got others
}

func besiege(ctx context.Context, t *testing.T, wait time.Duration) *siege {
	t.Helper()
	dir := t.TempDir()
	bin, err := server.Build(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	z := &siege{t: t, ctx: ctx, wait: wait, o: server.Options{
		Bin: bin, Rules: filepath.Join(dir, "rules.yaml"), Data: filepath.Join(dir, "data"), Env: load.Env(),
	}}
	z.hooks.Store(new(""))
	z.writeRules()
	z.up()
	t.Cleanup(func() { z.s.Kill() })
	return z
}

func (z *siege) writeRules() {
	if err := os.WriteFile(z.o.Rules, rulesText(z.names, z.wait), 0o600); err != nil {
		z.t.Fatal(err)
	}
}

func (z *siege) up() {
	z.t.Helper()
	s, err := server.Start(z.ctx, z.o)
	if err != nil {
		z.t.Fatal(err)
	}
	z.s = s
	z.hooks.Store(&s.Hooks)
}

// kill is kill -9, and a start.
func (z *siege) kill() {
	z.hooks.Store(new(""))
	z.s.Kill()
	z.up()
}

// rename gives the rules other names, in the running server.
func (z *siege) rename() {
	z.names++
	z.writeRules()
	z.command("reload", "--wait")
}

// replay has the server do again what it has done: nothing of it may be billed.
func (z *siege) replay() {
	z.command("replay", "--since", "7d", "--send", "--yes", "--no-progress", "--limit", "1")
}

// command runs gavel and returns what it printed.
func (z *siege) command(args ...string) []byte {
	z.t.Helper()
	cmd := exec.CommandContext(z.ctx, z.o.Bin, append(args, "--data", z.o.Data, "--rules", z.o.Rules)...)
	cmd.Env = append(os.Environ(), load.Env()...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		z.t.Fatalf("gavel %v: %v\n%s%s\nthe server wrote:\n%s", args, err, out.Bytes(), said.Bytes(), z.s.Log())
	}
	return out.Bytes()
}

// told is one message on its way: the i-th of its meeting.
type told struct {
	m    *meeting
	i    int
	x    message
	when float64 // its place in the order of all
}

// shuffled are all messages of the meetings, each up to six times, in an order
// that is not that in which things happened: near each other are those of about
// apart meetings.
func shuffled(all []*meeting, rng *rand.Rand, apart int) []told {
	var out []told
	for n, m := range all {
		for i, x := range m.messages() {
			copies := 1
			if rng.IntN(3) == 0 {
				copies += rng.IntN(6)
			}
			for range copies {
				out = append(out, told{m, i, x, float64(n) + rng.Float64()*float64(apart)})
			}
		}
	}
	slices.SortFunc(out, func(a, b told) int {
		if a.when < b.when {
			return -1
		}
		return 1
	})
	return out
}

const clients = 8

// tell sends all messages until each is acknowledged. sent is how many are so far.
func (z *siege) tell(all []told, sent *atomic.Int64) error {
	var next atomic.Int64
	errs := make(chan error, clients)
	for range clients {
		go func() {
			c := sender{z: z}
			for {
				i := int(next.Add(1)) - 1
				if i >= len(all) {
					errs <- nil
					return
				}
				if err := c.send(all[i]); err != nil {
					errs <- err
					return
				}
				sent.Add(1)
			}
		}()
	}
	var err error
	for range clients {
		err = errors.Join(err, <-errs)
	}
	return err
}

// sender has one connection to the server that runs.
type sender struct {
	z    *siege
	conn *load.Conn
	at   string
}

// send posts a message until it is acknowledged.
func (c *sender) send(x told) error {
	body, err := x.m.body(x.i, x.x)
	if err != nil {
		return err
	}
	d, err := load.Signed(body, time.Now())
	if err != nil {
		return err
	}
	for {
		status, err := c.post(d)
		switch {
		case err == nil && status == 200:
			return nil
		case err == nil && status != 503:
			return fmt.Errorf("answered with %d: %s", status, body)
		}
		select {
		case <-c.z.ctx.Done():
			return c.z.ctx.Err()
		case <-time.After(10 * time.Millisecond): // the server is on its way up
		}
	}
}

func (c *sender) post(d load.Delivery) (status int, err error) {
	if at := *c.z.hooks.Load(); c.conn == nil || c.at != at {
		if at == "" {
			return 0, errors.New("there is no server")
		}
		if c.conn, err = load.Dial(at); err != nil {
			c.conn = nil
			return 0, err
		}
		c.at = at
	}
	if status, err = c.conn.Post(d); err != nil {
		c.conn = nil
	}
	return status, err
}

// entry is a line of the ledger as it is exported.
type entry struct {
	ID       string `json:"id"`
	Kind     string `json:"kind"`
	Key      string `json:"key"`
	Meter    string `json:"meter"`
	Customer string `json:"customer"`
	Quantity string `json:"quantity"`
	Currency string `json:"currency"`
	Amount   *int64 `json:"amount"`
	Month    string `json:"month"`
	Period   string `json:"period"`
	Number   int64  `json:"number"`
	Corrects string `json:"corrects"`
}

// entries are the lines of the ledger of these months, in its order.
func (z *siege) entries(months ...string) (all []entry) {
	z.t.Helper()
	for _, m := range months {
		d := json.NewDecoder(bytes.NewReader(z.command("billing", "export", "--month", m, "-o", "jsonl")))
		for d.More() {
			var e entry
			if err := d.Decode(&e); err != nil {
				z.t.Fatal(err)
			}
			all = append(all, e)
		}
	}
	slices.SortFunc(all, func(a, b entry) int { return int(a.Number - b.Number) })
	return all
}

// idle waits until all runs are finished.
func (z *siege) idle() {
	z.t.Helper()
	ctx, cancel := context.WithTimeout(z.ctx, z.wait+5*time.Minute)
	defer cancel()
	st, err := z.s.Idle(ctx)
	if err != nil {
		z.t.Fatal(err)
	}
	if n := st.Store.Runs["failed"]; n > 0 {
		z.t.Fatalf("%d runs failed: %s", n, z.command("runs", "list", "--failed", "--limit", "3"))
	}
}
