//go:build unix

package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"strings"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/internal/blocks"
)

// These are the rows of a minting table, in its order.
const (
	rawRow = iota
	mintRow
	preparedRow
	golangJWTRow
	joseMapRow
	joseJWSRow
)

// measureMint compares the time of every minter with the time of the signature alone.
func measureMint(alg string, plan blocks.Plan) (table, error) {
	key, err := newKey(alg)
	if err != nil {
		return table{}, err
	}
	minters, err := allMinters(alg, key)
	if err != nil {
		return table{}, err
	}
	token, err := minters[0].mint()
	if err != nil {
		return table{}, err
	}
	raw := minter{"raw hash and signature", signRaw(key, token)}
	candidates := []blocks.Candidate{}
	t := table{title: "one token, " + alg, unit: "raw"}
	for _, m := range append([]minter{raw}, minters...) {
		candidates = append(candidates, blocks.Candidate{Name: m.name, Run: repeat(m.mint)})
		t.rows = append(t.rows, newRow(m.name, repeat(m.mint)))
	}
	t.result = plan.Compare(candidates...)
	t.targets = mintTargets(alg, t.result.Ratio)
	return t, nil
}

// mintTargets returns the targets P2 and P3 for the ratios of a table.
func mintTargets(alg string, ratio []float64) []target {
	prepared := map[string]float64{"ES256": 1.04, "EdDSA": 1.06}[alg]
	targets := []target{
		{id: "P2", what: alg + " Issuer.Mint / raw", got: ratio[mintRow], limit: 1.10},
		{id: "P2", what: alg + " Prepared.Mint / raw", got: ratio[preparedRow], limit: prepared},
	}
	if alg == "ES256" {
		targets = append(targets,
			target{id: "P3", what: alg + " Issuer.Mint / golang-jwt struct", got: ratio[mintRow] / ratio[golangJWTRow], limit: 0.85},
			target{id: "P3", what: alg + " Issuer.Mint / go-jose map", got: ratio[mintRow] / ratio[joseMapRow], limit: 0.70})
	}
	return targets
}

func newKey(alg string) (crypto.Signer, error) {
	if alg == "ES256" {
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return key, err
}

// allMinters returns all minters. It has verified a token of each.
func allMinters(alg string, key crypto.Signer) ([]minter, error) {
	signer, err := oidctoken.NewSigner(key)
	if err != nil {
		return nil, err
	}
	const kid = "0Q1ZkDkZ3dVnXh8v6oE2T4wJmY5rB7uLcS9pNfAaGiM" // as long as a thumbprint
	issuer, err := oidctoken.NewIssuer(oidctoken.Config{
		URL:     issuerURL,
		Keys:    oidctoken.StaticKeys{{Signer: signer, ID: kid}},
		Profile: oidctoken.Profile{Algorithms: []string{alg}},
	})
	if err != nil {
		return nil, err
	}
	ctx, scope := context.Background(), typical()
	prepared, err := issuer.Prepare(ctx, scope)
	if err != nil {
		return nil, err
	}
	stage := scope.Stage.(oidctoken.Deployment)
	t := ticket{scope: &scope, stage: &stage, key: key, kid: kid, alg: alg}
	viaMap, err := joseMap(t)
	if err != nil {
		return nil, err
	}
	viaJWS, err := joseJWS(t)
	if err != nil {
		return nil, err
	}
	minters := []minter{
		{"Issuer.Mint", func() (string, error) { return text(issuer.Mint(ctx, scope)) }},
		{"Prepared.Mint", func() (string, error) { return text(prepared.Mint(ctx)) }},
		golangJWT(t), viaMap, viaJWS,
	}
	return minters, sameJob(key.Public(), alg, kid, minters)
}

func text(t *oidctoken.Token, err error) (string, error) {
	if err != nil {
		return "", err
	}
	return t.JWT(), nil
}

// signRaw returns a function that does the minimum: it hashes the signing input of a
// token and signs the hash with the standard library.
func signRaw(key crypto.Signer, token string) func() (string, error) {
	input := []byte(token[:strings.LastIndexByte(token, '.')])
	_, hashed := key.(*ecdsa.PrivateKey)
	return func() (string, error) {
		var err error
		if hashed {
			digest := sha256.Sum256(input)
			_, err = key.Sign(rand.Reader, digest[:], crypto.SHA256)
		} else {
			_, err = key.Sign(rand.Reader, input, crypto.Hash(0))
		}
		return "", err
	}
}

// repeat returns a function that calls f n times. f succeeded before, so an error is a
// bug of this program.
func repeat(f func() (string, error)) func(n int) {
	return func(n int) {
		for range n {
			if _, err := f(); err != nil {
				panic(fmt.Errorf("bench: a call that succeeded before failed: %w", err))
			}
		}
	}
}
