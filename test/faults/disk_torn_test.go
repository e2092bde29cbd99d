package faults

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/store"
	"github.com/gavelhq/gavel/engine/store/storetest"
	"github.com/oklog/ulid/v2"
)

// How many deliveries are in the file, and how many more in its log.
const inFile, inLog = 300, 20

// damage is what may be found in a data folder after a crash, or after somebody
// was careless with it.
type damage struct {
	name string
	do   func(f torn, rng *rand.Rand)
	// keeps is how many deliveries are there at least, if the store opens.
	keeps int
	// refused is what it says if it is not to open; "": it may or may not.
	refused string
	sound   bool // it opens, and nothing is found to be wrong
}

func damages() []damage {
	return []damage{
		{"the log is cut off", func(f torn, rng *rand.Rand) { f.cut("-wal", 1+rng.Int64N(8<<10)) }, inFile, "", true},
		{"the end of the log is garbled", func(f torn, rng *rand.Rand) { f.garble(rng, "-wal", -1-rng.Int64N(8<<10), 8<<10) }, inFile, "", true},
		{"one bit of the log is wrong", func(f torn, rng *rand.Rand) { f.flip(rng, "-wal", logHead, f.size("-wal")) }, inFile, "", true},
		{"one bit of the head of the log is wrong", func(f torn, rng *rand.Rand) { f.flip(rng, "-wal", 0, logHead) }, 0, "move the log away", false},
		{"the head of the log is garbled", func(f torn, rng *rand.Rand) { f.garble(rng, "-wal", 0, logHead) }, 0, "move the log away", false},
		{"the head of the log was never written", func(f torn, rng *rand.Rand) { f.clear("-wal", logHead) }, inFile, "", true},
		{"the log is gone", func(f torn, _ *rand.Rand) { f.remove("-wal") }, inFile, "", true},
		{"the index is garbled", func(f torn, rng *rand.Rand) { f.garble(rng, "-shm", rng.Int64N(32<<10), 8<<10) }, inFile + inLog, "", true},
		{"the index is gone", func(f torn, _ *rand.Rand) { f.remove("-shm") }, inFile + inLog, "", true},
		{"the file is empty", func(f torn, _ *rand.Rand) { f.truncate("", 0) }, 0, "restore", false},
		{"the head of the file is garbled", func(f torn, rng *rand.Rand) { f.garble(rng, "", 0, 100) }, 0, "", false},
		{"the file is cut off", func(f torn, rng *rand.Rand) { f.cut("", 1+rng.Int64N(64<<10)) }, 0, "", false},
		{"a page of the file is garbled", func(f torn, rng *rand.Rand) { f.garble(rng, "", 4096*(1+rng.Int64N(f.pages()-1)), 4096) }, 0, "", false},
	}
}

// logHead is how long the head of a log is.
const logHead = 32

// TestTorn opens what a torn write leaves of a data folder. It holds whole
// transactions, or is refused with words that help.
func TestTorn(t *testing.T) {
	seed := first(t)
	whole := filepath.Join(t.TempDir(), "whole")
	leave(t, whole)
	all := damages()
	opened := map[string]int{}
	n := rounds(4*len(all), 1100)
	for i := range n {
		x := all[i%len(all)]
		seed++
		t.Run(fmt.Sprintf("%s, seed %d", x.name, seed), func(t *testing.T) {
			f := torn{t, t.TempDir()}
			if err := os.CopyFS(f.dir, os.DirFS(whole)); err != nil {
				t.Fatal(err)
			}
			x.do(f, rand.New(rand.NewPCG(seed, 0)))
			if f.open(x) {
				opened[x.name]++
			}
		})
	}
	for _, x := range all {
		t.Logf("%s: opened %d of %d", x.name, opened[x.name], n/len(all))
	}
}

// leave makes a data folder as it is after a crash, with something in the file
// and something in the log.
func leave(t *testing.T, dir string) {
	t.Helper()
	live := filepath.Join(t.TempDir(), "live")
	s := openStore(t, live)
	for n := range inFile {
		deliver(t, s, n)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, live)
	defer s.Close()
	for n := range inLog {
		deliver(t, s, inFile+n)
	}
	if err := os.CopyFS(dir, os.DirFS(live)); err != nil {
		t.Fatal(err)
	}
}

