package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine/ruletest"
	"github.com/gavelhq/gavel/engine/web"
)

const (
	examples   = 3  // of a rule, for people
	maxBundles = 10 // lines of a rule; a target can be a room's
	maxTotals  = 20
)

// print prints the report for people, or as JSON.
func (d *differ) print() error {
	if d.app.output == "json" {
		return d.app.printJSON(d.view())
	}
	d.printHead()
	r := &d.report
	d.printMeters()
	if len(r.Rules) > 0 {
		d.line("", "\n  + would be added   ~ would change   - would stop   ? unknown")
	}
	for _, rule := range r.Rules {
		d.printRule(rule)
	}
	d.printSame()
	d.printTargets()
	d.line("", "\nPlan: %s to add, %s to remove, %s changed%s.", many(r.More, "action"), grouped(r.Less), grouped(r.Different), d.openEnd())
	d.printFailures()
	d.line("", "Nothing was sent.")
	return nil
}

// printFailures says how many more runs would fail: what they do not do is no
// action that is removed.
func (d *differ) printFailures() {
	var runs ruletest.Pair
	for _, r := range d.report.Rules {
		runs.Before += r.Failed.Before
		runs.After += r.Failed.After
	}
	switch n := runs.After - runs.Before; {
	case n > 0:
		d.line(red, "%s would fail that did not.", many(n, "more run"))
	case n < 0:
		d.line(green, "%s would fail than before.", many(-n, "fewer run"))
	}
}

// line prints a line for people, in a colour.
func (d *differ) line(color, format string, args ...any) {
	text := clean(fmt.Sprintf(format, args...))
	lead := text[:len(text)-len(strings.TrimLeft(text, "\n"))]
	fmt.Fprintln(d.app.out, lead+d.app.paint(d.app.out, color, text[len(lead):]))
}

func (d *differ) openEnd() string {
	if d.report.Unknown == 0 {
		return ""
	}
	return fmt.Sprintf("; %s unknown and left out of the totals", grouped(d.report.Unknown))
}

// printHead says what was compared, and what is missing from it.
func (d *differ) printHead() {
	r := &d.report
	since := d.moment(r.Since)
	switch {
	case r.After.Rules == "shadow":
		d.line("", "Comparing what shadow rules recorded with what their originals did since %s", since)
		return
	case r.Before.Revision == r.After.Revision:
		d.line("", "Comparing %s with %s, which say the same, over %s since %s", r.After.Rules, r.Before.label(), many(r.Events, "event"), since)
	default:
		d.line("", "Comparing %s with %s over %s since %s", r.After.Rules, r.Before.label(), many(r.Events, "event"), since)
	}
	switch {
	case r.StoredSince.IsZero():
		d.line(yellow, "  there are no events in %s", d.app.dataDir)
	case r.StoredSince.After(r.Start):
		d.line(yellow, "  events are there from %s on: what went on before is not known", d.moment(r.StoredSince))
	}
	for _, side := range []struct {
		set  ruleSet
		name string
	}{{r.Before, r.Before.label()}, {r.After, r.After.Rules}} {
		for _, source := range slices.Sorted(maps.Keys(side.set.Missing)) {
			d.line(yellow, "  %s of %s left out: %s has no such source", many(side.set.Missing[source], "event"), source, side.name)
		}
		if n := side.set.Undecoded; n > 0 {
			d.line(yellow, "  %s left out: %s cannot decode them", many(n, "event"), side.name)
		}
	}
	if p := r.Problems; p.Before+p.After > 0 {
		d.line(yellow, "  planning failed: %s before, %s after", many(p.Before, "event"), many(p.After, "event"))
	}
	for i, c := range r.Shared {
		if i == maxBundles {
			d.line("", "  changed besides rules: %d more", len(r.Shared)-i)
			break
		}
		d.line("", "  changed besides rules: %s", changeText(c))
	}
}

func (s ruleSet) label() string {
	switch s.Rules {
	case "running":
		return short(s.Revision) + " (running)"
	case "revision":
		return short(s.Revision)
	}
	return s.Rules
}

// many is "41,206 events".
func many(n int, word string) string {
	return grouped(n) + strings.TrimPrefix(count(n, word), fmt.Sprint(n))
}

// printMeters prints what differs in the ledger.
func (d *differ) printMeters() {
	first := true
	for _, m := range d.report.Meters {
		if !m.Differs() {
			continue
		}
		if first {
			d.line(red, "\n  billing changes")
			first = false
		}
		d.line(red, "    %s", cleanCell(meterText(m)))
	}
}

