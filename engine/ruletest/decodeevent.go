package ruletest

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/rules"
)

// event reads one thing that happens, and makes of it what the endpoint would.
func (d *decoder) event(n rules.Node, e *Event) bool {
	c := d.c
	e.line = n.KeyLine()
	d.prev = c.lastEvent()
	e.At = d.prev
	before := e.At
	ok := d.record(n, reflect.ValueOf(e).Elem(), "keys of an event")
	c.last = e.At
	if !n.IsMapping() {
		return false
	}
	arrived := c.Start
	for i := range c.Events[1:] {
		if &c.Events[i+1] == e {
			arrived = c.Events[i].Received
		}
	}
	given := map[string]rules.Node{}
	for _, x := range n.Entries() {
		given[x.Key()] = x
	}
	_, said := given["received"]
	if !said && !d.later(given["at"], e.At, before) {
		return false
	}
	if !said {
		e.Received = e.At
		if e.Received.Before(arrived) { // it comes late
			e.Received = arrived
		}
	} else if e.Received.Before(arrived) {
		given["received"].Report(rules.Issue{Code: "bad-time", What: fmt.Sprintf("it arrives before the entry above it, at %s", c.clock(arrived)),
			Hint: "events stand in the order in which they arrive"})
		return false
	}
	form := d.form(n, given)
	switch ok = d.words(given) && ok; {
	case !ok || form == "":
		return false
	case form == "sample":
		return d.sample(n, e, given)
	case form == "payload":
		return d.payload(n, e, given)
	}
	return d.facts(n, e, given)
}

// later reports a time of day that goes back to before the entry above: it could
// be of the next day as well.
func (d *decoder) later(n rules.Node, at, before time.Time) bool {
	if !at.Before(before) {
		return true
	}
	if _, clock := clockTime(strings.TrimSpace(n.Value)); !clock {
		return true
	}
	n.Report(rules.Issue{Code: "bad-time", What: "this is before what stands above it, at " + d.c.clock(before),
		Why:  "a time of day is on the same day as that",
		Hint: "write the date, or how much later it is (+2h); of what arrives late say when: received: " + d.c.clock(before)})
	return false
}

// form is the key that says what happens. It reports keys that do not go with it.
func (d *decoder) form(n rules.Node, given map[string]rules.Node) string {
	var forms []string
	for _, name := range []string{"type", "sample", "payload"} {
		if _, is := given[name]; is {
			forms = append(forms, name)
		}
	}
	switch len(forms) {
	case 0:
		known := keys(reflect.TypeFor[Event]())
		for name := range given {
			if !slices.Contains(known, name) {
				return "" // it is reported, and may be the one that is missing
			}
		}
		n.Missing("the event does not say what happens", "type: session_started, or sample: PLATFORM/EVENT, or payload: { … }")
		return ""
	case 1:
	default:
		given[forms[1]].ReportKey(rules.Issue{Code: "given-twice", What: fmt.Sprintf("%s and %s are both given", forms[0], forms[1]), Hint: "an event is one of them: write two entries"})
		return ""
	}
	fits := []string{"at", "received", "source", forms[0]}
	if forms[0] == "sample" {
		fits = append(fits, "set")
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if slices.Contains(fits, name) || forms[0] == "type" && name != "set" {
			continue
		}
		i := rules.Issue{Code: "not-together", What: fmt.Sprintf("%s does not go with %s", name, forms[0]), Why: "the body says it all", Hint: "state facts with type:, or change the body"}
		if name == "set" {
			i.Why, i.Hint = "it changes a sample", "state the facts themselves"
		}
		given[name].ReportKey(i)
		return ""
	}
	return forms[0]
}

