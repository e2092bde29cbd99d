package actions

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"github.com/slack-go/slack"

	"github.com/gavelhq/gavel/engine"
)

const maxSlackText = 40_000 // characters of a message; Slack cuts what is longer

// outgoing is one message on its way to Slack.
type outgoing struct {
	label  string // tells it from the others of its step
	text   string
	blocks []slack.Block
	thread string   // ts of the root it answers
	keys   []string // that it is the first message of, as state knows them
	more   bool     // others of the step follow
	// folded are the keys of the steps behind whose texts are in it, and carried
	// those of all steps whose are.
	folded, carried []string
	found           bool // it was there already
}

const openerLabel = "opener"

// post sends what is next of the step, unless it turns out to be there.
func (s *slackStep) post(ctx context.Context) (engine.Result, error) {
	if s.Uncertain && !s.pos.Unsure {
		s.pos.Unsure = true // remembered until it is settled, however many attempts that takes
		return s.prepared(), nil
	}
	m, err := s.next(ctx)
	if err != nil {
		return engine.Result{}, err
	}
	if claimed, err := s.claims(ctx, m); !claimed || err != nil {
		return s.prepared(), err
	}
	if s.pos.In != nil {
		if res, done, err := s.postedIn(ctx, m); done || err != nil {
			return res, err
		}
	}
	if s.pos.Unsure {
		if res, done, err := s.postedBefore(ctx, m); done || err != nil {
			return res, err
		}
		s.pos.Unsure = false
	}
	if prepared, err := s.fold(ctx, &m); prepared || err != nil {
		return s.prepared(), err
	}
	at, err := s.send(ctx, &m)
	if err != nil {
		return s.failed(), err
	}
	return s.sent(m, at), nil
}

// failed leaves whether the message may be there though sending it failed.
func (s *slackStep) failed() engine.Result {
	s.pos.Unsure = s.api.lost
	return engine.Result{State: s.again().State}
}

// next is the message that is to be posted now: the root of the thread if it
// has an opener and there is none, else the next part of the text.
func (s *slackStep) next(ctx context.Context) (outgoing, error) {
	parts, err := s.parts()
	if err != nil {
		return outgoing{}, engine.Permanent(err)
	}
	root, err := s.first(ctx, s.p.Thread)
	if err != nil {
		return outgoing{}, err
	}
	if s.p.Thread != "" && root.TS == "" && s.p.Opener != "" {
		return outgoing{label: openerLabel, text: s.p.Opener, keys: []string{s.messageKey(s.p.Thread)}, more: true}, nil
	}
	at := min(s.pos.Next, len(parts)-1)
	m := parts[at]
	m.label, m.thread, m.more = strconv.Itoa(at), root.TS, at < len(parts)-1
	if s.p.Thread != "" && root.TS == "" {
		m.keys = append(m.keys, s.messageKey(s.p.Thread))
	}
	if s.p.Update != "" && s.p.Update != s.p.Thread {
		m.keys = append(m.keys, s.messageKey(s.p.Update))
	}
	return m, nil
}

// claims writes down that this step is about to post the first message of a
// key, and reports whether that was done before. One that claimed it and never
// came back may have posted: its message is looked for and taken over.
func (s *slackStep) claims(ctx context.Context, m outgoing) (bool, error) {
	all := true
	for _, key := range m.keys {
		var of message
		if _, err := s.read(ctx, key, &of); err != nil {
			return false, err
		}
		if of.By == s.Key && of.Label == m.label {
			continue
		}
		all = false
		taken := message{claim: claim{By: s.Key, Label: m.label, At: s.Now}}
		if of.By != "" && of.By != s.Key {
			found, v, err := s.find(ctx, of.claim, m.thread)
			if err != nil {
				return false, err
			}
			if v == findFound {
				taken = message{TS: found.ts, Channel: found.channel}
			}
		}
		s.leave(key, taken)
	}
	return all, nil
}

// posted is a message that Slack has.
type posted struct{ channel, ts string }

