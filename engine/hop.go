package engine

import (
	"context"
	"fmt"
	"strconv"
)

// MaxHops is how many events in a row may each have come of a step for the one
// before: what comes after them is stored, and no rule is asked.
const MaxHops = 8

// HopHeader tells, on a request that a step makes, how many events led to it. If
// it ends up at one of our own webhooks, its events go on counting. A stranger
// who sends it only shortens a chain of his own.
const HopHeader = "Gavel-Hop"

type hopKey struct{}

// withHop is the context of a step for ev.
func withHop(ctx context.Context, ev *Event) context.Context {
	return context.WithValue(ctx, hopKey{}, ev.Hop+1)
}

// Hop is the value of HopHeader for a request that an action makes with the
// context it was given; "" outside of actions.
func Hop(ctx context.Context) string {
	if n, ok := ctx.Value(hopKey{}).(int); ok {
		return strconv.Itoa(n)
	}
	return ""
}

// ParseHop is [Event.Hop] of what came with a HopHeader of this value.
func ParseHop(header string) int {
	if header == "" { // which is what platforms send
		return 0
	}
	n, err := strconv.ParseUint(header, 10, 16)
	if err != nil {
		return 0
	}
	return min(int(n), MaxHops+1)
}

// loops is what is wrong with an event that came of too many others, "" if
// nothing is.
func loops(ev *Event) string {
	if ev.Hop <= MaxHops {
		return ""
	}
	return fmt.Sprintf("it is event %d or later in a row that came of steps for one another, and rules are asked about %d: "+
		"a rule calls a webhook of this server, so end the loop with an if: or once: in it", MaxHops+1, MaxHops)
}
