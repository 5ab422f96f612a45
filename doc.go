// Package oidctoken turns a pipeline platform into an OpenID Connect token issuer
// for its own pipelines, so that a running step gets short-lived credentials
// without a stored secret.
//
// A host (a pipeline manager, a runner, an agent) describes an execution in a
// [Scope] and gets a JWT (RFC 7519) that states exactly where it runs:
//
//	signer, err := oidctoken.NewSigner(key)
//	...
//	issuer, err := oidctoken.NewIssuer(oidctoken.Config{
//		URL:  "https://ci.example.com/oidc",
//		Keys: oidctoken.StaticKeys{{Signer: signer}},
//	})
//	...
//	http.Handle("/oidc/", issuer)
//	token, err := issuer.Mint(ctx, oidctoken.Scope{
//		Audience: "https://vault.example.com",
//		Account:  oidctoken.Entity{ID: "acme"},
//		Pipeline: &oidctoken.Pipeline{ID: "release"},
//		Stage:    oidctoken.CI{ID: "build"},
//	})
//
// A relying party fetches the issuer's discovery document and JWK Set, verifies the
// token and decides by its claims. Other packages of this module exchange a token
// for cloud credentials (gcp, aws, azure) and deliver tokens and credentials to a
// step (broker). This package does not import them.
//
// # Claims
//
// Claims describe the execution. They never describe the level at which its
// connector is defined. One table in this package lists all claims, the source of
// their values and their formats; docs/claims.md is made from it. Each kind of
// stage has a Go type, so a [CI] cannot have an environment.
//
// # Keys
//
// A [Key] has a schedule. Which key signs depends only on the keys and the time, so
// replicas agree without talking to each other. Package keyring rotates keys for
// any number of replicas. To rotate keys by hand:
//
//   - Publish the next key. Set its NotBefore to now, plus the time for which a
//     verifier may cache the JWK Set (an hour, by its max-age), plus a safety margin
//     of a day.
//   - Set NotAfter of the old key to the same time.
//   - Set Expires of the old key to that time, plus the longest lifetime of a token,
//     plus an hour, plus the same margin.
//
// # Compatibility
//
// Trust policies match the claims and the subject. So, within a major version, the
// exported API, the names and meanings of the claims, and the form of the subject
// do not change. New claims may appear.
package oidctoken
