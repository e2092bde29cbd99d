package main

import (
	"bytes"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gavelhq/gavel/actions"
	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/rules"
	"github.com/gavelhq/gavel/engine/store"
	"github.com/gavelhq/gavel/triggers"
	"github.com/gavelhq/gavel/triggers/samples"
)

const pastSources = `version: 1
sources:
  pnm: { platform: plugnmeet, api_key: env:KEY, secret: env:SECRET }
rules:
`

// world is a store as a server has filled it, in a bubble with a time of its
// own, which begins on 1 January 2000 at midnight.
type world struct {
	t      *testing.T
	dir    string
	store  *store.SQLite
	set    *rules.Set
	serial int
}

// inWorld runs a test in a world with these rules.
func inWorld(t *testing.T, text string, test func(t *testing.T, w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, dir: t.TempDir()}
		newID := func() string { // short ones, for people who read tests
			w.serial++
			return fmt.Sprintf("%03d", w.serial)
		}
		var err error
		w.store, err = store.Open(t.Context(), filepath.Join(w.dir, "data"), store.Options{NewID: newID, Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		defer w.store.Close()
		w.use(text)
		test(t, w)
	})
}

func worldOptions() rules.Options {
	return rules.Options{
		Actions: actions.Builtin(actions.Options{Now: time.Now}), Platforms: triggers.Builtin(triggers.Options{Now: time.Now}), SkipSecrets: true,
	}
}

// use puts rules in force, and into the file.
func (w *world) use(text string) {
	w.t.Helper()
	w.write(text)
	set, problems := rules.Load([]rules.File{{Name: "rules.yaml", Text: []byte(pastSources + text)}}, worldOptions())
	if set == nil {
		w.t.Fatal(problems)
	}
	if _, err := w.store.Use(w.t.Context(), set); err != nil {
		w.t.Fatal(err)
	}
	w.set = set
}

