// Package jose computes JWKs, JWK Sets and thumbprints, and verifies tokens for
// stand-ins and tests. It is the only importer of go-jose. It does not sign.
package jose

import (
	"crypto"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/go-jose/go-jose/v4"

	"github.com/oidctoken/oidctoken/internal/tokenhttp"
)

// Key holds a public key of a JWK Set.
type Key struct {
	Public    crypto.PublicKey
	ID        string
	Algorithm string
}

// Thumbprint returns the SHA-256 thumbprint of a public key, in base64url
// (RFC 7638).
func Thumbprint(key crypto.PublicKey) (string, error) {
	sum, err := (&jose.JSONWebKey{Key: key}).Thumbprint(crypto.SHA256)
	if err != nil {
		return "", fmt.Errorf("thumbprint: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(sum), nil
}

// MarshalSet returns the JWK Set (RFC 7517, section 5) of the keys. Each key has "use"
// sig, "alg" and "kid", and no private member.
func MarshalSet(keys []Key) ([]byte, error) {
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, k := range keys {
		jwk := jose.JSONWebKey{Key: k.Public, KeyID: k.ID, Algorithm: k.Algorithm, Use: "sig"}
		if !jwk.IsPublic() || !jwk.Valid() {
			return nil, fmt.Errorf("key %s is not a valid public key", k.ID)
		}
		set.Keys = append(set.Keys, jwk)
	}
	return json.Marshal(set)
}

// Set holds a JWK Set that another party published.
type Set struct{ set jose.JSONWebKeySet }

// ParseSet parses a JWK Set. It is as strict as tokenhttp.DecodeJSON.
func ParseSet(document []byte) (*Set, error) {
	var s Set
	if err := tokenhttp.DecodeJSON(document, &s.set); err != nil {
		return nil, fmt.Errorf("JWK Set: %w", err)
	}
	return &s, nil
}

// Keys returns the public keys of the set.
func (s *Set) Keys() []Key {
	var keys []Key
	for _, k := range s.set.Keys {
		if k.IsPublic() {
			keys = append(keys, Key{k.Key, k.KeyID, k.Algorithm})
		}
	}
	return keys
}

// Verified holds a JWS whose signature was verified.
type Verified struct {
	KeyID     string
	Algorithm string
	Payload   []byte
}

// Verify verifies a compact JWS with the key of s that its "kid" names. It accepts
// only the given algorithms. If the key has an algorithm, it accepts only that one.
func (s *Set) Verify(compact string, algorithms ...string) (*Verified, error) {
	accepted := make([]jose.SignatureAlgorithm, len(algorithms))
	for i, a := range algorithms {
		accepted[i] = jose.SignatureAlgorithm(a)
	}
	jws, err := jose.ParseSignedCompact(compact, accepted)
	if err != nil {
		return nil, fmt.Errorf("JWS: %w", err)
	}
	header := jws.Signatures[0].Protected
	keys := s.set.Key(header.KeyID)
	if header.KeyID == "" || len(keys) != 1 {
		return nil, fmt.Errorf("JWS: %d keys have the kid %q", len(keys), header.KeyID)
	}
	if alg := keys[0].Algorithm; alg != "" && alg != header.Algorithm {
		return nil, fmt.Errorf("JWS: alg is %q, but the key has the alg %q", header.Algorithm, alg)
	}
	payload, err := jws.Verify(keys[0].Key)
	if err != nil {
		return nil, fmt.Errorf("JWS: %w", err)
	}
	return &Verified{header.KeyID, header.Algorithm, payload}, nil
}
