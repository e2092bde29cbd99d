package actions

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/slack-go/slack"
)

// Limits of blocks, in characters.
// https://docs.slack.dev/reference/block-kit/blocks/section-block
const (
	maxSection = 3_000
	maxField   = 2_000
	maxFields  = 10
	// Slack takes some 12,000 characters in the blocks of one message, and
	// documents no number.
	maxSections   = 6_000 // in our own sections
	maxFieldsText = 4_000 // in our own fields
)

// parts are the messages that the step's text and blocks make: one, unless the
// text is too long for it.
func (s *slackStep) parts() ([]outgoing, error) {
	switch {
	case s.p.Blocks != nil:
		blocks, err := renderedBlocks(s.p.Blocks)
		return []outgoing{{text: s.p.Text, blocks: blocks}}, err
	case len(s.p.Fields) > 0:
		return s.withFields()
	}
	var all []outgoing
	for _, text := range splitSlack(s.p.Text, maxSlackText) {
		all = append(all, outgoing{text: text})
	}
	return all, nil
}

// field is a label and its value.
type field struct{ label, value string }

func (f field) mrkdwn() string { return "*" + f.label + "*\n" + f.value }
func (f field) plain() string  { return f.label + ": " + f.value }

// fieldsOf are the fields in their order; several in one entry are sorted.
func fieldsOf(entries []map[string]string) []field {
	var all []field
	for _, entry := range entries {
		labels := make([]string, 0, len(entry))
		for label := range entry {
			labels = append(labels, label)
		}
		slices.Sort(labels)
		for _, label := range labels {
			all = append(all, field{label, entry[label]})
		}
	}
	return all
}

// withFields makes blocks of text and fields. A value that is too long for a
// field goes below the text; what is too long for one message becomes several,
// the last of them with the fields.
func (s *slackStep) withFields() ([]outgoing, error) {
	text, room := s.p.Text, maxFieldsText
	var short []field
	for _, f := range fieldsOf(s.p.Fields) {
		if n := utf8.RuneCountInString(f.mrkdwn()); n <= maxField && n <= room {
			short = append(short, f)
			room -= n
			continue
		}
		text += "\n" + f.mrkdwn()
	}
	if utf8.RuneCountInString(text) <= maxSections {
		m := outgoing{text: withPlain(text, short), blocks: s.blocks(text, short)}
		if s.p.Update == "" {
			return []outgoing{m}, nil
		}
		// What is shown are the blocks; the text, which is for notifications,
		// has to be short.
		if utf8.RuneCountInString(m.text) > maxSlackEdit {
			m.text = s.p.Text
		}
		return []outgoing{m}, nil
	}
	if s.p.Update != "" {
		return nil, fmt.Errorf("slack: text and fields have more than %d characters, too many for a message that is edited: shorten them", maxSections)
	}
	var all []outgoing
	for _, part := range splitSlack(text, maxSlackText) {
		all = append(all, outgoing{text: part})
	}
	if len(short) == 0 {
		return all, nil
	}
	return append(all, outgoing{text: withPlain("", short), blocks: s.blocks("", short)}), nil
}

// withPlain is text with the fields, for notifications and screen readers.
func withPlain(text string, fields []field) string {
	lines := []string{text}
	if text == "" {
		lines = nil
	}
	for _, f := range fields {
		lines = append(lines, f.plain())
	}
	return strings.Join(lines, "\n")
}

// blocks shows text, fields and which rule the message is from.
func (s *slackStep) blocks(text string, fields []field) []slack.Block {
	var all []slack.Block
	if text != "" {
		for _, part := range splitSlack(text, maxSection) {
			all = append(all, slack.NewSectionBlock(slack.NewTextBlockObject(slack.MarkdownType, part, false, false), nil, nil))
		}
	}
	if len(fields) > 0 {
		var texts []*slack.TextBlockObject
		for _, f := range fields {
			texts = append(texts, slack.NewTextBlockObject(slack.MarkdownType, f.mrkdwn(), false, false))
		}
		all = append(all, slack.NewSectionBlock(nil, texts, nil))
	}
	if s.Rule != "" {
		all = append(all, slack.NewContextBlock("", slack.NewTextBlockObject(slack.PlainTextType, "rule "+s.Rule, false, false)))
	}
	return all
}

// renderedBlocks are the blocks as slack-go sends them, checked against the
// limits Slack would refuse them for. The YAML an admin took from Slack's Block
// Kit Builder is passed on as it is, also blocks that are newer than slack-go.
func renderedBlocks(given any) ([]slack.Block, error) {
	for _, c := range checkBlocks(given) {
		if !c.Warning {
			if c.Param == "blocks" { // it says so itself
				return nil, fmt.Errorf("slack: %s", c.What)
			}
			return nil, fmt.Errorf("slack: %s: %s", c.Param, c.What)
		}
	}
	list, _ := given.([]any) // checked
	blocks := make([]slack.Block, 0, len(list))
	for i, b := range list {
		text, err := json.Marshal(plainAddresses("", b))
		if err != nil {
			return nil, fmt.Errorf("slack: blocks[%d]: %w", i, err)
		}
		block, err := slack.BlockFromJSON(string(text))
		if err != nil {
			return nil, fmt.Errorf("slack: blocks[%d]: %w", i, err)
		}
		blocks = append(blocks, block)
	}
	return blocks, nil
}

// plainAddresses takes the entities out of addresses: text inserted into
// blocks was escaped as markup, and Slack reads no markup there.
func plainAddresses(key string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, x := range v {
			out[k] = plainAddresses(k, x)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = plainAddresses(key, x)
		}
		return out
	case string:
		if key == "url" || strings.HasSuffix(key, "_url") {
			return unescapeSlack(v)
		}
	}
	return v
}
