package slacktest

import (
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

var idForm = regexp.MustCompile(`^[CDGU][A-Z0-9]{7,}$`)

func isID(text string) bool { return idForm.MatchString(text) }

// channelID makes the id Slack would answer with. A message to a person is in a
// direct one of its own.
func channelID(channel string) string {
	switch {
	case isID(channel) && channel[0] == 'U':
		return "D" + channel[1:]
	case isID(channel):
		return channel
	}
	return hashed("C", channel)
}

func hashed(letter, text string) string {
	n := uint64(0)
	for _, b := range []byte(text) {
		n = n*31 + uint64(b)
	}
	return letter + strings.ToUpper(strconv.FormatUint(n%0xfffffff+0x10000000, 36)) + "00"
}

// name is a channel as Options have it, whether it is given by name or id.
func (s *Server) name(asked string) string {
	asked = strings.TrimPrefix(asked, "#")
	for name := range s.o.Channels {
		if channelID(name) == asked {
			return name
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.messages {
		if channelID(m.Channel) == asked {
			return m.Channel
		}
	}
	return asked
}

// channelRefuses is what a channel answers to who wants to post, "" if nothing.
func (s *Server) channelRefuses(name string) string {
	word, known := s.o.Channels[name]
	if name == "" || s.o.Channels != nil && !known && !isID(name) {
		return "channel_not_found"
	}
	return word
}

// channels are those of the workspace.
func (s *Server) channels() []string {
	if s.o.Channels != nil {
		return slices.Sorted(maps.Keys(s.o.Channels))
	}
	var names []string
	for _, m := range s.Messages() {
		if !isID(m.Channel) && !m.Webhook && !slices.Contains(names, m.Channel) {
			names = append(names, m.Channel)
		}
	}
	return names
}

// channel is one as the API lists it.
func (s *Server) channel(name string) reply {
	word := s.o.Channels[name]
	return reply{
		"id": channelID(name), "name": name, "is_channel": true, "is_private": slices.Contains(s.o.Private, name),
		"is_archived": word == "is_archived", "is_member": word != "not_in_channel" && word != "channel_not_found",
	}
}

// https://docs.slack.dev/reference/methods/conversations.info
func (s *Server) info(args url.Values) reply {
	id := args.Get("channel")
	for _, name := range s.channels() {
		c := s.channel(name)
		switch {
		case c["id"] != id:
		case c["is_private"] == true && !slices.Contains(s.o.Scopes, "groups:read"):
			return s.lacking("groups:read")
		case c["is_private"] == true && c["is_member"] != true: // not even that it exists
			return refused("channel_not_found")
		default:
			return reply{"ok": true, "channel": c}
		}
	}
	return refused("channel_not_found")
}

// https://docs.slack.dev/reference/methods/conversations.list
func (s *Server) list(args url.Values) reply {
	return s.listChannels(args, func(c reply) bool { return c["is_private"] != true || c["is_member"] == true })
}

// https://docs.slack.dev/reference/methods/users.conversations
func (s *Server) own(args url.Values) reply {
	return s.listChannels(args, func(c reply) bool { return c["is_member"] == true })
}

func (s *Server) listChannels(args url.Values, belongs func(reply) bool) reply {
	types := strings.Split(args.Get("types"), ",")
	if args.Get("types") == "" {
		types = []string{"public_channel"}
	}
	if slices.Contains(types, "private_channel") && !slices.Contains(s.o.Scopes, "groups:read") {
		return s.lacking("groups:read")
	}
	var all []reply
	for _, name := range s.channels() {
		c := s.channel(name)
		kind := "public_channel"
		if c["is_private"] == true {
			kind = "private_channel"
		}
		if belongs(c) && slices.Contains(types, kind) {
			all = append(all, c)
		}
	}
	page, next := paged(all, args)
	return reply{"ok": true, "channels": page, "response_metadata": reply{"next_cursor": next}}
}

// mayRead is what keeps the bot from reading a channel, nil if nothing does.
func (s *Server) mayRead(id string) reply {
	name := s.name(id)
	scope := "channels:history"
	switch {
	case !isID(id):
		return refused("channel_not_found")
	case strings.HasPrefix(id, "D"):
		scope = "im:history"
	case slices.Contains(s.o.Private, name):
		scope = "groups:history"
	}
	if !slices.Contains(s.o.Scopes, scope) {
		return s.lacking(scope)
	}
	if word := s.o.Channels[name]; word == "not_in_channel" || word == "channel_not_found" {
		return refused(word)
	}
	return nil
}

// https://docs.slack.dev/reference/methods/users.lookupByEmail
func (s *Server) lookupByEmail(args url.Values) reply {
	address := args.Get("email")
	id, known := s.o.People[address]
	switch {
	case address == "" || s.o.People != nil && !known:
		return refused("users_not_found")
	case !known:
		id = hashed("U", address)
	}
	return reply{"ok": true, "user": reply{"id": id, "name": address, "team_id": "T00000000"}}
}

// https://docs.slack.dev/reference/methods/conversations.open
func (s *Server) open(args url.Values) reply {
	id := args.Get("users")
	if !isID(id) || id[0] != 'U' {
		return refused("user_not_found")
	}
	return reply{"ok": true, "channel": reply{"id": channelID(id)}}
}

// bucket is what a channel may still take at once.
type bucket struct {
	tokens float64
	at     time.Time
}

// tooFast is for how many seconds a channel takes no message; 0: it took one.
func (s *Server) tooFast(channel string) int {
	if s.o.Every <= 0 {
		return 0
	}
	now := time.Unix(1_700_000_000, 0)
	if s.o.Now != nil {
		now = s.o.Now()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	full := float64(max(1, s.o.Burst))
	b := s.pace[channel]
	if b == nil {
		b = &bucket{tokens: full, at: now}
		s.pace[channel] = b
	}
	b.tokens = min(full, b.tokens+now.Sub(b.at).Seconds()/s.o.Every.Seconds())
	b.at = now
	if b.tokens < 1 {
		return max(1, int((1-b.tokens)*s.o.Every.Seconds()+0.999))
	}
	b.tokens--
	return 0
}
