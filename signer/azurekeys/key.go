package azurekeys

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"math/big"
	"slices"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"

	"github.com/oidctoken/oidctoken/signer"
)

// remote is a version of a key in the service.
type remote struct {
	id     keyID
	client func() *azkeys.Client // in a func, so that no print verb reaches it
	guard  *signer.Guard
}

func newRemote(client *azkeys.Client, id keyID, guard *signer.Guard) remote {
	if guard == nil {
		guard = signer.NewGuard(signer.Limits{})
	}
	return remote{id, func() *azkeys.Client { return client }, guard.ForKey()}
}

// get fetches the version, which must be usable for the operations.
func (r *remote) get(ctx context.Context, operations ...azkeys.KeyOperation) (*azkeys.JSONWebKey, error) {
	return call(ctx, r.guard, "GetKey", func(ctx context.Context) (*azkeys.JSONWebKey, error) {
		answer, err := r.client().GetKey(ctx, r.id.name, r.id.version, nil)
		if err != nil {
			return nil, err
		}
		return answer.Key, r.usable(answer.KeyBundle, operations)
	})
}

// usable checks the attributes of the version.
func (r *remote) usable(b azkeys.KeyBundle, operations []azkeys.KeyOperation) error {
	if b.Key == nil || b.Key.Kty == nil {
		return problem(signer.Malformed, "the answer has no key, or a key without kty")
	}
	if err := r.id.echoed(b.Key.KID); err != nil {
		return err
	}
	if err := active(b.Attributes); err != nil {
		return err
	}
	for _, operation := range operations {
		isIt := func(o *azkeys.KeyOperation) bool { return o != nil && *o == operation }
		if !slices.ContainsFunc(b.Key.KeyOps, isIt) {
			return problem(signer.Refused, "the key_ops of %s do not have %s", r.id, operation)
		}
	}
	return nil
}

// active checks that a version may be used now.
func active(a *azkeys.KeyAttributes) error {
	if a == nil || a.Enabled == nil {
		return problem(signer.Malformed, "the answer does not say whether the version is enabled")
	}
	now := time.Now()
	switch {
	case !*a.Enabled:
		return problem(signer.Gone, "the version is disabled")
	case a.Expires != nil && !now.Before(*a.Expires):
		return problem(signer.Gone, "the version expired at %s", a.Expires.UTC().Format(time.RFC3339))
	case a.NotBefore != nil && now.Before(*a.NotBefore):
		return problem(signer.Refused, "the version must not be used before %s", a.NotBefore.UTC().Format(time.RFC3339))
	}
	return nil
}

// publicKey converts a JWK (RFC 7518, section 6).
func publicKey(k *azkeys.JSONWebKey) (crypto.PublicKey, error) {
	var key any
	switch *k.Kty {
	case azkeys.KeyTypeRSA, azkeys.KeyTypeRSAHSM:
		if len(k.N) == 0 || len(k.E) == 0 || len(k.E) > 4 {
			return nil, problem(signer.Malformed, "the RSA key has no modulus, or an exponent of %d bytes", len(k.E))
		}
		e := new(big.Int).SetBytes(k.E).Int64()
		key = &rsa.PublicKey{N: new(big.Int).SetBytes(k.N), E: int(e)}
	case azkeys.KeyTypeEC, azkeys.KeyTypeECHSM:
		point, err := point(k)
		if err != nil {
			return nil, err
		}
		key = point
	default:
		return nil, problem(signer.Refused, "no issuer signs with a key of kty %.20q", *k.Kty)
	}
	spki, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, problem(signer.Malformed, "public key: %w", err)
	}
	public, err := signer.PublicKey(spki)
	if err != nil {
		return nil, problem(signer.Refused, "%w", err)
	}
	return public, nil
}

// point takes coordinates of full width alone (RFC 7518, section 6.2.1.2).
func point(k *azkeys.JSONWebKey) (*ecdsa.PublicKey, error) {
	var curve elliptic.Curve
	if k.Crv == nil {
		return nil, problem(signer.Malformed, "the EC key has no crv")
	}
	switch *k.Crv {
	case azkeys.CurveNameP256:
		curve = elliptic.P256()
	case azkeys.CurveNameP384:
		curve = elliptic.P384()
	case azkeys.CurveNameP521:
		curve = elliptic.P521()
	default:
		return nil, problem(signer.Refused, "no issuer signs with a key of crv %.20q", *k.Crv)
	}
	size := (curve.Params().BitSize + 7) / 8
	if len(k.X) != size || len(k.Y) != size {
		return nil, problem(signer.Malformed, "the %s key has coordinates of %d and %d bytes, not %d", *k.Crv, len(k.X), len(k.Y), size)
	}
	key, err := ecdsa.ParseUncompressedPublicKey(curve, slices.Concat([]byte{4}, k.X, k.Y))
	if err != nil {
		return nil, problem(signer.Malformed, "the %s key is not on its curve", *k.Crv)
	}
	return key, nil
}
