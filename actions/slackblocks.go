package actions

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/gavelhq/gavel/engine"
)

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

// checkBlocks compares blocks with Slack's limits.
// https://docs.slack.dev/reference/block-kit/blocks
func checkBlocks(blocks any) []engine.Complaint {
	c := &blockCheck{}
	list, ok := blocks.([]any)
	if !ok {
		c.complain("blocks", "blocks is not a list", "blocks: [ { type: section, text: { type: mrkdwn, text: … } } ]")
		return c.found
	}
	const most = 50
	if len(list) > most {
		c.complain("blocks", fmt.Sprintf("%d blocks, Slack takes %d", len(list), most), "")
	}
	for i, b := range list {
		c.block(fmt.Sprintf("blocks[%d]", i), b)
	}
	return c.found
}

type blockCheck struct{ found []engine.Complaint }

func (c *blockCheck) complain(param, what, hint string) {
	c.found = append(c.found, engine.Complaint{Param: param, What: what, Hint: hint})
}

// blockTypes are those a message can hold.
func blockTypes() []string {
	return []string{
		"actions", "alert", "auth_provider", "call", "card", "carousel", "container", "context", "context_actions",
		"data_table", "data_visualization", "divider", "file", "header", "image", "input", "layout", "markdown",
		"plan", "rich_text", "section", "table", "task_card", "video",
	}
}

func (c *blockCheck) block(at string, b any) {
	fields, ok := b.(map[string]any)
	if !ok {
		c.complain(at, "a block is a map with a type", "{ type: divider }")
		return
	}
	kind, _ := fields["type"].(string)
	c.length(at+".block_id", fields["block_id"], 255)
	switch kind {
	case "":
		c.complain(at, "the block has no type", "one of section, header, context, divider, image, actions, …")
	case "section":
		c.section(at, fields)
	case "header":
		c.text(at+".text", fields["text"], 150, true)
	case "context":
		c.list(at+".elements", fields["elements"], 10, func(at string, e any) {
			if m, ok := e.(map[string]any); ok && m["type"] == "image" {
				c.image(at, m)
				return
			}
			c.text(at, e, 3000, false)
		})
	case "actions":
		c.list(at+".elements", fields["elements"], 25, c.element)
	case "image":
		c.image(at, fields)
		if title, ok := fields["title"]; ok {
			c.text(at+".title", title, 2000, true)
		}
	default:
		if !slices.Contains(blockTypes(), kind) {
			c.found = append(c.found, engine.Complaint{Param: at + ".type", Warning: true,
				What: fmt.Sprintf("%q is no block type we know", excerpt([]byte(kind))), Hint: "one of " + strings.Join(blockTypes(), ", ")})
		}
	}
}

func (c *blockCheck) section(at string, fields map[string]any) {
	text, hasText := fields["text"]
	list, hasFields := fields["fields"]
	if !hasText && !hasFields {
		c.complain(at, "a section needs text or fields", "text: { type: mrkdwn, text: … }")
	}
	if hasText {
		c.text(at+".text", text, 3000, false)
	}
	if hasFields {
		c.list(at+".fields", list, 10, func(at string, f any) { c.text(at, f, 2000, false) })
	}
	if accessory, ok := fields["accessory"]; ok {
		c.element(at+".accessory", accessory)
	}
}

// element checks buttons and images; selects and pickers need an app that
// answers, and are passed on as they are.
func (c *blockCheck) element(at string, e any) {
	fields, ok := e.(map[string]any)
	if !ok {
		c.complain(at, "an element is a map with a type", "{ type: button, text: { type: plain_text, text: Open }, url: https://… }")
		return
	}
	switch fields["type"] {
	case "button":
		c.text(at+".text", fields["text"], 75, true)
		c.length(at+".url", fields["url"], 3000)
		c.length(at+".value", fields["value"], 2000)
	case "image":
		c.image(at, fields)
	case nil:
		c.complain(at, "the element has no type", "type: button")
	}
}

func (c *blockCheck) image(at string, fields map[string]any) {
	if fields["image_url"] == nil && fields["slack_file"] == nil {
		c.complain(at, "an image needs image_url", "")
	}
	if fields["alt_text"] == nil {
		c.complain(at, "an image needs alt_text", "it is what a screen reader says")
	}
	c.length(at+".image_url", fields["image_url"], 3000)
	c.length(at+".alt_text", fields["alt_text"], 2000)
}

// text checks a text object: { type: mrkdwn | plain_text, text: … }.
func (c *blockCheck) text(at string, v any, most int, plain bool) {
	fields, ok := v.(map[string]any)
	if !ok {
		c.complain(at, "the text is not a text object", "{ type: "+textType(plain)+", text: … }")
		return
	}
	switch kind := fields["type"]; {
	case kind != "plain_text" && (plain || kind != "mrkdwn"):
		c.complain(at+".type", "the text has the wrong type", "type: "+textType(plain))
	case fields["text"] == nil || fields["text"] == "":
		c.complain(at+".text", "the text is empty", "")
	}
	c.length(at+".text", fields["text"], most)
}

func textType(plain bool) string {
	if plain {
		return "plain_text"
	}
	return "mrkdwn"
}

func (c *blockCheck) length(at string, v any, most int) {
	if text, ok := v.(string); ok && utf8.RuneCountInString(text) > most {
		c.complain(at, fmt.Sprintf("%d characters, Slack takes %d", utf8.RuneCountInString(text), most), "shorten it: nothing is cut silently")
	}
}

func (c *blockCheck) list(at string, v any, most int, each func(at string, e any)) {
	list, ok := v.([]any)
	switch {
	case !ok || len(list) == 0:
		c.complain(at, "an empty list", "")
	case len(list) > most:
		c.complain(at, fmt.Sprintf("%d entries, Slack takes %d", len(list), most), "")
	}
	for i, e := range list {
		each(fmt.Sprintf("%s[%d]", at, i), e)
	}
}
