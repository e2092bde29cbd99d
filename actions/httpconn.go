package actions

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gavelhq/gavel/engine"
)

type httpConn struct {
	Base     string                   `json:"base" doc:"what every path is appended to, such as https://crm.example.com/api" gavel:"required"`
	Headers  map[string]engine.Secret `json:"headers" doc:"headers sent to this base and nowhere else, such as X-Api-Key: env:CRM_KEY"`
	Bearer   engine.Secret            `json:"bearer" doc:"token for Authorization: Bearer"`
	User     string                   `json:"user" doc:"name for Authorization: Basic"`
	Password engine.Secret            `json:"password" doc:"password for Authorization: Basic"`
	OAuth    *httpOAuth               `json:"oauth" doc:"fetches the token for Authorization: Bearer, by OAuth client credentials"`
	TLS      *httpTLS                 `json:"tls" doc:"a certificate of our own, and whom to trust"`
	Sign     *httpSign                `json:"sign" doc:"signs each request, so that the target knows whom it is from"`
	AtOnce   *int                     `json:"at_once" doc:"how many requests at once this service gets, at most 32; default as many as there is room for"`
}

type httpOAuth struct {
	TokenURL     string        `json:"token_url" doc:"where tokens are given out" gavel:"required"`
	ClientID     string        `json:"client_id" doc:"our name there" gavel:"required"`
	ClientSecret engine.Secret `json:"client_secret" doc:"our password there" gavel:"required"`
	Scopes       []string      `json:"scopes" doc:"what the token is to allow"`
	Audience     string        `json:"audience" doc:"whom the token is for, where the service wants to be told"`
	Auth         string        `json:"auth" doc:"where name and password are put; default header" enum:"header,body"`
}

type httpTLS struct {
	Cert       engine.Secret `json:"cert" doc:"our certificate, with those between it and the root: PEM"`
	Key        engine.Secret `json:"key" doc:"its private key: PEM"`
	CA         engine.Secret `json:"ca" doc:"who signs the target's certificate, instead of whom this machine trusts: PEM"`
	ServerName string        `json:"server_name" doc:"the name in the target's certificate, if it is not its host"`
}

type httpSign struct {
	Scheme string          `json:"scheme" doc:"how" gavel:"required" enum:"standard-webhooks,hmac-sha256"`
	Secret []engine.Secret `json:"secret" doc:"the secret both sides know; for standard-webhooks, while it is changed, a list of the new one and the old one" gavel:"required"`
	Header string          `json:"header" doc:"of hmac-sha256, the header of the signature; default X-Hub-Signature-256"`
	Prefix *string         `json:"prefix" doc:"of hmac-sha256, what is before the signature; default sha256="`
}

// credentials reports whether the connection has something that is for its base
// alone.
func (c *httpConn) credentials() bool {
	return len(c.Headers) > 0 || !c.Bearer.IsZero() || c.User != "" || c.OAuth != nil || c.Sign != nil || c.TLS != nil && !c.TLS.Cert.IsZero()
}

// covers reports whether u is under the connection's base: only there do its
// credentials go.
func (c *httpConn) covers(u *url.URL) bool {
	if c == nil {
		return false
	}
	base, err := url.Parse(c.Base)
	return err == nil && under(base, u)
}

// under reports whether u is base or below it.
func under(base, u *url.URL) bool {
	if base.Scheme != u.Scheme || !strings.EqualFold(base.Host, u.Host) {
		return false
	}
	root := strings.TrimSuffix(base.EscapedPath(), "/")
	path := u.EscapedPath()
	return path == root || strings.HasPrefix(path, root) && path[len(root)] == '/'
}

// authorize adds what the connection itself knows of to a request under its
// base; a token that was fetched comes after it.
func (c *httpConn) authorize(req *http.Request) error {
	for name, value := range c.Headers {
		if problem := headerProblem(name, value.Reveal()); problem != "" {
			return errors.New("the connection's headers: " + problem)
		}
		req.Header.Set(name, value.Reveal())
	}
	switch {
	case !c.Bearer.IsZero():
		if hasControl(c.Bearer.Reveal()) {
			return errors.New("the connection's bearer has a line break or another control character in it")
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
	var texts []string
	for _, value := range c.Headers {
		text := value.Reveal()
		texts = append(texts, text)
		if _, token, ok := strings.Cut(text, " "); ok {
			texts = append(texts, token) // "Bearer x": x alone, too
		}
	}
	if c.User != "" {
		texts = append(texts, basicAuth(c.User, c.Password.Reveal()))
	}
	texts = append(texts, c.Bearer.Reveal(), c.Password.Reveal())
	if o := c.OAuth; o != nil {
		secret := o.ClientSecret.Reveal()
		texts = append(texts, secret, basicAuth(url.QueryEscape(o.ClientID), url.QueryEscape(secret)))
	}
	if c.Sign != nil {
		for _, s := range c.Sign.Secret {
			texts = append(texts, s.Reveal(), strings.TrimPrefix(s.Reveal(), "whsec_"))
		}
	}
	return hidden(texts...)
}

func basicAuth(user, password string) string {
	return base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
}

// hidden are texts and the forms in which a target may send them back.
func hidden(texts ...string) secrets {
	var all secrets
	for _, text := range texts {
		raw := []byte(text)
		all = append(all, text, url.QueryEscape(text), url.PathEscape(text), hex.EncodeToString(raw), strings.ToUpper(hex.EncodeToString(raw)),
			base64.RawStdEncoding.EncodeToString(raw), base64.RawURLEncoding.EncodeToString(raw), inJSON(text))
	}
	slices.SortFunc(all, func(a, b string) int { return len(b) - len(a) }) // whole before part
	return slices.Compact(all)
}

// inJSON is text as it stands between the quotes of JSON.
func inJSON(text string) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(text) // a string always encodes
	return strings.Trim(b.String(), "\"\n")
}

// config is what a connection says of TLS, made ready for use.
func (t *httpTLS) config() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if !t.Cert.IsZero() || !t.Key.IsZero() {
		pair, err := tls.X509KeyPair([]byte(t.Cert.Reveal()), []byte(t.Key.Reveal()))
		if err != nil {
			return nil, errKeyPair
		}
		config.Certificates = []tls.Certificate{pair}
	}
	if !t.CA.IsZero() {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM([]byte(t.CA.Reveal())) {
			return nil, errCA
		}
	}
	return config, nil
}

var (
	errKeyPair = errors.New("cert and key of the connection's tls are no certificate with its private key, both as PEM")
	errCA      = errors.New("ca of the connection's tls holds no certificate as PEM")
)
