package store

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// hash is that of an entry: SHA-256 of the hash of the entry before it (32 bytes,
// zero before the first one) and the text of the entry.
type hash [sha256.Size]byte

func (h hash) behind(text []byte) hash {
	d := sha256.New()
	d.Write(h[:])
	d.Write(text)
	return hash(d.Sum(nil))
}

// is reports whether a column holds h.
func (h hash) is(column []byte) bool { return string(h[:]) == string(column) }

func (h hash) String() string { return hex.EncodeToString(h[:]) }

// head is where a chain ends.
type head struct {
	number int64
	hash   hash
}

// chained is an entry in its place.
type chained struct {
	engine.Entry
	head // the chain with it
	text string
}

// next puts e behind the end of the chain.
func (h head) next(e engine.Entry) (chained, error) {
	e.Number = h.number + 1
	text, err := canonical(e)
	if err != nil {
		return chained{}, err
	}
	sum := h.hash.behind(text)
	e.Hash = sum.String()
	return chained{e, head{e.Number, sum}, string(text)}, nil
}

// complete gives e what entries of older versions, or of a step that says no
// more, do not have: it is for the month in UTC in which it ended.
func complete(e *engine.Entry) {
	e.Happened, e.Started, e.Ended, e.At = e.Happened.UTC(), e.Started.UTC(), e.Ended.UTC(), e.At.UTC()
	if e.Kind == "" {
		e.Kind = engine.EntryUsage
	}
	if e.Service == "" {
		when := e.Ended
		if when.IsZero() {
			when = e.At
		}
		e.Service, e.Zone = when.Format(monthFormat), time.UTC.String()
	}
	if e.Period == "" {
		e.Period = e.Service
	}
}

// monthFormat is how a period is written. Periods sort as texts.
const monthFormat = "2006-01"

// stepKey tells what wrote an entry from everything else that does: a step of a
// rule for an event, or what a person asked for. nil: not known.
func stepKey(e engine.Entry) []byte {
	if e.Step == "" {
		return nil
	}
	key := digest("step", e.Tenant, e.Source, e.Event, e.Rule, e.Step, e.Meter)
	return key[:]
}
