package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gavelhq/gavel/actions"
	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/rules"
	"github.com/gavelhq/gavel/engine/store"
	"github.com/gavelhq/gavel/triggers"
)

// clockRules wait in every way there is.
const clockRules = `version: 1
timezone: Europe/Madrid
sources:
  signed: { platform: plugnmeet, api_key: env:KEY, secret: env:SECRET }
  plain: { platform: openvidu2, headers: { Authorization: env:TOKEN }, allow_billing: true }
rules:
  - id: seen
    when: [session_started, participant_joined, session_ended]
    then:
      - log: at ${session.duration ?? "no time"}
  - id: held
    when: session_started
    hold: 10m
    if: session.id != ""
    then:
      - log: held for ${session.duration ?? "no time"}
  - id: lonely
    when: session_started
    expect: { event: participant_joined, within: 5m }
    then:
      - log: alone for ${session.duration ?? "no time"}
  - id: gathered
    when: participant_joined
    digest: { every: 5m, per: [] }
    then:
      - log: ${len(events)} joined
  - id: cool
    when: participant_joined
    cooldown: { for: 15m, per: [] }
    then:
      - log: warm
  - id: twice
    when: session_ended
    then:
      - log: ended after ${session.duration ?? "no time"}
      - wait: 3m
      - log: waited after ${session.duration ?? "no time"}
  - id: flaky
    when: participant_joined
    then:
      - http: { post: "https://example.com/", json: { id: "${participant.id}" } }
        retry: { attempts: 5, first: 1m, max: 10m }
  - id: daily
    when: { schedule: "30 2 * * *" }
    then:
      - log: good night
  - id: minutes
    when: session_ended
    if: session.duration != nil
    then:
      - billing: { customer: c, meter: minutes, key: "${session.id}", quantity: "${ceil_minutes(session.duration)}" }
`

// clock is a server whose clock is set forward and back. It lives in a synctest
// bubble, where the time that passes is that of the bubble: what the platforms
// go by, and how long the server really sleeps.
type clock struct {
	t    *testing.T
	seed uint64
	dir  string
	base time.Duration // from the bubble's time to the platforms'
	off  atomic.Int64  // from the platforms' time to the server's
	ids  atomic.Uint64
	rng  *rand.Rand

	platforms []engine.PlatformKind
	actions   []engine.ActionKind
	set       *rules.Set
	store     *store.SQLite
	engine    *engine.Engine
	handler   http.Handler
	stop      func()

	mu       sync.Mutex
	attempts map[string][]attempt // by idempotency key
	failing  map[string]int       // attempts that are to fail, by key
	texts    []string             // of log steps

	accepted int
	meetings []*clockMeeting
	jumps    []string
}

// attempt is one try of a step.
type attempt struct {
	real   time.Time
	failed bool
}

// clockMeeting is a session that is under way.
type clockMeeting struct {
	n, people int
	plain     bool
	began     time.Time
}

// real is the time by which the platforms go.
func (c *clock) real() time.Time { return time.Now().Add(c.base).UTC().Round(0) }

// now is the server's.
func (c *clock) now() time.Time { return c.real().Add(time.Duration(c.off.Load())) }

// TestClock sets the server's clock forward and back by seconds to more than a
// year, around the days on which it changes to summer time and back too, while
// meetings go on. Timers fire once, retries are neither lost nor do they come in
// a storm, nothing lasts for a negative time, signed times are judged by how far
// they are off, and when the clock is right again, everything goes on.
func TestClock(t *testing.T) {
	seed := first(t)
	each(t, rounds(8, 500), func(t *testing.T, i int) {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) { newClock(t, dir, seed+uint64(i)).day() })
	})
}

