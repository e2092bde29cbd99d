package triggers

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/gavelhq/gavel/engine"
)

const (
	// smallBody is what everybody may send. It is more than most webhooks have.
	smallBody = 4 << 10
	// bodyWait is how long a larger one waits for its turn, bodyWaits how many do,
	// and bodyTime is how long the rest of it may take then.
	bodyWait  = 2 * time.Second
	bodyWaits = 256
	bodyTime  = 5 * time.Second
)

// bodies bounds the memory for bodies that are being read and verified: of
// thousands of strangers who each send almost max_body and then wait, few get
// beyond smallBody. An address gets no more than it leaves to the others.
type bodies struct {
	most int64

	mu    sync.Mutex
	taken int64
	by    map[netip.Addr]int64
	waits int
	freed chan struct{} // closed when something becomes free
}

func newBodies(most int64) *bodies {
	return &bodies{most: most, by: map[netip.Addr]int64{}, freed: make(chan struct{})}
}

// read reads the whole body, at most limit bytes; done, which may be called
// more than once, says that it is no longer under way. What it returns is never
// reused: the event keeps it as its raw payload.
func (b *bodies) read(w http.ResponseWriter, r *http.Request, from netip.Addr, limit int64) (body []byte, done func(), err error) {
	done = func() {}
	if r.ContentLength > limit {
		return nil, done, &http.MaxBytesError{Limit: limit}
	}
	// The claimed length is believed only so far: two thousand senders that
	// promise a megabyte and never send it must cost little.
	size := min(max(r.ContentLength, 0), smallBody) + bytes.MinRead
	buf := bytes.NewBuffer(make([]byte, 0, size))
	src := http.MaxBytesReader(w, r.Body, limit)
	if _, err := buf.ReadFrom(io.LimitReader(src, smallBody)); err != nil || buf.Len() < smallBody {
		return buf.Bytes(), done, err
	}
	whole := limit
	if r.ContentLength >= 0 {
		whole = r.ContentLength
	}
	if done, err = b.take(r, from, whole); err != nil {
		return buf.Bytes(), done, err
	}
	// Else few slow senders would keep everybody's memory for as long as a
	// request may take.
	cut := time.AfterFunc(bodyTime, func() { _ = http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0)) })
	defer cut.Stop()
	if r.ContentLength >= 0 {
		buf.Grow(int(whole) - buf.Len() + bytes.MinRead)
	}
	_, err = buf.ReadFrom(src)
	return buf.Bytes(), done, err
}

// take waits until size bytes are free for an address.
func (b *bodies) take(r *http.Request, from netip.Addr, size int64) (done func(), err error) {
	size = min(size, b.most) // a larger one comes when there is no other
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.free(from, size) && !b.wait(r, from, size) {
		return func() {}, fmt.Errorf("%w: bodies of more than %d bytes are under way and take %d bytes of memory already",
			engine.ErrUnavailable, smallBody, b.taken)
	}
	b.add(from, size)
	return sync.OnceFunc(func() { b.give(from, size) }), nil
}

// free reports whether an address may have size bytes. The caller holds b.mu.
func (b *bodies) free(from netip.Addr, size int64) bool {
	return b.taken == 0 || b.by[from]+size <= b.most-b.taken-size
}

// wait waits until an address may have size bytes, and reports whether it may.
// The caller holds b.mu, which it gives up meanwhile.
func (b *bodies) wait(r *http.Request, from netip.Addr, size int64) bool {
	if b.waits >= bodyWaits {
		return false
	}
	b.waits++
	defer func() { b.waits-- }()
	timer := time.NewTimer(bodyWait)
	defer timer.Stop()
	for over := false; !over && !b.free(from, size); {
		freed := b.freed
		b.mu.Unlock()
		select {
		case <-freed:
		case <-timer.C:
			over = true
		case <-r.Context().Done():
			over = true
		}
		b.mu.Lock()
	}
	return b.free(from, size)
}

// add counts size bytes for an address. The caller holds b.mu.
func (b *bodies) add(from netip.Addr, size int64) {
	b.taken += size
	if b.by[from] += size; b.by[from] == 0 {
		delete(b.by, from)
	}
}

func (b *bodies) give(from netip.Addr, size int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.add(from, -size)
	close(b.freed)
	b.freed = make(chan struct{})
}
