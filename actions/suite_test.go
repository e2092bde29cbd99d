package actions

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gavelhq/gavel/engine"
)

const canary = "canary-71b4f0c2-secret"

var (
	noon     = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
)

// builtin makes the actions; they may call this machine.
func builtin(log io.Writer) map[string]engine.ActionKind {
	kinds := map[string]engine.ActionKind{}
	noTime := func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}
	for _, k := range Builtin(Options{
		AllowNet: loopback, Version: "test", Now: func() time.Time { return noon },
		Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: noTime})),
	}) {
		kinds[k.Name] = k
	}
	return kinds
}

// example is a file of testdata/ACTION: a call, the request it must make, what
// the target answers, and what the step makes of that. {server} is the target.
type example struct {
	About      string                     `json:"about"`
	Connection map[string]any             `json:"connection"` // secrets in the open
	With       json.RawMessage            `json:"with"`
	Event      *engine.Event              `json:"event"`
	Session    string                     `json:"session"`
	Test       bool                       `json:"test"`
	State      map[string]json.RawMessage `json:"state"`
	Prices     map[string]engine.Prices   `json:"prices"` // of the rules
	Before     string                     `json:"before"` // the month's total, when an entry is charged
	Request    *request                   `json:"request"`
	Response   *response                  `json:"response"`
	Result     *engine.Result             `json:"result"`
	Raw        json.RawMessage            `json:"raw"` // of what is emitted: an event's JSON is without it
	Log        string                     `json:"log"`
	Error      string                     `json:"error"`
	Permanent  bool                       `json:"permanent"`
	RetryAfter string                     `json:"retry_after"`
}

type request struct {
	Method  string            `json:"method"`
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers"` // those that matter
	Body    string            `json:"body"`
}

type response struct {
	Status  int               `json:"status"`
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
}

func TestExamples(t *testing.T) {
	for name := range builtin(io.Discard) {
		files, err := filepath.Glob("testdata/" + name + "/*.json")
		if err != nil || len(files) == 0 {
			t.Errorf("action %s has no examples in testdata/%s (%v)", name, name, err)
		}
		for _, file := range files {
			t.Run(strings.TrimSuffix(strings.TrimPrefix(file, "testdata/"), ".json"), func(t *testing.T) { runExample(t, name, file) })
		}
	}
}

