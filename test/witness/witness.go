// Package witness sends events with known ids to a gavel, remembers what was
// promised and when, hosts the target that actions call, and checks what the
// server kept against it.
//
// # What is played
//
// Meetings in several rooms, many at once: each starts, people join and leave,
// most end. The events of one meeting come one after the other, each until it is
// acknowledged, as a platform sends them: also to a server that refuses, breaks
// down and comes back. Some come twice, before or after the first answer.
//
// # What is checked
//
// Check knows what the five rules of Rules make of a meeting by a model of its
// own, which shares no code with the server. These must hold, whatever happened
// to the server:
//
//	I1  what was acknowledged is there, once; nothing is there that was not sent
//	I2  every event was evaluated against one revision, whose text is there, and
//	    its runs and calls are of that revision
//	I3  every event has the runs the model expects and no others; each is done,
//	    has failed for good or is still to go on
//	I4  the ledger has the entries of the steps that billed and no others, and
//	    their sum is the model's
//	I5  a call that is repeated has the same Idempotency-Key, no key belongs to
//	    two calls, and what had succeeded is repeated only where a server died
//	    in between, at most once each and no more than were under way
//	I6  the events and the calls of a rule for one meeting are in order
//	I7  the ledger is the chain it was written as
//	I8  the database is whole
//
// I10, that everything comes to an end, is Drained. I9, that nothing is
// acknowledged while the disk refuses, is for the test that makes it refuse: it
// compares with LastAck.
package witness

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/gavelhq/gavel/test/load"
	"github.com/gavelhq/gavel/test/server"
)

// Options say what a witness does.
type Options struct {
	Seed       uint64
	Rate       int           // events per second; 0: 200
	Clients    int           // connections; 0: 8
	Duplicates float64       // share of deliveries sent again; 0: 0.2, negative: none
	Failing    float64       // share of calls the target answers with 500; 0: 0.1, negative: none
	Delay      time.Duration // longest time the target takes for an answer; 0: 20ms, negative: none
	AllEnd     bool          // every meeting ends; else nobody tells the end of one in eight
}

// Witness is one of them. Its methods are safe for concurrent use, but for Send,
// which is called again only after it has returned.
type Witness struct {
	o      Options
	target *http.Server
	url    string // of the target

	mu       sync.Mutex
	rand     *rand.Rand
	delay    time.Duration
	meetings []*meeting
	idle     [][]*meeting // by client: under way when Send returned
	calls    []call
	lives    []life
	acked    int
	refused  int
	lastAck  time.Time
}

// life is a server, from its start to its end, as it is seen from outside.
type life struct {
	base        string
	first, last time.Time // when it was heard of, and when it answered last
}

// New makes a witness and starts its target on loopback.
func New(o Options) (*Witness, error) {
	o.Rate, o.Clients = cmp.Or(o.Rate, 200), cmp.Or(o.Clients, 8)
	o.Delay = max(0, cmp.Or(o.Delay, 20*time.Millisecond))
	o.Duplicates, o.Failing = max(0, cmp.Or(o.Duplicates, 0.2)), max(0, cmp.Or(o.Failing, 0.1))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	w := &Witness{
		o: o, url: "http://" + l.Addr().String(),
		rand: rand.New(rand.NewPCG(o.Seed, 0)), delay: o.Delay, idle: make([][]*meeting, o.Clients),
	}
	w.target = &http.Server{Handler: http.HandlerFunc(w.called), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = w.target.Serve(l) }() // ends with Close
	return w, nil
}

// Close ends the target.
func (w *Witness) Close() error { return w.target.Close() }

// HangUp closes the connections to the target that nobody uses at the moment.
func (w *Witness) HangUp() {
	w.target.SetKeepAlivesEnabled(false)
	w.target.SetKeepAlivesEnabled(true)
}

// attempts is how often a call is tried.
const attempts = 12

// Rules is the text of a rules file. Other texts may be put in its place while
// the server runs, as long as they do the same: "rules" is what they are told
// apart by.
func (w *Witness) Rules() string { return w.RulesOf("r0") }

// RulesOf is Rules with another value for "rules", a word.
func (w *Witness) RulesOf(revision string) string {
	tell := func(path, more string) string {
		return fmt.Sprintf(`http: { post: "%s/%s", json: { rules: %s, id: "${raw.id}"%s } }
        retry: { attempts: %d, first: 100ms, max: 1s }`, w.url, path, revision, more, attempts)
	}
	return `version: 1
` + load.Source + `
rules:
  - id: call
    when: [session_started, participant_joined, session_ended]
    then:
      - id: tell
        ` + tell("call", "") + `
      - log: told of ${raw.id}, ${steps.tell.status}
  - id: note
    when: participant_left
    then:
      - log: ${participant.id} has left ${session.id}
  - id: bill
    when: session_ended
    then:
      - id: bill
        billing:
          customer: ${room.id}
          meter: meeting_minutes
          quantity: ${ceil_minutes(session.duration)}
          price: "0.004 USD"
      - id: tell
        ` + tell("bill", ", amount: \"${steps.bill.body.amount}\"") + `
  - id: late
    when: session_started
    expect: { event: participant_joined, if: participant.name == "Host", within: 1m, stop_on: [session_ended] }
    then:
      - id: tell
        ` + tell("late", "") + `
  - id: never
    when: session_started
    if: room.id == "nowhere"
    then:
      - log: never
`
}

// Env is what Rules and the target need in the server's environment.
func (w *Witness) Env() []string {
	return append(load.Env(), "GAVEL_ALLOW_NET=127.0.0.0/8", fmt.Sprintf("GAVEL_WORKERS=%d", workers))
}

// workers is how many runs of a server are under way at once, at most.
const workers = 64

// Acked is how many deliveries were answered with 2xx so far.
func (w *Witness) Acked() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.acked
}

// LastAck is when the newest 2xx came.
func (w *Witness) LastAck() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lastAck
}

// Refused is how many deliveries were answered with 503 so far.
func (w *Witness) Refused() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.refused
}

// Delay changes the longest time the target takes for an answer.
func (w *Witness) Delay(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.delay = d
}

// Repeated is how often the target has done again what it had done.
func (w *Witness) Repeated() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	acted := map[string]bool{}
	for _, c := range w.calls {
		if c.acted && acted[c.key] {
			n++
		}
		acted[c.key] = acted[c.key] || c.acted
	}
	return n
}

// Calls is how often the target was called so far.
func (w *Witness) Calls() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.calls)
}

// Drained waits until everything that was acknowledged has run. Timers may
// still be open.
func (w *Witness) Drained(ctx context.Context, s *server.Server) error {
	w.mu.Lock()
	w.heardOf(s.Hooks)
	w.mu.Unlock()
	if _, err := s.Idle(ctx); err != nil {
		return fmt.Errorf("I10: what was acknowledged has not run: %w", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answer(s.Hooks)
	return nil
}

// heardOf notes that there is a server at base.
func (w *Witness) heardOf(base string) {
	if n := len(w.lives); base != "" && (n == 0 || w.lives[n-1].base != base) {
		now := time.Now()
		w.lives = append(w.lives, life{base, now, now})
	}
}

// answer notes that there was an answer from base, unless it is gone already.
func (w *Witness) answer(base string) {
	if n := len(w.lives); n > 0 && w.lives[n-1].base == base {
		w.lives[n-1].last = time.Now()
	}
}
