package actions

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// escapeSlack makes inserted text plain: what a participant is called cannot
// mention a channel, hide a link, turn the line around or end the bold type
// around it. Slack's own three characters become entities; those that format
// become others that look like them, for Slack knows no way to escape them;
// line breaks become spaces, so that nobody adds a line to a message;
// characters that cannot be seen (controls, zero-width and direction marks) are
// dropped. An address stays as it is, but for what an address cannot hold.
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
	if webAddress.MatchString(text) {
		text = strings.ReplaceAll(text, "`", "%60") // the others format nothing in an address
	} else {
		text = unformatted(text)
	}
	if slackCommand.MatchString(text) {
		// In a rule's own brackets, <${room.name}>, this would be a command.
		text = " " + text
	}
	text = strings.ReplaceAll(text, "&", "&amp;")
	text = strings.ReplaceAll(text, "<", "&lt;")
	return strings.ReplaceAll(text, ">", "&gt;")
}

var (
	// slackCommand is what means something behind a <: a broadcast, a person, a channel.
	slackCommand = regexp.MustCompile(`^(![a-z]|@[UW][A-Z0-9]|#C[A-Z0-9])`)
	webAddress   = regexp.MustCompile(`^https?://[^\s<>|*]+$`)
	// slackMention is what some clients take for a mention without brackets.
	slackMention = regexp.MustCompile(`(?i)(^|[^a-z0-9])@(here|channel|everyone|group)\b`)
)

// unformatted puts other characters in the place of those that format. * _ and
// ~ do so at the edge of a word alone: snake_case stays as it is.
func unformatted(text string) string {
	if rest := strings.TrimLeft(text, "> "); len(rest) < len(text) { // a quotation, at the start of a line
		text = strings.ReplaceAll(text[:len(text)-len(rest)], ">", "›") + rest
	}
	looks := map[rune]rune{'*': '∗', '_': 'ˍ', '~': '∼', '`': 'ˋ'}
	var b strings.Builder
	before := ' '
	for i, r := range text {
		after, _ := utf8.DecodeRuneInString(text[i+utf8.RuneLen(r):])
		if like, formats := looks[r]; formats && (r == '`' || !inWord(before) || !inWord(after)) {
			b.WriteRune(like)
		} else {
			b.WriteRune(r)
		}
		before = r
	}
	return slackMention.ReplaceAllString(b.String(), "$1＠$2")
}

func inWord(r rune) bool { return r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r)) }

// addressOrLink is an address, or a link, which may have one in it.
var addressOrLink = regexp.MustCompile(`<[^<>]*>|https?://[^\s<>|]*[^\s<>|.,;:!?)*_~]`)

// linkedSlack makes links of the addresses in a text, which Slack does by
// itself with a new message and not with an edited one.
func linkedSlack(text string) string {
	return addressOrLink.ReplaceAllStringFunc(text, func(found string) string {
		if strings.HasPrefix(found, "<") {
			return found
		}
		return "<" + found + ">"
	})
}

func unescapeSlack(text string) string {
	text = strings.ReplaceAll(text, "&lt;", "<")
	text = strings.ReplaceAll(text, "&gt;", ">")
	return strings.ReplaceAll(text, "&amp;", "&")
}
