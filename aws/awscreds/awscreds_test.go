package awscreds_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/aws"
	"github.com/oidctoken/oidctoken/aws/awscreds"
	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/oidctokentest"
	"github.com/oidctoken/oidctoken/oidctokentest/awstest"
)

const (
	roleARN     = "arn:aws:iam::123456789012:role/deployer"
	sessionName = "acme-release-42"
	callerARN   = "arn:aws:sts::123456789012:assumed-role/deployer/" + sessionName
)

// cloud is a stand-in of AWS, served on loopback, and the Exchanger for it.
type cloud struct {
	*awstest.Server
	url       string
	exchanger *aws.Exchanger
	request   exchange.Request
}

func newCloud(t *testing.T) *cloud {
	t.Helper()
	issuer := oidctokentest.NewIssuer(t)
	c := &cloud{}
	var err error
	c.Server, err = awstest.New(awstest.Config{
		Providers: []awstest.Provider{{Account: "123456789012", Issuer: issuer.URL, ClientIDs: []string{"sts.amazonaws.com"}}},
		Roles: []awstest.Role{{ARN: roleARN, Trust: []awstest.Trust{{
			Provider: issuer.URL, StringEquals: map[string][]string{"aud": {"sts.amazonaws.com"}, "sub": {"account/acme"}},
		}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(c.Server)
	t.Cleanup(server.Close)
	c.url = server.URL
	c.exchanger, err = aws.New(aws.Config{RoleARN: roleARN, Region: "eu-west-1", Endpoint: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	profile := c.exchanger.Profile()
	c.request = exchange.Request{SessionName: sessionName, Subject: func(ctx context.Context, audience string) (string, error) {
		token, err := issuer.Mint(ctx, oidctoken.Scope{Audience: audience, Profile: &profile, Account: oidctoken.Entity{ID: "acme"}})
		if err != nil {
			return "", err
		}
		return token.JWT(), nil
	}}
	return c
}

// caller calls GetCallerIdentity with the credentials.
func caller(t *testing.T, c awssdk.Config, url string) (string, error) {
	t.Helper()
	got, err := sts.NewFromConfig(c, func(o *sts.Options) {
		if url != "" {
			o.BaseEndpoint = &url
		}
	}).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	if err != nil {
		return "", err
	}
	return awssdk.ToString(got.Arn), nil
}

func TestRetrieve(t *testing.T) {
	c := newCloud(t)
	start := time.Now()
	got, err := awscreds.New(c.exchanger, c.request).Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	session, ok := c.Session(got.AccessKeyID)
	if !ok || session.ARN != callerARN {
		t.Errorf("the session is %v, want that of %s", session, callerARN)
	}
	if !got.CanExpire || !got.Expires.Equal(session.Expires) || got.Expires.Before(start.Add(59*time.Minute)) {
		t.Errorf("CanExpire = %v, Expires = %s, want %s", got.CanExpire, got.Expires, session.Expires)
	}
	if got.SecretAccessKey == "" || got.SessionToken == "" || got.AccountID != "123456789012" || got.Source != "oidctoken" {
		t.Errorf("credentials have no secret or token, or account %q and source %q", got.AccountID, got.Source)
	}
}

// The SDK's own client, with its cache, signs with the credentials, and STS
// accepts the signature.
func TestClient(t *testing.T) {
	c := newCloud(t)
	config := awssdk.Config{Region: "eu-west-1", Credentials: awssdk.NewCredentialsCache(awscreds.New(c.exchanger, c.request))}
	for range 3 {
		got, err := caller(t, config, c.url)
		if err != nil {
			t.Fatal(err)
		}
		if got != callerARN {
			t.Errorf("caller = %s, want %s", got, callerARN)
		}
	}
	if n, m := c.Requests("AssumeRoleWithWebIdentity"), c.Requests("GetCallerIdentity"); n != 1 || m != 3 {
		t.Errorf("%d exchanges for %d calls, want 1 for 3", n, m)
	}
}

// The errors of an exchange can be read through the SDK.
func TestRetrieveFails(t *testing.T) {
	c := newCloud(t)
	want := errors.New("the host cannot mint")
	request := c.request
	request.Subject = func(context.Context, string) (string, error) { return "", want }
	_, err := caller(t, awssdk.Config{Region: "eu-west-1", Credentials: awssdk.NewCredentialsCache(awscreds.New(c.exchanger, request))}, c.url)
	if !errors.Is(err, want) {
		t.Errorf("error = %v, want %v in it", err, want)
	}
	request.SessionName = ""
	got, err := awscreds.New(c.exchanger, request).Retrieve(t.Context())
	var refused *oidctoken.ConfigError
	if !errors.As(err, &refused) || refused.Field != "Request.SessionName" {
		t.Errorf("error = %v, want a *ConfigError of Request.SessionName", err)
	}
	if diff := cmp.Diff(awssdk.Credentials{Source: "oidctoken"}, got); diff != "" {
		t.Errorf("credentials (-want +got):\n%s", diff)
	}
}

// The SDK's default chain uses the Bundle and nothing of this machine.
func TestBundle(t *testing.T) {
	c := newCloud(t)
	dir := t.TempDir()
	tokenFile := filepath.Join(dir, "jwt")
	jwt, err := c.request.Subject(t.Context(), c.exchanger.Audience())
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := c.exchanger.SessionBundle(dir, tokenFile, sessionName)
	if err != nil {
		t.Fatal(err)
	}
	bundle.Files["jwt"] = []byte(jwt)
	for name, content := range bundle.Files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	clearAWS(t)
	for name, value := range bundle.Env {
		t.Setenv(name, value)
	}
	loaded, err := config.LoadDefaultConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got, err := caller(t, loaded, "")
	if err != nil {
		t.Fatal(err)
	}
	if got != callerARN || loaded.Region != "eu-west-1" {
		t.Errorf("caller = %s in %s, want %s in eu-west-1", got, loaded.Region, callerARN)
	}
}

// A container endpoint that answers with ContainerCredentials serves the SDK.
func TestContainerCredentials(t *testing.T) {
	c := newCloud(t)
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "the step's own" {
			http.Error(w, `{"code":"Unauthorized","message":"no"}`, http.StatusUnauthorized)
			return
		}
		credential, err := c.exchanger.Exchange(r.Context(), c.request)
		if err != nil {
			http.Error(w, `{"code":"Exchange","message":"failed"}`, http.StatusBadGateway)
			return
		}
		body, err := aws.ContainerCredentials(credential)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/json")
		w.Write(body)
	}))
	defer endpoint.Close()
	tokenFile := filepath.Join(t.TempDir(), "authorization")
	if err := os.WriteFile(tokenFile, []byte("the step's own"), 0o600); err != nil {
		t.Fatal(err)
	}
	clearAWS(t)
	t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", endpoint.URL+"/aws")
	t.Setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", tokenFile)
	t.Setenv("AWS_REGION", "eu-west-1")
	loaded, err := config.LoadDefaultConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got, err := caller(t, loaded, c.url)
	if err != nil || got != callerARN {
		t.Errorf("caller = %s, %v; want %s", got, err, callerARN)
	}
}

// clearAWS keeps what this machine has of AWS out of the test.
func clearAWS(t *testing.T) {
	t.Helper()
	t.Setenv("HOME", t.TempDir())
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "") // so that it comes back
			os.Unsetenv(name)
		}
	}
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
}
