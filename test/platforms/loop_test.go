package platforms

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gavelhq/gavel/actions"
	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/rules"
	"github.com/gavelhq/gavel/engine/store"
	"github.com/gavelhq/gavel/triggers"
)

// looping is a rule that calls the webhook it hears of, with an event that is
// always a new one.
const looping = `
version: 1
sources:
  ov2: { platform: openvidu2, headers: { Authorization: env:KEY } }
connections:
  http:
    self: { base: %q, headers: { Authorization: env:KEY } }
rules:
  - id: again
    when: participant_joined
    then:
      - http: { post: /hooks/ov2, via: self, json: { event: participantJoined, sessionId: r, timestamp: %d, participantId: '${event.id}', connectionId: '${event.id}' } }
`

// A rule whose call triggers it again goes round eight times, and the event
// that ends it says why.
func TestLoopEnds(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	acts := actions.Builtin(actions.Options{
		AllowNet: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Log: log, Version: "test", Now: time.Now,
	})
	var endpoint *triggers.Endpoint
	came := make(chan string, 100)
	self := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hop := r.Header.Get(engine.HopHeader)
		endpoint.Handler().ServeHTTP(w, r)
		came <- hop
	}))
	defer self.Close()
	options := rules.Options{
		Actions: acts, Platforms: triggers.Builtin(triggers.Options{Now: time.Now}),
		Getenv: func(string) (string, bool) { return "the secret, long enough", true },
	}
	text := fmt.Sprintf(looping, self.URL, time.Now().UnixMilli())
	set, problems := rules.Load([]rules.File{{Name: "rules.yaml", Text: []byte(text)}}, options)
	for _, p := range problems {
		if !p.Warning {
			t.Fatalf("%+v", p)
		}
	}
	var ids atomic.Int64
	newID := func() string { return fmt.Sprintf("%026d", ids.Add(1)) }
	st, err := store.Open(t.Context(), t.TempDir(), store.Options{NewID: newID, Now: time.Now, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	eng, err := engine.New(engine.Options{
		Store: st, Actions: acts, Now: time.Now, Rand: func() float64 { return 0.5 }, Log: log, Workers: 4,
		Load: func(text []byte) (engine.Planner, error) { return rules.LoadRevision(text, options) },
	})
	if err == nil {
		_, err = eng.Use(t.Context(), set, set.Connection)
	}
	if err != nil {
		t.Fatal(err)
	}
	endpoint = triggers.NewEndpoint(triggers.EndpointOptions{
		Accept: eng.Accept, Refused: eng.Refused, Fill: set.Fill, Now: time.Now, NewID: newID, Log: log,
	})
	if err := endpoint.Use(options.Platforms, set.Sources()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- eng.Run(ctx, time.Minute) }()

	body := fmt.Sprintf(`{"event":"participantJoined","sessionId":"r","timestamp":%d,"participantId":"p","connectionId":"p"}`, time.Now().UnixMilli())
	r := httptest.NewRequest(http.MethodPost, "/hooks/ov2", strings.NewReader(body))
	r.Header.Set("Authorization", "the secret, long enough")
	answer := httptest.NewRecorder()
	endpoint.Handler().ServeHTTP(answer, r)
	if answer.Code != http.StatusOK {
		t.Fatal(answer.Code)
	}
	for hop := 1; hop <= engine.MaxHops+1; hop++ {
		select {
		case got := <-came:
			if got != fmt.Sprint(hop) {
				t.Errorf("call %d says %q", hop, got)
			}
		case <-time.After(time.Minute):
			t.Fatalf("call %d never came", hop)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	events, err := st.Events(context.Background(), engine.Query{Type: engine.ParticipantJoined})
	if err != nil || len(events) != engine.MaxHops+2 {
		t.Fatalf("%d events: %v", len(events), err)
	}
	for i, ev := range events { // newest first
		last := i == 0
		if ev.Hop != engine.MaxHops+1-i || (len(ev.Outcome.Runs) == 0) != last || strings.Contains(ev.Outcome.Problem, "end the loop") != last {
			t.Errorf("event %d: hop %d, %+v", i, ev.Hop, ev.Outcome)
		}
	}
	if err := st.Close(); err != nil {
		t.Error(err)
	}
}
