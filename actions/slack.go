package actions

import (
	"cmp"
	"context"
	"encoding/json"
	"regexp"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
)

type slackParams struct {
	Text          string              `json:"text" doc:"the message in Slack's mrkdwn; with blocks, what notifications and screen readers get; required unless the step reacts" gavel:"main,escape"`
	Channel       string              `json:"channel" doc:"name or id of the channel; the bot must be a member" gavel:"inherit,unless=to"`
	To            string              `json:"to" doc:"instead of a channel: a person's e-mail address, for a direct message"`
	Thread        string              `json:"thread" doc:"messages to a channel with the same key go into one thread; the first of them is its root"`
	Opener        string              `json:"opener" doc:"text of the thread's root, if there is none yet; the step's own text answers it" gavel:"escape"`
	AlsoToChannel bool                `json:"also_to_channel" doc:"shows an answer in a thread in the channel, too"`
	Update        string              `json:"update" doc:"edits the first message of this key; if there is none, posts it"`
	React         string              `json:"react" doc:"instead of a message: adds this emoji to the message of to_message"`
	ToMessage     string              `json:"to_message" doc:"key of the message that react is for, as thread or update gave it"`
	Fields        []map[string]string `json:"fields" doc:"up to 10 entries of one label and its value, shown in two columns" gavel:"escape"`
	Blocks        any                 `json:"blocks" doc:"a list of Block Kit blocks, written as YAML" gavel:"escape"`
	IfUnsure      string              `json:"if_unsure" doc:"if an interrupted attempt may have posted the message and Slack cannot be asked: send it again (that is the default) or skip it" enum:"send,skip" gavel:"inherit"`
}

// unsureSkip is the IfUnsure that rather loses a message than posts it twice.
const unsureSkip = "skip"

type slackConn struct {
	Token   engine.Secret `json:"token" doc:"bot token (xoxb-…) with the scope chat:write"`
	URL     engine.Secret `json:"url" doc:"instead of a token: an incoming webhook; it posts to its one channel and can do no more than that"`
	Channel string        `json:"channel" doc:"the channel of steps that name none"`
	API     string        `json:"api" doc:"another address of Slack's API, for tests"`
}

// A channel takes about a message a second, and a few more at once.
// https://docs.slack.dev/apis/web-api/rate-limits
const (
	slackEvery = time.Second
	slackBurst = 5
	slackFolds = 5 // waiting messages that become one
)

// slackAction posts messages. Slack has no idempotency key for them, so every
// message carries the key of its step as metadata: after a crash between
// sending and recording it is looked for. Where the token cannot read the
// channel, the message may appear twice, and the step's note says so.
func slackAction(out *client) engine.ActionKind {
	return engine.NewAction(engine.ActionKind{
		Name:         "slack",
		Doc:          "posts a message to Slack, in a thread by key, or edits one",
		ConnRequired: true,
		Marks:        true,
		Escape:       func(_, text string) string { return escapeSlack(text) },
		Check:        checkSlack,
		Target:       slackTarget,
		Lane:         slackLane,
		Folds:        slackFolds,
		Service:      slackService,
		Probe: func(ctx context.Context, in engine.ProbeInput) []engine.Finding {
			ctx, cancel := within(ctx)
			defer cancel()
			return probeSlack(ctx, out, in)
		},
	}, func(ctx context.Context, c engine.Call, conn *slackConn, p slackParams) (engine.Result, error) {
		ctx, cancel := within(ctx)
		defer cancel()
		return doSlack(ctx, out, c, conn, p)
	})
}

// doSlack makes one attempt.
func doSlack(ctx context.Context, out *client, c engine.Call, conn *slackConn, p slackParams) (engine.Result, error) {
	if conn == nil || conn.Token.IsZero() == conn.URL.IsZero() {
		return engine.Result{}, permanent("slack: the connection needs either token or url")
	}
	s := &slackStep{Call: c, p: p, conn: conn, place: conn.place(p), api: newSlackAPI(out, conn), left: map[string]json.RawMessage{}}
	if wrong := s.wrong(); wrong != "" {
		return engine.Result{}, permanent("slack: %s", wrong)
	}
	if err := s.resume(ctx); err != nil {
		return engine.Result{}, err
	}
	if err := s.address(ctx); err != nil {
		return engine.Result{}, err
	}
	switch {
	case p.React != "":
		return s.react(ctx)
	case p.Update != "":
		if res, done, err := s.edit(ctx); done || err != nil {
			return res, err
		}
	}
	return s.post(ctx)
}

// place is where a message goes: a channel, or a person's address. State is
// kept by it.
func (c *slackConn) place(p slackParams) string {
	if p.To != "" {
		return strings.ToLower(strings.TrimSpace(p.To))
	}
	return strings.TrimPrefix(cmp.Or(p.Channel, c.Channel), "#")
}

// slackLane: one message at a time per channel, so that the second of a thread
// sees the root the first one left, and a 429 pauses the channel it is for.
func slackLane(with json.RawMessage, conn any) engine.Lane {
	c, ok := conn.(*slackConn)
	if !ok || c == nil {
		return engine.Lane{}
	}
	lane := engine.Lane{Every: slackEvery, Burst: slackBurst}
	var p slackParams
	switch err := json.Unmarshal(with, &p); {
	case err != nil:
		lane.Name = "?" // Do reports it
	case !c.URL.IsZero():
		lane.Name = "webhook"
	default:
		lane.Name = c.place(p)
	}
	return lane
}

// slackService is the connection: its workspace has limits of its own.
func slackService(via string, _ json.RawMessage, _ any) string { return "slack " + via }

// slackTarget is the channel or person a message goes to.
func slackTarget(with json.RawMessage, conn any) string {
	c, ok := conn.(*slackConn)
	var p slackParams
	if !ok || c == nil || json.Unmarshal(with, &p) != nil {
		return ""
	}
	place := c.place(p)
	switch {
	case !c.URL.IsZero():
		return "webhook"
	case place == "":
		return ""
	}
	return display(place)
}

// display is a channel or an address for people.
func display(place string) string {
	if slackID.MatchString(place) || strings.Contains(place, "@") {
		return place
	}
	return "#" + place
}

var slackID = regexp.MustCompile(`^[CDGU][A-Z0-9]{7,}$`)
