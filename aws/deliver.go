package aws

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"time"

	"github.com/oidctoken/oidctoken/exchange"
)

const (
	configName        = "config"
	credentialsName   = "credentials"
	authorizationName = "authorization"
)

// Bundle is [Exchanger.SessionBundle] with a session name made of dir, which
// must therefore be the directory of one step execution and of no other.
func (e *Exchanger) Bundle(dir, tokenFile string) (*exchange.Bundle, error) {
	if reason := checkPath(dir); reason != "" {
		return nil, configError("dir", reason)
	}
	return e.SessionBundle(dir, tokenFile, exchange.SessionName("oidctoken", filepath.Clean(dir)))
}

// SessionBundle returns the variables with which the AWS CLI and the SDKs exchange
// the JWT in tokenFile by themselves: AWS_WEB_IDENTITY_TOKEN_FILE, AWS_ROLE_ARN
// and AWS_ROLE_SESSION_NAME, AWS_REGION and AWS_DEFAULT_REGION, and
// AWS_ENDPOINT_URL_STS if there is a Config.Endpoint. Older SDKs ask the global
// endpoint unless AWS_STS_REGIONAL_ENDPOINTS is "regional". AWS_CONFIG_FILE and
// AWS_SHARED_CREDENTIALS_FILE lead to files below dir that name the Region and
// nothing else, so that no profile of the machine takes part, and
// AWS_EC2_METADATA_DISABLED keeps SDKs that cannot assume the role from turning
// to the machine's own. It fails with a [*oidctoken.ConfigError].
//
// The environment must not set AWS_ACCESS_KEY_ID, AWS_PROFILE or
// AWS_DEFAULT_PROFILE: the tools prefer them.
//
// The session name must be the execution's own. The AWS CLI keeps credentials
// in $HOME/.aws/cli/cache, which nothing can move but another HOME, by role and
// session name: it would serve a second step, which comes with the same two,
// the first one's, whatever that step's JWT says.
//
// The tools choose the session's lifetime themselves, 1 hour. They cannot be
// told of session policies: with Config.SessionPolicy or PolicyARNs, the session
// would have more permissions than it may, and is refused. Tags, source identity
// and the role are in the JWT, and so hold.
func (e *Exchanger) SessionBundle(dir, tokenFile, sessionName string) (*exchange.Bundle, error) {
	for _, p := range []struct{ field, path string }{{"dir", dir}, {"tokenFile", tokenFile}} {
		if reason := checkPath(p.path); reason != "" {
			return nil, configError(p.field, reason)
		}
	}
	const lost = "would not apply, because a web identity file cannot name it: deliver credentials through a loopback endpoint instead"
	switch {
	case !isName(sessionName):
		return nil, configError("sessionName", "is not of 2 to 64 letters, digits and _+=,.@-")
	case e.config.SessionPolicy != "":
		return nil, configError("SessionPolicy", lost)
	case len(e.config.PolicyARNs) > 0:
		return nil, configError("PolicyARNs", lost)
	}
	b := e.bundle(dir)
	b.Env["AWS_WEB_IDENTITY_TOKEN_FILE"] = tokenFile
	b.Env["AWS_ROLE_ARN"] = e.config.RoleARN
	b.Env["AWS_ROLE_SESSION_NAME"] = sessionName
	return b, nil
}

// bundle returns the variables that tools need for every way of delivery.
func (e *Exchanger) bundle(dir string) *exchange.Bundle {
	env := map[string]string{
		envRegion:                     e.config.Region,
		envDefaultRegion:              e.config.Region,
		"AWS_STS_REGIONAL_ENDPOINTS":  "regional",
		"AWS_CONFIG_FILE":             filepath.Join(dir, configName),
		"AWS_SHARED_CREDENTIALS_FILE": filepath.Join(dir, credentialsName),
		"AWS_EC2_METADATA_DISABLED":   "true",
	}
	if e.config.Endpoint != "" {
		env["AWS_ENDPOINT_URL_STS"] = strings.TrimSuffix(e.config.Endpoint, "/")
	}
	return &exchange.Bundle{
		Files: map[string][]byte{
			configName:      []byte("[default]\nregion = " + e.config.Region + "\n"),
			credentialsName: {},
		},
		Env: env,
	}
}

