package actions

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/gavelhq/gavel/engine"
)

// oauthTokens fetches the token of a connection, by client credentials (RFC 6749,
// 4.4), and keeps it. It is safe for concurrent use: one caller fetches, the
// others wait.
type oauthTokens struct {
	from clientcredentials.Config
	host string        // that gives them out, for people
	turn chan struct{} // holds one, which is taken while have is used
	have oauthToken
}

// oauthToken is what was fetched.
type oauthToken struct {
	text  string
	until time.Time // zero: nobody said
	hide  secrets
}

func newTokens(o *httpOAuth) *oauthTokens {
	t := &oauthTokens{turn: make(chan struct{}, 1), from: clientcredentials.Config{
		ClientID: o.ClientID, ClientSecret: o.ClientSecret.Reveal(), TokenURL: o.TokenURL, Scopes: o.Scopes, AuthStyle: oauth2.AuthStyleInHeader,
	}}
	if o.Audience != "" {
		t.from.EndpointParams = url.Values{"audience": {o.Audience}}
	}
	if o.Auth == "body" {
		t.from.AuthStyle = oauth2.AuthStyleInParams
	}
	if u, err := url.Parse(o.TokenURL); err == nil {
		t.host = u.Host
	}
	return t
}

func (t oauthToken) good(now time.Time) bool {
	return t.text != "" && (t.until.IsZero() || now.Before(t.until))
}

// goodUntil is until when a token is used: it is to be good when it arrives.
func goodUntil(end, now time.Time) time.Time {
	return end.Add(-min(time.Minute, end.Sub(now)/2))
}

// get is a token that is good for a while. kept: it was fetched before.
func (t *oauthTokens) get(ctx context.Context, c *client, hide secrets) (have oauthToken, kept bool, err error) {
	select {
	case t.turn <- struct{}{}:
		defer func() { <-t.turn }()
	case <-ctx.Done():
		return oauthToken{}, false, unreachable("token from "+t.host, ctx.Err(), nil)
	}
	if t.have.good(c.now()) {
		return t.have, true, nil
	}
	t.have, err = t.fetch(ctx, c, hide)
	return t.have, false, err
}

// drop forgets a token that was refused, unless there is another one by now.
func (t *oauthTokens) drop(ctx context.Context, refused oauthToken) {
	select {
	case t.turn <- struct{}{}:
		defer func() { <-t.turn }()
	case <-ctx.Done():
		return
	}
	if t.have.text == refused.text {
		t.have = oauthToken{}
	}
}

// fetch asks for a token.
func (t *oauthTokens) fetch(ctx context.Context, c *client, hide secrets) (oauthToken, error) {
	what := "token from " + t.host
	over := over(roundTripper(func(req *http.Request) (*http.Response, error) {
		a, err := c.do(c.transport, req.Clone(ctx), what, hide)
		if err != nil {
			return nil, err
		}
		if bytes.HasPrefix(a.body, []byte("{")) { // not all of them say so
			a.header.Set("Content-Type", "application/json")
		}
		return &http.Response{StatusCode: a.status, Header: a.header, Body: io.NopCloser(bytes.NewReader(a.body))}, nil
	}))
	got, err := t.from.Token(context.WithValue(ctx, oauth2.HTTPClient, over))
	var refused *oauth2.RetrieveError
	var failed *url.Error
	switch {
	case errors.As(err, &refused):
		return oauthToken{}, t.refused(what, refused, c.now())
	case errors.As(err, &failed):
		return oauthToken{}, failed.Err
	case err != nil, !strings.EqualFold(got.Type(), "bearer"), hasControl(got.AccessToken):
		return oauthToken{}, permanent("%s: what it answers is no bearer token: is token_url right?", what)
	}
	have := oauthToken{text: got.AccessToken, hide: hidden(got.AccessToken)}
	if !got.Expiry.IsZero() {
		have.until = goodUntil(got.Expiry, c.now())
	}
	return have, nil
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// errorCode is an error as RFC 6749, 5.2 has them: what else stands there may
// hold anything.
var errorCode = regexp.MustCompile(`^[a-z_]{1,40}$`)

// refused is what the answer of a token endpoint means.
func (t *oauthTokens) refused(what string, e *oauth2.RetrieveError, now time.Time) error {
	status, header := http.StatusBadRequest, http.Header{}
	if e.Response != nil {
		status, header = e.Response.StatusCode, e.Response.Header
	}
	said := ""
	if errorCode.MatchString(e.ErrorCode) {
		said = e.ErrorCode
	}
	if passing(status) {
		return refusal(what, status, header, now, said, nil)
	}
	if said != "" {
		said = " " + said
	}
	hint := "is token_url right?"
	switch {
	case e.ErrorCode == "invalid_scope":
		hint = "are scopes right?"
	case status/100 == 2, status == http.StatusBadRequest, status == http.StatusUnauthorized, status == http.StatusForbidden:
		hint = "are client_id and client_secret of the connection right, and may this client use client credentials?"
	}
	return engine.Permanent(fmt.Errorf("%s: %s%s: %s", what, statusText(status), said, hint))
}
