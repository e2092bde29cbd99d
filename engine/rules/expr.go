package rules

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
	exprcompiler "github.com/expr-lang/expr/compiler"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/vm"
)

// want is what an expression must result in.
type want int

const (
	wantBool  want = iota // true or false
	wantText              // anything that can be printed
	wantValue             // anything
)

// valueKind is the static type of a program's result.
type valueKind int

const (
	kindUnknown valueKind = iota
	kindText
	kindWhole
	kindFloat
	kindBool
	kindDuration
	kindTime
	kindList
	kindMap
	// The rest is for the checker: no program's kind.
	kindRecord // facts under fixed names
	kindTable  // rows by key
	kindNil
	kindBroken // an issue is reported, more would follow from it
)

// compiler compiles the expressions of one rule set. Safe for concurrent use.
//
// expr parses, and its virtual machine evaluates. In between stands a checker
// of our own (exprcheck.go): expr's stops at the first mistake, speaks of Go
// types, and knows nothing of facts that can be unknown, of durations or of
// data that must not be trusted. The checker also lowers the tree: a fact
// becomes one variable (session.duration), and everything but logic,
// comparison and predicates becomes a call of one of our functions. So no
// reflection, no Go method and no function of expr can be reached.
type compiler struct {
	defs   definitions
	groups map[string]group
	lists  map[string]*textSet
	tables map[string]*record // their rows
	calls  map[string]function
	// Sessions that are not the one at hand: of trigger and events, and of sessions.
	otherSession, openSession *record
}

func newCompiler(d definitions) *compiler {
	c := &compiler{defs: d, groups: groups(), calls: map[string]function{}, lists: map[string]*textSet{}, tables: map[string]*record{}}
	people := c.groups["participant"].rec
	c.otherSession, c.openSession = otherSessionRecord(people), openSessionRecord(people, c.groups["room"].rec)
	for _, f := range functions() {
		c.calls[f.name] = f
	}
	for name, words := range d.lists {
		c.lists[name] = newTextSet(words)
	}
	for name, t := range d.tables {
		c.tables[name] = tableRecord(name, t)
	}
	return c
}

// compile checks src in each event type of sc. It returns the program if no
// issue is an error.
func (c *compiler) compile(src string, sc scope, w want) (p *program, issues []issue) {
	defer func() {
		if recover() != nil {
			p, issues = nil, []issue{{Width: max(1, len([]rune(src))), Code: "syntax-error", What: "the expression cannot be read"}}
		}
	}()
	s, tree, issues := parseExpr(src)
	if tree == nil {
		c.meantNil(src, sc, issues)
		return nil, issues
	}
	k := newChecker(c, sc, s)
	root, t := k.visit(tree.Node)
	k.result(tree.Node, t, w)
	if w == wantBool && k.varying == 0 && t.kind == kindBool {
		k.constant(tree.Node)
	}
	issues = k.sorted()
	if slices.ContainsFunc(issues, func(i issue) bool { return !i.Warning }) {
		return nil, issues
	}
	p, err := k.program(tree.Source, root, t)
	if err != nil {
		return nil, append(issues, issue{Width: len(s.src), Code: "syntax-error", What: "the expression cannot be compiled"})
	}
	p.assures, p.defined, p.constant = k.assured(tree.Node), k.defined, k.varying == 0
	return p, issues
}

// parseExpr reads an expression. Without a tree there are issues.
func parseExpr(src string) (*scanner, *parser.Tree, []issue) {
	s := scan(src)
	if len(s.issues) > 0 {
		return s, nil, s.issues
	}
	tree, err := parser.ParseWithConfig(s.text(), parserConfig())
	if err != nil {
		return s, nil, []issue{parseIssue(s.src, err)}
	}
	if parts(tree.Node, maxNodes) > maxNodes {
		return s, nil, []issue{tooManyParts(len(s.src))}
	}
	return s, tree, nil
}

// program compiles what the checker made of the text.
func (k *checker) program(text file.Source, root ast.Node, t typ) (*program, error) {
	tests, onlyTests := k.tests(root)
	code, err := exprcompiler.Compile(&parser.Tree{Node: root, Source: text}, machineConfig())
	if err != nil {
		return nil, err
	}
	return &program{
		code: code, result: t, loads: k.loads, operators: k.operators, compiler: k.compiler,
		reads: slices.Sorted(maps.Keys(k.reads)), tests: tests, onlyTests: onlyTests,
	}, nil
}

// parserConfig makes the parser treat every function as a call, whatever expr
// has built in. (Those with predicates are part of its grammar.)
func parserConfig() *conf.Config {
	config := conf.New(map[string]any{})
	config.MaxNodes = maxNodes
	for name := range config.Builtins {
		config.Disabled[name] = true
	}
	return config
}

