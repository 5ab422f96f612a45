package pkcs11

import (
	"context"
	"crypto"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	cryptoki "github.com/miekg/pkcs11"

	"github.com/oidctoken/oidctoken/keyring"
	"github.com/oidctoken/oidctoken/signer"
)

// ProvisionerConfig is the place and the kind of a ring's keys.
type ProvisionerConfig struct {
	// Token holds the keys. Its user must have the right to make and destroy keys.
	// Required.
	Token *Token

	// Prefix tells the keys of one ring from all others of the token: their
	// label (CKA_LABEL) is Prefix, a slash and the algorithm, such as
	// acme-prod/RS256. 1 to 64 printable characters of ASCII without a slash.
	// Required.
	Prefix string

	// RSABits is the size of RSA keys: 2048, 3072 or 4096. Optional, 2048 by
	// default.
	RSABits int

	// Guard is for signing, listing and destroying. Optional, one with the
	// default limits by default. Making a key takes some modules long, and is
	// ended by ctx or after a minute.
	Guard *signer.Guard
}

func (c *ProvisionerConfig) check() error {
	switch {
	case c.Token == nil:
		return errors.New("pkcs11: ProvisionerConfig.Token is required")
	case c.Prefix == "":
		return errors.New("pkcs11: ProvisionerConfig.Prefix is required")
	case len(c.Prefix) > 64 || strings.ContainsFunc(c.Prefix, func(r rune) bool { return r < ' ' || r > '~' || r == '/' }):
		return fmt.Errorf("pkcs11: ProvisionerConfig.Prefix %.64q is not 1 to 64 printable characters of ASCII without a slash", c.Prefix)
	case !slices.Contains([]int{2048, 3072, 4096}, c.RSABits):
		return fmt.Errorf("pkcs11: ProvisionerConfig.RSABits is %d, not 2048, 3072 or 4096", c.RSABits)
	}
	return nil
}

const generateTimeout = time.Minute

type provisioner struct {
	ProvisionerConfig
	generating *signer.Guard
}

// NewProvisioner returns a Provisioner whose versions are key pairs in the
// token. They are persistent, and their private keys are sensitive and not
// extractable, which is checked whenever they are listed or made. The ID of a
// version is its CKA_ID, 16 random bytes, in hexadecimal, as [New] takes it.
// Retire destroys both keys of a pair permanently, and refuses a pair whose
// label does not belong to the ring.
//
// Versions leaves out a pair whose private key can be read out of the token, or
// whose public key is missing. It does not destroy it: that is the operator's.
func NewProvisioner(c ProvisionerConfig) (keyring.Provisioner, error) {
	if c.RSABits == 0 {
		c.RSABits = 2048
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	if c.Guard == nil {
		c.Guard = signer.NewGuard(signer.Limits{})
	}
	return &provisioner{c, signer.NewGuard(signer.Limits{InFlight: 1, Timeout: generateTimeout})}, nil
}

// Format names the token and the prefix.
func (p *provisioner) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "pkcs11.Provisioner(%s %q)", p.Token.config.name(), p.Prefix)
}

// generator is the mechanism that makes a key pair for an algorithm.
type generator struct {
	alg             string
	mechanism, kind uint
	params          string // CKA_EC_PARAMS
}

var generators = []generator{
	{"RS256", cryptoki.CKM_RSA_PKCS_KEY_PAIR_GEN, cryptoki.CKK_RSA, ""},
	{"RS384", cryptoki.CKM_RSA_PKCS_KEY_PAIR_GEN, cryptoki.CKK_RSA, ""},
	{"RS512", cryptoki.CKM_RSA_PKCS_KEY_PAIR_GEN, cryptoki.CKK_RSA, ""},
	{"ES256", cryptoki.CKM_EC_KEY_PAIR_GEN, cryptoki.CKK_EC, paramsP256},
	{"ES384", cryptoki.CKM_EC_KEY_PAIR_GEN, cryptoki.CKK_EC, paramsP384},
	{"ES512", cryptoki.CKM_EC_KEY_PAIR_GEN, cryptoki.CKK_EC, paramsP521},
	{"EdDSA", ckmECEdwardsKeyPairGen, ckkECEdwards, paramsEd25519},
}

func (p *provisioner) label(alg string) string { return p.Prefix + "/" + alg }

