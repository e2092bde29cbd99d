package slacktest

import (
	"encoding/json"
	"fmt"
	"slices"
	"unicode/utf8"
)

// wrongBlocks compares blocks with Slack's limits; nil: they are fine.
// https://docs.slack.dev/reference/block-kit/blocks
func wrongBlocks(raw json.RawMessage) reply {
	var blocks []map[string]any
	if json.Unmarshal(raw, &blocks) != nil {
		return refused("invalid_blocks_format")
	}
	c := blockLimits{}
	c.list("/blocks", len(blocks), 50)
	for i, b := range blocks {
		c.block(fmt.Sprintf("/blocks/%d", i), b)
	}
	switch {
	case len(c.wrong) > 0:
		return reply{"ok": false, "error": "invalid_blocks", "response_metadata": reply{"messages": c.wrong}}
	case c.total > 13_000:
		return refused("msg_blocks_too_long")
	}
	return nil
}

type blockLimits struct {
	wrong []string
	ids   []string
	total int
}

func (c *blockLimits) say(at, what string) {
	c.wrong = append(c.wrong, fmt.Sprintf("[ERROR] %s [json-pointer:%s]", what, at))
}

func (c *blockLimits) block(at string, b map[string]any) {
	if id, _ := b["block_id"].(string); id != "" {
		if slices.Contains(c.ids, id) {
			c.say(at+"/block_id", "must be unique")
		}
		c.ids = append(c.ids, id)
	}
	c.length(at+"/block_id", b["block_id"], 255)
	elements, _ := b["elements"].([]any)
	fields, _ := b["fields"].([]any)
	switch b["type"] {
	case nil, "":
		c.say(at, "missing required field: type")
	case "section":
		if b["text"] == nil && fields == nil {
			c.say(at, "missing required field: text")
		}
		c.text(at+"/text", b["text"], 3000)
		c.list(at+"/fields", len(fields), 10)
		for i, f := range fields {
			c.text(fmt.Sprintf("%s/fields/%d", at, i), f, 2000)
		}
		if a, ok := b["accessory"].(map[string]any); ok {
			c.element(at+"/accessory", a)
		}
	case "header":
		c.text(at+"/text", b["text"], 150)
	case "context":
		c.list(at+"/elements", len(elements), 10)
		for i, e := range elements {
			if m, _ := e.(map[string]any); m["type"] != "image" {
				c.text(fmt.Sprintf("%s/elements/%d", at, i), e, 3000)
			}
		}
	case "actions":
		c.list(at+"/elements", len(elements), 25)
		for i, e := range elements {
			m, _ := e.(map[string]any)
			c.element(fmt.Sprintf("%s/elements/%d", at, i), m)
		}
	case "image":
		c.length(at+"/image_url", b["image_url"], 3000)
		c.length(at+"/alt_text", b["alt_text"], 2000)
		if b["alt_text"] == nil {
			c.say(at, "missing required field: alt_text")
		}
	}
}

func (c *blockLimits) element(at string, e map[string]any) {
	c.length(at+"/action_id", e["action_id"], 255)
	if e["type"] == "button" {
		c.text(at+"/text", e["text"], 75)
		c.length(at+"/url", e["url"], 3000)
		c.length(at+"/value", e["value"], 2000)
	}
}

// text checks a text object, if there is one.
func (c *blockLimits) text(at string, v any, most int) {
	if v == nil {
		return
	}
	m, _ := v.(map[string]any)
	text, _ := m["text"].(string)
	if text == "" || m["type"] != "mrkdwn" && m["type"] != "plain_text" {
		c.say(at, "must be a text object with a text")
	}
	c.total += utf8.RuneCountInString(text)
	c.length(at+"/text", m["text"], most)
}

func (c *blockLimits) length(at string, v any, most int) {
	if text, _ := v.(string); utf8.RuneCountInString(text) > most {
		c.say(at, fmt.Sprintf("must be less than %d characters", most+1))
	}
}

func (c *blockLimits) list(at string, n, most int) {
	if n > most {
		c.say(at, fmt.Sprintf("no more than %d items allowed", most))
	}
}
