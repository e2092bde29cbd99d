package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gavelhq/gavel/actions/slacktest"
	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/web"
)

// banner says what is going to be seen, and where one can join in.
func (d *demo) banner() {
	s := d.screen
	platforms := map[string]bool{}
	for _, c := range d.sources {
		platforms[c.Platform] = true
	}
	s.printf("")
	s.printf("  %s   6 simulated rooms on %d platforms, %.0fx speed, nothing leaves this machine", s.paint(cyan, "gavel demo"), len(platforms), d.pace.speed())
	s.printf("  Meeting platforms send webhooks. Gavel verifies them, keeps them, and does what your rules say.")
	s.printf("")
	s.printf("  Webhooks   %s/hooks/SOURCE   signed as the platforms do, and verified", d.hooks)
	s.printf("  Rules      %s   edit and save: reloads at once", d.app.rulesPath)
	s.printf("  Slack      simulated, messages appear below")
	s.printf("  Look in    %s events tail --data %s", commandName(), d.app.dataDir)
	s.printf("")
}

// commandName is how this program was called: by go run, it is not installed.
func commandName() string {
	if path, err := os.Executable(); err == nil && strings.Contains(filepath.ToSlash(path), "/go-build") {
		return "go run ./cmd/gavel"
	}
	return "gavel"
}

// tellEvent tells what was stored, in the words all platforms share, beside
// the platform's own.
func (d *demo) tellEvent(s *sentBeat, at time.Time) {
	ev := s.event
	t := told{what: ev.Type, room: or(ev.Room.Name, ev.Room.ID), from: platformTitle(s.kind), note: ev.Name}
	mark := func(color, sign, word string) { t.sign = d.screen.paint(color, d.app.mark(sign, word)) }
	mark(faint, "·", ".")
	switch ev.Type {
	case engine.SessionStarted:
		mark(green, "●", "*")
		t.what = "meeting started"
	case engine.SessionEnded:
		mark(yellow, "■", "#")
		t.what = "meeting ended"
		if ev.Session.Duration != nil {
			t.what += " after " + ev.Session.Duration.String()
		}
	case engine.ParticipantJoined:
		mark(faint, "→", ">")
		t.what = ev.Participant.Name + " joined"
	case engine.ParticipantLeft:
		mark(faint, "←", "<")
		t.what = ev.Participant.Name + " left"
	case engine.RecordingEnded:
		mark(green, "▶", ">")
		t.what = "recording is ready"
	}
	d.screen.event(at, t)
	dot := d.screen.paint(faint, d.app.mark("·", "."))
	switch s.beat.trick {
	case hostileName:
		d.screen.detail(dot, "hostile name", "meant to clear your screen and to wake up a whole channel: disarmed")
	case outOfOrder:
		d.screen.detail(dot, "out of order", fmt.Sprintf("nobody has told yet that they came in: kept; %s are in the meeting", presentText(ev)))
	case late:
		d.screen.detail(dot, "late", fmt.Sprintf("it happened at %s, before they left: still %s in the meeting",
			ev.Participant.Joined.In(d.app.zone).Format("15:04"), presentText(ev)))
	}
	for _, x := range ev.Outcome.Suppressed {
		d.screen.detail(d.screen.paint(faint, d.app.mark("⊘", "-")), x.Rule, fmt.Sprintf("held back by %s: told already in this meeting", x.By))
	}
	for _, x := range ev.Outcome.Errors {
		d.screen.detail(d.app.bad(), x.Rule, x.Error)
	}
}

func presentText(ev web.Event) string {
	if ev.Session.Present == nil {
		return "unknown"
	}
	return strconv.Itoa(*ev.Session.Present)
}

// platformTitle is the platform's name as people write it.
func platformTitle(kind engine.PlatformKind) string {
	title, _, _ := strings.Cut(kind.Doc, ":")
	return title
}

// tellDuplicate tells that what was sent again did nothing.
func (d *demo) tellDuplicate(s *sentBeat, at time.Time, status int) {
	sign := d.screen.paint(faint, d.app.mark("⊘", "-"))
	ev := s.event
	d.screen.event(at, told{
		sign: sign, what: "the same webhook again", room: or(ev.Room.Name, ev.Room.ID), from: platformTitle(s.kind), note: ev.Name,
	})
	d.screen.detail(sign, "duplicate", fmt.Sprintf("answered %d, so that the sender stops; nothing is done twice", status))
}

// tellRefused tells a delivery that was not accepted, and why: the sender is
// not told.
func (d *demo) tellRefused(ctx context.Context, s *sentBeat, at time.Time, status int) error {
	what := "refused"
	if s.beat.trick == forged {
		what = "a forged webhook"
	}
	d.screen.event(at, told{sign: d.app.bad(), what: what, color: red, from: platformTitle(s.kind), note: fmt.Sprintf("answered %d", status)})
	why, err := d.refusal(ctx)
	if err != nil {
		return err
	}
	d.screen.detail(d.app.bad(), strings.ReplaceAll(why.Verdict, "_", " "), why.Reason)
	d.screen.detail(" ", "", "(this is for you: the sender is not told why)")
	return nil
}

// shownRun is what has been told of a run.
type shownRun struct {
	steps, tries int
	named        bool // below its event: the rule need not be named again
}

