package gcpkms

import (
	"fmt"
	"strings"
)

// The collections of the service's REST API.
const (
	keyRing    = "projects/*/locations/*/keyRings/*"
	cryptoKey  = keyRing + "/cryptoKeys/*"
	keyVersion = cryptoKey + "/cryptoKeyVersions/*"
)

// checkName refuses a text that is not the full name of a resource of that
// form. The name becomes a part of a URL's path.
func checkName(name, form string) error {
	if len(name) > 1024 || !isNamed(name, form) {
		return fmt.Errorf("%.200q is not of the form %s", name, form)
	}
	return nil
}

func isNamed(name, form string) bool {
	got, want := strings.Split(name, "/"), strings.Split(form, "/")
	if len(got) != len(want) {
		return false
	}
	for i, part := range got {
		switch {
		case want[i] != "*":
			if part != want[i] {
				return false
			}
		case want[i-1] == "cryptoKeyVersions":
			if !isNumber(part) {
				return false
			}
		case !isID(part):
			return false
		}
	}
	return true
}

// shown returns the name of an answer for an error. Another text could be an
// echo of the request and is not shown.
func shown(name, form string) string {
	if checkName(name, form) != nil {
		return "another key"
	}
	return name
}

// isID accepts the characters of ids, also those of projects of a domain, as in
// example.com:ci.
func isID(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		case (c == '.' || c == ':') && i > 0:
		default:
			return false
		}
	}
	return s != ""
}

// isNumber accepts the number of a version, from 1.
func isNumber(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != "" && s[0] != '0' && len(s) <= 19
}

// keyOf returns the key that a version is one of.
func keyOf(version string) string {
	key, _, _ := strings.Cut(version, "/cryptoKeyVersions/")
	return key
}
