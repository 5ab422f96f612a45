package oidctokentest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oidctoken/oidctoken/internal/jws"

	"github.com/oidctoken/oidctoken/internal/jose"
	"github.com/oidctoken/oidctoken/internal/tokenhttp"
)

const (
	maxJWT       = 16 << 10 // bytes
	maxJWTAge    = 24 * time.Hour
	allowedSkew  = time.Minute // of iat and nbf
	maxFederated = time.Hour
	maxEchoed    = 512 // bytes of a claim in a refusal
)

// refusal is an error of the STS (RFC 6749, section 5.2).
type refusal struct {
	code        string
	description string
}

var (
	errParse     = &refusal{"invalid_grant", "Unable to parse the ID Token."}
	errSignature = &refusal{"invalid_grant", "Unable to verify the ID Token signature."}
	errIssuer    = &refusal{"invalid_grant", "Error connecting to the given credential's issuer."}
	errNoSubject = &refusal{"invalid_grant", "ID Token does not contain user's identity in 'sub' claim."}
)

// jwt is a JWT that was decoded, and verified in nothing.
type jwt struct {
	algorithm, keyID string
	claims           map[string]json.RawMessage
}

// decodeJWT reads a JWT that says nothing critical (RFC 7515, section 4.1.11).
func decodeJWT(compact string) (j jwt, ok bool) {
	var header struct {
		Algorithm string          `json:"alg"`
		KeyID     string          `json:"kid"`
		Critical  json.RawMessage `json:"crit"`
	}
	if !jws.Decode(compact, maxJWT, &header, &j.claims) || header.Critical != nil {
		return jwt{}, false
	}
	j.algorithm, j.keyID = header.Algorithm, header.KeyID
	return j, true
}

// verify checks a JWT as the provider would. It returns the claims and "exp".
func (p *googleProvider) verify(ctx context.Context, compact string, now func() time.Time) (jwt, time.Time, *refusal) {
	j, ok := decodeJWT(compact)
	if !ok {
		return jwt{}, time.Time{}, errParse
	}
	// The issuer comes first: nothing is fetched for a JWT of another one.
	if refused := p.checkIssuer(j); refused != nil {
		return jwt{}, time.Time{}, refused
	}
	if refused := p.checkSignature(ctx, j, compact, now); refused != nil {
		return jwt{}, time.Time{}, refused
	}
	if refused := p.checkAudience(j); refused != nil {
		return jwt{}, time.Time{}, refused
	}
	expires, refused := j.checkTimes(now())
	return j, expires, refused
}

func (p *googleProvider) checkIssuer(j jwt) *refusal {
	got := "null"
	if raw, present := j.claims["iss"]; present {
		if !isString(raw) || json.Unmarshal(raw, &got) != nil {
			return errParse
		}
	}
	if got != p.Issuer {
		return &refusal{"invalid_grant", fmt.Sprintf("The issuer in ID Token %s does not match the expected one in config: %s.",
			tokenhttp.Printable(got, maxEchoed), p.Issuer)}
	}
	return nil
}

func (p *googleProvider) checkSignature(ctx context.Context, j jwt, compact string, now func() time.Time) *refusal {
	switch {
	case j.algorithm != "RS256" && j.algorithm != "ES256":
		return errSignature
	case j.keyID == "":
		return &refusal{"invalid_grant", "The ID Token has no kid in its header."}
	}
	set, err := p.keys(ctx, j.keyID, now)
	if err != nil {
		return errIssuer
	}
	key, ok := keyNamed(set, j.keyID)
	if !ok || !fits(key, j.algorithm) {
		return errIssuer
	}
	if _, err := set.Verify(compact, j.algorithm); err != nil {
		return errSignature
	}
	return nil
}

func (p *googleProvider) keys(ctx context.Context, kid string, now func() time.Time) (*jose.Set, error) {
	if p.uploaded != nil {
		return p.uploaded, nil
	}
	return p.issuer.find(ctx, kid, now)
}

// checkAudience wants one string: Google's documentation knows no list, though
// its words show one.
func (p *googleProvider) checkAudience(j jwt) *refusal {
	raw, present := j.claims["aud"]
	var one string
	var list []string
	switch {
	case !present:
	case isString(raw) && json.Unmarshal(raw, &one) == nil:
		if p.admits(one) {
			return nil
		}
		list = []string{one}
	case raw[0] != '[' || json.Unmarshal(raw, &list) != nil:
		return errParse
	}
	return &refusal{"invalid_grant", fmt.Sprintf("The audience in ID Token [%s] does not match the expected audience.",
		tokenhttp.Printable(strings.Join(list, ", "), maxEchoed))}
}

func (p *googleProvider) admits(audience string) bool {
	if len(p.AllowedAudiences) > 0 {
		return slices.Contains(p.AllowedAudiences, audience)
	}
	return strings.TrimPrefix(audience, "https:") == googleResource+p.Name
}

// checkTimes returns "exp".
func (j jwt) checkTimes(now time.Time) (time.Time, *refusal) {
	var times [3]time.Time
	for i, name := range []string{"iat", "exp", "nbf"} {
		raw, present := j.claims[name]
		if !present {
			continue
		}
		// RFC 7519, section 2: a NumericDate; Google's are integers.
		seconds, err := strconv.ParseUint(string(raw), 10, 36)
		if err != nil {
			return time.Time{}, errParse
		}
		times[i] = time.Unix(int64(seconds), 0) // #nosec G115 -- of 36 bits
	}
	issued, expires, notBefore := times[0], times[1], times[2]
	at := "null"
	if !issued.IsZero() {
		at = strconv.FormatInt(issued.Unix(), 10)
	}
	switch {
	case issued.IsZero(), expires.IsZero(),
		issued.After(now.Add(allowedSkew)),
		now.Sub(issued) > maxJWTAge,
		expires.Sub(issued) > maxJWTAge,
		!expires.After(issued),
		!expires.After(now),
		notBefore.After(now.Add(allowedSkew)):
		return time.Time{}, &refusal{"invalid_grant", "ID Token issued at " + at + " is stale to sign-in."}
	}
	return expires, nil
}
