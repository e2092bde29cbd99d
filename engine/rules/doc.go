// Package rules turns rules files into a [Set]: what the engine asks for every
// event and every step. It knows YAML and expr, and no platform or action by
// itself: those come as kinds in [Options].
//
// # From file to set
//
//	[]File ── parse ──► nodes ── read sections ──► Set
//	            │                     │
//	            └──── Problems ◄──────┘   every mistake of every file, in order
//
// [Load] never stops at the first mistake. parse.go reads a file and checks
// what holds for every YAML node: size, encoding, no aliases, no tags, no key
// twice, no text cut by a comment. load.go then reads the sections in an order
// that lets expressions name what the files define; each section has its file:
// list.go, table.go, source.go, connection.go, rule.go, branch.go.
//
// Keys are checked on the nodes, because a decoder says neither where a
// mistake is nor all of them at once. node.go holds what all sections share: a
// node that knows its file, its key and its rule, and reports problems at its
// place. place.go finds the place of a character of a value, however it is
// quoted or folded; document.go and leak.go keep secrets out of what is shown.
//
// syntax.go words what the parser says of a file that is no YAML, and slip.go
// searches it for the slip of the finger behind that. alias.go knows what people mean by the words of other tools. doubt.go
// and exprdoubt.go warn of what loads and is hardly meant. docs/validate.md
// lists every code; a test holds it to the fixtures.
//
// # Values and expressions
//
// A step's parameters are checked against the struct of its action (params.go)
// and become values (value.go): fixed ones, and texts with ${…} (template.go).
// What an expression results in is inserted as data and never read again.
//
// Expressions are compiled by compiler.compile (expr.go) against the facts of
// each event type the rule is about (env.go), so that a misspelt fact is a
// mistake at load.
//
// # For editors
//
// keys.go holds the keys of every map of a rules file, each with a line for
// people: the reader has their names from there, and [Schema] makes a JSON
// Schema of them, of the actions' structs and of the platforms. A key that is
// added there is known to both; a test holds them against each other.
//
// # Evaluating
//
// [Set.Match] looks at the rules for the event's type only. A condition has
// three outcomes: true, false and error; an error is never a no. A Set is
// immutable and safe for concurrent use, and nothing in it panics on account
// of an event.
//
// # Explaining
//
// [Set.Explain] takes a condition apart at and, or, not, ? : and let
// (explainline.go) and evaluates every part by itself (explainrun.go), in the
// limits of the whole where the engine got to it. All it needs is compiled
// anew; a rule keeps no more than where its conditions stand. Where the parts
// do not come to what the whole does, the whole counts.
package rules
