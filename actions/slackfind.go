package actions

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/slack-go/slack"

	"github.com/gavelhq/gavel/engine"
)

// metadataType marks messages of ours.
// https://docs.slack.dev/messaging/message-metadata
const metadataType = "gavel_step"

// metadata tells which step a message is of. Slack shows it to nobody, but the
// apps of the workspace can read it. Its values are texts: lists are not taken.
func (m outgoing) metadata(key string) slack.SlackMetadata {
	says := map[string]any{"key": key, "label": m.label}
	if len(m.folded) > 0 {
		says["folded"] = strings.Join(m.folded, " ")
	}
	return slack.SlackMetadata{EventType: metadataType, EventPayload: says}
}

// verdict is what came of looking for a message.
type verdict int

const (
	findNothing verdict = iota // it is not there
	findFound
	findUnable // the token may not look, or it was too long ago
)

// found is a message of ours that was there.
type found struct {
	posted
	carried []string // see outgoing
}

const (
	findPages = 5
	findLimit = 100                // messages of a page
	findSlack = 5 * time.Minute    // our clock and Slack's may differ
	findPast  = 7 * 24 * time.Hour // what is older is not looked for
)

// find looks for a message in a channel, or in a thread of it.
func (s *slackStep) find(ctx context.Context, of claim, thread string) (found, verdict, error) {
	if !s.conn.URL.IsZero() {
		return found{}, findUnable, nil
	}
	id, err := s.channelID(ctx)
	if err != nil {
		return found{}, findUnable, err
	}
	if id == "" {
		return found{}, findUnable, nil
	}
	since := of.At
	if since.IsZero() && s.Event != nil {
		since = s.Event.Received // before that, nobody knew of it
	}
	if past := s.Now.Add(-findPast); since.Before(past) {
		since = past
	}
	oldest := fmt.Sprintf("%d.000000", since.Add(-findSlack).Unix())
	cursor := ""
	for range findPages {
		page, next, err := s.page(ctx, id, thread, oldest, cursor)
		switch {
		case unable(err):
			return found{}, findUnable, nil
		case err != nil:
			return found{}, findUnable, s.api.failure(ctx, "slack "+display(s.place)+": look for the message", err)
		}
		for _, m := range page {
			if says := m.Metadata.EventPayload; m.Metadata.EventType == metadataType && says["key"] == of.By && says["label"] == of.Label {
				folded, _ := says["folded"].(string)
				return found{posted{id, m.Timestamp}, strings.Fields(folded)}, findFound, nil
			}
		}
		if cursor = next; cursor == "" {
			return found{}, findNothing, nil
		}
	}
	return found{}, findUnable, nil
}

// page reads messages of a channel, or of a thread, with their metadata.
func (s *slackStep) page(ctx context.Context, id, thread, oldest, cursor string) ([]slack.Message, string, error) {
	api := s.api.reading()
	if thread != "" {
		all, _, next, err := api.GetConversationRepliesContext(ctx, &slack.GetConversationRepliesParameters{
			ChannelID: id, Timestamp: thread, Oldest: oldest, Cursor: cursor, Limit: findLimit, IncludeAllMetadata: true,
		})
		return all, next, err
	}
	all, err := api.GetConversationHistoryContext(ctx, &slack.GetConversationHistoryParameters{
		ChannelID: id, Oldest: oldest, Cursor: cursor, Limit: findLimit, IncludeAllMetadata: true,
	})
	if err != nil {
		return nil, "", err
	}
	return all.Messages, all.ResponseMetaData.NextCursor, nil
}

// channelID is the id of the place, "" if it cannot be found out: history is
// read by id alone.
func (s *slackStep) channelID(ctx context.Context) (string, error) {
	switch {
	case s.known.ID != "":
		return s.known.ID, nil
	case slackID.MatchString(s.place):
		return s.place, nil
	case s.p.To != "":
		return "", nil
	}
	mine, err := s.api.reading().ownChannels(ctx)
	switch {
	case unable(err):
		return "", nil
	case err != nil:
		return "", s.api.failure(ctx, "slack "+display(s.place)+": look for the channel", err)
	}
	at := slices.IndexFunc(mine.channels, func(c slack.Channel) bool { return c.Name == s.place })
	if at < 0 {
		return "", nil
	}
	return mine.channels[at].ID, nil
}

// postedIn looks for the text of this step in the message of another one, which
// was going to post both. done is false if it is to be posted now.
func (s *slackStep) postedIn(ctx context.Context, m outgoing) (res engine.Result, done bool, err error) {
	got, v, err := s.find(ctx, *s.pos.In, m.thread)
	if err != nil {
		return engine.Result{}, false, err
	}
	s.pos.In = nil
	switch {
	case v == findUnable:
		return s.unsure(m)
	case v == findFound && slices.Contains(got.carried, s.Key):
		m.found = true
		return s.sent(m, got.posted), true, nil
	}
	return engine.Result{}, false, nil
}

// postedBefore looks for a message that an earlier attempt may have posted.
// done is false if it is to be posted now.
func (s *slackStep) postedBefore(ctx context.Context, m outgoing) (res engine.Result, done bool, err error) {
	got, v, err := s.find(ctx, claim{By: s.Key, Label: m.label}, m.thread)
	switch {
	case err != nil:
		return engine.Result{}, false, err
	case v == findFound:
		m.found, m.carried = true, got.carried
		for _, b := range s.Behind {
			if slices.Contains(got.carried, b.Key) {
				m.folded = append(m.folded, b.Key)
			}
		}
		return s.sent(m, got.posted), true, nil
	case v == findUnable:
		return s.unsure(m)
	}
	return engine.Result{}, false, nil
}

// unsure decides about a message that may be there.
func (s *slackStep) unsure(m outgoing) (res engine.Result, done bool, err error) {
	s.pos.Doubted = true
	if s.p.IfUnsure != unsureSkip {
		return engine.Result{}, false, nil
	}
	m.carried = s.pos.Fold // their steps find out for themselves
	return s.sent(m, posted{}), true, nil
}
