// Package awscreds hands what package aws gets to clients that are built on
// github.com/aws/aws-sdk-go-v2.
package awscreds

import (
	"context"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"

	"github.com/oidctoken/oidctoken/aws"
	"github.com/oidctoken/oidctoken/exchange"
)

// source names the provider in the SDK's own errors and metrics.
const source = "oidctoken"

// New returns a provider of the sessions that e gets for r. Every Retrieve is an
// exchange, with the ctx of the call and the errors of [aws.Exchanger.Exchange]:
// put it into a cache, which refreshes a session before it ends and lets
// callers share one,
//
//	config.Credentials = awssdk.NewCredentialsCache(awscreds.New(e, r))
//
// as config.LoadDefaultConfig does with its option WithCredentialsProvider. The
// client's Region is set apart from that.
//
// The SDK prints [awssdk.Credentials] with their secrets.
func New(e *aws.Exchanger, r exchange.Request) awssdk.CredentialsProvider {
	return provider{e, r}
}

type provider struct {
	e *aws.Exchanger
	r exchange.Request
}

func (p provider) Retrieve(ctx context.Context) (awssdk.Credentials, error) {
	c, err := p.e.Exchange(ctx, p.r)
	if err != nil {
		return awssdk.Credentials{Source: source}, err
	}
	return awssdk.Credentials{
		AccessKeyID:     c.Value("AWS_ACCESS_KEY_ID"),
		SecretAccessKey: c.Value("AWS_SECRET_ACCESS_KEY"),
		SessionToken:    c.Value("AWS_SESSION_TOKEN"),
		AccountID:       c.Value("AWS_ACCOUNT_ID"),
		Source:          source,
		CanExpire:       true,
		Expires:         c.Expires(),
	}, nil
}
