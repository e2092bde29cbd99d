package actions

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/gavelhq/gavel/engine"
)

// A value put into an address stays one segment or one query value: 0 changed
// hosts, 0 further segments.
func TestInsertedIntoAddress(t *testing.T) {
	values := []string{"857", "a b", "a/b", "../x", "..", ".", "a?b=c", "a#b", "a&b=c", "a%2fb", "%2e%2e", "@evil.example", "//evil.example", "evil.example",
		".evil.example", ":80", "a\\b", "a+b", "a;b", "ceo@example.com", "日本", "\r\nHost: evil", "[::1]", "127.0.0.1", "a\x7f", "\xff"}
	var paths []string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		paths = append(paths, r.Host+"|"+r.URL.Path+"|"+r.URL.Query().Get("q"))
	}))
	defer server.Close()
	kind := builtin(io.Discard)["http"]
	conn := &httpConn{Base: server.URL + "/api"}
	host := strings.TrimPrefix(server.URL, "http://")
	for _, v := range values {
		in := kind.Escape("get", v)
		paths = nil
		with := fmt.Sprintf(`{"get":"/leads/%s/x?q=%s"}`, in, in)
		_, err := kind.Do(t.Context(), engine.Call{With: []byte(with), Conn: conn})
		if v == "." || v == ".." || v == "../x" { // servers differ in when they decode: refused
			if !engine.IsPermanent(err) || len(paths) > 0 {
				t.Errorf("%q: %v, requests %q", v, err, paths)
			}
			continue
		}
		if want := host + "|/api/leads/" + v + "/x|" + v; err != nil || len(paths) != 1 || paths[0] != want {
			t.Errorf("%q: %v, request %q, want %q", v, err, paths, want)
		}
		// Where a rule has it in the host, nothing with a dot, a port or an address comes through.
		if strings.ContainsAny(v, ".:/@[") {
			if u, err := resolve("http://"+in+"/x", nil); err == nil {
				t.Errorf("%q made the host %q", v, u.Host)
			}
		}
	}
}

func TestEmptyInsertedValue(t *testing.T) {
	empty := escapeURL("get", "")
	if _, err := resolve("https://crm.example.com/users/"+empty, nil); err == nil {
		t.Error("an empty value in the path went through")
	}
	u, err := resolve("https://crm.example.com/users?mail="+empty+"&x=1", nil)
	if err != nil || u.RawQuery != "mail=&x=1" {
		t.Errorf("%v %v", u, err)
	}
}

// No value and no name adds a header.
func TestHeaderInjection(t *testing.T) {
	var seen []http.Header
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = append(seen, r.Header.Clone()) }))
	defer server.Close()
	kind := builtin(io.Discard)["http"]
	for _, line := range []string{"\r\n", "\n", "\r", "\x00", "\v", "\f", "\x7f", "\r\n\r\n", "\x1b", "\x08"} {
		for _, where := range []string{"%sX-Admin: 1", "a%sX-Admin: 1", "a%s"} {
			for _, param := range []string{"value", "name"} {
				name, value := "X-Name", fmt.Sprintf(where, line)
				if param == "name" {
					name, value = value, "x"
				}
				with := fmt.Sprintf(`{"get":%q,"headers":{%s:%s}}`, server.URL, jsonText(name), jsonText(value))
				if _, err := kind.Do(t.Context(), engine.Call{With: []byte(with)}); !engine.IsPermanent(err) {
					t.Errorf("%q: %q: %v", name, value, err)
				}
			}
		}
	}
	if len(seen) > 0 {
		t.Errorf("requests were made: %v", seen)
	}
}

func jsonText(s string) string {
	text, _ := json.Marshal(s) // a string always marshals
	return string(text)
}

