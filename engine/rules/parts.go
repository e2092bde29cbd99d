package rules

import (
	"encoding/json"
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"
)

// Parts are the texts that a set is made of, by name: "timezone", "lists.vips",
// "rules.long-session.if". Layout and comments are not among them.
func (s *Set) Parts() map[string]string {
	var kept saved
	_ = json.Unmarshal(s.text, &kept) // we have written it
	parts := map[string]string{}
	for _, f := range kept.Files {
		var doc yaml.Node
		if yaml.Unmarshal([]byte(f.Text), &doc) != nil || len(doc.Content) == 0 { // it has been read before
			continue
		}
		eachPair(doc.Content[0], func(section string, n *yaml.Node) { addParts(parts, section, n) })
	}
	for _, f := range kept.Lists {
		parts["files."+f.Name] = f.Text
	}
	return parts
}

func addParts(parts map[string]string, section string, n *yaml.Node) {
	switch {
	case section == "rules" && n.Kind == yaml.SequenceNode:
		for _, rule := range n.Content {
			id := ""
			eachPair(rule, func(key string, v *yaml.Node) {
				if key == "id" {
					id = v.Value
				}
			})
			eachPair(rule, func(key string, v *yaml.Node) { parts["rules."+id+"."+key] = onOneLine(v) })
		}
	case n.Kind == yaml.MappingNode:
		eachPair(n, func(name string, v *yaml.Node) { parts[section+"."+name] = onOneLine(v) })
	default:
		parts[section] = onOneLine(n)
	}
}

// eachPair calls do for the entries of a map.
func eachPair(n *yaml.Node, do func(key string, value *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		do(n.Content[i].Value, n.Content[i+1])
	}
}

// onOneLine is a value on one line, much as people write it.
func onOneLine(n *yaml.Node) string {
	var all []string
	switch n.Kind {
	case yaml.MappingNode:
		eachPair(n, func(key string, v *yaml.Node) { all = append(all, key+": "+onOneLine(v)) })
		return "{ " + strings.Join(all, ", ") + " }"
	case yaml.SequenceNode:
		for _, c := range n.Content {
			all = append(all, onOneLine(c))
		}
		return "[" + strings.Join(all, ", ") + "]"
	}
	if n.Value == "" || strings.Contains(strings.TrimSpace(n.Value), "\n") {
		return fmt.Sprintf("%q", n.Value)
	}
	return strings.TrimSpace(n.Value)
}
