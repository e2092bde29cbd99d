package store

import (
	"database/sql"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
)

const (
	// cachedSize is how many bytes of payload a stored event may have to stay in
	// memory: the rules of a hold look at the event that set it with every later
	// one. eventSize is roughly what it takes besides.
	cachedSize = 8 << 10
	eventSize  = 4 << 10
	// maxEvents is how many stored events a look back finds at most, and
	// maxScanned among how many it searches for them.
	maxEvents  = 1000
	maxScanned = 50_000
	// fastClock is how far a platform's clock may be ahead of ours when a look
	// back searches among the events received since a moment.
	fastClock = time.Minute
	// maxSessions is how many sessions a scheduled rule sees.
	maxSessions = 1000
)

// tx is a batch as planning sees it.
type tx struct{ b *batch }

var _ engine.Tx = tx{}

// NewID implements engine.Tx.
func (x tx) NewID(prefix string) string { return prefix + x.b.o.NewID() }

// Timer implements engine.Tx.
func (x tx) Timer(kind, key string) *engine.Timer {
	if t := x.b.timers.byKey[digest(kind, key)]; t != nil {
		return t.Timer
	}
	return nil
}

// TimersOf implements engine.Tx.
func (x tx) TimersOf(session string) []*engine.Timer {
	open := x.b.timers.bySession[session]
	if len(open) == 0 {
		return nil
	}
	all := make([]*engine.Timer, len(open))
	for i, t := range open {
		all[i] = t.Timer
	}
	return all
}

// PutTimer implements engine.Tx.
func (x tx) PutTimer(t *engine.Timer) error {
	x.b.putTimer(t)
	return nil
}

// guardKey is the hash of a key of once, which begins with tenant and rule.
// That they are hashed apart as well is what schema 1 did: what was used up
// then stays used up.
func guardKey(key string) [16]byte {
	tenant, rest, _ := strings.Cut(key, "|")
	rule, _, _ := strings.Cut(rest, "|")
	return digest(tenant, rule, key)
}

// Used implements engine.Tx.
func (x tx) Used(key string) (bool, error) {
	k := guardKey(key)
	var one int
	return x.b.w.one(`SELECT 1 FROM guards WHERE key = ?`, []any{k[:]}, &one)
}

// UseUp implements engine.Tx.
func (x tx) UseUp(key, by, session string) error {
	k := guardKey(key)
	var used any
	meeting := x.b.meeting(session)
	if meeting != nil {
		used = x.b.now.UnixMicro()
	}
	_, err := x.b.w.exec(`INSERT INTO guards (key, used_by, session, used) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`, k[:], by, meeting, used)
	return err
}

// Cooling implements engine.Tx.
func (x tx) Cooling(key string) (until time.Time, err error) {
	k := digest(key)
	var micros int64
	found, err := x.b.w.one(`SELECT until FROM cooldowns WHERE key = ?`, []any{k[:]}, &micros)
	if found {
		until = at(micros)
	}
	return until, err
}

// Cool implements engine.Tx.
func (x tx) Cool(key string, until time.Time) error {
	k := digest(key)
	_, err := x.b.w.exec(`INSERT INTO cooldowns (key, until) VALUES (?, ?)
		ON CONFLICT DO UPDATE SET until = excluded.until`, k[:], until.UnixMicro())
	return err
}

// Gather implements engine.Tx.
func (x tx) Gather(kind, key, rule, words string, g engine.Gathered) error {
	k := digest(kind, key)
	_, err := x.b.w.exec(`INSERT INTO gathered (key, at, event, value, rule, words, until) VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT DO NOTHING`, k[:], g.At.UnixNano(), g.Event, g.Value, rule, words, micros(g.Until))
	return err
}

// Gathered implements engine.Tx.
func (x tx) Gathered(kind, key string) (all []engine.Gathered, err error) {
	k := digest(kind, key)
	err = x.b.w.each(`SELECT at, event, value FROM gathered WHERE key = ? ORDER BY at, event`, []any{k[:]}, func(r *sql.Rows) error {
		var g engine.Gathered
		var nanos int64
		err := r.Scan(&nanos, &g.Event, &g.Value)
		g.At = time.Unix(0, nanos).UTC()
		all = append(all, g)
		return err
	})
	return all, err
}

// Spend implements engine.Tx.
func (x tx) Spend(kind, key string, events []string) error {
	k := digest(kind, key)
	if events == nil {
		_, err := x.b.w.exec(`DELETE FROM gathered WHERE key = ?`, k[:])
		return err
	}
	_, err := x.b.w.exec(`DELETE FROM gathered WHERE key = ? AND event IN (SELECT value FROM json_each(?))`, k[:], jsonList(events))
	return err
}

// Gatherers implements engine.Tx.
func (x tx) Gatherers() (all []engine.Gatherer, err error) {
	err = x.b.w.each(`SELECT DISTINCT rule, words FROM gathered`, nil, func(r *sql.Rows) error {
		var g engine.Gatherer
		err := r.Scan(&g.Rule, &g.Words)
		all = append(all, g)
		return err
	})
	return all, err
}

// Forget implements engine.Tx.
func (x tx) Forget(g engine.Gatherer) error {
	_, err := x.b.w.exec(`DELETE FROM gathered WHERE rule = ? AND words = ?`, g.Rule, g.Words)
	return err
}

// Session implements engine.Tx.
func (x tx) Session(key string) (*engine.SessionState, error) {
	s, err := x.b.load(key)
	return s.folded(), err
}

// Sender implements engine.Tx.
func (x tx) Sender(name, tenant string) engine.Source {
	s := engine.Source{Name: name}
	if known := x.b.committer.sources[name]; known != nil {
		s = known.Source
	}
	s.Tenant = tenant
	return s
}

// Sessions implements engine.Tx.
func (x tx) Sessions(limit int) ([]*engine.SessionState, error) {
	var all []*engine.SessionState
	seen := map[string]bool{}
	add := func(s *session) {
		if s != nil && s.open && !seen[s.state.Key] && len(all) < limit {
			seen[s.state.Key] = true
			all = append(all, s.state)
		}
	}
	for _, s := range x.b.dirty { // the table does not know yet
		add(s)
	}
	keys, err := x.b.keys(`SELECT key FROM sessions WHERE seq IN (SELECT seq FROM sessions WHERE status = 'active') ORDER BY seq DESC LIMIT ?`, limit)
	for _, k := range keys {
		if err != nil {
			break
		}
		var s *session
		s, err = x.b.load(k)
		add(s)
	}
	return all, err
}
