package aws_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"maps"
	"net/http/httptest"
	"slices"
	"time"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/aws"
	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/oidctokentest/awstest"
)

// platform is a platform's issuer, and a stand-in of AWS with a role that trusts
// it. Against AWS itself there is nothing of the kind.
type platform struct {
	issuer *oidctoken.Issuer
	server *httptest.Server // of the issuer
	cloud  *httptest.Server
}

func newPlatform() *platform {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	signer, err := oidctoken.NewSigner(key)
	if err != nil {
		log.Fatal(err)
	}
	p := &platform{server: httptest.NewUnstartedServer(nil)}
	url := "http://" + p.server.Listener.Addr().String()
	if p.issuer, err = oidctoken.NewIssuer(oidctoken.Config{URL: url, Keys: oidctoken.StaticKeys{{Signer: signer}}}); err != nil {
		log.Fatal(err)
	}
	p.server.Config.Handler = p.issuer
	p.server.Start()
	standIn, err := awstest.New(awstest.Config{
		Providers: []awstest.Provider{{Account: "123456789012", Issuer: url, ClientIDs: []string{"sts.amazonaws.com"}}},
		Roles: []awstest.Role{{
			ARN: "arn:aws:iam::123456789012:role/deployer",
			Trust: []awstest.Trust{{
				Provider:   url,
				StringLike: map[string][]string{"sub": {"account/acme:org/payments:*"}},
			}},
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	p.cloud = httptest.NewServer(standIn)
	return p
}

func (p *platform) Close() {
	p.cloud.Close()
	p.server.Close()
}

// request returns the exchange request of one execution.
func (p *platform) request(e *aws.Exchanger, organization string) exchange.Request {
	profile := e.Profile()
	return exchange.Request{
		SessionName: exchange.SessionName("release", "acme", "execution-42", "step-7", "account.aws_prod"),
		Subject: func(ctx context.Context, audience string) (string, error) {
			token, err := p.issuer.Mint(ctx, oidctoken.Scope{
				Audience:     audience,
				Profile:      &profile,
				Account:      oidctoken.Entity{ID: "acme"},
				Organization: oidctoken.Entity{ID: organization},
				Project:      oidctoken.Entity{ID: "ledger"},
			})
			if err != nil {
				return "", err
			}
			return token.JWT(), nil
		},
	}
}

func (p *platform) exchanger() *aws.Exchanger {
	e, err := aws.New(aws.Config{
		RoleARN:  "arn:aws:iam::123456789012:role/deployer",
		Region:   "eu-west-1",
		Endpoint: p.cloud.URL, // left out for AWS itself
	})
	if err != nil {
		log.Fatal(err)
	}
	return e
}

func ExampleNew() {
	_, err := aws.New(aws.Config{RoleARN: "arn:aws:iam::123456789012:role/deployer", Region: "cn-north-1"})
	var wrong *oidctoken.ConfigError
	fmt.Println(errors.As(err, &wrong), wrong.Field)
	fmt.Println(err)
	// Output:
	// true Region
	// aws: Region is in another partition than RoleARN
}

func ExampleExchanger_Exchange() {
	p := newPlatform()
	defer p.Close()
	e := p.exchanger()
	credential, err := e.Exchange(context.Background(), p.request(e, "payments"))
	if err != nil {
		log.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(credential.Env())) {
		fmt.Println(name)
	}
	fmt.Println(time.Until(credential.Expires()).Round(time.Minute))
	// Output:
	// AWS_ACCESS_KEY_ID
	// AWS_ACCOUNT_ID
	// AWS_DEFAULT_REGION
	// AWS_REGION
	// AWS_SECRET_ACCESS_KEY
	// AWS_SESSION_TOKEN
	// 1h0m0s
}

// A refusal tells which setting the administrator of the account has to change.
func ExampleExchanger_Exchange_refused() {
	p := newPlatform()
	defer p.Close()
	e := p.exchanger()
	_, err := e.Exchange(context.Background(), p.request(e, "another"))
	var refused *exchange.Error
	if errors.As(err, &refused) {
		fmt.Println(refused.Code, refused.Status)
		fmt.Println(refused.Hint)
	}
	// Output:
	// AccessDenied 403
	// the JWT's sub is account/acme:org/another:project/ledger: the trust policy of arn:aws:iam::123456789012:role/deployer must allow sts:AssumeRoleWithWebIdentity to the issuer's OIDC provider, and its conditions must admit this sub and this aud (sts.amazonaws.com), as a preview of the token shows them: no other claim is a condition key; the JWT's roles claim admits this role alone, so the role must exist under exactly this ARN
}

// The claims that a JWT has for AWS, beside those of the table.
func ExampleExchanger_Profile() {
	e, err := aws.New(aws.Config{
		RoleARN:           "arn:aws:iam::123456789012:role/deployer",
		Region:            "eu-west-1",
		SessionTags:       []string{"project_id", "environment_id"},
		TransitiveTagKeys: []string{"project_id"},
	})
	if err != nil {
		log.Fatal(err)
	}
	p := newPlatform()
	defer p.Close()
	profile := e.Profile()
	claims, err := p.issuer.Preview(context.Background(), oidctoken.Scope{
		Audience: e.Audience(), Profile: &profile,
		Account: oidctoken.Entity{ID: "acme"}, Organization: oidctoken.Entity{ID: "payments"}, Project: oidctoken.Entity{ID: "ledger"},
	})
	if err != nil {
		log.Fatal(err)
	}
	text, err := json.Marshal(claims)
	if err != nil {
		log.Fatal(err)
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(text, &all); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n%s\n", all["https://aws.amazon.com/roles"], all["https://aws.amazon.com/tags"])
	// Output:
	// "arn:aws:iam::123456789012:role/deployer"
	// {"principal_tags":{"project_id":["ledger"]},"transitive_tag_keys":["project_id"]}
}

// A claim's value that AWS does not accept becomes an encoded tag, and
// DecodeTag returns the value.
func ExampleDecodeTag() {
	value, err := aws.DecodeTag("dependabot=5Bbot=5D")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(value)
	// Output: dependabot[bot]
}

func ExampleExchanger_Audience() {
	e, err := aws.New(aws.Config{RoleARN: "arn:aws:iam::123456789012:role/deployer", Region: "eu-west-1"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(e.Audience(), e.Cloud())
	// Output: sts.amazonaws.com aws
}

// The variables with which the AWS CLI and the SDKs assume the role themselves.
func ExampleExchanger_SessionBundle() {
	e, err := aws.New(aws.Config{RoleARN: "arn:aws:iam::123456789012:role/deployer", Region: "eu-west-1"})
	if err != nil {
		log.Fatal(err)
	}
	bundle, err := e.SessionBundle("/run/step-7/aws", "/run/step-7/jwt", "release-42-step-7")
	if err != nil {
		log.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(bundle.Env)) {
		fmt.Println(name + "=" + bundle.Env[name])
	}
	// Output:
	// AWS_CONFIG_FILE=/run/step-7/aws/config
	// AWS_DEFAULT_REGION=eu-west-1
	// AWS_EC2_METADATA_DISABLED=true
	// AWS_REGION=eu-west-1
	// AWS_ROLE_ARN=arn:aws:iam::123456789012:role/deployer
	// AWS_ROLE_SESSION_NAME=release-42-step-7
	// AWS_SHARED_CREDENTIALS_FILE=/run/step-7/aws/credentials
	// AWS_STS_REGIONAL_ENDPOINTS=regional
	// AWS_WEB_IDENTITY_TOKEN_FILE=/run/step-7/jwt
}

// Bundle names the session after the step's directory.
func ExampleExchanger_Bundle() {
	e, err := aws.New(aws.Config{RoleARN: "arn:aws:iam::123456789012:role/deployer", Region: "eu-west-1"})
	if err != nil {
		log.Fatal(err)
	}
	a, err := e.Bundle("/run/step-7/aws", "/run/step-7/jwt")
	if err != nil {
		log.Fatal(err)
	}
	b, err := e.Bundle("/run/step-8/aws", "/run/step-8/jwt")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(a.Env["AWS_ROLE_SESSION_NAME"] == b.Env["AWS_ROLE_SESSION_NAME"])
	// Output: false
}

// credential replaces the result of Exchange.
func credential() *exchange.Credential {
	return exchange.NewCredential(time.Date(2030, 1, 2, 4, 4, 5, 0, time.UTC), map[string]string{
		"AWS_ACCESS_KEY_ID":     "ASIAEXAMPLEEXAMPLE12",
		"AWS_SECRET_ACCESS_KEY": "secret",
		"AWS_SESSION_TOKEN":     "token",
		"AWS_ACCOUNT_ID":        "123456789012",
	})
}

func ExampleCredentialProcess() {
	answer, err := aws.CredentialProcess(credential())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(answer))
	// Output:
	// {"Version":1,"AccessKeyId":"ASIAEXAMPLEEXAMPLE12","SecretAccessKey":"secret","SessionToken":"token","Expiration":"2030-01-02T04:04:05Z","AccountId":"123456789012"}
}

func ExampleContainerCredentials() {
	answer, err := aws.ContainerCredentials(credential())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(answer))
	// Output:
	// {"AccessKeyId":"ASIAEXAMPLEEXAMPLE12","SecretAccessKey":"secret","Token":"token","Expiration":"2030-01-02T04:04:05Z","AccountId":"123456789012"}
}

func ExampleExchanger_ContainerCredentials() {
	var served exchange.ContainerSourced = new(aws.Exchanger) // any of this package
	answer, err := served.ContainerCredentials(credential())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(answer))
	// Output:
	// {"AccessKeyId":"ASIAEXAMPLEEXAMPLE12","SecretAccessKey":"secret","Token":"token","Expiration":"2030-01-02T04:04:05Z","AccountId":"123456789012"}
}

func ExampleExchanger_EndpointBundle() {
	e, err := aws.New(aws.Config{RoleARN: "arn:aws:iam::123456789012:role/deployer", Region: "eu-west-1"})
	if err != nil {
		log.Fatal(err)
	}
	bundle, err := e.EndpointBundle("/run/step", exchange.Endpoint{
		CredentialsURL: "http://127.0.0.1:8080/credentials",
		Authorization:  func() string { return "Bearer 0123" },
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, name := range []string{"AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"} {
		fmt.Println(name + "=" + bundle.Env[name])
	}
	// Output:
	// AWS_CONTAINER_CREDENTIALS_FULL_URI=http://127.0.0.1:8080/credentials
	// AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=/run/step/authorization
}

func ExampleConfigError() {
	_, err := aws.New(aws.Config{Region: "eu-west-1"})
	fmt.Println(err)
	// Output: aws: RoleARN is required
}
