package engine

import "time"

// Switch goes on with the open timers and the counters of rules that did not
// change, cancels the others, and sets the timers of schedules. Timers that were
// set by a clock that was fast go by the one there is now. first: the
// server has just started, and what is overdue may still be met by what the
// platforms have yet to send. Its error is tx's.
func Switch(tx Tx, rules Planner, open []*Timer, first bool, now time.Time) (out Switched, err error) {
	cancelled := map[string]bool{}
	for _, t := range open {
		c := *t
		switch words := rules.Words(t.Rule); {
		case words != t.Words:
			c.end(TimerCancelled, "the rule was removed or changed", "", now)
			out.Cancelled++
			cancelled[t.Rule] = true
		case first && t.waits() && t.Due.Before(now.Add(Grace)):
			out.Kept++
			c.At, c.Due = t.time(), now.Add(Grace)
		case c.SetBack(now, next(rules, t)):
			out.Kept++
		default:
			out.Kept++
			continue
		}
		if err := tx.PutTimer(&c); err != nil {
			return out, err
		}
	}
	gatherers, err := tx.Gatherers()
	if err != nil {
		return out, err
	}
	for _, g := range gatherers {
		if rules.Words(g.Rule) == g.Words {
			continue
		}
		if err := tx.Forget(g); err != nil {
			return out, err
		}
	}
	for _, s := range rules.Schedules() {
		if tx.Timer(TimerSchedule, scheduleKey(s)) == nil {
			if err := setSchedule(tx, s, now); err != nil {
				return out, err
			}
		}
	}
	out.Rules = sorted(cancelled)
	return out, nil
}

// next is what the schedule of t goes by; nil if it has none.
func next(rules Planner, t *Timer) func(time.Time) time.Time {
	if t.Kind != TimerSchedule {
		return nil
	}
	for _, s := range rules.Schedules() {
		if s.Rule == t.Rule {
			return s.Next
		}
	}
	return nil
}
