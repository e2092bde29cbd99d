package actions

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/slack-go/slack"

	"github.com/gavelhq/gavel/engine"
)

type slackParams struct {
	Channel string `json:"channel" doc:"name or id of the channel; the bot must be a member" gavel:"inherit"`
	Text    string `json:"text" doc:"the message in Slack's mrkdwn; with blocks, what notifications and screen readers get" gavel:"main,required,escape"`
	Thread  string `json:"thread" doc:"messages to a channel with the same key go into one thread; the first of them is its root"`
	Blocks  any    `json:"blocks" doc:"a list of Block Kit blocks, written as YAML" gavel:"escape"`
}

type slackConn struct {
	Token   engine.Secret `json:"token" doc:"bot token (xoxb-…) with the scope chat:write"`
	URL     engine.Secret `json:"url" doc:"instead of a token: an incoming webhook; it cannot thread"`
	Channel string        `json:"channel" doc:"the channel of steps that name none"`
	API     string        `json:"api" doc:"another address of Slack's API, for tests"`
}

// slackAction posts messages. Slack has no idempotency key for them: after a
// crash between sending and recording, a message may appear twice, and the
// step's note says so.
func slackAction(out *client) engine.ActionKind {
	return engine.NewAction(engine.ActionKind{
		Name:         "slack",
		Doc:          "posts a message to Slack, in a thread by key",
		ConnRequired: true,
		Marks:        true,
		Escape:       func(_, text string) string { return escapeSlack(text) },
		Check:        checkSlack,
		Target:       slackTarget,
		Lane:         slackLane,
		Service:      slackService,
	}, func(ctx context.Context, c engine.Call, conn *slackConn, p slackParams) (engine.Result, error) {
		ctx, cancel := within(ctx)
		defer cancel()
		return postSlack(ctx, out, c, conn, p)
	})
}

const maxSlackText = 40_000 // characters; Slack cuts what is longer

func postSlack(ctx context.Context, out *client, c engine.Call, conn *slackConn, p slackParams) (engine.Result, error) {
	if conn == nil || conn.Token.IsZero() == conn.URL.IsZero() {
		return engine.Result{}, permanent("slack: the connection needs either token or url")
	}
	if strings.TrimSpace(p.Text) == "" {
		return engine.Result{}, permanent("slack: the text is empty")
	}
	if n := utf8.RuneCountInString(p.Text); n > maxSlackText {
		return engine.Result{}, permanent("slack: the text has %d characters, Slack takes %d: post a summary and a link", n, maxSlackText)
	}
	blocks, err := p.rendered(c.With)
	if err != nil {
		return engine.Result{}, engine.Permanent(err)
	}
	m := message{channel: conn.channelOf(p), text: p.Text, blocks: blocks}
	if !conn.URL.IsZero() {
		if p.Thread != "" {
			return engine.Result{}, permanent("slack: an incoming webhook cannot thread: use a connection with a token")
		}
		return m.postWebhook(ctx, out, c, conn)
	}
	if m.channel == "" {
		return engine.Result{}, permanent("slack: the channel is empty: give the step or its connection a channel")
	}
	key := conn.threadKey(c, m.channel, p.Thread)
	if m.thread, err = rootOf(ctx, c.State, key); err != nil {
		return engine.Result{}, err
	}
	return m.post(ctx, out, c, conn, key)
}

