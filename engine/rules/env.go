package rules

import (
	"slices"
	"strings"
	"time"

	"github.com/expr-lang/expr/vm"
	"github.com/gavelhq/gavel/engine"
)

// definitions are what the rules files define for expressions.
type definitions struct {
	lists   map[string][]string
	tables  map[string]table
	windows map[string]window
	loc     *time.Location // nil is UTC
}

// columnKind is the type of a column of a table.
type columnKind int

const (
	columnText columnKind = iota
	columnWhole
	columnDecimal // exact decimals, kept as text
	columnDuration
	columnBool
)

// table is one entry of tables:. A cell is a string, int, time.Duration or
// bool, as its column says; a cell that is missing or nil is unknown.
type table struct {
	columns map[string]columnKind
	rows    map[string]map[string]any
}

// stepName is a step an expression may ask for. known: it comes before the
// expression, so that its result can be used; otherwise naming it is an error.
type stepName struct {
	id      string
	known   bool
	billing bool // it has before and month
}

// scope says where an expression stands, and so what it sees.
type scope struct {
	events  []string // event types; the expression must fit each
	wire    bool     // when: is platform:wire-name. It sees what the mapped types see
	steps   []stepName
	failure bool // failure.* is there: on_failure
	// answered: response is there: what the step at hand was answered.
	answered bool
	// hold: if: of a hold, evaluated later in the session. It sees session,
	// room, source, lists, tables, windows.
	hold bool
	// trigger is what trigger.* shows: the event that began to expect. nil:
	// there is none. With it, expect.late_by is known.
	trigger *scope
	// gathered: events and events_dropped are there, of the types in events.
	gathered bool
	// only: the groups of facts that are there; nil: all that the events have.
	// A digest has those of its keys.
	only []string
	// schedule: the rule fires by the clock: event, sessions, no other facts.
	schedule bool
	fields   bool // fields: of a source: the facts as decoded, before the session is known
	// known are facts that conditions before this expression made certain.
	known []string
	// senders are the sources whose events come here; nil: any.
	senders []*source
	// beginning: it is asked as soon as the event is there: if: of a rule.
	beginning bool
	// fact is what the expression supplies, under fields:.
	fact string
}

// knowing is sc behind conditions that were true.
func (sc scope) knowing(ifs []condition) scope {
	sc.known = slices.Clone(sc.known)
	for _, c := range ifs {
		sc.known = append(sc.known, c.program.assures...)
	}
	slices.Sort(sc.known)
	sc.known = slices.Compact(sc.known)
	return sc
}

// input is what an expression is evaluated against.
type input struct {
	engine.MatchInput
	steps   []engine.StepRecord
	failure *engine.Failure
	answer  *engine.StepRecord
}

// frame is what the expressions of one input share: the facts read so far,
// each boxed once, and the virtual machine. Not safe for concurrent use.
type frame struct {
	in      input
	env     map[string]any // facts by dotted path, see [load]
	people  []any          // see participants
	kept    map[reading]any
	filled  int // bytes that the parameters of a step were filled in with
	machine vm.VM
	budget  budget
}

// reading is a field of a record.
type reading struct {
	record any // a pointer
	field  string
}

// read is a field of a record.
func (f *frame) read(x field, record any) (any, error) {
	if !x.kept {
		return x.get(record), nil
	}
	at := reading{record, x.name}
	v, ok := f.kept[at]
	if !ok {
		if err := f.budget.spend(decodeSteps); err != nil {
			return nil, err
		}
		if f.kept == nil {
			f.kept = map[reading]any{}
		}
		v = x.get(record)
		f.kept[at] = v
	}
	if err, failed := v.(*evalError); failed {
		return nil, err
	}
	return v, nil
}

// fill counts what goes into the parameters of a step, before it is copied.
func (f *frame) fill(v any) error {
	if f.filled += sizeOf(v, maxRendered); f.filled > maxRendered {
		return errRendered
	}
	return nil
}

// frameName is the frame itself among the facts, for the functions that need
// it. No expression can name it: names with $ are refused.
const frameName = "$frame"

// newFrame makes the environment of in. It costs little: a fact is looked up
// when the first program asks for it.
func newFrame(in input) *frame {
	f := &frame{in: in, env: make(map[string]any, 8)}
	f.machine.MemoryBudget = uint(f.maxElements())
	f.env[frameName] = f
	return f
}

// facts is how many people, events and sessions an expression can look at.
func (f *frame) facts() int {
	return len(f.in.Participants) + len(f.in.Events) + len(f.in.Sessions)
}

