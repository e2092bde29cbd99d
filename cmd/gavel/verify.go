package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/triggers"
	"github.com/spf13/cobra"
)

func (a *app) verifyCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify REQUEST.json",
		Short: "check a captured request offline, step by step",
		Long: `REQUEST.json is {"method", "url", "headers": {name: value}, "body_base64"}; other
members are ignored. "-" reads standard input. The exit code is 0 only if the
endpoint would answer 2xx. Nothing is stored and nothing runs.`,
		Example: `  gavel verify --source pnm request.json
  gavel verify --source pnm --at 1795219404 request.json`,
		Args:        cobra.ExactArgs(1),
		Annotations: map[string]string{"formats": "table,json"},
	}
	source := cmd.Flags().String("source", "", "the `source` it was sent to")
	at := cmd.Flags().String("at", "", "when it came, in `seconds` since 1970 (default: now)")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		sources, i, err := a.loadForUse(func(sources []engine.SourceConfig) (int, error) {
			switch i := slices.Index(sourceNames(sources), *source); {
			case i >= 0:
				return i, nil
			case *source == "" && len(sources) == 1:
				return 0, nil
			case *source == "":
				return 0, fail(exitUsage, errors.New("--source is missing"), "there are: "+strings.Join(sourceNames(sources), ", "))
			}
			return 0, fail(exitFindings, fmt.Errorf("there is no source %q", *source), "there are: "+strings.Join(sourceNames(sources), ", "))
		})
		if err != nil {
			return err
		}
		req, err := a.readRequest(args[0])
		if err != nil {
			return err
		}
		req.ReceivedAt = a.now()
		if *at != "" {
			if req.ReceivedAt, err = unixSeconds(*at); err != nil {
				return fail(exitUsage, err, "write seconds since 1970, such as 1795219404 or 1795219404.25")
			}
		}
		steps := triggers.Check(a.platforms(), sources, sources[i].Name, req)
		if err := a.printSteps(steps); err != nil {
			return err
		}
		if !triggers.Passed(steps) {
			return fail(exitFindings, nil, "")
		}
		return nil
	}
	return cmd
}

// capturedRequest is REQUEST.json.
type capturedRequest struct {
	Method  string            `json:"method"`
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers"`
	Body    []byte            `json:"body_base64"`
}

// maxCaptured bounds REQUEST.json: base64 of the largest body, and headers.
const maxCaptured = 64 << 20

func (a *app) readRequest(name string) (engine.Request, error) {
	in := a.in
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return engine.Request{}, fail(exitFindings, fmt.Errorf("%s: %w", name, errors.Unwrap(err)), "")
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxCaptured))
	if err != nil {
		return engine.Request{}, fail(exitFindings, err, "")
	}
	var c capturedRequest
	if err := json.Unmarshal(text, &c); err != nil {
		return engine.Request{}, fail(exitFindings, fmt.Errorf("%s is no captured request: %s", name, jsonWhat(err)), "gavel help verify shows its form")
	}
	if c.Method == "" {
		c.Method = http.MethodPost
	}
	u, err := url.Parse(c.URL)
	if err != nil {
		return engine.Request{}, fail(exitFindings, fmt.Errorf("%s: the url cannot be read", name), "")
	}
	req := engine.Request{Method: c.Method, URL: c.URL, Query: u.Query(), Header: http.Header{}, Body: c.Body}
	for name, value := range c.Headers {
		req.Header.Add(name, strings.Trim(value, " \t")) // as servers do
	}
	return req, nil
}

// jsonWhat words a decoder's error without the names of Go types.
func jsonWhat(err error) string {
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		found := kind.Value // "array", "number", "number 1.5", …
		if found == "array" {
			found = "list"
		}
		if kind.Field == "" {
			return "it is a " + found + ", not an object"
		}
		return fmt.Sprintf("%q cannot be a %s", kind.Field, found)
	}
	var corrupt base64.CorruptInputError
	if errors.As(err, &corrupt) {
		return fmt.Sprintf(`"body_base64" is no base64 (byte %d)`, int64(corrupt))
	}
	return err.Error()
}

// unixSeconds reads seconds since 1970 with decimals, exactly.
func unixSeconds(s string) (time.Time, error) {
	bad := fmt.Errorf("--at cannot be %q", s)
	if len(s) > 40 || strings.ContainsAny(s, "eEpPxX/_ ") {
		return time.Time{}, bad
	}
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		return time.Time{}, bad
	}
	nanos := r.Mul(r, big.NewRat(int64(time.Second), 1))
	n := new(big.Int).Quo(nanos.Num(), nanos.Denom())
	if !n.IsInt64() {
		return time.Time{}, bad
	}
	return time.Unix(0, n.Int64()), nil
}

// checked is a step for programs.
type checked struct {
	Step   string `json:"step"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitempty"`
}

func (a *app) printSteps(steps []triggers.Step) error {
	if a.output == "json" {
		all := []checked{}
		for _, s := range steps {
			all = append(all, checked{s.Name, s.OK, s.Detail})
		}
		return a.printJSON(map[string]any{"ok": triggers.Passed(steps), "steps": all})
	}
	for _, s := range steps {
		result := a.paint(a.out, green, "ok")
		if !s.OK {
			result = a.paint(a.out, red, "refused")
		}
		if _, err := fmt.Fprintf(a.out, "%s: %s\n", s.Name, result); err != nil {
			return err
		}
		if s.Detail != "" {
			if _, err := fmt.Fprintf(a.out, "  %s\n", cleanCell(s.Detail)); err != nil {
				return err
			}
		}
	}
	return nil
}
