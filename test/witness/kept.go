package witness

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/store"
)

// kept is what a server left in its data folder.
type kept struct {
	events   []keptEvent // in the order they were accepted
	derived  []keptEvent // by Gavel itself
	runs     []*engine.Run
	timers   []engine.Timer
	entries  []engine.Entry
	chain    store.LedgerReport
	revision map[string]string // text by id, of those that events and runs name
	lacking  []string          // revisions that are not there
}

// keptEvent is an event as it is stored.
type keptEvent struct {
	stored   string // its id there
	id       string // its id on the wire; "" if it is Gavel's own
	kind     string // type
	session  string // the platform's id
	person   string
	revision string
	received time.Time
}

// read reads what is in the folder of a stopped server.
func read(ctx context.Context, dir string) (k *kept, err error) {
	r, err := store.OpenReader(ctx, dir, time.Now)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	k = &kept{revision: map[string]string{}}
	for _, part := range []func(context.Context, *store.Reader) error{k.readEvents, k.readRuns, k.readTimers, k.readEntries, k.readRevisions} {
		if err := part(ctx, r); err != nil {
			return nil, err
		}
	}
	k.chain, err = store.VerifyLedger(ctx, filepath.Join(dir, "gavel.db"), nil)
	return k, err
}

// page is how many rows are asked for at once.
const page = 1000

// oldest are the first rows of those whose ids begin with prefix.
func oldest(prefix string) engine.Query { return engine.Query{Limit: page, After: prefix} }

func (k *kept) readEvents(ctx context.Context, r *store.Reader) error {
	sent := map[string]string{}
	err := r.Sent(ctx, store.Past{}, func(s store.Sent) error {
		var body struct{ ID string }
		if err := json.Unmarshal(s.Raw, &body); err != nil {
			return fmt.Errorf("payload of event %s: %w", s.ID, err)
		}
		sent[s.ID] = body.ID
		return nil
	})
	if err != nil {
		return err
	}
	for q := oldest("evt_"); ; {
		rows, err := r.Events(ctx, q)
		if err != nil {
			return err
		}
		for _, e := range rows {
			x := keptEvent{stored: e.ID, id: sent[e.ID], kind: e.Type, session: e.Session.ID, person: e.Participant.ID, revision: e.Revision, received: e.Received}
			k.revision[x.revision] = ""
			if _, ours := sent[e.ID]; ours {
				k.events = append(k.events, x)
			} else {
				k.derived = append(k.derived, x)
			}
		}
		if len(rows) < page {
			return nil
		}
		q.After = rows[len(rows)-1].ID
	}
}

func (k *kept) readRuns(ctx context.Context, r *store.Reader) error {
	return r.Done(ctx, time.Time{}, time.Time{}, func(run *engine.Run) error {
		k.revision[run.Revision] = ""
		k.runs = append(k.runs, run)
		return nil
	})
}

func (k *kept) readTimers(ctx context.Context, r *store.Reader) error {
	for q := oldest("tmr_"); ; {
		rows, err := r.Timers(ctx, q)
		if err != nil {
			return err
		}
		k.timers = append(k.timers, rows...)
		if len(rows) < page {
			return nil
		}
		q.After = rows[len(rows)-1].ID
	}
}

func (k *kept) readEntries(ctx context.Context, r *store.Reader) error {
	return r.Entries(ctx, engine.Query{}, time.Time{}, time.Time{}, func(e engine.Entry) error {
		k.entries = append(k.entries, e)
		return nil
	})
}

func (k *kept) readRevisions(ctx context.Context, r *store.Reader) error {
	for id := range k.revision {
		text, err := r.Revision(ctx, id)
		if err != nil {
			k.lacking = append(k.lacking, fmt.Sprintf("%q: %v", id, err))
			continue
		}
		k.revision[id] = string(text)
	}
	return nil
}
