package awskms

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/oidctoken/oidctoken/keyring"
	"github.com/oidctoken/oidctoken/signer"
)

// ringTag is the tag that policies tell a ring's keys by.
const ringTag = "oidctoken:ring"

const (
	firstWait = 100 * time.Millisecond // until a new key is known everywhere
	lastWait  = 5 * time.Second        // doubled until then
	maxWaits  = 15                     // a minute all together
)

// ProvisionerConfig is the configuration of a Provisioner.
type ProvisionerConfig struct {
	// Ring names the ring of the keys, among all rings with keys in the account
	// and Region: 1 to 128 of A-Z a-z 0-9 . _ -. Required.
	Ring string

	// RSABits is the size of RSA keys: 2048, 3072 or 4096. Optional, 2048 by
	// default.
	RSABits int

	// PendingWindowInDays is for how many days a retired key can be restored
	// before KMS destroys it, 7 to 30. Optional, 30 by default.
	PendingWindowInDays int

	// CreateKey changes the request that creates a key: it may add a policy or
	// more tags. The members that make it a key of the ring are set after that.
	// Optional; nil leaves the key with KMS's default policy, with which the
	// account's IAM policies decide.
	CreateKey func(*kms.CreateKeyInput)

	// Guard protects the calls of the keys' Signers. Optional; nil means a new one
	// with the default limits. Creating, listing and retiring keys have another
	// guard, because KMS counts them separately.
	Guard *signer.Guard
}

func (c *ProvisionerConfig) complete() error {
	if c.RSABits == 0 {
		c.RSABits = 2048
	}
	if c.PendingWindowInDays == 0 {
		c.PendingWindowInDays = 30
	}
	if c.Guard == nil {
		c.Guard = signer.NewGuard(signer.Limits{})
	}
	switch {
	case c.Ring == "":
		return configError("Ring", "is required")
	case len(c.Ring) > 128 || !isName(strings.NewReplacer(".", "-", "_", "-").Replace(c.Ring)):
		return configError("Ring", "is not 1 to 128 of A-Z a-z 0-9 . _ -")
	case !slices.Contains([]int{2048, 3072, 4096}, c.RSABits):
		return configError("RSABits", "is not 2048, 3072 or 4096")
	case c.PendingWindowInDays < 7 || c.PendingWindowInDays > 30:
		return configError("PendingWindowInDays", "is not 7 to 30")
	}
	return nil
}

// provisioner is a keyring.Provisioner.
type provisioner struct {
	client *kms.Client
	config ProvisionerConfig
	manage *signer.Guard

	mu      sync.Mutex
	foreign map[string]bool    // ARNs of keys that are not the ring's, which they stay
	signers map[string]*Signer // of the ring's keys
	made    map[string]bool    // ARNs of what Create made; true once KMS has described it
	retired map[string]bool    // ARNs of what Retire ended
}

// NewProvisioner returns a keyring.Provisioner that has the keys of one ring
// made by KMS, in the account and Region of the client. The ID of a version is
// the key's ARN.
//
// A key belongs to the ring if its description names the ring and the algorithm,
// and if KMS made it (its origin is AWS_KMS) for SIGN_VERIFY, with a spec that fits
// the algorithm. It is a version while it is enabled. Unlike an alias, the
// description exists as soon as the key: if a process ends right after the
// creation, the ring finds the key and uses it. The description also comes with the
// other attributes of a key, while tags need another request. An account with
// kms:UpdateKeyDescription could make the ring take a foreign key, so give that
// right to no role. The tag oidctoken:ring holds the name of the ring, for policies
// that limit which keys a role may sign with and retire.
//
// Listing describes every key of the account and Region once per process, and
// after that the ring's keys and new ones. Some thousands of keys take seconds.
// If the time is over before all are read, the next listing continues. A key
// that may not be described does not belong to the ring. If no key may be
// described, the right is missing, and listing fails: otherwise the ring would
// make key after key. A small account for signing keys alone is faster, and
// also safer.
//
// KMS lists and describes a new key everywhere within seconds, or minutes at
// worst. This process remembers the keys that it has made and retired. Another
// replica may not find a new key for that long. It reports this in the ring's
// errors, and finds the key at one of the next polls, in time: a key signs long
// after it was made, except for the first keys of a new ring.
//
// Create waits for a new key that may not be described, most of a minute, and
// then schedules its deletion: no process would find it again.
//
// Retire schedules the deletion of the key: it cannot sign from then on, and
// until PendingWindowInDays have passed, CancelKeyDeletion brings it back, as a
// disabled key. A key that is not the ring's is refused.
//
// The rights that are needed are kms:ListKeys, kms:DescribeKey (for every key),
// kms:CreateKey and kms:TagResource (with the condition that
// aws:RequestTag/oidctoken:ring is the ring), and for keys with the tag
// kms:GetPublicKey, kms:Sign and kms:ScheduleKeyDeletion.
func NewProvisioner(client *kms.Client, c ProvisionerConfig) (keyring.Provisioner, error) {
	if err := checkClient(client); err != nil {
		return nil, err
	}
	if err := c.complete(); err != nil {
		return nil, err
	}
	return &provisioner{
		client: client, config: c, manage: signer.NewGuard(signer.Limits{}),
		foreign: make(map[string]bool), signers: make(map[string]*Signer),
		made: make(map[string]bool), retired: make(map[string]bool),
	}, nil
}

