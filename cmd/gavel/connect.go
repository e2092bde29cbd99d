package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/gavelhq/gavel/engine/store"
	"github.com/gavelhq/gavel/engine/web"
)

// socketPath is where a server on the data folder listens.
func (a *app) socketPath() string { return filepath.Join(a.dataDir, "gavel.sock") }

// logDir is where the files of log steps are.
func (a *app) logDir() string { return filepath.Join(a.dataDir, "logs") }

// execDir is where the programs of exec steps have their working folders.
func (a *app) execDir() string { return filepath.Join(a.dataDir, "exec") }

// connection is the API as a command sees it.
type connection struct {
	*web.Client
	live  bool // a server answers
	close func()
}

// connect reaches the server of the data folder or, where none answers, opens
// the store for reading. The same handler answers in both cases.
func (a *app) connect(ctx context.Context) (*connection, error) {
	c, err := a.connectServer()
	if err == nil || !errors.Is(err, errNoServer) {
		return c, err
	}
	reader, err := store.OpenReader(ctx, a.dataDir, a.now)
	if err != nil {
		return nil, fail(exitUnreadable, err, "")
	}
	h := web.New(web.Options{Store: reader, Sources: a.configuredSources, Rules: a.rulesOfFile(reader), Now: a.now})
	return &connection{Client: web.NewClient(web.Local(h)), close: func() { reader.Close() }}, nil
}

// errNoServer: nobody listens on the socket.
var errNoServer = errors.New("no server is running on this data folder")

// connectServer reaches the server or fails with errNoServer.
func (a *app) connectServer() (*connection, error) {
	path := a.socketPath()
	probe, err := net.DialTimeout("unix", path, 5*time.Second)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOTDIR): // the latter: --data is a file
		return nil, errNoServer
	case errors.Is(err, fs.ErrPermission):
		return nil, fail(exitUnreachable, fmt.Errorf("%s belongs to another user", path), "run this as the user of the server, such as: sudo -u gavel gavel …")
	case err != nil:
		return nil, fail(exitUnreachable, fmt.Errorf("reach the server: %w", err), "")
	}
	probe.Close()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}
	return &connection{Client: web.NewClient(transport), live: true, close: transport.CloseIdleConnections}, nil
}

// requireServer is connectServer for what only a server can do.
func (a *app) requireServer() (*connection, error) {
	c, err := a.connectServer()
	if errors.Is(err, errNoServer) {
		return nil, fail(exitUnreachable, fmt.Errorf("no server is running on %s", a.dataDir), "start it with gavel serve, or name its folder with --data")
	}
	return c, err
}

// answered gives an error of the API its exit code.
func answered(err error) error {
	var e *web.Error
	var f *failure
	switch {
	case err == nil, errors.As(err, &f):
		return err
	case errors.As(err, &e) && e.Status == http.StatusBadRequest:
		return fail(exitUsage, err, e.Hint)
	case errors.As(err, &e) && e.Status/100 == 4:
		return fail(exitFindings, err, e.Hint)
	case errors.As(err, &e):
		return fail(exitUnreachable, err, e.Hint)
	case errors.Is(err, context.Canceled):
		return fail(exitInterrupted, nil, "")
	}
	return fail(exitUnreachable, err, "")
}

// stdinIsTerminal reports whether a question can be asked.
func (a *app) stdinIsTerminal() bool {
	f, ok := a.in.(*os.File)
	return ok && isTerminal(f)
}

// get reads one answer of the API into into.
func (a *app) get(ctx context.Context, path string, params url.Values, into any) error {
	c, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	return answered(c.Get(ctx, path, params, into))
}
