package engine

import (
	"testing"
	"testing/synctest"
	"time"
)

// Who stands in the lane while it is told to pause stays out as well.
func TestLanePausesThoseWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l lanes
		_, leave := l.enter(t.Context(), "channel", t0)
		wait, entered := time.Duration(0), true
		go func() {
			var second func()
			wait, second = l.enter(t.Context(), "channel", t0)
			entered = second != nil
		}()
		synctest.Wait() // it stands behind the first
		l.pause("channel", t0.Add(5*time.Second))
		leave()
		synctest.Wait()
		if entered || wait != 5*time.Second {
			t.Errorf("entered %v, told to stay away for %s", entered, wait)
		}
		if _, leave := l.enter(t.Context(), "channel", t0.Add(5*time.Second)); leave == nil {
			t.Error("still paused when the pause is over")
		}
	})
}
