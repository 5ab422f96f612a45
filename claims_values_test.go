package oidctoken_test

import (
	"maps"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
)

// setField sets the field of s with that path, and reports whether the field is a
// string. It replaces pointers of s and does not write to their memory.
func setField(t *testing.T, s *oidctoken.Scope, path, value string) bool {
	t.Helper()
	return setIn(t, reflect.ValueOf(s).Elem(), strings.Split(path, "."), value)
}

func setIn(t *testing.T, v reflect.Value, path []string, value string) bool {
	t.Helper()
	if len(path) == 0 {
		if v.Kind() != reflect.String {
			return false
		}
		v.SetString(value)
		return true
	}
	field := v.FieldByName(path[0])
	if !field.IsValid() {
		t.Fatalf("%s has no field %s", v.Type(), path[0])
	}
	switch field.Kind() {
	case reflect.Pointer, reflect.Interface:
		if len(path) == 1 {
			return false // a *bool, or the stage itself
		}
		inner := field.Elem()
		if field.Kind() == reflect.Pointer {
			inner = field.Elem()
		}
		own := reflect.New(inner.Type())
		own.Elem().Set(inner)
		ok := setIn(t, own.Elem(), path[1:], value)
		if field.Kind() == reflect.Interface {
			own = own.Elem()
		}
		field.Set(own)
		return ok
	}
	return setIn(t, field, path[1:], value)
}

// scopeWith returns a scope that has the field.
func scopeWith(string) oidctoken.Scope { return inStage("open") }

const notIdentifier = "is not an identifier: 1 to 128 characters of A-Z a-z 0-9 _ - . $, and not . or .."

// notReasons returns the values that a row refuses, each with the reason. It returns nil
// for a row whose value is not a text of the scope.
func notReasons(row oidctoken.ClaimRow) map[string]string {
	all := func(reason string, values ...string) map[string]string {
		reasons := make(map[string]string)
		for _, v := range values {
			reasons[v] = reason
		}
		return reasons
	}
	switch {
	case row.Name == "stage_type" || row.Format == `"true", "false"`:
		return nil
	case row.Format == "text":
		return notText
	case row.Format == "identifier":
		return all(notIdentifier, notIdentifiers...)
	case row.Format == "identifier without a dot":
		reasons := all(notIdentifier, notIdentifiers...)
		maps.Copy(reasons, all("has a dot, which a reference to a connector uses after account and org", dotted...))
		return reasons
	case row.Name == "environment_type":
		reasons := all("is not one of "+environs+wordForm, notWords...)
		maps.Copy(reasons, all(`differs from "Production" in letter case only`, "production", "PRODUCTION"))
		maps.Copy(reasons, all(`differs from "PreProduction" in letter case only`, "preproduction", "Preproduction"))
		return reasons
	case knownLists[row.Name] != "":
		return all("is not one of "+knownLists[row.Name]+upperForm, notUpper...)
	}
	return all("is not one of "+row.Format, notLevels...)
}

// T17
func TestClaimValuesRefused(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{})
	for _, row := range oidctoken.ClaimTable() {
		t.Run(row.Name, func(t *testing.T) {
			reasons := notReasons(row)
			if s := scopeWith(row.Field); reasons == nil && setField(t, &s, row.Field, "x") {
				t.Errorf("%s has no values that are refused", row.Field)
			}
			for value, reason := range reasons {
				s := scopeWith(row.Field)
				if !setField(t, &s, row.Field, value) {
					t.Fatalf("%s is not a text", row.Field)
				}
				want := &oidctoken.ScopeError{Field: row.Field, Reason: reason}
				if row.Audit { // see TestAuditClaimsLeftOut
					want = nil
				}
				for name, try := range map[string]func() error{
					"Mint":    func() error { _, err := issuer.Mint(t.Context(), s); return err },
					"Preview": func() error { _, err := issuer.Preview(t.Context(), s); return err },
					"Prepare": func() error { _, err := issuer.Prepare(t.Context(), s); return err },
				} {
					err := try()
					if diff := cmp.Diff(want, scopeError(err)); diff != "" || (err == nil) != (want == nil) {
						t.Errorf("%s of %.40q: %v (-want +got):\n%s", name, value, err, diff)
					}
				}
			}
		})
	}
}

// The token contains valid values unchanged.
func TestClaimValuesTaken(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{})
	for _, row := range oidctoken.ClaimTable() {
		var values []string
		switch {
		case row.Name == "stage_type" || row.Format == `"true", "false"`:
			continue // not text: see TestGolden and TestBools
		case row.Format == "text":
			values = isText
		case row.Format == "identifier":
			values = append(append(values, areIdentifiers...), dotted...)
		case row.Format == "identifier without a dot":
			values = areIdentifiers
		case row.Name == "environment_type":
			values = append(unquoted(environs), areWords...)
		case knownLists[row.Name] != "":
			values = append(unquoted(knownLists[row.Name]), areUpper...)
		default:
			values = unquoted(row.Format)
		}
		t.Run(row.Name, func(t *testing.T) {
			for _, value := range values {
				s := scopeWith(row.Field)
				setField(t, &s, row.Field, value)
				if value == "CONNECTOR_VALIDATION" {
					s = minimal()
				}
				if got := payloadOf(t, mint(t, issuer, s))[row.Name]; got != value {
					t.Errorf("%s = %q, want %q", row.Name, got, value)
				}
			}
		})
	}
}

// unquoted splits a list such as "a", "b".
func unquoted(list string) []string { return strings.Split(strings.Trim(list, `"`), `", "`) }

// The three values of every bool differ: true, false and unknown.
func TestBools(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{})
	for _, tt := range []struct {
		value *bool
		want  any
	}{{ptr(true), "true"}, {ptr(false), "false"}, {nil, nil}} {
		s := minimal()
		s.Source = &oidctoken.Source{RefProtected: tt.value}
		s.Stage = oidctoken.Custom{Environment: &oidctoken.Environment{ID: "prod", Protected: tt.value}}
		claims := payloadOf(t, mint(t, issuer, s))
		for _, name := range []string{"ref_protected", "environment_protected"} {
			if claims[name] != tt.want {
				t.Errorf("%s = %v, want %v", name, claims[name], tt.want)
			}
		}
	}
}
