package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
	"modernc.org/sqlite"
)

var (
	upgradeKills = flag.Int("upgrade-kills", 5, "how many of an upgrade's statements it is killed at; 0: every one")
	upgradeSeed  = flag.Uint64("upgrade-seed", 0, "which ones; 0: chosen anew")
)

// An upgrade that is killed at any of its statements loses nothing, and the
// next start finishes it.
func TestUpgradeKilled(t *testing.T) {
	seed := *upgradeSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	random := rand.New(rand.NewPCG(seed, 0))
	for old := int64(1); old < schemaVersion; old++ {
		t.Run(fmt.Sprintf("schema %d", old), func(t *testing.T) {
			before := t.TempDir()
			want := larger(t, old, before, 50)
			last := statements(t, before)
			var at []int
			for n := range last {
				at = append(at, n+1)
			}
			if *upgradeKills > 0 {
				random.Shuffle(last, func(i, j int) { at[i], at[j] = at[j], at[i] })
				at = at[:min(last, *upgradeKills)]
			}
			t.Logf("killed at %d of %d statements", len(at), last)
			for _, n := range at {
				dir := t.TempDir()
				if err := os.CopyFS(dir, os.DirFS(before)); err != nil {
					t.Fatal(err)
				}
				upgradeIn(t, dir, n)
				upgraded(t, dir, old, want)
				if t.Failed() {
					t.Fatalf("killed at statement %d, -upgrade-seed %d", n, seed)
				}
			}
		})
	}
}

// upgraded opens the store in dir, which has begun at schema old, and finds
// everything there and going on.
func upgraded(t *testing.T, dir string, old int64, want Contents) {
	t.Helper()
	s := running(t, dir)
	drain(t, s)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	path := filepath.Join(dir, fileName)
	got := sound(t, path)
	if got.Schema != schemaVersion || got.Events != want.Events || got.Runs != want.Runs || got.Entries != want.Entries || got.Left != 0 {
		t.Errorf("holds %+v, had %+v", got, want)
	}
	if kept := sound(t, copyOf(path, old)); kept.Schema != old || kept.Events != want.Events || kept.Left != want.Left {
		t.Errorf("the copy holds %+v, the store had %+v", kept, want)
	}
}

// drain finishes all runs.
func drain(t *testing.T, s *SQLite) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err := s.Dispatch(ctx, 4, func(_ context.Context, d engine.Due) {
		if _, err := s.Record(context.Background(), done(d.Run), engine.Result{}); err != nil {
			t.Error(err)
		}
		if f, err := s.Stats(context.Background()); err != nil || f.Runs[engine.RunReady] == 0 {
			cancel()
		}
	})
	if err != nil || errors.Is(ctx.Err(), context.DeadlineExceeded) {
		t.Errorf("the runs do not finish: %v", err)
	}
}

// larger makes a store of an old schema in dir: the fixture, and n times all
// of it with ids of its own.
func larger(t *testing.T, old int64, dir string, n int) Contents {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("testdata/schema-%04d.db", old))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, fileName)
	write(t, path, string(data))
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	for _, table := range []string{"sessions", "people", "events", "runs", "entries"} {
		for _, statement := range multiplied(t, db, table, n) {
			if _, err := db.Exec(statement.text, statement.args...); err != nil {
				t.Fatal(err)
			}
		}
	}
	c, err := contents(context.Background(), db)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

type statement struct {
	text string
	args []any
}

