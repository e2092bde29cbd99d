package rules

import (
	"regexp"
	"strings"
	"testing"

	"github.com/gavelhq/gavel/engine"
)

// goNames is what no message for people may contain.
var goNames = regexp.MustCompile(`\b(int64|int32|float64|float|string\b[^(]|bool\b|interface|map\[|\[\]|func\(|struct|reflect|main\.|engine\.|rules\.|time\.(Time|Duration)|nature|panic|runtime|token|Identifier|Operator\(|EOF|<nil>|%!)`)

func checkWords(t testing.TB, src string, i issue) {
	t.Helper()
	for _, text := range []string{i.What, i.Why, i.Hint} {
		if m := goNames.FindString(strings.ReplaceAll(text, src, "")); m != "" && !strings.Contains(src, m) && m != "float" {
			t.Errorf("%s: %q in a message: %s", src, m, text)
		}
		if strings.HasSuffix(text, ".") || text != "" && text != strings.TrimSpace(text) {
			t.Errorf("%s: ends badly: %q", src, text)
		}
	}
	if i.What == "" || i.Code == "" || i.Width < 1 || i.Offset < 0 || i.Offset+i.Width > max(1, len([]rune(src))) {
		t.Errorf("%s: incomplete: %+v", src, i)
	}
}

// TestMistakes: each is reported once, at the word that is wrong, with the
// way out.
func TestMistakes(t *testing.T) {
	c := newCompiler(testDefinitions(t))
	for _, x := range []struct{ src, code, word, hint string }{
		// Names.
		{`session.duraton > 60m`, "unknown-field", "duraton", `did you mean "duration"?`},
		{`session.xyz > 60m`, "unknown-field", "xyz", "fields of session: id, status"},
		{`sesion.peak > 3`, "unknown-name", "sesion", `did you mean "session"?`},
		{`peak > 3`, "unknown-name", "peak", "write session.peak"},
		{`host == "x"`, "unknown-name", "host", "write session.host"},
		{`room.name == ana`, "unknown-name", "ana", "text stands in quotes"},
		{`room.name == null`, "unknown-name", "null", `write ""`},
		{`session.recording == True`, "unknown-name", "True", "write true"},
		{`$env == 1`, "unknown-name", "$env", "names: event"},
		{`$frame == 1`, "unknown-name", "$frame", ""},
		{`now > session.started`, "unknown-name", "now", "write now()"},
		{`participant.email == "x"`, "not-in-event", "participant", "session.participants"},
		{`recording.url != ""`, "not-in-event", "recording", ""},
		{`failure.error == ""`, "unknown-name", "failure", ""},
		{`let room = 1; true`, "unknown-name", "room", "another name"},
		{`let len = 1; true`, "unknown-name", "len", "another name"},
		{`room.id in lists.vps`, "unknown-field", "vps", `did you mean "vips"?`},
		{`"x" not in lists.typo`, "unknown-field", "typo", "lists: none"},
		{`room.id in lists.vip-list`, "unknown-field", "vip", `lists["vip-list"]`},
		{`tables.room["x"] == nil`, "unknown-field", "room", `did you mean "rooms"?`},
		{`tables.rooms.smal.channel == ""`, "unknown-field", "smal", `did you mean "small"?`},
		{`tables.rooms[room.id]?.chanel == "x"`, "unknown-field", "chanel", `did you mean "channel"?`},
		{`windows.ofice`, "unknown-field", "ofice", `did you mean "office"?`},
		{`steps.cmr.status == 200`, "unknown-field", "cmr", `did you mean "crm"?`},
		{`steps.late.status == 200`, "later-step", "late", "after it"},
		{`steps.crm.stauts == 200`, "unknown-field", "stauts", `did you mean "status"?`},
		{`any(session.participants, .emial == "x")`, "unknown-field", "emial", `did you mean "email"?`},
		{`session.participants.email == "x"`, "unknown-field", "email", "any(session.participants, .email == …)"},
		{`room.name.length > 3`, "unknown-field", "length", "write len(room.name)"},
		{`session.duration.minutes > 3`, "unknown-field", "minutes", "write minutes(session.duration)"},
		{`session.started.hour > 3`, "unknown-field", "hour", "write hour(session.started)"},

		{`session.started == null`, "unknown-name", "null", "write nil"},
		{`session.status == ended`, "unknown-name", "ended", `in quotes: "ended"`},
		{`room.id in vips`, "unknown-name", "vips", "write lists.vips"},
		{`rooms["x"] == nil`, "unknown-name", "rooms", "write tables.rooms"},
		{`office`, "unknown-name", "office", "write windows.office"},
		{`room.metadata.team-name == "x"`, "unknown-name", "name", `room.metadata["team-name"]`},
		{`meeting.duration > 5m`, "unknown-name", "meeting", "write session.duration"},
		{`meeting.xyz > 5m`, "unknown-name", "meeting", "one of its fields"},

		// Types.
		{`session.duration > (tables.rooms[room.id]?.seats ?? 60m)`, "type-mismatch", ">", "seats: 12m"},
		{`(tables.rooms[room.id]?.seats ?? 60m) == session.duration`, "type-mismatch", "==", "write durations in table rooms"},
		{`session.duration > (true ? 60 : 60m)`, "type-mismatch", ">", "as a duration"},
		{`session.participants > 10`, "type-mismatch", ">", "write len(session.participants) for all who were there, session.present"},
		{`3 < lists.vips`, "type-mismatch", "<", "write len(lists.vips)"},
		{`session.duration > "00:30:00"`, "type-mismatch", ">", "30m"},
		{`"x" in windows.office`, "type-mismatch", "in", "not windows.office"},
		{`room.name.startsWith("B")`, "unknown-function", "startsWith", `write room.name startsWith "B"`},
		{`event.time.format("15:04") == ""`, "unknown-function", "format", "clock(event.time)"},
		{`room.name or room.id`, "not-boolean", "room.name", "room.name ?? room.id"},
		{`session.duration > 60`, "type-mismatch", ">", "write the number with its unit: 60m"},
		{`session.duration > "60m"`, "type-mismatch", ">", "write 60m without quotes"},
		{`60 < session.duration`, "type-mismatch", "<", "60m"},
		{`session.duration == 60`, "type-mismatch", "==", "60m"},
		{`session.duration + 5 > 1m`, "type-mismatch", "+", "5m"},
		{`session.peak > "ten"`, "type-mismatch", ">", "in digits"},
		{`session.peak > "10"`, "type-mismatch", ">", "write 10 without quotes"},
		{`room.id == 7`, "type-mismatch", "==", `write "7"`},
		{`session.recording == "true"`, "type-mismatch", "==", "without quotes"},
		{`session.started > "2026-01-01"`, "type-mismatch", ">", "date(…)"},
		{`session.started > 60m`, "type-mismatch", ">", ""},
		{`event.derived contains "x"`, "type-mismatch", "contains", `write "x" in event.derived`},
		{`event.derived == "x"`, "type-mismatch", "==", "x in list"},
		{`room.name contains 3`, "type-mismatch", "contains", `write "3"`},
		{`session.peak startsWith "3"`, "type-mismatch", "startsWith", "string(session.peak)"},
		{`session.peak in lists.vips`, "type-mismatch", "in", "string(session.peak)"},
		{`"x" in session.participants`, "type-mismatch", "in", "any(session.participants, .name == \"x\")"},
		{`room.id in room.name`, "type-mismatch", "in", "room.name contains room.id"},
		{`room.id in 3`, "type-mismatch", "in", "a list stands on the right side"},
		{`session.host == "x"`, "type-mismatch", "==", "name one of its fields: id"},
		{`room.name + 3 == "x"`, "type-mismatch", "+", ""},
		{`-room.name == "x"`, "type-mismatch", "-", ""},
		{`session.peak > nil`, "type-mismatch", ">", "!= nil"},
		{`session.recording > true`, "type-mismatch", ">", ""},
		{`raw.x > 5m`, "type-mismatch", ">", "* 1s"},
		{`raw.x > session.started`, "type-mismatch", ">", "typed facts"},
		{`room.name[0] == "x"`, "type-mismatch", "[", "room.name[0:3]"},
		{`session.participants["a"] == nil`, "unknown-field", `"a"`, "ask its elements"},
		{`session.peak[1:2] == nil`, "type-mismatch", "session.peak", ""},
		{`{(3): 1} == nil`, "type-mismatch", "3", "string"},
		{`upper(session.peak) == "x"`, "type-mismatch", "session.peak", "write string(session.peak)"},
		{`len(session.peak) > 3`, "type-mismatch", "session.peak", ""},
		{`ceil_minutes(60) > 3`, "type-mismatch", "60", "with its unit"},
		{`ceil_minutes("60m") > 3`, "type-mismatch", `"60m"`, "without quotes"},
		{`abs(session.duration) > 5m`, "type-mismatch", "session.duration", "< 0s ?"},
		{`float(session.duration) > 5`, "type-mismatch", "session.duration", "session.duration / 1m"},
		{`int(session.duration) > 5`, "type-mismatch", "session.duration", "ceil_minutes(session.duration)"},
		{`round(session.duration) > 5`, "type-mismatch", "session.duration", "ceil_minutes"},
		{`sum(map(session.participants, .total)) > 5m`, "type-mismatch", "map(session.participants, .total)", "session.attended"},
		{`sum(session.participants, .total) > 5m`, "type-mismatch", ".total", "minutes(.total)"},
		{`mean(map(session.participants, .total)) > 5`, "type-mismatch", "map(session.participants, .total)", "minutes"},
		{`duration(session.peak) > 5m`, "type-mismatch", "session.peak", "* 1s"},
		{`join(session.participants) == ""`, "type-mismatch", "session.participants", "map(session.participants, .id)"},
		{`all(session.peak, true)`, "type-mismatch", "session.peak", ""},
		{`sortBy(session.participants, .present) == []`, "type-mismatch", ".present", ""},
		{`duration("60x") > 5m`, "bad-duration", `"60x"`, "write a number with w, d"},
		{`session.duration > 60x`, "bad-duration", "60x", "60m"},
		{`session.duration > 60min`, "bad-duration", "60min", "write 60m"},
		{`session.duration > 1.5h`, "bad-duration", "1.5h", "write 1h30m"},
		{`session.duration > 30m1h`, "bad-duration", "30m1h", ""},
		{`session.duration > 99999999999w`, "bad-duration", "99999999999w", ""},

		// True or false.
		{`session.duration`, "not-boolean", "session.duration", "!= nil"},
		{`room.name`, "not-boolean", "room.name", `room.name != ""`},
		{`session.attended`, "not-boolean", "session.attended", "> 60m"},
		{`source.sessions`, "not-boolean", "source.sessions", "> 0"},
		{`session.participants`, "not-boolean", "session.participants", "len(session.participants) > 0"},
		{`session`, "not-boolean", "session", "compare one of its fields"},
		{`raw.a and true`, "not-boolean", "raw.a", "raw.a == true"},
		{`true or raw.a`, "not-boolean", "raw.a", "raw.a == true"},
		{`not raw.b`, "not-boolean", "raw.b", "raw.b == true"},
		{`raw.a`, "not-boolean", "raw.a", "raw.a == true"},
		{`raw.a ? true : false`, "not-boolean", "raw.a", "raw.a == true"},
		{`room.name == "a" or "b"`, "not-boolean", `"b"`, `x in ["a", "b"]`},
		{`not room.name == "x"`, "not-boolean", "room.name", "not (a == b)"},
		{`tables.rooms[room.id]?.open`, "not-boolean", "tables.rooms[room.id]?.open", "?? false"},
		{`filter(session.participants, .role) == []`, "not-boolean", ".role", `.role != ""`},
		{`session.peak > 3 ? "a" : "b"`, "not-boolean", `session.peak > 3 ? "a" : "b"`, ""},

		// Missing values.
		{`room.name == nil`, "never-nil", "==", `write room.name == ""`},
		{`nil != room.name`, "never-nil", "!=", `write room.name != ""`},

		// Functions and limits.
		{`uper(room.name) == "X"`, "unknown-function", "uper", `did you mean "upper"?`},
		{`room.name.upper() == "X"`, "unknown-function", "upper", "write upper(room.name)"},
		{`room.name.includes("x")`, "unknown-function", "includes", "contains"},
		{`session.started.Unix() > 1`, "unknown-function", "Unix", ""},
		{`repeat("x", 10) == ""`, "unknown-function", "repeat", "left out"},
		{`toJSON(raw) == ""`, "unknown-function", "toJSON", "left out"},
		{`reduce(lists.vips, #acc, 0) == 1`, "unknown-function", "reduce", "sum, count"},
		{`len() > 1`, "wrong-arguments", "len", "characters or elements"},
		{`hour(event.time, 1) > 1`, "wrong-arguments", "hour", ""},
		{`count(lists.vips) > 1`, "wrong-arguments", "count", "len(lists.vips)"},
		{`sortBy(lists.vips, #, "up") == []`, "wrong-arguments", `"up"`, ""},
		{`room.name matches room.id`, "bad-pattern", "room.id", "contains"},
		{`room.name matches "("`, "bad-pattern", `"("`, ""},
		{`room.name matches "(a{1,100}){1,10}b"`, "bad-pattern", `"(a{1,100}){1,10}b"`, ""},
		{`any(lists.vips, any(lists.vips, any(lists.vips, true)))`, "expression-too-large", "any", "filter first"},

		// Syntax.
		{`room.name in ("a", "b")`, "syntax-error", ",", `["a", "b"]`},
		{`room.name == "a", room.id == "b"`, "syntax-error", ",", "by and"},
		{`room.name =~ "Bob"`, "syntax-error", "=~", "matches"},
		{`room.name is null`, "syntax-error", "is", `write room.name == ""`},
		{`room.name is not null`, "syntax-error", "is", `write room.name != ""`},
		{`session.host is not null`, "syntax-error", "is", "write session.host != nil"},
		{`session.duration >= 1 hour`, "syntax-error", "hour", "1h"},
		{`session.duration >= 30 minutes`, "syntax-error", "minutes", "30m"},
		{`session.duration > 00:30:00`, "syntax-error", ":", "30m"},
		{`session.duration | minutes`, "syntax-error", "|", "write minutes(session.duration)"},
		{`not in windows.office`, "syntax-error", "in", "write not windows.office"},
		{`in windows.office`, "syntax-error", "in", "write windows.office"},
		{`session.peak = 3`, "syntax-error", "=", "write =="},
		{`session.peak === 3`, "syntax-error", "===", "write =="},
		{`session.peak !== 3`, "syntax-error", "!==", "write !="},
		{`session.peak => 3`, "syntax-error", "=>", "write >="},
		{`session.peak =< 3`, "syntax-error", "=<", "write <="},
		{`session.peak <> 3`, "syntax-error", "<>", "write !="},
		{`session.peak ≥ 3`, "syntax-error", "≥", "write >="},
		{`true & false`, "syntax-error", "&", "write and"},
		{`true | false`, "syntax-error", "|", "write or"},
		{`true AND false`, "syntax-error", "AND", "and"},
		{`true OR false`, "syntax-error", "OR", "or"},
		{`NOT true`, "syntax-error", "NOT", "not"},
		{`if true { true } else { false }`, "syntax-error", "if", "a ? b : c"},
		{`room.name == “x”`, "syntax-error", "“", `write "`},
		{`room.name == ‘x’`, "syntax-error", "‘", "write '"},
		{`room.name == 'x`, "syntax-error", "'x", "add '"},
		{`room.name == "x`, "syntax-error", `"x`, `add "`},
		{"room.name == `x", "syntax-error", "`x", "add `"},
		{`(session.peak > 3`, "syntax-error", "(", "missing ')'"},
		{`[1, 2`, "syntax-error", "[", "missing ']'"},
		{`session.peak > 3)`, "syntax-error", ")", "remove it"},
		{`(session.peak > 3]`, "syntax-error", "]", "write ')'"},
		{`session.peak > 3 or`, "syntax-error", "or", "after or"},
		{`session.peak >`, "syntax-error", ">", "after >"},
		{`session.peak 3`, "syntax-error", "3", "an operator is missing"},
		{`session.peak > > 3`, "syntax-error", ">", "a value is missing"},
		{`room.name is "x"`, "syntax-error", "is", "write =="},
		{`room.name like "x"`, "syntax-error", "like", "contains"},
		{`session.duration > 1h 30m`, "syntax-error", "30m", "1h30m"},
		{`room.name ?? "x" == "y"`, "syntax-error", "==", "brackets around ??"},
		{`room.name == "\q"`, "syntax-error", "q", `\\`},
		{`.name == "x"`, "syntax-error", ".", "stand for the element"},
		{`# == "x"`, "syntax-error", "#", "stand for the element"},
		{`true; false`, "syntax-error", "false", "join conditions"},
		{`${session.peak > 3}`, "syntax-error", "${", "remove"},
		{`room.name == @x`, "syntax-error", "@", "quotes"},
		{`9223372036854775808 > 1`, "syntax-error", "9223372036854775808", "quotes"},
		{`/* never closed`, "syntax-error", "/*", "*/"},
		{`room.name == b"x"`, "syntax-error", `b"x"`, ""},
		{`room. == "x"`, "syntax-error", "==", `x["the-name"]`},
		{`room.metadata.2 == "x"`, "syntax-error", ".2", ""},
		{``, "syntax-error", "", ""},
		{`  `, "syntax-error", " ", ""},

		// A name that is not at the beginning of a line, or behind umlauts.
		{"session.peak > 3\n  and session.duraton > 1m", "unknown-field", "duraton", ""},
		{`room.name != "añö" and session.duraton > 60m`, "unknown-field", "duraton", ""},
		{`60m < session.duraton and 1h > 2m`, "unknown-field", "duraton", ""},
	} {
		p, issues := c.compile(x.src, endScope(), wantBool)
		if p != nil || len(issues) == 0 {
			t.Errorf("%s: went unnoticed", x.src)
			continue
		}
		for _, i := range issues {
			checkWords(t, x.src, i)
		}
		errors := 0
		i := issues[0]
		for _, other := range issues {
			if !other.Warning {
				if errors == 0 {
					i = other
				}
				errors++
			}
		}
		if errors != 1 {
			t.Errorf("%s: %d errors: %+v", x.src, errors, issues)
		}
		r := []rune(x.src)
		word := string(r[min(i.Offset, len(r)):min(i.Offset+i.Width, len(r))])
		if i.Code != x.code || word != x.word || !strings.Contains(i.Hint, x.hint) {
			t.Errorf("%s: %s at %q: %s (%s)", x.src, i.Code, word, i.What, i.Hint)
		}
	}
}

