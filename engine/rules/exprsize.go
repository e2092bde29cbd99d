package rules

import (
	"fmt"

	"github.com/expr-lang/expr/ast"
)

// parts counts the nodes of a tree, each as often as it is evaluated: the
// middle of a < b < c is in it twice, so that nested ones multiply. Beyond
// the limit it stops counting.
func parts(n ast.Node, most int) int {
	count := 1
	for _, c := range children(n) {
		if count > most {
			break
		}
		if c != nil {
			count += parts(c, most-count)
		}
	}
	return count
}

// children are the nodes directly below n; some may be nil.
func children(n ast.Node) []ast.Node {
	switch n := n.(type) {
	case *ast.UnaryNode:
		return []ast.Node{n.Node}
	case *ast.BinaryNode:
		return []ast.Node{n.Left, n.Right}
	case *ast.ChainNode:
		return []ast.Node{n.Node}
	case *ast.MemberNode:
		return []ast.Node{n.Node, n.Property}
	case *ast.SliceNode:
		return []ast.Node{n.Node, n.From, n.To}
	case *ast.CallNode:
		return append([]ast.Node{n.Callee}, n.Arguments...)
	case *ast.BuiltinNode:
		return n.Arguments
	case *ast.PredicateNode:
		return []ast.Node{n.Node}
	case *ast.ConditionalNode:
		return []ast.Node{n.Cond, n.Exp1, n.Exp2}
	case *ast.VariableDeclaratorNode:
		return []ast.Node{n.Value, n.Expr}
	case *ast.SequenceNode:
		return n.Nodes
	case *ast.ArrayNode:
		return n.Nodes
	case *ast.MapNode:
		return n.Pairs
	case *ast.PairNode:
		return []ast.Node{n.Key, n.Value}
	}
	return nil
}

// tooManyParts is the issue of an expression of that width with more than
// maxNodes.
func tooManyParts(width int) issue {
	return issue{Width: max(1, width), Code: "expression-too-large", What: fmt.Sprintf("the expression has more than %d parts", maxNodes), Hint: "split it into several conditions, or keep long lists under lists:"}
}

// expressions counts those of a file.
type expressions struct {
	count, bytes, work int
	tooMany            bool // it is reported
}

// fits reports whether one more expression can be compiled, and says so once
// if not.
func (x *expressions) fits(n node, src string) bool {
	x.count++
	x.bytes += len(src)
	x.work += classWork(src)
	i := issue{Code: "too-large", Hint: "split it into several files in one folder"}
	switch {
	case x.count > maxExpressions:
		i.What = fmt.Sprintf("the file has more than %d expressions", maxExpressions)
	case x.bytes > maxExpressionsText:
		i.What = fmt.Sprintf("the expressions of the file have more than %d KiB together", maxExpressionsText>>10)
	case x.work > maxExpressionsWork:
		i.What, i.Hint = "the patterns of the file have too many character classes", "write ranges such as a-z, or fewer patterns"
	default:
		return true
	}
	if !x.tooMany {
		x.tooMany = true
		n.add(i)
	}
	return false
}
