package oidctokentest_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/internal/jose"
	"github.com/oidctoken/oidctoken/oidctokentest"
)

// P01
func TestNewIssuer(t *testing.T) {
	for _, tt := range []struct {
		name      string
		configure []func(*oidctoken.Config)
		path      string // of the issuer
		want      []string
	}{
		{"default", nil, "", []string{"RS256", "ES256"}},
		{"with Ed25519", []func(*oidctoken.Config){func(c *oidctoken.Config) {
			c.Keys = append(c.Keys.(oidctoken.StaticKeys), oidctokentest.NewKey(t, "EdDSA"))
		}}, "", []string{"RS256", "ES256", "EdDSA"}},
		{"per account", []func(*oidctoken.Config){
			func(c *oidctoken.Config) { c.URL += "/accounts" },
			func(c *oidctoken.Config) { c.URL += "/{account_id}" },
		}, "/accounts/acme", []string{"RS256", "ES256"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			issuer := oidctokentest.NewIssuer(t, tt.configure...)
			var metadata struct {
				Issuer  string `json:"issuer"`
				JWKSURI string `json:"jwks_uri"`
			}
			var document json.RawMessage
			fetch(t, issuer, issuer.URL+tt.path+"/.well-known/openid-configuration", &metadata)
			fetch(t, issuer, metadata.JWKSURI, &document)
			if want := issuer.URL + tt.path; metadata.Issuer != want {
				t.Errorf("the issuer is %q, want %q", metadata.Issuer, want)
			}
			set, err := jose.ParseSet(document)
			if err != nil {
				t.Fatal(err)
			}
			var verified []string
			for _, alg := range tt.want {
				token, err := issuer.Mint(t.Context(), oidctoken.Scope{
					Audience: "https://example.com", Account: oidctoken.Entity{ID: "acme"},
					Profile: &oidctoken.Profile{Algorithms: []string{alg}},
				})
				if err != nil {
					t.Fatal(err)
				}
				v, err := set.Verify(token.JWT(), alg)
				if err != nil {
					t.Fatal(err)
				}
				verified = append(verified, v.Algorithm)
			}
			if diff := cmp.Diff(tt.want, verified); diff != "" {
				t.Errorf("the algorithms (-want +got):\n%s", diff)
			}
		})
	}
}

func fetch(t *testing.T, issuer *oidctokentest.Issuer, url string, v any) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := issuer.Client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if err := json.NewDecoder(answer.Body).Decode(v); err != nil {
		t.Fatal(err)
	}
}
