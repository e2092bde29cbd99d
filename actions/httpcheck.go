package actions

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/gavelhq/gavel/engine"
)

// checkHTTP finds at load what can be known without an event.
func checkHTTP(in engine.CheckInput) []engine.Complaint {
	f := &findings{}
	conn, _ := in.Conn.(*httpConn)
	switch given := givenOf(in, methods()...); len(given) {
	case 0:
		f.complain("", "the request has no address", "give one of "+strings.Join(methods(), ", ")+": get: /leads/${participant.id}")
	case 1:
		checkMethod(in, given[0], f)
		checkAddress(in, conn, given[0], f)
	default:
		f.complain(given[1], strings.Join(given, " and ")+" are given", "one request is one step")
	}
	checkBody(in, f)
	headers, _ := asMap(in.With["headers"])
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		if problem := headerProblem(name, fmt.Sprint(headers[name])); problem != "" {
			f.complain("headers."+name, problem, headerHint(name))
		}
	}
	ok, given := in.With["ok"].(engine.Success)
	if given && len(ok.Statuses) == 0 && ok.If == "" {
		f.complain("ok", "ok lists no status, so no answer would be a success", "leave it out for 200 to 299, or write ok: [200, 404]")
	}
	for i, status := range ok.Statuses {
		if status < 200 || status > 599 {
			f.complain(fmt.Sprintf("ok[%d]", i), fmt.Sprintf("%d is no final HTTP status", status), "statuses go from 200 to 599")
		}
	}
	if n, given := asInt(in.With["redirects"]); given && (n < 0 || n > maxRedirects) {
		f.complain("redirects", fmt.Sprintf("redirects is %d", n), fmt.Sprintf("0 to %d redirects can be followed", maxRedirects))
	}
	if conn != nil {
		conn.check(f)
	}
	return f.all
}

// checkMethod looks at the method beside an address.
func checkMethod(in engine.CheckInput, address string, f *findings) {
	if address != "url" {
		if len(givenOf(in, "method")) > 0 {
			f.complain("method", "method is for url, and "+address+" names its own", "leave method out, or write url: instead of "+address+":")
		}
		return
	}
	method, _ := in.With["method"].(string)
	if in.Dynamic["method"] {
		return
	}
	if problem := methodProblem(method); problem != "" {
		f.complain("method", problem, "write the usual ones as keys, such as post: https://…, and any other beside url: as in method: PROPFIND")
	}
}

func checkBody(in engine.CheckInput, f *findings) {
	if given := givenOf(in, bodies()...); len(given) > 1 {
		f.complain(given[1], "the body is given twice: "+strings.Join(given, " and "), "use one of "+strings.Join(bodies(), ", "))
	}
	fields, _ := asMap(in.With["multipart"])
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		value, err := json.Marshal(fields[name])
		if err == nil {
			_, _, err = partOf(name, value)
		}
		if err != nil {
			f.complain("multipart."+name, err.Error(), name+": { filename: report.csv, type: text/csv, text: … }")
		}
	}
}

// base is the URL of the connection's base, or what is wrong with it.
func (c *httpConn) base() (u *url.URL, problem, hint string) {
	u, err := url.Parse(c.Base)
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https":
		return nil, "the connection's base is not a URL", "base: https://crm.example.com"
	case u.User != nil:
		return nil, "the connection's base holds a user name", "use user: and password: env:NAME"
	case u.RawQuery != "" || u.ForceQuery || strings.Contains(c.Base, "#"):
		return nil, "the connection's base has a query or a fragment", "put the query into the step: query: { … }"
	}
	return u, "", ""
}

