package oidctoken

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"strconv"
	"time"

	"github.com/oidctoken/oidctoken/internal/jws"
)

// draft is the memory that a token is made in. It is used again, so that a
// token costs two allocations of ours: its text, and the Token. What it points
// to of a host's Scope is no secret, and goes when the pool is collected.
type draft struct {
	settings settings // of a Scope's own Profile
	facts    facts
	payload  []byte // JSON, with the subject and what is beyond the table at:
	subject  [2]int
	beyond   int
	jws      []byte
	sig      []byte
	dates    dates
	key      *signingKey // that signed
	digester jws.Digester
	jti      [16]byte
}

// settle checks s and renders all of the payload that does not differ from
// one token to the next.
func (iss *Issuer) settle(d *draft, s *Scope) (*settings, error) {
	p := &iss.settings
	if s.Profile != nil {
		p = &d.settings
		if err := iss.readProfile(p, s.Profile); err != nil {
			return nil, err
		}
	}
	if err := d.facts.read(s); err != nil {
		return p, err
	}
	if reason := checkAudience(s.Audience); reason != "" {
		return p, &ScopeError{"Audience", reason}
	}
	if reason := iss.url.checkAccount(d.facts.account.ID); reason != "" {
		return p, &ScopeError{"Account.ID", reason}
	}
	b := append(d.payload[:0], `{"iss":"`...)
	b = append(b, iss.url.before...)
	if iss.url.perAccount {
		b = append(append(b, d.facts.account.ID...), iss.url.after...)
		if len(b)-len(`{"iss":"`) > maxIssuer {
			return p, &ScopeError{"Account.ID", "makes the issuer identifier longer than 255 bytes"}
		}
	}
	b = append(b, `","sub":"`...)
	d.subject[0] = len(b)
	b, err := p.subject.append(b, &d.facts)
	if err != nil {
		return p, err
	}
	d.subject[1] = len(b)
	if n := d.subject[1] - d.subject[0]; n > p.maxSubject {
		return p, &ScopeError{"Profile.Subject", fmt.Sprintf("makes a subject of %d bytes: the limit is %d", n, p.maxSubject)}
	}
	b = append(appendJSON(append(b, `","aud":"`...), s.Audience), '"')
	if b, err = d.facts.appendTable(b, p.nullUnknown); err != nil {
		return p, err
	}
	d.beyond = len(b)
	d.payload, err = iss.appendBeyond(b, d, s, p)
	return p, err
}

// appendBeyond appends the claims beyond the table: the host's and the
// profile's.
func (iss *Issuer) appendBeyond(b []byte, d *draft, s *Scope, p *settings) ([]byte, error) {
	if len(s.Extra) == 0 && p.claims == nil {
		return b, nil
	}
	taken := make(names)
	b, err := appendExtra(b, s.Extra, iss.config.ExtraPrefix, taken)
	if err != nil || p.claims == nil {
		return b, err
	}
	d.payload = b
	made, err := p.claims(iss.claims(d, s, p))
	if err != nil {
		return nil, &ScopeError{"Profile.Claims", "failed: " + err.Error()}
	}
	return appendMade(b, made, taken)
}

// claims is what d's payload says, for hooks: it shares no memory with a draft
// or with s.
func (iss *Issuer) claims(d *draft, s *Scope, p *settings) *Claims {
	c := &Claims{
		issuer:      iss.url.of(d.facts.account.ID),
		subject:     string(d.payload[d.subject[0]:d.subject[1]]),
		audience:    s.Audience,
		nullUnknown: p.nullUnknown,
		beyond:      bytes.Clone(d.payload[d.beyond:]),
	}
	own := s.clone()
	c.facts.read(&own) // which succeeded for d
	return c
}

// Mint returns a token that says what s says. It fails with
//
//   - a *[ScopeError] when s, or its Profile, cannot be put into a token;
//   - [ErrDenied] when policy refuses;
//   - [ErrNoKey] when no key may sign for the profile's algorithms;
//   - [ErrSignerUnavailable] when the signer fails, with the signer's error;
//   - [ErrBadSignature] when the signer answers with garbage;
//   - ctx's error when that ends first.
//
// Nothing is retried and nothing is kept: every token is new.
func (iss *Issuer) Mint(ctx context.Context, s Scope) (*Token, error) {
	begun := iss.begun()
	d := iss.drafts.Get().(*draft)
	defer iss.drafts.Put(d)
	p, err := iss.settle(d, &s)
	if err != nil {
		return nil, iss.audited(ctx, begun, &s, nil, nil, err)
	}
	var claims *Claims
	if iss.config.Audit != nil {
		claims = iss.claims(d, &s, p)
	}
	t, err := iss.issue(ctx, &s, p, d, nil)
	return t, iss.audited(ctx, begun, &s, claims, t, err)
}

