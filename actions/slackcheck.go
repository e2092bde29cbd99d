package actions

import (
	"fmt"
	"net/mail"
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
	}
	checkSlackKind(in, f)
	checkSlackTexts(in, f)
	if channel, ok := in.With["channel"].(string); ok {
		checkChannel(channel, f)
	}
	checkEmoji(in, f)
	if blocks, ok := in.With["blocks"]; ok {
		f.all = append(f.all, checkBlocks(blocks)...)
	} else if text, ok := in.Text["blocks"]; ok {
		f.all = append(f.all, checkBlocks(text)...)
	}
	return f.all
}

// checkSlackKind finds parameters that do not go together.
func checkSlackKind(in engine.CheckInput, f *findings) {
	has := func(name string) bool { return len(givenOf(in, name)) > 0 }
	switch reacts := has("react"); {
	case reacts && !has("to_message"):
		f.complain("react", "react needs to_message, the key of the message it is for", "to_message: ${session.id}, as thread or update of an earlier step gave it")
	case has("to_message") && !reacts:
		f.complain("to_message", "to_message is for react alone", "to answer a message: thread, to edit it: update")
	case reacts:
		for _, name := range givenOf(in, "text", "thread", "opener", "also_to_channel", "update", "fields", "blocks") {
			f.complain(name, "a step that reacts posts nothing: "+name+" means nothing", "write two steps")
		}
	case !has("text"):
		f.complain("", "the message has no text", "text: ${room.name} …; with blocks it is what notifications and screen readers get")
	}
	for _, x := range []struct{ name, needs, what string }{
		{"opener", "thread", "opener is the root of a thread, and the step has none"},
		{"also_to_channel", "thread", "also_to_channel is for answers in a thread, and the step has none"},
	} {
		if has(x.name) && !has(x.needs) {
			f.complain(x.name, x.what, "thread: ${session.id}")
		}
	}
	for _, x := range []struct{ name, other, hint string }{
		{"opener", "update", "the step's own text is the root then: leave opener out"},
		{"also_to_channel", "update", "Slack shows edits nowhere else: leave one of them out"},
		{"fields", "blocks", "put the fields into a block of type section"},
		{"channel", "to", "a message goes to a channel or to a person: leave one of them out"},
	} {
		if has(x.name) && has(x.other) {
			f.complain(x.name, x.name+" and "+x.other+" do not go together", x.hint)
		}
	}
}

// checkSlackTexts compares what is known of the texts with Slack's limits.
func checkSlackTexts(in engine.CheckInput, f *findings) {
	text, known := in.With["text"].(string)
	switch n := utf8.RuneCountInString(text); {
	case known && strings.TrimSpace(text) == "":
		f.complain("text", "the text is empty", "text: ${room.name} …; with blocks it is what notifications and screen readers get")
	case len(givenOf(in, "update")) > 0 && n > maxSlackEdit:
		f.complain("text", fmt.Sprintf("%d characters, Slack takes %d when a message is edited", n, maxSlackEdit), "post a summary and a link")
	case len(givenOf(in, "blocks")) > 0 && n > maxSlackText:
		f.complain("text", fmt.Sprintf("%d characters, Slack takes %d", n, maxSlackText), "with blocks it is for notifications alone: post a summary")
	}
	if opener, ok := in.With["opener"].(string); ok && utf8.RuneCountInString(opener) > maxSlackText {
		f.complain("opener", fmt.Sprintf("the opener has more than %d characters", maxSlackText), "shorten it")
	}
	if to, ok := in.With["to"].(string); ok && !isAddress(to) {
		f.complain("to", fmt.Sprintf("%q is no e-mail address", excerpt([]byte(to))), "to: maria@example.com; a channel is channel:")
	}
	fields, _ := in.With["fields"].([]map[string]string)
	if len(fields) > maxFields {
		f.complain("fields", fmt.Sprintf("%d fields, Slack takes %d", len(fields), maxFields), "put the rest into the text")
	}
	for i, entry := range fields {
		if len(entry) != 1 {
			f.complain(fmt.Sprintf("fields[%d]", i), fmt.Sprintf("a field has one label, and this one has %d", len(entry)), "one entry each: - Room: ${room.name}")
		}
	}
}

