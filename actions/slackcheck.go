package actions

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/gavelhq/gavel/engine"
)

// checkSlack finds at load what can be known without an event.
func checkSlack(in engine.CheckInput) []engine.Complaint {
	f := &findings{}
	if conn, ok := in.Conn.(*slackConn); ok && conn != nil {
		checkSlackConn(in, conn, f)
		if len(givenOf(in, "channel")) > 0 && !conn.URL.IsZero() {
			f.warn("channel", "an incoming webhook posts to its own channel", "leave channel out, or use a connection with a token")
		}
	}
	if channel, ok := in.With["channel"].(string); ok {
		warnChannel(channel, f)
	}
	if text, ok := in.With["text"].(string); ok && utf8.RuneCountInString(text) > maxSlackText {
		f.complain("text", fmt.Sprintf("the text has more than %d characters", maxSlackText), "post a summary and a link")
	}
	if blocks, ok := in.With["blocks"]; ok {
		f.all = append(f.all, checkBlocks(blocks)...)
	}
	return f.all
}

func checkSlackConn(in engine.CheckInput, conn *slackConn, f *findings) {
	webhook := !conn.URL.IsZero()
	switch {
	case conn.Token.IsZero() && !webhook:
		f.complain(aboutConn, "the connection has neither token nor url", "token: env:SLACK_BOT_TOKEN")
	case !conn.Token.IsZero() && webhook:
		f.complain(aboutConn, "the connection has both token and url", "keep the token, which can do more")
	case webhook && len(givenOf(in, "thread")) > 0:
		f.complain("thread", "an incoming webhook cannot thread", "use a connection with token: env:SLACK_BOT_TOKEN")
	case !webhook && conn.Channel == "" && len(givenOf(in, "channel")) == 0:
		f.complain("", "the message has no channel", "give the step or its connection a channel: channel: ops")
	}
	switch url := conn.URL.Reveal(); {
	case webhook && !webURL(url):
		f.complain(aboutConn+".url", "the connection's url is not a web address", "it looks like https://hooks.slack.com/services/…")
	case strings.HasPrefix(url, "http://") && !nearbyURL(url):
		f.warn(aboutConn+".url", "the connection's url has no TLS: anyone on the way can read and change the messages", "use https://")
	}
	if conn.API != "" && !webURL(conn.API) {
		f.complain(aboutConn+".api", "the connection's api is not a web address", "leave it out for slack.com")
	}
	if strings.HasPrefix(conn.Token.Reveal(), "https://hooks.") {
		f.warn(aboutConn+".token", "the connection's token is a web address", "an incoming webhook is url: env:NAME")
	}
}

const longestChannel = 80

var (
	// https://docs.slack.dev/reference/methods/conversations.create#naming
	channelName = regexp.MustCompile(`^[\p{Ll}\p{Lo}\p{N}_-]+$`) // and at most longestChannel
	notChannel  = regexp.MustCompile(`[^\p{Ll}\p{Lo}\p{N}_]+`)
)

// warnChannel warns of a name that no channel can have.
func warnChannel(channel string, f *findings) {
	name := strings.TrimPrefix(channel, "#")
	if (channelName.MatchString(name) && utf8.RuneCountInString(name) <= longestChannel) || slackID.MatchString(name) || strings.HasPrefix(name, "@") {
		return
	}
	hint := "use its name as Slack shows it behind the #, or its id"
	if near := strings.Trim(notChannel.ReplaceAllString(strings.ToLower(name), "-"), "-"); near != "" {
		hint = "did you mean " + near + "? " + hint
	}
	f.warn("channel", fmt.Sprintf("%q is no name of a channel: those are lower case, without spaces and points", excerpt([]byte(channel))), hint)
}

func webURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http")
}

func nearbyURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && nearby(u.Hostname())
}
