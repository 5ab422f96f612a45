package gcpkms

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"google.golang.org/api/cloudkms/v1"

	"github.com/oidctoken/oidctoken/keyring"
	"github.com/oidctoken/oidctoken/signer"
)

// ProvisionerConfig is the place and the kind of a Provisioner's keys.
type ProvisionerConfig struct {
	// KeyRing has the keys, by its full name: projects/P/locations/L/keyRings/R.
	// It must be there. Required.
	KeyRing string

	// Prefix is the beginning of the ids of the ring's keys, one for each
	// algorithm: "ci-rs256" and "ci-es256" for "ci". Two rings must not share a
	// prefix, and the keys must serve nothing else: every ENABLED version of them
	// becomes a key of the ring. 1 to 50 bytes of A-Z a-z 0-9 - _. Required.
	Prefix string

	// RSABits is the size of keys for RS256: 2048, 3072 or 4096. Optional, 2048
	// by default. Those for RS512 have 4096, as the service has no others.
	RSABits int

	// ProtectionLevel is SOFTWARE or HSM. Optional, SOFTWARE by default.
	ProtectionLevel string
}

// Provisioner makes and destroys versions of keys for one keyring.Ring. It is a
// [keyring.Provisioner].
type Provisioner struct {
	caller caller
	config ProvisionerConfig

	mu      sync.Mutex
	claimed map[string]bool // versions that a Create waits for, or has returned
}

var _ keyring.Provisioner = (*Provisioner)(nil)

// NewProvisioner returns a Provisioner. It makes no call. A nil guard means a
// new one with the default limits; the Signers of its versions share it.
//
// A key that is missing is made when Create first needs it. One that is there,
// as from a tool that describes the infrastructure, must have the purpose
// ASYMMETRIC_SIGN and a version template that agrees with the configuration.
func NewProvisioner(service *cloudkms.Service, config ProvisionerConfig, guard *signer.Guard) (*Provisioner, error) {
	c, err := newCaller(service, guard)
	if err == nil {
		err = config.complete()
	}
	if err != nil {
		return nil, refused("NewProvisioner", err)
	}
	return &Provisioner{caller: c, config: config, claimed: make(map[string]bool)}, nil
}

// complete fills in the defaults and checks all of the configuration.
func (c *ProvisionerConfig) complete() error {
	if c.RSABits == 0 {
		c.RSABits = 2048
	}
	if c.ProtectionLevel == "" {
		c.ProtectionLevel = "SOFTWARE"
	}
	if err := checkName(c.KeyRing, keyRing); err != nil {
		return fmt.Errorf("config.KeyRing: %w", err)
	}
	if !isID(c.Prefix) || strings.ContainsAny(c.Prefix, ".:") || len(c.Prefix) > 50 {
		return fmt.Errorf("config.Prefix: %.60q is not 1 to 50 bytes of A-Z a-z 0-9 - _", c.Prefix)
	}
	if _, err := algorithmFor("RS256", c.RSABits); err != nil {
		return fmt.Errorf("config.RSABits: %d is not 2048, 3072 or 4096", c.RSABits)
	}
	if c.ProtectionLevel != "SOFTWARE" && c.ProtectionLevel != "HSM" {
		return fmt.Errorf("config.ProtectionLevel: %.40q is not SOFTWARE or HSM", c.ProtectionLevel)
	}
	return nil
}

// Format prints the key ring and the prefix, with every verb.
func (p *Provisioner) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "gcpkms.Provisioner(%s)", p.key("*"))
}

// key returns the name of the key for an algorithm.
func (p *Provisioner) key(alg string) string {
	return p.config.KeyRing + "/cryptoKeys/" + p.config.Prefix + "-" + strings.ToLower(alg)
}

// served returns the algorithms that there can be keys for.
func served() []string {
	var names []string
	for i, a := range algorithms {
		if i == 0 || a.jws != algorithms[i-1].jws {
			names = append(names, a.jws)
		}
	}
	return names
}

// Versions lists the ENABLED versions of all keys of the ring, of any size and
// protection level. The service lists a version as soon as the service has returned it
// as ENABLED. A version that is still being generated is not listed: it cannot
// sign, and Create has not returned it. A version whose algorithm differs from
// the algorithm in its key's name was not made here and is left out.
func (p *Provisioner) Versions(ctx context.Context) ([]keyring.Version, error) {
	var versions []keyring.Version
	for _, alg := range served() {
		listed, err := p.list(ctx, alg, "ENABLED")
		if err != nil {
			return nil, err
		}
		for _, v := range listed {
			s, err := p.caller.signer(ctx, v.Name)
			switch {
			case kindIs(err, signer.Gone):
				continue // since it was listed
			case err != nil:
				return nil, err
			case s.algorithm.name != v.Algorithm:
				return nil, malformed("GetPublicKey", "%s has the algorithm %s, and was listed with %s", v.Name, s.algorithm.name, v.Algorithm)
			}
			versions = append(versions, keyring.Version{ID: v.Name, Algorithm: alg, Signer: s})
		}
	}
	return versions, nil
}

