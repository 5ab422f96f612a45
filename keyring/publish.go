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
	"strings"
	"time"

	"github.com/oidctoken/oidctoken/internal/jose"
)

const (
	discoveryPath = "/.well-known/openid-configuration" // Discovery 1.0, section 4
	jwksPath      = "/.well-known/jwks.json"            // as an oidctoken.Issuer has it
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
// A file that would not change is not touched. The others are replaced as a
// whole and readable for everybody (mode 0644); dir is made if it is missing.
// The JWK Set comes first, since the other document names the algorithms in it.
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
			return 0, fmt.Errorf("keyring: publish: %w", err)
		}
		if err := writePublic(filepath.Join(dir, filepath.FromSlash(path)), document); err != nil {
			return 0, fmt.Errorf("keyring: publish: %w", err)
		}
		maxAge = age
	}
	return maxAge, nil
}

// answer is what a handler writes.
type answer struct {
	header http.Header
	status int
	bytes.Buffer
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

// serve asks a handler as a client would.
func serve(ctx context.Context, h http.Handler, path string) ([]byte, time.Duration, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, 0, err
	}
	a := &answer{header: make(http.Header)}
	h.ServeHTTP(a, r)
	if a.status != 0 && a.status != http.StatusOK {
		return nil, 0, fmt.Errorf("the issuer answers %s with %d: %s", path, a.status, strings.TrimSpace(a.String()))
	}
	age, err := time.ParseDuration(strings.TrimPrefix(a.header.Get("Cache-Control"), "public, max-age=") + "s")
	if err != nil {
		return nil, 0, fmt.Errorf("the issuer serves %s without max-age", path)
	}
	return a.Bytes(), age, nil
}

// writePublic replaces a file that everybody may read.
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

// Probe looks at what an issuer's public address serves, as a verifier would.
// The zero value of a field is its default.
type Probe struct {
	// Issuer is the issuer identifier. Required.
	Issuer string
	// Transport makes the requests. Optional, http.DefaultTransport by default.
	Transport http.RoundTripper
}

// Check reports whether the JWK Set that the issuer's discovery document names
// has the key: nil if it has, else why it has not. It is for
// [Config.Published]. Redirects are not followed, and answers of more than 256
// KiB are refused; one that a cache gave counts like any other, since verifiers
// get that, too.
func (p Probe) Check(ctx context.Context, kid string) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	var discovery struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	document, err := p.get(ctx, p.Issuer+discoveryPath)
	if err != nil {
		return fmt.Errorf("keyring: probe: %w", err)
	}
	if err := json.Unmarshal(document, &discovery); err != nil {
		return fmt.Errorf("keyring: probe: the discovery document of %s is not JSON", p.Issuer)
	}
	if discovery.Issuer != p.Issuer {
		return fmt.Errorf("keyring: probe: the discovery document of %s is of the issuer %.128q", p.Issuer, discovery.Issuer)
	}
	if document, err = p.get(ctx, discovery.JWKSURI); err != nil {
		return fmt.Errorf("keyring: probe: %w", err)
	}
	set, err := jose.ParseSet(document)
	if err != nil {
		return fmt.Errorf("keyring: probe: %s: %w", discovery.JWKSURI, err)
	}
	for _, k := range set.Keys() {
		if k.ID == kid {
			return nil
		}
	}
	return fmt.Errorf("keyring: probe: %s does not have the key %s", discovery.JWKSURI, kid)
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
		return nil, fmt.Errorf("get %s: it has more than %d bytes", address, maxDocument)
	}
	return b, nil
}
