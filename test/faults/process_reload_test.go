package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/store"
	"github.com/gavelhq/gavel/test/witness"
)

// seenWithin is how soon it must be seen what became of a new rules file.
const seenWithin = 2 * time.Second

// TestReload changes the rules file of a server under load again and again, in
// every way files are changed, and breaks it three times out of ten. No delivery
// is refused, a broken file never replaces a good one and is reported soon, and
// every event is evaluated against one revision, none older than the one before.
func TestReload(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	seed := first(t)
	z := besiege(ctx, t, witness.Options{Seed: seed})
	z.up()
	x := &editor{siege: z, rng: rand.New(rand.NewPCG(seed, 0)), last: z.rules().Rules.Revision}
	n := rounds(30, 1000)
	for x.made < n {
		x.change(x.made%10 < 3)
	}
	if refused := z.w.Refused(); refused > 0 {
		t.Errorf("%d deliveries were refused", refused)
	}
	z.settle()
	x.grow(rounds(20, 200))
	if err := z.s.Stop(); err != nil {
		z.fatal(err)
	}
	z.check()
	x.inOrder()
	t.Logf("%d reloads, %d of them broken, %d deliveries acknowledged; seen after %s at most",
		x.made, x.broken, z.w.Acked(), x.slowest.Round(time.Millisecond))
}

// editor changes the rules file.
type editor struct {
	*siege
	rng          *rand.Rand
	made, broken int
	last         string // revision that is in force
	refusedAt    time.Time
	slowest      time.Duration
}

// inForce is what the server says of its rules.
type inForce struct {
	Rules     struct{ Revision string } `json:"rules"`
	Refused   *struct{}                 `json:"refused_reload"`
	RefusedAt time.Time                 `json:"refused_at"`
}

func (z *siege) rules() (st inForce) {
	z.t.Helper()
	body, err := z.s.Get(z.ctx, "/api/v1/status")
	if err == nil {
		err = json.Unmarshal(body, &st)
	}
	if err != nil {
		z.fatal(err)
	}
	return st
}

// change puts another file in place, good or broken, and waits until the server
// has seen it.
func (x *editor) change(broken bool) {
	x.t.Helper()
	x.made++
	text := []byte(x.w.RulesOf(fmt.Sprint("r", x.made)))
	if broken {
		x.broken++
		text = x.breaks(text)
	}
	how := x.write(text)
	start := time.Now()
	how += x.announce(broken)
	for {
		st := x.rules()
		if took := time.Since(start); x.done(st, broken) {
			x.slowest = max(x.slowest, took)
			x.last, x.refusedAt = st.Rules.Revision, st.RefusedAt
			return
		} else if took > seenWithin {
			x.fatal(fmt.Errorf("reload %d, %s, broken: %t: not seen after %s: %+v\n%s", x.made, how, broken, took, st, text))
		}
		<-time.After(5 * time.Millisecond)
	}
}

// done reports whether st is what is to come of the file.
func (x *editor) done(st inForce, broken bool) bool {
	if !broken {
		return st.Refused == nil && st.Rules.Revision != x.last
	}
	if st.Rules.Revision != x.last {
		x.fatal(fmt.Errorf("reload %d is broken, but another revision is in force", x.made))
	}
	return st.Refused != nil && st.RefusedAt.After(x.refusedAt)
}

// breaks is what may become of a file.
func (x *editor) breaks(text []byte) []byte {
	replaced := func(old, by string) []byte { return bytes.Replace(text, []byte(old), []byte(by), 1) }
	switch x.rng.IntN(8) {
	case 0:
		return fmt.Appendf(nil, "# %d\n", x.made) // and nothing else
	case 1:
		return x.half(text)
	case 2:
		return append(text, "\tindented with a tab\n"...)
	case 3:
		return append(text, "nonsense: 1\n"...)
	case 4:
		return replaced("env:LOAD_SECRET", "env:NOBODY_SET_THIS")
	case 5:
		return replaced("room.id ==", "room.idd ==")
	case 6:
		return bytes.Repeat([]byte{0, 0xff, '{'}, x.made)
	default:
		return replaced("billing:", "biling:")
	}
}

// half is the beginning of a file that ends amid a step.
func (x *editor) half(text []byte) []byte {
	places := regexp.MustCompile(`\{ rules: r\d+`).FindAllIndex(text, -1)
	return text[:places[x.rng.IntN(len(places))][1]]
}

