package store

import (
	"context"
	"database/sql"
	"encoding/json"

	"github.com/gavelhq/gavel/engine"
)

// Export calls fn with the stored events that p selects, those of our own too, in
// the order in which they were accepted, with their payloads. fn owns what it is
// given.
func (r *Reader) Export(ctx context.Context, p Past, fn func(engine.EventRow) error) error {
	f, err := r.past(ctx, p)
	if err != nil {
		return err
	}
	return r.each(ctx, eventColumns+`, raw FROM events`+f.where()+` ORDER BY seq`, f.args, func(rows *sql.Rows) error {
		var payload json.RawMessage
		e, err := scanEvent(rows, &payload)
		if err != nil {
			return err
		}
		return fn(e)
	})
}
