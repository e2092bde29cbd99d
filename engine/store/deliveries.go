package store

import (
	"cmp"
	"context"
	"database/sql"
	"slices"

	"github.com/gavelhq/gavel/engine"
)

// Deliveries are the accepted and refused deliveries that q selects, by time.
// Accepted ones are read off their first event.
func (r *Reader) Deliveries(ctx context.Context, q engine.Query) ([]engine.Received, error) {
	var out []engine.Received
	if !q.Refused && (q.Verdict == "" || q.Verdict == engine.VerdictAccepted) {
		f := deliveries("delivery", "received", q)
		f.add("part = 0 AND delivery <> ''")
		err := r.each(ctx, `SELECT delivery, received, source, 'accepted', '', remote, size, status, id FROM events`+
			f.where()+` ORDER BY delivery `+direction(q)+` LIMIT ?`, append(f.args, limit(q)), scanReceived(&out))
		if err != nil {
			return nil, err
		}
	}
	if q.Verdict != engine.VerdictAccepted {
		f := deliveries("id", "at", q)
		f.text("verdict", q.Verdict)
		if q.Refused {
			f.add("verdict <> 'duplicate'")
		}
		err := r.each(ctx, `SELECT id, at, source, verdict, reason, remote, size, status, '' FROM refused`+
			f.where()+` ORDER BY id `+direction(q)+` LIMIT ?`, append(f.args, limit(q)), scanReceived(&out))
		if err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(out, func(a, b engine.Received) int { return cmp.Compare(a.ID, b.ID) })
	if q.After == "" {
		slices.Reverse(out)
	}
	return out[:min(len(out), limit(q))], nil
}

// deliveries selects rows by what accepted and refused ones have in common.
func deliveries(id, time string, q engine.Query) *filter {
	f := new(filter)
	if q.ID != "" {
		f.prefix(id, "dlv_", q.ID)
	}
	f.text("source", q.Source)
	if !q.Since.IsZero() {
		f.add(time+" >= ?", q.Since.UnixMicro())
	}
	if q.Cursor != "" {
		f.add(id+" < ?", q.Cursor)
	}
	if q.After != "" {
		f.add(id+" > ?", q.After)
	}
	return f
}

func direction(q engine.Query) string {
	if q.After != "" {
		return "ASC"
	}
	return "DESC"
}

func scanReceived(out *[]engine.Received) func(*sql.Rows) error {
	return func(rows *sql.Rows) error {
		var d engine.Received
		var micros int64
		err := rows.Scan(&d.ID, &micros, &d.Source, &d.Verdict, &d.Reason, &d.Remote, &d.Size, &d.Status, &d.Event)
		d.At = at(micros)
		*out = append(*out, d)
		return err
	}
}
