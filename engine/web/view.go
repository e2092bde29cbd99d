package web

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// Duration is a time.Duration that JSON shows as seconds and as people write
// it: {"seconds": 4320, "text": "1h12m"}.
type Duration time.Duration

type durationJSON struct {
	Seconds json.Number `json:"seconds"`
	Text    string      `json:"text"`
}

// MarshalJSON implements json.Marshaler.
func (d Duration) MarshalJSON() ([]byte, error) {
	seconds := strconv.FormatFloat(time.Duration(d).Seconds(), 'f', -1, 64)
	return json.Marshal(durationJSON{json.Number(seconds), d.String()})
}

// UnmarshalJSON implements json.Unmarshaler.
func (d *Duration) UnmarshalJSON(b []byte) error {
	var j durationJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	seconds, err := j.Seconds.Float64()
	*d = Duration(math.Round(seconds * float64(time.Second)))
	return err
}

// String is "1h12m", "5m20s", "20.4s" or "212ms".
func (d Duration) String() string {
	t := time.Duration(d)
	switch a := t.Abs(); {
	case a >= time.Hour:
		t = t.Round(time.Minute)
	case a >= time.Minute:
		t = t.Round(time.Second)
	case a >= time.Second:
		t = t.Round(100 * time.Millisecond)
	case a >= 10*time.Millisecond:
		t = t.Round(time.Millisecond)
	default:
		t = t.Round(10 * time.Microsecond)
	}
	return trimZeros(t.String())
}

// trimZeros makes 1h12m0s and 1h0m0s what people write: 1h12m and 1h.
func trimZeros(s string) string {
	for _, zero := range []string{"m0s", "h0m"} {
		if n := len(s) - len(zero); n > 0 && s[n:] == zero {
			s = s[:n+1]
		}
	}
	return s
}

func duration(d *time.Duration) *Duration { return (*Duration)(d) }

func nonZero(d time.Duration) *Duration {
	if d == 0 {
		return nil
	}
	return duration(&d)
}

// Event is an event and what the rules made of it.
type Event struct {
	ID       string    `json:"id"`
	Type     string    `json:"type"`
	Name     string    `json:"name"`
	Source   string    `json:"source"`
	Platform string    `json:"platform"`
	Tenant   string    `json:"tenant"`
	Time     time.Time `json:"time"`
	Received time.Time `json:"received"`
	Derived  []string  `json:"derived,omitempty"`
	Test     bool      `json:"test,omitempty"`

	Room        engine.Room   `json:"room,omitzero"`
	Session     Session       `json:"session,omitzero"`
	Participant Participant   `json:"participant,omitzero"`
	Recording   Recording     `json:"recording,omitzero"`
	Track       engine.Track  `json:"track,omitzero"`
	Stream      engine.Stream `json:"stream,omitzero"`
	Artifact    Artifact      `json:"artifact,omitzero"`

	Delivery string          `json:"delivery"`
	Revision string          `json:"revision"`
	Outcome  engine.Outcome  `json:"outcome"`
	Raw      json.RawMessage `json:"raw,omitempty"` // only of one event
}

// Session is the session as the event left it.
type Session struct {
	ID        string         `json:"id,omitempty"`
	Status    string         `json:"status,omitempty"`
	Started   time.Time      `json:"started,omitzero"`
	Ended     time.Time      `json:"ended,omitzero"`
	Duration  *Duration      `json:"duration,omitempty"`
	EndReason string         `json:"end_reason,omitempty"`
	Estimated bool           `json:"estimated,omitempty"` // nobody said that it ended: it fell silent
	Present   *int           `json:"present,omitempty"`
	Peak      *int           `json:"peak,omitempty"`
	Attended  *Duration      `json:"attended,omitempty"`
	Host      *Participant   `json:"host,omitempty"`
	Recording bool           `json:"recording,omitempty"`
	Metadata  map[string]any `json:"metadata,omitempty"`
}

