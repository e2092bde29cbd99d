package rules

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestCodes: no message exists without its example. Every code in the source
// of this package is in the output of a file in testdata/rules/err.
func TestCodes(t *testing.T) {
	shown := map[string]bool{}
	head := regexp.MustCompile(`(?m)^\S+:.*  (?:\[rule [a-z0-9-]+\] )?([a-z0-9-]+)$`)
	for _, path := range glob(t, "testdata/rules/err/*.out") {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range head.FindAllStringSubmatch(string(text), -1) {
			shown[m[1]] = true
		}
	}
	codes := codesInSource(t)
	if len(codes) < 40 {
		t.Fatalf("only %d codes found in the source", len(codes))
	}
	for code, place := range codes {
		if !shown[code] {
			t.Errorf("%s: code %q has no file in testdata/rules/err", place, code)
		}
	}
}

// codesInSource finds what is assigned to fields called Code.
func codesInSource(t *testing.T) map[string]token.Position {
	t.Helper()
	codes := map[string]token.Position{}
	fset := token.NewFileSet()
	note := func(e ast.Expr) {
		if lit, ok := e.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if code, err := strconv.Unquote(lit.Value); err == nil && code != "" {
				codes[code] = fset.Position(lit.Pos())
			}
		}
	}
	for _, path := range glob(t, "*.go") {
		if strings.HasSuffix(path, "_test.go") || path == "export.go" { // its messages are about other files, and shown by those who read them
			continue
		}
		file, err := parser.ParseFile(fset, path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.KeyValueExpr:
				if key, ok := n.Key.(*ast.Ident); ok && key.Name == "Code" {
					note(n.Value)
				}
			case *ast.AssignStmt:
				for i, left := range n.Lhs {
					if sel, ok := left.(*ast.SelectorExpr); ok && sel.Sel.Name == "Code" && i < len(n.Rhs) {
						note(n.Rhs[i])
					}
				}
			}
			return true
		})
	}
	return codes
}
