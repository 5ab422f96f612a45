package gcpkms

import (
	"context"
	"crypto"
	"encoding/base64"
	"errors"
	"fmt"

	"google.golang.org/api/cloudkms/v1"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/signer"
)

// Signer signs with one version of a key. It is an [oidctoken.Signer].
type Signer struct {
	caller    caller
	version   string
	public    crypto.PublicKey
	algorithm algorithm
}

var _ oidctoken.Signer = (*Signer)(nil)

// New returns a Signer for a version of a key of purpose ASYMMETRIC_SIGN, given
// by its full name,
//
//	projects/P/locations/L/keyRings/R/cryptoKeys/K/cryptoKeyVersions/N
//
// and fetches its public key. A name without a version is refused: which one it
// meant would change. The service should come from [NewService]. A nil guard
// means one of the Signer's own, with the default limits; keys of one quota
// share a guard.
//
// The version's algorithm must be RSA_SIGN_PKCS1_2048_SHA256, _3072_SHA256 or
// _4096_SHA256 (RS256), RSA_SIGN_PKCS1_4096_SHA512 (RS512), EC_SIGN_P256_SHA256
// (ES256), EC_SIGN_P384_SHA384 (ES384) or EC_SIGN_ED25519 (EdDSA).
//
// Every error is a *[signer.Error], or that of ctx. A version that is disabled,
// destroyed or not there is Gone; one that the service is still generating is
// Unavailable.
func New(ctx context.Context, service *cloudkms.Service, version string, guard *signer.Guard) (*Signer, error) {
	c, err := newCaller(service, guard)
	if err == nil {
		err = checkName(version, keyVersion)
	}
	if err != nil {
		return nil, refused("New", err)
	}
	return c.signer(ctx, version)
}

// signer fetches a version's public key. The service has no public key for a
// version that is not ENABLED.
func (c caller) signer(ctx context.Context, version string) (*Signer, error) {
	c = c.forKey()
	const op = "GetPublicKey"
	got, err := call(ctx, c, op, func(ctx context.Context) (*cloudkms.PublicKey, error) {
		return c.keys().CryptoKeyVersions.GetPublicKey(version).Context(ctx).Do()
	})
	switch {
	case err != nil:
		return nil, err
	case got.Name != version:
		return nil, malformed(op, "it is for %s, not %s", shown(got.Name, keyVersion), version)
	case got.PemCrc32c != checksum(got.Pem):
		return nil, malformed(op, "the key's checksum is wrong")
	}
	a, ok := algorithmNamed(got.Algorithm)
	if !ok {
		return nil, refused(op, fmt.Errorf("the algorithm %q of %s cannot sign tokens", constant(got.Algorithm), version))
	}
	public, err := signer.PublicKey([]byte(got.Pem))
	if err != nil {
		return nil, malformed(op, "%w", err)
	}
	if !a.fits(public) {
		return nil, malformed(op, "the key, a %T, is none of %s", public, a.name)
	}
	return &Signer{c, version, public, a}, nil
}

// Public returns the version's public key, as it was when the Signer was made; a
// version never changes it.
func (s *Signer) Public() crypto.PublicKey { return s.public }

// Algorithm returns the JWS "alg" (RFC 7518, section 3.1; RFC 8037) that equals
// the version's algorithm, and the only one that it signs for. An
// [oidctoken.Key] with a version for RS512 has to name it.
func (s *Signer) Algorithm() string { return s.algorithm.jws }

// Format prints the version's name, with every verb.
func (s *Signer) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "gcpkms.Signer(%s)", s.version) }

// Sign makes one AsymmetricSign call. It checks that the service received the
// digest unchanged and used the version of New, and that the signature arrived
// unchanged. An issuer also verifies the signature. Every error is a
// *[signer.Error], or the error of ctx. A digest of another algorithm than the
// version's is Refused without a call.
func (s *Signer) Sign(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	const op = "AsymmetricSign"
	alg, err := signer.Algorithm(s.public, digest, opts)
	if err == nil && alg != s.algorithm.jws {
		err = fmt.Errorf("%s of %s is for %s and not %s", s.algorithm.name, s.version, s.algorithm.jws, alg)
	}
	if err != nil {
		return nil, refused(op, err)
	}
	request := signRequest(alg, digest)
	got, err := call(ctx, s.caller, op, func(ctx context.Context) (*cloudkms.AsymmetricSignResponse, error) {
		return s.caller.keys().CryptoKeyVersions.AsymmetricSign(s.version, request).Context(ctx).Do()
	})
	if err != nil {
		return nil, err
	}
	signature, err := s.checked(got)
	if err != nil {
		return nil, malformed(op, "%w", err)
	}
	return signature, nil
}

// signRequest returns the request for a copy of the digest. For Ed25519 the
// digest is the message itself.
func signRequest(alg string, digest []byte) *cloudkms.AsymmetricSignRequest {
	sent := base64.StdEncoding.EncodeToString(digest)
	if alg == "EdDSA" {
		return &cloudkms.AsymmetricSignRequest{
			Data: sent, DataCrc32c: checksum(digest),
			ForceSendFields: []string{"Data", "DataCrc32c"},
		}
	}
	request := &cloudkms.AsymmetricSignRequest{
		Digest: new(cloudkms.Digest), DigestCrc32c: checksum(digest),
		ForceSendFields: []string{"DigestCrc32c"},
	}
	switch alg {
	case "RS256", "ES256":
		request.Digest.Sha256 = sent
	case "ES384":
		request.Digest.Sha384 = sent
	case "RS512":
		request.Digest.Sha512 = sent
	}
	return request
}

// checked returns the signature of an answer after it has checked that the
// answer belongs to the request.
func (s *Signer) checked(got *cloudkms.AsymmetricSignResponse) ([]byte, error) {
	verified := got.VerifiedDigestCrc32c
	if s.algorithm.jws == "EdDSA" {
		verified = got.VerifiedDataCrc32c
	}
	if got.Name != s.version {
		return nil, fmt.Errorf("it is of %s, not %s", shown(got.Name, keyVersion), s.version)
	}
	if !verified {
		return nil, errors.New("the service has not verified the checksum of the request")
	}
	signature, err := decode(got.Signature, got.SignatureCrc32c)
	if err != nil {
		return nil, fmt.Errorf("the signature %w", err)
	}
	if !s.algorithm.fitsSignature(len(signature)) {
		return nil, fmt.Errorf("the signature has %d bytes, which %s has not", len(signature), s.algorithm.name)
	}
	return signature, nil
}

// decode returns the decoded base64 of an answer if the checksum fits. It drops
// the decoder's own error, which would reveal a part of the value.
func decode(text string, sum int64) ([]byte, error) {
	data, err := base64.StdEncoding.Strict().DecodeString(text)
	switch {
	case err != nil:
		return nil, errors.New("is not in base64")
	case checksum(data) != sum:
		return nil, errors.New("has another checksum")
	}
	return data, nil
}
