package actions

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gavelhq/gavel/engine"
)

// TestRedirects: the path says where the target sends a request, see the table.
func TestRedirects(t *testing.T) {
	var got []string
	tell := func(host string, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		said := strings.Fields(r.Method + " " + host + r.URL.Path + " " + string(body))
		got = append(got, strings.Join(append(said, strings.Join([]string{r.Header.Get("Authorization"), r.Header.Get("Idempotency-Key"), r.Header.Get("X-Own"), r.Header.Get("X-Hub-Signature-256")}, ",")), " "))
	}
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { tell("other", r) }))
	defer other.Close()
	to := map[string]string{
		"/api/a": "/api/b", "/api/rel": "b", "/api/dots": "/api/../admin", "/api/coded": "/api/%2e%2e/admin", "/api/admin": "/admin", "/api/loop": "/api/loop",
		"/api/other": other.URL + "/x", "/api/user": "http://u:p@127.0.0.1/", "/api/file": "file:///etc/passwd", "/api/none": "", "/api/bad": "http://[::1", "/api/fragment": "/api/b#x",
		"/away": other.URL + "/x", "/home": "/api/b", "/ftp": "ftp://x/",
	}
	status := 0
	home := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tell("home", r)
		if location, ok := to[r.URL.Path]; ok {
			if location != "" {
				w.Header().Set("Location", location)
			}
			w.WriteHeader(status)
		}
	}))
	defer home.Close()
	out := testClient(t)
	const cred = "Bearer t0ken-of-crm,key,own,"
	signed := func(body string) string { return cred + "sha256=" + hexMAC("s", []byte(body)) }
	plain := ",key,own,"
	for _, tc := range []struct {
		status    int
		request   string // method and path
		redirects int
		want      string // requests
		err       string // part of it
	}{
		{302, "get /a", 0, "GET home/api/a " + signed(""), "redirects are not followed, use the new address"},
		{302, "get /a", 1, "GET home/api/a " + signed("") + "; GET home/api/b " + signed(""), ""},
		{301, "head /rel", 1, "HEAD home/api/rel " + signed("") + "; HEAD home/api/b " + signed(""), ""},
		{307, "post /a", 1, "POST home/api/a body " + signed("body") + "; POST home/api/b body " + signed("body"), ""},
		{308, "put /fragment", 3, "PUT home/api/fragment body " + signed("body") + "; PUT home/api/b body " + signed("body"), ""},
		{303, "post /a", 1, "POST home/api/a body " + signed("body") + "; GET home/api/b " + signed(""), ""},
		{303, "head /a", 1, "HEAD home/api/a " + signed("") + "; HEAD home/api/b " + signed(""), ""},
		{301, "post /a", 1, "POST home/api/a body " + signed("body"), "301 does not say if a POST is to be sent again there"},
		{302, "delete /a", 1, "DELETE home/api/a body " + signed("body"), "302 does not say if a DELETE"},
		{302, "get /admin", 1, "GET home/api/admin " + signed(""), "not under the connection's base"},
		{302, "get /dots", 1, "GET home/api/dots " + signed(""), "not under the connection's base"},
		{302, "get /coded", 1, "GET home/api/coded " + signed(""), `with a ".." segment`},
		{302, "get /other", 1, "GET home/api/other " + signed(""), "not under the connection's base"},
		{307, "post /other", 1, "POST home/api/other body " + signed("body"), "not under the connection's base"},
		{302, "get /user", 1, "GET home/api/user " + signed(""), "an address with a user name"},
		{302, "get /file", 1, "GET home/api/file " + signed(""), "nothing that can be called"},
		{302, "get /bad", 1, "GET home/api/bad " + signed(""), "nothing that can be called"},
		{302, "get /none", 1, "GET home/api/none " + signed(""), "302 Found"},
		{302, "get /loop", 2, strings.Repeat("GET home/api/loop "+signed("")+"; ", 2) + "GET home/api/loop " + signed(""), "it redirects again after 2 redirects"},
		{302, "get /a", 11, "", "redirects: 11 is not from 0 to 10"},
		{302, "get {url}/away", 1, "GET home/away " + plain + "; GET other/x ,,,", ""},
		{303, "post {url}/away", 1, "POST home/away body " + plain + "; GET other/x ,,,", ""},
		{307, "post {url}/away", 1, "POST home/away body " + plain, "a POST is not sent on there"},
		{302, "get {url}/home", 1, "GET home/home " + plain + "; GET home/api/b " + plain, ""}, // not from home: no credentials
		{302, "get {url}/ftp", 1, "GET home/ftp " + plain, "nothing that can be called"},
	} {
		got, status = nil, tc.status
		method, address, _ := strings.Cut(strings.ReplaceAll(tc.request, "{url}", home.URL), " ")
		body := ""
		if method != "get" && method != "head" {
			body = `"body":"body",`
		}
		conn := &httpConn{Base: home.URL + "/api", Bearer: engine.NewSecret("t0ken-of-crm"), Sign: &httpSign{Scheme: signHMAC, Secret: []engine.Secret{engine.NewSecret("s")}}}
		with := fmt.Sprintf(`{%q:%q,%s"redirects":%d,"headers":{"X-Own":"own"}}`, method, address, body, tc.redirects)
		_, err := callHTTP(t.Context(), out, engine.Call{Key: "key", With: []byte(with), Conn: conn})
		if text := strings.Join(got, "; "); text != tc.want || (err == nil) != (tc.err == "") || err != nil && (!strings.Contains(err.Error(), tc.err) || !engine.IsPermanent(err)) {
			t.Errorf("%s, %d:\n got %s\nwant %s\n err %v\nwant %s", tc.request, tc.status, text, tc.want, err, tc.err)
		}
	}
}

