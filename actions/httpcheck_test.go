package actions

import (
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// What cannot be meant so is said when the rules are read.
func TestCheckHTTPStep(t *testing.T) {
	crm := &httpConn{Base: "https://crm.example.com"}
	for _, tc := range []struct {
		with    map[string]any
		dynamic string
		want    string
	}{
		{map[string]any{"head": "/x"}, "", ""},
		{map[string]any{"url": "/x", "method": "PROPFIND"}, "", ""},
		{map[string]any{"url": "/x"}, "method", ""},
		{map[string]any{"url": "/x"}, "", "method: url is given without a method"},
		{map[string]any{"url": "/x", "method": "CONNECT"}, "", "method: CONNECT is no method for a step"},
		{map[string]any{"url": "/x", "method": "GET /"}, "", `method: "GET /" is not a method`},
		{map[string]any{"get": "/x", "method": "GET"}, "", "method: method is for url, and get names its own"},
		{map[string]any{"get": "/x", "url": "/y"}, "", "url: get and url are given"},
		{map[string]any{"post": "/x", "multipart": map[string]any{"a": "b", "c": 1, "d": map[string]any{"filename": "d.csv", "type": "text/csv", "text": "x"}}}, "", ""},
		{map[string]any{"post": "/x", "multipart": map[string]any{"a": []any{"b"}}}, "", "multipart.a: a part is a text, or a file as { filename, type, text }"},
		{map[string]any{"post": "/x", "multipart": map[string]any{"a": map[string]any{"file": "b"}}}, "", "multipart.a: a part is a text, or a file as { filename, type, text }"},
		{map[string]any{"post": "/x", "multipart": map[string]any{"a": map[string]any{"type": "csv"}}}, "", "multipart.a: its type is no media type such as text/csv"},
		{map[string]any{"post": "/x", "multipart": map[string]any{"a": "b"}, "body": "x"}, "", "body: the body is given twice: multipart and body"},
		{map[string]any{"get": "/x", "redirects": 10}, "", ""},
		{map[string]any{"get": "/x", "redirects": 11}, "", "redirects: redirects is 11"},
		{map[string]any{"get": "/x#frag"}, "", "get: the address has a # in it, and what is behind that is never sent"},
		{map[string]any{"get": "/x", "ok": engine.Success{}}, "", "ok: ok lists no status, so no answer would be a success"},
		{map[string]any{"get": "/x", "headers": map[string]any{"host": "a"}}, "", "headers.host: host is set by gavel itself"},
		{map[string]any{"get": "/x", "redirects": -1}, "", "redirects: redirects is -1"},
		{map[string]any{"get": "/x", "ok": engine.Success{If: "response.status == 200"}}, "", ""},
	} {
		if got := complaints(checkHTTP(engine.CheckInput{With: tc.with, Dynamic: map[string]bool{tc.dynamic: true}, Conn: crm})); got != tc.want {
			t.Errorf("%v:\n got %s\nwant %s", tc.with, got, tc.want)
		}
	}
}

func TestCheckHTTPConnection(t *testing.T) {
	const unset = "https://unset.invalid/" // what stands for a secret that was not looked up
	s, empty := engine.NewSecret, ""
	oauth := httpOAuth{TokenURL: "https://login.example.com/token", ClientID: "id", ClientSecret: s("secret")}
	tokenAt := func(url string) *httpOAuth { o := oauth; o.TokenURL = url; return &o }
	a := newAuthority(t)
	own, other := a.leaf(time.Now().Add(time.Hour)), a.leaf(time.Now().Add(time.Hour))
	signed := func(scheme string, secrets ...string) *httpSign {
		x := &httpSign{Scheme: scheme}
		for _, text := range secrets {
			x.Secret = append(x.Secret, s(text))
		}
		return x
	}
	const good = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	for _, tc := range []struct {
		conn httpConn
		want string
	}{
		{httpConn{AtOnce: new(32)}, ""},
		{httpConn{AtOnce: new(0)}, "via.at_once: at_once is 0"},
		{httpConn{Base: "://"}, "via.base: the connection's base is not a URL"},
		{httpConn{Base: "not a url"}, "via.base: the connection's base is not a URL"},
		{httpConn{Base: "https://u@crm.example.com"}, "via.base: the connection's base holds a user name"},
		{httpConn{Base: "https://crm.example.com/#"}, "via.base: the connection's base has a query or a fragment"},
		{httpConn{AtOnce: new(33)}, "via.at_once: at_once is 33"},
		{httpConn{AtOnce: new(-1)}, "via.at_once: at_once is -1"},
		{httpConn{OAuth: &oauth}, ""},
		{httpConn{OAuth: &oauth, Bearer: s("x")}, "via.oauth: the connection has oauth and bearer, and a request has one Authorization"},
		{httpConn{OAuth: &oauth, User: "u", Password: s("p")}, "via.oauth: the connection has oauth and user and password, and a request has one Authorization"},
		{httpConn{OAuth: &oauth, Headers: map[string]engine.Secret{"authorization": s("x")}}, "via.oauth: the connection has oauth and a header Authorization, and a request has one Authorization"},
		{httpConn{OAuth: tokenAt("login.example.com")}, "via.oauth.token_url: token_url is not a URL such as https://login.example.com/oauth2/token"},
		{httpConn{OAuth: tokenAt("https://id:secret@login.example.com/")}, "via.oauth.token_url: token_url is not a URL such as https://login.example.com/oauth2/token"},
		{httpConn{OAuth: tokenAt("http://login.example.com/token")}, "via.oauth.token_url: client_secret would go to login.example.com without TLS: anyone on the way can read it"},
		{httpConn{OAuth: tokenAt("http://127.0.0.1:8080/token")}, ""},
		{httpConn{TLS: newTLS(own, a.pem)}, ""},
		{httpConn{TLS: &httpTLS{ServerName: "crm"}}, ""},
		{httpConn{TLS: &httpTLS{}}, "via.tls: the connection's tls says nothing"},
		{httpConn{TLS: newTLS(pair{own.cert, ""}, "")}, "via.tls: the connection's tls has one of cert and key, and they belong together"},
		{httpConn{TLS: newTLS(pair{"", own.key}, "")}, "via.tls: the connection's tls has one of cert and key, and they belong together"},
		{httpConn{TLS: newTLS(pair{own.cert, other.key}, "")}, "via.tls: cert and key of the connection's tls are no certificate with its private key, both as PEM"},
		{httpConn{TLS: newTLS(pair{}, "x")}, "via.tls: ca of the connection's tls holds no certificate as PEM"},
		{httpConn{TLS: newTLS(pair{unset, unset}, "")}, ""},
		{httpConn{TLS: newTLS(pair{own.cert, unset}, unset)}, ""},
		{httpConn{Base: "http://127.0.0.1", TLS: newTLS(own, "")}, "via.tls: the connection has tls, and its base begins with http://"},
		{httpConn{Sign: signed(signStandard, good)}, ""},
		{httpConn{Sign: signed(signStandard, good, unset)}, ""},
		{httpConn{Sign: signed(signStandard, "a secret")}, "via.sign.secret: secret of the connection's sign is no whsec_ and 24 to 64 bytes in base64"},
		{httpConn{Sign: signed(signStandard)}, "via.sign: the connection signs without a secret"},
		{httpConn{Sign: signed(signHMAC, "a")}, ""},
		{httpConn{Sign: signed(signHMAC, "a", "b")}, "via.sign.secret: hmac-sha256 signs with one secret, and there are several"},
		{httpConn{Sign: &httpSign{Scheme: signStandard, Secret: []engine.Secret{s(good)}, Header: "X-Sign"}}, "via.sign: header and prefix are for hmac-sha256: standard-webhooks has headers of its own"},
		{httpConn{Sign: &httpSign{Scheme: signStandard, Secret: []engine.Secret{s(good)}, Prefix: &empty}}, "via.sign: header and prefix are for hmac-sha256: standard-webhooks has headers of its own"},
		{httpConn{Sign: &httpSign{Scheme: signHMAC, Secret: []engine.Secret{s("a")}, Header: "Host"}}, "via.sign: the connection's sign: Host is set by gavel itself"},
		{httpConn{Sign: signed(signHMAC, "a"), Headers: map[string]engine.Secret{"x-hub-signature-256": s("x")}}, "via.sign: the connection has a header x-hub-signature-256, which is the one of its signature"},
	} {
		if tc.conn.Base == "" {
			tc.conn.Base = "https://crm.example.com"
		}
		if got := complaints(checkHTTP(engine.CheckInput{With: map[string]any{"get": "/x"}, Conn: &tc.conn})); got != tc.want {
			t.Errorf("got  %s\nwant %s", got, tc.want)
		}
	}
}

// A # of the rule is found beside ${…}, one in an expression is none.
func TestCheckFragment(t *testing.T) {
	crm := &httpConn{Base: "https://crm.example.com"}
	for text, want := range map[string]string{
		"/a#b?x=${room.id}":            "get: the address has a # in it, and what is behind that is never sent",
		"/a?x=${room.id}#b":            "get: the address has a # in it, and what is behind that is never sent",
		"/a?x=${room.name ?? \"#\"}&y": "",
	} {
		if got := complaints(checkHTTP(engine.CheckInput{Dynamic: map[string]bool{"get": true}, Text: map[string]string{"get": text}, Conn: crm})); got != want {
			t.Errorf("%s: %s", text, got)
		}
	}
}
