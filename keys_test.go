package oidctoken_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
)

// KeyIDs returns the IDs of the current keys, and the same slice until they change.
func TestKeyIDs(t *testing.T) {
	keys := &source{}
	keys.set(nil, ed25519Key("a"), ed25519Key("b"))
	issuer := newIssuer(t, oidctoken.Config{Keys: keys})
	get := func() []string {
		t.Helper()
		ids, err := issuer.KeyIDs(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return ids
	}
	first := get()
	if diff := cmp.Diff([]string{"a", "b"}, first); diff != "" {
		t.Errorf("KeyIDs (-want +got):\n%s", diff)
	}
	if second := get(); &second[0] != &first[0] {
		t.Error("KeyIDs returned another slice, although no key changed")
	}
	keys.set(nil, ed25519Key("b"))
	if diff := cmp.Diff([]string{"b"}, get()); diff != "" {
		t.Errorf("KeyIDs (-want +got):\n%s", diff)
	}
	down := errors.New("down")
	keys.set(down)
	if _, err := issuer.KeyIDs(t.Context()); !errors.Is(err, oidctoken.ErrNoKey) || !errors.Is(err, down) {
		t.Errorf("KeyIDs = %v, want %v and %v", err, oidctoken.ErrNoKey, down)
	}
}

// rotates returns a KeySource that is not StaticKeys.
func rotates(keys ...oidctoken.Key) keysFunc {
	return func(context.Context) ([]oidctoken.Key, error) { return keys, nil }
}

// The error lists each key and why it does not sign.
func TestNoKeySaysWhy(t *testing.T) {
	ed, other := memory(edKey()), memory(otherEd())
	for _, tt := range []struct {
		name       string
		keys       []oidctoken.Key
		algorithms []string
		want       string
	}{
		{"no such key", []oidctoken.Key{{ID: "a", Signer: ed}}, []string{"RS256"},
			"needs a key for RS256 at 2026-03-01T12:00:00Z: key a (EdDSA) has another algorithm"},
		{"the default algorithm", []oidctoken.Key{{ID: "a", Signer: ed}}, nil,
			"needs a key for RS256 at 2026-03-01T12:00:00Z: key a (EdDSA) has another algorithm"},
		{"not yet active", []oidctoken.Key{{ID: "a", Signer: ed, NotBefore: noon.Add(time.Second)}}, []string{"EdDSA"},
			"needs a key for EdDSA at 2026-03-01T12:00:00Z: key a (EdDSA) begins at 2026-03-01T12:00:01Z"},
		{"ended", []oidctoken.Key{{ID: "a", Signer: ed, NotAfter: noon, Expires: noon.Add(time.Hour)}}, []string{"EdDSA"},
			"needs a key for EdDSA at 2026-03-01T12:00:00Z: key a (EdDSA) ended at 2026-03-01T12:00:00Z"},
		{"expired", []oidctoken.Key{{ID: "a", Signer: ed, Expires: noon.Add(-time.Hour)}}, []string{"EdDSA"},
			"needs a key for EdDSA at 2026-03-01T12:00:00Z: key a (EdDSA) ended at 2026-03-01T11:00:00Z"},
		{"ends before it begins", []oidctoken.Key{{ID: "a", Signer: ed, NotBefore: noon.Add(2 * time.Hour), NotAfter: noon.Add(time.Hour)}}, []string{"EdDSA"},
			"needs a key for EdDSA at 2026-03-01T12:00:00Z: key a (EdDSA) ends at 2026-03-01T13:00:00Z, before it begins"},
		{"several", []oidctoken.Key{
			{ID: "new", Signer: ed, NotBefore: noon.Add(time.Hour).In(time.FixedZone("x", 7200))},
			{ID: "old", Signer: other, NotAfter: noon},
			{ID: "rsa", Signer: memory(rsaKey())},
		}, []string{"EdDSA", "ES256", "EdDSA"},
			"needs a key for EdDSA or ES256 at 2026-03-01T12:00:00Z: key new (EdDSA) begins at 2026-03-01T13:00:00Z; " +
				"key old (EdDSA) ended at 2026-03-01T12:00:00Z; key rsa (RS256) has another algorithm"},
		{"a long ID", []oidctoken.Key{{ID: strings.Repeat("k", 128), Signer: ed}}, []string{"RS256"},
			"needs a key for RS256 at 2026-03-01T12:00:00Z: key " + strings.Repeat("k", 64) + " (EdDSA) has another algorithm"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			token, err := mintAt(t, tt.keys, noon, tt.algorithms...)
			if token != nil || !errors.Is(err, oidctoken.ErrNoKey) {
				t.Fatalf("Mint: %v, %v; want ErrNoKey", token, err)
			}
			if diff := cmp.Diff("oidctoken: mint: no key to sign with: "+tt.want, err.Error()); diff != "" {
				t.Errorf("Mint (-want +got):\n%s", diff)
			}
		})
	}
}

