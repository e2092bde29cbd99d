package rules

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// form is what a value must look like.
type form int

const (
	formText form = iota
	formFlag
	formWhole
	formDuration
	formTime
	formDecimal
	formSecret
	formSuccess
	formAny
	formList
	formMap
	formRecord
)

// shape is the form of a parameter, read from the type of its field.
type shape struct {
	form
	elem   *shape  // of a list or a map
	fields []param // of a record
}

// param is one parameter of an action, or one setting of a connection.
type param struct {
	name, doc                       string
	main, required, inherit, escape bool
	unless                          string // given by the step: then nothing is inherited
	enum                            []string
	shape                           shape
	index                           int // of the field
}

// action is an action kind as the rules see it.
type action struct {
	engine.ActionKind
	params   []param
	settings []param // of its connections: fields of Conn
}

// newAction reads the tags of an action kind's structs.
func newAction(k engine.ActionKind) *action {
	a := &action{ActionKind: k, params: paramsOf(k.Params)}
	if k.Conn != nil {
		a.settings = paramsOf(k.Conn)
	}
	return a
}

// inherited are the parameters a connection may hold a default for.
func (a *action) inherited() []param {
	var all []param
	for _, p := range a.params {
		if p.inherit {
			all = append(all, p)
		}
	}
	return all
}

// main is the parameter a scalar step stands for, nil if there is none.
func (a *action) main() *param {
	for i, p := range a.params {
		if p.main {
			return &a.params[i]
		}
	}
	return nil
}

func paramsOf(t reflect.Type) []param {
	if t == nil || t.Kind() != reflect.Struct {
		return nil
	}
	var all []param
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.IsExported() || name == "" || name == "-" {
			continue
		}
		p := param{name: name, doc: f.Tag.Get("doc"), shape: shapeOf(f.Type), index: i}
		for _, mark := range strings.Split(f.Tag.Get("gavel"), ",") {
			mark = strings.TrimSpace(mark)
			if other, found := strings.CutPrefix(mark, "unless="); found {
				p.unless = other
			}
			switch mark {
			case "main":
				p.main = true
			case "required":
				p.required = true
			case "inherit":
				p.inherit = true
			case "escape":
				p.escape = true
			}
		}
		if words := f.Tag.Get("enum"); words != "" {
			p.enum = strings.Split(words, ",")
		}
		all = append(all, p)
	}
	return all
}

func shapeOf(t reflect.Type) shape {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return shape{form: formDuration}
	case reflect.TypeFor[time.Time]():
		return shape{form: formTime}
	case reflect.TypeFor[engine.Decimal]():
		return shape{form: formDecimal}
	case reflect.TypeFor[engine.Secret]():
		return shape{form: formSecret}
	case reflect.TypeFor[engine.Success]():
		return shape{form: formSuccess}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return shapeOf(t.Elem())
	case reflect.String:
		return shape{form: formText}
	case reflect.Bool:
		return shape{form: formFlag}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return shape{form: formWhole}
	case reflect.Slice:
		elem := shapeOf(t.Elem())
		return shape{form: formList, elem: &elem}
	case reflect.Map:
		elem := shapeOf(t.Elem())
		return shape{form: formMap, elem: &elem}
	case reflect.Struct:
		return shape{form: formRecord, fields: paramsOf(t)}
	}
	return shape{form: formAny}
}

// String names the shape for people.
func (s shape) String() string {
	switch s.form {
	case formText:
		return "a text"
	case formFlag:
		return "true or false"
	case formWhole:
		return "a whole number"
	case formDuration:
		return "a duration"
	case formTime:
		return "a time"
	case formDecimal:
		return "an exact number"
	case formSecret:
		return "a reference to a secret"
	case formSuccess:
		return "a list of statuses, or a condition"
	case formList:
		return "a list"
	case formMap, formRecord:
		return "a map"
	}
	return "a value"
}

func names(params []param) []string {
	all := make([]string, len(params))
	for i, p := range params {
		all[i] = p.name
	}
	return all
}

func find(params []param, name string) *param {
	for i := range params {
		if params[i].name == name {
			return &params[i]
		}
	}
	return nil
}

// assign stores a checked value in a field of the shape it was checked for.
func assign(dst reflect.Value, v any) error {
	if v == nil {
		return nil
	}
	switch {
	case dst.Kind() == reflect.Pointer:
		dst.Set(reflect.New(dst.Type().Elem()))
		return assign(dst.Elem(), v)
	case dst.Kind() == reflect.Interface:
		dst.Set(reflect.ValueOf(v))
		return nil
	}
	switch v := v.(type) {
	case []any:
		list := reflect.MakeSlice(dst.Type(), len(v), len(v))
		for i := range v {
			if err := assign(list.Index(i), v[i]); err != nil {
				return err
			}
		}
		dst.Set(list)
		return nil
	case map[string]any:
		return assignMap(dst, v)
	}
	value := reflect.ValueOf(v)
	if value.Kind() == reflect.Int && dst.CanInt() && dst.OverflowInt(value.Int()) {
		return fmt.Errorf("%d is too large a number", v)
	}
	if !value.CanConvert(dst.Type()) || (value.Kind() == reflect.String) != (dst.Kind() == reflect.String) {
		return fmt.Errorf("the value does not fit")
	}
	dst.Set(value.Convert(dst.Type()))
	return nil
}

func assignMap(dst reflect.Value, v map[string]any) error {
	if dst.Kind() == reflect.Struct {
		for _, p := range paramsOf(dst.Type()) {
			if err := assign(dst.Field(p.index), v[p.name]); err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
		}
		return nil
	}
	m := reflect.MakeMapWithSize(dst.Type(), len(v))
	for key, x := range v {
		elem := reflect.New(dst.Type().Elem()).Elem()
		if err := assign(elem, x); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		m.SetMapIndex(reflect.ValueOf(key).Convert(dst.Type().Key()), elem)
	}
	dst.Set(m)
	return nil
}
