package platforms

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/gavelhq/gavel/triggers/samples"
)

// body is a platform's JSON, made from one of its samples.
type body map[string]any

// like is the sample of that name, to be changed.
func like(platform, name string) body {
	all, err := samples.Of(platform)
	if err != nil {
		panic(err)
	}
	for _, s := range all {
		if s.Name != name {
			continue
		}
		d := json.NewDecoder(bytes.NewReader(s.Body))
		d.UseNumber() // numbers stay as they are written
		var b body
		if err := d.Decode(&b); err != nil {
			panic(err)
		}
		return b
	}
	panic(fmt.Sprintf("platform %s has no sample %q", platform, name))
}

// set changes the member at a path of names with dots between them.
func (b body) set(path string, v any) body {
	at, names := map[string]any(b), strings.Split(path, ".")
	for _, name := range names[:len(names)-1] {
		inner, ok := at[name].(map[string]any)
		if !ok {
			inner = map[string]any{}
			at[name] = inner
		}
		at = inner
	}
	at[names[len(names)-1]] = v
	return b
}

// drop leaves members of the outermost object out.
func (b body) drop(names ...string) body {
	for _, name := range names {
		delete(b, name)
	}
	return b
}

func (b body) text() []byte {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(map[string]any(b)); err != nil {
		panic(err)
	}
	return bytes.TrimSpace(out.Bytes())
}

// inText is a JSON object in a text, as some platforms hold metadata.
func inText(pairs map[string]any) string { return string(body(pairs).text()) }
