package azcred_test

import (
	"context"
	"encoding/pem"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/oidctoken/oidctoken/azure"
)

// assertion returns a new credential of the SDK's own that gets a JWT each time.
func (c *standIn) assertion(t *testing.T, project string, o azidentity.ClientAssertionCredentialOptions) azcore.TokenCredential {
	t.Helper()
	subject := c.mints(t, project)
	credential, err := azidentity.NewClientAssertionCredential(tenant, client, func(ctx context.Context) (string, error) {
		return subject(ctx, "api://AzureADTokenExchange")
	}, &o)
	if err != nil {
		t.Fatal(err)
	}
	return credential
}

// The SDK's own credential authenticates with the JWTs of Exchanger.Profile.
func TestClientAssertionCredential(t *testing.T) {
	c := newStandIn(t)
	options := azidentity.ClientAssertionCredentialOptions{
		ClientOptions: policy.ClientOptions{
			Cloud:     cloud.Configuration{ActiveDirectoryAuthorityHost: c.server.URL},
			Transport: c.server.Client(),
			Retry:     policy.RetryOptions{MaxRetries: -1},
		},
		DisableInstanceDiscovery: true,
	}
	for _, cae := range []bool{false, true} {
		token, err := c.assertion(t, "ledger", options).GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{armScope}, EnableCAE: cae})
		if err != nil {
			t.Fatal(err)
		}
		c.checkToken(t, token.Token)
	}
	_, err := c.assertion(t, "web", options).GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{armScope}})
	var refused *azidentity.AuthenticationFailedError
	if !errors.As(err, &refused) || refused.RawResponse.StatusCode != http.StatusUnauthorized || !strings.Contains(err.Error(), "AADSTS700213") {
		t.Errorf("GetToken of another project: %v, want AADSTS700213", err)
	}
}

// With nothing in its options but a network on which the stand-in is the whole
// Internet, it discovers the instance, the tenant and the token endpoint.
func TestInstanceDiscovery(t *testing.T) {
	c := newStandIn(t)
	tls := c.server.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	tls.ServerName = "example.com" // the test's certificate is for it
	network := &http.Transport{
		TLSClientConfig:   tls,
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, c.server.Listener.Addr().String())
		},
	}
	token, err := c.assertion(t, "ledger", azidentity.ClientAssertionCredentialOptions{
		ClientOptions: policy.ClientOptions{Transport: &http.Client{Transport: network}, Retry: policy.RetryOptions{MaxRetries: -1}},
	}).GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{armScope}})
	if err != nil {
		t.Fatal(err)
	}
	c.checkToken(t, token.Token)
	for path, want := range map[string]int{
		"/common/discovery/instance":                            1,
		"/" + tenant + "/v2.0/.well-known/openid-configuration": 1,
		"/" + tenant + "/oauth2/v2.0/token":                     1,
	} {
		if got := c.entra.Requests(path); got != want {
			t.Errorf("%d requests of %s, want %d", got, path, want)
		}
	}
}

// The child's variables: which credential to use, and where to write its
// access token.
const (
	childCredential = "AZCRED_TEST_CREDENTIAL"
	childOutput     = "AZCRED_TEST_OUTPUT"
)

// A process that is given Exchanger.Bundle, the file that it names and the
// test's authority, and nothing else, gets in with the SDK's own credentials.
func TestBundle(t *testing.T) {
	c := newStandIn(t)
	e, err := azure.New(azure.Config{TenantID: tenant, ClientID: client, AuthorityHost: c.server.URL})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"WorkloadIdentityCredential", "DefaultAzureCredential"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			jwt, err := c.mints(t, "ledger")(t.Context(), e.Audience())
			if err != nil {
				t.Fatal(err)
			}
			tokenFile, authority, output := filepath.Join(dir, "jwt"), filepath.Join(dir, "ca.pem"), filepath.Join(dir, "token")
			writeFile(t, tokenFile, []byte(jwt))
			writeFile(t, authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.server.Certificate().Raw}))
			bundle, err := e.Bundle(dir, tokenFile)
			if err != nil {
				t.Fatal(err)
			}
			runChild(t, bundle.Env, "SSL_CERT_FILE="+authority, "SSL_CERT_DIR="+dir, "HOME="+dir, childCredential+"="+name, childOutput+"="+output)
			token, err := os.ReadFile(output)
			if err != nil {
				t.Fatal(err)
			}
			c.checkToken(t, string(token))
		})
	}
}

func writeFile(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// runChild runs TestChild in another process, with these variables alone.
func runChild(t *testing.T, bundle map[string]string, env ...string) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, "-test.run=^TestChild$", "-test.timeout=60s")
	cmd.Env = env
	for name, value := range bundle {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("the child: %v\n%s", err, out)
	}
}

func TestChild(t *testing.T) {
	output := os.Getenv(childOutput)
	if output == "" {
		t.Skip("TestBundle runs it, in another process")
	}
	var credential azcore.TokenCredential
	var err error
	switch name := os.Getenv(childCredential); name {
	case "WorkloadIdentityCredential":
		credential, err = azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{DisableInstanceDiscovery: true})
	case "DefaultAzureCredential":
		credential, err = azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{DisableInstanceDiscovery: true})
	default:
		t.Fatalf("there is no credential %q", name)
	}
	if err != nil {
		t.Fatal(err)
	}
	token, err := credential.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{armScope}})
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, output, []byte(token.Token))
}