// machineConfig knows one function: ours.
func machineConfig() *conf.Config {
	config := conf.New(map[string]any{})
	config.Functions[callName] = &builtin.Function{Name: callName, Func: callSite}
	return config
}

// program is a compiled expression. Immutable, safe for concurrent use.
type program struct {
	code      *vm.Program
	result    typ
	loads     []load
	reads     []string
	assures   []string         // facts that are known where it is true
	defined   []string         // what the rules files define and it names: list "vips"
	constant  bool             // it says the same for every event
	operators map[int]operands // by position, for errors
	compiler  *compiler
	tests     []test // what it begins with
	onlyTests bool   // and nothing else
	// inner: the value is for other programs on the frame, and keeps its records.
	inner bool
}

// load puts a fact among the variables before the program runs.
type load struct {
	path string
	get  func(f *frame) any
}

// eval runs the program on in. Its error is for people; it wraps
// [engine.ErrUndecided] if the result of a step that a shadow did not send is
// needed.
func (p *program) eval(in input) (any, error) { return p.run(newFrame(in)) }

// run is eval on a frame that several programs share.
func (p *program) run(f *frame) (any, error) {
	f.budget = budget{facts: f.facts()}
	return p.resume(f)
}

// resume is run with what the budget of the frame has left.
func (p *program) resume(f *frame) (v any, err error) {
	defer func() {
		if recover() != nil {
			v, err = nil, errors.New("the expression cannot be evaluated: a fact is not as expected")
		}
	}()
	if f.in.Event == nil {
		return nil, errors.New("there is no event")
	}
	for i := range p.loads {
		l := &p.loads[i]
		if _, ok := f.env[l.path]; !ok {
			f.env[l.path] = l.get(f)
		}
		if err, failed := f.env[l.path].(*evalError); failed {
			return nil, fmt.Errorf("%s: %w", l.path, err)
		}
	}
	v, err = f.machine.Run(p.code, f.env)
	if err != nil {
		return nil, p.explain(err)
	}
	if p.inner {
		return v, nil
	}
	switch p.result.kind {
	case kindRecord, kindList, kindMap, kindUnknown:
		v, _, err = p.compiler.exported(v, f.maxElements())
	}
	return v, err
}

// facts are the dotted facts the program reads, sorted: "session.duration".
func (p *program) facts() []string { return p.reads }

// kind is the static type of the result.
func (p *program) kind() valueKind {
	switch k := p.result.kind; k {
	case kindRecord, kindTable:
		return kindMap
	case kindNil, kindBroken:
		return kindUnknown
	default:
		return k
	}
}

// callName is the one function programs call; what it does is in its site.
const callName = "$call"

// site is one place in an expression where a function is called. Immutable.
type site struct {
	do    func(f *frame, s *site, args []any) (any, error)
	names []string // of the arguments, for messages
	// fn is the function by name, nil for operators and fields.
	fn *function
	// what else do needs: a field, a pattern, a window, a list.
	with     any
	compiler *compiler
}

// callSite calls the function of a site: its arguments are the frame, the
// site, and those of the function.
func callSite(args ...any) (any, error) {
	f, s := args[0].(*frame), args[1].(*site)
	err := f.budget.spend(1 + len(args)/argsPerStep)
	var v any
	if err == nil {
		v, err = s.do(f, s, args[2:])
	}
	if err != nil {
		var known *evalError
		if !errors.As(err, &known) {
			err = &evalError{what: err.Error(), cause: err}
		}
		return nil, err
	}
	return v, nil
}

// name is the i-th argument in words.
func (s *site) name(i int) string {
	if i < len(s.names) {
		return s.names[i]
	}
	return fmt.Sprintf("value %d", i+1)
}

// call makes the node that calls a site.
func (k *checker) call(at ast.Node, t typ, s *site, args ...ast.Node) ast.Node {
	s.compiler = k.compiler
	all := append([]ast.Node{
		marked(&ast.IdentifierNode{Value: frameName}, at, typ{}),
		marked(&ast.ConstantNode{Value: s}, at, typ{}),
	}, args...)
	callee := marked(&ast.IdentifierNode{Value: callName}, at, typ{})
	return marked(&ast.CallNode{Callee: callee, Arguments: all}, at, t)
}

// marked gives a new node a place, and a type for expr's compiler. That type
// only says how to compare: a comparison of two texts or two whole numbers
// that cannot be unknown has an instruction of its own. Everything else is
// marked bool, which has none and needs no dereferencing.
func marked[N ast.Node](n N, at ast.Node, t typ) ast.Node {
	n.SetLocation(at.Location())
	switch {
	case t.kind == kindText && !t.null:
		n.SetType(reflect.TypeFor[string]())
	case t.kind == kindWhole && !t.null:
		n.SetType(reflect.TypeFor[int]())
	default:
		n.SetType(reflect.TypeFor[bool]())
	}
	return n
}