// meterText is "meeting_minutes  9,310 in 212 entries → 9,122 in 207 entries, 37.24 USD → 36.49 USD".
func meterText(m ruletest.Meter) string {
	entries := func(s ruletest.Sum) string {
		return fmt.Sprintf("%s in %s", groupedText(s.Quantity), many(s.Entries, "entry"))
	}
	text := fmt.Sprintf("%s  %s → %s", m.Meter, entries(m.Before), entries(m.After))
	if before, after := moneyText(m.Before.Amounts), moneyText(m.After.Amounts); before != after {
		text += ", " + before + " → " + after
	}
	if m.Before.Conflicts+m.After.Conflicts > 0 {
		text += fmt.Sprintf(", conflicts %d → %d", m.Before.Conflicts, m.After.Conflicts)
	}
	return text
}

func moneyText(all []ruletest.Money) string {
	var texts []string
	for _, m := range all {
		texts = append(texts, groupedText(majorText(m.Minor, m.Exponent))+" "+m.Currency)
	}
	return cmp.Or(strings.Join(texts, " + "), "no amount")
}

// printRule prints one rule: what of it was changed, then what it would do
// otherwise, by kind and target.
func (d *differ) printRule(r ruletest.RuleDiff) {
	sign, color := ruleSign(r.Is)
	head := r.Rule
	switch {
	case r.Is == ruletest.RuleShadow && r.Like == "":
		head += " (shadow, without shadow_of)"
	case r.Is == ruletest.RuleShadow:
		head += " (shadow of " + r.Like + ")"
	case r.Is == ruletest.RuleAdded && r.Like != "":
		head += " (new rule; is it " + r.Like + " under another name?)"
	case r.Is == ruletest.RuleAdded:
		head += " (new rule)"
	case r.Is == ruletest.RuleRemoved:
		head += " (removed)"
	case r.Is == ruletest.RuleUnchanged:
		head += " (unchanged itself)"
	}
	fmt.Fprintf(d.app.out, "\n  %s %s", d.app.paint(d.app.out, color, sign), cleanCell(head))
	if r.Is == ruletest.RuleChanged {
		fmt.Fprintf(d.app.out, "   %s", cut(cleanCell(changesText(r.Changes)), 160))
	}
	fmt.Fprintln(d.app.out)
	if !r.Differs() {
		d.line("", "      nothing in this period shows a difference (%s)", many(max(r.Runs.Before, r.Runs.After), "run"))
		return
	}
	d.printPair("failed runs", r.Failed)
	d.printPair("errors in conditions", r.Errors)
	all := bundles(r.Differences)
	left := cmp.Or(d.limit, examples)
	for i, b := range all {
		if i == maxBundles {
			d.line("", "      and %s", many(len(all)-i, "more target"))
			break
		}
		// One is left for each of the next.
		left -= d.printBundle(b, min(left, max(1, left-(len(all)-i-1))))
	}
}

func ruleSign(is string) (sign, color string) {
	switch is {
	case ruletest.RuleAdded:
		return "+", green
	case ruletest.RuleRemoved:
		return "-", red
	}
	return "~", yellow
}

func (d *differ) printPair(what string, p ruletest.Pair) {
	if p.Before != p.After {
		d.line(yellow, "      %s: %s → %s", what, grouped(p.Before), grouped(p.After))
	}
}

// bundle is the differences of one kind with one target.
type bundle struct {
	kind, action, via, target string
	all                       []ruletest.Difference
}