// The length of the text is limited for all profiles and keys.
func TestNoKeyIsBounded(t *testing.T) {
	var keys []oidctoken.Key
	for i := range 10 {
		keys = append(keys, oidctoken.Key{
			ID: fmt.Sprintf("%0128d", i), Signer: memory(newEd25519()), NotBefore: noon.Add(time.Hour), NotAfter: noon.Add(-time.Hour),
		})
	}
	algorithms := strings.Fields(strings.Repeat("EdDSA ES512 ES384 RS512 RS384 RS256 ES256 ", 1000))
	_, err := mintAt(t, keys, noon, algorithms...)
	if !errors.Is(err, oidctoken.ErrNoKey) || len(err.Error()) > 2048 {
		t.Errorf("an error of %d bytes: %v", len(fmt.Sprint(err)), err)
	}
}

// NewIssuer and CheckProfile refuse a profile if no key will sign for it.
func TestProfileWithoutKey(t *testing.T) {
	signer := memory(edKey())
	begins := oidctoken.Key{ID: "k", Signer: signer, NotBefore: noon.Add(time.Hour), NotAfter: noon.Add(2 * time.Hour)}
	ended := oidctoken.Key{ID: "k", Signer: signer, NotAfter: noon}
	lasts := oidctoken.Key{ID: "k", Signer: signer, NotAfter: noon.Add(1)}
	never := oidctoken.Key{ID: "k", Signer: signer, NotBefore: noon.Add(time.Hour), Expires: noon.Add(time.Hour)}
	const other = "needs a key for RS256 at 2026-03-01T12:00:00Z: key k (EdDSA) has another algorithm"
	for _, tt := range []struct {
		name    string
		keys    oidctoken.KeySource
		profile oidctoken.Profile
		want    string
	}{
		{"it signs", oidctoken.StaticKeys{lasts}, oidctoken.Profile{Algorithms: []string{"EdDSA"}}, ""},
		{"one of two algorithms", oidctoken.StaticKeys{lasts}, oidctoken.Profile{Algorithms: []string{"RS256", "EdDSA"}}, ""},
		{"it will sign", oidctoken.StaticKeys{begins}, oidctoken.Profile{Algorithms: []string{"EdDSA"}}, ""},
		{"another algorithm", oidctoken.StaticKeys{lasts}, oidctoken.Profile{Algorithms: []string{"RS256"}}, other},
		{"the default algorithm", oidctoken.StaticKeys{lasts}, oidctoken.Profile{Lifetime: time.Minute}, other},
		{"it ended", oidctoken.StaticKeys{ended}, oidctoken.Profile{Algorithms: []string{"EdDSA"}},
			"needs a key for EdDSA at 2026-03-01T12:00:00Z: key k (EdDSA) ended at 2026-03-01T12:00:00Z"},
		{"it never begins", oidctoken.StaticKeys{never}, oidctoken.Profile{Algorithms: []string{"EdDSA"}},
			"needs a key for EdDSA at 2026-03-01T12:00:00Z: key k (EdDSA) ends at 2026-03-01T13:00:00Z, before it begins"},
		{"a source that rotates: it signs", rotates(lasts), oidctoken.Profile{Algorithms: []string{"EdDSA"}}, ""},
		{"a source that rotates: it ended", rotates(ended), oidctoken.Profile{Algorithms: []string{"EdDSA"}}, ""},
		{"a source that rotates: another algorithm", rotates(lasts), oidctoken.Profile{Algorithms: []string{"RS256"}}, other},
	} {
		t.Run(tt.name, func(t *testing.T) {
			issuer, err := oidctoken.NewIssuer(oidctoken.Config{URL: issuerURL, Keys: tt.keys, Profile: tt.profile, Now: clockAt(noon)})
			var want *oidctoken.ConfigError
			if tt.want != "" {
				want = &oidctoken.ConfigError{Package: "oidctoken", Field: "Profile.Algorithms", Reason: "cannot be used with Keys: no key to sign with: " + tt.want}
			}
			if diff := cmp.Diff(want, configError(err)); diff != "" {
				t.Errorf("NewIssuer (-want +got):\n%s", diff)
			}
			if errors.Is(err, oidctoken.ErrNoKey) != (want != nil) || (issuer == nil) != (want != nil) {
				t.Errorf("NewIssuer: %v, %v", issuer, err)
			}

			// An issuer without a profile accepts the profiles of its Scopes.
			if issuer, err = oidctoken.NewIssuer(oidctoken.Config{URL: issuerURL, Keys: tt.keys, Now: clockAt(noon)}); err != nil {
				t.Fatal(err)
			}
			err = issuer.CheckProfile(t.Context(), &tt.profile)
			if want == nil {
				if err != nil {
					t.Errorf("CheckProfile: %v", err)
				}
				return
			}
			if got := "oidctoken: check profile: no key to sign with: " + tt.want; !errors.Is(err, oidctoken.ErrNoKey) || err.Error() != got {
				t.Errorf("CheckProfile: %v, want %s", err, got)
			}
		})
	}
}