// rendered are the blocks as slack-go sends them, checked against the limits
// Slack would refuse them for. The YAML an admin took from Slack's Block Kit
// Builder is passed on as it is, also blocks that are newer than slack-go.
func (p slackParams) rendered(with json.RawMessage) ([]slack.Block, error) {
	if p.Blocks == nil {
		return nil, nil
	}
	for _, c := range checkBlocks(p.Blocks) {
		if !c.Warning {
			return nil, fmt.Errorf("slack: %s: %s", c.Param, c.What)
		}
	}
	list, _ := p.Blocks.([]any) // checked
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

// message is what is posted.
type message struct {
	channel, text, thread string // thread is the root's ts
	blocks                []slack.Block
}

// post sends m with a bot token. key is where the root's ts is kept, "" without a thread.
func (m message) post(ctx context.Context, out *client, c engine.Call, conn *slackConn, key string) (engine.Result, error) {
	x := &exchange{client: out, hide: conn.secrets()}
	api := conn.client(x)
	options := []slack.MsgOption{
		slack.MsgOptionText(m.text, false), // escaped where it was inserted
		slack.MsgOptionLinkNames(false),
		slack.MsgOptionDisableLinkUnfurl(), // what a participant typed must not make Slack fetch and show pages
		slack.MsgOptionDisableMediaUnfurl(),
	}
	if m.thread != "" {
		options = append(options, slack.MsgOptionTS(m.thread))
	}
	if len(m.blocks) > 0 {
		options = append(options, slack.MsgOptionBlocks(m.blocks...))
	}
	channel, ts, err := api.PostMessageContext(ctx, m.channel, options...)
	if err != nil {
		return engine.Result{}, x.failure("slack "+display(m.channel), err, func() string { return botName(ctx, conn, out) })
	}
	res := posted(c, "posted to "+display(m.channel))
	res.Body, err = json.Marshal(map[string]string{"channel": channel, "ts": ts})
	if err != nil {
		return engine.Result{}, err
	}
	switch {
	case key != "" && m.thread == "":
		root, err := json.Marshal(threadRoot{TS: ts})
		if err != nil {
			return engine.Result{}, err
		}
		res.State = map[string]json.RawMessage{key: root}
	case m.thread != "":
		res.Note = "posted to a thread in " + display(m.channel)
	}
	return res, nil
}

func (m message) postWebhook(ctx context.Context, out *client, c engine.Call, conn *slackConn) (engine.Result, error) {
	x := &exchange{client: out, hide: conn.secrets()}
	no := false
	msg := &slack.WebhookMessage{Text: m.text, UnfurlLinks: &no, UnfurlMedia: &no}
	if len(m.blocks) > 0 {
		msg.Blocks = &slack.Blocks{BlockSet: m.blocks}
	}
	if err := slack.PostWebhookCustomHTTPContext(ctx, conn.URL.Reveal(), over(x), msg); err != nil {
		return engine.Result{}, x.failure("slack webhook", err, nil)
	}
	return posted(c, "posted to the webhook's channel"), nil
}

func posted(c engine.Call, note string) engine.Result {
	if c.Uncertain {
		note += "; an earlier attempt may have posted it too"
	}
	return engine.Result{Status: http.StatusOK, Note: note}
}

// threadRoot is kept per thread key.
type threadRoot struct {
	TS string `json:"ts"`
}

// threadKey names the root of a thread. Two workspaces may both have #ops and
// two tenants the same session ids, so both are part of it.
func (c *slackConn) threadKey(call engine.Call, channel, key string) string {
	if key == "" {
		return ""
	}
	tenant := ""
	if call.Event != nil {
		tenant = call.Event.Tenant
	}
	return strings.Join([]string{tenant, call.Via, channel, key}, "/")
}

// rootOf reads the root of a thread, "" before its first message.
func rootOf(ctx context.Context, state engine.StateReader, key string) (string, error) {
	if key == "" || state == nil {
		return "", nil
	}
	kept, err := state.ActionState(ctx, "slack", key)
	if errors.Is(err, engine.ErrNotFound) || err == nil && kept == nil {
		return "", nil
	}
	var root threadRoot
	if err == nil {
		err = json.Unmarshal(kept, &root)
	}
	if err != nil {
		return "", fmt.Errorf("slack: read the thread's root: %w", err)
	}
	return root.TS, nil
}

func (c *slackConn) channelOf(p slackParams) string {
	return strings.TrimPrefix(cmp.Or(p.Channel, c.Channel), "#")
}

func (c *slackConn) secrets() secrets {
	s := secrets{c.URL.Reveal(), c.Token.Reveal()}
	if u, err := url.Parse(c.URL.Reveal()); err == nil {
		s = append(s, u.EscapedPath(), u.Path)
	}
	return s
}

// client is slack-go over our own transport. Its retries stay off: waiting is
// the engine's.
func (c *slackConn) client(x *exchange) *slack.Client {
	api := cmp.Or(c.API, slack.APIURL)
	if !strings.HasSuffix(api, "/") {
		api += "/"
	}
	return slack.New(c.Token.Reveal(), slack.OptionHTTPClient(over(x)), slack.OptionAPIURL(api), slack.OptionLog(log.New(io.Discard, "", 0)))
}

// slackLane: one message at a time per channel, so that the second of a thread
// sees the root the first one left, and a 429 pauses the channel it is for.
func slackLane(with json.RawMessage, conn any) engine.Lane {
	c, ok := conn.(*slackConn)
	if !ok || c == nil {
		return engine.Lane{}
	}
	var p slackParams
	if json.Unmarshal(with, &p) != nil {
		return engine.Lane{Name: "?"} // Do reports it
	}
	return engine.Lane{Name: c.channelOf(p)}
}

// slackService is the connection: its workspace has limits of its own.
func slackService(via string, _ json.RawMessage, _ any) string { return "slack " + via }

// slackTarget is the channel a message goes to.
func slackTarget(with json.RawMessage, conn any) string {
	c, ok := conn.(*slackConn)
	var p slackParams
	if !ok || c == nil || json.Unmarshal(with, &p) != nil {
		return ""
	}
	channel := c.channelOf(p)
	switch {
	case !c.URL.IsZero():
		return "webhook"
	case channel == "":
		return ""
	}
	return display(channel)
}

// display is a channel for people.
func display(channel string) string {
	if slackID.MatchString(channel) {
		return channel
	}
	return "#" + channel
}

var slackID = regexp.MustCompile(`^[CDGU][A-Z0-9]{7,}$`)

// exchange sends the requests of one call and keeps what slack-go drops: the
// status and header of a refusal and the word in its body.
type exchange struct {
	client *client
	hide   secrets
	status int
	header http.Header
	said   string
}

func (x *exchange) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("User-Agent", x.client.agent)
	resp, err := x.client.transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	x.status, x.header = resp.StatusCode, resp.Header
	limited := io.LimitReader(resp.Body, maxAnswer)
	if resp.StatusCode != http.StatusOK {
		start, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10)) // only for the error text
		x.said = excerpt(x.hide.inBytes(start))
		limited = bytes.NewReader(start)
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{limited, resp.Body}
	return resp, nil
}

