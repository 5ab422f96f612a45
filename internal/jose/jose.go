// Package jose is the only importer of go-jose: JWK, JWK Set, thumbprints, and
// verification for stand-ins and tests. Tokens are not made here.
package jose

import (
	"crypto"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/go-jose/go-jose/v4"

	"github.com/oidctoken/oidctoken/internal/tokenhttp"
)

// Key is a public key as a JWK Set shows it.
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

// MarshalSet returns the JWK Set (RFC 7517, section 5) of the keys, with "use"
// sig, "alg" and "kid" in each and no private member.
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

// Set is a published JWK Set.
type Set struct{ set jose.JSONWebKeySet }

// ParseSet parses a JWK Set, as tokenhttp.DecodeJSON reads JSON.
func ParseSet(document []byte) (*Set, error) {
	var s Set
	if err := tokenhttp.DecodeJSON(document, &s.set); err != nil {
		return nil, fmt.Errorf("JWK Set: %w", err)
	}
	return &s, nil
}

// Keys returns the set's public keys.
func (s *Set) Keys() []Key {
	var keys []Key
	for _, k := range s.set.Keys {
		if k.IsPublic() {
			keys = append(keys, Key{k.Key, k.KeyID, k.Algorithm})
		}
	}
	return keys
}

// Verified is a JWS whose signature holds.
type Verified struct {
	KeyID     string
	Algorithm string
	Payload   []byte
}

// Verify checks a compact JWS against the one key of s that its "kid" names.
// Only the given algorithms are accepted, and only the key's own if it has one.
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
		return nil, fmt.Errorf("JWS: alg is %q, and the key's is %q", header.Algorithm, alg)
	}
	payload, err := jws.Verify(keys[0].Key)
	if err != nil {
		return nil, fmt.Errorf("JWS: %w", err)
	}
	return &Verified{header.KeyID, header.Algorithm, payload}, nil
}
