package engine

// enter puts what the ledger has made of a step's entries into its record.
func (s *StepRecord) enter(res Result, entries []Entry) {
	if len(entries) == 0 {
		return
	}
	s.Before, s.Month = entries[0].Before, entries[0].Month
	if res.Told != nil {
		s.Note, s.Body = res.Told(entries)
	}
}
