package actions

import (
	"context"

	"github.com/slack-go/slack"
)

// workspaceChannels are the channels that a token can see.
type workspaceChannels struct {
	mine, public []slack.Channel
	private      bool // private ones that the bot is in are among mine
	cut          bool // public are not all
}

const (
	channelPages = 20
	channelLimit = 200 // of a page, as Slack asks for
)

// channelList is the outcome of going through pages of channels.
type channelList struct {
	channels []slack.Channel
	private  bool
	cut      bool
}

// pages collects channels until there are no more, or too many.
func pages(read func(cursor string) ([]slack.Channel, string, error)) (list channelList, err error) {
	cursor := ""
	for range channelPages {
		page, next, err := read(cursor)
		if err != nil {
			return list, err
		}
		list.channels = append(list.channels, page...)
		if cursor = next; cursor == "" {
			return list, nil
		}
	}
	list.cut = true
	return list, nil
}

// ownChannels are those the bot is a member of: the private ones as well, if
// the token may see them.
func (a *slackAPI) ownChannels(ctx context.Context) (channelList, error) {
	read := func(types ...string) (channelList, error) {
		return pages(func(cursor string) ([]slack.Channel, string, error) {
			return a.GetConversationsForUserContext(ctx, &slack.GetConversationsForUserParameters{Cursor: cursor, Limit: channelLimit, Types: types})
		})
	}
	list, err := read("public_channel", "private_channel")
	if refusedWith(err, "missing_scope") {
		return read("public_channel")
	}
	list.private = err == nil
	return list, err
}

// publicChannels are the public ones of the workspace.
func (a *slackAPI) publicChannels(ctx context.Context) (channelList, error) {
	return pages(func(cursor string) ([]slack.Channel, string, error) {
		return a.GetConversationsContext(ctx, &slack.GetConversationsParameters{Cursor: cursor, Limit: channelLimit, Types: []string{"public_channel"}})
	})
}

// allChannels lists what the token can see; nil if that is nothing, which is
// reported.
func (p *slackProbe) allChannels(ctx context.Context, names []string) *workspaceChannels {
	mine, err := p.api.ownChannels(ctx)
	var public channelList
	if err == nil {
		public, err = p.api.publicChannels(ctx)
	}
	switch {
	case refusedWith(err, "missing_scope"):
		p.warn("give the app the bot scopes "+scopeChannels+" and "+scopeGroups, "%s not looked at: missing_scope", count(len(names), "channel was", "channels were"))
		return nil
	case err != nil:
		p.failed(ctx, "list of channels", err)
		return nil
	}
	return &workspaceChannels{mine: mine.channels, public: public.channels, private: mine.private, cut: public.cut}
}
