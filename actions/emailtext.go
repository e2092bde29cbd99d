package actions

import (
	"fmt"
	netmail "net/mail"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// How many characters of foreign text go into a header: its lines are at most
// 998 bytes long (RFC 5322, 2.1.1).
const (
	maxSubject  = 200
	maxMailName = 100
)

// parseAddress reads one address: ana@example.com, or Ana <ana@example.com>.
// Lists are lists in the rules: a comma begins no second address. What stands
// before the < is a name, whatever it holds.
func parseAddress(param, text string) (*netmail.Address, error) {
	text = strings.TrimSpace(text)
	name, address := "", text
	if at := strings.LastIndexByte(text, '<'); at >= 0 && strings.HasSuffix(text, ">") {
		name, address = strings.TrimSpace(text[:at]), strings.TrimSpace(text[at+1:len(text)-1])
		name = shortened(oneLine(strings.Trim(name, `"`)), maxMailName)
	}
	if address == "" {
		return nil, fmt.Errorf(`%s is empty, the address is not known: give one for the rest, ${participant.email ?? "office@example.com"}, or run the step if there is one`, param)
	}
	a, err := netmail.ParseAddress(address)
	// The parser takes more than an address: names, comments, quoted parts.
	if err != nil || a.Name != "" || a.Address != address || strings.ContainsFunc(address, notInAddress) || strings.Count(address, "@") != 1 || len(address) > 254 {
		return nil, fmt.Errorf("%s %q is no address: it looks like ana@example.com, one in each entry of a list", param, excerpt([]byte(text)))
	}
	return &netmail.Address{Name: name, Address: address}, nil
}

func notInAddress(r rune) bool {
	return !unicode.IsPrint(r) || strings.ContainsRune(` "'\(),:;<>[]`, r)
}

func containsFold(list []string, text string) bool {
	return slices.ContainsFunc(list, func(have string) bool { return strings.EqualFold(have, text) })
}

// oneLine is text for a header: what is not printed is a space, what hides or
// turns text is gone, and what looks like an encoded word (RFC 2047) is none,
// for mail programs would decode it into anything.
func oneLine(text string) string {
	line := strings.Map(func(r rune) rune {
		switch {
		case r == '\u200d' || unicode.IsPrint(r): // a joiner of emoji
			return r
		case unicode.Is(unicode.Cf, r):
			return -1
		}
		return ' '
	}, strings.ToValidUTF8(text, "\uFFFD"))
	return strings.TrimSpace(strings.ReplaceAll(line, "=?", "= ?"))
}

// mailText is text for a message: with the line ends of SMTP's encoders, and
// without what only terminals obey.
func mailText(text string) string {
	text = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(strings.ToValidUTF8(text, "\uFFFD"))
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\t':
			return r
		case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r):
			return utf8.RuneError
		}
		return r
	}, text)
}

// firstLine is the first line that says something.
func firstLine(text string) string {
	for line := range strings.Lines(text) {
		if line = oneLine(line); line != "" {
			return line
		}
	}
	return ""
}

func shortened(text string, most int) string {
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return text
}