func (f *frame) maxElements() int { return maxElements + elementsPerFact*f.facts() }

// record is a group of named values: session, a participant, a row.
type record struct {
	name   string
	fields []field
	// lacks are fields people will look for here, and what to tell them.
	lacks map[string]issue
}

// field is one of them. get takes what the record is at run time.
type field struct {
	name string
	typ  typ
	get  func(any) any
	// result: it comes from what a step did, and a shadow did nothing.
	result bool
	// kept: it takes long to read, so the frame keeps it.
	kept bool
}

// keep is f as one that is kept once read.
func (f field) keep() field {
	f.kept = true
	return f
}

func (r *record) field(name string) (field, bool) {
	i := slices.IndexFunc(r.fields, func(f field) bool { return f.name == name })
	if i < 0 {
		return field{}, false
	}
	return r.fields[i], true
}

// example is a field that can be compared, for hints.
func (r *record) example() string {
	f := r.fields[0]
	if f.typ.rec != nil {
		return f.name + "." + f.typ.rec.example()
	}
	return f.name
}

// label is the field that people know such a record by, for hints.
func (r *record) label() string {
	if _, ok := r.field("name"); ok {
		return "name"
	}
	return r.example()
}

func (r *record) names() []string {
	names := make([]string, len(r.fields))
	for i, f := range r.fields {
		names[i] = f.name
	}
	return names
}

// fact makes a field of a record that is a *T at run time.
func fact[T any](name string, t typ, get func(*T) any) field {
	return field{name: name, typ: t, get: func(v any) any {
		p, ok := v.(*T)
		if !ok || p == nil {
			return nil
		}
		return get(p)
	}}
}

// The types of facts. Text is never unknown: it is empty then.
func textType() typ         { return typ{kind: kindText} }
func boolType() typ         { return typ{kind: kindBool} }
func wholeType() typ        { return typ{kind: kindWhole} }
func timeType() typ         { return typ{kind: kindTime} }
func durationType() typ     { return typ{kind: kindDuration} }
func listType(elem typ) typ { return typ{kind: kindList, elem: &elem} }
func untypedMap() typ       { return typ{kind: kindMap, json: true} }
func unknownType() typ      { return typ{kind: kindUnknown, null: true, json: true} }
func oneOf(w ...string) typ { return typ{kind: kindText, enum: w} }

// maybe is t that can be unknown.
func (t typ) maybe() typ {
	t.null = true
	return t
}

// whole boxes a number that may be unknown; span and moment do the same.
func whole[T int | int64](n *T) any {
	if n == nil {
		return nil
	}
	return int(*n)
}

func length(d *time.Duration) any {
	if d == nil {
		return nil
	}
	return *d
}

func moment(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t
}

func eventRecord() *record {
	type E = engine.Event
	return &record{name: "event", fields: []field{
		fact("id", textType(), func(e *E) any { return e.ID }),
		fact("type", oneOf(append(engine.EventTypes(), engine.Emitted, engine.Scheduled)...), func(e *E) any { return e.Type }),
		fact("name", textType(), func(e *E) any { return e.Name }),
		fact("source", textType(), func(e *E) any { return e.Source }),
		fact("platform", textType(), func(e *E) any { return e.Platform }),
		fact("tenant", textType(), func(e *E) any { return e.Tenant }),
		fact("time", timeType(), func(e *E) any { return moment(e.Time) }),
		fact("received", timeType(), func(e *E) any { return moment(e.Received) }),
		fact("derived", listType(textType()), func(e *E) any { return e.Derived }),
		fact("test", boolType(), func(e *E) any { return e.Test }),
	}}
}

func roomRecord() *record {
	type R = engine.Room
	return &record{name: "room", fields: []field{
		fact("id", textType(), func(r *R) any { return r.ID }),
		fact("name", textType(), func(r *R) any { return r.Name }),
		fact("metadata", untypedMap(), func(r *R) any { return visible(r.Metadata) }),
	}}
}

// sessionRecord is the session at hand, the only one whose participants are known.
func sessionRecord(participant *record) *record {
	all := listType(typ{kind: kindRecord, rec: participant})
	// Read from the input: see checker.recordMember.
	people := fact(participantsName, all, func(*engine.Session) any { return nil })
	fields := sessionFields(participant)
	behind := slices.IndexFunc(fields, func(f field) bool { return f.name == "attended" })
	return &record{name: "session", fields: slices.Insert(fields, behind, people)}
}

