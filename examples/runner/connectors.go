package main

import (
	"context"
	"errors"
	"slices"
	"time"

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
		connector := &broker.Connector{UID: c.UID, Name: c.Name, Rules: broker.Rules(c.Rules), ByEndpoint: c.ByEndpoint}
		var err error
		switch {
		case c.GCP != nil:
			connector.Exchanger, err = s.newGCP(c.GCP, &c.Trust)
		case c.AWS != nil:
			connector.Exchanger, err = s.newAWS(c.AWS, &c.Trust)
		case c.Azure != nil:
			connector.Exchanger, err = s.newAzure(c.Azure, &c.Trust)
		default:
			connector.Audiences = c.OIDC.Audiences
		}
		if err != nil {
			return nil, h.connectorError(c, err)
		}
		if connector.Exchanger != nil {
			profile := connector.Exchanger.Profile()
			h.adjust(&profile)
			connector.Profile = &profile
		}
		connectors[h.home(c)] = connector
	}
	return connectors, s.serve()
}

// adjust applies the file's settings for all tokens.
func (h *host) adjust(p *oidctoken.Profile) {
	if h.file.Issuer.NullUnknown {
		p.NullUnknown = true
	}
	if h.file.Issuer.Lifetime != 0 {
		p.Lifetime = h.file.Issuer.Lifetime
	}
}

// allow decides for the issuer: an untrusted execution, such as the code of a
// fork, gets tokens for the connectors whose rules allow it.
func (h *host) allow(_ context.Context, s oidctoken.Scope) error {
	if !s.IsUntrusted() {
		return nil
	}
	for _, c := range h.file.Connectors {
		if s.Connector != nil && c.ID == s.Connector.ID && c.Level == s.Connector.Level && c.Rules.Untrusted {
			return nil
		}
	}
	return errors.New("the execution is untrusted")
}

// home returns the key of a connector of the file's tenant.
func (h *host) home(c *pipeline.Connector) broker.ConnectorKey {
	home := broker.ConnectorKey{Account: h.file.Account.ID, ID: c.ID}
	if c.Level != oidctoken.AccountLevel {
		home.Organization = h.file.Organization.ID
	}
	if c.Level == oidctoken.ProjectLevel {
		home.Project = h.file.Project.ID
	}
	return home
}

// standInBudget is short: a stand-in is in this process, and is never away.
const standInBudget = 10 * time.Second

// newGCP makes the exchanger of a Google connector. Without a token endpoint in
// the file, it uses the stand-in.
func (s *standIns) newGCP(c *pipeline.GCP, trust *pipeline.Trust) (exchange.Exchanger, error) {
	config := gcp.Config{
		Provider:         c.Provider,
		Audience:         c.Audience,
		ServiceAccount:   c.ServiceAccount,
		Lifetime:         c.Lifetime,
		TokenURL:         c.TokenURL,
		ImpersonationURL: c.ImpersonationURL,
		Project:          c.Project,
		QuotaProject:     c.QuotaProject,
		UniverseDomain:   c.UniverseDomain,
	}
	if config.TokenURL == "" {
		base, err := s.google.listen(s.host)
		if err != nil {
			return nil, err
		}
		config.TokenURL, config.Budget = base+"/v1/token", standInBudget
		if config.ImpersonationURL == "" {
			config.ImpersonationURL = base
		}
	}
	ex, err := gcp.New(config)
	if err == nil && c.TokenURL == "" {
		err = s.admitGCP(config, ex.Audience(), trust)
	}
	return ex, err
}

// newAWS makes the exchanger of an AWS connector.
func (s *standIns) newAWS(c *pipeline.AWS, trust *pipeline.Trust) (exchange.Exchanger, error) {
	config := aws.Config{
		RoleARN:     c.RoleARN,
		Region:      c.Region,
		Endpoint:    c.Endpoint,
		Audience:    c.Audience,
		SessionTags: c.SessionTags,
		UnfitTags:   make(map[string]aws.Unfit),
		Lifetime:    c.Lifetime,
	}
	for claim, name := range c.UnfitTags {
		unfit := slices.Index([]string{"fail", "omit", "encode"}, name)
		if unfit < 0 {
			return nil, &oidctoken.ConfigError{Package: "aws", Field: "UnfitTags", Reason: "has a value other than fail, omit and encode"}
		}
		config.UnfitTags[claim] = []aws.Unfit{aws.UnfitFail, aws.UnfitOmit, aws.UnfitEncode}[unfit]
	}
	if config.Endpoint == "" {
		config.Budget = standInBudget
		var err error
		if config.Endpoint, err = s.aws.listen(s.host); err != nil {
			return nil, err
		}
	}
	ex, err := aws.New(config)
	if err == nil && c.Endpoint == "" {
		err = s.admitAWS(config, ex.Audience(), trust)
	}
	return ex, err
}

// newAzure makes the exchanger of an Azure connector.
func (s *standIns) newAzure(c *pipeline.Azure, trust *pipeline.Trust) (exchange.Exchanger, error) {
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
		config.Budget = standInBudget
		var err error
		if config.AuthorityHost, err = s.entraOf(c.TenantID).listen(s.host); err != nil {
			return nil, err
		}
	}
	ex, err := azure.New(config)
	if err == nil && c.AuthorityHost == "" {
		err = s.admitAzure(config, ex, trust)
	}
	return ex, err
}

// connectorError returns err with the connector's place in the file.
func (h *host) connectorError(c *pipeline.Connector, err error) error {
	var (
		google    *oidctoken.ConfigError
		amazon    *oidctoken.ConfigError
		microsoft *oidctoken.ConfigError
		trust     *trustError
	)
	switch {
	case errors.As(err, &google):
		return h.file.ConnectorError(c, google.Field, errors.New(google.Reason))
	case errors.As(err, &amazon):
		return h.file.ConnectorError(c, amazon.Field, errors.New(amazon.Reason))
	case errors.As(err, &trust):
		return h.file.ConnectorError(c, "Trust."+trust.key, errors.New(trust.reason))
	case errors.As(err, &microsoft):
		return h.file.ConnectorError(c, microsoft.Field, errors.New(microsoft.Reason))
	}
	return h.file.ConnectorError(c, "", err)
}

// brokerError returns err with the place of the connector that the broker
// refuses.
func (h *host) brokerError(err error) error {
	var e *broker.ConnectorError
	if !errors.As(err, &e) {
		return err
	}
	for i := range h.file.Connectors {
		if c := &h.file.Connectors[i]; h.home(c) == e.Key {
			return h.file.ConnectorError(c, e.Field, errors.New(e.Reason))
		}
	}
	return err
}
