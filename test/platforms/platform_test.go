package platforms

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"
)

// platform is one of the sources of testdata/rules.yaml.
type platform struct {
	source string
	// write tells a meeting in the platform's words.
	write func(*page)
	// numbered: deliveries have their id in the body.
	numbered bool
}

func platforms() []platform {
	return []platform{
		{"pnm", plugNMeet, true},
		{"lk", liveKit, true},
		{"meet", openViduMeet, false},
		{"ov2", openVidu2, false},
		{"ov2old", openVidu2, false},
		{"dyte", dyte, false},
		{"h01", huddle01, true},
	}
}

// page is one meeting as a platform tells it.
type page struct {
	*plot
	platform platform
	sent     []delivery
	want     want
}

// delivery is what a platform sends once, if all goes well.
type delivery struct {
	platform platform
	at       time.Time
	id       string
	body     body
}

// send adds a delivery.
func (p *page) send(at time.Time, b body) {
	id := fmt.Sprintf("%s-%d-%d", p.platform.source, p.n, len(p.sent)+1)
	if p.platform.numbered {
		b.set("id", id)
	}
	p.sent = append(p.sent, delivery{p.platform, at, id, b})
}

// day is what all platforms send, and what is to be known of it in the end, by
// source.
func day(seed uint64, morning time.Time, s size) (sent []delivery, wants map[string][]want) {
	wants = map[string][]want{}
	for i, x := range platforms() {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		for _, p := range plots(r, x.source, morning, s) {
			told := page{plot: p, platform: x}
			x.write(&told)
			sent = append(sent, told.sent...)
			wants[x.source] = append(wants[x.source], told.want)
		}
	}
	return sent, wants
}

func seconds(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }
func millis(t time.Time) string  { return strconv.FormatInt(t.UnixMilli(), 10) }
