package actions

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gavelhq/gavel/engine"
)

// httpRequest is a request before it has credentials. It can be made as often as
// an attempt needs it: with a new token, or for where a redirect leads.
type httpRequest struct {
	method      string
	url         *url.URL
	headers     map[string]string
	body        []byte
	contentType string
	key         string // "": without an Idempotency-Key
}

func (p httpCall) request(key string, conn *httpConn) (httpRequest, error) {
	method, address, err := p.address()
	if err != nil {
		return httpRequest{}, err
	}
	u, err := resolve(address, conn)
	if err != nil {
		return httpRequest{}, err
	}
	u.RawQuery = joinQuery(u.RawQuery, p.Query)
	body, contentType, err := p.payload(key)
	if err != nil {
		return httpRequest{}, err
	}
	for name, value := range p.Headers {
		if problem := headerProblem(name, value); problem != "" {
			return httpRequest{}, fmt.Errorf("headers: %s", problem)
		}
	}
	if p.Redirects < 0 || p.Redirects > maxRedirects {
		return httpRequest{}, fmt.Errorf("redirects: %d is not from 0 to %d", p.Redirects, maxRedirects)
	}
	return httpRequest{method: method, url: u, headers: p.Headers, body: body, contentType: contentType, key: key}, nil
}

// what names the request for people.
func (o httpRequest) what() string { return o.method + " " + o.url.Host + o.url.EscapedPath() }

// request makes the request, without credentials.
func (o httpRequest) request(ctx context.Context) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, o.method, "", bytes.NewReader(o.body))
	if err != nil {
		return nil, fmt.Errorf("%s %s: the request cannot be made", o.method, o.url.Host)
	}
	req.URL, req.Host = o.url, o.url.Host
	if o.contentType != "" {
		req.Header.Set("Content-Type", o.contentType)
	}
	req.Header.Set("Accept", "application/json, */*;q=0.5")
	for name, value := range o.headers {
		req.Header.Set(name, value)
	}
	if o.key != "" {
		req.Header.Set("Idempotency-Key", o.key)
	}
	return req, nil
}

// payload is the request's body.
func (p httpCall) payload(key string) (body []byte, contentType string, err error) {
	given := 0
	if p.JSON != nil {
		given++
		body, contentType = p.JSON, "application/json"
	}
	if p.Form != nil {
		given++
		body, contentType = []byte(form(p.Form).Encode()), "application/x-www-form-urlencoded"
	}
	if p.Multipart != nil {
		given++
		if body, contentType, err = multipartBody(p.Multipart, key); err != nil {
			return nil, "", fmt.Errorf("multipart: %w", err)
		}
	}
	if p.Body != "" {
		given++
		body, contentType = []byte(p.Body), "text/plain; charset=utf-8"
	}
	if given > 1 {
		return nil, "", fmt.Errorf("the body is given twice: use one of %s", strings.Join(bodies(), ", "))
	}
	return body, contentType, nil
}

func bodies() []string { return []string{"json", "form", "multipart", "body"} }

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
	if segment, ok := dotSegment(u); ok {
		return nil, fmt.Errorf("the path has a %q segment: it would lead elsewhere", segment)
	}
	if strings.Contains(u.Path, "\x00") {
		return nil, fmt.Errorf("a value inserted into the path is empty or has a NUL in it: guard the step with an if")
	}
	u.RawQuery = strings.ReplaceAll(u.RawQuery, emptyValue, "")
	return u, nil
}

// dotSegment is a segment of the path that servers resolve, each at a time of
// its own: before or after they decode it.
func dotSegment(u *url.URL) (string, bool) {
	for segment := range strings.SplitSeq(u.Path, "/") {
		if segment == "." || segment == ".." {
			return segment, true
		}
	}
	return "", false
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
	case "Idempotency-Key", engine.HopHeader, "Host", "Content-Length", "Transfer-Encoding", "Connection", "Upgrade", "Trailer", "Te":
		return name + " is set by gavel itself"
	}
	if hasControl(value) {
		return name + " has a line break or another control character in its value"
	}
	return ""
}

// headerHint says what to write instead of a header that is gavel's own.
func headerHint(name string) string {
	switch http.CanonicalHeaderKey(name) {
	case "Idempotency-Key":
		return "leave it out: it is the same on every attempt of a step, and another one for every step"
	case "Host":
		return "leave it out: it is the host of the address"
	case engine.HopHeader, "Content-Length", "Transfer-Encoding", "Connection", "Upgrade", "Trailer", "Te":
		return "leave it out"
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
