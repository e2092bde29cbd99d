package store

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	sqlite3 "modernc.org/sqlite/lib"
)

// slowFile takes its time to write.
type slowFile struct{ answer chan struct{} }

func (f slowFile) WriteAt(p []byte, _ int64) (int, error) {
	<-f.answer
	return len(p), nil
}

// A disk that does not answer makes nobody wait for longer than a second.
func TestPulse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := slowFile{make(chan struct{})}
		p := &pulse{file: disk, now: time.Now}
		ctx := context.Background()
		for i, want := range []time.Duration{patience, 0, 0} { // it is known from the second on
			began := time.Now()
			err := p.feel(ctx)
			if took := time.Since(began); !errors.Is(err, errHangs) || took != want {
				t.Errorf("%d: %v after %s, want %s", i, err, took, want)
			}
		}
		stopped, cancel := context.WithCancel(ctx)
		cancel()
		if err := p.feel(stopped); err == nil {
			t.Error("no error")
		}
		close(disk.answer)
		synctest.Wait()
		if err := p.feel(ctx); err != nil {
			t.Error(err)
		}
	})
}

// One trouble is one line in the log, and one when it is over, however many
// have to be refused and however often it is tried.
func TestTroubleIsSaidOnce(t *testing.T) {
	var h health
	now := time.Unix(0, 0)
	full, broken := errors.New("the disk is full"), errors.New("the disk reports an error")
	for i, step := range []struct {
		after     time.Duration
		err       error // nil: it was written
		say, rest bool
	}{
		{0, full, true, true},
		{between, full, false, true},
		{between, broken, false, true}, // the same trouble
		{between, nil, true, false},
		{between, broken, true, true},
		{between, nil, true, false},
		{between, broken, false, true}, // it comes and goes
		{between, nil, false, false},
		{between, full, true, true},
		{between, nil, true, false},
		{quiet, full, true, true},
	} {
		now = now.Add(step.after)
		say := false
		if step.err != nil {
			say = h.failed(step.err, now)
		} else {
			_, say = h.mended()
		}
		if rest, _ := h.trouble(now); say != step.say || (rest > 0) != step.rest {
			t.Errorf("step %d: said %t, rests for %s", i, say, rest)
		}
	}
	if rest, _ := h.trouble(now.Add(-time.Hour)); rest > between {
		t.Errorf("it rests for %s when the clock was set back", rest)
	}
}

// Writing the log again changes nothing, and fails where it cannot be written.
func TestRenew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gavel.db")
	if err := renew(path); err != nil {
		t.Errorf("without a log: %v", err)
	}
	for _, size := range []int{0, 1, 1 << 20, 3<<20 + 17} {
		log := bytes.Repeat([]byte("frame"), size/5+1)[:size]
		if size > logHeader {
			if err := os.WriteFile(path+"-wal", log, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := renew(path); !errors.Is(err, errLog) {
				t.Errorf("a log that does not begin like one: %v", err)
			}
			clear(log[:logHeader])
		}
		if err := os.WriteFile(path+"-wal", log, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := renew(path); err != nil {
			t.Error(err)
		}
		if got, err := os.ReadFile(path + "-wal"); err != nil || !bytes.Equal(got, log) {
			t.Errorf("%d bytes have become %d others (%v)", size, len(got), err)
		}
	}
	if err := os.Remove(path + "-wal"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path+"-wal", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := renew(path); err == nil {
		t.Error("a folder was written")
	}
}

// After the log could not be copied, its index is made anew before any more of
// it is. Somebody who reads all along keeps the old one in use, and nothing is
// copied until he has ended.
func TestCopyingFails(t *testing.T) {
	ctx := context.Background()
	s := inUse(t, t.TempDir())
	deliver := func(key string) {
		t.Helper()
		if _, err := s.Accept(ctx, delivery(key)); err != nil {
			t.Fatal(err)
		}
	}
	doubt := func() (doubt bool) {
		t.Helper()
		if err := probe(s, func(b *batch) error { doubt = b.log.doubt; return nil }); err != nil {
			t.Fatal(err)
		}
		return doubt
	}
	fail := func() {
		t.Helper()
		err := probe(s, func(b *batch) error { b.log.copied <- faulty(t); return nil })
		if err != nil {
			t.Fatal(err)
		}
	}
	deliver("a")
	var n int
	reading, err := s.db.BeginTx(ctx, nil)
	if err == nil {
		err = reading.QueryRowContext(ctx, `SELECT count(*) FROM events`).Scan(&n)
	}
	if err != nil {
		t.Fatal(err)
	}
	w, err := openWriter(s.path)
	if err != nil {
		t.Fatal(err)
	}
	err = copyLog(w) // which is noted in the index
	w.close()
	if err != nil {
		t.Fatal(err)
	}
	deliver("b")

	fail()
	deliver("c")
	if !doubt() {
		t.Error("there is no doubt, although the index is still the old one")
	}
	if err := reading.Rollback(); err != nil {
		t.Fatal(err)
	}
	fail()
	deliver("d")
	if doubt() {
		t.Error("there is still doubt, although nobody used the index")
	}
	if got := figures(t, s.Reader); got.Events != 4 {
		t.Errorf("stored %+v", got)
	}
}

// faulty is the error of a copy that the disk failed.
func faulty(t *testing.T) error {
	t.Helper()
	s := inUse(t, t.TempDir())
	w, err := openWriter(s.path)
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	sqlite3.SehInject(1)
	defer sqlite3.SehInject(0)
	if err = copyLog(w); code(err) != sqlite3.SQLITE_IOERR {
		t.Fatalf("copying fails with %v", err)
	}
	return err
}
