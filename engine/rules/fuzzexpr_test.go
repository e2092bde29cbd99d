package rules

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gavelhq/gavel/engine"
)

// pairScopes are where expressions stand.
func pairScopes() []scope {
	failing := endScope()
	failing.failure = true
	return []scope{endScope(), countScope(engine.ParticipantJoined), scheduleScope(), expectScope(), holdScope(), digestScope("session"), emittedScope(), failing, {fields: true}}
}

// exprMaker writes expressions of a scope: most compile, and do something.
type exprMaker struct {
	*mutator
	atoms  []string
	fields []string
	fns    []function
}

func newExprMaker(c *compiler, sc scope, m *mutator) *exprMaker {
	e := &exprMaker{mutator: m, fns: functions()}
	k := newChecker(c, sc, scan("true"))
	for _, name := range k.names() {
		e.atoms = append(e.atoms, name)
		g, ok := c.groups[name]
		if !ok {
			continue
		}
		for _, f := range g.rec.names() {
			e.atoms = append(e.atoms, name+"."+f)
			e.fields = append(e.fields, f)
		}
	}
	e.atoms = append(e.atoms, "raw.l", "raw.s", "raw.m", "raw.l[0]", "raw.m.a", "session.participants", "lists.vips", "tables.rooms[room.id]?.channel", "tables.rooms.small", "windows.office",
		"steps.crm.body", "steps.crm.body.l", "steps.crm.status", "trigger.raw.m", "trigger.session.id", "expect.late_by", "events", "sessions", "failure.error", "room.metadata.tags", "room.metadata.n", "now()")
	e.fields = append(e.fields, "a", "b", "l", "metadata", "room", "session", "participant", "event", "length", "String", "__proto__")
	return e
}

func (e *exprMaker) literal() string {
	return pick(e.mutator, []string{"0", "1", "-1", "2.5", "1e308", "9223372036854775807", "true", "false", "nil", `""`, `"a"`, `"r1"`, `'é'`, "`x`", "60m", "0s", "1h30m", "100000h", "[]", "[1, 2]", `["a", 1, nil]`, `{"a": 1}`, "1..5", "1..1000", `"2026-11-20"`, strings.Repeat("9", 30), `"` + strings.Repeat("x", 300) + `"`})
}

// expr writes an expression of some depth.
func (e *exprMaker) expr(depth int) string {
	if depth <= 0 {
		switch e.IntN(5) {
		case 0, 1:
			return e.literal()
		case 2:
			return pick(e.mutator, []string{"#", "#index", "." + pick(e.mutator, e.fields), "x", "y"})
		}
		return pick(e.mutator, e.atoms)
	}
	sub := func() string { return e.expr(depth - 1 - e.IntN(2)) }
	switch e.IntN(14) {
	case 0, 1, 2:
		ops := []string{"and", "or", "==", "!=", "<", ">", "<=", ">=", "+", "-", "*", "/", "%", "**", "in", "not in", "contains", "startsWith", "endsWith", "??", "..", "&&", "||"}
		return sub() + " " + pick(e.mutator, ops) + " " + sub()
	case 3, 4:
		name := pick(e.mutator, predicateNames())
		return fmt.Sprintf("%s(%s, %s)", name, sub(), sub())
	case 5, 6:
		fn := pick(e.mutator, e.fns)
		args := make([]string, max(0, min(len(fn.args), fn.need+e.IntN(2))))
		for i := range args {
			args[i] = sub()
		}
		return fn.name + "(" + strings.Join(args, ", ") + ")"
	case 7:
		return "(" + sub() + ")" + pick(e.mutator, []string{".", "?."}) + pick(e.mutator, e.fields)
	case 8:
		return sub() + "[" + pick(e.mutator, []string{sub(), "0", "-1", "1:3", ":2", `"a"`}) + "]"
	case 9:
		return "(" + sub() + " ? " + sub() + " : " + sub() + ")"
	case 10:
		return "let x = " + sub() + "; " + sub()
	case 11:
		return pick(e.mutator, []string{"not ", "-", "!", "+"}) + "(" + sub() + ")"
	case 12:
		return sub() + " matches " + pick(e.mutator, []string{`"a+b"`, "`^\\w+@(x|y)`", `"("`, `"(a|a)*b"`, `"(?i)[a-zé]+"`, sub()})
	}
	return "[" + sub() + ", " + sub() + "]"
}

// source is an expression, sometimes with slips in it.
func (e *exprMaker) source() string {
	if e.IntN(8) == 0 {
		e.mutator.corpus = hostileExpressions()
		src := pick(e.mutator, e.mutator.corpus)
		for range 1 + e.IntN(3) {
			src = pick(e.mutator, []func(string) string{e.bytes, e.typo, e.swapTokens, e.dropToken, e.foreignToken, e.repeatToken, e.number})(src)
		}
		return src
	}
	src := e.expr(1 + e.IntN(5))
	if e.IntN(3) > 0 { // brackets make more of it typed as it is meant
		src = "(" + src + ") " + pick(e.mutator, []string{"== nil", "!= nil", "?? 1", "== 1", `!= ""`, "> 60m"})
	}
	if e.IntN(5) == 0 {
		src = pick(e.mutator, []func(string) string{e.bytes, e.typo, e.swapTokens, e.dropToken, e.repeatToken, e.number})(src)
	}
	return src
}

// json writes a value that a platform could send, or an attacker.
func (e *exprMaker) json(depth int) string {
	scalars := []string{"null", "true", "0", "-0", "1", "1.5", "1e999", "-1e-999", "9223372036854775807", "9223372036854775808", strings.Repeat("7", 400), "0." + strings.Repeat("3", 400), `""`, `"a"`, `"host"`, `"é\u0000\ud800"`, `"` + strings.Repeat("a", e.IntN(300)) + `"`, `"NaN"`, `"60m"`}
	if depth <= 0 {
		return pick(e.mutator, scalars)
	}
	parts := make([]string, e.IntN(6))
	switch e.IntN(4) {
	case 0:
		for i := range parts {
			parts[i] = e.json(depth - 1)
		}
		return "[" + strings.Join(parts, ",") + "]"
	case 1:
		return pick(e.mutator, scalars)
	}
	for i := range parts {
		parts[i] = fmt.Sprintf("%q:%s", pick(e.mutator, []string{"l", "s", "m", "a", "b", "metadata", "role", "String", "__proto__", "é", ""}), e.json(depth-1))
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// payload is a body with the keys that expressions ask for.
func (e *exprMaker) payload() string {
	body := fmt.Sprintf(`{"l":%s,"s":%s,"m":%s,"l":[%s]}`, e.json(3), e.json(0), e.json(4), strings.Join(slices.Repeat([]string{e.json(1)}, e.IntN(60)), ","))
	switch e.IntN(12) {
	case 0:
		return e.bytes(body)
	case 1:
		return strings.Repeat("[", e.IntN(200)) + body
	case 2:
		return e.json(2)
	}
	return body
}
