package web_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/web"
)

// fakeStore holds rows in memory and notes the last query.
type fakeStore struct {
	events     []engine.EventRow
	deliveries []engine.Received
	runs       []engine.Run
	sessions   []engine.SessionRow
	timers     []engine.Timer
	entries    []engine.Entry
	entriesErr error
	conflicts  []engine.Conflict
	sources    []engine.Source
	err        error
	asked      engine.Query
}

func pick[Row any](rows []Row, q engine.Query, id func(Row) string) []Row {
	var out []Row
	for _, r := range rows {
		if strings.HasPrefix(id(r), q.ID) && len(out) < q.Limit {
			out = append(out, r)
		}
	}
	return out
}

func (f *fakeStore) Events(_ context.Context, q engine.Query) ([]engine.EventRow, error) {
	f.asked = q
	return pick(f.events, q, func(e engine.EventRow) string { return e.ID }), f.err
}

func (f *fakeStore) Event(_ context.Context, id string) (engine.EventRow, error) {
	for _, e := range f.events {
		if e.ID == id {
			e.Payload = json.RawMessage(`{"as":"sent"}`)
			return e, nil
		}
	}
	return engine.EventRow{}, engine.ErrNotFound
}

func (f *fakeStore) Deliveries(_ context.Context, q engine.Query) ([]engine.Received, error) {
	f.asked = q
	return pick(f.deliveries, q, func(d engine.Received) string { return d.ID }), f.err
}

func (f *fakeStore) Runs(_ context.Context, q engine.Query) ([]engine.Run, error) {
	f.asked = q
	var runs []engine.Run
	for _, r := range f.runs {
		if r.Shadow == q.Shadow || q.ID != "" {
			runs = append(runs, r)
		}
	}
	return pick(runs, q, func(r engine.Run) string { return r.ID }), f.err
}

func (f *fakeStore) Run(_ context.Context, id string) (engine.Run, error) {
	for _, r := range f.runs {
		if r.ID == id {
			return r, nil
		}
	}
	return engine.Run{}, engine.ErrNotFound
}

func (f *fakeStore) Sessions(_ context.Context, q engine.Query) ([]engine.SessionRow, error) {
	f.asked = q
	if q.Session == "" {
		return pick(f.sessions, q, func(s engine.SessionRow) string { return s.Key }), f.err
	}
	var out []engine.SessionRow
	for _, s := range f.sessions {
		if s.Key == q.Session || s.Session.ID == q.Session {
			out = append(out, s)
		}
	}
	return out, f.err
}

func (f *fakeStore) Session(_ context.Context, key string) (engine.SessionRow, error) {
	for _, s := range f.sessions {
		if s.Key == key {
			s.Participants = []engine.Participant{{ID: "p1", Name: "Ann", Total: 90 * time.Second}}
			s.Recordings = []engine.Recording{{ID: "r1", Started: at(5)}}
			return s, nil
		}
	}
	return engine.SessionRow{}, engine.ErrNotFound
}

func (f *fakeStore) Timers(_ context.Context, q engine.Query) ([]engine.Timer, error) {
	f.asked = q
	return pick(f.timers, q, func(t engine.Timer) string { return t.ID }), f.err
}

func (f *fakeStore) Entries(_ context.Context, _ engine.Query, from, to time.Time, yield func(engine.Entry) error) error {
	for _, e := range f.entries {
		if e.At.Before(from) || !to.IsZero() && !e.At.Before(to) {
			continue
		}
		if err := yield(e); err != nil {
			return err
		}
	}
	return f.entriesErr
}

func (f *fakeStore) Account(_ context.Context, id string) ([]engine.Entry, error) {
	for _, e := range f.entries {
		if e.ID == id {
			return []engine.Entry{e, {ID: "fix", Corrects: id, Kind: engine.EntryCorrection}}, f.err
		}
	}
	return nil, engine.ErrNotFound
}

