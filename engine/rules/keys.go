package rules

// keyDoc is a key that a map of a rules file takes. These tables are where the
// reader has its names from, and the schema the rest.
type keyDoc struct {
	name, doc string
	value     func(*schemaMaker) *schema
	example   string // a value, as YAML; "" if value gives some itself
	byDefault string // as YAML; "" if there is none, or none that can be written
	required  bool
}

func keyNames(keys []keyDoc) []string {
	all := make([]string, len(keys))
	for i, k := range keys {
		all[i] = k.name
	}
	return all
}

// sectionKeys are the keys of a rules file, in the order of the reference.
func sectionKeys() []keyDoc {
	return []keyDoc{
		{name: "version", doc: "version of this format", value: versionSchema, byDefault: "1"},
		{name: "timezone", doc: "for dates, times, windows and schedules", value: zoneSchema, example: "Europe/Madrid", byDefault: "UTC"},
		{name: "sources", doc: "who may send, by name: the platform posts to /hooks/NAME", value: (*schemaMaker).sources,
			example: "{ meet: { platform: openvidu-meet, secret: env:MEET_API_KEY } }"},
		{name: "connections", doc: "where things go, by kind and name, with credentials", value: (*schemaMaker).connections,
			example: "{ slack: { team: { token: env:SLACK_BOT_TOKEN, channel: ops } } }"},
		{name: "lists", doc: "texts that expressions look things up in: participant.email in lists.vips", value: listsSchema,
			example: "{ vips: [ceo@example.com, \"85746065432\"] }"},
		{name: "tables", doc: "rows by key that expressions look values up in: tables.rooms[room.id]?.channel", value: tablesSchema,
			example: "{ rooms: { board: { channel: exec, limit: 90m } } }"},
		{name: "windows", doc: "weekly times: windows.office is true during them", value: windowsSchema,
			example: "{ office: mon-fri 08:00-20:00 }"},
		{name: "prices", doc: "what a unit costs, by meter and currency, for billing steps without a price", value: (*schemaMaker).prices,
			example: `{ meeting_minutes: { EUR: "0.004" } }`},
		{name: "rules", doc: "what happens when", value: (*schemaMaker).rules},
	}
}

// commonSourceKeys are the keys every source takes.
func commonSourceKeys() []keyDoc {
	return []keyDoc{
		{name: "platform", doc: "what sends", value: (*schemaMaker).platform, required: true},
		{name: "allow_from", doc: "address ranges it may send from; default all", value: rangesSchema, example: "[10.0.0.0/8]"},
		{name: "path", doc: "a further path besides /hooks/NAME", value: pathSchema, example: "/webhooks/meet"},
		{name: "fields", doc: "facts the platform does not send as such: expressions over the facts and raw, the payload", value: factsSchema,
			example: "{ participant.email: participant.metadata.email }"},
		{name: "tenant", doc: "whose events these are", value: tenantSchema, byDefault: "default"},
		{name: "max_body", doc: "the largest delivery, at most 64MiB", value: sizeSchema, example: "64KB", byDefault: "1MiB"},
		{name: "allow_billing", doc: "true lets a source that does not sign its deliveries write to the ledger", value: flagSchema, byDefault: "false"},
		{name: "silent_after", doc: "how long silence is normal: after that the source is listed as silent", value: durationSchema, example: "2d"},
	}
}

// platformSourceKeys are the keys a platform must ask for or allow.
func platformSourceKeys() []keyDoc {
	return []keyDoc{
		{name: "secret", doc: "the shared secret, or several while it is changed: references, never the text itself", value: secretsSchema, example: "env:MEET_API_KEY"},
		{name: "api_key", doc: "name of the key, where the platform has one: text or a reference", value: apiKeySchema, example: "env:LIVEKIT_API_KEY"},
		{name: "public_key", doc: "a PEM instead of the one the platform publishes", value: referenceSchema, example: "file:/etc/gavel/key.pem"},
		{name: "headers", doc: "headers that must be there, by name: references", value: headersSchema, example: "{ Authorization: env:WEBHOOK_AUTHORIZATION }"},
		{name: "tolerance", doc: "how old a signed timestamp may be, at most 24h; default the platform's own", value: lengthSchema, example: "5m"},
	}
}

func listFileKeys() []keyDoc {
	return []keyDoc{{name: "file", doc: "a file beside the rules file, with one entry per line; # begins a comment", value: textSchema, example: "vips.txt", required: true}}
}

// tierKeys are the keys of a price that depends on how much there is.
func tierKeys() []keyDoc {
	return []keyDoc{
		{name: "up_to", doc: "where it ends, in a customer's month of the meter; the last one needs none", value: limitSchema, example: "1000000"},
		{name: "price", doc: "of a unit: an exact number", value: priceSchema, example: `"0.004"`, required: true},
	}
}

