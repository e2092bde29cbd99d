package actions

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/slack-go/slack"

	"github.com/gavelhq/gavel/engine"
)

// Scopes of a bot token. https://docs.slack.dev/reference/scopes
const (
	scopeWrite       = "chat:write"
	scopeWritePublic = "chat:write.public" // to public channels without being a member
	scopeReact       = "reactions:write"
	scopeEmail       = "users:read.email"
	scopeChannels    = "channels:read"
	scopeGroups      = "groups:read" // the same for private channels
	scopeHistory     = "channels:history"
)

// probeSlack finds out whether a connection would do for its steps. It only
// asks, and posts nothing.
func probeSlack(ctx context.Context, out *client, in engine.ProbeInput) []engine.Finding {
	conn, ok := in.Conn.(*slackConn)
	if !ok || conn == nil {
		return nil
	}
	p := &slackProbe{api: newSlackAPI(out, conn).reading(), conn: conn}
	if !conn.URL.IsZero() {
		p.webhook()
		return p.found
	}
	if p.token(ctx) {
		p.scopesFor(in.Steps)
		p.channels(ctx, in.Steps)
		p.people(ctx, in.Steps)
	}
	return p.found
}

// slackProbe is one probe of one connection.
type slackProbe struct {
	api    *slackAPI
	conn   *slackConn
	bot    string   // its name
	scopes []string // nil: Slack did not say
	found  []engine.Finding
}

func (p *slackProbe) fine(format string, args ...any) {
	p.found = append(p.found, engine.Finding{OK: true, What: fmt.Sprintf(format, args...)})
}

func (p *slackProbe) warn(hint, format string, args ...any) {
	p.found = append(p.found, engine.Finding{OK: true, What: fmt.Sprintf(format, args...), Hint: hint})
}

func (p *slackProbe) bad(hint, format string, args ...any) {
	p.found = append(p.found, engine.Finding{What: fmt.Sprintf(format, args...), Hint: hint})
}

// failed reports what a request was answered with.
func (p *slackProbe) failed(ctx context.Context, what string, err error) {
	text := p.api.failure(ctx, what, err).Error()
	rest, _ := strings.CutPrefix(text, what+": ")
	word, hint, _ := strings.Cut(rest, ": ")
	p.bad(cmp.Or(hint, "try again: gavel slack test"), "%s: %s", what, word)
}

// webhook looks at the address: to try it would be to post.
func (p *slackProbe) webhook() {
	address := p.conn.URL.Reveal()
	u, err := url.Parse(address)
	switch {
	case err != nil || !webURL(address):
		p.bad("it looks like https://hooks.slack.com/services/…", "the webhook's url is not a web address")
	case u.Hostname() == "hooks.slack.com" && strings.Count(strings.Trim(u.Path, "/"), "/") < 3:
		p.bad("it looks like https://hooks.slack.com/services/T…/B…/…", "the webhook's url is not whole")
	default:
		p.warn("gavel slack test --send posts a message", "webhook at %s: nothing but posting can tell whether it works", u.Host)
	}
}

// token asks who the token is, and reports whether to go on.
func (p *slackProbe) token(ctx context.Context) bool {
	who, err := p.api.AuthTestContext(ctx)
	if err != nil {
		p.failed(ctx, "token", err)
		return false
	}
	for _, scope := range strings.Split(who.Header.Get("X-Oauth-Scopes"), ",") {
		if scope = strings.TrimSpace(scope); scope != "" {
			p.scopes = append(p.scopes, scope)
		}
	}
	p.bot = excerpt([]byte(who.User))
	p.fine("token of the workspace %s, bot %s", excerpt([]byte(who.Team)), p.bot)
	return true
}

func (p *slackProbe) may(scope string) bool {
	return p.scopes == nil || slices.Contains(p.scopes, scope)
}

