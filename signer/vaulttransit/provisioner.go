package vaulttransit

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"strings"

	"github.com/oidctoken/oidctoken/internal/tokenhttp"
	"github.com/oidctoken/oidctoken/keyring"
	"github.com/oidctoken/oidctoken/signer"
)

type provisioner struct {
	client *Client
	prefix string // with the dash behind it
	guard  *signer.Guard
}

// NewProvisioner returns a Provisioner for one ring, whose keys in Vault are
// named PREFIX-ALGORITHM-RANDOM, such as "ci-rs256-q5zv...". No other ring of
// the mount may have that prefix. RSA keys have 2048 bits. The package's
// documentation explains why every version is a separate key.
//
// Retire deletes a key permanently, and at once: it sets the key's
// deletion_allowed, and then deletes it. A key with deletion_allowed is being
// retired and is no longer listed, so do not change that setting. A key that
// cannot sign (soft-deleted in OpenBao, or with a min_encryption_version above
// 1) is not listed, either. A key that an administrator rotates still signs
// with version 1.
//
// nil guard means one of the Provisioner's own, with default limits, shared by
// its signers. NewProvisioner fails with a [*oidctoken.ConfigError], and asks Vault
// nothing.
func NewProvisioner(client *Client, prefix string, guard *signer.Guard) (keyring.Provisioner, error) {
	if err := checkArguments(client, "prefix", prefix); err != nil {
		return nil, err
	}
	if len(prefix) > 200 {
		return nil, configError("prefix", "is longer than 200 bytes")
	}
	if guard == nil {
		guard = signer.NewGuard(signer.Limits{})
	}
	return &provisioner{client, prefix + "-", guard}, nil
}

// typeFor returns the type of the keys that are made for an "alg"; "" if there is
// none.
func typeFor(algorithm string) string {
	switch algorithm {
	case "RS256", "RS384", "RS512":
		return "rsa-2048"
	case "ES256":
		return "ecdsa-p256"
	case "ES384":
		return "ecdsa-p384"
	case "ES512":
		return "ecdsa-p521"
	case "EdDSA":
		return "ed25519"
	}
	return ""
}

// newName returns a random name.
func (p *provisioner) newName(algorithm string) string {
	return p.prefix + strings.ToLower(algorithm) + "-" + strings.ToLower(rand.Text())
}

// algorithmOf returns the algorithm of a key of the ring, or "" for a foreign
// name.
func (p *provisioner) algorithmOf(name string) string {
	rest, ours := strings.CutPrefix(name, p.prefix)
	lower, random, found := strings.Cut(rest, "-")
	if !ours || !found || len(random) != len(rand.Text()) || strings.Trim(random, "abcdefghijklmnopqrstuvwxyz234567") != "" {
		return ""
	}
	for _, algorithm := range []string{"RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "EdDSA"} {
		if lower == strings.ToLower(algorithm) {
			return algorithm
		}
	}
	return ""
}

func (p *provisioner) Versions(ctx context.Context) ([]keyring.Version, error) {
	// Proxies know GET better than LIST, for which this stands.
	r := request{op: "list keys", method: http.MethodGet, path: "keys?list=true"}
	var answer struct {
		Keys []string `json:"keys"`
	}
	switch err := p.client.do(ctx, p.guard.ForKey(), r, &answer); {
	case isKind(err, signer.Gone): // the answer of an engine that has no keys
		return nil, nil
	case err != nil:
		return nil, err
	}
	var versions []keyring.Version
	for _, name := range answer.Keys {
		algorithm := p.algorithmOf(name)
		if algorithm == "" {
			continue
		}
		v, err := p.version(ctx, name, algorithm)
		switch {
		case isKind(err, signer.Gone): // another replica retires it, or has
			continue
		case err != nil:
			return nil, fmt.Errorf("vaulttransit: key %s: %w", tokenhttp.Printable(name, maxName), err)
		}
		versions = append(versions, *v)
	}
	return versions, nil
}

// version fails with an error of kind Gone for a key that is being retired.
func (p *provisioner) version(ctx context.Context, name, algorithm string) (*keyring.Version, error) {
	k, err := p.client.readKey(ctx, p.guard, name)
	if err != nil {
		return nil, err
	}
	r := readRequest(name)
	switch {
	case k.DeletionAllowed:
		return nil, r.fail(signer.Gone, "", "the key is being deleted")
	case k.Type != typeFor(algorithm):
		return nil, r.fail(signer.Refused, "", "the key's type is not the one for "+algorithm)
	}
	s, err := newSigner(p.client, k, 1, p.guard)
	if err != nil {
		return nil, err
	}
	return &keyring.Version{ID: name, Algorithm: algorithm, Signer: s}, nil
}

// Create makes a key. If it fails after Vault has made the key, Versions lists
// it, and the ring uses it as its next key.
func (p *provisioner) Create(ctx context.Context, algorithm string) (keyring.Version, error) {
	name := p.newName(algorithm)
	r := request{op: "create key", method: http.MethodPost, path: "keys/" + name}
	kind := typeFor(algorithm)
	if kind == "" {
		return keyring.Version{}, r.fail(signer.Refused, "", "Vault has no key type for the algorithm "+tokenhttp.Printable(algorithm, 40))
	}
	r.body = map[string]string{"type": kind}
	if err := p.client.do(ctx, p.guard.ForKey(), r, nil); err != nil { // the key itself is in later versions' answers only
		return keyring.Version{}, err
	}
	v, err := p.version(ctx, name, algorithm)
	if err != nil {
		return keyring.Version{}, err
	}
	return *v, nil
}

func (p *provisioner) Retire(ctx context.Context, id string) error {
	r := request{op: "delete key", method: http.MethodDelete, path: "keys/" + id}
	if p.algorithmOf(id) == "" {
		return r.fail(signer.Refused, "", "this Provisioner does not make such versions")
	}
	allow := request{op: "update key configuration", method: http.MethodPost, path: "keys/" + id + "/config",
		body: map[string]bool{"deletion_allowed": true}}
	err := p.client.do(ctx, p.guard.ForKey(), allow, nil)
	if err == nil {
		err = p.client.do(ctx, p.guard.ForKey(), r, nil)
	}
	if err == nil || isKind(err, signer.Unavailable) {
		return err
	}
	// Both calls report a missing key only in their text. Reading the key returns
	// a status.
	if _, gone := p.client.readKey(ctx, p.guard, id); isKind(gone, signer.Gone) {
		return nil
	}
	return err
}

// Format names the prefix, for any verb.
func (p *provisioner) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "vaulttransit.Provisioner(%s/%s)", p.client.mount, p.prefix)
}
