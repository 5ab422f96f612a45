package broker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/expr"
)

// function is a function of the expression language. Its first argument is a connector
// reference. Its optional second argument is an audience or an OAuth scope.
type function struct {
	name     string
	maxArgs  int
	second   argument
	secret   bool
	fields   []string // fields of the result; nil if the result is a text
	cloud    string   // cloud that the connector must have; "" accepts every connector
	evaluate func(ctx context.Context, c call) (string, error)
}

type argument uint8

const (
	audienceArgument argument = iota
	scopeArgument
)

// call holds the evaluated arguments of a function.
type call struct {
	step     *Step
	resolved *resolvedConnector
	scope    string // OAuth scope; "" means the connector's own
	field    string // one of the function's fields; "" if it has no fields
	usage    *usage
}

// functions lists the functions of the language that use a connector. Each names a variable of
// a Credential instead of a cloud's package, because the broker imports no cloud.
var functions = []function{
	{name: "secrets.getJWT", maxArgs: 2, secret: true, evaluate: jwt},
	{name: "secrets.getJWTFile", maxArgs: 2, evaluate: jwtFile},
	{name: "secrets.getGCPAccessToken", maxArgs: 2, second: scopeArgument, secret: true, cloud: "gcp", evaluate: credentialValue("CLOUDSDK_AUTH_ACCESS_TOKEN")},
	{name: "secrets.getGCPAccessTokenFile", maxArgs: 2, second: scopeArgument, cloud: "gcp", evaluate: credentialFile("CLOUDSDK_AUTH_ACCESS_TOKEN")},
	{name: "secrets.getGCPCredentialsFile", maxArgs: 1, cloud: "gcp", evaluate: bundleFile("GOOGLE_APPLICATION_CREDENTIALS")},
	{name: "secrets.getAWSCredentials", maxArgs: 1, secret: true, cloud: "aws", fields: slices.Sorted(maps.Keys(awsVariables)), evaluate: awsCredentials},
	{name: "secrets.getAzureAccessToken", maxArgs: 2, second: scopeArgument, secret: true, cloud: "azure", evaluate: credentialValue("AZURE_ACCESS_TOKEN")},
}

// awsVariables maps each field of getAWSCredentials to its variable.
var awsVariables = map[string]string{
	"accessKeyId":     "AWS_ACCESS_KEY_ID",
	"secretAccessKey": "AWS_SECRET_ACCESS_KEY",
	"sessionToken":    "AWS_SESSION_TOKEN",
}

// signature returns f as an expr.Func without Call.
func (f *function) signature() expr.Func {
	return expr.Func{MinArgs: 1, MaxArgs: f.maxArgs, Fields: f.fields, Secret: f.secret}
}

// usage records the tokens and credentials that an evaluation used.
type usage struct {
	expires    time.Time // the earliest expiry; zero means never
	deliveries []Event   // one event for each token and each credential
}

// add records a token of a connector, or a credential if token is nil.
func (u *usage) add(rc *resolvedConnector, expires time.Time, token *oidctoken.Token) {
	if u.expires.IsZero() || expires.Before(u.expires) {
		u.expires = expires
	}
	e := rc.deliveredEvent(expires, token)
	same := func(o Event) bool {
		return o.Connector == e.Connector && o.Audience == e.Audience && o.TokenID == e.TokenID && o.Expires.Equal(e.Expires)
	}
	if !slices.ContainsFunc(u.deliveries, same) {
		u.deliveries = append(u.deliveries, e)
	}
}

// env returns the Env for the step's expressions. For each call of a function, it resolves the
// connector with authorize and then calls handle.
func (s *Step) env(authorize authorizer, handle func(ctx context.Context, f *function, c call) (string, error)) expr.Env {
	env := expr.Env{
		Functions:       make(map[string]expr.Func, len(functions)),
		Variables:       s.config.Variables,
		AuthorVariables: s.config.AuthorVariables,
		Delimiters:      s.config.Delimiters,
		ForeignRoots:    s.config.ForeignRoots,
		Strict:          s.config.Strict,
	}
	for i := range functions {
		f := &functions[i]
		called := f.signature()
		called.Call = func(ctx context.Context, written expr.Call) (string, error) {
			c, err := s.read(ctx, authorize, f, written.Args)
			if err != nil {
				return "", err
			}
			c.field = written.Field
			return handle(ctx, f, c)
		}
		env.Functions[f.name] = called
	}
	return env
}

// read resolves the arguments of a call.
func (s *Step) read(ctx context.Context, authorize authorizer, f *function, args []string) (call, error) {
	c := call{step: s}
	audience := ""
	if len(args) > 1 {
		switch {
		case args[1] == "":
			return c, errors.New("the second argument is empty")
		case f.second == audienceArgument:
			audience = args[1]
		default:
			c.scope = args[1]
		}
	}
	var err error
	if c.resolved, err = authorize(ctx, args[0], audience); err != nil {
		return c, err
	}
	if f.cloud != "" && c.resolved.connector.cloud() != f.cloud {
		return c, f.wrongCloud(c.resolved)
	}
	return c, nil
}