// TestWarnings: what loads, and may still go wrong.
func TestWarnings(t *testing.T) {
	c := newCompiler(testDefinitions(t))
	for _, x := range []struct{ src, code, word, hint string }{
		{`session.host.email == "x"`, "possible-null", "session.host", "write session.host?.email"},
		{`session.host?.email == "x"`, "", "", ""},
		{`session.host != nil and session.host.email == "x"`, "", "", ""},
		{`session.host != nil ? session.host.email == "x" : false`, "", "", ""},
		{`session.host == nil or session.host.email == "x"`, "", "", ""},
		{`session.host == nil ? false : session.host.email == "x"`, "", "", ""},
		{`not (session.host == nil) and session.host.email == "x"`, "", "", ""},
		{`session.host?.email == "x" and session.host.name == "y"`, "", "", ""},
		{`session.host?.email != "x" and session.host.name == "y"`, "possible-null", "session.host", "?.name"},
		{`(session.host.email ?? "") == "x"`, "", "", ""},
		{`(session.host?.email ?? "") == "x"`, "", "", ""},
		{`upper(session.host.email) == "X"`, "possible-null", "session.host", ""},
		{`upper(session.host?.email) == "X"`, "possible-null", "session.host?.email", `write (session.host?.email ?? "")`},
		{`upper(raw.name) == "X"`, "untyped-data", "raw.name", `write upper(raw.name ?? "")`},
		{`tables.rooms[room.id]?.limit > 5m`, "possible-null", "tables.rooms[room.id]?.limit", "write (tables.rooms[room.id]?.limit ?? 0s)"},
		{`(tables.rooms[room.id]?.limit ?? 5m) > 5m`, "", "", ""},
		{`tables.rooms[room.id] != nil and tables.rooms[room.id].limit > 5m`, "", "", ""},
		{`tables.rooms[room.id].channel == "x"`, "possible-null", "tables.rooms[room.id]", "write tables.rooms[room.id]?.channel"},
		{`session.participants[0].name == "x"`, "possible-null", "session.participants[0]", "?.name"},
		{`first(session.participants).name == "x"`, "possible-null", "first(session.participants)", "?.name"},
		{`room.metadata.n > 3`, "untyped-data", "room.metadata.n", "write (room.metadata.n ?? 0) > 3"},
		{`3 < raw.n`, "untyped-data", "raw.n", "write 3 < (raw.n ?? 0)"},
		{`raw.name < "x"`, "untyped-data", "raw.name", `(raw.name ?? "") < "x"`},
		{`(room.metadata.n ?? 0) > 3`, "", "", ""},
		{`room.metadata.n != nil and room.metadata.n > 3`, "", "", ""},
		{`steps.crm.body.n > 3`, "untyped-data", "steps.crm.body.n", ""},
		{`steps.crm.status == 200 and steps.crm.body.n > 3`, "", "", ""},
		{`session.attended == nil`, "never-nil", "==", ""},
		{`session.status == "finished"`, "never-equal", `"finished"`, "ended"},
		{`weekday(event.time) == "monday"`, "never-equal", `"monday"`, "mon"},
		{`weekday(event.time) in ["sat", "son"]`, "never-equal", `"son"`, `did you mean "sun"?`},
		{`session.duration > 60m and session.peak > 3`, "", "", ""},
		{`1 == 2`, "constant-condition", "1 == 2", "compare a fact"},
		{`true`, "constant-condition", "true", "leave it out"},
		{`session.peak > 3 or false`, "constant-condition", "false", "enabled: false"},
		{`"room.name" == "x"`, "constant-condition", `"room.name" == "x"`, "write room.name without quotes"},
		{`room.name == "a" and room.name == "b"`, "constant-condition", `"b"`, "join the two by or"},
		{`room.name != "a" or room.id == "c" or room.name != "b"`, "constant-condition", `"b"`, "join the two by and"},
		{`room.name == "a" or room.name == "b"`, "", "", ""},
		{`now() > event.time`, "", "", ""},
		{`session.peak > 5 and session.peak < 3`, "constant-condition", `session.peak < 3`, "by or"},
		{`session.duration < 5m and room.name == "a" and session.duration >= 1h`, "constant-condition", `session.duration >= 1h`, "by or"},
		{`session.peak >= 5 and session.peak <= 5 and session.peak < 9`, "", "", ""},
		{`session.peak > 5 or session.peak < 3`, "", "", ""},
		{`lower(room.name) == "Bob"`, "never-equal", `"Bob"`, `write "bob"`},
		{`upper(room.name) == "BOB"`, "", "", ""},
		{`session.duration > 5m`, "", "", ""},
		{`(tables.rooms[room.id]?.limit ?? 60m) < session.duration`, "", "", ""},
		{`room.name matches ".*@example\\.com"`, "loose-pattern", `".*@example\\.com"`, `write endsWith "@example.com"`},
		{`room.name matches "^a|b$"`, "loose-pattern", `"^a|b$"`, "^(a|b)$"},
		{`room.name matches "team.*"`, "loose-pattern", `"team.*"`, "leave it out"},
		{`room.name matches "[0-9]{6}"`, "loose-pattern", `"[0-9]{6}"`, "^[0-9]{6}$"},
		{`room.name matches "^team-[0-9]+$" or room.name matches "VIP|board" or room.name matches "(?i)review"`, "", "", ""},
	} {
		p, issues := c.compile(x.src, endScope(), wantBool)
		if p == nil {
			t.Errorf("%s: %+v", x.src, issues)
			continue
		}
		code, word, hint := "", "", ""
		for _, i := range issues {
			checkWords(t, x.src, i)
			code, hint = i.Code, i.Hint
			word = string([]rune(x.src)[i.Offset : i.Offset+i.Width])
		}
		if len(issues) > 1 || code != x.code || word != x.word || !strings.Contains(hint, x.hint) {
			t.Errorf("%s: %+v", x.src, issues)
		}
	}
}

