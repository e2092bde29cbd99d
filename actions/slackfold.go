package actions

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/gavelhq/gavel/engine"
)

const (
	maxFolded     = 4_000 // characters; beyond it, Slack breaks a message into several
	maxFoldedKeys = 100   // of steps in one message: metadata is bounded, too
)

// fold puts the texts of steps that wait behind into m, if all of it is plain
// text for one place. Before the first attempt it only writes down which: they
// have to know where their texts went if this process is killed meanwhile.
// prepared reports that.
func (s *slackStep) fold(ctx context.Context, m *outgoing) (prepared bool, err error) {
	if !s.p.plain() || m.more || m.label != "0" || len(m.keys) > 0 {
		return false, nil
	}
	if s.pos.Fold == nil {
		if s.pos.Fold, err = s.choose(ctx, m.text); err != nil || s.pos.Fold == nil {
			return false, err
		}
		for _, key := range s.pos.Fold {
			s.leave(key, position{In: &claim{By: s.Key, Label: m.label, At: s.Now}})
		}
		return true, nil
	}
	texts := []string{m.text}
	for _, b := range s.Behind {
		if slices.Contains(s.pos.Fold, b.Key) {
			texts = append(texts, textOf(b))
			m.folded = append(m.folded, b.Key)
		}
	}
	if len(m.folded) > 0 {
		m.text, m.carried = foldedText(texts), m.folded
	}
	return false, nil
}

// foldedText is several texts in one.
func foldedText(texts []string) string {
	return fmt.Sprintf("_%d messages in one: they came faster than Slack takes them_\n%s", len(texts), strings.Join(texts, "\n"))
}

// choose names the steps behind whose texts go out with text: in their order,
// and none overtakes another of the same thread. nil: none.
func (s *slackStep) choose(ctx context.Context, text string) ([]string, error) {
	texts := []string{text}
	var keys []string
	for _, b := range s.Behind {
		var p slackParams
		if json.Unmarshal(b.With, &p) != nil {
			break
		}
		if p.Thread != s.p.Thread || p.Thread != "" && b.Tenant != s.tenant() {
			continue // of another thread
		}
		has, err := s.read(ctx, b.Key, &position{})
		if err != nil {
			return nil, err
		}
		texts = append(texts, p.Text)
		if has || !p.plain() || s.conn.place(p) != s.place || len(keys) == maxFoldedKeys || utf8.RuneCountInString(foldedText(texts)) > maxFolded {
			break
		}
		keys = append(keys, b.Key)
	}
	return keys, nil
}

// plain reports whether the step is a text and nothing else. Its opener is no
// matter once there is a root.
func (p slackParams) plain() bool {
	return strings.TrimSpace(p.Text) != "" && p.Update == "" && p.React == "" && p.Blocks == nil && len(p.Fields) == 0 && !p.AlsoToChannel
}

func textOf(b engine.Behind) string {
	var p slackParams
	_ = json.Unmarshal(b.With, &p) // it was chosen for its text
	return p.Text
}

// unfold settles what was written down about the steps whose texts were to go
// out in m.
func (s *slackStep) unfold(m outgoing) {
	for _, key := range s.pos.Fold {
		if slices.Contains(m.folded, key) || !slices.Contains(m.carried, key) {
			s.left[key] = nil
		}
	}
	s.pos.Fold = nil
}
