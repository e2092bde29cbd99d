package storetest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/gowebpki/jcs"
)

// sold is an entry of so many units at 4 cents, charged as an action would.
func sold(key string, units int) engine.Entry {
	return engine.Entry{
		Tenant: "default", Source: "pnm", Key: key, Meter: "minutes", Customer: "acme", Quantity: strconv.Itoa(units),
		Price: "0.04", Currency: "EUR", Exponent: 2, Amount: cents(4 * units), Rule: "bill", Step: "then/bill", Event: "evt_" + key,
		Period: "2026-05", Service: "2026-05", Zone: "UTC", Charge: charge, Correct: correct,
	}
}

func cents(n int) *int64 {
	amount := int64(n)
	return &amount
}

func units(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil && text != "" {
		panic(err)
	}
	return n
}

func charge(e *engine.Entry, before string) error {
	e.Before, e.Month = strconv.Itoa(units(before)), strconv.Itoa(units(before)+units(e.Quantity))
	return nil
}

// correct makes e what there should have been, at what the basis costs, less what
// there is.
func correct(e *engine.Entry, rows []engine.Entry, before string) error {
	quantity, amount := sums(rows)
	switch {
	case e.Kind == engine.EntryVoid:
		quantity, amount = -quantity, -amount
	default:
		price := strings.TrimPrefix(engine.Account(rows).Basis().Price, "0.0")
		amount = int64(units(price)*units(e.Quantity)) - amount
		quantity = units(e.Quantity) - quantity
	}
	if quantity == 0 && amount == 0 {
		return engine.ErrNoDifference
	}
	e.Quantity, e.Amount = strconv.Itoa(quantity), &amount
	return charge(e, before)
}

// sums are the balance of rows.
func sums(rows []engine.Entry) (quantity int, amount int64) {
	for _, r := range rows {
		quantity += units(r.Quantity)
		if r.Amount != nil {
			amount += *r.Amount
		}
	}
	return quantity, amount
}

