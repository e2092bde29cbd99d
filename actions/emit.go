package actions

import (
	"bytes"
	"context"
	"encoding/json"
	"regexp"
	"strings"

	"github.com/gavelhq/gavel/engine"
)

const (
	// maxHops is how many events may emit one another.
	maxHops = engine.MaxHops
	// maxEmitted is how many bytes of data an event may carry: rules that emit
	// what they were sent, twice, would double it with every hop.
	maxEmitted = 1 << 20
)

var (
	emitName    = regexp.MustCompile(`^[a-z0-9-]+$`)
	notEmitName = regexp.MustCompile(`[^a-z0-9]+`)
)

type emitParams struct {
	Name string `json:"name" doc:"what the event is called: lower-case letters, digits and dashes; rules catch it with when: gavel:NAME" gavel:"main,required"`
	Data any    `json:"data" doc:"what it carries, any value; rules see it as raw"`
}

// emitAction makes a new event out of a step. The store accepts it in the
// transaction that completes the step, into the run's session: it comes once,
// also after a crash.
func emitAction() engine.ActionKind {
	return engine.NewAction(engine.ActionKind{
		Name:   "emit",
		Inside: true,
		Doc:    "makes a new event, for other rules to catch",
		Check:  checkEmit,
		Target: func(with json.RawMessage, _ any) string {
			var p emitParams
			_ = json.Unmarshal(with, &p) // what it cannot be read of has no name
			return p.Name
		},
	}, func(_ context.Context, c engine.Call, _ *struct{}, p emitParams) (engine.Result, error) {
		ev, err := emitted(c, p.Name)
		if err != nil {
			return engine.Result{}, err
		}
		return engine.Result{Note: "emitted " + p.Name, Emit: []engine.Event{ev}}, nil
	})
}

func emitted(c engine.Call, name string) (engine.Event, error) {
	from := c.Event
	switch {
	case from == nil:
		return engine.Event{}, permanent("emit: there is no event to go on from")
	case !emitName.MatchString(name):
		return engine.Event{}, permanent("emit: %s", badEmitName(name))
	case from.Hop >= maxHops:
		return engine.Event{}, permanent("emit: %s would be event %d in a row that was emitted because of another one, at most %d are: "+
			"rules that wake each other go round in a loop, so end it with an if: or once: in one of them", name, from.Hop+1, maxHops)
	}
	// Read from the parameters once more, so that numbers keep their digits.
	var with struct {
		Data json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(c.With, &with); err != nil {
		return engine.Event{}, permanent("emit: data is no JSON")
	}
	data := bytes.TrimSpace(with.Data)
	if len(data) == 0 {
		data = []byte("{}")
	}
	if len(data) > maxEmitted {
		return engine.Event{}, permanent("emit: the data of %s has %d KiB, at most %d are possible: emit what the other rule needs", name, len(data)>>10, maxEmitted>>10)
	}
	ev := engine.Event{
		Type: engine.Emitted, Name: name, Platform: engine.PlatformGavel, Source: from.Source, Tenant: from.Tenant,
		Time: c.Now, Received: c.Now, Test: from.Test, Hop: from.Hop + 1, Raw: data, Room: from.Room, Session: from.Session,
	}
	if c.Session != "" {
		// The session knows its facts better than the event of some time ago:
		// only what names it is needed.
		ev.Room, ev.Session = engine.Room{ID: from.Room.ID}, engine.Session{ID: from.Session.ID}
	}
	return ev, nil
}

func badEmitName(name string) string {
	if name == "" {
		return "the name is empty"
	}
	return `the name "` + visible(name) + `" has other characters than a-z, 0-9 and -`
}

func checkEmit(in engine.CheckInput) []engine.Complaint {
	name, static := in.With["name"].(string)
	if !static || emitName.MatchString(name) {
		return nil
	}
	hint := "rules catch it by its name, when: gavel:NAME"
	if near := nearEmitName(name); near != "" {
		hint = "name it " + near + ": rules catch it with when: gavel:" + near
	}
	return []engine.Complaint{{Param: "name", What: badEmitName(name), Hint: hint}}
}

// nearEmitName is a possible name that looks like name; "" if there is none.
func nearEmitName(name string) string {
	return strings.Trim(notEmitName.ReplaceAllString(strings.ToLower(name), "-"), "-")
}
