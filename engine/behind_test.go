package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// queue is a store that says who waits, and which keys were done by others.
type queue struct {
	Store
	runs []*Run
	done map[string]bool
}

func (q queue) Waiting(_ context.Context, _ string, least, most int) ([]*Run, error) {
	if len(q.runs) < least {
		return nil, nil
	}
	return q.runs[:min(len(q.runs), most)], nil
}

func (q queue) ActionState(_ context.Context, kind, key string) (json.RawMessage, error) {
	if kind == StateFolded && q.done[key] {
		return json.RawMessage(`{}`), nil
	}
	return nil, ErrNotFound
}

// Only what was surely not done yet is done together with another attempt.
func TestBehind(t *testing.T) {
	call := &StepCall{Action: "act"}
	plain := func(n int) *Run { return &Run{ID: fmt.Sprint("run_", n), Branch: BranchThen, Call: call} }
	for _, tc := range []struct {
		name string
		with func(r *Run) // the second of four; nil: there is none
		want string
	}{
		{"all", func(*Run) {}, "1 2 3 4"},
		{"may have been done", func(r *Run) { r.Begun = true }, "1 3 4"},
		{"was refused before", func(r *Run) { r.Tries = []Try{{}} }, "1 3 4"},
		{"is not rendered", func(r *Run) { r.Call = nil }, "1 3 4"},
		{"is another action", func(r *Run) { r.Call = &StepCall{Action: "other"} }, "1 3 4"},
		{"was done", func(r *Run) { r.At = 7 }, "1 3 4"},
		{"too few", nil, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			q := queue{runs: []*Run{plain(1)}, done: map[string]bool{"run_2.then.7": true}}
			if tc.with != nil {
				q.runs = append(q.runs, plain(2), plain(3), plain(4))
				tc.with(q.runs[1])
			}
			a := &advance{Engine: &Engine{o: Options{Store: q, Log: slog.New(slog.DiscardHandler)}}, work: t.Context(), run: plain(0)}
			var got []string
			for _, b := range a.behind(&try{kind: ActionKind{Name: "act", Folds: 3}, turn: &pass{lane: &lane{aside: true}}}) {
				got = append(got, strings.TrimSuffix(strings.TrimPrefix(b.Key, "run_"), ".then.0"))
			}
			if s := strings.Join(got, " "); s != tc.want {
				t.Errorf("behind it: %s, want %s", s, tc.want)
			}
		})
	}
}
