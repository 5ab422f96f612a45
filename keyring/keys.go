package keyring

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/internal/jose"
	"github.com/oidctoken/oidctoken/internal/jws"
)

var curves = map[string]elliptic.Curve{"ES256": elliptic.P256(), "ES384": elliptic.P384(), "ES512": elliptic.P521()}

// dataKey encrypts a ring's private keys and makes its documents' tags. It is
// wrapped in the document.
type dataKey struct {
	wrapped []byte
	secret  func() []byte // in a func, so that no print verb reaches it
}

func newDataKey() []byte {
	key := make([]byte, 32)
	rand.Read(key) // never fails: the program ends without entropy
	return key
}

// derive makes a key for one purpose.
func (d *dataKey) derive(purpose string) ([]byte, error) {
	return hkdf.Key(sha256.New, d.secret(), nil, "oidctoken keyring "+purpose, 32)
}

// tagKey is nil if there is no data key.
func (d *dataKey) tagKey() ([]byte, error) {
	if d == nil {
		return nil, nil
	}
	return d.derive("tag")
}

func (d *dataKey) aead() (cipher.AEAD, error) {
	key, err := d.derive("private key")
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// wrapContext returns the context of a wrapped data key: the ring, and its name if
// it has one. The name keeps a replica of one ring, which has that ring's data key,
// from writing a document for another ring under the same wrapping key.
func (s *state) wrapContext() []byte {
	context := "oidctoken keyring " + s.Ring
	if s.Name != "" {
		context += " " + s.Name
	}
	return []byte(context)
}

// sealContext returns the context to which an encrypted private key is bound.
func sealContext(ring string, k *record) []byte {
	return []byte("oidctoken keyring " + ring + " " + k.Algorithm + " " + k.ID)
}

// seal encrypts a private key in PKCS #8.
func (d *dataKey) seal(ring string, k *record, private []byte) error {
	aead, err := d.aead()
	if err != nil {
		return err
	}
	k.Private = aead.Seal(nil, nil, private, sealContext(ring, k))
	return nil
}

// open decrypts a private key.
func (d *dataKey) open(ring string, k *record) ([]byte, error) {
	aead, err := d.aead()
	if err != nil {
		return nil, err
	}
	private, err := aead.Open(nil, nil, k.Private, sealContext(ring, k))
	if err != nil {
		return nil, fmt.Errorf("%w: the private key of %s cannot be decrypted", ErrTampered, k.ID)
	}
	return private, nil
}

// signer makes the signer of a key of the ring's own.
func (d *dataKey) signer(ring string, k *record) (oidctoken.Signer, error) {
	if d == nil || len(k.Private) == 0 {
		return nil, fmt.Errorf("%w: the key %s has no private half", ErrCorrupt, k.ID)
	}
	private, err := d.open(ring, k)
	if err != nil {
		return nil, err
	}
	defer clear(private)
	key, err := x509.ParsePKCS8PrivateKey(private)
	if err != nil {
		return nil, fmt.Errorf("%w: the private key of %s is not a PKCS #8 key", ErrCorrupt, k.ID)
	}
	local, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%w: the private key of %s is not a PKCS #8 key that signs", ErrCorrupt, k.ID)
	}
	public, err := k.public()
	if err != nil {
		return nil, err
	}
	if !jws.SameKey(public, local.Public()) {
		return nil, fmt.Errorf("%w: the halves of %s do not belong together", ErrCorrupt, k.ID)
	}
	return oidctoken.NewSigner(local)
}

// generate makes a private key for an algorithm.
func generate(alg string, rsaBits int) (crypto.Signer, error) {
	switch alg {
	case "RS256", "RS384", "RS512":
		return rsa.GenerateKey(rand.Reader, rsaBits)
	case "ES256", "ES384", "ES512":
		return ecdsa.GenerateKey(curves[alg], rand.Reader)
	case "EdDSA":
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
	return nil, errors.New("no such algorithm")
}

// newLocal makes a key of the ring's own.
func newLocal(ring, alg string, rsaBits int, d *dataKey) (record, oidctoken.Signer, error) {
	key, err := generate(alg, rsaBits)
	if err != nil {
		return record{}, nil, err
	}
	k, err := newRecord(alg, key.Public())
	if err != nil {
		return record{}, nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return record{}, nil, err
	}
	defer clear(private)
	if err := d.seal(ring, &k, private); err != nil {
		return record{}, nil, err
	}
	signer, err := oidctoken.NewSigner(key)
	return k, signer, err
}

// newRecord describes a public key.
func newRecord(alg string, public crypto.PublicKey) (record, error) {
	if !fits(alg, public) {
		return record{}, fmt.Errorf("the algorithm %q is not one for a %T", alg, public)
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return record{}, err
	}
	id, err := jose.Thumbprint(public)
	if err != nil {
		return record{}, err
	}
	return record{ID: id, Algorithm: alg, Public: der}, nil
}

// reseal encrypts all private keys of s with another data key.
func (s *state) reseal(from, to *dataKey) error {
	for i := range s.Keys {
		k := &s.Keys[i]
		if len(k.Private) == 0 {
			continue
		}
		private, err := from.open(s.Ring, k)
		if err == nil {
			err = to.seal(s.Ring, k, private)
		}
		clear(private)
		if err != nil {
			return err
		}
	}
	s.DataKey = to.wrapped
	return nil
}
