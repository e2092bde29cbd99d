package actions

import (
	"errors"
	"net/http"
	"net/url"
	"reflect"
	"sync"
)

// httpLink is what the calls on a connection have in common.
type httpLink struct {
	conn      *httpConn
	base      *url.URL // nil without a connection
	hide      secrets
	transport *http.Transport
	tokens    *oauthTokens // nil without oauth
}

// httpLinks are the links of connections, by their names.
type httpLinks struct {
	mu   sync.Mutex
	all  map[string]*httpLink
	none httpLink // of a request without a connection
}

// link is that of a connection. After the rules were read again it is the same
// one, unless they say something else now.
func (c *client) link(via string, conn *httpConn) (*httpLink, error) {
	if conn == nil {
		return &c.links.none, nil
	}
	c.links.mu.Lock()
	defer c.links.mu.Unlock()
	have := c.links.all[via]
	switch {
	case have == nil:
	case have.conn == conn:
		return have, nil
	case reflect.DeepEqual(have.conn, conn):
		same := *have // it may be in use
		same.conn = conn
		c.links.all[via] = &same
		return &same, nil
	}
	l, err := c.newLink(conn)
	if err != nil {
		return nil, err
	}
	if have != nil && have.transport != c.transport {
		have.transport.CloseIdleConnections() // those in use end when they come back
	}
	if c.links.all == nil {
		c.links.all = map[string]*httpLink{}
	}
	c.links.all[via] = l
	return l, nil
}

func (c *client) newLink(conn *httpConn) (*httpLink, error) {
	base, err := url.Parse(conn.Base)
	if err != nil {
		return nil, errors.New("the connection's base is not a URL")
	}
	l := &httpLink{conn: conn, base: base, hide: conn.secrets(), transport: c.transport}
	if conn.TLS != nil {
		config, err := conn.TLS.config()
		if err != nil {
			return nil, err
		}
		l.transport = newTransport(c.dialer, config)
	}
	if conn.OAuth != nil {
		l.tokens = newTokens(conn.OAuth)
	}
	return l, nil
}

// covers reports whether the connection's credentials go to u.
func (l *httpLink) covers(u *url.URL) bool { return l.base != nil && under(l.base, u) }
