package oidctoken_test

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
)

// T18: two claims whose names differ by letter case only are one to a careless
// verifier, which takes either.
func TestNamesDifferByCase(t *testing.T) {
	claims := func(names ...string) *oidctoken.Profile {
		return &oidctoken.Profile{Algorithms: []string{"EdDSA"}, Claims: func(*oidctoken.Claims) (map[string]any, error) {
			made := make(map[string]any)
			for _, name := range names {
				made[name] = true
			}
			return made, nil
		}}
	}
	const reason = "differs from another name in letter case only"
	for _, tt := range []struct {
		name    string
		extra   []string
		profile *oidctoken.Profile
		want    *oidctoken.ScopeError
	}{
		{"of Extra", []string{"acme_team", "acme_Team"}, nil, &oidctoken.ScopeError{Field: `Extra["acme_team"]`, Reason: reason}},
		{"of the profile", nil, claims("urn:x:Roles", "urn:x:roles"), &oidctoken.ScopeError{Field: `Profile.Claims["urn:x:roles"]`, Reason: reason}},
		{"of both", []string{"acme_team"}, claims("ACME_team"), &oidctoken.ScopeError{Field: `Profile.Claims["ACME_team"]`, Reason: reason}},
		{"the same", []string{"acme_team"}, claims("acme_team"), &oidctoken.ScopeError{Field: `Profile.Claims["acme_team"]`, Reason: "is a name of Extra, too"}},
		{"others", []string{"acme_team", "acme_teams"}, claims("acme", "urn:x"), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := minimal()
			s.Profile = tt.profile
			s.Extra = make(map[string]string)
			for _, name := range tt.extra {
				s.Extra[name] = "v"
			}
			_, err := newIssuer(t, oidctoken.Config{ExtraPrefix: "acme_"}).Mint(t.Context(), s)
			if diff := cmp.Diff(tt.want, scopeError(err)); diff != "" || tt.want == nil && err != nil {
				t.Errorf("Mint: %v (-want +got):\n%s", err, diff)
			}
		})
	}
}

// T11: whatever a template's labels spell, a token of one account is none of
// another's where every account is an issuer of its own.
func TestLabelsOfAnotherAccount(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{URL: issuerURL + "/{account_id}"})
	victim := minimal()
	victim.Account.ID, victim.Project.ID = "victim", "ledger"
	attacker := minimal()
	attacker.Account.ID = "ledger"
	attacker.Profile = &oidctoken.Profile{Algorithms: []string{"EdDSA"}, Subject: "account/victim:project/{account_id}"}
	var identities [2]string
	for i, s := range []oidctoken.Scope{victim, attacker} {
		payload := payloadOf(t, mint(t, issuer, s))
		if payload["sub"] != "account/victim:project/ledger" {
			t.Fatalf("sub is %v: the labels do not imitate", payload["sub"])
		}
		identities[i] = fmt.Sprint(payload["iss"], payload["sub"])
	}
	if identities[0] == identities[1] {
		t.Errorf("two accounts are %s", identities[0])
	}
}

// unreliable panics, fails and signs in turn.
type unreliable struct {
	oidctoken.Signer
	calls *int
}

func (u unreliable) Sign(ctx context.Context, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	*u.calls++
	switch *u.calls % 4 {
	case 0:
		panic("signer")
	case 1:
		return nil, errors.New("not now")
	case 2:
		return []byte("no signature"), nil
	}
	return u.Signer.Sign(ctx, digest, o)
}

// T20: what fails in the midst of minting, a hook's panic included, leaves
// nothing of one tenant for the next, whose token is made in the same memory.
func TestNothingIsLeftByFailures(t *testing.T) {
	var signs, asks, told int
	issuer := newIssuer(t, oidctoken.Config{
		URL:         issuerURL + "/{account_id}",
		ExtraPrefix: "acme_",
		Keys:        oidctoken.StaticKeys{{Signer: unreliable{memory(edKey()), &signs}}},
		Profile:     oidctoken.Profile{Algorithms: []string{"EdDSA"}},
		Allow: func(context.Context, oidctoken.Scope) error {
			if asks++; asks%5 == 0 {
				panic("policy")
			}
			return nil
		},
		Audit: func(context.Context, oidctoken.Event) {
			if told++; told%7 == 0 {
				panic("audit")
			}
		},
	})
	tenants := []string{"alpha", "bravo", "charlie"}
	minted := 0
	for i := range 3000 {
		tenant := tenants[i%len(tenants)]
		token := attempt(t, issuer, tenant, i)
		if token == nil {
			continue
		}
		minted++
		_, payload, _, _ := parts(t, token.JWT())
		if got := object(t, payload)["made"]; got != tenant {
			t.Fatalf("attempt %d for %s: made is %v", i, tenant, got)
		}
		for _, other := range tenants {
			if other != tenant && strings.Contains(string(payload), other) {
				t.Fatalf("attempt %d for %s: %s", i, tenant, payload)
			}
		}
	}
	if minted == 0 || minted == 3000 {
		t.Errorf("%d of 3000 attempts gave a token: nothing was shown", minted)
	}
}

// attempt mints a token for a tenant, whose every value holds its name; nil if
// something fails.
func attempt(t *testing.T, issuer *oidctoken.Issuer, tenant string, i int) (token *oidctoken.Token) {
	defer func() {
		if recover() != nil {
			token = nil
		}
	}()
	s := oidctoken.Scope{
		Audience: tenant + strings.Repeat("-", i%40),
		Account:  oidctoken.Entity{ID: tenant, UID: tenant},
		Profile: &oidctoken.Profile{Algorithms: []string{"EdDSA"}, Claims: func(c *oidctoken.Claims) (map[string]any, error) {
			switch i % 11 {
			case 3:
				panic("claims")
			case 5:
				return nil, errors.New("no claims")
			case 7:
				return map[string]any{"sub": "another"}, nil
			}
			account, _ := c.Get("account_id")
			return map[string]any{"made": account}, nil
		}},
	}
	switch i % 6 {
	case 1:
		s.Project = oidctoken.Entity{ID: tenant + "_project"}
	case 2:
		s.Extra = map[string]string{"acme_of": tenant}
	case 3:
		s.Trigger = &oidctoken.Trigger{ByName: tenant + "\x00"}
	case 4:
		s.Profile.NullUnknown = true
	}
	if i%2 == 0 {
		prepared, err := issuer.Prepare(t.Context(), s)
		if err != nil {
			return nil
		}
		if token, err = prepared.Mint(t.Context()); err != nil {
			return nil
		}
		return token
	}
	token, err := issuer.Mint(t.Context(), s)
	if err != nil {
		return nil
	}
	return token
}
