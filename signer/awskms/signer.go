package awskms

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/oidctoken/oidctoken/signer"
)

// maxRaw is the longest message, in bytes, that KMS hashes itself. It does so
// for Ed25519.
const maxRaw = 4096

// Signer signs with one asymmetric KMS key. It is an oidctoken.Signer, for
// RS256, RS384, RS512, ES256, ES384, ES512 and EdDSA. It is safe for concurrent
// use.
type Signer struct {
	client *kms.Client
	guard  *signer.Guard
	arn    string
	public crypto.PublicKey
}

// New returns the Signer for a KMS key of usage SIGN_VERIFY and spec RSA_2048,
// RSA_3072, RSA_4096, ECC_NIST_P256, ECC_NIST_P384, ECC_NIST_P521 or
// ECC_NIST_EDWARDS25519. keyID is the key's ARN, or its ID if the key is in the
// account of the client's credentials. An alias is refused, since it can be
// moved. The Signer uses the ARN of KMS's answer from then on.
//
// New asks KMS for the public key, once. It needs the right kms:GetPublicKey,
// and Sign needs kms:Sign, which should be given with the conditions
// kms:SigningAlgorithm and kms:MessageType (DIGEST, or RAW for Ed25519).
//
// guard protects KMS and the host. Keys of one quota share one: RSA keys have
// another quota than elliptic curve keys. nil is one of the Signer's own, with
// the default limits.
func New(ctx context.Context, client *kms.Client, keyID string, guard *signer.Guard) (*Signer, error) {
	const op = "GetPublicKey"
	if err := checkClient(client); err != nil {
		return nil, err
	}
	if err := checkKeyID(keyID); err != nil {
		return nil, err
	}
	if guard == nil {
		guard = signer.NewGuard(signer.Limits{})
	}
	guard = guard.ForKey()
	out, err := call(ctx, guard, op, client.GetPublicKey, &kms.GetPublicKeyInput{KeyId: &keyID})
	if err != nil {
		return nil, err
	}
	arn := aws.ToString(out.KeyId)
	switch {
	case !isKeyARN(arn), arn != keyID && !strings.HasSuffix(arn, ":key/"+keyID):
		return nil, ofAnother(op, arn, keyID)
	case out.KeyUsage != types.KeyUsageTypeSignVerify:
		return nil, refused(op, "the key %s is for %s, not for SIGN_VERIFY", arn, printable(string(out.KeyUsage)))
	case !slices.Contains(specs, out.KeySpec):
		return nil, refused(op, "the key %s is of spec %s, not one of %v", arn, printable(string(out.KeySpec)), specs)
	}
	public, err := signer.PublicKey(out.PublicKey)
	if err != nil {
		return nil, malformed(op, "the key %s: %w", arn, err)
	}
	if spec := specOf(public); spec != out.KeySpec {
		return nil, malformed(op, "the key %s is said to be %s and is %s", arn, out.KeySpec, spec)
	}
	return &Signer{client, guard, arn, public}, nil
}

// Public returns the public key: *rsa.PublicKey, *ecdsa.PublicKey or
// ed25519.PublicKey. It answers from memory.
func (s *Signer) Public() crypto.PublicKey { return s.public }

// Sign signs a digest, by the contract of oidctoken.Signer: PKCS #1 v1.5 for an
// RSA key, ASN.1 DER for ECDSA. For Ed25519 the digest is the message and may
// have 4096 bytes at most, which is KMS's limit; a longer token is refused with
// an [*signer.Error], and is for an ECDSA key.
func (s *Signer) Sign(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	const op = "Sign"
	alg, err := signer.Algorithm(s.public, digest, opts)
	if err != nil {
		return nil, refused(op, "%w", err)
	}
	in := &kms.SignInput{
		KeyId:            &s.arn,
		Message:          bytes.Clone(digest), // the call may outlive Sign
		MessageType:      types.MessageTypeDigest,
		SigningAlgorithm: signing[alg],
	}
	if alg == "EdDSA" {
		if len(digest) > maxRaw {
			return nil, refused(op, "the message has %d bytes: KMS signs %d with Ed25519", len(digest), maxRaw)
		}
		in.MessageType = types.MessageTypeRaw
	}
	out, err := call(ctx, s.guard, op, s.client.Sign, in, base64.StdEncoding.EncodeToString(digest), string(digest))
	switch {
	case err != nil:
		return nil, err
	case aws.ToString(out.KeyId) != s.arn:
		return nil, ofAnother(op, aws.ToString(out.KeyId), s.arn)
	case out.SigningAlgorithm != in.SigningAlgorithm:
		return nil, malformed(op, "the answer is of another algorithm, not of %s", in.SigningAlgorithm)
	case !fits(s.public, len(out.Signature)):
		return nil, malformed(op, "the signature has %d bytes, which a %s has not", len(out.Signature), alg)
	}
	return out.Signature, nil
}

// Format names the key.
func (s *Signer) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "awskms.Signer(%s)", s.arn) }

// signing are KMS's names of the algorithms (RFC 7518, section 3.1; RFC 8037).
var signing = map[string]types.SigningAlgorithmSpec{
	"RS256": types.SigningAlgorithmSpecRsassaPkcs1V15Sha256,
	"RS384": types.SigningAlgorithmSpecRsassaPkcs1V15Sha384,
	"RS512": types.SigningAlgorithmSpecRsassaPkcs1V15Sha512,
	"ES256": types.SigningAlgorithmSpecEcdsaSha256,
	"ES384": types.SigningAlgorithmSpecEcdsaSha384,
	"ES512": types.SigningAlgorithmSpecEcdsaSha512,
	"EdDSA": types.SigningAlgorithmSpecEd25519Sha512,
}

var specs = []types.KeySpec{
	types.KeySpecRsa2048, types.KeySpecRsa3072, types.KeySpecRsa4096,
	types.KeySpecEccNistP256, types.KeySpecEccNistP384, types.KeySpecEccNistP521,
	types.KeySpecEccNistEdwards25519,
}

// specOf returns the spec of a key that signer.PublicKey takes.
func specOf(public crypto.PublicKey) types.KeySpec {
	switch k := public.(type) {
	case *rsa.PublicKey:
		return types.KeySpec(fmt.Sprintf("RSA_%d", k.N.BitLen()))
	case *ecdsa.PublicKey:
		return types.KeySpec(fmt.Sprintf("ECC_NIST_P%d", k.Params().BitSize))
	}
	return types.KeySpecEccNistEdwards25519
}

// fits reports whether a signature can have so many bytes. Whether it is one,
// the issuer checks.
func fits(public crypto.PublicKey, size int) bool {
	switch k := public.(type) {
	case *rsa.PublicKey:
		return size == k.Size()
	case *ecdsa.PublicKey:
		width := (k.Params().BitSize + 7) / 8
		return size >= 8 && size <= 2*(width+3)+3 // two integers, with a sign each, in a sequence
	}
	return size == ed25519.SignatureSize
}
