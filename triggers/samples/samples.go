// Package samples holds bodies as each platform sends them, for gavel send and
// gavel demo. Their values are invented, their shape is the platforms' own.
//
// A file is named PLATFORM/EVENT.json, with a suffix for a state of the same
// event: recordingStatusChanged.ready.json. All of them tell of a meeting that
// began at [Began], so that they can be moved to any other time as a whole.
package samples

import (
	"embed"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
)

//go:embed */*.json
var files embed.FS

// Began is when the meeting of the samples started.
func Began() time.Time { return time.Unix(1760000000, 0).UTC() }

// Sample is one body and its names.
type Sample struct {
	Name string // of the file, without .json
	Wire string // as the platform calls the event
	Body []byte
}

// Of lists the samples of a platform by name.
func Of(platform string) ([]Sample, error) {
	entries, err := files.ReadDir(platform)
	if err != nil {
		return nil, fmt.Errorf("there are no samples of platform %q", platform)
	}
	var list []Sample
	for _, e := range entries {
		body, err := files.ReadFile(path.Join(platform, e.Name()))
		if err != nil {
			return nil, err
		}
		var wire struct{ Event string }
		if err := json.Unmarshal(body, &wire); err != nil {
			return nil, fmt.Errorf("sample %s: %w", e.Name(), err)
		}
		list = append(list, Sample{strings.TrimSuffix(e.Name(), ".json"), wire.Event, body})
	}
	return list, nil
}

// Find returns the sample that event names: by file, by the name on the wire,
// or by one of our types as typesOf maps the wire's names. Of several states
// of one event the plain one comes first.
func Find(platform, event string, typesOf map[string][]string) (Sample, error) {
	list, err := Of(platform)
	if err != nil {
		return Sample{}, err
	}
	for _, fits := range []func(Sample) bool{
		func(s Sample) bool { return s.Name == event },
		func(s Sample) bool { return s.Wire == event },
		func(s Sample) bool { return slices.Contains(typesOf[s.Wire], event) },
	} {
		found := slices.DeleteFunc(slices.Clone(list), func(s Sample) bool { return !fits(s) })
		slices.SortStableFunc(found, func(a, b Sample) int { return len(a.Name) - len(b.Name) })
		if len(found) > 0 {
			return found[0], nil
		}
	}
	return Sample{}, fmt.Errorf("platform %s has no sample %q", platform, event)
}
