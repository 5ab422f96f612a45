package oidctoken_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/oidctoken/oidctoken"
)

// T09
func TestIssuerURL(t *testing.T) {
	const (
		notHTTPS = "is not https, nor http for a loopback host"
		noHost   = "has no host, or more than one"
		query    = "has a query or a fragment"
		slash    = "has a trailing slash"
		host     = "has a host that is not in its plain form, in lower-case ASCII"
		path     = "has a path whose segments are not of A-Z a-z 0-9 - . _ ~, or {account_id}"
		notPlain = "is not in its plain form"
		notURL   = "is not a URL"
	)
	for url, want := range map[string]string{
		"https://tokens.example.com":                       "",
		"https://tokens.example.com:8443/oidc/v1~a_b.c-d":  "",
		"https://tokens.example.com/{account_id}":          "",
		"https://tokens.example.com/t/{account_id}/oidc":   "",
		"https://192.0.2.1":                                "",
		"https://[2001:db8::1]:8443":                       "",
		"http://localhost:8080":                            "",
		"http://127.0.0.1:8080/x":                          "",
		"http://[::1]:8080":                                "",
		"https://xn--bcher-kva.example":                    "",
		"https://a.example/" + strings.Repeat("x", 255-18): "",
		"": "is required",
		"https://a.example/" + strings.Repeat("x", 256-18):     "is longer than 255 bytes",
		"http://tokens.example.com":                            notHTTPS,
		"http://127.0.0.1.example.com":                         notHTTPS,
		"http://localhost.example.com":                         notHTTPS,
		"http://0.0.0.0":                                       notHTTPS,
		"ftp://tokens.example.com":                             notHTTPS,
		"tokens.example.com":                                   notHTTPS,
		"/oidc":                                                notHTTPS,
		"https:":                                               noHost,
		"https:///oidc":                                        noHost,
		"https:tokens.example.com":                             noHost,
		"https://:8443":                                        noHost,
		"https://user@tokens.example.com":                      noHost,
		"https://user:secret@tokens.example.com":               noHost,
		"https://tokens.example.com?x=y":                       query,
		"https://tokens.example.com?":                          query,
		"https://tokens.example.com#x":                         query,
		"https://tokens.example.com#":                          query,
		"https://tokens.example.com/":                          slash,
		"https://tokens.example.com/oidc/":                     slash,
		"https://Tokens.example.com":                           host,
		"https://tokens.example.com.":                          host,
		"https://tokens.example.com:":                          host,
		"https://tökens.example.com":                           host,
		"https://tokens\u2024example.com":                      host, // a dot that is none
		`https://tokens".example.com`:                          host,
		"https://tokens<>.example.com":                         host,
		"https://tokens,example.com":                           host,
		"HTTPS://tokens.example.com":                           notPlain,
		"https://tokens.example.com/%6Fidc":                    notPlain,
		"https://tokens.example.com//oidc":                     path,
		"https://tokens.example.com/./oidc":                    path,
		"https://tokens.example.com/../oidc":                   path,
		"https://tokens.example.com/ü":                         path,
		`https://tokens.example.com/"`:                         path,
		"https://tokens.example.com/a:b":                       path,
		"https://tokens.example.com/a%2Fb":                     notPlain,
		"https://tokens.example.com/{project_id}":              path,
		"https://tokens.example.com/x{account_id}":             path,
		"https://tokens.example.com/{account_id}/{account_id}": path,
		"https://{account_id}.example.com":                     notURL,
		" https://tokens.example.com":                          notURL,
		"https://tokens.example.com ":                          notURL,
		"https://tokens.example.com/ ":                         path,
		"https://tokens.example.com/\n":                        notURL,
		"https://tokens.example.com:x":                         notURL,
		"https://[::1":                                         notURL,
		"https://tokens.example.com/%zz":                       notURL,
	} {
		issuer, err := oidctoken.NewIssuer(oidctoken.Config{
			URL: url, Keys: oidctoken.StaticKeys{{Signer: memory(edKey())}},
			Profile: oidctoken.Profile{Algorithms: []string{"EdDSA"}},
		})
		if want != "" {
			if diff := cmp.Diff(&oidctoken.ConfigError{Package: "oidctoken", Field: "URL", Reason: want}, configError(err)); diff != "" {
				t.Errorf("%.60q (-want +got):\n%s", url, diff)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", url, err)
			continue
		}
		iss := payloadOf(t, mint(t, issuer, minimal()))["iss"]
		if want := strings.Replace(url, "{account_id}", "acme", 1); iss != want {
			t.Errorf("iss = %v, want %q", iss, want)
		}
	}
}

// The account's id must fit into the issuer identifier, too.
func TestIssuerURLOfLongAccount(t *testing.T) {
	url := "https://a.example/" + strings.Repeat("x", 200) + "/{account_id}"
	issuer := newIssuer(t, oidctoken.Config{URL: url})
	for _, tt := range []struct {
		account string
		want    *oidctoken.ScopeError
	}{
		{strings.Repeat("a", 255-len(url)+len("{account_id}")), nil},
		{strings.Repeat("a", 256-len(url)+len("{account_id}")), &oidctoken.ScopeError{
			Field: "Account.ID", Reason: "makes the issuer identifier longer than 255 bytes"}},
		{"a/b", &oidctoken.ScopeError{Field: "Account.ID", Reason: "is not an identifier: 1 to 128 characters of A-Z a-z 0-9 _ - . $, and not . or .."}},
	} {
		s := minimal()
		s.Account.ID = tt.account
		_, err := issuer.Mint(t.Context(), s)
		if diff := cmp.Diff(tt.want, scopeError(err)); diff != "" || (tt.want == nil && err != nil) {
			t.Errorf("%d bytes: %v (-want +got):\n%s", len(tt.account), err, diff)
		}
	}
}

// badProfiles has each rule of a Profile but those of its subject.
var badProfiles = []struct {
	name          string
	profile       oidctoken.Profile
	field, reason string
}{
	{"a negative lifetime", oidctoken.Profile{Lifetime: -time.Minute}, "Profile.Lifetime", "is not in whole seconds, at least one"},
	{"half a second", oidctoken.Profile{Lifetime: time.Second / 2}, "Profile.Lifetime", "is not in whole seconds, at least one"},
	{"a second and a half", oidctoken.Profile{Lifetime: 1500 * time.Millisecond}, "Profile.Lifetime", "is not in whole seconds, at least one"},
	{"more than an hour", oidctoken.Profile{Lifetime: time.Hour + time.Second}, "Profile.Lifetime", "is longer than Config.MaxLifetime"},
	{"a negative length", oidctoken.Profile{MaxSubject: -1}, "Profile.MaxSubject", "is not between 1 and 255 bytes"},
	{"a length of 256", oidctoken.Profile{MaxSubject: 256}, "Profile.MaxSubject", "is not between 1 and 255 bytes"},
	{"no algorithm", oidctoken.Profile{Algorithms: []string{}}, "Profile.Algorithms", "is empty"},
	{"none", oidctoken.Profile{Algorithms: []string{"RS256", "none"}}, "Profile.Algorithms", `has "none", which is none`},
	{"None", oidctoken.Profile{Algorithms: []string{"None"}}, "Profile.Algorithms", `has "None", which is none`},
	{"nOnE", oidctoken.Profile{Algorithms: []string{"nOnE"}}, "Profile.Algorithms", `has "nOnE", which is none`},
	{"HS256", oidctoken.Profile{Algorithms: []string{"HS256"}}, "Profile.Algorithms", `has "HS256", which is none`},
	{"a lower case", oidctoken.Profile{Algorithms: []string{"rs256"}}, "Profile.Algorithms", `has "rs256", which is none`},
	{"an empty name", oidctoken.Profile{Algorithms: []string{""}}, "Profile.Algorithms", `has "", which is none`},
	{"PS256", oidctoken.Profile{Algorithms: []string{"PS256"}}, "Profile.Algorithms", `has "PS256", which is none`},
	{"anything", oidctoken.Profile{Algorithms: []string{strings.Repeat("é", 1000)}}, "Profile.Algorithms",
		`has "` + strings.Repeat(`\u00e9`, 20) + `", which is none`},
}

// T01
func TestProfileRefused(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{})
	for _, tt := range badProfiles {
		t.Run(tt.name, func(t *testing.T) {
			s := minimal()
			s.Profile = &tt.profile
			_, err := issuer.Mint(t.Context(), s)
			if diff := cmp.Diff(&oidctoken.ScopeError{Field: tt.field, Reason: tt.reason}, scopeError(err)); diff != "" {
				t.Errorf("Mint (-want +got):\n%s", diff)
			}
			_, err = oidctoken.NewIssuer(oidctoken.Config{
				URL: issuerURL, Keys: oidctoken.StaticKeys{{Signer: memory(edKey())}}, Profile: tt.profile,
			})
			if diff := cmp.Diff(&oidctoken.ConfigError{Package: "oidctoken", Field: tt.field, Reason: tt.reason}, configError(err)); diff != "" {
				t.Errorf("NewIssuer (-want +got):\n%s", diff)
			}
		})
	}
}