// A connection without credentials has nothing to keep: the request goes on to
// another host, without the step's headers.
func TestRedirectsWithoutCredentials(t *testing.T) {
	got := ""
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got = r.Header.Get("X-Own") + r.Header.Get("Idempotency-Key") + r.URL.Path
	}))
	defer other.Close()
	home := httptest.NewServer(http.RedirectHandler(other.URL+"/x", http.StatusFound))
	defer home.Close()
	call := engine.Call{Key: "key", With: []byte(`{"get":"/a","redirects":1,"headers":{"X-Own":"own"}}`)}
	call.Conn = &httpConn{Base: home.URL + "/api"}
	if _, err := callHTTP(t.Context(), testClient(t), call); err != nil || got != "/x" {
		t.Errorf("%q, %v", got, err)
	}
	call.Conn = &httpConn{Base: home.URL + "/api", User: "gavel"}
	if _, err := callHTTP(t.Context(), testClient(t), call); err == nil || !strings.Contains(err.Error(), "its credentials are not sent there") {
		t.Error(err)
	}
}

// From https:// it does not go on to http://, and an internal address is
// refused at every step of the way.
func TestRedirectsStayInside(t *testing.T) {
	secure := httptest.NewTLSServer(http.RedirectHandler("http://127.0.0.1/x", http.StatusFound))
	defer secure.Close()
	out := testClient(t)
	out.transport.TLSClientConfig = secure.Client().Transport.(*http.Transport).TLSClientConfig
	_, err := callHTTP(t.Context(), out, engine.Call{With: []byte(`{"get":"` + secure.URL + `","redirects":1}`)})
	if err == nil || !strings.Contains(err.Error(), "from https:// to http://127.0.0.1, where anyone") {
		t.Errorf("%v", err)
	}
	inward := httptest.NewServer(http.RedirectHandler("http://169.254.169.254/latest/meta-data", http.StatusFound))
	defer inward.Close()
	_, err = callHTTP(t.Context(), out, engine.Call{With: []byte(`{"get":"` + inward.URL + `","redirects":1}`)})
	if err == nil || !engine.IsPermanent(err) || !strings.Contains(err.Error(), "169.254.169.254 is an internal address") {
		t.Errorf("%v", err)
	}
}
