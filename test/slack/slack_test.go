package slack

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gavelhq/gavel/actions/slacktest"
	"github.com/gavelhq/gavel/test/load"
	"github.com/gavelhq/gavel/test/server"
)

var (
	kills = flag.Int("kills", 2, "how often TestKilled kills the server")
	seed  = flag.Uint64("seed", 1, "of TestKilled")
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		os.RemoveAll(binaries())
		os.Exit(code)
	}))
}

// built compiles gavel once for all tests.
var built = sync.OnceValues(func() (string, error) {
	if err := os.MkdirAll(binaries(), 0o700); err != nil {
		return "", err
	}
	return server.Build(context.Background(), binaries())
})

// binaries is a folder of this process.
func binaries() string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("gavel-slack-%d", os.Getpid()))
}

// Three rules for whoever joins, side by side: whichever comes first begins the
// thread, with a text of its own or with the opener.
const rulesText = load.Source + `connections:
  slack:
    team: { token: env:SLACK_TOKEN, api: API }
rules:
  - id: first
    when: participant_joined
    order: parallel
    then:
      - slack: { channel: "${room.id}", thread: "${session.id}", text: "first ${participant.id}." }
  - id: second
    when: participant_joined
    order: parallel
    then:
      - slack: { channel: "${room.id}", thread: "${session.id}", opener: "opener", text: "second ${participant.id}." }
  - id: third
    when: participant_joined
    order: parallel
    then:
      - slack: { channel: "${room.id}", thread: "${session.id}", text: "third ${participant.id}." }
`

// One big meeting: its runs take turns, so one alone stands in the lane.
const meetingText = load.Source + `connections:
  slack:
    team: { token: env:SLACK_TOKEN, api: API }
rules:
  - id: first
    when: participant_joined
    then:
      - slack: { channel: "${room.id}", thread: "${session.id}", opener: "opener", text: "first ${participant.id}." }
`

// Threads of their own, one channel: nothing is folded.
const crowdText = load.Source + `connections:
  slack:
    team: { token: env:SLACK_TOKEN, api: API, channel: crowd }
rules:
  - id: first
    when: participant_joined
    order: parallel
    then:
      - slack: { thread: "${participant.id}", text: "first ${participant.id}." }
`

// stage is a Slack, and a server that is to outlive its processes.
type stage struct {
	slack  *slacktest.Server
	server *server.Server
	o      server.Options

	mu     sync.Mutex
	posted func(n int) // called with the number of each message
	n      int
}

func newStage(t *testing.T, rules string) *stage {
	t.Helper()
	x := &stage{}
	var err error
	x.slack, err = slacktest.New(slacktest.Options{Token: "xoxb-fake", Now: time.Now, Every: time.Second, Burst: 6, OnMessage: x.message})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.slack.Close)
	dir := t.TempDir()
	bin, err := built()
	if err != nil {
		t.Fatal(err)
	}
	x.o = server.Options{
		Bin: bin, Rules: filepath.Join(dir, "rules.yaml"), Data: filepath.Join(dir, "data"),
		Env: append(load.Env(), "SLACK_TOKEN=xoxb-fake"), Args: []string{"--allow-net", "127.0.0.0/8"},
	}
	if err := os.WriteFile(x.o.Rules, []byte(strings.ReplaceAll(rules, "API", x.slack.URL)), 0o600); err != nil {
		t.Fatal(err)
	}
	x.start(t)
	return x
}

func (x *stage) message(slacktest.Message) {
	x.mu.Lock()
	x.n++
	n, posted := x.n, x.posted
	x.mu.Unlock()
	if posted != nil {
		posted(n)
	}
}

