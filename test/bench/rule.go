package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// ruleRow is what evaluating one rule takes, by the benchmark beside the code.
func ruleRow(ctx context.Context, b *bench) ([]result, error) {
	out, err := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^BenchmarkRule$", "-benchmem", "-benchtime", "300ms",
		"-count", fmt.Sprint(b.rounds), "github.com/gavelhq/gavel/engine/rules").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, out)
	}
	var took, allocs []float64
	for line := range strings.Lines(string(out)) {
		var name string
		var n, bytes, count int
		var ns float64
		if _, err := fmt.Sscanf(line, "%s %d %f ns/op %d B/op %d allocs/op", &name, &n, &ns, &bytes, &count); err == nil {
			took, allocs = append(took, ns), append(allocs, float64(count))
		}
	}
	if len(took) == 0 {
		return nil, errors.New("the benchmark of a rule printed no figures:\n" + string(out))
	}
	return []result{
		figure("one rule: two comparisons and an in", "ns", took).atMost(500),
		figure("one rule: allocations", "allocs", allocs).atMost(2),
	}, nil
}