func runExample(t *testing.T, name, file string) {
	var x example
	var got *request
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = &request{Method: r.Method, URL: r.RequestURI, Body: string(body), Headers: map[string]string{}}
		if x.Request != nil {
			for name := range x.Request.Headers {
				got.Headers[name] = r.Header.Get(name)
			}
		}
		for name, value := range x.Response.Headers {
			w.Header().Set(name, value)
		}
		w.WriteHeader(x.Response.Status)
		_, _ = io.WriteString(w, x.Response.Body)
	}))
	defer target.Close()

	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	host := strings.TrimPrefix(target.URL, "http://")
	d := json.NewDecoder(bytes.NewReader(bytes.ReplaceAll(text, []byte("{server}"), []byte(host))))
	d.DisallowUnknownFields()
	if err := d.Decode(&x); err != nil {
		t.Fatal(err)
	}
	var lines bytes.Buffer
	kind := builtin(&lines)[name]
	res, err := kind.Do(t.Context(), engine.Call{Via: "team",
		Key: "run-7/2", Attempt: 1, Run: "run-7", Rule: "long-session", Revision: "a41f9c2", Step: "2", Now: noon,
		Event: x.Event, Session: x.Session, With: x.With, Conn: connOf(t, kind, x.Connection), State: stateOf(x.State), Billable: !x.Test, Billing: engine.Billing{Prices: x.Prices},
	})
	if diff := cmp.Diff(x.Request, got); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
	if line := strings.TrimSpace(lines.String()); line != x.Log {
		t.Errorf("logged %s\nwant   %s", line, x.Log)
	}
	if x.Error != "" {
		d, _ := engine.RetryDelay(err)
		if err == nil || err.Error() != x.Error || engine.IsPermanent(err) != x.Permanent || x.RetryAfter != "" && d.String() != x.RetryAfter {
			t.Errorf("error %v (permanent %v, retry after %s)\nwant  %s", err, engine.IsPermanent(err), d, x.Error)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	delete(res.Headers, "date")
	for i := range res.Entries {
		if err := res.Entries[i].Charge(&res.Entries[i], x.Before); err != nil {
			t.Fatal(err)
		}
	}
	if res.Told != nil {
		res.Note, res.Body = res.Told(res.Entries)
	}
	for i := range x.Result.Emit {
		x.Result.Emit[i].Raw = x.Raw
	}
	if diff := cmp.Diff(*x.Result, res, noFunctions(), cmp.Transformer("JSON", plainJSON), cmp.Transformer("empty", noEmptyMap)); diff != "" {
		t.Errorf("result (-want +got):\n%s", diff)
	}
}

// noFunctions leaves out what the store calls.
func noFunctions() cmp.Option {
	return cmp.Options{cmpopts.IgnoreFields(engine.Result{}, "Told"), cmpopts.IgnoreFields(engine.Entry{}, "Charge", "Correct")}
}

func plainJSON(raw json.RawMessage) (v any) {
	_ = json.Unmarshal(raw, &v)
	return v
}

// noEmptyMap makes no headers and empty headers the same.
func noEmptyMap(m map[string]string) []string {
	var all []string
	for k, v := range m {
		all = append(all, k+": "+v)
	}
	slices.Sort(all)
	return all
}

// connOf fills an action's connection as rules does.
func connOf(t *testing.T, kind engine.ActionKind, from map[string]any) any {
	t.Helper()
	if kind.Conn == nil || from == nil {
		return nil
	}
	conn := reflect.New(kind.Conn)
	fillOf(t, conn.Elem(), from)
	return conn.Interface()
}

// fillOf puts what JSON says into a field of a connection.
func fillOf(t *testing.T, f reflect.Value, v any) {
	t.Helper()
	switch v := v.(type) {
	case string:
		if f.Type() == reflect.TypeFor[engine.Secret]() {
			f.Set(reflect.ValueOf(engine.NewSecret(v)))
			return
		}
		if f.Kind() == reflect.Pointer {
			f.Set(reflect.New(f.Type().Elem()))
			f = f.Elem()
		}
		f.SetString(v)
	case float64:
		f.SetInt(int64(v))
	case []any:
		f.Set(reflect.MakeSlice(f.Type(), len(v), len(v)))
		for i := range v {
			fillOf(t, f.Index(i), v[i])
		}
	case map[string]any:
		if f.Kind() == reflect.Map {
			f.Set(reflect.MakeMap(f.Type()))
			for name, x := range v {
				elem := reflect.New(f.Type().Elem()).Elem()
				fillOf(t, elem, x)
				f.SetMapIndex(reflect.ValueOf(name), elem)
			}
			return
		}
		if f.Kind() == reflect.Pointer {
			f.Set(reflect.New(f.Type().Elem()))
			f = f.Elem()
		}
		for i := range f.NumField() {
			if x, given := v[f.Type().Field(i).Tag.Get("json")]; given {
				fillOf(t, f.Field(i), x)
			}
		}
	default:
		t.Fatalf("fillOf knows no %T", v)
	}
}

type stateOf map[string]json.RawMessage

func (s stateOf) ActionState(_ context.Context, kind, key string) (json.RawMessage, error) {
	if v, ok := s[kind+" "+key]; ok {
		return v, nil
	}
	return nil, engine.ErrNotFound
}

// target is one HTTP-based way out, for the tests that hold for all of them.
type target struct {
	name string
	call func(ctx context.Context, o Options, url string) (engine.Result, error)
}

// targets send a canary secret in every way they can.
func targets(t *testing.T) []target {
	do := func(name string, conn map[string]any, with string) func(context.Context, Options, string) (engine.Result, error) {
		return func(ctx context.Context, o Options, url string) (engine.Result, error) {
			o.Version, o.Now = "test", func() time.Time { return noon }
			for _, kind := range Builtin(o) {
				if kind.Name != name {
					continue
				}
				filled := map[string]any{}
				for k, v := range conn {
					if text, ok := v.(string); ok {
						v = strings.ReplaceAll(text, "{url}", url)
					}
					filled[k] = v
				}
				return kind.Do(ctx, engine.Call{Via: "team", Key: "k", With: json.RawMessage(with), Conn: connOf(t, kind, filled), Event: &engine.Event{}, Now: noon})
			}
			return engine.Result{}, errors.New("no action " + name)
		}
	}
	return []target{
		{"http", do("http", map[string]any{"base": "{url}", "bearer": canary, "headers": map[string]any{"X-Token": canary}}, `{"post":"/x?token=q","json":{"a":1}}`)},
		{"http basic", do("http", map[string]any{"base": "{url}", "user": "u", "password": canary}, `{"get":"/x"}`)},
		{"slack", do("slack", map[string]any{"token": canary, "api": "{url}"}, `{"channel":"ops","text":"hello"}`)},
		{"slack webhook", do("slack", map[string]any{"url": "{url}/services/T0/B0/" + canary}, `{"text":"hello"}`)},
	}
}

// Every action takes a status to mean the same.
func TestStatusMatrix(t *testing.T) {
	const success, retry, never = "success", "retry", "never"
	for _, tc := range []struct {
		status int
		after  string
		want   string
		wait   time.Duration
	}{
		{200, "", success, 0},
		{301, "", never, 0}, {302, "", never, 0}, {304, "", never, 0}, {307, "", never, 0},
		{400, "", never, 0}, {401, "", never, 0}, {403, "", never, 0}, {404, "", never, 0}, {409, "", never, 0}, {410, "", never, 0}, {413, "", never, 0}, {422, "", never, 0},
		{408, "", retry, 0}, {425, "", retry, 0}, {429, "", retry, 0},
		{500, "", retry, 0}, {501, "", never, 0}, {502, "", retry, 0}, {503, "", retry, 0}, {504, "", retry, 0}, {529, "", retry, 0},
		{429, "30", retry, 30 * time.Second}, {503, "7", retry, 7 * time.Second}, {500, "1", retry, time.Second},
		{429, "Sat, 21 Nov 2026 12:01:00 GMT", retry, time.Minute},
		{429, "Thu, 01 Jan 1970 00:00:00 GMT", retry, 0},
		{429, "999999999999999999999999", retry, (1 << 31) * time.Second},
		{429, "-5", retry, 0}, {429, "soon", retry, 0}, {404, "30", never, 0},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if tc.after != "" {
				w.Header().Set("Retry-After", tc.after)
			}
			w.Header().Set("Location", "https://elsewhere.example/new?token=q")
			w.WriteHeader(tc.status)
			if tc.status == http.StatusOK {
				_, _ = io.WriteString(w, `{"ok":true,"channel":"C1","ts":"1.2"}`)
			}
		}))
		for _, target := range targets(t) {
			_, err := target.call(t.Context(), Options{AllowNet: loopback}, server.URL)
			got := retry
			switch {
			case err == nil:
				got = success
			case engine.IsPermanent(err):
				got = never
			}
			if wait, _ := engine.RetryDelay(err); got != tc.want || wait != tc.wait {
				t.Errorf("%s: %d with Retry-After %q: %s after %s, want %s after %s: %v", target.name, tc.status, tc.after, got, wait, tc.want, tc.wait, err)
			}
		}
		server.Close()
	}
}

