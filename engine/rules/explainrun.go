package rules

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/expr-lang/expr/ast"
)

// outcome is what a part came to.
type outcome struct {
	v       any
	err     error
	unknown bool // it reads what is no longer stored
	typ     typ
	reads   []string
}

// errNotEvaluated is the outcome of parts that would take too long.
var errNotEvaluated = errors.New("not evaluated: the parts before it took too long")

// evaluate compiles and runs a node by itself. What the engine got to shares
// one budget, as it does there; inner is for the value of a let.
func (l *line) evaluate(n ast.Node, reached, inner bool) (o outcome) {
	k := l.checker()
	root, t := k.visit(n)
	if t.kind == kindBroken {
		o.err = errors.New("it has no value by itself")
		return o
	}
	p, err := k.program(l.tree.Source, root, t)
	if err != nil {
		o.err = err
		return o
	}
	p.inner, o.typ, o.reads = inner, t, p.reads
	used := namesIn(n)
	for _, b := range l.lets {
		if !used[b.local.name] {
			continue
		}
		o.reads = append(o.reads, b.reads...)
		if o.unknown = o.unknown || b.unknown; o.err == nil {
			o.err = b.err
		}
	}
	if o.unknown = o.unknown || len(l.forgotten(o.reads, used)) > 0; o.unknown || o.err != nil {
		return o
	}
	o.v, o.err = l.run(p, reached)
	return o
}

// checker is one that knows the lets around.
func (l *line) checker() *checker {
	k := newChecker(l.compiler, l.place.scope, l.scanned)
	for _, b := range l.lets {
		k.locals = append(k.locals, b.local)
	}
	return k
}

// run evaluates a program within its limits.
func (l *line) run(p *program, reached bool) (any, error) {
	f := l.frame
	if f.budget = l.spent; !reached {
		f.budget = budget{facts: f.facts()}
		if l.extra.steps > maxExtraSteps || l.extra.used > maxExtraTime {
			return nil, errNotEvaluated
		}
	}
	v, err := p.resume(f)
	if !reached {
		l.extra.steps += f.budget.steps
		l.extra.used += f.budget.used
		return v, err
	}
	l.spent = f.budget
	l.spent.last = time.Time{} // compiling the next part takes no time
	return v, err
}

// namesIn are all names in a node, of facts, members and lets.
func namesIn(n ast.Node) map[string]bool {
	names := nameVisitor{}
	ast.Walk(&n, names)
	return names
}

type nameVisitor map[string]bool

func (v nameVisitor) Visit(n *ast.Node) {
	switch n := (*n).(type) {
	case *ast.IdentifierNode:
		v[n.Value] = true
	case *ast.StringNode: // a member, perhaps
		v[n.Value] = true
	}
}

// forgotten are the facts among reads whose state is no longer stored. A
// record stands for the members of it that are named.
func (l *line) forgotten(reads []string, named map[string]bool) []string {
	var all []string
	for _, read := range reads {
		for _, gone := range l.unknown {
			last := gone[strings.LastIndex(gone, ".")+1:]
			switch {
			case read == "source.name" || read == "source.tenant": // stored with every event
			case read == gone, last == gone && strings.HasPrefix(read, gone+"."):
				all = append(all, read) // of a whole group, what is read of it
			case strings.HasPrefix(read, gone+"."), strings.HasPrefix(gone, read+".") && named[last]:
				all = append(all, gone)
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// unknownIn says what is unknown in a node.
func (l *line) unknownIn(n ast.Node, o outcome) string {
	return strings.Join(l.forgotten(o.reads, namesIn(n)), ", ") + " = unknown"
}
