package actions

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/gavelhq/gavel/engine"
)

// payload is a text as somebody would choose it who wants to add to a request.
func payload(random *rand.Rand) string {
	pieces := []string{"\r\n", "\n", "\r", "\x00", "\t", " ", "\v", "\x1b", "\x7f", "\u0085", "\u2028", "X-Admin: 1", "Host: evil.example", "GET /admin HTTP/1.1", "Transfer-Encoding: chunked",
		"Content-Length: 0", "evil.example", "@evil.example", "//evil.example/", "/../", "..", "%2e%2e", "%0d%0a", "?a=b", "#", "&admin=1", "=", ";", `"; filename="x`, `"`, "--", "a", "Müller", ":80", "[::1]", "\\", "http://evil.example/", "{}", "${x}"}
	var b strings.Builder
	for range 1 + random.IntN(5) {
		b.WriteString(pieces[random.IntN(len(pieces))])
	}
	return b.String()
}

// 3,000 texts in headers, addresses, queries, forms and parts: each request has
// the headers it should have and no other, goes to its host, and holds the text
// as it was, or is not made at all.
func TestInjection(t *testing.T) {
	const seed, many = 18, 3_000
	random := rand.New(rand.NewPCG(seed, 0))
	var got []seen
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = append(got, seen{r, string(body)})
	}))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	out := testClient(t)
	conn := &httpConn{Base: server.URL + "/api"}
	made, refused := 0, 0
	for i := range many {
		text := payload(random)
		name, with, check := placed(i, text)
		encoded, err := json.Marshal(with)
		if err != nil {
			t.Fatal(err)
		}
		got = nil
		_, err = callHTTP(t.Context(), out, engine.Call{Key: "k", With: encoded, Conn: conn})
		if err != nil {
			refused++
			if !engine.IsPermanent(err) || len(got) > 0 || hasControl(err.Error()) {
				t.Fatalf("seed %d, %d: %s %q: %v, %d requests", seed, i, name, text, err, len(got))
			}
			continue
		}
		made++
		if len(got) != 1 {
			t.Fatalf("seed %d, %d: %s %q made %d requests", seed, i, name, text, len(got))
		}
		r := got[0]
		allowed := []string{"Accept", "Accept-Encoding", "Content-Length", "Content-Type", "Idempotency-Key", "User-Agent", "X-Own"}
		for header := range r.Header {
			if !slices.Contains(allowed, header) && !(name == "header name" && strings.EqualFold(header, text)) {
				t.Fatalf("seed %d, %d: %s %q added the header %q", seed, i, name, text, header)
			}
		}
		if r.Host != host || !strings.HasPrefix(r.URL.Path, "/api/") || len(r.TransferEncoding) > 0 {
			t.Fatalf("seed %d, %d: %s %q went to %s%s", seed, i, name, text, r.Host, r.URL.Path)
		}
		if !check(r, text) {
			t.Fatalf("seed %d, %d: %s %q arrived as %s %q %q", seed, i, name, text, r.RequestURI, r.Header, r.body)
		}
	}
	if made < many/2 || refused < many/20 {
		t.Errorf("%d requests made, %d refused: this tests nothing", made, refused)
	}
	t.Logf("%d requests made, %d refused", made, refused)
}

// placed puts a text into one of the places of a request, and tells how it has
// to arrive.
func placed(i int, text string) (name string, with map[string]any, check func(r seen, text string) bool) {
	with = map[string]any{"post": "/x"}
	switch i % 10 {
	case 0:
		with["headers"] = map[string]string{"X-Own": text}
		return "header", with, func(r seen, text string) bool { return r.Header.Get("X-Own") == strings.Trim(text, " \t") }
	case 1:
		with["headers"] = map[string]string{text: "x"}
		return "header name", with, func(r seen, text string) bool { return r.Header.Get(text) == "x" }
	case 2:
		with["post"] = "/x/" + escapeURL("post", text) + "/y"
		return "path", with, func(r seen, text string) bool { return r.URL.Path == "/api/x/"+text+"/y" }
	case 3:
		with["post"] = "/x?q=" + escapeURL("post", text)
		return "address's query", with, func(r seen, text string) bool {
			return onlyValue(r.URL.Query(), "q", strings.ReplaceAll(text, "\x00", ""))
		}
	case 4:
		with["query"] = map[string]string{"q": text}
		return "query", with, func(r seen, text string) bool { return onlyValue(r.URL.Query(), "q", text) }
	case 5:
		with["query"] = map[string]string{text: "v"}
		return "query name", with, func(r seen, text string) bool { return onlyValue(r.URL.Query(), text, "v") }
	case 6:
		with["form"] = map[string]string{text: text}
		return "form", with, func(r seen, text string) bool {
			v, err := url.ParseQuery(r.body)
			return err == nil && onlyValue(v, text, text)
		}
	case 7:
		with["multipart"] = map[string]any{text: map[string]string{"filename": text, "text": text}}
		return "part", with, onePart
	case 8:
		with["multipart"] = map[string]any{"f": map[string]string{"type": text, "text": "x"}}
		return "part's type", with, func(r seen, text string) bool {
			return strings.Contains(r.body, "\r\nContent-Type: "+text+"\r\n\r\nx\r\n--")
		}
	}
	delete(with, "post")
	with["url"], with["method"] = "/x", text
	return "method", with, func(r seen, text string) bool { return r.Method == strings.ToUpper(text) }
}

func onlyValue(v url.Values, name, value string) bool {
	return maps.EqualFunc(v, url.Values{name: {value}}, slices.Equal)
}

// onePart reports whether a body is one part with that name, file and text.
func onePart(r seen, text string) bool {
	_, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return false
	}
	parts := multipart.NewReader(strings.NewReader(r.body), params["boundary"])
	p, err := parts.NextRawPart()
	if err != nil || len(p.Header) != 2 {
		return false
	}
	body, err := io.ReadAll(p)
	if err != nil || string(body) != text {
		return false
	}
	_, err = parts.NextRawPart()
	want := fmt.Sprintf(`form-data; name="%s"; filename="%s"`, quotedPart(text), quotedPart(text))
	return errors.Is(err, io.EOF) && p.Header.Get("Content-Disposition") == want && !strings.ContainsAny(quotedPart(text), "\"\r\n\x00")
}
