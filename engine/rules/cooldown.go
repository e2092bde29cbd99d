package rules

import (
	"time"

	"github.com/gavelhq/gavel/engine"
	"gopkg.in/yaml.v3"
)

// cooldown lets one event pass, and then none for some time.
type cooldown struct {
	length period
	per    key
}

// readCooldown reads { for: 15m, per: [room.id] }; a single value is the time.
func (w *wordReader) readCooldown(n node) {
	c := &cooldown{}
	got := map[string]node{}
	if n.Kind == yaml.ScalarNode && !n.isEmpty() {
		c.length = w.period(n)
	} else {
		if !n.isMap("cooldown: 15m, or cooldown: { for: 15m, per: [room.id] }") {
			return
		}
		got = n.fields("keys of cooldown", keyNames(cooldownKeys()))
		if e, given := n.needs(got, "for", "how long nothing passes: for: 15m"); given {
			c.length = w.period(e)
		}
	}
	c.per = w.per(n, got)
	w.rule.cooldown = c
	w.rule.says("cooldown %s%s", c.length, c.per.says())
}

// of is the cooldown for this event.
func (c *cooldown) of(r *rule, f *frame, loc *time.Location) (*engine.Cooldown, error) {
	m := &engine.Cooldown{}
	var err error
	if m.Key, err = c.per.text("cooldown", r, f, loc); err != nil {
		return nil, err
	}
	if m.For, err = c.length.of("cooldown: for", f); err != nil {
		return nil, err
	}
	return m, nil
}
