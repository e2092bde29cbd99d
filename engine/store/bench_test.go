package store

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// BenchmarkAccept is the raw rate of durable accepts: 64 clients, 1 KB bodies,
// one in ten with a run, runs left alone. It also says how large an event is in
// the file, with all that it makes.
func BenchmarkAccept(b *testing.B) {
	s := inUse(b, b.TempDir())
	accepts(b, s)
	b.StopTimer()
	if err := s.Close(); err != nil { // folds the log in
		b.Fatal(err)
	}
	info, err := os.Stat(s.path)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(info.Size())/float64(b.N), "B/event")
}

// BenchmarkAcceptBesideTimers is the same with 50,000 timers open.
func BenchmarkAcceptBesideTimers(b *testing.B) {
	s := inUse(b, b.TempDir())
	manyTimers(b, s, 50_000)
	accepts(b, s)
}

func accepts(b *testing.B, s *SQLite) {
	raw := []byte(`{"text":"` + strings.Repeat("x", 1000) + `"}`)
	var n atomic.Int64
	ctx := context.Background()
	b.SetParallelism(64 / runtime.GOMAXPROCS(0))
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			i := n.Add(1)
			now := time.Now().UTC()
			typ := engine.TrackPublished
			if i%10 == 0 {
				typ = engine.ParticipantJoined
			}
			id := fmt.Sprint("d", i)
			_, err := s.Accept(ctx, engine.Inbound{
				Delivery: engine.Received{ID: "dlv_" + newID(), At: now, Source: "pnm"}, Now: now,
				Keys: []engine.DedupeKey{{ID: id, Time: now}},
				Events: []engine.Event{{Type: typ, Name: typ, Source: "pnm", Platform: "plugnmeet", Time: now, Received: now, Raw: raw,
					Room: engine.Room{ID: fmt.Sprint("room", i/40)}, Session: engine.Session{ID: fmt.Sprint("s", i/40)},
					Participant: engine.Participant{ID: fmt.Sprint("p", i%20), ConnectionID: id, Name: "Ann"}}},
			})
			if err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "accepts/s")
}