// emojiName is the name of an emoji, perhaps with a skin tone.
// https://docs.slack.dev/reference/methods/reactions.add
var emojiName = regexp.MustCompile(`^[a-z0-9_+'-]+(::skin-tone-[2-6])?$`)

// emoji is the name in react, which people also write :so:.
func emoji(react string) string { return strings.Trim(strings.TrimSpace(react), ":") }

// wrongEmoji says why no emoji can be called like that, "" if one can.
func wrongEmoji(react string) string {
	if emojiName.MatchString(emoji(react)) {
		return ""
	}
	return fmt.Sprintf("%q is no name of an emoji", excerpt([]byte(react)))
}

func checkEmoji(in engine.CheckInput, f *findings) {
	react, known := in.With["react"].(string)
	if wrong := wrongEmoji(react); known && wrong != "" {
		f.complain("react", wrong, "react: thumbsup, the name that Slack shows between colons")
	}
}

// wrong is what cannot be sent, whatever Slack says to it.
func (s *slackStep) wrong() string {
	p := s.p
	webhook := !s.conn.URL.IsZero()
	switch {
	case webhook && p.beyondWebhook() != "":
		return p.beyondWebhook() + ": use a connection with a token"
	case p.React != "" && p.ToMessage == "":
		return "to_message is empty: it is the key of the message to react to"
	case p.React != "" && wrongEmoji(p.React) != "":
		return "react: " + wrongEmoji(p.React) + ": it is what Slack shows between colons, like thumbsup"
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

// isAddress reports whether text can be an e-mail address.
func isAddress(text string) bool {
	a, err := mail.ParseAddress(text)
	return err == nil && a.Name == "" && a.Address == strings.TrimSpace(text)
}

func checkSlackConn(in engine.CheckInput, conn *slackConn, f *findings) {
	webhook := !conn.URL.IsZero()
	switch {
	case conn.Token.IsZero() && !webhook:
		f.complain(aboutConn, "the connection has neither token nor url", "token: env:SLACK_BOT_TOKEN")
	case !conn.Token.IsZero() && webhook:
		f.complain(aboutConn, "the connection has both token and url", "keep the token, which can do more")
	case webhook:
		for _, x := range webhookLimits() {
			if len(givenOf(in, x.param)) > 0 {
				f.complain(x.param, x.what, "use a connection with token: env:SLACK_BOT_TOKEN")
			}
		}
	case conn.Channel == "" && len(givenOf(in, "channel", "to")) == 0:
		f.complain("", "the message has no channel", "give the step or its connection a channel: channel: ops")
	}
	if webhook && len(givenOf(in, "channel")) > 0 {
		f.warn("channel", "an incoming webhook posts to its own channel", "leave channel out, or use a connection with a token")
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
	if token := conn.Token.Reveal(); webURL(token) && !strings.Contains(token, ".invalid/") { // which stands for one that was not looked up
		f.warn(aboutConn+".token", "the connection's token is a web address", "xoxb-… belongs there; an incoming webhook is url: env:NAME")
	}
}

const longestChannel = 80

var (
	// https://docs.slack.dev/reference/methods/conversations.create#naming
	channelName = regexp.MustCompile(`^[\p{Ll}\p{Lo}\p{N}_-]+$`) // and at most longestChannel
	notChannel  = regexp.MustCompile(`[^\p{Ll}\p{Lo}\p{N}_]+`)
)

// checkChannel finds a person, and warns of a name that no channel can have.
func checkChannel(channel string, f *findings) {
	name := strings.TrimPrefix(channel, "#")
	if strings.HasPrefix(name, "@") {
		f.complain("channel", fmt.Sprintf("%q is a person, and no channel", excerpt([]byte(channel))), "to: maria@example.com, the address that the person has in Slack")
		return
	}
	if (channelName.MatchString(name) && utf8.RuneCountInString(name) <= longestChannel) || slackID.MatchString(name) {
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
