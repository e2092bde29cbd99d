package engine

import "time"

// A clock that ran fast and is set back leaves times behind that are still to
// come. Who waits by one of them would wait for as long as the clock was ahead:
// for a year, if a machine began with a wrong one. What was noted at a later
// time than it is now is therefore taken to have been noted now.

// SetBack makes t wait from now on for as long as it was to wait when it was
// set, if that is still to come, and no longer for a start that is. It reports
// whether anything changed. next is the next moment of its schedule; nil if it
// has none.
func (t *Timer) SetBack(now time.Time, next func(time.Time) time.Time) bool {
	due := t.Due
	if ahead := t.Set.Sub(now); ahead > 0 {
		t.Set, t.Due = now, t.Due.Add(-ahead)
		if !t.At.IsZero() {
			t.At = t.At.Add(-ahead)
		}
		if next != nil {
			t.Due = next(now)
		}
	}
	switch {
	case t.State == TimerMissed:
		t.Due = earliest(t.Due, now.Add(lateWatch))
	case !t.At.IsZero(): // a start has put it off
		t.Due = earliest(t.Due, latest(t.At, now.Add(Grace)))
	}
	return !t.Due.Equal(due)
}

// SetBack makes a run that is to be tried again wait from now on for as long as
// it was to wait when its step failed, if that is still to come, and reports
// whether it was. What a wait step waits for is a moment, and stays that.
func (r *Run) SetBack(now time.Time) bool {
	ahead := r.Updated.Sub(now)
	if ahead <= 0 || r.State != RunRetrying {
		return false
	}
	r.Updated, r.Due = now, r.Due.Add(-ahead)
	if r.Since.After(now) {
		r.Since = now
	}
	return true
}

// SetBack takes what was received at a time that is still to come as received
// now: silence, and what follows the end of a session, are counted from there.
func (s *SessionState) SetBack(now time.Time) {
	for _, at := range []*time.Time{&s.Received, &s.MediaSeen, &s.EndSeen} {
		if at.After(now) {
			*at = now
		}
	}
}
