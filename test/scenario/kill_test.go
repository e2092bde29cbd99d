package scenario

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/store"
	diff "github.com/google/go-cmp/cmp"
)

var kills = flag.Int("kills", 10, "how often TestKill kills a server")

// Variables that make the test binary the server that is to be killed.
const (
	childDir  = "GAVEL_SCENARIO_DIR"
	childLife = "GAVEL_SCENARIO_LIFE"
)

// perTelling is about how often a server is killed while it tells one story.
const perTelling = 10

// killed are the stories that are told under fire: several times at once, each
// telling a little later than the one before.
func killed() []killedStory {
	return []killedStory{
		{"host-late-arrives", 5, 3*time.Minute + 7*time.Second},
		{"empty-room", 6, 4*time.Minute + 11*time.Second},
		{"restart", 4, 6*time.Minute + 13*time.Second},
		{"joins-digest", 6, 2*time.Minute + 3*time.Second},
		{"three-drops", 4, 17 * time.Second},
		{"pay-per-minute", 6, 5*time.Minute + 1*time.Second},
		{"emit", 5, 2*time.Hour + time.Second},
		{"wait-then-look", 6, 3*time.Minute + 9*time.Second},
		{"left-at-end", 5, 7*time.Minute + 21*time.Second},
		{"expect-per-room", 4, 9*time.Minute + 31*time.Second},
		{"reload", 5, 11*time.Minute + 41*time.Second},
		{"recording-missing", 5, 8*time.Minute + 51*time.Second},
		{"late-hosts-digest", 4, 7*time.Minute + 17*time.Second},
		{"digest-at", 3, 13*time.Minute + 19*time.Second},
	}
}

type killedStory struct {
	name   string
	copies int
	shift  time.Duration
}

func (k killedStory) read(t *testing.T) *story {
	return readStory(t, "testdata/"+k.name+".txtar").clones(k.copies, k.shift)
}

// TestKill kills a server that tells stories, with SIGKILL, at moments that
// have nothing to do with what it is doing, and starts it again from where the
// platforms and the clock stand. Whatever the moment: every timer fires once,
// and runs, sessions and ledger are those of a server nobody disturbed.
func TestKill(t *testing.T) {
	if dir := os.Getenv(childDir); dir != "" {
		synctest.Test(t, func(t *testing.T) { child(t, dir) })
		return
	}
	all := killed()
	rng := rand.New(rand.NewPCG(1, 2))
	left := *kills
	for i := 0; left > 0 && !t.Failed(); i++ {
		k := all[i%len(all)]
		t.Run(fmt.Sprintf("%s-%d", k.name, i), func(t *testing.T) {
			before := undisturbed(t, k)
			n := min(left, perTelling)
			got := besieged(t, k, rng, n, before.points)
			left -= got.kills
			got.compare(t, before)
			t.Logf("%d kills in %d points, %d attempts repeated", got.kills, before.points, got.repeated)
		})
	}
}

// told is what a server left behind.
type told struct {
	points   int // lines it wrote
	kills    int
	repeated int               // attempts
	acts     map[string]string // parameters by idempotency key
	runs     []engine.Run
	timers   []engine.Timer
	events   map[string]string // by id, in words that do not change
	sessions []string
	entries  []string
}

// undisturbed tells the story in a process nobody kills.
func undisturbed(t *testing.T, k killedStory) *told {
	t.Helper()
	out := &told{acts: map[string]string{}}
	dir := t.TempDir()
	if !out.live(t, k, dir, nil) {
		t.Fatal("the server did not end by itself")
	}
	out.read(t, dir)
	return out
}

// besieged tells it in processes that are killed about n times altogether.
func besieged(t *testing.T, k killedStory, rng *rand.Rand, n, points int) *told {
	t.Helper()
	out := &told{acts: map[string]string{}}
	dir := t.TempDir()
	for done := false; !done; {
		var shot *shot
		if out.kills < n {
			// The last one may come too late: then the server has ended by itself.
			shot = newShot(rng, max(2, 2*points/n))
		}
		done = out.live(t, k, dir, shot)
		if !done {
			out.kills++
		}
	}
	out.read(t, dir)
	return out
}

// shot is when a server is killed: after it has written so many lines, and a
// moment more, which is long enough for several transactions.
type shot struct {
	lines  int
	moment time.Duration
}

func newShot(rng *rand.Rand, most int) *shot {
	return &shot{1 + rng.IntN(most), time.Duration(rng.IntN(3000)) * time.Microsecond}
}

