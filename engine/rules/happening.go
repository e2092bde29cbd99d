package rules

import "github.com/gavelhq/gavel/engine"

// happening is an event as one value with all its facts: trigger, and the
// elements of events. An *engine.Event stands for the group event alone.
type happening engine.Event

// trigger is the event that began to expect.
func (f *frame) trigger() any { return (*happening)(f.in.Trigger) }

// events are what a count or digest gathered.
func (f *frame) events() any {
	list := make([]any, len(f.in.Events))
	for i, ev := range f.in.Events {
		list[i] = (*happening)(ev)
	}
	return list
}

// sessions are all active ones.
func (f *frame) sessions() any {
	list := make([]any, len(f.in.Sessions))
	for i := range f.in.Sessions {
		list[i] = &f.in.Sessions[i]
	}
	return list
}

// gatheredGroups are the groups of a happening in the order of the reference.
func gatheredGroups() []string {
	return []string{"event", "room", "session", "participant", "recording", "track", "stream", "artifact"}
}

// happeningRecord is what events of these types have in common.
func (c *compiler) happeningRecord(name string, types []string) *record {
	r := &record{name: name, lacks: map[string]issue{
		"raw":    {What: name + " has facts only, no raw"},
		"source": {What: name + " has no group source", Hint: "write .event.source for its name"},
	}}
	for _, group := range gatheredGroups() {
		g := c.groups[group]
		p, missing := g.common(types)
		if len(missing) > 0 {
			r.lacks[group] = issue{What: haveNot(missing, group)}
			continue
		}
		t := typ{kind: kindRecord, rec: g.rec, null: p == perhaps}
		if group == "session" {
			t.rec = c.otherSession
		}
		r.fields = append(r.fields, eventField(group, t, g.of))
	}
	return r
}

// elementRecord is an element of events.
func (c *compiler) elementRecord(types []string) *record {
	return c.happeningRecord("an element of events", types)
}

// triggerRecord is trigger: what happenings have, and more.
func (c *compiler) triggerRecord(types []string) *record {
	r := c.happeningRecord("trigger", types)
	source := &record{name: "trigger.source", lacks: map[string]issue{}}
	for _, f := range c.groups["source"].rec.fields {
		switch f.name {
		case "name", "tenant":
			source.fields = append(source.fields, f)
		default:
			source.lacks[f.name] = issue{What: f.name + " of a source is known now, not of then", Hint: "write source." + f.name}
		}
	}
	delete(r.lacks, "source")
	delete(r.lacks, "raw")
	r.fields = append(r.fields,
		eventField("source", typ{kind: kindRecord, rec: source}, c.groups["source"].get),
		eventField("raw", unknownType(), func(ev *engine.Event) any { return decodeJSON(ev.Raw) }).keep())
	return r
}

// eventField makes a field of a happening.
func eventField(name string, t typ, get func(*engine.Event) any) field {
	return field{name: name, typ: t, get: func(v any) any {
		h, ok := v.(*happening)
		if !ok || h == nil {
			return nil
		}
		return get((*engine.Event)(h))
	}}
}

// of is the group of ev, nil if there is none.
func (g group) of(ev *engine.Event) any {
	if p := g.in(ev.Type); p == never || p == perhaps && g.absent(ev) {
		return nil
	}
	return g.get(ev)
}

// otherSessionRecord is a session that is not the one at hand: who took part
// is not read for it.
func otherSessionRecord(participant *record) *record {
	return &record{name: "session", fields: sessionFields(participant), lacks: map[string]issue{
		participantsName: {What: "the participants of other sessions are not known here", Hint: "present says how many are there, attended how long all were there together"},
	}}
}

// openSessionRecord is an element of sessions.
func openSessionRecord(participant, room *record) *record {
	type S = engine.OpenSession
	r := otherSessionRecord(participant)
	r.name = "an element of sessions"
	for i, f := range r.fields {
		get := f.get
		r.fields[i].get = func(v any) any {
			s, ok := v.(*S)
			if !ok || s == nil {
				return nil
			}
			return get(&s.Session)
		}
	}
	r.fields = append(r.fields,
		fact("room", typ{kind: kindRecord, rec: room}, func(s *S) any { return &s.Room }),
		fact("source", textType(), func(s *S) any { return s.Source }))
	return r
}
