package azurekeys

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"

	"github.com/oidctoken/oidctoken/keyring"
	"github.com/oidctoken/oidctoken/signer"
)

// ProvisionerConfig is the place of a ring's keys.
type ProvisionerConfig struct {
	// Client is the client of the vault or Managed HSM. Required.
	Client *azkeys.Client

	// Keys is https://VAULT.vault.azure.net/keys/NAME, the beginning of the keys'
	// identifiers: the ring's RS256 keys are versions of NAME-rs256, and so on.
	// Only this ring may make versions of these keys, because it uses every
	// version that it finds. Required.
	Keys string

	// HSM makes keys of kty RSA-HSM and EC-HSM, not RSA and EC: in a Managed HSM
	// there are no others, and Key Vault has them in its Premium tier. Optional.
	HSM bool

	// RSABits is the size of new RSA keys: 2048, 3072 or 4096. Optional, 2048 by
	// default.
	RSABits int

	// Guard is shared by all clients of the vault's quota. Optional; nil means a
	// new one with the default limits.
	Guard *signer.Guard
}

// NewProvisioner returns a Provisioner for a [keyring.Ring] with any of RS256,
// RS384, RS512, ES256, ES384 and ES512. It needs the permissions list, get,
// create, update and sign for keys (in RBAC: Key Vault Crypto Officer).
//
// A single version cannot be deleted. Retire disables it: the service then
// signs nothing with it, but an account with the right to update the key can
// enable it again. To destroy the private key, delete the key with all
// versions, once no ring has one of them. The backup of a key holds at most 500
// versions. The keys must have no rotation policy, with which the service would
// make versions that the ring does not expect.
//
// NewProvisioner fails with an [*signer.Error] that names the field at fault;
// its methods fail with one, too.
func NewProvisioner(c ProvisionerConfig) (keyring.Provisioner, error) {
	id, err := parseKeyID(c.Keys)
	switch {
	case c.Client == nil:
		err = errors.New("config.Client is nil")
	case err != nil:
		err = fmt.Errorf("config.Keys: %.100q: %w", c.Keys, err)
	case id.version != "":
		err = fmt.Errorf("config.Keys: %.100q names a version", c.Keys)
	case len(id.name) > maxName-len("-rs256"):
		err = fmt.Errorf("config.Keys: its name has more than %d bytes", maxName-len("-rs256"))
	case !slices.Contains([]int{0, 2048, 3072, 4096}, c.RSABits):
		err = fmt.Errorf("config.RSABits: %d is not 2048, 3072 or 4096", c.RSABits)
	}
	if err != nil {
		return nil, misuse("NewProvisioner", err)
	}
	if c.RSABits == 0 {
		c.RSABits = 2048
	}
	return &provisioner{
		remote: newRemote(c.Client, id, c.Guard),
		hsm:    c.HSM,
		bits:   int32(c.RSABits),
		known:  make(map[keyID]known),
	}, nil
}

type provisioner struct {
	remote // its id has no version, and its name is not that of a key
	hsm    bool
	bits   int32

	mu    sync.Mutex
	known map[keyID]known // that Versions and Create have returned, until they are retired
}

// known is a version that this process has had an answer about.
type known struct {
	signer *Signer
	made   time.Time // by Create; zero once the service has shown the version
}

// listingDelay is the longest time until every replica of the service lists a
// new version. It is usually seconds.
const listingDelay = 5 * time.Minute

// algorithms returns the algorithms of the service that an issuer supports.
func algorithms() []string {
	return []string{"RS256", "RS384", "RS512", "ES256", "ES384", "ES512"}
}

// key returns the key that has the versions for an algorithm.
func (p *provisioner) key(alg string) keyID {
	return keyID{vault: p.id.vault, name: p.id.name + "-" + strings.ToLower(alg)}
}

func (p *provisioner) at(id keyID) remote { return remote{id, p.client, p.guard.ForKey()} }

