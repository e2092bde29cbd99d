package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/gavelhq/gavel/engine"
	sqlite3 "modernc.org/sqlite/lib"
)

// LedgerReport is what [VerifyLedger] found out about a database file.
type LedgerReport struct {
	File        string          `json:"file"`
	Chains      []engine.Head   `json:"chains"`      // as far as they were read
	Entries     int64           `json:"entries"`     // that were read
	Checkpoints int             `json:"checkpoints"` // that stand in their chain
	Coverage    []Coverage      `json:"coverage"`    // how far the checkpoints reach, by tenant
	Found       int             `json:"found"`       // 0: the ledger is as it was written
	Findings    []LedgerFinding `json:"findings"`    // the first ones, in the order of the ledger
}

// Coverage is how far checkpoints vouch for a chain: what is behind the last one
// that stands, anybody could have written.
type Coverage struct {
	Tenant string `json:"tenant"`
	Signed int64  `json:"signed"` // number of the last checkpoint that stands, 0: none does
	Last   int64  `json:"last"`   // number of the last entry
}

// LedgerFinding is something in the ledger that is not as it was written.
type LedgerFinding struct {
	Tenant string `json:"tenant"`
	Number int64  `json:"number"`
	Entry  string `json:"entry,omitempty"` // id of the row
	What   string `json:"what"`

	kind string
}

// Kinds of findings, as gavel store check sums them up.
const (
	badChain  = "ledger entries that break their chain"
	badHead   = "ledgers that do not end where they should"
	badTotal  = "ledger entries whose month total does not follow"
	badText   = "ledger entries" + unreadable
	badColumn = "ledger entries" + differs
	badTables = "tables, indexes or triggers of the ledger that are not as they must be"
)

// shownFindings is how many findings a report names.
const shownFindings = 20

// VerifyLedger reads the whole ledger in the database file at path, the one of a
// server or a backup, beside a server or without one, and changes nothing: is
// each entry, in its place, what was written? Without checkpoints from outside it
// cannot see if somebody has computed the chain anew from some entry on, or cut
// it off and its head set back. An error means that the file could not be read.
func VerifyLedger(ctx context.Context, path string, checkpoints []Checkpoint) (LedgerReport, error) {
	report := LedgerReport{File: path, Chains: []engine.Head{}, Coverage: []Coverage{}, Findings: []LedgerFinding{}}
	db, err := openToRead(path)
	if err != nil {
		return report, err
	}
	defer db.Close()
	schema, err := known(ctx, db, path)
	switch {
	case err != nil:
		return report, err
	case schema < ledgerSchema:
		return report, fmt.Errorf("cannot verify %s: an older version wrote it, whose ledger is no chain yet: start gavel serve once to bring it up to date", path)
	}
	tx, err := db.BeginTx(ctx, nil) // all of it at one moment
	if err != nil {
		return report, cannotRead(path, err)
	}
	defer tx.Rollback() //nolint:errcheck // nothing was written
	v := newLedgerCheck(checkpoints, func(f LedgerFinding) {
		if report.Found++; len(report.Findings) < shownFindings {
			report.Findings = append(report.Findings, f)
		}
	})
	ask := asking(ctx, tx)
	whole, err := v.tables(ctx, ask)
	if err == nil && whole {
		err = v.run(ask)
	}
	if err != nil && (report.Found == 0 || code(err) != sqlite3.SQLITE_ERROR) { // else a column is not there
		return report, cannotRead(path, err)
	}
	report.Chains, report.Entries, report.Checkpoints = v.ends, v.entries, v.stand
	if len(checkpoints) > 0 {
		report.Coverage = v.coverage
	}
	return report, nil
}

// ledgerCheck reads a ledger once, in the order in which it was written.
type ledgerCheck struct {
	tell        func(LedgerFinding)
	entries     int64         // that were read
	stand       int           // checkpoints that stand
	ends        []engine.Head // of the chains, as far as they were read
	coverage    []Coverage
	chains      map[string]*chainCheck
	checkpoints map[string][]Checkpoint // of a tenant, by number
	totals      map[totalKey]string
	seq         int64 // of the row before
	buf         []byte
}

