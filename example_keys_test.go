package oidctoken_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	"github.com/oidctoken/oidctoken"
)

func ExampleNewSigner() {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	signer, err := oidctoken.NewSigner(key)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%T\n", signer.Public())
	fmt.Printf("%+v\n", signer) // does not print the key
	// Output:
	// ed25519.PublicKey
	// oidctoken.Signer(ed25519.PublicKey)
}

// The second key takes over at a known time. Verifiers have it in their caches long before
// that.
func ExampleStaticKeys() {
	handover := time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)
	var signers [2]oidctoken.Signer
	for i := range signers {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			log.Fatal(err)
		}
		if signers[i], err = oidctoken.NewSigner(key); err != nil {
			log.Fatal(err)
		}
	}
	now := handover.Add(-time.Hour)
	issuer, err := oidctoken.NewIssuer(oidctoken.Config{
		URL: "https://ci.example.com",
		Keys: oidctoken.StaticKeys{
			{Signer: signers[0], ID: "march", NotAfter: handover, Expires: handover.Add(26 * time.Hour)},
			{Signer: signers[1], ID: "april", NotBefore: handover},
		},
		Profile: oidctoken.Profile{Algorithms: []string{"ES256"}},
		Now:     func() time.Time { return now },
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, now = range []time.Time{handover.Add(-time.Hour), handover} {
		token, err := issuer.Mint(context.Background(), exampleScope())
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(now.Format(time.DateTime), token.KeyID())
	}
	// Output:
	// 2026-03-31 23:00:00 march
	// 2026-04-01 00:00:00 april
}

func ExampleStaticKeys_Keys() {
	keys, err := oidctoken.StaticKeys{{ID: "2026-03"}}.Keys(context.Background())
	fmt.Println(len(keys), keys[0].ID, err)
	// Output: 1 2026-03 <nil>
}

func ExampleIssuer_ServeHTTP() {
	mux := http.NewServeMux()
	mux.Handle("/oidc/", exampleIssuer()) // its URL is https://ci.example.com/oidc
	server := httptest.NewServer(mux)
	defer server.Close()

	response, err := http.Get(server.URL + "/oidc/.well-known/openid-configuration")
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()
	var document struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, 1<<16)).Decode(&document); err != nil {
		log.Fatal(err)
	}
	fmt.Println(document.Issuer)
	fmt.Println(document.JWKSURI)
	fmt.Println(response.Header.Get("Cache-Control"))
	// Output:
	// https://ci.example.com/oidc
	// https://ci.example.com/oidc/.well-known/jwks.json
	// public, max-age=3600
}

func ExampleIssuer_JWKSet() {
	document, err := exampleIssuer().JWKSet(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	var set struct {
		Keys []map[string]string `json:"keys"`
	}
	if err := json.Unmarshal(document, &set); err != nil {
		log.Fatal(err)
	}
	for _, key := range set.Keys {
		fmt.Println(key["kid"], key["kty"], key["crv"], key["alg"], key["use"])
	}
	// Output: 2026-03 EC P-256 ES256 sig
}

func ExampleToken() {
	token, err := exampleIssuer().Mint(context.Background(), exampleScope())
	if err != nil {
		log.Fatal(err)
	}
	// Printing or logging a token shows only its ID.
	printed := fmt.Sprintf("%+v", token)
	fmt.Println(printed == "jwt:"+token.ID(), printed == token.String())
	fmt.Println("lives", time.Until(token.Expires()).Round(time.Minute))
	// Output:
	// true true
	// lives 15m0s
}

func ExampleToken_JWT() {
	token, err := exampleIssuer().Mint(context.Background(), exampleScope())
	if err != nil {
		log.Fatal(err)
	}
	request, err := http.NewRequest(http.MethodPost, "https://vault.example.com/v1/auth/jwt/login", nil)
	if err != nil {
		log.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token.JWT())
	fmt.Println(len(request.Header.Get("Authorization")) > len("Bearer "))
	// Output: true
}

func ExampleToken_LogValue() {
	token, err := exampleIssuer().Mint(context.Background(), exampleScope())
	if err != nil {
		log.Fatal(err)
	}
	withoutTime := func(_ []string, a slog.Attr) slog.Attr {
		switch {
		case a.Key == slog.TimeKey:
			return slog.Attr{}
		case a.Key == "token" && a.Value.String() == "jwt:"+token.ID():
			a.Value = slog.StringValue("jwt:ID")
		}
		return a
	}
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: withoutTime}))
	logger.Info("minted", "token", token)
	// Output: level=INFO msg=minted token=jwt:ID
}

// The audit log has one line for each token and refusal.
func ExampleEvent() {
	audit := func(_ context.Context, e oidctoken.Event) {
		if e.Err != nil {
			fmt.Println("refused:", e.Err)
			return
		}
		subject, _ := e.Claims.Get("sub")
		fmt.Println("minted:", subject, "for", e.Scope.Audience, "by", e.KeyID)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	signer, err := oidctoken.NewSigner(key)
	if err != nil {
		log.Fatal(err)
	}
	issuer, err := oidctoken.NewIssuer(oidctoken.Config{
		URL: "https://ci.example.com", Keys: oidctoken.StaticKeys{{Signer: signer, ID: "k1"}},
		Profile: oidctoken.Profile{Algorithms: []string{"ES256"}}, Audit: audit,
	})
	if err != nil {
		log.Fatal(err)
	}
	scope := exampleScope()
	for _, scope.Untrusted = range []bool{false, true} {
		if _, err := issuer.Mint(context.Background(), scope); err != nil {
			continue // already reported
		}
	}
	// Output:
	// minted: account/acme:org/payments:project/ledger for https://vault.example.com by k1
	// refused: oidctoken: mint: denied by policy: the execution is untrusted
}

// A host checks the profiles of its relying parties when it starts.
func ExampleIssuer_CheckProfile() {
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		panic(err)
	}
	signer, err := oidctoken.NewSigner(private)
	if err != nil {
		panic(err)
	}
	issuer, err := oidctoken.NewIssuer(oidctoken.Config{
		URL:  "https://ci.example.com",
		Keys: oidctoken.StaticKeys{{Signer: signer, ID: "2026-10"}},
		Now:  func() time.Time { return time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC) },
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(issuer.CheckProfile(context.Background(), &oidctoken.Profile{Algorithms: []string{"EdDSA"}}))
	fmt.Println(issuer.CheckProfile(context.Background(), &oidctoken.Profile{Algorithms: []string{"RS256", "ES256"}}))
	// Output:
	// <nil>
	// oidctoken: check profile: no key to sign with: needs a key for RS256 or ES256 at 2026-10-01T12:00:00Z: key 2026-10 (EdDSA) has another algorithm
}

// A host can log the whole event.
func ExampleEvent_LogValue() {
	brief := func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && a.Key == slog.TimeKey || a.Key == "Scope" {
			return slog.Attr{}
		}
		return a
	}
	logger := slog.New(slog.NewJSONHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: brief}))
	logger.Warn("refused", "event", oidctoken.Event{
		Time: time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC),
		Took: 1500 * time.Millisecond,
		Err:  fmt.Errorf("oidctoken: mint: %w: no forks", oidctoken.ErrDenied),
	})
	// Output: {"level":"WARN","msg":"refused","event":{"Time":"2026-10-01T12:00:00Z","Took":"1.5s","Err":"oidctoken: mint: denied by policy: no forks"}}
}
