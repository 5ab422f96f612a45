// Package exchange holds the parts that the clouds' packages share. With them,
// a JWT of an issuer is exchanged for a credential of a cloud.
//
// A host makes one [Exchanger] per identity that its pipelines may take on, in
// the package of that cloud, and calls it with a function that mints:
//
//	cred, err := exchanger.Exchange(ctx, exchange.Request{
//		Subject: func(ctx context.Context, audience string) (string, error) {
//			// ... mint for audience, with exchanger.Profile()
//		},
//	})
//
// The result of an exchange is a [Credential], or an [*Error] if the cloud
// refused or could not be reached. The Error tells who must change which
// setting. Neither shows a secret when printed.
package exchange

import (
	"context"

	"github.com/oidctoken/oidctoken"
)

// Exchanger exchanges a JWT for a credential of one cloud, for one configured
// identity there. It is safe for concurrent use.
//
// Abilities that not every cloud has are interfaces of their own, such as
// [FileSourced], which an Exchanger may implement too.
//
// A broker that delivers an Exchanger without any of them, or one whose bundles
// have no variables, gives the step the variables of its Credential.
type Exchanger interface {
	// Profile describes the JWT for this cloud. It does not change.
	Profile() oidctoken.Profile
	// Audience is the "aud" that the cloud expects in the JWT. It does not
	// change.
	Audience() string
	// Exchange gets a JWT from r.Subject and exchanges it. It fails with an
	// [*Error] when the cloud refuses or cannot be reached, with the error of
	// r.Subject, or with the error of ctx; errors.Is and errors.As find each.
	//
	// It retries by itself after a failure that may pass, such as an outage of the cloud,
	// for a minute unless its configuration says otherwise, and returns once ctx
	// has ended. No error shows 12 bytes in a row of a JWT or token of this call,
	// whatever the cloud sent back and however it was encoded. The Credential is
	// the caller's; nothing keeps it.
	Exchange(ctx context.Context, r Request) (*Credential, error)
}

// Request has the input of an exchange that is not in the Exchanger's
// configuration.
type Request struct {
	// Subject mints the JWT. Required.
	Subject SubjectToken
	// SessionName names the execution in the cloud's audit log, where the
	// cloud takes one (AWS: the RoleSessionName, 2 to 64 bytes of letters,
	// digits and _+=,.@-). It is unique per execution, since clients cache
	// by it. Empty: the Exchanger derives none and refuses if its cloud needs
	// one.
	SessionName string
	// Scopes are OAuth scopes (RFC 6749, section 3.3). Nil means the
	// configured ones.
	Scopes []string
}

// SubjectToken returns a fresh JWT, the subject token of RFC 8693, for the
// audience. An Exchanger calls it again before each retry, so that a retry
// never sends a token that expired while it waited. It may be called
// concurrently when exchanges are.
type SubjectToken func(ctx context.Context, audience string) (string, error)

// CloudNamed is an [Exchanger] that names the cloud of its bundles and
// credentials. A step can have one connector of each cloud.
type CloudNamed interface {
	// Cloud returns "gcp", "aws" or "azure", or another short name. It does not
	// change.
	Cloud() string
}

// Configured is an [Exchanger] that compares its configuration with another's.
// A broker uses it to recognize a connector whose Exchanger the host makes
// again for each lookup.
type Configured interface {
	// SameConfig reports whether other has the same type and configuration: for
	// the same JWT, both get a credential of the same identity with the same
	// rights, from the same place. In doubt it reports false.
	SameConfig(other Exchanger) bool
}

// FileSourced is an [Exchanger] whose cloud's own tools can exchange the JWT
// themselves, from a file that is kept fresh.
type FileSourced interface {
	// Bundle returns the files and variables that these tools need. dir is an
	// absolute, private directory of one step, tokenFile the absolute path of
	// the JWT. Nothing is written.
	Bundle(dir, tokenFile string) (*Bundle, error)
}

// SessionBundler is a FileSourced whose tools name their sessions themselves
// (AWS). A broker that knows the execution calls SessionBundle, and not Bundle.
type SessionBundler interface {
	// SessionBundle is Bundle with the session name that the tools will use, as
	// of SessionName.
	SessionBundle(dir, tokenFile, sessionName string) (*Bundle, error)
}

// Bundle holds the files and variables by which a cloud's tools find a
// credential in a step.
type Bundle struct {
	// Files are contents by path, relative to the directory that Bundle was
	// called with, with forward slashes. They hold no secret by themselves.
	Files map[string][]byte
	// Dirs are directories, by relative path, that must exist.
	Dirs []string
	// Env are variables by name, with absolute paths in them.
	Env map[string]string
}

// Endpoint is the address of a step on loopback, which gives its processes
// tokens and credentials on demand.
type Endpoint struct {
	// TokenURL answers GET with a JSON object whose member "value" is the JWT,
	// for the connector's audience.
	TokenURL string
	// CredentialsURL answers GET with what ContainerCredentials returns.
	CredentialsURL string
	// Authorization returns the value of the header of that name without which
	// the endpoint refuses. It is a secret.
	Authorization func() string
}

// EndpointSourced is an [Exchanger] whose cloud's own tools can ask the step's
// endpoint, rather than read a file.
type EndpointSourced interface {
	// EndpointBundle is Bundle for an endpoint. Its files hold the endpoint's
	// secret.
	EndpointBundle(dir string, e Endpoint) (*Bundle, error)
}

// ContainerSourced is an [EndpointSourced] whose tools are given the credential
// itself (AWS).
type ContainerSourced interface {
	// ContainerCredentials returns the endpoint's answer, as application/json:
	// a secret, and the caller's. It fails if c is not of this Exchanger's cloud.
	ContainerCredentials(c *Credential) ([]byte, error)
}
