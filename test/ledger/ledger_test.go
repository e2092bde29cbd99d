package ledger

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

var (
	seed     = flag.Uint64("seed", 0, "begin with this seed, 0: any")
	meetings = flag.Int("meetings", 150, "how many meetings there are")
	kills    = flag.Int("kills", 3, "how often the server is killed")
)

const (
	renames = 20
	replays = 3
)

// TestLedger compares the ledger with what happened, after everything that can
// happen to it on the way.
func TestLedger(t *testing.T) {
	n := cmp.Or(*seed, rand.Uint64N(1_000_000))
	t.Logf("-seed %d", n)
	rng := rand.New(rand.NewPCG(n, 1))
	now := time.Now()
	all := make([]*meeting, *meetings)
	for i := range all {
		all[i] = newMeeting(i, rng, now)
	}
	z := besiege(t.Context(), t, waiting())
	z.trouble(rng, shuffled(all, rng, 200))
	z.idle()
	z.compare(all, func(m *meeting) (time.Time, bool) { return m.ended, !m.silent })

	z.fallSilent()
	z.compare(all, func(m *meeting) (time.Time, bool) {
		if m.silent {
			return m.lastSign(), true
		}
		return m.ended, true
	})

	z.endLate(all)
	z.compare(all, func(m *meeting) (time.Time, bool) {
		if m.silent && !m.late {
			return m.lastSign(), true
		}
		return m.ended, true
	})
}

// waiting is for how long the rules wait for what is late: longer than it takes
// to tell of a few hundred meetings, with kills between.
func waiting() time.Duration {
	if *meetings > 1000 {
		return 40 * time.Second
	}
	return 10 * time.Second
}

// trouble tells the server everything, and does to it whatever it has to bear.
func (z *siege) trouble(rng *rand.Rand, all []told) {
	z.t.Helper()
	var points []trouble
	for range *kills {
		points = append(points, trouble{rng.IntN(len(all)), z.kill})
	}
	for range min(renames, *kills*renames) {
		points = append(points, trouble{rng.IntN(len(all)), z.rename})
	}
	for i := range replays - 1 {
		points = append(points, trouble{(i + 1) * len(all) / replays, z.replay})
	}
	slices.SortFunc(points, func(a, b trouble) int { return a.after - b.after })
	var sent atomic.Int64
	done := make(chan error, 1)
	began := time.Now()
	go func() { done <- z.tell(all, &sent) }()
	for _, p := range points {
		for int(sent.Load()) < p.after {
			select {
			case err := <-done:
				if err != nil {
					z.t.Fatal(err)
				}
				done <- nil
			case <-z.ctx.Done():
				z.t.Fatal(z.ctx.Err())
			case <-time.After(time.Millisecond):
			}
		}
		p.what()
	}
	if err := <-done; err != nil {
		z.t.Fatal(err)
	}
	z.t.Logf("%d deliveries in %s, with %d kills, %d renames and %d replays", len(all), time.Since(began).Round(time.Second), *kills, z.names, replays)
	z.idle()
	z.rename()
	z.replay()
}

// trouble is what happens after so many deliveries.
type trouble struct {
	after int
	what  func()
}

// fallSilent has the server take meetings of which nothing is heard any more as
// ended.
func (z *siege) fallSilent() {
	z.t.Helper()
	z.hooks.Store(new(""))
	if err := z.s.Stop(); err != nil {
		z.t.Fatal(err)
	}
	z.o.Args = []string{"--session-timeout", "1m"}
	z.up()
	z.settled(func(open int) bool { return open == 0 })
}

// settled waits until the number of open sessions is as wanted and no run is
// under way.
func (z *siege) settled(fits func(open int) bool) {
	z.t.Helper()
	ctx, cancel := context.WithTimeout(z.ctx, 2*time.Minute)
	defer cancel()
	for {
		open := strings.Count(string(z.command("sessions", "list", "--active", "-o", "jsonl")), "\n")
		if fits(open) {
			break
		}
		select {
		case <-ctx.Done():
			z.t.Fatalf("%d sessions are open", open)
		case <-time.After(100 * time.Millisecond):
		}
	}
	z.idle()
}

// endLate tells the true ends of some meetings that were taken as ended.
func (z *siege) endLate(all []*meeting) {
	z.t.Helper()
	var ends []told
	for _, m := range all {
		if m.late {
			ends = append(ends, told{m: m, i: len(m.messages()), x: m.end()})
		}
	}
	var sent atomic.Int64
	if err := z.tell(ends, &sent); err != nil {
		z.t.Fatal(err)
	}
	z.idle()
}