// Versions lists the versions that can sign. A replica of the service may not
// list a new version yet. Versions therefore asks for each unlisted version
// that this process has made, until the service reports that it is gone.
func (p *provisioner) Versions(ctx context.Context) ([]keyring.Version, error) {
	var versions []keyring.Version
	for _, alg := range algorithms() {
		listed, err := p.list(ctx, p.key(alg))
		if err != nil {
			return nil, err
		}
		unlisted := p.unlisted(alg, listed)
		for i, v := range append(listed, unlisted...) {
			var s *Signer
			err := v.err
			switch {
			case err != nil:
			case i < len(listed):
				s, err = p.signer(ctx, v.id, alg)
			default:
				s, err = p.unlistedSigner(ctx, v.id, alg)
			}
			switch {
			case err == nil:
				versions = append(versions, keyring.Version{ID: v.id.String(), Algorithm: alg, Signer: s})
			case v.err != nil, isGone(err):
				p.forget(v.id)
			default:
				return nil, err
			}
		}
	}
	return versions, nil
}

// Create makes a version. One that was made and did not get here is listed by
// Versions.
func (p *provisioner) Create(ctx context.Context, algorithm string) (keyring.Version, error) {
	parameters, err := p.parameters(algorithm)
	if err != nil {
		return keyring.Version{}, misuse("CreateKey", err)
	}
	id := p.key(algorithm)
	s, err := call(ctx, p.guard.ForKey(), "CreateKey", func(ctx context.Context) (*Signer, error) {
		answer, err := p.client().CreateKey(ctx, id.name, parameters, nil)
		if err != nil {
			return nil, err
		}
		if answer.Key == nil || answer.Key.KID == nil {
			return nil, problem(signer.Malformed, "the answer names no key")
		}
		created, err := pinned(string(*answer.Key.KID))
		if err != nil {
			return nil, problem(signer.Malformed, "%w", err)
		}
		r := p.at(keyID{id.vault, id.name, created.version})
		if err := r.usable(answer.KeyBundle, []azkeys.KeyOperation{azkeys.KeyOperationSign}); err != nil {
			return nil, err
		}
		public, err := publicKey(answer.Key)
		if err != nil {
			return nil, err
		}
		return &Signer{r, public}, fits(algorithm, public)
	})
	if err != nil {
		return keyring.Version{}, err
	}
	p.remember(s, time.Now())
	return keyring.Version{ID: s.id.String(), Algorithm: algorithm, Signer: s}, nil
}

func (p *provisioner) parameters(algorithm string) (azkeys.CreateKeyParameters, error) {
	rsa, ec := azkeys.KeyTypeRSA, azkeys.KeyTypeEC
	if p.hsm {
		rsa, ec = azkeys.KeyTypeRSAHSM, azkeys.KeyTypeECHSM
	}
	parameters := azkeys.CreateKeyParameters{
		KeyOps:        []*azkeys.KeyOperation{to.Ptr(azkeys.KeyOperationSign), to.Ptr(azkeys.KeyOperationVerify)},
		KeyAttributes: &azkeys.KeyAttributes{Enabled: to.Ptr(true)},
	}
	switch algorithm {
	case "RS256", "RS384", "RS512":
		parameters.Kty, parameters.KeySize = &rsa, &p.bits
	case "ES256":
		parameters.Kty, parameters.Curve = &ec, to.Ptr(azkeys.CurveNameP256)
	case "ES384":
		parameters.Kty, parameters.Curve = &ec, to.Ptr(azkeys.CurveNameP384)
	case "ES512":
		parameters.Kty, parameters.Curve = &ec, to.Ptr(azkeys.CurveNameP521)
	default:
		return parameters, fmt.Errorf("the service has no algorithm %.20q, only %q", algorithm, algorithms())
	}
	return parameters, nil
}

