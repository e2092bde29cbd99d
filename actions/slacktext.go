package actions

import (
	"regexp"
	"strings"
	"unicode"
)

// escapeSlack makes inserted text plain: what a participant is called cannot
// mention a channel, hide a link or turn the line around. Slack's own three
// characters become entities; line breaks become spaces, so that nobody adds
// a line to a message; characters that cannot be seen (controls, zero-width
// and direction marks) are dropped.
// https://docs.slack.dev/messaging/formatting-message-text#escaping
func escapeSlack(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\u2028' || r == '\u2029':
			return ' '
		case unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Cs):
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
	if slackCommand.MatchString(text) {
		// In a rule's own brackets, <${room.name}>, this would be a command.
		text = " " + text
	}
	text = strings.ReplaceAll(text, "&", "&amp;")
	text = strings.ReplaceAll(text, "<", "&lt;")
	return strings.ReplaceAll(text, ">", "&gt;")
}

// slackCommand is what means something behind a <: a broadcast, a person, a channel.
var slackCommand = regexp.MustCompile(`^(![a-z]|@[UW][A-Z0-9]|#C[A-Z0-9])`)

func unescapeSlack(text string) string {
	text = strings.ReplaceAll(text, "&lt;", "<")
	text = strings.ReplaceAll(text, "&gt;", ">")
	return strings.ReplaceAll(text, "&amp;", "&")
}