// check looks for an address and credentials that cannot be meant so. None is quoted.
func (c *httpConn) check(f *findings) {
	if _, problem, hint := c.base(); problem != "" {
		f.complain(aboutConn+".base", problem, hint)
	}
	bearer := c.Bearer.Reveal()
	basic := c.User != "" || !c.Password.IsZero()
	for name := range c.Headers {
		if strings.EqualFold(name, "Authorization") && (bearer != "" || basic) {
			f.warn(aboutConn, "the connection says Authorization twice, as a header and by "+map[bool]string{true: "bearer", false: "user and password"}[bearer != ""], "keep one of them")
		}
	}
	if bearer != "" && basic {
		f.warn(aboutConn, "the connection has both bearer and user or password, and bearer is sent", "keep one of them")
	}
	if word, _, more := strings.Cut(bearer, " "); more && strings.EqualFold(word, "bearer") {
		f.warn(aboutConn, "the connection's bearer begins with the word Bearer, which is put before it anyway", "leave the word out of it")
	}
	if !c.Password.IsZero() && c.User == "" {
		f.warn(aboutConn, "the connection has a password without a user, so it is not sent", "add user:, or give a token as bearer:")
	}
	if n := c.AtOnce; n != nil && (*n < 1 || *n > 32) {
		f.complain(aboutConn+".at_once", fmt.Sprintf("at_once is %d", *n), "from 1 to 32; leave it out for as many as there is room for")
	}
	if c.OAuth != nil {
		c.checkOAuth(f)
	}
	if c.TLS != nil {
		c.checkTLS(f)
	}
	if c.Sign != nil {
		c.checkSign(f)
	}
}

func (c *httpConn) checkOAuth(f *findings) {
	twice := ""
	for name := range c.Headers {
		if strings.EqualFold(name, "Authorization") {
			twice = "a header Authorization"
		}
	}
	switch {
	case !c.Bearer.IsZero():
		twice = "bearer"
	case c.User != "" || !c.Password.IsZero():
		twice = "user and password"
	}
	if twice != "" {
		f.complain(aboutConn+".oauth", "the connection has oauth and "+twice+", and a request has one Authorization", "keep one of them")
	}
	u, err := url.Parse(c.OAuth.TokenURL)
	switch at := aboutConn + ".oauth.token_url"; {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil:
		f.complain(at, "token_url is not a URL such as https://login.example.com/oauth2/token", "name and password go into client_id and client_secret")
	case u.Scheme == "http" && !nearby(u.Hostname()):
		f.complain(at, "client_secret would go to "+u.Host+" without TLS: anyone on the way can read it", "use https://")
	}
}

func (c *httpConn) checkTLS(f *findings) {
	t, at := c.TLS, aboutConn+".tls"
	switch {
	case *t == httpTLS{}:
		f.complain(at, "the connection's tls says nothing", "give cert and key, or ca, or server_name")
	case t.Cert.IsZero() != t.Key.IsZero():
		f.complain(at, "the connection's tls has one of cert and key, and they belong together", "cert: file:/etc/gavel/crm.pem and key: credential:crm-key")
	case strings.HasPrefix(c.Base, "http://"):
		f.complain(at, "the connection has tls, and its base begins with http://", "use https://")
	case webURL(t.Cert.Reveal()), webURL(t.Key.Reveal()), webURL(t.CA.Reveal()): // not looked up
	default:
		if _, err := t.config(); err != nil {
			f.complain(at, err.Error(), "a certificate begins with -----BEGIN CERTIFICATE-----, a key with -----BEGIN PRIVATE KEY-----")
		}
	}
}

func (c *httpConn) checkSign(f *findings) {
	s, at := c.Sign, aboutConn+".sign"
	for name := range c.Headers {
		if slices.ContainsFunc(s.headers(), func(of string) bool { return strings.EqualFold(of, name) }) {
			f.complain(at, "the connection has a header "+name+", which is the one of its signature", "leave the header out")
		}
	}
	switch {
	case len(s.Secret) == 0:
		f.complain(at, "the connection signs without a secret", "secret: env:CRM_SIGNING_SECRET")
	case s.Scheme == signStandard && (s.Header != "" || s.Prefix != nil):
		f.complain(at, "header and prefix are for hmac-sha256: standard-webhooks has headers of its own", "leave them out")
	case s.Scheme == signStandard:
		for _, secret := range s.Secret {
			if !webURL(secret.Reveal()) && !standardSecret(secret.Reveal()) {
				f.complain(at+".secret", errSignSecret.Error(), "echo whsec_$(openssl rand -base64 32)")
			}
		}
	case len(s.Secret) > 1:
		f.complain(at+".secret", "hmac-sha256 signs with one secret, and there are several", "change it at the target first, or use standard-webhooks")
	default:
		if problem := headerProblem(s.header(), s.prefix()); problem != "" {
			f.complain(at, "the connection's sign: "+problem, "")
		}
	}
}

