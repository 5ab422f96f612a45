// Package awskms signs tokens with keys of AWS KMS, has such keys made and
// ended for a keyring, and encrypts a keyring's data key under one.
//
// # What KMS calls a version
//
// An asymmetric KMS key has one key pair, for good: KMS does not rotate it. The
// key is its own version, and its ARN pins it. An alias does not, since it can be
// moved to another key while tokens are signed; [New] takes none.
//
// # Signing or wrapping
//
// With [New] or [NewProvisioner], every token is an operation of KMS: the
// private key never leaves it, whoever takes over a host can sign only while
// they are there, and CloudTrail has each signature. Tokens cannot be made
// while KMS is away, and its quota (1,000 signatures per second and Region for
// all RSA keys of an account, and as many for its elliptic curve keys, unless it
// was raised) is the limit.
//
// With [NewWrapper], a keyring makes its keys itself and KMS encrypts the data
// key that encrypts them: one operation per process and data key. Tokens are
// made while KMS is away, at the speed of the machine; whoever takes over a host
// can read its private keys from memory, and sign elsewhere until they are
// revoked. What is stored is protected equally well.
//
// # Calls
//
// Every call goes through a [signer.Guard]. Retries of the SDK are off, because
// they would hide from the Guard that KMS throttles; so is the SDK's logging of
// requests and answers, which shows session tokens and data keys. A client that
// logs what it signs is refused: that cannot be turned off. No redirect is
// followed, and no answer of more than 1 MiB is read.
//
// KMS counts Sign for RSA keys, Sign for elliptic curve keys, Encrypt with
// Decrypt, and each other operation apart. A host that comes near a quota gives
// each its Guard.
//
// Errors are of type [*signer.Error], or [*ConfigError] for what a host has
// passed. They show what KMS wrote, on one line and without what was sent to it.
package awskms
