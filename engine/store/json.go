package store

import (
	"bytes"
	"encoding/json"
	"reflect"
	"time"
)

// decode reads what encode has written. Numbers in untyped data come back as
// they went in: whole ones as int, the others as float64.
func decode(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(into); err != nil {
		return err
	}
	if bytes.Contains(data, []byte(`"metadata"`)) { // the only untyped data there is
		numbers(reflect.ValueOf(into))
	}
	return nil
}

// numbers replaces each json.Number in untyped data below v.
func numbers(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			numbers(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				numbers(v.Field(i))
			}
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 { // JSON as it came
			return
		}
		for i := range v.Len() {
			numbers(v.Index(i))
		}
	case reflect.Map:
		if m, ok := v.Interface().(map[string]any); ok {
			for k, x := range m {
				m[k] = number(x)
			}
			return
		}
		for _, k := range v.MapKeys() {
			numbers(v.MapIndex(k))
		}
	}
}

func number(x any) any {
	switch x := x.(type) {
	case json.Number:
		if n, err := x.Int64(); err == nil {
			return int(n)
		}
		f, _ := x.Float64() // it was one when it was written
		return f
	case map[string]any:
		for k, y := range x {
			x[k] = number(y)
		}
	case []any:
		for i, y := range x {
			x[i] = number(y)
		}
	}
	return x
}

// micros is t as tables hold it; a zero time is null.
func micros(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMicro()
}

// at is the time of a column.
func at(micros int64) time.Time { return time.UnixMicro(micros).UTC() }

// null is a number as tables hold it; zero is null.
func null(n int64) any {
	if n == 0 {
		return nil
	}
	return n
}
