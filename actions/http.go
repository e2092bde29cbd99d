package actions

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
)

type httpParams struct {
	Get       string            `json:"get" doc:"address of a GET request: a path under the connection's base, or a whole URL; inserted text is percent-encoded" gavel:"escape"`
	Post      string            `json:"post" doc:"address of a POST request" gavel:"escape"`
	Put       string            `json:"put" doc:"address of a PUT request" gavel:"escape"`
	Patch     string            `json:"patch" doc:"address of a PATCH request" gavel:"escape"`
	Delete    string            `json:"delete" doc:"address of a DELETE request" gavel:"escape"`
	Head      string            `json:"head" doc:"address of a HEAD request" gavel:"escape"`
	URL       string            `json:"url" doc:"address of a request with any other method" gavel:"escape"`
	Method    string            `json:"method" doc:"the method for url, such as PROPFIND"`
	Query     map[string]string `json:"query" doc:"query parameters, added to those of the address"`
	Headers   map[string]string `json:"headers" doc:"request headers; credentials belong in a connection"`
	JSON      any               `json:"json" doc:"the body, sent as JSON"`
	Form      map[string]string `json:"form" doc:"the body, sent as a form"`
	Multipart map[string]any    `json:"multipart" doc:"the body, sent as multipart/form-data: fields by name, each a text or a file as { filename, type, text }"`
	Body      string            `json:"body" doc:"the body as text; its type is text/plain unless headers say otherwise"`
	OK        engine.Success    `json:"ok" doc:"the statuses that are a success, default 200 to 299; or a condition, such as response.status < 300 and response.body.accepted == true"`
	Redirects int               `json:"redirects" doc:"how many redirects are followed, at most 10; default 0" gavel:"inherit"`
}

// httpAction calls another service. Every attempt of a step carries the same
// Idempotency-Key, so a target that knows the header acts once.
func httpAction(out *client) engine.ActionKind {
	return engine.ActionKind{
		Name:     "http",
		Doc:      "calls another service and keeps its answer for the steps after it",
		Params:   reflect.TypeFor[httpParams](),
		Conn:     reflect.TypeFor[httpConn](),
		Escape:   escapeURL,
		Check:    checkHTTP,
		Target:   httpTarget,
		Answered: answeredHTTP,
		Service:  httpService,
		AtOnce:   httpAtOnce,
		Probe: func(ctx context.Context, in engine.ProbeInput) []engine.Finding {
			return probeHTTP(ctx, out, in)
		},
		Do: func(ctx context.Context, c engine.Call) (engine.Result, error) { return callHTTP(ctx, out, c) },
	}
}

// httpCall is the parameters of an attempt. JSON stays as it was rendered:
// decoding it into Go values would round numbers beyond 2^53.
type httpCall struct {
	httpParams
	JSON      json.RawMessage            `json:"json"`
	Multipart map[string]json.RawMessage `json:"multipart"`
}

func callHTTP(ctx context.Context, out *client, c engine.Call) (engine.Result, error) {
	var p httpCall
	if err := json.Unmarshal(c.With, &p); err != nil {
		return engine.Result{}, permanent("http: parameters do not fit: %w", err)
	}
	conn, _ := c.Conn.(*httpConn)
	ctx, cancel := within(ctx)
	defer cancel()
	o, err := p.request(c.Key, conn)
	if err != nil {
		return engine.Result{}, engine.Permanent(err)
	}
	l, err := out.link(c.Via, conn)
	if err != nil {
		return engine.Result{}, engine.Permanent(err)
	}
	x := &httpExchange{client: out, link: l, hide: l.hide}
	a, err := x.send(ctx, o, p.Redirects)
	if err != nil {
		return engine.Result{}, err
	}
	res := engine.Result{
		Status:  a.status,
		Body:    asJSON(a.body),
		Headers: kept(a.header, x.hide),
		Note:    x.what + ": " + statusText(a.status),
	}
	if err := p.refused(c, res, x.what, a, out.now(), x.hide); err != nil {
		return engine.Result{}, err
	}
	if a.long {
		res.Note += fmt.Sprintf(", its answer is longer than %d KiB and was not kept", maxAnswer>>10)
	}
	return res, nil
}

// httpTarget is the method and host of a request.
func httpTarget(with json.RawMessage, conn any) string {
	var p httpCall
	if json.Unmarshal(with, &p) != nil {
		return ""
	}
	method, address, err := p.address()
	if err != nil {
		return ""
	}
	c, _ := conn.(*httpConn)
	u, err := resolve(address, c)
	if err != nil {
		return method
	}
	return method + " " + u.Host
}

// httpService is the scheme, host and port of a request.
func httpService(_ string, with json.RawMessage, conn any) string {
	var p httpCall
	if json.Unmarshal(with, &p) != nil {
		return ""
	}
	_, address, err := p.address()
	if err != nil {
		return ""
	}
	c, _ := conn.(*httpConn)
	u, err := resolve(address, c)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + strings.ToLower(u.Host)
}

