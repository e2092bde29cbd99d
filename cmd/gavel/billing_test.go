package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/gavelhq/gavel/engine"
)

// ledgerOf are entries of each kind.
func ledgerOf() []engine.Entry {
	amount := func(n int64) *int64 { return &n }
	first := engine.Entry{
		ID: "ent_1", Number: 1, Hash: "aa", Kind: engine.EntryUsage, At: testNow, Tenant: "default", Source: "pnm",
		Customer: "=HYPERLINK(\"x\")", Meter: "meeting_minutes", Quantity: "72", Price: "0.004", Currency: "EUR", Amount: amount(29),
		Exponent: 2, Rounding: "half_up", Period: "2026-11", Service: "2026-11", Zone: "Europe/Madrid", Before: "0", Month: "72",
		Session: "pnm/s1", Key: "-k", Room: "@room", Platform: "plugnmeet", Rule: "minutes", Revision: "a41f9c2", Run: "run_1",
		Step: "then/bill", Event: "evt_1", Started: testNow.Add(-2 * time.Hour), Ended: testNow.Add(-48 * time.Minute), Happened: testNow.Add(-47*time.Minute - 30*time.Second), Version: "1.0",
	}
	second := first
	second.ID, second.Number, second.Hash = "ent_2", 2, "bb"
	second.Customer, second.Key, second.Price, second.Amount = "cus_1", "k2", "", amount(0)
	second.Parts = []engine.Part{{Quantity: "60", Price: "0"}, {Quantity: "12", Price: "0.0001"}}
	second.Tiers = []engine.Tier{{UpTo: "60", Price: "0"}, {Price: "0.0001"}}
	correction := first
	correction.ID, correction.Number, correction.Hash, correction.Kind = "ent_3", 3, "cc", engine.EntryCorrection
	correction.Corrects, correction.Reason, correction.Actor = "ent_1", "the host forgot to leave\u2028", "ana"
	correction.Quantity, correction.Amount, correction.Period = "-1", amount(-5), "2026-12"
	counted := first
	counted.ID, counted.Number, counted.Hash, counted.Key = "ent_4", 4, "dd", "k4"
	counted.Meter, counted.Price, counted.Currency, counted.Amount, counted.Exponent = "recording_minutes", "", "", nil, 0
	counted.Ended = testNow.Add(-36 * 24 * time.Hour)
	return []engine.Entry{first, second, correction, counted, {
		ID: "ent_5", Number: 5, Hash: "ee", Kind: engine.EntryClose, Tenant: "default", Period: "2026-11", Service: "2026-11", At: testNow,
	}}
}