func (f *fakeStore) Conflicts(_ context.Context, q engine.Query) ([]engine.Conflict, error) {
	f.asked = q
	return pick(f.conflicts, q, func(c engine.Conflict) string { return c.ID }), f.err
}

func (f *fakeStore) Heads(context.Context) ([]engine.Head, error) {
	return []engine.Head{{Tenant: "default", Number: 3, Hash: "1f"}}, f.err
}

func (f *fakeStore) SourceStates(context.Context) ([]engine.Source, error) { return f.sources, f.err }
func (f *fakeStore) Stats(context.Context) (engine.Stats, error) {
	return engine.Stats{Events: int64(len(f.events))}, f.err
}

// fakeServer is a server whose answers the test sets.
type fakeServer struct {
	run    *engine.Run
	err    error
	report web.ReloadReport
	ready  error

	asked  string // of the ledger
	ask    web.LedgerRequest
	posted engine.Posted
}

func (f *fakeServer) CorrectEntry(_ context.Context, entry string, ask web.LedgerRequest) (engine.Posted, error) {
	f.asked, f.ask = "correct "+entry, ask
	return f.posted, f.err
}

func (f *fakeServer) VoidEntry(_ context.Context, entry string, ask web.LedgerRequest) (engine.Posted, error) {
	f.asked, f.ask = "void "+entry, ask
	return f.posted, f.err
}

func (f *fakeServer) CloseMonth(_ context.Context, ask web.LedgerRequest) (engine.Posted, error) {
	f.asked, f.ask = "close "+ask.Month, ask
	return f.posted, f.err
}

func (f *fakeServer) SettleConflict(_ context.Context, conflict, state string, ask web.LedgerRequest) (engine.Conflict, error) {
	f.asked, f.ask = state+" "+conflict, ask
	return engine.Conflict{ID: conflict, State: state, Entry: engine.Entry{ID: "e", Hash: "1f"}}, f.err
}

func (f *fakeServer) Retry(context.Context, string) (*engine.Run, error) { return f.run, f.err }
func (f *fakeServer) Replay(_ context.Context, revision string, runs []engine.Replay) ([]engine.Replayed, error) {
	if revision != "r1" {
		return nil, engine.ErrOtherRules
	}
	return make([]engine.Replayed, len(runs)), f.err
}
func (f *fakeServer) Reload(context.Context) (web.ReloadReport, error) { return f.report, f.err }
func (f *fakeServer) Ready() error                                     { return f.ready }
func (f *fakeServer) Probe(_ context.Context, ask web.ProbeRequest) []web.Finding {
	return []web.Finding{{Kind: ask.Kind, Name: "team", State: web.FindingOK, What: "fine"}}
}
func (f *fakeServer) Held(r *engine.Run) *engine.Held { return r.Held }
func (f *fakeServer) Status() web.Status              { return web.Status{State: "running"} }
func testNow() time.Time                              { return at(30) }
func noSources() ([]web.ConfiguredSource, error)      { return nil, nil }
func get(h http.Handler, method, target string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, target, nil))
	return w
}

func at(minute int) time.Time {
	return time.Date(2026, 11, 20, 14, minute, 0, 0, time.FixedZone("CET", 3600))
}

func eventRow(id string) engine.EventRow {
	d := 72 * time.Minute
	return engine.EventRow{Event: engine.Event{
		ID: id, Type: engine.SessionEnded, Source: "pnm", Time: at(1), Received: at(2),
		Session: engine.Session{ID: "s1", Duration: &d},
	}, Outcome: engine.Outcome{Runs: []engine.RunRef{{Rule: "long", Run: "run_1"}}}}
}

