package main

import (
	"fmt"
	"strings"
	"time"
)

const (
	barWidth  = 30
	barEvery  = 100 * time.Millisecond
	lineEvery = 10 * time.Second // where there is no terminal
)

// progress says on standard error how far a long command is: by a bar on a
// terminal, else by a line now and then. Not safe for concurrent use.
type progress struct {
	app   *app
	what  string
	total int64
	began time.Time
	next  time.Time // when to say something again
	bar   bool
	off   bool
	shown bool
}

// newProgress begins to count what is done, out of total.
func (a *app) newProgress(what string, total int64, off bool) *progress {
	p := &progress{app: a, what: what, total: total, began: a.now(), off: off || a.quiet}
	p.bar = isTerminal(a.err) && a.getenv("TERM") != "dumb"
	p.next = p.began.Add(lineEvery)
	if p.bar {
		p.next = p.began.Add(barEvery)
	}
	return p
}

// at says that so much is done, and more, which is one line.
func (p *progress) at(done int64, more string) {
	now := p.app.now()
	if p.off || now.Before(p.next) {
		return
	}
	p.shown = true
	if p.bar {
		p.next = now.Add(barEvery)
		fmt.Fprintf(p.app.err, "\r%s\x1b[K", p.line(done, more, now))
		return
	}
	p.next = now.Add(lineEvery)
	fmt.Fprintln(p.app.err, p.line(done, more, now))
}

// end takes the bar away.
func (p *progress) end() {
	if p.bar && p.shown {
		fmt.Fprint(p.app.err, "\r\x1b[K")
	}
}

func (p *progress) line(done int64, more string, now time.Time) string {
	part := 1.0
	if p.total > 0 {
		part = min(float64(done)/float64(p.total), 1)
	}
	parts := []string{fmt.Sprintf("%s %3.0f %%  %s/%s", p.what, 100*part, grouped(done), grouped(p.total))}
	if p.bar {
		full := int(part * barWidth)
		sign := [2]string{p.app.mark("█", "#"), p.app.mark("░", "-")}
		parts[0] = fmt.Sprintf("%s %s%s %3.0f %%  %s/%s", p.what, strings.Repeat(sign[0], full), strings.Repeat(sign[1], barWidth-full), 100*part, grouped(done), grouped(p.total))
	}
	if more != "" {
		parts = append(parts, cleanCell(more))
	}
	if took := now.Sub(p.began); done > 0 && took > 0 {
		rate := float64(done) / took.Seconds()
		left := time.Duration(float64(p.total-done) / rate * float64(time.Second))
		parts = append(parts, grouped(int64(rate))+"/s", "eta "+max(left, 0).Round(time.Second).String())
	}
	return strings.Join(parts, "  ")
}

// grouped is a number with commas: 41,206.
func grouped[N int | int64](n N) string { return groupedText(fmt.Sprint(n)) }

// groupedText is grouped for a decimal.
func groupedText(digits string) string {
	whole, rest, point := strings.Cut(digits, ".")
	for i := len(whole) - 3; i > 0 && whole[i-1] != '-'; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if point {
		return whole + "." + rest
	}
	return whole
}