// write changes the file only.
func (w *world) write(text string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, "rules.yaml"), []byte(pastSources+text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// pass lets time go by, and what is due happen.
func (w *world) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// send makes the platform send a sample now, and returns the id of its event.
func (w *world) send(event, session string, set ...string) string {
	w.t.Helper()
	kinds := triggers.Builtin(triggers.Options{Now: time.Now})
	config := w.set.Sources()[0]
	kind, _ := triggers.Find(kinds, config.Platform)
	sample, err := samples.Find(kind.Name, event, kind.Events)
	if err != nil {
		w.t.Fatal(err)
	}
	p, err := newPayload(kind.Name, sample.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	now := time.Now().UTC()
	p.freshen(now, session)
	for _, assignment := range set {
		if err := p.set(assignment, now); err != nil {
			w.t.Fatal(err)
		}
	}
	body, err := p.bytes()
	if err != nil {
		w.t.Fatal(err)
	}
	d, err := triggers.NewDecoder(kind, config)
	if err != nil {
		w.t.Fatal(err)
	}
	events, err := d.Decode(body, now)
	if err != nil {
		w.t.Fatal(err)
	}
	for i := range events {
		events[i].Raw = body
	}
	out, err := w.store.Accept(w.t.Context(), engine.Inbound{
		Delivery: engine.Received{ID: fmt.Sprint("dlv_", w.serial), At: now, Source: config.Name}, Events: events, Now: now,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return out.Events[0].ID
}

// gavel runs a command line and returns what it prints.
func (w *world) gavel(args ...string) (string, error) {
	var out bytes.Buffer
	a := testApp(&out)
	a.now = time.Now
	root := a.root()
	root.SetArgs(append(args, "--data", filepath.Join(w.dir, "data"), "--color", "never", "--tz", "UTC"))
	a.lookupEnv = func(name string) (string, bool) {
		if name == "GAVEL_RULES" {
			return filepath.Join(w.dir, "rules.yaml"), true
		}
		return "", false
	}
	err := root.ExecuteContext(w.t.Context())
	hidden := strings.NewReplacer(w.dir+"/", "", short(w.set.Revision()), "REVISION")
	return hidden.Replace(out.String()), err
}

// says compares what a command prints.
func (w *world) says(want string, args ...string) {
	w.t.Helper()
	got, err := w.gavel(args...)
	if err != nil {
		w.t.Error(err)
	}
	if d := cmp.Diff(strings.TrimLeft(want, "\n"), got); d != "" {
		w.t.Errorf("gavel %s: -want +got:\n%s", strings.Join(args, " "), d)
	}
}

// line is the line of an explanation that begins so, behind its first word.
func (w *world) line(word string, args ...string) string {
	w.t.Helper()
	got, err := w.gavel(args...)
	if err != nil {
		w.t.Error(err)
	}
	var found []string
	for _, l := range strings.Split(got, "\n") {
		if rest, ok := strings.CutPrefix(l, word); ok {
			found = append(found, strings.TrimSpace(rest))
		}
	}
	return strings.Join(found, "\n")
}

const wordRules = `  - id: host-late
    when: session_started
    expect: { event: participant_joined, if: participant.name == "Host", within: 5m, stop_on: [session_ended] }
    then: [ log: no host ]
  - id: greet
    when: participant_joined
    once: [session.id]
    then: [ log: somebody joined ]
  - id: cool
    when: participant_joined
    cooldown: 15m
    then: [ log: somebody joined ]
  - id: rush
    when: participant_joined
    count: { at_least: 3, within: 10m }
    then: [ log: many ]
  - id: rare
    when: participant_joined
    count: { at_least: 5, within: 10m }
    then: [ log: very many ]
  - id: gather
    when: participant_joined
    digest: { every: 10m }
    then: [ log: "${len(events)} joined" ]
  - id: crowd
    when: participant_joined
    if: session.present >= 2
    hold: 20m
    then: [ log: a crowd ]
`

// What was made of an event is told from what is stored.
func TestExplainWords(t *testing.T) {
	inWorld(t, wordRules, func(t *testing.T, w *world) {
		started := w.send("session_started", "s1")
		w.pass(time.Minute)
		first := w.send("participant_joined", "s1", "participant=ann", "name=Ann")
		w.pass(time.Minute)
		second := w.send("participant_joined", "s1", "participant=bob", "name=Bob")
		w.pass(time.Minute)
		host := w.send("participant_joined", "s1", "participant=eve", "name=Host")
		w.pass(time.Minute)
		again := w.send("participant_joined", "s1", "participant=dan", "name=Dan")
		w.pass(time.Minute)
		ended := w.send("session_ended", "s1")
		w.pass(time.Hour)
		other := w.send("session_started", "s2")
		w.pass(10 * time.Minute)

		for _, tt := range []struct{ event, rule, want string }{
			{started, "host-late", `waited for participant_joined with participant.name == "Host" until 00:05:00; got what it expected in time, at 00:03:00 (` + host + `)`},
			{other, "host-late", `waited for participant_joined with participant.name == "Host" until 01:10:00; its time came, at 01:10:00  gavel runs show run_`},
			{first, "greet", "run ready  gavel runs show run_"},
			{second, "greet", "held back by once: the key was used up at 00:01:00 (" + first + ")"},
			{second, "cool", "held back by cooldown, until 00:16:00, since 00:01:00 (" + first + ")"},
			{second, "rush", "has counted 2 of 3: " + first + ", " + second + "; later they made run_"},
			{second, "rare", "has counted 2 of 5: " + first + ", " + second},
			{host, "rush", "run ready  gavel runs show run_"},
			{again, "rush", "has counted 1 of 3: " + again},
			{first, "gather", "gathered events until 00:11:00; its time came, at 00:11:00  gavel runs show run_"},
			{second, "gather", "put it into its digest, until 00:11:00, since 00:01:00 (" + first + ")"},
			{second, "crowd", "waited until 00:22:00, as long as its condition holds; cancelled: the condition is no longer true, at 00:05:00 (" + ended + ")"},
			{host, "crowd", "waits already, until 00:22:00, since 00:02:00 (" + second + ")"},
		} {
			got := w.line("then ", "explain", tt.event, "--rule", tt.rule)
			if got != tt.want && (!strings.HasSuffix(tt.want, "run_") || !strings.HasPrefix(got, tt.want)) {
				t.Errorf("%s of %s:\n got %s\nwant %s", tt.rule, tt.event, got, tt.want)
			}
		}

		// What was waited for is explained at each event that could have been it.
		waited := "waiting  since 00:00:00 (" + started + "): waited for participant_joined until 00:05:00; got what it expected in time, at 00:03:00 (" + host + ")\n"
		for _, tt := range []struct{ event, rule, want string }{
			{first, "host-late", waited + `  ✗ participant.name == "Host"   "Ann" == "Host"   ← decides`},
			{host, "host-late", waited + "         this event ended it\n" + `  ✓ participant.name == "Host"   "Host" == "Host"`},
			{ended, "crowd", "(" + second + "): waited until 00:22:00, as long as its condition holds; cancelled: the condition is no longer true, at 00:05:00 (" + ended +
				")\n         this event ended it\n  ✗ session.present >= 2   0 >= 2   ← decides"},
			{host, "crowd", ended + ")\n  ✓ session.present >= 2   3 >= 2"},
			{other, "crowd", "verdict  – not asked: it is about participant_joined\n"},
		} {
			got, err := w.gavel("explain", tt.event, "--rule", tt.rule)
			if err != nil || !strings.Contains(got, tt.want) {
				t.Errorf("%v, %s of %s:\n got %s\nwant %s", err, tt.rule, tt.event, got, tt.want)
			}
		}
		if got := w.line("waiting", "explain", second, "--rule", "crowd"); got != "" {
			t.Errorf("it set the timer itself: got %s", got)
		}
		if got, err := w.gavel("explain", again); err != nil || strings.Contains(got, "waiting  ") {
			t.Errorf("nothing that is worth telling was waited for: got %v, %s", err, got)
		}
	})
}

// What comes late is said to, and what it made.
func TestExplainLate(t *testing.T) {
	const text = `  - id: host-late
    when: session_started
    expect: { event: participant_joined, if: participant.name == "Host", within: 5m }
    then: [ log: no host ]
    on_late: [ log: "${expect.late_by} late" ]
`
	inWorld(t, text, func(t *testing.T, w *world) {
		w.send("session_started", "s1")
		w.pass(8 * time.Minute)
		late := w.send("participant_joined", "s1", "name=Host")
		got, err := w.gavel("explain", late)
		if err != nil || !strings.Contains(got, "\n         it is 3m late\n  ✓ participant.name") || !strings.Contains(got, "waited for participant_joined until 00:05:00; fired: it came late, at 00:08:00") || !strings.Contains(got, "\nthen     run queued (on_late): waits for its turn  gavel runs show run_") {
			t.Errorf("got %v, %s", err, got)
		}
	})
}

const longRules = `  - id: long-session
    description: tells ops
    when: session_ended
    if: session.duration > 60m and room.id == "room01"
    then: [ log: "${session.duration}" ]
  - id: by-minutes
    when: session_ended
    if: session.duration / 1m > 100
    else: [ log: short ]
    then: [ log: long ]
  - id: vip
    when: participant_joined
    if: participant.name == "Maria"
    then: [ log: vip ]
  - id: retired
    enabled: false
    when: session_ended
    then: [ log: never ]
`

func TestExplainEvent(t *testing.T) {
	inWorld(t, longRules, func(t *testing.T, w *world) {
		w.send("session_ended", "s1", "duration=58m")
		w.send("session_ended", "s2", "duration=59m12s")
		w.send("session_ended", "s3", "duration=2h", "room=cellar")
		id := w.send("session_ended", "s4", "duration=48m")
		repeat := w.send("session_ended", "s4", "duration=48m")
		w.says(`
event    evt_007 session_ended · Weekly sync · pnm · 00:00:00
rules    REVISION, those it was evaluated with

rule     long-session (rules.yaml:5)
verdict  ✗ did not match

  ✗ and
  ├─ ✗ session.duration > 60m   48m > 1h               ← decides
  └─ ✓ room.id == "room01"      "room01" == "room01"   not reached
To match, this would have to change: session.duration by more than +12m.
near miss: 3 of the last 4 session_ended events failed only on session.duration > 60m (closest: 59m12s > 1h, evt_003)

rule     by-minutes (rules.yaml:10)
verdict  ✗ did not match: the steps of else are done

  ✗ session.duration / 1m > 100   48 > 100   ← decides
To match, this would have to change: session.duration / 1m by more than +52.
then     run ready (else)  gavel runs show run_008
near miss: 3 of the last 4 session_ended events failed only on session.duration / 1m > 100 (closest: 59.2 > 100, evt_003)

1 rule is about other events, 1 rule is off
`, "explain", id)
		w.says(`
event    evt_007 session_ended · Weekly sync · pnm · 00:00:00
rules    REVISION, those it was evaluated with

rule     vip (rules.yaml:15)
verdict  – not asked: it is about participant_joined
`, "explain", id, "--rule", "vip")
		if got := w.line("verdict", "explain", id, "--rule", "retired"); got != "– not asked: it is off: enabled is false" {
			t.Errorf("got %s", got)
		}
		if got := w.line("result", "explain", repeat); got != "a repeat: it changed nothing, so no rule was asked; this is what they would have said" {
			t.Errorf("got %s", got)
		}
		if got := w.line("rule ", "explain", "run_008"); got != "by-minutes (rules.yaml:10)" {
			t.Errorf("got %s", got)
		}
	})
}

// An event is explained with the rules it was evaluated with, unless other
// ones are named.
func TestExplainWithRulesOfThen(t *testing.T) {
	const before, after = `  - id: long
    when: session_ended
    if: session.duration > 60m
    then: [ log: long ]
`, `  - id: long
    when: session_ended
    if: session.duration > 30m
    then: [ log: long ]
  - id: fresh
    when: session_ended
    then: [ log: fresh ]
`
	inWorld(t, before, func(t *testing.T, w *world) {
		id := w.send("session_ended", "s1", "duration=48m")
		w.pass(time.Hour)
		w.use(after)
		later := w.send("session_ended", "s2", "duration=48m")

		if got := w.line("verdict", "explain", id); got != "✗ did not match" {
			t.Errorf("got %s", got)
		}
		want := "rules.yaml has changed since (long, fresh): gavel explain " + id + " --rules rules.yaml"
		if got := w.line("note", "explain", id); got != want {
			t.Errorf("got %s", got)
		}
		if got := w.line("note", "explain", later); got != "" {
			t.Errorf("got %s", got)
		}
		file := filepath.Join(w.dir, "rules.yaml")
		if got := w.line("verdict", "explain", id, "--rule", "long", "--rules", file); got != "✓ matched" {
			t.Errorf("got %s", got)
		}
		if got := w.line("but", "explain", id, "--rule", "long", "--rules", file); !strings.HasPrefix(got, "when it came: not matched; the rules were others (") {
			t.Errorf("got %s", got)
		}
		if got := w.line("then", "explain", id, "--rule", "fresh", "--rules", file); got != "the rule was not there when it came" {
			t.Errorf("got %s", got)
		}
		if got := w.line("but", "explain", id, "--rule", "fresh", "--rules", file); got != "" {
			t.Errorf("it was not asked: got %s", got)
		}
		want = "the rule fresh was not there when the event came (it is since 01:00:00): it is explained with today's rules"
		if got := w.line("note", "explain", id, "--rule", "fresh"); got != want {
			t.Errorf("got %s", got)
		}
		w.write("") // the file is of no use: the store still knows
		if got := w.line("verdict", "explain", later, "--rule", "long"); got != "✓ matched" {
			t.Errorf("got %s", got)
		}
		w.change("DELETE FROM revisions")
		w.write(after)
		if got := w.line("note", "explain", later); !strings.HasSuffix(got, "cannot be had: they are no longer stored; it is explained with today's") {
			t.Errorf("got %s", got)
		}
	})
}

// Runs made by gavel replay are told, and explained with the rules that made them.
func TestExplainReplayed(t *testing.T) {
	const first, added, removed = `  - id: other
    when: session_started
    then: [ log: other ]
`, `  - id: long
    when: session_ended
    if: session.duration > 30m
    then: [ log: long ]
`, `  - id: another
    when: session_started
    then: [ log: another ]
`
	inWorld(t, first, func(t *testing.T, w *world) {
		id := w.send("session_ended", "s1", "duration=48m")
		w.pass(time.Hour)
		w.use(added)
		out, err := w.store.Replay(t.Context(), w.set.Revision(), []engine.Replay{{Rule: "long", Event: id, Branch: engine.BranchThen}})
		if err != nil || out[0].Run == "" {
			t.Fatalf("got %v, %v", out, err)
		}
		want := "the rule was not there when it came\nreplayed at 01:00:00: run ready  gavel runs show " + out[0].Run
		if got := w.line("then", "explain", id, "--rule", "long"); got != want {
			t.Errorf("got %s", got)
		}
		w.pass(time.Hour)
		w.write(removed)
		for line, want := range map[string]string{"rules": "REVISION, those of the run", "verdict": "✓ matched", "then": want} {
			if got := w.line(line, "explain", out[0].Run); got != want {
				t.Errorf("%s: got %s", line, got)
			}
		}
	})
}

// What happened before the waiting began is told with both times.
func TestExplainTooEarly(t *testing.T) {
	inWorld(t, wordRules, func(t *testing.T, w *world) {
		w.send("session_started", "s1")
		early := w.send("participant_joined", "s1", "participant=ann", "name=Host", "created_at=946684797")
		got, err := w.gavel("explain", early, "--rule", "host-late")
		if want := "it happened at 1999-12-31 23:59:57.000, before the waiting began at 00:00:00.000\n"; err != nil || !strings.Contains(got, want) {
			t.Errorf("%v, no %s in %s", err, want, got)
		}
	})
}

// change changes the store behind the server's back, as retention does.
func (w *world) change(query string) {
	w.t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(w.dir, "data", "gavel.db"))
	if err != nil {
		w.t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(w.t.Context(), query); err != nil {
		w.t.Fatal(err)
	}
}

// What is not kept with an event is folded again from what platforms sent.
func TestExplainRebuilds(t *testing.T) {
	const text = `  - id: crowd
    when: participant_joined
    if: count(session.participants, .present) >= 3
    then: [ log: crowd ]
  - id: busy
    when: participant_joined
    if: source.sessions >= 2 and source.present >= 4 and source.last_event != nil
    then: [ log: busy ]
  - id: hourly
    when: { schedule: "0 * * * *" }
    if: count(sessions, .present >= 3) > 0
    then: [ log: hourly ]
`
	inWorld(t, text, func(t *testing.T, w *world) {
		var ids []string
		join := func(session, who string) {
			w.pass(time.Minute)
			ids = append(ids, w.send("participant_joined", session, "participant="+who))
		}
		w.send("session_started", "s1")
		join("s1", "ann")
		join("s1", "bob")
		w.send("session_started", "s2")
		join("s2", "eve")
		join("s1", "dan")
		w.pass(time.Hour)
		scheduled := w.line("evt_", "events", "list", "--type", "scheduled", "--limit", "1")[:3]

		values := func(id, rule, part string) string {
			got, err := w.gavel("explain", id, "--rule", rule)
			if err != nil {
				t.Error(err)
			}
			for _, l := range strings.Split(got, "\n") {
				if _, rest, ok := strings.Cut(l, part+" "); ok {
					return strings.Join(strings.Fields(rest)[:3], " ")
				}
			}
			return got
		}
		for _, tt := range []struct{ event, rule, part, want string }{
			{ids[0], "crowd", ">= 3", "1 >= 3"},
			{ids[1], "crowd", ">= 3", "2 >= 3"},
			{ids[3], "crowd", ">= 3", "3 >= 3"},
			{ids[1], "busy", "source.sessions >= 2", "1 >= 2"},
			{ids[2], "busy", "source.sessions >= 2", "2 >= 2"},
			{ids[2], "busy", "source.present >= 4", "3 >= 4"},
			{ids[3], "busy", "source.present >= 4", "4 >= 4"},
			{scheduled, "hourly", "> 0", "1 > 0"},
		} {
			if got := values(tt.event, tt.rule, tt.part); got != tt.want {
				t.Errorf("%s of %s: got %s, want %s", tt.rule, tt.event, got, tt.want)
			}
		}
		if got := w.line("note", "explain", ids[3]) + w.line("but", "explain", ids[3]); got != "" {
			t.Errorf("got %s", got)
		}

		w.change("DELETE FROM events WHERE id = '" + ids[0] + "'")
		if got := w.line("note", "explain", ids[3], "--rule", "crowd"); !strings.HasPrefix(got, "the session could not be rebuilt completely: session.present, session.peak") {
			t.Errorf("got %s", got)
		}
		if got := w.line("but", "explain", ids[3], "--rule", "crowd"); got != "when it came: matched; the state of then cannot be rebuilt exactly" {
			t.Errorf("got %s", got)
		}
		w.change("DELETE FROM events WHERE seq <= 3")
		if got := w.line("note", "explain", ids[3], "--rule", "busy"); !strings.HasPrefix(got, "only what came since 00:") {
			t.Errorf("got %s", got)
		}
	})
}

// What is no longer stored is said to be unknown.
func TestExplainWhatIsGone(t *testing.T) {
	const text = `  - id: crowd
    when: participant_joined
    if: count(session.participants, .present) >= 2 or source.present >= 9
    then: [ log: crowd ]
  - id: greet
    when: participant_joined
    once: [session.id]
    then: [ log: welcome ]
`
	inWorld(t, text, func(t *testing.T, w *world) {
		first := w.send("participant_joined", "s1", "participant=ann")
		w.pass(time.Minute)
		second := w.send("participant_joined", "s1", "participant=bob")

		w.change("DELETE FROM runs")
		if got := w.line("then", "explain", first, "--rule", "greet"); !strings.HasPrefix(got, "run no longer stored  gavel runs show run_") {
			t.Errorf("got %s", got)
		}
		w.change("DELETE FROM events WHERE id = '" + first + "'")
		want := "held back by once: the key was used up by " + first + ", which is no longer stored"
		if got := w.line("then", "explain", second, "--rule", "greet"); got != want {
			t.Errorf("got %s", got)
		}
		w.change("DELETE FROM guards")
		if got := w.line("then", "explain", second, "--rule", "greet"); got != "held back by once" {
			t.Errorf("got %s", got)
		}
		w.change(`UPDATE events SET raw = CAST('{"event":"room_started"}' AS BLOB)`)
		if got := w.line("verdict", "explain", second, "--rule", "crowd"); got != "? unknown: it depends on what is no longer stored" {
			t.Errorf("got %s", got)
		}
		got := w.line("note", "explain", second, "--rule", "crowd")
		for _, part := range []string{"who was in the session is not known: ", "which sessions went on is not known: ", "1 event of then would be understood as something else today"} {
			if strings.Count(got, part) != 1 {
				t.Errorf("%s is not in %s", part, got)
			}
		}
		if got, err := w.gavel("explain", second, "-o", "json"); err != nil || !strings.Contains(got, `"session.participants"`) {
			t.Errorf("got %v, %s", err, got)
		}
		w.change(`UPDATE events SET outcome = '{"problem":"internal error"}'`)
		if got := w.line("result", "explain", second); got != "not evaluated: internal error" {
			t.Errorf("got %s", got)
		}
	})
}
