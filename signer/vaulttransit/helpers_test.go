package vaulttransit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/internal/jose"
	"github.com/oidctoken/oidctoken/signer"
	"github.com/oidctoken/oidctoken/signer/vaulttransit"
)

// staticToken returns a Config.Token.
func staticToken(token string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return token, nil }
}

func startVault(t *testing.T) *vault {
	t.Helper()
	v := newVault()
	t.Cleanup(v.Close)
	return v
}

// addKey has an operator make a key.
func (v *vault) addKey(name, kind string) {
	k := must(newTransitKey(kind))
	v.with(func(keys map[string]*transitKey) { keys[name] = k })
}

// rotate has an operator rotate a key.
func (v *vault) rotate(t *testing.T, name string) {
	t.Helper()
	v.with(func(keys map[string]*transitKey) {
		if err := keys[name].rotate(); err != nil {
			t.Fatal(err)
		}
	})
}

func newSigner(t *testing.T, v *vault, name string, version int) *vaulttransit.Signer {
	t.Helper()
	s, err := vaulttransit.New(t.Context(), v.client(), name, version, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// failure holds the expected parts of a *signer.Error.
type failure struct {
	Op, Code   string
	Kind       signer.Kind
	RetryAfter time.Duration
}

// diffFailure compares the *signer.Error in err, and requires words in its
// text.
func diffFailure(want failure, words string, err error) string {
	var got *signer.Error
	if !errors.As(err, &got) {
		return fmt.Sprintf("the error is %v, not a *signer.Error", err)
	}
	if got.Service != "vaulttransit" {
		return "Service is " + got.Service
	}
	if !strings.Contains(err.Error(), words) {
		return fmt.Sprintf("the error is %q, without %q", err, words)
	}
	return cmp.Diff(want, failure{got.Op, got.Code, got.Kind, got.RetryAfter})
}

// mint mints with keys and verifies with the JWK Set that is published.
func mint(ctx context.Context, keys oidctoken.KeySource, algorithm string) error {
	issuer, err := oidctoken.NewIssuer(oidctoken.Config{URL: "https://issuer.example.com", Keys: keys})
	if err != nil {
		return err
	}
	token, err := issuer.Mint(ctx, oidctoken.Scope{
		Audience: "https://vault.example.com",
		Profile:  &oidctoken.Profile{Algorithms: []string{algorithm}},
		Account:  oidctoken.Entity{ID: "acme"},
	})
	if err != nil {
		return err
	}
	document, err := issuer.JWKSet(ctx)
	if err != nil {
		return err
	}
	set, err := jose.ParseSet(document)
	if err != nil {
		return err
	}
	_, err = set.Verify(token.JWT(), algorithm)
	return err
}

// printed returns value in every way that a host might log it.
func printed(value any) string {
	var b bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&b, verb+"\n", value)
	}
	text, err := json.Marshal(value)
	fmt.Fprintln(&b, string(text), err)
	slog.New(slog.NewTextHandler(&b, nil)).Info("x", "value", value)
	slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "value", value)
	return b.String()
}
