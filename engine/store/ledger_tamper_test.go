package store

import (
	"context"
	"crypto/ed25519"
	"database/sql"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
)

var tamperings = flag.Int("tamperings", 200, "how often a ledger is tampered with")

// Whatever somebody does to the ledger with a tool of his own is found: edits,
// deletions, insertions, exchanges and a cut end, done plainly, with the hash of
// the row made to fit, or with everything behind it computed anew and the end set
// to it. Only the last needs checkpoints.
func TestTampering(t *testing.T) {
	r := seeded(t)
	path := tamperable(t)
	signed := checkpoints(t, path)
	if got := verified(t, path, signed...); got.Found > 0 || got.Checkpoints != len(signed) {
		t.Fatalf("the ledger is not as it should be: %+v", got)
	}
	found := 0
	for i := range *tamperings {
		x := newTampering(r)
		t.Run(fmt.Sprint(i, " ", x), func(t *testing.T) {
			copied := filepath.Join(t.TempDir(), "copy.db")
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			write(t, copied, string(data))
			at := x.do(t, copied)
			var known []Checkpoint
			if x.needsCheckpoints() {
				known = signed
			}
			got := verified(t, copied, known...)
			if got.Found == 0 {
				t.Fatalf("at %d: nothing was found", at)
			}
			got.Findings = slices.DeleteFunc(got.Findings, func(f LedgerFinding) bool { return f.kind == badTables }) // its tools show
			if len(got.Findings) == 0 {
				t.Fatalf("at %d: only the tables are not as they were", at)
			}
			first := got.Findings[0]
			if first.Tenant != "default" || !x.near(at, first) {
				t.Errorf("at %d: found %+v", at, got.Findings)
			}
			found++
		})
	}
	t.Logf("%d of %d found", found, *tamperings)
}

// tampering is one way to change a ledger.
type tampering struct {
	how   string
	cover string
	r     *rand.Rand
}

const (
	plainly    = "plainly"
	itsHash    = "with its hash"
	everything = "with all that follows"
)

func newTampering(r *rand.Rand) tampering {
	how := []string{"edit", "edit a column", "delete", "insert", "exchange", "cut the end"}
	return tampering{how[r.IntN(len(how))], []string{plainly, itsHash, everything}[r.IntN(3)], r}
}

func (x tampering) String() string { return x.how + " " + x.cover }

func (x tampering) needsCheckpoints() bool { return x.cover == everything && x.how != "edit a column" }

// near reports whether the finding names the place. What was computed anew is
// only known to lie before the next checkpoint.
func (x tampering) near(at int64, f LedgerFinding) bool {
	if x.needsCheckpoints() {
		return f.Number >= at && f.Number < at+checkpointEvery+2
	}
	return f.Number >= at-1 && f.Number <= at+2
}

// ledgerLine is a row of the table entries, with its text apart.
type ledgerLine struct {
	columns []any // as in the table
	text    map[string]any
}

var entryColumns = []string{"seq", "id", "tenant", "number", "hash", "kind", "source", "key", "meter", "customer",
	"period", "step", "corrects", "rule", "session", "room", "at", "body"}

func (w *ledgerLine) set(column string, value any) {
	w.columns[slices.Index(entryColumns, column)] = value
}

func (w *ledgerLine) get(column string) any { return w.columns[slices.Index(entryColumns, column)] }