// send posts m.
func (s *slackStep) send(ctx context.Context, m *outgoing) (posted, error) {
	if !s.conn.URL.IsZero() {
		return posted{}, s.sendWebhook(ctx, *m)
	}
	options := []slack.MsgOption{
		slack.MsgOptionText(m.text, false), // escaped where it was inserted
		slack.MsgOptionLinkNames(false),
		slack.MsgOptionDisableLinkUnfurl(), // what a participant typed must not make Slack fetch and show pages
		slack.MsgOptionDisableMediaUnfurl(),
		slack.MsgOptionMetadata(m.metadata(s.Key)),
	}
	if len(m.blocks) > 0 {
		options = append(options, slack.MsgOptionBlocks(m.blocks...))
	}
	if m.thread != "" {
		options = append(options, slack.MsgOptionTS(m.thread))
		if s.p.AlsoToChannel {
			options = append(options, slack.MsgOptionBroadcast())
		}
	}
	channel, ts, answer, err := s.api.PostMessageWithResponseContext(ctx, s.target, options...)
	if m.thread != "" && refusedWith(err, "thread_not_found") {
		return s.sendAnew(ctx, m)
	}
	if err != nil {
		return posted{}, s.api.failure(ctx, "slack "+display(s.place), err)
	}
	if m.thread != "" && answer.Timestamp != "" && answer.ThreadTimestamp == "" {
		m.uproot(s) // Slack has posted it to the channel: the root was deleted
	}
	return posted{channel, ts}, nil
}

// sendAnew posts a message whose thread is gone as the root of a new one.
func (s *slackStep) sendAnew(ctx context.Context, m *outgoing) (posted, error) {
	m.uproot(s)
	return s.send(ctx, m)
}

// uproot makes m the first message of its thread's key.
func (m *outgoing) uproot(s *slackStep) {
	m.thread = ""
	m.keys = append(m.keys, s.messageKey(s.p.Thread))
}

func (s *slackStep) sendWebhook(ctx context.Context, m outgoing) error {
	no := false
	msg := &slack.WebhookMessage{Text: m.text, UnfurlLinks: &no, UnfurlMedia: &no}
	if len(m.blocks) > 0 {
		msg.Blocks = &slack.Blocks{BlockSet: m.blocks}
	}
	if err := slack.PostWebhookCustomHTTPContext(ctx, s.conn.URL.Reveal(), over(s.api.x), msg); err != nil {
		return s.api.failure(ctx, "slack webhook", err)
	}
	return nil
}

// sent leaves what is to be remembered of m, which Slack has as at: the zero at
// is a message that was given up.
func (s *slackStep) sent(m outgoing, at posted) engine.Result {
	for _, key := range m.keys {
		if at.ts != "" {
			s.leave(key, message{TS: at.ts, Channel: at.channel})
		}
	}
	if at.channel != "" && at.channel != s.place && at.channel != s.known.ID {
		s.leave(s.channelKey(), channel{ID: at.channel})
	}
	s.unfold(m)
	s.pos.Unsure = false
	if m.label != openerLabel {
		if s.pos.Next == 0 {
			s.pos.TS, s.pos.Channel = at.ts, at.channel
		}
		s.pos.Next++
	}
	if m.more {
		return s.again()
	}
	res := s.done(posted{s.pos.Channel, s.pos.TS}, s.note(m))
	res.Folded = m.folded
	return res
}

// note says for people what became of the step.
func (s *slackStep) note(m outgoing) string {
	where := display(s.place)
	switch {
	case !s.conn.URL.IsZero():
		where = "the webhook's channel"
	case m.thread != "":
		where = "a thread in " + where
	}
	note := "posted to " + where
	if len(m.folded) > 0 {
		note = fmt.Sprintf("posted to %s, in one message with %d more", where, len(m.folded))
	}
	if s.pos.Next > 1 {
		note = fmt.Sprintf("posted to %s in %d messages", where, s.pos.Next)
	}
	if m.found {
		note += ", and found there after an interruption"
	}
	if !s.pos.Doubted {
		return note
	}
	if s.p.IfUnsure == unsureSkip {
		return "may have been posted by an interrupted attempt, not repeated"
	}
	return note + "; an earlier attempt may have posted it too"
}

// done is the result of a step whose message is at.
func (s *slackStep) done(at posted, note string) engine.Result {
	res := engine.Result{Status: http.StatusOK, Note: note}
	if at.ts != "" {
		body, err := json.Marshal(map[string]string{"channel": at.channel, "ts": at.ts})
		if err == nil { // two texts
			res.Body = body
		}
	}
	return s.finished(res)
}
