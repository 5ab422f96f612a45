// Package pkcs11 signs with keys of a hardware security module, or of another
// token that has a PKCS #11 library (OASIS PKCS #11, version 2.40 or later; the
// cited sections are from version 2.40). The private keys do not leave the
// token.
//
// [OpenModule] loads the library, [Open] logs in to one of its tokens, and
// [New] returns the signer of one key pair. [NewProvisioner] has a keyring.Ring
// make its keys in the token; [NewWrapper] has its data key encrypted there, so
// that tokens are signed in memory.
//
// The package recovers lost state without a restart of the host: closed
// sessions, an ended login, a token that was removed and came back. A call that
// meets such a loss opens a session, logs in, finds the key, checks that it is
// still the same key, and is tried once more. Every signature is verified
// before it is returned, because the handle of a deleted object may now belong
// to another key.
//
// A call into the library cannot be cancelled. When ctx
// ends, the caller returns. The session is not used again until the call has
// returned.
//
// The library is called through cgo. Without cgo, the package builds, and
// OpenModule fails with an error that is [errors.ErrUnsupported].
package pkcs11
