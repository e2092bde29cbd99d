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
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/slack-go/slack"

	"github.com/gavelhq/gavel/engine"
)

// slackAPI is Slack as one attempt sees it. Not safe for concurrent use.
type slackAPI struct {
	*slack.Client
	x    *exchange
	conn *slackConn
	lost bool // the last request that failed may have been carried out all the same
}

// newSlackAPI is slack-go over our own transport. Its retries stay off: waiting
// is the engine's.
func newSlackAPI(out *client, conn *slackConn) *slackAPI {
	base := cmp.Or(conn.API, slack.APIURL)
	if !strings.HasSuffix(base, "/") {
		base += "/"
	}
	x := &exchange{client: out, hide: conn.secrets(), most: maxAnswer}
	return &slackAPI{
		Client: slack.New(conn.Token.Reveal(), slack.OptionHTTPClient(over(x)), slack.OptionAPIURL(base), slack.OptionLog(log.New(io.Discard, "", 0))),
		x:      x, conn: conn,
	}
}

// reading is the same for answers that list messages or channels.
func (a *slackAPI) reading() *slackAPI {
	a.x.most = maxSlackList
	return a
}

const maxSlackList = 1 << 20 // bytes of an answer that is a list

func (c *slackConn) secrets() secrets {
	s := secrets{c.URL.Reveal(), c.Token.Reveal()}
	if u, err := url.Parse(c.URL.Reveal()); err == nil {
		s = append(s, u.EscapedPath(), u.Path)
	}
	return s
}

// exchange sends the requests of one call and keeps what slack-go drops: the
// status and header of a refusal and the word in its body.
type exchange struct {
	client *client
	hide   secrets
	most   int64       // bytes of an answer that are read
	sent   atomic.Bool // there was a connection for the last request
	status int         // of the last answer; 0: there was none
	header http.Header
	said   string
}

func (x *exchange) RoundTrip(r *http.Request) (*http.Response, error) {
	x.status, x.header, x.said = 0, nil, ""
	x.sent.Store(false)
	r = r.Clone(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { x.sent.Store(true) }}))
	r.Header.Set("User-Agent", x.client.agent)
	resp, err := roundTrip(x.client.transport, r)
	if err != nil {
		return nil, err
	}
	x.status, x.header = resp.StatusCode, resp.Header
	limited := io.LimitReader(resp.Body, x.most)
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

// failure classifies what slack-go returned for the last request. ctx is for
// asking the bot's name, which some hints want.
func (a *slackAPI) failure(ctx context.Context, what string, err error) error {
	x := a.x
	var refused slack.SlackErrorResponse
	word := ""
	a.lost = x.lost(err)
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
	hint, known := slackHint(word, excerpt([]byte(refused.Needed)))
	if !known || passing(x.status) {
		if x.status != http.StatusOK {
			return refusal(what, x.status, x.header, x.client.now(), x.said, x.hide)
		}
		text := what + ": " + word
		if !slices.Contains([]string{"ratelimited", "rate_limited", "fatal_error", "internal_error", "service_unavailable", "request_timeout"}, word) {
			text += ": " + unknownHint
		}
		err := errors.New(x.hide.in(text))
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
	if strings.Contains(text, "@name") {
		if name := a.botName(ctx); name != "" {
			text = strings.ReplaceAll(text, "@name", "@"+name)
		}
	}
	return permanent("%s", x.hide.in(text))
}

// lost reports whether the last request, which ended with err, may have been
// carried out: there is no answer, or one that says no more than that something
// broke.
func (x *exchange) lost(err error) bool {
	var refused slack.SlackErrorResponse
	switch {
	case errors.As(err, &refused):
		return refused.Err == "fatal_error" || refused.Err == "internal_error" // in Slack's words: some of it may have succeeded
	case x.status == 0:
		return x.sent.Load()
	}
	return slices.Contains([]int{http.StatusOK, http.StatusInternalServerError, http.StatusBadGateway, http.StatusGatewayTimeout}, x.status)
}

// unknownHint is for words that slackHint does not know.
const unknownHint = "look this word up in the list of errors at https://docs.slack.dev/reference/methods/chat.postMessage#errors"

// botName asks Slack who we are; "" if it does not say, or for a webhook.
func (a *slackAPI) botName(ctx context.Context) string {
	if a.conn.Token.IsZero() {
		return ""
	}
	who, err := a.AuthTestContext(ctx)
	if err != nil {
		return ""
	}
	return excerpt([]byte(who.User))
}

// refusedWith reports whether Slack answered with one of words.
func refusedWith(err error, words ...string) bool {
	var refused slack.SlackErrorResponse
	return errors.As(err, &refused) && slices.Contains(words, refused.Err)
}

// unable reports whether Slack will never do what it was asked, with this token.
func unable(err error) bool {
	var refused slack.SlackErrorResponse
	if !errors.As(err, &refused) {
		return false
	}
	_, known := slackHint(refused.Err, "")
	return known
}

// slackHint says what to do about an error that no repetition mends; needed are
// the scopes that Slack says are missing. Words it does not know are taken as
// passing: Slack answers with undocumented ones while it has trouble.
// https://docs.slack.dev/reference/methods/chat.postMessage#errors
// https://docs.slack.dev/reference/methods/chat.update#errors
// https://docs.slack.dev/reference/methods/reactions.add#errors
// https://docs.slack.dev/reference/methods/users.lookupByEmail#errors
// https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks#handling_errors
func slackHint(word, needed string) (hint string, permanent bool) {
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
	case "missing_scope", "no_permission":
		return "give the app the bot scope " + cmp.Or(needed, "chat:write") + " and install it again", true
	case "not_allowed_token_type":
		return "use the token of a bot, xoxb-…", true
	case "msg_too_long":
		return fmt.Sprintf("Slack takes %d characters, and %d when a message is edited", maxSlackText, maxSlackEdit), true
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
	case "users_not_found":
		return "nobody in the workspace has this e-mail address", true
	case "user_not_found", "user_not_visible", "user_disabled", "is_inactive", "cannot_dm_bot":
		return "Slack lets nobody write to this person", true
	case "messages_tab_disabled":
		return "enable the Messages Tab in the app's App Home", true
	case "message_not_found":
		return "the message was deleted", true
	case "cant_update_message", "edit_window_closed":
		return "the message can no longer be edited", true
	case "invalid_name":
		return "the workspace has no emoji of that name", true
	case "too_many_emoji", "too_many_reactions", "not_reactable", "thread_locked":
		return "the message takes no further reaction", true
	case "invalid_metadata_format", "invalid_metadata_schema", "metadata_too_large", "metadata_must_be_sent_from_app",
		"cannot_reply_to_message", "thread_not_found", "cant_broadcast_message",
		"access_denied", "team_access_not_granted", "team_not_found", "enterprise_is_restricted",
		"ekm_access_denied", "accesslimited", "two_factor_setup_required", "org_login_required",
		"message_limit_exceeded", "as_user_not_supported", "method_deprecated", "deprecated_endpoint",
		"invalid_arguments", "invalid_arg_name", "invalid_charset", "invalid_form_data", "invalid_post_type",
		"bad_timestamp", "no_item_specified", "no_access", "method_not_supported_for_channel_type",
		"invalid_cursor", "invalid_ts_latest", "invalid_ts_oldest", "invalid_limit":
		return "", true
	}
	return "", false
}