func TestAnswers(t *testing.T) {
	store := &fakeStore{
		events:     []engine.EventRow{eventRow("evt_BBBB"), eventRow("evt_AAAA")},
		deliveries: []engine.Received{{ID: "dlv_AAAA", At: at(2), Verdict: engine.VerdictBadSignature, Status: 401}},
		runs: []engine.Run{{
			ID: "run_AAAA", Rule: "long", State: engine.RunFailed, Created: at(3),
			Steps: []engine.StepRecord{{ID: "1", Action: "http", State: engine.StepDone, Took: 212 * time.Millisecond}},
			Call:  &engine.StepCall{ID: "2", Action: "slack"}, Tries: []engine.Try{{At: at(4), Took: time.Second, Error: "503"}},
		}, {ID: "run_BBBB", Rule: "trial", Shadow: true, State: engine.RunDone}},
	}
	store.sessions = []engine.SessionRow{
		{Key: "pnm/s1", Source: "pnm", Session: engine.Session{ID: "s1", Status: engine.Active, Started: at(1)}, Last: at(2)},
		{Key: "pnm/s10", Source: "pnm", Session: engine.Session{ID: "s10", Status: engine.Ended, Estimated: true}},
		{Key: "lk/twice", Source: "lk", Session: engine.Session{ID: "twice"}},
		{Key: "pnm/twice", Source: "pnm", Session: engine.Session{ID: "twice"}},
		{Key: "ov/ses_1", Source: "ov"},
		{Key: "ov/ov/ses_1", Source: "ov", Session: engine.Session{ID: "ov/ses_1"}},
		{Key: "meet/Room #4 50%/evt_1", Source: "meet"},
	}
	store.timers = []engine.Timer{{
		ID: "tmr_AAAA", Rule: "host-late", Kind: engine.TimerExpect, State: engine.TimerPending, Session: "pnm/s1",
		Set: at(1), Due: at(6), Deadline: at(6), Awaits: []string{engine.ParticipantJoined},
	}}
	up := &fakeServer{run: &store.runs[0], report: web.ReloadReport{Accepted: true}}
	tests := []struct {
		name, method, target string
		server               web.Server
		status               int
		has                  string
	}{
		{"events", "GET", "/api/v1/events", nil, 200, `"duration":{"seconds":4320,"text":"1h12m"}`},
		{"times in UTC", "GET", "/api/v1/events", nil, 200, `"time":"2026-11-20T13:01:00Z"`},
		{"next page", "GET", "/api/v1/events?limit=1", nil, 200, `"next":"evt_BBBB"`},
		{"one event has its payload", "GET", "/api/v1/events/evt_AAAA", nil, 200, `"raw":{"as":"sent"}`},
		{"start of an id", "GET", "/api/v1/events/evt_B", nil, 200, `"id":"evt_BBBB"`},
		{"ambiguous id", "GET", "/api/v1/events/evt_", nil, 409, "evt_BBBB, evt_AAAA"},
		{"no such event", "GET", "/api/v1/events/evt_C", nil, 404, "gavel events list"},
		{"id too short", "GET", "/api/v1/runs/r", nil, 400, "at least"},
		{"deliveries", "GET", "/api/v1/deliveries?refused=true", nil, 200, `"verdict":"bad_signature"`},
		{"one delivery", "GET", "/api/v1/deliveries/dlv_AAAA", nil, 200, `"status":401`},
		{"runs", "GET", "/api/v1/runs?state=failed", nil, 200, `"took":{"seconds":0.212,"text":"212ms"}`},
		{"attempts of the current step", "GET", "/api/v1/runs/run_AAAA", nil, 200, `"current":{"id":"2","branch":"","action":"slack","state":"pending","tries":[{"at":"2026-11-20T13:04:00Z"`},
		{"shadow runs", "GET", "/api/v1/runs?shadow=true", nil, 200, `"runs":[{"id":"run_BBBB"`},
		{"one shadow run", "GET", "/api/v1/runs/run_B", nil, 200, `"shadow":true`},
		{"runs that wait", "GET", "/api/v1/runs?state=waiting", nil, 200, `"runs":[{`},
		{"sessions", "GET", "/api/v1/sessions?active=true", nil, 200, `"key":"pnm/s1","source":"pnm","platform":"","tenant":"","id":"s1","status":"active","started":"2026-11-20T13:01:00Z"`},
		{"a session without its people", "GET", "/api/v1/sessions?id=pnm/s10", nil, 200, `"estimated":true}]`},
		{"next page of sessions", "GET", "/api/v1/sessions?limit=1", nil, 200, `"next":"pnm/s1"`},
		{"one session by its key", "GET", "/api/v1/sessions/pnm/s1", nil, 200, `"participants":[{"id":"p1","name":"Ann","total":{"seconds":90,"text":"1m30s"}}],"recordings":[{"id":"r1","started":"2026-11-20T13:05:00Z"}]`},
		{"one session by the platform's id", "GET", "/api/v1/sessions/s1", nil, 200, `"key":"pnm/s1"`},
		{"one session by the start of its key", "GET", "/api/v1/sessions/pnm/tw", nil, 200, `"key":"pnm/twice"`},
		{"a key with everything in it", "GET", "/api/v1/sessions/meet/Room%20%234%2050%25%2Fevt_1", nil, 200, `"key":"meet/Room #4 50%/evt_1"`},
		{"a key that is another's id", "GET", "/api/v1/sessions/ov/ses_1", nil, 200, `{"key":"ov/ses_1"`},
		{"a platform's id of two sources", "GET", "/api/v1/sessions/twice", nil, 409, "lk/twice, pnm/twice"},
		{"start of several keys", "GET", "/api/v1/sessions/pnm", nil, 409, "pnm/s1, pnm/s10, pnm/twice"},
		{"no such session", "GET", "/api/v1/sessions/nothing", nil, 404, "gavel sessions list"},
		{"no id", "GET", "/api/v1/sessions/", nil, 400, "gavel sessions list"},
		{"timers", "GET", "/api/v1/timers?session=pnm/s1&active=true", nil, 200, `"kind":"expect","state":"pending","tenant":"","session":"pnm/s1","set":"2026-11-20T13:01:00Z","due":"2026-11-20T13:06:00Z","deadline":"2026-11-20T13:06:00Z","awaits":["participant_joined"]`},
		{"timers are of no source", "GET", "/api/v1/timers?source=pnm", nil, 400, "session, state"},
		{"no such state of a timer", "GET", "/api/v1/timers?state=done", nil, 400, "pending, missed, fired"},
		{"not a yes or no", "GET", "/api/v1/sessions?active=perhaps", nil, 400, `active cannot be \"perhaps\"`},
		{"no such state", "GET", "/api/v1/runs?state=broken", nil, 400, "ready, queued, running"},
		{"misspelt filter", "GET", "/api/v1/events?sourc=pnm", nil, 400, "cursor, id, limit"},
		{"filter twice", "GET", "/api/v1/events?source=a&source=b", nil, 400, "once"},
		{"limit too high", "GET", "/api/v1/events?limit=100000", nil, 400, "from 1 to"},
		{"bad time", "GET", "/api/v1/events?since=yesterday", nil, 400, "2026-11-20T14:00:00Z"},
		{"nothing there", "GET", "/debug/pprof/", nil, 404, "/api/v1/"},
		{"wrong method", "POST", "/api/v1/events", nil, 405, "POST"},
		{"empty list is no null", "GET", "/api/v1/runs?id=x", nil, 200, `"runs":[]`},
		{"status", "GET", "/api/v1/status", up, 200, `"store":{"events":2`},
		{"ready", "GET", "/readyz", up, 200, "ready"},
		{"not ready", "GET", "/readyz", &fakeServer{ready: errors.New("the server is stopping")}, 503, "stopping"},
		{"healthy without a server", "GET", "/healthz", nil, 200, "ok"},
		{"not ready without a server", "GET", "/readyz", nil, 503, "gavel serve"},
		{"no status without a server", "GET", "/api/v1/status", nil, 503, "gavel serve"},
		{"no reload without a server", "POST", "/api/v1/reload", nil, 503, "gavel serve"},
		{"no retry without a server", "POST", "/api/v1/runs/run_AAAA/retry", nil, 503, "gavel serve"},
		{"retry", "POST", "/api/v1/runs/run_AAAA/retry", up, 200, `"id":"run_AAAA"`},
		{"retry of nothing", "POST", "/api/v1/runs/run_ZZZZ/retry", up, 404, "gavel runs list"},
		{"reload", "POST", "/api/v1/reload", up, 200, `"accepted":true`},
		{"reload refused", "POST", "/api/v1/reload", &fakeServer{report: web.ReloadReport{Problems: engine.Problems{{What: "unknown key"}}}}, 409, "unknown key"},
		{"usage without a period", "GET", "/api/v1/usage", nil, 400, "from=2026-11-01"},
		{"usage of no month", "GET", "/api/v1/usage?period=2026-13", nil, 400, "is no month"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := web.New(web.Options{Store: store, Server: tt.server, Sources: noSources})
			w := get(h, tt.method, tt.target)
			if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.has) {
				t.Errorf("got %d %s\nwant %d with %s", w.Code, w.Body, tt.status, tt.has)
			}
			if !json.Valid(w.Body.Bytes()) {
				t.Errorf("no JSON: %s", w.Body)
			}
		})
	}
}