// source finds the source of an event that some platforms can send: the one that
// is named, that of the event before, or the only one.
func (d *decoder) source(n rules.Node, e *Event, given map[string]rules.Node, sends func(engine.SourceConfig) bool, what string) (found engine.SourceConfig, ok bool) {
	var all, can []string
	by := map[string]engine.SourceConfig{}
	for _, s := range d.env.Rules.Sources() {
		all = append(all, s.Name)
		by[s.Name] = s
		if sends(s) {
			can = append(can, s.Name)
		}
	}
	at, named := given["source"]
	switch {
	case named && !slices.Contains(all, e.Source):
		at.Unknown("unknown-source", fmt.Sprintf("there is no source %q", e.Source), e.Source, "sources", all)
	case named && !slices.Contains(can, e.Source):
		at.Report(rules.Issue{Code: "not-sent", What: fmt.Sprintf("the source %s sends no %s", e.Source, what), Why: "its platform is " + by[e.Source].Platform})
	case named:
		return by[e.Source], true
	case len(can) == 0:
		n.Report(rules.Issue{Code: "not-sent", What: "no source of the rules sends " + what})
	case len(can) == 1:
		return by[can[0]], true
	default:
		for _, x := range slices.Backward(d.c.Events) {
			if slices.Contains(can, x.Source) {
				return by[x.Source], true
			}
		}
		n.Report(rules.Issue{Code: "which-source", What: "several sources can send this", Hint: "say which: source: " + strings.Join(can, ", ")})
	}
	return found, false
}

// facts makes an event of what is stated.
func (d *decoder) facts(n rules.Node, e *Event, given map[string]rules.Node) bool {
	known := append(engine.EventTypes(), engine.Emitted)
	if !slices.Contains(known, e.Type) {
		given["type"].Unknown("unknown-event", fmt.Sprintf("there is no event %q", e.Type), e.Type, "events", known)
		return false
	}
	src, ok := d.source(n, e, given, func(s engine.SourceConfig) bool {
		return e.Type == engine.Emitted || len(wireNames(d.env.platform(s.Platform), e.Type)) > 0
	}, e.Type)
	if !ok || !d.wire(n, e, given, src) || !d.inSession(n, e, src) {
		return false
	}
	e.Source = src.Name
	ev := e.stated(src, d.env.platform(src.Platform))
	filled := ev
	e.fields = d.env.Rules.Fill(&filled)
	overlay(reflect.ValueOf(&filled).Elem(), reflect.ValueOf(ev)) // what is stated counts
	e.events = []engine.Event{filled}
	return true
}

// words reports facts that have none of their words.
func (d *decoder) words(given map[string]rules.Node) bool {
	known := map[string][]string{
		"role": {engine.RoleHost, engine.RoleParticipant, engine.RoleViewer},
		"kind": {engine.KindPerson, engine.KindBot, engine.KindRecorder, engine.KindSIP},
	}
	who, said := given["participant"]
	if !said {
		return true
	}
	ok := true
	for _, x := range who.Entries() {
		if words := known[x.Key()]; words != nil && !slices.Contains(words, x.Value) {
			x.Unknown("unknown-word", fmt.Sprintf("%q cannot be %q", x.Key(), x.Value), x.Value, "it can be", words)
			ok = false
		}
	}
	return ok
}

// wire checks the name of the event, or chooses one that its platform has.
func (d *decoder) wire(n rules.Node, e *Event, given map[string]rules.Node, src engine.SourceConfig) bool {
	if e.Type == engine.Emitted {
		if e.Name == "" {
			n.Missing("an emitted event needs its name", "name: what the emitting step calls it; rules ask for gavel:NAME")
			return false
		}
		return true
	}
	names := wireNames(d.env.platform(src.Platform), e.Type)
	if at, named := given["name"]; named && !slices.Contains(names, e.Name) {
		at.Unknown("unknown-event", fmt.Sprintf("%s sends no %s as %q", src.Platform, e.Type, e.Name), e.Name, "names", names)
		return false
	}
	if e.Name == "" {
		e.Name = names[0]
	}
	return true
}