// TestWantText: what can be printed.
func TestWantText(t *testing.T) {
	c := newCompiler(testDefinitions(t))
	for src, hint := range map[string]string{
		`room.name`: "", `session.duration`: "", `raw.x`: "", `session.peak > 3`: "", `session.present`: "",
		`lists.vips`:           `write join(lists.vips, ", ")`,
		`session.host`:         "name one of its fields",
		`room.metadata`:        "-",
		`nil`:                  `write ""`,
		`tables.rooms`:         "name one of its fields",
		`session.participants`: "-",
	} {
		p, issues := c.compile(src, endScope(), wantText)
		if (p != nil) != (hint == "") || hint != "" && hint != "-" && !strings.Contains(issues[0].Hint, hint) {
			t.Errorf("%s: %+v", src, issues)
		}
	}
}

// TestSeveralMistakes: all of an expression are reported at once.
func TestSeveralMistakes(t *testing.T) {
	c := newCompiler(testDefinitions(t))
	_, issues := c.compile(`session.duraton > 60m and rom.name == "x" and session.peak > "3" and uper(room.nme) == ""`, endScope(), wantBool)
	var codes []string
	for _, i := range issues {
		codes = append(codes, i.Code)
	}
	if got := strings.Join(codes, " "); got != "unknown-field unknown-name type-mismatch unknown-function" {
		t.Error(got)
	}
	_, issues = c.compile(`participant.name == "x" and recording.id == ""`, scope{events: []string{engine.SessionEnded, engine.SessionStarted}}, wantBool)
	if len(issues) != 2 || !strings.Contains(issues[0].What, "session_ended, session_started have no participant") {
		t.Errorf("%+v", issues)
	}
}