const (
	pageSize = 100
	maxPages = 50 // the service numbers all versions that ever were, but lists those in one state
)

// list lists the versions for an algorithm that are in a state. Without a key
// the list is empty.
func (p *Provisioner) list(ctx context.Context, alg, state string) ([]*cloudkms.CryptoKeyVersion, error) {
	const op = "ListCryptoKeyVersions"
	key := p.key(alg)
	var versions []*cloudkms.CryptoKeyVersion
	token := ""
	for range maxPages {
		page, err := call(ctx, p.caller.forKey(), op, func(ctx context.Context) (*cloudkms.ListCryptoKeyVersionsResponse, error) {
			return p.caller.keys().CryptoKeyVersions.List(key).Filter("state=" + state).PageSize(pageSize).PageToken(token).Context(ctx).Do()
		})
		if isMissing(err) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		for _, v := range page.CryptoKeyVersions {
			if v == nil || !isNamed(v.Name, keyVersion) || keyOf(v.Name) != key {
				return nil, malformed(op, "it has a version that does not belong to %s", key)
			}
			// The filter is the service's to apply; what counts is the state.
			if a, ok := algorithmNamed(v.Algorithm); ok && a.jws == alg && v.State == state {
				versions = append(versions, v)
			}
		}
		if token = page.NextPageToken; token == "" {
			return versions, nil
		}
	}
	return nil, malformed(op, "it has more than %d pages", maxPages)
}

// Retire schedules the destruction of the version, 30 days ahead unless the key
// has another setting. Until then an administrator can restore the version.
// Retire succeeds for a version that is gone or already scheduled, and refuses
// a version of a foreign key.
//
// Where an organization requires that a version is disabled before it is
// destroyed, the service refuses the request, and an administrator has to do
// both.
func (p *Provisioner) Retire(ctx context.Context, id string) error {
	const op = "DestroyCryptoKeyVersion"
	if err := checkName(id, keyVersion); err != nil {
		return refused(op, err)
	}
	if !p.owns(keyOf(id)) {
		return refused(op, fmt.Errorf("%s does not belong to %s", id, p.key("*")))
	}
	got, err := call(ctx, p.caller.forKey(), op, func(ctx context.Context) (*cloudkms.CryptoKeyVersion, error) {
		return p.caller.keys().CryptoKeyVersions.Destroy(id, new(cloudkms.DestroyCryptoKeyVersionRequest)).Context(ctx).Do()
	})
	if isMissing(err) {
		return p.forget(id)
	}
	if isPrecondition(err) { // such as that it is destroyed
		now, getErr := p.version(ctx, id)
		if isMissing(getErr) || getErr == nil && isEnding(now.State) {
			return p.forget(id)
		}
	}
	switch {
	case err != nil:
		return err
	case got.Name != id:
		return malformed(op, "it is for %s, not %s", shown(got.Name, keyVersion), id)
	case !isEnding(got.State):
		return malformed(op, "%s is %q after it", id, constant(got.State))
	}
	return p.forget(id)
}

func (p *Provisioner) owns(key string) bool {
	for _, alg := range served() {
		if p.key(alg) == key {
			return true
		}
	}
	return false
}

func (p *Provisioner) forget(id string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.claimed, id)
	return nil
}

// isEnding reports whether a version in that state cannot come back without an
// administrator.
func isEnding(state string) bool { return state == "DESTROY_SCHEDULED" || state == "DESTROYED" }

// version gets a version's state.
func (p *Provisioner) version(ctx context.Context, id string) (*cloudkms.CryptoKeyVersion, error) {
	const op = "GetCryptoKeyVersion"
	got, err := call(ctx, p.caller.forKey(), op, func(ctx context.Context) (*cloudkms.CryptoKeyVersion, error) {
		return p.caller.keys().CryptoKeyVersions.Get(id).Context(ctx).Do()
	})
	if err == nil && got.Name != id {
		return nil, malformed(op, "it is for %s, not %s", shown(got.Name, keyVersion), id)
	}
	return got, err
}

func kindIs(err error, kind signer.Kind) bool {
	var e *signer.Error
	return errors.As(err, &e) && e.Kind == kind
}

func codeIs(err error, code string) bool {
	var e *signer.Error
	return errors.As(err, &e) && e.Code == code
}

// isMissing requires the service's own reason, as kindOf does.
func isMissing(err error) bool { return codeIs(err, "NOT_FOUND") }

func isPrecondition(err error) bool { return codeIs(err, "FAILED_PRECONDITION") }