// live starts a server in dir, goes on with the story, and shoots it; ended
// reports that it came to the end of the story.
func (o *told) live(t *testing.T, k killedStory, dir string, s *shot) (ended bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestKill$", "-test.count=1")
	cmd.Env = append(os.Environ(), childDir+"="+dir, childLife+"="+strconv.Itoa(o.kills), "GAVEL_SCENARIO_STORY="+k.name)
	cmd.Stderr = os.Stderr
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said []string
	in := bufio.NewScanner(pipe)
	in.Buffer(nil, 1<<20)
	for n := 0; in.Scan(); {
		what, rest, _ := strings.Cut(in.Text(), " ")
		switch what {
		case "line":
			n++
		case "act":
			n++
			o.act(t, rest)
		case "end":
			ended = true
		default:
			said = append(said, in.Text())
		}
		if s == nil {
			o.points = n
		} else if n == s.lines && !ended {
			<-time.After(s.moment)
			_ = cmd.Process.Kill() // it may have ended by itself
			s = &shot{lines: -1}
		}
	}
	err = cmd.Wait()
	switch {
	case ended:
	case err == nil || !strings.Contains(err.Error(), "killed"):
		t.Fatalf("the server of life %d failed: %v\n%s", o.kills, err, strings.Join(said, "\n"))
	}
	return ended
}

// act notes an attempt: "KEY PARAMETERS".
func (o *told) act(t *testing.T, text string) {
	t.Helper()
	key, with, _ := strings.Cut(text, " ")
	before, again := o.acts[key]
	if again {
		o.repeated++
		if before != with {
			t.Errorf("attempts with the key %s differ:\n%s\n%s", key, before, with)
		}
	}
	o.acts[key] = with
}

// read reads what is in the store.
func (o *told) read(t *testing.T, dir string) {
	t.Helper()
	ctx := context.Background()
	later := func() time.Time { return time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC) }
	r, err := store.OpenReader(ctx, filepath.Join(dir, "data"), later)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, shadow := range []bool{false, true} {
		q := all()
		q.Shadow = shadow
		runs, readErr := r.Runs(ctx, q)
		o.runs, err = append(o.runs, runs...), errors.Join(err, readErr)
	}
	events, readErr := r.Events(ctx, all())
	err = errors.Join(err, readErr)
	o.events = map[string]string{}
	for _, e := range events {
		o.events[e.ID] = eventWords(e)
	}
	o.timers, readErr = r.Timers(ctx, all())
	err = errors.Join(err, readErr)
	sessions, readErr := r.Sessions(ctx, all())
	err = errors.Join(err, readErr)
	for _, s := range sessions {
		s, readErr := r.Session(ctx, s.Key)
		text, jsonErr := json.MarshalIndent(s, "", " ")
		o.sessions, err = append(o.sessions, string(text)), errors.Join(err, readErr, jsonErr)
	}
	slices.Sort(o.sessions)
	err = errors.Join(err, r.Entries(ctx, all(), time.Time{}, time.Time{}, func(e engine.Entry) error {
		o.entries = append(o.entries, strings.Join([]string{e.Source, e.Key, e.Meter, e.Customer, e.Quantity}, " "))
		return nil
	}))
	slices.Sort(o.entries)
	if err != nil {
		t.Fatal(err)
	}
}

// eventWords says which event it is, in another store as well.
func eventWords(e engine.EventRow) string {
	at := e.Time.Format(time.DateTime)
	if e.Type == engine.Emitted {
		at = "" // made when its step ran
	}
	return strings.Join([]string{e.Type, e.Name, e.Source, e.Session.ID, e.Participant.ID, e.Participant.ConnectionID, e.Recording.ID, at}, ",")
}

// compare finds what a kill changed.
func (o *told) compare(t *testing.T, before *told) {
	t.Helper()
	for _, x := range []struct {
		what      string
		got, want []string
	}{
		{"events", o.eventList(), before.eventList()},
		{"sessions", o.sessions, before.sessions},
		{"runs", o.runList(), before.runList()},
		{"timers", o.timerList(), before.timerList()},
		{"entries", o.entries, before.entries},
		{"steps that were begun", o.actList(), before.actList()},
	} {
		if d := diff.Diff(x.want, x.got); d != "" {
			t.Errorf("the kills made a difference to the %s (- undisturbed, + killed):\n%s", x.what, d)
		}
	}
	fired := map[string]int{}
	for _, r := range o.runs {
		if r.Timer == "" {
			continue
		}
		first := r.Branch
		if len(r.Steps) > 0 {
			first = r.Steps[0].Branch
		}
		if fired[r.Timer+first]++; fired[r.Timer+first] > 1 {
			t.Errorf("timer %s of rule %s fired more than once", r.Timer, r.Rule)
		}
	}
	if most := 4 * o.kills; o.repeated > most {
		t.Errorf("%d attempts were repeated by %d kills", o.repeated, o.kills)
	}
}