// CheckProfile returns why no token for p can be minted, now or later, and nil if
// one can. A nil p is [Config.Profile]. A host that knows its profiles calls it at
// start. It fails with
//
//   - a *[ScopeError] when p is wrong;
//   - [ErrNoKey] when the KeySource fails, or has no key for p's algorithms. The
//     error lists the keys and why each cannot sign. A key of [StaticKeys] that
//     has ended cannot. Another KeySource may rotate its keys, so a key of that
//     algorithm is enough.
//
// CheckProfile neither signs nor calls [Config.Allow] or [Config.Audit].
func (iss *Issuer) CheckProfile(ctx context.Context, p *Profile) error {
	s := iss.settings
	if p != nil {
		if err := iss.readProfile(&s, p); err != nil {
			return err
		}
	}
	set, err := iss.keySet(ctx)
	if err == nil {
		_, static := iss.config.Keys.(StaticKeys)
		err = set.checkHas(s.algorithms, iss.config.Now(), !static)
	}
	if err != nil {
		return fmt.Errorf("oidctoken: check profile: %w", err)
	}
	return nil
}

// Preview returns what a token for s would say now, without asking policy or a
// key. It fails with a *[ScopeError], as Mint does.
func (iss *Issuer) Preview(ctx context.Context, s Scope) (*Claims, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("oidctoken: preview: %w", err)
	}
	d := iss.drafts.Get().(*draft)
	defer iss.drafts.Put(d)
	p, err := iss.settle(d, &s)
	if err != nil {
		return nil, err
	}
	return iss.claims(d, &s, p), nil
}

// Prepared mints tokens that all say the same, for an execution whose tokens
// are renewed: what does not differ between them was checked and rendered
// once. It is safe for concurrent use.
type Prepared struct {
	issuer   *Issuer
	scope    Scope
	settings settings
	claims   *Claims
	prefix   jws.Prefix // the payload's beginning, in whole groups of base64url,
	rest     []byte     // and the 0 to 2 bytes behind them
}

// Prepare checks and renders s, with the errors of Preview. A later change to
// what s points to has no effect.
func (iss *Issuer) Prepare(ctx context.Context, s Scope) (*Prepared, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("oidctoken: prepare: %w", err)
	}
	d := iss.drafts.Get().(*draft)
	defer iss.drafts.Put(d)
	begun := iss.begun()
	p, err := iss.settle(d, &s)
	if err != nil {
		return nil, iss.audited(ctx, begun, &s, nil, nil, err)
	}
	whole := len(d.payload) / 3 * 3
	return &Prepared{
		issuer:   iss,
		scope:    s.clone(),
		settings: *p,
		claims:   iss.claims(d, &s, p),
		prefix:   jws.Prefix{Encoded: jws.AppendBase64(nil, d.payload[:whole])},
		rest:     bytes.Clone(d.payload[whole:]),
	}, nil
}

// Claims are what the tokens say.
func (p *Prepared) Claims() *Claims { return p.claims }

// Mint returns a new token, as [Issuer.Mint] does: policy is asked and the key
// is chosen anew.
func (p *Prepared) Mint(ctx context.Context) (*Token, error) {
	begun := p.issuer.begun()
	d := p.issuer.drafts.Get().(*draft)
	defer p.issuer.drafts.Put(d)
	d.payload = append(d.payload[:0], p.rest...)
	t, err := p.issuer.issue(ctx, &p.scope, &p.settings, d, &p.prefix)
	return t, p.issuer.audited(ctx, begun, &p.scope, p.claims, t, err)
}

// begun is now, if anybody is told how long minting took.
func (iss *Issuer) begun() (now time.Time) {
	if iss.config.Audit != nil {
		now = iss.config.Now()
	}
	return now
}

// audited tells Audit how minting ended, and returns err.
func (iss *Issuer) audited(ctx context.Context, begun time.Time, s *Scope, claims *Claims, t *Token, err error) error {
	if iss.config.Audit == nil {
		return err
	}
	now := iss.config.Now()
	e := Event{Time: now, Scope: *s, Claims: claims, Err: err, Took: now.Sub(begun)}
	if claims != nil {
		e.Omitted = claims.Omitted()
	}
	if t != nil {
		e.ID, e.KeyID, e.Expires = t.ID(), t.KeyID(), t.Expires()
	}
	iss.config.Audit(ctx, e)
	return err
}

// issue signs the payload that is in d, without the claims that differ from one
// token to the next. What is in d is the rest of it if there is a prefix.
func (iss *Issuer) issue(ctx context.Context, s *Scope, p *settings, d *draft, prefix *jws.Prefix) (*Token, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("oidctoken: mint: %w", err)
	}
	if err := authorize(ctx, iss.config.Allow, s); err != nil {
		return nil, err
	}
	return iss.issueAllowed(ctx, p, d, prefix)
}

