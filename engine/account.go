package engine

import (
	"cmp"
	"errors"
	"slices"
)

// Account is what was billed under one key: an entry of usage and all that was
// posted to it since, oldest first. What it comes to is the sum of its rows.
type Account []Entry

// Groups are its rows by customer and currency: what was billed to one customer
// can have been corrected to be another's.
func (a Account) Groups() (groups []Account) {
next:
	for _, e := range a {
		for i, g := range groups {
			if g[0].Customer == e.Customer && g[0].Currency == e.Currency {
				groups[i] = append(g, e)
				continue next
			}
		}
		groups = append(groups, Account{e})
	}
	return groups
}

// Standing are the rows of the customer and the currency that it is billed in by
// now: what others had of it was taken back.
func (a Account) Standing() Account {
	newest := func(g Account) int64 {
		var number int64
		for _, e := range g {
			if e.Kind != EntryVoid {
				number = max(number, e.Number)
			}
		}
		return number
	}
	return slices.MaxFunc(a.Groups(), func(x, y Account) int { return cmp.Compare(newest(x), newest(y)) })
}

// Basis is the row that says what the account is charged by: price, tiers,
// rounding, and where in its month. It is the newest one that was entered anew,
// which the first one was.
func (a Account) Basis() Entry {
	for _, e := range slices.Backward(a) {
		if e.From != "" {
			return e
		}
	}
	return a[0]
}

// Place is the month's total that an entry is charged from.
func (e Entry) Place() string { return cmp.Or(e.From, e.Before) }

// SamePrice reports whether o differs from e in the quantity alone.
func (e Entry) SamePrice(o Entry) bool {
	if e.Rounding != "" && e.Rounding != o.Rounding {
		return false
	}
	o.Quantity, o.Amount = e.Quantity, e.Amount
	return e.SameInputs(o)
}

// Moves says what becomes of e where the account that has its key began as an
// estimate. differs: it is a conflict. Else said is the row that says the same
// already, or that has made e obsolete; nil: the difference to the account is to
// be posted.
//
// Rules estimate until the true end is known. Once a person has posted something
// they change nothing any more.
func (a Account) Moves(e Entry) (said *Entry, differs bool) {
	last, known := 0, false
	for i, row := range a {
		if row.Actor == "" {
			last, known = i, known || !row.Estimated
		}
	}
	said = &a[last]
	if !a[0].SamePrice(e) {
		return nil, true
	}
	trial := e
	switch err := e.Correct(&trial, a[:last+1], ""); {
	case errors.Is(err, ErrNoDifference), e.Estimated && (known || e.Ended.Before(said.Ended)):
		return said, false
	case known, last+1 < len(a), e.Estimated && !e.Ended.After(said.Ended):
		return nil, true
	}
	return nil, false
}

// Outdates reports whether an estimate of a session's end says nothing any more
// beside e.
func (e Entry) Outdates(estimate Entry) bool {
	return estimate.Estimated && (!e.Estimated || e.Ended.After(estimate.Ended))
}
