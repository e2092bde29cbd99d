package ruletest

import (
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// usage is an entry that is charged with whole numbers, at most 100 a month.
func usage(key, quantity string) engine.Entry {
	number := func(text string) int {
		n, _ := strconv.Atoi(text)
		return n
	}
	return engine.Entry{
		Key: key, Meter: "m", Customer: "acme", Quantity: quantity, Period: "2026-11",
		Charge: func(e *engine.Entry, before string) error {
			e.Before, e.Month = before, strconv.Itoa(number(before)+number(e.Quantity))
			if number(e.Month) > 100 {
				return errors.New("too much")
			}
			return nil
		},
		Correct: func(e *engine.Entry, rows []engine.Entry, before string) error {
			d := number(e.Quantity)
			for _, row := range rows {
				d -= number(row.Quantity)
			}
			if d == 0 {
				return engine.ErrNoDifference
			}
			e.Quantity = strconv.Itoa(d)
			e.Before, e.Month = before, strconv.Itoa(number(before)+d)
			return nil
		},
	}
}

func TestLedger(t *testing.T) {
	l, n := newLedger(), 0
	newID := func(prefix string) string {
		n++
		return prefix + strconv.Itoa(n)
	}
	post := func(want string, all ...engine.Entry) {
		t.Helper()
		out := l.post(all, newID)
		got := ""
		for _, e := range out.Entries {
			got += fmt.Sprintf("%s %s %s-%s;", e.Key, e.Quantity, e.Before, e.Month)
		}
		if out.Conflict != nil {
			got += "conflict with " + out.Conflict.Quantity
		}
		if out.Refused != nil {
			got += out.Refused.Error()
		}
		if got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
	estimated := func(e engine.Entry) engine.Entry {
		e.Estimated = true
		return e
	}
	post("a 10 -10;b 20 10-30;", usage("a", "10"), usage("b", "20"))
	post("a 10 -10;c 5 30-35;", usage("a", "10"), usage("c", "5"))
	post("conflict with 10", usage("d", "1"), usage("a", "11"))
	post("too much", usage("d", "1"), usage("e", "100"))
	post("d 1 35-36;", usage("d", "1")) // nothing is left of what was refused
	post("f 7 36-43;f 7 36-43;", usage("f", "7"), usage("f", "7"))
	post("conflict with 8", usage("g", "8"), usage("g", "9"))
	post("h 50 43-93;", estimated(usage("h", "50")))
	post("h 50 43-93;", usage("h", "50"))
	post("h -10 93-83;", usage("h", "40"))
	post("h -10 93-83;", usage("h", "40"))
	post("conflict with 50", usage("h", "41"))
	post("h -10 93-83;", estimated(usage("h", "60"))) // the end is known by now
	later := estimated(usage("j", "9"))
	later.Ended = time.Unix(1, 0)
	post("j 4 83-87;", estimated(usage("j", "4")))
	post("conflict with 4", estimated(usage("j", "5")))
	post("j 5 87-92;", later)
	post("j -1 92-91;", usage("j", "8"))
	other := usage("i", "90")
	other.Customer = "globex"
	post("i 90 -90;", other)
	if len(l.entries) != 11 {
		t.Errorf("%d entries", len(l.entries))
	}
}