// Participant is who the event speaks of.
type Participant struct {
	ID           string         `json:"id,omitempty"`
	ConnectionID string         `json:"connection_id,omitempty"`
	Name         string         `json:"name,omitempty"`
	Email        string         `json:"email,omitempty"`
	Role         string         `json:"role,omitempty"`
	Kind         string         `json:"kind,omitempty"`
	Metadata     map[string]any `json:"metadata,omitempty"`
	Joined       time.Time      `json:"joined,omitzero"`
	Left         time.Time      `json:"left,omitzero"`
	Duration     *Duration      `json:"duration,omitempty"`
	Total        *Duration      `json:"total,omitempty"`
	Present      bool           `json:"present,omitempty"`
	LeaveReason  string         `json:"leave_reason,omitempty"`
}

// Recording is the recording the event speaks of.
type Recording struct {
	ID       string    `json:"id,omitempty"`
	Name     string    `json:"name,omitempty"`
	Status   string    `json:"status,omitempty"`
	URL      string    `json:"url,omitempty"`
	Size     *int64    `json:"size,omitempty"`
	Duration *Duration `json:"duration,omitempty"`
	Started  time.Time `json:"started,omitzero"`
	Ended    time.Time `json:"ended,omitzero"`
	Error    string    `json:"error,omitempty"`
}

// Artifact is the artifact the event speaks of.
type Artifact struct {
	ID         string    `json:"id,omitempty"`
	Type       string    `json:"type,omitempty"`
	URL        string    `json:"url,omitempty"`
	Size       *int64    `json:"size,omitempty"`
	Tokens     *int64    `json:"tokens,omitempty"`
	Duration   *Duration `json:"duration,omitempty"`
	Characters *int64    `json:"characters,omitempty"`
	Cost       string    `json:"cost,omitempty"`
	Reference  string    `json:"reference,omitempty"`
}

// EventOf is an event as the API shows it.
func EventOf(e engine.EventRow) Event {
	return Event{
		ID: e.ID, Type: e.Type, Name: e.Name, Source: e.Source, Platform: e.Platform, Tenant: e.Tenant,
		Time: e.Time.UTC(), Received: e.Received.UTC(), Derived: e.Derived, Test: e.Test,
		Room: e.Room, Session: sessionView(e.Session), Participant: participantView(e.Participant),
		Recording: recordingView(e.Recording), Track: e.Track, Stream: e.Stream, Artifact: artifactView(e.Artifact),
		Delivery: e.Delivery, Revision: e.Revision, Outcome: outcomeView(e.Outcome), Raw: e.Payload,
	}
}

// outcomeView is o with its times in UTC.
func outcomeView(o engine.Outcome) engine.Outcome {
	o.Suppressed, o.Timers = slices.Clone(o.Suppressed), slices.Clone(o.Timers)
	for i := range o.Suppressed {
		o.Suppressed[i].Until = o.Suppressed[i].Until.UTC()
	}
	for i := range o.Timers {
		o.Timers[i].Due = o.Timers[i].Due.UTC()
	}
	return o
}

func sessionView(s engine.Session) Session {
	v := Session{
		ID: s.ID, Status: s.Status, Started: s.Started.UTC(), Ended: s.Ended.UTC(), Duration: duration(s.Duration),
		EndReason: s.EndReason, Estimated: s.Estimated, Present: s.Present, Peak: s.Peak, Attended: nonZero(s.Attended),
		Recording: s.Recording, Metadata: s.Metadata,
	}
	if s.Host != nil {
		host := participantView(*s.Host)
		v.Host = &host
	}
	return v
}

func participantView(p engine.Participant) Participant {
	return Participant{
		ID: p.ID, ConnectionID: p.ConnectionID, Name: p.Name, Email: p.Email, Role: p.Role, Kind: p.Kind,
		Metadata: p.Metadata, Joined: p.Joined.UTC(), Left: p.Left.UTC(), Duration: duration(p.Duration),
		Total: nonZero(p.Total), Present: p.Present, LeaveReason: p.LeaveReason,
	}
}

func recordingView(r engine.Recording) Recording {
	return Recording{
		ID: r.ID, Name: r.Name, Status: r.Status, URL: r.URL, Size: r.Size, Duration: duration(r.Duration),
		Started: r.Started.UTC(), Ended: r.Ended.UTC(), Error: r.Error,
	}
}

func artifactView(a engine.Artifact) Artifact {
	return Artifact{
		ID: a.ID, Type: a.Type, URL: a.URL, Size: a.Size, Tokens: a.Tokens, Duration: duration(a.Duration),
		Characters: a.Characters, Cost: a.Cost, Reference: a.Reference,
	}
}