func sessionFields(participant *record) []field {
	type S = engine.Session
	person := typ{kind: kindRecord, rec: participant}
	return []field{
		fact("id", textType(), func(s *S) any { return s.ID }),
		fact("status", oneOf(engine.Active, engine.Ended), func(s *S) any { return s.Status }),
		fact("started", timeType().maybe(), func(s *S) any { return moment(s.Started) }),
		fact("ended", timeType().maybe(), func(s *S) any { return moment(s.Ended) }),
		fact("duration", durationType().maybe(), func(s *S) any { return length(s.Duration) }),
		fact("end_reason", textType(), func(s *S) any { return s.EndReason }),
		fact("estimated", boolType(), func(s *S) any { return s.Estimated }),
		fact("present", wholeType().maybe(), func(s *S) any { return whole(s.Present) }),
		fact("peak", wholeType().maybe(), func(s *S) any { return whole(s.Peak) }),
		fact("attended", durationType(), func(s *S) any { return s.Attended }),
		fact("host", person.maybe(), func(s *S) any {
			if s.Host == nil {
				return nil
			}
			return s.Host
		}),
		fact("recording", boolType(), func(s *S) any { return s.Recording }),
		fact("metadata", untypedMap(), func(s *S) any { return visible(s.Metadata) }),
	}
}

// participantsName is the one field of session that is not in the session.
const participantsName = "participants"

// participants are everyone seen, as the elements of a list. They are boxed
// once, however often an expression asks.
func (f *frame) participants() any {
	if f.people == nil {
		f.people = make([]any, len(f.in.Participants))
		for i := range f.in.Participants {
			f.people[i] = &f.in.Participants[i]
		}
	}
	return f.people
}

func participantRecord() *record {
	type P = engine.Participant
	return &record{name: "participant", fields: []field{
		fact("id", textType(), func(p *P) any { return p.ID }),
		fact("connection_id", textType(), func(p *P) any { return p.ConnectionID }),
		fact("name", textType(), func(p *P) any { return p.Name }),
		fact("email", textType(), func(p *P) any { return p.Email }),
		fact("role", oneOf(engine.RoleHost, engine.RoleParticipant, engine.RoleViewer), func(p *P) any { return p.Role }),
		fact("kind", oneOf(engine.KindPerson, engine.KindBot, engine.KindRecorder, engine.KindSIP), func(p *P) any { return p.Kind }),
		fact("metadata", untypedMap(), func(p *P) any { return visible(p.Metadata) }),
		fact("joined", timeType().maybe(), func(p *P) any { return moment(p.Joined) }),
		fact("left", timeType().maybe(), func(p *P) any { return moment(p.Left) }),
		fact("duration", durationType().maybe(), func(p *P) any { return length(p.Duration) }),
		fact("total", durationType(), func(p *P) any { return p.Total }),
		fact("present", boolType(), func(p *P) any { return p.Present }),
		fact("leave_reason", textType(), func(p *P) any { return p.LeaveReason }),
	}}
}

func recordingRecord() *record {
	type R = engine.Recording
	return &record{name: "recording", fields: []field{
		fact("id", textType(), func(r *R) any { return r.ID }),
		fact("name", textType(), func(r *R) any { return r.Name }),
		fact("status", textType(), func(r *R) any { return r.Status }),
		fact("url", textType(), func(r *R) any { return r.URL }),
		fact("size", wholeType().maybe(), func(r *R) any { return whole(r.Size) }),
		fact("duration", durationType().maybe(), func(r *R) any { return length(r.Duration) }),
		fact("started", timeType().maybe(), func(r *R) any { return moment(r.Started) }),
		fact("ended", timeType().maybe(), func(r *R) any { return moment(r.Ended) }),
		fact("error", textType(), func(r *R) any { return r.Error }),
	}}
}

func trackRecord() *record {
	type T = engine.Track
	return &record{name: "track", fields: []field{
		fact("id", textType(), func(t *T) any { return t.ID }),
		fact("kind", textType(), func(t *T) any { return t.Kind }),
		fact("source", textType(), func(t *T) any { return t.Source }),
	}}
}

func streamRecord() *record {
	type S = engine.Stream
	return &record{name: "stream", fields: []field{
		fact("id", textType(), func(s *S) any { return s.ID }),
		fact("status", textType(), func(s *S) any { return s.Status }),
		fact("url", textType(), func(s *S) any { return s.URL }),
	}}
}