// keysFunc is a KeySource that a test writes.
type keysFunc func(context.Context) ([]oidctoken.Key, error)

func (f keysFunc) Keys(ctx context.Context) ([]oidctoken.Key, error) { return f(ctx) }

func TestConfigRefused(t *testing.T) {
	signer := memory(edKey())
	one := oidctoken.StaticKeys{{Signer: signer}}
	var eleven oidctoken.StaticKeys
	for range 11 {
		eleven = append(eleven, oidctoken.Key{Signer: memory(newEd25519())})
	}
	errDown := errors.New("the ring is away")
	for _, tt := range []struct {
		name   string
		config oidctoken.Config
		want   oidctoken.ConfigError
	}{
		{"a negative MaxLifetime", oidctoken.Config{Keys: one, MaxLifetime: -1}, oidctoken.ConfigError{Package: "oidctoken", Field: "MaxLifetime", Reason: "is not between 1 s and 24 h"}},
		{"a MaxLifetime of a day and a second", oidctoken.Config{Keys: one, MaxLifetime: 24*time.Hour + time.Second}, oidctoken.ConfigError{Package: "oidctoken", Field: "MaxLifetime", Reason: "is not between 1 s and 24 h"}},
		{"a prefix that is no name", oidctoken.Config{Keys: one, ExtraPrefix: "a\""}, oidctoken.ConfigError{Package: "oidctoken", Field: "ExtraPrefix", Reason: "is not a claim's name: 1 to 256 bytes of printable ASCII"}},
		{"a prefix that is a claim", oidctoken.Config{Keys: one, ExtraPrefix: "Sub"}, oidctoken.ConfigError{Package: "oidctoken", Field: "ExtraPrefix", Reason: "is the name of a claim of this package"}},
		{"no keys", oidctoken.Config{}, oidctoken.ConfigError{Package: "oidctoken", Field: "Keys", Reason: "is required"}},
		{"an empty source", oidctoken.Config{Keys: oidctoken.StaticKeys{}}, keysError("0 keys are not 1 to 10")},
		{"a nil source", oidctoken.Config{Keys: oidctoken.StaticKeys(nil)}, keysError("0 keys are not 1 to 10")},
		{"eleven keys", oidctoken.Config{Keys: eleven}, keysError("11 keys are not 1 to 10")},
		{"a source that fails", oidctoken.Config{Keys: keysFunc(func(context.Context) ([]oidctoken.Key, error) { return nil, errDown })}, keysError("the ring is away")},
		{"no signer", oidctoken.Config{Keys: oidctoken.StaticKeys{{}}}, keysError("key 0: the Signer is nil")},
		{"a kid that is none", oidctoken.Config{Keys: oidctoken.StaticKeys{{Signer: signer, ID: "a b"}}}, keysError(`key 0: the ID "a b" is not 1 to 128 bytes of A-Z a-z 0-9 - _`)},
		{"a kid with a quote inside", oidctoken.Config{Keys: oidctoken.StaticKeys{{Signer: signer, ID: `a"b`}}}, keysError(`key 0: the ID "a\"b" is not 1 to 128 bytes of A-Z a-z 0-9 - _`)},
		{"a kid twice", oidctoken.Config{Keys: oidctoken.StaticKeys{{Signer: signer, ID: "k"}, {Signer: memory(otherEd()), ID: "k"}}}, keysError("key 1: another key has the ID k")},
		{"an end before NotAfter", oidctoken.Config{Keys: oidctoken.StaticKeys{{Signer: signer, NotAfter: noon, Expires: noon.Add(-1)}}}, keysError("key 0: it expires before NotAfter, when it may still sign")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.config.URL = issuerURL
			issuer, err := oidctoken.NewIssuer(tt.config)
			if diff := cmp.Diff(&tt.want, configError(err)); diff != "" {
				t.Errorf("NewIssuer (-want +got):\n%s", diff)
			}
			if issuer != nil {
				t.Error("an issuer was returned with the error")
			}
			if want := "oidctoken: " + tt.want.Field + " " + tt.want.Reason; err.Error() != want {
				t.Errorf("error %q, want %q", err, want)
			}
		})
	}
}

