package store

import (
	"cmp"
	"database/sql"

	"github.com/gavelhq/gavel/engine"
)

// whereabouts are, by source and participant, the open sessions people were
// last seen in: for sources whose events may name a participant only. Those of
// a source are read when it sends the first such event, and kept up from then
// on.
type whereabouts map[string]map[string]string // source → participant → session

// seen notes that people of s were seen in it.
func (w whereabouts) seen(s *session, people []*engine.Person) {
	of := w[s.state.Source]
	if of == nil {
		return
	}
	if !s.open {
		for id := range s.state.People {
			if of[id] == s.state.Key {
				delete(of, id)
			}
		}
		return
	}
	for _, p := range people {
		of[p.ID] = s.state.Key
	}
}

// sessionOfPerson is the open session in which the participant of ev was seen
// last; ev names nothing else.
func (b *batch) sessionOfPerson(ev *engine.Event) (*session, error) {
	id := cmp.Or(ev.Participant.ID, ev.Participant.ConnectionID)
	of := b.whereabouts[ev.Source]
	if of == nil {
		var err error
		if of, err = b.findPeople(ev.Source); err != nil {
			return nil, err
		}
		b.whereabouts[ev.Source] = of
	}
	if of[id] == "" {
		return nil, nil
	}
	return b.load(of[id])
}

// findPeople reads who was seen in the open sessions of a source.
func (b *batch) findPeople(source string) (map[string]string, error) {
	of := map[string]string{}
	err := b.w.each(`SELECT p.id, s.key FROM sessions s JOIN people p ON p.session = s.key
		WHERE s.source = ? AND s.status = 'active' ORDER BY s.seq`, []any{source}, func(r *sql.Rows) error {
		var id, key string
		err := r.Scan(&id, &key)
		of[id] = key
		return err
	})
	for _, s := range b.dirty { // what is not in the table yet
		if s.open && s.state.Source == source {
			for id := range s.state.People {
				of[id] = s.state.Key
			}
		}
	}
	return of, wrap(err, "people of "+source)
}
