package pipeline

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/oidctoken/oidctoken"
)

// check has an issuer like the file's make the claims of every scope. The
// reader so reports every value that the issuer would refuse, with line and
// field, before anything starts.
func (f *File) check() error {
	issuer, err := f.newIssuer()
	if err != nil {
		return err
	}
	if err := f.preview(issuer, f.Scope(nil, nil), f.places); err != nil {
		return err
	}
	for _, c := range f.Connectors {
		if err := f.checkConnector(issuer, c); err != nil {
			return err
		}
	}
	for i := range f.Stages {
		stage := &f.Stages[i]
		if err := f.preview(issuer, f.Scope(stage, nil), stage.places, f.places); err != nil {
			return err
		}
		for j := range stage.Steps {
			step := &stage.Steps[j]
			if err := f.preview(issuer, f.Scope(stage, step), step.places, stage.places, f.places); err != nil {
				return err
			}
		}
	}
	return nil
}

// newIssuer returns an issuer that checks: it is served nowhere.
func (f *File) newIssuer() (*oidctoken.Issuer, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	signer, err := oidctoken.NewSigner(key)
	if err != nil {
		return nil, err
	}
	url := f.Issuer.URL
	if url == "" {
		url = "http://127.0.0.1"
	}
	algorithms := f.Issuer.Algorithms
	if algorithms == nil || len(algorithms) > 0 {
		algorithms = append(slices.Clone(algorithms), "EdDSA") // the algorithm of the key here
	}
	issuer, err := oidctoken.NewIssuer(oidctoken.Config{
		URL:  url,
		Keys: oidctoken.StaticKeys{{Signer: signer}},
		// The relying party limits the length of a subject.
		Profile: oidctoken.Profile{Subject: "account/{account_id}", Algorithms: algorithms, Lifetime: f.Issuer.Lifetime},
	})
	var e *oidctoken.ConfigError
	if errors.As(err, &e) {
		r := &reader{lines: f.lines}
		switch e.Field {
		case "URL":
			return nil, r.fail("issuer.url", "%s", e.Reason)
		case "Profile.Algorithms":
			return nil, r.fail("issuer.algorithms", "%s", e.Reason)
		case "Profile.Lifetime":
			return nil, r.fail("issuer.lifetime", "%s", e.Reason)
		}
	}
	return issuer, err
}

// checkConnector checks the claims and the audiences of the tokens for c. The
// cloud's package checks its own settings.
func (f *File) checkConnector(issuer *oidctoken.Issuer, c Connector) error {
	s := f.Scope(nil, nil)
	s.Connector = &oidctoken.Connector{ID: c.ID, UID: c.UID, Name: c.Name, Level: c.Level}
	if err := f.preview(issuer, s, c.places, f.places); err != nil {
		return err
	}
	cloud, _ := c.cloud()
	path := "connectors" + selector(c.Ref) + "." + cloud + ".audience"
	audiences, paths := []string{c.audience()}, []string{path}
	if c.OIDC != nil {
		audiences, paths = c.OIDC.Audiences, nil
		for i := range audiences {
			paths = append(paths, fmt.Sprintf("%ss[%d]", path, i))
		}
	}
	for i, audience := range audiences {
		if audience == "" {
			continue // the cloud's default
		}
		s.Audience = audience
		if err := f.preview(issuer, s, places{"Audience": paths[i]}, c.places, f.places); err != nil {
			return err
		}
	}
	return nil
}

// audience returns the cloud's audience in the file, or "".
func (c *Connector) audience() string {
	switch {
	case c.GCP != nil:
		return c.GCP.Audience
	case c.AWS != nil:
		return c.AWS.Audience
	case c.Azure != nil:
		return c.Azure.Audience
	}
	return ""
}

// preview makes the claims for a scope. Where the file decides the scope's
// fields is in found, the innermost first.
func (f *File) preview(issuer *oidctoken.Issuer, s oidctoken.Scope, found ...places) error {
	if s.Audience == "" {
		s.Audience = "none"
	}
	_, err := issuer.Preview(context.Background(), s)
	var e *oidctoken.ScopeError
	if !errors.As(err, &e) {
		return err
	}
	r := &reader{lines: f.lines}
	entity, member := "", e.Field
	if i := strings.LastIndexByte(e.Field, '.'); i >= 0 {
		entity, member = e.Field[:i], e.Field[i+1:]
	}
	for _, places := range found {
		if path, ok := places[e.Field]; ok {
			return r.fail(path, "%s", e.Reason)
		}
		if path, ok := places[entity]; ok { // the entity exists, and lacks the member
			at := join(path, snake(member))
			f.lines[at] = f.lines[path]
			return r.fail(at, "%s", e.Reason)
		}
	}
	return r.fail(e.Field, "%s", e.Reason)
}
