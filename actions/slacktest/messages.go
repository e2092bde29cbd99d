package slacktest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"unicode/utf8"
)

var emojiName = regexp.MustCompile(`^[a-z0-9_+'-]+(::skin-tone-[2-6])?$`)

const (
	maxText     = 40_000
	maxEdit     = 4_000
	maxMetadata = 8_000 // bytes
)

// https://docs.slack.dev/reference/methods/chat.postMessage
func (s *Server) postMessage(args url.Values) reply {
	m := Message{
		Channel: s.name(args.Get("channel")), Text: args.Get("text"), ThreadTS: args.Get("thread_ts"),
		Broadcast: args.Get("reply_broadcast") == "true",
	}
	if word := s.channelRefuses(m.Channel); word != "" {
		return refused(word)
	}
	if wrong := m.fill(args, maxText); wrong != nil {
		return wrong
	}
	if wait := s.tooFast(m.Channel); wait > 0 {
		return reply{"retry_after": wait}
	}
	m = s.add(m)
	return reply{"ok": true, "channel": channelID(m.Channel), "ts": m.TS, "message": m.shown(false)}
}

// https://docs.slack.dev/reference/methods/chat.update
func (s *Server) update(args url.Values) reply {
	edited := Message{Text: args.Get("text")}
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.at(args.Get("channel"), args.Get("ts"))
	if m == nil {
		return s.missing(args.Get("channel"))
	}
	if wrong := edited.fill(args, maxEdit); wrong != nil {
		return wrong
	}
	m.Text = edited.Text
	m.Edits++
	if args.Has("blocks") { // else it keeps those it has
		m.Blocks = edited.Blocks
	}
	return reply{"ok": true, "channel": args.Get("channel"), "ts": m.TS, "text": m.Text}
}

// https://docs.slack.dev/reference/methods/reactions.add
func (s *Server) react(args url.Values) reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.at(args.Get("channel"), args.Get("timestamp"))
	name := args.Get("name")
	switch {
	case m == nil:
		return s.missing(args.Get("channel"))
	case !emojiName.MatchString(name):
		return refused("invalid_name")
	case slices.Contains(m.Reactions, name):
		return refused("already_reacted")
	}
	m.Reactions = append(m.Reactions, name)
	return reply{"ok": true}
}

// at is the message of a channel with that stamp, nil if there is none. These
// methods take a channel's id alone.
func (s *Server) at(id, ts string) *Message {
	i := slices.IndexFunc(s.messages, func(m Message) bool { return m.TS == ts && channelID(m.Channel) == id && !m.deleted && !m.Webhook })
	if i < 0 {
		return nil
	}
	return &s.messages[i]
}

// missing says why there is no message.
func (s *Server) missing(id string) reply {
	if s.o.Channels != nil && !slices.ContainsFunc(s.messages, func(m Message) bool { return channelID(m.Channel) == id }) || !isID(id) {
		return refused("channel_not_found")
	}
	return refused("message_not_found")
}

// fill takes blocks and metadata over and compares all of m with the limits.
func (m *Message) fill(args url.Values, most int) reply {
	if blocks := args.Get("blocks"); blocks != "" && blocks != "[]" {
		m.Blocks = json.RawMessage(blocks)
	}
	if metadata := args.Get("metadata"); metadata != "" {
		m.Metadata = json.RawMessage(metadata)
	}
	var says struct {
		Type    string         `json:"event_type"`
		Payload map[string]any `json:"event_payload"`
	}
	switch {
	case m.Text == "" && m.Blocks == nil:
		return refused("no_text")
	case utf8.RuneCountInString(m.Text) > most:
		return refused("msg_too_long")
	case len(m.Metadata) > maxMetadata:
		return refused("metadata_too_large")
	case m.Metadata != nil && (json.Unmarshal(m.Metadata, &says) != nil || says.Type == "" || says.Payload == nil):
		return refused("invalid_metadata_format")
	case m.Blocks == nil:
		return nil
	}
	return wrongBlocks(m.Blocks)
}

