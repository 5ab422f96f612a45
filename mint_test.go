package oidctoken_test

import (
	"context"
	"crypto"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
)

// Nothing is minted if ctx has ended.
func TestContextEnded(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{})
	prepared, err := issuer.Prepare(t.Context(), minimal())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, try := range map[string]func() error{
		"Mint":          func() error { _, err := issuer.Mint(ctx, minimal()); return err },
		"Preview":       func() error { _, err := issuer.Preview(ctx, minimal()); return err },
		"Prepare":       func() error { _, err := issuer.Prepare(ctx, minimal()); return err },
		"Prepared.Mint": func() error { _, err := prepared.Mint(ctx); return err },
	} {
		if err := try(); !errors.Is(err, context.Canceled) || strings.Count(err.Error(), "oidctoken: ") != 1 {
			t.Errorf("%s: %v, want context.Canceled", name, err)
		}
	}
}

// One issuer mints for many scopes at once, and no token has claims of another scope.
func TestConcurrentMint(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{ExtraPrefix: "acme_"})
	var wg sync.WaitGroup
	for name := range stages() {
		s := inStage(name)
		s.Project.ID = name
		s.Extra = map[string]string{"acme_stage": name}
		want, err := issuer.Preview(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		prepared, err := issuer.Prepare(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			wanted := object(t, must(want.MarshalJSON()))
			for i := range 100 {
				token, err := issuer.Mint(t.Context(), s)
				if i%2 == 0 {
					token, err = prepared.Mint(t.Context())
				}
				if err != nil {
					t.Error(err)
					return
				}
				got := payloadOf(t, token)
				for _, name := range []string{"iat", "nbf", "exp", "jti"} {
					delete(got, name)
				}
				if diff := cmp.Diff(wanted, got); diff != "" {
					t.Errorf("payload (-want +got):\n%s", diff)
				}
			}
		})
	}
	wg.Wait()
}

// The buffers in which tokens are made are reused. A token does not change after Mint
// returned it, and no value of a scope gets into the next token.
func TestTokensDoNotShareMemory(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{})
	first := mint(t, issuer, inStage("deployment"))
	before := string(append([]byte(nil), first.JWT()...))
	for range 50 {
		second := mint(t, issuer, minimal())
		if got := len(payloadOf(t, second)); got != len([]string{"iss", "sub", "aud", "account_id", "context", "iat", "nbf", "exp", "jti"}) {
			t.Fatalf("a token of the smallest scope has %d claims", got)
		}
		if _, err := issuer.Mint(t.Context(), oidctoken.Scope{Audience: "a", Account: oidctoken.Entity{ID: "acme"}, Stage: &oidctoken.CI{}}); err == nil {
			t.Fatal("Mint accepted a pointer to a stage")
		}
	}
	if first.JWT() != before {
		t.Error("a token changed after it was minted")
	}
}

// unreliable is a signer that panics, fails and signs in turn.
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

// T20: a failure in the middle of minting, even a panic of a hook, does not leave values of
// one tenant for the next token, which is made in the same memory.
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
			t.Fatalf("attempt %d for %s: the claim made is %v", i, tenant, got)
		}
		for _, other := range tenants {
			if other != tenant && strings.Contains(string(payload), other) {
				t.Fatalf("attempt %d for %s: %s", i, tenant, payload)
			}
		}
	}
	if minted == 0 || minted == 3000 {
		t.Errorf("%d of 3000 attempts gave a token: too few for this test", minted)
	}
}

// attempt mints a token for a tenant, whose name is in each of the values. It returns nil
// if minting fails.
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

// T13, T15
func TestRegisteredClaims(t *testing.T) {
	for _, now := range []time.Time{noon, noon.Add(999 * time.Millisecond), time.Unix(1<<33, 0), time.Unix(1, 0).In(time.FixedZone("x", 3600))} {
		issuer := newIssuer(t, oidctoken.Config{Now: clockAt(now)})
		token := mint(t, issuer, minimal())
		_, payload, _, _ := parts(t, token.JWT())
		claims := object(t, payload)
		iat, nbf, exp := datesOf(t, token)
		got, want := [3]int64{iat, nbf, exp}, [3]int64{now.Unix() - 5, now.Unix() - 60, now.Unix() - 5 + 900}
		if got != want {
			t.Errorf("iat, nbf, exp = %v, want %v", got, want)
		}
		if claims["jti"] != token.ID() {
			t.Errorf("jti = %v, want ID, %q", claims["jti"], token.ID())
		}
		if !token.Expires().Equal(time.Unix(exp, 0)) {
			t.Errorf("Expires = %v, want %v", token.Expires(), time.Unix(exp, 0))
		}
		if claims["iss"] != issuerURL || claims["aud"] != "sts.example.com" || claims["sub"] != "account/acme" {
			t.Errorf("iss, aud, sub = %v, %v, %v", claims["iss"], claims["aud"], claims["sub"])
		}
	}
}
