package ident_test

import (
	"strings"
	"testing"

	"github.com/oidctoken/oidctoken/internal/ident"
)

func TestCheck(t *testing.T) {
	const not = "is not an identifier: 1 to 128 characters of A-Z a-z 0-9 _ - . $, and not . or .."
	const dot = "has a dot, which a reference to a connector uses after account and org"
	const dollar = "has a $, which the issuer's URL cannot contain"
	for _, tt := range []struct {
		name, id                string
		check, connector, inURL string
	}{
		{"name", "payments", "", "", ""},
		{"random base64url", "6_vXHzo9Qeu9fXvj-AabCQ", "", "", ""},
		{"begins with a hyphen", "-_4x", "", "", ""},
		{"UUID", "3f2504e0-4f89-11d3-9a0c-0305e82c3301", "", "", ""},
		{"number", "42", "", "", ""},
		{"slug", "checkout-service", "", "", ""},
		{"dollar", "$team", "", "", dollar},
		{"dots", "com.example.app", "", dot, ""},
		{"three dots", "...", "", dot, ""},
		{"longest", strings.Repeat("a", 128), "", "", ""},
		{"too long", strings.Repeat("a", 129), not, not, not},
		{"empty", "", not, not, not},
		{"dot", ".", not, not, not},
		{"dot dot", "..", not, not, not},
		{"slash", "a/b", not, not, not},
		{"colon", "a:b", not, not, not},
		{"at sign", "a@b", not, not, not},
		{"space", "a b", not, not, not},
		{"percent", "a%2f", not, not, not},
		{"newline", "a\n", not, not, not},
		{"NUL", "a\x00", not, not, not},
		{"letter outside ASCII", "caf\u00e9", not, not, not},
		{"invalid UTF-8", "a\xff", not, not, not},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := ident.Check(tt.id); got != tt.check {
				t.Errorf("Check(%q) = %q, want %q", tt.id, got, tt.check)
			}
			if got := ident.CheckConnector(tt.id); got != tt.connector {
				t.Errorf("CheckConnector(%q) = %q, want %q", tt.id, got, tt.connector)
			}
			if got := ident.CheckInURL(tt.id); got != tt.inURL {
				t.Errorf("CheckInURL(%q) = %q, want %q", tt.id, got, tt.inURL)
			}
		})
	}
}
