package main

import (
	"context"
	"errors"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/aws"
	"github.com/oidctoken/oidctoken/azure"
	"github.com/oidctoken/oidctoken/examples/internal/pipeline"
	"github.com/oidctoken/oidctoken/gcp"
	"github.com/oidctoken/oidctoken/oidctokentest/awstest"
	"github.com/oidctoken/oidctoken/oidctokentest/entratest"
	"github.com/oidctoken/oidctoken/oidctokentest/googletest"
)

// standIns are the clouds for connectors that name no endpoint: set up as the
// connectors expect them, and as strict as the real ones.
type standIns struct {
	host      *host
	issuerURL string

	google       endpoint
	googleConfig googletest.Config
	aws          endpoint
	awsConfig    awstest.Config
	entra        []*entra // one for each tenant
}

// entra is the stand-in for a tenant.
type entra struct {
	endpoint
	config entratest.Config
}

// endpoint is the address of a stand-in. It exists before the stand-in, since
// connectors have to know it.
type endpoint struct{ listener net.Listener }

// listen returns the endpoint's base URL.
func (e *endpoint) listen(h *host) (string, error) {
	if e.listener == nil {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		e.listener = listener
		h.closers = append(h.closers, func() error {
			if err := listener.Close(); !errors.Is(err, net.ErrClosed) {
				return err
			}
			return nil
		})
	}
	return "http://" + e.listener.Addr().String(), nil
}

// serve starts a stand-in, if a connector needs it.
func (e *endpoint) serve(h *host, cloud string, newStandIn func() (http.Handler, error)) error {
	if e.listener == nil {
		return nil
	}
	handler, err := newStandIn()
	if err != nil {
		return h.file.Error(1, nil, nil, "connectors", err) // no one of them is at fault alone
	}
	if h.options.verbose {
		handler = &witness{standIn: handler, cloud: cloud, stderr: h.options.stderr}
	}
	h.serve(e.listener, handler)
	return nil
}

