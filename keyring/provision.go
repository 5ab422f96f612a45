package keyring

import (
	"context"
	"crypto"
	"fmt"
	"sync/atomic"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/internal/jws"
)

// Provisioner makes and ends keys that never leave a key management service.
// The ring decides when. It is safe for concurrent use.
//
// A Provisioner serves one ring. A replica may end between Create and storing
// the new version. The ring finds such a version in the list and uses it as its
// next key.
type Provisioner interface {
	// Versions lists the versions that can sign: every version of Create, at once,
	// until Retire.
	Versions(ctx context.Context) ([]Version, error)
	// Create makes a version for an algorithm (RFC 7518, section 3.1).
	Create(ctx context.Context, algorithm string) (Version, error)
	// Retire disables a version, or destroys it. It succeeds for a version that is
	// already gone. The ring no longer uses the version.
	Retire(ctx context.Context, id string) error
}

// Version is a version of a key in a service.
type Version struct {
	// ID is the service's name for it, of at most 1024 bytes. Required.
	ID string
	// Algorithm is the algorithm that the version signs with. Required.
	Algorithm string
	// Signer signs with it. Required.
	Signer oidctoken.Signer
}

// remoteSigner is the signer of a version. A replica that starts while the
// service is unavailable has not listed the version; the first call of Sign
// then looks it up.
type remoteSigner struct {
	id     string
	public crypto.PublicKey
	find   func(context.Context) error
	signer atomic.Pointer[oidctoken.Signer]
}

func (s *remoteSigner) Public() crypto.PublicKey { return s.public }

func (s *remoteSigner) Sign(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	signer := s.signer.Load()
	if signer == nil {
		err := s.find(ctx)
		if signer = s.signer.Load(); signer == nil {
			if err == nil { // another version was found, or this one was just listed
				err = fmt.Errorf("%w: the version %.256q is not listed", ErrProvisioner, s.id)
			}
			return nil, fmt.Errorf("keyring: sign: %w", err)
		}
	}
	return (*signer).Sign(ctx, digest, opts)
}

// Format names the version.
func (s *remoteSigner) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "keyring.Signer(%s)", s.id) }

func (r *Ring) remoteSigner(id string, public crypto.PublicKey) *remoteSigner {
	return &remoteSigner{id: id, public: public, find: func(ctx context.Context) error { return r.lookup.do(ctx, r.resolve) }}
}

// resolve finds the versions of the ring's keys that were not listed before.
func (r *Ring) resolve(ctx context.Context) error {
	var missing []*remoteSigner
	for _, signer := range r.current().signers {
		if remote, ok := signer.(*remoteSigner); ok && remote.signer.Load() == nil {
			missing = append(missing, remote)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	versions, err := r.config.Provisioner.Versions(ctx)
	if err != nil {
		return fmt.Errorf("%w: list versions: %w", ErrProvisioner, bounded(err))
	}
	err = nil
	for _, remote := range missing {
		found := versionWith(versions, remote.id)
		switch {
		case found == nil:
			err = fmt.Errorf("%w: the version %.256q is not there", ErrProvisioner, remote.id)
		case found.Signer == nil || !jws.SameKey(remote.public, found.Signer.Public()):
			err = fmt.Errorf("%w: the version %.256q has another public key", ErrProvisioner, remote.id)
		default:
			remote.signer.Store(&found.Signer)
		}
	}
	return err
}

func versionWith(versions []Version, id string) *Version {
	for i := range versions {
		if versions[i].ID == id {
			return &versions[i]
		}
	}
	return nil
}

// provision returns a version for alg that the ring does not have: one that a
// replica left behind, or a new one.
func (r *Ring) provision(ctx context.Context, s *state, alg string) (record, oidctoken.Signer, error) {
	ctx, cancel := context.WithTimeout(ctx, createTimeout)
	defer cancel()
	versions, err := r.config.Provisioner.Versions(ctx)
	if err != nil {
		return record{}, nil, fmt.Errorf("%w: list versions: %w", ErrProvisioner, bounded(err))
	}
	var found *Version
	for i, v := range versions {
		if v.Algorithm == alg && !s.hasVersion(v.ID) {
			found = &versions[i]
			break
		}
	}
	if found == nil {
		v, err := r.config.Provisioner.Create(ctx, alg)
		if err != nil {
			return record{}, nil, fmt.Errorf("%w: create a version for %s: %w", ErrProvisioner, alg, bounded(err))
		}
		found = &v
	}
	if found.Signer == nil || found.ID == "" || len(found.ID) > 1024 {
		return record{}, nil, fmt.Errorf("%w: a version has no Signer, or an ID that is not 1 to 1024 bytes", ErrProvisioner)
	}
	k, err := newRecord(alg, found.Signer.Public())
	if err != nil {
		return record{}, nil, fmt.Errorf("%w: version %s: %w", ErrProvisioner, found.ID, err)
	}
	k.Version = found.ID
	remote := r.remoteSigner(found.ID, found.Signer.Public())
	remote.signer.Store(&found.Signer)
	return k, remote, nil
}

func (s *state) hasVersion(id string) bool {
	for _, k := range s.Keys {
		if k.Version == id {
			return true
		}
	}
	return false
}

// retireVersion ends a version that nothing refers to any more.
func (r *Ring) retireVersion(ctx context.Context, id string) error {
	if r.config.Provisioner == nil {
		return fmt.Errorf("%w: Config.Provisioner is nil, so the version %.256q cannot be retired", ErrProvisioner, id)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := r.config.Provisioner.Retire(ctx, id); err != nil {
		return fmt.Errorf("%w: retire version %s: %w", ErrProvisioner, id, bounded(err))
	}
	return nil
}
