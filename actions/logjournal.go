package actions

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"

	"github.com/gavelhq/gavel/engine"
)

// maxJournalName is how long the name of a field may be.
const maxJournalName = 64

// journalFields are what a line carries in the journal: systemd.journal-fields(7).
func journalFields(c engine.Call, fields []slog.Attr) map[string]string {
	all := map[string]string{"SYSLOG_IDENTIFIER": "gavel", "GAVEL_EVENT": eventID(c), "GAVEL_RULE": c.Rule, "GAVEL_RUN": c.Run}
	for _, f := range fields {
		name := journalName(f.Key)
		for n := 2; ; n++ { // "a b" and "a-b" are two fields
			if _, taken := all[name]; !taken {
				break
			}
			name = journalName(fmt.Sprintf("%.40s_%d", f.Key, n))
		}
		all[name] = fmt.Sprint(f.Value.Any())
		if nested, ok := f.Value.Any().(json.RawMessage); ok {
			all[name] = string(nested)
		}
	}
	return all
}

// journalName is the name of a field: capitals, digits and underscores.
func journalName(key string) string {
	name := "GAVEL_FIELD_" + strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		}
		return '_'
	}, key)
	return name[:min(len(name), maxJournalName)]
}