// serve starts the stand-ins.
func (s *standIns) serve() error {
	errs := []error{
		s.google.serve(s.host, "Google", func() (http.Handler, error) { return googletest.New(s.googleConfig) }),
		s.aws.serve(s.host, "AWS", func() (http.Handler, error) { return awstest.New(s.awsConfig) }),
	}
	for _, e := range s.entra {
		errs = append(errs, e.serve(s.host, "Entra", func() (http.Handler, error) { return entratest.New(e.config) }))
	}
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// find returns the element of a list for which is returns true, and appends add
// if there is no such element.
func find[T any](list *[]T, is func(T) bool, add T) *T {
	i := slices.IndexFunc(*list, is)
	if i < 0 {
		i = len(*list)
		*list = append(*list, add)
	}
	return &(*list)[i]
}

func addOnce(list *[]string, value string) {
	if !slices.Contains(*list, value) {
		*list = append(*list, value)
	}
}

// trustError is a defect of a connector's trust.
type trustError struct {
	key    string // of trust
	reason string // follows the key
}

func (e *trustError) Error() string { return "runner: trust." + e.key + " " + e.reason }

// checkTrust returns a *trustError for a stand-in's error about a configuration
// with one connector. keys maps the name of a field to the key of trust that
// decides it.
func checkTrust(err error, keys map[string]string) error {
	var config *oidctoken.ConfigError
	if !errors.As(err, &config) {
		return err
	}
	for field, key := range keys {
		if strings.Contains(config.Field, field) {
			_, at, _ := strings.Cut(config.Field, "[\"")
			if name, _, ok := strings.Cut(at, "\"]"); ok {
				return &trustError{key, name + " " + config.Reason}
			}
			return &trustError{key, config.Reason}
		}
	}
	return err
}

// admitGCP configures Google for a connector: its provider trusts the runner's
// issuer as trust states, and every principal of its pool may use its service
// account. Connectors may share either.
func (s *standIns) admitGCP(c gcp.Config, audience string, trust *pipeline.Trust) error {
	fresh := googletest.Provider{
		Name: c.Provider, Issuer: s.issuerURL,
		AttributeMapping: trust.Mapping, AttributeCondition: trust.Condition,
	}
	_, err := googletest.New(googletest.Config{Providers: []googletest.Provider{fresh}})
	if err := checkTrust(err, map[string]string{"AttributeMapping": "mapping", "AttributeCondition": "condition"}); err != nil {
		return err
	}
	provider := find(&s.googleConfig.Providers, func(p googletest.Provider) bool { return p.Name == c.Provider }, fresh)
	switch {
	case !maps.Equal(provider.AttributeMapping, trust.Mapping):
		return &trustError{"mapping", "differs from the value of another connector to the same provider"}
	case provider.AttributeCondition != trust.Condition:
		return &trustError{"condition", "differs from the value of another connector to the same provider"}
	}
	addOnce(&provider.AllowedAudiences, audience)
	if c.ServiceAccount == "" {
		return nil
	}
	account := find(&s.googleConfig.ServiceAccounts,
		func(a googletest.ServiceAccount) bool { return a.Email == c.ServiceAccount },
		googletest.ServiceAccount{Email: c.ServiceAccount})
	pool, _, _ := strings.Cut(c.Provider, "/providers/")
	addOnce(&account.Members, "principalSet://iam.googleapis.com/"+pool+"/*")
	account.MaxLifetime = max(account.MaxLifetime, c.Lifetime, time.Hour)
	return nil
}

// admitAWS configures AWS for a connector: the account of its role trusts the
// runner's issuer, and the role allows the JWTs that trust states, or all of
// the file's account.
func (s *standIns) admitAWS(c aws.Config, audience string, trust *pipeline.Trust) error {
	account := strings.Split(c.RoleARN, ":")[4]
	fresh := awstest.Provider{Account: account, Issuer: s.issuerURL, ClientIDs: []string{audience}}
	id := strings.ReplaceAll(s.host.file.Account.ID, "$", "%24") // as in a subject
	statement := awstest.Trust{
		Provider:            s.issuerURL,
		StringEquals:        map[string][]string{"aud": {audience}},
		StringLike:          map[string][]string{"sub": {"account/" + id, "account/" + id + ":*"}},
		RoleAuthorizedByIdP: true,
		TagSession:          len(c.SessionTags) > 0,
	}
	if len(trust.StringEquals)+len(trust.StringLike) > 0 {
		statement.StringEquals, statement.StringLike = trust.StringEquals, trust.StringLike
	}
	_, err := awstest.New(awstest.Config{
		Providers: []awstest.Provider{fresh},
		Roles:     []awstest.Role{{ARN: c.RoleARN, Trust: []awstest.Trust{statement}}},
	})
	if err := checkTrust(err, map[string]string{"StringEquals": "stringEquals", "StringLike": "stringLike"}); err != nil {
		return err
	}
	provider := find(&s.awsConfig.Providers, func(p awstest.Provider) bool { return p.Account == account }, fresh)
	addOnce(&provider.ClientIDs, audience)
	role := find(&s.awsConfig.Roles,
		func(r awstest.Role) bool { return r.ARN == c.RoleARN },
		awstest.Role{ARN: c.RoleARN})
	role.Trust = append(role.Trust, statement)
	role.MaxSessionDuration = max(role.MaxSessionDuration, c.Lifetime, time.Hour)
	return nil
}

// entraOf returns the stand-in for a tenant.
func (s *standIns) entraOf(tenant string) *entra {
	return *find(&s.entra, func(e *entra) bool { return e.config.TenantID == tenant },
		&entra{config: entratest.Config{TenantID: tenant}})
}

// admitAzure configures Entra for a connector: its application trusts the
// subject of trust, or the subject of the file's project.
func (s *standIns) admitAzure(c azure.Config, ex *azure.Exchanger, trust *pipeline.Trust) error {
	subject := trust.Subject
	if subject == "" {
		scope, profile := s.host.file.Scope(nil, nil), ex.Profile()
		scope.Audience, scope.Profile = ex.Audience(), &profile
		claims, err := s.host.issuer.Preview(context.Background(), scope)
		if err != nil {
			return err
		}
		subject, _ = claims.Get("sub")
	}
	credential := entratest.FederatedCredential{Issuer: s.issuerURL, Subject: subject, Audience: ex.Audience()}
	_, err := entratest.New(entratest.Config{TenantID: c.TenantID, Applications: []entratest.Application{
		{ClientID: c.ClientID, FederatedCredentials: []entratest.FederatedCredential{credential}},
	}})
	if err := checkTrust(err, map[string]string{"Subject": "subject"}); err != nil {
		return err
	}
	application := find(&s.entraOf(c.TenantID).config.Applications,
		func(a entratest.Application) bool { return a.ClientID == c.ClientID },
		entratest.Application{ClientID: c.ClientID})
	find(&application.FederatedCredentials,
		func(f entratest.FederatedCredential) bool { return f == credential }, credential)
	return nil
}
