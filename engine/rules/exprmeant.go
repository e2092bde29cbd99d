package rules

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/gavelhq/gavel/engine"
)

// What follows guesses what was meant by an expression that is wrong.

// mixed reports a comparison with what is of one kind or another, as a ?? b is,
// where one of them cannot be compared with the other side. An equality is one
// of the same kind only, so it is reported for durations alone.
func (k *checker) mixed(n *ast.BinaryNode, lt, rt typ) bool {
	for _, x := range []struct {
		side, other ast.Node
		t, ot       typ
	}{{n.Left, n.Right, lt, rt}, {n.Right, n.Left, rt, lt}} {
		for _, one := range x.t.either {
			equality := n.Operator == "==" || n.Operator == "!="
			if !x.ot.certain() || alike(one, x.ot) || equality && one.kind != kindDuration && x.ot.kind != kindDuration {
				continue
			}
			i := issue{Code: "type-mismatch", What: fmt.Sprintf("%s can be %s, and %s is %s", k.source(x.side), one.words(), k.source(x.other), x.ot.words()),
				Hint: "write all its values as " + x.ot.words()}
			if hint := k.columnHint(x.side, x.ot); hint != "" {
				i.Hint = hint
			}
			k.report(n, i)
			return true
		}
	}
	return false
}

// columnOf takes the path of a cell apart: tables.rooms[room.id].limit.
var columnOf = regexp.MustCompile(`^tables\.(\w+)[.\[].*\.(\w+)$`)

// columnHint says how the cells of a table are written so that they are
// durations, "" if n is no cell.
func (k *checker) columnHint(n ast.Node, other typ) string {
	if b, ok := n.(*ast.BinaryNode); ok && b.Operator == "??" {
		n = b.Left
	}
	m := columnOf.FindStringSubmatch(k.dotted(n))
	if m == nil || other.kind != kindDuration {
		return ""
	}
	rows := k.compiler.defs.tables[m[1]].rows
	for _, row := range sortedKeys(rows) {
		switch cell := rows[row][m[2]].(type) {
		case int:
			return fmt.Sprintf("write durations in table %s: %s: %dm", m[1], m[2], cell)
		case string:
			if _, err := parseDuration(cell); err == nil {
				return fmt.Sprintf("write durations in table %s, without quotes: %s: %s", m[1], m[2], strings.TrimSpace(cell))
			}
			return fmt.Sprintf("write durations in table %s: %s: 90m", m[1], m[2])
		}
	}
	return ""
}

// operandHint is the hint for operands that do not go together and tell by
// their names what was meant, "" if they do not.
func (k *checker) operandHint(left, right ast.Node, lt, rt typ) string {
	if lt.kind == kindDuration || lt.kind == kindList && rt.isNumber() {
		left, right, lt, rt = right, left, rt, lt
	}
	if rt.kind == kindList && lt.isNumber() {
		hint := fmt.Sprintf("write len(%s)", k.source(right))
		if k.dotted(right) == "session."+participantsName {
			hint += " for all who were there, session.present for those who are, or session.peak"
		}
		return hint
	}
	return k.columnHint(left, rt)
}

// visitBeside visits the right side of an operator, knowing the left one.
func (k *checker) visitBeside(left typ, n *ast.BinaryNode) (ast.Node, typ) {
	before := k.beside
	defer func() { k.beside = before }()
	k.beside = typ{}
	switch n.Operator {
	case "==", "!=", "in":
		k.beside = left
	}
	return k.visit(n.Right)
}

// definedAs are the lists, tables and windows of that name as expressions name
// them.
func (k *checker) definedAs(name string) []string {
	var all []string
	d := k.compiler.defs
	if _, ok := d.lists[name]; ok {
		all = append(all, "lists."+name)
	}
	if _, ok := d.tables[name]; ok {
		all = append(all, "tables."+name)
	}
	if _, ok := d.windows[name]; ok {
		all = append(all, "windows."+name)
	}
	return all
}

var (
	// dashedKey is what stands before the second half of a key with a dash.
	dashedKey   = regexp.MustCompile(`(\b(?:\w+\.)*(?:metadata|raw|body)(?:\.\w+)*)\.(\w+(?:-\w+)*)-$`)
	dashedRest  = regexp.MustCompile(`^\w+(?:-[A-Za-z_]\w*)*`)
	fieldBehind = regexp.MustCompile(`^\.(\w+)`)
)

// meantName is the hint for a name that means nothing, "" if nothing says what
// was meant by it.
func (k *checker) meantName(n *ast.IdentifierNode) string {
	const enough = 200 // characters around the name
	at, src := n.Location(), k.scanned.src
	before, behind := string(src[max(0, at.From-enough):at.From]), string(src[at.From:min(len(src), at.To+enough)])
	if slices.Contains(k.beside.enum, n.Value) {
		return fmt.Sprintf("put it in quotes: %q", n.Value)
	}
	if m := dashedKey.FindStringSubmatch(before); m != nil {
		return fmt.Sprintf("a name with - stands in brackets: %s[%q]", m[1], m[2]+"-"+dashedRest.FindString(behind))
	}
	switch word := strings.ToLower(n.Value); word {
	case "null", "none", "undefined":
		if k.beside.kind == kindText && !k.beside.null {
			return `a text that is not known is empty: write ""`
		}
	default:
		group := groupMeant(word)
		if _, known := k.compiler.groups[group]; known && slices.Contains(k.names(), group) {
			if m := fieldBehind.FindStringSubmatch(strings.TrimPrefix(behind, n.Value)); m != nil {
				if _, has := k.compiler.groups[group].rec.field(m[1]); has {
					return fmt.Sprintf("write %s.%s", group, m[1])
				}
			}
			return fmt.Sprintf("write %s, with one of its fields: %s", group, enumerate(k.compiler.groups[group].rec.names()))
		}
	}
	return ""
}

