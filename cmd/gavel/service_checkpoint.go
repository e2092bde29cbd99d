package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/store"
)

// When a checkpoint is due.
const (
	checkpointAfter   = time.Hour // if there is a new entry
	checkpointEntries = 1000
	checkpointLook    = 10 * time.Second
)

// signer appends signed checkpoints of the ledger to a file, and tells the log.
type signer struct {
	key  ed25519.PrivateKey
	file string
	now  func() time.Time
	last map[string]store.Checkpoint // of a tenant
}

// heads say where the chains end.
type heads func(context.Context) ([]engine.Head, error)

// newSigner reads what was signed last. A key without a file, or a file without a
// key, is a mistake.
func (a *app) newSigner(ref, file string) (*signer, error) {
	switch {
	case ref == "" && file == "":
		return nil, nil
	case ref == "" || file == "":
		return nil, fail(exitUsage, errors.New("--ledger-key and --checkpoints belong together"), "give both: the key that signs, and the file that checkpoints are appended to")
	}
	key, err := a.ledgerKey(ref)
	if err != nil {
		return nil, err
	}
	s := &signer{key: key, file: file, now: a.now, last: map[string]store.Checkpoint{}}
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return s, s.append(nil) // it must be possible
	}
	if err != nil {
		return nil, fail(exitUnreadable, withoutOp(err), "")
	}
	defer f.Close()
	good, _, err := readCheckpoints(f, file, nil)
	if err != nil {
		return nil, fail(exitUnreadable, fmt.Errorf("read %s: %w", file, err), "")
	}
	for _, c := range good {
		s.last[c.Tenant] = c
	}
	return s, s.append(nil)
}

// run signs what is due until ctx ends, and then what is left.
func (s *signer) run(ctx context.Context, of heads, log *slog.Logger) {
	tick := time.NewTicker(checkpointLook)
	defer tick.Stop()
	for {
		ends := ctx.Err() != nil
		if err := s.sign(context.WithoutCancel(ctx), of, log, ends); err != nil {
			log.Error("the ledger could not be signed", "file", s.file, "error", err.Error())
		}
		if ends {
			return
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// sign signs the chains that are due, or all that have grown.
func (s *signer) sign(ctx context.Context, of heads, log *slog.Logger, all bool) error {
	ends, err := of(ctx)
	if err != nil {
		return err
	}
	var fresh []store.Checkpoint
	var lines []byte
	for _, h := range ends {
		if !s.due(h) && (!all || h.Number == s.last[h.Tenant].Number) {
			continue
		}
		c, err := store.Sign(h, s.now(), s.key)
		if err != nil {
			return err
		}
		line, err := json.Marshal(c)
		if err != nil {
			return err
		}
		fresh, lines = append(fresh, c), append(append(lines, line...), '\n')
	}
	if len(fresh) == 0 {
		return nil
	}
	if err := s.append(lines); err != nil {
		return err
	}
	for i, line := range bytes.Split(bytes.TrimSpace(lines), []byte{'\n'}) {
		s.last[fresh[i].Tenant] = fresh[i]
		log.Info("ledger checkpoint", "line", string(line)) // elsewhere than in the file
	}
	return nil
}

func (s *signer) due(h engine.Head) bool {
	last, signed := s.last[h.Tenant]
	if !signed || h.Number < last.Number { // the latter: a backup was restored
		return true
	}
	return h.Number != last.Number && (h.Number-last.Number >= checkpointEntries || !s.now().Before(last.At.Add(checkpointAfter)))
}

// append writes whole lines to the end of the file, and flushes them.
func (s *signer) append(lines []byte) error {
	f, err := os.OpenFile(s.file, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fail(exitUnreadable, fmt.Errorf("checkpoints cannot be written: %w", withoutOp(err)), "")
	}
	defer f.Close()
	end, err := mendEnd(f)
	if err != nil {
		return fail(exitUnreadable, fmt.Errorf("%s cannot be mended: %w", s.file, withoutOp(err)), "")
	}
	lines = append(end, lines...)
	if len(lines) == 0 {
		return nil
	}
	if _, err := f.Write(lines); err != nil {
		return err
	}
	return f.Sync()
}

// checkpointBegins is how each line does.
const checkpointBegins = `{"tenant":`

// mendEnd takes away the last line if a crash cut it off: it is no checkpoint,
// and nobody was told of it. What lacks but its end, or is none of ours, gets one.
func mendEnd(f *os.File) (end []byte, err error) {
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil, err
	}
	from := max(0, info.Size()-maxCheckpoint)
	tail := make([]byte, info.Size()-from)
	if _, err := f.ReadAt(tail, from); err != nil {
		return nil, err
	}
	begins := bytes.LastIndexByte(tail, '\n') + 1
	if begins == len(tail) {
		return nil, nil
	}
	last := tail[begins:]
	_, whole := checkpointOf(last)
	n := min(len(last), len(checkpointBegins))
	if whole || string(last[:n]) != checkpointBegins[:n] {
		return []byte{'\n'}, nil
	}
	return nil, f.Truncate(from + int64(begins))
}