// compare compares the ledger with the accounts of the meetings that ended, and
// when.
func (z *siege) compare(all []*meeting, ended func(*meeting) (time.Time, bool)) {
	z.t.Helper()
	want, months := map[string]account{}, map[string]bool{}
	for _, m := range all {
		end, ok := ended(m)
		if !ok {
			continue
		}
		for _, a := range m.expected(end) {
			want[a.meter+" "+a.key] = a
			months[a.month] = true
		}
	}
	var names []string
	for m := range months {
		names = append(names, m)
	}
	b := balance(z.entries(names...))
	problems := b.problems
	for id, a := range want {
		problems = append(problems, b.differs(id, a)...)
	}
	for id := range b.of {
		if _, ok := want[id]; !ok {
			problems = append(problems, id+" should not be there")
		}
	}
	slices.Sort(problems)
	for _, p := range problems[:min(len(problems), 20)] {
		z.t.Error(p)
	}
	if len(problems) > 0 {
		z.t.Fatalf("%d differences of %d accounts", len(problems), len(want))
	}
	if out := z.command("billing", "conflicts", "-o", "jsonl"); len(out) > 0 {
		z.t.Errorf("conflicts:\n%s", out)
	}
	z.command("billing", "verify")
	z.t.Logf("%d accounts, %d entries", len(want), b.entries)
}

// balances are what the entries of a ledger come to.
type balances struct {
	of       map[string]*sum
	totals   map[string]*big.Rat // of a customer's month and meter
	entries  int
	problems []string
}

type sum struct {
	usage    int
	customer string
	quantity *big.Rat
	amount   *big.Int
	currency string
}

// balance adds up the entries. The price of what has tiers is checked here: it
// follows from the entries before it.
func balance(all []entry) *balances {
	b := &balances{of: map[string]*sum{}, totals: map[string]*big.Rat{}, entries: len(all)}
	for _, e := range all {
		_, key, _ := strings.Cut(e.Key, "/") // the source
		id := e.Meter + " " + cmp.Or(key, e.Key)
		s := b.of[id]
		if s == nil {
			s = &sum{quantity: new(big.Rat), amount: new(big.Int), customer: e.Customer, currency: e.Currency}
			b.of[id] = s
		}
		q, ok := new(big.Rat).SetString(e.Quantity)
		if !ok || e.Amount == nil {
			b.problems = append(b.problems, fmt.Sprintf("%s has quantity %q and amount %v", e.ID, e.Quantity, e.Amount))
			continue
		}
		if e.Kind == "usage" {
			s.usage++
			b.check(e, q)
		}
		s.quantity.Add(s.quantity, q)
		s.amount.Add(s.amount, big.NewInt(*e.Amount))
		if e.Currency != s.currency || e.Customer != s.customer {
			b.problems = append(b.problems, e.ID+" is of another customer or currency than the entry before it")
		}
		total := strings.Join([]string{e.Customer, e.Meter, e.Period}, "\x00")
		if b.totals[total] == nil {
			b.totals[total] = new(big.Rat)
		}
		month, _ := new(big.Rat).SetString(e.Month)
		if b.totals[total].Add(b.totals[total], q); month == nil || month.Cmp(b.totals[total]) != 0 {
			b.problems = append(b.problems, fmt.Sprintf("%s says %q is the total of the month, it is %s", e.ID, e.Month, b.totals[total].RatString()))
		}
	}
	return b
}

// check compares the amount of an entry by tiers with what it should be there.
func (b *balances) check(e entry, q *big.Rat) {
	if e.Meter != "participant_minutes" {
		return
	}
	before := new(big.Rat)
	if t := b.totals[strings.Join([]string{e.Customer, e.Meter, e.Period}, "\x00")]; t != nil {
		before.Set(t)
	}
	if want := tiered(before.Num().Int64(), q.Num().Int64()); want.Cmp(big.NewInt(*e.Amount)) != 0 {
		b.problems = append(b.problems, fmt.Sprintf("%s: %s more than %s cost %d, want %s", e.ID, q.RatString(), before.RatString(), *e.Amount, want))
	}
}

// differs says how the balance of an account is not as it should be.
func (b *balances) differs(id string, a account) (all []string) {
	s := b.of[id]
	if s == nil {
		return []string{id + " is missing"}
	}
	if s.usage != 1 {
		all = append(all, fmt.Sprintf("%s was billed %d times", id, s.usage))
	}
	if s.quantity.Cmp(a.quantity) != 0 {
		all = append(all, fmt.Sprintf("%s: quantity %s, want %s", id, s.quantity.RatString(), a.quantity.RatString()))
	}
	if a.amount != nil && s.amount.Cmp(a.amount) != 0 {
		all = append(all, fmt.Sprintf("%s: amount %s, want %s", id, s.amount, a.amount))
	}
	if s.customer != a.customer || s.currency != a.currency {
		all = append(all, fmt.Sprintf("%s: for %q in %s, want %q in %s", id, s.customer, s.currency, a.customer, a.currency))
	}
	return all
}
