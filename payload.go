package oidctoken

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/oidctoken/oidctoken/internal/issuerurl"
	"github.com/oidctoken/oidctoken/internal/strictjson"
	"github.com/oidctoken/oidctoken/internal/text"
)

const maxAudience = 600 // bytes; the limit of Entra, and more than all others accept

// payload is the memory in which the payload of a token is rendered, without the
// claims that differ from one token to the next. It is used again for other tokens.
type payload struct {
	scope   flatScope
	json    []byte // the claims as JSON, without the closing brace
	subject [2]int // where json has the subject
	added   int    // where json has the claims outside the table
}

// payloadRenderer renders the payloads of one issuer.
type payloadRenderer struct {
	url         issuerurl.URL
	extraPrefix string // [Config].ExtraPrefix
}

// render checks s and renders p. The error is a *[ScopeError].
func (r *payloadRenderer) render(p *payload, s *Scope, set *settings) error {
	if err := p.scope.read(s); err != nil {
		return err
	}
	if reason := checkAudience(s.Audience); reason != "" {
		return &ScopeError{"Audience", reason}
	}
	account := p.scope.account.ID
	if reason := r.url.CheckAccount(account); reason != "" {
		return &ScopeError{"Account.ID", reason}
	}
	b := append(p.json[:0], `{"iss":"`...)
	issuer := len(b)
	b = r.url.Append(b, account)
	if len(b)-issuer > issuerurl.Max {
		return &ScopeError{"Account.ID", "makes the issuer identifier longer than 255 bytes"}
	}
	b = append(b, `","sub":"`...)
	p.subject[0] = len(b)
	b, wrong := set.subject.Append(b, &p.scope)
	if wrong != nil {
		return &ScopeError{fieldOf(wrong.Claim), wrong.Reason}
	}
	p.subject[1] = len(b)
	if n := p.subject[1] - p.subject[0]; n > set.maxSubject {
		return &ScopeError{"Profile.Subject", fmt.Sprintf("makes a subject of %d bytes: the limit is %d", n, set.maxSubject)}
	}
	b = append(text.AppendJSON(append(b, `","aud":"`...), s.Audience), '"')
	b, err := p.scope.appendTable(b, set.nullUnknown)
	if err != nil {
		return err
	}
	p.json, p.added = b, len(b)
	return r.addClaims(p, s, set)
}

// addClaims appends the claims outside the table: those of Scope.Extra and those
// of Profile.Claims.
func (r *payloadRenderer) addClaims(p *payload, s *Scope, set *settings) error {
	if len(s.Extra) == 0 && set.claims == nil {
		return nil
	}
	added := make(addedNames)
	if err := p.addExtra(s.Extra, r.extraPrefix, added); err != nil {
		return err
	}
	if set.claims == nil {
		return nil
	}
	computed, err := set.claims(r.claims(p, s, set))
	if err != nil {
		return &ScopeError{"Profile.Claims", "failed: " + err.Error()}
	}
	return p.addComputed(computed, added)
}

// claims returns the claims of p, which was rendered from s. They share no memory
// with p or s.
func (r *payloadRenderer) claims(p *payload, s *Scope, set *settings) *Claims {
	c := &Claims{
		issuer:      string(r.url.Append(nil, p.scope.account.ID)),
		subject:     string(p.json[p.subject[0]:p.subject[1]]),
		audience:    s.Audience,
		nullUnknown: set.nullUnknown,
		added:       bytes.Clone(p.json[p.added:]),
	}
	own := s.clone()
	c.scope.read(&own) // no error: it succeeded for p
	return c
}

// checkAudience returns why s cannot be an audience, or "" if it can.
func checkAudience(s string) (reason string) {
	switch {
	case s == "":
		return "is required"
	case len(s) > maxAudience:
		return "is longer than 600 bytes"
	}
	if !text.All(s, text.Visible) {
		return "is not printable ASCII without spaces"
	}
	return ""
}

// addedNames holds the names of claims outside the table, by their lower case.
type addedNames map[string]string

// add returns why a name cannot stand beside the names before it, or "" if it can.
// A careless verifier would confuse two names that differ only in letter case.
func (n addedNames) add(name string) (reason string) {
	lower := strings.ToLower(name)
	other, there := n[lower]
	switch {
	case there && other == name:
		return "is also a name in Extra"
	case there:
		return "differs from another name in letter case only"
	}
	n[lower] = name
	return ""
}

// fieldOf returns the field of Scope that a claim's value comes from, for errors.
func fieldOf(claim string) string {
	if row := rowOf[claim]; row != nil {
		return row.field
	}
	return extraField(claim)
}

// extraField returns the field of a host-defined claim, for errors.
func extraField(name string) string { return fmt.Sprintf("Extra[%+.64q]", name) }

// addExtra appends the host's own claims, sorted by name.
func (p *payload) addExtra(extra map[string]string, prefix string, added addedNames) error {
	for _, name := range slices.Sorted(maps.Keys(extra)) {
		field := extraField(name)
		if reason := checkClaimName(name); reason != "" {
			return &ScopeError{field, reason}
		}
		if prefix == "" || !strings.HasPrefix(name, prefix) {
			return &ScopeError{field, "does not begin with Config.ExtraPrefix"}
		}
		reason := added.add(name)
		switch v := extra[name]; {
		case reason != "":
		case v == "":
			reason = "is empty"
		default:
			reason = text.Check(v)
		}
		if reason != "" {
			return &ScopeError{field, reason}
		}
		p.json = append(append(append(p.json, `,"`...), name...), `":"`...)
		p.json = append(text.AppendJSON(p.json, extra[name]), '"')
	}
	return nil
}

// addComputed appends the claims that Profile.Claims computed, sorted by name.
func (p *payload) addComputed(computed map[string]any, added addedNames) error {
	for _, name := range slices.Sorted(maps.Keys(computed)) {
		reason := checkClaimName(name)
		if reason == "" {
			reason = added.add(name)
		}
		value, err := json.Marshal(computed[name])
		switch {
		case err != nil:
			reason = "cannot be encoded: " + err.Error()
		case reason == "":
			reason = strictjson.Check(value)
		}
		if reason != "" {
			return &ScopeError{fmt.Sprintf("Profile.Claims[%+.64q]", name), reason}
		}
		p.json = append(append(append(p.json, `,"`...), name...), `":`...)
		p.json = append(p.json, value...)
	}
	return nil
}
