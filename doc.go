// Package oidctoken makes a pipeline platform an OpenID Connect token issuer
// for its own pipelines, so that a running step gets short-lived credentials
// with no stored secret.
//
// A host (a pipeline manager, a runner, an agent) describes an execution in a
// [Scope] and gets a JWT (RFC 7519) that says exactly where it runs:
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
// A relying party fetches the issuer's discovery document and JWK Set, verifies
// the token and decides by its claims. The packages beside this one trade a
// token for a cloud's credential (gcp, aws, azure) and hand either to a step (broker);
// nothing here knows of them.
//
// # Claims
//
// Claims describe the execution, never the connector's home. One table in this
// package says which there are, where their values come from and what they may
// look like; its reference is docs/claims.md. The kind of stage is a type, and
// so a [CI] cannot carry an environment.
//
// # Keys
//
// A [Key] carries its schedule, and which key signs is a function of the keys
// and the time, so that replicas agree without talking. Package keyring rotates
// keys for any number of replicas. To rotate by hand,
// publish the next key with a NotBefore that lies further ahead than a verifier
// may cache the JWK Set (an hour, by its max-age) and a safety margin of a day;
// give the old key a NotAfter at that moment, and an Expires that lies the
// longest lifetime of a token, an hour and the same margin later.
//
// # Compatibility
//
// Within a major version, the exported API, the names and meanings of the
// claims, and the form of the subject do not change, because trust policies
// match them. New claims may appear.
package oidctoken