// start starts a process of the server.
func (x *stage) start(t *testing.T) {
	t.Helper()
	s, err := server.Start(context.WithoutCancel(t.Context()), x.o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	x.server = s
}

// join has people join rooms, all at once. It returns the deliveries that got no
// answer, because the server was killed.
func (x *stage) join(t *testing.T, rooms []string, people ...string) []load.Delivery {
	t.Helper()
	return x.post(t, x.deliveries(t, rooms, people...))
}

// deliveries say that people joined rooms.
func (x *stage) deliveries(t *testing.T, rooms []string, people ...string) (all []load.Delivery) {
	t.Helper()
	now := time.Now()
	for i, room := range rooms {
		for _, who := range people {
			body, err := json.Marshal(map[string]any{
				"event": "participant_joined", "id": room + who, "created_at": fmt.Sprint(now.Unix()),
				"room":        map[string]any{"sid": fmt.Sprintf("RM_%d", i), "room_id": room, "creation_time": fmt.Sprint(now.Unix() - 60)},
				"participant": map[string]any{"sid": "PA_" + who, "identity": who, "name": who},
			})
			if err != nil {
				t.Fatal(err)
			}
			d, err := load.Signed(body, now)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, d)
		}
	}
	return all
}

// post posts deliveries, all at once, and returns those that got no answer.
func (x *stage) post(t *testing.T, all []load.Delivery) (lost []load.Delivery) {
	t.Helper()
	var work sync.WaitGroup
	var mu sync.Mutex
	base := x.server.Hooks
	for _, d := range all {
		work.Go(func() {
			status, err := 0, error(nil)
			conn, err := load.Dial(base)
			if err == nil {
				status, err = conn.Post(d)
				_ = conn.Close()
			}
			switch {
			case err != nil:
				mu.Lock()
				defer mu.Unlock()
				lost = append(lost, d)
			case status != http.StatusOK:
				t.Errorf("answered with %d", status)
			}
		})
	}
	work.Wait()
	return lost
}

// idle waits until everything that is known was done.
func (x *stage) idle(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	st, err := x.server.Idle(ctx)
	if err != nil || st.Store.Runs["failed"] > 0 {
		t.Fatalf("%v, runs: %v\n%s", err, st.Store.Runs, x.server.Log())
	}
}

var text = regexp.MustCompile(`(first|second|third) [a-z0-9]+\.`)

// check reads in Slack whether each room has one thread with every text once.
func (x *stage) check(t *testing.T, rooms []string, people ...string) (folded int) {
	t.Helper()
	roots, texts := map[string]int{}, map[string]int{}
	for _, m := range x.slack.Messages() {
		if m.ThreadTS == "" {
			roots[m.Channel]++
		}
		if strings.Contains(m.Text, " messages in one") {
			folded++
		}
		for _, found := range text.FindAllString(m.Text, -1) {
			texts[m.Channel+" "+found]++
		}
	}
	for _, room := range rooms {
		if roots[room] != 1 {
			t.Errorf("%s has %d roots", room, roots[room])
		}
		for _, who := range people {
			for _, rule := range []string{"first", "second", "third"} {
				if n := texts[fmt.Sprintf("%s %s %s.", room, rule, who)]; n != 1 {
					t.Errorf("%s: %q was posted %d times", room, rule+" "+who, n)
				}
			}
		}
	}
	return folded
}

func people(from, to int) []string {
	var all []string
	for i := from; i < to; i++ {
		all = append(all, fmt.Sprintf("p%d", i))
	}
	return all
}

// However many runs race for a thread, it has one root; a restart keeps it.
func TestOneRoot(t *testing.T) {
	x := newStage(t, rulesText)
	rooms := []string{"alpha", "beta"}
	if lost := x.join(t, rooms, people(0, 12)...); len(lost) > 0 {
		t.Fatalf("%d deliveries got no answer", len(lost))
	}
	x.idle(t)
	if folded := x.check(t, rooms, people(0, 12)...); folded == 0 {
		t.Error("nothing was folded: the messages did not wait for each other")
	}
	if err := x.server.Stop(); err != nil {
		t.Fatal(err)
	}
	x.start(t)
	x.join(t, rooms, people(12, 14)...)
	x.idle(t)
	x.check(t, rooms, people(0, 14)...)
}

