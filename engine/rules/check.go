package rules

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/gavelhq/gavel/engine"
)

// senders are the sources whose events the rule takes.
func (l *loader) senders(r *rule, t trigger) []*source {
	var all []*source
	for _, s := range l.sources {
		if r.from(s.Name) && t.sentBy(s.kind) {
			all = append(all, s)
		}
	}
	return all
}

// sentBy reports whether a platform can send what t waits for.
func (t trigger) sentBy(k engine.PlatformKind) bool {
	switch {
	case t.platform == engine.PlatformGavel: // the event of any source can lead to it
		return true
	case t.wire != "":
		return k.Name == t.platform
	}
	return sends(k, t.eventType)
}

// sends reports whether events of a type can come from a platform: sent as
// such, or derived by the engine.
func sends(k engine.PlatformKind, eventType string) bool {
	if eventType == engine.Other {
		return true
	}
	for _, types := range k.Events {
		if slices.Contains(types, eventType) {
			return true
		}
	}
	switch eventType {
	case engine.ParticipantLeft: // derived for everyone present when a session ends
		return sends(k, engine.ParticipantJoined)
	case engine.SessionEnded: // promoted
		return sends(k, engine.SessionMediaEnded)
	}
	return false
}

// checkSenders reports triggers that no source of the rule can send.
func (l *loader) checkSenders(r *rule) {
	if len(l.sources) == 0 {
		return
	}
	for _, t := range r.when {
		if len(l.senders(r, t)) > 0 {
			continue
		}
		t.node.rule = r.ID
		t.node.add(issue{Code: "never-sent", What: fmt.Sprintf("no source of this rule can send %s", t.node.Value),
			Why: "its sources are " + l.sourcesFor(r), Hint: "choose another event, or add a source that sends it"})
	}
}

// sourcesFor names the sources of the rule, and what they are.
func (l *loader) sourcesFor(r *rule) string {
	var who []string
	for _, s := range l.sources {
		if r.from(s.Name) {
			who = append(who, fmt.Sprintf("%s (%s)", s.Name, s.Platform))
		}
	}
	return enumerate(who)
}

// guarded reports whether some expression of the rule says what happens where
// the fact is not known: fact ?? …, or a comparison with "" or nil.
func (l *loader) guarded(fact string) bool {
	form := regexp.MustCompile(`\b` + regexp.QuoteMeta(fact) + `\b[\w.?\[\]"]*?\s*(\?\?|[!=]=\s*(""|''|nil\b))`)
	for _, u := range l.uses {
		if strings.HasPrefix(u.fact, fact) && form.MatchString(u.at.Value) {
			return true
		}
	}
	return false
}

// checkFacts warns of facts that the rule needs and a source of it can never
// supply.
func (l *loader) checkFacts(r *rule) {
	seen := map[string]bool{}
	for _, u := range l.uses {
		group, name, dotted := strings.Cut(u.fact, ".")
		name, _, _ = strings.Cut(name, ".")
		fact := group + "." + name
		if u.fact == "session" || fact == "session.participants" || fact == "session.host" {
			r.needs.Participants = true
		}
		if group == "sessions" {
			r.needs.Sessions = true
		}
		if !dotted || seen[fact] || !slices.Contains([]string{"room", "session", "participant", "recording", "track", "stream", "artifact"}, group) {
			continue
		}
		seen[fact] = true
		var lacking []string
		for _, s := range l.sources {
			if (u.awaited && r.awaits(s) || !u.awaited && r.takes(s)) && !s.supplies(fact) {
				lacking = append(lacking, s.Name)
			}
		}
		if len(lacking) == 0 || l.guarded(fact) {
			continue
		}
		i := issue{Code: "possible-never", Warning: true, What: fmt.Sprintf("%s is never known for %s %s", fact, plural(len(lacking), "source"), enumerate(lacking)), Why: "the platform does not send it"}
		needed := fact
		if fact == "session.host" {
			needed = "participant.role"
		}
		if slices.Contains(settableFacts(), needed) {
			i.Hint = fmt.Sprintf("if its metadata or payload says so, add to the source: fields: { %s: … }", needed)
		} else {
			i.Hint = "say what stands for it by ??, or limit the rule by from:"
		}
		if at := strings.Index(u.at.Value, fact); at >= 0 {
			i.Offset, i.Width = len([]rune(u.at.Value[:at])), len([]rune(fact))
		}
		u.at.rule = r.ID
		u.at.add(i)
	}
}

// takes reports whether events of s can reach the rule.
func (r *rule) takes(s *source) bool {
	return r.from(s.Name) && slices.ContainsFunc(r.when, func(t trigger) bool { return t.sentBy(s.kind) })
}

// awaits reports whether the rule can expect an event of s.
func (r *rule) awaits(s *source) bool {
	return r.expect != nil && r.from(s.Name) && slices.ContainsFunc(r.expect.types, func(t string) bool { return sends(s.kind, t) })
}

// supplies reports whether the fact can ever be known for the source.
func (s *source) supplies(fact string) bool {
	if fact == "session.host" {
		fact = "participant.role"
	}
	if fact == "session.estimated" { // our own verdict
		return true
	}
	if len(s.kind.Facts) == 0 || slices.Contains(s.kind.Facts, fact) {
		return true
	}
	for _, f := range s.fields {
		if f.fact == fact {
			return true
		}
	}
	return false
}

// checkBilling reports billing steps that events of an unsigned source could
// reach.
func (l *loader) checkBilling(r *rule) {
	for _, branch := range sortedKeys(r.branches) {
		for _, s := range r.branches[branch] {
			if s.action == nil || s.action.Name != "billing" {
				continue
			}
			late := strings.HasPrefix(branch, engine.BranchOnLate)
			for _, src := range l.sources {
				if (late && r.awaits(src) || !late && r.takes(src)) && !src.kind.Signed && !src.AllowBilling {
					s.node.rule = r.ID
					s.node.addAtKey(issue{Code: "unsigned-billing", What: fmt.Sprintf("events of source %q must not write to the ledger", src.Name),
						Why: fmt.Sprintf("%s does not sign its deliveries: who knows the header can invent them", src.Platform), Hint: fmt.Sprintf("limit the rule by from:, or set allow_billing: true at source %s", src.Name)})
				}
			}
		}
	}
}
