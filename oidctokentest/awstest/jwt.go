package awstest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/oidctoken/oidctoken/internal/jose"
	"github.com/oidctoken/oidctoken/internal/standin"
	"github.com/oidctoken/oidctoken/internal/tokenhttp"
)

const (
	awsClaimTags           = "https://aws.amazon.com/tags"
	awsClaimRoles          = "https://aws.amazon.com/roles"
	awsClaimSourceIdentity = "https://aws.amazon.com/source_identity"

	maxAWSClaim    = 255 // characters of iss, sub and aud
	maxAWSTags     = 50
	maxAWSTagKey   = 128
	maxAWSTagValue = 256
)

// webIdentity holds the claims that AWS reads from a verified JWT.
type webIdentity struct {
	issuer, audience, subject string
	roles                     []string // nil if there is no such claim; an empty list admits no role
	tags                      map[string]string
	transitive                []string
	sourceIdentity            string
}

func invalidToken(message string) *awsError { return badRequest("InvalidIdentityToken", message) }

var (
	errNotJWT = invalidToken("The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)")
	errNoKey  = invalidToken("Couldn't retrieve verification key from your identity provider,  please reference AssumeRoleWithWebIdentity documentation for requirements")
)

// verifyWebIdentity checks a JWT as the account's identity provider would.
func (a *Server) verifyWebIdentity(ctx context.Context, account, compact string) (*webIdentity, *awsError) {
	j, ok := standin.DecodeJWT(compact)
	if !ok {
		return nil, errNotJWT
	}
	w := new(webIdentity)
	for _, claim := range []struct {
		name  string
		value *string
	}{{"iss", &w.issuer}, {"sub", &w.subject}, {"aud", &w.audience}} {
		raw, present := j.Claims[claim.name]
		if !present {
			return nil, invalidToken("Missing a required claim: " + claim.name)
		}
		if !standin.IsString(raw) || json.Unmarshal(raw, claim.value) != nil || *claim.value == "" {
			return nil, invalidToken("The claim " + claim.name + " is not one string")
		}
		if utf8.RuneCountInString(*claim.value) > maxAWSClaim {
			return nil, invalidToken("The claim " + claim.name + " is longer than 255 characters")
		}
	}
	// The issuer comes first: nothing is fetched for a JWT of another one.
	p := a.providers[awsProviderKey{account, w.issuer}]
	if p == nil {
		return nil, invalidToken("No OpenIDConnect provider found in your account for " + tokenhttp.Printable(w.issuer, standin.MaxEchoed))
	}
	if refused := p.checkSignature(ctx, j, compact, a.config.Now); refused != nil {
		return nil, refused
	}
	if !slices.Contains(p.ClientIDs, w.audience) {
		return nil, invalidToken("Incorrect token audience")
	}
	if refused := checkTimes(j, a.config.Now()); refused != nil {
		return nil, refused
	}
	return w, w.readAWSClaims(j)
}

func (p *awsProvider) checkSignature(ctx context.Context, j standin.JWT, compact string, now func() time.Time) *awsError {
	if !slices.Contains([]string{"RS256", "RS384", "RS512", "ES256", "ES384", "ES512"}, j.Algorithm) {
		return invalidToken("The signature algorithm of the ID Token is not supported")
	}
	if j.KeyID == "" {
		return errNoKey
	}
	set, err := p.keys.Find(ctx, j.KeyID, now)
	if err != nil {
		return errNoKey
	}
	key, ok := standin.KeyNamed(set, j.KeyID)
	if !ok || !fitsAWS(key, j.Algorithm) {
		return errNoKey
	}
	if _, err := set.Verify(compact, j.Algorithm); err != nil {
		return invalidToken("The ID Token provided could not be verified: its signature is not valid")
	}
	return nil
}

// fitsAWS reports whether a key is one for that "alg" which AWS takes.
func fitsAWS(k jose.Key, algorithm string) bool {
	if k.Algorithm != "" && k.Algorithm != algorithm {
		return false
	}
	switch public := k.Public.(type) {
	case *rsa.PublicKey:
		return strings.HasPrefix(algorithm, "RS") && public.N.BitLen() >= 2048
	case *ecdsa.PublicKey:
		curves := map[string]elliptic.Curve{"ES256": elliptic.P256(), "ES384": elliptic.P384(), "ES512": elliptic.P521()}
		return public.Curve == curves[algorithm]
	}
	return false
}

