package store

import (
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// What the engine keeps for a run goes with it, and so do pauses that are long
// over; what is still of use stays, and what actions keep.
func TestKeptGoesWithItsRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := keeping(t, t.TempDir(), month())
		one := json.RawMessage(`1`)
		pause := func(d time.Duration) json.RawMessage {
			text, _ := json.Marshal(map[string]time.Time{"until": time.Now().UTC().Add(d)})
			return text
		}
		made := func() *engine.Run {
			id := accepted(t, s, of(engine.ParticipantJoined, newID(), "p")).Events[0].Outcome.Runs[0].Run
			r, err := s.Run(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			return &r
		}
		old, open := made(), made()
		res := engine.Result{Kind: "slack", State: map[string]json.RawMessage{old.ID + ".then.0": one}, Own: map[string]map[string]json.RawMessage{
			engine.StateFolded: {old.ID + ".then.0": one, old.ID + ".then.1": one, open.ID + ".then.0": one},
			engine.StateLane:   {"slack team ops": pause(time.Hour), "slack team far": pause(100 * day)},
		}}
		old.State, old.Updated, old.Due = engine.RunFailed, time.Now(), time.Time{}
		if _, err := s.Record(t.Context(), old, res); err != nil {
			t.Fatal(err)
		}
		kept := func() int { return count(t, s.Reader, `SELECT count(*) FROM action_state`) }
		pass(20 * day)
		if n := kept(); n != 6 {
			t.Errorf("%d are kept at first, want 6", n)
		}
		finished(t, s, made().ID, engine.RunDone) // the newest run stays
		pass(15 * day)
		if n := kept(); n != 3 {
			t.Errorf("%d are kept, want those of the open run, of slack and of the pause", n)
		}
	})
}