// httpAtOnce is how many requests at once a connection allows.
func httpAtOnce(conn any) int {
	c, _ := conn.(*httpConn)
	if c == nil || c.AtOnce == nil {
		return 0
	}
	return *c.AtOnce
}

// answeredHTTP is what a request makes of an answer.
func answeredHTTP(c engine.Call, res engine.Result) error {
	var p httpCall
	if err := json.Unmarshal(c.With, &p); err != nil {
		return permanent("http: parameters do not fit: %w", err)
	}
	method, address, err := p.address()
	if err != nil {
		return engine.Permanent(err)
	}
	path, _, _ := strings.Cut(address, "?")
	return p.refused(c, res, method+" "+path, answer{status: res.Status}, time.Time{}, nil)
}

// refused is the failure that an answer is, nil if it is none.
func (p httpCall) refused(c engine.Call, res engine.Result, what string, a answer, now time.Time, hide secrets) error {
	said := excerpt(a.body)
	switch {
	case p.OK.If != "":
		if c.Accepts == nil {
			return permanent("%s: the condition of ok is not known any more", what)
		}
		ok, err := c.Accepts(res)
		switch {
		case err != nil:
			said = strings.TrimSuffix("ok: "+err.Error()+": "+said, ": ")
		case ok:
			return nil
		default:
			said = strings.TrimSuffix("the condition of ok is false: "+said, ": ")
		}
	case len(p.OK.Statuses) == 0 && a.status/100 == 2, slices.Contains(p.OK.Statuses, a.status):
		return nil
	}
	return refusal(what, a.status, a.header, now, said, hide)
}

// address is the one method that is given, and its value.
func (p httpParams) address() (method, address string, err error) {
	for _, m := range []struct{ method, address string }{
		{http.MethodGet, p.Get}, {http.MethodPost, p.Post}, {http.MethodPut, p.Put}, {http.MethodPatch, p.Patch}, {http.MethodDelete, p.Delete},
		{http.MethodHead, p.Head}, {p.Method, p.URL},
	} {
		if m.address == "" {
			continue
		}
		if address != "" {
			return "", "", fmt.Errorf("%s and %s are both given: one request is one step", strings.ToLower(method), cmp.Or(strings.ToLower(m.method), "url"))
		}
		method, address = m.method, m.address
	}
	switch {
	case address == "":
		return "", "", fmt.Errorf("no address: give one of %s", strings.Join(methods(), ", "))
	case p.URL == "" && p.Method != "":
		return "", "", fmt.Errorf("a method is for url, and %s is given", strings.ToLower(method))
	case p.URL != "":
		if problem := methodProblem(p.Method); problem != "" {
			return "", "", fmt.Errorf("%s", problem)
		}
	}
	return strings.ToUpper(method), address, nil
}

// methodProblem says what is wrong with a method, "" if nothing is.
func methodProblem(method string) string {
	switch m := strings.ToUpper(method); {
	case m == "":
		return "url is given without a method"
	case m == http.MethodConnect || m == http.MethodTrace:
		return m + " is no method for a step"
	case strings.ContainsFunc(m, func(r rune) bool { return r != '-' && (r < 'A' || r > 'Z') }):
		return fmt.Sprintf("%q is not a method", method)
	}
	return ""
}

func methods() []string { return []string{"get", "post", "put", "patch", "delete", "head", "url"} }

// kept are the headers of an answer, by their names in lower case. What is
// about the connection and the length is not for the rules, and what a browser
// would keep to itself is for nobody.
func kept(h http.Header, hide secrets) map[string]string {
	const most, mostBytes = 64, 8 << 10
	names := make([]string, 0, len(h))
	for name := range h {
		if !unkept(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names) // the same ones each time, where there are too many
	all := make(map[string]string, len(names))
	size := 0
	for _, name := range names[:min(len(names), most)] {
		value := strings.ToValidUTF8(hide.in(strings.Join(h[name], ", ")), "\uFFFD")
		if size += len(name) + len(value); size > mostBytes {
			break
		}
		all[strings.ToLower(name)] = value
	}
	return all
}

func unkept(canonical string) bool {
	switch canonical {
	case "Set-Cookie", "Set-Cookie2", "Authorization", "Authentication-Info", "Www-Authenticate",
		"Connection", "Keep-Alive", "Transfer-Encoding", "Trailer", "Upgrade", "Content-Length", "Content-Encoding":
		return true
	}
	return strings.HasPrefix(canonical, "Proxy-")
}

// asJSON is body itself if it is JSON, else a JSON string of it; nil if empty.
func asJSON(body []byte) json.RawMessage {
	body = bytes.TrimSpace(body)
	if len(body) == 0 {
		return nil
	}
	if json.Valid(body) {
		return body
	}
	text, _ := json.Marshal(strings.ToValidUTF8(string(body), "\uFFFD")) // a string always marshals
	return text
}