// checkTimes requires integers (RFC 7519, section 2, would allow fractions).
func checkTimes(j standin.JWT, now time.Time) *awsError {
	var times [3]int64
	for i, name := range []string{"iat", "exp", "nbf"} {
		raw, present := j.Claims[name]
		if !present && name == "nbf" {
			continue
		}
		if !present {
			return invalidToken("Missing a required claim: " + name)
		}
		seconds, err := strconv.ParseUint(string(raw), 10, 36)
		if err != nil {
			return invalidToken("The claim " + name + " is not an integer")
		}
		times[i] = int64(seconds) // #nosec G115 -- of 36 bits
	}
	issued, expires, notBefore := times[0], times[1], times[2]
	at, skew := now.Unix(), int64(standin.AllowedSkew/time.Second)
	switch {
	case expires <= at:
		return badRequest("ExpiredTokenException", fmt.Sprintf("Token expired: current date/time %d must be before the expiration date/time %d", at, expires))
	case at-issued > int64(standin.MaxJWTAge/time.Second):
		return badRequest("ExpiredTokenException", "Token must be redeemed within 24 hours of issuance")
	case issued > at+skew, notBefore > at+skew, expires <= issued:
		return invalidToken("The ID Token provided is not valid yet")
	}
	return nil
}

// readAWSClaims reads the claims that AWS gives a meaning to.
func (w *webIdentity) readAWSClaims(j standin.JWT) *awsError {
	if raw, present := j.Claims[awsClaimRoles]; present {
		var one string
		switch {
		case standin.IsString(raw) && json.Unmarshal(raw, &one) == nil:
			w.roles = []string{one}
		case raw[0] != '[' || json.Unmarshal(raw, &w.roles) != nil:
			return invalidToken("The claim " + awsClaimRoles + " is neither a string nor a list of strings")
		}
	}
	if raw, present := j.Claims[awsClaimSourceIdentity]; present {
		if !standin.IsString(raw) || json.Unmarshal(raw, &w.sourceIdentity) != nil || !isSessionName(w.sourceIdentity) {
			return invalidToken("The claim " + awsClaimSourceIdentity + ` is not of 2 to 64 of [\w+=,.@-]`)
		}
	}
	if raw, present := j.Claims[awsClaimTags]; present {
		return w.readTags(raw)
	}
	return nil
}

func (w *webIdentity) readTags(raw json.RawMessage) *awsError {
	malformed := invalidToken("The claim " + awsClaimTags + " is malformed")
	var members map[string]json.RawMessage // a struct would not tell case apart
	var principal map[string][]string
	if json.Unmarshal(raw, &members) != nil || json.Unmarshal(members["principal_tags"], &principal) != nil ||
		len(principal) == 0 || len(principal) > maxAWSTags {
		return malformed
	}
	if keys, present := members["transitive_tag_keys"]; present && json.Unmarshal(keys, &w.transitive) != nil {
		return malformed
	}
	w.tags = make(map[string]string)
	for key, values := range principal { // decodeJWT refuses two that differ only in case, as AWS does
		if len(values) != 1 || key == "" || !isTag(key, maxAWSTagKey) || !isTag(values[0], maxAWSTagValue) ||
			strings.HasPrefix(strings.ToLower(key), "aws:") {
			return malformed
		}
		w.tags[key] = values[0]
	}
	for _, key := range w.transitive {
		if _, ok := w.tags[key]; !ok {
			return malformed
		}
	}
	return nil
}

// isTag is AWS's pattern of tag keys and values, [\p{L}\p{Z}\p{N}_.:/=+\-@]*.
func isTag(s string, max int) bool {
	return utf8.ValidString(s) && utf8.RuneCountInString(s) <= max && !strings.ContainsFunc(s, func(r rune) bool {
		return !unicode.In(r, unicode.L, unicode.Z, unicode.N) && !strings.ContainsRune("_.:/=+-@", r)
	})
}

// isSessionName is AWS's pattern of session names and source identities.
func isSessionName(s string) bool {
	return len(s) >= 2 && len(s) <= 64 &&
		strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+=,.@-") == ""
}
