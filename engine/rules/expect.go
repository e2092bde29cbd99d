package rules

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// expect waits for an event that is not to be missed.
type expect struct {
	types  []string
	ifs    []condition // see the awaited event
	within period
	// per is the key of the event that begins to wait, awaited that of the
	// event that is waited for.
	per, awaited key
	// stops are the types that end the waiting, with the key of such an event.
	// nil: it has not all that the key is made of, and stops what its session
	// waits for.
	stops map[string]key
}

func expectKeys() []string { return keyNames(expectDocs()) }

func (w *wordReader) readExpect(n node) {
	if !n.isMap("expect: { event: participant_joined, within: 5m }") {
		return
	}
	x := &expect{stops: map[string]key{}}
	w.rule.expect = x
	got := n.fields("keys of expect", expectKeys())
	if e, given := n.needs(got, "event", "what is to happen: event: participant_joined"); given {
		x.types = w.eventTypes(e)
		w.checkAwaited(e, x)
	}
	if e, given := n.needs(got, "within", "how long it is waited for: within: 5m"); given {
		x.within = w.period(e)
	}
	x.per = w.per(n, got)
	x.awaited = x.per
	known := w.scoped && len(x.types) > 0
	if e, given := got["if"]; given && known {
		x.ifs = w.conditions(e, w.rule.awaitedScope(w.scope))
	}
	if e, given := got["per"]; given && known {
		x.awaited = w.keyOf(e, x.types, true)
	}
	if e, given := got["stop_on"]; given {
		w.readStops(e, x, got)
	}
	w.checkMet(n)
	w.rule.says("expect %s within %s%s", strings.Join(x.types, ", "), x.within, x.per.says())
}

// awaitedScope is what expect.if and on_late see: the awaited event, and as
// trigger.* what the rule began with.
func (r *rule) awaitedScope(sc scope) scope {
	return scope{events: r.expect.types, trigger: &sc}
}

// eventTypes reads one or several types of events.
func (w *wordReader) eventTypes(n node) (types []string) {
	if n.isEmpty() || len(n.oneOrMore()) == 0 {
		n.emptyValue()
		return nil
	}
	for _, c := range n.oneOrMore() {
		c.key = n.key
		if text, ok := c.text(); ok && w.isEventType(c, text) && !slices.Contains(types, text) {
			types = append(types, text)
		}
	}
	return types
}

// isEventType reports a text that is not the type of an event.
func (l *loader) isEventType(n node, text string) bool {
	if slices.Contains(engine.EventTypes(), text) {
		return true
	}
	i := issue{Code: "unknown-event", What: fmt.Sprintf("there is no event type %q", text), Hint: l.eventOfPlatform(text)}
	platform, wire, named := strings.Cut(text, ":")
	switch types := l.platforms[platform].Events[wire]; {
	case i.Hint != "":
	case text == engine.Scheduled:
		i.Hint = `a rule that fires by the clock says when: { schedule: "0 8 * * mon-fri" }`
	case text == engine.Emitted:
		i.Hint = "name the event that a step emits: when: gavel:NAME"
	case platform == engine.PlatformGavel:
		i.What, i.Hint = "a type of events belongs here", "emitted events have none: only when: can name them"
	case named && len(types) > 0: // when: takes such names, and is asked before
		i.What, i.Hint = "a type of events belongs here", "write "+strings.Join(types, " or ")
	case text == "schedule" || text == "cron" || isCron(text):
		moment := "0 8 * * mon-fri"
		if isCron(text) {
			moment = text
		}
		i.Hint = fmt.Sprintf("a rule that fires by the clock says when: { schedule: %q }", moment)
	case eventMeant(text) != "":
		i.Hint = fmt.Sprintf("did you mean %q? %s", eventMeant(text), suggestion("", "types", engine.EventTypes()))
	default:
		i.Hint = suggestion(text, "types", engine.EventTypes())
	}
	n.add(i)
	return false
}

// keyOf compiles per again, for events of other types. Where they have not
// all that the key is made of it is nil, and a mistake if it is needed.
func (w *wordReader) keyOf(n node, types []string, needed bool) key {
	all := key{}
	for _, c := range n.children() {
		c.key = n.key
		if p, _ := w.compiler.compile(c.Value, w.scope, wantText); p == nil {
			continue // it is reported where it stands
		}
		p, issues := w.compiler.compile(c.Value, scope{events: types}, wantText)
		switch {
		case p != nil:
			all = append(all, newKeyPart(c.Value, p))
		case !needed:
			return nil
		default:
			w.blame(c, issues, "per is compared with that of the expected event")
		}
	}
	return all
}

