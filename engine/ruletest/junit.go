package ruletest

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
)

// junitSuites is the report that build servers read.
// https://github.com/testmoapp/junitxml
type junitSuites struct {
	XMLName  xml.Name     `xml:"testsuites"`
	Tests    int          `xml:"tests,attr"`
	Failures int          `xml:"failures,attr"`
	Suites   []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Time     string      `xml:"time,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Class   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	File    string        `xml:"file,attr"`
	Line    int           `xml:"line,attr"`
	Time    string        `xml:"time,attr"`
	Failure *junitFailure `xml:"failure"`
}

type junitFailure struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// Timed is a result and how long the test took.
type Timed struct {
	*Result
	Took time.Duration
}

// WriteJUnit writes results as JUnit XML, a suite for each file.
func WriteJUnit(w io.Writer, results []Timed) error {
	var all junitSuites
	var took time.Duration
	for _, r := range results {
		if n := len(all.Suites); n == 0 || all.Suites[n-1].Name != legible(r.File) {
			all.Suites = append(all.Suites, junitSuite{Name: legible(r.File)})
			took = 0
		}
		s := &all.Suites[len(all.Suites)-1]
		took += r.Took
		c := junitCase{Class: s.Name, Name: legible(r.Name), File: s.Name, Line: r.Line, Time: seconds(r.Took)}
		if !r.Passed {
			c.Failure = failureOf(r.Result)
			s.Failures++
			all.Failures++
		}
		s.Cases = append(s.Cases, c)
		s.Tests++
		all.Tests++
		s.Time = seconds(took)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func failureOf(r *Result) *junitFailure {
	var b strings.Builder
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "%s:%d  %s\n", r.File, f.Line, f.What)
		for _, line := range f.Detail {
			fmt.Fprintf(&b, "  %s\n", line)
		}
	}
	return &junitFailure{Message: legible(r.Findings[0].What), Text: legible(b.String())}
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }

// legible is text with nothing in it that XML cannot say or a reader cannot see.
// https://www.w3.org/TR/xml/#charsets
func legible(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || unicode.IsPrint(r) {
			return r
		}
		return '\uFFFD'
	}, text)
}
