package platforms

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// plot is what happens in one meeting, told without a platform.
type plot struct {
	n     int // of the day, from 1
	room  string
	title string
	began time.Time
	ended time.Time
	// crashed: the platform's server went down. Nobody says that the meeting
	// ended, who left, or what became of a recording.
	crashed    bool
	visits     []visit
	recordings []recording
	rand       *rand.Rand // for what only one platform knows
}

// visit is one connection of somebody.
type visit struct {
	who   person
	n     int // of the meeting, from 1
	from  time.Time
	to    time.Time // never after the end of the meeting
	said  bool      // the platform says that it ended
	drops bool      // it broke off, and the next one follows
	other bool      // on another device, while the one before was still there
}

type person struct {
	n     int // of the meeting, from 1
	name  string
	host  bool
	bot   bool
	guest bool // without an account
}

type recording struct {
	n        int // of the room, from 1
	from, to time.Time
	ready    time.Time // often after the end of the meeting
	failed   bool
}

// want is what is to be known of a meeting in the end.
type want struct {
	id         string
	started    time.Time
	ended      time.Time                // zero: estimated
	totals     map[string]time.Duration // by participant; nil: not checked
	bots       map[string]bool          // participants who do not count
	recordings map[string]string        // last status by recording
}

// size is how many rooms a day has, and how often each is used.
type size struct{ rooms, meetings int }

// chance is true in so many of a hundred cases.
func chance(r *rand.Rand, percent int) bool { return r.IntN(100) < percent }

// between is a duration of whole milliseconds.
func between(r *rand.Rand, from, to time.Duration) time.Duration {
	return from + time.Duration(r.Int64N(int64((to-from)/time.Millisecond)+1))*time.Millisecond
}

// plots makes up a day of a platform that begins at morning.
func plots(r *rand.Rand, source string, morning time.Time, s size) []*plot {
	var all []*plot
	for room := range s.rooms {
		at, recorded := morning.Add(between(r, 0, time.Hour)), 0
		for range s.meetings {
			p := &plot{
				n: len(all) + 1, room: fmt.Sprintf("%s-room-%d", source, room+1), title: fmt.Sprintf("Meeting & talk %d", room+1),
				began: at, rand: r,
			}
			p.ended = p.began.Add(between(r, 5*time.Minute, 90*time.Minute))
			p.crashed = chance(r, 12)
			p.invite()
			p.record(&recorded)
			all = append(all, p)
			switch pause := r.IntN(10); { // the room is used again
			case p.crashed:
				at = p.ended.Add(between(r, time.Minute, 20*time.Minute))
			case pause == 0:
				at = p.ended
			case pause < 4:
				at = p.ended.Add(between(r, time.Millisecond, 900*time.Millisecond))
			case pause < 7:
				at = p.ended.Add(between(r, time.Second, 9*time.Second))
			default:
				at = p.ended.Add(between(r, 5*time.Minute, time.Hour))
			}
		}
	}
	return all
}

// invite lets people come and go.
func (p *plot) invite() {
	r := p.rand
	last := p.ended.Add(-time.Minute) // nobody comes so late
	for n := range 2 + r.IntN(5) {
		who := person{n: n + 1, name: fmt.Sprintf("Zoë %d Ünal", n+1), host: n == 0, guest: n > 1 && chance(r, 30), bot: n > 1 && chance(r, 20)}
		from := p.began.Add(between(r, 100*time.Millisecond, min(8*time.Minute, last.Sub(p.began))))
		for other := false; ; {
			v := visit{who: who, n: len(p.visits) + 1, from: from, to: p.ended, said: !p.crashed && chance(r, 85), other: other}
			rest := last.Sub(from)
			v.drops = rest > 10*time.Minute && chance(r, 30)
			switch {
			case v.drops:
				v.to, v.said = from.Add(between(r, 5*time.Second, rest/2)), true
			case rest > 4*time.Second && !p.crashed && chance(r, 40):
				v.to = from.Add(between(r, 4*time.Second, rest))
				v.said = true
			case chance(r, 50): // one by one, shortly before the end
				v.to = p.ended.Add(-between(r, 0, 800*time.Millisecond))
			}
			p.visits = append(p.visits, v)
			if !v.drops {
				break
			}
			from = v.to.Add(between(r, 2*time.Second, 90*time.Second))
			if other = chance(r, 25); other {
				from = v.to.Add(-between(r, 2*time.Second, 4*time.Second))
			}
		}
	}
}

func (p *plot) record(recorded *int) {
	at := p.began.Add(between(p.rand, time.Second, 2*time.Minute))
	for chance(p.rand, 45) && p.ended.Sub(at) > 2*time.Minute {
		*recorded++
		x := recording{n: *recorded, from: at, to: p.ended.Add(-between(p.rand, 0, 900*time.Millisecond)), failed: chance(p.rand, 15)}
		if chance(p.rand, 50) {
			x.to = at.Add(between(p.rand, time.Minute, p.ended.Sub(at)))
		}
		x.ready = x.to.Add(between(p.rand, time.Second, 25*time.Minute))
		p.recordings = append(p.recordings, x)
		at = x.to.Add(between(p.rand, time.Second, 5*time.Minute))
	}
}

// totals are everyone's times, as a platform names people and cuts times off.
func (p *plot) totals(id func(visit) string, grain time.Duration) map[string]time.Duration {
	if p.crashed {
		return nil // up to the last sign of life, whatever that was
	}
	stays := map[string][]visit{}
	for _, v := range p.visits {
		v.to = v.to.Truncate(grain)
		if !v.said {
			v.to = p.ended.Truncate(grain)
		}
		stays[id(v)] = append(stays[id(v)], v)
	}
	totals := map[string]time.Duration{}
	for who, visits := range stays { // each visit begins after the one before
		var until time.Time
		for _, v := range visits {
			from := v.from
			if from.Before(until) {
				from = until
			}
			if v.to.After(from) {
				totals[who] += v.to.Sub(from)
				until = v.to
			} else {
				totals[who] += 0
			}
		}
	}
	return totals
}

// bots are those whom a platform shows to be none.
func (p *plot) bots(id func(visit) string) map[string]bool {
	bots := map[string]bool{}
	for _, v := range p.visits {
		if v.who.bot {
			bots[id(v)] = true
		}
	}
	return bots
}
