package actions

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/gavelhq/gavel/engine"
)

// TestNoFloats: nothing on the way of an entry, from the step to an export, is
// a binary fraction.
func TestNoFloats(t *testing.T) {
	var files []string
	for _, pattern := range []string{"billing*.go", "currency.go", "../engine/ledger*.go", "../engine/store/ledger*.go", "../engine/store/decimal.go", "../engine/store/canonical.go", "../cmd/gavel/billing*.go"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: no files (%v)", pattern, err)
		}
		files = append(files, found...)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		for _, found := range floatsIn(t, file, nil) {
			t.Error(found)
		}
	}
}

// Every way to write one is found.
func TestNoFloatsFinds(t *testing.T) {
	for _, src := range []string{
		"var x float64", "func f(x []float32) {}", "var x = 0.5", "var x = 1e3", "var x = complex(1, 2)", "var x complex128",
		"import \"math\"\nvar x = math.Ceil(1)", "import \"math/big\"\nvar x big.Float", "import \"math/big\"\nvar x = new(big.Rat).SetFloat64(y)",
		"import \"strconv\"\nvar x, _ = strconv.ParseFloat(y, 64)", "import \"strconv\"\nvar x = strconv.FormatFloat(y, 'f', -1, 64)",
		"import \"math/big\"\nvar x, _ = new(big.Rat).Float64()", "import \"time\"\nvar x = time.Hour.Minutes()", "import m \"math\"\nvar x = m.Pi",
		"var x = string(1) + y.Seconds()", "var x = `%f`", "var x = \"%5.2f\"",
	} {
		if len(floatsIn(t, "x.go", "package x\n"+src)) == 0 {
			t.Errorf("%s is not found", src)
		}
	}
	if found := floatsIn(t, "x.go", "package x\nimport \"math/big\"\nvar x = new(big.Rat).FloatString(big.NewInt(3)) // 0.5 float64\nconst y = `0.5 %s`"); found != nil {
		t.Error(found)
	}
}

// floatsIn are the places of a file where a float is written, made or read. src
// stands for its text.
func floatsIn(t *testing.T, file string, src any) (found []string) {
	t.Helper()
	fset := token.NewFileSet()
	tree, err := parser.ParseFile(fset, file, src, 0)
	if err != nil {
		t.Fatal(err)
	}
	at := func(n ast.Node, what string) { found = append(found, fset.Position(n.Pos()).String()+": "+what) }
	ast.Inspect(tree, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ImportSpec:
			if n.Path.Value == `"math"` || n.Path.Value == `"math/cmplx"` {
				at(n, n.Path.Value)
			}
		case *ast.BasicLit:
			if n.Kind == token.FLOAT || n.Kind == token.IMAG || n.Kind == token.STRING && floatVerb(n.Value) {
				at(n, n.Value)
			}
		case *ast.Ident:
			switch n.Name {
			case "float32", "float64", "complex", "complex64", "complex128", "Float", "Float32", "Float64", "SetFloat64", "ParseFloat", "FormatFloat", "AppendFloat",
				"Seconds", "Minutes", "Hours":
				at(n, n.Name)
			}
		}
		return true
	})
	return found
}

// floatVerb reports whether a text is a format of a float.
func floatVerb(text string) bool {
	for i := strings.IndexByte(text, '%'); i >= 0; i = strings.IndexByte(text, '%') {
		text = strings.TrimLeft(text[i+1:], "+-# 0123456789.")
		if text != "" && strings.ContainsRune("feEgG", rune(text[0])) {
			return true
		}
	}
	return false
}

// An entry and what it is charged by hold none.
func TestNoFloatsInEntry(t *testing.T) {
	seen := map[reflect.Type]bool{}
	var walk func(t reflect.Type, path string)
	walk = func(of reflect.Type, path string) {
		if seen[of] {
			return
		}
		seen[of] = true
		switch of.Kind() {
		case reflect.Float32, reflect.Float64, reflect.Complex64, reflect.Complex128, reflect.Interface:
			t.Errorf("%s is %s", path, of)
		case reflect.Pointer, reflect.Slice, reflect.Array:
			walk(of.Elem(), path+"[]")
		case reflect.Map:
			walk(of.Key(), path+" key")
			walk(of.Elem(), path+" value")
		case reflect.Struct:
			for i := range of.NumField() {
				if f := of.Field(i); f.Type.PkgPath() != "time" {
					walk(f.Type, path+"."+f.Name)
				}
			}
		}
	}
	walk(reflect.TypeFor[engine.Entry](), "Entry")
	walk(reflect.TypeFor[engine.Billing](), "Billing")
	walk(reflect.TypeFor[billingParams](), "billingParams")
	walk(reflect.TypeFor[tariff](), "tariff")
	if len(seen) < 10 {
		t.Errorf("only %d types were looked at", len(seen))
	}
}