func openStore(t *testing.T, dir string) *store.SQLite {
	t.Helper()
	s, err := openTorn(dir)
	if err == nil {
		_, err = s.Use(t.Context(), storetest.NewRules("r1"))
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func openTorn(dir string) (*store.SQLite, error) {
	newID := func() string { return ulid.Make().String() }
	return store.Open(context.Background(), dir, store.Options{NewID: newID, Now: time.Now})
}

// deliver stores an event of a session of its own: four rows in as many tables.
func deliver(t *testing.T, s *store.SQLite, n int) {
	t.Helper()
	if _, err := s.Accept(t.Context(), inbound(n)); err != nil {
		t.Fatal(err)
	}
}

func inbound(n int) engine.Inbound {
	now, key := time.Now().UTC(), fmt.Sprint(n)
	return engine.Inbound{
		Delivery: engine.Received{ID: "dlv_" + key, At: now, Source: "pnm"}, Now: now,
		Keys: []engine.DedupeKey{{ID: key, Time: now}},
		Events: []engine.Event{{
			Type: engine.ParticipantJoined, Source: "pnm", Tenant: "default", Time: now, Received: now, Raw: []byte(`{}`),
			Session: engine.Session{ID: key}, Room: engine.Room{ID: "room"}, Participant: engine.Participant{ID: "p1"},
		}},
	}
}

// torn is a data folder that something has happened to.
type torn struct {
	t   *testing.T
	dir string
}

func (f torn) path(suffix string) string { return filepath.Join(f.dir, "gavel.db"+suffix) }

func (f torn) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f torn) size(suffix string) int64 {
	info, err := os.Stat(f.path(suffix))
	f.must(err)
	return info.Size()
}

func (f torn) pages() int64                       { return f.size("") / 4096 }
func (f torn) remove(suffix string)               { f.must(os.Remove(f.path(suffix))) }
func (f torn) truncate(suffix string, size int64) { f.must(os.Truncate(f.path(suffix), size)) }
func (f torn) cut(suffix string, n int64)         { f.truncate(suffix, max(0, f.size(suffix)-n)) }

// garble writes anything over n bytes at most, from at (from the end, if it is
// negative).
func (f torn) garble(rng *rand.Rand, suffix string, at, n int64) {
	size := f.size(suffix)
	if at < 0 {
		at = max(0, size+at)
	}
	junk := make([]byte, min(n, size-at))
	for i := range junk {
		junk[i] = byte(rng.Uint32())
	}
	file, err := os.OpenFile(f.path(suffix), os.O_RDWR, 0)
	f.must(err)
	defer file.Close()
	_, err = file.WriteAt(junk, at)
	f.must(err)
}

// flip changes one bit in that part of the file.
func (f torn) flip(rng *rand.Rand, suffix string, from, to int64) {
	text, err := os.ReadFile(f.path(suffix))
	f.must(err)
	text[from+rng.Int64N(to-from)] ^= 1 << rng.IntN(8)
	f.must(os.WriteFile(f.path(suffix), text, 0o600))
}

// clear writes zeros over the first n bytes.
func (f torn) clear(suffix string, n int) {
	text, err := os.ReadFile(f.path(suffix))
	f.must(err)
	clear(text[:n])
	f.must(os.WriteFile(f.path(suffix), text, 0o600))
}

// foreign is what does not help an admin.
var foreign = regexp.MustCompile(`panic|goroutine|runtime error|\*sqlite|sql:|nil pointer|0x[0-9a-f]+`)

// open looks at the folder as a server does when it starts, and writes to it.
func (f torn) open(x damage) (opened bool) {
	f.t.Helper()
	s, err := openTorn(f.dir)
	if err == nil {
		defer s.Close()
		if err = f.use(s, x.keeps); err == nil {
			f.sound(x)
		}
	}
	switch {
	case err != nil && x.sound:
		f.t.Errorf("it is refused: %v", err)
	case err != nil && foreign.MatchString(err.Error()):
		f.t.Errorf("it says %v", err)
	case err != nil && x.refused != "" && !regexp.MustCompile(x.refused).MatchString(err.Error()):
		f.t.Errorf("it says %v, want %s", err, x.refused)
	case err == nil && x.refused != "":
		f.t.Errorf("it opens, want %s", x.refused)
	}
	return err == nil
}

// use counts what is there and adds to it. The error is what a person is told.
func (f torn) use(s *store.SQLite, keeps int) error {
	f.t.Helper()
	if _, err := s.Use(f.t.Context(), storetest.NewRules("r1")); err != nil {
		return err
	}
	got, err := s.Stats(f.t.Context())
	if err != nil {
		return err
	}
	runs := int64(0)
	for _, n := range got.Runs {
		runs += n
	}
	if got.Events != got.Sessions || got.Events != runs {
		f.t.Errorf("%d events, %d sessions, %d runs: part of a transaction is there", got.Events, got.Sessions, runs)
	}
	if got.Events < int64(keeps) || got.Events > inFile+inLog {
		f.t.Errorf("%d events, want %d to %d", got.Events, keeps, inFile+inLog)
	}
	_, err = s.Accept(f.t.Context(), inbound(inFile+inLog))
	return err
}

// sound asks for everything that is wrong with the file.
func (f torn) sound(x damage) {
	f.t.Helper()
	report, err := store.Check(f.t.Context(), f.path(""), true)
	switch {
	case err != nil && foreign.MatchString(err.Error()):
		f.t.Errorf("the check says %v", err)
	case err != nil && x.sound:
		f.t.Errorf("it cannot be checked: %v", err)
	case len(report.Findings) > 0 && x.sound:
		f.t.Errorf("the check finds %+v", report.Findings)
	case errors.Is(err, fs.ErrNotExist):
		f.t.Error(err)
	}
}