func newClock(t *testing.T, dir string, seed uint64) *clock {
	c := &clock{t: t, seed: seed, dir: dir, rng: rand.New(rand.NewPCG(seed, 0)), attempts: map[string][]attempt{}, failing: map[string]int{}}
	starts := []time.Time{
		time.Date(2026, 3, 28, 23, 0, 0, 0, time.UTC),  // the night in which an hour is left out
		time.Date(2026, 10, 24, 22, 0, 0, 0, time.UTC), // and in which there is one twice
		time.Date(2027, 12, 31, 22, 0, 0, 0, time.UTC),
		time.Date(2028, 2, 28, 20, 0, 0, 0, time.UTC),
	}
	c.base = time.Until(starts[c.rng.IntN(len(starts))])
	for _, k := range actions.Builtin(actions.Options{Log: slog.New(slog.DiscardHandler), Version: "test", Now: c.now}) {
		c.actions = append(c.actions, c.observed(k))
	}
	c.platforms = triggers.Builtin(triggers.Options{KeyClient: http.DefaultClient, Now: c.now})
	set, problems := rules.Load([]rules.File{{Name: "rules.yaml", Text: []byte(clockRules)}}, rules.Options{
		Actions: c.actions, Platforms: c.platforms,
		Getenv: func(name string) (string, bool) { return "the secret of " + name + ", long enough", true },
	})
	if set == nil {
		var b strings.Builder
		rules.Print(&b, problems, false)
		t.Fatal(b.String())
	}
	c.set = set
	c.open()
	return c
}

// observed is an action that notes its attempts, and takes its time. Billing is
// done, the rest is not.
func (c *clock) observed(k engine.ActionKind) engine.ActionKind {
	do := k.Do
	k.Do = func(ctx context.Context, call engine.Call) (engine.Result, error) {
		c.mu.Lock()
		rng := c.of(call)
		n, known := c.failing[call.Key]
		if !known && k.Name == "http" {
			n = rng.IntN(4)
		}
		c.failing[call.Key] = n - 1
		c.attempts[call.Key] = append(c.attempts[call.Key], attempt{c.real(), n > 0})
		if k.Name == "log" {
			c.texts = append(c.texts, string(call.With))
		}
		takes := time.Duration(rng.IntN(20)) * time.Second
		c.mu.Unlock()
		if k.Name == "billing" {
			return do(ctx, call)
		}
		time.Sleep(takes) // in the bubble
		if n > 0 {
			return engine.Result{}, errors.New("not now")
		}
		return engine.Result{Status: http.StatusOK}, nil
	}
	return k
}

// of is what chance has in store for a call: attempts go on side by side, and
// are to have the same with the same seed.
func (c *clock) of(call engine.Call) *rand.Rand {
	h := fnv.New64()
	fmt.Fprint(h, call.Rule, call.Step, call.Event.Time, call.Event.Participant.ID, call.Attempt)
	return rand.New(rand.NewPCG(c.seed, h.Sum64()))
}

// open starts the server.
func (c *clock) open() {
	c.t.Helper()
	ctx, log := context.Background(), slog.New(slog.DiscardHandler)
	st, err := store.Open(ctx, c.dir, store.Options{NewID: c.newID, Now: c.now, Log: log})
	if err != nil {
		c.t.Fatal(err)
	}
	c.store = st
	c.engine, err = engine.New(engine.Options{
		Store: st, Actions: c.actions, Now: c.now, Rand: func() float64 { return 0.5 }, Log: log, Workers: 8,
		Load: func(text []byte) (engine.Planner, error) {
			return rules.LoadRevision(text, rules.Options{Actions: c.actions, Platforms: c.platforms})
		},
	})
	if err == nil {
		_, err = c.engine.Use(ctx, c.set, c.set.Connection)
	}
	if err != nil {
		c.t.Fatal(errors.Join(err, st.Close()))
	}
	endpoint := triggers.NewEndpoint(triggers.EndpointOptions{
		Accept: c.engine.Accept, Refused: c.engine.Refused, Fill: c.set.Fill, Now: c.now, NewID: c.newID, Log: log,
	})
	if err := endpoint.Use(c.platforms, c.set.Sources()); err != nil {
		c.t.Fatal(err)
	}
	c.handler = endpoint.Handler()
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- c.engine.Run(ctx, time.Minute) }()
	c.stop = func() {
		cancel()
		if err := errors.Join(<-done, st.Close()); err != nil {
			c.t.Errorf("stop: %v", err)
		}
	}
}

// newID makes ids that are never made twice, and sort by time as long as the
// clock is not set back.
func (c *clock) newID() string { return fmt.Sprintf("%015d%011d", c.now().UnixMilli(), c.ids.Add(1)) }

// pass lets time pass.
func (c *clock) pass(d time.Duration) {
	time.Sleep(d) // in the bubble: no time at all
	synctest.Wait()
}

