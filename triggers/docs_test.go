package triggers

import (
	"os"
	"strings"
	"testing"

	"github.com/gavelhq/gavel/engine"
)

// Every platform has a page; its table lists each event with all the types it
// can become, and no other event.
func TestPlatformPages(t *testing.T) {
	eachKind(t, func(t *testing.T, k engine.PlatformKind) {
		page, err := os.ReadFile("../docs/platforms/" + k.Name + ".md")
		if err != nil {
			t.Fatal(err)
		}
		_, table, _ := strings.Cut(string(page), "\n| on the wire | becomes |\n|---|---|\n")
		table, _, _ = strings.Cut(table, "\n\n")
		seen := map[string]bool{}
		for row := range strings.Lines(table) {
			cells := strings.SplitN(strings.Trim(row, "|\n "), " | ", 2)
			name := strings.Trim(cells[0], "` ")
			types, known := k.Events[name]
			if !known || len(cells) != 2 || seen[name] {
				t.Errorf("the row of %q: no such event, no second cell, or the second row", name)
				continue
			}
			seen[name] = true
			for _, typ := range engine.EventTypes() {
				listed, sent := strings.Contains(cells[1], "`"+typ+"`"), strings.Contains(" "+strings.Join(types, " ")+" ", " "+typ+" ")
				if listed != sent {
					t.Errorf("%s: %s listed %v, sent %v", name, typ, listed, sent)
				}
			}
		}
		for name := range k.Events {
			if !seen[name] {
				t.Errorf("no row for %s", name)
			}
		}
		if n := strings.Count(string(page), "```yaml\nversion: 1\n"); n != 1 || !strings.Contains(string(page), "\n    platform: "+k.Name+"\n") && !strings.Contains(string(page), "\n    platform: "+k.Name+" ") {
			t.Errorf("%d rules files to copy, want one with this platform", n)
		}
	})
}
