package secrets

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
)

// canary is a secret that must not be found.
type canary struct {
	name string // of the variable or file that holds it
	text string
}

// newCanary makes a secret that nothing else contains.
func newCanary(name, form string) canary {
	sum := sha256.Sum256([]byte("canary " + name))
	return canary{name, fmt.Sprintf(form, hex.EncodeToString(sum[:12]))}
}

// forms are the ways a secret may be written down.
func (c canary) forms() map[string][]byte {
	all := map[string][]byte{
		"plain":     []byte(c.text),
		"in hex":    []byte(hex.EncodeToString([]byte(c.text))),
		"in HEX":    []byte(strings.ToUpper(hex.EncodeToString([]byte(c.text)))),
		"in a URL":  []byte(url.QueryEscape(c.text)),
		"in a path": []byte(url.PathEscape(c.text)),
	}
	// In base64 a text looks different at each of three offsets. The characters
	// at its edges depend on what stands beside it.
	for shift := range 3 {
		text := append(bytes.Repeat([]byte{0}, shift), c.text...)
		for name, enc := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64url": base64.RawURLEncoding} {
			coded := enc.EncodeToString(text)
			all[fmt.Sprintf("in %s, offset %d", name, shift)] = []byte(coded[(shift*4+2)/3 : len(coded)-2])
		}
	}
	return all
}

// found says where canaries stand in what a server left behind; nil if nowhere.
func found(all []canary, where string, text []byte) (hits []string) {
	for _, c := range all {
		for form, x := range c.forms() {
			if i := bytes.Index(text, x); i >= 0 {
				hits = append(hits, fmt.Sprintf("%s stands %s in %s: …%s…", c.name, form, where, around(text, i, len(x))))
			}
		}
	}
	return hits
}

// around is what stands before and behind a hit.
func around(text []byte, at, length int) string {
	shown := func(b []byte) string { return strings.Trim(fmt.Sprintf("%q", b), `"`) }
	return shown(text[max(0, at-60):at]) + "[HERE]" + shown(text[at+length:min(len(text), at+length+40)])
}
