package engine_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// story is what happens to a rule, and what is to come of it.
type story struct {
	name string
	rule rule
	// tells what happens, in order: "4m joined ana @3m S2; 5m down; 6m up; 1h end"
	// is an event received 4 minutes after the begin, that happened after 3, in
	// the session S2 (else S1), and a server that is down for a minute. "#meet" is
	// the source (else pnm).
	tells string
	// says is what the rules answered to the events, counted from 1.
	says string
	// runs are those that began: when, in which branch, by which event.
	runs string
}

// words of a story.
func storyType(word string) string {
	switch word {
	case "ping":
		return engine.StreamUpdated
	case "joined", "left":
		return "participant_" + word
	}
	return "session_" + word // started, ended
}

func tell(t *testing.T, stories []story) {
	for _, s := range stories {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				says, runs := s.live(t, newWorld(t, rules{"rule": s.rule}))
				if says != s.says {
					t.Errorf("says %s\nwant %s", says, s.says)
				}
				if runs != s.runs {
					t.Errorf("runs %s\nwant %s", runs, s.runs)
				}
			})
		})
	}
}

// live lets the story happen in w.
func (s story) live(t *testing.T, w *world) (says, runs string) {
	t.Helper()
	begin, stop := time.Now(), w.start()
	var said []string
	number := map[string]string{} // of events by id
	for line := range strings.SplitSeq(s.tells, ";") {
		words := strings.Fields(line)
		synctest.Wait()
		pass(since(t, words[0]) - time.Since(begin))
		synctest.Wait()
		switch words[1] {
		case "down":
			stop()
		case "up":
			w.open()
			stop = w.start()
		case "end":
		default:
			got := w.send(event(t, begin, words[1:]))
			number[got.ID] = fmt.Sprint(len(number) + 1)
			for _, what := range outcome(got.Outcome) {
				said = append(said, number[got.ID]+" "+what)
			}
		}
	}
	synctest.Wait()
	var began []string
	for _, r := range w.runs(s.rule.shadow) {
		began = append(began, runText(r, begin, number))
	}
	stop()
	return strings.Join(said, "; "), strings.Join(began, "; ")
}

func since(t *testing.T, word string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(word)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func event(t *testing.T, begin time.Time, words []string) engine.Event {
	t.Helper()
	ev := engine.Event{Type: storyType(words[0]), Time: time.Now(), Session: engine.Session{ID: "S1"}}
	for _, word := range words[1:] {
		switch {
		case word[0] == '@':
			ev.Time = begin.Add(since(t, word[1:]))
		case word[0] == 'S':
			ev.Session.ID = word
		case word[0] == '#':
			ev.Source = word[1:]
		default:
			ev.Participant = engine.Participant{ID: word, ConnectionID: "c-" + word}
		}
	}
	return ev
}

// outcome is what the rules made of an event, besides runs.
func outcome(o engine.Outcome) []string {
	var all []string
	for _, x := range o.Timers {
		all = append(all, x.Kind+" "+x.State)
	}
	for _, x := range o.Suppressed {
		all = append(all, strings.TrimSpace(x.By+" "+x.Note))
	}
	for _, x := range o.Errors {
		all = append(all, "error "+x.Error)
	}
	if o.Problem != "" {
		all = append(all, o.Problem)
	}
	return all
}

// runText is "5m0s then 1", with what else the run sees.
func runText(r engine.Run, begin time.Time, number map[string]string) string {
	text := fmt.Sprintf("%s %s", r.Created.Sub(begin), r.Branch)
	if n := number[r.Event]; n != "" {
		text += " " + n
	}
	var events []string
	for _, id := range r.Events {
		events = append(events, number[id])
	}
	if len(events) > 0 {
		text += " of " + strings.Join(events, ",")
	}
	if r.Awaited != "" {
		text += fmt.Sprintf(" after %s, %s late", number[r.Awaited], r.LateBy)
	}
	return text
}