// wireNames are the names under which a platform sends events of a type.
func wireNames(kind engine.PlatformKind, typ string) []string {
	var names []string
	for name, types := range kind.Events {
		if slices.Contains(types, typ) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// inSession reports an event of a session that does not name it.
func (d *decoder) inSession(n rules.Node, e *Event, src engine.SourceConfig) bool {
	switch {
	case !strings.HasPrefix(e.Type, "session_") && !strings.HasPrefix(e.Type, "participant_") && !strings.HasPrefix(e.Type, "track_"):
		return true
	case d.env.platform(src.Platform).ByRoom:
		if e.Room.ID == "" {
			n.Missing("the event does not name its room", "room: { id: ROOM }; "+src.Platform+" tells sessions by it")
			return false
		}
	case e.Session.ID == "":
		n.Missing("the event does not name its session", "session: { id: SESSION }, the same for all events of one")
		return false
	}
	return true
}

// stated is the event as its platform would have been decoded, if it sent just
// these facts.
func (e *Event) stated(src engine.SourceConfig, kind engine.PlatformKind) engine.Event {
	ev := engine.Event{
		ID: e.ID, Type: e.Type, Name: e.Name, Source: src.Name, Platform: src.Platform, Tenant: src.Tenant,
		Time: e.At.UTC(), Received: e.Received.UTC(), Test: e.Test || e.Type == engine.WebhookTest,
		Room: e.Room, Session: e.Session, Participant: e.Participant, Recording: e.Recording, Track: e.Track, Stream: e.Stream, Artifact: e.Artifact,
		Raw: json.RawMessage("{}"),
	}
	if ev.Tenant == "" {
		ev.Tenant = "default"
	}
	if e.Raw != nil {
		ev.Raw, _ = json.Marshal(e.Raw) // it came out of a file: it has no other values than JSON
	}
	if ev.Participant.ConnectionID == "" {
		ev.Participant.ConnectionID = ev.Participant.ID
	}
	switch {
	case e.Type == engine.Emitted:
		ev.Platform = engine.PlatformGavel
	case kind.ByRoom && ev.Session.ID == "" && ev.Room.ID != "":
		ev.ByRoom = true
		if len(wireNames(kind, engine.ParticipantJoined)) > 0 { // such a platform names its room where others name the session
			ev.Session.ID = ev.Room.ID
		}
	}
	return ev
}

// overlay puts the facts of src that are known into dst.
func overlay(dst, src reflect.Value) {
	for i := range src.NumField() {
		f := src.Field(i)
		switch {
		case f.IsZero():
		case f.Kind() == reflect.Struct && f.Type() != reflect.TypeFor[time.Time]():
			overlay(dst.Field(i), f)
		default:
			dst.Field(i).Set(f)
		}
	}
}

// sample makes events of a sample.
func (d *decoder) sample(n rules.Node, e *Event, given map[string]rules.Node) bool {
	platform, body, err := d.env.Sample(e.Sample)
	if err != nil {
		given["sample"].Report(rules.Issue{Code: "unknown-sample", What: err.Error(), Hint: "write PLATFORM/EVENT, such as livekit/room_finished"})
		return false
	}
	src, ok := d.source(n, e, given, func(s engine.SourceConfig) bool { return s.Platform == platform }, "samples of "+platform)
	if !ok {
		return false
	}
	if body, err = d.env.Change(platform, body, e.Set, e.At); err != nil {
		at, said := given["set"]
		if !said {
			at = given["sample"]
		}
		at.Report(rules.Issue{Code: "bad-set", What: err.Error()})
		return false
	}
	return d.decode(given["sample"], e, src, body)
}

// payload makes events of a body.
func (d *decoder) payload(n rules.Node, e *Event, given map[string]rules.Node) bool {
	src, ok := d.source(n, e, given, func(engine.SourceConfig) bool { return true }, "payloads")
	if !ok {
		return false
	}
	body, err := json.Marshal(e.Payload)
	if err != nil {
		given["payload"].Report(rules.Issue{Code: "bad-payload", What: "this cannot be written as JSON"})
		return false
	}
	return d.decode(given["payload"], e, src, body)
}

// decode lets the platform read a body.
func (d *decoder) decode(n rules.Node, e *Event, src engine.SourceConfig, body []byte) bool {
	e.Source = src.Name
	events, err := d.env.Decode(src.Name, body, e.Received.UTC())
	switch {
	case err != nil:
		n.Report(rules.Issue{Code: "bad-payload", What: fmt.Sprintf("%s cannot read this body: %s", src.Platform, err)})
		return false
	case len(events) == 0:
		n.Report(rules.Issue{Code: "bad-payload", What: src.Platform + " makes no event of this body"})
		return false
	}
	var problems []error
	for i := range events {
		problems = append(problems, d.env.Rules.Fill(&events[i]))
	}
	e.events, e.fields = events, errors.Join(problems...)
	return true
}
