package pressure

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// Two thousand connections that send half of something and then nothing: who
// has something to say is heard meanwhile, they take little, and are dropped.
func TestStrangers(t *testing.T) {
	for _, c := range []struct {
		name, half string
		grows      int64 // MiB, at most
	}{
		{"half a header", "POST /hooks/load HTTP/1.1\r\nHost: gavel\r\nX-Half: ", 64},
		{"nothing", "", 64},
		// What a first collection amid the crowd sees, Go leaves as much of for the
		// next one.
		{"half a small body", body(4<<10, 2<<10), 96},
		{"half a large body", body(1<<20, 512<<10), 96},
		{"most of 64 KiB", body(64<<10, 63<<10), 96},
	} {
		t.Run(c.name, func(t *testing.T) {
			if *long < 2 && c.name != "half a header" {
				t.Skip("takes longer: -long 2")
			}
			s := start(t, options(t))
			good := stream{deliver: retrying(1000), rate: 400, clients: 8}
			// Until it has as much as that load takes without strangers.
			ctx, stop := context.WithTimeout(t.Context(), time.Duration(min(*long, 5))*time.Second)
			warm := good.run(ctx, s.Hooks)
			stop()
			_, before := memory(t, s)
			good.rate = 100

			began := time.Now()
			strangers := crowd(t, s.Hooks, 2000, c.half)
			opened := time.Since(began)
			ctx, stop = context.WithCancel(t.Context())
			defer stop()
			good.from = 1_000_000
			var got *answers
			var sending sync.WaitGroup
			sending.Go(func() { got = good.run(ctx, s.Hooks) })
			strangers.Wait()
			dropped := time.Since(began)
			stop()
			sending.Wait()
			_, most := memory(t, s)
			t.Logf("before: %s; opened in %s, dropped after %s; meanwhile %s; memory %s, at most +%s", warm,
				opened.Round(time.Millisecond), dropped.Round(time.Millisecond), got, mib(before), mib(most-before))
			slowest := time.Second // other tests may be running
			if *long > 1 {
				slowest = max(250*time.Millisecond, 2*warm.p(99))
			}
			if len(got.status) != 1 || got.broken > 0 || got.p(99) > slowest {
				t.Errorf("meanwhile: %s; want all accepted, p99 at most %s", got, slowest)
			}
			if most-before > c.grows<<20 {
				t.Errorf("the process grew by %s, want at most %d MiB", mib(most-before), c.grows)
			}
			if dropped > 20*time.Second {
				t.Errorf("the last one was dropped after %s, want 20s", dropped)
			}
		})
	}
}

// body is the beginning of a delivery of size bytes, with sent bytes of it.
func body(size, sent int) string {
	return fmt.Sprintf("POST /hooks/load HTTP/1.1\r\nHost: gavel\r\nAuthorization: x\r\nContent-Length: %d\r\n\r\n%s",
		size, strings.Repeat(" ", sent))
}

// crowd opens n connections that send half, and then wait until they are
// closed.
func crowd(t *testing.T, base string, n int, half string) *sync.WaitGroup {
	t.Helper()
	var all sync.WaitGroup
	ready := make(chan struct{}, n)
	for range n {
		all.Go(func() {
			conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
			if err != nil {
				t.Error(err)
				ready <- struct{}{}
				return
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(40 * time.Second))
			sent := make(chan struct{})
			go func() {
				defer close(sent)
				_, _ = io.WriteString(conn, half) // an error if it is dropped before
			}()
			ready <- struct{}{}
			_, _ = io.Copy(io.Discard, conn)
			conn.Close()
			<-sent
		})
	}
	for range n {
		<-ready
	}
	return &all
}
