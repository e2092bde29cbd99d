package actions

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/slack-go/slack"

	"github.com/gavelhq/gavel/engine"
)

const (
	maxSlackText = 40_000 // characters of a message; Slack cuts what is longer
	maxSlackEdit = 4_000  // of one that is edited
	personFresh  = 24 * time.Hour
)

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

// wrong is what cannot be sent, whatever Slack says to it.
func (s *slackStep) wrong() string {
	p := s.p
	webhook := !s.conn.URL.IsZero()
	switch {
	case webhook && p.beyondWebhook() != "":
		return p.beyondWebhook() + ": use a connection with a token"
	case p.React != "" && p.ToMessage == "":
		return "to_message is empty: it is the key of the message to react to"
	case p.React == "" && strings.TrimSpace(p.Text) == "":
		return "the text is empty"
	case !webhook && s.place == "":
		return "the channel is empty: give the step or its connection a channel"
	case p.To != "" && !isAddress(s.place):
		return fmt.Sprintf("to: %q is no e-mail address", excerpt([]byte(p.To)))
	case len(p.Fields) > maxFields:
		return fmt.Sprintf("%d fields, Slack takes %d", len(p.Fields), maxFields)
	}
	switch n := utf8.RuneCountInString(p.Text); {
	case p.Update != "" && n > maxSlackEdit:
		return fmt.Sprintf("the text has %d characters, Slack takes %d when a message is edited: post a summary and a link", n, maxSlackEdit)
	case p.Blocks != nil && n > maxSlackText:
		return fmt.Sprintf("the text has %d characters, Slack takes %d: post a summary and a link", n, maxSlackText)
	case utf8.RuneCountInString(p.Opener) > maxSlackText:
		return fmt.Sprintf("the opener is longer than %d characters: shorten it", maxSlackText)
	}
	return ""
}

// beyondWebhook says what p wants that no incoming webhook can do.
func (p slackParams) beyondWebhook() string {
	for _, x := range webhookLimits() {
		if x.asks(p) {
			return x.what
		}
	}
	return ""
}

// webhookLimit is a parameter that an incoming webhook has no use for.
type webhookLimit struct {
	param, what string
	asks        func(slackParams) bool
}

func webhookLimits() []webhookLimit {
	return []webhookLimit{
		{"thread", "an incoming webhook cannot thread", func(p slackParams) bool { return p.Thread != "" }},
		{"opener", "an incoming webhook cannot thread", func(p slackParams) bool { return p.Opener != "" }},
		{"also_to_channel", "an incoming webhook cannot thread", func(p slackParams) bool { return p.AlsoToChannel }},
		{"update", "an incoming webhook cannot edit messages", func(p slackParams) bool { return p.Update != "" }},
		{"react", "an incoming webhook cannot react", func(p slackParams) bool { return p.React != "" }},
		{"to", "an incoming webhook cannot write to a person", func(p slackParams) bool { return p.To != "" }},
	}
}

// address finds out what Slack is to be given for the place.
func (s *slackStep) address(ctx context.Context) error {
	s.target = s.place
	if s.p.To == "" || !s.conn.URL.IsZero() {
		return nil
	}
	var who person
	if _, err := s.read(ctx, s.personKey(), &who); err != nil {
		return err
	}
	if who.ID == "" || s.Now.Sub(who.At) > personFresh { // an address may be given to somebody else
		user, err := s.api.GetUserByEmailContext(ctx, s.place)
		if err != nil {
			return s.api.failure(ctx, "slack "+s.place, err)
		}
		who = person{ID: user.ID, At: s.Now}
		s.leave(s.personKey(), who)
	}
	s.target = who.ID
	return nil
}

// react adds an emoji to the first message of a key.
func (s *slackStep) react(ctx context.Context) (engine.Result, error) {
	what := "slack " + display(s.place)
	to, err := s.first(ctx, s.p.ToMessage)
	if err != nil {
		return engine.Result{}, err
	}
	if to.Channel == "" { // it may be on its way
		return engine.Result{}, fmt.Errorf("%s: there is no message with the key %q yet", what, excerpt([]byte(s.p.ToMessage)))
	}
	emoji := strings.Trim(s.p.React, ":")
	err = s.api.AddReactionContext(ctx, emoji, slack.NewRefToMessage(to.Channel, to.TS))
	if err != nil && !refusedWith(err, "already_reacted") {
		return engine.Result{}, s.api.failure(ctx, what, err)
	}
	return s.done(posted{to.Channel, to.TS}, "reacted with :"+excerpt([]byte(emoji))+": in "+display(s.place)), nil
}

// edit edits the first message of the key. done is false if there is none, or
// none any more.
func (s *slackStep) edit(ctx context.Context) (res engine.Result, done bool, err error) {
	m, err := s.first(ctx, s.p.Update)
	if err != nil || m.Channel == "" || m.TS == "" {
		return engine.Result{}, false, err
	}
	parts, err := s.parts()
	if err != nil {
		return engine.Result{}, false, engine.Permanent(err)
	}
	_, _, _, err = s.api.UpdateMessageContext(ctx, m.Channel, m.TS,
		slack.MsgOptionText(parts[0].text, false),
		slack.MsgOptionBlocks(parts[0].blocks...), // none takes those away that it has
		slack.MsgOptionLinkNames(false),
		slack.MsgOptionParse(false),
	)
	switch {
	case refusedWith(err, "message_not_found", "cant_update_message", "edit_window_closed"):
		return engine.Result{}, false, nil
	case err != nil:
		return engine.Result{}, false, s.api.failure(ctx, "slack "+display(s.place), err)
	}
	return s.done(posted{m.Channel, m.TS}, "edited the message in "+display(s.place)), true, nil
}

// post sends what is next of the step, unless it turns out to be there.
func (s *slackStep) post(ctx context.Context) (engine.Result, error) {
	if s.Uncertain && !s.pos.Unsure {
		s.pos.Unsure = true // remembered until it is settled, however many attempts that takes
		return s.again(), nil
	}
	m, err := s.next(ctx)
	if err != nil {
		return engine.Result{}, err
	}
	if claimed, err := s.claims(ctx, m); !claimed || err != nil {
		return s.again(), err
	}
	if s.pos.In != nil {
		if res, done, err := s.postedIn(ctx, m); done || err != nil {
			return res, err
		}
	}
	if s.pos.Unsure || s.Attempt > 1 {
		if res, done, err := s.postedBefore(ctx, m); done || err != nil {
			return res, err
		}
	}
	if prepared, err := s.fold(ctx, &m); prepared || err != nil {
		return s.again(), err
	}
	at, err := s.send(ctx, &m)
	if err != nil {
		return engine.Result{}, err
	}
	return s.sent(m, at), nil
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
