package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/rules"
)

// given is an event that is not from the store.
type given struct {
	engine.Event
	facts json.RawMessage // as it was given: they hold, whatever is folded; nil of a raw body
}

// isCanonical reports whether text is an event in our own vocabulary, and no
// body of a platform: it has a type that we know.
func isCanonical(text []byte) bool {
	var ev struct {
		Type  string          `json:"type"`
		Event json.RawMessage `json:"event"`
	}
	if json.Unmarshal(text, &ev) != nil {
		return false
	}
	if ev.Type == "" && json.Unmarshal(ev.Event, &ev) != nil { // as gavel explain -o json has it
		return false
	}
	return slices.Contains(givenTypes(), ev.Type)
}

// givenTypes are the types an event in a file can have.
func givenTypes() []string { return append(engine.EventTypes(), engine.Emitted, engine.Scheduled) }

// canonical reads an event in our own vocabulary.
func (x *explainer) canonical(set *rules.Set, text []byte) (g given, err error) {
	var whole map[string]json.RawMessage
	if json.Unmarshal(text, &whole) != nil {
		return g, errors.New("it is no event")
	}
	if inner := bytes.TrimSpace(whole["event"]); len(inner) > 0 && inner[0] == '{' && whole["type"] == nil {
		text = inner // as gavel explain -o json has it
	} else if whole["type"] == nil {
		return g, errors.New("it has no type")
	}
	if g.facts, err = plainDurations(text); err != nil {
		return g, err
	}
	if err := decodeFacts(g.facts, &g.Event); err != nil {
		return g, err
	}
	types := givenTypes()
	if typ := g.Type; !slices.Contains(types, typ) {
		if near := nearest(typ, types); near != "" {
			return g, fmt.Errorf("there is no event type %q: did you mean %q?", typ, near)
		}
		return g, fmt.Errorf("there is no event type %q", typ)
	}
	if x.source != "" {
		i, err := pickSource(set.Sources(), x.source)
		if err != nil {
			return g, err
		}
		g.Source = set.Sources()[i].Name
	}
	x.complete(&g.Event, set.Sources())
	return g, nil
}

// complete fills in what an event has from its delivery.
func (x *explainer) complete(ev *engine.Event, sources []engine.SourceConfig) {
	if ev.Source == "" && len(sources) == 1 {
		ev.Source = sources[0].Name
	}
	i := slices.IndexFunc(sources, func(c engine.SourceConfig) bool { return c.Name == ev.Source })
	switch {
	case i >= 0:
		ev.Platform, ev.Tenant = or(ev.Platform, sources[i].Platform), or(ev.Tenant, sources[i].Tenant)
	case ev.Source == "":
		x.say("the event names no source: rules with from: are not asked; name it with source: NAME in the file, or --source NAME")
	default:
		x.say("the rules have no source %q", ev.Source)
	}
	ev.Name, ev.Tenant = or(ev.Name, ev.Type), or(ev.Tenant, "default")
	if ev.Received.IsZero() {
		ev.Received = ev.Time
	}
	if ev.Received.IsZero() {
		ev.Received = x.now().UTC()
	}
}

// decodeFacts reads an event with durations in nanoseconds over another one.
func decodeFacts(text []byte, ev *engine.Event) error {
	row := engine.EventRow{Event: *ev}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	d.DisallowUnknownFields()
	if err := d.Decode(&row); err != nil {
		return wordedJSON(err)
	}
	*ev = row.Event
	ev.Raw = row.Payload
	for _, m := range []map[string]any{ev.Room.Metadata, ev.Session.Metadata, ev.Participant.Metadata} {
		for k, v := range m {
			m[k] = plainNumber(v)
		}
	}
	return nil
}

// wordedJSON says what is wrong with an event without the names of Go types.
func wordedJSON(err error) error {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return fmt.Errorf("%s cannot be a %s", or(wrong.Field, "an event"), wrong.Value)
	}
	return errors.New(strings.TrimPrefix(err.Error(), "json: "))
}

// plainNumber makes whole numbers ints, as stored events have them.
func plainNumber(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return int(n)
		}
		f, _ := v.Float64()
		return f
	case map[string]any:
		for k, x := range v {
			v[k] = plainNumber(x)
		}
	case []any:
		for i, x := range v {
			v[i] = plainNumber(x)
		}
	}
	return v
}

// plainDurations makes 72m, and {"seconds": 4320} as our own JSON has it,
// nanoseconds.
func plainDurations(text []byte) ([]byte, error) {
	var m map[string]any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&m); err != nil {
		return nil, wordedJSON(err)
	}
	for _, group := range []string{"session", "participant", "recording", "artifact"} {
		facts, ok := m[group].(map[string]any)
		if !ok {
			continue
		}
		if host, ok := facts["host"].(map[string]any); ok {
			if err := plainGroup("session.host", host); err != nil {
				return nil, err
			}
		}
		if err := plainGroup(group, facts); err != nil {
			return nil, err
		}
	}
	return json.Marshal(m)
}

func plainGroup(group string, facts map[string]any) error {
	for _, name := range []string{"duration", "attended", "total"} {
		v, given := facts[name]
		if !given || v == nil {
			continue
		}
		if o, ok := v.(map[string]any); ok {
			v = o["seconds"]
		}
		d, ok := length(v)
		if !ok {
			return fmt.Errorf("%s.%s is no duration: write 72m, or seconds", group, name)
		}
		facts[name] = int64(d)
	}
	return nil
}

// length is a duration as people write it, or a number of seconds.
func length(v any) (time.Duration, bool) {
	text := fmt.Sprint(v)
	if seconds, err := strconv.ParseFloat(text, 64); err == nil {
		return time.Duration(math.Round(seconds * float64(time.Second))), true
	}
	d, err := rules.ParseDuration(text)
	return d, err == nil
}
