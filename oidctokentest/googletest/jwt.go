package googletest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oidctoken/oidctoken/internal/standin"

	"github.com/oidctoken/oidctoken/internal/jose"
	"github.com/oidctoken/oidctoken/internal/tokenhttp"
)

const (
	maxFederated = time.Hour
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

// verify checks a JWT as the provider would. It returns the claims and "exp".
func (p *googleProvider) verify(ctx context.Context, compact string, now func() time.Time) (standin.JWT, time.Time, *refusal) {
	j, ok := standin.DecodeJWT(compact)
	if !ok {
		return standin.JWT{}, time.Time{}, errParse
	}
	// The issuer comes first: nothing is fetched for a JWT of another one.
	if refused := p.checkIssuer(j); refused != nil {
		return standin.JWT{}, time.Time{}, refused
	}
	if refused := p.checkSignature(ctx, j, compact, now); refused != nil {
		return standin.JWT{}, time.Time{}, refused
	}
	if refused := p.checkAudience(j); refused != nil {
		return standin.JWT{}, time.Time{}, refused
	}
	expires, refused := checkTimes(j, now())
	return j, expires, refused
}

func (p *googleProvider) checkIssuer(j standin.JWT) *refusal {
	got := "null"
	if raw, present := j.Claims["iss"]; present {
		if !standin.IsString(raw) || json.Unmarshal(raw, &got) != nil {
			return errParse
		}
	}
	if got != p.Issuer {
		return &refusal{"invalid_grant", fmt.Sprintf("The issuer in ID Token %s does not match the expected one in config: %s.",
			tokenhttp.Printable(got, standin.MaxEchoed), p.Issuer)}
	}
	return nil
}

func (p *googleProvider) checkSignature(ctx context.Context, j standin.JWT, compact string, now func() time.Time) *refusal {
	switch {
	case j.Algorithm != "RS256" && j.Algorithm != "ES256":
		return errSignature
	case j.KeyID == "":
		return &refusal{"invalid_grant", "The ID Token has no kid in its header."}
	}
	set, err := p.keys(ctx, j.KeyID, now)
	if err != nil {
		return errIssuer
	}
	key, ok := standin.KeyNamed(set, j.KeyID)
	if !ok || !standin.Fits(key, j.Algorithm) {
		return errIssuer
	}
	if _, err := set.Verify(compact, j.Algorithm); err != nil {
		return errSignature
	}
	return nil
}

func (p *googleProvider) keys(ctx context.Context, kid string, now func() time.Time) (*jose.Set, error) {
	if p.uploaded != nil {
		return p.uploaded, nil
	}
	return p.issuer.Find(ctx, kid, now)
}

// checkAudience requires one string: Google's documentation has no list,
// although its error texts show one.
func (p *googleProvider) checkAudience(j standin.JWT) *refusal {
	raw, present := j.Claims["aud"]
	var one string
	var list []string
	switch {
	case !present:
	case standin.IsString(raw) && json.Unmarshal(raw, &one) == nil:
		if p.admits(one) {
			return nil
		}
		list = []string{one}
	case raw[0] != '[' || json.Unmarshal(raw, &list) != nil:
		return errParse
	}
	return &refusal{"invalid_grant", fmt.Sprintf("The audience in ID Token [%s] does not match the expected audience.",
		tokenhttp.Printable(strings.Join(list, ", "), standin.MaxEchoed))}
}

func (p *googleProvider) admits(audience string) bool {
	if len(p.AllowedAudiences) > 0 {
		return slices.Contains(p.AllowedAudiences, audience)
	}
	return strings.TrimPrefix(audience, "https:") == googleResource+p.Name
}

// checkTimes returns "exp".
func checkTimes(j standin.JWT, now time.Time) (time.Time, *refusal) {
	var times [3]time.Time
	for i, name := range []string{"iat", "exp", "nbf"} {
		raw, present := j.Claims[name]
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
		issued.After(now.Add(standin.AllowedSkew)),
		now.Sub(issued) > standin.MaxJWTAge,
		expires.Sub(issued) > standin.MaxJWTAge,
		!expires.After(issued),
		!expires.After(now),
		notBefore.After(now.Add(standin.AllowedSkew)):
		return time.Time{}, &refusal{"invalid_grant", "ID Token issued at " + at + " is stale to sign-in."}
	}
	return expires, nil
}