// scopesFor compares the token's scopes with what the steps do.
func (p *slackProbe) scopesFor(steps []engine.CheckInput) {
	if p.scopes == nil {
		p.warn("the scopes are at api.slack.com/apps, OAuth & Permissions", "Slack does not say what scopes the token has")
		return
	}
	whole := true
	for _, x := range []struct{ scope, param, why string }{
		{scopeWrite, "text", "to post and to edit messages"},
		{scopeEmail, "to", "to find people by e-mail address"},
		{scopeReact, "react", "to react"},
	} {
		used := slices.ContainsFunc(steps, func(s engine.CheckInput) bool { return len(givenOf(s, x.param)) > 0 })
		if (used || x.scope == scopeWrite) && !p.may(x.scope) {
			whole = false
			p.bad("give the app the bot scope "+x.scope+" and install it again", "the token lacks the scope %s, %s", x.scope, x.why)
		}
	}
	switch {
	case !whole:
	case !p.may(scopeHistory):
		p.warn("give the app the bot scope "+scopeHistory+", and groups:history for private channels",
			"scopes are there; without %s a message may be posted twice after a crash", scopeHistory)
	default:
		p.fine("scopes are there")
	}
}

// channels looks for every channel that the connection or a step names.
func (p *slackProbe) channels(ctx context.Context, steps []engine.CheckInput) {
	var names []string
	add := func(name string) {
		if name = strings.TrimPrefix(name, "#"); name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	add(p.conn.Channel)
	later := 0
	for _, s := range steps {
		if name, ok := s.With["channel"].(string); ok {
			add(name)
		}
		if s.Dynamic["channel"] {
			later++
		}
	}
	slices.Sort(names)
	var known *workspaceChannels
	for _, name := range names {
		switch {
		case slackID.MatchString(name):
			p.channelByID(ctx, name)
		default:
			if known == nil {
				if known = p.allChannels(ctx, names); known == nil {
					return
				}
			}
			p.channelByName(name, known)
		}
	}
	if later > 0 {
		p.fine("%s the channel from the event: not looked at", count(later, "step takes", "steps take"))
	}
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprint(n, " ", many)
}

func (p *slackProbe) channelByID(ctx context.Context, id string) {
	if strings.HasPrefix(id, "U") || strings.HasPrefix(id, "D") {
		p.fine("%s: a direct message, not looked at", id)
		return
	}
	c, err := p.api.GetConversationInfoContext(ctx, &slack.GetConversationInfoInput{ChannelID: id})
	switch {
	case refusedWith(err, "missing_scope"):
		p.warn("give the app the bot scope "+scopeChannels+", and "+scopeGroups+" for private channels", "%s could not be looked at: missing_scope", id)
	case err != nil:
		p.failed(ctx, id, err)
	default:
		p.channel(display(id)+" (#"+excerpt([]byte(c.Name))+")", *c, c.IsMember)
	}
}

func (p *slackProbe) channelByName(name string, known *workspaceChannels) {
	named := func(c slack.Channel) bool { return c.Name == name }
	if i := slices.IndexFunc(known.mine, named); i >= 0 {
		p.channel(display(name), known.mine[i], true)
		return
	}
	switch i := slices.IndexFunc(known.public, named); {
	case i >= 0:
		p.channel(display(name), known.public[i], false)
	case known.cut:
		p.warn("use its id, which is at the end of the channel's details", "%s could not be found among the first %d channels", display(name), len(known.public))
	case !known.private:
		p.bad("check the name; for a private channel give the app the bot scope "+scopeGroups+" to have it looked at", "%s: channel_not_found among the public ones", display(name))
	default:
		hint, _ := slackHint("channel_not_found", "")
		p.bad(strings.ReplaceAll(hint, "@name", "@"+p.bot), "%s: channel_not_found", display(name))
	}
}

// channel judges a channel that exists.
func (p *slackProbe) channel(name string, c slack.Channel, member bool) {
	switch {
	case c.IsArchived:
		p.bad("use another one, or restore it", "%s: is_archived", name)
	case !member && p.scopes != nil && slices.Contains(p.scopes, scopeWritePublic):
		p.fine("%s: public, the bot may post without being a member", name)
	case !member:
		p.bad("invite the bot: /invite @"+p.bot, "%s: not_in_channel", name)
	default:
		p.fine("%s: the bot is a member", name)
	}
}

// people looks for those that steps name by their address.
func (p *slackProbe) people(ctx context.Context, steps []engine.CheckInput) {
	var seen []string
	for _, s := range steps {
		to, ok := s.With["to"].(string)
		if !ok || slices.Contains(seen, to) || !p.may(scopeEmail) {
			continue
		}
		seen = append(seen, to)
		if _, err := p.api.GetUserByEmailContext(ctx, to); err != nil {
			p.failed(ctx, to, err)
			continue
		}
		p.fine("%s: found", to)
	}
}
