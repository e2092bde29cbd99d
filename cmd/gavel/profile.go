package main

import (
	"net/http"
	"net/http/pprof"

	"github.com/go-chi/chi/v5"
)

// withProfiles adds the profiles of Go's runtime to the API. It is served on the
// socket alone: a profile shows what is in memory.
func withProfiles(api http.Handler) http.Handler {
	r := chi.NewRouter()
	r.Get("/debug/pprof/", pprof.Index)
	r.Get("/debug/pprof/profile", pprof.Profile)
	r.Get("/debug/pprof/trace", pprof.Trace)
	r.Get("/debug/pprof/{name}", pprof.Index)
	r.Handle("/*", api)
	return r
}
