package main

import (
	"errors"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/aws"
	"github.com/oidctoken/oidctoken/azure"
	"github.com/oidctoken/oidctoken/broker"
	"github.com/oidctoken/oidctoken/examples/internal/pipeline"
	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/gcp"
)

// connectors makes the broker's connectors of the file's, and starts the
// stand-ins that they need.
func (h *host) connectors(issuerURL string) (broker.ConnectorMap, error) {
	connectors := make(broker.ConnectorMap)
	s := &standIns{host: h, issuerURL: issuerURL}
	for i := range h.file.Connectors {
		c := &h.file.Connectors[i]
		connector := &broker.Connector{UID: c.UID, Name: c.Name}
		var err error
		switch {
		case c.GCP != nil:
			connector.Exchanger, err = s.newGCP(c.GCP)
		case c.AWS != nil:
			connector.Exchanger, err = s.newAWS(c.AWS)
		case c.Azure != nil:
			connector.Exchanger, err = s.newAzure(c.Azure)
		default:
			connector.Audiences = c.OIDC.Audiences
		}
		if err != nil {
			return nil, h.connectorError(c, err)
		}
		if connector.Exchanger != nil && h.file.Issuer.NullUnknown {
			profile := connector.Exchanger.Profile()
			profile.Unknown = oidctoken.Null
			connector.Profile = &profile
		}
		connectors[h.home(c)] = connector
	}
	return connectors, s.serve()
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
func (s *standIns) newGCP(c *pipeline.GCP) (exchange.Exchanger, error) {
	config := gcp.Config{
		Provider:         c.Provider,
		Audience:         c.Audience,
		ServiceAccount:   c.ServiceAccount,
		Lifetime:         c.Lifetime,
		TokenURL:         c.TokenURL,
		ImpersonationURL: c.ImpersonationURL,
	}
	if config.TokenURL == "" {
		base, err := s.google.listen(s.host)
		if err != nil {
			return nil, err
		}
		config.TokenURL = base + "/v1/token"
		if config.ImpersonationURL == "" {
			config.ImpersonationURL = base
		}
	}
	ex, err := gcp.New(config)
	if err == nil && c.TokenURL == "" {
		s.admitGCP(config, ex.Audience())
	}
	return ex, err
}

// newAWS makes the exchanger of an AWS connector.
func (s *standIns) newAWS(c *pipeline.AWS) (exchange.Exchanger, error) {
	config := aws.Config{
		RoleARN:     c.RoleARN,
		Region:      c.Region,
		Endpoint:    c.Endpoint,
		Audience:    c.Audience,
		SessionTags: c.SessionTags,
		Lifetime:    c.Lifetime,
	}
	if config.Endpoint == "" {
		var err error
		if config.Endpoint, err = s.aws.listen(s.host); err != nil {
			return nil, err
		}
	}
	ex, err := aws.New(config)
	if err == nil && c.Endpoint == "" {
		s.admitAWS(config, ex.Audience())
	}
	return ex, err
}

// newAzure makes the exchanger of an Azure connector.
func (s *standIns) newAzure(c *pipeline.Azure) (exchange.Exchanger, error) {
	config := azure.Config{
		TenantID:      c.TenantID,
		ClientID:      c.ClientID,
		AuthorityHost: c.AuthorityHost,
		Audience:      c.Audience,
	}
	if c.Scope != "" {
		config.Scopes = []string{c.Scope}
	}
	if config.AuthorityHost == "" {
		var err error
		if config.AuthorityHost, err = s.entraOf(c.TenantID).listen(s.host); err != nil {
			return nil, err
		}
	}
	ex, err := azure.New(config)
	if err == nil && c.AuthorityHost == "" {
		err = s.admitAzure(config, ex)
	}
	return ex, err
}

// connectorError says where in the file a connector is wrong.
func (h *host) connectorError(c *pipeline.Connector, err error) error {
	var (
		google    *gcp.ConfigError
		amazon    *aws.ConfigError
		microsoft *azure.ConfigError
	)
	switch {
	case errors.As(err, &google):
		return h.file.ConnectorError(c, google.Field, errors.New(google.Reason))
	case errors.As(err, &amazon):
		return h.file.ConnectorError(c, amazon.Field, errors.New(amazon.Reason))
	case errors.As(err, &microsoft):
		return h.file.ConnectorError(c, microsoft.Field, errors.New(microsoft.Reason))
	}
	return h.file.ConnectorError(c, "", err)
}
