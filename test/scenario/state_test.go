package scenario

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// check compares a state line with what is so now; the answer is the line as
// it should read, "" if that is how it reads.
func (w *world) check(s *story, x stateLine) (string, error) {
	var got string
	var err error
	args := x.words[1:]
	switch x.words[0] {
	case "session":
		got, err = w.sessionState(args[0], args[1:])
	case "participant":
		got, err = w.participantState(args[0], args[1], args[2:])
	case "timers":
		got, err = w.timerState(s, args[0])
	case "reload":
		if len(w.switched) == 0 {
			return "", errors.New("there was no reload")
		}
		out := w.switched[len(w.switched)-1]
		got = fmt.Sprintf("reload kept=%d cancelled=%d", out.Kept, out.Cancelled)
	case "entries":
		got, err = w.entries()
	default:
		err = fmt.Errorf("there is no state %q", x.words[0])
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", x.text, err)
	}
	at := strings.TrimSuffix(x.text, strings.Join(x.words, " "))
	if want := strings.Join(x.words, " "); got != want {
		return at + got, nil
	}
	return "", nil
}

// facts are values by name, as text; only those of names are wanted.
func facts(have map[string]string, wanted []string) (string, error) {
	var b strings.Builder
	for _, f := range wanted {
		k, _, _ := strings.Cut(f, "=")
		v, known := have[k]
		if !known {
			return "", fmt.Errorf("there is no fact %q", k)
		}
		b.WriteString(" " + k + "=" + v)
	}
	return b.String(), nil
}

func (w *world) sessionState(id string, wanted []string) (string, error) {
	row, err := w.session(id)
	if err != nil {
		return "", err
	}
	v := row.Session
	have := map[string]string{
		"status": v.Status, "reason": v.EndReason, "attended": v.Attended.String(),
		"started": w.clock(v.Started), "ended": w.clock(v.Ended), "host": "none",
		"recording": fmt.Sprint(v.Recording), "estimated": fmt.Sprint(v.Estimated),
		"present": "unknown", "peak": "unknown", "duration": "unknown",
	}
	if v.Present != nil {
		have["present"], have["peak"] = fmt.Sprint(*v.Present), fmt.Sprint(*v.Peak)
	}
	if v.Duration != nil {
		have["duration"] = v.Duration.String()
	}
	if v.Host != nil {
		have["host"] = v.Host.ID
	}
	text, err := facts(have, wanted)
	return "session " + id + text, err
}

func (w *world) participantState(session, id string, wanted []string) (string, error) {
	row, err := w.session(session)
	if err != nil {
		return "", err
	}
	i := slices.IndexFunc(row.Participants, func(p engine.Participant) bool { return p.ID == id })
	if i < 0 {
		return fmt.Sprintf("participant %s %s is not there", session, id), nil
	}
	p := row.Participants[i]
	text, err := facts(map[string]string{
		"present": fmt.Sprint(p.Present), "total": p.Total.String(), "joined": w.clock(p.Joined), "left": w.clock(p.Left),
		"role": p.Role, "kind": p.Kind,
	}, wanted)
	return fmt.Sprintf("participant %s %s%s", session, id, text), err
}

// timerState is the timers of a rule, oldest first, or "none".
func (w *world) timerState(s *story, rule string) (string, error) {
	timers, err := w.timers()
	if err != nil {
		return "", err
	}
	var parts []string
	for _, t := range timers {
		if t.Rule != rule {
			continue
		}
		part := t.Kind + " " + t.State
		switch {
		case t.State == engine.TimerPending:
			part += " until " + clock(t.Due.In(s.zone))
		case t.Reason != "":
			part += " (" + t.Reason + ")"
		}
		parts = append(parts, part)
	}
	if len(parts) == 0 {
		parts = []string{"none"}
	}
	return "timers " + rule + " " + strings.Join(parts, ", "), nil
}

// session is a session by the platform's id of it.
func (w *world) session(id string) (engine.SessionRow, error) {
	return w.store.Session(context.Background(), id)
}

// entries are the lines of the ledger.
func (w *world) entries() (string, error) {
	var parts []string
	err := w.store.Entries(context.Background(), all(), time.Time{}, time.Time{}, func(e engine.Entry) error {
		parts = append(parts, fmt.Sprintf("%s/%s/%s", e.Customer, e.Meter, e.Quantity))
		return nil
	})
	slices.Sort(parts)
	return "entries " + strings.Join(parts, " "), err
}

func (w *world) clock(at time.Time) string {
	if at.IsZero() {
		return "unknown"
	}
	return at.UTC().Format(time.TimeOnly)
}

// timers are all timers, oldest first.
func (w *world) timers() ([]engine.Timer, error) {
	all, err := w.store.Timers(context.Background(), all())
	slices.Reverse(all)
	return all, err
}

// waiting reports whether anything is left that happens by itself, apart from
// the next moments of schedules.
func (w *world) waiting() (bool, error) {
	st, err := w.store.Stats(context.Background())
	if err != nil {
		return false, err
	}
	for state, n := range st.Runs {
		if n > 0 && state != engine.RunDone && state != engine.RunFailed {
			return true, nil
		}
	}
	timers, err := w.timers()
	return slices.ContainsFunc(timers, func(t engine.Timer) bool { return t.Open() && t.Kind != engine.TimerSchedule }), err
}