func (p *provisioner) Versions(ctx context.Context) ([]keyring.Version, error) {
	arns, err := p.list(ctx)
	if err != nil {
		return nil, err
	}
	algorithms, err := p.look(ctx, arns)
	if err != nil {
		return nil, err
	}
	versions := []keyring.Version{}
	for _, arn := range slices.Sorted(maps.Keys(algorithms)) {
		s, err := p.signer(ctx, arn)
		if err != nil {
			return nil, err
		}
		versions = append(versions, keyring.Version{ID: arn, Algorithm: algorithms[arn], Signer: s})
	}
	return versions, nil
}

func (p *provisioner) Create(ctx context.Context, algorithm string) (keyring.Version, error) {
	const op = "CreateKey"
	spec, ok := p.specFor(algorithm)
	if !ok {
		return keyring.Version{}, refused(op, "there is no algorithm %s", printable(algorithm))
	}
	in := new(kms.CreateKeyInput)
	if p.config.CreateKey != nil {
		p.config.CreateKey(in)
	}
	in.KeySpec, in.KeyUsage, in.Origin = spec, types.KeyUsageTypeSignVerify, types.OriginTypeAwsKms
	in.Description = aws.String(p.description(algorithm))
	in.Tags = append(slices.DeleteFunc(slices.Clone(in.Tags), func(t types.Tag) bool { return aws.ToString(t.TagKey) == ringTag }),
		types.Tag{TagKey: aws.String(ringTag), TagValue: &p.config.Ring})
	out, err := call(ctx, p.manage.ForKey(), op, p.client.CreateKey, in)
	if err != nil {
		return keyring.Version{}, err
	}
	if out.KeyMetadata == nil || !isKeyARN(aws.ToString(out.KeyMetadata.Arn)) {
		return keyring.Version{}, malformed(op, "the answer has no ARN of a key")
	}
	arn := *out.KeyMetadata.Arn
	p.mu.Lock()
	p.made[arn] = false
	p.mu.Unlock()
	s, err := p.newSigner(ctx, arn)
	if isHidden(err) && ctx.Err() == nil {
		// The next process would not find the key and would make another one. This
		// process remembers it, and makes no other.
		if failed := p.schedule(ctx, arn); failed != nil {
			return keyring.Version{}, fmt.Errorf("%w; the key stays: %w", err, failed)
		}
		return keyring.Version{}, fmt.Errorf("%w; the deletion of the key is scheduled", err)
	}
	if err != nil {
		return keyring.Version{}, err
	}
	return keyring.Version{ID: arn, Algorithm: algorithm, Signer: s}, nil
}

// newSigner waits until a new key is known where it is described and its public
// half read, and its tag where rights are decided.
func (p *provisioner) newSigner(ctx context.Context, arn string) (*Signer, error) {
	for n, wait := 0, firstWait; ; n, wait = n+1, min(2*wait, lastWait) {
		_, err := p.lookAt(ctx, arn)
		if err == nil {
			var s *Signer
			if s, err = p.signer(ctx, arn); err == nil {
				return s, nil
			}
		}
		if n == maxWaits || !errors.Is(err, errNotYet) && !isKind(err, signer.Gone) && !isDenied(err) {
			return nil, err
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, fmt.Errorf("%w: %w", ctx.Err(), err)
		}
	}
}

func (p *provisioner) Retire(ctx context.Context, id string) error {
	const op = "ScheduleKeyDeletion"
	if !isKeyARN(id) {
		return refused(op, "%s is not the ARN of a key", printable(id))
	}
	ended, err := p.ended(ctx, id)
	if err == nil && !ended {
		err = p.schedule(ctx, id)
		if isKind(err, signer.Gone) { // another replica may have been first
			if ended, again := p.ended(ctx, id); again == nil && ended {
				err = nil
			}
		}
	}
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.made, id)
	delete(p.signers, id)
	p.retired[id] = true
	return nil
}

func (p *provisioner) schedule(ctx context.Context, arn string) error {
	_, err := call(ctx, p.manage.ForKey(), "ScheduleKeyDeletion", p.client.ScheduleKeyDeletion, &kms.ScheduleKeyDeletionInput{
		KeyId:               &arn,
		PendingWindowInDays: aws.Int32(int32(p.config.PendingWindowInDays)), // #nosec G115 -- 7 to 30
	})
	return err
}

// ended reports whether a key is gone or scheduled for deletion. It fails for a
// foreign key: the ID comes from a store, which others may have written to.
func (p *provisioner) ended(ctx context.Context, arn string) (bool, error) {
	key, err := p.describe(ctx, arn)
	switch {
	case isKind(err, signer.Gone):
		return true, nil
	case err != nil:
		return false, err
	case p.algorithmOf(key) == "":
		return false, refused("ScheduleKeyDeletion", "the key %s is not of the ring %s", arn, p.config.Ring)
	}
	return key.KeyState == types.KeyStatePendingDeletion || key.KeyState == types.KeyStatePendingReplicaDeletion, nil
}

// Format names the ring.
func (p *provisioner) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "awskms.Provisioner(%s)", p.config.Ring)
}

// errNotYet means that KMS does not show a key that it has made.
var errNotYet = errors.New("it was made and is not there yet")

func isKind(err error, kind signer.Kind) bool {
	var e *signer.Error
	return errors.As(err, &e) && e.Kind == kind
}

// isHidden reports whether err is that a key which was made may not be described.
func isHidden(err error) bool {
	var e *signer.Error
	return errors.As(err, &e) && errors.Is(e.Err, errNotYet) && isDenied(e.Err)
}

func isDenied(err error) bool {
	var e *signer.Error
	return errors.As(err, &e) && e.Code == codeDenied
}
