package gcp

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"fmt"

	"github.com/oidctoken/oidctoken/internal/jose"
)

// JWKSet converts the JWK Set of an issuer (RFC 7517, section 5) for upload to
// a provider, for an issuer that Google cannot reach. document is the content
// of "jwks_uri", at most 256 KiB. JWKSet keeps the keys for ES256 and RS256,
// and their members alg, crv, e, kid, kty, n, use, x and y, because Google
// refuses all others. An uploaded set must be replaced before the issuer signs
// with a new key.
//
// It fails with a [*oidctoken.ConfigError] if document is no JWK Set, holds a private or
// symmetric key, or has no key that Google accepts; and if one of these has no
// kid of its own, or is not a valid public key.
func JWKSet(document []byte) ([]byte, error) {
	// Maps, since a struct would also take names that differ in case.
	var set map[string]json.RawMessage
	var keys []map[string]json.RawMessage
	if len(document) > maxDocument {
		return nil, configError("document", "is longer than 256 KiB")
	}
	if json.Unmarshal(document, &set) != nil || json.Unmarshal(set["keys"], &keys) != nil || keys == nil {
		return nil, configError("document", "is not a JWK Set")
	}
	var kept struct {
		Keys []uploadedKey `json:"keys"`
	}
	seen := make(map[string]bool)
	for i, members := range keys {
		for _, name := range privateMembers {
			if _, ok := members[name]; ok {
				return nil, configError(indexed("keys", i), "is not a public key: do not publish it")
			}
		}
		k, ok := uploadedKeyOf(members)
		switch {
		case !ok:
			return nil, configError(indexed("keys", i), "has a member that is not a string")
		case k.Alg != "ES256" && k.Alg != "RS256" || k.Use != "" && k.Use != "sig":
			continue
		case k.Kid == "" || seen[k.Kid]:
			return nil, configError(indexed("keys", i)+".kid", "is missing, or another key's")
		case !k.valid():
			return nil, configError(indexed("keys", i), "is not a valid public key for its alg")
		}
		seen[k.Kid] = true
		kept.Keys = append(kept.Keys, k)
	}
	if len(kept.Keys) == 0 {
		return nil, configError("keys", "has no key for ES256 or RS256")
	}
	b, err := json.Marshal(kept)
	if err != nil {
		return nil, fmt.Errorf("gcp: JWK Set: %w", err)
	}
	return b, nil
}

const maxDocument = 256 << 10

// privateMembers are the private members of RFC 7518, sections 6.2.2, 6.3.2 and
// 6.4.
var privateMembers = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"}

// uploadedKey has the members that Google knows.
type uploadedKey struct {
	Alg string `json:"alg"`
	Crv string `json:"crv,omitempty"`
	E   string `json:"e,omitempty"`
	Kid string `json:"kid"`
	Kty string `json:"kty"`
	N   string `json:"n,omitempty"`
	Use string `json:"use,omitempty"`
	X   string `json:"x,omitempty"`
	Y   string `json:"y,omitempty"`
}

func uploadedKeyOf(members map[string]json.RawMessage) (k uploadedKey, ok bool) {
	for _, m := range []struct {
		name string
		to   *string
	}{
		{"alg", &k.Alg}, {"crv", &k.Crv}, {"e", &k.E}, {"kid", &k.Kid}, {"kty", &k.Kty},
		{"n", &k.N}, {"use", &k.Use}, {"x", &k.X}, {"y", &k.Y},
	} {
		if raw, present := members[m.name]; present && json.Unmarshal(raw, m.to) != nil {
			return uploadedKey{}, false
		}
	}
	return k, true
}

// valid reports whether k is a public key of its alg, and nothing else.
func (k uploadedKey) valid() bool {
	b, err := json.Marshal(map[string][]uploadedKey{"keys": {k}})
	if err != nil {
		return false
	}
	set, err := jose.ParseSet(b)
	if err != nil || len(set.Keys()) != 1 {
		return false
	}
	switch public := set.Keys()[0].Public.(type) {
	case *rsa.PublicKey:
		return k.Alg == "RS256" && k.Crv+k.X+k.Y == "" && public.N.BitLen() >= 2048
	case *ecdsa.PublicKey:
		return k.Alg == "ES256" && k.N+k.E == "" && public.Curve == elliptic.P256()
	}
	return false
}