func TestQueryReachesTheStore(t *testing.T) {
	store := &fakeStore{}
	h := web.New(web.Options{Store: store, Sources: noSources})
	get(h, "GET", "/api/v1/events?source=pnm&type=session_ended&rule=r&room=a+b&session=s&unmatched=true&since=2026-11-20T14:00:00Z&after=e1&cursor=e9&limit=7")
	want := engine.Query{
		Source: "pnm", Type: "session_ended", Rule: "r", Room: "a b", Session: "s", Unmatched: true,
		Since: time.Date(2026, 11, 20, 14, 0, 0, 0, time.UTC), After: "e1", Cursor: "e9", Limit: 8, // one more: is there a next page?
	}
	if diff := cmp.Diff(want, store.asked); diff != "" {
		t.Error(diff)
	}
}

func TestFiltersOfSessions(t *testing.T) {
	for target, want := range map[string]engine.Query{
		"sessions?active=true&room=r&source=pnm&id=pnm/": {ID: "pnm/", Source: "pnm", Room: "r", Active: true, Limit: 51},
		"timers?active=1&session=s&rule=r&state=pending": {Rule: "r", Session: "s", State: "pending", Active: true, Limit: 51},
		"runs?shadow=true": {Shadow: true, Limit: 51},
	} {
		store := &fakeStore{}
		get(web.New(web.Options{Store: store, Sources: noSources}), "GET", "/api/v1/"+target)
		if diff := cmp.Diff(want, store.asked); diff != "" {
			t.Errorf("%s: %s", target, diff)
		}
	}
}

