package actions

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
)

type httpParams struct {
	Get     string            `json:"get" doc:"address of a GET request: a path under the connection's base, or a whole URL; inserted text is percent-encoded" gavel:"escape"`
	Post    string            `json:"post" doc:"address of a POST request" gavel:"escape"`
	Put     string            `json:"put" doc:"address of a PUT request" gavel:"escape"`
	Patch   string            `json:"patch" doc:"address of a PATCH request" gavel:"escape"`
	Delete  string            `json:"delete" doc:"address of a DELETE request" gavel:"escape"`
	Query   map[string]string `json:"query" doc:"query parameters, added to those of the address"`
	Headers map[string]string `json:"headers" doc:"request headers; credentials belong in a connection"`
	JSON    any               `json:"json" doc:"the body, sent as JSON"`
	Form    map[string]string `json:"form" doc:"the body, sent as a form"`
	Body    string            `json:"body" doc:"the body as text; its type is text/plain unless headers say otherwise"`
	OK      []int             `json:"ok" doc:"the statuses that are a success; default 200 to 299"`
}

type httpConn struct {
	Base     string                   `json:"base" doc:"what every path is appended to, such as https://crm.example.com/api" gavel:"required"`
	Headers  map[string]engine.Secret `json:"headers" doc:"headers sent to this base and nowhere else, such as Authorization: env:CRM_TOKEN"`
	Bearer   engine.Secret            `json:"bearer" doc:"token for Authorization: Bearer"`
	User     string                   `json:"user" doc:"name for Authorization: Basic"`
	Password engine.Secret            `json:"password" doc:"password for Authorization: Basic"`
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
		Do:       func(ctx context.Context, c engine.Call) (engine.Result, error) { return callHTTP(ctx, out, c) },
	}
}

// httpCall is the parameters of an attempt. JSON stays as it was rendered:
// decoding it into Go values would round numbers beyond 2^53.
type httpCall struct {
	httpParams
	JSON json.RawMessage `json:"json"`
}