// groupMeant is the group of facts that other systems call so, "" if there is
// none.
func groupMeant(word string) string {
	switch word {
	case "meeting", "call", "conference":
		return "session"
	case "user", "attendee", "member", "guest":
		return "participant"
	}
	return ""
}

// eventMeant is the type of events that other systems call so, "" if there is
// none.
func eventMeant(text string) string {
	subject, verb, _ := strings.Cut(strings.ToLower(text), "_")
	if subject == "room" {
		subject = "session"
	} else if group := groupMeant(subject); group != "" {
		subject = group
	}
	switch verb {
	case "start", "begin", "began", "begun":
		verb = "started"
	case "end", "finish", "finished", "stopped":
		verb = "ended"
	case "join":
		verb = "joined"
	case "leave":
		verb = "left"
	}
	if meant := subject + "_" + verb; slices.Contains(engine.EventTypes(), meant) {
		return meant
	}
	return ""
}

// meantOtherwise gives a or b between texts, which other languages take for
// the first that is there, a hint of its own.
func (k *checker) meantOtherwise(n *ast.BinaryNode, lt, rt typ) {
	if n.Operator != "or" && n.Operator != "||" || !lt.certain() || lt.kind == kindBool || !alike(lt, rt) {
		return
	}
	k.issues = k.issues[:len(k.issues)-1] // both sides were reported
	k.issues[len(k.issues)-1].Hint = fmt.Sprintf("for the first that is known write %s ?? %s", k.source(n.Left), k.source(n.Right))
}

// textOperators are the operators that are methods elsewhere, in lower case.
func textOperators() map[string]string {
	return map[string]string{
		"includes": "contains", "contains": "contains", "startswith": "startsWith", "hasprefix": "startsWith",
		"endswith": "endsWith", "hassuffix": "endsWith", "match": "matches", "matches": "matches",
	}
}

// methodHint is the hint for of.name(…), "" if nothing is known of it.
func (k *checker) methodHint(name string, of ast.Node, arguments []ast.Node) string {
	name = strings.ToLower(name)
	if op := textOperators()[name]; op != "" && len(arguments) == 1 {
		return fmt.Sprintf("write %s %s %s; for lists %s in %s", k.source(of), op, k.source(arguments[0]), k.source(arguments[0]), k.source(of))
	}
	if name == "format" || name == "strftime" || name == "toisostring" {
		return fmt.Sprintf("a time of day is clock(%s), a date date(%s), any other value string(%s)", k.source(of), k.source(of), k.source(of))
	}
	return ""
}

var (
	windowBehind = regexp.MustCompile(`^in\s+(windows\.\w+)`)
	notBefore    = regexp.MustCompile(`\bnot\s+$`)
	listBefore   = regexp.MustCompile(`\bin\s*\(([^()]*)$`)
	rawText      = regexp.MustCompile(`"[^"]*"|'[^']*'`)
	isNull       = regexp.MustCompile(`([\w.?\[\]]+)\s+is\s+(not\s+)?(?i:null|nil|none|empty|undefined|unknown|set)\b`)
	clockedSpan  = regexp.MustCompile(`^(\d{1,2}):(\d\d):(\d\d)$`)
)

// windowHint says how a window is asked.
func windowHint(window string) string {
	return fmt.Sprintf("a window is true or false by itself: write %s or not %s", window, window)
}

// meantAt is the hint for a sign that the parser did not expect at a place, ""
// if nothing around it says what was meant.
func meantAt(src []rune, at int, found string) string {
	before, behind := string(src[:at]), string(src[at:])
	switch found {
	case "in":
		if m := windowBehind.FindStringSubmatch(behind); m != nil && notBefore.MatchString(before) {
			return fmt.Sprintf("a window is true or false by itself: write not %s", m[1])
		} else if m != nil {
			return fmt.Sprintf("a window is true or false by itself: write %s", m[1])
		}
	case ",":
		rest, _, closed := strings.Cut(behind, ")")
		if m := listBefore.FindStringSubmatch(before); m != nil && closed {
			return fmt.Sprintf("a list stands in square brackets: [%s]", cut(m[1]+rest))
		}
		if !strings.ContainsAny(rawText.ReplaceAllString(before, ""), "([{") {
			return "join conditions by and, or write them as a list under if:"
		}
	}
	return ""
}

// meantNil gives x is null a hint that fits x.
func (c *compiler) meantNil(src string, sc scope, issues []issue) {
	m := isNull.FindStringSubmatch(src)
	if m == nil || len(issues) != 1 || !strings.HasPrefix(issues[0].What, "is is ") {
		return
	}
	op, unknown := "==", "nil"
	if m[2] != "" {
		op = "!="
	}
	if p, _ := c.compile(m[1], sc, wantValue); p != nil && p.kind() == kindText && !p.result.null {
		unknown = `""`
	}
	issues[0].Hint = fmt.Sprintf("write %s %s %s", m[1], op, unknown)
}

// clockLength is 00:30:00 as a duration.
func clockLength(text string) (string, bool) {
	m := clockedSpan.FindStringSubmatch(strings.TrimSpace(text))
	if m == nil {
		return "", false
	}
	d, err := parseDuration(m[1] + "h" + m[2] + "m" + m[3] + "s")
	return formatDuration(d), err == nil
}
