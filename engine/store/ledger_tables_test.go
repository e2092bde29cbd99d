package store

import (
	"database/sql"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gavelhq/gavel/engine"
)

// guards puts the triggers back that somebody has dropped.
func guards(t *testing.T, db *sql.DB) {
	t.Helper()
	text, err := ledgerSQL.ReadFile("migrations/ledger/indexes.sql")
	if err != nil {
		t.Fatal(err)
	}
	triggers := string(text[strings.Index(string(text), "CREATE TRIGGER"):])
	forge(t, db, strings.ReplaceAll(triggers, "CREATE TRIGGER", "CREATE TRIGGER IF NOT EXISTS"))
}

// Whoever can write to the file can also change what it says of itself.
func TestForgedTables(t *testing.T) {
	const (
		open     = `PRAGMA writable_schema = ON;`
		lax      = open + `UPDATE sqlite_schema SET sql = replace(sql, ') STRICT', ')') WHERE name = 'entries'; PRAGMA writable_schema = RESET;`
		strict   = open + `UPDATE sqlite_schema SET sql = sql || ' STRICT' WHERE name = 'entries'; PRAGMA writable_schema = RESET;`
		unlocked = `DROP TRIGGER entries_keep;`
	)
	whole, err := os.ReadFile(tamperable(t))
	if err != nil {
		t.Fatal(err)
	}
	guarded := func(sql string) string { return lax + unlocked + sql + ";" + strict }
	for _, tc := range []struct{ change, want string }{
		{lax, "table entries was changed"},
		{guarded(`UPDATE entries SET period = CAST(period AS BLOB) WHERE seq = 3`), "number 3 (ent_00000000000000000000000002): its column period holds a kind of value that it must not"},
		{guarded(`UPDATE entries SET key = CAST(key AS BLOB) WHERE seq = 3`), "its column key holds"},
		{guarded(`UPDATE entries SET customer = CAST(customer AS BLOB) WHERE seq = 3`), "its column customer holds"},
		{guarded(`UPDATE entries SET body = CAST(body AS BLOB) WHERE seq = 3`), "its column body holds"},
		{lax + unlocked + `UPDATE entries SET number = 'three' WHERE seq = 3`, "its column number holds"},
		{lax + unlocked + `UPDATE entries SET at = 1.5 WHERE seq = 3`, "its column at holds"},
		{lax + unlocked + `UPDATE entries SET hash = 7 WHERE seq = 3`, "its column hash holds"},
		{unlocked + `UPDATE entries SET seq = 9223372036854775807 WHERE seq = (SELECT max(seq) FROM entries)`, "its row is numbered 9223372036854775807, behind"},
		{unlocked + `UPDATE entries SET seq = -1 WHERE seq = 1`, "its row is numbered -1"},
		{`DROP INDEX entries_key; CREATE INDEX entries_key ON entries (tenant, source, key, meter) WHERE kind = 'usage'`, "index entries_key was changed"},
		{`DROP INDEX entries_at`, "index entries_at is missing"},
		{unlocked + `CREATE TRIGGER entries_keep BEFORE UPDATE ON entries BEGIN SELECT 1; END`, "trigger entries_keep was changed"},
		{unlocked, "trigger entries_keep is missing"},
		{`CREATE TRIGGER more AFTER INSERT ON Entries BEGIN SELECT 1; END`, "trigger more is none of this program's"},
		{`CREATE TRIGGER more AFTER INSERT ON events BEGIN INSERT INTO "chains" VALUES ('x', 1, x'00'); END`, "trigger more is none of this program's"},
		{`CREATE UNIQUE INDEX more ON entries (customer, seq)`, "index more is none of this program's"},
		{`CREATE VIEW more AS SELECT * FROM entries`, "view more is none of this program's"},
		{`DROP INDEX conflicts_open`, "index conflicts_open is missing"},
		{`DROP TABLE conflicts`, "table conflicts is missing"},
		{open + `UPDATE sqlite_schema SET sql = replace(sql, 'kind = ''usage''', 'kind = ''other''') WHERE name = 'entries_key'; PRAGMA writable_schema = RESET;` +
			`INSERT INTO entries SELECT seq + 100, id || 'x', tenant, number + 100, hash, kind, source, key || 'x', meter, customer, period, NULL, corrects, rule, session, room, at, body FROM entries WHERE seq = 1;` +
			open + `UPDATE sqlite_schema SET sql = replace(sql, 'kind = ''other''', 'kind = ''usage''') WHERE name = 'entries_key'`, "missing from index entries_key"},
		{`INSERT INTO chains VALUES ('nobody', 0, zeroblob(32))`, "nobody, number 0: it ends before its first entry"},
		{`INSERT INTO chains VALUES ('nobody', 3, zeroblob(32))`, "nobody, number 1: the end was cut off"},
		{`INSERT INTO chains VALUES ('nobody', 0, x'00')`, "nobody, number 0: where it ends is not written as it must be"},
	} {
		path := filepath.Join(t.TempDir(), "copy.db")
		write(t, path, string(whole))
		db, err := sql.Open("sqlite", dsn(path, ""))
		if err != nil {
			t.Fatal(err)
		}
		db.SetMaxOpenConns(1)
		forge(t, db, tc.change)
		if strings.HasSuffix(tc.change, strict) {
			guards(t, db)
		}
		db.Close()
		if got := verified(t, path); !strings.Contains(told(got), tc.want) {
			t.Errorf("%s: verify found %s, want %q", tc.change, told(got), tc.want)
		}
		if got := checked(t, path, false); len(got.Findings) == 0 { // full reads more
			t.Errorf("%s: check found nothing", tc.change)
		}
	}
}

