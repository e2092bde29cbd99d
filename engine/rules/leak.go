package rules

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// What follows finds secrets that are written as text where nobody asks for
// one: no message quotes them, and a warning says where they belong.

// tokenLooks finds what is a secret by its looks: tokens of Slack, GitHub and
// Stripe, keys of AWS, JWTs, addresses of Slack's incoming webhooks, private
// keys, a password in an address, and what follows Bearer or token=.
var tokenLooks = regexp.MustCompile(`xox[a-z]-[\w-]{8,}|xapp-[\w-]{8,}|gh[pousr]_\w{16,}|github_pat_\w{16,}|[sr]k_(?:live|test)_\w{8,}|AKIA[0-9A-Z]{16}|` +
	`eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]+)?|hooks\.slack\.com/(?:services|workflows|triggers)/[\w/-]+|-----BEGIN [A-Z ]*PRIVATE KEY-----|` +
	`://[^\s/@:$]+:[^\s/@$]+@|(?i:\bbearer +[a-z+/=._~-]*\d[\w+/=.~-]{5,})|` +
	`[?&](?i:[a-z_-]*(?:token|secret|password|passwd|api[_-]?key|signature))=[^&\s$"']{3,}`)

// tokenSigns are what every such text has at least one of: to look for them
// costs little.
func tokenSigns() []string {
	return []string{"xox", "xapp-", "gh", "k_", "AKIA", "eyJ", "slack.com", "PRIVATE", "://", "earer", "EARER", "="}
}

func mayHoldToken(text string) bool {
	return slices.ContainsFunc(tokenSigns(), func(sign string) bool { return strings.Contains(text, sign) })
}

// maskTokens replaces such secrets in what messages quote.
func maskTokens(text string) string {
	if !mayHoldToken(text) {
		return text
	}
	return tokenLooks.ReplaceAllStringFunc(text, func(token string) string {
		switch {
		case strings.HasPrefix(token, "://"):
			return "://…@"
		case token[0] == '?' || token[0] == '&':
			name, _, _ := strings.Cut(token, "=")
			return name + "=…"
		}
		return "…"
	})
}

// secretName is a key whose value is a secret.
var secretName = regexp.MustCompile(`(?i)^(?:[\w-]*[_-])?(?:secret|token|password|passwd|api[_-]?key|authorization|cookie)$`)

// leaks warns of secrets in the texts of n.
func (l *loader) leaks(n node) {
	switch n.Kind {
	case yaml.SequenceNode:
		for _, c := range n.children() {
			c.key = n.key
			l.leaks(c)
		}
	case yaml.MappingNode:
		for _, e := range n.entries() {
			l.leaks(e)
		}
	case yaml.ScalarNode:
		if !n.leaks() {
			return
		}
		n.doc.hide(n.Node)
		n.add(issue{Code: "looks-secret", Warning: true, What: fmt.Sprintf("%s seems to hold a secret", n.what()), Why: "rules files are copied, shown and kept in version control",
			Hint: "give it to a connection as a reference, such as bearer: env:CRM_TOKEN, and change it: who has seen the file knows it"})
	}
}

func (n node) leaks() bool {
	if n.Tag != "!!str" || isReference(n.Value) {
		return false
	}
	return mayHoldToken(n.Value) && tokenLooks.MatchString(n.Value) || secretName.MatchString(n.name()) && n.Value != "" && !hasTemplate(n.Value)
}
