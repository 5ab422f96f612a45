package keyring

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/oidctoken/oidctoken/internal/jose"
	"github.com/oidctoken/oidctoken/internal/tokenhttp"
)

const (
	discoveryPath = "/.well-known/openid-configuration" // Discovery 1.0, section 4
	jwksPath      = "/.well-known/jwks.json"            // as in an oidctoken.Issuer
	probeTimeout  = 10 * time.Second
)

// PublicDocuments writes what issuer serves for its issuer identifier as files
// below dir, for a bucket, a CDN or a static server:
//
//	dir/.well-known/openid-configuration
//	dir/.well-known/jwks.json
//
// dir stands for the issuer identifier, with its path; for an issuer per account,
// each account has its own identifier and needs its own dir. Serve both files as
// application/json with the returned max-age in Cache-Control.
//
// An unchanged file is not touched. A changed file is replaced as a whole, with
// mode 0644. dir is made if it is missing. The JWK Set is written first,
// because the other document names its algorithms.
//
// An answer of the issuer of more than 256 KiB is refused, since [Probe] and
// verifiers would not read it.
//
// Publish whenever a key was [Created], [Published], [Revoked] or [Removed],
// and hourly. A ring whose documents are published like this needs
// Config.Published, so that a key waits until it has arrived.
func PublicDocuments(ctx context.Context, issuer http.Handler, identifier, dir string) (maxAge time.Duration, err error) {
	u, err := url.Parse(identifier)
	if err != nil || u.Host == "" {
		return 0, errors.New("keyring: publish: the issuer identifier is not a URL")
	}
	for _, path := range []string{jwksPath, discoveryPath} {
		document, age, err := serve(ctx, issuer, u.Path+path)
		if err != nil {
			return 0, bounded(fmt.Errorf("keyring: publish: %w", err))
		}
		if err := writePublic(filepath.Join(dir, filepath.FromSlash(path)), document); err != nil {
			return 0, fmt.Errorf("keyring: publish: %w", err)
		}
		maxAge = age
	}
	return maxAge, nil
}

// answer is the answer of a handler. It keeps maxDocument bytes and one more, which
// shows that the answer is too long.
type answer struct {
	header http.Header
	status int
	body   []byte
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

func (a *answer) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	a.body = append(a.body, b[:min(len(b), maxDocument+1-len(a.body))]...)
	if len(a.body) > maxDocument {
		return 0, errTooLong
	}
	return len(b), nil
}

var errTooLong = fmt.Errorf("it has more than %d bytes", maxDocument)

// serve asks a handler as a client would.
func serve(ctx context.Context, h http.Handler, path string) ([]byte, time.Duration, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, 0, err
	}
	a := &answer{header: make(http.Header)}
	h.ServeHTTP(a, r)
	if a.status != 0 && a.status != http.StatusOK {
		return nil, 0, fmt.Errorf("the issuer answers %s with %d: %s", path, a.status, bytes.TrimSpace(a.body))
	}
	if len(a.body) > maxDocument {
		return nil, 0, fmt.Errorf("the issuer's answer for %s: %w", path, errTooLong)
	}
	age, err := time.ParseDuration(strings.TrimPrefix(a.header.Get("Cache-Control"), "public, max-age=") + "s")
	if err != nil {
		return nil, 0, fmt.Errorf("the issuer serves %s without max-age", path)
	}
	return a.body, age, nil
}

// writePublic replaces a file that every user may read.
func writePublic(path string, document []byte) (err error) {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, document) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".oidctoken-publish-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(document)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// Probe reads the public documents of an issuer as a verifier would.
// The zero value of a field is its default.
type Probe struct {
	// Issuer is the issuer identifier. Required.
	Issuer string
	// Transport makes the requests. Optional, http.DefaultTransport by default.
	Transport http.RoundTripper
}

// Check returns nil if the issuer's public documents have the key kid as the
// issuer itself serves it, and otherwise an error that names the difference. It is
// for [Config.Published]; kid is the key's thumbprint (RFC 7638), as it always is
// in a ring. Check compares
//
//   - the issuer identifier in the discovery document, byte for byte;
//   - the addresses: https, or http to a loopback host if Issuer is such a URL;
//   - the one JWK with that kid: its "kty" and public key have the thumbprint
//     kid, "use" is sig, and "alg" fits the key and is among the algorithms of the
//     discovery document.
//
// The names of JSON members count exactly, and none may occur twice. Check
// follows no redirect and refuses answers of more than 256 KiB. An answer from a
// cache counts like any other, since verifiers get that, too. The error's text
// has at most 1 KiB; control characters are escaped.
func (p Probe) Check(ctx context.Context, kid string) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	if err := p.check(ctx, kid); err != nil {
		return bounded(fmt.Errorf("keyring: probe: %w", err))
	}
	return nil
}

