package googletest

import (
	"encoding/json"
	"slices"
	"strconv"

	"github.com/oidctoken/oidctoken/internal/jose"
	"github.com/oidctoken/oidctoken/internal/standin"
	"github.com/oidctoken/oidctoken/internal/tokenhttp"
)

// parseUpload checks a JWK Set as Google does on upload.
func parseUpload(document []byte) (_ *jose.Set, reason string) {
	var members struct {
		Keys []map[string]json.RawMessage `json:"keys"`
	}
	if len(document) > standin.MaxDocument || tokenhttp.DecodeJSON(document, &members) != nil || len(members.Keys) == 0 {
		return nil, "is not a JWK Set with a key in it"
	}
	for _, key := range members.Keys {
		for name := range key {
			if !slices.Contains([]string{"kty", "alg", "use", "kid", "n", "e", "x", "y", "crv"}, name) {
				return nil, "has a member that Google refuses, " + strconv.QuoteToASCII(name[:min(len(name), 32)])
			}
		}
	}
	set, err := jose.ParseSet(document)
	if err != nil {
		return nil, "has a key that is not valid"
	}
	keys := set.Keys()
	if len(keys) != len(members.Keys) {
		return nil, "has a key that is not valid"
	}
	for _, k := range keys {
		if _, unique := standin.KeyNamed(set, k.ID); k.ID == "" || !unique {
			return nil, "has a key without a kid of its own"
		}
		if !standin.Fits(k, "RS256") && !standin.Fits(k, "ES256") {
			return nil, "has a key that is neither of RSA, with 2048 bits or more, nor of P-256"
		}
	}
	return set, ""
}
