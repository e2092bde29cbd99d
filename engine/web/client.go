package web

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// Client speaks to the API: over a socket, or to a handler in this process.
type Client struct{ http http.Client }

// NewClient makes a client that sends its requests through t.
func NewClient(t http.RoundTripper) *Client { return &Client{http.Client{Transport: t}} }

// Get reads path (such as "events") into v. What path holds of foreign text is
// escaped.
func (c *Client) Get(ctx context.Context, path string, params url.Values, v any) error {
	return c.call(ctx, http.MethodGet, "/api/v1/"+path, params, v)
}

// Post asks for path and reads the answer into v.
func (c *Client) Post(ctx context.Context, path string, v any) error {
	return c.call(ctx, http.MethodPost, "/api/v1/"+path, nil, v)
}

// Ready is nil if a server answers and accepts deliveries.
func (c *Client) Ready(ctx context.Context) error {
	return c.call(ctx, http.MethodGet, "/readyz", nil, nil)
}

func (c *Client) call(ctx context.Context, method, path string, params url.Values, v any) error {
	res, err := c.send(ctx, method, path, params, nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if v == nil {
		return nil
	}
	if err := json.NewDecoder(res.Body).Decode(v); err != nil {
		return fmt.Errorf("read the answer to %s: %w", path, err)
	}
	return nil
}

// send returns a 2xx answer, or an *Error with what the server said. A refused
// reload is an answer too: its report says what is wrong.
func (c *Client) send(ctx context.Context, method, path string, params url.Values, body io.Reader) (*http.Response, error) {
	u, err := url.Parse("http://gavel" + path)
	if err != nil {
		return nil, err
	}
	u.RawQuery = params.Encode()
	req, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode/100 == 2 {
		return res, nil
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 4<<20))
	if err != nil {
		return nil, err
	}
	if path == "/api/v1/reload" && res.StatusCode == http.StatusConflict {
		res.Body = io.NopCloser(bytes.NewReader(text))
		return res, nil
	}
	e := &Error{Status: res.StatusCode}
	if json.Unmarshal(text, e) != nil || e.What == "" {
		e.What = "the server answered " + res.Status
	}
	return nil, e
}

// Local is a transport that hands requests to h in this process: the body
// streams, and a handler that breaks off breaks the reading off.
func Local(h http.Handler) http.RoundTripper { return local{h} }

type local struct{ h http.Handler }

func (l local) RoundTrip(req *http.Request) (*http.Response, error) {
	body, pipe := io.Pipe()
	w := &localWriter{header: http.Header{}, body: pipe, begun: make(chan struct{})}
	go func() {
		err := io.ErrUnexpectedEOF
		defer func() {
			if recover() == nil {
				err = nil // a nil error closes the pipe with io.EOF
			}
			w.WriteHeader(http.StatusOK)
			pipe.CloseWithError(err)
		}()
		l.h.ServeHTTP(w, req)
	}()
	select {
	case <-w.begun:
	case <-req.Context().Done():
		body.Close()
		return nil, req.Context().Err()
	}
	return &http.Response{
		StatusCode: w.status, Status: fmt.Sprintf("%d %s", w.status, http.StatusText(w.status)),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, ContentLength: -1,
		Header: w.sent, Body: body, Request: req,
	}, nil
}

// localWriter is used by the handler's goroutine alone; begun publishes
// status and sent to the reader.
type localWriter struct {
	header, sent http.Header
	status       int
	body         *io.PipeWriter
	begun        chan struct{}
}

func (w *localWriter) Header() http.Header { return w.header }

func (w *localWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status, w.sent = status, w.header.Clone()
		close(w.begun)
	}
}

func (w *localWriter) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(b)
}
