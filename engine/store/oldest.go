package store

import (
	"context"
	"time"
)

// oldest are the rows of a table in which the new ones stand behind the old.
type oldest struct {
	keep time.Duration
	// read is some rows behind after, in their order, never the last of the
	// table: numbers of rows go on from it.
	read   func(ctx context.Context, after int64) ([]aged, error)
	remove func(b *batch, rows []aged) (int64, error)

	after int64     // the row this round has come to
	young int64     // the first row of this round that is not old yet; 0: none was found
	ages  time.Time // when such a row will be old
	from  int64     // up to this row only those stand that were to stay,
	again time.Time // until they are looked at again; zero: there are none
	last  *expire   // that was asked for
	asked int       // how many rows it was to delete
}

// aged is a row and its age.
type aged struct {
	seq  int64
	made time.Time // by this they stand in order, but for moments
	end  time.Time // from when its age counts; zero: it is not over yet
	name string    // its id or key
	text []byte    // where it must not have changed
}

func (o *oldest) begin(now time.Time) {
	o.last, o.after, o.young = nil, o.from, 0
	o.ages = now.Add(o.keep) // what comes from now on
	if !o.again.IsZero() && !o.again.After(now) {
		o.after, o.again = 0, time.Time{}
	}
}

// later notes that rows that stay are to be looked at again at t.
func (o *oldest) later(t, now time.Time) {
	if t.Before(now.Add(lookAgain / 6)) { // rows that come due one by one wait for each other
		t = now.Add(lookAgain / 6)
	}
	if o.again.IsZero() || t.Before(o.again) {
		o.again = t
	}
}

func (o *oldest) next(ctx context.Context, now time.Time) (j *expire, done bool, due time.Time, err error) {
	if o.last != nil && o.last.n < int64(o.asked) {
		o.later(now.Add(lookAgain), now)
	}
	o.last = nil
	rows, err := o.read(ctx, o.after)
	if err != nil {
		return nil, false, due, err
	}
	old, gone := false, []aged(nil)
	for _, r := range rows {
		switch young := r.made.Add(o.keep); {
		case !r.end.IsZero() && !r.end.Add(o.keep).After(now):
			old, gone = true, append(gone, r)
		case young.After(now):
			o.ages = earlier(o.ages, young)
			if o.young == 0 {
				o.young = r.seq
			}
		default:
			old = true
			at := now.Add(lookAgain)
			if !r.end.IsZero() {
				at = r.end.Add(o.keep)
			}
			o.later(at, now)
		}
	}
	if !old { // nor is anything behind
		o.from = o.after
		if o.young != 0 {
			o.from = o.young - 1
		}
		if due = o.ages; !o.again.IsZero() {
			due = earlier(due, o.again)
		}
		return nil, true, due, nil
	}
	o.after = rows[len(rows)-1].seq
	if len(gone) > 0 {
		o.asked = len(gone)
		o.last = &expire{do: func(b *batch) (int64, error) { return o.remove(b, gone) }}
	}
	return o.last, false, due, nil
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
