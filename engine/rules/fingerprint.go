package rules

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// decisive are the keys of a rule that decide when it fires: its timers and
// counters go on while they stay the same.
func decisive() []string {
	return []string{"id", "when", "from", "if", "count", "hold", "expect", "once", "cooldown", "digest", "mode"}
}

// fingerprint names the content of the decisive keys. Comments, quotes, the
// order of keys and the layout make no difference. zone is the time zone of
// what is due by the clock.
func fingerprint(got map[string]node, zone string) string {
	h := sha256.New()
	fmt.Fprintf(h, "%d:%s", len(zone), zone)
	for _, name := range decisive() {
		if n, given := got[name]; given {
			fmt.Fprintf(h, "%s=", name)
			hashNode(h, n.Node)
		}
	}
	return hex.EncodeToString(h.Sum(nil))[:24]
}

// hashNode writes what a value says. Every part carries its length or ends
// with a mark, so that no two values are written alike.
func hashNode(h hash.Hash, n *yaml.Node) {
	switch n.Kind {
	case yaml.MappingNode:
		at := make([]int, 0, len(n.Content)/2)
		for i := 0; i+1 < len(n.Content); i += 2 {
			at = append(at, i)
		}
		slices.SortFunc(at, func(a, b int) int { return strings.Compare(n.Content[a].Value, n.Content[b].Value) })
		fmt.Fprintf(h, "{%d ", len(at))
		for _, i := range at {
			hashNode(h, n.Content[i])
			hashNode(h, n.Content[i+1])
		}
	case yaml.SequenceNode:
		fmt.Fprintf(h, "[%d ", len(n.Content))
		for _, c := range n.Content {
			hashNode(h, c)
		}
	default:
		// Broken into lines or not: an expression reads the same.
		text := strings.ReplaceAll(strings.TrimSpace(n.Value), "\n", " ")
		fmt.Fprintf(h, "%d:%s", len(text), text)
	}
}

// Words names what decides when a rule fires; "" if there is no such rule, or
// it is not enabled.
func (s *Set) Words(rule string) string {
	if r, ok := s.byID[rule]; ok && r.Enabled {
		return r.fingerprint
	}
	return ""
}