func TestCheckProfile(t *testing.T) {
	var r recorder
	down := errors.New("the ring is away")
	var failure error
	issuer := newIssuer(t, oidctoken.Config{
		Audit: r.audit,
		Allow: func(context.Context, oidctoken.Scope) error { t.Error("CheckProfile called Allow"); return nil },
		Keys: keysFunc(func(context.Context) ([]oidctoken.Key, error) {
			return []oidctoken.Key{{ID: "k", Signer: memory(edKey())}}, failure
		}),
		Profile: oidctoken.Profile{Algorithms: []string{"EdDSA"}},
	})
	if err := issuer.CheckProfile(t.Context(), nil); err != nil {
		t.Errorf("the issuer's own profile: %v", err)
	}
	err := issuer.CheckProfile(t.Context(), &oidctoken.Profile{})
	if !errors.Is(err, oidctoken.ErrNoKey) {
		t.Errorf("the default profile: %v, want ErrNoKey", err)
	}
	for _, tt := range badProfiles {
		err := issuer.CheckProfile(t.Context(), &tt.profile)
		if diff := cmp.Diff(&oidctoken.ScopeError{Field: tt.field, Reason: tt.reason}, scopeError(err)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
	failure = down
	if err := issuer.CheckProfile(t.Context(), nil); !errors.Is(err, oidctoken.ErrNoKey) || !errors.Is(err, down) {
		t.Errorf("a source that fails: %v, want ErrNoKey and its error", err)
	}
	if len(r.events) != 0 {
		t.Errorf("CheckProfile called Audit with %v", r.events)
	}
}

// The error of NewIssuer shows whether the source failed or the configuration is wrong.
func TestNewIssuerKeepsTheCause(t *testing.T) {
	down := errors.New("the ring is away")
	_, err := oidctoken.NewIssuer(oidctoken.Config{URL: issuerURL, Keys: keysFunc(func(context.Context) ([]oidctoken.Key, error) { return nil, down })})
	if got := configError(err); got == nil || got.Field != "Keys" || !errors.Is(err, down) || !errors.Is(err, oidctoken.ErrNoKey) {
		t.Errorf("NewIssuer: %v, want a *ConfigError for Keys, ErrNoKey and the source's error", err)
	}
}