// do changes the database file, and says which number is the first one that is
// not as it was.
func (x tampering) do(t *testing.T, path string) int64 {
	db, err := sql.Open("sqlite", dsn(path, "_pragma=synchronous(OFF)"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	forge(t, db, `BEGIN; DROP TRIGGER entries_once; DROP TRIGGER entries_keep; DROP TRIGGER entries_stay; DROP TRIGGER chains_grow; DROP TRIGGER chains_stay;
		DROP INDEX entries_id; DROP INDEX entries_number; DROP INDEX entries_key; DROP INDEX entries_step`)
	rows := readRows(t, db)
	n := x.r.IntN(len(rows) - 1)
	if x.how == "edit" && x.r.IntN(5) == 0 {
		n = len(rows) - 1 // nothing follows
	}
	changed := rows[n]
	switch x.how {
	case "edit":
		x.edit(changed)
	case "edit a column":
		column := []string{"id", "customer", "period", "key", "meter", "at", "room", "kind", "corrects", "step"}[x.r.IntN(10)]
		switch column {
		case "at":
			changed.set(column, changed.get(column).(int64)+1)
		case "step":
			changed.set(column, []byte("0123456789abcdef"))
		default:
			changed.set(column, fmt.Sprint(changed.get(column), "x"))
		}
	case "delete":
		rows = slices.Delete(rows, n, n+1)
	case "insert":
		more := x.another(rows[n], len(rows))
		rows = slices.Insert(rows, n, more)
		changed = more
	case "exchange":
		rows[n], rows[n+1] = rows[n+1], rows[n]
	case "cut the end":
		n = len(rows) - 1 - x.r.IntN(5)
		rows = rows[:n]
	}
	switch x.cover {
	case itsHash:
		if n < len(rows) {
			x.rechain(t, rows, n, n+1)
		}
	case everything:
		x.rechain(t, rows, n, len(rows))
	}
	writeRows(t, db, rows)
	if x.cover == everything {
		last := rows[len(rows)-1]
		forge(t, db, `UPDATE chains SET number = ?, hash = ? WHERE tenant = 'default'`, last.get("number"), last.get("hash"))
	}
	forge(t, db, `COMMIT`)
	return int64(n + 1)
}

// edit changes what an entry says, in its text and where a column says the same.
func (x tampering) edit(w *ledgerLine) {
	name := []string{"amount", "customer", "quantity", "reason", "started"}[x.r.IntN(5)]
	switch name {
	case "amount":
		w.text[name] = json.Number("1")
	case "quantity":
		w.text[name] = "7.25"
	case "started":
		w.text[name] = "2020-01-01T00:00:00Z"
	default:
		w.text[name] = "somebody else"
	}
	if slices.Contains(entryColumns, name) {
		w.set(name, w.text[name])
	}
}

// another is a row like w that was never there.
func (x tampering) another(w *ledgerLine, n int) *ledgerLine {
	c := &ledgerLine{slices.Clone(w.columns), map[string]any{}}
	for name, value := range w.text {
		c.text[name] = value
	}
	for _, name := range []string{"id", "key"} {
		c.text[name] = fmt.Sprint("forged-", n)
		c.set(name, c.text[name])
	}
	delete(c.text, "step")
	c.set("step", nil)
	return c
}

// rechain computes the rows [from, to) as they would have been written.
func (x tampering) rechain(t *testing.T, rows []*ledgerLine, from, to int) {
	var h head
	if from > 0 {
		h.number = rows[from-1].get("number").(int64)
		copy(h.hash[:], rows[from-1].get("hash").([]byte))
	}
	for _, w := range rows[from:to] {
		h.number++
		w.text["number"] = h.number
		text, err := canonical(w.text)
		if err != nil {
			t.Fatal(err)
		}
		h.hash = h.hash.behind(text)
		w.set("number", h.number)
		w.set("hash", slices.Clone(h.hash[:]))
	}
}

func forge(t *testing.T, db *sql.DB, query string, args ...any) {
	t.Helper()
	if _, err := db.Exec(query, args...); err != nil {
		t.Fatal(err)
	}
}

// readRows are those of the tenant default.
func readRows(t *testing.T, db *sql.DB) (all []*ledgerLine) {
	rows, err := db.Query(`SELECT ` + strings.Join(entryColumns, ", ") + ` FROM entries WHERE tenant = 'default' ORDER BY seq`)
	if err != nil {
		t.Fatal(err)
	}
	err = scanAll(rows, func(r *sql.Rows) error {
		w := &ledgerLine{columns: make([]any, len(entryColumns)), text: map[string]any{}}
		into := make([]any, len(entryColumns))
		for i := range into {
			into[i] = &w.columns[i]
		}
		if err := r.Scan(into...); err != nil {
			return err
		}
		d := json.NewDecoder(strings.NewReader(w.get("body").(string)))
		d.UseNumber()
		all = append(all, w)
		return d.Decode(&w.text)
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// writeRows puts rows in the place of those of the tenant default, in their order.
func writeRows(t *testing.T, db *sql.DB, all []*ledgerLine) {
	forge(t, db, `DELETE FROM entries WHERE tenant = 'default'`)
	for _, w := range all {
		text, err := canonical(w.text)
		if err != nil {
			t.Fatal(err)
		}
		w.set("body", string(text))
		w.set("seq", nil)
		forge(t, db, `INSERT INTO entries (`+strings.Join(entryColumns, ", ")+`) VALUES (?`+strings.Repeat(", ?", len(entryColumns)-1)+`)`, w.columns...)
	}
}

// tamperable is a ledger of two tenants with all kinds of entries.
func tamperable(t *testing.T) (path string) {
	t.Helper()
	dir := t.TempDir()
	s := inUse(t, dir)
	var all []engine.Entry
	for n := range 40 {
		e := billed(n)
		if n%7 == 3 {
			e.Tenant = "other"
		}
		all = append(all, e)
		if n%8 == 7 {
			c := remark{Reason: "wrong", Actor: "alice", Step: fmt.Sprint("request/", n)}.on(all[n/2], engine.EntryCorrection)
			c.Quantity, c.Charge = "-2", e.Charge
			all = append(all, c)
		}
	}
	all = append(all, engine.Entry{Kind: engine.EntryClose, Tenant: "default", Period: "2026-10", Service: "2026-10", Zone: "UTC", Actor: "bob", Reason: "done"})
	err := probe(s, func(b *batch) error {
		p := newPosting(b)
		for _, e := range all {
			if _, err := p.add(e, e.Charge); err != nil {
				return err
			}
		}
		return p.write()
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, fileName)
}

const checkpointEvery = 7

// ledgerKey is a key for tests.
func ledgerKey() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)) }

// checkpoints are those of every so many entries, and of the end.
func checkpoints(t *testing.T, path string) (all []Checkpoint) {
	t.Helper()
	r, err := OpenReader(context.Background(), filepath.Dir(path), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	sign := func(h engine.Head) {
		c, err := Sign(h, fixtureTime, ledgerKey())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	err = r.Entries(context.Background(), engine.Query{}, time.Time{}, time.Time{}, func(e engine.Entry) error {
		if e.Number%checkpointEvery == 0 {
			sign(engine.Head{Tenant: e.Tenant, Number: e.Number, Hash: e.Hash})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	heads, err := r.Heads(context.Background())
	if err != nil || len(heads) != 2 {
		t.Fatalf("%+v (%v)", heads, err)
	}
	for _, h := range heads {
		sign(h)
	}
	return all
}

func verified(t *testing.T, path string, known ...Checkpoint) LedgerReport {
	t.Helper()
	r, err := VerifyLedger(context.Background(), path, known)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