func TestCancelled(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer server.Close()
	for _, target := range targets(t) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := target.call(ctx, Options{AllowNet: loopback}, server.URL); !errors.Is(err, context.Canceled) || engine.IsPermanent(err) || strings.Contains(err.Error(), "token=q") {
			t.Errorf("%s: %v", target.name, err)
		}
	}
}

// An error names method, host and path: a query may hold anything.
func TestErrorsHaveNoQuery(t *testing.T) {
	for _, url := range []string{"http://127.0.0.1:1", "http://[::1]:1", serveRaw(t, func(net.Conn) {})} {
		_, err := targets(t)[0].call(t.Context(), Options{AllowNet: loopback}, "http://"+strings.TrimPrefix(url, "http://"))
		if err == nil || strings.Contains(err.Error(), "token=q") || !strings.HasPrefix(err.Error(), "POST ") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// A secret is in no error, result or log line, whatever the target does with it.
func TestSecretsStayInside(t *testing.T) {
	echo := func(status int, raw bool) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			said := "you sent " + r.RequestURI + " " + r.Header.Get("Authorization") + " " + r.Header.Get("X-Token")
			if raw { // what the HTTP client itself quotes
				conn, _, err := w.(http.Hijacker).Hijack()
				if err == nil {
					_, _ = io.WriteString(conn, said+"\r\n\r\n")
					_ = conn.Close()
				}
				return
			}
			w.Header().Set("Location", "/?"+canary)
			w.Header().Set("X-Request-Id", canary)
			w.WriteHeader(status)
			_ = json.NewEncoder(w).Encode(map[string]any{"ok": false, "error": said, "authorization": r.Header.Get("Authorization")})
		}
	}
	for _, h := range []http.HandlerFunc{echo(200, false), echo(301, false), echo(404, false), echo(503, false), echo(0, true)} {
		server := httptest.NewServer(h)
		for _, target := range targets(t) {
			for _, url := range []string{server.URL, "http://127.0.0.1:1", "http://[::1]:1", "http://host.invalid:bad"} {
				res, err := target.call(t.Context(), Options{AllowNet: loopback}, url)
				seen, _ := json.Marshal(res)
				text := string(seen)
				if err != nil {
					text += err.Error()
				}
				for _, form := range []string{canary, "dTpjYW5hcnk"} { // base64 of u:canary…
					if strings.Contains(text, form) {
						t.Errorf("%s %s: %s", target.name, url, text)
					}
				}
			}
		}
		server.Close()
	}
}

// missing skips a test for want of something of this machine. In CI nothing is
// skipped: there it fails.
func missing(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}