// multiplied inserts every row of a table n times more, each with its words
// about the session and its ids changed.
func multiplied(t *testing.T, db *sql.DB, table string, n int) (all []statement) {
	t.Helper()
	rows, err := db.Query(`SELECT * FROM ` + table)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		values, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		for i := range n {
			text := `INSERT INTO ` + table + ` VALUES (?` + strings.Repeat(", ?", len(columns)-1) + `)`
			all = append(all, statement{text, another(columns, values, i)})
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// another is a row with ids of its own: the i-th one of its kind.
func another(columns []string, row []any, i int) []any {
	mark := fmt.Sprintf("%03d", i)
	change := func(s string) string {
		for _, word := range []string{`pnm/s1`, `"s1`} {
			s = strings.ReplaceAll(s, word, word+"-"+mark)
		}
		for _, prefix := range []string{"evt_", "run_", "dlv_", "ent_"} {
			for at := 0; ; {
				n := strings.Index(s[at:], prefix)
				if n < 0 {
					break
				}
				at += n + len(prefix) + 10 // random is what follows the time
				s = s[:at] + mark + s[at+3:]
			}
		}
		return s
	}
	row = slices.Clone(row)
	for n, value := range row {
		switch name := columns[n]; value := value.(type) {
		case string:
			if row[n] = change(value); name == "id" && value == "s1" {
				row[n] = "s1-" + mark
			}
		case []byte:
			row[n] = []byte(change(string(value)))
		case int64:
			switch name {
			case "seq":
				row[n] = nil
			case "meeting":
				row[n] = value + 1 + int64(i)
			}
		}
	}
	return row
}

// statements counts those of the upgrade of a copy of dir.
func statements(t *testing.T, dir string) int {
	t.Helper()
	mine := t.TempDir()
	if err := os.CopyFS(mine, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	k := &killer{}
	if err := upgradeBy(k, mine); err != nil {
		t.Fatal(err)
	}
	if k.n < 10 {
		t.Fatalf("an upgrade of %d statements", k.n)
	}
	return k.n
}

// upgradeIn lets a process of its own upgrade the store in dir, until it kills
// itself before its n-th statement.
func upgradeIn(t *testing.T, dir string, n int) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestUpgradeChild$")
	cmd.Env = append(os.Environ(), "UPGRADE_IN="+dir, "KILL_AT="+strconv.Itoa(n))
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("it was not killed: %v\n%s", err, out)
	}
}

// TestUpgradeChild is the process of upgradeIn.
func TestUpgradeChild(t *testing.T) {
	dir := os.Getenv("UPGRADE_IN")
	if dir == "" {
		t.Skip("a part of TestUpgradeKilled")
	}
	at, err := strconv.Atoi(os.Getenv("KILL_AT"))
	if err != nil {
		t.Fatal(err)
	}
	if err := upgradeBy(&killer{at: at}, dir); err != nil {
		t.Fatal(err)
	}
	if status, err := os.ReadFile("/proc/self/status"); err == nil {
		fmt.Printf("%s\n", status) // for TestUpgradeLargeLedger
	}
}

func upgradeBy(k *killer, dir string) error {
	f, err := openFolder(dir)
	if err != nil {
		return err
	}
	defer f.close()
	k.name = dsn(f.path, writerSettings)
	db := sql.OpenDB(k)
	defer db.Close()
	return upgrade(context.Background(), &writer{db: db}, f.path, time.Now, slog.New(slog.DiscardHandler))
}

// killer opens connections that count what is asked of them, and kills the
// process before the at-th statement.
type killer struct {
	name  string
	at, n int
}

func (k *killer) Driver() driver.Driver { return &sqlite.Driver{} }

func (k *killer) Connect(context.Context) (driver.Conn, error) {
	conn, err := k.Driver().Open(k.name)
	if err != nil {
		return nil, err
	}
	return killedConn{conn.(sqliteConn), k}, nil
}

// step is taken before every statement.
func (k *killer) step() {
	if k.n++; k.n == k.at {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // it comes any moment
	}
}

type killedConn struct {
	sqliteConn
	killer *killer
}

func (c killedConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	c.killer.step()
	return c.sqliteConn.ExecContext(ctx, query, args)
}

func (c killedConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	c.killer.step()
	return c.sqliteConn.QueryContext(ctx, query, args)
}

func (c killedConn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	c.killer.step()
	tx, err := c.sqliteConn.BeginTx(ctx, o)
	return killedTx{tx, c.killer}, err
}

type killedTx struct {
	driver.Tx
	killer *killer
}

func (t killedTx) Commit() error {
	t.killer.step()
	return t.Tx.Commit()
}

// Of the copies, that of the newest upgrade stays, and that of one which was
// cut short: it began with the version people may have to go back to.
func TestUpgradeKeepsTheCopy(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, fileName)
	larger(t, 1, dir, 1)
	write(t, copyOf(path, 0), "of an earlier upgrade")
	opened(t, dir).Close()
	if got := names(t, dir); got != "gavel.db gavel.db.schema-1 lock" {
		t.Errorf("folder has %s", got)
	}

	dir = t.TempDir()
	path = filepath.Join(dir, fileName)
	larger(t, 2, dir, 1)
	write(t, copyOf(path, 0), "of an earlier upgrade")
	write(t, copyOf(path, 1), "of the one that was cut short")
	execute(t, dir, `INSERT INTO counters (name, n) VALUES ('upgrade', 1)`)
	opened(t, dir).Close()
	if got := names(t, dir); got != "gavel.db gavel.db.schema-1 gavel.db.schema-2 lock" {
		t.Errorf("folder has %s", got)
	}
	if left := checked(t, path, true); left.Schema != schemaVersion {
		t.Errorf("left at %+v", left)
	}
}