// A run keeps the ids of up to a thousand events; a list says how many.
func TestRunOfManyEvents(t *testing.T) {
	store := &fakeStore{runs: []engine.Run{{
		ID: "run_AAAA", State: engine.RunDone, Shadow: true, Timer: "tmr_1", Events: []string{"evt_1", "evt_2"}, Dropped: 3, LateBy: 90 * time.Second,
	}}}
	h := web.New(web.Options{Store: store, Sources: noSources})
	same := `"shadow":true,"timer":"tmr_1",%s"events_count":2,"events_dropped":3,"late_by":{"seconds":90,"text":"1m30s"}`
	for target, ids := range map[string]string{"runs?shadow=true": "", "runs/run_AAAA": `"events":["evt_1","evt_2"],`} {
		if got := get(h, "GET", "/api/v1/"+target).Body.String(); !strings.Contains(got, fmt.Sprintf(same, ids)) {
			t.Errorf("%s: got %s", target, got)
		}
	}
}

func TestSources(t *testing.T) {
	store := &fakeStore{sources: []engine.Source{
		{Name: engine.PlatformGavel, LastEvent: at(20)}, {Name: "lk", LastEvent: at(20)}, {Name: "ov", LastEvent: at(19)}, {Name: "old", Tenant: "t"}, {Name: "pnm", Sessions: 2, LastEvent: at(5)},
	}}
	quiet := web.Duration(10 * time.Minute) // it is at(30)
	h := web.New(web.Options{Store: store, Now: testNow, Sources: func() ([]web.ConfiguredSource, error) {
		return []web.ConfiguredSource{
			{Name: "pnm", Platform: "plugnmeet"}, {Name: "meet", Platform: "openvidu-meet", SilentAfter: &quiet},
			{Name: "lk", Platform: "livekit", SilentAfter: &quiet}, {Name: "ov", Platform: "openvidu2", SilentAfter: &quiet},
		}, nil
	}})
	var l web.SourceList
	if err := json.Unmarshal(get(h, "GET", "/api/v1/sources").Body.Bytes(), &l); err != nil {
		t.Fatal(err)
	}
	want := []web.Source{
		{ConfiguredSource: web.ConfiguredSource{Name: "lk", Platform: "livekit", SilentAfter: &quiet}, LastEvent: at(20).UTC()},
		{ConfiguredSource: web.ConfiguredSource{Name: "meet", Platform: "openvidu-meet", SilentAfter: &quiet}}, // never heard of: nobody knows since when
		{ConfiguredSource: web.ConfiguredSource{Name: "old", Tenant: "t"}, Removed: true},
		{ConfiguredSource: web.ConfiguredSource{Name: "ov", Platform: "openvidu2", SilentAfter: &quiet}, LastEvent: at(19).UTC(), Silent: true},
		{ConfiguredSource: web.ConfiguredSource{Name: "pnm", Platform: "plugnmeet"}, Sessions: 2, LastEvent: at(5).UTC()},
	}
	if diff := cmp.Diff(want, l.Sources); diff != "" {
		t.Error(diff)
	}
}

