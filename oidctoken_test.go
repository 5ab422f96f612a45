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
		notHTTPS = "is neither https nor http for a loopback host"
		noHost   = "has no host, or more than one"
		query    = "has a query or a fragment"
		slash    = "has a trailing slash"
		host     = "has a host that is not lower-case ASCII in its canonical form"
		path     = "has a path with a segment that is neither of A-Z a-z 0-9 - . _ ~ nor {account_id}"
		notPlain = "is not in its canonical form"
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
		"https://tokens\u2024example.com":                      host, // resembles a dot
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
		{"an empty source", oidctoken.Config{Keys: oidctoken.StaticKeys{}}, keysError("there are 0 keys, not 1 to 10")},
		{"a nil source", oidctoken.Config{Keys: oidctoken.StaticKeys(nil)}, keysError("there are 0 keys, not 1 to 10")},
		{"eleven keys", oidctoken.Config{Keys: eleven}, keysError("there are 11 keys, not 1 to 10")},
		{"a source that fails", oidctoken.Config{Keys: keysFunc(func(context.Context) ([]oidctoken.Key, error) { return nil, errDown })}, keysError("the ring is away")},
		{"no signer", oidctoken.Config{Keys: oidctoken.StaticKeys{{}}}, keysError("key 0: the Signer is nil")},
		{"a kid with a space", oidctoken.Config{Keys: oidctoken.StaticKeys{{Signer: signer, ID: "a b"}}}, keysError(`key 0: the ID "a b" is not 1 to 128 bytes of A-Z a-z 0-9 - _`)},
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
				t.Error("NewIssuer returned an issuer and an error")
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

// T13: a short MaxLifetime shortens the default lifetime, to whole seconds. "exp" counts
// from "iat", which is backdated.
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

// limitedKeys is a source whose schedule relies on limits.
type limitedKeys struct {
	oidctoken.StaticKeys
	maxAge, maxLifetime time.Duration
}

func (k limitedKeys) Limits() (maxAge, maxLifetime time.Duration) { return k.maxAge, k.maxLifetime }

// P03: a source can limit how long the documents may be cached.
func TestLimitedMaxAge(t *testing.T) {
	for _, tt := range []struct {
		longest, left time.Duration
		want          string
	}{
		{time.Hour, 1000 * time.Hour, "public, max-age=3600"},
		{15 * time.Minute, 1000 * time.Hour, "public, max-age=900"},
		{15 * time.Minute, 15*time.Minute - 1, "public, max-age=600"},
		{time.Minute, 1000 * time.Hour, "public, max-age=60"},
		{time.Minute, 59 * time.Second, "public, max-age=0"},
		{24 * time.Hour, 1000 * time.Hour, "public, max-age=86400"},
		{24 * time.Hour, 23 * time.Hour, "public, max-age=43200"},
		{24 * time.Hour, 11 * time.Hour, "public, max-age=3600"},
	} {
		issuer := newIssuer(t, oidctoken.Config{Keys: limitedKeys{
			oidctoken.StaticKeys{{Signer: memory(rsaKey()), Expires: noon.Add(tt.left)}}, tt.longest, time.Hour,
		}})
		for _, path := range []string{discovery, jwks} {
			if got := get(issuer, "GET", path).Header.Get("Cache-Control"); got != tt.want {
				t.Errorf("%v before a key is removed from a set that may be cached for %v: %q, want %q", tt.left, tt.longest, got, tt.want)
			}
		}
	}
}

// P06: NewIssuer refuses a lifetime that is longer than the source publishes a key.
func TestLimitedLifetime(t *testing.T) {
	for _, tt := range []struct {
		name                 string
		longest, maxLifetime time.Duration
		want                 *oidctoken.ConfigError
	}{
		{"as long", 2 * time.Hour, 2 * time.Hour, nil},
		{"the default", 2 * time.Hour, 0, nil},
		{"the default is cut", time.Minute, 0, nil},
		{"longer", time.Hour, time.Hour + time.Second, &oidctoken.ConfigError{Package: "oidctoken", Field: "MaxLifetime", Reason: "is longer than the 1h0m0s for which Keys publishes a key"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			keys := limitedKeys{oidctoken.StaticKeys{{Signer: memory(rsaKey())}}, time.Hour, tt.longest}
			issuer, err := oidctoken.NewIssuer(oidctoken.Config{
				URL: issuerURL, Keys: keys, MaxLifetime: tt.maxLifetime, Now: clockAt(noon),
			})
			if diff := cmp.Diff(tt.want, configError(err)); diff != "" {
				t.Fatalf("NewIssuer (-want +got):\n%s", diff)
			}
			if tt.want != nil {
				return
			}
			if got := mint(t, issuer, minimal()).Expires().Sub(noon); got > tt.longest {
				t.Errorf("a token lives %v, want at most %v", got, tt.longest)
			}
		})
	}
}
