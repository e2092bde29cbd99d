// Package load makes signed deliveries and posts them over keep-alive
// connections, for tests and measurements under load. Everything costly is
// done before the first byte is sent: a sender on the same machine should not
// compete with what it measures.
package load

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/triggers"
)

const (
	key    = "load-key"
	secret = "a-secret-of-at-least-16-bytes"
)

// Source is the source the deliveries are for, as YAML for a rules file.
const Source = `sources:
  load: { platform: plugnmeet, api_key: env:LOAD_KEY, secret: env:LOAD_SECRET }
`

// Env is what Source refers to.
func Env() []string { return []string{"LOAD_KEY=" + key, "LOAD_SECRET=" + secret} }

// Config is Source as the server reads it.
func Config() engine.SourceConfig {
	return engine.SourceConfig{
		Name: "load", Platform: "plugnmeet", Tenant: "default", MaxBody: 1 << 20,
		APIKey: key, Secrets: []engine.Secret{engine.NewSecret(secret)},
	}
}

// Delivery is one signed webhook of about 1 KB.
type Delivery struct {
	Request engine.Request
	Wire    []byte // the whole HTTP request
}

// SessionEnded is a delivery that tells of the end of a session of 90 minutes
// in room. Every n is a session of its own.
func SessionEnded(n int, room string, now time.Time) (Delivery, error) {
	title, err := json.Marshal(map[string]string{"room_title": "Weekly sync", "notes": strings.Repeat("agenda ", 113)})
	if err != nil {
		return Delivery{}, err
	}
	body, err := json.Marshal(map[string]any{
		"event": "session_ended",
		"room": map[string]any{
			"sid": fmt.Sprintf("RM_%08d", n), "room_id": room, "metadata": string(title),
			"creation_time": fmt.Sprint(now.Add(-90 * time.Minute).Unix()),
		},
		"id": fmt.Sprintf("00000000-0000-4000-8000-%012d", n), "created_at": fmt.Sprint(now.Unix()),
	})
	if err != nil {
		return Delivery{}, err
	}
	return Signed(body, now)
}

// Signed is a delivery of body, which is what the platform of Source sends,
// signed at now.
func Signed(body []byte, now time.Time) (Delivery, error) {
	signed, err := triggers.PlugNMeet().Sign(Config(), engine.SignRequest{Body: body, Now: now})
	if err != nil {
		return Delivery{}, err
	}
	req, err := http.NewRequest(http.MethodPost, "http://gavel/hooks/load", bytes.NewReader(signed.Body))
	if err != nil {
		return Delivery{}, err
	}
	req.Header = signed.Header.Clone()
	var wire bytes.Buffer
	if err := req.Write(&wire); err != nil {
		return Delivery{}, err
	}
	signed.ReceivedAt = now
	return Delivery{signed, wire.Bytes()}, nil
}

// Conn is a keep-alive connection to a server. It is for one goroutine.
type Conn struct {
	conn net.Conn
	read *bufio.Reader
}

// Dial connects to the server at base, such as http://127.0.0.1:6080.
func Dial(base string) (*Conn, error) {
	conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		return nil, err
	}
	return &Conn{conn, bufio.NewReader(conn)}, nil
}

// Post sends the delivery and returns the status of the answer. After an error
// the connection is of no more use.
func (c *Conn) Post(d Delivery) (int, error) {
	if err := c.conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return 0, err
	}
	if _, err := c.conn.Write(d.Wire); err != nil {
		return 0, err
	}
	return c.answer()
}

// answer reads an answer. It knows no more of HTTP than that an answer has a
// Content-Length, which all of Gavel's have: net/http would cost this process
// as much as the delivery costs the one that is measured.
func (c *Conn) answer() (status int, err error) {
	length := -1
	for n := 0; ; n++ {
		line, err := c.read.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		name, value, _ := bytes.Cut(bytes.TrimRight(line, "\r\n"), []byte(" "))
		switch {
		case n == 0: // HTTP/1.1 200 OK
			code, _, _ := bytes.Cut(value, []byte(" "))
			if status, err = strconv.Atoi(string(code)); err != nil {
				return 0, fmt.Errorf("the answer begins with %.80q", line)
			}
		case bytes.EqualFold(name, []byte("Content-Length:")):
			if length, err = strconv.Atoi(string(value)); err != nil {
				return 0, err
			}
		case len(name) == 0:
			if length < 0 {
				return 0, fmt.Errorf("an answer %d without a Content-Length", status)
			}
			_, err = c.read.Discard(length)
			return status, err
		}
	}
}

// Close closes the connection.
func (c *Conn) Close() error { return c.conn.Close() }
