package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/gavelhq/gavel/actions"
	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/rules"
	"github.com/gavelhq/gavel/triggers"
)

// The kinds of baseline: Gavel's own endpoint, verification, decoding, rules
// and actions, with another store.
const (
	storesNothing = "nothing"
	storesLog     = "log" // appends the raw events to a file, with group commit
)

// serveBaseline prints its address and serves until standard input ends.
func serveBaseline(ctx context.Context, kind, rulesFile, dir string) error {
	debug.SetGCPercent(200) // as gavel serve
	newID := func() string { return ulid.Make().String() }
	keeper := &memory{newID: newID, runs: make(chan engine.Due, 4096)}
	if kind == storesLog {
		file, err := openLog(filepath.Join(dir, "events.log"))
		if err != nil {
			return err
		}
		defer file.close()
		keeper.keep = file.append
	}
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	text, err := os.ReadFile(rulesFile)
	if err != nil {
		return err
	}
	options := rules.Options{
		Actions:   actions.Builtin(actions.Options{Log: log, Version: "baseline", Now: time.Now}),
		Platforms: []engine.PlatformKind{triggers.PlugNMeet()},
		Getenv:    os.LookupEnv,
	}
	set, problems := rules.Load([]rules.File{{Name: rulesFile, Text: text}}, options)
	if set == nil {
		return problems
	}
	e, err := engine.New(engine.Options{Store: keeper, Actions: options.Actions, Now: time.Now, Rand: rand.Float64, Log: log})
	if err != nil {
		return err
	}
	if _, err := e.Use(ctx, set, set.Connection); err != nil {
		return err
	}
	endpoint := triggers.NewEndpoint(triggers.EndpointOptions{
		Accept: e.Accept, Fill: set.Fill, Refused: func(engine.Received) {}, Now: time.Now, NewID: newID, Log: log,
	})
	if err := endpoint.Use(options.Platforms, set.Sources()); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	running := make(chan error, 1)
	go func() { running <- e.Run(ctx, time.Second) }()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.Handle("/", endpoint.Handler())
	srv := triggers.Server("", mux)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // until whoever started this is done
		srv.Close()
	}()
	fmt.Printf("http://%s\n", listener.Addr())
	err = srv.Serve(listener)
	cancel()
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return errors.Join(err, <-running)
}
