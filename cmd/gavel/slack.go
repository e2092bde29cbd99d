package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/spf13/cobra"

	"github.com/gavelhq/gavel/actions"
	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/rules"
	"github.com/gavelhq/gavel/engine/web"
)

const slackKind = "slack" // the action

func (a *app) slackCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "slack", Short: "try the Slack connections"}
	cmd.AddCommand(a.slackTestCmd())
	return group(cmd)
}

// slackTest is what gavel slack test was asked for.
type slackTest struct {
	channel, via string
	send         bool
}

func (a *app) slackTestCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "test",
		Short: "check token, scopes and channels of the Slack connections",
		Long: `Asks Slack about every Slack connection of the rules: whether it takes the token,
whether the token has the scopes that the steps need, whether every channel that a
step names is there and has the bot as a member. Nothing is posted, unless --send
says so: then a message that says that it is a test.

With a running server, the server asks and posts, with its secrets and from its
network. Without one it is done from here.
The exit code is 1 if something does not work (✗).`,
		Example: `  gavel slack test
  gavel slack test --channel sales             would this channel do?
  gavel slack test --send --channel ops        post a message`,
		Args:        cobra.NoArgs,
		Annotations: map[string]string{"formats": "table,json"},
	}
	var ask slackTest
	cmd.Flags().StringVar(&ask.channel, "channel", "", "one more `name or id` to check, or to post to")
	cmd.Flags().BoolVar(&ask.send, "send", false, "post a test message")
	cmd.Flags().StringVar(&ask.via, "via", "", "the `connection` to post with, if there are several")
	allowNet := cmd.Flags().StringSlice("allow-net", nil, "without a server: internal `networks` that may be called")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if ask.via != "" && !ask.send {
			return fail(exitUsage, errors.New("--via is for --send"), "without it, every connection is checked")
		}
		allowed, err := a.allowedHere(*allowNet, "")
		if err != nil {
			return err
		}
		found, err := a.testSlack(cmd.Context(), ask, allowed)
		if err != nil {
			return err
		}
		if a.structured() {
			if err := a.printJSON(found); err != nil {
				return err
			}
		} else {
			a.printFindings(found)
		}
		return failed(found)
	}
	return cmd
}

// testSlack has the connections tried, and posts if it was asked to.
func (a *app) testSlack(ctx context.Context, ask slackTest, allowed actions.Options) ([]web.Finding, error) {
	request := web.ProbeRequest{Kind: slackKind, Send: ask.send, Via: ask.via}
	if ask.channel != "" {
		request.With = map[string]any{"text": "x", "channel": ask.channel}
	}
	found, err := a.probe(ctx, request, allowed)
	if err == nil && len(found) == 0 {
		err = noSlack()
	}
	return found, err
}

func noSlack() error {
	return fail(exitFindings, errors.New("the rules have no Slack connection"), "connections: { slack: { team: { token: env:SLACK_BOT_TOKEN, channel: ops } } }")
}

// sendSlackTest posts a message as a step would.
func sendSlackTest(ctx context.Context, kinds []engine.ActionKind, conns []rules.Connection, ask web.ProbeRequest, now time.Time) ([]web.Finding, error) {
	conn, err := slackConnection(conns, ask.Via)
	if err != nil {
		return nil, err
	}
	with := map[string]any{"text": "A test of this connection by gavel slack test: it works."}
	if channel, ok := ask.With["channel"]; ok {
		with["channel"] = channel
	}
	params, err := json.Marshal(with)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	kind := kinds[slices.IndexFunc(kinds, func(k engine.ActionKind) bool { return k.Name == slackKind })]
	res, err := kind.Do(ctx, engine.Call{Key: "slack-test-" + ulid.Make().String(), Attempt: 1, With: params, Via: conn.Name, Conn: conn.Conn, Now: now})
	f := web.Finding{Kind: slackKind, Name: conn.Name, State: web.FindingOK, What: res.Note}
	if err != nil {
		f.State, f.What = web.FindingFailed, err.Error()
	}
	return []web.Finding{f}, nil
}

// slackConnection is the one to post with: that of this name, the only one, or
// the one called default.
func slackConnection(all []rules.Connection, via string) (rules.Connection, error) {
	var names []string
	for _, c := range all {
		if c.Kind == slackKind && c.Name != "" {
			names = append(names, c.Name)
		}
	}
	switch {
	case len(names) == 0:
		return rules.Connection{}, noSlack()
	case via == "" && len(names) == 1:
		via = names[0]
	case via == "" && slices.Contains(names, "default"):
		via = "default"
	case via == "":
		return rules.Connection{}, fail(exitUsage, errors.New("there are several Slack connections"), "say which one: --via "+strings.Join(names, "|"))
	}
	for _, c := range all {
		if c.Kind == slackKind && c.Name == via {
			return c, nil
		}
	}
	return rules.Connection{}, fail(exitUsage, fmt.Errorf("there is no Slack connection %q", via), "there are: "+strings.Join(names, ", "))
}
