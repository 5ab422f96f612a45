// Package vaulttransit signs with keys of the transit secrets engine of
// HashiCorp Vault and of OpenBao, over their HTTP API. It contains no code of
// either and needs no SDK.
//
// [New] makes a signer for one version of a key that an operator keeps.
// [NewProvisioner] lets a key ring (package keyring) make and delete its keys
// in Vault by itself. [NewWrapper] lets Vault encrypt a ring's data key: the
// private keys are then in the process, Vault is asked once per start instead
// of once per token, and minting goes on while Vault is away.
//
// # Requests
//
// Every request carries the token of [Config] in X-Vault-Token, so it goes to
// the host of [Config.Address] only. A redirect is never followed, also not the
// 307 with which a standby names the active node: it would hand the token to
// the host that the answer names. Let Address reach the active node, for
// example through a load balancer that checks /v1/sys/health, or leave Vault's
// request forwarding on, which is its default.
//
// A request to sign names the version of the key, the hash, that the input is
// hashed already, the scheme (PKCS #1 v1.5; Vault's own default for RSA is PSS)
// and the form of the signature (ASN.1, which oidctoken.Signer returns). The
// version of the answer is checked: without a version, Vault signs with the
// latest, and a rotation would change the key under a "kid".
//
// # One key per version of a ring
//
// A Provisioner makes a key of its own, with version 1 and no other, for every
// key of the ring, where it could have rotated one key per algorithm. Transit
// ends versions from the oldest on alone (min_available_version and trim), while
// a ring ends them in any order: a key that was revoked goes before older ones.
// And earlier versions of Vault answer a rotation with no body, so that of two
// replicas that rotate at once neither knows which version is its own. A key of
// its own has a name that its maker chose, can be deleted at any time, and is
// gone then as a whole.
//
// # Errors
//
// A setting that cannot work is a [*oidctoken.ConfigError]. A failure of Vault,
// or of the way to it, is a *signer.Error. Vault has no error codes: Code is
// the HTTP status. Vault reports a version that may not sign, or is missing, as
// an internal error with a sentence (HTTP 500; 400 in later versions). This
// package knows these sentences and returns an error of kind Gone. Any other
// 5xx is Unavailable. Before Vault is reached, a signer.Error of kind
// Unavailable may also come from the guard, and from a Token function that
// fails.
package vaulttransit
