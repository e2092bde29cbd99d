package rules

import (
	"strings"
	"testing"
)

const fingerprinted = `
  - id: a
    when: [participant_left, session_started]
    from: pnm
    if: session.present == 0 and room.id != "x"
    count: { at_least: 3, within: 10m, per: [room.id] }
    expect: { event: participant_joined, within: 5m }
    once: [room.id]
    cooldown: { for: 15m, per: [room.id] }
    digest: { every: 5m, per: [room.id] }
    then: [ log: x ]
    on_late: [ log: x ]
`

func wordsOf(t *testing.T, rules string) string {
	t.Helper()
	head, _, _ := strings.Cut(wordsHead, "  - id: a")
	return mustLoad(t, head+strings.TrimPrefix(rules, "\n")).Words("a")
}

// TestFingerprintSame: what does not decide when a rule fires leaves timers
// and counters alone.
func TestFingerprintSame(t *testing.T) {
	want := wordsOf(t, fingerprinted)
	if want == "" {
		t.Fatal("no words")
	}
	for name, rules := range map[string]string{
		"comments, quotes, layout, order of keys": `
  - digest: {per: ["room.id"], every: '5m'}   # five minutes
    cooldown:
      # a quarter
      per:
        - room.id
      for: "15m"
    once:
      - 'room.id'
    expect:
      within: 5m
      event: "participant_joined"
    count: { distinct: , within: 10m, per: [ room.id ], "at_least": 3 }
    if: >
      session.present == 0
      and room.id != "x"
    from: 'pnm'
    when:
      - participant_left
      - session_started
    id: 'a'
    then: [ log: x ]
    on_late: [ log: x ]
`,
		"lines of a condition": strings.Replace(fingerprinted, `if: session.present == 0 and room.id != "x"`, "if: |\n      session.present == 0 and\n      room.id != \"x\"", 1),
		"what it does":         strings.Replace(fingerprinted, "then: [ log: x ]", "late: skip\n    owner: ops\n    order: parallel\n    on_failure: [ log: z ]\n    then: [ wait: 5m, log: y1 ]", 1),
		"place in the file":    "\n  - { id: other, when: session_ended, then: [ log: x ] }" + fingerprinted,
		"no on_late":           strings.Replace(fingerprinted, "    on_late: [ log: x ]\n", "", 1),
	} {
		rules = strings.Replace(rules, "distinct: , ", "", 1)
		if got := wordsOf(t, rules); got != want {
			t.Errorf("%s: the words differ", name)
		}
	}
}

// TestFingerprintOther: everything that decides when a rule fires is in it.
func TestFingerprintOther(t *testing.T) {
	seen := map[string]string{wordsOf(t, fingerprinted): "as it is"}
	for _, c := range [][2]string{
		{"participant_left, session_started", "session_started, participant_left"},
		{"participant_left, session_started", "participant_left"},
		{"from: pnm", "from: [pnm]"},
		{"    from: pnm\n", ""},
		{`!= "x"`, `!= "y"`},
		{`!= "x"`, `!= "x "`},
		{"at_least: 3", "at_least: 4"},
		{"within: 10m", "within: 11m"},
		{"10m, per: [room.id]", "10m, per: []"},
		{"10m, per: [room.id]", "10m, per: [room.id, room.name]"},
		{"10m, per: [room.id]", "10m, per: [room.id], distinct: room.id"},
		{"event: participant_joined", "event: participant_left"},
		{"event: participant_joined, within", "event: participant_joined, if: participant.name == 'x', within"},
		{"joined, within: 5m", "joined, within: 5m, stop_on: session_ended"},
		{"once: [room.id]", "once: [room.name]"},
		{"for: 15m", "for: 16m"},
		{"every: 5m", "every: 6m"},
		{"every: 5m", "at: '0 18 * * *'"},
		{"    then", "    mode: shadow\n    then"},
	} {
		if !strings.Contains(fingerprinted, c[0]) {
			t.Fatalf("%q is not in the rule", c[0])
		}
		got := wordsOf(t, strings.Replace(fingerprinted, c[0], c[1], 1))
		if other, same := seen[got]; same || got == "" {
			t.Errorf("%s → %s has the words of %s", c[0], c[1], other)
		}
		seen[got] = c[0] + " → " + c[1]
	}
	if got := wordsOf(t, strings.Replace(fingerprinted, "    then", "    enabled: false\n    then", 1)); got != "" {
		t.Errorf("a rule that is not enabled has words %q", got)
	}
	if got := wordsOf(t, strings.Replace(fingerprinted, "id: a", "id: b", 1)); got != "" {
		t.Errorf("a rule that is not there has words %q", got)
	}
}

// The moments of the clock are others in another time zone.
func TestFingerprintOfTimezone(t *testing.T) {
	for when, same := range map[string]bool{
		`when: { schedule: "0 8 * * *" }`:                        false,
		"when: session_ended\n    digest: { at: \"0 8 * * *\" }": false,
		"when: session_ended\n    digest: { every: 5m }":         true,
	} {
		text := wordsHead + when + "\n    then: [ log: x ]\n"
		madrid := mustLoad(t, text).Words("a")
		if other := mustLoad(t, strings.Replace(text, "Europe/Madrid", "Asia/Tokyo", 1)).Words("a"); (madrid == other) != same {
			t.Errorf("%s: the same in another time zone is %v, want %v", when, !same, same)
		}
	}
}