// chainCheck is how far the chain of a tenant was read.
type chainCheck struct {
	head
	lost     map[int64]bool // numbers that were not where they should be
	standing int64          // of the last checkpoint that stands
}

// maxLost bounds what is remembered of gaps.
const maxLost = 10_000

// maxJump is how far the number of a row may be from the one before. They follow
// one another; what was taken out in between is found by its chain.
const maxJump = 1_000_000

func newLedgerCheck(checkpoints []Checkpoint, tell func(LedgerFinding)) *ledgerCheck {
	v := &ledgerCheck{
		tell: tell, ends: []engine.Head{}, coverage: []Coverage{},
		chains: map[string]*chainCheck{}, checkpoints: map[string][]Checkpoint{}, totals: map[totalKey]string{},
	}
	for _, c := range checkpoints {
		v.checkpoints[c.Tenant] = append(v.checkpoints[c.Tenant], c)
	}
	for _, all := range v.checkpoints {
		slices.SortStableFunc(all, func(x, y Checkpoint) int { return int(x.Number - y.Number) })
	}
	return v
}

func (v *ledgerCheck) find(kind, tenant string, number int64, entry, what string, args ...any) {
	v.tell(LedgerFinding{tenant, number, entry, fmt.Sprintf(what, args...), kind})
}

// tables looks whether what holds and guards the ledger is what a new file has.
// Rows are read by themselves, whatever the indexes say: that these have the same
// ones, and columns only what they may, is for SQLite to find out. whole: all
// tables are there.
func (v *ledgerCheck) tables(ctx context.Context, ask each) (whole bool, err error) {
	want, err := newLedger(ctx)
	if err != nil {
		return false, err
	}
	have, err := ask.objects()
	if err != nil {
		return false, err
	}
	whole = true
	for _, o := range lacks(want, have) {
		if o.ofLedger() {
			v.find(badTables, "", 0, "", "%s is missing", o)
			whole = whole && o.kind != "table"
		}
	}
	said := altered(want, have)
	if whole {
		more, err := ask.unsound()
		if err != nil {
			return false, err
		}
		said = append(said, more...)
	}
	for _, what := range said {
		v.find(badTables, "", 0, "", "%s", what)
	}
	return whole, nil
}

// ledgerRow is a row as it is read.
type ledgerRow struct {
	seq, number, at     int64
	hash, step          []byte
	id, tenant, kind    string
	source, key, meter  string
	customer, period    string
	corrects, rule      string
	session, room, text string
	strange             string // column whose value is none for it
}

const selectLedger = `SELECT seq, number, at, hash, step, id, tenant, kind, source, key, meter, customer, period,
	corrects, rule, session, room, body FROM entries NOT INDEXED ORDER BY seq`

// scan takes whatever is there: what no column may hold is found, and read on.
func (r *ledgerRow) scan(rows *sql.Rows) error {
	*r = ledgerRow{}
	columns := [...]struct {
		name string
		into any
	}{
		{"seq", &r.seq}, {"number", &r.number}, {"at", &r.at}, {"hash", &r.hash}, {"step", &r.step}, {"id", &r.id}, {"tenant", &r.tenant},
		{"kind", &r.kind}, {"source", &r.source}, {"key", &r.key}, {"meter", &r.meter}, {"customer", &r.customer}, {"period", &r.period},
		{"corrects", &r.corrects}, {"rule", &r.rule}, {"session", &r.session}, {"room", &r.room}, {"body", &r.text},
	}
	var cells, into [len(columns)]any
	for i := range cells {
		into[i] = &cells[i]
	}
	if err := rows.Scan(into[:]...); err != nil {
		return err
	}
	for i, c := range columns {
		if !take(c.into, cells[i]) && r.strange == "" {
			r.strange = c.name
		}
	}
	return nil
}

// take puts what a column holds into a variable, and reports whether it is of its
// kind.
func take(into, cell any) (fits bool) {
	switch to := into.(type) {
	case *int64:
		*to, fits = cell.(int64)
	case *[]byte:
		*to, fits = cell.([]byte)
		fits = fits || cell == nil
	case *string:
		if *to, fits = cell.(string); !fits {
			raw, _ := cell.([]byte)
			*to = string(raw)
		}
	}
	return fits
}

