package main

import (
	"errors"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/broker"
	"github.com/oidctoken/oidctoken/examples/internal/pipeline"
	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/gcp"
	"github.com/oidctoken/oidctoken/oidctokentest"
)

// connectors makes the broker's connectors of the file's, and starts the
// stand-ins that they need.
func (h *host) connectors(issuerURL string) (broker.ConnectorMap, error) {
	connectors := make(broker.ConnectorMap)
	google := googleStandIn{issuerURL: issuerURL}
	for i := range h.file.Connectors {
		c := &h.file.Connectors[i]
		connector := &broker.Connector{UID: c.UID, Name: c.Name}
		var err error
		switch {
		case c.GCP != nil:
			connector.Exchanger, err = h.newGCP(c, &google)
		case c.OIDC != nil:
			connector.Audiences = c.OIDC.Audiences
		}
		if err != nil {
			return nil, err
		}
		if connector.Exchanger != nil && h.file.Issuer.NullUnknown {
			profile := connector.Exchanger.Profile()
			profile.Unknown = oidctoken.Null
			connector.Profile = &profile
		}
		connectors[h.home(c)] = connector
	}
	return connectors, google.serve(h)
}

// home is where the file's own tenant has a connector.
func (h *host) home(c *pipeline.Connector) broker.Home {
	home := broker.Home{Account: h.file.Account.ID, ID: c.ID}
	if c.Level != oidctoken.AccountLevel {
		home.Organization = h.file.Organization.ID
	}
	if c.Level == oidctoken.ProjectLevel {
		home.Project = h.file.Project.ID
	}
	return home
}

// newGCP makes the exchanger of a Google connector. Without a token endpoint of
// its own, it is led to the stand-in.
func (h *host) newGCP(c *pipeline.Connector, google *googleStandIn) (exchange.Exchanger, error) {
	config := gcp.Config{
		Provider:         c.GCP.Provider,
		Audience:         c.GCP.Audience,
		ServiceAccount:   c.GCP.ServiceAccount,
		Lifetime:         c.GCP.Lifetime,
		TokenURL:         c.GCP.TokenURL,
		ImpersonationURL: c.GCP.ImpersonationURL,
	}
	if config.TokenURL == "" {
		base, err := google.listen(h)
		if err != nil {
			return nil, err
		}
		config.TokenURL = base + "/v1/token"
		if config.ImpersonationURL == "" {
			config.ImpersonationURL = base
		}
	}
	ex, err := gcp.New(config)
	if err != nil {
		return nil, h.connectorError(c, err)
	}
	if c.GCP.TokenURL == "" {
		google.admit(config, ex.Audience())
	}
	return ex, nil
}

// connectorError says where in the file a cloud's configuration is wrong.
func (h *host) connectorError(c *pipeline.Connector, err error) error {
	var google *gcp.ConfigError
	if errors.As(err, &google) {
		return h.file.ConnectorError(c, google.Field, errors.New(google.Reason))
	}
	return h.file.ConnectorError(c, "", err)
}

// googleStandIn is a stand-in of Google that is set up as the file's connectors
// expect it.
type googleStandIn struct {
	issuerURL string
	listener  net.Listener
	config    oidctokentest.GoogleConfig
}

// listen returns the stand-in's base URL.
func (g *googleStandIn) listen(h *host) (string, error) {
	if g.listener == nil {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		g.listener = listener
		h.closers = append(h.closers, func() error {
			if err := listener.Close(); !errors.Is(err, net.ErrClosed) {
				return err
			}
			return nil
		})
	}
	return "http://" + g.listener.Addr().String(), nil
}

// admit sets the stand-in up for a connector: its provider trusts the runner's
// issuer, and everybody in its pool may use its service account. Connectors may
// share either.
func (g *googleStandIn) admit(c gcp.Config, audience string) {
	providers := &g.config.Providers
	i := slices.IndexFunc(*providers, func(p oidctokentest.GoogleProvider) bool { return p.Name == c.Provider })
	if i < 0 {
		i = len(*providers)
		*providers = append(*providers, oidctokentest.GoogleProvider{Name: c.Provider, Issuer: g.issuerURL})
	}
	if audiences := &(*providers)[i].AllowedAudiences; !slices.Contains(*audiences, audience) {
		*audiences = append(*audiences, audience)
	}
	if c.ServiceAccount == "" {
		return
	}
	accounts := &g.config.ServiceAccounts
	i = slices.IndexFunc(*accounts, func(a oidctokentest.GoogleServiceAccount) bool { return a.Email == c.ServiceAccount })
	if i < 0 {
		i = len(*accounts)
		*accounts = append(*accounts, oidctokentest.GoogleServiceAccount{Email: c.ServiceAccount})
	}
	account := &(*accounts)[i]
	pool, _, _ := strings.Cut(c.Provider, "/providers/")
	if member := "principalSet://iam.googleapis.com/" + pool + "/*"; !slices.Contains(account.Members, member) {
		account.Members = append(account.Members, member)
	}
	account.MaxLifetime = max(account.MaxLifetime, c.Lifetime, time.Hour)
}

// serve starts the stand-in, if a connector needs it.
func (g *googleStandIn) serve(h *host) error {
	if g.listener == nil {
		return nil
	}
	google, err := oidctokentest.NewGoogle(g.config)
	if err != nil {
		return err
	}
	h.serve(g.listener, google)
	return nil
}
