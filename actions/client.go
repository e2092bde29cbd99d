package actions

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/gavelhq/gavel/engine"
)

const (
	maxAnswer      = 256 << 10        // bytes of an answer that are read, after decompression
	maxHeaders     = 32 << 10         // bytes of its header
	defaultTimeout = 10 * time.Second // of an attempt, where the step gives none
)

// client makes the outbound requests of all actions. It is safe for
// concurrent use.
type client struct {
	dialer    *net.Dialer
	transport *http.Transport
	agent     string
	now       func() time.Time
	links     httpLinks
}

// newClient makes a client that calls only what o allows. resolver nil is the
// system's.
func newClient(o Options, resolver *net.Resolver) *client {
	dialer := &net.Dialer{Timeout: defaultTimeout, Resolver: resolver, Control: guard(o.AllowNet)}
	return &client{
		dialer:    dialer,
		transport: newTransport(dialer, &tls.Config{MinVersion: tls.VersionTLS12}),
		agent:     "gavel/" + o.Version,
		now:       o.Now,
	}
}

func newTransport(dialer *net.Dialer, config *tls.Config) *http.Transport {
	if len(config.Certificates) == 0 {
		config.GetClientCertificate = noCertificate
	}
	return &http.Transport{
		Proxy:                  nil, // a proxy would resolve names behind the guard's back
		DialContext:            dialer.DialContext,
		TLSClientConfig:        config,
		ForceAttemptHTTP2:      true,
		TLSHandshakeTimeout:    defaultTimeout,
		MaxResponseHeaderBytes: maxHeaders,
		// What a target sends before anybody reads it is kept in memory: of
		// HTTP/2, up to 4 MiB for each answer if nothing is said.
		HTTP2: &http.HTTP2Config{
			MaxReceiveBufferPerConnection: 1 << 20, MaxReceiveBufferPerStream: maxAnswer,
			// A connection over which nothing comes any more is given up.
			SendPingTimeout: 15 * time.Second, PingTimeout: 5 * time.Second, WriteByteTimeout: defaultTimeout,
		},
		// The engine bounds the attempts at a target; what it lets through
		// does not wait for a connection, and finds one open.
		MaxConnsPerHost:     64,
		MaxIdleConnsPerHost: 32,
		MaxIdleConns:        256,
		IdleConnTimeout:     time.Minute,
	}
}

// dial connects to an address for what is no HTTP. Only addresses that may be
// called are.
func (c *client) dial(ctx context.Context, network, address string) (net.Conn, error) {
	return c.dialer.DialContext(ctx, network, address)
}

// over is the http.Client that sends through t: no redirects, no cookies, and
// no timeout but the context's.
func over(t http.RoundTripper) *http.Client {
	return &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte // nil if it was longer than maxAnswer
	long   bool
}

// do sends req once over t, and follows no redirect. Its error is ready for the
// engine and names what, not the URL: that may hold credentials.
func (c *client) do(t http.RoundTripper, req *http.Request, what string, hide secrets) (answer, error) {
	req.Header.Set("User-Agent", c.agent)
	if hop := engine.Hop(req.Context()); hop != "" {
		req.Header.Set(engine.HopHeader, hop)
	}
	ctx, asked := noting(req.Context())
	resp, err := roundTrip(t, req.WithContext(ctx))
	if err != nil {
		return answer{}, unreachable(what, uncertified(asked.Load(), err), hide)
	}
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode, header: resp.Header}
	if a.body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1)); err != nil {
		return answer{}, unreachable(what+": the answer broke off", err, hide)
	}
	if len(a.body) > maxAnswer {
		a.body, a.long = nil, true
	}
	a.body = hide.inAnswer(a.body)
	return a, nil
}

// roundTrip sends req over t. Its answer ends with the request's context, which
// net/http does not see to in HTTP/2: while a target takes no more of a request's
// body, and sends its answer a byte at a time, nobody looks at the context.
func roundTrip(t http.RoundTripper, req *http.Request) (*http.Response, error) {
	resp, err := t.RoundTrip(req)
	if err != nil || resp.ProtoMajor < 2 {
		return resp, err
	}
	body := resp.Body
	stop := context.AfterFunc(req.Context(), func() { _ = body.Close() })
	resp.Body = &endingBody{body, req.Context(), stop}
	return resp, nil
}

// endingBody is a body that is closed when ctx ends.
type endingBody struct {
	io.ReadCloser
	ctx  context.Context
	stop func() bool
}

func (b *endingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) && b.ctx.Err() != nil {
		err = b.ctx.Err()
	}
	return n, err
}

func (b *endingBody) Close() error {
	b.stop()
	return b.ReadCloser.Close()
}

// within gives ctx the default deadline unless the step brought one.
func within(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, defaultTimeout)
}

// refusal classifies an answer that is no success. said is what the target
// gave as its reason.
func refusal(what string, status int, header http.Header, now time.Time, said string, hide secrets) error {
	text := what + ": " + statusText(status)
	if to, err := url.Parse(header.Get("Location")); err == nil && status/100 == 3 && to.Path+to.Host != "" {
		text += " to " + to.Host + to.EscapedPath() + ": redirects are not followed, use the new address"
	}
	if said != "" {
		text += ": " + said
	}
	err := errors.New(hide.in(text))
	if !passing(status) {
		return engine.Permanent(err)
	}
	if d, ok := retryAfter(header, now); ok {
		return engine.RetryAfter(err, d)
	}
	return err
}

// statusText is "404 Not Found", or the number alone where it has no name.
func statusText(status int) string {
	return strings.TrimSpace(fmt.Sprint(status, " ", http.StatusText(status)))
}

// passing reports whether the same request may fare better later.
func passing(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	case http.StatusNotImplemented:
		return false
	}
	return status >= 500 && status < 600
}

// retryAfter reads seconds or a date (RFC 9110, 10.2.3). The engine clamps it.
func retryAfter(h http.Header, now time.Time) (time.Duration, bool) {
	text := h.Get("Retry-After")
	if n, err := strconv.ParseUint(text, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(n, 1<<31)) * time.Second, true
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(at.Sub(now), 0), true
	}
	return 0, false
}

// excerpt is the start of an answer for an error text: one line of printable
// characters.
func excerpt(body []byte) string {
	const most = 200
	line := strings.Join(strings.FieldsFunc(string(body[:min(len(body), 4*most)]), func(r rune) bool {
		return !unicode.IsPrint(r) || r == ' ' || r == unicode.ReplacementChar
	}), " ")
	if runes := []rune(line); len(runes) > most {
		line = string(runes[:most]) + "…"
	}
	return line
}

// worded is err in other words.
type worded struct {
	text string
	error
}

func (e *worded) Error() string { return e.text }
func (e *worded) Unwrap() error { return e.error }

// secrets are texts that must not show up in what is stored, wherever a target
// puts them.
type secrets []string

func (s secrets) in(text string) string {
	if len(s) == 0 {
		return text
	}
	return string(s.inBytes([]byte(text)))
}

func (s secrets) inBytes(text []byte) []byte {
	for _, x := range s {
		if len(x) >= 6 { // shorter ones would blank out half of an ordinary text
			text = bytes.ReplaceAll(text, []byte(x), []byte("redacted"))
		}
	}
	return text
}

// permanent is short for a failure of the step's own making.
func permanent(format string, args ...any) error {
	return engine.Permanent(fmt.Errorf(format, args...))
}
