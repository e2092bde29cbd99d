package actions

import (
	"context"
	"fmt"

	"github.com/slack-go/slack"

	"github.com/gavelhq/gavel/engine"
)

const maxSlackEdit = 4_000 // characters of a message that is edited

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
	name := emoji(s.p.React)
	err = s.api.AddReactionContext(ctx, name, slack.NewRefToMessage(to.Channel, to.TS))
	if err != nil && !refusedWith(err, "already_reacted") {
		return engine.Result{}, s.api.failure(ctx, what, err)
	}
	return s.done(posted{to.Channel, to.TS}, "reacted with :"+name+": in "+display(s.place)), nil
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
		slack.MsgOptionText(linkedSlack(parts[0].text), false),
		slack.MsgOptionBlocks(parts[0].blocks...), // none takes those away that it has
		slack.MsgOptionLinkNames(false),
		slack.MsgOptionParse(false), // else names are looked for in an edited text
	)
	switch {
	case refusedWith(err, "message_not_found", "cant_update_message", "edit_window_closed", "channel_not_found"):
		// Gone, or of another workspace, whose ids were kept.
		return engine.Result{}, false, nil
	case err != nil:
		return engine.Result{}, false, s.api.failure(ctx, "slack "+display(s.place), err)
	}
	return s.done(posted{m.Channel, m.TS}, "edited the message in "+display(s.place)), true, nil
}