func (p Probe) check(ctx context.Context, kid string) error {
	if err := tokenhttp.CheckURL(p.Issuer); err != nil {
		return fmt.Errorf("Probe.Issuer: %w", err)
	}
	document, err := p.get(ctx, p.Issuer+discoveryPath)
	if err != nil {
		return err
	}
	discovery, err := parseMembers(document)
	if err != nil {
		return fmt.Errorf("the discovery document of %s: %w", p.Issuer, err)
	}
	if issuer := discovery.text("issuer"); issuer != p.Issuer {
		return fmt.Errorf("the discovery document of %s is of the issuer %.128q", p.Issuer, issuer)
	}
	jwksURI := discovery.text("jwks_uri")
	if err := tokenhttp.CheckURL(jwksURI); err != nil {
		return fmt.Errorf("jwks_uri %.128q: %w", jwksURI, err)
	}
	if strings.HasPrefix(p.Issuer, "https:") && !strings.HasPrefix(strings.ToLower(jwksURI), "https:") {
		return fmt.Errorf("jwks_uri %.128q is not https, and the issuer is", jwksURI)
	}
	if document, err = p.get(ctx, jwksURI); err != nil {
		return err
	}
	if err := checkSet(document, kid, discovery.texts("id_token_signing_alg_values_supported")); err != nil {
		return fmt.Errorf("%.128s %w", jwksURI, err)
	}
	return nil
}

// checkSet looks for the one key kid in a JWK Set and checks it. The error continues
// the set's address.
func checkSet(document []byte, kid string, algorithms []string) error {
	set, err := parseMembers(document)
	if err != nil {
		return fmt.Errorf("is not a JWK Set: %w", err)
	}
	var keys []json.RawMessage
	if err := json.Unmarshal(set["keys"], &keys); err != nil {
		return errors.New("is not a JWK Set: it has no list of keys")
	}
	var found []json.RawMessage
	for _, raw := range keys {
		if k, err := parseMembers(raw); err == nil && k.text("kid") == kid {
			found = append(found, raw)
		}
	}
	switch len(found) {
	case 0:
		return fmt.Errorf("does not have the key %s", kid)
	case 1:
		return checkJWK(found[0], kid, algorithms)
	}
	return fmt.Errorf("has %d keys with the kid %s", len(found), kid)
}

// checkJWK returns how a JWK differs from the JWK that the issuer serves for the key
// kid.
func checkJWK(raw json.RawMessage, kid string, algorithms []string) error {
	set, err := jose.ParseSet(fmt.Appendf(nil, `{"keys":[%s]}`, raw))
	if err != nil {
		return fmt.Errorf("has a key %s that is not valid: %w", kid, err)
	}
	keys := set.Keys()
	if len(keys) != 1 {
		return fmt.Errorf("has a key %s that is not a public key", kid)
	}
	public, alg := keys[0].Public, keys[0].Algorithm
	if id, err := jose.Thumbprint(public); err != nil || id != kid {
		return fmt.Errorf("has another public key under the kid %s", kid)
	}
	members, err := parseMembers(raw)
	switch {
	case err != nil:
		return fmt.Errorf("has a key %s that is not valid: %w", kid, err)
	case members.text("use") != "sig":
		return fmt.Errorf("has the use %.40q for the key %s, not \"sig\"", members.text("use"), kid)
	case !fits(alg, public):
		return fmt.Errorf("has the alg %.40q for the key %s, which is a %T", alg, kid, public)
	case !slices.Contains(algorithms, alg):
		return fmt.Errorf("has the alg %.40q for the key %s, and the discovery document lists %.100q", alg, kid, algorithms)
	}
	return nil
}

// members holds the members of a JSON object by their exact names.
type members map[string]json.RawMessage

// parseMembers refuses an object that has a member twice.
func parseMembers(document []byte) (m members, err error) {
	err = tokenhttp.DecodeJSON(document, &m)
	return m, err
}

// text returns the member of that name, or "" if it is absent or no string.
func (m members) text(name string) (s string) {
	if json.Unmarshal(m[name], &s) != nil {
		return ""
	}
	return s
}

// texts returns the member of that name, or nil if it is no list of strings.
func (m members) texts(name string) (s []string) {
	if json.Unmarshal(m[name], &s) != nil {
		return nil
	}
	return s
}

func (p Probe) get(ctx context.Context, address string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	transport := p.Transport
	if transport == nil {
		transport = http.DefaultTransport
	}
	response, err := transport.RoundTrip(r)
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", address, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("get %s: %s", address, response.Status)
	}
	b, err := io.ReadAll(io.LimitReader(response.Body, maxDocument+1))
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", address, err)
	}
	if len(b) > maxDocument {
		return nil, fmt.Errorf("get %s: %w", address, errTooLong)
	}
	return b, nil
}