// day is what happens to one server.
func (c *clock) day() {
	defer func() {
		c.stop()
		if c.t.Failed() {
			c.t.Logf("seed %d:\n%s", c.seed, strings.Join(c.jumps, "\n"))
		}
	}()
	for range 60 {
		switch c.rng.IntN(8) {
		case 0, 1, 2:
			c.meet()
		case 3, 4, 5:
			c.pass(time.Duration(c.rng.IntN(20*60)) * time.Second)
		case 6:
			c.jump()
		case 7:
			if c.rng.IntN(3) == 0 {
				c.stop()
				c.jump()
				c.open()
			}
		}
	}
	c.setTo(0)
	c.prompt()
	c.pass(27 * time.Hour) // longer than anything here waits
	c.verdict()
}

// setTo sets the clock.
func (c *clock) setTo(off time.Duration) {
	c.jumps = append(c.jumps, fmt.Sprintf("%s: off by %s", c.real().Format(time.DateTime), off))
	c.off.Store(int64(off))
	synctest.Wait()
}

// jump sets the clock forward or back.
func (c *clock) jump() {
	sizes := []time.Duration{time.Second, 30 * time.Second, time.Minute, 10 * time.Minute, time.Hour, 24 * time.Hour, 30 * 24 * time.Hour, 400 * 24 * time.Hour}
	off := sizes[c.rng.IntN(len(sizes))]
	switch c.rng.IntN(5) {
	case 0:
		off = 0
	case 1, 2:
		off = -off
	}
	c.setTo(off)
}

// meet lets something happen in a meeting.
func (c *clock) meet() {
	c.t.Helper()
	if len(c.meetings) == 0 || c.rng.IntN(4) == 0 {
		m := &clockMeeting{n: int(c.ids.Add(1)), plain: c.rng.IntN(2) == 0, began: c.real()}
		if c.send(m, "started") {
			c.meetings = append(c.meetings, m)
		}
		return
	}
	i := c.rng.IntN(len(c.meetings))
	m := c.meetings[i]
	if c.rng.IntN(3) > 0 {
		m.people++
		c.send(m, "joined")
		return
	}
	if c.send(m, "ended") {
		c.meetings = append(c.meetings[:i], c.meetings[i+1:]...)
	}
}

// send delivers what a platform says, and reports whether it was accepted: what
// is signed is if its time is near to the server's.
func (c *clock) send(m *clockMeeting, what string) bool {
	c.t.Helper()
	name, body := "signed", m.plugnmeet(what, c.real(), c.ids.Add(1))
	if m.plain {
		name, body = "plain", m.openvidu(what, c.real())
	}
	r := httptest.NewRequest(http.MethodPost, "/hooks/"+name, bytes.NewReader(body))
	for _, source := range c.set.Sources() {
		if source.Name != name {
			continue
		}
		kind, _ := triggers.Find(c.platforms, source.Platform)
		signed, err := kind.Sign(source, engine.SignRequest{Body: body, Now: c.real()})
		if err != nil {
			c.t.Fatal(err)
		}
		r.Header = signed.Header.Clone()
	}
	answer := httptest.NewRecorder()
	c.handler.ServeHTTP(answer, r)
	synctest.Wait()
	// a token holds for 5 minutes, and both ends bear a minute
	off := time.Duration(c.off.Load())
	want := m.plain || (off >= -time.Minute && off < 6*time.Minute)
	if got := answer.Code == http.StatusOK; got != want {
		c.t.Errorf("%s of %s, the clock is off by %s: answered %d", what, name, off, answer.Code)
	}
	if answer.Code == http.StatusOK {
		c.accepted++
	}
	return want
}

func (m *clockMeeting) plugnmeet(what string, at time.Time, id uint64) []byte {
	names := map[string]string{"started": "room_started", "joined": "participant_joined", "ended": "session_ended"}
	body := map[string]any{
		"event": names[what], "id": fmt.Sprint("id-", id), "created_at": fmt.Sprint(at.Unix()),
		"room": map[string]any{"sid": fmt.Sprint("S", m.n), "room_id": fmt.Sprint("room-", m.n), "creation_time": fmt.Sprint(m.began.Unix())},
	}
	if what == "joined" {
		body["participant"] = map[string]any{"identity": fmt.Sprint("p", m.people), "sid": fmt.Sprint("PA", m.n, m.people)}
	}
	text, _ := json.Marshal(body)
	return text
}