// https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
func (s *Server) webhook(w http.ResponseWriter, r *http.Request) {
	args, err := arguments(r)
	if err != nil {
		http.Error(w, "invalid_payload", http.StatusBadRequest)
		return
	}
	m := Message{Text: args.Get("text"), Webhook: true}
	wrong := m.fill(args, maxText)
	switch wait := 0; {
	case s.o.Token != "" && r.PathValue("secret") != "fake":
		http.Error(w, "invalid_token", http.StatusForbidden)
	case wrong != nil:
		http.Error(w, fmt.Sprint(wrong["error"]), http.StatusBadRequest)
	default:
		if wait = s.tooFast(""); wait > 0 {
			s.answerTo(w, reply{"retry_after": wait})
			return
		}
		s.add(m)
		_, _ = w.Write([]byte("ok"))
	}
}

// add stores m. A thread whose root does not exist is no thread, as in Slack.
func (s *Server) add(m Message) Message {
	s.told.Lock()
	defer s.told.Unlock()
	s.mu.Lock()
	root := func(x Message) bool { return x.TS == m.ThreadTS && x.Channel == m.Channel && !x.deleted }
	if !slices.ContainsFunc(s.messages, root) {
		m.ThreadTS, m.Broadcast = "", false
	}
	m.TS = s.stamp()
	s.messages = append(s.messages, m)
	close(s.posted)
	s.posted = make(chan struct{})
	s.mu.Unlock()
	if s.o.OnMessage != nil {
		s.o.OnMessage(m)
	}
	return m
}

// stamp is the next message's, of Slack's own form.
func (s *Server) stamp() string {
	seconds := int64(1_700_000_000)
	if s.o.Now != nil {
		seconds = s.o.Now().Unix()
	}
	return fmt.Sprintf("%d.%06d", seconds, len(s.messages)+1)
}

// shown is a message as the API lists it.
func (m Message) shown(metadata bool) reply {
	v := reply{"type": "message", "text": m.Text, "ts": m.TS, "bot_id": "B00000000"}
	if m.ThreadTS != "" {
		v["thread_ts"] = m.ThreadTS
	}
	if m.Blocks != nil {
		v["blocks"] = m.Blocks
	}
	if metadata && m.Metadata != nil {
		v["metadata"] = m.Metadata
	}
	return v
}

// https://docs.slack.dev/reference/methods/conversations.history
func (s *Server) history(args url.Values) reply {
	return s.listed(args, func(m Message) bool { return m.ThreadTS == "" || m.Broadcast }, true)
}

// https://docs.slack.dev/reference/methods/conversations.replies
func (s *Server) replies(args url.Values) reply {
	root := args.Get("ts")
	s.mu.Lock()
	there := s.at(args.Get("channel"), root) != nil
	s.mu.Unlock()
	if !there {
		return refused("thread_not_found")
	}
	return s.listed(args, func(m Message) bool { return m.TS == root || m.ThreadTS == root }, false)
}

// listed are a page of the messages of a channel that belong.
func (s *Server) listed(args url.Values, belongs func(Message) bool, newestFirst bool) reply {
	id := args.Get("channel")
	if word := s.mayRead(id); word != nil {
		return word
	}
	var all []reply
	s.mu.Lock()
	for _, m := range s.visible() {
		if channelID(m.Channel) == id && !m.Webhook && belongs(m) && m.TS > args.Get("oldest") {
			all = append(all, m.shown(truth(args.Get("include_all_metadata"))))
		}
	}
	s.mu.Unlock()
	if newestFirst {
		slices.Reverse(all)
	}
	page, next := paged(all, args)
	return reply{"ok": true, "messages": page, "has_more": next != "", "response_metadata": reply{"next_cursor": next}}
}

// paged is the page that limit and cursor ask for, and where the next begins.
func paged(all []reply, args url.Values) (page []reply, next string) {
	limit, err := strconv.Atoi(args.Get("limit"))
	if err != nil || limit <= 0 {
		limit = 100
	}
	from, _ := strconv.Atoi(args.Get("cursor")) // "" is the start
	from = min(max(from, 0), len(all))
	to := min(from+limit, len(all))
	if to < len(all) {
		next = strconv.Itoa(to)
	}
	return append([]reply{}, all[from:to]...), next
}

func truth(text string) bool { return text == "1" || text == "true" }
