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

// TestMessages: every message of this package is shown by a fixture, whatever
// is filled in.
func TestMessages(t *testing.T) {
	var shown strings.Builder
	for _, path := range glob(t, "testdata/rules/err/*.out") {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		shown.Write(text)
	}
	heads := regexp.MustCompile(`(?m)^\S+?: (?:warning: )?(.*?)(?:  \S.*)?$`).FindAllStringSubmatch(shown.String(), -1)
	missing := 0
	for format, place := range messagesInSource(t) {
		form := regexp.MustCompile(`^` + verbs.ReplaceAllString(regexp.QuoteMeta(format), ".*") + `$`)
		found := false
		for _, h := range heads {
			if found = form.MatchString(strings.TrimRight(h[1], " ")); found {
				break
			}
		}
		if why := notShown()[format]; why != "" {
			if found {
				t.Errorf("%s: %q is shown, and said not to be: %s", place, format, why)
			}
			continue
		}
		if !found {
			missing++
			t.Logf("%s: %q has no file in testdata/rules/err", place, format)
		}
	}
	if missing > 0 {
		t.Errorf("%d messages are not shown", missing)
	}
}

// notShown are messages without a fixture, and why.
func notShown() map[string]string {
	all := map[string]string{}
	for why, formats := range map[string][]string{
		"its file would be large; see hostile_test.go and limits_test.go": {"the file is larger than 1 MiB", "%s is larger than %d MiB",
			"the file has more than %d expressions", "the expressions of the file have more than %d KiB together", "the patterns of the file have too many character classes"},
		"the parser says something else first, as far as is known": {"the expression is not valid UTF-8", "the expression cannot be read", "the expression cannot be compiled",
			"%s is not an operator", "this cannot be called", "a condition over the elements belongs here", "this has no meaning in an expression", "there is no element here",
			"a number needs digits behind its point", "a list that begins with [ above is not closed before this line", "a map that begins with { above is not closed before this line"},
	} {
		for _, f := range formats {
			all[f] = why
		}
	}
	return all
}

var verbs = regexp.MustCompile(`%\[?\d*\]?[a-z]`)

// messagesInSource finds what is assigned to fields called What: texts, and
// the formats of fmt.Sprintf.
func messagesInSource(t *testing.T) map[string]token.Position {
	t.Helper()
	all := map[string]token.Position{}
	fset := token.NewFileSet()
	note := func(e ast.Expr) {
		if call, ok := e.(*ast.CallExpr); ok && len(call.Args) > 0 {
			e = call.Args[0]
		}
		if lit, ok := e.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if text, err := strconv.Unquote(lit.Value); err == nil && text != "" {
				all[text] = fset.Position(lit.Pos())
			}
		}
	}
	for _, path := range glob(t, "*.go") {
		if strings.HasSuffix(path, "_test.go") || path == "export.go" {
			continue
		}
		file, err := parser.ParseFile(fset, path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.KeyValueExpr:
				if key, ok := n.Key.(*ast.Ident); ok && key.Name == "What" {
					note(n.Value)
				}
			case *ast.AssignStmt:
				for i, left := range n.Lhs {
					if sel, ok := left.(*ast.SelectorExpr); ok && sel.Sel.Name == "What" && i < len(n.Rhs) {
						note(n.Rhs[i])
					}
				}
			}
			return true
		})
	}
	return all
}