func (w *wordReader) readStops(n node, x *expect, got map[string]node) {
	types := w.eventTypes(n)
	for _, c := range n.oneOrMore() {
		c.key = n.key
		switch {
		case !slices.Contains(types, c.Value):
		case slices.Contains(x.types, c.Value):
			c.add(issue{Code: "two-meanings", What: fmt.Sprintf("%s is what is expected, and stops the waiting", c.Value), Hint: `remove it here, or under "event"`})
		case !w.isSent(c.Value):
			c.add(issue{Code: "never-sent", Warning: true, What: fmt.Sprintf("no source of this rule can send %s, so it stops nothing", c.Value),
				Why: "its sources are " + w.sourcesFor(w.rule), Hint: "remove it"})
		}
	}
	for _, t := range types {
		x.stops[t] = x.per
		if e, given := got["per"]; given && w.scoped {
			x.stops[t] = w.keyOf(e, []string{t}, false)
		}
	}
}

// isSent reports whether a source of the rule can send events of a type.
func (w *wordReader) isSent(eventType string) bool {
	return len(w.sources) == 0 || len(w.senders(w.rule, trigger{eventType: eventType})) > 0
}

// checkAwaited reports an expected event that no source of the rule can send.
func (w *wordReader) checkAwaited(n node, x *expect) {
	for _, c := range n.oneOrMore() {
		if c.key = n.key; slices.Contains(x.types, c.Value) && !w.isSent(c.Value) {
			c.add(issue{Code: "never-sent", What: fmt.Sprintf("no source of this rule can send %s", c.Value), Why: "its sources are " + w.sourcesFor(w.rule),
				Hint: "expect another event, or add a source that sends it"})
		}
	}
}

// checkMet warns of sources that begin to wait for what they never send.
func (w *wordReader) checkMet(n node) {
	x := w.rule.expect
	emitted := slices.ContainsFunc(w.rule.when, func(t trigger) bool { return t.platform == engine.PlatformGavel })
	if emitted || !x.per.ofSource() || !slices.ContainsFunc(x.types, w.isSent) {
		return
	}
	var never []string
	for _, s := range w.loader.sources {
		sent := func(eventType string) bool { return sends(s.kind, eventType) }
		if w.rule.takes(s) && !slices.ContainsFunc(x.types, sent) {
			never = append(never, s.Name)
		}
	}
	if len(never) == 0 {
		return
	}
	n.addAtKey(issue{Code: "never-met", Warning: true, What: fmt.Sprintf("%s is never sent by %s %s", strings.Join(x.types, " or "), plural(len(never), "source"), enumerate(never)),
		Why: "there the rule fires every time", Hint: "limit the rule by from:"})
}

// concerned are the types of events that end an expectation.
func (x *expect) concerned() []string {
	if x == nil {
		return nil
	}
	return append(slices.Clone(x.types), sortedKeys(x.stops)...)
}

// of is the expectation that this event begins.
func (x *expect) of(r *rule, f *frame, loc *time.Location) (*engine.Expect, error) {
	m := &engine.Expect{Types: x.types, StopOn: sortedKeys(x.stops), OnLate: len(r.branches[engine.BranchOnLate]) > 0, InSession: x.per.inSession()}
	var err error
	if m.Key, err = x.per.text("expect", r, f, loc); err != nil {
		return nil, err
	}
	if m.Within, err = x.within.of("expect: within", f); err != nil {
		return nil, err
	}
	return m, nil
}

// Awaited lists the rules that expect an event of this type, or stop
// expecting at one.
func (s *Set) Awaited(in engine.MatchInput) []engine.Awaited {
	if in.Event == nil {
		return nil
	}
	waiting := s.awaiting[in.Event.Type]
	if len(waiting) == 0 {
		return nil
	}
	var all []engine.Awaited
	var f *frame
	for _, r := range waiting {
		if !r.from(in.Event.Source) {
			continue
		}
		if f == nil {
			f = newFrame(input{MatchInput: in})
		}
		if a, ok := r.expect.concerns(r, f, s.loc); ok {
			all = append(all, a)
		}
	}
	return all
}

// concerns says which expectation of r an awaited or stopping event is about.
// An event without a session is about none where the key is the session.
func (x *expect) concerns(r *rule, f *frame, loc *time.Location) (a engine.Awaited, ok bool) {
	a.Rule = r.ID
	defer func() {
		if p := recover(); p != nil {
			a.Err, ok = fmt.Sprintf("evaluation broke off: %v", p), true
		}
	}()
	per, stops := x.stops[f.in.Event.Type]
	if a.Stop = stops; !stops {
		per = x.awaited
	}
	if (per == nil || per.inSession()) && f.in.SessionKey == "" {
		return a, false
	}
	if per == nil {
		return a, true
	}
	key, err := per.text("expect", r, f, loc)
	if err != nil {
		a.Err = err.Error()
	}
	a.Key = key
	return a, true
}

// Meets reports whether in.Event is what the rule of t expects.
func (s *Set) Meets(t *engine.Timer, in engine.MatchInput) (yes bool, err error) {
	defer recovered(&err)
	r, err := s.find(t.Rule)
	if err != nil {
		return false, err
	}
	if r.expect == nil {
		return false, fmt.Errorf("rule %s expects nothing any more", r.ID)
	}
	yes, err = decide(r.expect.ifs, newFrame(input{MatchInput: in}))
	if err != nil {
		return false, fmt.Errorf("expect: %w", err)
	}
	return yes, nil
}
