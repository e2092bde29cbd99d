package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"runtime"
	"strings"
)

// report prints the table as it grows, or all of it at the end in another
// format: json, or markdown for docs/performance.md.
type report struct {
	out    io.Writer
	format string

	Machine struct {
		CPUs      int     `json:"cpus"`
		Go        string  `json:"go"`
		LoadStart float64 `json:"load_at_start"`
		BusyStart float64 `json:"busy_at_start_percent"` // of all CPUs, in the second before
		LoadEnd   float64 `json:"load_at_end"`
		Others    float64 `json:"others_percent"` // of all CPUs, while something was measured
		Generator float64 `json:"load_generator_percent"`
		FsyncP50  float64 `json:"fsync_p50_ms"`
		FsyncP99  float64 `json:"fsync_p99_ms"`
	} `json:"machine"`
	Settings struct {
		Events  int `json:"events"`
		Clients int `json:"clients"`
		Rounds  int `json:"rounds"`
	} `json:"settings"`
	Rows []reportRow `json:"rows"`
}

type reportRow struct {
	Row string `json:"row"`
	result
}

// begin prints what is measured, and where.
func (r *report) begin(b *bench) {
	m := &r.Machine
	m.CPUs, m.Go, m.LoadStart, m.BusyStart = runtime.NumCPU(), runtime.Version(), b.machine.loadBefore, b.machine.busyBefore
	r.Settings.Events, r.Settings.Clients, r.Settings.Rounds = b.events, b.clients, b.rounds
	r.printf("%d CPUs, %s; before the start: load average %.2f, CPUs %.0f %% busy%s\n", m.CPUs, m.Go, m.LoadStart, m.BusyStart, warning(m.BusyStart))
	r.printf("%d rounds; runs as fast as it goes: %d deliveries of about 1 KB over %d connections\n\n", b.rounds, b.events, b.clients)
	r.printf("%-7s %-66s %12s %12s %12s   %s\n", "row", "what", "median", "min", "max", "mark")
}

// warning says that other programs take so much of the CPUs that the figures
// tell little.
func warning(percent float64) string {
	if percent > 15 {
		return ": THE MACHINE IS BUSY with other things, rates are too low and latencies too high"
	}
	return ""
}

func (r *report) add(row string, results []result) {
	for i, x := range results {
		r.Rows = append(r.Rows, reportRow{row, x})
		first := row
		if i > 0 {
			first = ""
		}
		r.printf("%-7s %-66s %12s %12s %12s   %s\n", first, x.What, amount(x.Median, x.Unit), amount(x.Min, x.Unit), amount(x.Max, x.Unit), x.Mark.text(x.Unit))
	}
}

func (r *report) end(b *bench) error {
	m := &r.Machine
	m.LoadEnd, m.Others, m.Generator = loadAverage(), b.machine.others(), b.machine.generator()
	p50, p99 := b.disk.all()
	m.FsyncP50, m.FsyncP99 = p50, p99
	r.printf("\ndisk: write and fsync of 4 KiB %s (p50), %s (p99), measured before each run\n", amount(p50, "ms"), amount(p99, "ms"))
	r.printf("load average at the end %.2f; while something was measured, the load generator took %.0f %% of the CPUs, other programs %.0f %%%s\n",
		m.LoadEnd, m.Generator, m.Others, warning(m.Others))
	reached, marks := 0, 0
	for _, x := range r.Rows {
		if x.Mark != nil {
			marks++
			if x.Mark.Reached {
				reached++
			}
		}
	}
	r.printf("%d of %d marks reached\n", reached, marks)
	switch r.format {
	case "json":
		enc := json.NewEncoder(r.out)
		enc.SetIndent("", "  ")
		return enc.Encode(r)
	case "markdown":
		r.markdown()
	}
	return nil
}

// markdown prints what has a mark, and what must be known to judge it.
func (r *report) markdown() {
	fmt.Fprintf(r.out, "| what | median | min to max | mark |\n|---|---|---|---|\n")
	for _, x := range r.Rows {
		if x.Mark != nil {
			fmt.Fprintf(r.out, "| %s | %s | %s to %s | %s |\n", strings.TrimSpace(x.What),
				amount(x.Median, x.Unit), amount(x.Min, ""), amount(x.Max, x.Unit), strings.Join(strings.Fields(x.Mark.text(x.Unit)), " "))
		}
	}
	m := r.Machine
	fmt.Fprintf(r.out, "\n%d CPUs, %s, %d rounds; the disk's own fsync took %s (p50) and %s (p99), other programs %.0f %% of the CPUs.\n",
		m.CPUs, m.Go, r.Settings.Rounds, amount(m.FsyncP50, "ms"), amount(m.FsyncP99, "ms"), m.Others)
}

// printf prints a part of the table.
func (r *report) printf(format string, args ...any) {
	if r.format == "table" {
		fmt.Fprintf(r.out, format, args...)
	}
}

// text is what stands in the column of marks.
func (m *mark) text(unit string) string {
	if m == nil {
		return ""
	}
	word, sign := "not reached", "≤"
	if m.Reached {
		word = "reached"
	}
	if m.AtLeast {
		sign = "≥"
	}
	return fmt.Sprintf("%s %-10s %s", sign, amount(m.Value, unit), word)
}

// amount prints a figure with as many digits as say something.
func amount(v float64, unit string) string {
	digits := 0
	switch {
	case v == math.Trunc(v):
	case v > -10 && v < 10:
		digits = 2
	case v > -100 && v < 100:
		digits = 1
	}
	return strings.TrimSpace(fmt.Sprintf("%.*f %s", digits, v, unit))
}