func (o *told) eventList() (all []string) {
	for _, e := range o.events {
		all = append(all, e)
	}
	slices.Sort(all)
	return all
}

func (o *told) runList() (all []string) {
	for _, r := range o.runs {
		all = append(all, o.runWords(r))
	}
	slices.Sort(all)
	return all
}

// runWords says what a run did, and because of what.
func (o *told) runWords(r engine.Run) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s <%s>", r.Rule, r.State, o.events[r.Event])
	for _, id := range r.Events {
		fmt.Fprintf(&b, " +<%s>", o.events[id])
	}
	for _, s := range r.Steps {
		fmt.Fprintf(&b, " %s/%d:%s:%s:%s", s.Branch, s.At, s.Action, s.State, s.With)
	}
	return b.String()
}

func (o *told) timerList() (all []string) {
	for _, t := range o.timers {
		all = append(all, strings.Join([]string{t.Rule, t.Kind, t.Session, t.State, o.events[t.Event], o.events[t.By]}, " "))
	}
	slices.Sort(all)
	return all
}

// actList are the steps somebody began, by what their runs are.
func (o *told) actList() (all []string) {
	runs := map[string]engine.Run{}
	for _, r := range o.runs {
		runs[r.ID] = r
	}
	for key, with := range o.acts {
		id, step, _ := strings.Cut(key, ".")
		r, known := runs[id]
		if !known {
			all = append(all, "a run that is not stored: "+key)
			continue
		}
		all = append(all, strings.Join([]string{r.Rule, o.events[r.Event], step, with}, " "))
	}
	slices.Sort(all)
	return all
}

// child is the server that is killed. It goes on where the file progress says
// that the platforms and the clock stand, and tells on stdout what happens.
func child(t *testing.T, dir string) {
	name := os.Getenv("GAVEL_SCENARIO_STORY")
	life, err := strconv.Atoi(os.Getenv(childLife))
	i := slices.IndexFunc(killed(), func(k killedStory) bool { return k.name == name })
	if err != nil || i < 0 {
		t.Fatalf("life %q of story %q", os.Getenv(childLife), name)
	}
	s := killed()[i].read(t)
	p, err := openProgress(filepath.Join(dir, "progress"), s.start)
	if err != nil {
		t.Fatal(err)
	}
	defer p.file.Close()
	w := newWorld(t, filepath.Join(dir, "data"), p.clock)
	w.life, w.timeout, w.workers = uint16(life), s.timeout, 4
	w.tick = func(now time.Time) { p.tick(now) }
	w.noted = func(a attempt) { fmt.Printf("act %s %s%s\n", a.key, a.action, a.with) }

	rules := "rules.yaml"
	for _, x := range s.lines[:p.next] {
		if x.verb == "reload" {
			rules = x.args[0]
		}
	}
	set, err := w.load(rules, s.rules[rules])
	if err == nil {
		err = w.open(set)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { w.stop() }()
	for n := p.next; n < len(s.lines); n++ {
		if err := w.step(s, s.lines[n]); err != nil {
			t.Fatal(err)
		}
		p.accepted(n + 1)
		fmt.Printf("line %d\n", n)
	}
	if err := w.runOn(s, s.lines[len(s.lines)-1].at); err != nil {
		t.Fatal(err)
	}
	fmt.Println("end")
}

// progress is what outlives a killed server, beside its store: the clock on the
// wall, and how far the platforms have got with what they have to say.
type progress struct {
	file  *os.File
	clock time.Time
	next  int
	mu    sync.Mutex
}

func openProgress(path string, start time.Time) (*progress, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	p := &progress{file: f, clock: start}
	var b [16]byte
	if n, err := f.ReadAt(b[:], 0); n == len(b) {
		p.clock = time.Unix(0, int64(binary.LittleEndian.Uint64(b[:8]))).UTC()
		p.next = int(binary.LittleEndian.Uint64(b[8:]))
	} else if n > 0 {
		return nil, fmt.Errorf("progress is cut off: %w", err)
	}
	p.write()
	return p, nil
}

// tick notes the time. What a process has written stays when it is killed.
func (p *progress) tick(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now.After(p.clock) {
		p.clock = now
		p.write()
	}
}

func (p *progress) accepted(next int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next = next
	p.write()
}

func (p *progress) write() {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:8], uint64(p.clock.UnixNano()))
	binary.LittleEndian.PutUint64(b[8:], uint64(p.next))
	if _, err := p.file.WriteAt(b[:], 0); err != nil {
		panic(err) // a test without its clock is none
	}
}