// Run is a run with its steps.
type Run struct {
	ID       string          `json:"id"`
	Rule     string          `json:"rule"`
	Revision string          `json:"revision"`
	Event    string          `json:"event"`
	Source   string          `json:"source"`
	Tenant   string          `json:"tenant"`
	Session  string          `json:"session,omitempty"` // the session's key
	Room     string          `json:"room"`
	Trigger  string          `json:"trigger"`
	State    string          `json:"state"`
	Reason   string          `json:"reason,omitempty"`
	Created  time.Time       `json:"created"`
	Updated  time.Time       `json:"updated"`
	Due      time.Time       `json:"due,omitzero"`
	Shadow   bool            `json:"shadow,omitempty"`         // recorded, and not done
	Replayed bool            `json:"replayed,omitempty"`       // made long after its event, by gavel replay
	Timer    string          `json:"timer,omitempty"`          // that fired it
	Events   []string        `json:"events,omitempty"`         // of count or digest; only of one run
	Gathered int             `json:"events_count,omitempty"`   // how many those are
	Dropped  int             `json:"events_dropped,omitempty"` // further ones of a digest
	Awaited  string          `json:"awaited,omitempty"`        // on_late: the event that began the waiting
	LateBy   *Duration       `json:"late_by,omitempty"`        // on_late
	Branch   string          `json:"branch"`
	At       int             `json:"at"` // position of the current step in the branch, from 1
	Steps    []Step          `json:"steps,omitempty"`
	Current  *Step           `json:"current,omitempty"` // the step under way, with the attempts so far
	Failure  *engine.Failure `json:"failure,omitempty"`
	Held     *engine.Held    `json:"held,omitempty"` // the target it waits for
}

