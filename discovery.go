package oidctoken

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/oidctoken/oidctoken/internal/issuerurl"
	"github.com/oidctoken/oidctoken/internal/jose"
)

const (
	discoveryPath = "/.well-known/openid-configuration" // Discovery 1.0, section 4
	jwksPath      = "/.well-known/jwks.json"
)

// longestAge is how long a document may be cached, unless the KeySource has limits.
const longestAge = time.Hour

// maxAgesUpTo returns the max-ages that a document can be served with, longest
// first.
func maxAgesUpTo(longest time.Duration) (ages []maxAge) {
	for _, d := range []time.Duration{longest, 12 * time.Hour, time.Hour, 30 * time.Minute, 10 * time.Minute, 5 * time.Minute, time.Minute, 0} {
		if d < longest || len(ages) == 0 {
			ages = append(ages, maxAge{d, []string{"public, max-age=" + strconv.FormatInt(int64(d/time.Second), 10)}})
		}
	}
	return ages
}

// maxAge is a time for which a document may be cached.
type maxAge struct {
	duration time.Duration
	header   []string // Cache-Control
}

// pages holds the documents for the keys that are published from one time until
// another. The documents and their headers are rendered once, so that serving one
// does not allocate.
type pages struct {
	set       *keySet
	from      time.Time // when the last key was removed; zero if no key was removed
	until     time.Time // when the next key will be removed; zero if no key will be
	jwks      page
	discovery page
}

// page holds a document. An account's id belongs between its parts.
type page struct {
	parts  []string // one part, unless each account has an issuer identifier
	etag   string   // without the closing quote
	etags  []string
	length []string
}

func newPage(document []byte) page {
	sum := sha256.Sum256(document)
	p := page{
		parts: strings.Split(string(document), issuerurl.Place),
		etag:  `"` + base64.RawURLEncoding.EncodeToString(sum[:12]),
	}
	p.etags = []string{p.etag + `"`}
	p.length = []string{strconv.Itoa(len(document))}
	return p
}

// documents renders the discovery document and the JWK Set of an issuer.
type documents struct {
	issuer  string // the issuer identifier, as configured
	url     issuerurl.URL
	keys    *keys
	now     func() time.Time
	maxAges []maxAge
	last    atomic.Pointer[pages]
}

