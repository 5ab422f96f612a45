package vaulttransit

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"

	"github.com/oidctoken/oidctoken/signer"
)

// Signer signs with one version of a key, by the contract of oidctoken.Signer.
// It is safe for concurrent use.
type Signer struct {
	client  *Client
	guard   *signer.Guard
	key     string
	version int
	public  crypto.PublicKey
}

// New returns a Signer for a version, from 1 on, of a key of type rsa-2048,
// rsa-3072, rsa-4096, ecdsa-p256, ecdsa-p384, ecdsa-p521 or ed25519, whose
// public half it asks Vault for. There is no "latest". The algorithms are
// RS256, RS384 and RS512, or the one of the curve; the key of a Signer has one
// of them, which oidctoken.Key names.
//
// nil guard means one of the Signer's own, with default limits.
//
// The key may be rotated, by hand or by auto_rotate_period: the version stays
// the same. It must not be derived. Vault keeps on listing the versions that
// were not archived (min_decryption_version). An answer
// with more than some 200 versions is refused as too large.
//
// New fails with a [*oidctoken.ConfigError], or with a *signer.Error: of kind Gone if
// there is no such version, or it is below min_encryption_version.
func New(ctx context.Context, client *Client, key string, version int, guard *signer.Guard) (*Signer, error) {
	if err := checkArguments(client, "key", key); err != nil {
		return nil, err
	}
	if version < 1 {
		return nil, configError("version", "is not from 1 on: a signer has one version, never the latest")
	}
	if guard == nil {
		guard = signer.NewGuard(signer.Limits{})
	}
	k, err := client.readKey(ctx, guard, key)
	if err != nil {
		return nil, err
	}
	return newSigner(client, k, version, guard)
}

func newSigner(client *Client, k *key, version int, guard *signer.Guard) (*Signer, error) {
	public, err := k.publicKey(version)
	if err != nil {
		return nil, err
	}
	return &Signer{client, guard.ForKey(), k.Name, version, public}, nil
}

func checkArguments(client *Client, argument, name string) error {
	switch {
	case client == nil:
		return configError("client", "is nil")
	case !isKeyName(name):
		return configError(argument, "is not a name of letters, digits, '_', and '-' and '.' inside, of at most 255 bytes")
	}
	return nil
}

// Public returns the version's public half.
func (s *Signer) Public() crypto.PublicKey { return s.public }

// signInput is the body of "sign data".
type signInput struct {
	Input      string `json:"input"`
	KeyVersion int    `json:"key_version"`
	Prehashed  bool   `json:"prehashed,omitempty"`
	Scheme     string `json:"signature_algorithm,omitempty"`
	Marshaling string `json:"marshaling_algorithm"`
}

// Sign has Vault sign. Its errors of the service are *signer.Error.
func (s *Signer) Sign(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	alg, err := signer.Algorithm(s.public, digest, opts)
	if err != nil {
		return nil, fmt.Errorf("vaulttransit: %w", err)
	}
	// asn1 is the form that Signer returns; jws would also turn the base64 of
	// all kinds of keys into the URL alphabet.
	body := signInput{Input: base64.StdEncoding.EncodeToString(digest), KeyVersion: s.version, Marshaling: "asn1"}
	r := request{op: "sign data", method: http.MethodPost, path: "sign/" + s.key, secret: body.Input}
	if alg != "EdDSA" { // EdDSA hashes the message: the digest is the message
		r.path += "/sha2-" + alg[2:]
		body.Prehashed = true
	}
	if strings.HasPrefix(alg, "RS") {
		body.Scheme = "pkcs1v15"
	}
	r.body = body
	var answer struct {
		Signature  string `json:"signature"`
		KeyVersion *int   `json:"key_version"` // since Vault 1.5
	}
	if err := s.client.do(ctx, s.guard, r, &answer); err != nil {
		return nil, err
	}
	version, sig, err := parseVersioned(answer.Signature)
	switch {
	case err != nil:
		return nil, r.malformed("signature: " + err.Error())
	case version != s.version || answer.KeyVersion != nil && *answer.KeyVersion != s.version:
		return nil, r.malformed("the signature is one of another version")
	case !hasForm(sig, s.public):
		return nil, r.malformed(fmt.Sprintf("the signature has %d bytes, or a form, that does not fit the key", len(sig)))
	}
	return sig, nil
}

// hasForm checks the form of a signature without the digest. The issuer
// verifies the signature.
func hasForm(sig []byte, public crypto.PublicKey) bool {
	switch k := public.(type) {
	case *rsa.PublicKey:
		return len(sig) == k.Size()
	case *ecdsa.PublicKey:
		// An ECDSA-Sig-Value: two integers, each of a byte at least, and of one
		// more than the field's for a sign.
		width := (k.Params().BitSize + 7) / 8
		return len(sig) >= 8 && len(sig) <= 3+2*(3+width) && sig[0] == 0x30
	case ed25519.PublicKey:
		return len(sig) == ed25519.SignatureSize
	}
	return false
}

// Format names the key and its version, for any verb.
func (s *Signer) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "vaulttransit.Signer(%s/%s, version %d)", s.client.mount, s.key, s.version)
}