// exported is the ledger in a format, and what is said on standard error.
func exported(t *testing.T, format string, entries []engine.Entry) (out, said string) {
	t.Helper()
	var data, errs bytes.Buffer
	a := testApp(&data)
	a.output, a.err = format, &errs
	w := a.ledgerWriter()
	for _, e := range entries {
		if err := w.entry(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.close(); err != nil {
		t.Fatal(err)
	}
	return data.String(), errs.String()
}

func TestLedgerCSV(t *testing.T) {
	got, _ := exported(t, "csv", ledgerOf())
	want := `format,number,id,kind,period,service,customer,meter,quantity,price,parts,currency,amount,amount_minor,exponent,rounding,before,month,session,key,room,platform,source,tenant,started,ended,zone,estimated,rule,revision,run,step,event,corrects,reason,actor,at,version,hash,happened
2,1,ent_1,usage,2026-11,2026-11,"'=HYPERLINK(""x"")",meeting_minutes,72,0.004,,EUR,0.29,29,2,half_up,0,72,pnm/s1,'-k,'@room,plugnmeet,pnm,default,2026-11-20T12:00:00Z,2026-11-20T13:12:00Z,Europe/Madrid,false,minutes,a41f9c2,run_1,then/bill,evt_1,,,,2026-11-20T14:00:00Z,1.0,aa,2026-11-20T13:12:30Z
2,2,ent_2,usage,2026-11,2026-11,cus_1,meeting_minutes,72,,60 x 0; 12 x 0.0001,EUR,0.00,0,2,half_up,0,72,pnm/s1,k2,'@room,plugnmeet,pnm,default,2026-11-20T12:00:00Z,2026-11-20T13:12:00Z,Europe/Madrid,false,minutes,a41f9c2,run_1,then/bill,evt_1,,,,2026-11-20T14:00:00Z,1.0,bb,2026-11-20T13:12:30Z
2,3,ent_3,correction,2026-12,2026-11,"'=HYPERLINK(""x"")",meeting_minutes,-1,0.004,,EUR,-0.05,-5,2,half_up,0,72,pnm/s1,'-k,'@room,plugnmeet,pnm,default,2026-11-20T12:00:00Z,2026-11-20T13:12:00Z,Europe/Madrid,false,minutes,a41f9c2,run_1,then/bill,evt_1,ent_1,the host forgot to leave` + "\u2028" + `,ana,2026-11-20T14:00:00Z,1.0,cc,2026-11-20T13:12:30Z
2,4,ent_4,usage,2026-11,2026-11,"'=HYPERLINK(""x"")",recording_minutes,72,,,,,,,half_up,0,72,pnm/s1,k4,'@room,plugnmeet,pnm,default,2026-11-20T12:00:00Z,2026-10-15T14:00:00Z,Europe/Madrid,false,minutes,a41f9c2,run_1,then/bill,evt_1,,,,2026-11-20T14:00:00Z,1.0,dd,2026-11-20T13:12:30Z
2,5,ent_5,close,2026-11,2026-11,,,,,,,,,,,,,,,,,,default,,,,false,,,,,,,,,2026-11-20T14:00:00Z,,ee,
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if empty, _ := exported(t, "csv", nil); strings.Count(empty, "\n") != 1 || !strings.HasPrefix(empty, "format,") {
		t.Errorf("without entries: %q", empty)
	}
}

// A line without its hash is the canonical text that the hash is of, and holds
// all of the entry.
func TestLedgerJSONL(t *testing.T) {
	entries := ledgerOf()
	out, _ := exported(t, "jsonl", entries)
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	for i, line := range lines {
		var e engine.Entry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		e.Hash = entries[i].Hash
		if diff := cmp.Diff(entries[i], e); diff != "" {
			t.Error(diff)
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal([]byte(line), &members); err != nil || string(members["hash"]) != `"`+e.Hash+`"` {
			t.Fatalf("%s (%v)", line, err)
		}
		var sorted bytes.Buffer
		enc := json.NewEncoder(&sorted)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(members); err != nil || sorted.String() != line+"\n" {
			t.Errorf("%s\nis not sorted: %s", line, sorted.String())
		}
	}
	if len(lines) != len(entries) {
		t.Errorf("%d lines", len(lines))
	}
}

func TestCloudEvents(t *testing.T) {
	out, _ := exported(t, "cloudevents", ledgerOf())
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	if len(lines) != 4 {
		t.Fatalf("%d lines", len(lines))
	}
	key := sha256.Sum256([]byte("7:default3:pnm2:-k15:meeting_minutes"))
	want := `{"specversion":"1.0","id":"` + hex.EncodeToString(key[:]) + `","source":"/gavel/default/pnm","type":"gavel.usage.meeting_minutes","subject":"=HYPERLINK(\"x\")","time":"2026-11-20T13:12:00.123Z","datacontenttype":"application/json","data":{"entry":"ent_1","kind":"usage","meter":"meeting_minutes","quantity":"72","price":"0.004","currency":"EUR","amount":"0.29","amount_minor":29,"period":"2026-11","service":"2026-11","session":"pnm/s1","room":"@room","platform":"plugnmeet","hash":"aa"}}`
	if lines[0] != want {
		t.Errorf("%s\nwant %s", lines[0], want)
	}
	ids := map[string]bool{}
	for _, line := range lines {
		var e struct{ ID string }
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		ids[e.ID] = true
	}
	if len(ids) != 4 {
		t.Error("two events have one id") // the correction is no repeat of what it corrects
	}
}

func TestStripeEvents(t *testing.T) {
	out, said := exported(t, "stripe", ledgerOf())
	entries := ledgerOf()
	want := ""
	for _, e := range entries[:2] {
		customer, _ := json.Marshal(e.Customer)
		want += fmt.Sprintf(`{"event_name":"meeting_minutes","payload":{"stripe_customer_id":%s,"value":"72"},"identifier":"%s","timestamp":1795180320}`+"\n", customer, usageKey(e))
	}
	if out != want {
		t.Errorf("%s\nwant %s", out, want)
	}
	for _, line := range []string{
		"not sendable: ent_3, -1 meeting_minutes for =HYPERLINK(\"x\"): a correction of ent_1: adjust the invoice",
		"not sendable: ent_4, 72 recording_minutes for =HYPERLINK(\"x\"): it is older than 35 days\n",
		"2 events written, 2 not sendable\n",
		"1 event of customers that are no ids of Stripe's (cus_…), such as =HYPERLINK(\"x\")\n",
	} {
		if !strings.Contains(said, line) {
			t.Errorf("%q is not in\n%s", line, said)
		}
	}
	long := entries[0]
	long.Meter = strings.Repeat("m", 101)
	if out, said := exported(t, "stripe", []engine.Entry{long}); out != "" || !strings.Contains(said, "more than 100 bytes") {
		t.Error(out, said)
	}
}

// The same entries give the same bytes, in every format.
func TestExportsAreStable(t *testing.T) {
	for _, format := range []string{"csv", "jsonl", "cloudevents", "stripe"} {
		one, _ := exported(t, format, ledgerOf())
		for range 3 {
			if again, _ := exported(t, format, ledgerOf()); again != one {
				t.Errorf("%s differs", format)
			}
		}
	}
}

// hostileCell is what somebody may call himself who thinks of a spreadsheet.
func hostileCell(r *rand.Rand) string {
	pieces := []string{
		"=", "+", "-", "@", "\t", "\r", "\n", "\x00", "＝", "＋", "－", "＠", "\"", "'", ",", ";", "|", " ", "\u00a0", "\ufeff", "\u200b", "\u2028",
		"cmd|' /C calc'!A0", "HYPERLINK(\"http://x\")", "1+1", "SUM(A1:A9)", "Zoë", "a", "5",
	}
	var b strings.Builder
	for range 1 + r.IntN(6) {
		b.WriteString(pieces[r.IntN(len(pieces))])
	}
	return b.String()
}

// TestHostileCells: whatever a program takes for what separates cells, it sees
// no formula, and no number is touched.
func TestHostileCells(t *testing.T) {
	const seed, cells = 11, 1000
	minus := int64(-500)
	for i := range cells {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		e := ledgerOf()[0]
		e.Quantity, e.Price, e.Amount, e.Exponent = "-3.5", "-1.25", &minus, 2
		texts := []*string{&e.Customer, &e.Meter, &e.Session, &e.Key, &e.Room, &e.Source, &e.Tenant, &e.Rule, &e.Reason, &e.Actor}
		for _, text := range texts {
			*text = hostileCell(r)
		}
		out, _ := exported(t, "csv", []engine.Entry{e})
		for _, separator := range []rune{',', ';', '\t', '|'} {
			for _, row := range sheet(out, separator) {
				for _, cell := range row {
					if isFormula(cell) {
						t.Fatalf("cell %d of seed %d, separated by %q: %q is a formula in\n%q", i, seed, separator, cell, out)
					}
				}
			}
		}
		rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
		if err != nil || len(rows) != 2 || len(rows[0]) != len(rows[1]) {
			t.Fatalf("cell %d of seed %d: no CSV (%v): %q", i, seed, err, out)
		}
		for name, want := range map[string]string{"quantity": "-3.5", "price": "-1.25", "amount": "-5.00", "amount_minor": "-500", "number": "1"} {
			if got := rows[1][slices.Index(rows[0], name)]; got != want {
				t.Fatalf("cell %d of seed %d: %s is %q", i, seed, name, got)
			}
		}
	}
}

// sheet is a CSV file as spreadsheets read it: a quote is one only where a cell
// begins, and what follows the closing one belongs to the cell.
func sheet(text string, separator rune) (rows [][]string) {
	var row []string
	var cell strings.Builder
	quoted, begins := false, true
	runes := []rune(text)
	for i := 0; i < len(runes); i++ {
		switch r := runes[i]; {
		case quoted && r == '"' && i+1 < len(runes) && runes[i+1] == '"':
			cell.WriteRune('"')
			i++
		case quoted && r == '"':
			quoted = false
		case quoted:
			cell.WriteRune(r)
		case begins && r == '"':
			quoted, begins = true, false
		case r == separator || r == '\n' || r == '\r':
			row, begins = append(row, cell.String()), true
			cell.Reset()
			if r != separator {
				rows, row = append(rows, row), nil
			}
		default:
			begins = false
			cell.WriteRune(r)
		}
	}
	return append(rows, append(row, cell.String()))
}

// isFormula is strict: what cannot be seen in front does not count.
func isFormula(cell string) bool {
	if cell == "" {
		return false
	}
	if strings.ContainsRune("\t\r\n\x00", rune(cell[0])) {
		return true
	}
	seen := strings.TrimLeftFunc(cell, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) || unicode.Is(unicode.Cf, r) })
	if seen == "" || !strings.ContainsRune("=+-@＝＋－＠", []rune(seen)[0]) {
		return false
	}
	return strings.Trim(seen, "0123456789.-") != "" // a number is none
}

// The parser of the test finds what it is to find.
func TestSheet(t *testing.T) {
	for _, tt := range []struct {
		text      string
		separator rune
		want      int
	}{
		{"a,=1\n", ',', 1}, {"a,\"=1\"\n", ',', 1}, {"a,'=1\n", ',', 0}, {"a,-5.00\n", ',', 0}, {"a;=1,b\n", ',', 0}, {"a;=1,b\n", ';', 1},
		{"a,\"b\n=1\"\n", ',', 0}, {"a,\"b\n=1\"\n", ';', 1}, {"\"\"=1\n", ',', 1}, {"a,\" =1\"\n", ',', 1}, {"＝1\n", ',', 1},
	} {
		n := 0
		for _, row := range sheet(tt.text, tt.separator) {
			for _, cell := range row {
				if isFormula(cell) {
					n++
				}
			}
		}
		if n != tt.want {
			t.Errorf("%q by %q: %d formulas, want %d: %q", tt.text, tt.separator, n, tt.want, sheet(tt.text, tt.separator))
		}
	}
}

// What has no end happened when its event did, whenever it was billed.
func TestHappened(t *testing.T) {
	event, end := testNow.Add(-time.Hour), testNow.Add(-2*time.Hour)
	for _, tt := range []struct {
		e    engine.Entry
		want time.Time
	}{
		{engine.Entry{At: testNow, Happened: event, Ended: end}, end},
		{engine.Entry{At: testNow, Happened: event}, event},
		{engine.Entry{At: testNow}, testNow},
	} {
		if got := happened(tt.e); !got.Equal(tt.want) {
			t.Errorf("%+v happened %s, want %s", tt.e, got, tt.want)
		}
	}
}

// A crash while the last line was written leaves part of it: the next lines begin
// behind it as if it had never been. What nobody has written here is left alone.
func TestMendedCheckpoints(t *testing.T) {
	const whole = `{"tenant":"default","number":1,"hash":"00","entries":1,"at":"2026-11-20T14:00:00Z","key":"00"}`
	for _, tt := range []struct{ was, want string }{
		{"", "next\n"}, {whole + "\n", whole + "\nnext\n"}, {whole, whole + "\nnext\n"},
		{whole + "\n" + whole[:40], whole + "\nnext\n"}, {whole + "\n{", whole + "\nnext\n"}, {whole[:60], "next\n"},
		{"my notes", "my notes\nnext\n"}, {whole + "\nmy notes", whole + "\nmy notes\nnext\n"},
	} {
		file := filepath.Join(t.TempDir(), "signed.jsonl")
		if err := os.WriteFile(file, []byte(tt.was), 0o600); err != nil {
			t.Fatal(err)
		}
		s := &signer{file: file}
		if err := s.append([]byte("next\n")); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(file); err != nil || string(got) != tt.want {
			t.Errorf("%q became %q, want %q (%v)", tt.was, got, tt.want, err)
		}
	}
}

func TestMonths(t *testing.T) {
	november := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct{ month, by, want string }{
		{"", "period", "2026-11"}, {"2026-02", "service", "2026-02"}, {"2025-11..2026-02", "period", "2025-11..2026-02"}, {"1990-01..2026-11", "service", "1990-01..2026-11"},
		{"2026-13", "period", "--month cannot be \"2026-13\""}, {"2026-11-01", "period", "--month cannot be \"2026-11-01\""},
		{"2026-11..2026-10", "period", "--month cannot be \"2026-11..2026-10\""}, {"2026-11..", "period", "--month cannot be \"2026-11..\""},
		{"2026-11", "x", "--by cannot be \"x\""},
	} {
		q, err := months{month: &tt.month, by: &tt.by, tenant: new(string)}.query(november)
		got := q.Period + q.Service
		if err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%s by %s: %s, want %s", tt.month, tt.by, got, tt.want)
		}
	}
}