// tellRun tells what is new in a run; at is zero right after its event.
func (d *demo) tellRun(at time.Time, run web.Run) {
	shown := d.shown[run.ID]
	for _, step := range run.Steps[shown.steps:] {
		d.tellStep(at, run, step)
		shown.steps++
		shown.tries = 0
	}
	if c := run.Current; c != nil && len(c.Tries) > shown.tries {
		d.tally.retries += len(c.Tries) - shown.tries
		shown.tries = len(c.Tries)
		again := fmt.Sprintf("%s, again in %s", shortError(c.Tries[shown.tries-1].Error), brief(run.Due.Sub(d.app.now())))
		d.line(at, d.screen.paint(yellow, d.app.mark("⟳", "~")), run, again)
	}
	if run.State == engine.RunDone || run.State == engine.RunFailed {
		delete(d.shown, run.ID)
	}
}

// line tells something of a run: below its event, or later on its own.
func (d *demo) line(at time.Time, sign string, run web.Run, text string) {
	if !at.IsZero() {
		d.screen.event(at, told{sign: sign, what: run.Rule, room: run.Room, note: text})
		return
	}
	head, shown := run.Rule, d.shown[run.ID]
	if shown.named {
		head = ""
	}
	shown.named = true
	d.screen.detail(sign, head, text)
}

// tellStep tells what a finished step did.
func (d *demo) tellStep(at time.Time, run web.Run, step web.Step) {
	sign, text, once := d.app.ok(), step.Note, false
	switch {
	case step.State == engine.StepSkipped:
		return
	case step.State == engine.StepFailed:
		sign, text = d.app.bad(), shortError(step.Error)
	case step.Action == "billing":
		text = "ledger: " + step.Note
	case step.Action == "http":
		text = fmt.Sprintf("%s answered %d", or(step.Via, "the other side"), step.Status)
		if n := len(step.Tries) + 1; n > 1 {
			text += fmt.Sprintf(" at attempt %d", n)
			once = d.accounting.called(n)
		}
	}
	m, posted := d.posted(step)
	if posted {
		text = "Slack #" + m.Channel
	}
	d.line(at, sign, run, text)
	if once {
		d.screen.detail(sign, "once", "the same idempotency key every time; the ledger entry was not repeated")
	}
	if posted {
		d.screen.message(m.Channel, m.Text, "rule "+run.Rule)
	}
}

// posted finds the message that the step made the fake Slack get.
func (d *demo) posted(step web.Step) (slacktest.Message, bool) {
	var answer struct{ TS string }
	if step.Action != "slack" || json.Unmarshal(step.Body, &answer) != nil {
		return slacktest.Message{}, false
	}
	messages := d.slack.Messages()
	i := slices.IndexFunc(messages, func(m slacktest.Message) bool { return m.TS == answer.TS })
	if i < 0 {
		return slacktest.Message{}, false
	}
	return messages[i], true
}

// shortError leaves out the loopback address of accounting.
func shortError(text string) string {
	if _, rest, ok := strings.Cut(text, "/invoices: "); ok {
		status, _, _ := strings.Cut(rest, " ")
		return "accounting answered " + status
	}
	return text
}

// brief is a wait as people say it.
func brief(t time.Duration) string {
	if t < time.Second {
		return max(t, 0).Round(10 * time.Millisecond).String()
	}
	return fmt.Sprintf("%.0f s", t.Seconds())
}

// summary says what the server has to show for it. It asks the server, not
// the story.
func (d *demo) summary(ctx context.Context) error {
	st, err := d.service.store.Stats(ctx)
	if err != nil {
		return err
	}
	minutes, cents := 0, int64(0)
	from := d.tally.began.Add(-24 * time.Hour)
	err = d.api.Usage(ctx, web.UsageQuery{From: from, To: from.Add(72 * time.Hour)}, func(e engine.Entry) error {
		n, err := strconv.Atoi(e.Quantity) // the demo's are whole
		if err == nil && e.Meter == "meeting_minutes" {
			minutes += n
		}
		if e.Amount != nil {
			cents += *e.Amount
		}
		return nil
	})
	if err != nil {
		return err
	}
	s := d.screen
	row := func(name, format string, args ...any) {
		s.printf("  %-15s %s", name, fmt.Sprintf(format, args...))
	}
	s.printf("")
	s.printf("  %s", s.paint(cyan, "Summary after "+brief(d.app.now().Sub(d.tally.began))))
	s.printf("")
	t := d.tally
	row("deliveries", "%d: %d accepted, %s, %d refused", t.sent, t.accepted, count(t.duplicates, "duplicate"), t.refused)
	derived := ""
	if n := int(st.Events) - t.accepted; n > 0 { // every delivery of the story is one event
		derived = fmt.Sprintf(", %d of them derived: who was there at the end has left", n)
	}
	row("events", "%d stored%s", st.Events, derived)
	done, failed, runs := st.Runs[engine.RunDone], st.Runs[engine.RunFailed], int64(0)
	for _, n := range st.Runs {
		runs += n
	}
	row("rules matched", "%s: %d done, %d failed, %d waiting", count(int(runs), "time"), done, failed, runs-done-failed)
	row("messages", "%d in Slack", len(d.slack.Messages()))
	row("retries", "%d", t.retries)
	row("ledger", "%s, %s billed, %s EUR", counts(int(st.Entries), "entry", "entries"), count(minutes, "minute"), major(&cents, 2))
	s.printf("")
	s.printf("  Yours now:")
	name := commandName()
	for _, next := range [][2]string{
		{"cp rules.example.yaml rules.yaml", "keep the sources and rules you need"},
		{name + " validate", "says everything that is missing at once"},
		{name + " serve", "prints the addresses to give to your platforms"},
		{name + " send livekit room_finished", "a signed sample, to try your rules"},
	} {
		s.printf("    %-48s %s", next[0], s.paint(faint, next[1]))
	}
	s.printf("")
	return nil
}

// counts is count for a word with another plural.
func counts(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