// issueAllowed is issue after policy was asked.
func (iss *Issuer) issueAllowed(ctx context.Context, p *settings, d *draft, prefix *jws.Prefix) (*Token, error) {
	set, err := iss.keySet(ctx)
	if err != nil {
		return nil, fmt.Errorf("oidctoken: mint: %w", err)
	}
	now := iss.config.Now()
	key := set.pick(p.algorithms, now)
	if key == nil {
		return nil, fmt.Errorf("oidctoken: mint: %w", set.noKey(p.algorithms, now))
	}
	d.key, d.dates = key, iss.datesOf(p.lifetime, key, now)
	expires := d.dates.expires
	if expires <= d.dates.minted {
		return nil, fmt.Errorf("oidctoken: mint: %w: key %s ends within the second", ErrNoKey, key.ID)
	}
	rand.Read(d.jti[:]) // never fails: the program ends without entropy

	d.payload = iss.appendTail(d.payload, d.dates, &d.jti)
	d.jws = append(d.jws[:0], key.header...)
	if prefix != nil {
		d.jws = append(d.jws, prefix.Encoded...)
	}
	d.jws = jws.AppendBase64(d.jws, d.payload)
	if err := d.sign(ctx, key, d.digester.DigestPrefixed(key.alg, prefix, key.header, d.jws)); err != nil {
		return nil, fmt.Errorf("oidctoken: mint: key %s: %w", key.ID, err)
	}
	if iss.config.Now().Unix() >= expires {
		return nil, fmt.Errorf("oidctoken: mint: key %s: %w: it took until the token had expired", key.ID, ErrSignerUnavailable)
	}
	return newToken(d.jws, &d.jti, key.ID, expires), nil
}

// newToken is one object that holds the Token and its text, which keeps both
// alive.
func newToken(jws []byte, jti *[16]byte, keyID string, expires int64) *Token {
	minted := &struct {
		Token
		text string
	}{text: string(jws)}
	minted.Token = Token{jwt: &minted.text, id: *jti, keyID: keyID, expires: expires}
	return &minted.Token
}

// dates holds the dates of a token, in seconds since 1970.
type dates struct {
	minted          int64 // by the issuer's clock; not a claim
	issued, expires int64 // "iat" and "exp"
}

// datesOf returns the dates of a token that key signs at now.
func (iss *Issuer) datesOf(lifetime time.Duration, key *signingKey, now time.Time) dates {
	d := dates{minted: now.Unix()}
	d.issued = d.minted - int64(min(iss.config.BackdateIssuedAt, lifetime/2)/time.Second)
	d.expires = d.issued + int64(lifetime/time.Second)
	if !key.Expires.IsZero() {
		d.expires = min(d.expires, key.Expires.Unix())
	}
	return d
}

// appendTail appends what differs from one token to the next.
func (iss *Issuer) appendTail(b []byte, d dates, jti *[16]byte) []byte {
	b = strconv.AppendInt(append(b, `,"iat":`...), d.issued, 10)
	b = strconv.AppendInt(append(b, `,"nbf":`...), d.minted-int64(iss.config.BackdateNotBefore/time.Second), 10)
	b = strconv.AppendInt(append(b, `,"exp":`...), d.expires, 10)
	b = jws.AppendBase64(append(b, `,"jti":"`...), jti[:])
	return append(b, `"}`...)
}

// Allow returns nil if policy permits a token for s now, and otherwise the error
// with [ErrDenied] that Mint would return. Callers that reuse something which an
// earlier token gave them, such as a cached credential, call Allow again before
// they hand it out. Allow does not call Config.Audit.
func (iss *Issuer) Allow(ctx context.Context, s Scope) error {
	return authorize(ctx, iss.config.Allow, &s)
}

// sign signs d.jws, whose digest is given, and appends the signature to it.
func (d *draft) sign(ctx context.Context, k *signingKey, digest []byte) error {
	if !k.trust {
		// A signer that goes on after ctx ended would read the next token's.
		digest = bytes.Clone(digest)
	}
	raw, err := k.Signer.Sign(ctx, digest, k.alg.Hash)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSignerUnavailable, err)
	}
	if d.sig, err = k.alg.AppendSignature(d.sig[:0], raw); err != nil {
		return fmt.Errorf("%w: %w", ErrBadSignature, err)
	}
	if !k.trust {
		if err := k.alg.Verify(k.public, digest, raw); err != nil {
			return fmt.Errorf("%w: %w", ErrBadSignature, err)
		}
	}
	d.jws = jws.AppendBase64(append(d.jws, '.'), d.sig)
	return nil
}
