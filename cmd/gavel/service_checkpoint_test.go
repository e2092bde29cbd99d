package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/store"
)

// signing is an app with a key in a file, at a time that the test sets.
func signing(t *testing.T) (a *app, now *time.Time, keyFile, file string) {
	t.Helper()
	dir := t.TempDir()
	a = testApp(new(bytes.Buffer))
	moment := testNow
	a.now = func() time.Time { return moment }
	keyFile = filepath.Join(dir, "ledger.key")
	if err := writeKey(keyFile, ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))); err != nil {
		t.Fatal(err)
	}
	return a, &moment, keyFile, filepath.Join(dir, "signed.jsonl")
}

// A chain is signed at first, then every hour in which it grew, and whenever it
// has grown by a thousand.
func TestSigner(t *testing.T) {
	a, now, keyFile, file := signing(t)
	end := engine.Head{Tenant: "default", Hash: strings.Repeat("1f", 32)}
	heads := func(context.Context) ([]engine.Head, error) {
		if end.Number == 0 {
			return nil, nil
		}
		return []engine.Head{end}, nil
	}
	var log bytes.Buffer
	s, err := a.newSigner(keyFile, file)
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	for i, tc := range []struct {
		after   time.Duration
		entries int64
		stops   bool
		signs   bool
	}{
		{0, 0, false, false},
		{0, 1, false, true},
		{time.Minute, 1, false, false},
		{time.Minute, 2, false, false},
		{time.Hour, 2, false, true},
		{2 * time.Hour, 2, false, false},
		{time.Second, 3, false, true},
		{time.Second, 1002, false, false},
		{time.Second, 1003, false, true},
		{time.Second, 1004, true, true}, // what is left
		{time.Second, 1004, true, false},
		{time.Second, 500, false, true}, // a backup was restored
	} {
		*now = now.Add(tc.after)
		end.Number = tc.entries
		if err := s.sign(t.Context(), heads, slog.New(slog.NewTextHandler(&log, nil)), tc.stops); err != nil {
			t.Fatal(err)
		}
		if tc.signs {
			lines++
		}
		if got := len(signedLines(t, file)); got != lines {
			t.Fatalf("step %d: %d lines, want %d", i, got, lines)
		}
		if i == 5 { // a restart goes on where it ended
			if s, err = a.newSigner(keyFile, file); err != nil {
				t.Fatal(err)
			}
		}
	}
	last := signedLines(t, file)[lines-1]
	if last.Number != 500 || last.Entries != 500 || !last.At.Equal(*now) || last.Hash != end.Hash {
		t.Errorf("signed %+v", last)
	}
	if n := strings.Count(log.String(), `msg="ledger checkpoint"`); n != lines || !strings.Contains(log.String(), last.Signature) {
		t.Errorf("the log holds %d of %d: %s", n, lines, log.String())
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v (%v)", info.Mode(), err)
	}
}

// signedLines are the checkpoints in a file, each verified.
func signedLines(t *testing.T, file string) []store.Checkpoint {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)).Public().(ed25519.PublicKey)
	good, refused, err := readCheckpoints(f, file, []ed25519.PublicKey{key})
	if err != nil || len(refused) > 0 {
		t.Fatalf("%+v (%v)", refused, err)
	}
	return good
}

// A line that was cut off in a crash is taken away.
func TestSignerAfterCrash(t *testing.T) {
	a, _, keyFile, file := signing(t)
	if err := os.WriteFile(file, []byte(`{"tenant":"default","numb`), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := a.newSigner(keyFile, file)
	if err != nil {
		t.Fatal(err)
	}
	heads := func(context.Context) ([]engine.Head, error) {
		return []engine.Head{{Tenant: "default", Number: 1, Hash: "00"}}, nil
	}
	if err := s.sign(t.Context(), heads, slog.New(slog.DiscardHandler), false); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	var c store.Checkpoint
	if len(lines) != 1 || json.Unmarshal([]byte(lines[0]), &c) != nil || c.Number != 1 {
		t.Errorf("the file is %s", text)
	}
}

func TestLedgerKeyReferences(t *testing.T) {
	a, _, keyFile, _ := signing(t)
	text, err := os.ReadFile(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	rsa, err := os.ReadFile("testdata/public.pem")
	if err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(t.TempDir(), "broken")
	if err := os.WriteFile(broken, []byte("-----BEGIN PRIVATE KEY-----\nc2VjcmV0IQ==\n-----END PRIVATE KEY-----\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"KEY": string(text), "PUBLIC": string(rsa), "CREDENTIALS_DIRECTORY": filepath.Dir(keyFile)}
	a.lookupEnv = func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	for _, tc := range []struct{ ref, want string }{
		{keyFile, ""}, {"file:" + keyFile, ""}, {"env:KEY", ""}, {"credential:ledger.key", ""},
		{"env:NONE", "NONE is not set"}, {"env:PUBLIC", "holds no private key"}, {"credential:none", "no such file"},
		{"credential:../x", "no name of a credential"}, {"credential:", "no name of a credential"},
		{filepath.Join(t.TempDir(), "none"), "none: no such file"}, {broken, "that can be read"},
	} {
		key, err := a.ledgerKey(tc.ref)
		if tc.want == "" && (err != nil || len(key) != ed25519.PrivateKeySize) || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: %v, want %q", tc.ref, err, tc.want)
		}
		if err != nil && strings.Contains(err.Error(), "c2VjcmV0") {
			t.Errorf("%s: the error quotes the key: %v", tc.ref, err)
		}
	}
	env["CREDENTIALS_DIRECTORY"] = ""
	if _, err := a.ledgerKey("credential:ledger.key"); err == nil || !strings.Contains(err.Error(), "LoadCredential=") {
		t.Errorf("without credentials: %v", err)
	}
}

func TestMinorUnits(t *testing.T) {
	for _, tc := range []struct {
		text     string
		exponent int
		want     int64
		wrong    string
	}{
		{"12.5", 2, 1250, ""}, {"12.50", 2, 1250, ""}, {"0", 2, 0, ""}, {"-0.05", 2, -5, ""}, {"7", 0, 7, ""}, {"1.234", 3, 1234, ""}, {"999999999999999", 2, 99999999999999900, ""},
		{"1.5", 0, 0, "more than 0 digits"}, {"1.234", 2, 0, "more than 2 digits"}, {"", 2, 0, "no amount"}, {"1e3", 2, 0, "no amount"}, {"1,5", 2, 0, "no amount"}, {".5", 2, 0, "no amount"}, {"1.", 2, 0, "no amount"},
	} {
		got, err := minorUnits(tc.text, tc.exponent)
		if got != tc.want && tc.wrong == "" || (err == nil) != (tc.wrong == "") || err != nil && !strings.Contains(err.Error(), tc.wrong) {
			t.Errorf("%q: %d (%v), want %d %q", tc.text, got, err, tc.want, tc.wrong)
		}
	}
}

// Who asks is who the system says is at the other end of the socket.
func TestActor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	peer, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	if got, want := actorOf(withPeer(t.Context(), peer)), userName(uint32(os.Getuid())); got != want || got == "" {
		t.Errorf("it is %q, want %q", got, want)
	}
	if got := userName(4_000_000_000); got != "uid 4000000000" {
		t.Errorf("a user without a name is %q", got)
	}
	if got := actorOf(t.Context()); got != "unknown" {
		t.Errorf("nobody is %q", got)
	}
}