// failure classifies what slack-go returned. bot (optional) looks up the bot's
// name for the hint that wants it.
func (x *exchange) failure(what string, err error, bot func() string) error {
	var refused slack.SlackErrorResponse
	word := ""
	switch {
	case errors.As(err, &refused):
		word = excerpt([]byte(refused.Err))
	case x.status == 0:
		return unreachable(what, err, x.hide)
	case x.status == http.StatusOK:
		if errors.As(err, new(*json.SyntaxError)) {
			return &worded{what + ": the answer is not what Slack sends", err}
		}
		return unreachable(what+": the answer broke off", err, x.hide)
	default:
		word = x.said
	}
	hint, known := slackHint(word)
	if !known || passing(x.status) {
		if x.status != http.StatusOK {
			return refusal(what, x.status, x.header, x.client.now(), x.said, x.hide)
		}
		err := errors.New(x.hide.in(what + ": " + word))
		if d, ok := retryAfter(x.header, x.client.now()); ok {
			return engine.RetryAfter(err, d)
		}
		return err
	}
	text := what + ": " + word
	if details := strings.Join(refused.ResponseMetadata.Messages, "; "); details != "" {
		text += ": " + excerpt([]byte(details))
	}
	if hint != "" {
		text += ": " + hint
	}
	if bot != nil && strings.Contains(text, "@name") {
		if name := bot(); name != "" {
			text = strings.ReplaceAll(text, "@name", "@"+name)
		}
	}
	return permanent("%s", x.hide.in(text))
}

// botName asks Slack who we are; "" if it does not say.
func botName(ctx context.Context, conn *slackConn, out *client) string {
	who, err := conn.client(&exchange{client: out, hide: conn.secrets()}).AuthTestContext(ctx)
	if err != nil {
		return ""
	}
	return excerpt([]byte(who.User))
}

// slackHint says what to do about an error that no repetition mends. Words it
// does not know are taken as passing: Slack answers with undocumented ones
// while it has trouble.
// https://docs.slack.dev/reference/methods/chat.postMessage#errors
// https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks#handling_errors
func slackHint(word string) (hint string, permanent bool) {
	switch word {
	case "channel_not_found":
		return "no such channel, or a private one without the bot: check the name, or invite the bot: /invite @name", true
	case "not_in_channel":
		return "invite the bot: /invite @name", true
	case "is_archived", "channel_is_archived":
		return "the channel is archived: use another one, or restore it", true
	case "not_authed", "invalid_auth":
		return "Slack does not accept the token: check the connection's token", true
	case "account_inactive", "token_revoked", "token_expired":
		return "the token is no longer valid: install the app again and set the new token", true
	case "missing_scope", "no_permission", "not_allowed_token_type":
		return "give the app the bot scope chat:write and install it again", true
	case "msg_too_long":
		return fmt.Sprintf("Slack takes %d characters: post a summary and a link", maxSlackText), true
	case "msg_blocks_too_long":
		return "the blocks are too long together: shorten them", true
	case "no_text":
		return "the text is empty", true
	case "invalid_blocks", "invalid_blocks_format", "invalid_payload":
		return "Slack does not take the blocks: try them in its Block Kit Builder", true
	case "no_service", "no_service_id", "invalid_token", "no_team", "team_disabled":
		return "the webhook is gone or disabled: make a new one and set the connection's url", true
	case "action_prohibited", "posting_to_general_channel_denied", "restricted_action",
		"restricted_action_read_only_channel", "restricted_action_non_threadable_channel",
		"restricted_action_thread_locked", "restricted_action_thread_only_channel":
		return "an admin of the workspace restricts who may post there", true
	case "cannot_reply_to_message", "thread_not_found", "messages_tab_disabled", "user_not_found",
		"access_denied", "team_access_not_granted", "team_not_found", "enterprise_is_restricted",
		"ekm_access_denied", "accesslimited", "two_factor_setup_required", "org_login_required",
		"message_limit_exceeded", "as_user_not_supported", "method_deprecated", "deprecated_endpoint",
		"invalid_arguments", "invalid_arg_name", "invalid_charset", "invalid_form_data", "invalid_post_type":
		return "", true
	}
	return "", false
}