func callHTTP(ctx context.Context, out *client, c engine.Call) (engine.Result, error) {
	var p httpCall
	if err := json.Unmarshal(c.With, &p); err != nil {
		return engine.Result{}, permanent("http: parameters do not fit: %w", err)
	}
	conn, _ := c.Conn.(*httpConn)
	ctx, cancel := within(ctx)
	defer cancel()
	req, err := p.request(ctx, c.Key, conn)
	if err != nil {
		return engine.Result{}, engine.Permanent(err)
	}
	hide := conn.secrets()
	what := hide.in(req.Method + " " + req.URL.Host + req.URL.EscapedPath())
	a, err := out.do(req, what, hide)
	if err != nil {
		return engine.Result{}, err
	}
	if err := p.refused(what, a, out.now(), hide); err != nil {
		return engine.Result{}, err
	}
	res := engine.Result{
		Status:  a.status,
		Body:    asJSON(a.body),
		Headers: kept(a.header, hide),
		Note:    what + ": " + statusText(a.status),
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

// refused is the failure that an answer is, nil if it is none.
func (p httpParams) refused(what string, a answer, now time.Time, hide secrets) error {
	if p.ok(a.status) {
		return nil
	}
	return refusal(what, a.status, a.header, now, excerpt(a.body), hide)
}

// answeredHTTP is what a request makes of a status alone.
func answeredHTTP(with json.RawMessage, status int) error {
	var p httpCall
	if err := json.Unmarshal(with, &p); err != nil {
		return permanent("http: parameters do not fit: %w", err)
	}
	method, address, err := p.address()
	if err != nil {
		return engine.Permanent(err)
	}
	path, _, _ := strings.Cut(address, "?")
	return p.refused(method+" "+path, answer{status: status}, time.Time{}, nil)
}

func (p httpParams) ok(status int) bool {
	if len(p.OK) == 0 {
		return status/100 == 2
	}
	return slices.Contains(p.OK, status)
}

// address is the one method that is given, and its value.
func (p httpParams) address() (method, address string, err error) {
	for _, m := range []struct{ method, address string }{
		{http.MethodGet, p.Get}, {http.MethodPost, p.Post}, {http.MethodPut, p.Put}, {http.MethodPatch, p.Patch}, {http.MethodDelete, p.Delete},
	} {
		if m.address == "" {
			continue
		}
		if method != "" {
			return "", "", fmt.Errorf("%s and %s are both given: one request is one step", strings.ToLower(method), strings.ToLower(m.method))
		}
		method, address = m.method, m.address
	}
	if method == "" {
		return "", "", fmt.Errorf("no address: give one of %s", strings.Join(methods(), ", "))
	}
	return method, address, nil
}

func (p httpCall) request(ctx context.Context, key string, conn *httpConn) (*http.Request, error) {
	method, address, err := p.address()
	if err != nil {
		return nil, err
	}
	u, err := resolve(address, conn)
	if err != nil {
		return nil, err
	}
	u.RawQuery = joinQuery(u.RawQuery, p.Query)
	body, contentType, err := p.payload()
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, "", bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%s %s: the request cannot be made", method, u.Host)
	}
	req.URL, req.Host = u, u.Host
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	req.Header.Set("Accept", "application/json, */*;q=0.5")
	for name, value := range p.Headers {
		if problem := headerProblem(name, value); problem != "" {
			return nil, fmt.Errorf("headers: %s", problem)
		}
		req.Header.Set(name, value)
	}
	if conn.covers(u) {
		if err := conn.authorize(req); err != nil {
			return nil, err
		}
	}
	req.Header.Set("Idempotency-Key", key)
	return req, nil
}

// payload is the request's body.
func (p httpCall) payload() (body []byte, contentType string, err error) {
	given := 0
	if p.JSON != nil {
		given++
		body, contentType = p.JSON, "application/json"
	}
	if p.Form != nil {
		given++
		body, contentType = []byte(form(p.Form).Encode()), "application/x-www-form-urlencoded"
	}
	if p.Body != "" {
		given++
		body, contentType = []byte(p.Body), "text/plain; charset=utf-8"
	}
	if given > 1 {
		return nil, "", fmt.Errorf("the body is given twice: use one of json, form and body")
	}
	return body, contentType, nil
}

// resolve makes the URL of a request. With a connection a path is appended to
// its base, as text, so that nothing in the path can lead to another host.
func resolve(address string, conn *httpConn) (*url.URL, error) {
	if strings.HasPrefix(address, "/") {
		if conn == nil || conn.Base == "" {
			return nil, fmt.Errorf("%q is a path, and there is no connection with a base to append it to", excerpt([]byte(address)))
		}
		address = strings.TrimSuffix(conn.Base, "/") + address
	}
	u, err := url.Parse(address)
	if err != nil || !slices.Contains([]string{"http", "https"}, u.Scheme) || u.Hostname() == "" {
		return nil, fmt.Errorf("the address is neither a path beginning with / nor a URL such as https://example.com/path")
	}
	if u.User != nil {
		return nil, fmt.Errorf("the address holds a user name: credentials belong in a connection (user, password)")
	}
	for segment := range strings.SplitSeq(u.Path, "/") {
		if segment == "." || segment == ".." {
			return nil, fmt.Errorf("the path has a %q segment: it would lead elsewhere", segment)
		}
	}
	if strings.Contains(u.Path, "\x00") {
		return nil, fmt.Errorf("a value inserted into the path is empty or has a NUL in it: guard the step with an if")
	}
	u.RawQuery = strings.ReplaceAll(u.RawQuery, emptyValue, "")
	return u, nil
}

// emptyValue stands for an inserted text that is empty. In a path it is an
// error ("delete: /users/${participant.id}" must never become DELETE /users/),
// in a query it is taken out again.
const emptyValue = "%00"

// escapeURL percent-encodes all but what is unreserved in every part of a URL.
// The dot is encoded too: no inserted text makes a host name or a dot segment.
func escapeURL(_, text string) string {
	if text == "" {
		return emptyValue
	}
	return strings.ReplaceAll(strings.ReplaceAll(url.QueryEscape(text), "+", "%20"), ".", "%2E")
}

func form(values map[string]string) url.Values {
	v := url.Values{}
	for name, value := range values {
		v.Set(name, value)
	}
	return v
}

func joinQuery(raw string, more map[string]string) string {
	added := form(more).Encode()
	if raw != "" && added != "" {
		return raw + "&" + added
	}
	return raw + added
}

// headerProblem says what is wrong with a header, "" if nothing is.
func headerProblem(name, value string) string {
	if !headerName(name) {
		return fmt.Sprintf("%q is not a header name", name)
	}
	switch http.CanonicalHeaderKey(name) {
	case "Idempotency-Key", "Host", "Content-Length", "Transfer-Encoding", "Connection", "Upgrade", "Trailer", "Te":
		return name + " is set by gavel itself"
	}
	if hasControl(value) {
		return name + " has a line break or another control character in its value"
	}
	return ""
}

// headerName and hasControl say beforehand, and with words for an admin, what
// net/http would refuse (RFC 9110, 5.1 and 5.5).
func headerName(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}

func hasControl(value string) bool {
	return strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}

// covers reports whether u is under the connection's base: only there do its
// credentials go.
func (c *httpConn) covers(u *url.URL) bool {
	if c == nil {
		return false
	}
	base, err := url.Parse(c.Base)
	if err != nil || base.Scheme != u.Scheme || !strings.EqualFold(base.Host, u.Host) {
		return false
	}
	root := strings.TrimSuffix(base.EscapedPath(), "/")
	return u.EscapedPath() == root || strings.HasPrefix(u.EscapedPath(), root+"/")
}

func (c *httpConn) authorize(req *http.Request) error {
	for name, value := range c.Headers {
		if problem := headerProblem(name, value.Reveal()); problem != "" {
			return fmt.Errorf("the connection's headers: %s", problem)
		}
		req.Header.Set(name, value.Reveal())
	}
	switch {
	case !c.Bearer.IsZero():
		if hasControl(c.Bearer.Reveal()) {
			return fmt.Errorf("the connection's bearer has a line break or another control character in it")
		}
		req.Header.Set("Authorization", "Bearer "+c.Bearer.Reveal())
	case c.User != "":
		req.SetBasicAuth(c.User, c.Password.Reveal())
	}
	return nil
}

// secrets are the texts of c that no error and no stored answer may hold.
func (c *httpConn) secrets() secrets {
	if c == nil {
		return nil
	}
	var s secrets
	for _, value := range c.Headers {
		text := value.Reveal()
		if _, token, ok := strings.Cut(text, " "); ok {
			s = append(s, text, token) // "Bearer x": x alone, too
		} else {
			s = append(s, text)
		}
	}
	if c.User != "" {
		s = append(s, base64.StdEncoding.EncodeToString([]byte(c.User+":"+c.Password.Reveal())))
	}
	s = append(s, c.Bearer.Reveal(), c.Password.Reveal())
	slices.SortFunc(s, func(a, b string) int { return cmp.Compare(len(b), len(a)) }) // whole before part
	return s
}

// kept are the headers of an answer that a later step may need.
func kept(h http.Header, hide secrets) map[string]string {
	out := map[string]string{}
	for _, x := range [...]struct{ name, canonical string }{
		{"content-type", "Content-Type"}, {"date", "Date"}, {"etag", "Etag"}, {"last-modified", "Last-Modified"}, {"link", "Link"},
		{"location", "Location"}, {"request-id", "Request-Id"}, {"x-request-id", "X-Request-Id"},
	} {
		if values := h[x.canonical]; len(values) > 0 && values[0] != "" {
			out[x.name] = hide.in(values[0])
		}
	}
	return out
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

func methods() []string { return []string{"get", "post", "put", "patch", "delete"} }