func artifactRecord() *record {
	type A = engine.Artifact
	return &record{name: "artifact", fields: []field{
		fact("id", textType(), func(a *A) any { return a.ID }),
		fact("type", textType(), func(a *A) any { return a.Type }),
		fact("url", textType(), func(a *A) any { return a.URL }),
		fact("size", wholeType().maybe(), func(a *A) any { return whole(a.Size) }),
		fact("tokens", wholeType().maybe(), func(a *A) any { return whole(a.Tokens) }),
		fact("duration", durationType().maybe(), func(a *A) any { return length(a.Duration) }),
		fact("characters", wholeType().maybe(), func(a *A) any { return whole(a.Characters) }),
		fact("cost", textType(), func(a *A) any { return a.Cost }),
		fact("reference", textType(), func(a *A) any { return a.Reference }),
	}}
}

func sourceRecord() *record {
	type S = engine.Source
	return &record{name: "source", fields: []field{
		fact("name", textType(), func(s *S) any { return s.Name }),
		fact("tenant", textType(), func(s *S) any { return s.Tenant }),
		fact("sessions", wholeType(), func(s *S) any { return s.Sessions }),
		fact("present", wholeType(), func(s *S) any { return s.Present }),
		fact("last_event", timeType().maybe(), func(s *S) any { return moment(s.LastEvent) }),
	}}
}

// group is a record of facts that events have.
type group struct {
	rec *record
	get func(ev *engine.Event) any // a pointer into the event
	in  func(eventType string) presence
	// absent reports whether an event that perhaps has the group has it not.
	absent func(ev *engine.Event) bool
}

// presence says which events have a group.
type presence int

const (
	never presence = iota
	perhaps
	always
)

// common is the presence of the group in events of any of the types, and the
// types that never have it.
func (g group) common(types []string) (p presence, missing []string) {
	p = always
	for _, e := range types {
		switch g.in(e) {
		case never:
			missing = append(missing, e)
		case perhaps:
			p = perhaps
		}
	}
	return p, missing
}

func everywhere(string) presence { return always }

// about makes the presence of a group that events with these prefixes have.
func about(prefixes ...string) func(string) presence {
	return func(eventType string) presence {
		for _, p := range prefixes {
			if strings.HasPrefix(eventType, p) {
				return always
			}
		}
		return never
	}
}

// aboutRoom: events of a platform as a whole need not be about a room, and
// those that steps emit keep the one of their run, if any.
func aboutRoom(eventType string) presence {
	switch eventType {
	case engine.Other, engine.InfrastructureEvent, engine.WebhookTest, engine.Emitted:
		return perhaps
	case engine.Scheduled:
		return never
	}
	return always
}

// aboutSomebody: a message has an author where the platform says so.
func aboutSomebody(eventType string) presence {
	switch eventType {
	case engine.ChatMessage, engine.SignalSent:
		return perhaps
	}
	return about("participant_", "track_")(eventType)
}

// groups are the groups of facts of events, by name.
func groups() map[string]group {
	type E = *engine.Event
	participant := participantRecord()
	return map[string]group{
		"event": {rec: eventRecord(), in: everywhere, get: func(ev E) any { return ev }},
		// What an event knows of its source; for the one at hand see checker.group.
		"source": {rec: sourceRecord(), in: everywhere, get: func(ev E) any { return &engine.Source{Name: ev.Source, Tenant: ev.Tenant} }},
		"room": {rec: roomRecord(), in: aboutRoom, get: func(ev E) any { return &ev.Room },
			absent: func(ev E) bool { return ev.Room.ID == "" && ev.Room.Name == "" }},
		"session": {rec: sessionRecord(participant), in: aboutRoom, get: func(ev E) any { return &ev.Session },
			absent: func(ev E) bool { return ev.Session.ID == "" && ev.Session.Status == "" }},
		"participant": {rec: participant, in: aboutSomebody, get: func(ev E) any { return &ev.Participant },
			absent: func(ev E) bool {
				p := ev.Participant
				return p.ID == "" && p.ConnectionID == "" && p.Name == ""
			}},
		"recording": {rec: recordingRecord(), in: about("recording_"), get: func(ev E) any { return &ev.Recording }},
		"track":     {rec: trackRecord(), in: about("track_"), get: func(ev E) any { return &ev.Track }},
		"stream":    {rec: streamRecord(), in: about("stream_", "ingress_"), get: func(ev E) any { return &ev.Stream }},
		"artifact":  {rec: artifactRecord(), in: about("artifact_"), get: func(ev E) any { return &ev.Artifact }},
	}
}
