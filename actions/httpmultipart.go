package actions

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"mime"
	"slices"
	"strings"
)

// filePart is a part of a multipart body that is a file.
type filePart struct {
	Filename string          `json:"filename"`
	Type     string          `json:"type"`
	Text     json.RawMessage `json:"text"`
}

// multipartBody writes fields as multipart/form-data (RFC 7578). It is written
// here and not by mime/multipart, whose boundary is random: each attempt of a
// step sends the same bytes.
func multipartBody(fields map[string]json.RawMessage, key string) (body []byte, contentType string, err error) {
	type part struct{ head, text string }
	parts := make([]part, 0, len(fields))
	var texts strings.Builder
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		head, text, err := partOf(name, fields[name])
		if err != nil {
			return nil, "", fmt.Errorf("%q: %w", excerpt([]byte(name)), err)
		}
		parts = append(parts, part{head, text})
		texts.WriteString(text)
	}
	boundary := boundaryFor(key, texts.String())
	var b bytes.Buffer
	for _, p := range parts {
		fmt.Fprintf(&b, "--%s\r\n%s\r\n\r\n%s\r\n", boundary, p.head, p.text)
	}
	fmt.Fprintf(&b, "--%s--\r\n", boundary)
	return b.Bytes(), "multipart/form-data; boundary=" + boundary, nil
}

// partOf is a part's head, without the line that ends it, and its text.
func partOf(name string, value json.RawMessage) (head, text string, err error) {
	head = `Content-Disposition: form-data; name="` + quotedPart(name) + `"`
	if !bytes.HasPrefix(value, []byte("{")) {
		text, err = scalarText(value)
		return head, text, err
	}
	var f filePart
	d := json.NewDecoder(bytes.NewReader(value))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return "", "", errNoPart
	}
	if !mediaType(f.Type) {
		return "", "", errNoMediaType
	}
	if f.Filename != "" {
		head += `; filename="` + quotedPart(f.Filename) + `"`
	}
	if f.Type == "" {
		f.Type = "text/plain; charset=utf-8"
	}
	text, err = scalarText(f.Text)
	return head + "\r\nContent-Type: " + f.Type, text, err
}

var (
	errNoPart      = errors.New("a part is a text, or a file as { filename, type, text }")
	errNoMediaType = errors.New("its type is no media type such as text/csv")
)

// mediaType reports whether text can stand in a Content-Type, or is empty.
func mediaType(text string) bool {
	_, _, err := mime.ParseMediaType(text)
	return text == "" || err == nil && strings.Contains(text, "/") && !hasControl(text)
}

// scalarText is a text, or a number or a word as it was written.
func scalarText(value json.RawMessage) (string, error) {
	switch {
	case len(value) == 0 || string(value) == "null":
		return "", nil
	case value[0] == '{' || value[0] == '[':
		return "", errNoPart
	case value[0] != '"':
		return string(value), nil
	}
	var text string
	err := json.Unmarshal(value, &text)
	return text, err
}

// quotedPart writes a name as browsers do (WHATWG HTML, 4.10.21.8): what would
// end the quotes or the line is percent-encoded. Other control characters,
// which have no business in a name, are too.
func quotedPart(name string) string {
	var b strings.Builder
	for _, r := range name {
		if r < ' ' || r == '"' || r == 0x7f {
			fmt.Fprintf(&b, "%%%02X", r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// boundaryFor is a boundary that is the same for the same key, and not in texts.
func boundaryFor(key, texts string) string {
	for n := 0; ; n++ {
		sum := sha256.Sum256(fmt.Appendf(nil, "%d %s", n, key))
		if boundary := hex.EncodeToString(sum[:20]); !strings.Contains(texts, boundary) {
			return boundary
		}
	}
}
