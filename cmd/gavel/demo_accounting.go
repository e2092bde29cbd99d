package main

import (
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// accounting is the demo's other system: it takes invoices over HTTP, and is
// out of order when the story wants it to be.
type accounting struct {
	URL  string
	http *http.Server

	mu    sync.Mutex
	down  int            // requests it still refuses
	calls map[string]int // by idempotency key
}

// newAccounting starts it on a loopback port. close stops it.
func newAccounting() (*accounting, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start the demo's accounting: %w", unwrapped(err))
	}
	s := &accounting{URL: "http://" + l.Addr().String(), calls: map[string]int{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /invoices", s.invoice)
	s.http = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = s.http.Serve(l) }() // returns at close
	return s, nil
}

func (s *accounting) close() { _ = s.http.Close() }

// refuse makes the next n requests fail with 503.
func (s *accounting) refuse(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = n
}

// called reports whether some idempotency key came n times.
func (s *accounting) called(n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, times := range s.calls {
		if times == n {
			return true
		}
	}
	return false
}

func (s *accounting) invoice(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[r.Header.Get("Idempotency-Key")]++
	if s.down > 0 {
		s.down--
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusCreated)
}
