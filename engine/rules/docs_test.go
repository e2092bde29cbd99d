package rules

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestDocs loads every YAML block of the reference: each is a complete file.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile("../../docs/rules.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(text), "```yaml\n")[1:]
	if len(blocks) < 5 {
		t.Fatalf("only %d blocks found", len(blocks))
	}
	for i, block := range blocks {
		t.Run(fmt.Sprint(i+1), func(t *testing.T) {
			block, _, _ := strings.Cut(block, "```")
			if s, problems := Load([]File{{"rules.md", []byte(block)}}, testOptions()); s == nil {
				t.Errorf("%s\n%s", block, printed(problems))
			}
		})
	}
}
