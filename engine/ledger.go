package engine

import "time"

// Head is where the chain of a tenant's entries ends.
type Head struct {
	Tenant string `json:"tenant"`
	Number int64  `json:"number"` // of the newest entry; there are as many
	Hash   string `json:"hash"`   // hex
}

// States of a conflict.
const (
	ConflictOpen      = "open"
	ConflictKept      = "kept"      // the entry stays as it is
	ConflictCorrected = "corrected" // the ledger says now what was proposed
	ConflictOutdated  = "outdated"  // nobody decided: it proposed an estimate, and a later end is known
)

// Conflict is an entry that a step wanted to write where another one with its
// key says something else. A person decides.
type Conflict struct {
	ID       string    `json:"id"`
	Tenant   string    `json:"tenant"`
	State    string    `json:"state"`
	At       time.Time `json:"at"`
	Entry    Entry     `json:"entry"`    // that has the key
	Proposed Entry     `json:"proposed"` // never written
	Decided  time.Time `json:"decided,omitzero"`
	Actor    string    `json:"actor,omitempty"` // who decided
	Reason   string    `json:"reason,omitempty"`
	Posted   []string  `json:"posted,omitempty"` // ids of what it was corrected by
	// Damage says why the rest cannot be read: then only what names it is known.
	Damage string `json:"-"`
}

// Settlement is what a person makes of a conflict.
type Settlement struct {
	Conflict string // id, or the start of one
	State    string // ConflictKept or ConflictCorrected
	Reason   string
	Actor    string
	Version  string // of gavel
	// Charge and Correct are those of the entries: see [Entry].
	Charge  func(e *Entry, before string) error
	Correct func(e *Entry, rows []Entry, before string) error
}

// Posting is what a person has the ledger enter.
type Posting struct {
	Kind string // EntryCorrection, EntryVoid or EntryClose
	// Entry is the one to be corrected or voided, or one that corrects it: an id,
	// or the start of one.
	Entry string
	// A correction says what there should have been altogether: a decimal, or an
	// amount in minor units.
	Quantity string
	Amount   *int64
	// Tenant and Period are what is closed: a month such as 2026-11, in Zone.
	Tenant, Period, Zone string
	Reason               string
	Actor                string
	Request              string // the same on every try: it is entered once
	Version              string // of gavel
	// Correct is that of the entries: see [Entry].
	Correct func(e *Entry, rows []Entry, before string) error
}

// Posted is what became of a Posting.
type Posted struct {
	Entries []Entry `json:"entries"`
	Again   bool    `json:"again,omitempty"` // they were there already
}

// bill puts what the ledger has made of a step's entries into its record.
func (s *StepRecord) bill(res Result, entries []Entry) {
	s.Before, s.Month = entries[0].Before, entries[0].Month
	if res.Told != nil {
		s.Note, s.Body = res.Told(entries)
	}
}
