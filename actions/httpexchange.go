package actions

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gavelhq/gavel/engine"
)

// maxRedirects bounds how many redirects a step can ask for.
const maxRedirects = 10

// httpExchange is one attempt: the requests it takes until there is an answer.
type httpExchange struct {
	client *client
	link   *httpLink
	home   bool   // it began under the connection's base: its credentials are sent
	what   string // the request at hand, for people
	hide   secrets
}

// send sends o, and follows at most that many redirects.
func (x *httpExchange) send(ctx context.Context, o httpRequest, redirects int) (answer, error) {
	x.home = x.link.covers(o.url)
	for followed := 0; ; followed++ {
		x.what = x.hide.in(o.what())
		a, err := x.authorized(ctx, o)
		if err != nil || redirects == 0 || !redirect(a) {
			return a, err
		}
		if followed == redirects {
			err = fmt.Errorf("it redirects again after %d redirects", followed)
		} else {
			o, err = x.redirected(o, a)
		}
		if err != nil {
			return a, engine.Permanent(errors.New(x.hide.in(x.what + ": " + statusText(a.status) + ": " + err.Error())))
		}
	}
}

// authorized sends o with a token, if the connection fetches one. A token from
// before that is refused has been withdrawn: it is fetched anew, once.
func (x *httpExchange) authorized(ctx context.Context, o httpRequest) (answer, error) {
	if !x.home || x.link.tokens == nil {
		return x.once(ctx, o, "")
	}
	for again := false; ; again = true {
		t, kept, err := x.link.tokens.get(ctx, x.client, x.link.hide)
		if err != nil {
			return answer{}, &worded{x.what + ": " + err.Error(), err}
		}
		x.hide = slices.Concat(t.hide, x.link.hide)
		a, err := x.once(ctx, o, t.text)
		if err != nil || a.status != http.StatusUnauthorized || !kept || again {
			return a, err
		}
		x.link.tokens.drop(ctx, t)
	}
}

// once sends o.
func (x *httpExchange) once(ctx context.Context, o httpRequest, bearer string) (answer, error) {
	req, err := o.request(ctx)
	if err != nil {
		return answer{}, engine.Permanent(err)
	}
	transport := x.client.transport
	if x.home {
		transport = x.link.transport
		if err := x.link.conn.authorize(req); err != nil {
			return answer{}, engine.Permanent(err)
		}
		if bearer != "" {
			req.Header.Set("Authorization", "Bearer "+bearer)
		}
		if err := x.link.conn.Sign.sign(req.Header, o.key, x.client.now(), o.body); err != nil {
			return answer{}, engine.Permanent(err)
		}
	}
	return x.client.do(transport, req, x.what, x.hide)
}

// redirect reports whether an answer sends the request elsewhere.
func redirect(a answer) bool {
	switch a.status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return a.header.Get("Location") != ""
	}
	return false
}

// redirected is the request for where an answer sends o (RFC 9110, 15.4).
func (x *httpExchange) redirected(o httpRequest, a answer) (httpRequest, error) {
	to, err := destination(o.url, a.header.Get("Location"))
	if err != nil {
		return o, err
	}
	where := to.Host + to.EscapedPath()
	if x.home && !x.link.covers(to) {
		if x.link.conn.credentials() {
			return o, fmt.Errorf("it redirects to %s, which is not under the connection's base: its credentials are not sent there, use the new address", where)
		}
		x.home = false // whom its tls trusts is for the base, too
	}
	next := o
	next.url = to
	safe := o.method == http.MethodGet || o.method == http.MethodHead
	switch {
	case safe:
	case a.status == http.StatusSeeOther:
		next.method, next.body, next.contentType = http.MethodGet, nil, ""
	case a.status == http.StatusMovedPermanently || a.status == http.StatusFound:
		return o, fmt.Errorf("it redirects to %s, and %d does not say if a %s is to be sent again there: use the new address", where, a.status, o.method)
	}
	if to.Scheme == o.url.Scheme && strings.EqualFold(to.Host, o.url.Host) {
		return next, nil
	}
	if next.method != http.MethodGet && next.method != http.MethodHead {
		return o, fmt.Errorf("it redirects to another host, %s: a %s is not sent on there, use the new address", where, o.method)
	}
	next.headers, next.key = nil, "" // they were for the first host
	return next, nil
}

// destination is where a redirect leads.
func destination(from *url.URL, location string) (*url.URL, error) {
	to, err := from.Parse(location)
	if err != nil || to.Scheme != "http" && to.Scheme != "https" || to.Hostname() == "" {
		return nil, errors.New("it redirects to nothing that can be called")
	}
	to.Fragment, to.RawFragment = "", ""
	if to.User != nil {
		return nil, errors.New("it redirects to an address with a user name")
	}
	if segment, ok := dotSegment(to); ok {
		return nil, fmt.Errorf("it redirects to a path with a %q segment", segment)
	}
	if from.Scheme == "https" && to.Scheme == "http" {
		return nil, fmt.Errorf("it redirects from https:// to http://%s, where anyone on the way could read along", to.Host)
	}
	return to, nil
}
