package soak

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gavelhq/gavel/test/server"
	"github.com/gavelhq/gavel/test/witness"
)

var (
	lasting = flag.Duration("for", 10*time.Second, "how long TestSoak lasts")
	kept    = flag.Duration("kept", 0, "for how long the server of TestSoak keeps what is over; 0: a sixth of -for, at least 5m")
	rate    = flag.Int("rate", 300, "events a second of TestSoak")
	seed    = flag.Uint64("seed", 0, "of TestSoak, and the first one of TestDay; 0: any, and from 1")
)

// Whatever a test starts has ended when the package's tests have.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// samplesOf is about how many samples are taken of a soak.
const samplesOf = 180

func TestSoak(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), *lasting+10*time.Minute)
	defer cancel()
	s := newSoak(ctx, t)
	before, err := s.brokenIn(ctx)
	if err != nil {
		t.Fatalf("%v\n%s", err, s.server.Log())
	}
	samples, err := s.load(ctx)
	if err != nil {
		t.Fatalf("%v\n%s", err, s.server.Log())
	}
	if err := s.witness.Drained(ctx, s.server); err != nil {
		t.Errorf("%v\n%s", err, s.server.Log())
	}
	after, err := s.settled(ctx, before)
	if err != nil {
		t.Errorf("after the load: %v", err)
	}
	stopped := time.Now()
	if err := s.server.Stop(); err != nil {
		t.Errorf("stop: %v\n%s", err, s.server.Log())
	}
	// What began shortly before it would be deleted may be deleted in part.
	if err := s.witness.CheckSince(s.options.Data, stopped.Add(-retention()+retention()/4)); err != nil {
		t.Error(err)
	}
	report(t, before, samples, after)
	if err := write(filepath.Join(s.artifacts, "samples.csv"), samples); err != nil {
		t.Error(err)
	}
	if *lasting >= long {
		judge(t, samples)
	}
}

// soak is a server under load.
type soak struct {
	options server.Options
	server  *server.Server
	witness *witness.Witness

	artifacts string // folder for what helps to explain a failure
	profiled  string // the newest profile
}

// retention is for how long the server keeps what is over.
func retention() time.Duration { return cmp.Or(*kept, max(5*time.Minute, *lasting/6)) }

func newSoak(ctx context.Context, t *testing.T) *soak {
	dir := t.TempDir()
	bin, err := server.Build(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	n := *seed
	if n == 0 {
		n = rand.Uint64N(1e6) + 1
	}
	t.Logf("seed %d", n)
	// Meetings without an end would be kept for a day, more and more of them.
	w, err := witness.New(witness.Options{Seed: n, Rate: *rate, AllEnd: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	s := &soak{witness: w, artifacts: t.ArtifactDir(), options: server.Options{
		Bin: bin, Rules: filepath.Join(dir, "rules.yaml"), Data: filepath.Join(dir, "data"), Env: w.Env(),
		Args: []string{"--retention", retention().String()},
	}}
	if err := s.rules(0); err != nil {
		t.Fatal(err)
	}
	if s.server, err = server.Start(ctx, s.options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.server.Kill)
	return s
}

// rules writes the rules of that number, all at once.
func (s *soak) rules(n int) error {
	next := s.options.Rules + ".next"
	if err := os.WriteFile(next, []byte(s.witness.RulesOf(fmt.Sprint("r", n))), 0o600); err != nil {
		return err
	}
	return os.Rename(next, s.options.Rules)
}

// brokenIn is the server after a second of load: with everything open that it
// opens once and keeps.
func (s *soak) brokenIn(ctx context.Context) (sample, error) {
	sending, stop := context.WithTimeout(ctx, time.Second)
	defer stop()
	err := s.witness.Send(sending, func() string { return s.server.Hooks })
	if err == nil {
		err = s.witness.Drained(ctx, s.server)
	}
	if err != nil {
		return sample{}, err
	}
	least, err := take(ctx, s.server, s.options.Data)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for n := 0; err == nil && n < 10; n++ { // what has to close has time to
		s.witness.HangUp()
		<-tick.C
		var x sample
		x, err = take(ctx, s.server, s.options.Data)
		least.goroutines, least.files = min(least.goroutines, x.goroutines), min(least.files, x.files)
	}
	return least, err
}

// load lets the witness send for as long as the soak lasts.
func (s *soak) load(ctx context.Context) ([]sample, error) {
	sending, stop := context.WithTimeout(ctx, *lasting)
	defer stop()
	sent := make(chan error, 1)
	go func() { sent <- s.witness.Send(sending, func() string { return s.server.Hooks }) }()
	broken := func(err error) error {
		stop()
		return errors.Join(err, <-sent)
	}

	began := time.Now()
	look := time.NewTicker(max(time.Second, *lasting/samplesOf))
	defer look.Stop()
	change := time.NewTicker(min(time.Minute, *lasting/4))
	defer change.Stop()
	var samples []sample
	for n := 1; ; {
		if err := s.profile(ctx, len(samples)); err != nil {
			return samples, broken(err)
		}
		select {
		case err := <-sent:
			return samples, err
		case <-change.C:
			if err := s.rules(n); err != nil {
				return samples, broken(err)
			}
			n++
		case <-look.C:
			x, err := take(ctx, s.server, s.options.Data)
			if err != nil {
				return samples, broken(err)
			}
			x.at, x.acked = time.Since(began), s.witness.Acked()
			samples = append(samples, x)
		}
	}
}

// profile keeps what is on the heap, once it should not grow any more and nearly
// at the end: go tool pprof -diff_base shows what grew all the same.
func (s *soak) profile(ctx context.Context, taken int) error {
	name := map[int]string{samplesOf / 4: "heap-before.pb.gz", samplesOf * 9 / 10: "heap-after.pb.gz"}[taken]
	if name == "" || s.profiled == name {
		return nil
	}
	s.profiled = name
	text, err := s.server.Get(ctx, "/debug/pprof/heap?gc=1")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.artifacts, name), text, 0o600)
}

const (
	// most is how many more goroutines or files there may be than before the load.
	most = 5
	// mostDatabase is how many files of the database may be open: those of a
	// connection that writes, and of four that read.
	mostDatabase = 16
)

// settled waits until goroutines and files are back to what they were.
func (s *soak) settled(ctx context.Context, before sample) (sample, error) {
	enough := time.NewTimer(time.Minute)
	defer enough.Stop()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		s.witness.HangUp()
		x, err := take(ctx, s.server, s.options.Data)
		if err != nil {
			return x, err
		}
		if x.goroutines <= before.goroutines+most && x.files <= before.files+most && x.database <= mostDatabase {
			return x, nil
		}
		select {
		case <-enough.C:
			return x, fmt.Errorf("%d goroutines and %d files are left, before the load there were %d and %d; of the database %d are open",
				x.goroutines, x.files, before.goroutines, before.files, x.database)
		case <-tick.C:
		}
	}
}
