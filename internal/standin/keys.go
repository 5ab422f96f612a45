package standin

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/oidctoken/oidctoken/internal/jose"
	"github.com/oidctoken/oidctoken/internal/tokenhttp"
)

const (
	fetchTimeout = 5 * time.Second
	MaxDocument  = 256 << 10        // bytes of a discovery document or a JWK Set
	maxKeyAge    = 10 * time.Minute // Google documents no limit; no longer one was observed
	refetchAfter = time.Second      // for a kid that is unknown
)

// IssuerKeys caches the keys of an issuer, found through its discovery
// document, for the max-age of the response.
type IssuerKeys struct {
	issuer string
	client *http.Client
	turn   chan struct{} // its holder fetches; a channel, so that waiting ends with ctx

	mu      sync.Mutex
	set     *jose.Set
	fetched time.Time
	until   time.Time
}

// NewIssuerKeys returns the keys of issuer, fetched through transport.
func NewIssuerKeys(issuer string, transport http.RoundTripper) *IssuerKeys {
	return &IssuerKeys{
		issuer: issuer,
		client: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		turn: make(chan struct{}, 1),
	}
}

// Find returns a JWK Set for a token with that kid. The kid may still be
// missing in it.
func (k *IssuerKeys) Find(ctx context.Context, kid string, now func() time.Time) (*jose.Set, error) {
	if set := k.cached(kid, now()); set != nil {
		return set, nil
	}
	select {
	case k.turn <- struct{}{}:
		defer func() { <-k.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if set := k.cached(kid, now()); set != nil { // another request fetched it
		return set, nil
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	set, age, err := k.fetch(ctx)
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.set, k.fetched = set, now()
	k.until = k.fetched.Add(age)
	return set, nil
}

// cached returns the set that is kept, unless it is time to fetch another one.
func (k *IssuerKeys) cached(kid string, now time.Time) *jose.Set {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.set == nil || !now.Before(k.until) {
		return nil
	}
	if _, ok := KeyNamed(k.set, kid); !ok && now.Sub(k.fetched) >= refetchAfter {
		return nil
	}
	return k.set
}

func (k *IssuerKeys) fetch(ctx context.Context) (*jose.Set, time.Duration, error) {
	// Discovery 1.0, sections 4.1 and 4.3.
	document, _, err := k.get(ctx, strings.TrimSuffix(k.issuer, "/")+"/.well-known/openid-configuration", "application/json")
	if err != nil {
		return nil, 0, err
	}
	var metadata struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	if err := tokenhttp.DecodeJSON(document, &metadata); err != nil {
		return nil, 0, err
	}
	if metadata.Issuer != k.issuer {
		return nil, 0, errors.New("the discovery document names another issuer")
	}
	if err := tokenhttp.CheckURL(metadata.JWKSURI); err != nil {
		return nil, 0, err
	}
	document, age, err := k.get(ctx, metadata.JWKSURI, "application/json", "application/jwk-set+json")
	if err != nil {
		return nil, 0, err
	}
	set, err := jose.ParseSet(document)
	return set, age, err
}

func (k *IssuerKeys) get(ctx context.Context, url string, types ...string) (body []byte, age time.Duration, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, 0, err
	}
	r.Header.Set("Accept", strings.Join(types, ", "))
	answer, err := k.client.Do(r)
	if err != nil {
		return nil, 0, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, 0, errors.New("the status is " + strconv.Itoa(answer.StatusCode))
	}
	if got, _, err := mime.ParseMediaType(answer.Header.Get("Content-Type")); err != nil || !slices.Contains(types, got) {
		return nil, 0, errors.New("the answer is not " + types[0])
	}
	body, err = io.ReadAll(io.LimitReader(answer.Body, MaxDocument+1))
	if err == nil && len(body) > MaxDocument {
		err = errors.New("the answer is longer than 256 KiB")
	}
	return body, maxAge(answer.Header.Values("Cache-Control")), err
}

// maxAge returns how long an answer may be cached (RFC 9111, section 5.2.2): 0
// without max-age.
func maxAge(fields []string) time.Duration {
	var age time.Duration
	for directive := range strings.SplitSeq(strings.Join(fields, ","), ",") {
		name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(directive)), "=")
		switch name {
		case "no-store", "no-cache":
			return 0
		case "max-age":
			seconds, err := strconv.ParseUint(value, 10, 31)
			if err != nil {
				return 0
			}
			age = min(time.Duration(seconds)*time.Second, maxKeyAge)
		}
	}
	return age
}

// KeyNamed returns the key with that kid, if exactly one key has the kid.
func KeyNamed(set *jose.Set, kid string) (found jose.Key, ok bool) {
	for _, k := range set.Keys() {
		if k.ID == kid {
			if ok {
				return jose.Key{}, false
			}
			found, ok = k, true
		}
	}
	return found, ok
}

// Fits reports whether a key can verify that "alg", RS256 or ES256, with at least
// the size that the clouds accept.
func Fits(k jose.Key, algorithm string) bool {
	if k.Algorithm != "" && k.Algorithm != algorithm {
		return false
	}
	switch public := k.Public.(type) {
	case *rsa.PublicKey:
		return algorithm == "RS256" && public.N.BitLen() >= 2048
	case *ecdsa.PublicKey:
		return algorithm == "ES256" && public.Curve == elliptic.P256()
	}
	return false
}
