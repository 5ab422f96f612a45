package awskms

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/oidctoken/oidctoken/signer"
)

const (
	pageSize = 1000 // keys, the most that KMS lists at once
	maxPages = 1000 // ten times the keys that an account may have unasked
	lookers  = 8    // keys that are described at once
)

// list returns the ARNs of all keys that KMS lists, and of those that this
// process has made.
func (p *provisioner) list(ctx context.Context) ([]string, error) {
	const op = "ListKeys"
	arns := make(map[string]bool)
	in := &kms.ListKeysInput{Limit: aws.Int32(pageSize)}
	for range maxPages {
		out, err := call(ctx, p.manage.ForKey(), op, p.client.ListKeys, in)
		if err != nil {
			return nil, err
		}
		for _, k := range out.Keys {
			arn := aws.ToString(k.KeyArn)
			if !isKeyARN(arn) {
				return nil, malformed(op, "a key is listed without its ARN")
			}
			arns[arn] = true
		}
		if !out.Truncated {
			return p.withMade(arns), nil
		}
		if next := aws.ToString(out.NextMarker); next == "" || next == aws.ToString(in.Marker) {
			return nil, malformed(op, "the list goes on, and does not say where")
		}
		in = &kms.ListKeysInput{Limit: in.Limit, Marker: out.NextMarker}
	}
	return nil, malformed(op, "the list does not end")
}

func (p *provisioner) withMade(listed map[string]bool) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	for arn := range p.made {
		listed[arn] = true
	}
	var arns []string
	for arn := range listed {
		if !p.foreign[arn] && !p.retired[arn] {
			arns = append(arns, arn)
		}
	}
	return arns
}

// look finds the ring's versions among keys, and returns their algorithms by
// ARN.
func (p *provisioner) look(ctx context.Context, arns []string) (map[string]string, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var mu sync.Mutex
	var denied []error
	found := make(map[string]string)
	work := make(chan string)
	var wg sync.WaitGroup
	for range min(lookers, len(arns)) {
		wg.Go(func() {
			for arn := range work {
				algorithm, err := p.lookAt(ctx, arn)
				mu.Lock()
				switch {
				case isDenied(err):
					denied = append(denied, err)
				case err != nil:
					cancel(err) // the first one counts: the others fail because of it
				case algorithm != "":
					found[arn] = algorithm
				}
				mu.Unlock()
			}
		})
	}
	for _, arn := range arns {
		work <- arn
	}
	close(work)
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(denied) > 0 && len(denied) == len(arns) && len(p.foreign) == 0 {
		return nil, fmt.Errorf("no key may be described: %w", denied[0])
	}
	return found, nil
}

// lookAt returns the algorithm of a version of the ring, or "".
func (p *provisioner) lookAt(ctx context.Context, arn string) (string, error) {
	key, err := p.describe(ctx, arn)
	p.mu.Lock()
	defer p.mu.Unlock()
	seen, made := p.made[arn]
	switch {
	case isKind(err, signer.Gone) && made && !seen, isDenied(err) && made:
		// Without it, the ring would make another.
		return "", &signer.Error{Service: service, Op: "DescribeKey", Kind: signer.Unavailable,
			Err: fmt.Errorf("the key %s: %w: %w", arn, errNotYet, err)}
	case isKind(err, signer.Gone):
		delete(p.made, arn)
		return "", nil
	case err != nil:
		return "", err
	}
	algorithm := p.algorithmOf(key)
	if algorithm == "" {
		p.foreign[arn] = true
		return "", nil
	}
	if made {
		p.made[arn] = true
	}
	spec, _ := p.specFor(algorithm)
	isRSA := slices.Contains(specs[:3], spec) && slices.Contains(specs[:3], key.KeySpec) // RSABits may have been others
	if key.KeyState != types.KeyStateEnabled || key.KeyUsage != types.KeyUsageTypeSignVerify ||
		key.Origin != types.OriginTypeAwsKms || key.KeySpec != spec && !isRSA {
		return "", nil
	}
	return algorithm, nil
}

func (p *provisioner) describe(ctx context.Context, arn string) (*types.KeyMetadata, error) {
	const op = "DescribeKey"
	out, err := call(ctx, p.manage.ForKey(), op, p.client.DescribeKey, &kms.DescribeKeyInput{KeyId: &arn})
	if err != nil {
		return nil, err
	}
	if out.KeyMetadata == nil || aws.ToString(out.KeyMetadata.Arn) != arn {
		return nil, malformed(op, "the answer is not of the key %s", arn)
	}
	return out.KeyMetadata, nil
}

// signer returns the Signer of one of the ring's keys.
func (p *provisioner) signer(ctx context.Context, arn string) (*Signer, error) {
	p.mu.Lock()
	s := p.signers[arn]
	p.mu.Unlock()
	if s != nil {
		return s, nil
	}
	s, err := New(ctx, p.client, arn, p.config.Guard)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.signers[arn] = s
	return s, nil
}

// description marks a key as one of the ring's.
func (p *provisioner) description(algorithm string) string {
	return fmt.Sprintf("oidctoken: %s key of the ring %s", algorithm, p.config.Ring)
}

// algorithmOf is "" if the key is not the ring's.
func (p *provisioner) algorithmOf(key *types.KeyMetadata) string {
	for algorithm := range signing {
		if aws.ToString(key.Description) == p.description(algorithm) {
			return algorithm
		}
	}
	return ""
}

// specFor returns the spec of the keys that are made for an algorithm.
func (p *provisioner) specFor(algorithm string) (types.KeySpec, bool) {
	switch algorithm {
	case "RS256", "RS384", "RS512":
		return types.KeySpec(fmt.Sprintf("RSA_%d", p.config.RSABits)), true
	case "ES256":
		return types.KeySpecEccNistP256, true
	case "ES384":
		return types.KeySpecEccNistP384, true
	case "ES512":
		return types.KeySpecEccNistP521, true
	case "EdDSA":
		return types.KeySpecEccNistEdwards25519, true
	}
	return "", false
}
