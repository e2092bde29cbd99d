package actions

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

// splitSlack breaks text into parts of at most most characters: between lines
// if it can, else between words, and never within an entity (&amp;) or a link
// (<https://…|label>). Nothing is lost but the break it is split at.
func splitSlack(text string, most int) []string {
	var parts []string
	for utf8.RuneCountInString(text) > most {
		end := len(firstRunes(text, most))
		at, skip := breakBefore(text, end)
		parts = append(parts, text[:at])
		text = text[at+skip:]
	}
	return append(parts, text)
}

// breakBefore is where to break text at end at the latest, and how many bytes
// there are the break itself.
func breakBefore(text string, end int) (at, skip int) {
	for _, sep := range []string{"\n", " "} {
		// One byte more: a break right behind the end is a good one.
		for from := min(end+1, len(text)); from > end/2; {
			i := strings.LastIndex(text[:from], sep)
			if i <= end/2 {
				break
			}
			if start := markupAt(text, i); start < 0 {
				return i, len(sep)
			}
			from = i
		}
	}
	if start := markupAt(text, end); start > 0 {
		return start, 0
	}
	return end, 0
}

var (
	slackEntity = regexp.MustCompile(`^&(amp|lt|gt|#[0-9]{1,7});`)
	slackLink   = regexp.MustCompile(`^<(https?:|mailto:|tel:|[@!#])[^<>\n]+>`)
)

const (
	longestEntity = len("&#1114111;")
	longestLink   = 4_000
)

// markupAt is the start of the entity or link that at lies in, -1 if in none.
func markupAt(text string, at int) int {
	near := max(0, at-longestEntity)
	if i := strings.LastIndexByte(text[near:at], '&'); i >= 0 {
		if n := len(slackEntity.FindString(text[near+i:])); near+i+n > at {
			return near + i
		}
	}
	if i := strings.LastIndexByte(text[:at], '<'); i >= 0 && at-i < longestLink {
		if n := len(slackLink.FindString(text[i:min(i+longestLink, len(text))])); i+n > at {
			return i
		}
	}
	return -1
}

// firstRunes is the start of text, of at most n characters.
func firstRunes(text string, n int) string {
	for i := range text {
		if n == 0 {
			return text[:i]
		}
		n--
	}
	return text
}