func keysError(reason string) oidctoken.ConfigError {
	return oidctoken.ConfigError{Package: "oidctoken", Field: "Keys", Reason: "cannot be used: no key to sign with: " + reason}
}

// A short MaxLifetime shortens the default lifetime, to whole seconds. "exp" counts
// from "iat", which is backdated. T13
func TestMaxLifetime(t *testing.T) {
	for maximum, want := range map[time.Duration]time.Duration{
		0:                        15 * time.Minute,
		time.Second:              time.Second,
		90500 * time.Millisecond: 90 * time.Second,
		24 * time.Hour:           15 * time.Minute,
	} {
		token := mint(t, newIssuer(t, oidctoken.Config{MaxLifetime: maximum}), minimal())
		if got := lifetimeOf(t, token); got != want {
			t.Errorf("MaxLifetime %v: a token lives %v, want %v", maximum, got, want)
		}
	}
	issuer := newIssuer(t, oidctoken.Config{MaxLifetime: 24 * time.Hour})
	s := minimal()
	s.Profile = &oidctoken.Profile{Algorithms: []string{"EdDSA"}, Lifetime: 24 * time.Hour}
	if got := lifetimeOf(t, mint(t, issuer, s)); got != 24*time.Hour {
		t.Errorf("a token lives %v, want a day", got)
	}
}
