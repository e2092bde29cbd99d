package ledger

import (
	"fmt"
	"math/big"
	"time"
)

// account is what a meter of one session, recording or artifact comes to.
type account struct {
	key      string // as the ledger names it, without the source
	meter    string
	customer string
	quantity *big.Rat
	currency string
	amount   *big.Int // minor units; nil: by tiers, see tiered
	month    string
}

// expected are the accounts of m. knows is its end as far as the server knows it.
func (m *meeting) expected(end time.Time) []account {
	month := end.UTC().Format("2006-01")
	minutes := begun(end.Sub(m.began))
	all := []account{
		{m.session(), "meeting_minutes", m.customer, whole(minutes), "USD", money(whole(minutes), "0.0041", 2, halfUp), month},
		{m.session(), "participant_minutes", m.customer, whole(begun(m.attended(end))), "EUR", nil, month},
	}
	for _, r := range m.records {
		n := whole(begun(r.to.Sub(r.from)))
		all = append(all, account{r.id, "recording_minutes", m.customer, n, "JPY", money(n, "1.25", 0, up), month})
	}
	for _, u := range m.usages {
		thousands := big.NewRat(u.tokens, 1000)
		all = append(all, account{u.id, "ai_tokens", m.customer, thousands, "KWD", money(thousands, "0.0123", 3, halfEven), month})
	}
	return all
}

func (m *meeting) session() string { return fmt.Sprintf("RM_%08d", m.n) }

// attended is everybody's time together, up to end.
func (m *meeting) attended(end time.Time) (sum time.Duration) {
	for _, s := range m.stays {
		to := s.to
		if to.IsZero() || to.After(end) {
			to = end
		}
		sum += max(0, to.Sub(s.from))
	}
	return sum
}

// begun is how many minutes have begun.
func begun(d time.Duration) int64 {
	n := int64(d / time.Minute)
	if d%time.Minute > 0 {
		n++
	}
	return n
}

func whole(n int64) *big.Rat { return new(big.Rat).SetInt64(n) }

// rounding decides whether the part of a minor unit behind the point makes it
// one more.
type rounding func(whole *big.Int, rest *big.Rat) bool

func up(_ *big.Int, rest *big.Rat) bool     { return rest.Sign() > 0 }
func halfUp(_ *big.Int, rest *big.Rat) bool { return rest.Cmp(big.NewRat(1, 2)) >= 0 }
func halfEven(n *big.Int, rest *big.Rat) bool {
	c := rest.Cmp(big.NewRat(1, 2))
	return c > 0 || c == 0 && n.Bit(0) == 1
}

// money is quantity × price in minor units of a currency with so many decimals.
func money(quantity *big.Rat, price string, decimals int, r rounding) *big.Int {
	p, _ := new(big.Rat).SetString(price)
	return minor(new(big.Rat).Mul(quantity, p), decimals, r)
}

func minor(amount *big.Rat, decimals int, r rounding) *big.Int {
	for range decimals {
		amount = new(big.Rat).Mul(amount, big.NewRat(10, 1))
	}
	n := new(big.Int).Div(amount.Num(), amount.Denom())
	if rest := new(big.Rat).Sub(amount, new(big.Rat).SetInt(n)); r(n, rest) {
		n.Add(n, big.NewInt(1))
	}
	return n
}

// tiered is what quantity costs in EUR cents where the customer has used before
// in the month: unit by unit, as quantities are whole here.
func tiered(before, quantity int64) *big.Int {
	sum := new(big.Rat)
	for _, tier := range []struct {
		from, to int64
		price    string
	}{{0, 5000, "0"}, {5000, 50000, "0.0031"}, {50000, 1 << 62, "0.0017"}} {
		if n := min(before+quantity, tier.to) - max(before, tier.from); n > 0 {
			p, _ := new(big.Rat).SetString(tier.price)
			sum.Add(sum, p.Mul(p, whole(n)))
		}
	}
	return minor(sum, 2, halfUp)
}
