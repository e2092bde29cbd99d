package store

import (
	"context"
	"crypto/ed25519"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
)

func TestCheckpointSignature(t *testing.T) {
	key := ledgerKey()
	mine := key.Public().(ed25519.PublicKey)
	seed := make([]byte, ed25519.SeedSize)
	seed[0] = 1
	other := ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
	c, err := Sign(engine.Head{Tenant: "default", Number: 7, Hash: strings.Repeat("1f", 32)}, fixtureTime, key)
	if err != nil || c.Entries != 7 || c.Key != KeyID(mine) {
		t.Fatalf("%+v (%v)", c, err)
	}
	if err := c.Verify(other, mine); err != nil {
		t.Error(err)
	}
	for _, tc := range []struct {
		what   string
		change func(c *Checkpoint)
		keys   []ed25519.PublicKey
		want   string
	}{
		{"foreign", func(*Checkpoint) {}, []ed25519.PublicKey{other}, "signed with the key " + c.Key + ", which is not among"},
		{"no key", func(*Checkpoint) {}, nil, "not among"},
		{"tenant", func(c *Checkpoint) { c.Tenant = "x" }, []ed25519.PublicKey{mine}, "its signature is false"},
		{"number", func(c *Checkpoint) { c.Number++ }, []ed25519.PublicKey{mine}, "its signature is false"},
		{"hash", func(c *Checkpoint) { c.Hash = strings.Repeat("2f", 32) }, []ed25519.PublicKey{mine}, "its signature is false"},
		{"entries", func(c *Checkpoint) { c.Entries++ }, []ed25519.PublicKey{mine}, "its signature is false"},
		{"time", func(c *Checkpoint) { c.At = c.At.Add(time.Second) }, []ed25519.PublicKey{mine}, "its signature is false"},
		{"key", func(c *Checkpoint) { c.Key = KeyID(other) }, []ed25519.PublicKey{mine, other}, "its signature is false"},
		{"no signature", func(c *Checkpoint) { c.Signature = "" }, []ed25519.PublicKey{mine}, "no signature that can be read"},
		{"garbage", func(c *Checkpoint) { c.Signature = "%" }, []ed25519.PublicKey{mine}, "no signature that can be read"},
		{"too large", func(c *Checkpoint) { c.Number = 1 << 60 }, []ed25519.PublicKey{mine}, "whole number"},
	} {
		x := c
		tc.change(&x)
		if err := x.Verify(tc.keys...); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.what, err, tc.want)
		}
	}
}

// What a checkpoint says is compared with its entry, wherever in the chain that is.
func TestVerifyCheckpoints(t *testing.T) {
	path := tamperable(t)
	all := checkpoints(t, path)
	for _, tc := range []struct {
		what   string
		change func(c *Checkpoint)
		want   string
	}{
		{"another hash", func(c *Checkpoint) { c.Hash = strings.Repeat("0", 64) }, "not what was signed at 2026-11-20T12:00:00Z: an entry behind number 0"},
		{"beyond the end", func(c *Checkpoint) { c.Number = 1000 }, "the end was cut off: number 1000 was signed"},
		{"another tenant", func(c *Checkpoint) { c.Tenant = "gone" }, "the end was cut off: number 7 was signed"},
		{"before the beginning", func(c *Checkpoint) { c.Number = 0 }, "not what was signed"},
	} {
		c := all[0]
		tc.change(&c)
		got := verified(t, path, append([]Checkpoint{c}, all[1:]...)...)
		if got.Found != 1 || got.Checkpoints != len(all)-1 || got.Findings[0].Tenant != c.Tenant || !strings.Contains(got.Findings[0].What, tc.want) {
			t.Errorf("%s: %+v", tc.what, got)
		}
	}
}

// An entry whose hash fits can still be wrong in itself.
func TestVerifyText(t *testing.T) {
	path := ledger(t, 1)
	for _, tc := range []struct {
		from, to string // in the text
		want     string
	}{
		{`"number":1`, `"number":2`, "its column number says something else"},
		{`"at":"2026-11-01T00:00:00Z"`, `"at":"2026-11-01T00:00:01Z"`, "its column at says something else"},
		{`"at":"2026-11-01T00:00:00Z"`, `"at":"now"`, "its column at says something else"},
		{`"step":"then/bill"`, `"step":"else/bill"`, "its column step says something else"},
		{`"event":"evt_`, `"event":"evt`, "its column step says something else"},
		{`"customer":"`, `"customer":"x`, "its column customer says something else"},
		{`"month":"72"`, `"month":"71"`, "makes the month total of Müller & Söhne 0 71, and the entries so far come to 72"},
		{`"quantity":"72"`, `"quantity":"much"`, "its quantity is no number"},
		{`"number":1`, `"number": 1`, "its text is not as it was written"},
		{`"room":"Weekly"`, `"room":"\u0057eekly"`, "its text is not as it was written"},
		{`"amount":28`, `"amount":28.5`, "its text is not as it was written"},
		{`"amount":28`, `"amount":28,"amount":29`, "its text is not as it was written"},
		{`{`, `[`, "its text is not as it was written"},
	} {
		copied := filepath.Join(t.TempDir(), "copy.db")
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		write(t, copied, string(data))
		db, err := sql.Open("sqlite", dsn(copied, ""))
		if err != nil {
			t.Fatal(err)
		}
		var text string
		if err := db.QueryRow(`SELECT body FROM entries`).Scan(&text); err != nil {
			t.Fatal(err)
		}
		forged := strings.Replace(text, tc.from, tc.to, 1)
		sum := hash{}.behind([]byte(forged))
		forge(t, db, `DROP TRIGGER entries_keep; DROP TRIGGER chains_grow`)
		forge(t, db, `UPDATE entries SET body = ?, hash = ?`, forged, sum[:])
		forge(t, db, `UPDATE chains SET hash = ?`, sum[:])
		guards(t, db)
		db.Close()
		got := verified(t, copied)
		if forged == text || got.Found != 1 || !strings.Contains(got.Findings[0].What, tc.want) {
			t.Errorf("%s: found %+v, want %q", tc.to, got.Findings, tc.want)
		}
	}
}

func TestVerifyRefuses(t *testing.T) {
	dir := t.TempDir()
	data, err := os.ReadFile("testdata/schema-0004.db")
	if err != nil {
		t.Fatal(err)
	}
	old := filepath.Join(dir, "old.db")
	write(t, old, string(data))
	text := filepath.Join(dir, "text")
	write(t, text, strings.Repeat("not a database ", 100))
	for _, tc := range []struct{ path, want string }{
		{filepath.Join(dir, "none"), "no such file"},
		{old, "an older version wrote it, whose ledger is no chain yet"},
		{text, "not a database"},
	} {
		_, err := VerifyLedger(context.Background(), tc.path, nil)
		says(t, err, tc.want)
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := VerifyLedger(ended, tamperable(t), nil); err == nil {
		t.Error("it went on without its context")
	}
}

// A ledger can be verified beside the server that writes to it.
func TestVerifyBesideServer(t *testing.T) {
	s := inUse(t, t.TempDir())
	if got := verified(t, s.path); got.Found > 0 || got.Entries != 0 || len(got.Chains) != 0 {
		t.Errorf("an empty ledger is %+v", got)
	}
	for i := range 20 {
		e := billed(i)
		enters(t, s, e)
		if got := verified(t, s.path); got.Found > 0 || got.Entries != int64(i+1) {
			t.Fatalf("after %d entries: %+v", i+1, got)
		}
	}
}