// balance compares what an entry and its corrections come to.
func (h *harness) balance(t *testing.T, id string, quantity int, amount int64) []engine.Entry {
	t.Helper()
	rows, err := h.Account(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	if q, a := sums(rows); q != quantity || a != amount {
		t.Errorf("%s comes to %d for %d, want %d for %d", id, q, a, quantity, amount)
	}
	return rows
}

// chain computes the chains of all tenants from what is exported, and compares
// them with where the store says they end.
func (h *harness) chain(t *testing.T) {
	t.Helper()
	ends := map[string]engine.Head{}
	last := map[string][]byte{}
	err := h.Entries(context.Background(), engine.Query{}, time.Time{}, time.Time{}, func(e engine.Entry) error {
		text, err := stdjson.Marshal(e)
		if err != nil {
			return err
		}
		if text, err = jcs.Transform(text); err != nil {
			return err
		}
		before := last[e.Tenant]
		if before == nil {
			before = make([]byte, sha256.Size)
		}
		sum := sha256.Sum256(append(slices.Clone(before), text...))
		if want := ends[e.Tenant].Number + 1; e.Number != want || e.Hash != hex.EncodeToString(sum[:]) {
			t.Errorf("entry %s has number %d and hash %.8s, want %d and %x", e.ID, e.Number, e.Hash, want, sum[:4])
		}
		last[e.Tenant] = sum[:]
		ends[e.Tenant] = engine.Head{Tenant: e.Tenant, Number: e.Number, Hash: e.Hash}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	heads, err := h.Heads(context.Background())
	if err != nil || len(heads) != len(ends) {
		t.Errorf("%d chains, want %d (%v)", len(heads), len(ends), err)
	}
	for _, x := range heads {
		if ends[x.Tenant] != x {
			t.Errorf("the chain ends with %+v, want %+v", x, ends[x.Tenant])
		}
	}
}

// enter records an entry of a run of its own.
func (h *harness) enter(t *testing.T, e engine.Entry) engine.Recorded {
	t.Helper()
	return h.record(t, h.newRun(t), engine.Result{Kind: "billing", Entries: []engine.Entry{e}})
}

// entered is enter for an entry that nothing is wrong with.
func (h *harness) entered(t *testing.T, e engine.Entry) engine.Entry {
	t.Helper()
	out := h.enter(t, e)
	if len(out.Entries) != 1 {
		t.Fatalf("recorded %+v", out)
	}
	return out.Entries[0]
}

func testChain(t *testing.T, h *harness) {
	h.start(t)
	for i := range 6 {
		e := sold(fmt.Sprint("k", i), i)
		e.Room, e.Reason = "<b>&\u2028\xff\x01", "é"
		if i%3 == 1 {
			e.Tenant = "other"
		}
		h.entered(t, e)
		if i == 2 {
			h.restart(t)
		}
	}
	h.chain(t)
}

func testMonthTotals(t *testing.T, h *harness) {
	h.start(t)
	var runs []*engine.Run
	for range 32 {
		runs = append(runs, h.newRun(t))
	}
	var wg sync.WaitGroup
	for i, r := range runs {
		wg.Go(func() {
			h.record(t, r, engine.Result{Entries: []engine.Entry{sold(fmt.Sprint("k", i), 2)}})
		})
	}
	wg.Wait()
	for i, e := range h.entries(t, len(runs)) {
		if units(e.Before) != 2*i || units(e.Month) != 2*i+2 {
			t.Errorf("entry %d makes %s out of %s", i, e.Month, e.Before)
		}
	}
	h.restart(t)
	for _, tc := range []struct {
		change func(e *engine.Entry)
		before string
	}{
		{func(*engine.Entry) {}, "64"},
		{func(e *engine.Entry) { e.Customer = "other" }, "0"},
		{func(e *engine.Entry) { e.Meter = "people" }, "0"},
		{func(e *engine.Entry) { e.Tenant = "other" }, "0"},
		{func(e *engine.Entry) { e.Period, e.Service = "2026-06", "2026-06" }, "0"},
		{func(e *engine.Entry) { e.Currency = "USD" }, "69"},
	} {
		e := sold(fmt.Sprint("x", h.n.Add(1)), 5)
		tc.change(&e)
		if got := h.entered(t, e); got.Before != tc.before {
			t.Errorf("%+v: %s was before, want %s", got, got.Before, tc.before)
		}
	}
	first, second := sold("y", 1), sold("y", 3)
	second.Meter, first.Meter = "both", "both"
	second.Key, second.Event = "z", "evt_z"
	out := h.record(t, h.newRun(t), engine.Result{Entries: []engine.Entry{first, second}})
	if len(out.Entries) != 2 || out.Entries[1].Before != "1" {
		t.Errorf("two entries of one step: %+v", out)
	}
	h.chain(t)
}

func testRefusedEntry(t *testing.T, h *harness) {
	h.start(t)
	wrong := errors.New("no tier")
	bad := sold("b", 1)
	bad.Charge = func(*engine.Entry, string) error { return wrong }
	r := h.newRun(t)
	r.State = engine.RunDone
	out := h.record(t, r, engine.Result{Kind: "billing", State: map[string]json{"k": json(`1`)}, Entries: []engine.Entry{sold("a", 1), bad}})
	if !errors.Is(out.Refused, wrong) || out.Conflict != nil {
		t.Fatalf("recorded %+v", out)
	}
	h.state(t, r.ID, engine.RunReady)
	h.entries(t, 0)
	if _, err := h.ActionState(context.Background(), "billing", "k"); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("its state was written (%v)", err)
	}
	if got := h.entered(t, sold("a", 1)); got.Number != 1 || got.Before != "0" {
		t.Errorf("after it: %+v", got)
	}
	huge := sold("c", 1)
	huge.Amount = cents(1 << 53)
	if out := h.enter(t, huge); out.Refused == nil {
		t.Errorf("an amount no reader understands: %+v", out)
	}
	h.chain(t)
}

// The same step for the same event writes once, whatever it calls its key.
func testStepOnce(t *testing.T, h *harness) {
	h.start(t)
	first := h.entered(t, sold("a", 1))
	again := sold("renamed", 1)
	again.Event = "evt_a"
	if got := h.entered(t, again); got.ID != first.ID {
		t.Errorf("the same step wrote %+v", got)
	}
	again.Quantity = "2"
	if out := h.enter(t, again); out.Conflict == nil || out.Conflict.ID != first.ID {
		t.Errorf("the same step with another quantity: %+v", out)
	}
	again.Step = "else/bill"
	if got := h.entered(t, again); got.ID == first.ID {
		t.Error("another step did not write")
	}
	h.entries(t, 2)
}

func (h *harness) conflicts(t *testing.T, q engine.Query, want int) []engine.Conflict {
	t.Helper()
	all, err := h.Conflicts(context.Background(), q)
	if err != nil || len(all) != want {
		t.Fatalf("%d conflicts, want %d (%v)", len(all), want, err)
	}
	return all
}

func (h *harness) settled(t *testing.T, id, state string) engine.Conflict {
	t.Helper()
	c, err := h.Settle(context.Background(), engine.Settlement{Conflict: id, State: state, Reason: "looked", Actor: "alice", Charge: charge, Correct: correct})
	if err != nil || c.State != state || c.Actor != "alice" || c.Reason != "looked" || c.Decided.IsZero() {
		t.Fatalf("settled %+v (%v)", c, err)
	}
	return c
}

func testConflicts(t *testing.T, h *harness) {
	h.start(t)
	old := h.entered(t, sold("a", 10))
	other := sold("a", 12)
	other.Event = "evt_later"
	r := h.newRun(t)
	res := engine.Result{Kind: "billing", Entries: []engine.Entry{other}}
	for range 3 { // however often it is tried
		if out := h.record(t, r, res); out.Conflict == nil || out.Conflict.ID != old.ID {
			t.Fatalf("recorded %+v", out)
		}
		h.restart(t)
	}
	c := h.conflicts(t, engine.Query{}, 1)[0]
	if c.State != engine.ConflictOpen || c.Entry.ID != old.ID || c.Proposed.Quantity != "12" || *c.Proposed.Amount != 48 || c.At.IsZero() || !strings.HasPrefix(c.ID, "cfl_") {
		t.Errorf("conflict is %+v", c)
	}
	if s, err := h.Stats(context.Background()); err != nil || s.Conflicts != 1 {
		t.Errorf("%d are open (%v)", s.Conflicts, err)
	}
	h.enter(t, other) // of another run
	h.conflicts(t, engine.Query{State: engine.ConflictOpen}, 2)

	h.settled(t, c.ID, engine.ConflictKept)
	h.settled(t, c.ID, engine.ConflictKept) // the answer was lost
	if _, err := h.Settle(context.Background(), engine.Settlement{Conflict: c.ID, State: engine.ConflictCorrected, Reason: "x", Actor: "bob", Correct: correct}); err == nil {
		t.Error("it was decided twice")
	}
	h.conflicts(t, engine.Query{State: engine.ConflictOpen}, 0) // the other one was about the same
	h.balance(t, old.ID, 10, 40)
	if out := h.enter(t, other); out.Conflict == nil {
		t.Errorf("what was kept is %+v", out)
	}
	h.conflicts(t, engine.Query{State: engine.ConflictOpen}, 0) // nobody is asked again
	h.conflicts(t, engine.Query{State: engine.ConflictKept}, 3)

	other.Quantity, other.Amount = "15", cents(60)
	h.enter(t, other)
	c = h.settled(t, h.conflicts(t, engine.Query{State: engine.ConflictOpen}, 1)[0].ID[:20], engine.ConflictCorrected)
	rows := h.balance(t, old.ID, 15, 60)
	if x := rows[len(rows)-1]; len(rows) != 2 || x.Kind != engine.EntryCorrection || x.Corrects != old.ID || x.Quantity != "5" ||
		x.Reason != "looked" || x.Actor != "alice" || x.Month != "15" || !slices.Equal(c.Posted, []string{x.ID}) {
		t.Errorf("corrected by %+v", x)
	}
	if got := h.entered(t, other); got.ID != rows[1].ID { // a retry goes on
		t.Errorf("what is in the ledger by now is %+v", got)
	}
	h.settled(t, c.ID, engine.ConflictCorrected)
	h.balance(t, old.ID, 15, 60)
	h.chain(t)
	for _, ask := range []engine.Settlement{
		{Conflict: "cfl_none", State: engine.ConflictKept, Reason: "x", Actor: "x"},
		{Conflict: c.ID, State: engine.ConflictKept, Actor: "x"},
		{Conflict: c.ID, State: engine.ConflictKept, Reason: "x"},
	} {
		if _, err := h.Settle(context.Background(), ask); err == nil {
			t.Errorf("%+v was done", ask)
		}
	}
}

// A conflict about whose meeting it was takes back one customer's and enters
// another's.
func testConflictOfCustomer(t *testing.T, h *harness) {
	h.start(t)
	old := h.entered(t, sold("a", 10))
	h.entered(t, sold("b", 3))
	other := sold("a", 10)
	other.Customer, other.Event = "globex", "evt_later"
	h.enter(t, other)
	h.settled(t, h.conflicts(t, engine.Query{}, 1)[0].ID, engine.ConflictCorrected)
	rows := h.balance(t, old.ID, 10, 40)
	of := map[string]int{}
	for _, e := range rows {
		of[e.Customer] += units(e.Quantity)
	}
	if of["acme"] != 0 || of["globex"] != 10 || len(rows) != 3 {
		t.Errorf("customers have %v by %+v", of, rows)
	}
	if e := h.entered(t, sold("c", 1)); e.Before != "3" {
		t.Errorf("the month of the first customer is %s", e.Before)
	}
	if _, err := h.Post(context.Background(), posting(engine.EntryVoid, old.ID)); err != nil {
		t.Fatal(err)
	}
	for _, e := range h.balance(t, old.ID, 0, 0)[3:] {
		of[e.Customer] += units(e.Quantity)
	}
	if of["acme"] != 0 || of["globex"] != 0 {
		t.Errorf("after the void customers have %v", of)
	}
	ask := posting(engine.EntryCorrection, old.ID)
	ask.Quantity = "7"
	if e := h.posts(t, ask).Entries[0]; e.Customer != "globex" || e.Quantity != "7" {
		t.Errorf("what was voided is corrected by %+v", e)
	}
	h.chain(t)
}

// A conflict about the price takes all of it back and enters it anew: what is
// corrected later has the new price, and its old place in the month.
func testConflictOfPrice(t *testing.T, h *harness) {
	h.start(t)
	h.entered(t, sold("before", 5))
	old := h.entered(t, sold("a", 10))
	h.entered(t, sold("behind", 3))
	dearer := sold("a", 10)
	dearer.Price, dearer.Amount, dearer.Event = "0.08", cents(80), "evt_later"
	h.enter(t, dearer)
	c := h.settled(t, h.conflicts(t, engine.Query{}, 1)[0].ID, engine.ConflictCorrected)
	rows := h.balance(t, old.ID, 10, 80)
	if e := rows[len(rows)-1]; len(c.Posted) != 2 || e.From != "5" || e.Before != "8" || e.Month != "18" {
		t.Errorf("posted %v, the last one %+v", c.Posted, e)
	}
	h.restart(t)
	ask := posting(engine.EntryCorrection, old.ID)
	ask.Quantity = "6"
	h.posts(t, ask)
	h.balance(t, old.ID, 6, 48)
	h.posts(t, posting(engine.EntryVoid, old.ID))
	h.balance(t, old.ID, 0, 0)
	ask.Quantity = "2"
	h.posts(t, ask)
	h.balance(t, old.ID, 2, 16)
	dearer.Quantity, dearer.Amount = "9", cents(72) // a quantity at the price it has by now
	h.enter(t, dearer)
	c = h.settled(t, h.conflicts(t, engine.Query{State: engine.ConflictOpen}, 1)[0].ID, engine.ConflictCorrected)
	h.balance(t, old.ID, 9, 72)
	if len(c.Posted) != 1 {
		t.Errorf("posted %v", c.Posted)
	}
	h.chain(t)
}

func testEstimated(t *testing.T, h *harness) {
	h.start(t)
	guess := sold("a", 10)
	guess.Estimated = true
	old := h.entered(t, guess)
	h.restart(t)
	same := sold("a", 10)
	same.Event = "evt_true"
	if got := h.entered(t, same); got.ID != old.ID {
		t.Errorf("an estimate that was right is %+v", got)
	}
	end := sold("a", 13)
	end.Event = "evt_true"
	fix := h.entered(t, end)
	if fix.Kind != engine.EntryCorrection || fix.Corrects != old.ID || fix.Quantity != "3" || *fix.Amount != 12 || fix.Before != "10" || fix.Month != "13" || fix.Reason == "" {
		t.Errorf("the true end posts %+v", fix)
	}
	end.Rule = "renamed" // replayed
	if got := h.entered(t, end); got.ID != fix.ID {
		t.Errorf("the true end again is %+v", got)
	}
	if got := h.entered(t, guess); got.ID != old.ID {
		t.Errorf("the estimate again is %+v", got)
	}
	h.balance(t, old.ID, 13, 52)
	for _, change := range []func(e *engine.Entry){
		func(e *engine.Entry) { e.Key, e.Event, e.Customer = "b", "evt_b2", "globex" },
		func(e *engine.Entry) { e.Key, e.Event, e.Price, e.Amount = "b", "evt_b2", "0.05", cents(65) },
		func(e *engine.Entry) { e.Key, e.Event, e.Estimated = "b", "evt_b2", true },
	} {
		first, second := sold("b", 10), sold("b", 13)
		first.Estimated = true
		h.entered(t, first)
		change(&second)
		if out := h.enter(t, second); out.Conflict == nil {
			t.Errorf("what differs in more than its end is %+v", out)
		}
	}
	for _, n := range []int{14, 10} { // 10: as was estimated at first
		other := sold("a", n)
		other.Event = "evt_true"
		if out := h.enter(t, other); out.Conflict == nil {
			t.Errorf("another true end is %+v", out)
		}
	}
	h.balance(t, old.ID, 13, 52)
	h.chain(t)
}

// ending is an entry of a meeting that ended, or seemed to, after so many minutes.
func ending(key string, minutes int, estimated bool) engine.Entry {
	e := sold(key, minutes)
	e.Event, e.Estimated = fmt.Sprint("evt_", key, minutes, estimated), estimated
	e.Ended = time.Date(2026, 5, 4, 10, minutes, 0, 0, time.UTC)
	return e
}

// A meeting that fell silent more than once.
func testEstimatedAgain(t *testing.T, h *harness) {
	h.start(t)
	old := h.entered(t, ending("a", 5, true))
	dearer := ending("a", 8, true)
	dearer.Price, dearer.Amount = "0.05", cents(40)
	if out := h.enter(t, dearer); out.Conflict == nil {
		t.Errorf("a later estimate at another price is %+v", out)
	}
	second := h.entered(t, ending("a", 11, true))
	if second.Kind != engine.EntryCorrection || second.Quantity != "6" || !second.Estimated {
		t.Errorf("a second estimate posts %+v", second)
	}
	c := h.conflicts(t, engine.Query{}, 1)[0]
	if c.State != engine.ConflictOutdated || c.Actor == "" || c.Reason == "" || c.Decided.IsZero() || c.Posted != nil {
		t.Errorf("the conflict about an estimate is %+v", c)
	}
	if _, err := h.Settle(context.Background(), engine.Settlement{Conflict: c.ID, State: engine.ConflictCorrected, Reason: "x", Actor: "x", Charge: charge, Correct: correct}); err == nil {
		t.Error("what is outdated was decided")
	}
	h.restart(t)
	for _, replayed := range []engine.Entry{ending("a", 5, true), ending("a", 8, true), ending("a", 11, true)} {
		h.entered(t, replayed)
	}
	h.balance(t, old.ID, 11, 44)
	h.entered(t, ending("a", 13, false))
	for _, replayed := range []engine.Entry{ending("a", 5, true), ending("a", 11, true), ending("a", 15, true), ending("a", 13, false)} {
		h.entered(t, replayed)
	}
	h.balance(t, old.ID, 13, 52)
	h.conflicts(t, engine.Query{State: engine.ConflictOpen}, 0)

	old = h.entered(t, ending("b", 5, true))
	h.entered(t, ending("b", 11, true))
	h.entered(t, ending("b", 5, false)) // the first estimate was right
	h.balance(t, old.ID, 5, 20)
	h.chain(t)
}

// What a person has posted is not written over when the true end is known.
func testEstimateOfPerson(t *testing.T, h *harness) {
	h.start(t)
	for name, quantity := range map[string]string{"void": "", "correction": "7"} {
		old := h.entered(t, ending(name, 10, true))
		ask := posting(engine.EntryVoid, old.ID)
		if quantity != "" {
			ask.Kind, ask.Quantity = engine.EntryCorrection, quantity
		}
		h.posts(t, ask)
		for _, e := range []engine.Entry{ending(name, 13, false), ending(name, 12, true)} {
			if out := h.enter(t, e); out.Conflict == nil {
				t.Errorf("a later end after a %s is %+v", name, out)
			}
		}
		for _, e := range []engine.Entry{ending(name, 10, true), ending(name, 10, false)} { // what was billed already
			h.entered(t, e)
		}
		h.balance(t, old.ID, units(quantity), int64(4*units(quantity)))
	}
	old := h.entered(t, ending("late", 10, true))
	h.entered(t, ending("late", 13, false))
	ask := posting(engine.EntryCorrection, old.ID)
	ask.Quantity = "9"
	h.posts(t, ask)
	h.entered(t, ending("late", 13, false)) // replayed
	h.balance(t, old.ID, 9, 36)
	h.chain(t)
}

// posting asks for a change of an entry.
func posting(kind, entry string) engine.Posting {
	return engine.Posting{Kind: kind, Entry: entry, Reason: "wrong meter", Actor: "alice", Correct: correct}
}

func (h *harness) posts(t *testing.T, ask engine.Posting) engine.Posted {
	t.Helper()
	out, err := h.Post(context.Background(), ask)
	if err != nil || len(out.Entries) == 0 {
		t.Fatalf("%+v: %+v (%v)", ask, out, err)
	}
	return out
}

func (h *harness) refuses(t *testing.T, ask engine.Posting) error {
	t.Helper()
	out, err := h.Post(context.Background(), ask)
	if err == nil {
		t.Errorf("%+v was done: %+v", ask, out)
	}
	return err
}

func testCorrections(t *testing.T, h *harness) {
	h.start(t)
	old := h.entered(t, sold("a", 10))
	ask := posting(engine.EntryCorrection, old.ID[:20])
	ask.Quantity, ask.Request = "7", "req1"
	first := h.posts(t, ask)
	if e := first.Entries[0]; first.Again || e.Quantity != "-3" || *e.Amount != -12 || e.Corrects != old.ID || e.Actor != "alice" || e.Reason != "wrong meter" ||
		e.Service != "2026-05" || e.Period != "2026-05" || e.Month != "7" || e.Customer != "acme" || e.Key != "a" {
		t.Errorf("posted %+v", first)
	}
	h.balance(t, old.ID, 7, 28)
	h.restart(t)
	if again := h.posts(t, ask); !again.Again || again.Entries[0].ID != first.Entries[0].ID { // the answer was lost
		t.Errorf("posted again %+v", again)
	}
	other := ask
	for _, change := range []func(){func() { other.Quantity = "6" }, func() { other.Reason = "another" }, func() { other.Kind = engine.EntryVoid }} {
		other = ask
		change()
		if err := h.refuses(t, other); !strings.Contains(fmt.Sprint(err), "asked for something else: it posted "+first.Entries[0].ID) {
			t.Errorf("the same request for another thing is refused with %v", err)
		}
	}
	ask.Request = "req2"
	if again := h.posts(t, ask); !again.Again { // it is so already
		t.Errorf("posted without need %+v", again)
	}
	ask = posting(engine.EntryCorrection, first.Entries[0].ID) // a correction leads to what it corrects
	ask.Amount = cents(100)
	if e := h.posts(t, ask).Entries[0]; e.Quantity != "0" || *e.Amount != 72 || e.Month != "7" {
		t.Errorf("an amount is corrected by %+v", e)
	}
	h.balance(t, old.ID, 7, 100)
	if again := h.posts(t, ask); !again.Again {
		t.Errorf("posted without need %+v", again)
	}

	void := posting(engine.EntryVoid, old.ID)
	void.Request = "req3"
	h.posts(t, void)
	rows := h.balance(t, old.ID, 0, 0)
	if x := rows[len(rows)-1]; x.Kind != engine.EntryVoid || x.Quantity != "-7" || *x.Amount != -100 || x.Month != "0" {
		t.Errorf("voided by %+v", x)
	}
	if again := h.posts(t, void); !again.Again {
		t.Errorf("voided again %+v", again)
	}
	void.Request = "req4"
	if err := h.refuses(t, void); !strings.Contains(fmt.Sprint(err), "comes to nothing already") {
		t.Errorf("a second void is refused with %v", err)
	}
	if got := h.entered(t, sold("a", 10)); got.ID != old.ID { // still the answer
		t.Errorf("a replay of what was voided is %+v", got)
	}
	for _, request := range []string{"", "req5"} { // each entry is voided by its own, whatever the request is called
		for _, key := range []string{"b", "c"} {
			void := posting(engine.EntryVoid, h.entered(t, sold(key+request, 1)).ID)
			void.Request = request
			if out := h.posts(t, void); out.Again {
				t.Errorf("request %q: %s was voided before: %+v", request, key, out)
			}
		}
	}
	ask = posting(engine.EntryCorrection, old.ID)
	ask.Quantity = "2"
	h.posts(t, ask)
	h.balance(t, old.ID, 2, 8)
	for _, bad := range []engine.Posting{
		{Kind: engine.EntryVoid, Entry: "ent_none", Reason: "x", Actor: "x", Correct: correct},
		{Kind: engine.EntryVoid, Entry: old.ID, Actor: "x", Correct: correct},
		{Kind: engine.EntryVoid, Entry: old.ID, Reason: " ", Actor: "x", Correct: correct},
		{Kind: engine.EntryVoid, Entry: old.ID, Reason: "x", Correct: correct},
	} {
		_ = h.refuses(t, bad)
	}
	h.chain(t)
}

func testClosing(t *testing.T, h *harness) {
	h.start(t)
	closing := func(month string) engine.Posting {
		return engine.Posting{Kind: engine.EntryClose, Tenant: "default", Period: month, Zone: "Europe/Madrid", Reason: "booked", Actor: "bob"}
	}
	_ = h.refuses(t, closing("2026-05")) // there is no such ledger
	in := func(month, key string, n int) engine.Entry {
		e := sold(key, n)
		e.Period, e.Service = month, month
		return h.entered(t, e)
	}
	may, june := in("2026-05", "a", 10), in("2026-06", "b", 1)
	for bad, want := range map[string]string{
		"2026-06": "2026-05 is still open", "2026-13": "is no month", "2026-5": "is no month", "": "is no month",
		"2126-01": "is not over", time.Now().Format("2006-01"): "is not over",
	} {
		if err := h.refuses(t, closing(bad)); err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("closing %q is refused with %v, want %q", bad, err, want)
		}
	}
	e := h.posts(t, closing("2026-05")).Entries[0]
	if e.Kind != engine.EntryClose || e.Period != "2026-05" || e.Actor != "bob" || e.Reason != "booked" || e.Zone != "Europe/Madrid" {
		t.Errorf("closed by %+v", e)
	}
	h.restart(t)
	if again := h.posts(t, closing("2026-05")); !again.Again || again.Entries[0].ID != e.ID {
		t.Errorf("closed again %+v", again)
	}
	if late := in("2026-05", "late", 5); late.Period != "2026-06" || late.Service != "2026-05" || late.Before != "1" || late.Month != "6" {
		t.Errorf("an entry for a closed month is %+v", late)
	}
	if early := in("2026-04", "early", 1); early.Period != "2026-06" || early.Service != "2026-04" {
		t.Errorf("an entry for a month before is %+v", early)
	}
	h.posts(t, closing("2026-06"))
	ask := posting(engine.EntryCorrection, may.ID)
	ask.Quantity = "11"
	if fix := h.posts(t, ask).Entries[0]; fix.Period != "2026-07" || fix.Service != "2026-05" || fix.Before != "0" || fix.Month != "1" {
		t.Errorf("a correction of a closed month is %+v", fix)
	}
	h.balance(t, may.ID, 11, 44)
	_ = h.refuses(t, posting(engine.EntryVoid, e.ID)) // what closes a month is no entry of anybody
	other := sold("o", 1)
	other.Tenant = "other"
	if got := h.entered(t, other); got.Period != "2026-05" {
		t.Errorf("another tenant's month is closed: %+v", got)
	}
	if got := in("2026-06", "b", 1); got.ID != june.ID {
		t.Errorf("a replay in a closed month is %+v", got)
	}
	h.chain(t)
}