func (m *clockMeeting) openvidu(what string, at time.Time) []byte {
	names := map[string]string{"started": "sessionCreated", "joined": "participantJoined", "ended": "sessionDestroyed"}
	body := map[string]any{
		"event": names[what], "timestamp": at.UnixMilli(), "sessionId": fmt.Sprint("room-", m.n), "uniqueSessionId": fmt.Sprint("O", m.n),
	}
	switch what {
	case "joined":
		body["connectionId"] = fmt.Sprint("p", m.people)
	case "ended":
		body["startTime"], body["duration"] = m.began.UnixMilli(), int(at.Sub(m.began).Seconds())
	}
	text, _ := json.Marshal(body)
	return text
}

// prompt holds that what comes now is done now, whatever is still to come.
func (c *clock) prompt() {
	c.t.Helper()
	before := len(c.texts)
	m := &clockMeeting{n: int(c.ids.Add(1)), plain: true, began: c.real()}
	c.send(m, "started")
	m.people++
	c.send(m, "joined")
	c.pass(time.Minute)
	c.send(m, "ended")
	c.pass(30 * time.Second)
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.texts) - before; n < 4 {
		c.t.Errorf("%d steps were done at once, should be at least 4", n)
	}
}

// verdict looks at what became of everything.
func (c *clock) verdict() {
	c.t.Helper()
	ctx, all := context.Background(), engine.Query{Limit: 100_000}
	runs, err := c.store.Runs(ctx, all)
	if err != nil {
		c.t.Fatal(err)
	}
	fired := map[string]string{}
	for _, r := range runs {
		c.checkRun(r)
		if other := fired[r.Timer]; r.Timer != "" && other != "" {
			c.t.Errorf("timer %s of %s has fired twice: %s and %s", r.Timer, r.Rule, other, r.ID)
		}
		fired[r.Timer] = r.ID
	}
	timers, err := c.store.Timers(ctx, all)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, x := range timers {
		if x.Open() && x.Kind != engine.TimerSchedule {
			c.t.Errorf("timer %s of %s is still %s, due %s, set %s; it is %s", x.ID, x.Rule, x.State, x.Due, x.Set, c.now())
		}
		if x.Open() && x.Kind == engine.TimerSchedule && x.Due.Sub(c.now()) > 25*time.Hour {
			c.t.Errorf("the schedule fires at %s; it is %s", x.Due, c.now())
		}
	}
	sessions, err := c.store.Sessions(ctx, all)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, s := range sessions {
		if d := s.Session.Duration; d != nil && *d < 0 {
			c.t.Errorf("session %s has lasted for %s", s.Key, d)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, text := range c.texts {
		if strings.Contains(text, "-") {
			c.t.Errorf("a negative time: %s", text)
		}
	}
	for key, tries := range c.attempts {
		if len(tries) > 4 {
			c.t.Errorf("%s was tried %d times", key, len(tries))
		}
		for i := 1; i < len(tries); i++ {
			if !tries[i-1].failed {
				c.t.Errorf("%s was tried again after it had succeeded", key)
			}
		}
	}
}

func (c *clock) checkRun(r engine.Run) {
	c.t.Helper()
	// A clock that is set forward by more than a day ends the meetings nobody was
	// heard from in that day. What was billed then is not billed otherwise later.
	conflict := r.Rule == "minutes" && strings.Contains(r.Reason, "exists and differs")
	// A wait is for a moment, whatever the clock said when it was set.
	waits := r.State == engine.RunWaiting && r.Due.After(c.now())
	if r.State != engine.RunDone && !conflict && !waits && !outOfTime(r) {
		c.t.Errorf("run %s of %s is %s, due %s, updated %s; it is %s: %s", r.ID, r.Rule, r.State, r.Due, r.Updated, c.now(), r.Reason)
	}
	for _, s := range r.Steps {
		if s.Took < 0 {
			c.t.Errorf("step %s of %s took %s", s.ID, r.Rule, s.Took)
		}
		for _, try := range s.Tries {
			if try.Took < 0 {
				c.t.Errorf("an attempt of step %s of %s took %s", s.ID, r.Rule, try.Took)
			}
		}
	}
}

// outOfTime reports whether the retries of r took longer by the server's clock
// than they may altogether: after 1, 4, 10 and 10 minutes.
func outOfTime(r engine.Run) bool {
	if r.State != engine.RunFailed || len(r.Steps) == 0 {
		return false
	}
	tries := r.Steps[len(r.Steps)-1].Tries
	return len(tries) > 1 && tries[len(tries)-1].At.Sub(tries[0].At) > 25*time.Minute
}
