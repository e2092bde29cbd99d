package rules

import (
	"slices"

	"github.com/gavelhq/gavel/engine"
)

// rules are a list. The snippets are the list's: an editor then knows whether
// a dash is still missing.
func (m *schemaMaker) rules() *schema {
	return &schema{Type: types{"array"}, Items: m.def("rule", m.rule), DefaultSnippets: m.snippets()}
}

// rule is an entry of rules. What keys need or exclude each other is said one
// by one, so that an editor names the key.
func (m *schemaMaker) rule() *schema {
	s := m.object(ruleDocs())
	s.Description = "what is done when something happens"
	s.AllOf = []*schema{
		requires("hold", "if"),
		requires(engine.BranchOnLate, "expect"),
		requires("shadow_of", "mode"),
		{If: having("hold"), Then: without("expect")},
		{If: onSchedule(), Then: ofSchedule()},
	}
	return s
}

// onSchedule fits a rule that fires by the clock.
func onSchedule() *schema {
	s := having("when")
	s.Properties = map[string]*schema{"when": having("schedule")}
	s.Properties["when"].Type = types{"object"}
	return s
}

// ofSchedule is what such a rule must be: there is no session that words could
// be about.
func ofSchedule() *schema {
	s := &schema{Properties: map[string]*schema{"hold": nothing()}, AllOf: []*schema{
		{If: &schema{Not: having("expect")}, Then: without("from")},
	}}
	for _, word := range []string{"count", "expect", "cooldown", "digest"} {
		s.Properties[word] = having("per")
	}
	s.Properties["cooldown"].Type = types{"object"}
	return s
}

// when is a trigger, several, or a schedule.
func (m *schemaMaker) when() *schema {
	trigger := m.def("trigger", m.trigger)
	s := m.object(scheduleKeys()).also("array")
	s.MinItems, s.Items = 1, trigger
	return &schema{AnyOf: []*schema{trigger, s}}
}

// trigger names events: by type, as a platform calls them, or as a step does.
func (m *schemaMaker) trigger() *schema {
	types, wire := eventType(), &schema{Type: types{"string"}, Description: "an event as one platform calls it"}
	for _, p := range m.platforms {
		for _, name := range sortedKeys(p.Events) {
			wire.Enum = append(wire.Enum, p.Name+":"+name)
			wire.EnumDescriptions = append(wire.EnumDescriptions, "becomes "+enumerate(p.Events[name]))
		}
	}
	emitted := formed("^"+engine.PlatformGavel+`:[\s\S]`, "write gavel:NAME, as a step says it: - emit: NAME")
	emitted.Description = "an event that a step emits"
	all := []*schema{types, wire, emitted}
	if len(wire.Enum) == 0 {
		all = slices.Delete(all, 1, 2)
	}
	return &schema{AnyOf: all}
}

// eventType is the type of an event of any platform.
func eventType() *schema {
	return &schema{Type: types{"string"}, Enum: engine.EventTypes(), Description: "a type of events, the same for every platform"}
}

func eventTypesSchema(m *schemaMaker) *schema {
	one := m.def("eventType", eventType)
	return &schema{AnyOf: []*schema{one, {Type: types{"array"}, MinItems: 1, Items: one}}}
}

func countSchema(m *schemaMaker) *schema { return m.object(countKeys()) }

func expectSchema(m *schemaMaker) *schema { return m.object(expectDocs()) }

// cooldownSchema is { for: 15m, per: [room.id] }, or a single time.
func cooldownSchema(m *schemaMaker) *schema {
	s := periodSchema(m).also("object")
	o := m.object(cooldownKeys())
	s.Properties, s.Required, s.Additional = o.Properties, o.Required, o.Additional
	return s
}

func digestSchema(m *schemaMaker) *schema {
	s := m.object(digestKeys())
	s.OneOf = []*schema{having("every"), having("at")}
	return s
}

func retrySchema(m *schemaMaker) *schema { return m.object(retryKeys()) }

func lateSchema(m *schemaMaker) *schema {
	return &schema{AnyOf: []*schema{
		{Type: types{"string"}, Enum: []string{"skip"}, EnumDescriptions: []string{"leaves out what came due while the server was down"}},
		m.object(lateKeys()),
	}}
}

func modeSchema(*schemaMaker) *schema {
	return &schema{Type: types{"string"}, Enum: []string{"shadow"}}
}

func orderSchema(*schemaMaker) *schema {
	return &schema{Type: types{"string"}, Enum: []string{"parallel"}}
}
