package rules

import (
	"fmt"

	"gopkg.in/yaml.v3"
)

// columnName names the type of a column for people.
func columnName(k columnKind) string {
	switch k {
	case columnWhole:
		return "whole numbers"
	case columnDecimal:
		return "numbers"
	case columnDuration:
		return "durations"
	case columnBool:
		return "true or false"
	}
	return "text"
}

// readTables reads tables: each is a map of rows, each row a map of columns.
// The type of a column is that of its cells.
func (l *loader) readTables(n node) {
	for _, e := range l.namedEntries(n, "table", "NAME: { key: { column: value } }") {
		t := table{columns: map[string]columnKind{}, rows: map[string]map[string]any{}}
		l.defs.tables[e.name()] = t
		l.leaks(e)
		if !e.isMap("{ key: { column: value } }") {
			continue
		}
		columns := map[string][]node{}
		for _, row := range e.entries() {
			cells := map[string]any{}
			if row.key.Tag == reported || !row.isMap("{ column: value }") {
				continue
			}
			t.rows[row.name()] = cells
			for _, c := range row.entries() {
				if !bareName.MatchString(c.name()) {
					c.addAtKey(issue{Code: "bad-name", What: fmt.Sprintf("%q cannot be the name of a column", c.name()), Why: "expressions use the name as a word", Hint: "use letters, digits and _ only"})
					continue
				}
				if c.Tag == "!!null" && c.Value != "" {
					continue // written out: this row has no value there
				}
				columns[c.name()] = append(columns[c.name()], c)
			}
		}
		for _, name := range sortedKeys(columns) {
			l.readColumn(t, name, columns[name], e)
		}
	}
}

// readColumn settles the type of a column and fills in its cells.
func (l *loader) readColumn(t table, name string, cells []node, in node) {
	kind, first := columnText, node{}
	for _, c := range cells {
		k, ok := cellKind(c)
		if !ok {
			continue
		}
		switch {
		case first.Node == nil:
			kind, first = k, c
		case k == columnWhole && kind == columnDecimal:
		case k == columnDecimal && kind == columnWhole:
			kind = columnDecimal
		case k != kind:
			c.add(issue{Code: "mixed-column", What: fmt.Sprintf("column %q holds %s, and this is %s", name, columnName(kind), columnName(k)),
				Why: "the type was taken from line " + fmt.Sprint(first.Line), Hint: "write all cells of a column alike; quotes make text"})
		}
	}
	t.columns[name] = kind
	for _, row := range in.entries() {
		if row.Kind != yaml.MappingNode {
			continue
		}
		for _, c := range row.entries() {
			if c.name() == name {
				if v, ok := cell(c, kind); ok {
					t.rows[row.name()][name] = v
				}
			}
		}
	}
}

// cellKind is the type of a cell by how it is written.
func cellKind(c node) (columnKind, bool) {
	if !c.isScalar("a single value belongs here") {
		return 0, false
	}
	if !c.isFixed("in a table") {
		return 0, false
	}
	if !c.plain() {
		return columnText, true
	}
	switch c.Tag {
	case "!!bool":
		return columnBool, true
	case "!!int":
		_, ok := c.whole()
		return columnWhole, ok
	case "!!float":
		if ambiguous(c.Node) == "" {
			return columnDecimal, true
		}
	}
	if _, err := parseDuration(c.Value); err == nil {
		return columnDuration, true
	}
	_, ok := c.text()
	return columnText, ok
}

// cell is the value of a cell of a column of that type; !ok: it is unknown or
// its mistake is already reported.
func cell(c node, kind columnKind) (any, bool) {
	switch {
	case c.Kind != yaml.ScalarNode || c.Tag == "!!null" || c.Tag == reported:
		return nil, false
	case kind == columnBool && c.Tag == "!!bool":
		v, ok := c.flag()
		return v, ok
	case kind == columnWhole && c.Tag == "!!int":
		v, ok := c.whole()
		return int(v), ok
	case kind == columnDuration:
		d, err := parseDuration(c.Value)
		return d, err == nil
	}
	return c.Value, true
}