// Versions lists the key pairs with the ring's labels.
func (p *provisioner) Versions(ctx context.Context) ([]keyring.Version, error) {
	var versions []keyring.Version
	err := p.Guard.ForKey().Do(ctx, service, "C_FindObjects", func(ctx context.Context) error {
		return p.Token.do(ctx, func(c *conn) error {
			versions = nil
			for _, g := range generators {
				some, err := p.list(ctx, c, g.alg)
				if err != nil {
					return err
				}
				versions = append(versions, some...)
			}
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return versions, nil
}

// list leaves out a pair that must not sign, or cannot, since half of it is
// missing: one such pair, as a crash may leave, must not stop the others.
func (p *provisioner) list(ctx context.Context, c *conn, alg string) ([]keyring.Version, error) {
	objects, err := c.find([]attribute{
		{cryptoki.CKA_CLASS, uint(cryptoki.CKO_PRIVATE_KEY)},
		{cryptoki.CKA_TOKEN, true},
		{cryptoki.CKA_LABEL, p.label(alg)},
	})
	if err != nil {
		return nil, err
	}
	var versions []keyring.Version
	for _, object := range objects {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		values, err := c.session.read(object, cryptoki.CKA_ID)
		if err != nil {
			return nil, failed("C_GetAttributeValue", err)
		}
		if len(values) != 1 || len(values[0]) == 0 || len(values[0]) > maxID {
			return nil, problem("C_GetAttributeValue", signer.Malformed, "a key labelled %s has no CKA_ID", p.label(alg))
		}
		v, err := p.version(c, string(values[0]), alg)
		var e *signer.Error
		switch {
		case err == nil:
			versions = append(versions, v)
		case errors.Is(err, errUnguarded):
		case errors.As(err, &e) && e.Kind == signer.Gone:
		default:
			return nil, err
		}
	}
	return versions, nil
}

// version returns the key pair with that CKA_ID. The pair must fit the
// algorithm and be protected, even if it is in the list: a crash in Create may
// have left a pair that was not checked.
func (p *provisioner) version(c *conn, id, alg string) (keyring.Version, error) {
	s, err := newSigner(c, id, p.Guard)
	if err != nil {
		return keyring.Version{}, err
	}
	hash := hashes[alg]
	digest := []byte(nil)
	if hash != 0 {
		digest = make([]byte, hash.Size())
	}
	if got, err := signer.Algorithm(s.public, digest, crypto.SignerOpts(hash)); err != nil || got != alg {
		return keyring.Version{}, problem("C_GetAttributeValue", signer.Malformed, "the key of CKA_ID %x is labelled for %s, which its type is not", id, alg)
	}
	if err := c.checkGuarded(id); err != nil {
		return keyring.Version{}, err
	}
	return keyring.Version{ID: hex.EncodeToString([]byte(id)), Algorithm: alg, Signer: s}, nil
}

// Create makes a key pair.
func (p *provisioner) Create(ctx context.Context, alg string) (keyring.Version, error) {
	i := slices.IndexFunc(generators, func(g generator) bool { return g.alg == alg })
	if i < 0 {
		return keyring.Version{}, problem("C_GenerateKeyPair", signer.Refused, "there is no algorithm %.16q", alg)
	}
	var v keyring.Version
	var id string // of the pair that was made
	err := p.generating.ForKey().Do(ctx, service, "C_GenerateKeyPair", func(ctx context.Context) error {
		return p.Token.do(ctx, func(c *conn) (err error) {
			if id == "" { // a session that was lost since does not call for another pair
				if id, err = p.generate(c, generators[i]); err != nil {
					return err
				}
			}
			v, err = p.version(c, id, alg)
			if err != nil && !isLost(err) { // a key that is not as it must be
				return also(err, p.destroy(c, id))
			}
			return err
		})
	})
	if err != nil {
		return keyring.Version{}, err
	}
	return v, nil
}

// generate makes a key pair with a new ID for each attempt, because a failed
// attempt may have made a key all the same. The ring finds such a key as an
// unknown version.
func (p *provisioner) generate(c *conn, g generator) (id string, err error) {
	random := make([]byte, 16)
	rand.Read(random) // it never fails
	public, private := p.templates(g, random)
	if err := c.session.generate(g.mechanism, public, private); err != nil {
		return "", failed("C_GenerateKeyPair", err)
	}
	return string(random), nil
}

// templates returns the templates of a key pair (sections 4.8 and 4.9).
func (p *provisioner) templates(g generator, id []byte) (public, private []attribute) {
	both := []attribute{
		{cryptoki.CKA_KEY_TYPE, g.kind},
		{cryptoki.CKA_TOKEN, true},
		{cryptoki.CKA_ID, id},
		{cryptoki.CKA_LABEL, p.label(g.alg)},
	}
	public = append([]attribute{
		{cryptoki.CKA_CLASS, uint(cryptoki.CKO_PUBLIC_KEY)},
		{cryptoki.CKA_VERIFY, true},
	}, both...)
	if g.kind == cryptoki.CKK_RSA {
		public = append(public,
			attribute{cryptoki.CKA_MODULUS_BITS, uint(p.RSABits)},
			attribute{cryptoki.CKA_PUBLIC_EXPONENT, []byte{1, 0, 1}})
	} else {
		public = append(public, attribute{cryptoki.CKA_EC_PARAMS, []byte(g.params)})
	}
	private = append([]attribute{
		{cryptoki.CKA_CLASS, uint(cryptoki.CKO_PRIVATE_KEY)},
		{cryptoki.CKA_PRIVATE, true},
		{cryptoki.CKA_SENSITIVE, true},
		{cryptoki.CKA_EXTRACTABLE, false},
		{cryptoki.CKA_SIGN, true},
	}, both...)
	return public, private
}

var errUnguarded = errors.New("it can be read out of the token")

// checkGuarded fails unless the private key cannot be read out of the token.
func (c *conn) checkGuarded(id string) error {
	object, err := c.only(fmt.Sprintf("private key of CKA_ID %x", id), withID(cryptoki.CKO_PRIVATE_KEY, id))
	if err != nil {
		return err
	}
	values, err := c.session.read(object, cryptoki.CKA_SENSITIVE, cryptoki.CKA_EXTRACTABLE)
	if err != nil {
		return failed("C_GetAttributeValue", err)
	}
	if len(values) != 2 || string(values[0]) != "\x01" || string(values[1]) != "\x00" {
		return problem("C_GetAttributeValue", signer.Malformed, "the private key of CKA_ID %x: %w", id, errUnguarded)
	}
	return nil
}

// Retire destroys a key pair.
func (p *provisioner) Retire(ctx context.Context, id string) error {
	binary, err := parseID(id)
	if err != nil {
		return err
	}
	return p.Guard.ForKey().Do(ctx, service, "C_DestroyObject", func(ctx context.Context) error {
		return p.Token.do(ctx, func(c *conn) error { return p.destroy(c, binary) })
	})
}

// keyClasses are in the order of destruction. Versions lists private keys, so a
// left-over public key is not a version.
var keyClasses = []uint{cryptoki.CKO_PRIVATE_KEY, cryptoki.CKO_PUBLIC_KEY}

// destroy destroys the objects of that CKA_ID, if all have the ring's label.
func (p *provisioner) destroy(c *conn, id string) error {
	var all []uint
	for _, class := range keyClasses {
		objects, err := c.find(withID(class, id))
		if err != nil {
			return err
		}
		all = append(all, objects...)
	}
	for _, object := range all {
		if err := p.checkOwn(c, object, id); err != nil {
			return err
		}
	}
	for _, object := range all {
		if err := p.checkOwn(c, object, id); err != nil { // a destroyed key does not come back
			return err
		}
		if err := c.session.destroy(object); err != nil {
			return failed("C_DestroyObject", err)
		}
	}
	return nil
}

func (p *provisioner) checkOwn(c *conn, object uint, id string) error {
	values, err := c.session.read(object, cryptoki.CKA_ID, cryptoki.CKA_LABEL)
	if err != nil {
		return failed("C_GetAttributeValue", err)
	}
	own := func(g generator) bool { return string(values[1]) == p.label(g.alg) }
	if len(values) != 2 || string(values[0]) != id || !slices.ContainsFunc(generators, own) {
		return problem("C_DestroyObject", signer.Refused, "the key of CKA_ID %x has not the ring's label %s", id, p.label("..."))
	}
	return nil
}