// Credentials go to the connection's base and nowhere else.
func TestCredentialsStayHome(t *testing.T) {
	var got string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Get("Authorization") }))
	defer server.Close()
	kind := builtin(io.Discard)["http"]
	for _, tc := range []struct {
		base, address, want string
	}{
		{server.URL + "/api", "/x", "Bearer t0ken"},
		{server.URL + "/api", server.URL + "/api/x", "Bearer t0ken"},
		{server.URL + "/api", server.URL + "/apix", ""},
		{server.URL + "/api", server.URL + "/", ""},
		{"https://crm.example.com", server.URL + "/", ""},
		{strings.Replace(server.URL, "http:", "https:", 1), server.URL + "/", ""},
	} {
		got = "none"
		conn := &httpConn{Base: tc.base, Bearer: engine.NewSecret("t0ken")}
		_, err := kind.Do(t.Context(), engine.Call{With: []byte(`{"get":"` + tc.address + `"}`), Conn: conn})
		if err != nil || got != tc.want {
			t.Errorf("%s under %s: %q, want %q (%v)", tc.address, tc.base, got, tc.want, err)
		}
	}
}

func TestResolve(t *testing.T) {
	base := &httpConn{Base: "https://crm.example.com/api/"}
	for _, tc := range []struct {
		address string
		conn    *httpConn
		want    string // "" is an error
	}{
		{"/leads/1", base, "https://crm.example.com/api/leads/1"},
		{"//evil.example/x", base, "https://crm.example.com/api//evil.example/x"},
		{"/a%2Fb?x=1", base, "https://crm.example.com/api/a%2Fb?x=1"},
		{"/../admin", base, ""}, {"/%2e%2e/admin", base, ""}, {"/a/./b", base, ""},
		{"/leads", nil, ""}, {"leads", base, ""}, {"@evil.example", base, ""},
		{"https://other.example/x", base, "https://other.example/x"},
		{"http://u:p@host/x", nil, ""}, {"ftp://host/x", nil, ""}, {"https:///x", nil, ""}, {"https://", nil, ""}, {"http://host:port/", nil, ""}, {"mailto:a@b", nil, ""},
	} {
		u, err := resolve(tc.address, tc.conn)
		switch {
		case tc.want == "" && err == nil:
			t.Errorf("%s became %s", tc.address, u)
		case tc.want != "" && (err != nil || u.String() != tc.want):
			t.Errorf("%s: %v %v, want %s", tc.address, u, err, tc.want)
		}
	}
}

