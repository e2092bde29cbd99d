package triggers

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// The page on delivery lists every answer that a sender can get, in one table
// those that leave a delivery and in another those that do not, and says right
// after which of them the connection is kept open.
func TestWhatTheSenderSees(t *testing.T) {
	page, err := os.ReadFile("../docs/delivery.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## What the sender sees\n")
	section, _, _ = strings.Cut(section, "\n## ")
	kept, lost, ok := strings.Cut(section, "\nWhat is no delivery ")
	if !ok {
		t.Fatal("the section has no second table")
	}
	listed := func(table, answer string) bool {
		for line := range strings.Lines(table) {
			if cells := strings.SplitN(line, "|", 3); len(cells) == 3 && strings.Contains(cells[1], answer) {
				return true
			}
		}
		return false
	}
	body := string(anySample(t, "livekit"))
	raw := func(first, headers, body string) string {
		return fmt.Sprintf("%s HTTP/1.1\r\nHost: x\r\n%s\r\n%s", first, headers, body)
	}
	signed := func(body string) string {
		var h bytes.Buffer
		_ = suiteRequest(t, LiveKit(), 0, []byte(body)).Header.Write(&h)
		return h.String()
	}
	length := func(body string) string { return fmt.Sprintf("Content-Length: %d\r\n", len(body)) }
	chunks := func(body string) string { return fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body) }
	const post, chunked = "POST /hooks/livekit-a", "Transfer-Encoding: chunked\r\n"
	full := fmt.Errorf("%w: it is full", engine.ErrUnavailable)
	for _, tc := range []struct {
		name, sent string
		fail       error
		answer     string // "": none
		trace      bool   // it leaves a delivery with this status and a reason
		open       bool   // the connection is kept
		took       time.Duration
	}{
		{"accepted", raw(post, signed(body)+length(body), body), nil, "200", false, true, 0},
		{"accepted without a length", raw(post, signed(body)+chunked, chunks(body)), nil, "200", false, false, 0},
		{"not stored", raw(post, signed(body)+length(body), body), full, "503", true, true, 0},
		{"signed, no JSON", raw(post, signed("{")+length("{"), "{"), nil, "400", true, true, 0},
		{"half a body", raw(post, length(body), body[:9]), nil, "400", true, false, requestTime},
		{"not signed", raw(post, length(body), body), nil, "401", true, false, 0},
		{"no such source", raw("POST /hooks/nobody", length(body), body), nil, "401", true, false, 0},
		{"too large", raw(post, "Content-Length: 2000000\r\n", ""), nil, "413", true, false, 0},
		{"compressed", raw(post, "Content-Encoding: gzip\r\n"+length(body), body), nil, "415", true, false, 0},
		{"a path below", raw("POST /hooks/livekit-a/", signed(body)+length(body), body), nil, "404", false, false, 0},
		{"a path of nobody", raw("POST /nix", length(body), body), nil, "404", false, false, 0},
		{"another method", raw("GET /hooks/livekit-a", "", ""), nil, "405", false, false, 0},
		{"long headers", raw(post, "X: "+strings.Repeat("x", 37<<10)+"\r\n", ""), nil, "431", false, false, 0},
		{"a length that is none", raw(post, "Content-Length: x\r\n", ""), nil, "400", false, false, 0},
		{"two lengths", raw(post, "Content-Length: 1\r\nContent-Length: 2\r\n", ""), nil, "400", false, false, 0},
		{"no host", post + " HTTP/1.1\r\n\r\n", nil, "400", false, false, 0},
		{"an expectation", raw(post, "Expect: more\r\n"+length(body), body), nil, "417", false, false, 0},
		{"another coding", raw(post, "Transfer-Encoding: gzip\r\n", ""), nil, "501", false, false, 0},
		{"another version", post + " HTTP/3.0\r\nHost: x\r\n\r\n", nil, "505", false, false, 0},
		{"half the headers", post + " HTTP/1.1\r\nHost: x\r\n", nil, "", false, false, 5 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, c := endpoint(t, []engine.SourceConfig{liveKitSource(0)})
				c.fail = tc.fail
				ours, theirs := net.Pipe()
				server := Server("", e.Handler())
				go func() { _ = server.Serve(&single{conn: ours}) }()
				go func() { _, _ = io.WriteString(theirs, tc.sent) }() // it may not want all of it
				began := time.Now()
				resp, err := http.ReadResponse(bufio.NewReader(theirs), nil)
				answer := ""
				if err == nil {
					answer = fmt.Sprint(resp.StatusCode)
				} else if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Error(err)
				}
				if took := time.Since(began); answer != tc.answer || took < tc.took || took > tc.took+time.Second {
					t.Errorf("answer %q after %s, want %q after %s", answer, took, tc.answer, tc.took)
				}
				if err == nil && resp.Close == tc.open {
					t.Errorf("kept open: %v", tc.open)
				}
				theirs.Close()
				time.Sleep(time.Second) // the server lingers, so that its answer is read
				synctest.Wait()
				c.mu.Lock()
				defer c.mu.Unlock()
				if traced := len(c.refused) == 1 && fmt.Sprint(c.refused[0].Status) == answer && c.refused[0].Reason != ""; traced != tc.trace || len(c.refused) > 1 {
					t.Errorf("deliveries %+v", c.refused)
				}
				server.Close()
			})
			table, row := lost, tc.answer
			switch {
			case tc.answer == "200":
				table, row = kept, "2xx"
			case tc.trace:
				table = kept
			case tc.answer == "":
				row = "none"
			}
			if !listed(table, row) {
				t.Errorf("docs/delivery.md: no row of %q in the table where it belongs", row)
			}
		})
	}
}