// at returns the documents for the keys that are published at now.
func (d *documents) at(ctx context.Context, now time.Time) (*pages, error) {
	set, err := d.keys.load(ctx)
	if err != nil {
		return nil, err
	}
	if p := d.last.Load(); p != nil && p.set == set && !now.Before(p.from) && (p.until.IsZero() || now.Before(p.until)) {
		return p, nil
	}
	p := &pages{set: set}
	var keys []jose.Key
	var algs []string
	for _, k := range set.keys {
		if !k.published(now) {
			if k.Expires.After(p.from) {
				p.from = k.Expires
			}
			continue
		}
		keys = append(keys, jose.Key{Public: k.public, ID: k.ID, Algorithm: k.Algorithm})
		algs = append(algs, k.Algorithm)
		if !k.Expires.IsZero() && (p.until.IsZero() || k.Expires.Before(p.until)) {
			p.until = k.Expires
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%w: all keys have expired", ErrNoKey)
	}
	jwks, err := jose.MarshalSet(keys)
	if err != nil {
		return nil, err
	}
	slices.Sort(algs)
	discovery, err := d.metadata(slices.Compact(algs))
	if err != nil {
		return nil, err
	}
	p.jwks, p.discovery = newPage(jwks), newPage(discovery)
	d.last.Store(p)
	return p, nil
}

// metadata renders the issuer's metadata (Discovery 1.0, section 3).
func (d *documents) metadata(algs []string) ([]byte, error) {
	claims := append(slices.Clone(registered), ClaimNames()...)
	return json.Marshal(struct {
		Issuer        string   `json:"issuer"`
		JWKSURI       string   `json:"jwks_uri"`
		ResponseTypes []string `json:"response_types_supported"`
		SubjectTypes  []string `json:"subject_types_supported"`
		Algorithms    []string `json:"id_token_signing_alg_values_supported"`
		Claims        []string `json:"claims_supported"`
	}{
		d.issuer, d.issuer + jwksPath,
		[]string{"id_token"}, []string{"public"}, algs, claims,
	})
}

// JWKSet returns the JWK Set (RFC 7517, section 5) that ServeHTTP publishes now, for
// clouds to which an operator uploads it. A key has the members kty, use, kid, alg
// and its public numbers, and no others. The caller may change the bytes.
func (iss *Issuer) JWKSet(ctx context.Context) ([]byte, error) {
	d := &iss.documents
	p, err := d.at(ctx, d.now())
	if err != nil {
		return nil, fmt.Errorf("oidctoken: JWK Set: %w", err)
	}
	return []byte(p.jwks.parts[0]), nil
}

// ServeHTTP serves the discovery document and the JWK Set below the path of
// Config.URL, to GET and HEAD requests. The response depends only on the path of the
// request, never on its Host.
//
// A caching proxy may keep the documents for max-age: an hour, or the limit of a
// [KeySourceLimits], or less if a key will be removed soon. Conditional requests get
// the status 304. If no key can be published, the status is 503.
func (iss *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d := &iss.documents
	h := w.Header()
	h["X-Content-Type-Options"] = nosniff
	account, document, ok := d.url.Cut(r.URL.Path)
	if !ok || r.URL.RawPath != "" || document != discoveryPath && document != jwksPath {
		http.Error(w, "not found", http.StatusNotFound)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h["Allow"] = allowed
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	now := d.now()
	p, err := d.at(r.Context(), now)
	if err != nil {
		h["Cache-Control"] = noStore
		h["Retry-After"] = retryAfter
		http.Error(w, "the keys are not available", http.StatusServiceUnavailable)
		return
	}
	h["Cache-Control"] = p.cacheControl(d.maxAges, now)
	if document == jwksPath {
		p.jwks.serve(w, r, account)
	} else {
		p.discovery.serve(w, r, account)
	}
}

var (
	nosniff     = []string{"nosniff"}
	allowed     = []string{"GET, HEAD"}
	noStore     = []string{"no-store"}
	retryAfter  = []string{"10"}
	contentType = []string{"application/json"}
)

// cacheControl returns the header for the longest max-age in which no key is removed.
func (p *pages) cacheControl(ages []maxAge, now time.Time) []string {
	for _, a := range ages {
		if p.until.IsZero() || !now.Add(a.duration).After(p.until) {
			return a.header
		}
	}
	return noStore
}

// serve writes p as the response, for an account if each account has an issuer
// identifier.
func (p *page) serve(w http.ResponseWriter, r *http.Request, account string) {
	h := w.Header()
	etags, length := p.etags, p.length
	if len(p.parts) > 1 {
		etags = []string{p.etag + "-" + account + `"`}
		n := (len(p.parts) - 1) * len(account)
		for _, part := range p.parts {
			n += len(part)
		}
		length = []string{strconv.Itoa(n)}
	}
	h["Etag"] = etags
	if matches(r.Header["If-None-Match"], etags[0]) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h["Content-Type"] = contentType
	h["Content-Length"] = length
	if r.Method == http.MethodHead {
		return
	}
	for i, part := range p.parts {
		if i > 0 {
			io.WriteString(w, account)
		}
		io.WriteString(w, part) // an error means that the client has gone
	}
}

// matches reports whether an If-None-Match has the entity tag, by weak
// comparison (RFC 9110, section 13.1.2).
func matches(fields []string, etag string) bool {
	for _, field := range fields {
		for tag := range strings.SplitSeq(field, ",") {
			tag = strings.TrimSpace(tag)
			if tag == "*" || strings.TrimPrefix(tag, "W/") == etag {
				return true
			}
		}
	}
	return false
}
