// Package pkcs11 signs with keys of a hardware security module, or of another
// token that has a PKCS #11 library (OASIS PKCS #11, version 2.40 or later; the
// sections that are cited are those of version 2.40). The private keys do not
// leave it.
//
// [OpenModule] loads the library, [Open] logs in to one of its tokens, and
// [New] returns the signer of one key pair. [NewProvisioner] has a keyring.Ring
// make its keys in the token; [NewWrapper] has its data key encrypted there, so
// that tokens are signed in memory.
//
// What a host loses, it finds again without being restarted: sessions that
// somebody closed, a login that is over, a token that was away. A call that
// meets this opens a session anew, logs in, finds the key, checks that it is
// still the same one, and is tried once more. Every signature is verified
// before it is returned, because a handle of an object that is gone may have
// become that of another key.
//
// A call into the library cannot be cancelled. The caller does not wait for
// it beyond ctx; its session is not used again until it has returned.
//
// The library is called through cgo. Without cgo, the package builds, and
// OpenModule fails with an error that is [errors.ErrUnsupported].
package pkcs11