func TestErrorsOfTheStore(t *testing.T) {
	for _, tt := range []struct {
		err    error
		status int
	}{
		{fmt.Errorf("%w: the disk is full", engine.ErrUnavailable), 503},
		{errors.New("the database is malformed"), 500},
	} {
		h := web.New(web.Options{Store: &fakeStore{err: tt.err}, Sources: noSources})
		if w := get(h, "GET", "/api/v1/events"); w.Code != tt.status || !strings.Contains(w.Body.String(), tt.err.Error()) {
			t.Errorf("%v: got %d %s", tt.err, w.Code, w.Body)
		}
	}
}

// clients are both ways to the handler: through a socket and in the process.
func clients(t *testing.T, h http.Handler) map[string]*web.Client {
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	u, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]*web.Client{
		"socket": web.NewClient(roundTrip(func(r *http.Request) (*http.Response, error) {
			r.URL.Host = u.Host
			return http.DefaultTransport.RoundTrip(r)
		})),
		"local": web.NewClient(web.Local(h)),
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestClient(t *testing.T) {
	store := &fakeStore{events: []engine.EventRow{eventRow("evt_AAAA")}, sessions: []engine.SessionRow{{Key: "meet/a?b%2F#c ü"}}}
	h := web.New(web.Options{Store: store, Server: &fakeServer{report: web.ReloadReport{Error: "no such file"}}, Sources: noSources})
	for name, c := range clients(t, h) {
		t.Run(name, func(t *testing.T) {
			var l web.EventList
			if err := c.Get(t.Context(), "events", url.Values{"limit": {"5"}}, &l); err != nil {
				t.Fatal(err)
			}
			if len(l.Events) != 1 || time.Duration(*l.Events[0].Session.Duration) != 72*time.Minute {
				t.Errorf("got %+v", l.Events)
			}
			err := c.Get(t.Context(), "events/evt_nothing", nil, &web.Event{})
			var e *web.Error
			if !errors.As(err, &e) || e.Status != 404 || e.Hint == "" {
				t.Errorf("got %#v", err)
			}
			var r web.ReloadReport
			if err := c.Post(t.Context(), "reload", &r); err != nil || r.Error != "no such file" {
				t.Errorf("a refused reload is a report: got %v, %+v", err, r)
			}
			var s web.StoredSession // text of strangers in a path
			if err := c.Get(t.Context(), "sessions/"+url.PathEscape("meet/a?b%2F#c ü"), nil, &s); err != nil || s.Key != "meet/a?b%2F#c ü" {
				t.Errorf("got %q, %v", s.Key, err)
			}
			if err := c.Ready(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestUsage(t *testing.T) {
	november := func(day int) time.Time { return time.Date(2026, 11, day, 0, 0, 0, 0, time.UTC) }
	entries := []engine.Entry{{ID: "a", At: november(1), Hash: "1f", Service: "2026-10"}, {ID: "b", At: november(30)}, {ID: "c", At: november(31), Service: "2026-11"}}
	whole := web.New(web.Options{Store: &fakeStore{entries: entries}, Sources: noSources})
	broken := web.New(web.Options{Store: &fakeStore{entries: entries, entriesErr: errors.New("the disk went away")}, Sources: noSources})
	for name, c := range clients(t, whole) {
		var got []string
		collect := func(e engine.Entry) error { got = append(got, e.ID+e.Hash); return nil }
		if err := c.Usage(t.Context(), web.UsageQuery{From: november(1), To: november(31)}, collect); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"a1f", "b"}, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		got = nil
		if err := c.Usage(t.Context(), web.UsageQuery{Service: "2026-10..2026-11"}, collect); err != nil || !slices.Equal(got, []string{"a1f", "c"}) {
			t.Errorf("%s: %v %v", name, got, err)
		}
		for _, months := range []string{"2026-11..", "..2026-11", "2026-11..2026-10", "2026-13", "2026-10..2026-11..2026-12"} {
			if err := c.Usage(t.Context(), web.UsageQuery{Period: months}, collect); err == nil || !strings.Contains(err.Error(), "is no month") {
				t.Errorf("%s: %s: %v", name, months, err)
			}
		}
		got = nil
		if err := c.Usage(t.Context(), web.UsageQuery{Service: "2026-11"}, collect); err != nil || len(got) != 1 || got[0] != "c" {
			t.Errorf("%s: %v %v", name, got, err)
		}
	}
	for name, c := range clients(t, broken) {
		err := c.Usage(t.Context(), web.UsageQuery{From: november(1), To: november(31)}, func(engine.Entry) error { return nil })
		if err == nil || !strings.Contains(err.Error(), "the disk went away") {
			t.Errorf("%s: a list that broke off looks whole, or does not say why: %v", name, err)
		}
	}
}

func TestDuration(t *testing.T) {
	for _, tt := range []struct {
		d    time.Duration
		want string
	}{
		{72 * time.Minute, "1h12m"}, {time.Hour, "1h"}, {5*time.Minute + 20*time.Second, "5m20s"}, {10 * time.Minute, "10m"},
		{20*time.Second + 412*time.Millisecond, "20.4s"}, {212 * time.Millisecond, "212ms"}, {1100 * time.Microsecond, "1.1ms"},
		{0, "0s"}, {-90 * time.Second, "-1m30s"}, {30 * time.Second, "30s"}, {100 * time.Hour, "100h"},
	} {
		if got := web.Duration(tt.d).String(); got != tt.want {
			t.Errorf("%v: got %s, want %s", tt.d, got, tt.want)
		}
		text, err := json.Marshal(web.Duration(tt.d))
		var back web.Duration
		if err != nil || json.Unmarshal(text, &back) != nil || time.Duration(back) != tt.d {
			t.Errorf("%v: %s does not come back: %v", tt.d, text, time.Duration(back))
		}
	}
}
