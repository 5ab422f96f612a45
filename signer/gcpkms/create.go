package gcpkms

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/api/cloudkms/v1"

	"github.com/oidctoken/oidctoken/keyring"
	"github.com/oidctoken/oidctoken/signer"
)

// Create makes a version of the key for an algorithm, and the key if there is
// none, and returns when the service has generated the version: for RSA that
// may take minutes. It waits until ctx ends.
//
// If a replica ended while the service generated a version, Create waits for that
// version and makes no other. For an hour after the service failed to generate a
// version, Create fails at once and makes none, because the service keeps failed
// versions for good.
func (p *Provisioner) Create(ctx context.Context, alg string) (keyring.Version, error) {
	want, err := algorithmFor(alg, p.config.RSABits)
	if err != nil {
		return keyring.Version{}, refused("CreateCryptoKeyVersion", err)
	}
	if err := p.ensureKey(ctx, want); err != nil {
		return keyring.Version{}, err
	}
	v, err := p.pending(ctx, want)
	if err != nil {
		return keyring.Version{}, err
	}
	if err := p.generated(ctx, v); err != nil {
		p.forget(v.Name) // so that the next Create can wait for it
		return keyring.Version{}, err
	}
	s, err := p.caller.signer(ctx, v.Name)
	if err != nil {
		return keyring.Version{}, err // Versions lists it
	}
	if s.algorithm != want {
		return keyring.Version{}, malformed("CreateCryptoKeyVersion", "%s has the algorithm %s, not %s", v.Name, s.algorithm.name, want.name)
	}
	return keyring.Version{ID: v.Name, Algorithm: alg, Signer: s}, nil
}

// ensureKey makes the key for an algorithm, without a version, if it is
// missing.
func (p *Provisioner) ensureKey(ctx context.Context, want algorithm) error {
	const purpose = "ASYMMETRIC_SIGN"
	name := p.key(want.jws)
	get := func() (*cloudkms.CryptoKey, error) {
		return call(ctx, p.caller.forKey(), "GetCryptoKey", func(ctx context.Context) (*cloudkms.CryptoKey, error) {
			return p.caller.keys().Get(name).Context(ctx).Do()
		})
	}
	key, err := get()
	if isMissing(err) {
		key, err = call(ctx, p.caller.forKey(), "CreateCryptoKey", func(ctx context.Context) (*cloudkms.CryptoKey, error) {
			return p.caller.keys().Create(p.config.KeyRing, &cloudkms.CryptoKey{
				Purpose:         purpose,
				VersionTemplate: &cloudkms.CryptoKeyVersionTemplate{Algorithm: want.name, ProtectionLevel: p.config.ProtectionLevel},
			}).CryptoKeyId(name[len(p.config.KeyRing+"/cryptoKeys/"):]).SkipInitialVersionCreation(true).Context(ctx).Do()
		})
		if codeIs(err, "ALREADY_EXISTS") { // another replica was faster
			key, err = get()
		}
	}
	switch {
	case err != nil:
		return err
	case key.Name != name:
		return malformed("GetCryptoKey", "it is for %s, not %s", shown(key.Name, cryptoKey), name)
	case key.VersionTemplate == nil || key.Purpose != purpose || key.VersionTemplate.Algorithm != want.name || key.VersionTemplate.ProtectionLevel != p.config.ProtectionLevel:
		return refused("GetCryptoKey", fmt.Errorf("%s is not for %s with %s at protection level %s: change its version template, or the configuration",
			name, purpose, want.name, p.config.ProtectionLevel))
	}
	return nil
}

// pending returns a version that no other Create returns, and that may not be
// ENABLED yet.
func (p *Provisioner) pending(ctx context.Context, want algorithm) (*cloudkms.CryptoKeyVersion, error) {
	left, err := p.list(ctx, want.jws, "PENDING_GENERATION")
	if err != nil {
		return nil, err
	}
	for _, v := range left {
		if p.claim(v.Name) {
			return v, nil
		}
	}
	if err := p.failedLately(ctx, want); err != nil {
		return nil, err
	}
	const op, tries = "CreateCryptoKeyVersion", 3
	key := p.key(want.jws)
	for range tries {
		v, err := call(ctx, p.caller.forKey(), op, func(ctx context.Context) (*cloudkms.CryptoKeyVersion, error) {
			return p.caller.keys().CryptoKeyVersions.Create(key, new(cloudkms.CryptoKeyVersion)).Context(ctx).Do()
		})
		switch {
		case err != nil:
			return nil, err
		case !isNamed(v.Name, keyVersion) || keyOf(v.Name) != key:
			return nil, malformed(op, "it made %s, no version of %s", shown(v.Name, keyVersion), key)
		case p.claim(v.Name): // else another Create saw it in the meantime
			return v, nil
		}
	}
	return nil, malformed(op, "it made versions of %s that were there before", key)
}

// afterFailure is the pause after the service failed to generate a version.
// Failed versions stay forever, so a ring that retries every few seconds must
// not make one each time.
const afterFailure = time.Hour

// failedLately returns an error if a version that any replica requested less
// than afterFailure ago could not be generated.
func (p *Provisioner) failedLately(ctx context.Context, want algorithm) error {
	failed, err := p.list(ctx, want.jws, generationFailed)
	if err != nil {
		return err
	}
	for _, v := range failed {
		created, err := time.Parse(time.RFC3339, v.CreateTime)
		if err != nil { // which may show the value
			return malformed("ListCryptoKeyVersions", "%s has no createTime", v.Name)
		}
		if time.Since(created) < afterFailure {
			return &signer.Error{Service: serviceName, Op: "CreateCryptoKeyVersion", Kind: signer.Gone, Code: generationFailed,
				Err: fmt.Errorf("%s was not generated: no other is made until %s", v.Name, created.Add(afterFailure).UTC().Format(time.RFC3339))}
		}
	}
	return nil
}

func (p *Provisioner) claim(name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.claimed[name] {
		return false
	}
	p.claimed[name] = true
	return true
}

// generationFailed is the state of a version that the service gave up.
const generationFailed = "GENERATION_FAILED"

const (
	firstPoll = 100 * time.Millisecond
	lastPoll  = 5 * time.Second // doubled up to it
)

// generated waits until a version is ENABLED. It also waits after a temporary
// failure, because the version exists.
func (p *Provisioner) generated(ctx context.Context, v *cloudkms.CryptoKeyVersion) error {
	const op = "GetCryptoKeyVersion"
	name, state := v.Name, v
	var err error
	for delay := firstPoll; ; delay = min(2*delay, lastPoll) {
		pause := delay
		var e *signer.Error
		switch {
		case errors.As(err, &e) && e.Temporary():
			pause = max(pause, e.RetryAfter)
		case err != nil:
			return err
		case state.State == "ENABLED":
			return nil
		case state.State != "PENDING_GENERATION":
			return &signer.Error{Service: serviceName, Op: op, Kind: signer.Gone, Code: constant(state.State),
				Err: fmt.Errorf("%s was not generated", name)}
		}
		if ctxErr := sleep(ctx, pause); ctxErr != nil {
			return &signer.Error{Service: serviceName, Op: op, Kind: signer.Unavailable,
				Err: fmt.Errorf("%s is not generated yet: %w", name, ctxErr)}
		}
		state, err = p.version(ctx, name)
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