func TestCheckHTTP(t *testing.T) {
	crm := &httpConn{Base: "https://crm.example.com/api"}
	for _, tc := range []struct {
		with    map[string]any
		dynamic string
		conn    *httpConn
		want    string
	}{
		{map[string]any{"get": "https://crm.example.com"}, "", nil, ""},
		{map[string]any{"get": "/leads"}, "", crm, ""},
		{map[string]any{}, "get", crm, ""},
		{map[string]any{}, "", crm, "the request has no address"},
		{map[string]any{"get": "/a"}, "post", crm, "post: get and post are given"},
		{map[string]any{"get": "/a"}, "", nil, `get: "/a" is a path, and there is no connection with a base to append it to`},
		{map[string]any{"get": "leads"}, "", crm, "get: the address is neither a path beginning with / nor a URL such as https://example.com/path"},
		{map[string]any{"get": "https://other.example/x"}, "", crm, ""},
		{map[string]any{"get": "http://crm.example.com"}, "", nil, "get: the request goes to crm.example.com without TLS: anyone on the way can read and change it (warning)"},
		{map[string]any{"get": "http://127.0.0.1:8080/x"}, "", nil, ""},
		{map[string]any{"get": "http://192.168.1.4/x"}, "", nil, ""},
		{map[string]any{"get": "http://crm:8080/x"}, "", nil, ""},
		{map[string]any{"get": "http://crm.internal/x"}, "", nil, ""},
		{map[string]any{"get": "http://8.8.8.8/x"}, "", nil, "get: the request goes to 8.8.8.8 without TLS: anyone on the way can read and change it (warning)"},
		{map[string]any{"get": "https://other.example/x", "via": "crm"}, "", crm, `get: other.example is not under the base of connection "crm", so its headers and credentials are not sent (warning)`},
		{map[string]any{"get": "https://crm.example.com/api/x", "via": "crm"}, "", crm, ""},
		{map[string]any{"get": "/x"}, "", &httpConn{Base: crm.Base, Bearer: engine.NewSecret("a"), Headers: map[string]engine.Secret{"authorization": engine.NewSecret("b")}}, "via: the connection says Authorization twice, as a header and by bearer (warning)"},
		{map[string]any{"get": "/x"}, "", &httpConn{Base: crm.Base, Bearer: engine.NewSecret("Bearer a")}, "via: the connection's bearer begins with the word Bearer, which is put before it anyway (warning)"},
		{map[string]any{"get": "/x"}, "", &httpConn{Base: crm.Base, Bearer: engine.NewSecret("a"), User: "b"}, "via: the connection has both bearer and user or password, and bearer is sent (warning)"},
		{map[string]any{"get": "/x"}, "", &httpConn{Base: crm.Base, Password: engine.NewSecret("a")}, "via: the connection has a password without a user, so it is not sent (warning)"},
		{map[string]any{}, "get", &httpConn{Base: "http://crm.example.com"}, "via.base: the request goes to crm.example.com without TLS: anyone on the way can read and change it (warning)"},
		{map[string]any{"get": "/x"}, "", &httpConn{Base: "crm.example.com"}, "via.base: the connection's base is not a URL"},
		{map[string]any{"get": "/x"}, "", &httpConn{Base: "https://u:p@crm.example.com"}, "via.base: the connection's base holds a user name"},
		{map[string]any{"get": "/x"}, "", &httpConn{Base: "https://crm.example.com?a=1"}, "via.base: the connection's base has a query or a fragment"},
		{map[string]any{"post": "/x", "json": nil, "body": "x"}, "", crm, "body: the body is given twice: json and body"},
		{map[string]any{"post": "/x", "form": map[string]string{}}, "json", crm, "form: the body is given twice: json and form"},
		{map[string]any{"get": "/x", "headers": map[string]string{"Host": "x"}}, "", crm, "headers.Host: Host is set by gavel itself"},
		{map[string]any{"get": "/x", "headers": map[string]string{"A b": "x"}}, "", crm, `headers.A b: "A b" is not a header name`},
		{map[string]any{"get": "/x", "headers": map[string]string{"Authorization": "x"}}, "", crm, ""}, // package rules warns of it
		{map[string]any{"get": "/x", "ok": engine.Success{Statuses: []int{200, 99, 600}}}, "", crm, "ok[1]: 99 is no final HTTP status; ok[2]: 600 is no final HTTP status"},
	} {
		in := engine.CheckInput{With: tc.with, Dynamic: map[string]bool{tc.dynamic: true}}
		if tc.conn != nil {
			in.Conn = tc.conn
		}
		if got := complaints(checkHTTP(in)); got != tc.want {
			t.Errorf("%v, dynamic %q:\n got %s\nwant %s", tc.with, tc.dynamic, got, tc.want)
		}
	}
}

func TestHostIsLiteral(t *testing.T) {
	crm := &httpConn{Base: "https://crm.example.com"}
	for text, fine := range map[string]bool{
		"/leads/${participant.id}":                  true,
		"https://crm.example.com/leads/${x}":        true,
		"https://crm.example.com/${x}://y":          true,
		"https://${room.name}.example.com/x":        false,
		"https://${room.name}/x":                    false,
		"https://crm.example.com${participant.id}":  false,
		"https://u${participant.id}@example.com/":   false,
		"${room.metadata.scheme}://crm.example.com": false,
		"${room.metadata.url}":                      false,
	} {
		got := complaints(checkHTTP(engine.CheckInput{Dynamic: map[string]bool{"get": true}, Text: map[string]string{"get": text}, Conn: crm}))
		if strings.Contains(got, "any host") == fine {
			t.Errorf("%s: %q", text, got)
		}
	}
}

func FuzzInsertedIntoAddress(f *testing.F) {
	f.Add("a/../b")
	f.Fuzz(func(t *testing.T, v string) {
		u, err := resolve("/leads/"+escapeURL("get", v)+"?q="+escapeURL("get", v), &httpConn{Base: "https://crm.example.com"})
		if err != nil {
			return
		}
		if q, err := url.ParseQuery(u.RawQuery); err != nil || u.Host != "crm.example.com" || u.Path != "/leads/"+v || q.Get("q") != v {
			t.Errorf("%q became %s", v, u)
		}
	})
}