// ruleDocs are the keys of a rule, in the order of the reference.
func ruleDocs() []keyDoc {
	return []keyDoc{
		{name: "id", doc: "names the rule in runs, the ledger and messages: a-z, 0-9 and -", value: ruleIDSchema, example: "long-session", required: true},
		{name: "when", doc: "the event that wakes the rule: a type, platform:wire-name, gavel:NAME for one a step emits, a list of them, or { schedule: … }",
			value: (*schemaMaker).when, example: "session_ended", required: true},
		{name: "from", doc: "a source or a list of them; default all", value: fromSchema, example: "[meet]"},
		{name: "if", doc: "the condition: an expression, or a list that must all be true", value: conditionsSchema, example: "session.duration > 60m"},
		{name: "count", doc: "lets every event pass that is the at_least-th within some time", value: countSchema, example: "{ at_least: 3, within: 10m }"},
		{name: "hold", doc: "goes on after this time, if the condition is true all along", value: periodSchema, example: "10m"},
		{name: "expect", doc: "goes on if another event fails to come", value: expectSchema, example: "{ event: participant_joined, within: 5m }"},
		{name: "once", doc: "lets each key pass a single time; [] is one key for all", value: keySchema, example: "[session.id, participant.id]"},
		{name: "cooldown", doc: "lets one event pass, and then none for this time", value: cooldownSchema, example: "15m"},
		{name: "digest", doc: "gathers events for one run", value: digestSchema, example: "{ every: 5m, per: [room.id] }"},
		{name: "then", doc: "steps, if the condition is true", value: (*schemaMaker).steps, example: `[ log: "${room.name} ran ${session.duration}" ]`, required: true},
		{name: "else", doc: "steps, if the condition is false", value: (*schemaMaker).steps},
		{name: "on_late", doc: "steps, when what was expected comes after all", value: (*schemaMaker).steps},
		{name: "on_failure", doc: "steps, if a step of the rule fails for good", value: (*schemaMaker).failureSteps, example: `[ log: "${failure.step}: ${failure.error}" ]`},
		{name: "late", doc: "what becomes of what came due while the server was down: skip, or { within: 10m }; default it runs late", value: lateSchema},
		{name: "mode", doc: "shadow records what the rule would do, and does nothing", value: modeSchema},
		{name: "shadow_of", doc: "the rule that a shadow is compared with", value: ruleIDSchema, example: "long-session"},
		{name: "order", doc: "parallel lets runs of one session overtake each other", value: orderSchema},
		{name: "enabled", doc: "false turns the rule off; it is still checked", value: flagSchema, byDefault: "true"},
		{name: "owner", doc: "who looks after the rule", value: textSchema, example: "customer care"},
		{name: "description", doc: "what the rule is for", value: textSchema, example: "Long sessions are announced."},
		{name: "runbook", doc: "where it says what to do", value: textSchema, example: "https://wiki.example.com/long-sessions"},
	}
}

func scheduleKeys() []keyDoc {
	return []keyDoc{{name: "schedule", doc: "minute, hour, day of the month, month and weekday, in the timezone of the file; or @hourly, @daily, @weekly, @monthly, @yearly",
		value: cronSchema, example: `"0 8 * * mon-fri"`, required: true}}
}

func countKeys() []keyDoc {
	return []keyDoc{
		{name: "at_least", doc: "how many events", value: gatheredSchema, example: "3", required: true},
		{name: "within", doc: "how far apart they may be", value: periodSchema, example: "10m", required: true},
		{name: "per", doc: perDoc, value: keySchema, example: "[room.id]"},
		{name: "distinct", doc: "count different values of this expression instead of events", value: keyPartSchema, example: "participant.id"},
	}
}

// perDoc is what per is in every word.
const perDoc = "what is counted by: expressions; default the session, [] is one key for all"

func expectDocs() []keyDoc {
	return []keyDoc{
		{name: "event", doc: "what should happen: a type of events or a list of them", value: eventTypesSchema, example: "participant_joined", required: true},
		{name: "if", doc: "which of them: a condition over that event; trigger.* is the one the rule began with", value: conditionsSchema, example: `participant.role == "host"`},
		{name: "per", doc: perDoc, value: keySchema, example: "[session.id, participant.id]"},
		{name: "within", doc: "how long it is waited for", value: periodSchema, example: "5m", required: true},
		{name: "stop_on", doc: "types of events that end the waiting", value: eventTypesSchema, example: "[session_ended]"},
	}
}

func cooldownKeys() []keyDoc {
	return []keyDoc{
		{name: "for", doc: "how long nothing passes", value: periodSchema, example: "15m", required: true},
		{name: "per", doc: perDoc, value: keySchema, example: "[room.id]"},
	}
}

func digestKeys() []keyDoc {
	return []keyDoc{
		{name: "every", doc: "how long events are gathered, from the first of them", value: lengthSchema, example: "5m"},
		{name: "at", doc: "the moment of the clock at which it is sent, as in a schedule", value: cronSchema, example: `"0 18 * * mon-fri"`},
		{name: "per", doc: perDoc, value: keySchema, example: "[room.id]"},
	}
}

func lateKeys() []keyDoc {
	return []keyDoc{{name: "within", doc: "what is later than that is left out", value: lengthSchema, example: "10m", required: true}}
}

// stepDocs are the keys of a step besides its action.
func stepDocs() []keyDoc {
	return []keyDoc{
		{name: "id", doc: "a name for steps.ID: a-z, 0-9 and _, beginning with a letter", value: stepIDSchema, example: "crm"},
		{name: "if", doc: "a condition; false skips the step", value: conditionsSchema, example: "steps.crm.status == 200"},
		{name: "via", doc: "name of the connection; not needed where there is one, or one called default", value: nameSchema, example: "team"},
		{name: "retry", doc: "how often the step is tried again", value: retrySchema, example: "{ attempts: 3, first: 2s }"},
		{name: "timeout", doc: "of one attempt; default 30s", value: lengthSchema, example: "10s"},
		{name: "on_failure", doc: "continue, or steps of its own instead of the rule's", value: (*schemaMaker).onFailure},
	}
}

func retryKeys() []keyDoc {
	return []keyDoc{
		{name: "attempts", doc: "how many tries altogether; 1 is a single one", value: attemptsSchema, byDefault: "8"},
		{name: "first", doc: "the first pause", value: durationSchema, byDefault: "30s"},
		{name: "max", doc: "the longest pause", value: durationSchema, byDefault: "12h"},
		{name: "for", doc: "for how long altogether", value: durationSchema, example: "1d"},
	}
}

// maxAttempts is how often a step can be tried.
const maxAttempts = 100
