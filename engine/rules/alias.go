package rules

import (
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// alias is what people write who know other tools, and what they mean by it.
type alias struct {
	words string // separated by spaces
	hint  string
}

// aliases are the aliases of the keys of one place. of names it as messages
// do: "keys of a rule".
func aliases(of string) []alias {
	switch of {
	case "keys of a rules file":
		return []alias{
			{"slack http", "connections are below connections: connections: { slack: { team: { token: env:SLACK_BOT_TOKEN } } }"},
			{"vars variables constants", "fixed values are lists: or tables:"},
			{"id when then", "rules are entries of a list: rules:, and below it - id: …"},
			{"schedules cron", `a rule fires by the clock with when: { schedule: "0 8 * * mon-fri" }`},
		}
	case "keys of a source":
		return []alias{
			{"type kind provider vendor", "write platform: …"},
			{"webhook_secret signing_secret secrets hmac", "write secret: env:NAME"},
			{"ip ips allow allowlist whitelist", "write allow_from: [203.0.113.0/24]"},
			{"url endpoint", "a source is posted to at /hooks/NAME; another path is path: /webhooks/meet"},
		}
	case "keys of a rule":
		return []alias{
			{"on event events trigger triggers type", "write when: session_ended"},
			{"condition conditions where filter match matches", "write if: …"},
			{"unless", "write if: not (…)"},
			{"do actions action steps run", "write then: followed by a list of steps"},
			{"otherwise", "write else: followed by a list of steps"},
			{"name title", "write id: some-name; free text is description: …"},
			{"on_error onerror rescue catch", "write on_failure: followed by a list of steps"},
			{"disabled", "write enabled: false"},
			{"source sources platform platforms", "write from: [NAME, NAME], with names of sources"},
			{"throttle debounce rate_limit", "write cooldown: 15m"},
			{"dedupe unique", "write once: [session.id]"},
			{"schedule cron every at", `write when: { schedule: "0 8 * * mon-fri" }`},
			{"within timeout stop_on event_within", "it belongs below expect: expect: { event: participant_joined, within: 5m }"},
			{"shadow dry_run", "write mode: shadow"},
			{"per by group_by", "it belongs below count, expect, cooldown or digest"},
		}
	case "keys of when":
		return []alias{{"cron at every", `write when: { schedule: "0 8 * * mon-fri" }`}}
	case "keys of expect":
		return []alias{
			{"type types events", "write event: participant_joined"},
			{"on_late then else on_failure", "it stands beside expect, in the rule itself: indent it like expect"},
			{"timeout for after in", "write within: 5m"},
			{"condition where when match", "write if: …"},
			{"key keys by group_by", "write per: [session.id]"},
			{"stop cancel cancel_on until unless", "write stop_on: [session_ended]"},
		}
	case "keys of cooldown":
		return []alias{{"within every time duration period", "write for: 15m"}, {"key keys by group_by", "write per: [room.id]"}}
	case "keys of count":
		return []alias{
			{"min times n count more_than threshold", "write at_least: 3"}, {"for in window period", "write within: 10m"},
			{"key keys by group_by", "write per: [room.id]"}, {"unique", "write distinct: participant.id"},
		}
	case "keys of digest":
		return []alias{{"for within interval", "write every: 5m"}, {"cron schedule", `write at: "0 18 * * mon-fri"`}, {"key keys by group_by", "write per: [room.id]"}}
	case "keys of late":
		return []alias{{"for max skip", "write late: skip, or late: { within: 10m }"}}
	case "keys of retry":
		return []alias{{"times tries count max_attempts retries", "write attempts: 3"}, {"delay wait backoff initial interval", "write first: 30s"}, {"max_delay max_interval", "write max: 8h"}, {"timeout", "write for: 1d; the time of one attempt is the step's timeout:"}}
	case "parameters of slack":
		return []alias{
			{"message msg body content", "write text: …"}, {"to room chan", "write channel: ops"}, {"thread_ts reply_to", "write thread: ${session.id}"},
			{"token url webhook", "it belongs to a connection: connections: { slack: { team: { token: env:SLACK_BOT_TOKEN } } }"},
		}
	case "parameters of http":
		return []alias{
			{"url method uri address", "the method is the key: post: https://example.com/path"}, {"payload data body_json", "write json: { … }"},
			{"params args", "write query: { … }"}, {"status statuses codes expect", "write ok: [200, 404]"},
			{"token bearer auth authorization password user username api_key", "credentials belong to a connection: connections: { http: { crm: { base: https://crm.example.com, bearer: env:CRM_TOKEN } } }, and via: crm in the step"},
		}
	case "parameters of log":
		return []alias{{"text msg line", "write message: …"}, {"severity", "write level: warn"}, {"data extra", "write fields: { … }"}}
	case "parameters of billing":
		return []alias{
			{"amount count units minutes value", "write quantity: …"}, {"account client user", "write customer: …"},
			{"metric name product type", "write meter: …"}, {"rate cost", `write price: "0.004 EUR"`}, {"id unique", "write key: …"},
		}
	case "parameters of emit":
		return []alias{{"type event id", "write name: …, or in short - emit: NAME"}, {"payload fields with", "write data: { … }"}}
	case "parameters of wait":
		return []alias{{"duration time seconds minutes", "write wait: 5m"}, {"event", "to wait for an event a rule has expect: { event: …, within: 5m }"}}
	case "actions":
		return []alias{
			{"webhook request call fetch curl post get put patch delete", "write - http: { post: https://example.com/path }"}, {"sleep delay pause", "write - wait: 5m"},
			{"print echo debug message", "write - log: …"}, {"notify chat send", "write - slack: …"}, {"exit return break end", "write - stop: reason"},
			{"bill charge ledger meter usage invoice", "write - billing: { … }"}, {"event trigger raise fire", "write - emit: NAME"},
			{"then steps else", "it is a key of the rule: indent it less"},
		}
	case "keys of a step":
		return []alias{{"retries attempts", "write retry: { attempts: 3 }"}, {"name", "write id: …"}, {"when condition unless", "write if: …"}, {"on_error", "write on_failure: continue, or a list of steps"}, {"connection", "write via: NAME"}}
	}
	return nil
}

// meant is the hint for a key that has another name here, "" if none is known.
func meant(word, of string) string {
	word = strings.ToLower(strings.ReplaceAll(word, "-", "_"))
	for _, a := range aliases(of) {
		for _, w := range strings.Fields(a.words) {
			if w == word {
				return a.hint
			}
		}
	}
	return ""
}

// advice is the hint for a key that is not known: what is meant by it, or the
// nearest known one and all of them.
func advice(word, of string, known []string) string {
	if hint := meant(word, of); hint != "" {
		return hint + "; " + of + ": " + enumerate(known)
	}
	return suggestion(word, of, known)
}

// misspells reports whether an entry of n that is not among got stands for key:
// what is said of it says enough.
func (n node) misspells(key, of string, got map[string]node) bool {
	if n.Kind != yaml.MappingNode {
		return false
	}
	return slices.ContainsFunc(n.entries(), func(e node) bool {
		_, known := got[e.name()]
		return !known && (closest(e.name(), []string{key}) != "" || strings.HasPrefix(meant(e.name(), of), "write "+key+":"))
	})
}
