package issuerurl_test

import (
	"testing"

	"github.com/oidctoken/oidctoken/internal/issuerurl"
)

// Cut reverses Append: it finds the account and the rest in the path of an account's
// issuer identifier.
func TestCut(t *testing.T) {
	for _, tt := range []struct {
		url, path     string
		account, rest string
		ok            bool
	}{
		{"https://ci.example.com", "/jwks", "", "/jwks", true},
		{"https://ci.example.com/oidc", "/oidc/jwks", "", "/jwks", true},
		{"https://ci.example.com/oidc", "/other/jwks", "", "", false},
		{"https://ci.example.com/t/{account_id}/v1", "/t/acme/v1/jwks", "acme", "/jwks", true},
		{"https://ci.example.com/t/{account_id}/v1", "/t/acme/v2/jwks", "", "", false},
		{"https://ci.example.com/t/{account_id}/v1", "/t/a$b/v1/jwks", "", "", false},
		{"https://ci.example.com/t/{account_id}/v1", "/t/acme", "", "", false},
	} {
		u, reason := issuerurl.Parse(tt.url)
		if reason != "" {
			t.Fatalf("%s: %s", tt.url, reason)
		}
		account, rest, ok := u.Cut(tt.path)
		if ok != tt.ok || ok && (account != tt.account || rest != tt.rest) {
			t.Errorf("%s: Cut(%s) = %q, %q, %t; want %q, %q, %t", tt.url, tt.path, account, rest, ok, tt.account, tt.rest, tt.ok)
		}
	}
}

func TestAppend(t *testing.T) {
	for url, want := range map[string]string{
		"https://ci.example.com/oidc":              "https://ci.example.com/oidc",
		"https://ci.example.com/{account_id}":      "https://ci.example.com/acme",
		"https://ci.example.com/t/{account_id}/v1": "https://ci.example.com/t/acme/v1",
	} {
		u, reason := issuerurl.Parse(url)
		if got := string(u.Append(nil, "acme")); reason != "" || got != want {
			t.Errorf("%s: Append = %s, %s; want %s", url, got, reason, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"", "https://ci.example.com/{account_id}", "http://[::1]:80/a", "https://a/../b", "https://A"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, reason := issuerurl.Parse(s)
		if reason == "" && !u.PerAccount() && string(u.Append(nil, "acme")) != s {
			t.Errorf("Append = %s, want %s", u.Append(nil, "acme"), s)
		}
	})
}
