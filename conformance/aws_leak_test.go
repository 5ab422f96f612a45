package conformance_test

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// leak is two pipelines, of the projects ledger and other, that run one after
// the other on a machine, as one user.
type leak struct {
	name     string
	role     string
	env      map[string]string // of the steps, by their author
	sessions []awsCaller       // the sessions that result
	refused  bool              // that the second pipeline is
	did      string
}

// Of two pipelines on one machine, neither gets the other's credentials,
// although clients cache in the home directory. The name of the session
// separates them in the aws CLI's cache, as the control shows: X10 X14
func TestAWSPipelinesApart(t *testing.T) {
	t.Parallel()
	first := awsSession(deployer, "ledger", "judge")
	leaks := []leak{
		{
			name: "a role for both", role: reader,
			sessions: []awsCaller{awsSession(reader, "ledger", "judge"), awsSession(reader, "other", "judge")},
			did:      "two projects, one home directory: each comes as itself",
		},
		{
			name: "a role for the first", role: deployer, sessions: []awsCaller{first}, refused: true,
			did: "two projects, one home directory: the second is refused the first one's role",
		},
	}
	fixed := map[string]string{"AWS_ROLE_SESSION_NAME": "release"}
	for _, c := range []awsClient{awsCLI(), boto3(), awsSDK("default")} {
		control := leak{
			name: "one session name", role: deployer, env: fixed, sessions: []awsCaller{first}, refused: true,
			did: "control: it keeps no credentials, whatever the session is named",
		}
		if c.name == "aws" {
			// The second is refused, and comes as the first.
			control.sessions, control.refused = []awsCaller{first, first}, false
			control.did = "control: one session name gives the second project the first one's credentials"
		}
		for _, l := range append(leaks[:len(leaks):len(leaks)], control) {
			t.Run(c.name+"/"+l.name, func(t *testing.T) {
				t.Parallel()
				version := c.version(t)
				testAWSLeak(t, c, l)
				row(t, c.name, version, l.did)
			})
		}
	}
}

func testAWSLeak(t *testing.T, c awsClient, l leak) {
	a := newAmazon(t, 2)
	home := t.TempDir()
	for i, project := range []string{"ledger", "other"} {
		p := a.pipeline(i, l.role, a.delivered().step(t, c, "judge", l.env))
		p.Project = project
		o := start(t, []string{"HOME=" + home}, p.write(t))
		refused := i == 1 && l.refused
		if refused != (o.code != 0) || refused != strings.Contains(o.stderr, "AccessDenied") {
			t.Errorf("project %s: refused: want %v; %v", project, refused, o)
		}
	}
	if diff := cmp.Diff(l.sessions, awsCallers(a.everyone())); diff != "" {
		t.Errorf("callers (-want +got):\n%s", diff)
	}
	arns(t, a.callers())
	// The client's own cache is still there. The test would prove nothing if it
	// had moved.
	cached, err := filepath.Glob(filepath.Join(home, ".aws", "cli", "cache", "*.json"))
	if err != nil || (c.name == "aws") != (len(cached) > 0) {
		t.Errorf("%s left %d files in its cache, %v", c.name, len(cached), err)
	}
}

// strayKey returns credentials of the machine's own, that win over a web identity.
func strayKey() map[string]string {
	return map[string]string{
		"AWS_ACCESS_KEY_ID": "ASIASTRAYSTRAYSTRAY1", "AWS_SECRET_ACCESS_KEY": "stray-secret", "AWS_SESSION_TOKEN": "stray-token",
	}
}

// stray returns variables of the runner's own environment that would lead a
// cloud's clients to foreign credentials.
func stray() map[string]string {
	stray := strayKey()
	maps.Copy(stray, map[string]string{
		"AWS_PROFILE": "stray", "AWS_DEFAULT_PROFILE": "stray",
		"AWS_CONFIG_FILE": "/stray", "AWS_SHARED_CREDENTIALS_FILE": "/stray", "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
		"AWS_ROLE_ARN": reader, "AWS_ROLE_SESSION_NAME": "stray", "AWS_WEB_IDENTITY_TOKEN_FILE": "/stray",
		"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:1/",
		"GOOGLE_APPLICATION_CREDENTIALS":     "/stray", "CLOUDSDK_CONFIG": "/stray", "CLOUDSDK_AUTH_ACCESS_TOKEN": "stray",
	})
	maps.Copy(stray, strayAzure())
	return stray
}

