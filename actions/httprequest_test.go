package actions

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// seen is a request as a target of the tests saw it.
type seen struct {
	*http.Request
	body string
}

// listen is a target that keeps what it is sent.
func listen(t *testing.T, answer http.HandlerFunc) (url string, requests *[]seen) {
	t.Helper()
	requests = new([]seen)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		*requests = append(*requests, seen{r, string(body)})
		if answer != nil {
			answer(w, r)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL, requests
}

// testClient may call this machine.
func testClient(t *testing.T) *client {
	t.Helper()
	out := newClient(Options{AllowNet: loopback, Version: "test", Now: time.Now}, nil)
	t.Cleanup(out.transport.CloseIdleConnections)
	return out
}

func TestMethods(t *testing.T) {
	url, requests := listen(t, nil)
	out := testClient(t)
	for _, tc := range []struct{ with, want string }{
		{`{"get":"/x"}`, "GET"}, {`{"post":"/x"}`, "POST"}, {`{"put":"/x"}`, "PUT"}, {`{"patch":"/x"}`, "PATCH"}, {`{"delete":"/x"}`, "DELETE"}, {`{"head":"/x"}`, "HEAD"},
		{`{"url":"/x","method":"PROPFIND"}`, "PROPFIND"}, {`{"url":"/x","method":"options"}`, "OPTIONS"}, {`{"url":"/x","method":"VERSION-CONTROL"}`, "VERSION-CONTROL"},
		{`{"url":"/x","method":"post","json":{"a":1}}`, "POST"},
		{`{"url":"/x"}`, ""}, {`{"method":"GET"}`, ""}, {`{"get":"/x","method":"GET"}`, ""}, {`{"get":"/x","url":"/y","method":"PUT"}`, ""}, {`{}`, ""},
		{`{"url":"/x","method":"CONNECT"}`, ""}, {`{"url":"/x","method":"trace"}`, ""}, {`{"url":"/x","method":"GET / HTTP/1.1\r\nX: y"}`, ""}, {`{"url":"/x","method":"É"}`, ""},
	} {
		*requests = nil
		_, err := callHTTP(t.Context(), out, engine.Call{With: []byte(tc.with), Conn: &httpConn{Base: url}})
		switch {
		case tc.want == "" && (!engine.IsPermanent(err) || len(*requests) > 0):
			t.Errorf("%s: %v, %d requests", tc.with, err, len(*requests))
		case tc.want != "" && (err != nil || len(*requests) != 1 || (*requests)[0].Method != tc.want):
			t.Errorf("%s: %v, %v", tc.with, err, *requests)
		}
	}
}

func TestMultipart(t *testing.T) {
	url, requests := listen(t, nil)
	out := testClient(t)
	with := `{"post":"` + url + `","multipart":{"room":"Weekly sync","n":12345678901234567890,"open":true,"none":null,
		"report":{"filename":"a \"b\"\r\nX: y; filename=c.csv","type":"text/csv; charset=utf-8","text":"a,b\r\n1,2\r\n"},"plain":{"text":"x"},"na\"me\n":"y"}}`
	for range 2 { // attempts
		if _, err := callHTTP(t.Context(), out, engine.Call{Key: "run-7.then.2", With: []byte(with)}); err != nil {
			t.Fatal(err)
		}
	}
	first, second := (*requests)[0], (*requests)[1]
	if first.body != second.body || first.Header.Get("Content-Type") != second.Header.Get("Content-Type") {
		t.Error("the second attempt sends other bytes")
	}
	_, params, err := mime.ParseMediaType(first.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for r := multipart.NewReader(strings.NewReader(first.body), params["boundary"]); ; {
		p, err := r.NextRawPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(p)
		got = append(got, fmt.Sprintf("%s|%s|%d|%s", p.Header.Get("Content-Disposition"), p.Header.Get("Content-Type"), len(p.Header), text))
	}
	want := []string{
		`form-data; name="n"||1|12345678901234567890`,
		`form-data; name="na%22me%0A"||1|y`,
		`form-data; name="none"||1|`,
		`form-data; name="open"||1|true`,
		`form-data; name="plain"|text/plain; charset=utf-8|2|x`,
		`form-data; name="report"; filename="a %22b%22%0D%0AX: y; filename=c.csv"|text/csv; charset=utf-8|2|` + "a,b\r\n1,2\r\n",
		`form-data; name="room"||1|Weekly sync`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestMultipartRefuses(t *testing.T) {
	for _, part := range []string{`["a"]`, `{"filename":"a","text":["x"]}`, `{"text":{}}`, `{"file":"a"}`, `{"type":"csv","text":""}`, `{"type":"text/csv\r\nX: y"}`, `{"type":"text/csv; charset"}`, `{"filename":1}`} {
		if _, _, err := partOf("f", json.RawMessage(part)); err == nil {
			t.Errorf("%s went through", part)
		}
	}
}

// The boundary is not in what it separates.
func TestBoundary(t *testing.T) {
	first := boundaryFor("k", "")
	if first != boundaryFor("k", "any text") || first == boundaryFor("l", "") {
		t.Error("the boundary does not follow the key")
	}
	if second := boundaryFor("k", "--"+first); second == first {
		t.Error("the boundary is in the text")
	}
}

func TestKeptHeaders(t *testing.T) {
	h := http.Header{
		"Content-Type": {"application/json"}, "X-Rate-Left": {"7"}, "Link": {"<a>", "<b>"}, "X-Token": {"the " + canary}, "X-Odd": {"\xff"},
		"Set-Cookie": {"s=1"}, "Www-Authenticate": {"Basic"}, "Connection": {"close"}, "Content-Length": {"3"}, "Proxy-Authenticate": {"Basic"}, "Keep-Alive": {"x"},
	}
	want := map[string]string{"content-type": "application/json", "x-rate-left": "7", "link": "<a>, <b>", "x-token": "the redacted", "x-odd": "\uFFFD"}
	if got := kept(h, hidden(canary)); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
	many := http.Header{}
	for i := range 200 {
		many.Set(fmt.Sprintf("X-%03d", i), "v")
	}
	if got := kept(many, nil); len(got) != 64 || got["x-000"] != "v" || fmt.Sprint(got) != fmt.Sprint(kept(many, nil)) {
		t.Errorf("%d headers of 200", len(got))
	}
	if got := kept(http.Header{"A": {strings.Repeat("x", 9<<10)}, "B": {"y"}}, nil); len(got) > 0 {
		t.Errorf("%d headers, one of them of 9 KiB", len(got))
	}
}

// ok may be a condition; what the answer means for later is still up to its status.
func TestCondition(t *testing.T) {
	status := 0
	url, _ := listen(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, `{"accepted":false}`)
	})
	out := testClient(t)
	host := strings.TrimPrefix(url, "http://")
	for _, tc := range []struct {
		status  int
		accepts func(engine.Result) (bool, error)
		want    string // "" is a success
		after   time.Duration
	}{
		{200, func(r engine.Result) (bool, error) {
			return string(r.Body) == `{"accepted":false}` && r.Status == 200 && r.Headers["retry-after"] == "7", nil
		}, "", 0},
		{404, func(engine.Result) (bool, error) { return true, nil }, "", 0},
		{503, func(engine.Result) (bool, error) { return true, nil }, "", 0},
		{200, func(engine.Result) (bool, error) { return false, nil }, "200 OK: the condition of ok is false: {\"accepted\":false}", -1},
		{503, func(engine.Result) (bool, error) { return false, nil }, "503 Service Unavailable: the condition of ok is false: {\"accepted\":false}", 7 * time.Second},
		{200, func(engine.Result) (bool, error) { return false, fmt.Errorf("it is no map") }, "200 OK: ok: it is no map: {\"accepted\":false}", -1},
		{502, func(engine.Result) (bool, error) { return false, fmt.Errorf("it is no map") }, "502 Bad Gateway: ok: it is no map: {\"accepted\":false}", 7 * time.Second},
		{200, nil, "the condition of ok is not known any more", -1},
	} {
		status = tc.status
		_, err := callHTTP(t.Context(), out, engine.Call{With: []byte(`{"get":"` + url + `/a","ok":"response.body.accepted"}`), Accepts: tc.accepts})
		got := strings.TrimPrefix(fmt.Sprint(err), "GET "+host+"/a: ")
		if err == nil {
			got = ""
		}
		after, _ := engine.RetryDelay(err)
		if got != tc.want || engine.IsPermanent(err) != (tc.after < 0) || tc.after > 0 && after != tc.after {
			t.Errorf("%d:\n got %s (permanent %v, after %s)\nwant %s", tc.status, got, engine.IsPermanent(err), after, tc.want)
		}
	}
}
