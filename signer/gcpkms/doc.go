// Package gcpkms signs with keys of Google Cloud KMS, and wraps a key ring's
// data key with one. It uses the service's REST client,
// google.golang.org/api/cloudkms/v1.
//
// [New] is a Signer for one version of a key; the private key stays in the
// service, and every token costs an operation. With a [Provisioner] the keys of
// a keyring.Ring are such versions, made and destroyed as the ring rotates. A
// [Wrapper] leaves the keys to the ring, and has the service encrypt what
// encrypts them: one operation when a replica starts, and tokens are minted
// while the service is away.
//
// All calls go through a [signer.Guard]. The client makes each call once; it is
// the caller's to try again. What comes back is checked with the CRC-32C
// checksums of both ways and against the name that was asked for, and no failure
// repeats what was sent.
package gcpkms
