package conformance_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/aws"
	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/oidctokentest"
)

const awsRole = "arn:aws:iam::123456789012:role/deployer"

// awsCloud is a stand-in of AWS that trusts an issuer, and the Exchanger for it.
type awsCloud struct {
	*oidctokentest.AWS
	exchanger *aws.Exchanger
	issuer    *oidctokentest.Issuer
}

func newAWSCloud(t *testing.T) *awsCloud {
	t.Helper()
	c := &awsCloud{issuer: oidctokentest.NewIssuer(t)}
	var err error
	c.AWS, err = oidctokentest.NewAWS(oidctokentest.AWSConfig{
		Providers: []oidctokentest.AWSProvider{{Account: "123456789012", URL: c.issuer.URL, ClientIDs: []string{"sts.amazonaws.com"}}},
		Roles: []oidctokentest.AWSRole{{ARN: awsRole, Trust: []oidctokentest.AWSTrust{{
			Provider:     c.issuer.URL,
			StringEquals: map[string][]string{"aud": {"sts.amazonaws.com"}},
			StringLike:   map[string][]string{"sub": {"account/acme:org/payments:project/*"}},
			TagSession:   true, RoleAuthorizedByIdP: true,
		}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(c.AWS)
	t.Cleanup(server.Close)
	c.exchanger, err = aws.New(aws.Config{RoleARN: awsRole, Region: "eu-west-1", Endpoint: server.URL, SessionTags: []string{"project_id"}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// request is an exchange of a step of a project.
func (c *awsCloud) request(project string) exchange.Request {
	profile := c.exchanger.Profile()
	return exchange.Request{
		SessionName: exchange.SessionName("release", "acme", "payments", project, "execution-42"),
		Subject: func(ctx context.Context, audience string) (string, error) {
			token, err := c.issuer.Mint(ctx, oidctoken.Scope{
				Audience: audience, Profile: &profile,
				Account: oidctoken.Entity{ID: "acme"}, Organization: oidctoken.Entity{ID: "payments"}, Project: oidctoken.Entity{ID: project},
			})
			if err != nil {
				return "", err
			}
			return token.JWT(), nil
		},
	}
}

// bundle writes what a step of a project is given, and returns its environment.
func (c *awsCloud) bundle(t *testing.T, project string) map[string]string {
	t.Helper()
	dir := t.TempDir()
	tokenFile := filepath.Join(dir, "jwt")
	jwt, err := c.request(project).Subject(t.Context(), c.exchanger.Audience())
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := c.exchanger.Bundle(dir, tokenFile)
	if err != nil {
		t.Fatal(err)
	}
	bundle.Files["jwt"] = []byte(jwt)
	for name, content := range bundle.Files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return bundle.Env
}

// awsClients are real clients that print the ARN of their caller.
var awsClients = []struct {
	name    string
	needs   func(*testing.T)
	command []string
}{
	{"aws", func(t *testing.T) { needs(t, "aws") }, []string{"aws", "sts", "get-caller-identity", "--query", "Arn", "--output", "text"}},
	{"boto3", needsBoto3, []string{"python3", "-c", "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])"}},
}

func needsBoto3(t *testing.T) {
	t.Helper()
	needs(t, "python3")
	if exec.CommandContext(t.Context(), "python3", "-c", "import boto3").Run() == nil {
		return
	}
	if os.Getenv("CI") != "" && !slices.Contains(strings.Fields(os.Getenv("OIDCTOKEN_ABSENT")), "boto3") {
		t.Fatal("boto3 is not installed")
	}
	t.Skip("boto3 is not installed")
}

// callAWS runs a client with an environment of its own.
func callAWS(t *testing.T, home string, env map[string]string, command []string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	run := exec.CommandContext(ctx, command[0], command[1:]...)
	// PYENV_ROOT, since HOME is how pyenv finds its programs otherwise.
	root := os.Getenv("PYENV_ROOT")
	if root == "" {
		root = filepath.Join(os.Getenv("HOME"), ".pyenv")
	}
	run.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "PYENV_ROOT=" + root}
	for name, value := range env {
		run.Env = append(run.Env, name+"="+value)
	}
	var out, errs bytes.Buffer
	run.Stdout, run.Stderr = &out, &errs
	if err := run.Run(); err != nil {
		t.Fatalf("%s: %v\nstdout: %s\nstderr: %s", command[0], err, &out, &errs)
	}
	return strings.TrimSpace(out.String())
}

// The clients assume the role with the file, sign with what they get, and are
// answered. Two steps that share HOME, where the AWS CLI caches, are told apart.
func TestAWSWebIdentity(t *testing.T) {
	for _, client := range awsClients {
		t.Run(client.name, func(t *testing.T) {
			client.needs(t)
			c := newAWSCloud(t)
			home := t.TempDir()
			seen := make(map[string]bool)
			for _, project := range []string{"ledger", "invoices"} {
				env := c.bundle(t, project)
				got := callAWS(t, home, env, client.command)
				want := "arn:aws:sts::123456789012:assumed-role/deployer/" + env["AWS_ROLE_SESSION_NAME"]
				if got != want || seen[got] {
					t.Errorf("caller = %s, want %s, and not that of another step", got, want)
				}
				seen[got] = true
			}
			if n, m := c.Requests("AssumeRoleWithWebIdentity"), c.Requests("GetCallerIdentity"); n != 2 || m != 2 {
				t.Errorf("%d sessions for %d calls, want 2 for 2", n, m)
			}
		})
	}
}

// The clients sign with the variables of a credential.
func TestAWSVariables(t *testing.T) {
	for _, client := range awsClients {
		t.Run(client.name, func(t *testing.T) {
			client.needs(t)
			c := newAWSCloud(t)
			credential, err := c.exchanger.Exchange(t.Context(), c.request("ledger"))
			if err != nil {
				t.Fatal(err)
			}
			env := credential.Env()
			env["AWS_ENDPOINT_URL_STS"] = c.bundle(t, "ledger")["AWS_ENDPOINT_URL_STS"]
			want := "arn:aws:sts::123456789012:assumed-role/deployer/" + c.request("ledger").SessionName
			if got := callAWS(t, t.TempDir(), env, client.command); got != want {
				t.Errorf("caller = %s, want %s", got, want)
			}
		})
	}
}

// The clients take what ContainerCredentials and CredentialProcess give.
func TestAWSCredentialFormats(t *testing.T) {
	for _, client := range awsClients {
		t.Run(client.name, func(t *testing.T) {
			client.needs(t)
			c := newAWSCloud(t)
			credential, err := c.exchanger.Exchange(t.Context(), c.request("ledger"))
			if err != nil {
				t.Fatal(err)
			}
			container, err := aws.ContainerCredentials(credential)
			if err != nil {
				t.Fatal(err)
			}
			process, err := aws.CredentialProcess(credential)
			if err != nil {
				t.Fatal(err)
			}
			endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.Write(container)
			}))
			defer endpoint.Close()
			dir := t.TempDir()
			answer, config := filepath.Join(dir, "answer.json"), filepath.Join(dir, "config")
			for name, content := range map[string][]byte{answer: process, config: []byte("[default]\ncredential_process = cat " + answer + "\n")} {
				if err := os.WriteFile(name, content, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			base := map[string]string{"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-1", "AWS_ENDPOINT_URL_STS": c.bundle(t, "ledger")["AWS_ENDPOINT_URL_STS"]}
			for name, value := range map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": endpoint.URL + "/aws", "AWS_CONFIG_FILE": config} {
				env := map[string]string{name: value}
				for n, v := range base {
					env[n] = v
				}
				want := "arn:aws:sts::123456789012:assumed-role/deployer/" + c.request("ledger").SessionName
				if got := callAWS(t, t.TempDir(), env, client.command); got != want {
					t.Errorf("with %s the caller = %s, want %s", name, got, want)
				}
			}
			var parsed struct{ Version int }
			if err := json.Unmarshal(process, &parsed); err != nil || parsed.Version != 1 {
				t.Errorf("CredentialProcess has version %d, %v", parsed.Version, err)
			}
		})
	}
}