// bundles come with billing first, then in the order more, different, less, unknown.
func bundles(all []ruletest.Difference) []*bundle {
	var list []*bundle
	at := map[[4]string]*bundle{}
	for _, x := range all {
		key := [4]string{x.Kind, x.Action, x.Via, x.Target}
		g := at[key]
		if g == nil {
			g = &bundle{kind: x.Kind, action: x.Action, via: x.Via, target: x.Target}
			at[key] = g
			list = append(list, g)
		}
		g.all = append(g.all, x)
	}
	order := []string{ruletest.More, ruletest.Different, ruletest.Less, ruletest.Undecided}
	slices.SortStableFunc(list, func(a, b *bundle) int {
		if a.bills() != b.bills() {
			if a.bills() {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(slices.Index(order, a.kind), slices.Index(order, b.kind)), cmp.Compare(len(b.all), len(a.all)))
	})
	return list
}

func (g *bundle) bills() bool { return g.action == "billing" }

func (g *bundle) color() (sign, color string) {
	switch g.kind {
	case ruletest.More:
		sign, color = "+", green
	case ruletest.Less:
		sign, color = "-", yellow
	case ruletest.Different:
		sign, color = "~", yellow
	default:
		sign, color = "?", cyan
	}
	if g.bills() {
		color = red
	}
	return sign, color
}

// printBundle prints a bundle with at most n examples, and returns how many these
// were.
func (d *differ) printBundle(g *bundle, n int) int {
	sign, color := g.color()
	head := fmt.Sprintf("%s %s %s", sign, grouped(len(g.all)), targetText(g.action, g.target))
	if g.kind == ruletest.Undecided {
		head += " (needs an answer that was not recorded)"
	}
	d.line(color, "      %s", cut(cleanCell(head), 120))
	n = min(n, len(g.all))
	for _, x := range g.all[:max(n, 0)] {
		d.line("", "          %s", cut(cleanCell(d.exampleText(x)), 200))
	}
	return max(n, 0)
}

func targetText(action, target string) string {
	if target == "" || target == action {
		return action
	}
	return action + " " + target
}

// exampleText is `Wed 18 Nov 09:12 "QBR acme" 51m  quantity: "60" → "51"`.
func (d *differ) exampleText(x ruletest.Difference) string {
	parts := []string{d.moment(x.At)}
	if !x.Was.IsZero() {
		parts[0] = d.moment(x.Was) + " → " + parts[0]
	}
	if x.Room != "" {
		parts = append(parts, `"`+cut(x.Room, 40)+`"`)
	}
	if x.Lasted != nil {
		parts = append(parts, web.Duration(*x.Lasted).String())
	}
	if len(x.Changes) > 0 {
		parts = append(parts, " "+changesText(x.Changes))
	}
	if x.Why != "" {
		parts = append(parts, " "+x.Why)
	}
	return strings.Join(parts, " ")
}

func changesText(all []ruletest.Change) string {
	var texts []string
	for _, c := range all {
		texts = append(texts, changeText(c))
	}
	return strings.Join(texts, ", ")
}

const maxValue = 60 // characters of a changed value

// changeText is "if: duration > 60m → duration > 45m".
func changeText(c ruletest.Change) string {
	c.Before, c.After = strings.TrimSpace(c.Before), strings.TrimSpace(c.After)
	switch {
	case c.Before == "" && len(c.After) <= maxValue:
		return c.Name + ": " + c.After + " (new)"
	case c.Before == "":
		return c.Name + " (new)"
	case c.After == "":
		return c.Name + " (removed)"
	case strings.HasPrefix(c.Name, "files."), len(c.Before) > 4*maxValue, len(c.After) > 4*maxValue:
		return c.Name
	}
	before, after := apart(c.Before, c.After)
	return fmt.Sprintf("%s: %s → %s", c.Name, before, after)
}

// apart cuts two texts so that where they differ is seen.
func apart(before, after string) (string, string) {
	b, a := []rune(before), []rune(after)
	same := 0
	for same < min(len(a), len(b)) && a[same] == b[same] {
		same++
	}
	if max(len(a), len(b)) <= maxValue || same < maxValue/2 {
		return cut(before, maxValue), cut(after, maxValue)
	}
	from := same - maxValue/4
	return "…" + cut(string(b[from:]), maxValue/2), "…" + cut(string(a[from:]), maxValue/2)
}

// printSame sums up the rules that do the same.
func (d *differ) printSame() {
	var names []string
	for _, r := range d.report.Same {
		names = append(names, r.Rule)
	}
	switch n := len(names); {
	case n == 0:
	case n <= 4:
		d.line("", "\n    %s: no difference", strings.Join(names, ", "))
	default:
		d.line("", "\n    %s and %d others: no difference", strings.Join(names[:2], ", "), n-2)
	}
}

// printTargets prints the totals that differ.
func (d *differ) printTargets() {
	n, several := 0, d.severalConnections()
	for _, t := range d.report.Targets {
		if t.Before == t.After {
			continue
		}
		if n++; n == 1 {
			d.line("", "")
		}
		if n > maxTotals {
			continue
		}
		name := targetText(t.Action, t.Target)
		if several[[2]string{t.Action, t.Target}] {
			name += " via " + t.Via
		}
		d.line("", "  %s: %s → %s", cut(cleanCell(name), 80), grouped(t.Before), grouped(t.After))
	}
	if n > maxTotals {
		d.line("", "  and %s", many(n-maxTotals, "more target"))
	}
}

// severalConnections are the targets that are reached by several connections.
func (d *differ) severalConnections() map[[2]string]bool {
	via, several := map[[2]string]string{}, map[[2]string]bool{}
	for _, t := range d.report.Targets {
		key := [2]string{t.Action, t.Target}
		if before, known := via[key]; known && before != t.Via {
			several[key] = true
		}
		via[key] = t.Via
	}
	return several
}

// moment is a time with its day of the week, for people.
func (d *differ) moment(t time.Time) string {
	t = t.In(d.app.zone)
	if t.Year() != d.app.now().In(d.app.zone).Year() {
		return t.Format("Mon 2 Jan 2006 15:04")
	}
	return t.Format("Mon 2 Jan 15:04")
}