// fits refuses a key of another type than the algorithm's, which another
// program has made under the name.
func fits(algorithm string, public crypto.PublicKey) error {
	hash := map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}[algorithm[2:]]
	if got, err := signer.Algorithm(public, make([]byte, hash.Size()), hash); err != nil || got != algorithm {
		return problem(signer.Refused, "its key is not one for %s", algorithm)
	}
	return nil
}

// Retire disables a version.
func (p *provisioner) Retire(ctx context.Context, version string) error {
	id, err := pinned(version)
	if err == nil && !slices.ContainsFunc(algorithms(), func(alg string) bool {
		of := keyID{id.vault, id.name, ""}
		return of.is(p.key(alg))
	}) {
		err = fmt.Errorf("%s is not a version of %s-*", id, p.id)
	}
	if err != nil {
		return misuse("UpdateKey", err)
	}
	_, err = call(ctx, p.guard.ForKey(), "UpdateKey", func(ctx context.Context) (struct{}, error) {
		answer, err := p.client().UpdateKey(ctx, id.name, id.version, azkeys.UpdateKeyParameters{
			KeyAttributes: &azkeys.KeyAttributes{Enabled: to.Ptr(false)},
		}, nil)
		if err != nil {
			return struct{}{}, err
		}
		if answer.Key == nil || answer.Attributes == nil || answer.Attributes.Enabled == nil || *answer.Attributes.Enabled {
			return struct{}{}, problem(signer.Malformed, "the answer does not say that the version is disabled")
		}
		return struct{}{}, id.echoed(answer.Key.KID)
	})
	if err != nil && !isGone(err) {
		return err
	}
	p.forget(id)
	return nil
}

func isGone(err error) bool {
	var e *signer.Error
	return errors.As(err, &e) && e.Kind == signer.Gone
}

// isMissing reports whether the service does not know the version. A version
// that must not sign is gone, but not missing.
func isMissing(err error) bool {
	var e *signer.Error
	return errors.As(err, &e) && e.Kind == signer.Gone && e.Code != "" && e.Code != codeDisabled
}

// signer returns the Signer of a listed version. The public key is fetched
// once.
func (p *provisioner) signer(ctx context.Context, id keyID, alg string) (*Signer, error) {
	if k := p.lookUp(id); k.signer != nil {
		p.remember(k.signer, time.Time{})
		return k.signer, nil
	}
	return p.fetch(ctx, id, alg)
}

// unlistedSigner returns the Signer of a known version that is not listed. A
// replica of the service that does not list a new version may not find it,
// either.
func (p *provisioner) unlistedSigner(ctx context.Context, id keyID, alg string) (*Signer, error) {
	s, err := p.fetch(ctx, id, alg)
	if isMissing(err) {
		if k := p.lookUp(id); k.signer != nil && time.Since(k.made) < listingDelay {
			return k.signer, nil
		}
	}
	return s, err
}

func (p *provisioner) fetch(ctx context.Context, id keyID, alg string) (*Signer, error) {
	s, err := fetch(ctx, p.at(id))
	if err != nil {
		return nil, err
	}
	if err := fits(alg, s.public); err != nil {
		return nil, named("GetKey", err)
	}
	p.remember(s, time.Time{})
	return s, nil
}

func (p *provisioner) lookUp(id keyID) known {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.known[id]
}

func (p *provisioner) remember(s *Signer, made time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known[s.id] = known{s, made}
}

func (p *provisioner) forget(id keyID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.known, id)
}

// unlisted returns the versions for an algorithm that are known and not listed.
func (p *provisioner) unlisted(alg string, listed []listedVersion) []listedVersion {
	p.mu.Lock()
	defer p.mu.Unlock()
	var unlisted []listedVersion
	for id := range p.known {
		isIt := func(v listedVersion) bool { return v.id == id }
		if id.name == p.key(alg).name && !slices.ContainsFunc(listed, isIt) {
			unlisted = append(unlisted, listedVersion{id: id})
		}
	}
	return unlisted
}

// Format shows where the keys are.
func (p *provisioner) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "azurekeys.Provisioner(%s-*)", p.id)
}
