package main

import (
	"fmt"
	"slices"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/rules"
	"github.com/gavelhq/gavel/engine/store"
	"github.com/gavelhq/gavel/triggers"
)

// decoders turn stored payloads into the events that a rule set would be given:
// decoded by its sources, with their fields filled in. Not safe for concurrent
// use.
type decoders struct {
	set     *rules.Set
	sources map[string]*triggers.Decoder
	// missing counts events of sources that the rules do not have (any more), by
	// source; broken those that cannot be decoded.
	missing map[string]int
	broken  int
}

func newDecoders(kinds []engine.PlatformKind, set *rules.Set) (*decoders, error) {
	d := &decoders{set: set, sources: map[string]*triggers.Decoder{}, missing: map[string]int{}}
	for _, c := range set.Sources() {
		kind, ok := triggers.Find(kinds, c.Platform)
		if !ok {
			return nil, fmt.Errorf("source %s: this version does not know the platform %s", c.Name, c.Platform)
		}
		dec, err := triggers.NewDecoder(kind, c)
		if err != nil {
			return nil, err
		}
		d.sources[c.Name] = dec
	}
	return d, nil
}

// event is a stored event as it would come from the endpoint today; not ok if
// these rules would not be given it.
func (d *decoders) event(s store.Sent) (ev engine.Event, ok bool) {
	dec := d.sources[s.Source]
	if dec == nil {
		d.missing[s.Source]++
		return ev, false
	}
	all, err := dec.Decode(s.Raw, s.Received)
	return d.fill(s, all, err)
}

// fill is event, behind decoding. What all has may be another set's as well.
func (d *decoders) fill(s store.Sent, all []engine.Event, err error) (ev engine.Event, ok bool) {
	if err != nil || s.Part >= len(all) {
		d.broken++
		return ev, false
	}
	ev = all[s.Part]
	ev.ID, ev.Derived = s.ID, slices.Clip(ev.Derived)
	_ = d.set.Fill(&ev) // a field that fails leaves its fact, as it does when the event comes
	return ev, true
}
