package pkcs11

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"fmt"

	cryptoki "github.com/miekg/pkcs11"

	"github.com/oidctoken/oidctoken/signer"
)

// Signer signs with one key pair of a token: RS256, RS384 and RS512 with an RSA
// key (CKM_RSA_PKCS), ES256, ES384 and ES512 with one on P-256, P-384 and P-521
// (CKM_ECDSA), EdDSA with one on Ed25519 (CKM_EDDSA). It is an
// oidctoken.Signer, and safe for concurrent use.
type Signer struct {
	token  *Token
	guard  *signer.Guard
	id     string
	public crypto.PublicKey
}

// New returns the Signer of the key pair whose private and public key objects
// have id, in hexadecimal, as CKA_ID (section 4.6). The token must have one of
// each. The public key is read once. A key pair that later has the same CKA_ID
// and another public key does not sign.
//
// guard may be shared by the keys of a token; nil means one of its own with the
// default limits.
//
// New fails with a [*signer.Error]: of kind Gone if an object is missing,
// Refused if there are several, Malformed if an issuer would not accept the
// key.
func New(ctx context.Context, token *Token, id string, guard *signer.Guard) (*Signer, error) {
	if token == nil {
		return nil, errors.New("pkcs11: the Token is nil")
	}
	binary, err := parseID(id)
	if err != nil {
		return nil, err
	}
	if guard == nil {
		guard = signer.NewGuard(signer.Limits{})
	}
	var s *Signer
	err = guard.ForKey().Do(ctx, service, "C_GetAttributeValue", func(ctx context.Context) error {
		return token.do(ctx, func(c *conn) (err error) {
			s, err = newSigner(c, binary, guard)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// newSigner pins the key pair that has id now.
func newSigner(c *conn, id string, guard *signer.Guard) (*Signer, error) {
	public, err := c.publicKey(id)
	if err != nil {
		return nil, err
	}
	if _, err := c.privateKey(id, public); err != nil {
		return nil, err
	}
	return &Signer{c.token, guard.ForKey(), id, public}, nil
}

// Public returns the public key: *rsa.PublicKey, *ecdsa.PublicKey or
// ed25519.PublicKey.
func (s *Signer) Public() crypto.PublicKey { return s.public }

// Format names the token and the key's CKA_ID.
func (s *Signer) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "pkcs11.Signer(%s %x)", s.token.config.name(), s.id)
}

// Sign signs a digest (C_Sign, section 5.11), by the contract of
// oidctoken.Signer. It fails with a [*signer.Error]: of kind Unavailable if the
// token is missing or does not answer in time, Refused if the key or the user
// may not sign, Gone if the key is missing or was replaced, Malformed if the
// answer is not a signature of the digest by the key.
func (s *Signer) Sign(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	alg, err := signer.Algorithm(s.public, digest, opts)
	if err != nil {
		return nil, fmt.Errorf("pkcs11: %w", err)
	}
	digest = bytes.Clone(digest) // a call that hangs would keep it
	mechanism, data := input(alg, digest)
	var signature []byte
	err = s.guard.Do(ctx, service, "C_Sign", func(ctx context.Context) error {
		return s.token.do(ctx, func(c *conn) error {
			key, err := c.privateKey(s.id, s.public)
			if err != nil {
				return err
			}
			answer, err := c.session.sign(mechanism, key, data)
			if err != nil {
				return failed("C_Sign", err)
			}
			if signature, err = s.check(alg, digest, answer); err != nil {
				// A handle that has become another key's heals in a new session.
				return lost{problem("C_Sign", signer.Malformed, "%w", err)}
			}
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return signature, nil
}

// prefixes are the DigestInfo before a digest (RFC 8017, section 9.2, note 1),
// which CKM_RSA_PKCS leaves to its caller.
var prefixes = map[string]string{
	"RS256": "\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20",
	"RS384": "\x30\x41\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\x04\x30",
	"RS512": "\x30\x51\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\x04\x40",
}

// input returns the mechanism and its input for the algorithm.
func input(alg string, digest []byte) (mechanism uint, data []byte) {
	switch alg {
	case "RS256", "RS384", "RS512":
		return cryptoki.CKM_RSA_PKCS, append([]byte(prefixes[alg]), digest...)
	case "EdDSA":
		return ckmEdDSA, digest
	}
	return cryptoki.CKM_ECDSA, digest
}

var hashes = map[string]crypto.Hash{
	"RS256": crypto.SHA256, "RS384": crypto.SHA384, "RS512": crypto.SHA512,
	"ES256": crypto.SHA256, "ES384": crypto.SHA384, "ES512": crypto.SHA512,
	"EdDSA": 0,
}

// check verifies an answer, and returns it in the form of crypto.Signer.
func (s *Signer) check(alg string, digest, answer []byte) (signature []byte, err error) {
	size, valid := 0, false
	switch k := s.public.(type) {
	case *rsa.PublicKey:
		size = k.Size()
		valid = rsa.VerifyPKCS1v15(k, hashes[alg], digest, answer) == nil
		signature = answer
	case *ecdsa.PublicKey:
		size = 2 * ((k.Params().BitSize + 7) / 8)
		if len(answer) == size {
			if signature, err = signer.DER(answer); err != nil {
				return nil, err
			}
			valid = ecdsa.VerifyASN1(k, digest, signature)
		}
	case ed25519.PublicKey:
		size = ed25519.SignatureSize
		valid = ed25519.Verify(k, digest, answer)
		signature = answer
	}
	switch {
	case len(answer) != size:
		return nil, fmt.Errorf("the signature has %d bytes, not %d", len(answer), size)
	case !valid:
		return nil, errors.New("the public key does not verify the signature")
	}
	return signature, nil
}
