package rules

import (
	"cmp"
	"reflect"
	"slices"

	"github.com/gavelhq/gavel/engine"
	"gopkg.in/yaml.v3"
)

// Connection is a connection of the rules and what uses it.
type Connection struct {
	Kind string // of the action
	// Name is "" and Conn nil for the steps of a kind that use no connection.
	Name string
	Conn any // a pointer to the action's Conn, its secrets resolved
	// Steps are those of all rules that are not disabled.
	Steps []engine.CheckInput
}

// Connections are all connections by kind and name, those that no step uses as
// well.
func (s *Set) Connections() []Connection {
	type id struct{ kind, name string }
	all := map[id]*Connection{}
	for kind, named := range s.conns {
		for name, conn := range named {
			all[id{kind, name}] = &Connection{Kind: kind, Name: name, Conn: conn}
		}
	}
	for _, r := range s.rules {
		if !r.Enabled {
			continue
		}
		for _, branch := range sortedKeys(r.branches) {
			for _, step := range r.branches[branch] {
				at := id{step.action.Name, step.via}
				if all[at] == nil {
					all[at] = &Connection{Kind: at.kind, Name: at.name}
				}
				in, _, _ := step.known() // what does not fit was reported at load
				all[at].Steps = append(all[at].Steps, in)
			}
		}
	}
	list := make([]Connection, 0, len(all))
	for _, c := range all {
		list = append(list, *c)
	}
	slices.SortFunc(list, func(a, b Connection) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
	return list
}

// known is the step as its action's Check and Probe see it. err says why the
// value of wrong does not fit its parameter.
func (s *step) known() (in engine.CheckInput, wrong given, err error) {
	in = engine.CheckInput{With: map[string]any{}, Dynamic: map[string]bool{}, Text: map[string]string{}, Conn: s.conn, When: s.events}
	for _, g := range s.params {
		if g.value.loose {
			in.Dynamic[g.name] = true
			if g.node.Kind == yaml.ScalarNode {
				in.Text[g.name] = g.node.Value
			}
			continue
		}
		p := find(s.action.params, g.name)
		typed := reflect.New(s.action.Params.Field(p.index).Type).Elem()
		if err := assign(typed, g.value.fixed); err != nil {
			return in, g, err
		}
		in.With[g.name] = typed.Interface()
	}
	return in, given{}, nil
}