// run reads the ledger by means of ask.
func (v *ledgerCheck) run(ask each) error {
	var r ledgerRow
	err := ask(selectLedger, func(rows *sql.Rows) error {
		err := r.scan(rows)
		if err == nil {
			v.row(&r)
		}
		return err
	})
	if err != nil {
		return err
	}
	heads := map[string]head{}
	err = ask(`SELECT tenant, number, hash FROM chains ORDER BY tenant`, func(rows *sql.Rows) error {
		var tenant, number, sum any
		if err := rows.Scan(&tenant, &number, &sum); err != nil {
			return err
		}
		var name string
		var h head
		var last []byte
		if !take(&name, tenant) || !take(&h.number, number) || !take(&last, sum) || len(last) != len(h.hash) {
			v.find(badHead, name, 0, "", "where it ends is not written as it must be")
		}
		copy(h.hash[:], last)
		heads[name] = h
		return nil
	})
	if err == nil {
		v.end(heads)
	}
	return err
}

func (v *ledgerCheck) row(r *ledgerRow) {
	v.entries++
	c := v.chains[r.tenant]
	if c == nil {
		c = &chainCheck{lost: map[int64]bool{}}
		v.chains[r.tenant] = c
	}
	if r.strange != "" {
		v.find(badColumn, r.tenant, r.number, r.id, "its column %s holds a kind of value that it must not", r.strange)
	}
	if r.seq < 1 || r.seq-v.seq > maxJump {
		v.find(badColumn, r.tenant, r.number, r.id, "its row is numbered %d, behind %d: it was put there", r.seq, v.seq)
	}
	v.seq = r.seq
	text := []byte(r.text)
	v.place(c, r, text)
	all, err := v.members(text)
	if err != nil {
		v.find(badText, r.tenant, r.number, r.id, "its text is not as it was written: %s", err)
		return
	}
	if column := r.differs(all); column != "" && column != r.strange {
		v.find(badColumn, r.tenant, r.number, r.id, "its column %s says something else than its text", column)
	}
	v.total(r, all)
}

// place looks whether r is where it should be in its chain. What follows is
// compared with what r says of itself: one change is one finding.
func (v *ledgerCheck) place(c *chainCheck, r *ledgerRow, text []byte) {
	bad := func(what string, args ...any) {
		v.find(badChain, r.tenant, r.number, r.id, what, args...)
	}
	want := c.number + 1
	switch {
	case r.number < want && c.lost[r.number]:
		delete(c.lost, r.number)
		bad("it was moved: it stands behind number %d", c.number)
		return
	case r.number < want:
		bad("it was put in: it stands behind number %d", c.number)
		return
	case r.number == want+1:
		bad("it stands behind number %d: number %d was taken out or moved", c.number, want)
	case r.number > want:
		bad("it stands behind number %d: numbers %d to %d were taken out or moved", c.number, want, r.number-1)
	case !c.hash.behind(text).is(r.hash):
		bad("its hash is not that of what is there: it was changed, or the one before it was exchanged")
	}
	for n := want; n < r.number && len(c.lost) < maxLost; n++ {
		c.lost[n] = true
	}
	c.number = r.number
	clear(c.hash[:])
	copy(c.hash[:], r.hash)
	v.checkpoint(c, r)
}

// checkpoint compares r with the checkpoints of its number.
func (v *ledgerCheck) checkpoint(c *chainCheck, r *ledgerRow) {
	tenant := r.tenant
	for all := v.checkpoints[tenant]; len(all) > 0 && all[0].Number <= r.number; all = v.checkpoints[tenant] {
		v.checkpoints[tenant] = all[1:]
		if all[0].Number == r.number && all[0].Hash == c.hash.String() {
			v.stand++
			c.standing = r.number
			continue
		}
		v.find(badChain, tenant, all[0].Number, r.id,
			"it is not what was signed at %s: an entry behind number %d was changed, put in or taken out, and the chain computed anew",
			all[0].At.Format(time.RFC3339), c.standing)
	}
}

// members are those of a row's text, if it is written as it must be.
func (v *ledgerCheck) members(text []byte) ([]member, error) {
	var err error
	if v.buf, err = recast(v.buf[:0], text); err != nil {
		return nil, err
	}
	if !bytes.Equal(v.buf, text) || text[0] != '{' {
		return nil, errNotCanonical
	}
	all, _, err := cutObject(text)
	return all, err
}

