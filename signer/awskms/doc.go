// Package awskms signs tokens with keys of AWS KMS, lets a keyring create and
// retire such keys, and encrypts a keyring's data key under a KMS key.
//
// # What KMS calls a version
//
// An asymmetric KMS key has one key pair, for good: KMS does not rotate it. The
// key is its own version, and its ARN pins it. An alias does not, since it can be
// moved to another key while tokens are signed; [New] takes none.
//
// # Signing or wrapping
//
// With [New] or [NewProvisioner], every token is an operation of KMS. The
// private key never leaves KMS, an attacker on a host can sign only while the
// access lasts, and CloudTrail records each signature. No token can be made
// while KMS is unavailable, and its quota is the limit: 1,000 signatures per
// second and Region for all RSA keys of an account, and as many for its
// elliptic curve keys, unless it was raised.
//
// With [NewWrapper], a keyring makes its keys itself, and KMS encrypts the data
// key that encrypts them: one operation per process and data key. Tokens are
// made while KMS is unavailable, at the speed of the machine. An attacker on a
// host can read the private keys from memory, and sign elsewhere until they are
// revoked. The stored keys are protected equally well.
//
// # Calls
//
// Every call goes through a [signer.Guard]. The SDK's retries are off, because
// they would hide throttling from the Guard. The SDK's logging of requests and
// answers is off, too, because it shows session tokens and data keys. A client
// that logs the signed request is refused: that cannot be turned off. No
// redirect is followed, and at most 1 MiB of an answer is read.
//
// KMS counts Sign for RSA keys, Sign for elliptic curve keys, Encrypt with
// Decrypt, and each other operation apart. A host that comes near a quota gives
// each its Guard.
//
// Errors are of type [*signer.Error], or [*oidctoken.ConfigError] for an
// argument that cannot work. They show KMS's text, on one line and without the
// secrets of the request.
package awskms
