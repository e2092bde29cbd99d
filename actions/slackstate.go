package actions

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// What slack steps keep between them, each by a key of its own:
//
//	TENANT/VIA/PLACE/KEY  message:  the first message of a thread or update key
//	KEY OF A STEP         position: how far a step is that takes several messages
//	@VIA/ADDRESS          person:   who an e-mail address belongs to
//	#VIA/CHANNEL          channel:  the id behind a channel's name
//
// Two workspaces may both have #ops and two tenants the same session ids, so
// both are part of a message's key.

// message is the first message of a key, or the claim of a step that is about
// to post it.
type message struct {
	TS      string `json:"ts,omitempty"`
	Channel string `json:"channel,omitempty"` // its id
	claim
}

// claim says that a step was going to post, so that whoever finds it after a
// crash can look for what it posted.
type claim struct {
	By    string    `json:"by,omitempty"`    // the step's key
	Label string    `json:"label,omitempty"` // which of its messages
	At    time.Time `json:"at,omitzero"`
}

// position is how far a step has come.
type position struct {
	Next    int    `json:"next,omitempty"` // part of its text
	TS      string `json:"ts,omitempty"`   // of the first part
	Channel string `json:"channel,omitempty"`
	// Unsure: an attempt was interrupted that may have posted what is next.
	Unsure bool `json:"unsure,omitempty"`
	// Doubted: a part may have been posted twice, or not at all.
	Doubted bool `json:"doubted,omitempty"`
	// Fold are the keys of the steps whose texts go out with this one's.
	Fold []string `json:"fold,omitempty"`
	// In is the step that may have posted this one's text with its own.
	In *claim `json:"in,omitempty"`
}

func (p position) begun() bool {
	return p.Next > 0 || p.Unsure || p.Doubted || p.Fold != nil || p.In != nil
}

// person is who an address belongs to.
type person struct {
	ID string    `json:"id"`
	At time.Time `json:"at"` // when Slack said so
}

// channel is the id behind a name.
type channel struct {
	ID string `json:"id"`
}

// slackStep is one attempt of a slack step.
type slackStep struct {
	engine.Call
	p      slackParams
	conn   *slackConn
	api    *slackAPI
	place  string  // channel or address, as state knows it
	target string  // what Slack is given for it
	known  channel // of the place
	pos    position
	kept   bool // pos is in the store
	left   map[string]json.RawMessage
}

// read reads one value of the state into v, which stays as it is if there is
// none.
func (s *slackStep) read(ctx context.Context, key string, v any) (found bool, err error) {
	if s.State == nil {
		return false, nil
	}
	text, err := s.State.ActionState(ctx, "slack", key)
	if errors.Is(err, engine.ErrNotFound) || err == nil && text == nil {
		return false, nil
	}
	if err == nil {
		err = json.Unmarshal(text, v)
	}
	if err != nil {
		return false, fmt.Errorf("slack: read what was kept: %w", err)
	}
	return true, nil
}

// leave keeps v under key, with what else the attempt leaves.
func (s *slackStep) leave(key string, v any) {
	text, err := json.Marshal(v)
	if err == nil { // texts, numbers and times always can be
		s.left[key] = text
	}
}

// resume reads how far earlier attempts came.
func (s *slackStep) resume(ctx context.Context) (err error) {
	if s.kept, err = s.read(ctx, s.Key, &s.pos); err != nil {
		return err
	}
	_, err = s.read(ctx, s.channelKey(), &s.known)
	return err
}

// prepared leaves what has to be known before something is sent.
func (s *slackStep) prepared() engine.Result {
	res := s.again()
	res.Unsent = true
	return res
}

// again leaves the position and has the step go on.
func (s *slackStep) again() engine.Result {
	if s.kept || s.pos.begun() {
		s.leave(s.Key, s.pos)
	}
	return engine.Result{Again: true, State: s.left}
}

// finished leaves what is to be kept of a step that is done.
func (s *slackStep) finished(res engine.Result) engine.Result {
	if s.kept {
		s.left[s.Key] = nil
	}
	if len(s.left) > 0 {
		res.State = s.left
	}
	return res
}

func (s *slackStep) tenant() string {
	if s.Event == nil {
		return ""
	}
	return s.Event.Tenant
}

// messageKey is where the first message of a key is kept.
func (s *slackStep) messageKey(key string) string {
	return strings.Join([]string{s.tenant(), s.Via, s.place, key}, "/")
}

func (s *slackStep) personKey() string  { return "@" + s.Via + "/" + s.place }
func (s *slackStep) channelKey() string { return "#" + s.Via + "/" + s.place }

// first is the first message of a key; the zero message if there is none.
func (s *slackStep) first(ctx context.Context, key string) (m message, err error) {
	if key != "" {
		_, err = s.read(ctx, s.messageKey(key), &m)
	}
	return m, err
}
