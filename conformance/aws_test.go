package conformance_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/aws"
	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/oidctokentest"
)

// awsFormat is a way to deliver a credential that the runner does not use. env
// returns the variables, and writes files to dir or serves an endpoint.
type awsFormat struct {
	name string
	env  func(t *testing.T, dir string, credential *exchange.Credential) map[string]string
}

// Clients take what ContainerCredentials and CredentialProcess give.
func TestAWSCredentialFormats(t *testing.T) {
	t.Parallel()
	for _, c := range []awsClient{awsCLI(), boto3(), awsSDK("default")} {
		for _, f := range []awsFormat{{"ContainerCredentials", containerCredentials}, {"CredentialProcess", credentialProcess}} {
			t.Run(c.name+"/"+f.name, func(t *testing.T) {
				t.Parallel()
				version := c.version(t)
				issuer := oidctokentest.NewIssuer(t)
				a := newAmazonFor(t, issuer.URL)
				credential := a.exchange(t, issuer)
				dir := t.TempDir()
				env := assignments(f.env(t, dir, credential))
				env = append(env, assignments(c.env(t))...)
				env = append(env, "PATH="+os.Getenv("PATH"), "HOME="+dir,
					"AWS_REGION="+awsRegion, "AWS_DEFAULT_REGION="+awsRegion, "AWS_ENDPOINT_URL_STS="+a.url)
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
				defer cancel()
				command := exec.CommandContext(ctx, "sh", "-c", c.run)
				command.Env = env
				if out, err := command.CombinedOutput(); err != nil {
					t.Errorf("%v\n%s", err, out)
				}
				if diff := cmp.Diff([]awsCaller{awsSession(deployer, "ledger", "judge")}, awsCallers(a.callers())); diff != "" {
					t.Errorf("callers (-want +got):\n%s", diff)
				}
				row(t, c.name, version, f.name+": sts:GetCallerIdentity")
			})
		}
	}
}

// exchange trades a token of the issuer for a credential.
func (a *amazon) exchange(t *testing.T, issuer *oidctokentest.Issuer) *exchange.Credential {
	t.Helper()
	exchanger, err := aws.New(aws.Config{
		RoleARN: deployer, Region: awsRegion, Endpoint: a.url, SessionTags: []string{"project_id", "stage_id", "step_id"},
	})
	if err != nil {
		t.Fatal(err)
	}
	profile := exchanger.Profile()
	credential, err := exchanger.Exchange(t.Context(), exchange.Request{
		SessionName: exchange.SessionName("release", "acme"),
		Subject: func(ctx context.Context, audience string) (string, error) {
			token, err := issuer.Mint(ctx, oidctoken.Scope{
				Audience: audience, Profile: &profile,
				Account: oidctoken.Entity{ID: "acme"}, Organization: oidctoken.Entity{ID: "payments"}, Project: oidctoken.Entity{ID: "ledger"},
				Pipeline: &oidctoken.Pipeline{ID: "release"}, Stage: oidctoken.CI{ID: "stage_judge"}, Step: &oidctoken.Step{ID: "judge"},
			})
			if err != nil {
				return "", err
			}
			return token.JWT(), nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return credential
}

// containerCredentials serves a credential to clients that have the token of
// the file.
func containerCredentials(t *testing.T, dir string, credential *exchange.Credential) map[string]string {
	t.Helper()
	body, err := aws.ContainerCredentials(credential)
	if err != nil {
		t.Fatal(err)
	}
	const token = "only-this-step-knows"
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != token {
			http.Error(w, `{"code":"Unauthorized","message":"who are you?"}`, http.StatusUnauthorized)
			return
		}
		answer("%s", body).ServeHTTP(w, r)
	}))
	t.Cleanup(endpoint.Close)
	return map[string]string{
		"AWS_CONTAINER_CREDENTIALS_FULL_URI":     endpoint.URL + "/aws",
		"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": writeFile(t, dir, "token", []byte(token)),
	}
}

// credentialProcess makes a profile whose program prints the credential.
func credentialProcess(t *testing.T, dir string, credential *exchange.Credential) map[string]string {
	t.Helper()
	printed, err := aws.CredentialProcess(credential)
	if err != nil {
		t.Fatal(err)
	}
	path := writeFile(t, dir, "answer.json", printed)
	return map[string]string{
		"AWS_CONFIG_FILE": writeFile(t, dir, "config", []byte("[default]\ncredential_process = cat "+path+"\n")),
	}
}

// writeFile writes a private file, and returns its path.
func writeFile(t *testing.T, dir, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
