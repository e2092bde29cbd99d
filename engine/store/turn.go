package store

import "database/sql"

// turns are the unfinished runs that hold a turn or wait for it: the column
// turn of runs, kept in memory so that the usual run, alone with its turn,
// costs no query.
type turns struct {
	of      map[string]string // turn, by run
	waiting map[string]int    // runs, by turn; the holder included
}

func loadTurns(w *writer) (turns, error) {
	t := turns{map[string]string{}, map[string]int{}}
	err := w.each(`SELECT id, turn FROM runs WHERE turn IS NOT NULL`, nil, func(r *sql.Rows) error {
		var run, turn string
		err := r.Scan(&run, &turn)
		t.take(run, turn)
		return err
	})
	return t, err
}

// taken reports whether a run holds turn.
func (t turns) taken(turn string) bool { return t.waiting[turn] > 0 }

func (t turns) take(run, turn string) {
	t.of[run] = turn
	t.waiting[turn]++
}

// give lets run give up its turn.
func (t turns) give(run string) {
	turn := t.of[run]
	delete(t.of, run)
	if t.waiting[turn]--; t.waiting[turn] <= 0 {
		delete(t.waiting, turn)
	}
}
