package azurekeys

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"errors"
	"fmt"

	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/signer"
)

// Signer is an [oidctoken.Signer] for one version of a key. It is safe for
// concurrent use, and made by [New].
type Signer struct {
	remote
	public crypto.PublicKey
}

var _ oidctoken.Signer = (*Signer)(nil)

// New returns a Signer for a version of a key, whose public half it fetches. The
// key's kty is RSA, RSA-HSM, EC or EC-HSM, its curve P-256, P-384 or P-521. The
// caller needs the permissions get and sign for keys (in RBAC: a role such as
// Key Vault Crypto User).
//
// keyID is the version's whole identifier, https://VAULT.vault.azure.net/keys/NAME/VERSION;
// one without a version is refused, and so is one of another vault than the
// client's. A guard of nil means one of its own with the default limits; give
// all keys of a vault the same, since they share the vault's quota.
//
// New fails with an [*signer.Error]: Refused for a wrong keyID, a version that
// must not be used yet, and a key with another purpose; Gone for a version that
// is disabled or has expired.
func New(ctx context.Context, client *azkeys.Client, keyID string, guard *signer.Guard) (*Signer, error) {
	id, err := pinned(keyID)
	if err != nil {
		return nil, misuse("New", err)
	}
	if client == nil {
		return nil, misuse("New", errors.New("the client is nil"))
	}
	return fetch(ctx, newRemote(client, id, guard))
}

// fetch makes the Signer of a version.
func fetch(ctx context.Context, r remote) (*Signer, error) {
	key, err := r.get(ctx, azkeys.KeyOperationSign)
	if err != nil {
		return nil, err
	}
	public, err := publicKey(key)
	if err != nil {
		return nil, named("GetKey", err)
	}
	return &Signer{r, public}, nil
}

// Public returns the version's public key, an *rsa.PublicKey or *ecdsa.PublicKey.
func (s *Signer) Public() crypto.PublicKey { return s.public }

// Sign signs a digest with the key in the service, by the contract of
// [oidctoken.Signer]: RS256, RS384 or RS512 with an RSA key, by
// opts.HashFunc(), and ES256, ES384 or ES512 with an EC key. It fails with an
// [*signer.Error].
func (s *Signer) Sign(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	name, err := signer.Algorithm(s.public, digest, opts)
	if err != nil {
		return nil, misuse("Sign", err)
	}
	alg := azkeys.SignatureAlgorithm(name)
	digest = bytes.Clone(digest) // the call may outlive Sign
	return call(ctx, s.guard, "Sign", func(ctx context.Context) ([]byte, error) {
		answer, err := s.client().Sign(ctx, s.id.name, s.id.version, azkeys.SignParameters{Algorithm: &alg, Value: digest}, nil)
		if err != nil {
			return nil, err
		}
		if err := s.id.echoed(answer.KID); err != nil {
			return nil, err
		}
		return s.signature(answer.Result)
	})
}

// signature converts the service's answer, a JWS signature (RFC 7518, sections
// 3.3 and 3.4), to the form that crypto.Signer prescribes.
func (s *Signer) signature(raw []byte) ([]byte, error) {
	switch k := s.public.(type) {
	case *rsa.PublicKey:
		if len(raw) != k.Size() {
			return nil, problem(signer.Malformed, "the signature has %d bytes, not %d", len(raw), k.Size())
		}
		return raw, nil
	case *ecdsa.PublicKey:
		if size := 2 * ((k.Params().BitSize + 7) / 8); len(raw) != size {
			return nil, problem(signer.Malformed, "the signature has %d bytes, not %d", len(raw), size)
		}
		der, err := signer.DER(raw)
		if err != nil {
			return nil, problem(signer.Malformed, "%w", err)
		}
		return der, nil
	}
	return nil, problem(signer.Malformed, "a %T cannot sign", s.public) // never: publicKey makes no other
}

// Format shows the version's identifier.
func (s Signer) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "azurekeys.Signer(%s)", s.id) }