// TestEvaluationErrors speak to people as well.
func TestEvaluationErrors(t *testing.T) {
	c := newCompiler(testDefinitions(t))
	values := []string{"raw.data.n", "raw.data.f", "raw.data.text", "raw.data.list", "raw.data", "raw.data.null", "raw.data.x", "session.present", "session.host", `session.duration`, "session.started", "room.name"}
	tried := 0
	for _, a := range values {
		for _, b := range values {
			for _, op := range []string{"==", "<", ">=", "+", "-", "*", "/", "%", "**", "in", "contains", "startsWith", "??", ".."} {
				p, _ := c.compile(a+" "+op+" "+b, endScope(), wantValue)
				if p == nil {
					continue
				}
				tried++
				if _, err := p.eval(meeting()); err != nil {
					checkWords(t, a+" "+op+" "+b, issue{What: err.Error(), Code: "x", Width: 1})
					if strings.Contains(err.Error(), "cannot be evaluated") {
						t.Errorf("%s %s %s: says nothing: %v", a, op, b, err)
					}
				}
			}
		}
	}
	for _, fn := range functions() {
		for _, a := range values {
			p, _ := c.compile(fn.name+"("+a+")", endScope(), wantValue)
			if p == nil {
				continue
			}
			tried++
			if _, err := p.eval(meeting()); err != nil {
				checkWords(t, fn.name+"("+a+")", issue{What: err.Error(), Code: "x", Width: 1})
			}
		}
	}
	if tried < 700 {
		t.Errorf("only %d were tried", tried)
	}
}
