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
// All calls go through a [signer.Guard]. The client makes each call once, and
// the caller decides about retries. Every answer is checked with CRC-32C
// checksums in both directions and against the requested name. No error repeats
// the request.
package gcpkms
