package store

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// waits is a delivery of so many bytes; a source that never retries has "!".
func waits(source string, size int64) *accept {
	return &accept{in: engine.Inbound{
		Delivery: engine.Received{Source: source, Size: size - besides}, NeverRetries: source[0] == '!',
	}}
}

// testQueue is a queue for 80 KiB of deliveries, with transactions of 20 KiB or
// 8 writes, and its clock.
func testQueue() (*queue, *time.Time) {
	now := time.Unix(0, 0)
	return newQueue(Options{Memory: 320 << 10, BatchSize: 8, Now: func() time.Time { return now }}), &now
}

// fill delivers until source is refused, and counts.
func fill(q *queue, source string, size int64) (n int) {
	for q.deliver(waits(source, size)) == nil {
		n++
	}
	return n
}

// A source takes as much as it leaves free; a quarter is for those that never
// retry, however many others there are.
func TestQueueShares(t *testing.T) {
	q, _ := testQueue()
	for _, c := range []struct {
		source string
		want   int // of 4 KiB: 20 fit in, 15 of them without the reserve
	}{
		{"a", 7}, {"a", 0}, {"b", 4}, {"c", 2}, {"d", 1}, {"e", 0},
		{"!once", 3}, {"!twice", 1}, {"!third", 1},
	} {
		if got := fill(q, c.source, 4<<10); got != c.want {
			t.Errorf("%s: %d wait, want %d", c.source, got, c.want)
		}
	}
	if taken := q.once.bytes + q.others.bytes; taken > q.bytes {
		t.Errorf("%d bytes wait of at most %d", taken, q.bytes)
	}
	if err := q.add(&use{}); err != nil {
		t.Errorf("our own work: %v", err)
	}
}

// A body larger than all that may wait is not refused for ever.
func TestQueueTakesAnySizeWhenEmpty(t *testing.T) {
	q, _ := testQueue()
	if err := q.deliver(waits("a", 1<<20)); err != nil {
		t.Fatal(err)
	}
	if err := q.deliver(waits("!b", 4<<10)); !errors.Is(err, engine.ErrUnavailable) {
		t.Errorf("another one: %v", err)
	}
	if jobs, _ := q.take(nil); len(jobs) != 1 || q.len() != 0 || q.others.bytes != 0 {
		t.Errorf("%d taken, %d left with %d bytes", len(jobs), q.len(), q.others.bytes)
	}
}

// What cannot be stored in time is refused at once, and told when to come
// again. It is the time of the transaction before that counts, or that of the
// one which does not end.
func TestQueueWaits(t *testing.T) {
	for _, c := range []struct {
		name        string
		took, under time.Duration
		want        int // one more and it would be too long
	}{
		{"a fast disk", 100 * time.Millisecond, 0, 100},
		{"a slow one", time.Second, 0, 24},   // with the one under way, 4 transactions
		{"very slow", 2 * time.Second, 0, 8}, // always what fits into one
		{"hung", time.Millisecond, 3 * time.Second, 8},
	} {
		q, now := testQueue()
		q.bytes = 1 << 30
		if err := q.deliver(waits("a", besides)); err != nil {
			t.Fatal(err)
		}
		q.take(nil)
		*now = now.Add(c.took)
		q.written()
		if err := q.deliver(waits("a", besides)); err != nil {
			t.Fatal(err)
		}
		q.take(nil)
		*now = now.Add(c.under)
		n := 0
		var err error
		for ; err == nil && n < 100; n++ {
			err = q.deliver(waits("a", besides))
		}
		if err != nil {
			n--
			if after, ok := engine.RetryDelay(err); !errors.Is(err, engine.ErrUnavailable) || !ok || after <= longestWait {
				t.Errorf("%s: %v, to come again after %s", c.name, err, after)
			}
		}
		if n != c.want {
			t.Errorf("%s: %d wait, want %d", c.name, n, c.want)
		}
		if err := q.deliver(waits("!once", besides)); err != nil {
			t.Errorf("%s: a source that never retries: %v", c.name, err)
		}
	}
}

// Our own work goes first, and leaves half; sources take turns, those that
// never retry have half of the rest.
func TestQueueOrder(t *testing.T) {
	q, _ := testQueue()
	for range 6 {
		if err := q.add(&use{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, source := range []string{"a", "a", "a", "a", "a", "b", "!c", "!c", "!c", "!c"} {
		if err := q.deliver(waits(source, besides)); err != nil {
			t.Fatal(err)
		}
	}
	for i, want := range []string{"own own own own !c !c a b", "own own !c !c a a a a", ""} {
		jobs, open := q.take(nil)
		got := ""
		for _, j := range jobs {
			name := "own"
			if a, ok := j.(*accept); ok {
				name = a.in.Delivery.Source
			}
			if got != "" {
				got += " "
			}
			got += name
		}
		if got != want || !open {
			t.Errorf("transaction %d: %s, want %s (open %t)", i, got, want, open)
		}
	}
}

// A transaction is bounded in bytes, and nothing is lost at its end.
func TestQueueBatches(t *testing.T) {
	q, _ := testQueue()
	q.bytes = 1 << 30
	for i := range 7 {
		if err := q.deliver(waits(fmt.Sprint(i), 8<<10)); err != nil {
			t.Fatal(err)
		}
	}
	q.close()
	if err := q.deliver(waits("late", besides)); !errors.Is(err, engine.ErrUnavailable) {
		t.Errorf("closed: %v", err)
	}
	for i, want := range []int{3, 3, 1} {
		select {
		case <-q.some:
		default:
			t.Fatal("nobody was told that something waits")
		}
		jobs, open := q.take(nil)
		if len(jobs) != want || open != (i < 2) {
			t.Errorf("transaction %d: %d deliveries, want %d (open %t)", i, len(jobs), want, open)
		}
	}
}