var errNotCanonical = errors.New("it is no canonical JSON")

// valueOf is what a member says, "" if there is none.
func valueOf(all []member, name string) string {
	i, found := slices.BinarySearchFunc(all, name, func(m member, name string) int { return bytes.Compare(m.name, []byte(name)) })
	if !found {
		return ""
	}
	value := all[i].value
	if len(value) < 2 || value[0] != '"' {
		return string(value)
	}
	s, _ := textOf(value[1 : len(value)-1]) // it was read before
	return s
}

// differs names a column that does not say what the text does.
func (r *ledgerRow) differs(all []member) string {
	for _, c := range [...]struct {
		name, value string
	}{
		{"id", r.id}, {"tenant", r.tenant}, {"kind", r.kind}, {"source", r.source}, {"key", r.key}, {"meter", r.meter},
		{"customer", r.customer}, {"period", r.period}, {"corrects", r.corrects}, {"rule", r.rule}, {"session", r.session}, {"room", r.room},
	} {
		if valueOf(all, c.name) != c.value {
			return c.name
		}
	}
	if valueOf(all, "number") != strconv.FormatInt(r.number, 10) {
		return "number"
	}
	if at, err := time.Parse(time.RFC3339Nano, valueOf(all, "at")); err != nil || at.UnixMicro() != r.at {
		return "at"
	}
	e := engine.Entry{
		Tenant: r.tenant, Source: r.source, Event: valueOf(all, "event"), Rule: r.rule,
		Step: valueOf(all, "step"), Meter: r.meter,
	}
	if !bytes.Equal(stepKey(e), r.step) {
		return "step"
	}
	return ""
}

// total looks whether the month total of r follows from what was before.
func (v *ledgerCheck) total(r *ledgerRow, all []member) {
	if r.kind == engine.EntryClose {
		return
	}
	key := totalKey{r.tenant, r.customer, r.meter, r.period}
	said := valueOf(all, "month")
	total, err := sum(v.totals[key], valueOf(all, "quantity"))
	switch {
	case err != nil:
		v.find(badTotal, key.tenant, r.number, r.id, "its quantity is no number: %s", err)
		return
	case said != "" && said != total:
		v.find(badTotal, key.tenant, r.number, r.id, "it makes the month total of %s %s, and the entries so far come to %s", key.customer, said, total)
		total = said
	}
	v.totals[key] = total
}

// end looks whether the chains end where they should.
func (v *ledgerCheck) end(heads map[string]head) {
	tenants := slices.Collect(maps.Keys(v.chains))
	for _, others := range [][]string{slices.Collect(maps.Keys(heads)), slices.Collect(maps.Keys(v.checkpoints))} {
		for _, tenant := range others {
			if v.chains[tenant] == nil { // all of it is gone
				v.chains[tenant], tenants = &chainCheck{}, append(tenants, tenant)
			}
		}
	}
	slices.Sort(tenants)
	for _, tenant := range tenants {
		c := v.chains[tenant]
		h, ends := heads[tenant]
		switch {
		case ends && h == (head{}) && c.number == 0:
			v.find(badHead, tenant, 0, "", "it ends before its first entry: what says where it ends was put in")
		case h.number > c.number:
			v.find(badHead, tenant, c.number+1, "", "the end was cut off: there were %d entries, and the last one now is number %d", h.number, c.number)
		case h.number < c.number:
			v.find(badHead, tenant, h.number+1, "", "the ledger ended with number %d, and what is behind it was put in", h.number)
		case h.hash != c.hash:
			v.find(badHead, tenant, c.number, "", "the last entry is not the one the ledger ended with")
		}
		for _, p := range v.checkpoints[tenant] {
			v.find(badHead, tenant, p.Number, "", "the end was cut off: number %d was signed at %s, and the last one now is number %d",
				p.Number, p.At.Format(time.RFC3339), c.number)
		}
		v.ends = append(v.ends, engine.Head{Tenant: tenant, Number: c.number, Hash: c.hash.String()})
		v.coverage = append(v.coverage, Coverage{tenant, c.standing, c.number})
	}
}
