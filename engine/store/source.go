package store

import (
	"database/sql"

	"github.com/gavelhq/gavel/engine"
)

// sender is a source as the committer counts it, event by event.
type sender struct{ engine.Source }

// count adds (n=1) or takes away (n=-1) what s contributes.
func (x *sender) count(s *session, n int) {
	if s.open {
		x.Sessions += n
		x.Present += n * s.present
	}
}

// sources are all that have ever sent something, by name.
type sources map[string]*sender

const selectSources = `SELECT s.name, s.tenant, s.last_event, count(o.seq), coalesce(sum(o.present), 0)
	FROM sources s LEFT JOIN sessions o ON o.source = s.name AND o.status = 'active'
	GROUP BY s.name ORDER BY s.name`

func loadSources(w *writer) (sources, error) {
	all := sources{}
	err := w.each(selectSources, nil, func(r *sql.Rows) error {
		s, err := scanSource(r)
		all[s.Name] = &sender{s}
		return err
	})
	return all, err
}

func scanSource(r *sql.Rows) (s engine.Source, err error) {
	var last int64
	err = r.Scan(&s.Name, &s.Tenant, &last, &s.Sessions, &s.Present)
	s.LastEvent = at(last)
	return s, err
}

// source is what is counted for the source called name.
func (b *batch) source(name string) *sender {
	x := b.committer.sources[name]
	if x == nil {
		x = &sender{engine.Source{Name: name}}
		b.committer.sources[name] = x
	}
	return x
}

// heard notes that the source of ev has sent something.
func (b *batch) heard(ev *engine.Event) {
	x := b.source(ev.Source)
	x.Tenant, x.LastEvent = ev.Tenant, ev.Received
	b.senders[ev.Source] = x
}

func (b *batch) writeSenders() error {
	for _, x := range b.senders {
		_, err := b.w.exec(`INSERT INTO sources (name, tenant, last_event) VALUES (?, ?, ?)
			ON CONFLICT (name) DO UPDATE SET tenant = excluded.tenant, last_event = excluded.last_event`,
			x.Name, x.Tenant, x.LastEvent.UnixMicro())
		if err != nil {
			return err
		}
	}
	return nil
}
