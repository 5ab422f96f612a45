// Package keyring rotates the keys of an issuer. Every verifier has the next
// key before that key signs, and keeps the previous key until the last token of
// that key expires.
//
// A [Ring] is an [oidctoken.KeySource]. Any number of replicas share one through
// a [Store], which they change by compare-and-swap and no other means: there is
// no leader and no lock. A key carries its times, and which key signs follows
// from the shared document and the clock alone, so replicas agree without
// talking, and none needs the store to sign:
//
//	key, err := keyring.ReadWrappingKey("/etc/ci/wrapping-key")
//	...
//	wrapper, err := keyring.NewWrapper(key)
//	...
//	store, err := keyring.NewFileStore("/var/lib/ci/keyring.json")
//	...
//	ring, err := keyring.New(ctx, keyring.Config{Name: "ci", Store: store, Wrapper: wrapper})
//	...
//	defer ring.Close()
//	issuer, err := oidctoken.NewIssuer(oidctoken.Config{URL: url, Keys: ring})
//
// # A key's life
//
// A key is published when it has been seen in the JWK Set. It becomes active at
// Published + MaxAge + Propagation or later. It retires when the next key
// becomes active, and it is removed MaxLifetime + Skew + MaxAge after that.
// When a key becomes active, its successor has already been published long
// enough to replace it. [Ring.Revoke] therefore takes effect at once, and only
// the tokens of the revoked key fail. A ring makes one key for each Period,
// however often its processes start.
//
// The first key of an empty ring signs at once, since no verifier knows
// another. So does one that is made after an outage in which every key ended.
//
// # What protects the keys
//
// The stored document has the public halves in clear. Private halves that the
// ring made are encrypted with a data key, which a [Wrapper] encrypts: with a
// local key ([NewWrapper]), or with one of a key management service. A tag under
// the data key shows that a replica wrote the document, and its generation that
// it is not an earlier one than this process has seen. Config.Name keeps out the
// document of another ring under the same wrapping key. A document that is
// refused is never overwritten. A replica that starts cannot detect an earlier
// document of its ring that was put back while no replica ran.
//
// With a [Provisioner] the private halves never leave their service, which then
// signs every token.
//
// # When something is away
//
// While the store, the wrapper or the provisioner fails, a ring answers from
// memory. Tokens are minted and the JWK Set is served until the keys' own end,
// which is at least a Period away, and the transitions that were missed are
// made with the first poll that succeeds. [Ring.Status] returns the current error
// and the time until which the replica can sign by itself. Config.Audit receives
// each change.
package keyring
