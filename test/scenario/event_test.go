package scenario

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// setters are the facts an event line may state. Text is set as it is written.
//
//	source=    the source; needed where the rules name several
//	session=   the platform's id of the meeting
//	room=      id and name of the room; room.name= another name
//	id=        of the participant; conn= of the connection, the same if left out
//	recording= id of the recording
//	wire=      the event's name on the wire
//	meta.K=    metadata of the participant; room.meta.K= and session.meta.K= likewise
//	started=, ended=  of the meeting, where the platform states them
//	received=  when it arrives; times= how often
var setters = map[string]func(ev *engine.Event, v string) error{
	"source":      text(func(ev *engine.Event) *string { return &ev.Source }),
	"wire":        text(func(ev *engine.Event) *string { return &ev.Name }),
	"session":     text(func(ev *engine.Event) *string { return &ev.Session.ID }),
	"reason":      text(func(ev *engine.Event) *string { return &ev.Session.EndReason }),
	"room.name":   text(func(ev *engine.Event) *string { return &ev.Room.Name }),
	"id":          text(func(ev *engine.Event) *string { return &ev.Participant.ID }),
	"conn":        text(func(ev *engine.Event) *string { return &ev.Participant.ConnectionID }),
	"name":        text(func(ev *engine.Event) *string { return &ev.Participant.Name }),
	"email":       text(func(ev *engine.Event) *string { return &ev.Participant.Email }),
	"role":        text(func(ev *engine.Event) *string { return &ev.Participant.Role }),
	"kind":        text(func(ev *engine.Event) *string { return &ev.Participant.Kind }),
	"leave":       text(func(ev *engine.Event) *string { return &ev.Participant.LeaveReason }),
	"recording":   text(func(ev *engine.Event) *string { return &ev.Recording.ID }),
	"status":      text(func(ev *engine.Event) *string { return &ev.Recording.Status }),
	"url":         text(func(ev *engine.Event) *string { return &ev.Recording.URL }),
	"artifact":    text(func(ev *engine.Event) *string { return &ev.Artifact.ID }),
	"artifact.is": text(func(ev *engine.Event) *string { return &ev.Artifact.Type }),
	"room": func(ev *engine.Event, v string) error {
		ev.Room.ID, ev.Room.Name = v, v
		return nil
	},
	"duration": func(ev *engine.Event, v string) error {
		d, err := time.ParseDuration(v)
		ev.Session.Duration = &d
		return err
	},
	"raw": func(ev *engine.Event, v string) error {
		ev.Raw = json.RawMessage(v)
		if !json.Valid(ev.Raw) {
			return errors.New("raw is no JSON")
		}
		return nil
	},
}

func text(field func(ev *engine.Event) *string) func(*engine.Event, string) error {
	return func(ev *engine.Event, v string) error {
		*field(ev) = v
		return nil
	}
}

// readEvent makes the event of x, of a type, with facts: as its platform would
// have decoded it. times is how often it is delivered.
func (s *story) readEvent(x *line, typ string, facts []string) (times int, err error) {
	if !slices.Contains(engine.EventTypes(), typ) {
		return 0, fmt.Errorf("there is no event type %q", typ)
	}
	ev := &x.event
	*ev = engine.Event{Type: typ, Time: x.at.UTC(), Raw: json.RawMessage("{}")}
	times = 1
	for _, f := range facts {
		k, v, _ := strings.Cut(f, "=")
		switch set, known := setters[k]; {
		case known:
			err = set(ev, v)
		case k == "received":
			x.at, _, err = s.moment(x.at, append(strings.Split(v, "T"), "…")) // or 2026-11-03T16:00:00
		case k == "started":
			ev.Session.Started, _, err = s.moment(x.at, []string{v, "…"})
		case k == "ended":
			ev.Session.Ended, _, err = s.moment(x.at, []string{v, "…"})
		case k == "times":
			times, err = strconv.Atoi(v)
		case strings.HasPrefix(k, "meta."):
			ev.Participant.Metadata = with(ev.Participant.Metadata, k[len("meta."):], v)
		case strings.HasPrefix(k, "room.meta."):
			ev.Room.Metadata = with(ev.Room.Metadata, k[len("room.meta."):], v)
		case strings.HasPrefix(k, "session.meta."):
			ev.Session.Metadata = with(ev.Session.Metadata, k[len("session.meta."):], v)
		default:
			err = fmt.Errorf("there is no fact %q", k)
		}
		if err != nil {
			return 0, err
		}
	}
	if ev.Participant.ConnectionID == "" {
		ev.Participant.ConnectionID = ev.Participant.ID
	}
	return times, nil
}

func with(m map[string]any, key, value string) map[string]any {
	if m == nil {
		m = map[string]any{}
	}
	m[key] = value
	return m
}

// cloned is ev as it happens later in another meeting of another room.
func cloned(ev engine.Event, n int, late time.Duration) engine.Event {
	if n == 0 {
		return ev
	}
	suffix := func(id *string) {
		if *id != "" {
			*id += fmt.Sprint("-", n)
		}
	}
	suffix(&ev.Session.ID)
	suffix(&ev.Room.ID)
	suffix(&ev.Recording.ID)
	ev.Time = ev.Time.Add(late)
	return ev
}

// decoded completes ev as its source and platform would.
func decoded(ev engine.Event, c engine.SourceConfig, kind engine.PlatformKind) engine.Event {
	ev.Source, ev.Platform, ev.Tenant = c.Name, c.Platform, c.Tenant
	ev.ByRoom = ev.Session.ID == "" && kind.ByRoom
	if ev.Name == "" {
		ev.Name = wireName(kind, ev.Type)
	}
	return ev
}

// wireName is a name under which the platform sends events of the type.
func wireName(kind engine.PlatformKind, typ string) string {
	var names []string
	for name, types := range kind.Events {
		if slices.Contains(types, typ) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return typ
	}
	return slices.Min(names)
}