// Killed as soon as Slack has a message, and before it can be told so: the
// message is found there when the server is back.
func TestKilled(t *testing.T) {
	x := newStage(t, rulesText)
	rng := rand.New(rand.NewPCG(*seed, 0))
	rooms := []string{"alpha", "beta", "gamma"}
	done := 0
	for n := range *kills {
		// One in each room: a message each. Several: most go out together.
		joining, messages := 1, 3*len(rooms)
		if rng.IntN(2) == 0 {
			joining, messages = 4, len(rooms)
		}
		next := people(done, done+joining)
		done += joining
		gone := make(chan struct{})
		victim := x.server
		x.mu.Lock()
		at := x.n + 1 + rng.IntN(messages)
		x.posted = func(n int) {
			if n == at {
				victim.Kill()
				close(gone)
			}
		}
		x.mu.Unlock()
		lost := x.join(t, rooms, next...)
		select {
		case <-gone:
		case <-time.After(30 * time.Second):
			t.Fatalf("kill %d of seed %d: message %d never came", n, *seed, at)
		}
		x.start(t)
		if lost = x.post(t, lost); len(lost) > 0 {
			t.Fatalf("%d deliveries got no answer", len(lost))
		}
		x.idle(t)
		x.check(t, rooms, people(0, done)...)
		if t.Failed() {
			t.Fatalf("after kill %d of seed %d", n, *seed)
		}
	}
}

// texts are all texts of the one kind that Slack has, in their order.
func (x *stage) texts() (all []string) {
	for _, m := range x.slack.Messages() {
		all = append(all, text.FindAllString(m.Text, -1)...)
	}
	return all
}

// says is what people who joined in this order are told of.
func says(people []string) (all []string) {
	for _, who := range people {
		all = append(all, "first "+who+".")
	}
	return all
}

// killAt kills the server as soon as Slack has message n, and reports when.
func (x *stage) killAt(n int) (gone chan struct{}) {
	gone = make(chan struct{})
	victim := x.server
	x.mu.Lock()
	defer x.mu.Unlock()
	x.posted = func(at int) {
		if at == n {
			victim.Kill()
			close(gone)
		}
	}
	return gone
}

func await(t *testing.T, gone chan struct{}) {
	t.Helper()
	select {
	case <-gone:
	case <-time.After(30 * time.Second):
		t.Fatal("the message to be killed with never came")
	}
}

// Whoever joins one meeting in a second is told of in a handful of messages, in
// order and once, also if the server is killed with any of them.
func TestMeeting(t *testing.T) {
	for _, kill := range []int{0, 2, 3} { // with the first answer, and with those in one
		x := newStage(t, meetingText)
		all := people(0, 24)
		gone := x.killAt(kill)
		var lost []load.Delivery
		for _, who := range all {
			if len(lost) == 0 {
				lost = x.join(t, []string{"alpha"}, who)
			} else { // the server is gone
				lost = append(lost, x.deliveries(t, []string{"alpha"}, who)...)
			}
		}
		if kill > 0 {
			await(t, gone)
			x.start(t)
			for _, d := range lost {
				x.post(t, []load.Delivery{d})
			}
		}
		x.idle(t)
		if got := x.texts(); !slices.Equal(got, says(all)) {
			t.Errorf("killed with message %d: %q", kill, got)
		}
		if n := len(x.slack.Messages()); n > 8 {
			t.Errorf("killed with message %d: %d messages", kill, n)
		}
		if err := x.server.Stop(); err != nil {
			t.Error(err)
		}
	}
}

// What queues for a channel goes on in its order after a kill.
func TestOrderAfterKill(t *testing.T) {
	x := newStage(t, crowdText)
	all := people(0, 14)
	gone := x.killAt(7)
	for _, who := range all {
		if lost := x.join(t, []string{"alpha"}, who); len(lost) > 0 {
			t.Fatal("killed too early")
		}
	}
	await(t, gone)
	x.start(t)
	x.idle(t)
	if got := x.texts(); !slices.Equal(got, says(all)) {
		t.Errorf("%q", got)
	}
}