// EndpointBundle returns the variables with which the AWS CLI and the SDKs take
// credentials from the step's endpoint, as from a container's:
// AWS_CONTAINER_CREDENTIALS_FULL_URI and AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE,
// and those of [Exchanger.SessionBundle] that do not belong to a web identity.
// Here the Exchanger makes the session: with its Lifetime, SessionPolicy and
// PolicyARNs. It fails with a [*oidctoken.ConfigError].
//
// The environment must not set AWS_ACCESS_KEY_ID, AWS_PROFILE,
// AWS_DEFAULT_PROFILE, AWS_WEB_IDENTITY_TOKEN_FILE or AWS_ROLE_ARN: the tools
// prefer them.
func (e *Exchanger) EndpointBundle(dir string, endpoint exchange.Endpoint) (*exchange.Bundle, error) {
	if reason := checkPath(dir); reason != "" {
		return nil, configError("dir", reason)
	}
	if endpoint.CredentialsURL == "" || endpoint.Authorization == nil {
		return nil, configError("Endpoint", "has no CredentialsURL or no Authorization")
	}
	b := e.bundle(dir)
	b.Files[authorizationName] = []byte(endpoint.Authorization()) // no line break, because clients send the file unchanged
	b.Env["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = endpoint.CredentialsURL
	b.Env["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = filepath.Join(dir, authorizationName)
	return b, nil
}

// checkPath refuses a path that an environment variable or another working
// directory would change.
func checkPath(s string) (reason string) {
	switch {
	case s == "":
		return "is required"
	case !filepath.IsAbs(s):
		return "is not an absolute path"
	case strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return "has a control character"
	}
	return ""
}

// CredentialProcess returns the output of a program that an SDK runs as its
// credential_process. The output is a secret, and the caller owns it.
// CredentialProcess fails with a [*oidctoken.ConfigError] if c is not a
// credential of an [Exchanger] of this package.
func CredentialProcess(c *exchange.Credential) ([]byte, error) {
	if reason := checkCredential(c); reason != "" {
		return nil, configError("Credential", reason)
	}
	return json.Marshal(struct {
		Version         int
		AccessKeyID     string `json:"AccessKeyId"`
		SecretAccessKey string
		SessionToken    string
		Expiration      string
		AccountID       string `json:"AccountId"`
	}{1, c.Value(envAccessKeyID), c.Value(envSecret), c.Value(envToken), expiration(c), c.Value(envAccountID)})
}

// ContainerCredentials returns the body of a container credentials endpoint,
// which SDKs find by AWS_CONTAINER_CREDENTIALS_FULL_URI. The body is a secret,
// and the caller owns it. Serve it as application/json. The credential should
// be valid for more than 15 minutes: below that, boto3 requests it again at
// every call. ContainerCredentials fails with a [*oidctoken.ConfigError] if c
// is not a credential of an [Exchanger] of this package.
func ContainerCredentials(c *exchange.Credential) ([]byte, error) {
	if reason := checkCredential(c); reason != "" {
		return nil, configError("Credential", reason)
	}
	return json.Marshal(struct {
		AccessKeyID     string `json:"AccessKeyId"`
		SecretAccessKey string
		Token           string
		Expiration      string
		AccountID       string `json:"AccountId"`
	}{c.Value(envAccessKeyID), c.Value(envSecret), c.Value(envToken), expiration(c), c.Value(envAccountID)})
}

// ContainerCredentials is the function of that name. It implements
// [exchange.ContainerSourced].
func (*Exchanger) ContainerCredentials(c *exchange.Credential) ([]byte, error) {
	return ContainerCredentials(c)
}

// checkCredential keeps an SDK from being given a credential that it takes for
// one without a session or without an end.
func checkCredential(c *exchange.Credential) (reason string) {
	if c == nil {
		return "is nil"
	}
	for _, name := range []string{envAccessKeyID, envSecret, envToken, envAccountID} {
		if c.Value(name) == "" {
			return "is not one of AWS: it has no " + name
		}
	}
	if c.Expires().IsZero() {
		return "has no expiry"
	}
	return ""
}

// expiration is in whole seconds and in UTC, which every SDK reads.
func expiration(c *exchange.Credential) string { return c.Expires().UTC().Format(time.RFC3339) }
