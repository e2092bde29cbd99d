package triggers

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
)

func step(steps []Step, name string) Step {
	for _, s := range steps {
		if s.Name == name {
			return s
		}
	}
	return Step{Name: "no step " + name}
}

// Check passes exactly what the endpoint would answer 2xx.
func TestCheckAgreesWithTheEndpoint(t *testing.T) {
	eachKind(t, func(t *testing.T, k engine.PlatformKind) {
		for _, v := range vectors(t, k.Name) {
			source := v.source(k.Name)
			e, c := endpoint(t, []engine.SourceConfig{source}, func(o *EndpointOptions) {
				o.Now = func() time.Time { return v.request().ReceivedAt }
			})
			status := post(e, "/hooks/vectors", v.request()).Code
			steps := Check(builtin(), []engine.SourceConfig{source}, "vectors", v.request())
			if Passed(steps) != (status == 200) {
				t.Errorf("%s: %+v, but the endpoint answers %d", v.Name, steps, status)
			}
			signature, decode := step(steps, "signature"), step(steps, "decode")
			if signature.Name != "signature" || decode.Name != "decode" || decode.OK && !signature.OK {
				t.Errorf("%s: %+v", v.Name, steps)
			}
			if v.Stage == "signature" && signature.OK != (v.Expect == "accept") {
				t.Errorf("%s: signature %+v, want %s", v.Name, signature, v.Expect)
			}
			if text := fmt.Sprint(steps, c.refused); v.Secret != "" && strings.Contains(text, v.Secret) {
				t.Errorf("%s: the steps hold the secret", v.Name)
			}
		}
	})
}

func TestCheckDetails(t *testing.T) {
	mine, staging := liveKitSource(0), liveKitSource(1)
	staging.Name = "staging"
	sources := []engine.SourceConfig{mine, staging}
	good := suiteRequest(t, LiveKit(), 0, samples(t, "livekit")["egress_ended"])
	good.ReceivedAt = good.ReceivedAt.Add(4 * time.Second)
	with := func(f func(*engine.Request)) engine.Request {
		r := good
		r.Header = good.Header.Clone()
		f(&r)
		return r
	}
	for _, c := range []struct {
		name, source string
		r            engine.Request
		step, says   string
		passed       bool
	}{
		{"the event", "livekit-a", good, "decode", "recording_ended (egress_ended on the wire)", true},
		{"its facts", "livekit-a", good, "facts", `room.id="standup-42"`, true},
		{"durations", "livekit-a", good, "facts", "recording.duration=10m0s", true},
		{"headers without values", "livekit-a", good, "headers", "Authorization (2", true},
		{"size", "livekit-a", good, "size", "limit 1048576", true},
		{"GET", "livekit-a", with(func(r *engine.Request) { r.Method = http.MethodGet }), "method", "only POST", false},
		{"compressed", "livekit-a", with(func(r *engine.Request) { r.Header.Set("Content-Encoding", "br") }), "content-encoding", "br", false},
		{"expired", "livekit-a", with(func(r *engine.Request) { r.ReceivedAt = suiteNow.Add(612 * time.Second) }), "signature", "token expired 312 s ago, leeway 60 s", false},
		{"swapped", "staging", good, "signature", `fits source "livekit-a"`, false},
		{"not decoded", "staging", good, "decode", "not tried", false},
		{"unknown source", "nobody", good, "source", `no source "nobody"`, false},
		{"unknown source", "nobody", good, "signature", "not tried", false},
		{"too large", "livekit-a", suiteRequest(t, LiveKit(), 0, append([]byte("{}"), bytes.Repeat([]byte(" "), 1<<20)...)), "size", "1048578 bytes", false},
	} {
		steps := Check(builtin(), sources, c.source, c.r)
		if s := step(steps, c.step); !strings.Contains(s.Detail, c.says) || Passed(steps) != c.passed {
			t.Errorf("%s: %+v passed %v, want %q in step %s", c.name, steps, Passed(steps), c.says, c.step)
		}
	}
}
