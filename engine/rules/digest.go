package rules

import (
	"fmt"
	"slices"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// digest gathers events: for some time from the first one, or up to a moment
// of the clock.
type digest struct {
	every time.Duration // 0: at
	at    cron
	per   key
}

func (w *wordReader) readDigest(n node) {
	if !n.isMap("digest: { every: 5m }") {
		return
	}
	d := &digest{}
	got := n.fields("keys of digest", keyNames(digestKeys()))
	every, hasEvery := got["every"]
	at, hasAt := got["at"]
	when := ""
	switch {
	case hasEvery && hasAt:
		at.addAtKey(issue{Code: "two-ways", What: `a digest is sent "every" so often or "at" a time, and this one says both`, Hint: "remove one of them"})
	case hasEvery:
		d.every = w.fixedPeriod(every)
		when = "every " + formatDuration(d.every)
	case hasAt:
		d.at, _ = w.readCron(at)
		when = "at " + at.Value
	default:
		n.addAtKey(issue{Code: "missing-key", What: `"digest" needs "every" or "at"`, Hint: `every: 5m, from its first event on, or at: "0 18 * * mon-fri"`})
	}
	d.per = w.per(n, got)
	w.rule.digest = d
	w.rule.says("digest %s%s", when, d.per.says())
}

// of is the digest for this event.
func (d *digest) of(r *rule, f *frame, loc *time.Location) (*engine.Digest, error) {
	m := &engine.Digest{Due: f.in.Now.Add(d.every)}
	var err error
	if m.Key, err = d.per.text("digest", r, f, loc); err != nil {
		return nil, err
	}
	if d.every == 0 {
		if m.Due = d.at.next(f.in.Now, loc); m.Due.IsZero() {
			return nil, fmt.Errorf("digest: at: has no further time")
		}
	}
	return m, nil
}

// groups are the groups of facts that all events of a digest share: what its
// key names.
func (d *digest) groups() []string {
	shared := []string{"source"}
	for _, k := range d.per {
		switch k.src {
		case "session.id":
			shared = append(shared, "session", "room")
		case "room.id":
			shared = append(shared, "room")
		case "participant.id":
			shared = append(shared, "participant")
		case "recording.id":
			shared = append(shared, "recording")
		}
	}
	slices.Sort(shared)
	return slices.Compact(shared)
}
