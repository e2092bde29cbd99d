package actions

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// What a target knows of a connection it may send back, in whatever form. None
// of that is in a result or an error.
func TestHTTPSecretsStayInside(t *testing.T) {
	const odd = `~~~???p+ss "w/rd" ` + canary // looks otherwise in each form
	token := "token-" + canary
	forms := func(text string) []string {
		raw := []byte(text)
		return []string{text, url.QueryEscape(text), url.PathEscape(text), hex.EncodeToString(raw), strings.ToUpper(hex.EncodeToString(raw)),
			strings.Trim(strconv.Quote(text), `"`),
			base64.StdEncoding.EncodeToString(raw), base64.RawStdEncoding.EncodeToString(raw), base64.URLEncoding.EncodeToString(raw)}
	}
	known := forms(token)
	for _, secret := range []string{canary, odd, "u:" + odd, "id:" + canary, "id:" + url.QueryEscape(odd), base64.StdEncoding.EncodeToString([]byte(canary + canary))} {
		known = append(known, forms(secret)...)
	}
	status, tokenStatus := 0, 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/token" {
			w.WriteHeader(tokenStatus)
			if tokenStatus == http.StatusOK {
				_ = json.NewEncoder(w).Encode(map[string]string{"access_token": token, "token_type": "bearer"})
			} else {
				_ = json.NewEncoder(w).Encode(map[string]string{"error": known[0], "error_description": strings.Join(known, " ")})
			}
			return
		}
		said := append([]string{r.RequestURI, fmt.Sprint(r.Header)}, known...)
		for i, form := range known {
			w.Header().Set(fmt.Sprintf("X-%d", i), strings.NewReplacer("\n", "").Replace(form))
		}
		w.Header().Set("Location", "/"+strings.ReplaceAll(url.PathEscape(odd), "%2F", "/")+"/"+base64.URLEncoding.EncodeToString([]byte(canary)))
		w.WriteHeader(status)
		if status == http.StatusAccepted { // as text
			_, _ = io.WriteString(w, strings.Join(said, "\n"))
			return
		}
		_ = json.NewEncoder(w).Encode(said)
	}))
	defer server.Close()
	secret := engine.NewSecret
	for name, conn := range map[string]*httpConn{
		"bearer":    {Bearer: secret(canary)},
		"basic":     {User: "u", Password: secret(odd)},
		"header":    {Headers: map[string]engine.Secret{"X-Api-Key": secret(odd), "Authorization": secret("Token " + canary)}},
		"oauth":     {OAuth: &httpOAuth{TokenURL: server.URL + "/token", ClientID: "id", ClientSecret: secret(canary)}},
		"oauth odd": {OAuth: &httpOAuth{TokenURL: server.URL + "/token", ClientID: "id", ClientSecret: secret(odd), Auth: "body"}},
		"sign":      {Sign: &httpSign{Scheme: signHMAC, Secret: []engine.Secret{secret(odd)}}},
		"webhooks":  {Sign: &httpSign{Scheme: signStandard, Secret: []engine.Secret{secret("whsec_" + base64.StdEncoding.EncodeToString([]byte(canary+canary)))}}},
	} {
		conn.Base = server.URL + "/api"
		own := ownForms(conn, token, forms)
		for _, status = range []int{200, 202, 302, 400, 401, 503} {
			for _, tokenStatus = range []int{200, 400, 503} {
				for _, redirects := range []int{0, 2} {
					out := newClient(Options{AllowNet: loopback, Version: "test", Now: time.Now}, nil)
					with := fmt.Appendf(nil, `{"post":"/x","json":{"a":1},"redirects":%d}`, redirects)
					res, err := callHTTP(t.Context(), out, engine.Call{Key: "k", Via: "crm", With: with, Conn: conn})
					out.transport.CloseIdleConnections()
					seen := res.Note + string(res.Body) + fmt.Sprint(res.Headers, err)
					for _, form := range own {
						if strings.Contains(seen, form) {
							t.Fatalf("%s, %d: %s is in %s", name, status, form, seen)
						}
					}
				}
			}
		}
	}
}

// ownForms are the forms of what a connection itself holds.
func ownForms(conn *httpConn, token string, forms func(string) []string) (all []string) {
	for _, h := range conn.Headers {
		all = append(all, forms(strings.TrimPrefix(h.Reveal(), "Token "))...)
	}
	for _, text := range []string{conn.Bearer.Reveal(), conn.Password.Reveal()} {
		if text != "" {
			all = append(all, forms(text)...)
		}
	}
	if conn.User != "" {
		all = append(all, base64.StdEncoding.EncodeToString([]byte(conn.User+":"+conn.Password.Reveal())))
	}
	if o := conn.OAuth; o != nil {
		all = append(all, forms(token)...)
		all = append(all, forms(o.ClientSecret.Reveal())...)
		all = append(all, base64.StdEncoding.EncodeToString([]byte(o.ClientID+":"+url.QueryEscape(o.ClientSecret.Reveal()))))
	}
	if conn.Sign != nil {
		all = append(all, forms(strings.TrimPrefix(conn.Sign.Secret[0].Reveal(), "whsec_"))...)
	}
	return all
}

// A connection that is printed shows nothing.
func TestConnectionPrintsNoSecret(t *testing.T) {
	s := engine.NewSecret(canary)
	conn := &httpConn{Bearer: s, Password: s, Headers: map[string]engine.Secret{"A": s}, OAuth: &httpOAuth{ClientSecret: s}, TLS: &httpTLS{Cert: s, Key: s, CA: s}, Sign: &httpSign{Secret: []engine.Secret{s}}}
	text, err := json.Marshal(conn)
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{string(text), fmt.Sprintf("%v %+v", conn, *conn), fmt.Sprintf("%v %+v %#v", conn.OAuth, conn.TLS, conn.Sign)} {
		if strings.Contains(shown, canary) {
			t.Error(shown)
		}
	}
}
