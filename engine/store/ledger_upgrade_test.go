package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
)

var upgradeEntries = flag.Int("upgrade-entries", 1500, "how many ledger entries of schema 4 are chained")

// oldLedger makes a store of schema 4 with n entries in dir.
func oldLedger(t *testing.T, dir string, n int) {
	t.Helper()
	data, err := os.ReadFile("testdata/schema-0004.db")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, fileName)
	write(t, path, string(data))
	db, err := sql.Open("sqlite", dsn(path, "_pragma=synchronous(OFF)"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	insert, err := tx.Prepare(`INSERT INTO entries (id, tenant, source, key, meter, customer, rule, session, room, at, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`)
	if err != nil {
		t.Fatal(err)
	}
	defer insert.Close()
	for i := range n {
		e := billed(i)
		body, err := json.Marshal(map[string]any{ // as that version wrote it
			"id": e.ID, "tenant": e.Tenant, "source": e.Source, "key": e.Key, "meter": e.Meter, "customer": e.Customer, "quantity": e.Quantity,
			"price": e.Price, "currency": e.Currency, "amount": e.Amount, "exponent": e.Exponent, "session": e.Session, "room": e.Room,
			"rule": e.Rule, "revision": e.Revision, "run": e.Run, "event": e.Event, "started": e.Started, "ended": e.Ended, "at": e.At,
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := insert.Exec(e.ID, e.Tenant, e.Source, e.Key, e.Meter, e.Customer, e.Rule, e.Session, e.Room, e.At.UnixMicro(), string(body)); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}

// A large ledger gets its chain in little memory, and nothing of it is lost.
func TestUpgradeLargeLedger(t *testing.T) {
	dir := t.TempDir()
	oldLedger(t, dir, *upgradeEntries)
	cmd := exec.Command(os.Args[0], "-test.run=^TestUpgradeChild$")
	cmd.Env = append(os.Environ(), "UPGRADE_IN="+dir, "KILL_AT=0")
	began := time.Now()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	used := 0 // at most, in MiB
	if found := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(out); found != nil {
		used, _ = strconv.Atoi(string(found[1]))
		used /= 1024
	}
	t.Logf("%d entries chained in %s with %d MiB", *upgradeEntries, time.Since(began).Round(time.Millisecond), used)
	if used > 128 && !slow {
		t.Errorf("it took %d MiB", used)
	}
	path := filepath.Join(dir, fileName)
	got := verified(t, path)
	if got.Found > 0 || got.Entries != int64(*upgradeEntries)+1 || len(got.Chains) != 1 || got.Chains[0].Number != got.Entries {
		t.Fatalf("the ledger is %+v", got)
	}
	s := inUse(t, dir)
	n := int64(0)
	err = s.Entries(context.Background(), engine.Query{}, time.Time{}, time.Time{}, func(e engine.Entry) error {
		n++
		if e.Number != n || e.Kind != engine.EntryUsage || e.Period != "2026-11" || e.Service != "2026-11" || e.Zone != "UTC" || e.Step != "" || e.Month != "" {
			return fmt.Errorf("entry %d is %+v", n, e)
		}
		if n > 1 {
			if want := billed(int(n) - 2); e.ID != want.ID || e.Quantity != want.Quantity || *e.Amount != *want.Amount || !e.At.Equal(want.At) || e.Customer != want.Customer {
				return fmt.Errorf("entry %d is %+v, was %+v", n, e, want)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	// What comes next is charged behind what was there.
	e := billed(*upgradeEntries)
	e.Period, e.Customer = "2026-11", billed(0).Customer
	e.Service = e.Period
	var stands engine.Entry
	err = probe(s, func(b *batch) error {
		p := newPosting(b)
		var err error
		if stands, err = p.add(e, e.Charge); err != nil {
			return err
		}
		return p.write()
	})
	if want := 72 * (*upgradeEntries / 500); err != nil || stands.Before != fmt.Sprint(want) || stands.Number != n+1 {
		t.Errorf("the next one is %+v, want %d before (%v)", stands, want, err)
	}
	again := billed(7)
	if _, err := probeEnter(s, again); err != nil {
		t.Error(err)
	}
}

// probeEnter enters what a step of now wants to write.
func probeEnter(s *SQLite, e engine.Entry) (stands engine.Entry, err error) {
	err = probe(s, func(b *batch) error {
		p := newPosting(b)
		found, clash, err := p.enter(e)
		if err != nil {
			return err
		}
		if clash != nil || len(p.fresh) > 0 {
			return errors.New("what was billed by an older version is billed again, or a conflict")
		}
		stands = found
		return nil
	})
	return stands, err
}

// An entry that cannot be read is not chained: it is named, and all stays as it was.
func TestUpgradeUnreadableEntry(t *testing.T) {
	dir := t.TempDir()
	oldLedger(t, dir, 3)
	execute(t, dir, `DROP TRIGGER entries_keep; UPDATE entries SET body = '{"at":"never"}' WHERE seq = 3`)
	_, err := Open(context.Background(), dir, options())
	says(t, err, "to schema 5", "ledger entry ent_00000000000000000000000001 cannot be read", "restore a backup")
	if r := checked(t, filepath.Join(dir, fileName), false); r.Schema != 4 || r.Entries != 4 {
		t.Errorf("holds %+v", r)
	}
}