// write puts text in place of the file.
func (x *editor) write(text []byte) (how string) {
	x.t.Helper()
	path := x.o.Rules
	var err error
	switch x.rng.IntN(4) {
	case 0:
		how = "written over"
		err = os.WriteFile(path, text, 0o600)
	case 1:
		how = "removed, then written"
		err = errors.Join(os.Remove(path), os.WriteFile(path, text, 0o600))
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	case 2:
		how = "written in two parts"
		err = os.WriteFile(path, x.half([]byte(x.w.Rules())), 0o600)
		<-time.After(time.Duration(x.rng.IntN(5)) * time.Millisecond)
		err = errors.Join(err, os.WriteFile(path, text, 0o600))
	default:
		how = "renamed"
		err = errors.Join(os.WriteFile(path+".new", text, 0o600), os.Rename(path+".new", path))
	}
	if err != nil {
		x.t.Fatal(err)
	}
	return how
}

// announce tells the server of a change, or leaves it to find out.
func (x *editor) announce(broken bool) (how string) {
	x.t.Helper()
	switch x.rng.IntN(10) {
	case 0:
		cmd := exec.CommandContext(x.ctx, x.o.Bin, "reload", "--data", x.o.Data)
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		switch {
		case broken && errors.As(err, &exit) && exit.ExitCode() == 1 && strings.Contains(string(out), "refused"):
		case !broken && err == nil:
		default:
			x.t.Fatalf("gavel reload of a file, broken: %t: %v\n%s", broken, err, out)
		}
		return ", gavel reload"
	case 1, 2:
		return ", nobody said so"
	default:
		if err := syscall.Kill(x.s.Pid(), syscall.SIGHUP); err != nil {
			x.t.Fatal(err)
		}
		return ", SIGHUP"
	}
}

// grow holds that n reloads leave nothing behind in the server.
func (x *editor) grow(n int) {
	x.t.Helper()
	for range n / 4 { // what is made once
		x.change(false)
	}
	heap, goroutines, files := x.weight()
	for i := range n {
		x.change(i%10 < 3)
	}
	heap2, goroutines2, files2 := x.weight()
	x.t.Logf("before and after %d reloads: %d and %d KiB, %d and %d goroutines, %d and %d files",
		n, heap>>10, heap2>>10, goroutines, goroutines2, files, files2)
	if heap2 > heap+4<<20 || goroutines2 > goroutines+3 || files2 > files+3 {
		x.t.Error("the server grows with its reloads")
	}
}

// weight is what a server holds: bytes that are in use, goroutines, open files.
func (z *siege) weight() (heap, goroutines, files int) {
	z.t.Helper()
	heap = z.figure("/debug/pprof/heap?gc=1&debug=1", `# HeapAlloc = (\d+)`)
	goroutines = z.figure("/debug/pprof/goroutine?debug=1", `goroutine profile: total (\d+)`)
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", z.s.Pid()))
	if err != nil {
		z.t.Skip("needs /proc: ", err)
	}
	return heap, goroutines, len(open)
}

// figure is a number in what the server answers.
func (z *siege) figure(path, pattern string) int {
	z.t.Helper()
	body, err := z.s.Get(z.ctx, path)
	if err != nil {
		z.fatal(err)
	}
	found := regexp.MustCompile(pattern).FindSubmatch(body)
	if found == nil {
		z.t.Fatalf("%s says nothing of %s", path, pattern)
	}
	n, err := strconv.Atoi(string(found[1]))
	if err != nil {
		z.t.Fatal(err)
	}
	return n
}

// inOrder holds that no event was evaluated against rules that were older than
// those of the one before, and none against a broken file.
func (x *editor) inOrder() {
	x.t.Helper()
	r, err := store.OpenReader(x.ctx, x.o.Data, time.Now)
	if err != nil {
		x.t.Fatal(err)
	}
	defer r.Close()
	number := map[string]int{} // of the reload, by revision
	used, last := 0, 0
	for q := (engine.Query{Limit: 1000, After: "evt_"}); ; {
		rows, err := r.Events(x.ctx, q)
		if err != nil {
			x.t.Fatal(err)
		}
		for _, e := range rows {
			n, known := number[e.Revision]
			if !known {
				text, err := r.Revision(x.ctx, e.Revision)
				found := regexp.MustCompile(`rules: r(\d+),`).FindSubmatch(text)
				if err != nil || found == nil {
					x.t.Fatalf("event %s is of revision %s: %v", e.ID, e.Revision, err)
				}
				n, _ = strconv.Atoi(string(found[1]))
				number[e.Revision] = n
				used++
			}
			if n < last {
				x.t.Fatalf("event %s is of reload %d, the one before of reload %d", e.ID, n, last)
			}
			last = n
		}
		if len(rows) < q.Limit {
			x.t.Logf("%d revisions have evaluated events", used)
			return
		}
		q.After = rows[len(rows)-1].ID
	}
}
