package pipeline

import (
	"reflect"
	"slices"
	"strings"
	"time"
)

// The keys of a file are made of the fields of the root package's types: a CI
// stage cannot have an environment, because oidctoken.CI has no such field.

// members returns the keys for the fields of a struct, or for those in pick.
// owner is the key of the entity that the struct describes. at is the struct's
// path from a Scope, such as "Stage.Environment."; found records which fields
// the file sets.
func (r *reader) members(v reflect.Value, owner, at string, found places, pick ...string) schema {
	var s schema
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		if len(pick) > 0 && !slices.Contains(pick, name) {
			continue
		}
		member, place := v.Field(i), at+name
		read := func(n *node, path string) error {
			found[place] = path
			return r.member(member, n, path)
		}
		keys := names(owner, name)
		if t := structOf(member.Type()); t != nil {
			keys = slices.Compact([]string{snake(name), camel(snake(name))})
			read = func(n *node, path string) error { return r.entity(member, n, path, place, found) }
		}
		s = append(s, field{keys, read})
	}
	return s
}

// member reads a scalar.
func (r *reader) member(v reflect.Value, n *node, path string) error {
	switch v.Kind() {
	case reflect.Bool:
		b, err := r.bool(n, path)
		v.SetBool(b)
		return err
	case reflect.Pointer: // to a bool: nil is unknown
		b, err := r.bool(n, path)
		v.Set(reflect.ValueOf(&b))
		return err
	}
	s, err := r.value(n, path)
	v.SetString(s)
	return err
}

// entity reads a mapping, or a scalar that is short for {id: scalar}, into a
// struct or a pointer to one. More are keys beyond the struct's fields.
func (r *reader) entity(v reflect.Value, n *node, path, at string, found places, more ...field) error {
	found[at] = path
	made := reflect.New(structOf(v.Type()))
	s := append(r.members(made.Elem(), snake(at[strings.LastIndexByte(at, '.')+1:]), at+".", found), more...)
	if n.kind == scalar && !n.null {
		if !made.Elem().FieldByName("ID").IsValid() {
			return r.fail(path, "is a scalar, and it has no id to mean: a mapping is wanted")
		}
		if err := s[s.find("id")].read(n, path); err != nil {
			return err
		}
	} else if err := r.mapping(n, path, s, nil); err != nil {
		return err
	}
	if v.Kind() == reflect.Pointer {
		v.Set(made)
	} else {
		v.Set(made.Elem())
	}
	return nil
}

// structOf returns t, or what t points to, if that is a struct; else nil.
func structOf(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	return t
}

// claimOf has the claims whose names are not made of their entity's and their
// member's.
var claimOf = map[string]string{
	"execution.is_rollback": "is_rollback",
	"execution.parent_id":   "parent_execution_id",
	"execution.root_id":     "root_execution_id",
	"execution.matrix":      "matrix",
	"trigger.by_id":         "triggered_by_id",
	"trigger.by_name":       "triggered_by_name",
	"trigger.by_email":      "trigger_by_email",
	"artifact.tag":          "tag",
	"workspace.phase":       "run_phase",
	"database.schema_id":    "db_schema_id",
	"database.instance_id":  "db_instance_id",
}

// names returns the keys for a field: the claim's name without the entity's, the
// claim's whole name, and both in camel case.
func names(owner, field string) []string {
	short := snake(field)
	if field == "Level" {
		short = "scope" // as the claims template_scope and pipeline_template_scope
	}
	claim, irregular := claimOf[owner+"."+short]
	switch {
	case irregular:
	case owner == "" || owner == "source":
		claim = short
	default:
		claim = owner + "_" + short
	}
	var all []string
	for _, name := range []string{short, claim} {
		for _, n := range []string{name, camel(name), strings.ReplaceAll(camel(name), "Id", "ID")} {
			if !slices.Contains(all, n) {
				all = append(all, n)
			}
		}
	}
	return all
}

// snake turns GroupID into group_id.
func snake(s string) string {
	var b strings.Builder
	for i := range len(s) {
		upper := 'A' <= s[i] && s[i] <= 'Z'
		if upper && i > 0 && (s[i-1] < 'A' || s[i-1] > 'Z') {
			b.WriteByte('_')
		}
		b.WriteByte(s[i])
	}
	return strings.ToLower(b.String())
}

// camel turns group_id into groupId.
func camel(s string) string {
	parts := strings.Split(s, "_")
	for i, p := range parts[1:] {
		parts[i+1] = strings.ToUpper(p[:1]) + p[1:]
	}
	return strings.Join(parts, "")
}

// settings returns the keys for the fields of a struct of the configuration, which
// stand in the fields' tags.
func (r *reader) settings(v reflect.Value) schema {
	var s schema
	for i := range v.NumField() {
		if key := v.Type().Field(i).Tag.Get("key"); key != "" {
			s = append(s, field{[]string{key}, func(n *node, path string) error {
				return r.setting(v.Field(i), n, path)
			}})
		}
	}
	return s
}

// setting reads one of them. Null is the default.
func (r *reader) setting(v reflect.Value, n *node, path string) (err error) {
	if n.null {
		return nil
	}
	var value any
	switch v.Interface().(type) {
	case string:
		value, err = r.text(n, path)
	case bool:
		value, err = r.bool(n, path)
	case time.Duration:
		value, err = r.duration(n, path)
	case []string:
		value, err = r.texts(n, path)
	case map[string]string:
		value, err = r.textMap(n, path)
	case map[string][]string:
		value, err = r.textsMap(n, path)
	default:
		return r.mapping(n, path, r.settings(v), nil)
	}
	v.Set(reflect.ValueOf(value))
	return err
}
