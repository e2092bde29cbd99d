package rules

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"regexp"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// EditorJSON is a YAML file as editors hold it against a schema: by the core schema
// of YAML 1.2, in which yes is a text and 0123 a number. Keys keep their order.
// https://yaml.org/spec/1.2.2/#103-core-schema
func EditorJSON(text []byte) (json.RawMessage, error) {
	root, more, err := decode(string(bytes.TrimPrefix(text, []byte("\uFEFF"))))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read YAML: %w", err)
	case more:
		return nil, errors.New("read YAML: there are several documents")
	case root == nil:
		return json.RawMessage("null"), nil
	}
	var b bytes.Buffer
	if err := writeJSON(&b, root, 0); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func writeJSON(b *bytes.Buffer, n *yaml.Node, depth int) error {
	if depth > maxLevels { // also an alias within what it stands for
		return fmt.Errorf("read YAML: lists and maps are nested deeper than %d", maxLevels)
	}
	switch n.Kind {
	case yaml.AliasNode:
		return writeJSON(b, n.Alias, depth+1)
	case yaml.ScalarNode:
		b.Write(scalarJSON(n))
		return nil
	}
	signs, step := "[]", 1
	if n.Kind == yaml.MappingNode {
		signs, step = "{}", 2
	}
	b.WriteByte(signs[0])
	for i := 0; i+step <= len(n.Content); i += step {
		if i > 0 {
			b.WriteByte(',')
		}
		if step == 2 {
			b.Write(jsonText(n.Content[i].Value))
			b.WriteByte(':')
		}
		if err := writeJSON(b, n.Content[i+step-1], depth+1); err != nil {
			return err
		}
	}
	b.WriteByte(signs[1])
	return nil
}

var (
	coreWhole = regexp.MustCompile(`^[-+]?[0-9]+$`)
	coreOther = regexp.MustCompile(`^0o[0-7]+$|^0x[0-9a-fA-F]+$`)
	coreFloat = regexp.MustCompile(`^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$`)
)

func scalarJSON(n *yaml.Node) []byte {
	if n.Style&^yaml.FlowStyle != 0 { // quoted, a block, or with a tag
		return jsonText(n.Value)
	}
	switch v := n.Value; {
	case v == "" || v == "~" || v == "null" || v == "Null" || v == "NULL":
		return []byte("null")
	case v == "true" || v == "True" || v == "TRUE":
		return []byte("true")
	case v == "false" || v == "False" || v == "FALSE":
		return []byte("false")
	case coreWhole.MatchString(v):
		number, _ := new(big.Int).SetString(v, 10)
		return []byte(number.String())
	case coreOther.MatchString(v):
		number, _ := new(big.Int).SetString(v, 0)
		return []byte(number.String())
	case coreFloat.MatchString(v):
		if number, err := strconv.ParseFloat(v, 64); err == nil {
			text, _ := json.Marshal(number) // no infinity is without an error
			return text
		}
	}
	return jsonText(n.Value)
}

func jsonText(text string) []byte {
	text = strings.ToValidUTF8(text, "\uFFFD")
	b, _ := marshal(text) // texts always marshal
	return b
}

// indent lays JSON out for people.
func indent(text []byte) []byte {
	var b bytes.Buffer
	_ = json.Indent(&b, text, "", "  ") // it was made by us
	b.WriteByte('\n')
	return b.Bytes()
}