// told are the findings of a report as text.
func told(r LedgerReport) string {
	var lines []string
	for _, f := range r.Findings {
		text, _ := json.Marshal(f.Number)
		lines = append(lines, f.Tenant+", number "+string(text)+" ("+f.Entry+"): "+f.What)
	}
	return strings.ReplaceAll(strings.Join(lines, "\n"), " ():", ":")
}

// A body as deep as memory allows is a finding like another one.
func TestDeepEntry(t *testing.T) {
	path := tamperable(t)
	db, err := sql.Open("sqlite", dsn(path, ""))
	if err != nil {
		t.Fatal(err)
	}
	forge(t, db, `DROP TRIGGER entries_keep`)
	forge(t, db, `UPDATE entries SET body = ? WHERE seq = 2`, `{"a":`+strings.Repeat("[", 2_000_000)+strings.Repeat("]", 2_000_000)+"}")
	db.Close()
	if got := told(verified(t, path)); !strings.Contains(got, "lists and objects are more than 32 deep") {
		t.Error(got)
	}
	if got := checked(t, path, true); len(got.Findings) == 0 {
		t.Error("check found nothing")
	}
}

// Nothing is written behind a row whose number is the largest there is: where it
// went would be left to chance.
func TestEntryBehindTheLastRow(t *testing.T) {
	s := inUse(t, t.TempDir())
	enters(t, s, billed(1))
	db, err := sql.Open("sqlite", dsn(s.path, ""))
	if err != nil {
		t.Fatal(err)
	}
	forge(t, db, `DROP TRIGGER entries_keep; UPDATE entries SET seq = 9223372036854775807`)
	db.Close()
	err = probe(s, func(b *batch) error {
		_, err := newPosting(b).add(billed(2), nil)
		if ownError(err) == nil || !strings.Contains(err.Error(), "a number that it cannot have") {
			t.Errorf("it was added: %v", err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// A damaged conflict hides no other one, and whoever meets it is told.
func TestDamagedConflict(t *testing.T) {
	s := inUse(t, t.TempDir())
	stands := billed(1)
	enters(t, s, stands)
	db, err := sql.Open("sqlite", dsn(s.path, ""))
	if err != nil {
		t.Fatal(err)
	}
	const insert = `INSERT INTO conflicts (id, tenant, entry, step, state, at, body) VALUES (?, 'default', ?, ?, 'open', 0, ?)`
	forge(t, db, insert, "cfl_1", stands.ID, []byte("1"), `{`)
	forge(t, db, insert, "cfl_2", "ent_none", []byte("2"), `{"id":"cfl_2","tenant":"default","state":"open","at":"1970-01-01T00:00:00Z"}`)
	db.Close()
	all, err := s.Conflicts(t.Context(), engine.Query{})
	if err != nil || len(all) != 2 || all[1].ID != "cfl_1" || all[1].Damage != "it cannot be read: it is no JSON that this version has written" || all[0].Damage != "its entry is no longer there" {
		t.Errorf("listed are %+v (%v)", all, err)
	}
	other := billed(1)
	other.Quantity = "7"
	err = probe(s, func(b *batch) error {
		_, _, err := newPosting(b).enter(other)
		if ownError(err) == nil || !strings.Contains(err.Error(), "conflict cfl_1 about entry "+stands.ID+" cannot be read") {
			t.Errorf("a step that meets it gets %v", err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	_, err = s.Settle(t.Context(), engine.Settlement{Conflict: "cfl_1", State: engine.ConflictKept, Reason: "x", Actor: "ana"})
	says(t, err, "conflict cfl_1 cannot be read")
	var found []string
	for _, f := range checked(t, s.path, true).Findings {
		found = append(found, f.What+": "+strings.Join(f.Where, ", "))
	}
	for _, want := range []string{"conflicts whose text cannot be read: cfl_1", "conflicts about an entry that is not in the ledger: cfl_2 about ent_none"} {
		if !strings.Contains(strings.Join(found, "\n"), want) {
			t.Errorf("check found %q, want %q", found, want)
		}
	}
}