// inserted is what an event puts into an address.
var inserted = regexp.MustCompile(`\$\{[^}]*\}`)

func checkAddress(in engine.CheckInput, conn *httpConn, param string, f *findings) {
	address, static := in.With[param].(string)
	if strings.Contains(inserted.ReplaceAllString(cmp.Or(in.Text[param], address), ""), "#") {
		f.complain(param, "the address has a # in it, and what is behind that is never sent", "write %23 for one that belongs to the path or the query, or leave the rest out")
		return
	}
	if conn != nil && conn.Base != "" {
		base, problem, _ := conn.base()
		if problem != "" {
			return // reported with the connection
		}
		if in.Dynamic[param] && !strings.Contains(in.Text[param], "://") {
			warnPlain(base, aboutConn+".base", f)
		}
	}
	if text := in.Text[param]; text != "" && !strings.HasPrefix(text, "/") {
		scheme, rest, _ := strings.Cut(text, "://")
		host, _, _ := strings.Cut(rest, "/")
		if strings.Contains(scheme+host, "${") {
			f.complain(param, "what is inserted could send the request to any host",
				"write the host out, or name a connection with a base; ${…} belongs behind the first /")
			return
		}
		if u, err := url.Parse(scheme + "://" + host); err == nil && host != "" {
			warnPlain(u, param, f)
			warnForeign(in, conn, u, param, f)
		}
	}
	if !static {
		return
	}
	u, err := resolve(address, conn)
	if err != nil {
		hint := "write a path such as /leads, or a whole URL"
		if strings.HasPrefix(address, "/") {
			hint = "name a connection: via: NAME, with base: https://…"
		}
		f.complain(param, err.Error(), hint)
		return
	}
	if strings.HasPrefix(address, "/") {
		warnPlain(u, aboutConn+".base", f)
		return
	}
	warnPlain(u, param, f)
	warnForeign(in, conn, u, param, f)
}

// warnForeign warns of an address to which nothing of the connection goes that
// the step names: its credentials are for what is under its base.
func warnForeign(in engine.CheckInput, conn *httpConn, u *url.URL, param string, f *findings) {
	via, named := in.With["via"].(string)
	if !named || conn == nil || conn.Base == "" || conn.covers(u) || u.Path == "" && conn.covers(u.JoinPath(basePath(conn))) {
		return
	}
	f.warn(param, fmt.Sprintf("%s is not under the base of connection %q, so its headers and credentials are not sent", u.Host, via), "write the path alone, as in "+param+": /leads, or leave via out")
}

// basePath is the path of the connection's base. Of an address with ${…} only
// the host is known.
func basePath(conn *httpConn) string {
	base, err := url.Parse(conn.Base)
	if err != nil {
		return ""
	}
	return cmp.Or(base.Path, "/")
}

func warnPlain(u *url.URL, param string, f *findings) {
	if u.Scheme == "http" && !nearby(u.Hostname()) {
		f.warn(param, "the request goes to "+u.Host+" without TLS: anyone on the way can read and change it", "use https://")
	}
}

// sameMachine reports whether a host is this machine by its name or address.
func sameMachine(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap().IsLoopback()
	}
	host = strings.ToLower(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// nearby reports whether a host is this machine, or by its name or address one
// of a private network.
func nearby(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.IsLoopback() || addr.IsPrivate() || addr.IsLinkLocalUnicast()
	}
	if !strings.Contains(host, ".") {
		return true
	}
	return slices.ContainsFunc([]string{".localhost", ".local", ".internal", ".lan", ".intranet", ".home.arpa", ".svc", ".test"}, func(end string) bool {
		return strings.HasSuffix(strings.ToLower(host), end)
	})
}