func assignments(variables map[string]string) []string {
	var env []string
	for name, value := range variables {
		env = append(env, name+"="+value)
	}
	return env
}

// A step inherits the variables that the contract names, and no others, with
// and without a connector: D05
func TestStrayVariables(t *testing.T) {
	t.Parallel()
	a := newAmazon(t, 1)
	bare := step{ID: "bare", Run: "env"}
	given := step{ID: "given", Connectors: []string{awsConnector}, Run: "env"}
	o := start(t, append(assignments(stray()), "HOME="+t.TempDir()), a.pipeline(0, deployer, bare, given).write(t))
	names := make(map[string]int)
	for line := range strings.Lines(o.stdout) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		names[name]++
		if strings.Contains(value, "stray") || strings.Contains(value, "STRAY") {
			t.Errorf("a step has %s", line)
		}
	}
	want := map[string]int{
		"PATH": 2, "HOME": 2, "LANG": 2, "TMPDIR": 2, "STEP_DIR": 2, "STEP_WORKDIR": 2, "PWD": 2, // PWD is the shell's
		"AWS_WEB_IDENTITY_TOKEN_FILE": 1, "AWS_ROLE_ARN": 1, "AWS_ROLE_SESSION_NAME": 1, "AWS_REGION": 1, "AWS_DEFAULT_REGION": 1,
		"AWS_STS_REGIONAL_ENDPOINTS": 1, "AWS_CONFIG_FILE": 1, "AWS_SHARED_CREDENTIALS_FILE": 1, "AWS_EC2_METADATA_DISABLED": 1,
		"AWS_ENDPOINT_URL_STS": 1,
		// Those of the endpoint.
		"AWS_CONTAINER_CREDENTIALS_FULL_URI": 1, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": 1,
		"ACTIONS_ID_TOKEN_REQUEST_URL": 1, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": 1,
		"OIDCTOKEN_URL": 1, "OIDCTOKEN_HEADER_FILE": 1, "NO_PROXY": 1, "no_proxy": 1,
		// Private places of programs that log in to registries and clusters.
		"DOCKER_CONFIG": 1, "REGISTRY_AUTH_FILE": 1, "KUBECONFIG": 1,
		"HELM_CACHE_HOME": 1, "HELM_CONFIG_HOME": 1, "HELM_REGISTRY_CONFIG": 1, "HELM_REPOSITORY_CACHE": 1, "HELM_REPOSITORY_CONFIG": 1,
	}
	delete(names, "OLDPWD") // of some shells
	delete(names, "_")      // of others
	delete(names, "SHLVL")
	if diff := cmp.Diff(want, names); diff != "" || o.code != 0 {
		t.Errorf("how many steps have a variable (-want +got):\n%s\n%v", diff, o)
	}
}

// The machine's own credentials, in the runner's environment and in the home
// directory, do not affect the clients of a step. Credentials that a step's
// author sets win, as the control shows: D05
func TestAWSStrayCredentials(t *testing.T) {
	t.Parallel()
	for _, c := range []awsClient{awsCLI(), boto3(), awsSDK("default")} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			version := c.version(t)
			home := t.TempDir()
			if err := os.Mkdir(filepath.Join(home, ".aws"), 0o700); err != nil {
				t.Fatal(err)
			}
			for name, content := range map[string]string{
				"credentials": "[default]\naws_access_key_id = ASIASTRAYSTRAYSTRAY1\naws_secret_access_key = stray-secret\n",
				"config":      "[default]\nregion = us-east-1\nendpoint_url = http://127.0.0.1:1\n",
			} {
				if err := os.WriteFile(filepath.Join(home, ".aws", name), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			a := newAmazon(t, 1)
			p := a.pipeline(0, deployer, a.delivered().step(t, c, "judge", nil), a.delivered().step(t, c, "control", strayKey()))
			o := start(t, append(assignments(stray()), "HOME="+home), p.write(t))
			if o.code == 0 || !strings.Contains(o.stderr, "InvalidClientTokenId") {
				t.Errorf("the control does not fail for its key; %v", o)
			}
			if diff := cmp.Diff([]awsCaller{awsSession(deployer, "ledger", "judge")}, awsCallers(a.callers())); diff != "" {
				t.Errorf("callers (-want +got):\n%s\n%v", diff, o)
			}
			row(t, c.name, version, "the machine's own keys and profiles take no part; control: a step's own do")
		})
	}
}