// wrongCloud returns the error for a connector of another cloud than f's. The error names the
// functions that fit the connector.
func (f *function) wrongCloud(rc *resolvedConnector) error {
	cloud := rc.connector.cloud()
	var fitting []string
	for _, other := range functions {
		if other.cloud == cloud {
			fitting = append(fitting, other.name)
		}
	}
	leads := "leads to " + cloud
	switch {
	case rc.connector.Exchanger == nil:
		leads = "gives a JWT and leads to no cloud"
	case cloud == "":
		leads = "has an Exchanger that names no cloud"
	case len(fitting) == 0: // the cloud of a third-party Exchanger
		fitting = []string{"secrets.getJWT"}
	}
	return fmt.Errorf("broker: connector %s %s, and %s needs a connector of %s: use %s, or name a connector of %s",
		rc.ref, leads, f.name, f.cloud, strings.Join(fitting, " or "), f.cloud)
}

// Expand returns text with its expressions resolved, in the language of package expr. The
// tokens that it mints are masked and cached for the step, so a token that occurs twice is
// minted once. The error is an *[expr.Error]. It wraps the error of the token or credential,
// unless the text itself is at fault.
func (s *Step) Expand(ctx context.Context, text string) (string, error) {
	return s.expand(ctx, text, new(usage))
}

func (s *Step) expand(ctx context.Context, text string, u *usage) (string, error) {
	return expr.Expand(ctx, text, s.using(u))
}

// using returns the Env that evaluates functions and records their tokens and credentials in u.
func (s *Step) using(u *usage) expr.Env {
	return s.env(s.authorize, func(ctx context.Context, f *function, c call) (string, error) {
		c.usage = u
		return f.evaluate(ctx, c)
	})
}

// Use describes a token that a text requests.
type Use struct {
	Connector string // the reference
	Audience  string
	Claims    *oidctoken.Claims
}

// Preview returns the tokens that Expand would mint for text, in the order of their
// expressions. It mints nothing. It refuses what Expand refuses, as far as that can be checked
// without the issuer's policy, a key or a cloud. If the Rules of a connector deny the step, the
// error is a *[DeniedError]. Preview does not audit a refusal.
func (s *Step) Preview(ctx context.Context, text string) ([]Use, error) {
	var uses []Use
	_, err := expr.Expand(ctx, text, s.env(s.authorizeUnaudited, func(ctx context.Context, _ *function, c call) (string, error) {
		uses = append(uses, c.resolved.use())
		return "", nil
	}))
	if err != nil {
		return nil, err
	}
	return uses, nil
}

// PreviewConnector is like Preview, for a connector that Deliver would deliver as the step's
// only connector.
func (s *Step) PreviewConnector(ctx context.Context, ref string) (Use, error) {
	rc, err := s.authorizeUnaudited(ctx, ref, "")
	if err != nil {
		return Use{}, err
	}
	return rc.use(), nil
}

func (rc *resolvedConnector) use() Use { return Use{rc.ref.String(), rc.audience, rc.claims} }

func jwt(ctx context.Context, c call) (string, error) {
	token, err := c.step.token(ctx, c.resolved)
	if err != nil {
		return "", err
	}
	c.usage.add(c.resolved, token.Expires(), token)
	return token.JWT(), nil
}

func jwtFile(ctx context.Context, c call) (string, error) {
	return c.step.tokenFile(ctx, c.resolved)
}

// credentialValue returns a function that evaluates to a variable of the connector's
// credential.
func credentialValue(variable string) func(context.Context, call) (string, error) {
	return func(ctx context.Context, c call) (string, error) {
		credential, err := c.step.credential(ctx, c.resolved, c.scope)
		if err != nil {
			return "", err
		}
		c.usage.add(c.resolved, credential.Expires(), nil)
		value := credential.Value(variable)
		if value == "" {
			return "", fmt.Errorf("broker: connector %s: its credential has no %s", c.resolved.ref, variable)
		}
		return value, nil
	}
}

// credentialFile returns a function that evaluates to the path of a fresh file with a variable
// of the connector's credential.
func credentialFile(variable string) func(context.Context, call) (string, error) {
	return func(ctx context.Context, c call) (string, error) {
		return c.step.valueFile(ctx, c.resolved, c.scope, variable)
	}
}

// awsCredentials evaluates to the requested field. All fields come from one credential.
func awsCredentials(ctx context.Context, c call) (string, error) {
	return credentialValue(awsVariables[c.field])(ctx, c)
}

// bundleFile returns a function that evaluates to the path in a variable of the connector's
// bundle.
func bundleFile(variable string) func(context.Context, call) (string, error) {
	return func(ctx context.Context, c call) (string, error) {
		env, err := c.step.bundle(ctx, c.resolved)
		if err != nil {
			return "", err
		}
		path := env[variable]
		if path == "" {
			return "", fmt.Errorf("broker: connector %s: its files have no %s", c.resolved.ref, variable)
		}
		if _, hasFiles := c.resolved.connector.fileSourced(); !hasFiles { // the files point to the endpoint
			c.step.mu.Lock()
			defer c.step.mu.Unlock()
			c.step.serveConnector(c.resolved)
		}
		return path, nil
	}
}
