package actions

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/gavelhq/gavel/engine"
)

// checkBlocks compares blocks with Slack's limits.
// https://docs.slack.dev/reference/block-kit/blocks
func checkBlocks(blocks any) []engine.Complaint {
	c := &blockCheck{}
	list, ok := blocks.([]any)
	if !ok {
		c.complain("blocks", "blocks is not a list", "blocks: [ { type: section, text: { type: mrkdwn, text: … } } ]")
		return c.found
	}
	if len(list) > maxBlocks {
		c.complain("blocks", fmt.Sprintf("%d blocks, Slack takes %d", len(list), maxBlocks), "")
	}
	for i, b := range list {
		c.block(fmt.Sprintf("blocks[%d]", i), b)
	}
	if c.total > maxBlocksText {
		c.warn("blocks", fmt.Sprintf("%d characters in all blocks, Slack takes about %d", c.total, maxBlocksText), "shorten them")
	}
	return c.found
}

const (
	maxBlocks     = 50
	maxBlocksText = 12_000 // together; Slack documents no number
	maxHeader     = 150
	maxBlockID    = 255
	maxElements   = 25 // of actions
	maxURL        = 3_000
	maxAltText    = 2_000
	maxMarkdown   = 12_000
	maxRows       = 100 // of a table
	maxColumns    = 20
)

type blockCheck struct {
	found  []engine.Complaint
	ids    []string // of blocks
	tables int
	total  int // characters
}

func (c *blockCheck) warn(param, what, hint string) {
	c.found = append(c.found, engine.Complaint{Param: param, What: what, Hint: hint, Warning: true})
}

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
	c.id(at, fields["block_id"])
	switch kind {
	case "":
		c.complain(at, "the block has no type", "one of section, header, context, divider, image, actions, …")
	case "section":
		c.section(at, fields)
	case "header":
		c.text(at+".text", fields["text"], maxHeader, true)
	case "context":
		c.list(at+".elements", fields["elements"], maxFields, func(at string, e any) {
			if m, ok := e.(map[string]any); ok && m["type"] == "image" {
				c.image(at, m)
				return
			}
			c.text(at, e, maxSection, false)
		})
	case "actions":
		c.list(at+".elements", fields["elements"], maxElements, c.element)
	case "context_actions":
		c.list(at+".elements", fields["elements"], 5, c.element)
	case "markdown":
		c.filled(at, fields, "text")
		c.length(at+".text", fields["text"], maxMarkdown)
	case "table":
		c.table(at, fields)
	case "video":
		c.video(at, fields)
	case "image":
		c.image(at, fields)
		if title, ok := fields["title"]; ok {
			c.text(at+".title", title, maxAltText, true)
		}
	default:
		if !slices.Contains(blockTypes(), kind) {
			c.warn(at+".type", fmt.Sprintf("%q is no block type we know", excerpt([]byte(kind))), "one of "+strings.Join(blockTypes(), ", "))
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
		c.text(at+".text", text, maxSection, false)
	}
	if hasFields {
		c.list(at+".fields", list, maxFields, func(at string, f any) { c.text(at, f, maxField, false) })
	}
	if accessory, ok := fields["accessory"]; ok {
		c.element(at+".accessory", accessory)
	}
}

// id checks the id of a block, which no other of the message may have.
func (c *blockCheck) id(at string, id any) {
	c.length(at+".block_id", id, maxBlockID)
	text, ok := id.(string)
	if !ok || text == "" {
		return
	}
	if slices.Contains(c.ids, text) {
		c.complain(at+".block_id", fmt.Sprintf("two blocks have the id %q", excerpt([]byte(text))), "leave it out: Slack makes one")
	}
	c.ids = append(c.ids, text)
}

// filled reports what a block cannot do without.
func (c *blockCheck) filled(at string, fields map[string]any, names ...string) {
	kind, _ := fields["type"].(string)
	for _, name := range names {
		if v := fields[name]; v == nil || v == "" {
			c.complain(at, fmt.Sprintf("a block of type %s needs %s", kind, name), "")
		}
	}
}

func (c *blockCheck) table(at string, fields map[string]any) {
	if c.tables++; c.tables == 2 {
		c.complain(at, "a second table, Slack takes one in a message", "")
	}
	c.list(at+".rows", fields["rows"], maxRows, func(at string, row any) { c.list(at, row, maxColumns, func(string, any) {}) })
}

func (c *blockCheck) video(at string, fields map[string]any) {
	c.filled(at, fields, "alt_text", "thumbnail_url", "video_url")
	c.text(at+".title", fields["title"], 200, true)
	c.length(at+".author_name", fields["author_name"], 50)
}

// element checks what can stand in actions or as an accessory. Pickers of dates
// and people, which need an app that answers, are passed on as they are.
// https://docs.slack.dev/reference/block-kit/block-elements
func (c *blockCheck) element(at string, e any) {
	fields, ok := e.(map[string]any)
	if !ok {
		c.complain(at, "an element is a map with a type", "{ type: button, text: { type: plain_text, text: Open }, url: https://… }")
		return
	}
	c.length(at+".action_id", fields["action_id"], 255)
	if confirm, ok := fields["confirm"].(map[string]any); ok {
		c.text(at+".confirm.title", confirm["title"], 100, true)
		c.text(at+".confirm.text", confirm["text"], 300, false)
		c.text(at+".confirm.confirm", confirm["confirm"], 30, true)
		c.text(at+".confirm.deny", confirm["deny"], 30, true)
	}
	if placeholder, ok := fields["placeholder"]; ok {
		c.text(at+".placeholder", placeholder, 150, true)
	}
	switch fields["type"] {
	case nil:
		c.complain(at, "the element has no type", "type: button")
	case "button":
		c.button(at, fields)
	case "image":
		c.image(at, fields)
	case "overflow":
		c.options(at, fields, 5)
	case "checkboxes", "radio_buttons":
		c.options(at, fields, 10)
	case "static_select", "multi_static_select":
		if _, grouped := fields["option_groups"]; !grouped {
			c.options(at, fields, 100)
		}
	}
}

func (c *blockCheck) button(at string, fields map[string]any) {
	c.text(at+".text", fields["text"], 75, true)
	c.length(at+".url", fields["url"], maxURL)
	c.length(at+".value", fields["value"], 2_000)
	c.length(at+".accessibility_label", fields["accessibility_label"], 75)
	if style, given := fields["style"]; given && style != "primary" && style != "danger" {
		c.complain(at+".style", "the style is neither primary nor danger", "leave it out for a plain button")
	}
}

func (c *blockCheck) options(at string, fields map[string]any, most int) {
	c.list(at+".options", fields["options"], most, func(at string, o any) {
		option, ok := o.(map[string]any)
		if !ok {
			c.complain(at, "an option is a map", "{ text: { type: plain_text, text: … }, value: … }")
			return
		}
		c.text(at+".text", option["text"], 75, fields["type"] != "checkboxes" && fields["type"] != "radio_buttons")
		c.length(at+".value", option["value"], 150)
	})
}

func (c *blockCheck) image(at string, fields map[string]any) {
	if fields["image_url"] == nil && fields["slack_file"] == nil {
		c.complain(at, "an image needs image_url", "")
	}
	if fields["alt_text"] == nil {
		c.complain(at, "an image needs alt_text", "it is what a screen reader says")
	}
	c.length(at+".image_url", fields["image_url"], maxURL)
	c.length(at+".alt_text", fields["alt_text"], maxAltText)
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
	if text, ok := fields["text"].(string); ok {
		c.total += utf8.RuneCountInString(text)
	}
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