// Step is one step of a run: what was done, and what came of it.
type Step struct {
	ID      string            `json:"id"`
	Branch  string            `json:"branch"`
	Action  string            `json:"action"`
	Via     string            `json:"via,omitempty"`
	State   string            `json:"state"`
	With    json.RawMessage   `json:"with,omitempty"`
	Status  int               `json:"status,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
	Body    json.RawMessage   `json:"body,omitempty"`
	Note    string            `json:"note,omitempty"`
	Error   string            `json:"error,omitempty"`
	Tries   []Try             `json:"tries,omitempty"` // the attempts that failed before
	Limit   int               `json:"limit,omitempty"` // attempts it may take, where the rules say so
	Started time.Time         `json:"started,omitzero"`
	Took    *Duration         `json:"took,omitempty"`
	File    string            `json:"file,omitempty"`
	Line    int               `json:"line,omitempty"`
}

// Try is one attempt that failed.
type Try struct {
	At    time.Time `json:"at"`
	Took  Duration  `json:"took"`
	Error string    `json:"error"`
}

// RunOf is a run as the API shows it.
func RunOf(r engine.Run) Run {
	v := Run{
		ID: r.ID, Rule: r.Rule, Revision: r.Revision, Event: r.Event, Source: r.Source, Tenant: r.Tenant,
		Session: r.Session, Room: r.Room, Trigger: r.Trigger, State: r.State, Reason: r.Reason,
		Created: r.Created.UTC(), Updated: r.Updated.UTC(), Due: r.Due.UTC(), Branch: r.Branch, At: r.At + 1, Failure: r.Failure,
		Shadow: r.Shadow, Replayed: r.Replayed, Timer: r.Timer, Events: r.Events, Gathered: len(r.Events), Dropped: r.Dropped,
		Awaited: r.Awaited, LateBy: nonZero(r.LateBy),
	}
	if h := r.Held; h != nil {
		v.Held = &engine.Held{Target: h.Target, Since: h.Since.UTC(), Until: h.Until.UTC(), Down: h.Down, Before: h.Before}
	}
	for _, s := range r.Steps {
		v.Steps = append(v.Steps, Step{
			ID: s.ID, Branch: s.Branch, Action: s.Action, Via: s.Via, State: s.State, With: s.With,
			Status: s.Status, Headers: s.Headers, Body: s.Body, Note: s.Note, Error: s.Error,
			Tries: tryViews(s.Tries), Started: s.Started.UTC(), Took: nonZero(s.Took),
		})
	}
	if c := r.Call; c != nil {
		v.Current = &Step{
			ID: c.ID, Branch: r.Branch, Action: c.Action, Via: c.Via, State: engine.StepPending, With: c.With,
			Tries: tryViews(r.Tries), Limit: c.Retry.Attempts, File: c.File, Line: c.Line,
		}
	}
	return v
}

func tryViews(tries []engine.Try) []Try {
	var v []Try
	for _, t := range tries {
		v = append(v, Try{t.At.UTC(), Duration(t.Took), t.Error})
	}
	return v
}

// Delivery is one inbound request and its verdict.
type Delivery struct {
	ID      string    `json:"id"`
	At      time.Time `json:"at"`
	Source  string    `json:"source"`
	Verdict string    `json:"verdict"`
	Reason  string    `json:"reason,omitempty"`
	Remote  string    `json:"remote"`
	Size    int64     `json:"size"`
	Status  int       `json:"status"`
	Event   string    `json:"event,omitempty"`
}

func deliveryView(d engine.Received) Delivery {
	return Delivery{d.ID, d.At.UTC(), d.Source, d.Verdict, d.Reason, d.Remote, d.Size, d.Status, d.Event}
}

// ConfiguredSource is a source as the rules file has it. It names secrets and
// never holds one.
type ConfiguredSource struct {
	Name     string   `json:"name"`
	Platform string   `json:"platform"`
	Tenant   string   `json:"tenant"`
	Paths    []string `json:"paths"`
	Signed   bool     `json:"signed"`
	Secrets  []string `json:"secrets,omitempty"` // env:NAME, file:PATH, credential:NAME
	// SilentAfter is how long silence is normal; nil: nobody said.
	SilentAfter *Duration `json:"silent_after,omitempty"`
}

// Source is a configured source and what came from it.
type Source struct {
	ConfiguredSource
	Sessions  int       `json:"sessions"` // open
	Present   int       `json:"present"`  // people in them
	LastEvent time.Time `json:"last_event,omitzero"`
	Silent    bool      `json:"silent,omitempty"`  // for longer than is normal
	Removed   bool      `json:"removed,omitempty"` // sent events once, not in the rules any more
}

// Status is how a server is.
type Status struct {
	Version   string        `json:"version"`
	State     string        `json:"state"` // running, stopping
	Started   time.Time     `json:"started"`
	Rules     RulesStatus   `json:"rules"`
	Hooks     string        `json:"hooks"` // where webhooks go: http://0.0.0.0:6080
	Data      string        `json:"data"`
	Workers   int           `json:"workers"`
	Refused   *ReloadReport `json:"refused_reload,omitempty"` // the last reload, if it was refused
	RefusedAt time.Time     `json:"refused_at,omitzero"`
	Store     *engine.Stats `json:"store,omitempty"`
	Down      []DownTarget  `json:"down,omitempty"` // targets of actions
}

// DownTarget is a target of actions that does not answer.
type DownTarget struct {
	Target string    `json:"target"`
	Since  time.Time `json:"since"`
	Next   time.Time `json:"next,omitzero"` // when it is tried again
	Error  string    `json:"error"`         // what came of the last attempt
}

// RulesStatus is the revision in use.
type RulesStatus struct {
	File     string    `json:"file"`
	Revision string    `json:"revision"`
	Rules    int       `json:"rules"`
	Sources  int       `json:"sources"`
	Warnings int       `json:"warnings,omitempty"` // of the load
	Loaded   time.Time `json:"loaded"`
	Timers   Timers    `json:"timers"`
}

// Timers says what became of the open timers when the rules in use took over.
type Timers struct {
	Kept      int      `json:"kept"`
	Cancelled int      `json:"cancelled"`       // of rules that were changed or removed
	Rules     []string `json:"rules,omitempty"` // whose they were
}

// ReloadReport says what came of a reload.
type ReloadReport struct {
	Accepted bool            `json:"accepted"`
	Changed  bool            `json:"changed"`
	Revision string          `json:"revision"` // in use now
	Rules    int             `json:"rules"`
	Sources  int             `json:"sources"`
	Loaded   time.Time       `json:"loaded"` // when the rules in use took over
	Timers   Timers          `json:"timers"` // what became of the timers then
	Problems engine.Problems `json:"problems,omitempty"`
	Error    string          `json:"error,omitempty"` // why, where no line of the file is at fault
}
